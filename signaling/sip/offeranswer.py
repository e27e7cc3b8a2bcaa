"""Whose turn it is in offer and answer, and what hold means (RFC 3264, RFC 3261 section 13.2.1, RFC 6337).

One exchange at a time. An offer while one is open is refused: 491 when it is ours that is open (glare), 500 with
Retry-After when it is theirs (RFC 3261 section 14.2). A late offer, an INVITE without a body, is the same table with us
offering in the 2xx and their answer in the ACK. What the descriptions say is `media.negotiation`'s business.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Literal, TypeAlias

from signaling.sip.errors import LocalSipError, MessageError

Direction: TypeAlias = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

GLARE_OWNER = (2.1, 4.0)
"""Seconds to wait after a 491, for the side that made the Call-ID (RFC 3261 section 14.1); take one at random."""
GLARE_OTHER = (0.0, 2.0)


class State(Enum):
    IDLE = auto()
    WE_OFFERED = auto()
    THEY_OFFERED = auto()


class Input(Enum):
    OUR_OFFER = auto()
    THEIR_OFFER = auto()
    OUR_ANSWER = auto()
    THEIR_ANSWER = auto()
    REJECTED = auto()
    """The open offer was refused, or the request that carried it failed: what was agreed before holds."""


TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.IDLE, Input.OUR_OFFER): State.WE_OFFERED,
    (State.IDLE, Input.THEIR_OFFER): State.THEY_OFFERED,
    (State.WE_OFFERED, Input.THEIR_ANSWER): State.IDLE,
    (State.WE_OFFERED, Input.REJECTED): State.IDLE,
    (State.THEY_OFFERED, Input.OUR_ANSWER): State.IDLE,
    (State.THEY_OFFERED, Input.REJECTED): State.IDLE,
}


class OfferAnswer:
    """`local` and `remote` are the descriptions that are agreed, None before the first exchange is over."""

    def __init__(self) -> None:
        self.state = State.IDLE
        self.local: bytes | None = None
        self.remote: bytes | None = None
        self._open = b""

    @property
    def offering(self) -> bytes:
        """Our offer that is open, b"" when there is none."""
        return self._open if self.state is State.WE_OFFERED else b""

    def offer(self, description: bytes) -> None:
        """Ours. Raises LocalSipError while an exchange is open."""
        self._ours(Input.OUR_OFFER)
        self._open = description

    def answer(self, description: bytes) -> None:
        """Ours, to theirs."""
        self._ours(Input.OUR_ANSWER)
        self.local, self.remote = description, self._open

    def offered(self, description: bytes) -> None:
        """Theirs. Raises MessageError with 491 or 500."""
        if self.state is not State.IDLE:
            status = 491 if self.state is State.WE_OFFERED else 500
            raise MessageError("An offer came while another is open.", status)
        self.state = TRANSITIONS[self.state, Input.THEIR_OFFER]
        self._open = description

    def answered(self, description: bytes) -> None:
        """Theirs, to ours. A second answer in the same exchange (a 200 behind a reliable 183) is left unread."""
        if self.state is State.WE_OFFERED:
            self.state = TRANSITIONS[self.state, Input.THEIR_ANSWER]
            self.local, self.remote = self._open, description
        elif self.state is State.THEY_OFFERED:
            raise MessageError("An answer came while their own offer is open.")

    def reject(self) -> None:
        self.state = TRANSITIONS.get((self.state, Input.REJECTED), self.state)

    def _ours(self, given: Input) -> None:
        if (self.state, given) not in TRANSITIONS:
            raise LocalSipError(f"{given.name} is not possible in {self.state.name}.")
        self.state = TRANSITIONS[self.state, given]


def _flags(direction: Direction) -> tuple[bool, bool]:
    return direction in ("sendrecv", "sendonly"), direction in ("sendrecv", "recvonly")


def _named(sends: bool, receives: bool) -> Direction:
    if sends:
        return "sendrecv" if receives else "sendonly"
    return "recvonly" if receives else "inactive"


def answer_direction(offered: Direction, wanted: Direction = "sendrecv") -> Direction:
    """What we answer to `offered` when we want `wanted` (RFC 3264 section 6.1): never more than their mirror image.

    A hold (`sendonly`) is answered `recvonly`, not `sendrecv`: carriers end calls over that.
    """
    they_send, they_receive = _flags(offered)
    we_send, we_receive = _flags(wanted)
    return _named(we_send and they_receive, we_receive and they_send)


def on_hold(direction: Direction, address: str = "") -> bool:
    """Whether the other side's description holds us: it will not hear us. `c=0.0.0.0` is how RFC 2543 said it."""
    return direction in ("sendonly", "inactive") or address == "0.0.0.0"


def hold(direction: Direction) -> Direction:
    """What to offer to hold (RFC 3264 section 8.4): what we sent goes on, nothing is heard."""
    return _named(_flags(direction)[0], False)
