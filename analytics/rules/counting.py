"""L2: cameras and tags must count about the same number of people underground.

Allowed is the larger of ten people and a tenth of the larger count, as the supervision platforms allow (their alarm
type 12). The video side is the total of the gate cameras, never a sum over cameras; two gates that count people in and
out give the balance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from analytics.finding import Finding
from analytics.plugin import Reading
from analytics.rules.board import Board, Spec, over
from config.settings import RuleSettings

SPECS: Mapping[str, Spec] = {
    "count_mismatch": Spec((("alarm", "mismatch_s"),), 30.0, ("mismatch_people", "mismatch_share"))
}
VIDEO, TAGS, INTO, OUT = "headcount_video", "headcount_underground", "people_in", "people_out"
FRESH_S = 600.0
"""An older count of cameras says nothing."""


@dataclass(slots=True)
class Gate:
    """A camera that counts people in and out since it began."""

    into: float = 0.0
    out: float = 0.0


@dataclass
class CountRules:
    """Of one mine."""

    board: Board
    settings: RuleSettings
    precise: bool = True
    video: tuple[float, float] | None = None
    """Count, source time."""
    filed: tuple[float, float] | None = None
    gates: dict[str, Gate] = field(default_factory=dict)

    def reading(self, one: Reading) -> None:
        """A count; other quantities say nothing here."""
        if one.quantity == VIDEO and (self.video is None or one.source_at > self.video[1]):
            self.video = (one.value, one.source_at)
        elif one.quantity == TAGS and (self.filed is None or one.source_at > self.filed[1]):
            self.filed = (one.value, one.source_at)
        elif one.quantity in (INTO, OUT):
            gate = self.gates.setdefault(one.device, Gate())
            if one.quantity == INTO:
                gate.into = one.value
            else:
                gate.out = one.value
            balance = sum(gate.into - gate.out for gate in self.gates.values())
            self.video = (max(0.0, balance), one.source_at)

    def allowed(self, video: float, tags: float) -> float:
        """By how much they may differ."""
        return max(self.settings.mismatch_people, math.ceil(self.settings.mismatch_share * max(video, tags)))

    def second(self, tags: int, now: float) -> list[Finding]:
        """`tags`: distinct persons with a fresh fix; for mines that send files their last count is taken."""
        if self.video is None or now - self.video[1] > FRESH_S:
            return self.board.silent("count_mismatch", "mine", now)
        count = float(tags)
        if not self.precise:
            if self.filed is None or now - self.filed[1] > FRESH_S:
                return self.board.silent("count_mismatch", "mine", now)
            count = self.filed[0]
        video, allowed = self.video[0], self.allowed(self.video[0], count)
        level = over(abs(video - count) > allowed, abs(video - count), allowed)
        inputs = {"video": video, "tags": count, "video_at": self.video[1]}
        return self.board.judge("count_mismatch", "mine", [level], now, inputs)
