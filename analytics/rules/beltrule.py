"""Does a belt, a rope, a cage move? Told from bursts of successive pictures, and held against its motor.

A burst (`analytics.vision.flow`) says how far the texture of the zone moved from one picture to the next, how sure that
is, and how far the rest of the picture moved (a camera that shakes). Over a window: *running* when most of the sure
bursts move beyond the shake, the same way; *stopped* when most of them do not; anything else is *unknown*.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analytics.finding import Finding
from analytics.rules.board import Board, over
from analytics.rules.spot import Figure, Moving
from config.settings import RuleSettings, SpotSettings

State = Literal["running", "stopped", "unknown"]
LEAST_BURSTS = 3
SURE_SHARE = 0.5
"""At least this share of the bursts must be sure for anything to be said."""
SAME_WAY = 0.5
"""Cosine of the angle to the mean direction; 0.5 = within 60 degrees."""
FLOW = "flow"


@dataclass(frozen=True, slots=True)
class Burst:
    at: float
    dx: float
    dy: float
    peak: float
    shake: float


class Belt:
    """One belt, or hoist."""

    def __init__(self, settings: SpotSettings, rules: RuleSettings, board: Board) -> None:
        self._settings, self._rules, self._board = settings, rules, board
        self._bursts: deque[Burst] = deque()
        self._motor: bool | None = None
        self.now: State = "unknown"

    def motor(self, running: bool | None) -> None:
        """What its power terminal says; None: nothing is known."""
        self._motor = running

    def look(self, things: Sequence[Moving], at: float) -> list[Finding]:
        for one in things:
            about = one.attributes
            if one.label == FLOW and {"dx", "dy", "peak", "shake"} <= about.keys():
                self._bursts.append(Burst(at, about["dx"], about["dy"], about["peak"], about["shake"]))
        self._forget(at)
        self.now = self._judge()
        return self._compare(at)

    def second(self, at: float) -> list[Finding]:
        return self._compare(at)

    def lost(self, at: float) -> list[Finding]:
        self._bursts.clear()
        self.now = "unknown"
        return self._board.silent("belt_disagrees", self._settings.spot, at)

    def _forget(self, at: float) -> None:
        while self._bursts and self._bursts[0].at < at - self._rules.belt_window_s:
            self._bursts.popleft()

    def _judge(self) -> State:
        sure = [one for one in self._bursts if one.peak >= self._rules.belt_peak]
        if len(sure) < LEAST_BURSTS or len(sure) < SURE_SHARE * len(self._bursts):
            return "unknown"
        moved = [one for one in sure if math.hypot(one.dx, one.dy) - one.shake >= self._rules.belt_px]
        if len(sure) - len(moved) >= self._rules.belt_share * len(sure):
            return "stopped"
        way = math.atan2(sum(one.dy for one in moved), sum(one.dx for one in moved))
        along = [one for one in moved if math.cos(math.atan2(one.dy, one.dx) - way) >= SAME_WAY]
        return "running" if len(along) >= self._rules.belt_share * len(sure) else "unknown"

    def _compare(self, at: float) -> list[Finding]:
        """The picture and the motor disagree: a slipping belt, a wrong camera, a forged reading."""
        subject = self._settings.spot
        if self._settings.kind != "belt" or not self._settings.device:
            return []
        if self._motor is None or self.now == "unknown":
            return self._board.silent("belt_disagrees", subject, at)
        differs = self._motor != (self.now == "running")
        inputs = {"picture": self.now, "motor": self._motor, "device": self._settings.device}
        return self._board.judge("belt_disagrees", subject, [over(differs, float(differs), 1.0)], at, inputs)

    def figures(self) -> list[Figure]:
        if self.now == "unknown":
            return []
        name = "hoist_moving" if self._settings.kind == "hoist" else "belt_running"
        return [Figure(name, float(self.now == "running"))]

    def state(self) -> dict[str, object]:
        sure = [one for one in self._bursts if one.peak >= self._rules.belt_peak]
        speed = sum(math.hypot(one.dx, one.dy) for one in sure) / len(sure) if sure else 0.0
        return {"state": self.now, "px_per_picture": round(speed, 2), "bursts": len(self._bursts), "motor": self._motor}
