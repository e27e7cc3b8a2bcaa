"""Languages spoken to others: the browser's room protocol, WHIP and WHEP. Pure, but for files named `*endpoint.py`."""
