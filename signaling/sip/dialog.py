"""Dialogs: two ends, a route between them, and two counters (RFC 3261 section 12).

`uas_dialog` makes the called side's dialog from the request and our tag, `uac_dialog` the calling side's from our
request and a response; each response with another To tag is another dialog (12.1.2, forking), which `Forks` keeps
apart. A dialog makes the requests inside it and judges those that come; it sends nothing and waits for nothing itself.
`AckTimer` is the one clock here: a 2xx to an INVITE is repeated by its user, not by the transaction (13.3.1.4).

    EARLY --2xx--> CONFIRMED --BYE--> ENDED        EARLY --failure, CANCEL, BYE--> ENDED
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from signaling.sip.address import Address
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.headers import Headers
from signaling.sip.message import CSeq, Request, Response
from signaling.sip.transaction import LONGEST, T1, T2
from signaling.sip.uri import SipUri, Uri

TARGET_REFRESH = frozenset({"INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER"})
"""Requests whose Contact moves the remote target (12.2, RFC 3311, RFC 6665)."""
MAX_EARLY = 16
"""Forks of one call that are kept; a proxy that makes more is broken or hostile."""


class State(Enum):
    EARLY = auto()
    CONFIRMED = auto()
    ENDED = auto()


class DialogId(NamedTuple):
    call_id: str
    local_tag: str
    remote_tag: str
    """"" for a peer of RFC 2543 times."""


@dataclass(slots=True)
class Dialog:
    id: DialogId
    local: Address
    remote: Address
    target: Uri
    """Their Contact: where requests go."""
    contact: Address
    """Ours."""
    routes: tuple[Address, ...]
    local_number: int
    remote_number: int | None
    """None until they have sent a request in this dialog."""
    secure: bool = False
    state: State = State.EARLY
    invite_number: int | None = None
    """Of our last INVITE, for its ACK."""

    def request(self, method: str, via: str, *fields: tuple[str, str], body: bytes = b"") -> Request:
        """The next request of ours (12.2.1.1). Raises LocalSipError after the end, and for an ACK or a CANCEL."""
        if self.state is State.ENDED or method in ("ACK", "CANCEL"):
            raise LocalSipError(f"There is no {method} to send as a new request of this dialog.")
        self.local_number += 1
        if method == "INVITE":
            self.invite_number = self.local_number
        return self._build(method, self.local_number, via, fields, body)

    def ack(self, via: str, *fields: tuple[str, str], body: bytes = b"") -> Request:
        """For a 2xx to our last INVITE (13.2.2.4): its number, a branch of its own."""
        if self.invite_number is None:
            raise LocalSipError("No INVITE of ours is in this dialog.")
        return self._build("ACK", self.invite_number, via, fields, body)

    def accept(self, request: Request) -> int | None:
        """A request of theirs in this dialog: None when it is in order, else the status to answer (12.2.2).

        A lower number than before is 500. An ACK has the number of its INVITE and is never answered; 481 means: drop
        it. The target moves and BYE ends the dialog.
        """
        if self.state is State.ENDED:
            return 481
        number = request.cseq.number
        if request.method == "ACK":
            return None if self.remote_number is None or number <= self.remote_number else 481
        if self.remote_number is not None and number <= self.remote_number:
            return 500
        self.remote_number = number
        if request.method in TARGET_REFRESH and request.contacts:
            self.target = request.contacts[0].uri
        if request.method == "BYE":
            self.state = State.ENDED
        return None

    def answered(self, response: Response) -> None:
        """A response to a request of ours in this dialog (12.2.1.2): the target moves; 408 and 481 end it."""
        method = response.cseq.method
        if 200 <= response.status < 300 and method in TARGET_REFRESH and response.contacts:
            self.target = response.contacts[0].uri
        gone = response.status in (408, 481) and method != "CANCEL"
        over = method == "BYE" and response.status >= 200 and response.status not in (401, 407)
        if gone or over:
            self.state = State.ENDED

    def confirm(self, response: Response | None = None) -> None:
        """A 2xx to the INVITE that made the dialog. At the calling side the 2xx says the route again (13.2.2.4)."""
        if self.state is State.EARLY:
            self.state = State.CONFIRMED
            if response is not None:
                self.routes = tuple(reversed(response.addresses("Record-Route")))
                self.answered(response)

    def end(self) -> None:
        self.state = State.ENDED

    def _build(self, method: str, number: int, via: str, fields: tuple[tuple[str, str], ...], body: bytes) -> Request:
        uri, routes = self.target, list(self.routes)
        first = routes[0].uri if routes else None
        if isinstance(first, SipUri) and first.parameter("lr") is None:
            # A strict router of RFC 2543 wants its own URI in the request line, and the target last (12.2.1.1).
            uri = first.bare()
            routes = [*routes[1:], Address(self.target)]
        lines = [("Via", via), ("Max-Forwards", "70"), *(("Route", str(route)) for route in routes)]
        lines += [("From", str(self.local)), ("To", str(self.remote)), ("Call-ID", self.id.call_id)]
        lines.append(("CSeq", str(CSeq(number, method))))
        if method in TARGET_REFRESH:
            lines.append(("Contact", str(self.contact)))
        return Request(Headers([*lines, *fields]), body, method, uri)


def uas_dialog(request: Request, tag: str, contact: Address, secure: bool = False) -> Dialog:
    """12.1.1. Raises MessageError (400) when the request has not exactly one Contact. `secure`: it came over TLS."""
    return Dialog(
        DialogId(request.call_id, tag, request.from_.tag or ""),
        request.to.with_tag(tag),
        request.from_,
        _one_contact(request),
        contact,
        tuple(request.addresses("Record-Route")),
        local_number=0,
        remote_number=request.cseq.number,
        secure=secure and request.uri.scheme == "sips",
    )


def uac_dialog(request: Request, response: Response, contact: Address, secure: bool = False) -> Dialog:
    """12.1.2, from a response 101 to 299 to our `request`. Raises MessageError without a Contact or a tag in ours."""
    if request.from_.tag is None:
        raise LocalSipError("Our request has no tag in From.")
    dialog = Dialog(
        DialogId(request.call_id, request.from_.tag, response.to.tag or ""),
        request.from_,
        response.to,
        _one_contact(response),
        contact,
        tuple(reversed(response.addresses("Record-Route"))),
        local_number=request.cseq.number,
        remote_number=None,
        secure=secure and request.uri.scheme == "sips",
        invite_number=request.cseq.number if request.method == "INVITE" else None,
    )
    if response.status >= 200:
        dialog.confirm()
    return dialog


def _one_contact(message: Request | Response) -> Uri:
    if len(message.contacts) != 1:
        raise MessageError("A message that makes a dialog has not exactly one Contact.")
    return message.contacts[0].uri


class AckDue(Enum):
    RESEND = auto()
    """Send the 2xx again."""
    BYE = auto()
    """No ACK came in 64*T1: end the call."""


class AckTimer:
    """Runs from our 2xx to an INVITE until its ACK: every T1, doubling to T2, over every transport (13.3.1.4)."""

    def __init__(self, now: float) -> None:
        self._every = T1
        self._at: float | None = now + T1
        self._until = now + LONGEST

    def acknowledged(self) -> None:
        self._at = None

    def next_timeout(self) -> float | None:
        return None if self._at is None else min(self._at, self._until)

    def timeout(self, now: float) -> AckDue | None:
        if self._at is None or now < min(self._at, self._until):
            return None
        if now >= self._until:
            self._at = None
            return AckDue.BYE
        self._every = min(2 * self._every, T2)
        self._at = now + self._every
        return AckDue.RESEND


class Outcome(Enum):
    """What to do with a response to an INVITE of ours."""

    NOTHING = auto()
    EARLY = auto()
    ANSWERED = auto()
    """The first 2xx: acknowledge it, the call is up."""
    REPEATED = auto()
    """The 2xx of a dialog that is known: send its ACK again."""
    SURPLUS = auto()
    """A 2xx of another fork: acknowledge it, then BYE (13.2.2.4)."""
    FAILED = auto()


@dataclass(slots=True)
class Forks:
    """Every dialog that one INVITE of ours makes. The first 2xx wins; early dialogs end with the transaction."""

    invite: Request
    contact: Address
    dialogs: dict[DialogId, Dialog] = field(default_factory=dict)
    winner: DialogId | None = None

    def receive(self, response: Response) -> tuple[Outcome, Dialog | None]:
        """Raises MessageError for a response that should make a dialog and cannot."""
        if response.status >= 300:
            failed = self.winner is None
            self._end_early()
            return (Outcome.FAILED if failed else Outcome.NOTHING), None
        if response.status == 100 or (response.status < 200 and response.to.tag is None):
            return Outcome.NOTHING, None
        id = DialogId(response.call_id, self.invite.from_.tag or "", response.to.tag or "")
        dialog = self.dialogs.get(id)
        if dialog is None:
            if response.status < 200 and (self.winner is not None or len(self.dialogs) >= MAX_EARLY):
                return Outcome.NOTHING, None
            dialog = self.dialogs[id] = uac_dialog(self.invite, response, self.contact)
            known = False
        else:
            known = dialog.state is not State.EARLY
        if response.status < 200:
            return (Outcome.NOTHING if known else Outcome.EARLY), dialog
        if known:
            return Outcome.REPEATED, dialog
        dialog.confirm(response)
        if self.winner is None:
            self.winner = id
            return Outcome.ANSWERED, dialog
        return Outcome.SURPLUS, dialog

    def over(self) -> None:
        """64*T1 after the first 2xx no other can come (13.2.2.4): early dialogs end."""
        self._end_early()

    def _end_early(self) -> None:
        for dialog in self.dialogs.values():
            if dialog.state is State.EARLY:
                dialog.end()
