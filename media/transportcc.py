"""Which packets of one transport arrived, and when, as a sender's congestion control wants to hear it. Pure.

The sender numbers every packet of the transport by a header extension, whatever its stream; we send back, a few times
a second, which numbers came and how far apart (draft-holmer-rmcat-transport-wide-cc-extensions-01). Where a packet
comes after the report that called it missing, the next report begins with it again: a sender that were left to think
it lost would slow down for packets that only overtook each other.

On the wire a report is a base number, a reference time (multiples of 64 ms), chunks that give each packet a symbol (run
lengths, or vectors of one or two bits) and for each packet that came the time since the one before it, in 250 µs.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from media.errors import RtcpError
from media.rtp import nearest

TICKS_PER_S = 4000
"""250 µs."""
REFERENCE_TICKS = 256
"""64 ms."""
MAX_STATUSES = 8192
"""Of one report, read or written; more at once is an outage."""
MAX_READ = 2000
"""In all reports of one datagram: a run of thousands takes two bytes to claim, and time to look at."""
MAX_ARRIVED = 400
"""Packets with a time in one report, so that it fits one datagram."""
HISTORY_S = 0.5
"""So late a packet is still reported."""

_HEAD = struct.Struct("!HHI")
_CHUNK = struct.Struct("!H")
_LARGE = struct.Struct("!h")
_ABSENT, _SMALL, _BIG = 0, 1, 2
_RUN = 0x1FFF
_ONE_BIT, _TWO_BITS = 14, 7
"""Packets in a status vector."""
_MIN_DELTA, _MAX_DELTA = -0x8000, 0x7FFF


@dataclass(frozen=True, slots=True)
class Statuses:
    """The body of one report."""

    base: int
    """Transport-wide sequence number of the first packet, 16 bits."""
    reference: int
    """Multiples of 64 ms, 24 bits, from a point of the receiver's own."""
    count: int
    """Of this report, 8 bits."""
    deltas: tuple[int | None, ...]
    """For each packet from `base` on: ticks (250 µs, -32768 to 32767) since the one before it that came, for the
    first since the reference time; None = did not come."""

    def pack(self) -> bytes:
        """Without padding."""
        symbols = [_symbol(delta) for delta in self.deltas]
        head = _HEAD.pack(self.base, len(self.deltas), self.reference << 8 | self.count)
        chunks = b"".join(_CHUNK.pack(chunk) for chunk in _chunks(symbols))
        times = (
            bytes((delta,)) if 0 <= delta <= 0xFF else _LARGE.pack(delta) for delta in self.deltas if delta is not None
        )
        return b"".join((head, chunks, *times))


def parse(body: bytes, most: int = MAX_STATUSES) -> Statuses:
    """What `pack` makes, with anything behind it.

    Args:
        most: packets that it may speak of.

    Raises:
        RtcpError: it is cut off, or speaks of more packets than are looked at.
    """
    if len(body) < _HEAD.size:
        raise RtcpError("The transport-wide feedback is cut off.")
    base, total, rest = _HEAD.unpack_from(body)
    if total > most:
        raise RtcpError(f"Transport-wide feedback on {total} packets is refused.")
    symbols: list[int] = []
    offset = _HEAD.size
    while len(symbols) < total:
        if offset + 2 > len(body):
            raise RtcpError("A chunk of the transport-wide feedback is cut off.")
        symbols += _read_chunk(int.from_bytes(body[offset : offset + 2], "big"), total - len(symbols))
        offset += 2
    deltas: list[int | None] = []
    for symbol in symbols[:total]:
        size = symbol if symbol in (_SMALL, _BIG) else 0
        if offset + size > len(body):
            raise RtcpError("An arrival time of the transport-wide feedback is cut off.")
        deltas.append(int.from_bytes(body[offset : offset + size], "big", signed=symbol == _BIG) if size else None)
        offset += size
    return Statuses(base, rest >> 8, rest & 0xFF, tuple(deltas))


