"""What one subscriber says of its way, on virtual time."""

from typing import cast

from media.bandwidth import REPORTS_AHEAD, Bandwidth
from media.downlink import Downlink
from media.forwarder.interface import Counters, Forwarder
from media.transportcc import Statuses


class Quiet:
    """A forwarder that has sent one packet."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.estimate = Bandwidth()
        self.estimate.sent([(1, 9.9, 1000)])

    def bandwidth(self, peer: int) -> Bandwidth:
        return self.estimate


def test_reports_far_above_any_receivers_pace_are_dropped_and_counted() -> None:
    quiet = Quiet()
    downlink = Downlink(cast(Forwarder, quiet), 1)
    for _ in range(500):
        downlink.feedback(Statuses(0, 0, 0, (4,)), 10.0)
    assert quiet.counters.dropped_rtcp == 500 - REPORTS_AHEAD
    for report in range(40):
        downlink.feedback(Statuses(0, 0, 0, (4,)), 10.05 + report * 0.05)
    assert quiet.counters.dropped_rtcp == 500 - REPORTS_AHEAD
    assert quiet.estimate.numbered
