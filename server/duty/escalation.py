"""How one alert finds a person: `handle(event, now, at, able) -> [action, ...]`. No clock, no store, no wire.

The alert goes from station to station of its way (`chains`): at each, everybody the step names is rung by everything it
names, all at once; when nobody has taken it in the step's time, the next station is rung. After the last one a new
round begins. A person stops it: by taking the alert, or by doing something about it (a consultation). A voice mail or
a page that is merely open does not.

| status    | due               | answered | acted   | risen   | stopped | failed, declined |
|-----------|-------------------|----------|---------|---------|---------|------------------|
| held      | ringing           | answered | settled | ringing | stopped | -                |
| ringing   | ringing/exhausted | answered | settled | ringing | stopped | ringing          |
| answered  | ringing (revert)  | -        | settled | ringing | stopped | -                |
| settled   | -                 | -        | -       | ringing | stopped | -                |
| exhausted | -                 | answered | settled | ringing | stopped | -                |

- **Red is never given up.** `exhausted` is for other alerts, after `repeat` rounds; a red one then pauses between
  rounds and stays `ringing`. Quiet hours hold (`held`) other alerts back until they end, and red ones never.
- **What cannot be done is said and passed over at once**: `able(site, who, channel)` names the reason. A round in which
  nobody at all could be rung waits a little before the next, so that nothing spins.
- **Taken is not done.** After `revert_after_s` without a deed the alert is open again, and rings from the beginning.
- **Risen** (a warning became an alarm) begins the new class's chain, and takes back an answer to the lesser alert.

Whatever is done with it, the state is plain data: `take_up` goes on with it after a restart where it stood. `now` is
monotonic seconds and decides; `at` is UTC, for people and for restarts.

**Calling contract**: after each `handle`, write `state`, carry out the actions, and give `Due` at `due`.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from analytics.finding import Severity
from server.alerts.machine import DRILL
from server.duty.chains import RED, Station, Way, until_end, within

NOBODY_WAIT_S = 10.0
"""Before the next round, when nobody could be rung in this one."""
LONG_PAUSE_S = 300.0
"""Between the rounds of a red alert after `repeat` of them."""
TELL_NOBODY_S = 600.0
"""That nobody can be rung is told again after this."""

Able = Callable[[str, str, str], str]
"""Why somebody cannot be rung: (site, who, channel) to a stable id, empty when he can."""


class Status(StrEnum):
    HELD = "held"
    RINGING = "ringing"
    ANSWERED = "answered"
    SETTLED = "settled"
    STOPPED = "stopped"
    EXHAUSTED = "exhausted"


class Input(StrEnum):
    DUE = "due"
    ANSWERED = "answered"
    ACTED = "acted"
    RISEN = "risen"
    STOPPED = "stopped"
    FAILED = "failed"
    DECLINED = "declined"


TRANSITIONS: Mapping[tuple[Status, Input], Status] = {
    (Status.HELD, Input.DUE): Status.RINGING,
    (Status.HELD, Input.ANSWERED): Status.ANSWERED,
    (Status.HELD, Input.ACTED): Status.SETTLED,
    (Status.HELD, Input.RISEN): Status.RINGING,
    (Status.HELD, Input.STOPPED): Status.STOPPED,
    (Status.RINGING, Input.DUE): Status.RINGING,
    (Status.RINGING, Input.FAILED): Status.RINGING,
    (Status.RINGING, Input.DECLINED): Status.RINGING,
    (Status.RINGING, Input.ANSWERED): Status.ANSWERED,
    (Status.RINGING, Input.ACTED): Status.SETTLED,
    (Status.RINGING, Input.RISEN): Status.RINGING,
    (Status.RINGING, Input.STOPPED): Status.STOPPED,
    (Status.ANSWERED, Input.DUE): Status.RINGING,
    (Status.ANSWERED, Input.ACTED): Status.SETTLED,
    (Status.ANSWERED, Input.RISEN): Status.RINGING,
    (Status.ANSWERED, Input.STOPPED): Status.STOPPED,
    (Status.SETTLED, Input.RISEN): Status.RINGING,
    (Status.SETTLED, Input.STOPPED): Status.STOPPED,
    (Status.EXHAUSTED, Input.ANSWERED): Status.ANSWERED,
    (Status.EXHAUSTED, Input.ACTED): Status.SETTLED,
    (Status.EXHAUSTED, Input.RISEN): Status.RINGING,
    (Status.EXHAUSTED, Input.STOPPED): Status.STOPPED,
}


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Due:
    """The moment of `due` has come."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A person has taken the alert."""

    by: str
    site: str


