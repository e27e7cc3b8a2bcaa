"""The rectification loop (隐患整改) of one hazard, as a table. No clock, no store: hazard and step in, hazard out.

A hazard is recorded by those above the responsible site, with a deadline. The site replies with words and pictures;
those above close it, or send it back with a reason. Whoever replied does not close.

| state     | reply   | close  | return   | ask, grant, refuse, extend | overdue, risen | withdraw  |
|-----------|---------|--------|----------|----------------------------|----------------|-----------|
| open      | replied | -      | -        | open                       | open           | withdrawn |
| returned  | replied | -      | -        | returned                   | returned       | withdrawn |
| replied   | -       | closed | returned | -                          | -              | withdrawn |
| closed    | -       | -      | -        | -                          | -              | -         |
| withdrawn | -       | -      | -        | -                          | -              | -         |

- **The clock of the site stands still while those above look at its reply**; sent back, the hazard has a deadline that
  lies ahead again.
- **Late** has two stages: `overdue` at the deadline, `risen` when nothing came for `rise_s` more (a major hazard is
  risen at once). Each is an alert; the second one is red and climbs. A reply or a new deadline ends both.
- **More time** is asked for by the site with a reason, and granted or refused; those above may also give it unasked.
  A deadline is only ever moved on.
- **Withdrawn**: recorded by mistake; the reason stays with it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Literal, get_args

from analytics.finding import Severity as AlertSeverity

Grade = Literal["general", "major"]
GRADES: tuple[Grade, ...] = get_args(Grade)
Late = Literal["", "overdue", "risen"]
Origin = Literal["manual", "alert", "session", "check"]
MAX_STEPS = 200
"""Of one hazard; whoever sends so much back and forth has another trouble."""


class State(StrEnum):
    OPEN = "open"
    REPLIED = "replied"
    RETURNED = "returned"
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"


class Input(StrEnum):
    REPLY = "reply"
    CLOSE = "close"
    RETURN = "return"
    ASK = "ask"
    GRANT = "grant"
    REFUSE = "refuse"
    EXTEND = "extend"
    OVERDUE = "overdue"
    RISE = "rise"
    WITHDRAW = "withdraw"


WAITING = (State.OPEN, State.RETURNED)
"""For the site; its deadline counts."""
OVER = (State.CLOSED, State.WITHDRAWN)

_SAME = {
    Input.ASK: "asked", Input.GRANT: "granted", Input.REFUSE: "refused", Input.EXTEND: "extended",
    Input.OVERDUE: "overdue", Input.RISE: "risen",
}  # fmt: skip

TRANSITIONS: Mapping[tuple[State, Input], tuple[State, str]] = {
    **{(state, given): (state, change) for state in WAITING for given, change in _SAME.items()},
    **{(state, Input.REPLY): (State.REPLIED, "replied") for state in WAITING},
    **{(state, Input.WITHDRAW): (State.WITHDRAWN, "withdrawn") for state in (*WAITING, State.REPLIED)},
    (State.REPLIED, Input.CLOSE): (State.CLOSED, "closed"),
    (State.REPLIED, Input.RETURN): (State.RETURNED, "returned"),
}
"""State and input to the state after it and what is told."""


class StepRefused(ValueError):
    """What was asked does not fit the hazard; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One stored picture."""

    picture: str
    sha256: str
    bytes: int
    type: str


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it; the server itself has no user."""

    user: str
    name: str
    site: str


SERVER = Actor("server", "", "")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a hazard's history."""

    change: str
    at: float
    by: Actor
    text: str = ""
    pictures: tuple[Picture, ...] = ()
    deadline: float | None = None
    """The new one, or the one that is asked for."""


@dataclass(frozen=True, slots=True)
class Hazard:
    """One hazard as it is now."""

    hazard: str
    site: str
    """The responsible one."""
    place: str
    text: str
    severity: Grade
    recorded_at: float
    deadline: float
    origin: Origin = "manual"
    origin_id: str = ""
    state: State = State.OPEN
    late: Late = ""
    asked_until: float | None = None
    """More time is asked for, until then."""
    replied_by: str = ""
    """Account of the last reply."""
    steps: tuple[Step, ...] = ()
    closed_at: float | None = None
    simulated: bool = False

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def waits(self) -> bool:
        """For the site."""
        return self.state in WAITING

    def next_at(self, rise_s: float) -> float | None:
        """When time alone changes something; None: never."""
        if not self.waits or self.late == "risen":
            return None
        return self.deadline if self.late == "" else self.deadline + rise_s

    def as_dict(self) -> dict[str, object]:
        """As stored, in the API and in entries."""
        return asdict(self)


def record(
    hazard: str,
    site: str,
    by: Actor,
    at: float,
    *,
    place: str,
    text: str,
    severity: Grade,
    deadline: float,
    origin: Origin = "manual",
    origin_id: str = "",
    simulated: bool = False,
) -> Hazard:
    """A new one; its pictures follow by `with_pictures`.

    Raises:
        StepRefused: the deadline is past.
    """
    _ahead(deadline, at)
    first = Step("recorded", at, by, text, (), deadline)
    return Hazard(
        hazard, site, place, text, severity, at, deadline, origin, origin_id, steps=(first,), simulated=simulated
    )  # fmt: skip


