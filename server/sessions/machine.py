"""The life of one consultation (会商), as a pure machine: `handle(event, now, at) -> [entry, ...]`.

A session has three small lives in it, each a table below: an *invitation* of a site (ringing, answered, ...), an
*order* (given, confirmed, done), and the session itself (open, ended). Participants come and go. Whatever happens is
returned as entries for the timeline; the caller writes the new state and the entries in one transaction and only then
tells anybody. `now` is monotonic seconds and drives ring time-outs; `at` is UTC and is what people read.

Who has the chair and the floor is `floor`. Not here: who may call, invite and order (the API checks it), media (the
conductor), how a ring sounds (the page).

**Calling contract**: after each `handle`, look at `next_timeout()` and call `tick(now, at)` no later than that.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from server.sessions import floor as floors
from server.sessions.errors import SessionError
from server.sessions.floor import Change, Floor, Standing


class Ring(StrEnum):
    """State of an invitation."""

    RINGING = "ringing"
    ANSWERED = "answered"
    DECLINED = "declined"
    UNREACHABLE = "unreachable"
    CANCELLED = "cancelled"


class RingInput(StrEnum):
    INVITE = "invite"
    ANSWER = "answer"
    DECLINE = "decline"
    TIMEOUT = "timeout"
    END = "end"


# Every legal move of an invitation. A level that declined or was not reached may still come in, or be rung again.
RING_TRANSITIONS: Mapping[tuple[Ring, RingInput], Ring] = {
    (Ring.RINGING, RingInput.ANSWER): Ring.ANSWERED,
    (Ring.RINGING, RingInput.DECLINE): Ring.DECLINED,
    (Ring.RINGING, RingInput.TIMEOUT): Ring.UNREACHABLE,
    (Ring.RINGING, RingInput.END): Ring.CANCELLED,
    (Ring.DECLINED, RingInput.ANSWER): Ring.ANSWERED,
    (Ring.DECLINED, RingInput.INVITE): Ring.RINGING,
    (Ring.UNREACHABLE, RingInput.ANSWER): Ring.ANSWERED,
    (Ring.UNREACHABLE, RingInput.INVITE): Ring.RINGING,
}


class OrderState(StrEnum):
    GIVEN = "given"
    CONFIRMED = "confirmed"
    DONE = "done"


# An order reported done without read-back counts as read.
ORDER_TRANSITIONS: Mapping[tuple[OrderState, OrderState], bool] = {
    (OrderState.GIVEN, OrderState.CONFIRMED): True,
    (OrderState.GIVEN, OrderState.DONE): True,
    (OrderState.CONFIRMED, OrderState.DONE): True,
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it."""

    user: str
    name: str
    site: str
    level: str
    role: str

    @property
    def standing(self) -> Standing:
        return Standing(self.user, self.name, self.site, self.level, self.role)


@dataclass(slots=True)
class Invitation:
    """One site that was called."""

    site: str
    level: str
    state: Ring
    invited_at: float
    invited_by: str
    changed_at: float
    answered_by: str = ""
    answer_s: float | None = None
    """Seconds from ring to answer."""
    role: str = ""
    """Only people of this role are rung; empty: everybody at the site."""


@dataclass(slots=True)
class Order:
    """An instruction and its read-back."""

    order: str
    to_site: str
    text: str
    state: OrderState
    given_by: str
    given_at: float
    confirmed_by: str = ""
    confirmed_at: float | None = None
    done_by: str = ""
    done_at: float | None = None
    given_in: str = ""
    """The consultation in which it was given, if that was merged into this one."""


@dataclass(slots=True)
class Participant:
    """A client that is or was in."""

    client: str
    user: str
    name: str
    site: str
    level: str
    role: str
    joined_at: float
    left_at: float | None = None


