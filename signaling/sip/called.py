"""The called side of a call: from their INVITE to its ACK (RFC 3261 section 13.3, RFC 3262, RFC 6026).

A late offer, an INVITE without a body, has our offer in the 2xx (or in a reliable 1xx) and theirs to read from the ACK
(or the PRACK). A 2xx that is ready while a reliable 1xx waits for its PRACK waits too (RFC 3262 section 5).
"""

from signaling.sip.call import ALLOW, SDP, SUPPORTED, Call, Input, State
from signaling.sip.callcore import CallCore
from signaling.sip.callevents import By, Cause, Confirmed, Profile, Renegotiated
from signaling.sip.dialog import uas_dialog
from signaling.sip.errors import LocalSipError
from signaling.sip.message import Request
from signaling.sip.offeranswer import State as Exchange
from signaling.sip.reliable import ReliableSender
from signaling.sip.sessiontimer import answer_session
from signaling.sip.transactionlayer import Flow, Key

MAX_QUEUED = 4
"""Reliable 1xx that wait for the PRACK of the one before; the oldest of more is left out."""
LONGEST_RING_S = 180.0
"""A call that the user neither takes nor rejects in this is answered 480."""


class CalledSide(Call):
    incoming = True

    def __init__(
        self, core: CallCore, id: str, who: str, key: Key, request: Request, flow: Flow, profile: Profile, now: float
    ) -> None:
        """Raises MessageError (with the status to answer) for an INVITE that cannot become a call."""
        super().__init__(core, id, flow, profile)
        self.who = who
        self.state = State.OFFERED
        self.key = key
        self.request = request
        answer_session(request, self._ours(), profile.min_session_s)
        self.dialog = uas_dialog(request, core.new_token(), core.place.contact(flow), flow.transport in ("TLS", "WSS"))
        self._heard(request)
        if request.body:
            self.exchange.offered(request.body)
        asked = request.headers.tokens("Require") | request.headers.tokens("Supported")
        self._wants_reliable = "100rel" in request.headers.tokens("Require") or (
            "100rel" in asked and profile.reliable != "no"
        )
        self._queued: list[tuple[int, bytes]] = []
        self._ready: bytes | None = None
        """The description of a 2xx that waits for a PRACK."""
        self._ring_until = now + LONGEST_RING_S

    # --- commands ---

    def ring(self, now: float, status: int = 180, description: bytes = b"") -> None:
        """A 1xx. With a description it is early media: an answer, or (reliably) our offer to a late one."""
        if not 100 < status < 200:
            raise LocalSipError("A call rings with a 1xx above 100.")
        if not self._move(Input.RING) and self.state is not State.RINGING:
            return
        if not self._wants_reliable:
            if description and self.exchange.state is not Exchange.THEY_OFFERED:
                description = b""  # a late offer cannot stand in a 1xx that may be lost
            self._provisional(status, description, now)
        elif self._reliable is not None and self._reliable.waiting:
            self._queued = [*self._queued[-(MAX_QUEUED - 1) :], (status, description)]
        else:
            self._provisional(status, description, now)

    def answer(self, description: bytes, now: float) -> None:
        """Take the call: 200. `Confirmed` follows with the ACK."""
        if self.state not in (State.OFFERED, State.RINGING):
            return
        self._queued.clear()
        if self._reliable is not None and self._reliable.waiting:
            self._ready = description
            return
        self._success_now(description, now)

    def reject(self, status: int, now: float, *fields: tuple[str, str]) -> None:
        """Do not take it."""
        if self.state in (State.OFFERED, State.RINGING):
            self.core.respond(self.key, self._reply(self.request, status, *fields), now)
            self._end("us", "refused", status)

    def hang_up(self, now: float, *fields: tuple[str, str], cause: Cause = "hangup") -> None:
        if self.state in (State.OFFERED, State.RINGING):
            self.core.respond(self.key, self._reply(self.request, 480, *fields), now)
            self._end("us", cause, 480)
        else:
            super().hang_up(now, *fields, cause=cause)

    # --- what comes ---

    def cancelled(self, now: float) -> None:
        """They gave up before we took it. A CANCEL that crosses our 2xx changes nothing: they will send a BYE."""
        if self.state in (State.OFFERED, State.RINGING):
            self.core.respond(self.key, self._reply(self.request, 487), now)
            self._end("them", "cancelled", 487)

    def _their_bye(self, now: float) -> None:
        if self.state in (State.OFFERED, State.RINGING):  # a BYE in an early dialog (RFC 3261 section 15.1.2)
            self.core.respond(self.key, self._reply(self.request, 487), now)
        super()._their_bye(now)

    def _pracked(self, key: Key, request: Request, now: float) -> None:
        sender = self._reliable
        status = 481 if sender is None else sender.prack(request)
        self.core.respond(key, self._reply(request, status), now)
        if status != 200:
            return
        if request.body and self.exchange.state is Exchange.WE_OFFERED:
            self.exchange.answered(request.body)
            self.core.events.append(Renegotiated(self.id, request.body))
        if self._ready is not None:
            ready, self._ready = self._ready, None
            self._success_now(ready, now)
        elif self._queued:
            self._provisional(*self._queued.pop(0), now)

    def next_timeout(self) -> float | None:
        at = super().next_timeout()
        if self.state not in (State.OFFERED, State.RINGING):
            return at
        return self._ring_until if at is None else min(at, self._ring_until)

    def timeout(self, now: float) -> None:
        if self.state in (State.OFFERED, State.RINGING) and now >= self._ring_until:
            self.core.respond(self.key, self._reply(self.request, 480), now)
            self._end("nobody", "no_answer", 480)
        if self._reliable is not None and self.state in (State.OFFERED, State.RINGING):
            again = self._reliable.timeout(now)
            if again is not None:
                self.core.respond(self.key, again, now)
            elif self._reliable.failed:
                self.core.respond(self.key, self._reply(self.request, 504), now)
                self._end("nobody", "no_answer", 504, "Nobody acknowledged a reliable response.")
        super().timeout(now)

    def _came_up(self, answer: bytes | None, now: float) -> None:
        if self.state is not State.ANSWERED:
            super()._came_up(answer, now)
            return
        self._move(Input.ACK)
        if self._bye_when_up is not None:
            self._bye(now, self._bye_when_up)
            self._end("us", "hangup")
            return
        self.core.events.append(Confirmed(self.id, answer))

    # --- helpers ---

    def _provisional(self, status: int, description: bytes, now: float) -> None:
        fields = [("Contact", str(self._contact())), ("Allow", ALLOW), ("Supported", SUPPORTED)]
        if description:
            fields.append(SDP)
        response = self._reply(self.request, status, *fields, body=description)
        if self._wants_reliable:
            if self._reliable is None:
                self._reliable = ReliableSender(self.request.cseq, 1 + int(self.core.random() * 2**30))
            response = self._reliable.send(response, now)
            if description and self.exchange.state is Exchange.THEY_OFFERED:
                self.exchange.answer(description)
            elif description and self.exchange.state is Exchange.IDLE and self.exchange.remote is None:
                self.exchange.offer(description)
        self.core.respond(self.key, response, now)

    def _success_now(self, description: bytes, now: float) -> None:
        body = description
        if self.exchange.state is Exchange.THEY_OFFERED:
            self.exchange.answer(description)
        elif self.exchange.state is Exchange.IDLE and self.exchange.remote is None:
            self.exchange.offer(description)
        else:
            body = b""  # a reliable 1xx has said it
        fields = [("Contact", str(self._contact())), ("Allow", ALLOW), ("Supported", SUPPORTED)]
        fields += self._session_fields(self.request, now)
        if body:
            fields.append(SDP)
        response = self._reply(self.request, 200, *fields, body=body)
        assert self.dialog is not None
        self.dialog.confirm()
        self.state = State.ANSWERED
        self._repeat(response, now)
        self.core.respond(self.key, response, now)

    def _end(self, by: By, cause: Cause, status: int = 0, reason: str = "", contacts: tuple = ()) -> None:  # type: ignore[type-arg]
        self._queued.clear()
        self._ready = None
        super()._end(by, cause, status, reason, contacts)
