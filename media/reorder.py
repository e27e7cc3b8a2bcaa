"""RTP packets of one stream back into the order in which they were sent.

Nothing is held while nothing is missing. Behind a hole packets wait until it is filled (by a resend), or until
`MAX_WAITING` packets or `MAX_WAIT_S` have passed; then the hole is given up and the next packet says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_WAITING = 128
"""Packets held behind a hole: 192 KiB at most."""
MAX_WAIT_S = 0.5
MAX_JUMP = 3000
"""A sequence number further away than this is a new beginning."""


@dataclass(frozen=True, slots=True)
class Packet:
    payload: bytes
    marker: bool
    timestamp: int
    arrived_at: float


class Reorder:
    """Sequence numbers in, packets in order out."""

    def __init__(self) -> None:
        self._next: int | None = None
        """Unwrapped number of the packet that is due."""
        self._waiting: dict[int, Packet] = {}
        self.late = 0
        """Packets that came twice, or after their hole had been given up."""
        self.lost = 0
        """Sequence numbers given up."""

    def push(self, seq: int, packet: Packet) -> Iterator[tuple[Packet, bool]]:
        """Packets that are now in order, each with whether something before it is missing for good."""
        if self._next is None:
            self._next = seq
        distance = ((seq - self._next + 0x8000) & 0xFFFF) - 0x8000
        gap = abs(distance) > MAX_JUMP
        if gap:
            self._waiting.clear()
            self._next += distance
            distance = 0
        number = self._next + distance
        if distance < 0 or number in self._waiting:
            self.late += 1
            return
        self._waiting[number] = packet
        yield from self._due(gap)
        while self._waiting and self._given_up(first := min(self._waiting), packet.arrived_at):
            self.lost += first - self._next
            self._next = first
            yield from self._due(gap=True)

    def _given_up(self, first: int, now: float) -> bool:
        return len(self._waiting) > MAX_WAITING or now - self._waiting[first].arrived_at > MAX_WAIT_S

    def _due(self, gap: bool) -> Iterator[tuple[Packet, bool]]:
        while self._next is not None and (packet := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield packet, gap
            gap = False