@dataclass(slots=True)
class State:
    """All that is kept of a session; plain data, written as JSON."""

    session: str
    site: str
    """The mine (or authority) it is about."""
    title: str
    started_by: str
    started_by_site: str
    started_at: float
    alert: str | None = None
    simulated: bool = False
    ended_at: float | None = None
    ended_by: str = ""
    invitations: dict[str, Invitation] = field(default_factory=dict)
    participants: dict[str, Participant] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    alerts: dict[str, str] = field(default_factory=dict)
    """Alerts of the site that stood or changed while the session was open: id to state."""
    tracks: dict[str, str] = field(default_factory=dict)
    """Tracks shown in the session: id to state."""
    floor: Floor = field(default_factory=Floor)
    template: str = ""
    """The template it was called with."""
    summary: str = ""
    """What came of it, in the words of whoever chaired."""
    merged_into: str = ""
    merged_from: list[str] = field(default_factory=list)
    held: bool = True
    """Its evidence is not removed by retention."""
    released_at: float | None = None
    """When it was released from the hold."""
    drill: bool = False
    """A drill (演练): said in every entry."""
    interrupted: str = ""
    """Of a drill: the real alert that came meanwhile."""

    @property
    def room(self) -> str:
        return f"session:{self.session}"

    def sites(self) -> set[str]:
        """Sites whose people may come in: the one it is about, the caller's and every invited one."""
        return {self.site, self.started_by_site, *self.invitations}

    def as_dict(self) -> dict[str, object]:
        """As in the API and in entries."""
        body: dict[str, object] = asdict(self)
        body["room"] = self.room
        body["open"] = self.ended_at is None
        return body

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> "State":
        """Back from `as_dict`."""
        known = {key: value for key, value in body.items() if key not in ("room", "open")}
        known["invitations"] = {
            site: Invitation(**{**value, "state": Ring(value["state"])}) for site, value in body["invitations"].items()
        }
        known["participants"] = {client: Participant(**value) for client, value in body["participants"].items()}
        known["orders"] = {
            order: Order(**{**value, "state": OrderState(value["state"])}) for order, value in body["orders"].items()
        }
        known["floor"] = Floor.from_dict(body.get("floor") or {})
        return cls(**known)

    def people(self) -> dict[str, Standing]:
        """Who is in, by user."""
        return {
            one.user: Standing(one.user, one.name, one.site, one.level, one.role)
            for one in self.participants.values()
            if one.left_at is None
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """Something for the timeline of these rooms."""

    rooms: tuple[str, ...]
    kind: str
    body: dict[str, object]


# --- events ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    by: Actor


@dataclass(frozen=True, slots=True)
class Invited:
    site: str
    level: str
    by: Actor
    role: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    by: Actor


@dataclass(frozen=True, slots=True)
class Declined:
    by: Actor


@dataclass(frozen=True, slots=True)
class Joined:
    """`needs_leave`: came by a link whose holders are let in one by one."""

    client: str
    by: Actor
    needs_leave: bool = False


@dataclass(frozen=True, slots=True)
class Knocked:
    """May not come in now, and says so at the door."""

    by: Actor


@dataclass(frozen=True, slots=True)
class Withdrew:
    """Who knocked is gone from the door: a closed page, a phone that was hung up."""

    user: str


@dataclass(frozen=True, slots=True)
class Acted:
    """About chair, floor, mutes, lock: `floor.ACTIONS`. `moderates`: the role of `by` holds that verb."""

    action: str
    by: Actor
    moderates: bool
    target: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class FloorLost:
    """Who has the floor is gone without a word."""

    user: str


@dataclass(frozen=True, slots=True)
class Summed:
    """What came of it, in words; the last ones count."""

    by: Actor
    text: str


@dataclass(frozen=True, slots=True)
class MergedFrom:
    """Another consultation goes on in this one."""

    by: Actor
    other: State
    moderates: bool


@dataclass(frozen=True, slots=True)
class MergedInto:
    """This one goes on in another."""

    by: Actor
    into: str
    moderates: bool


@dataclass(frozen=True, slots=True)
class Left:
    client: str


@dataclass(frozen=True, slots=True)
class Chatted:
    by: Actor
    text: str


@dataclass(frozen=True, slots=True)
class OrderGiven:
    by: Actor
    order: str
    to_site: str
    text: str


@dataclass(frozen=True, slots=True)
class OrderAnswered:
    by: Actor
    order: str
    state: OrderState


@dataclass(frozen=True, slots=True)
class AlertNoted:
    """An alert of the site changed; its own entry is already on this session's timeline."""

    alert: str
    state: str


@dataclass(frozen=True, slots=True)
class TrackNoted:
    """A track shown in this session began, stalled, came back or ended; its own entry is on the timeline too."""

    track: str
    state: str


@dataclass(frozen=True, slots=True)
class DrillInterrupted:
    """A real alert came while this drill was going on."""

    alert: str
    site: str
    title: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    by: Actor


Event = (
    Started
    | Invited
    | Answered
    | Declined
    | Joined
    | Left
    | Chatted
    | OrderGiven
    | OrderAnswered
    | AlertNoted
    | TrackNoted
    | Knocked
    | Withdrew
    | Acted
    | FloorLost
    | Summed
    | MergedFrom
    | MergedInto
    | DrillInterrupted
    | Ended
)


class Session:
    """One consultation, open or ended."""

    def __init__(self, state: State, ring_timeout_s: float, now: float) -> None:
        """`state` may come from the store: rings that were under way ring on for a whole time-out."""
        self.state = state
        self._ring_timeout_s = ring_timeout_s
        self._deadlines: dict[str, float] = {
            site: now + ring_timeout_s for site, one in state.invitations.items() if one.state is Ring.RINGING
        }

    def next_timeout(self) -> float | None:
        """When to call `tick`, monotonic seconds; None when nothing rings."""
        return min(self._deadlines.values(), default=None)

    def tick(self, now: float, at: float) -> list[Entry]:
        """Ends every ring that is due."""
        due = sorted(site for site, deadline in self._deadlines.items() if deadline <= now)
        return [entry for site in due for entry in self._ring(site, RingInput.TIMEOUT, now, at, None)]

    def handle(self, event: Event, now: float, at: float) -> list[Entry]:
        """Take an event in.

        Raises:
            SessionError: the event does not fit; nothing has changed.
        """
        if self.state.ended_at is not None and not isinstance(event, Left | AlertNoted | TrackNoted):
            raise SessionError("session_over", f"Session {self.state.session} has ended.")
        match event:
            case Started(by):
                self.state.floor.chair = floors.Place.of(by.standing, at)
                return [
                    self._about(
                        "started", self._everywhere(), by=by.name, by_site=by.site, floor=asdict(self.state.floor)
                    )
                ]
            case Invited():
                return self._invite(event, now, at)
            case Answered(by):
                return self._ring(by.site, RingInput.ANSWER, now, at, by)
            case Declined(by):
                return self._ring(by.site, RingInput.DECLINE, now, at, by)
            case Joined() | Left():
                return self._come_or_go(event, now, at)
            case Ended(by):
                return self._end(by, now, at)
            case MergedFrom():
                return self._merge_from(event, now, at)
            case MergedInto():
                return self._merge_into(event, now, at)
            case FloorLost(user) | Withdrew(user):
                floor = self.state.floor
                gone = floor.lost(user) if isinstance(event, FloorLost) else floors.withdraw(floor, user)
                return [] if gone is None else [self._floor_entry(gone, None)]
            case Knocked() | Acted() | DrillInterrupted():
                return self._act(event, at)
            case _:
                return self._say(event, at)

    # --- invitations ---

    def _invite(self, event: Invited, now: float, at: float) -> list[Entry]:
        known = self.state.invitations.get(event.site)
        if known is not None:
            known.role = event.role
            return self._ring(event.site, RingInput.INVITE, now, at, event.by)
        self.state.invitations[event.site] = Invitation(
            event.site, event.level, Ring.RINGING, at, event.by.name, at, role=event.role
        )
        self._deadlines[event.site] = now + self._ring_timeout_s
        return [self._rung(event.site, Ring.RINGING)]

    def _ring(self, site: str, given: RingInput, now: float, at: float, by: Actor | None) -> list[Entry]:
        invitation = self.state.invitations.get(site)
        if invitation is None:
            return []
        after = RING_TRANSITIONS.get((invitation.state, given))
        if after is None:
            return []
        invitation.state, invitation.changed_at = after, at
        self._deadlines.pop(site, None)
        if after is Ring.RINGING:
            self._deadlines[site] = now + self._ring_timeout_s
            invitation.invited_at = at
        if after is Ring.ANSWERED and by is not None:
            invitation.answered_by, invitation.answer_s = by.name, round(at - invitation.invited_at, 3)
        return [self._rung(site, after)]

    def _rung(self, site: str, state: Ring) -> Entry:
        rooms = (self.state.room, f"site:{site}")
        return self._about(state.value, rooms, invitation=asdict(self.state.invitations[site]))

    # --- people ---

    def _come_or_go(self, event: Joined | Left, now: float, at: float) -> list[Entry]:
        if isinstance(event, Left):
            participant = self.state.participants.get(event.client)
            if participant is None or participant.left_at is not None:
                return []
            participant.left_at = at
            left = self._about("left", (self.state.room,), participant=asdict(participant))
            gone = [] if participant.user in self.state.people() else self.state.floor.went(participant.user)
            return [left, *(self._floor_entry(Change(change), None) for change in gone)]
        by, floor = event.by, self.state.floor
        known_user = any(one.user == by.user for one in self.state.participants.values())
        if (why := floor.refusal(by.standing, known=known_user, needs_leave=event.needs_leave)) != "":
            raise SessionError(why, f"{by.name} may not come in now.")
        participant = Participant(event.client, by.user, by.name, by.site, by.level, by.role, at)
        known = self.state.participants.get(event.client)
        if known is not None and known.left_at is None:
            return []
        self.state.participants[event.client] = participant
        # Who comes in has answered; a guest answers for nobody.
        entries = [] if by.role == "guest" else self._ring(by.site, RingInput.ANSWER, now, at, by)
        before = (len(floor.lobby), len(floor.muted))
        floor.came(by.standing)
        joined = self._about("joined", (self.state.room,), participant=asdict(participant))
        if before != (len(floor.lobby), len(floor.muted)):
            joined.body["floor"] = asdict(floor)
        return [*entries, joined]

    # --- chair and floor ---

    def _act(self, event: "Knocked | Acted | DrillInterrupted", at: float) -> list[Entry]:
        if isinstance(event, DrillInterrupted):
            return self._interrupt(event.alert, event.site, event.title)
        floor, by = self.state.floor, event.by.standing
        if isinstance(event, Knocked):
            change = floors.knock(floor, by, at)
        else:
            act = floors.Act(event.action, by, event.moderates, event.target, event.value)
            change = floors.apply(floor, act, self.state.people(), at)
        return [] if change is None else [self._floor_entry(change, event.by)]

    def _floor_entry(self, change: Change, by: Actor | None) -> Entry:
        about = {} if change.about is None else {"about": asdict(change.about)}
        who = {} if by is None else {"by": by.name, "by_site": by.site, "by_level": by.level}
        return self._about(change.change, (self.state.room,), floor=asdict(self.state.floor), **about, **who)

    # --- two become one ---

    def _merge_into(self, event: "MergedInto", now: float, at: float) -> list[Entry]:
        self._must_govern(event.by, moderates=event.moderates)
        self.state.merged_into = event.into
        ended = self._end(event.by, now, at)
        ended[-1].body["merged_into"] = event.into
        return ended

    def _merge_from(self, event: "MergedFrom", now: float, at: float) -> list[Entry]:
        """Who was called there is called here: answered if they had answered, ringing if they still rang."""
        self._must_govern(event.by, moderates=event.moderates)
        other, own = event.other, self.state
        if other.session == own.session or other.ended_at is not None:
            raise SessionError("session_over", "That consultation has ended, or is this one.")
        if other.drill != own.drill:
            raise SessionError("not_allowed", "A drill and a real consultation do not become one.")
        own.merged_from.append(other.session)
        by_site = {other.site: other.site, other.started_by_site: other.started_by_site}
        entries: list[Entry] = []
        for site, one in other.invitations.items():
            by_site.pop(site, None)
            if site in own.invitations and own.invitations[site].state is Ring.ANSWERED:
                continue
            state = one.state if one.state is not Ring.CANCELLED else Ring.UNREACHABLE
            own.invitations[site] = replace(one, state=state, changed_at=at)
            self._deadlines.pop(site, None)
            if state is Ring.RINGING:
                self._deadlines[site] = now + self._ring_timeout_s
            entries.append(self._rung(site, state))
        for site in sorted(by_site):
            if site in own.sites():
                continue
            level = next((one.level for one in other.participants.values() if one.site == site), "mine")
            own.invitations[site] = Invitation(site, level, Ring.ANSWERED, at, event.by.name, at, event.by.name)
            entries.append(self._rung(site, Ring.ANSWERED))
        for order in other.orders.values():
            if order.state is not OrderState.DONE:
                own.orders[order.order] = replace(order, given_in=order.given_in or other.session)
                entries.append(self._order(own.orders[order.order], "carried"))
        merged = self._about("merged", (own.room,), by=event.by.name, by_site=event.by.site, merged_from=other.session)
        merged.body["other_title"] = other.title
        return [merged, *entries]

    def _must_govern(self, by: Actor, *, moderates: bool) -> None:
        if not self.state.floor.governs(by.standing, moderates=moderates):
            raise SessionError(
                "not_allowed", "Only the chair, or who moderates from the same level or above, may do that."
            )

    # --- words, orders, facts ---

    def _say(self, event: Event, at: float) -> list[Entry]:
        room = (self.state.room,)
        match event:
            case Chatted(by, text):
                body: dict[str, object] = {"from": asdict(by), "text": text}
                return [Entry(room, "chat", body)]
            case OrderGiven():
                return self._give(event, at)
            case OrderAnswered():
                return self._answer_order(event, at)
            case Summed(by, text):
                self.state.summary = text
                return [self._about("summed", room, by=by.name, by_site=by.site, summary=text)]
            case AlertNoted(alert, state):
                self.state.alerts[alert] = state
                return []
            case TrackNoted(track, state):
                self.state.tracks[track] = state
                return []
            case _:
                raise AssertionError(f"{type(event).__name__} is handled elsewhere")

    def _give(self, event: OrderGiven, at: float) -> list[Entry]:
        if event.to_site not in self.state.sites():
            raise SessionError("not_allowed", f"Site {event.to_site} does not take part in this session.")
        order = Order(event.order, event.to_site, event.text, OrderState.GIVEN, event.by.name, at)
        self.state.orders[event.order] = order
        return [self._order(order, "given")]

    def _answer_order(self, event: OrderAnswered, at: float) -> list[Entry]:
        order = self.state.orders.get(event.order)
        if order is None:
            raise SessionError("no_such_order", f"There is no order {event.order} in this session.")
        if order.to_site != event.by.site:
            raise SessionError("not_allowed", "Only the site that was given an order can answer it.")
        if (order.state, event.state) not in ORDER_TRANSITIONS:
            return []
        order.state = event.state
        if order.confirmed_at is None:
            order.confirmed_by, order.confirmed_at = event.by.name, at
        if event.state is OrderState.DONE:
            order.done_by, order.done_at = event.by.name, at
        return [self._order(order, event.state.value)]

    def _order(self, order: Order, change: str) -> Entry:
        body = {**asdict(order), "change": change, **({"drill": True} if self.state.drill else {})}
        return Entry((self.state.room, f"site:{order.to_site}"), "order", body)

    # --- drill ---

    def _interrupt(self, alert: str, site: str, title: Mapping[str, str]) -> list[Entry]:
        """The first real alert counts; people decide what becomes of the drill."""
        if not self.state.drill or self.state.interrupted:
            return []
        self.state.interrupted = alert
        about = {"alert": alert, "site": site, "title": dict(title)}
        return [self._about("interrupted", self._everywhere(), interrupted=alert, real=about)]

    # --- end ---

    def _end(self, by: Actor, now: float, at: float) -> list[Entry]:
        entries = [entry for site in list(self._deadlines) for entry in self._ring(site, RingInput.END, now, at, by)]
        self.state.ended_at, self.state.ended_by = at, by.name
        return [
            *entries,
            self._about("ended", self._everywhere(), by=by.name, by_site=by.site, summary=self.state.summary),
        ]

    def _everywhere(self) -> tuple[str, ...]:
        return (self.state.room, *(f"site:{site}" for site in sorted(self.state.sites())))

    def _about(self, change: str, rooms: tuple[str, ...], **more: object) -> Entry:
        body: dict[str, object] = {
            "session": self.state.session,
            "room": self.state.room,
            "site": self.state.site,
            "title": self.state.title,
            "alert": self.state.alert,
            "change": change,
            **more,
        }
        if self.state.simulated:
            body["simulated"] = True
        if self.state.drill:
            body["drill"] = True
        return Entry(rooms, "session", body)
