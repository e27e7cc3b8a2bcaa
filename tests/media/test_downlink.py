"""What one subscriber says of its way, on virtual time."""

from typing import cast

from media.downlink import REPORTS_AHEAD, Downlink
from media.forwarder.interface import Counters, Forwarder
from media.transportcc import Statuses


class Quiet:
    """A forwarder that has sent nothing."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.asked = 0

    def sent(self, peer: int) -> list[tuple[int, float, int]]:
        self.asked += 1
        return []


def test_reports_far_above_any_receivers_pace_are_dropped_and_counted() -> None:
    quiet = Quiet()
    downlink = Downlink(cast(Forwarder, quiet), 1)
    for _ in range(500):
        downlink.feedback(Statuses(0, 0, 0, (4,)), 10.0)
    assert quiet.asked == REPORTS_AHEAD
    assert quiet.counters.dropped_rtcp == 500 - REPORTS_AHEAD
    for report in range(40):
        downlink.feedback(Statuses(0, 0, 0, (4,)), 10.05 + report * 0.05)
    assert quiet.asked == REPORTS_AHEAD + 40
