"""The four transactions of RFC 3261 section 17, with the Accepted state of RFC 6026.

A transaction decides who repeats what, and until when. Each of the four is one table: every legal move, and what is not
in the table is ignored, as the RFC wants. No I/O and no clock: the caller passes `now` (seconds, monotonic), does what
the actions say, and calls `timeout` again no later than `next_timeout`. The machines hold no message; which bytes
RESEND, ACK and SEND mean is the business of `transactionlayer`.

    InviteClient      CALLING, PROCEEDING, COMPLETED, ACCEPTED    timers A B D M    17.1.1, RFC 6026 section 7.2
    NonInviteClient   TRYING, PROCEEDING, COMPLETED               timers E F K      17.1.2
    InviteServer      PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED  timers G H I L    17.2.1, RFC 6026 section 7.1
    NonInviteServer   TRYING, PROCEEDING, COMPLETED               timer J           17.2.2
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import ClassVar, TypeAlias

T1 = 0.5
"""Round-trip estimate, seconds (17.1.1.1)."""
T2 = 4.0
"""Longest time between repeats of a non-INVITE request or an INVITE response, seconds."""
T4 = 5.0
"""How long a message may stay in the network, seconds."""
TIMER_D = 32.0
"""How long to absorb repeated final responses over UDP, seconds (17.1.1.2)."""
LONGEST = 64 * T1
"""Timers B, F, H, J, L, M, seconds."""


class State(Enum):
    CALLING = auto()
    TRYING = auto()
    PROCEEDING = auto()
    COMPLETED = auto()
    CONFIRMED = auto()
    ACCEPTED = auto()
    TERMINATED = auto()


class Input(Enum):
    PROVISIONAL = auto()
    SUCCESS = auto()
    FAILURE = auto()
    REQUEST = auto()
    ACK = auto()
    TRANSPORT_ERROR = auto()
    TIMER_A = auto()
    TIMER_B = auto()
    TIMER_D = auto()
    TIMER_E = auto()
    TIMER_F = auto()
    TIMER_G = auto()
    TIMER_H = auto()
    TIMER_I = auto()
    TIMER_J = auto()
    TIMER_K = auto()
    TIMER_L = auto()
    TIMER_M = auto()


class Action(Enum):
    RESEND = auto()
    """Send our request, or our last response, once more."""
    DELIVER = auto()
    """Give what came to the user of the transaction."""
    ACK = auto()
    ACK_AND_DELIVER = auto()
    SEND = auto()
    """Send the response that the user has just given."""
    TIMED_OUT = auto()
    """Tell the user: nobody answered (client), or nobody acknowledged (server)."""
    FAILED = auto()
    """Tell the user: the transport cannot reach them."""
    IGNORE = auto()
    DONE = auto()


Table: TypeAlias = Mapping[tuple[State, Input], tuple[State, Action]]
Timers: TypeAlias = tuple[tuple[Input, float, float], ...]
"""(timer, seconds over UDP, seconds over a reliable transport); below zero: the timer does not exist there."""

_S, _I, _A = State, Input, Action
NEVER = -1.0

INVITE_CLIENT: Table = {
    (_S.CALLING, _I.PROVISIONAL): (_S.PROCEEDING, _A.DELIVER),
    (_S.CALLING, _I.SUCCESS): (_S.ACCEPTED, _A.DELIVER),
    (_S.CALLING, _I.FAILURE): (_S.COMPLETED, _A.ACK_AND_DELIVER),
    (_S.CALLING, _I.TIMER_A): (_S.CALLING, _A.RESEND),
    (_S.CALLING, _I.TIMER_B): (_S.TERMINATED, _A.TIMED_OUT),
    (_S.CALLING, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.PROCEEDING, _I.PROVISIONAL): (_S.PROCEEDING, _A.DELIVER),
    (_S.PROCEEDING, _I.SUCCESS): (_S.ACCEPTED, _A.DELIVER),
    (_S.PROCEEDING, _I.FAILURE): (_S.COMPLETED, _A.ACK_AND_DELIVER),
    (_S.COMPLETED, _I.FAILURE): (_S.COMPLETED, _A.ACK),
    (_S.COMPLETED, _I.TIMER_D): (_S.TERMINATED, _A.DONE),
    (_S.COMPLETED, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.ACCEPTED, _I.SUCCESS): (_S.ACCEPTED, _A.DELIVER),
    (_S.ACCEPTED, _I.TIMER_M): (_S.TERMINATED, _A.DONE),
}
NON_INVITE_CLIENT: Table = {
    (_S.TRYING, _I.PROVISIONAL): (_S.PROCEEDING, _A.DELIVER),
    (_S.TRYING, _I.SUCCESS): (_S.COMPLETED, _A.DELIVER),
    (_S.TRYING, _I.FAILURE): (_S.COMPLETED, _A.DELIVER),
    (_S.TRYING, _I.TIMER_E): (_S.TRYING, _A.RESEND),
    (_S.TRYING, _I.TIMER_F): (_S.TERMINATED, _A.TIMED_OUT),
    (_S.TRYING, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.PROCEEDING, _I.PROVISIONAL): (_S.PROCEEDING, _A.DELIVER),
    (_S.PROCEEDING, _I.SUCCESS): (_S.COMPLETED, _A.DELIVER),
    (_S.PROCEEDING, _I.FAILURE): (_S.COMPLETED, _A.DELIVER),
    (_S.PROCEEDING, _I.TIMER_E): (_S.PROCEEDING, _A.RESEND),
    (_S.PROCEEDING, _I.TIMER_F): (_S.TERMINATED, _A.TIMED_OUT),
    (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.COMPLETED, _I.TIMER_K): (_S.TERMINATED, _A.DONE),
}
INVITE_SERVER: Table = {
    (_S.PROCEEDING, _I.REQUEST): (_S.PROCEEDING, _A.RESEND),
    (_S.PROCEEDING, _I.PROVISIONAL): (_S.PROCEEDING, _A.SEND),
    (_S.PROCEEDING, _I.SUCCESS): (_S.ACCEPTED, _A.SEND),
    (_S.PROCEEDING, _I.FAILURE): (_S.COMPLETED, _A.SEND),
    (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.COMPLETED, _I.REQUEST): (_S.COMPLETED, _A.RESEND),
    (_S.COMPLETED, _I.TIMER_G): (_S.COMPLETED, _A.RESEND),
    (_S.COMPLETED, _I.TIMER_H): (_S.TERMINATED, _A.TIMED_OUT),
    (_S.COMPLETED, _I.ACK): (_S.CONFIRMED, _A.IGNORE),
    (_S.COMPLETED, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.CONFIRMED, _I.TIMER_I): (_S.TERMINATED, _A.DONE),
    # RFC 6026: a repeated INVITE is absorbed, the user repeats the 2xx, the ACK to it is the user's.
    (_S.ACCEPTED, _I.REQUEST): (_S.ACCEPTED, _A.IGNORE),
    (_S.ACCEPTED, _I.SUCCESS): (_S.ACCEPTED, _A.SEND),
    (_S.ACCEPTED, _I.ACK): (_S.ACCEPTED, _A.DELIVER),
    (_S.ACCEPTED, _I.TIMER_L): (_S.TERMINATED, _A.DONE),
}
NON_INVITE_SERVER: Table = {
    (_S.TRYING, _I.PROVISIONAL): (_S.PROCEEDING, _A.SEND),
    (_S.TRYING, _I.SUCCESS): (_S.COMPLETED, _A.SEND),
    (_S.TRYING, _I.FAILURE): (_S.COMPLETED, _A.SEND),
    (_S.TRYING, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.PROCEEDING, _I.REQUEST): (_S.PROCEEDING, _A.RESEND),
    (_S.PROCEEDING, _I.PROVISIONAL): (_S.PROCEEDING, _A.SEND),
    (_S.PROCEEDING, _I.SUCCESS): (_S.COMPLETED, _A.SEND),
    (_S.PROCEEDING, _I.FAILURE): (_S.COMPLETED, _A.SEND),
    (_S.PROCEEDING, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
    (_S.COMPLETED, _I.REQUEST): (_S.COMPLETED, _A.RESEND),
    (_S.COMPLETED, _I.TIMER_J): (_S.TERMINATED, _A.DONE),
    (_S.COMPLETED, _I.TRANSPORT_ERROR): (_S.TERMINATED, _A.FAILED),
}

_GROWING = {Input.TIMER_A: float("inf"), Input.TIMER_E: T2, Input.TIMER_G: T2}
"""Timers that start again, twice as long each time, up to this many seconds."""


def classify(status: int) -> Input:
    """Which input a response with this status code is."""
    if status < 200:
        return Input.PROVISIONAL
    return Input.SUCCESS if status < 300 else Input.FAILURE


class Transaction:
    """What the four share: a table, timers that belong to states, and time as an argument."""

    table: ClassVar[Table]
    first: ClassVar[State]
    timers: ClassVar[Mapping[State, Timers]]
    """What starts when a state is entered. Timers of the state that is left end, but for those in `lasting`."""
    lasting: ClassVar[frozenset[Input]] = frozenset()

    def __init__(self, now: float, reliable: bool = False) -> None:
        """`now`: when the request first went out, or came in."""
        self.reliable = reliable
        self.state = self.first
        self._running: dict[Input, float] = {}
        self._every: dict[Input, float] = {}
        self._enter(now)

    def response(self, status: int, now: float) -> list[Action]:
        """A client received this response; a server's user wants to send it."""
        return self._step(classify(status), now)

    def fail(self, now: float) -> list[Action]:
        """The transport could not send."""
        return self._step(Input.TRANSPORT_ERROR, now)

    def next_timeout(self) -> float | None:
        """When to call `timeout`, or None when nothing is pending."""
        return min(self._running.values(), default=None)

    def timeout(self, now: float) -> list[Action]:
        """Fire every timer that is due, earliest first."""
        actions: list[Action] = []
        while due := [(at, timer.value, timer) for timer, at in self._running.items() if at <= now]:
            timer = min(due)[2]
            del self._running[timer]
            actions += self._step(timer, now)
        return actions

    def _step(self, given: Input, now: float) -> list[Action]:
        if (self.state, given) not in self.table:
            return []
        before = self.state
        self.state, action = self.table[before, given]
        if given in _GROWING and self.state is before:
            self._every[given] = self._again(given)
            self._running[given] = now + self._every[given]
        elif self.state is not before:
            self._enter(now)
        return [] if action is Action.IGNORE else [action]

    def _again(self, timer: Input) -> float:
        return min(2 * self._every[timer], _GROWING[timer])

    def _enter(self, now: float) -> None:
        kept = self.lasting if self.state is State.PROCEEDING else frozenset()
        self._running = {timer: at for timer, at in self._running.items() if timer in kept}
        for timer, slow, fast in self.timers.get(self.state, ()):
            seconds = fast if self.reliable else slow
            if seconds != NEVER:
                self._running[timer] = now + seconds
                self._every[timer] = seconds


