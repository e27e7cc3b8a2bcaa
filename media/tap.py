"""Encoded access units on their way from a media worker to a vision worker or a recorder.

A Unix stream socket carries frames: a 4-byte big-endian length, then a fixed header, the track id and the access
unit. The media worker never waits for the reader: when the socket does not take a unit, it drops units of that track
up to the next key frame and marks that one `after_gap`. Whatever the reader writes back asks for a key frame.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAX_UNIT_BYTES = 4 << 20
"""A 4K key frame stays below 2 MiB."""

CODECS = ("VP8", "H264", "VP9", "AV1", "H265", "opus", "PCMA", "PCMU")
_LENGTH = struct.Struct("!I")
_HEADER = struct.Struct("!HBBqd")
_KEY, _GAP = 1, 2


class TapError(ValueError):
    """Bytes that are no tap frames: the two ends do not belong together."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded picture (or one audio packet)."""

    track: str
    codec: str
    """One of `CODECS`; H.264 in Annex B form."""
    key: bool
    after_gap: bool
    """Something before this was lost or dropped."""
    timestamp: int
    """RTP timestamp, unwrapped to 64 bits, in the codec's clock (90 kHz for video)."""
    arrived_at: float
    """Wall clock of the last packet, seconds since the Unix epoch."""
    data: bytes


def pack(unit: AccessUnit) -> bytes:
    """One frame."""
    track = unit.track.encode()
    flags = (_KEY if unit.key else 0) | (_GAP if unit.after_gap else 0)
    header = _HEADER.pack(len(track), CODECS.index(unit.codec), flags, unit.timestamp, unit.arrived_at)
    return b"".join((_LENGTH.pack(len(header) + len(track) + len(unit.data)), header, track, unit.data))


class Unpacker:
    """Feed bytes as they come; yields access units."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[AccessUnit]:
        """Raises:
        TapError: a length or a header that no `pack` wrote.
        """
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            if not _HEADER.size <= length <= MAX_UNIT_BYTES + 1024:
                raise TapError(f"A tap frame of {length} bytes is impossible.")
            if len(self._buffer) < _LENGTH.size + length:
                return
            body = bytes(self._buffer[_LENGTH.size : _LENGTH.size + length])
            del self._buffer[: _LENGTH.size + length]
            yield _unit(body)


def _unit(body: bytes) -> AccessUnit:
    track_length, codec, flags, timestamp, arrived_at = _HEADER.unpack_from(body)
    start = _HEADER.size + track_length
    if start > len(body) or codec >= len(CODECS):
        raise TapError("A tap frame's header does not fit its length.")
    track = body[_HEADER.size : start].decode("utf-8", "replace")
    key, gap = bool(flags & _KEY), bool(flags & _GAP)
    return AccessUnit(track, CODECS[codec], key, gap, timestamp, arrived_at, body[start:])
