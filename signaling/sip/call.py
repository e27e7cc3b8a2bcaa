"""One call from inside: what both sides do once there is a dialog (RFC 3261 sections 12 to 15, RFC 3264, 3311, 4028).

`CalledSide` (`called.py`) and `CallingSide` (`calling.py`) begin it. Here is what comes after: offers both ways by
re-INVITE and UPDATE with one exchange at a time, hold, session timers with both refreshers, keys by INFO, transfers by
REFER, and the end. No clock: `timeout(now)` is due at `next_timeout()`.

    OFFERED --ring--> RINGING --answer--> ANSWERED --ACK--> UP --BYE--> ENDED     the called side
    CALLING --1xx--> RINGING --2xx--> UP --BYE--> ENDED                           the calling side
    CALLING, RINGING --hang up--> CANCELLING --487 or 2xx and BYE--> ENDED
"""

from collections.abc import Mapping
from enum import Enum, auto

from signaling.sip.address import Address, parse_address
from signaling.sip.callbodies import DIGITS, read_digit, read_fragment, unescaped, wants_picture
from signaling.sip.callcore import CallCore, Fields, Handler
from signaling.sip.callevents import (
    By,
    Cause,
    Digit,
    Ended,
    Offered,
    OfferFailed,
    OfferWanted,
    PictureWanted,
    Profile,
    Referred,
    Renegotiated,
    TransferProgress,
)
from signaling.sip.dialog import AckDue, AckTimer, Dialog
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.message import REASONS, Request, Response
from signaling.sip.offeranswer import GLARE_OTHER, GLARE_OWNER, OfferAnswer
from signaling.sip.offeranswer import State as Exchange
from signaling.sip.reliable import ReliableSender
from signaling.sip.sessiontimer import (
    Due,
    SessionExpires,
    SessionTimer,
    answer_session,
    read_session_expires,
    retry_interval,
)
from signaling.sip.transactionlayer import Flow, Key, Send
from signaling.sip.uri import SipUri, Uri

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, REFER, NOTIFY, MESSAGE"
SUPPORTED = "100rel, timer, replaces"
SDP = ("Content-Type", "application/sdp")
REFRESH_AGAIN_S = 2.0
"""A refresh that meets an open offer is tried again after this."""


class State(Enum):
    CALLING = auto()
    OFFERED = auto()
    RINGING = auto()
    CANCELLING = auto()
    ANSWERED = auto()
    UP = auto()
    ENDED = auto()


class Input(Enum):
    RING = auto()
    ANSWER = auto()
    ACK = auto()
    CANCEL = auto()
    END = auto()


TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.OFFERED, Input.RING): State.RINGING,
    (State.OFFERED, Input.ANSWER): State.ANSWERED,
    (State.CALLING, Input.RING): State.RINGING,
    (State.CALLING, Input.ANSWER): State.UP,
    (State.CALLING, Input.CANCEL): State.CANCELLING,
    (State.RINGING, Input.RING): State.RINGING,
    (State.RINGING, Input.CANCEL): State.CANCELLING,
    (State.CANCELLING, Input.CANCEL): State.CANCELLING,
    (State.ANSWERED, Input.ACK): State.UP,
    **{(state, Input.END): State.ENDED for state in State if state is not State.ENDED},
}
"""RINGING --ANSWER--> is ANSWERED at the called side and UP at the calling side: see `answered`."""