@dataclass(frozen=True, slots=True)
class Acted:
    """Something is being done about it: a consultation."""

    by: str
    site: str


@dataclass(frozen=True, slots=True)
class Risen:
    """Its severity has risen; `way` is that of the new class."""

    severity: Severity
    way: Way


@dataclass(frozen=True, slots=True)
class Stopped:
    """It is over: `cleared` by itself, or `closed` by a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A call of this ring did not come about."""

    ring: str
    who: str
    channel: str
    reason: str


@dataclass(frozen=True, slots=True)
class Declined:
    """Somebody who was rung said: call the next."""

    ring: str
    by: str


Event = Due | Answered | Acted | Risen | Stopped | Failed | Declined

_INPUTS: Mapping[type, Input] = {
    Due: Input.DUE,
    Answered: Input.ANSWERED,
    Acted: Input.ACTED,
    Risen: Input.RISEN,
    Stopped: Input.STOPPED,
    Failed: Input.FAILED,
    Declined: Input.DECLINED,
}

# --- actions ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tell:
    """An entry for the timelines; `more` beside what `Escalation.view` shows."""

    change: str
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """Ring somebody of a site by one channel. `browser` is done by the entry itself."""

    ring: str
    site: str
    level: str
    who: str
    channel: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """What is still ringing of this ring is to stop."""

    ring: str


@dataclass(frozen=True, slots=True)
class Revert:
    """The alert is open again: `untouched` (nothing was done) or `risen`."""

    reason: str


Action = Tell | Call | Cancel | Revert


@dataclass(slots=True)
class State:
    """All that is kept; plain data, written as JSON."""

    alert: str
    site: str
    severity: Severity
    rule: str
    chain: str
    status: Status = Status.RINGING
    place: int = -1
    """Which station of the way is rung; -1 between rounds."""
    round: int = 1
    ring: str = ""
    rings: int = 0
    """How many there were."""
    rung: bool = False
    """Somebody could be rung in this round."""
    calls: list[tuple[str, str]] = field(default_factory=list)
    """(who, channel) of the present ring that have not failed."""
    reached: list[str] = field(default_factory=list)
    """Sites that were rung, in order; pages of all of them go on sounding until somebody takes it."""
    since_at: float = 0.0
    due_at: float | None = None
    due_after_s: float = 0.0
    answered_by: str = ""
    answered_site: str = ""
    nobody_told_at: float = 0.0
    simulated: bool = False
    like: str = ""
    """Of a drill: the rule whose chain it runs."""
    up_to: str = ""
    """Of a drill: the site that it climbs to."""

    @property
    def drill(self) -> bool:
        return self.rule == DRILL

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> "State":
        """Back from `as_dict`."""
        known = {**body, "status": Status(body["status"]), "calls": [tuple(one) for one in body["calls"]]}
        return cls(**known)


