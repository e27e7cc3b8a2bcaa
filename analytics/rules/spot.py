"""A key spot: what a camera at a shaft mouth, a belt or a danger zone is watched for. Pure; times are the pictures'.

| kind       | rule                                              | says                                      |
|------------|---------------------------------------------------|-------------------------------------------|
| crossing   | complete passes over two lines a body apart       | `people_in`, `people_out`; `trucks_out`   |
| headcount  | median count of the zone                          | `headcount_video`; `video_over_quota`     |
| danger     | a foot in the zone for some seconds               | `video_intrusion`                         |
| belt       | the texture moves through the zone                | `belt_running`; `belt_disagrees`          |
| hoist      | the same of a rope, a cage, a wheel               | `hoist_moving`                            |

A spot that cannot see says nothing: no picture that can be used for `LOST_AFTER_S` and its state is `unknown`, what was
pending is forgotten, and an alert that stands is told to be without data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from analytics.finding import Finding, Severity
from analytics.messages import PictureState
from analytics.plugin import Reading
from analytics.rules.board import Board, Spec
from analytics.rules.tracker import Thing
from config.settings import RuleSettings, SpotSettings

SPECS: Mapping[str, Spec] = {
    "video_over_quota": Spec((("alarm", "video_quota_s"),), "video_quota_s", ("video_quota_window_s",)),
    "video_intrusion": Spec((("alarm", 0.0),), "intrusion_clear_s", ("intrusion_s",)),
    "belt_disagrees": Spec((("warning", "belt_disagree_s"),), 10.0, ("belt_window_s", "belt_share", "belt_peak")),
}
LOST_AFTER_S = 10.0
CLOCK_STEP_S = 5.0
"""A picture that is older by more than this is not late: the clock was set."""
SAY_EVERY_S = 60.0
"""Figures that do not change are said again this often."""


class Moving(Thing, Protocol):
    @property
    def attributes(self) -> dict[str, float]: ...


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a spot, to become a reading."""

    quantity: str
    value: float
    once: bool = False
    """So much since it was last said; others are said when they change, and now and then."""


class Watching(Protocol):
    """What one kind of spot does."""

    def look(self, things: Sequence[Moving], at: float) -> list[Finding]:
        """A usable picture."""

    def second(self, at: float) -> list[Finding]:
        """Time goes on; called with and without pictures."""

    def lost(self, at: float) -> list[Finding]:
        """Nothing can be seen from here on."""

    def figures(self) -> list[Figure]:
        """What there is to say now; what is said once is taken away by that."""

    def state(self) -> dict[str, object]:
        """For the screens; `state` is a word."""


@dataclass(slots=True)
class Said:
    """What came of a picture or of a second."""

    findings: list[Finding] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)


class Spot:
    """One spot.

    Args:
        watching: made for the same settings and board.
        at: UTC seconds of the start.
    """

    def __init__(self, settings: SpotSettings, board: Board, watching: Watching, *, at: float) -> None:
        self.settings, self.watching = settings, watching
        self._board = board
        self.picture: PictureState = "none"
        self.seen_at = at
        self.lost = True
        self.judged = True
        """False: outside the shifts in which it is watched."""
        self._said: dict[str, tuple[float, float]] = {}

    @property
    def simulated(self) -> bool:
        return self._board.simulated

    @simulated.setter
    def simulated(self, value: bool) -> None:
        self._board.simulated = value

    def take_up(self, rule: str, severity: Severity, opened_at: float) -> None:
        """Go on with an alert of before a restart."""
        self._board.take_up(rule, self.settings.spot, severity, opened_at)

    def observe(self, at: float, picture: PictureState, things: Sequence[Moving]) -> Said:
        """A report of the vision worker."""
        self.picture = picture
        if picture != "ok" or self.seen_at - CLOCK_STEP_S <= at < self.seen_at:
            return Said()
        if at < self.seen_at:  # the wall clock was set back: what was before belongs to another time
            before = self.watching.lost(at)
            self.seen_at = at
            return Said(before)
        self.seen_at, self.lost = at, False
        wanted = [one for one in things if one.label in self.settings.looks_for] if self.judged else []
        return Said(self.watching.look(wanted, at), self._figures(at))

    def tick(self, at: float) -> Said:
        """Every second or so."""
        if not self.lost and at - self.seen_at > LOST_AFTER_S:
            self.lost = True
            return Said(self.watching.lost(at))
        return Said() if self.lost else Said(self.watching.second(at), self._figures(at))

    def _figures(self, at: float) -> list[Reading]:
        found = []
        for one in self.watching.figures():
            value, said_at = self._said.get(one.quantity, (None, float("-inf")))
            if one.once or value != one.value or at - said_at >= SAY_EVERY_S:
                self._said[one.quantity] = (one.value, at)
                found.append(
                    Reading(
                        self.settings.site, self.settings.spot, one.quantity, one.value, "1", at, at,
                        simulated=self.simulated,
                    )
                )  # fmt: skip
        return found

    def state(self) -> dict[str, object]:
        """For the screens."""
        said = {"state": "unknown"} if self.lost else self.watching.state()
        return {**said, "picture": self.picture, "seen_at": self.seen_at, "judged": self.judged}


def board_of(settings: SpotSettings, rules: RuleSettings, *, simulated: bool = False) -> Board:
    """Its conditions, with the figures valid for it."""
    name = (settings.name_zh, settings.name_en)
    return Board(settings.site, SPECS, rules, simulated=simulated, name_of=lambda rule, subject: name)