class Call:
    """What both sides share."""

    incoming: bool

    def __init__(self, core: CallCore, id: str, flow: Flow, profile: Profile) -> None:
        self.id = id
        self.core = core
        self.flow = flow
        self.profile = profile
        self.state = State.CALLING
        self.exchange = OfferAnswer()
        self.dialog: Dialog | None = None
        self.allows: frozenset[str] = frozenset()
        """Methods that they take, in lower case."""
        self._invite_key: Key | None = None
        """Their INVITE or UPDATE with an offer that waits for our word."""
        self._invite: Request | None = None
        self._reliable: ReliableSender | None = None
        self._success = b""
        """Our last 2xx to an INVITE, until its ACK."""
        self._success_flow = flow
        self._ack_timer: AckTimer | None = None
        self._session: SessionTimer | None = None
        self._session_s = profile.session_s
        self._inviting = False
        """An INVITE or UPDATE of ours is open within the call."""
        self._ack: bytes = b""
        """Our last ACK to a 2xx, for its repeats."""
        self._again_at: float | None = None
        self._again: bytes = b""
        """An offer (or b"" for a refresh) to be sent at `_again_at`, after glare."""
        self._bye_when_up: Fields | None = None
        self._transfer_key: Key | None = None
        self._transfer_request: Request | None = None
        self._notifying: str | None = None
        """The Event of the transfer that they wait to hear about."""
        self._watching_transfer = False

    # --- what the user commands ---

    def offer(self, description: bytes, now: float) -> None:
        """Offer anew within the call: hold, resume, other media. `Renegotiated` or `OfferFailed` follows.

        Raises:
            LocalSipError: the call is not up, or another offer is open.
        """
        if self.state is not State.UP or self._inviting:
            raise LocalSipError("An offer within a call needs a call that is up and no other open offer.")
        self.exchange.offer(description)
        self._reinvite(description, now)

    def accept_offer(self, description: bytes, now: float) -> None:
        """Our answer to `Offered`, or our offer after `OfferWanted`."""
        key, request = self._invite_key, self._invite
        if key is None or request is None or self.state is not State.UP:
            return
        if self.exchange.state is Exchange.THEY_OFFERED:
            self.exchange.answer(description)
        else:
            self.exchange.offer(description)
        self._accept(key, request, description, now)

    def refuse_offer(self, status: int, now: float) -> None:
        """488 and the like: what was agreed before holds."""
        if self._invite_key is not None and self._invite is not None and self.state is State.UP:
            self.exchange.reject()
            self.core.respond(self._invite_key, self._reply(self._invite, status), now)
            self._invite_key = self._invite = None

    def send_digit(self, digit: str, now: float, milliseconds: int = 160) -> None:
        if digit not in DIGITS:
            raise LocalSipError(f"{digit!r} is no key of a phone.")
        body = f"Signal={digit}\r\nDuration={milliseconds}\r\n".encode()
        self._within("INFO", (("Content-Type", "application/dtmf-relay"),), now, body)

    def transfer(self, target: Uri, now: float, replaces: "Call | None" = None) -> None:
        """Ask them to call `target` (RFC 3515), in the place of `replaces` (RFC 3891). `TransferProgress` follows."""
        refer_to = f"<{target}>"
        if replaces is not None and replaces.dialog is not None:
            id = replaces.dialog.id
            value = f"{id.call_id};to-tag={id.remote_tag};from-tag={id.local_tag}"
            escaped = "".join(one if one.isalnum() or one in "-_.!~*" else f"%{ord(one):02X}" for one in value)
            refer_to = f"<{target}?Replaces={escaped}>"
        self._watching_transfer = True
        self._within("REFER", (("Refer-To", refer_to), ("Referred-By", str(self._local_address()))), now)

    def accept_transfer(self, now: float) -> None:
        if self._transfer_key is None or self._transfer_request is None:
            return
        fields = (("Contact", str(self._contact())),)
        self.core.respond(self._transfer_key, self._reply(self._transfer_request, 202, *fields), now)
        self._notifying = f"refer;id={self._transfer_request.cseq.number}"
        self._transfer_key = self._transfer_request = None
        self.notify_transfer(100, now)

    def refuse_transfer(self, status: int, now: float) -> None:
        if self._transfer_key is not None and self._transfer_request is not None:
            self.core.respond(self._transfer_key, self._reply(self._transfer_request, status), now)
            self._transfer_key = self._transfer_request = None

    def notify_transfer(self, status: int, now: float) -> None:
        """Tell them how the transfer goes (RFC 3515 section 2.4.4); a status of 200 or more ends it."""
        if self._notifying is None or self.state is not State.UP:
            return
        over = status >= 200
        fields = (
            ("Event", self._notifying),
            ("Subscription-State", "terminated;reason=noresource" if over else "active;expires=60"),
            ("Content-Type", "message/sipfrag;version=2.0"),
        )
        self._within("NOTIFY", fields, now, f"SIP/2.0 {status} {REASONS.get(status, 'Unknown')}\r\n".encode())
        if over:
            self._notifying = None

    def hang_up(self, now: float, *fields: tuple[str, str], cause: Cause = "hangup") -> None:
        """End the call, in whatever state it is. The sides add what is theirs."""
        if self.state is State.UP:
            self._bye(now, fields)
            self._end("us", cause)
        elif self.state is State.ANSWERED:
            # RFC 3261 section 15: no BYE before the ACK, or before nobody waits for it any more.
            self._bye_when_up = fields

    def settle(self, now: float) -> None:
        """The call has ended: whatever of theirs still waits for our word gets one."""
        for key, request in ((self._invite_key, self._invite), (self._transfer_key, self._transfer_request)):
            if key is not None and request is not None:
                self.core.respond(key, self._reply(request, 487), now)
        self._invite_key = self._invite = self._transfer_key = self._transfer_request = None

    # --- what comes in ---

    def receive(self, key: Key, request: Request, flow: Flow, now: float) -> None:
        """A request within the dialog."""
        assert self.dialog is not None
        if request.method == "ACK":
            if self.dialog.accept(request) is None:
                self._acknowledged(request, now)
            return
        status = self.dialog.accept(request)
        if status is not None:
            self.core.respond(key, self._reply(request, status), now)
            return
        if flow.host == self.flow.host:
            self.flow = flow  # a phone behind NAT, or one that came back over another connection
        try:
            self._method(key, request, now)
        except MessageError as problem:
            fields = (("Retry-After", "2"),) if problem.status == 500 else ()
            self.core.respond(key, self._reply(request, problem.status, *fields), now)

    def _method(self, key: Key, request: Request, now: float) -> None:
        match request.method:
            case "INVITE" | "UPDATE":
                self._offered(key, request, now)
            case "BYE":
                self.core.respond(key, self._reply(request, 200), now)
                self._their_bye(now)
            case "PRACK":
                self._pracked(key, request, now)
            case "INFO":
                self._info(key, request, now)
            case "REFER":
                self._refer(key, request, now)
            case "NOTIFY":
                self._notify(key, request, now)
            case "OPTIONS" | "MESSAGE":
                self.core.respond(key, self._reply(request, 200, ("Allow", ALLOW)), now)
            case _:
                self.core.respond(key, self._reply(request, 405, ("Allow", ALLOW)), now)

    def _offered(self, key: Key, request: Request, now: float) -> None:
        refresh = request.method == "UPDATE" and not request.body
        if self.state is not State.UP and not (refresh or request.method == "UPDATE"):
            raise MessageError("A re-INVITE came before the call is up.", 500 if self.incoming else 491)
        answer_session(request, self._ours(), self.profile.min_session_s)
        if refresh:
            self._accept(key, request, b"", now)
            return
        if self.state is not State.UP:
            raise MessageError("An offer came before the call is up.", 491)
        if self._invite_key is not None or self._ack_timer is not None:
            raise MessageError("An offer of theirs is open already.", 500)
        if self._inviting:
            raise MessageError("An offer of ours is open.", 491)
        if request.body:
            self.exchange.offered(request.body)
        elif self.exchange.state is not Exchange.IDLE:
            raise MessageError("Another offer is open.", 491)
        self._invite_key, self._invite = key, request
        if request.method == "INVITE":
            self.core.respond(key, request.reply(100), now)
        self.core.events.append(Offered(self.id, request.body) if request.body else OfferWanted(self.id))

    def _accept(self, key: Key, request: Request, body: bytes, now: float) -> None:
        """200 to a re-INVITE or an UPDATE."""
        fields = [("Contact", str(self._contact())), ("Allow", ALLOW), ("Supported", SUPPORTED)]
        fields += self._session_fields(request, now)
        if body:
            fields.append(SDP)
        response = self._reply(request, 200, *fields, body=body)
        self.core.respond(key, response, now)
        if key == self._invite_key:
            self._invite_key = self._invite = None
        if request.method == "INVITE":
            self._repeat(response, now)

    def _repeat(self, response: Response, now: float) -> None:
        self._success, self._success_flow, self._ack_timer = response.serialize(), self.flow, AckTimer(now)

    def _acknowledged(self, ack: Request, now: float) -> None:
        if self._ack_timer is None:
            return
        self._ack_timer, self._success = None, b""
        answer: bytes | None = None
        if self.exchange.state is Exchange.WE_OFFERED:
            if not ack.body:
                self.exchange.reject()
                self._fail("They did not answer our offer.", now)
                return
            answer = ack.body
            self.exchange.answered(answer)
        self._came_up(answer, now)

    def _came_up(self, answer: bytes | None, now: float) -> None:
        """The ACK to a re-INVITE; `CalledSide` adds that of the first."""
        if answer is not None:
            self.core.events.append(Renegotiated(self.id, answer))

    def _their_bye(self, now: float) -> None:
        self._end("them", "hangup")

    def _pracked(self, key: Key, request: Request, now: float) -> None:
        status = 481 if self._reliable is None else self._reliable.prack(request)
        self.core.respond(key, self._reply(request, status), now)

    def _info(self, key: Key, request: Request, now: float) -> None:
        digit = read_digit(request)
        if wants_picture(request):
            self.core.respond(key, self._reply(request, 200), now)
            self.core.events.append(PictureWanted(self.id))
            return
        if digit is None and request.body:
            accept = ("Accept", "application/dtmf-relay, application/dtmf, application/media_control+xml")
            self.core.respond(key, self._reply(request, 415, accept), now)
            return
        self.core.respond(key, self._reply(request, 200), now)
        if digit is not None and self.profile.info_digits:
            self.core.events.append(Digit(self.id, *digit))

    def _refer(self, key: Key, request: Request, now: float) -> None:
        values = request.headers.lines("Refer-To")
        if len(values) != 1 or self.state is not State.UP:
            raise MessageError("A REFER has not exactly one Refer-To.", 400)
        if self._transfer_key is not None or self._notifying is not None:
            raise MessageError("A transfer of this call is under way.", 491)
        uri = parse_address(values[0]).uri
        replaces = ""
        if isinstance(uri, SipUri):
            for pair in uri.headers.split("&"):
                name, _, value = pair.partition("=")
                if name.lower() == "replaces":
                    replaces = unescaped(value)
            uri = uri.bare()
        self._transfer_key, self._transfer_request = key, request
        self.core.events.append(Referred(self.id, uri, replaces))

    def _notify(self, key: Key, request: Request, now: float) -> None:
        event = (request.headers.first("Event") or "").split(";")[0].strip().lower()
        if event != "refer" or not self._watching_transfer:
            self.core.respond(key, self._reply(request, 481), now)
            return
        self.core.respond(key, self._reply(request, 200), now)
        status = read_fragment(request.body)
        if status is None:
            return
        over = status >= 200
        self._watching_transfer = not over
        self.core.events.append(TransferProgress(self.id, status))

    # --- what we ask within the call ---

    def _reinvite(self, description: bytes, now: float) -> None:
        """A re-INVITE with this offer."""
        self._inviting = True
        self._ask("INVITE", self._expires_fields(), now, self._reinvited, description)

    def _reinvited(self, response: Response | None, now: float) -> None:
        assert self.dialog is not None
        if response is not None and response.status < 200:
            return
        if response is not None and response.status < 300:
            if not self._inviting:
                if self._ack:
                    self.core.sends.append(Send(self.flow, self._ack))
                return
            self._inviting = False
            self.dialog.answered(response)
            ack = self.dialog.ack(self.core.via(self.flow))
            self._ack = ack.serialize()
            self.core.sends.append(Send(self.flow, self._ack))
            self._session_answered(response, now)
            if not response.body:
                self.exchange.reject()
                self._fail("Their 200 to our offer has no answer.", now)
                return
            answered = self.exchange.state is Exchange.WE_OFFERED
            self.exchange.answered(response.body)
            if answered and self.state is State.UP:
                self.core.events.append(Renegotiated(self.id, response.body))
            return
        self._not_taken(response, now, offered=True)

    def _not_taken(self, response: Response | None, now: float, offered: bool) -> None:
        """Our re-INVITE or UPDATE was refused or found nobody."""
        self._inviting = False
        open_offer = self.exchange.offering if offered else b""
        if offered:
            self.exchange.reject()
        status = 408 if response is None else response.status
        if self.state is not State.UP:
            return
        if response is None or status in (408, 481):
            self._bye(now, ())
            self._end("nobody", "no_answer", status)
        elif status == 491:
            low, high = GLARE_OTHER if self.incoming else GLARE_OWNER
            self._again, self._again_at = open_offer, now + low + (high - low) * self.core.random()
        elif status == 422:
            self._session_s = retry_interval(response, self._session_s)
            self._again, self._again_at = open_offer, now
        elif offered and open_offer != self.exchange.local:
            self.core.events.append(OfferFailed(self.id, status))

    def _refresh(self, now: float) -> None:
        if self._inviting or self._invite_key is not None or self.exchange.state is not Exchange.IDLE:
            self._again, self._again_at = b"", now + REFRESH_AGAIN_S
        elif "update" in self.allows:
            self._inviting = True
            self._ask("UPDATE", self._expires_fields(), now, self._updated)
        elif self.exchange.local is not None:
            self.exchange.offer(self.exchange.local)
            self._reinvite(self.exchange.local, now)

    def _updated(self, response: Response | None, now: float) -> None:
        if response is not None and response.status < 200:
            return
        if response is not None and response.status < 300:
            self._inviting = False
            self._session_answered(response, now)
        else:
            self._not_taken(response, now, offered=False)

    def _within(self, method: str, fields: Fields, now: float, body: bytes = b"") -> None:
        """INFO, REFER, NOTIFY: what they answer matters only when they say that there is no such call."""

        def answered(response: Response | None, at: float) -> None:
            if response is None or self.state is not State.UP or response.status < 200:
                return
            if method == "REFER" and response.status >= 300:
                self._watching_transfer = False
                self.core.events.append(TransferProgress(self.id, response.status))
            if response.status == 481 and method != "NOTIFY":
                self._end("nobody", "failed", 481)

        if self.state is not State.UP:
            raise LocalSipError(f"A {method} needs a call that is up.")
        self._ask(method, fields, now, answered, body)

    def _ask(self, method: str, fields: Fields, now: float, handler: Handler, body: bytes = b"") -> None:
        dialog, kind = self.dialog, (SDP,) if body and method in ("INVITE", "UPDATE") else ()
        assert dialog is not None
        allow = (("Allow", ALLOW), ("Supported", SUPPORTED)) if method in ("INVITE", "UPDATE") else ()

        def build(more: Fields) -> Request:
            return dialog.request(method, self.core.via(self.flow), *allow, *fields, *kind, *more, body=body)

        self.core.ask(build, self.flow, now, handler, self.profile.account, self.id)

    def _bye(self, now: float, fields: Fields) -> None:
        self._ask("BYE", fields, now, lambda response, at: None)

    # --- time ---

    def next_timeout(self) -> float | None:
        times = [self._again_at]
        for one in (self._ack_timer, self._session, self._reliable):
            if one is not None:
                times.append(one.next_timeout())
        return min((at for at in times if at is not None), default=None)

    def timeout(self, now: float) -> None:
        if self._ack_timer is not None:
            due = self._ack_timer.timeout(now)
            if due is AckDue.RESEND:
                self.core.sends.append(Send(self._success_flow, self._success))
            elif due is AckDue.BYE:
                self._ack_timer = None
                if self._bye_when_up is None:
                    self._bye(now, (("Reason", 'SIP;cause=408;text="No ACK"'),))
                    self._end("nobody", "no_ack")
                else:
                    self._bye(now, self._bye_when_up)
                    self._end("us", "hangup")
        if self._session is not None and self.state in (State.UP, State.ANSWERED):
            expired = self._session.timeout(now)
            if expired is Due.REFRESH:
                self._refresh(now)
            elif expired is Due.BYE:
                self._bye(now, (("Reason", 'SIP;cause=408;text="Session expired"'),))
                self._end("nobody", "session_expired")
        if self._again_at is not None and now >= self._again_at and self.state is State.UP:
            self._again_at, again = None, self._again
            if not again:
                self._refresh(now)
            elif self._inviting or self.exchange.state is not Exchange.IDLE:
                self._again_at = now + REFRESH_AGAIN_S
            else:
                self.exchange.offer(again)
                self._reinvite(again, now)

    # --- session timers ---

    def _ours(self) -> int:
        return self._session_s or 1800

    def _expires_fields(self) -> Fields:
        """In our INVITE or UPDATE."""
        if not self._session_s:
            return ()
        return (("Session-Expires", str(self._session_s)), ("Min-SE", str(self.profile.min_session_s)))

    def _session_fields(self, request: Request, now: float) -> list[tuple[str, str]]:
        """In our 2xx. Raises MessageError with 422."""
        asked = read_session_expires(request)
        if not self._session_s and asked is None:
            return []
        agreed = answer_session(request, self._ours(), self.profile.min_session_s)
        if agreed is None:
            return []
        self._run_session(agreed, agreed.refresher == "uas", now)
        return [("Session-Expires", str(agreed)), *((("Require", "timer"),) if agreed.refresher == "uac" else ())]

    def _session_answered(self, response: Response, now: float) -> None:
        """Their 2xx to our INVITE or UPDATE."""
        try:
            agreed = read_session_expires(response)
        except MessageError:
            agreed = None
        if agreed is not None and agreed.seconds >= 1:
            self._run_session(agreed, agreed.refresher != "uas", now)
        else:
            self._session = None

    def _run_session(self, agreed: SessionExpires, refresher: bool, now: float) -> None:
        if self._session is None:
            self._session = SessionTimer(agreed.seconds, refresher, now)
        else:
            self._session.refreshed(agreed.seconds, refresher, now)

    # --- helpers ---

    def _reply(self, request: Request, status: int, *fields: tuple[str, str], body: bytes = b"") -> Response:
        tag = self.dialog.id.local_tag if self.dialog is not None else self.core.new_token()
        return request.reply(status, *fields, tag=tag, body=body)

    def _contact(self) -> Address:
        return self.core.place.contact(self.flow)

    def _local_address(self) -> Uri:
        assert self.dialog is not None
        return self.dialog.local.uri

    def _heard(self, message: Request | Response) -> None:
        """What they say that they can; a malformed list says nothing."""
        try:
            self.allows = message.headers.tokens("Allow") or self.allows
        except MessageError:
            return

    def _fail(self, why: str, now: float) -> None:
        """They broke the protocol in a way that leaves no call."""
        if self.state is State.UP or self.state is State.ANSWERED:
            self._bye(now, (("Reason", f'SIP;cause=488;text="{why}"'),))
        self._end("them", "failed", reason=why)

    def _move(self, given: Input) -> bool:
        after = TRANSITIONS.get((self.state, given))
        if after is not None:
            self.state = after
        return after is not None

    def _end(self, by: By, cause: Cause, status: int = 0, reason: str = "", contacts: tuple[Address, ...] = ()) -> None:
        if not self._move(Input.END):
            return
        if self.dialog is not None:
            self.dialog.end()
        self._session = self._ack_timer = self._reliable = None
        self._again_at = None
        self.core.events.append(Ended(self.id, by, cause, status, reason, contacts))