class InviteClient(Transaction):
    """One INVITE from us, until nothing more can come back for it."""

    table = INVITE_CLIENT
    first = State.CALLING
    timers: ClassVar[Mapping[State, Timers]] = {
        State.CALLING: ((Input.TIMER_A, T1, NEVER), (Input.TIMER_B, LONGEST, LONGEST)),
        State.COMPLETED: ((Input.TIMER_D, TIMER_D, 0.0),),
        State.ACCEPTED: ((Input.TIMER_M, LONGEST, LONGEST),),
    }


class NonInviteClient(Transaction):
    """Any other request from us."""

    table = NON_INVITE_CLIENT
    first = State.TRYING
    timers: ClassVar[Mapping[State, Timers]] = {
        State.TRYING: ((Input.TIMER_E, T1, NEVER), (Input.TIMER_F, LONGEST, LONGEST)),
        State.COMPLETED: ((Input.TIMER_K, T4, 0.0),),
    }
    lasting = frozenset({Input.TIMER_E, Input.TIMER_F})

    def _again(self, timer: Input) -> float:
        """In PROCEEDING the request is repeated every T2 (17.1.2.2)."""
        return T2 if self.state is State.PROCEEDING else super()._again(timer)


class InviteServer(Transaction):
    """One INVITE to us. The 100 (Trying) is the user's, and due within 200 ms (17.2.1)."""

    table = INVITE_SERVER
    first = State.PROCEEDING
    timers: ClassVar[Mapping[State, Timers]] = {
        State.COMPLETED: ((Input.TIMER_G, T1, NEVER), (Input.TIMER_H, LONGEST, LONGEST)),
        State.CONFIRMED: ((Input.TIMER_I, T4, 0.0),),
        State.ACCEPTED: ((Input.TIMER_L, LONGEST, LONGEST),),
    }

    def request(self, now: float) -> list[Action]:
        """The INVITE came again."""
        return self._step(Input.REQUEST, now)

    def ack(self, now: float) -> list[Action]:
        """An ACK with the branch of this INVITE came."""
        return self._step(Input.ACK, now)


class NonInviteServer(Transaction):
    """Any other request to us."""

    table = NON_INVITE_SERVER
    first = State.TRYING
    timers: ClassVar[Mapping[State, Timers]] = {State.COMPLETED: ((Input.TIMER_J, LONGEST, 0.0),)}

    def request(self, now: float) -> list[Action]:
        """The request came again."""
        return self._step(Input.REQUEST, now)


ClientTransaction: TypeAlias = InviteClient | NonInviteClient
ServerTransaction: TypeAlias = InviteServer | NonInviteServer
