"""The calling side of a call: from our INVITE to our ACK (RFC 3261 section 13.2, 9.1, 14; RFC 3262).

Each To tag that answers is a fork with a dialog of its own. The first 2xx wins; the others are acknowledged and ended
with BYE, whenever they come. Nothing is dialled that a 3xx names. A hang-up before the answer is a CANCEL, sent after
the first provisional response; a 2xx that crosses it is acknowledged and ended.
"""

from collections.abc import Callable
from dataclasses import replace

from signaling.sip.address import Address
from signaling.sip.call import ALLOW, SDP, Call, Input, State
from signaling.sip.callcore import CallCore, Fields
from signaling.sip.callevents import Answered, Cause, Profile, Progress
from signaling.sip.dialog import Dialog, DialogId, Forks, Outcome
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.headers import Headers
from signaling.sip.message import CSeq, Request, Response
from signaling.sip.reliable import ReliableReceiver
from signaling.sip.sessiontimer import retry_interval
from signaling.sip.transaction import LONGEST
from signaling.sip.transactionlayer import Flow, Key, Send, cancel_for, client_key
from signaling.sip.uri import SipUri

MAX_TOO_SMALL = 3
"""422 that are answered by asking for more."""
LONGEST_RING_S = 300.0
"""A call of ours that rings longer than this is cancelled, whatever the user wants."""


