"""A SIP user agent without I/O: calls both ways, a registrar, OPTIONS and MESSAGE, behind a gate.

`receive` takes the bytes of one message and where they came from. Commands (`invite`, `answer`, `hang_up`, ...) name a
call by its id. All of them give back the bytes to send; what the user is to hear lies in `events` until `heard()` takes
it. `timeout(now)` is due at `next_timeout()`. Requests of ours go to the flow that was given for the call, whatever
Contact, Record-Route or Via say: routes are static (no RFC 3263), and nobody can point our packets at a third.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from signaling.sip.address import Address
from signaling.sip.admission import Admission
from signaling.sip.call import ALLOW, SUPPORTED, Call
from signaling.sip.callbodies import read_replaces
from signaling.sip.callcore import CallCore, Fields, Place
from signaling.sip.called import CalledSide
from signaling.sip.callevents import (
    Account,
    CallEvent,
    Cause,
    Ended,
    Incoming,
    Profile,
    Refused,
    RegistrationChanged,
    Texted,
)
from signaling.sip.calling import CallingSide
from signaling.sip.dialog import Dialog, DialogId
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.gate import Gate, Turned
from signaling.sip.headers import Headers
from signaling.sip.message import CSeq, Request, Response, parse
from signaling.sip.registrar import Binding, Registrar
from signaling.sip.transaction import LONGEST
from signaling.sip.transactionlayer import (
    RETRY_AFTER,
    Canceled,
    Flow,
    Key,
    Received,
    Send,
    TransactionLayer,
    answer_flow,
    stamped,
)
from signaling.sip.uri import SipUri, Uri

MAX_CALLS = 2000
"""Calls at once; another is answered 503."""
SWEEP_S = 10.0
"""How often expired bindings are forgotten."""
MAX_TEXT = 4096
METHODS = frozenset("INVITE ACK CANCEL BYE OPTIONS REGISTER MESSAGE INFO UPDATE PRACK REFER NOTIFY".split())
BODIES = frozenset(
    {
        "application/sdp",
        "application/dtmf-relay",
        "application/dtmf",
        "application/media_control+xml",
        "message/sipfrag",
        "text/plain",
        "multipart/mixed",
    }
)
OUTSIDE = frozenset({"INVITE", "OPTIONS", "REGISTER", "MESSAGE"})
"""What makes sense outside of a dialog; the rest is answered 481."""

C = TypeVar("C", bound=Call)


class UserAgent:
    """`new_token`: unguessable text, at least 64 bits. `random`: a number in [0, 1)."""

    def __init__(
        self,
        place: Place,
        gate: Gate,
        new_token: Callable[[], str],
        random: Callable[[], float],
        registrar: Registrar | None = None,
        max_calls: int = MAX_CALLS,
        max_transactions: int = 10_000,
    ) -> None:
        self.place = place
        self.gate = gate
        self.registrar = registrar
        self.counters: Counter[str] = Counter()
        self.calls: dict[str, Call] = {}
        self.layer = TransactionLayer(new_token, max_transactions)
        self._core = CallCore(self.layer, place, new_token, random)
        self._new_token = new_token
        self._max_calls = max_calls
        self._dialogs: dict[DialogId, tuple[str, Dialog]] = {}
        self._by_key: dict[Key, str] = {}
        """Their INVITEs that have no final answer."""
        self._graves: dict[str, Call] = {}
        """Calls that are over: a late 2xx of a fork, a BYE that crosses ours, still find their dialog for 64*T1."""
        self._due: list[tuple[float, str]] = []
        self._armed: dict[str, float] = {}
        self._sweep_at: float | None = None
        self._admission = Admission(METHODS, frozenset({"100rel", "timer", "replaces", "outbound", "path"}), BODIES)

    # --- what comes in ---

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Send]:
        """One datagram, or one message of a stream. Raises nothing for what the net sends."""
        if not self.gate.listens(flow, now):
            self.counters["banned"] += 1
            return []
        try:
            message = parse(data)
        except MessageError as problem:
            return self._malformed(problem, flow, now)
        if isinstance(message, Request) and message.method != "ACK":
            turned = self.gate.pace(message, flow, now)
            if turned is not None:
                self._tell(turned, message, flow, now)
                if turned.status:
                    self._core.sends.append(self._stateless(message, flow, turned.status, *turned.fields))
                return self._out(now)
        for effect in self._core.take(self.layer.receive(message, flow, now), now):
            if isinstance(effect, Canceled):
                self._canceled(effect.key, now)
            else:
                try:
                    self._request(effect, now)
                except MessageError as problem:  # a field that parsing leaves alone, read only now
                    self._unreadable(effect, problem, now)
        return self._out(now)

    def _unreadable(self, effect: Received, problem: MessageError, now: float) -> None:
        self._tell(Turned(f"sip_{problem.status}", problem.detail, problem.status), effect.request, effect.flow, now)
        if effect.key:
            reply = effect.request.reply(problem.status, tag=self._new_token())
            self._core.respond(effect.key, reply, now)

    def restore(self, user: str, binding: Binding, now: float) -> None:
        """A registration of before a restart."""
        assert self.registrar is not None
        self.registrar.restore(user, binding)
        self._sweep_at = self._sweep_at or now + SWEEP_S

    def lost(self, connection: str, now: float) -> list[Send]:
        """A connection ended, or could not be opened."""
        if self.registrar is not None:
            for user in self.registrar.lost(connection):
                contacts = len(self.registrar.bindings(user, now))
                self._core.events.append(RegistrationChanged(user, contacts, Flow("", 0, connection)))
        self._core.take(self.layer.fail_connection(connection, now), now)
        return self._out(now)

    def unframed(self, flow: Flow, now: float) -> None:
        """A connection was cut off because no message could be found in what it sent."""
        self.counters["unframed"] += 1
        self.gate.noted("unframed", flow, now)

    def heard(self) -> list[CallEvent]:
        """What happened since this was last asked."""
        events, self._core.events = self._core.events, []
        return events

    def _malformed(self, problem: MessageError, flow: Flow, now: float) -> list[Send]:
        self.counters["malformed"] += 1
        self.gate.noted("malformed", flow, now)
        if problem.request is None or self.gate.pace(problem.request, flow, now) is not None:
            return []
        return [self._stateless(problem.request, flow, problem.status)]

    def _stateless(self, request: Request, flow: Flow, status: int, *fields: tuple[str, str]) -> Send:
        reply = stamped(request, flow).reply(status, *fields, tag=self._new_token())
        return Send(answer_flow(request, flow), reply.serialize())

    def _tell(self, turned: Turned, request: Request, flow: Flow, now: float) -> None:
        self.counters[f"refused_{turned.rule}"] += 1
        if turned.misdeed is not None:
            self.gate.noted(turned.misdeed, flow, now)
        if not turned.quiet:
            event = Refused(
                turned.rule,
                turned.why,
                turned.status,
                request.method,
                flow,
                _name(request.from_),
                str(request.uri)[:200],
            )
            self._core.events.append(event)

    def _request(self, effect: Received, now: float) -> None:
        key, request, flow = effect.key, effect.request, effect.flow
        refusal = self._admission.refuse(request)
        if request.to.tag is not None or request.method == "ACK":
            if refusal is not None and key:
                self._core.respond(key, request.reply(refusal.status, *refusal.fields), now)
                return
            self._within(key, request, flow, now)
            return
        turned: Turned | None = None
        if refusal is not None:
            turned = Turned(f"sip_{refusal.status}", refusal.why, refusal.status, refusal.fields)
        elif request.method not in OUTSIDE:
            turned = Turned("no_dialog", f"There is no dialog for this {request.method}.", 481)
        else:
            given = self.gate.admit(request, flow, now)
            if isinstance(given, Turned):
                turned = given
            else:
                turned = self._admitted(key, request, flow, given.who, given.profile, now)
        if turned is not None:
            self._tell(turned, request, flow, now)
            if turned.status:
                reply = request.reply(turned.status, *turned.fields, tag=self._new_token())
                self._core.respond(key, reply, now)
            else:
                self.layer.drop(key)

    def _admitted(
        self, key: Key, request: Request, flow: Flow, who: str, profile: Profile, now: float
    ) -> Turned | None:
        if request.method == "INVITE":
            return self._incoming(key, request, flow, who, profile, now)
        if request.method == "REGISTER":
            return self._register(key, request, flow, now)
        fields: tuple[tuple[str, str], ...] = ()
        if request.method == "OPTIONS":
            fields = (("Allow", ALLOW), ("Accept", "application/sdp"), ("Supported", SUPPORTED))
        else:
            text = request.body[:MAX_TEXT].decode("utf-8", "replace")
            self._core.events.append(Texted(who, request, text))
        self._core.respond(key, request.reply(200, *fields, tag=self._new_token()), now)
        return None

    def _register(self, key: Key, request: Request, flow: Flow, now: float) -> Turned | None:
        if self.registrar is None:
            return Turned("no_registrar", "Nobody registers here.", 405, (("Allow", ALLOW),))
        wrong, user = self.registrar.wrong, _user(request.to.uri)
        response = self.registrar.register(request, flow, now)
        if self.registrar.wrong > wrong:
            self.counters["wrong_digest"] += 1
            self.gate.noted("wrong_digest", flow, now)
            name = _name(request.from_)
            self._core.events.append(
                Refused("wrong_digest", "The digest of a REGISTER is wrong.", 401, "REGISTER", flow, name, user)
            )
        elif response.status == 200:
            agent = (request.headers.first("User-Agent") or "")[:100]
            contacts = len(self.registrar.bindings(user, now))
            self._core.events.append(RegistrationChanged(user, contacts, flow, agent))
            self._sweep_at = self._sweep_at or now + SWEEP_S
        elif response.status not in (401, 423):
            self._tell(Turned("register", f"A REGISTER was answered {response.status}."), request, flow, now)
        self._core.respond(key, response, now)
        return None

    def _incoming(
        self, key: Key, request: Request, flow: Flow, who: str, profile: Profile, now: float
    ) -> Turned | None:
        if len(self.calls) >= self._max_calls:
            return Turned("capacity", "There are too many calls.", 503, (("Retry-After", RETRY_AFTER),))
        replaces: str | None = None
        if (text := request.headers.first("Replaces")) is not None:
            read = read_replaces(text)
            found = None if read is None else self._dialogs.get(DialogId(read[0], read[1], read[2]))
            if found is None or getattr(self.calls.get(found[0]), "who", who) != who:
                return Turned("replaces", "There is no call of this caller that could be replaced.", 481)
            replaces = found[0]
        try:
            id = self._new_token()
            call = CalledSide(self._core, id, who, key, request, flow, profile, now)
        except MessageError as problem:
            fields = (("Min-SE", str(profile.min_session_s)),) if problem.status == 422 else ()
            return Turned(f"sip_{problem.status}", problem.detail, problem.status, fields)
        assert call.dialog is not None
        self.calls[id] = call
        self._dialogs[call.dialog.id] = (id, call.dialog)
        self._by_key[key] = id
        self._core.respond(key, request.reply(100), now)
        self._core.events.append(Incoming(id, who, request, flow, request.body or None, replaces))
        self._arm(call)
        return None

    def _canceled(self, key: Key, now: float) -> None:
        call = self.calls.get(self._by_key.get(key, ""))
        if isinstance(call, CalledSide):
            call.cancelled(now)
            self._arm(call)

    def _within(self, key: Key, request: Request, flow: Flow, now: float) -> None:
        id = DialogId(request.call_id, request.to.tag or "", request.from_.tag or "")
        found = self._dialogs.get(id)
        if found is None:
            if key:
                self._core.respond(key, request.reply(481, tag=self._new_token()), now)
            return
        name, dialog = found
        call = self.calls.get(name)
        if call is not None and call.dialog is dialog:
            call.receive(key, request, flow, now)
            self._arm(call)
        elif key:
            forked = call or self._graves.get(name)
            if isinstance(forked, CallingSide) and forked.dialog is not dialog:
                forked.of_fork(key, request, dialog, flow, now)
            else:
                status = 200 if request.method == "BYE" else 481  # it crossed ours
                self._core.respond(key, request.reply(status), now)

    # --- commands ---

    def invite(
        self,
        target: SipUri,
        offer: bytes,
        flow: Flow,
        profile: Profile,
        now: float,
        *,
        local: Address | None = None,
        to: Address | None = None,
        fields: Fields = (),
    ) -> tuple[str, list[Send]]:
        """Call somebody over `flow`. The id of the call, and what to send.

        Raises:
            LocalSipError: there are too many calls, or the INVITE cannot be written.
        """
        if len(self.calls) >= self._max_calls:
            raise LocalSipError(f"There are already {self._max_calls} calls.")
        id = self._new_token()

        def forked(call: CallingSide, dialog: Dialog) -> None:
            self._dialogs.setdefault(dialog.id, (id, dialog))

        call = CallingSide(
            self._core, id, target, local or self.place.contact(Flow("", 0)), offer, flow, profile, now,
            fields=fields, to=to, on_fork=forked,
        )  # fmt: skip
        self.calls[id] = call
        self._arm(call)
        return id, self._out(now)

    def ring(self, call: str, now: float, status: int = 180, description: bytes = b"") -> list[Send]:
        return self._do(call, CalledSide, lambda one: one.ring(now, status, description), now)

    def answer(self, call: str, description: bytes, now: float) -> list[Send]:
        return self._do(call, CalledSide, lambda one: one.answer(description, now), now)

    def reject(self, call: str, status: int, now: float, *fields: tuple[str, str]) -> list[Send]:
        return self._do(call, CalledSide, lambda one: one.reject(status, now, *fields), now)

    def hang_up(self, call: str, now: float, *fields: tuple[str, str], cause: Cause = "hangup") -> list[Send]:
        return self._do(call, Call, lambda one: one.hang_up(now, *fields, cause=cause), now)

    def offer(self, call: str, description: bytes, now: float) -> list[Send]:
        return self._do(call, Call, lambda one: one.offer(description, now), now)

    def accept_offer(self, call: str, description: bytes, now: float) -> list[Send]:
        return self._do(call, Call, lambda one: one.accept_offer(description, now), now)

    def refuse_offer(self, call: str, status: int, now: float) -> list[Send]:
        return self._do(call, Call, lambda one: one.refuse_offer(status, now), now)

    def send_digit(self, call: str, digit: str, now: float) -> list[Send]:
        return self._do(call, Call, lambda one: one.send_digit(digit, now), now)

    def transfer(self, call: str, target: Uri, now: float, replaces: str | None = None) -> list[Send]:
        other = self.calls.get(replaces) if replaces is not None else None
        return self._do(call, Call, lambda one: one.transfer(target, now, other), now)

    def accept_transfer(self, call: str, now: float) -> list[Send]:
        return self._do(call, Call, lambda one: one.accept_transfer(now), now)

    def refuse_transfer(self, call: str, status: int, now: float) -> list[Send]:
        return self._do(call, Call, lambda one: one.refuse_transfer(status, now), now)

    def notify_transfer(self, call: str, status: int, now: float) -> list[Send]:
        return self._do(call, Call, lambda one: one.notify_transfer(status, now), now)

    def ask(
        self,
        method: str,
        target: SipUri,
        flow: Flow,
        now: float,
        done: Callable[[Response | None, float], None],
        *,
        fields: Fields = (),
        body: bytes = b"",
        local: Address | None = None,
        to: Address | None = None,
        call_id: str = "",
        account: Account | None = None,
        first_number: int = 1,
    ) -> list[Send]:
        """A request outside of a dialog: OPTIONS, REGISTER, MESSAGE. `done` hears final answers."""
        caller = (local or self.place.contact(Flow("", 0))).with_tag(self._new_token())
        place, number, name = self.place, first_number - 1, call_id or self._new_token()

        def build(more: Fields) -> Request:
            nonlocal number
            number += 1
            lines = [("Via", self._core.via(flow)), ("Max-Forwards", "70"), ("From", str(caller))]
            lines += [("To", str(to or Address(target))), ("Call-ID", name), ("CSeq", str(CSeq(number, method)))]
            lines += [("Contact", str(place.contact(flow)))] if method == "OPTIONS" else []
            return Request(Headers([*lines, *fields, *more]), body, method, target)

        def answered(response: Response | None, at: float) -> None:
            if response is None or response.status >= 200:
                done(response, at)

        self._core.ask(build, flow, now, answered, account)
        return self._out(now)

    def _do(self, call: str, kind: type[C], step: Callable[[C], None], now: float) -> list[Send]:
        """A command to a call that has ended meanwhile does nothing."""
        one = self.calls.get(call)
        if isinstance(one, kind):
            step(one)
            self._arm(one)
        return self._out(now)

    # --- time ---

    def next_timeout(self) -> float | None:
        while self._due and self._armed.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        times = [self.layer.next_timeout(), self._sweep_at, self._due[0][0] if self._due else None]
        return min((at for at in times if at is not None), default=None)

    def timeout(self, now: float) -> list[Send]:
        self._core.take(self.layer.timeout(now), now)
        self._core.fade(now)
        while self._due and self._due[0][0] <= now:
            at, id = heapq.heappop(self._due)
            call = self.calls.get(id)
            if self._armed.get(id) != at:
                continue
            del self._armed[id]
            if call is None:
                self._bury(id)
            else:
                call.timeout(now)
                self._arm(call)
        if self.registrar is not None and self._sweep_at is not None and now >= self._sweep_at:
            for user in self.registrar.timeout(now):
                self._core.events.append(RegistrationChanged(user, 0, Flow("", 0)))
            self._sweep_at = now + SWEEP_S if self.registrar.next_timeout() is not None else None
        return self._out(now)

    def _arm(self, call: Call) -> None:
        at = call.next_timeout()
        if at is None:
            self._armed.pop(call.id, None)
        else:
            self._arm_at(call.id, at)

    def _arm_at(self, id: str, at: float) -> None:
        if self._armed.get(id) == at:
            return
        self._armed[id] = at
        heapq.heappush(self._due, (at, id))
        if len(self._due) > 2 * len(self._armed) + 64:  # session timers of calls that are long over
            self._due = [(when, one) for one, when in self._armed.items()]
            heapq.heapify(self._due)

    def _out(self, now: float) -> list[Send]:
        """What is to be sent; calls that have ended are put aside."""
        for id in self._core.touched:
            if (touched := self.calls.get(id)) is not None:
                self._arm(touched)
        self._core.touched.clear()
        for event in self._core.events:
            if isinstance(event, Ended) and event.call in self.calls:
                call = self.calls.pop(event.call)
                call.settle(now)
                if isinstance(call, CalledSide):
                    self._by_key.pop(call.key, None)
                self._graves[call.id] = call
                self._arm_at(call.id, now + LONGEST)
        sends, self._core.sends = self._core.sends, []
        return sends

    def _bury(self, id: str) -> None:
        """Nothing can come any more for a call that has ended."""
        call = self._graves.pop(id, None)
        if call is None:
            return
        forks = call.fork_ids() if isinstance(call, CallingSide) else ()
        for dialog in (*forks, *((call.dialog.id,) if call.dialog is not None else ())):
            self._dialogs.pop(dialog, None)


def _user(uri: Uri) -> str:
    return (uri.user or "") if isinstance(uri, SipUri) else str(uri)


def _name(address: Address) -> str:
    uri = address.uri
    return f"{uri.user or ''}@{uri.host}"[:200] if isinstance(uri, SipUri) else str(uri)[:200]
