"""One subscriber's way: what it carries, how its packets are paced, and looking for more room on it.

| Receiver says | Then |
|---|---|
| transport-wide feedback | the estimate of `media.bandwidth` is the budget; probes look for more |
| REMB only | that is the budget for choosing encodings; nothing is held back altogether |
| neither | there is no budget |

Pacing begins when the way was seen to be full, and ends half a minute after; so a wide way costs nothing. Padding is
made of the newest packets of a picture that flows. Where none flows, because none fits, the budget is raised for a
second instead: the picture itself is the probe.
"""

from collections.abc import Sequence

from media.bandwidth import Estimate
from media.forwarder.interface import Forwarder
from media.probing import Prober, lasts_s
from media.transportcc import Statuses

PACE = 1.25
"""Times the estimate: a key frame leaves in some hundred milliseconds and does not wait behind itself."""
PACED_S = 30.0
PACED_BELOW_BPS = 10_000_000.0
TRIAL_S = 1.5
REPAIRS = 0.25
REPAIRS_AHEAD_S = 0.5
"""Of a full way this share may go to repairs: more of them only make more losses."""
PACKET_BITS = 1200 * 8
CHANGE = 0.03
"""A change of the estimate that is worth a new arrangement."""


class Downlink:
    """Of one subscribing peer."""

    def __init__(self, forwarder: Forwarder, peer: int) -> None:
        self._forwarder = forwarder
        self._peer = peer
        self._prober = Prober()
        self._congested_at: float | None = None
        """As it was seen last."""
        self._paced_bps = 0.0
        self._probe: tuple[int, float, float] | None = None
        """Route, bytes a second and the end of padding that is being sent."""
        self._stepped_at = 0.0
        self._owed = 0.0
        self._repairs_at = float("-inf")
        self._repairs_left = 0.0
        self._trial: tuple[float, float] | None = None
        """Bits a second above the estimate, until when."""

    @property
    def bandwidth(self) -> Estimate:
        """What is thought of the way."""
        return self._forwarder.bandwidth(self._peer)

    @property
    def restless(self) -> bool:
        """Whether `look` is to be called as often as can be, and not only now and then."""
        return self._probe is not None or self._trial is not None or self._paced_bps > 0

    @property
    def hurries(self) -> bool:
        """Whether `step` is to be called every few milliseconds."""
        return self._probe is not None or self._paced_bps > 0

    def budget_bps(self, now: float) -> float | None:
        """What may be sent; None = whatever there is."""
        bandwidth = self.bandwidth
        if not bandwidth.known:
            return None
        extra = self._trial[0] if self._trial is not None and now < self._trial[1] else 0.0
        return bandwidth.estimate_bps + extra

    def congested(self, now: float) -> bool:
        """Whether the way was seen to be full lately, so that pictures may have to be paused."""
        bandwidth = self.bandwidth
        at = bandwidth.congested_at
        return bandwidth.numbered and at is not None and now - at < PACED_S

    def expect(self) -> None:
        """The subscriber agreed to number what it gets: it begins with a careful guess."""
        self.bandwidth.known = True

    def forget(self, route: int) -> None:
        """This route is closed."""
        if self._probe is not None and self._probe[0] == route:
            self._probe = None

    def arranged(self) -> None:
        """What is sent was made to fit the estimate."""
        bandwidth = self.bandwidth
        bandwidth.arranged_bps = bandwidth.estimate_bps

    def feedback(self, statuses: Statuses, now: float) -> bool:
        """Gives whether what is sent should be arranged anew."""
        if not self.bandwidth.feedback(statuses, now):
            self._forwarder.counters.dropped_rtcp += 1
            return False
        return self.news(now)

    def news(self, now: float) -> bool:
        """There was feedback. Gives whether what is sent should be arranged anew."""
        congested_at = self.bandwidth.congested_at
        if congested_at != self._congested_at:
            self._congested_at = congested_at
            self._probe = self._trial = None
        self._pace(now)
        return self._changed()

    def repairs(self, wanted: int, now: float) -> int:
        """How many of the packets that the subscriber asks for again it gets."""
        if not self.congested(now):
            return wanted
        rate = max(self.bandwidth.estimate_bps, 100_000.0) * REPAIRS / PACKET_BITS
        elapsed = min(now - self._repairs_at, REPAIRS_AHEAD_S)
        self._repairs_left = min(self._repairs_left + elapsed * rate, REPAIRS_AHEAD_S * rate)
        self._repairs_at = now
        granted = min(wanted, int(self._repairs_left))
        self._repairs_left -= granted
        return granted

    def remb(self, bitrate_bps: int, now: float) -> bool:
        """Gives whether what is sent should be arranged anew."""
        self.bandwidth.remb(bitrate_bps, now)
        return self._changed()

    def _changed(self) -> bool:
        bandwidth = self.bandwidth
        return abs(bandwidth.estimate_bps - bandwidth.arranged_bps) > CHANGE * bandwidth.arranged_bps

    def look(self, routes: Sequence[int], missing_bps: float, now: float) -> bool:
        """Once a second, and ten times while it is `restless` or something is missing; gives whether what is sent
        should be arranged anew."""
        self._pace(now)
        ended = self._trial is not None and now >= self._trial[1]
        if ended:
            self._trial = None
        if self._probe is not None or self._trial is not None:
            return ended
        rate = self._prober.rate(self.bandwidth, missing_bps, now)
        if rate is None:
            return ended
        for route in routes:
            if self._forwarder.pad(route, 1):
                lasts = lasts_s(rate)
                self.bandwidth.begin_probe(now, lasts)
                self._probe, self._stepped_at, self._owed = (route, rate / 8, now + lasts), now, 0.0
                self._pace(now)
                return ended
        self._trial = missing_bps * 1.3, now + TRIAL_S
        self.bandwidth.begin_probe(now, TRIAL_S)
        return True

    def step(self, now: float) -> bool:
        """Send the next part of a probe; gives whether there is more to come."""
        if self._probe is None:
            return False
        route, rate, until = self._probe
        self._owed += rate * (min(now, until) - self._stepped_at)
        self._stepped_at = now
        if self._owed > 0:
            self._owed -= self._forwarder.pad(route, int(self._owed))
        if now >= until:
            self._probe = None
        return self._probe is not None

    def _pace(self, now: float) -> None:
        estimate = self.bandwidth.estimate_bps
        wanted = estimate * PACE if self.congested(now) and estimate < PACED_BELOW_BPS else 0.0
        if wanted and self._probe is not None:
            wanted = max(wanted, self._probe[1] * 8)  # what is to be seen must not be held back
        if wanted != self._paced_bps:
            self._paced_bps = wanted
            self._forwarder.pace(self._peer, wanted)
