"""Who goes in and who goes out: complete passes over two parallel lines, a body apart.

A track has a side from when its foot is half the gap or more away from the line; it is counted when it has changed
sides next to the line's length. One that vanishes between the two lines is *undecided*, and is said so, never guessed.
"""

from collections.abc import Sequence

from analytics.finding import Finding
from analytics.rules.geometry import Point
from analytics.rules.spot import Figure, Moving
from analytics.rules.tracker import Track, Tracker
from config.settings import SpotSettings

BEYOND = 0.1
"""The line counts as longer by this share at both ends."""


class Crossing:
    """Counts that begin at those of before a restart."""

    def __init__(self, settings: SpotSettings, entered: int = 0, left: int = 0) -> None:
        assert settings.line is not None
        self._line, self._gap, self._counts = settings.line, settings.gap, settings.counts
        self._inward = 1.0 if settings.inward == "right" else -1.0
        self._tracker = Tracker()
        self.entered, self.left, self.undecided = entered, left, 0
        self.trucks = 0
        """Out since the last time that was said."""

    def look(self, things: Sequence[Moving], at: float) -> list[Finding]:
        seen, lost = self._tracker.feed(things, at)
        for track in seen:
            self._follow(track)
        self.undecided += sum(self._between(track) for track in lost)
        return []

    def second(self, at: float) -> list[Finding]:
        return []

    def lost(self, at: float) -> list[Finding]:
        self.undecided += sum(self._between(track) for track in self._tracker.forget())
        return []

    def _follow(self, track: Track) -> None:
        across, along = self._place(track.foot)
        if abs(across) < self._gap / 2:
            return
        side, before = (1.0 if across > 0 else -1.0), track.memory.get("side", 0.0)
        if before and side != before and -BEYOND <= along <= 1 + BEYOND:
            if side == self._inward:
                self.entered += 1
            else:
                self.left += 1
                self.trucks += 1
        track.memory["side"] = side

    def _between(self, track: Track) -> bool:
        """It came from one side and was last seen between the lines."""
        across, along = self._place(track.foot)
        return bool(track.memory.get("side")) and abs(across) < self._gap / 2 and 0 <= along <= 1

    def _place(self, foot: Point) -> tuple[float, float]:
        """Distance from the line, to its right above zero (seen from its first point), and the share along it."""
        (ax, ay), (bx, by) = self._line
        dx, dy = bx - ax, by - ay
        length = (dx * dx + dy * dy) ** 0.5
        px, py = foot[0] - ax, foot[1] - ay
        return (dx * py - dy * px) / length, (dx * px + dy * py) / (length * length)

    def figures(self) -> list[Figure]:
        if self._counts == "trucks":
            trucks, self.trucks = self.trucks, 0
            return [Figure("trucks_out", float(trucks), once=True)] if trucks else []
        return [Figure("people_in", float(self.entered)), Figure("people_out", float(self.left))]

    def state(self) -> dict[str, object]:
        return {"state": "counting", "in": self.entered, "out": self.left, "undecided": self.undecided}