def with_pictures(hazard: Hazard, pictures: tuple[Picture, ...]) -> Hazard:
    """With pictures at its newest step."""
    return replace(hazard, steps=(*hazard.steps[:-1], replace(hazard.steps[-1], pictures=pictures)))


def step(
    hazard: Hazard,
    given: Input,
    by: Actor,
    at: float,
    *,
    text: str = "",
    pictures: tuple[Picture, ...] = (),
    deadline: float | None = None,
) -> Hazard:
    """What somebody does, or time (`OVERDUE`, `RISE`).

    Raises:
        StepRefused: it does not fit; the hazard stays as it is.
    """
    move = TRANSITIONS.get((hazard.state, given))
    if move is None:
        raise StepRefused(f"A hazard that is {hazard.state.value} takes no {given.value}.")
    if len(hazard.steps) >= MAX_STEPS and given not in (Input.CLOSE, Input.WITHDRAW, Input.OVERDUE, Input.RISE):
        raise StepRefused(f"A hazard has at most {MAX_STEPS} steps.")
    state, change = move
    made = Step(change, at, by, text, pictures, deadline)
    moved = replace(hazard, state=state, steps=(*hazard.steps, made))
    return _EFFECTS[given](hazard, moved, made)


def _replied(_: Hazard, moved: Hazard, made: Step) -> Hazard:
    return replace(moved, late="", asked_until=None, replied_by=made.by.user)


def _closed(before: Hazard, moved: Hazard, made: Step) -> Hazard:
    if made.by.user == before.replied_by:
        raise StepRefused("Whoever replied does not close.")
    return replace(moved, closed_at=made.at)


def _returned(before: Hazard, moved: Hazard, made: Step) -> Hazard:
    until = before.deadline if made.deadline is None else made.deadline
    if until < before.deadline:
        raise StepRefused("A deadline is only moved on.")
    return _with_deadline(moved, until, made.at)


def _asked(before: Hazard, moved: Hazard, made: Step) -> Hazard:
    return replace(moved, asked_until=_later(before, made.deadline, made.at))


def _granted(before: Hazard, moved: Hazard, made: Step) -> Hazard:
    until = _asked_of(before) if made.deadline is None else made.deadline
    shown = replace(moved, steps=(*before.steps, replace(made, deadline=until)))
    return _with_deadline(shown, _later(before, until, made.at), made.at)


def _refused(before: Hazard, moved: Hazard, _: Step) -> Hazard:
    _asked_of(before)
    return replace(moved, asked_until=None)


def _extended(before: Hazard, moved: Hazard, made: Step) -> Hazard:
    return _with_deadline(moved, _later(before, made.deadline, made.at), made.at)


_EFFECTS: Mapping[Input, Callable[[Hazard, Hazard, Step], Hazard]] = {
    Input.REPLY: _replied,
    Input.CLOSE: _closed,
    Input.RETURN: _returned,
    Input.ASK: _asked,
    Input.GRANT: _granted,
    Input.REFUSE: _refused,
    Input.EXTEND: _extended,
    Input.OVERDUE: lambda _, moved, made: replace(moved, late="overdue"),
    Input.RISE: lambda _, moved, made: replace(moved, late="risen"),
    Input.WITHDRAW: lambda _, moved, made: replace(moved, late="", asked_until=None, closed_at=made.at),
}
"""What a step does beside the move: from the hazard before, the one that moved, and the step."""


def lapse(hazard: Hazard, at: float, rise_s: float) -> Hazard | None:
    """What time alone has done by now; None: nothing yet."""
    due = hazard.next_at(rise_s)
    if due is None or at < due:
        return None
    grave = hazard.severity == "major" or hazard.late == "overdue"
    return step(hazard, Input.RISE if grave else Input.OVERDUE, SERVER, at)


def alarm(hazard: Hazard) -> AlertSeverity:
    """How grave the alert of a late hazard is."""
    return "alarm" if hazard.late == "risen" else "warning"


def _with_deadline(hazard: Hazard, deadline: float, at: float) -> Hazard:
    _ahead(deadline, at)
    return replace(hazard, deadline=deadline, late="", asked_until=None)


def _asked_of(hazard: Hazard) -> float:
    if hazard.asked_until is None:
        raise StepRefused("Nobody has asked for more time.")
    return hazard.asked_until


def _later(hazard: Hazard, deadline: float | None, at: float) -> float:
    if deadline is None or deadline <= hazard.deadline:
        raise StepRefused("A deadline is only moved on.")
    _ahead(deadline, at)
    return deadline


def _ahead(deadline: float, at: float) -> None:
    if deadline <= at:
        raise StepRefused("The deadline must lie ahead.")


def hazard_of(body: Mapping[str, Any]) -> Hazard:
    """Back from `as_dict`."""
    steps = tuple(
        Step(**{
            **one,
            "by": Actor(**one["by"]),
            "pictures": tuple(Picture(**picture) for picture in one["pictures"]),
        })
        for one in body["steps"]
    )  # fmt: skip
    return Hazard(**{**body, "state": State(body["state"]), "steps": steps})
