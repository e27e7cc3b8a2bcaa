"""Rules: sightings and samples in, findings out. No I/O and no clock in here."""
