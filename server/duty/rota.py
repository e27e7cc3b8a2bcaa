"""Who is on duty at a site, by plans that go round and by overrides. No clock, no store.

A *plan* is a round of turns of equal length from an anchor: three shifts of eight hours, four teams in twelve turns, or
one deputy for ever (one turn). An *override* replaces everybody of its role for a time; the one made last wins. A site
may have several plans for one role: then all of them are on duty.
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

Who = Literal["on_duty", "deputy", "leader"]
TestResult = Literal["", "answered", "no_answer", "busy", "unreachable", "refused", "wrong_number"]
DEAD_TESTS: tuple[TestResult, ...] = ("unreachable", "refused", "wrong_number")
"""Results after which a number is dead at once; `no_answer` and `busy` need two in a row."""
MAX_SPANS = 500
DRILL_HOURS = 8
"""Numbers are tested from the hour of the settings for this long a day, until all are."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody on the call list of a site."""

    person: str
    site: str
    name: str
    phone: str = ""
    user: str = ""
    """His account, if he has one: then the alert rings on his pages only, as long as one is open."""
    active: bool = True
    added_at: float = 0.0
    tested_at: float | None = None
    test: TestResult = ""
    missed: int = 0
    """Tests in a row that were not answered."""

    @property
    def dead(self) -> bool:
        """Calling this number reaches nobody, as far as the last test knows."""
        return bool(self.phone) and (self.test in DEAD_TESTS or self.missed >= 2)

    @property
    def known_since(self) -> float:
        """When the number was last found good or bad, or else written down."""
        return self.tested_at if self.tested_at is not None else self.added_at

    def tested(self, result: TestResult, at: float) -> "Person":
        missed = 0 if result == "answered" else self.missed + 1
        return replace(self, tested_at=at, test=result, missed=missed)


@dataclass(frozen=True, slots=True)
class Plan:
    """Turns that go round."""

    plan: str
    site: str
    who: Who
    name: str
    starts_at: float
    """UTC; the first turn begins here, and nobody is on duty by this plan before it."""
    turn_s: float
    turns: tuple[tuple[str, ...], ...]
    """Persons of each turn, the one to be called first first."""
    made_at: float = 0.0

    def turn(self, at: float) -> "Span | None":
        """The turn that holds a moment."""
        if at < self.starts_at or not self.turns:
            return None
        number = math.floor((at - self.starts_at) / self.turn_s)
        start = self.starts_at + number * self.turn_s
        return Span(start, start + self.turn_s, self.turns[number % len(self.turns)], self.name)


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody else for a time."""

    override: str
    site: str
    who: Who
    start: float
    end: float
    people: tuple[str, ...]
    reason: str = ""
    by: str = ""
    made_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Span:
    """A time with the same people."""

    start: float
    end: float
    people: tuple[str, ...]
    name: str = ""
    override: str = ""


@dataclass(slots=True)
class Rota:
    """All people, plans and overrides."""

    people: dict[str, Person] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    overrides: dict[str, Override] = field(default_factory=dict)

    def on(self, site: str, who: str, at: float) -> tuple[Person, ...]:
        """Who it is at a moment, first the one to be called first; empty when nobody is named."""
        override = self._override(site, who, at)
        if override is not None:
            named: Iterable[str] = override.people
        else:
            turns = (one.turn(at) for one in self._plans(site, who))
            named = [person for turn in turns if turn is not None for person in turn.people]
        found = (self.people.get(person) for person in dict.fromkeys(named))
        return tuple(one for one in found if one is not None and one.active)

    def listed(self, site: str) -> bool:
        """Whether the site has anybody on its list."""
        return any(one.site == site and one.active for one in self.people.values())

    def shift(self, site: str, at: float) -> Span | None:
        """The turn of the first plan of those on duty; handovers are at its ends."""
        for plan in self._plans(site, "on_duty"):
            if (turn := plan.turn(at)) is not None:
                return turn
        return None

    def spans(self, site: str, who: str, start: float, end: float) -> list[Span]:
        """Who it is from `start` to `end`, oldest first, at most `MAX_SPANS`."""
        edges = {start, end}
        for plan in self._plans(site, who):
            first = max(start, plan.starts_at)
            number = math.ceil((first - plan.starts_at) / plan.turn_s)
            while (edge := plan.starts_at + number * plan.turn_s) < end and len(edges) < MAX_SPANS:
                edges.add(max(edge, start))
                number += 1
        for one in self.overrides.values():
            if (one.site, one.who) == (site, who):
                edges |= {edge for edge in (one.start, one.end) if start < edge < end}
        ordered = sorted(edges)[: MAX_SPANS + 1]
        found: list[Span] = []
        for first, last in itertools.pairwise(ordered):
            override = self._override(site, who, first)
            turns = [turn for plan in self._plans(site, who) if (turn := plan.turn(first)) is not None]
            people = tuple(one.person for one in self.on(site, who, first))
            name = " ".join(turn.name for turn in turns if turn.name)
            found.append(Span(first, last, people, name, override.override if override else ""))
        return found

    def _plans(self, site: str, who: str) -> list[Plan]:
        return [one for _, one in sorted(self.plans.items()) if (one.site, one.who) == (site, who)]

    def _override(self, site: str, who: str, at: float) -> Override | None:
        fitting = [
            one for one in self.overrides.values() if (one.site, one.who) == (site, who) and one.start <= at < one.end
        ]
        return max(fitting, key=lambda one: (one.made_at, one.override), default=None)


def person_of(body: Mapping[str, Any]) -> Person:
    return Person(**body)


def plan_of(body: Mapping[str, Any]) -> Plan:
    return Plan(**{**body, "turns": tuple(tuple(turn) for turn in body["turns"])})


def override_of(body: Mapping[str, Any]) -> Override:
    return Override(**{**body, "people": tuple(body["people"])})


def as_body(one: Person | Plan | Override) -> dict[str, object]:
    return asdict(one)


def drill_moment(at: float, offset_h: float, day: int, hour: int) -> float | None:
    """When this month's test of numbers began or begins, seen from a moment within its hours; None outside of them."""
    local = at + offset_h * 3600
    days, second = divmod(local, 86400.0)
    day_of_month = _day_of_month(int(days))
    if day_of_month < day or not hour * 3600 <= second < (hour + DRILL_HOURS) * 3600:
        return None
    return (days - (day_of_month - day)) * 86400.0 + hour * 3600 - offset_h * 3600


def _day_of_month(days: int) -> int:
    """Day of the month of a day since the Unix epoch (civil calendar, counted from a leap day on)."""
    shifted = days + 719_468
    of_era = shifted % 146_097
    of_era_year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * of_era_year + of_era_year // 4 - of_era_year // 100)
    month = (5 * of_year + 2) // 153
    return of_year - (153 * month + 2) // 5 + 1


def masked(phone: str) -> str:
    """Enough to tell two numbers apart."""
    return phone if len(phone) < 7 else f"{phone[:3]}{'*' * (len(phone) - 7)}{phone[-4:]}"
