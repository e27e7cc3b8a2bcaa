"""Ids that sort by time (the layout of UUID version 7, RFC 9562 section 5.7)."""

import secrets
import uuid


def new_id(at: float) -> str:
    """A new id: 48 bits of Unix milliseconds, then 74 random bits; later ones sort after earlier ones as text."""
    milliseconds = int(at * 1000) & (2**48 - 1)
    value = milliseconds << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))
