"""Whether the queue on the way to a receiver grows, from when packets left and when they arrived. Pure.

Google congestion control as published: draft-ietf-rmcat-gcc-02 (groups of packets, adaptive threshold) with the trend
line of Carlucci, De Cicco, Holmer, Mascolo, "Analysis and Design of the Google Congestion Control for WebRTC" (2016).
Packets sent within 5 ms form a group; between two groups the delay changed by (arrival difference - send difference);
the slope of the smoothed sum of these changes over the last twenty groups says what the queue does.
"""

from collections import deque
from typing import Literal

GROUP_S = 0.005
WINDOW = 20
SMOOTHING = 0.9
GAIN = 4.0
MAX_DELTAS = 60
OVERUSE_MS = 10.0
FIRST_THRESHOLD, LEAST_THRESHOLD, MOST_THRESHOLD = 12.5, 6.0, 600.0
UP, DOWN = 0.0087, 0.039
OUTLIER_MS = 15.0

Usage = Literal["normal", "over", "under"]


class _Group:
    __slots__ = ("arrived", "first_sent", "sent")

    def __init__(self, sent: float, arrived: float) -> None:
        self.first_sent = self.sent = sent
        self.arrived = arrived


class Trendline:
    """Fed with (send time, arrival time) of each packet, in seconds of two clocks that need not agree."""

    def __init__(self) -> None:
        self.usage: Usage = "normal"
        self.threshold = FIRST_THRESHOLD
        self._group: _Group | None = None
        self._before: _Group | None = None
        self._points: deque[tuple[float, float]] = deque(maxlen=WINDOW)
        self._sum_ms = 0.0
        self._smoothed_ms = 0.0
        self._deltas = 0
        self._first_arrival = 0.0
        self._trend = 0.0
        self._over_ms = -1.0
        self._over_count = 0
        self._adapted_at: float | None = None

    def packet(self, sent: float, arrived: float) -> None:
        group = self._group
        if group is None:
            self._group = _Group(sent, arrived)
        elif sent < group.first_sent:
            return  # overtaken on the way: of no use
        elif sent - group.first_sent <= GROUP_S:
            group.sent = max(group.sent, sent)
            group.arrived = max(group.arrived, arrived)
        else:
            if self._before is not None:
                self._delta(self._before, group)
            self._before, self._group = group, _Group(sent, arrived)

    def _delta(self, before: _Group, group: _Group) -> None:
        sent_ms = (group.sent - before.sent) * 1000
        arrived_ms = (group.arrived - before.arrived) * 1000
        if arrived_ms < 0 or arrived_ms > 3000:
            self.forget()  # a clock that jumped, or a long silence
            return
        if not self._deltas:
            self._first_arrival = group.arrived
        self._deltas = min(self._deltas + 1, 1000)
        self._sum_ms += arrived_ms - sent_ms
        self._smoothed_ms = SMOOTHING * self._smoothed_ms + (1 - SMOOTHING) * self._sum_ms
        self._points.append(((group.arrived - self._first_arrival) * 1000, self._smoothed_ms))
        trend = self._slope() if len(self._points) == WINDOW else self._trend
        self._detect(trend, sent_ms, group.arrived)

    def forget(self) -> None:
        """Begin anew, with the threshold as it is."""
        self._points.clear()
        self._sum_ms = self._smoothed_ms = self._trend = 0.0
        self._deltas = 0
        self._over_ms, self._over_count = -1.0, 0
        self._group = self._before = None
        self.usage = "normal"

    def _slope(self) -> float:
        mean_x = mean_y = above = below = 0.0
        for x, y in self._points:
            mean_x += x
            mean_y += y
        mean_x /= WINDOW
        mean_y /= WINDOW
        for x, y in self._points:
            above += (x - mean_x) * (y - mean_y)
            below += (x - mean_x) * (x - mean_x)
        return above / below if below else self._trend

    def _detect(self, trend: float, sent_ms: float, now: float) -> None:
        modified = min(self._deltas, MAX_DELTAS) * trend * GAIN
        if modified > self.threshold:
            self._over_ms = sent_ms / 2 if self._over_ms < 0 else self._over_ms + sent_ms
            self._over_count += 1
            if self._over_ms > OVERUSE_MS and self._over_count > 1 and trend >= self._trend:
                self._over_ms, self._over_count = 0.0, 0
                self.usage = "over"
        else:
            self._over_ms, self._over_count = -1.0, 0
            self.usage = "under" if modified < -self.threshold else "normal"
        self._trend = trend
        self._adapt(modified, now)

    def _adapt(self, modified: float, now: float) -> None:
        elapsed = 0.0 if self._adapted_at is None else min((now - self._adapted_at) * 1000, 100.0)
        self._adapted_at = now
        if abs(modified) > self.threshold + OUTLIER_MS:
            return
        pace = DOWN if abs(modified) < self.threshold else UP
        self.threshold += pace * (abs(modified) - self.threshold) * elapsed
        self.threshold = min(max(self.threshold, LEAST_THRESHOLD), MOST_THRESHOLD)
