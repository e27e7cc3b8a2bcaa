"""Recording: encoded pictures and sound into files, without decoding any."""
