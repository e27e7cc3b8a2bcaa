"""When to look for more room on the way to a receiver, and at which rate. Pure; `now` in monotonic seconds.

Padding is sent only while the receiver gets less than it could use, and not soon after the way was seen to be full.
What succeeds is repeated at once, what does not waits twice as long as before.
"""

from media.bandwidth import Estimate

SHORTEST_S = 0.03
PACKETS = 7
"""In one probe at least: enough to measure a rate, too few to fill a queue."""
LEAST_BPS = 300_000.0
AGAIN_S = 0.25
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 4.0
AFTER_FULL_S = 2.0
WON = 1.1
MOST = 3.0
"""Times the estimate, at most."""


class Prober:
    """Of one receiver."""

    def __init__(self) -> None:
        self._wait_s = FIRST_WAIT_S
        self._last: tuple[float, float] | None = None
        """When the last probe was, and the estimate then."""

    def rate(self, bandwidth: Estimate, missing_bps: float, now: float) -> float | None:
        """The rate of a probe that is due now, None where none is.

        Args:
            missing_bps: what the receiver could use beyond what it gets; 0 = nothing.
        """
        estimate = bandwidth.estimate_bps
        if self._last is not None:
            at, before = self._last
            if now - at < AGAIN_S:
                return None
            won = estimate > before * WON
            if won:
                self._wait_s = FIRST_WAIT_S
            elif now - at < self._wait_s:
                return None
        if missing_bps <= 0 or not bandwidth.numbered:
            return None
        if bandwidth.congested_at is not None and now - bandwidth.congested_at < AFTER_FULL_S:
            return None
        if self._last is not None and not won:
            self._wait_s = min(self._wait_s * 2, LONGEST_WAIT_S)
        self._last = now, estimate
        return min(max(estimate * 1.2, estimate + missing_bps * 1.3), max(estimate * MOST, LEAST_BPS))


def lasts_s(rate_bps: float) -> float:
    """How long a probe at this rate takes."""
    return max(SHORTEST_S, PACKETS * 1200 * 8 / rate_bps)