class CallingSide(Call):
    incoming = False

    def __init__(
        self,
        core: CallCore,
        id: str,
        target: SipUri,
        local: Address,
        offer: bytes,
        flow: Flow,
        profile: Profile,
        now: float,
        *,
        fields: Fields = (),
        to: Address | None = None,
        on_fork: "Callable[[CallingSide, Dialog], None]" = lambda call, dialog: None,
    ) -> None:
        """Sends the INVITE. `fields`: P-Asserted-Identity and the like. `on_fork` learns of every dialog.

        Raises:
            LocalSipError: it cannot be written, or there are too many transactions.
        """
        super().__init__(core, id, flow, profile)
        self.call_id = core.new_token()
        self._target = target
        self._local = local.with_tag(core.new_token())
        self._to = to or Address(target)
        self._fields = fields
        self._offer = offer
        self._number = 0
        self._forks: Forks | None = None
        self._receivers: dict[DialogId, ReliableReceiver] = {}
        self._early: dict[DialogId, bytes] = {}
        self._acks: dict[DialogId, bytes] = {}
        self._on_fork = on_fork
        self._sent: Request | None = None
        self._provisional = False
        """A 1xx came for the INVITE that is out."""
        self._cancelled = False
        """The CANCEL is out."""
        self._give_up_at: float | None = None
        self._cancel_cause: Cause = "cancelled"
        self._too_small = 0
        self._ring_until: float | None = now + LONGEST_RING_S
        self.exchange.offer(offer)
        self._invite_now(now)

    def _invite_now(self, now: float) -> None:
        self.core.ask(self._build, self.flow, now, self._responded, self.profile.account, self.id)

    def _build(self, more: Fields) -> Request:
        self._number += 1
        place = self.core.place
        contact = place.contact(self.flow)
        lines = [("Via", self.core.via(self.flow)), ("Max-Forwards", "70"), ("From", str(self._local))]
        lines += [("To", str(self._to)), ("Call-ID", self.call_id), ("CSeq", str(CSeq(self._number, "INVITE")))]
        lines += [("Contact", str(contact)), ("Allow", ALLOW)]
        if self.profile.reliable == "required":
            lines.append(("Require", "100rel"))
        can = ("100rel" if self.profile.reliable == "yes" else "", "timer" if self._session_s else "", "replaces")
        lines.append(("Supported", ", ".join(one for one in can if one)))
        lines += [*self._expires_fields(), *self._fields, SDP, *more]
        request = Request(Headers(lines), self._offer, "INVITE", self._target)
        self._sent, self._provisional = request, False
        self._forks = Forks(request, contact)
        return request

    # --- commands ---

    def hang_up(self, now: float, *fields: tuple[str, str], cause: Cause = "hangup") -> None:
        if self.state in (State.CALLING, State.RINGING):
            self._move(Input.CANCEL)
            self._cancel_cause = "cancelled" if cause == "hangup" else cause
            self._give_up_at = now + LONGEST
            self._cancel(now)
        else:
            super().hang_up(now, *fields, cause=cause)

    # --- what comes ---

    def _responded(self, response: Response | None, now: float) -> None:
        if response is None:
            self._nobody()
            return
        assert self._forks is not None
        if response.status < 200 and not self._provisional:
            self._provisional = True
            if self.state is State.CANCELLING:
                self._cancel(now)
        try:
            outcome, dialog = self._forks.receive(response)
        except MessageError as problem:
            if response.status >= 200 and self.state is not State.UP:
                self._end("them", "failed", response.status, problem.detail)
            return
        if dialog is not None:
            self._on_fork(self, dialog)
        if dialog is None:
            self._without_dialog(outcome, response, now)
        elif outcome is Outcome.EARLY:
            self._progress(dialog, response, now)
        elif outcome is Outcome.ANSWERED:
            self._answered(dialog, response, now)
        elif outcome is Outcome.SURPLUS:
            self._surplus(dialog, now)
        elif outcome is Outcome.REPEATED and (ack := self._acks.get(dialog.id)) is not None:
            self.core.sends.append(Send(self.flow, ack))

    def _nobody(self) -> None:
        """No final answer in time, or no way to send."""
        if self.state is State.CANCELLING:
            self._end("us", self._cancel_cause, 408)
        elif self.state in (State.CALLING, State.RINGING):
            self._end("nobody", "no_answer", 408)

    def _without_dialog(self, outcome: Outcome, response: Response, now: float) -> None:
        if outcome is Outcome.FAILED:
            self._failed(response, now)
        elif 100 < response.status < 200 and self.state in (State.CALLING, State.RINGING):
            self._move(Input.RING)
            self.core.events.append(Progress(self.id, response.status))

    def _progress(self, dialog: Dialog, response: Response, now: float) -> None:
        self._heard(response)
        if "rseq" in {name.lower() for name, _ in response.headers}:
            receiver = self._receivers.setdefault(dialog.id, ReliableReceiver())
            rack = receiver.receive(response)
            if rack is None:
                return  # a repeat, or one before its turn
            self._prack(dialog, str(rack), now)
        if response.body:
            self._early[dialog.id] = response.body
        if self.state in (State.CALLING, State.RINGING):
            self._move(Input.RING)
            self.core.events.append(Progress(self.id, response.status, response.body or None))

    def _prack(self, dialog: Dialog, rack: str, now: float) -> None:
        def build(more: Fields) -> Request:
            return dialog.request("PRACK", self.core.via(self.flow), ("RAck", rack), *more)

        self.core.ask(build, self.flow, now, lambda response, at: None, self.profile.account, self.id)

    def _answered(self, dialog: Dialog, response: Response, now: float) -> None:
        self._heard(response)
        self._acknowledge(dialog)
        self.dialog = dialog
        answer = response.body or self._early.get(dialog.id, b"")
        if self.state is State.CANCELLING:
            self._bye(now, ())
            self._end("us", self._cancel_cause)
            return
        self.state = State.UP
        self._session_answered(response, now)
        if not answer:
            self._fail("Their 200 has no answer to our offer.", now)
            return
        self.exchange.answered(answer)
        self.core.events.append(Answered(self.id, answer))

    def _acknowledge(self, dialog: Dialog) -> None:
        ack = dialog.ack(self.core.via(self.flow)).serialize()
        self._acks[dialog.id] = ack
        self.core.sends.append(Send(self.flow, ack))

    def _surplus(self, dialog: Dialog, now: float) -> None:
        """Another fork was faster."""
        self._acknowledge(dialog)

        def build(more: Fields) -> Request:
            return dialog.request("BYE", self.core.via(self.flow), *more)

        self.core.ask(build, self.flow, now, lambda response, at: None, self.profile.account, self.id)

    def _failed(self, response: Response, now: float) -> None:
        if self.state is State.CANCELLING:
            self._end("us", self._cancel_cause, response.status)
        elif response.status == 422 and self._too_small < MAX_TOO_SMALL:
            self._too_small += 1
            try:
                self._session_s = retry_interval(response, self._session_s)
                wanted = max(self.profile.min_session_s, self._session_s)
                self.profile = replace(self.profile, min_session_s=wanted)
                self._invite_now(now)
            except (MessageError, LocalSipError) as problem:
                self._end("them", "failed", 422, problem.detail)
        elif 300 <= response.status < 400:
            contacts = tuple(response.contacts[:8])
            self._end("them", "moved", response.status, response.reason, contacts)
        else:
            self._end("them", "refused", response.status, response.reason)

    def _cancel(self, now: float) -> None:
        """Only after a provisional response (RFC 3261 section 9.1)."""
        if not self._provisional or self._cancelled or self._sent is None:
            return
        self._cancelled = True
        sent = self._sent
        self.core.ask(lambda more: cancel_for(sent), self.flow, now, lambda response, at: None, owner=self.id)

    def of_fork(self, key: Key, request: Request, dialog: Dialog, flow: Flow, now: float) -> None:
        """A request in an early dialog, or in a fork that has lost."""
        status = dialog.accept(request)
        if request.method == "ACK":
            return
        if status is None:
            status = {"BYE": 200, "OPTIONS": 200, "INFO": 200, "NOTIFY": 481}.get(request.method, 491)
        self.core.respond(key, request.reply(status, ("Allow", ALLOW)), now)

    # --- time ---

    def next_timeout(self) -> float | None:
        ring_until = self._ring_until if self.state in (State.CALLING, State.RINGING) else None
        times = [at for at in (super().next_timeout(), self._give_up_at, ring_until) if at is not None]
        return min(times, default=None)

    def timeout(self, now: float) -> None:
        if self._ring_until is not None and now >= self._ring_until:
            self._ring_until = None
            if self.state in (State.CALLING, State.RINGING):
                self.hang_up(now, cause="no_answer")
        if self._give_up_at is not None and now >= self._give_up_at:
            self._give_up_at = None
            if self.state is State.CANCELLING:  # no 487 came (RFC 3261 section 9.1)
                if self._sent is not None:
                    self.core.forget(client_key(self._sent.via.branch, "INVITE"))
                self._end("us", self._cancel_cause)
        super().timeout(now)

    def fork_ids(self) -> tuple[DialogId, ...]:
        return tuple(self._forks.dialogs) if self._forks is not None else ()
