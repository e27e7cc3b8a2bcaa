"""What calls tell their user. `call` is the id that the user gives back with its commands."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from signaling.sip.address import Address
from signaling.sip.message import Request
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import Uri

By: TypeAlias = Literal["us", "them", "nobody"]
Cause: TypeAlias = Literal[
    "hangup", "cancelled", "refused", "no_answer", "no_ack", "session_expired", "replaced", "failed", "moved"
]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call that the gate let in; it has its 100. Ring, answer or reject it. `offer` None: they want ours (late)."""

    call: str
    who: str
    """As the gate names the caller: `phone:...`, `trunk:...`."""
    request: Request
    flow: Flow
    offer: bytes | None
    replaces: str | None = None
    """The call whose place it takes (RFC 3891): answer, and that one is ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Of our call: 180, 183 and the like. `answer` is early media, and once more what the 2xx will say."""

    call: str
    status: int
    answer: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """Our call was taken."""

    call: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Our 2xx has its ACK: the call is up. `answer` is theirs to a late offer of ours."""

    call: str
    answer: bytes | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """They offer anew within the call (hold, resume, other media): accept_offer or refuse_offer."""

    call: str
    offer: bytes


@dataclass(frozen=True, slots=True)
class OfferWanted:
    """A re-INVITE without a body: accept_offer with an offer of ours, theirs comes as `Renegotiated`."""

    call: str


@dataclass(frozen=True, slots=True)
class Renegotiated:
    """Their answer to an offer of ours within the call, or in a PRACK."""

    call: str
    answer: bytes


@dataclass(frozen=True, slots=True)
class OfferFailed:
    """They refused our offer; what was agreed before holds."""

    call: str
    status: int


@dataclass(frozen=True, slots=True)
class Digit:
    """A key by INFO."""

    call: str
    digit: str
    milliseconds: int = 160


@dataclass(frozen=True, slots=True)
class PictureWanted:
    """They ask for a whole picture (RFC 5168)."""

    call: str


@dataclass(frozen=True, slots=True)
class Referred:
    """They ask us to call somebody (REFER): accept_transfer or refuse_transfer."""

    call: str
    target: Uri
    replaces: str = ""
    """The Replaces of an attended transfer, as it stood in the Refer-To."""


@dataclass(frozen=True, slots=True)
class TransferProgress:
    """How far the transfer that we asked for is; a final one comes once."""

    call: str
    status: int


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes of this call.

    `cause`: `hangup` a BYE, `cancelled` before it was taken, `refused` with `status`, `no_answer` nobody said anything,
    `no_ack`, `session_expired` the far end is silently gone, `replaced`, `failed` they broke the protocol.
    """

    call: str
    by: By
    cause: Cause
    status: int = 0
    reason: str = ""
    contacts: tuple[Address, ...] = ()
    """Of a 3xx. They are not followed by themselves: nobody makes this server dial."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that the gate or the core turned away, and the rule that did."""

    rule: str
    why: str
    status: int
    """0: dropped without a word."""
    method: str
    flow: Flow
    caller: str = ""
    called: str = ""


@dataclass(frozen=True, slots=True)
class Texted:
    """A MESSAGE; it has its 200."""

    who: str
    request: Request
    text: str


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """A user of ours has come, refreshed, moved or gone."""

    user: str
    contacts: int
    flow: Flow
    agent: str = ""


CallEvent: TypeAlias = (
    Incoming
    | Progress
    | Answered
    | Confirmed
    | Offered
    | OfferWanted
    | Renegotiated
    | OfferFailed
    | PictureWanted
    | Digit
    | Referred
    | TransferProgress
    | Ended
    | Refused
    | Texted
    | RegistrationChanged
)


@dataclass(frozen=True, slots=True)
class Profile:
    """How to speak with one peer."""

    reliable: Literal["no", "yes", "required"] = "yes"
    """Reliable 1xx (RFC 3262)."""
    session_s: int = 1800
    """Session timer that we ask for; 0 = none of ours, theirs is still honoured."""
    min_session_s: int = 90
    account: "Account | None" = None
    info_digits: bool = True


@dataclass(frozen=True, slots=True)
class Account:
    """What we answer a peer's challenges with."""

    realm: str
    username: str
    password: str = field(repr=False)
