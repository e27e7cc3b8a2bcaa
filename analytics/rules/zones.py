"""Who is in a zone of the picture: too many of them, or anybody where nobody may be."""

import math
import statistics
from collections import deque
from collections.abc import Sequence

from analytics.finding import Finding
from analytics.rules.board import Board, over
from analytics.rules.geometry import contains, inside
from analytics.rules.spot import Figure, Moving
from analytics.rules.tracker import Track, Tracker
from config.settings import RuleSettings, SpotSettings

DIRECTION_WITHIN_DEG = 60.0
SLOWEST = 0.02
"""Shares of the picture per second; who is slower has no direction."""


class Headcount:
    """The median count of some seconds; more than the quota for a time is an alert.

    Tracks are counted, not detections: one that is missed in a picture or two is still there, and what was seen once
    only is nobody.
    """

    def __init__(self, settings: SpotSettings, rules: RuleSettings, board: Board) -> None:
        self._settings, self._rules, self._board = settings, rules, board
        self._counts: deque[tuple[float, int]] = deque()
        self._tracker = Tracker()

    def look(self, things: Sequence[Moving], at: float) -> list[Finding]:
        self._tracker.feed(things, at)
        there = sum(one.sure and inside(self._settings.zone, one.box) for one in self._tracker.tracks)
        self._counts.append((at, there))
        while self._counts[0][0] < at - self._rules.video_quota_window_s:
            self._counts.popleft()
        most = self._settings.most
        if not most or self.count is None:
            return []
        inputs = {"people": self.count, "quota": most, "camera": self._settings.camera}
        level = over(self.count > most, float(self.count), float(most))
        return self._board.judge("video_over_quota", self._settings.spot, [level], at, inputs)

    def second(self, at: float) -> list[Finding]:
        return []

    def lost(self, at: float) -> list[Finding]:
        self._counts.clear()
        self._tracker.forget()
        return self._board.silent("video_over_quota", self._settings.spot, at)

    @property
    def count(self) -> int | None:
        """None: not long enough looked at."""
        if not self._counts or self._counts[-1][0] - self._counts[0][0] < self._rules.video_quota_window_s / 2:
            return None
        return round(statistics.median(count for _, count in self._counts))

    def figures(self) -> list[Figure]:
        return [Figure("headcount_video", float(self.count))] if self.count is not None else []

    def state(self) -> dict[str, object]:
        full = self._settings.most and self.count is not None and self.count > self._settings.most
        return {"state": "over_quota" if full else "counting", "people": self.count, "most": self._settings.most}


class Danger:
    """Anybody whose foot is in the zone for some seconds; where a direction is set, only who moves that way."""

    def __init__(self, settings: SpotSettings, rules: RuleSettings, board: Board) -> None:
        self._settings, self._rules, self._board = settings, rules, board
        self._tracker = Tracker()
        self._inside: dict[int, float] = {}
        """Track → seconds in the zone."""

    def look(self, things: Sequence[Moving], at: float) -> list[Finding]:
        seen, _ = self._tracker.feed(things, at)
        for track in seen:
            self._follow(track, at)
        self._inside = {
            track.number: track.last_at - track.memory["since"]
            for track in self._tracker.tracks
            if "since" in track.memory
        }
        return self._judge(at)

    def _follow(self, track: Track, at: float) -> None:
        if not contains(self._settings.zone, track.foot):
            track.memory.pop("since", None)
        elif self._goes_that_way(track):
            track.memory.setdefault("since", at)

    def _goes_that_way(self, track: Track) -> bool:
        wanted = self._settings.direction_deg
        if wanted is None:
            return track.sure
        dx, dy = track.speed
        if not track.sure or math.hypot(dx, dy) < SLOWEST:
            return False
        apart = abs((math.degrees(math.atan2(dy, dx)) - wanted + 180) % 360 - 180)
        return apart <= DIRECTION_WITHIN_DEG

    def _judge(self, at: float) -> list[Finding]:
        long = [seconds for seconds in self._inside.values() if seconds >= self._rules.intrusion_s]
        inputs = {"people": len(long), "camera": self._settings.camera, "direction_deg": self._settings.direction_deg}
        level = over(bool(long), max(self._inside.values(), default=0.0), self._rules.intrusion_s)
        return self._board.judge("video_intrusion", self._settings.spot, [level], at, inputs)

    def second(self, at: float) -> list[Finding]:
        return []

    def lost(self, at: float) -> list[Finding]:
        self._tracker.forget()
        self._inside = {}
        return self._board.silent("video_intrusion", self._settings.spot, at)

    def figures(self) -> list[Figure]:
        return []

    def state(self) -> dict[str, object]:
        entered = any(seconds >= self._rules.intrusion_s for seconds in self._inside.values())
        return {"state": "entered" if entered else "clear", "people": len(self._inside)}
