"""All rules on the positions of one mine, and on what goes with them. Equal samples in equal order, equal findings.

Samples come as they arrived. What only time can tell is looked at on whole seconds of the server's clock, and a second
is looked at before any sample that arrived after it: so a replay of the stored samples finds what was found live.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from pydantic import ValidationError

from analytics.fences import FenceIndex
from analytics.finding import Finding, Severity
from analytics.mine import MineFacts
from analytics.plugin import Position, Reading
from analytics.rules import counting, people, vehicles
from analytics.rules.board import Board, Spec, over
from analytics.rules.counting import CountRules
from analytics.rules.people import PeopleRules
from analytics.rules.tracks import Tracks
from analytics.rules.vehicles import VehicleRules
from config.settings import RuleSettings

LINK: Mapping[str, Spec] = {"mine_offline": Spec((("alarm", 0.0),), 0.0, ("link_s",))}
SPECS: Mapping[str, Spec] = {**people.SPECS, **vehicles.SPECS, **counting.SPECS, **LINK}
_arrival = attrgetter("received_at", "source_at", "seq")
STAY_BREAK_S = 1800.0
"""After so long without a fix a stay underground begins anew."""
LINK_MOMENTS, LINK_GAPS, LONGEST_GAP_S = 3, 2.5, 600.0
"""After so many arrivals a mine is away when nothing came for so many times its usual gap, which is at most this."""
COARSE_AFTER_S, COARSE_S = 300, 30
"""Over a longer time without samples every so many seconds are looked at, not each."""


def settings_of(facts: MineFacts, rules: RuleSettings) -> RuleSettings:
    """The figures of a mine: its own over the general ones. Names that no rule has, and values that are none for
    theirs, are passed over: a slip in the facts of one mine stops no rule."""
    own = {name: value for name, value in facts.mine.parameters.items() if name in RuleSettings.model_fields}
    try:
        return RuleSettings.model_validate({**rules.model_dump(), **own})
    except ValidationError as error:
        wrong = {one["loc"][0] for one in error.errors()}
        return RuleSettings.model_validate(
            {**rules.model_dump(), **{name: value for name, value in own.items() if name not in wrong}}
        )


class MineRules:
    """Of one mine.

    Args:
        now: server's time, UTC seconds; nothing before it is looked at.
        rated_a: rated current by device, where the facts do not have it.
    """

    def __init__(
        self,
        facts: MineFacts,
        rules: RuleSettings,
        *,
        now: float,
        rated_a: Mapping[str, float] | None = None,
        simulated: bool = False,
    ) -> None:
        self.facts = facts
        self.settings = one = settings_of(facts, rules)
        index = FenceIndex.of(facts)
        self.board = Board(
            facts.site, SPECS, one, facts_version=facts.version, simulated=simulated, name_of=self._name_of
        )
        period = facts.mine.expected_period_s
        watermark = one.tag_watermark_s if facts.mine.positions == "precise" else max(one.tag_watermark_s, period)
        self.tracks = Tracks(watermark, STAY_BREAK_S)
        self.people = PeopleRules(facts, index, self.board, self.tracks, one)
        self.vehicles = VehicleRules(facts, index, self.board, self.tracks, one)
        self.counts = CountRules(self.board, one, facts.mine.positions == "precise")
        for device, current in (rated_a or {}).items():
            self.vehicles.rated(device, current)
        self._watermark_s = max(one.watermark_s, period)
        self._second = int(now)
        self._moments = 0
        self._usual_gap_s = 0.0
        """Longest time between two arrivals of late; a mine that sends files is not away between two of them."""
        self.last_at: float | None = None
        """Arrival of the newest sample of any kind."""

    def adopt(self, before: "MineRules") -> None:
        """The tags as another set of rules on the same mine knew them."""
        self.tracks.all.update(before.tracks.all)
        self.tracks.newest, self.last_at, self._second = before.tracks.newest, before.last_at, before._second
        for track in self.tracks.all.values():
            track.memory.clear()
        self.people.adopt(before.people)
        self.counts.video, self.counts.filed, self.counts.gates = (
            before.counts.video, before.counts.filed, before.counts.gates,
        )  # fmt: skip

    def take_up(self, rule: str, subject: str, severity: Severity, opened_at: float) -> None:
        """Go on with an alert of before a restart; those of other rules are passed over."""
        self.board.take_up(rule, subject, severity, opened_at)

    def feed(self, readings: Sequence[Reading], positions: Sequence[Position]) -> list[Finding]:
        """Samples of this mine, as they arrived."""
        found: list[Finding] = []
        samples: list[Reading | Position] = [*readings, *positions]
        samples.sort(key=_arrival)
        for one in samples:
            at = one.received_at
            if self._second + 1 <= at:
                found += self.tick(at)
            if one.simulated:
                self.board.simulated = True
            if at != self.last_at:
                self._arrived(at)
            found += self._position(one) if isinstance(one, Position) else self._reading(one)
        return found

    def _arrived(self, at: float) -> None:
        if self.last_at is not None and at > self.last_at:
            self._moments += 1
            self._usual_gap_s = max(at - self.last_at, 0.99 * self._usual_gap_s)
        self.last_at = at

    def _position(self, fix: Position) -> list[Finding]:
        taken = self.tracks.feed(fix)
        if taken is None or not taken[1]:
            return []
        track = taken[0]
        if not track.person:
            return self.vehicles.fix(track)
        return self.people.fix(track) + self.vehicles.person(track)

    def _reading(self, one: Reading) -> list[Finding]:
        if one.quality == "bad" or abs(one.received_at - one.source_at) > self._watermark_s:
            return []
        self.vehicles.reading(one)
        self.counts.reading(one)
        return self.people.reading(one)

    def tick(self, now: float) -> list[Finding]:
        """Look at every whole second up to `now`."""
        found: list[Finding] = []
        while self._second + 1 <= now:
            left = now - self._second
            self._second += COARSE_S if left > COARSE_AFTER_S + COARSE_S else 1
            second = float(self._second)
            found += self._link(second)
            found += self.people.second(second) + self.vehicles.second(second)
            found += self.counts.second(self.people.headcount(second), second)
        return found

    def _link(self, now: float) -> list[Finding]:
        if self.last_at is None or self._moments < LINK_MOMENTS:
            return []
        silent_s = now - self.last_at
        limit = max(self.settings.link_s, LINK_GAPS * min(self._usual_gap_s, LONGEST_GAP_S))
        at = self.last_at + limit if silent_s > limit else now
        return self.board.judge("mine_offline", "mine", [over(silent_s > limit, silent_s, limit)], at)

    def _name_of(self, rule: str, subject: str) -> tuple[str, str]:
        """A zone by its name, a tag by its number; of a person nothing more."""
        parts_zh, parts_en = [], []
        for part in subject.replace("+", ":").split(":"):
            zone, machine = self.facts.zones.get(part), self.facts.machine_of(part) if part else None
            known = zone or machine
            parts_zh.append((known.name_zh if known else "") or ("全矿" if part == "mine" else part))
            parts_en.append((known.name_en if known else "") or ("The mine" if part == "mine" else part))
        return " · ".join(parts_zh), " · ".join(parts_en)
