"""WHIP (RFC 9725) and its sister WHEP: what of them is words and not HTTP."""
