"""What is said to the receiver of a route about its stream, and what it says of it (RFC 3550 6.4). Pure.

A sender report carries the source's own clock in the route's time. Its echo in a receiver report gives the time of a
round trip.
"""

from collections import OrderedDict

from media.forwarder.interface import Told
from media.rtcp import ReportBlock, SenderReport, SourceDescription, compound
from media.sourcetime import middle

REMEMBERED = 8
"""Sender reports whose echo still gives a round-trip time."""
MAX_LOSSES = 16
"""Reports between two questions that are counted."""


class RouteReports:
    """Of one route."""

    __slots__ = ("_count", "_echoes", "_jitter", "_losses", "_rtt_s")

    def __init__(self) -> None:
        self._echoes: OrderedDict[int, float] = OrderedDict()
        """Middle bits of NTP times that we sent, and when."""
        self._losses = self._count = self._jitter = 0
        self._rtt_s: float | None = None

    def heard(self, block: ReportBlock, now: float) -> None:
        """A receiver report of this stream."""
        if self._count < MAX_LOSSES:
            self._count += 1
            self._losses += block.fraction_lost
        self._jitter = block.jitter
        sent = self._echoes.get(block.last_report)
        if sent is not None:
            self._rtt_s = max(0.0, now - sent - block.delay / 65536)

    def take(self, clock_rate: int) -> Told:
        """What was said since the last call, jitter and round trip as they were said last."""
        loss = self._losses / 256 / self._count if self._count else 0.0
        self._losses = self._count = 0
        return Told(loss, self._jitter / clock_rate, self._rtt_s)

    def write(self, ssrc: int, cname: str, ntp: int, timestamp: int, sent: tuple[int, int], now: float) -> bytes:
        """A sender report that leaves now. `sent`: packets and octets."""
        self._echoes[middle(ntp)] = now
        if len(self._echoes) > REMEMBERED:
            self._echoes.popitem(last=False)
        report = SenderReport(ssrc, ntp, timestamp & 0xFFFFFFFF, *sent)
        return compound([report, SourceDescription(((ssrc, cname),))])