class Escalation:
    """One alert on its way to a person. Make it by `begin` or `take_up`."""

    def __init__(self, state: State, way: Way, *, offset_h: float) -> None:
        self.state = state
        self.way = way
        self.due: float | None = None
        """Monotonic seconds at which `Due` is to be given; None: never."""
        self._offset_h = offset_h

    @classmethod
    def begin(
        cls,
        alert: str,
        site: str,
        severity: Severity,
        rule: str,
        way: Way,
        now: float,
        at: float,
        able: Able,
        *,
        offset_h: float = 0.0,
        simulated: bool = False,
        like: str = "",
        up_to: str = "",
    ) -> tuple["Escalation", list[Action]]:
        """A new alert. Rings at once, unless it is not red and these are quiet hours."""
        state = State(alert, site, severity, rule, way.chain.chain, since_at=at, simulated=simulated)
        state.like, state.up_to = like, up_to
        made = cls(state, way, offset_h=offset_h)
        return made, made._from(0, now, at, able)

    @classmethod
    def take_up(cls, state: State, way: Way, now: float, at: float, *, offset_h: float = 0.0) -> "Escalation":
        """Go on after a restart. A clock that was set meanwhile makes no wait longer than it was to be; a way that has
        changed meanwhile is begun anew with the next step."""
        made = cls(state, way, offset_h=offset_h)
        if state.due_at is not None:
            made.due = now + min(max(state.due_at - at, 0.0), state.due_after_s)
        if state.place >= len(way.stations):
            state.place = -1
        return made

    def copy(self) -> "Escalation":
        """For a trial: what is done with it leaves this one as it is."""
        made = Escalation(State.from_dict(copy.deepcopy(self.state.as_dict())), self.way, offset_h=self._offset_h)
        made.due = self.due
        return made

    @property
    def red(self) -> bool:
        return self.state.severity in RED

    @property
    def over(self) -> bool:
        return self.state.status is Status.STOPPED

    # --- events -------------------------------------------------------------------------------------------------------

    def handle(self, event: Event, now: float, at: float, able: Able) -> list[Action]:
        """What an event leads to. One that does not fit the status (or is of an older ring) changes nothing."""
        s = self.state
        after = TRANSITIONS.get((s.status, _INPUTS[type(event)]))
        if after is None:
            return []
        before = s.status
        match event:
            case Due():
                return self._due(before, now, at, able)
            case Failed():
                return self._failed(event, now, at, able)
            case Declined():
                return self._declined(event, now, at, able)
            case Risen():
                return self._risen(event, now, at, able)
            case Answered() | Acted():
                s.answered_by, s.answered_site = event.by, event.site
                self._wait(self.way.chain.revert_after_s if after is Status.ANSWERED else 0.0, now, at)
                return self._quiet(after, after.value)
            case Stopped():
                self._wait(0.0, now, at)
                return self._quiet(after, "stopped", reason=event.reason)

    def _due(self, before: Status, now: float, at: float, able: Able) -> list[Action]:
        s = self.state
        if before is Status.ANSWERED:
            by = s.answered_by
            self._anew()
            return [Revert("untouched"), Tell("reverted", {"by": by}), *self._from(0, now, at, able)]
        cancelled: list[Action] = [Cancel(s.ring)] if s.ring else []
        return [*cancelled, *self._from(s.place + 1, now, at, able)]

    def _failed(self, event: Failed, now: float, at: float, able: Able) -> list[Action]:
        s = self.state
        if event.ring != s.ring or (event.who, event.channel) not in s.calls:
            return []
        s.calls.remove((event.who, event.channel))
        more = {"who": [event.who], "channels": [event.channel], "reason": event.reason}
        told: list[Action] = [Tell("failed", more)]
        return told if s.calls else [*told, *self._from(s.place + 1, now, at, able)]

    def _declined(self, event: Declined, now: float, at: float, able: Able) -> list[Action]:
        s = self.state
        if event.ring != s.ring:
            return []
        return [Cancel(s.ring), Tell("declined", {"by": event.by}), *self._from(s.place + 1, now, at, able)]

    def _risen(self, event: Risen, now: float, at: float, able: Able) -> list[Action]:
        s, before = self.state, self.state.status
        actions: list[Action] = [Cancel(s.ring)] if s.ring else []
        if before in (Status.ANSWERED, Status.SETTLED):
            actions.append(Revert("risen"))
        s.severity, s.chain, self.way = event.severity, event.way.chain.chain, event.way
        self._anew()
        return [*actions, *self._from(0, now, at, able)]

    # --- the way ------------------------------------------------------------------------------------------------------

    def _from(self, place: int, now: float, at: float, able: Able) -> list[Action]:
        """Ring the first station from `place` on where anybody can be rung, in this round or the next."""
        s, actions = self.state, list[Action]()
        chain = self.way.chain
        if not self.red and within(chain.quiet, at, self._offset_h) and chain.quiet is not None:
            s.status, s.place = Status.HELD, place - 1
            self._wait(until_end(chain.quiet, at, self._offset_h), now, at)
            return self._quiet(Status.HELD, "held")
        s.status = Status.RINGING
        while True:
            if place >= len(self.way.stations):
                if (ended := self._round_over(now, at)) is not None:
                    return [*actions, *ended]
                place = 0
            if place < len(self.way.stations):
                station = self.way.stations[place]
                rung, found = self._ring(place, station, now, at, able)
                actions += found
                if rung:
                    return actions
                place += 1

    def _ring(self, place: int, station: Station, now: float, at: float, able: Able) -> tuple[bool, list[Action]]:
        s, step = self.state, station.step
        if step.between is not None and not within(step.between, at, self._offset_h):
            return False, []
        calls, reasons = list[tuple[str, str]](), dict[str, str]()
        for who in step.who:
            for channel in step.ring:
                if reason := able(station.site, who, channel):
                    reasons[f"{who}/{channel}"] = reason
                else:
                    calls.append((who, channel))
        where = {"at_site": station.site, "at_level": station.level, "step": place}
        if not calls:
            first = s.round == 1
            return False, [Tell("skipped", {**where, "reasons": reasons})] if first else []
        s.place, s.rung, s.calls = place, True, calls
        s.rings += 1
        s.ring = f"{s.alert}.{s.rings}"
        if station.site not in s.reached:
            s.reached.append(station.site)
        self._wait(step.seconds, now, at)
        told = Tell("ringing", {"reasons": reasons} if reasons else {})
        placed = [Call(s.ring, station.site, station.level, who, channel, step.seconds) for who, channel in calls]
        return True, [told, *placed]

    def _round_over(self, now: float, at: float) -> list[Action] | None:
        """None: the next round begins at once."""
        s = self.state
        rung, s.rung = s.rung, False
        if not self.red and s.round >= self.way.chain.repeat:
            self._wait(0.0, now, at)
            return self._quiet(Status.EXHAUSTED, "exhausted")
        s.round += 1
        if rung and s.round <= self.way.chain.repeat:
            return None
        s.place = -1
        self._wait(LONG_PAUSE_S if rung else NOBODY_WAIT_S, now, at)
        if rung:
            return [Tell("pausing")]
        if at - s.nobody_told_at < TELL_NOBODY_S and s.nobody_told_at <= at:
            return []
        s.nobody_told_at = at
        return [Tell("nobody")]

    def _quiet(self, status: Status, change: str, **more: object) -> list[Action]:
        """Nothing rings any more, for whatever reason."""
        s = self.state
        cancelled: list[Action] = [Cancel(s.ring)] if s.ring else []
        s.status, s.ring, s.calls = status, "", []
        return [*cancelled, Tell(change, more)]

    def _anew(self) -> None:
        s = self.state
        s.place, s.round, s.rung, s.ring, s.calls = -1, 1, False, "", []
        s.answered_by = s.answered_site = ""
        s.reached = []

    def _wait(self, seconds: float, now: float, at: float) -> None:
        """Until the next `Due`; 0: there is none."""
        self.due = now + seconds if seconds > 0 else None
        self.state.due_at = at + seconds if seconds > 0 else None
        self.state.due_after_s = seconds

    # --- what people see ----------------------------------------------------------------------------------------------

    def view(self) -> dict[str, object]:
        """As on the cards of alerts and in entries: what is going on, until when, and what comes next."""
        s = self.state
        ringing = s.status is Status.RINGING and 0 <= s.place < len(self.way.stations)
        station = self.way.stations[s.place] if ringing else None
        following = self._following() if s.status is Status.RINGING else None
        return {
            "alert": s.alert,
            "site": s.site,
            "severity": s.severity,
            "chain": s.chain,
            "status": s.status.value,
            "round": s.round,
            "ring": s.ring,
            "at_site": station.site if station else None,
            "at_level": station.level if station else None,
            "who": sorted({who for who, _ in s.calls}),
            "channels": sorted({channel for _, channel in s.calls}),
            "until": s.due_at,
            "next": {"site": following.site, "level": following.level} if following else None,
            "reached": list(s.reached),
            "by": s.answered_by,
            "by_site": s.answered_site,
            **({"drill": True} if s.drill else {}),
        }

    def _following(self) -> Station | None:
        s, stations = self.state, self.way.stations
        if s.place + 1 < len(stations):
            return stations[s.place + 1]
        return stations[0] if stations and (self.red or s.round < self.way.chain.repeat) else None