def _symbol(delta: int | None) -> int:
    if delta is None:
        return _ABSENT
    return _SMALL if 0 <= delta <= 0xFF else _BIG


def _chunks(symbols: Sequence[int]) -> Iterator[int]:
    """The longest run or vector that fits, one after the other."""
    position, total = 0, len(symbols)
    while position < total:
        first, end = symbols[position], position + 1
        while end < total and end - position < _RUN and symbols[end] == first:
            end += 1
        ahead = symbols[position : position + _ONE_BIT]
        if end - position >= (_TWO_BITS if _BIG in ahead else _ONE_BIT) or end == total:
            yield first << 13 | end - position
            position = end
        elif _BIG not in ahead:
            yield 0x8000 | sum(symbol << 13 - index for index, symbol in enumerate(ahead))
            position += _ONE_BIT
        else:
            yield 0xC000 | sum(symbol << 12 - 2 * index for index, symbol in enumerate(ahead[:_TWO_BITS]))
            position += _TWO_BITS


def _read_chunk(chunk: int, wanted: int) -> list[int]:
    if not chunk & 0x8000:
        return [chunk >> 13 & 3] * min(chunk & _RUN, wanted) or _no_progress()
    if chunk & 0x4000:
        return [chunk >> shift & 3 for shift in range(12, -1, -2)]
    return [chunk >> shift & 1 for shift in range(13, -1, -1)]


def _no_progress() -> list[int]:
    raise RtcpError("A run of no packets in the transport-wide feedback is refused.")


class Arrivals:
    """What came on one transport, and what of it has been told."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}
        """Extended sequence number to arrival, for `HISTORY_S`."""
        self._highest = -1
        self._next = 0
        """Where the next report begins."""
        self._news = False
        self._count = 0

    def arrived(self, packets: Iterable[tuple[int, float]]) -> None:
        """Sequence numbers (16 bits) and monotonic seconds, in the order of arrival. Of a number that comes twice the
        first counts."""
        for sequence, at in packets:
            extended = nearest(sequence, self._highest, 16) if self._highest >= 0 else sequence + 0x10000
            if self._highest < 0 or abs(extended - self._highest) >= MAX_STATUSES:
                # The first, or a sender that began anew, or an outage: nothing between is worth telling.
                self._ticks.clear()
                self._highest = self._next = extended
            if extended in self._ticks:
                continue
            self._ticks[extended] = int(at * TICKS_PER_S)
            self._highest = max(self._highest, extended)
            self._next = min(self._next, extended)
            self._news = True

    def reports(self, now: float) -> list[Statuses]:
        """What is new since the last call, in as many reports as it takes; none where nothing is new."""
        if not self._news:
            return []
        found: list[Statuses] = []
        known = sorted(number for number in self._ticks if number >= self._next)
        while known:
            report, told = self._one(known)
            found.append(report)
            self._next = known[told - 1] + 1
            known = known[told:]
        self._news = False
        oldest = int((now - HISTORY_S) * TICKS_PER_S)
        for number in [number for number, ticks in self._ticks.items() if ticks < oldest]:
            del self._ticks[number]
        return found

    def _one(self, known: Sequence[int]) -> tuple[Statuses, int]:
        """The next report, and how many of these packets it tells of: one at least."""
        base = self._next if known[0] - self._next < MAX_STATUSES else known[0]
        before = self._ticks[known[0]] // REFERENCE_TICKS * REFERENCE_TICKS
        reference = before // REFERENCE_TICKS & 0xFFFFFF
        deltas: list[int | None] = []
        told = 0
        for number in known[:MAX_ARRIVED]:
            delta = self._ticks[number] - before
            if not _MIN_DELTA <= delta <= _MAX_DELTA or number - base >= MAX_STATUSES:
                break
            deltas += [None] * (number - base - len(deltas))
            deltas.append(delta)
            before += delta
            told += 1
        count, self._count = self._count, self._count + 1 & 0xFF
        return Statuses(base & 0xFFFF, reference, count, tuple(deltas)), told
