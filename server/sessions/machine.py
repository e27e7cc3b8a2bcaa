"""The life of one consultation (会商), as a pure machine: `handle(event, now, at) -> [entry, ...]`.

A session has three small lives in it, each a table below: an *invitation* of a site (ringing, answered, ...), an
*order* (given, confirmed, done), and the session itself (open, ended). Participants come and go. Whatever happens is
returned as entries for the timeline; the caller writes the new state and the entries in one transaction and only then
tells anybody. `now` is monotonic seconds and drives ring time-outs; `at` is UTC and is what people read.

Not here: who may do what (the API checks it), media (the conductor), how a ring sounds (the page).

**Calling contract**: after each `handle`, look at `next_timeout()` and call `tick(now, at)` no later than that.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from server.sessions.errors import SessionError


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
        return cls(**known)


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


@dataclass(frozen=True, slots=True)
class Answered:
    by: Actor


@dataclass(frozen=True, slots=True)
class Declined:
    by: Actor


@dataclass(frozen=True, slots=True)
class Joined:
    client: str
    by: Actor


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
                return [self._about("started", self._everywhere(), by=by.name, by_site=by.site)]
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
            case _:
                return self._say(event, at)

    # --- invitations ---

    def _invite(self, event: Invited, now: float, at: float) -> list[Entry]:
        known = self.state.invitations.get(event.site)
        if known is not None:
            return self._ring(event.site, RingInput.INVITE, now, at, event.by)
        self.state.invitations[event.site] = Invitation(event.site, event.level, Ring.RINGING, at, event.by.name, at)
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
            return [self._about("left", (self.state.room,), participant=asdict(participant))]
        by = event.by
        participant = Participant(event.client, by.user, by.name, by.site, by.level, by.role, at)
        known = self.state.participants.get(event.client)
        if known is not None and known.left_at is None:
            return []
        self.state.participants[event.client] = participant
        entries = self._ring(by.site, RingInput.ANSWER, now, at, by)  # who comes in has answered
        return [*entries, self._about("joined", (self.state.room,), participant=asdict(participant))]

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
        return Entry((self.state.room, f"site:{order.to_site}"), "order", {**asdict(order), "change": change})

    # --- end ---

    def _end(self, by: Actor, now: float, at: float) -> list[Entry]:
        entries = [entry for site in list(self._deadlines) for entry in self._ring(site, RingInput.END, now, at, by)]
        self.state.ended_at, self.state.ended_by = at, by.name
        return [*entries, self._about("ended", self._everywhere(), by=by.name, by_site=by.site)]

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
        return Entry(rooms, "session", body)
