"""Which transaction a message belongs to, and what goes out for it (RFC 3261 sections 17.1.3, 17.2.3, 9.2, 8.2.2.2).

`TransactionLayer` takes parsed messages, our requests and our responses; it gives a list of effects: `Send` (bytes for
the transport), `Received`, `Answered`, `Canceled`, `TimedOut` (for the user). It holds at most `max_transactions`; over
that a new request is answered 503 with Retry-After and leaves nothing behind. `timeout` is due at `next_timeout`.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TypeAlias

from signaling.sip.errors import LocalSipError
from signaling.sip.headers import Headers
from signaling.sip.message import Request, Response
from signaling.sip.transaction import (
    Action,
    ClientTransaction,
    InviteClient,
    InviteServer,
    NonInviteClient,
    NonInviteServer,
    ServerTransaction,
    State,
)

MAX_TRANSACTIONS = 10_000
RETRY_AFTER = "10"
"""Seconds, in the 503 of a full table."""

Key: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a message came from or goes to. `connection` names one connection, "" is the UDP port.

    Its letters say the transport: `tcp7`, `tls3`, `ws2`, `wss4` for those that others opened, `tcp:192.0.2.7:5060` and
    `tls:...` for those that we open when there is something to send.
    """

    host: str
    port: int
    connection: str = ""

    @property
    def reliable(self) -> bool:
        return bool(self.connection)

    @property
    def transport(self) -> str:
        """As in a Via."""
        return "".join(takewhile(str.isalpha, self.connection)).upper() or "UDP"


@dataclass(frozen=True, slots=True)
class Send:
    flow: Flow
    data: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A new request; answer it with `respond(key, ...)`. An ACK to a 2xx has an empty key and no answer."""

    key: Key
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Answered:
    """A response to our request `key`."""

    key: Key
    response: Response


@dataclass(frozen=True, slots=True)
class Canceled:
    """They cancel their INVITE `key`, which has no final answer yet: answer it with 487. The CANCEL has its 200."""

    key: Key


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Nobody answered our request, or acknowledged our refusal, or the transport failed (`failed`)."""

    key: Key
    failed: bool = False


Effect: TypeAlias = Send | Received | Answered | Canceled | TimedOut


def stamped(request: Request, flow: Flow) -> Request:
    """With `received` and `rport` in the topmost Via (18.2.1)."""
    return request.stamped(request.via.received_from(flow.host, flow.port))


def answer_flow(request: Request, flow: Flow) -> Flow:
    """Where answers go (18.2.2): the same connection; over UDP the address that the request came from, and the port of
    `rport` or of Via. `maddr` is not followed: nobody may send our answers to a third.
    """
    return flow if flow.reliable else Flow(flow.host, request.via.answer_to()[1])


def server_key(request: Request) -> Key:
    """17.2.3. An ACK has the key of its INVITE. Without the magic cookie: the fields that RFC 2543 compared, for an ACK
    without the tag in To, which the answer added.
    """
    via = request.via
    method = "INVITE" if request.method == "ACK" else request.method
    if via.unique:
        return ("server", via.branch.lower(), via.sent_by[0], str(via.sent_by[1]), method)
    cseq, tag = str(request.cseq.number), request.from_.tag or ""
    return ("old", str(request.uri), tag, request.call_id, cseq, method, str(via))


def client_key(branch: str, method: str) -> Key:
    """17.1.3."""
    return ("client", branch.lower(), method)


def ack_for(invite: Request, response: Response) -> Request:
    """The ACK to a failure: same URI, top Via and Route, To of the response (17.1.1.3)."""
    fields = [("Via", str(invite.via)), ("Max-Forwards", "70")]
    fields += [("Route", value) for value in invite.headers.lines("Route")]
    fields += [("From", invite.headers.first("From") or ""), ("To", response.headers.first("To") or "")]
    fields += [("Call-ID", invite.call_id), ("CSeq", f"{invite.cseq.number} ACK")]
    return Request(Headers(fields), b"", "ACK", invite.uri)


def cancel_for(invite: Request) -> Request:
    """9.1. To be sent only after a provisional response."""
    fields = [("Via", str(invite.via)), ("Max-Forwards", "70")]
    fields += [("Route", value) for value in invite.headers.lines("Route")]
    fields += [(name, invite.headers.first(name) or "") for name in ("From", "To", "Call-ID")]
    fields.append(("CSeq", f"{invite.cseq.number} CANCEL"))
    return Request(Headers(fields), b"", "CANCEL", invite.uri)


def forwarded(request: Request) -> Request | None:
    """With one hop less, or None when there is none left: answer 483 (16.3 step 3)."""
    left = request.max_forwards
    return None if left == 0 else replace(request, headers=request.headers.with_("Max-Forwards", str(left - 1)))


@dataclass(slots=True)
class _Client:
    machine: ClientTransaction
    request: Request
    flow: Flow
    data: bytes
    due: float | None = None
    """The earliest entry on the heap."""


@dataclass(slots=True)
class _Server:
    machine: ServerTransaction
    request: Request
    flow: Flow
    merge: Key
    last: bytes = b""
    tag: str = ""
    """Ours in To, once an answer had one."""
    answered: bool = False
    due: float | None = None


@dataclass(slots=True)
class TransactionLayer:
    """`new_tag` gives the tag for To in the answers that the layer makes itself; it must not be guessable."""

    new_tag: Callable[[], str]
    max_transactions: int = MAX_TRANSACTIONS
    refused: int = field(default=0, init=False)
    """Requests answered 503 because the table was full."""
    stray: int = field(default=0, init=False)
    """Responses and CANCELs that belong to nothing here."""
    _clients: dict[Key, _Client] = field(default_factory=dict, init=False)
    _servers: dict[Key, _Server] = field(default_factory=dict, init=False)
    _merges: dict[Key, Key] = field(default_factory=dict, init=False)
    _deadlines: list[tuple[float, Key]] = field(default_factory=list, init=False)

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def receive(self, message: Request | Response, flow: Flow, now: float) -> list[Effect]:
        """A parsed message came over `flow`."""
        if isinstance(message, Response):
            return self._response(message, now)
        message = stamped(message, flow)
        key = server_key(message)
        known = self._servers.get(key)
        if message.method == "ACK":
            return self._ack(known, key, message, flow, now)
        if known is not None:
            return self._run(key, known.machine.request(now), now)
        if message.method == "CANCEL":
            return self._cancel(message, flow)
        return self._new(key, message, flow, now)

    def request(self, request: Request, flow: Flow, now: float) -> list[Effect]:
        """Send our own request (not an ACK to a 2xx, which has no transaction). Its key is `client_key`.

        Raises LocalSipError for a branch that is not ours to use, or when the table is full.
        """
        key = client_key(request.via.branch, request.method)
        if not request.via.unique or key in self._clients or request.method == "ACK":
            raise LocalSipError("A request needs a branch of its own that begins with the magic cookie.")
        if len(self) >= self.max_transactions:
            raise LocalSipError(f"There are already {self.max_transactions} SIP transactions.")
        kind = InviteClient if request.method == "INVITE" else NonInviteClient
        data = request.serialize()
        self._clients[key] = _Client(kind(now, flow.reliable), request, flow, data)
        self._schedule(key, self._clients[key])
        return [Send(flow, data)]

    def respond(self, key: Key, response: Response, now: float) -> list[Effect]:
        """Answer the request `key`. An answer to what is already over, or a second final one, goes nowhere."""
        server = self._servers.get(key)
        if server is None:
            return []
        data = response.serialize()
        actions = server.machine.response(response.status, now)
        if Action.SEND in actions:
            server.last = data
            server.tag = response.to.tag or server.tag
            server.answered = response.status >= 200
        return self._run(key, actions, now)

    def drop(self, key: Key) -> None:
        """Forget a request: theirs is left unanswered, ours waits no longer."""
        self._forget(key)

    def fail(self, key: Key, now: float) -> list[Effect]:
        """The transport could not send for this transaction."""
        one = self._clients.get(key) or self._servers.get(key)
        return [] if one is None else self._run(key, one.machine.fail(now), now)

    def fail_connection(self, connection: str, now: float) -> list[Effect]:
        """A connection ended or could not be opened: what we asked over it gets no answer."""
        gone = [key for key, one in self._clients.items() if one.flow.connection == connection]
        return [effect for key in gone for effect in self.fail(key, now)]

    def next_timeout(self) -> float | None:
        return self._deadlines[0][0] if self._deadlines else None

    def timeout(self, now: float) -> list[Effect]:
        """Everything that is due. Deadlines that a later step has moved are skipped."""
        effects: list[Effect] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            at, key = heapq.heappop(self._deadlines)
            one = self._clients.get(key) or self._servers.get(key)
            if one is not None and one.due == at:
                one.due = None
                effects += self._run(key, one.machine.timeout(now), now)
        return effects

    def _new(self, key: Key, request: Request, flow: Flow, now: float) -> list[Effect]:
        answers = answer_flow(request, flow)
        if len(self) >= self.max_transactions:
            self.refused += 1
            return [Send(answers, request.reply(503, ("Retry-After", RETRY_AFTER), tag=self.new_tag()).serialize())]
        # 8.2.2.2: no tag in To, and From tag, Call-ID and CSeq of another branch: it came twice by different ways.
        merge = ("merge", request.from_.tag or "", request.call_id, str(request.cseq))
        if request.to.tag is None and self._merges.get(merge, key) != key:
            return [Send(answers, request.reply(482, tag=self.new_tag()).serialize())]
        kind = InviteServer if request.method == "INVITE" else NonInviteServer
        self._servers[key] = _Server(kind(now, flow.reliable), request, answers, merge)
        if request.to.tag is None:
            self._merges[merge] = key
        return [Received(key, request, flow)]

    def _ack(self, known: _Server | None, key: Key, ack: Request, flow: Flow, now: float) -> list[Effect]:
        if known is None:
            return [Received((), ack, flow)]
        if not isinstance(known.machine, InviteServer):
            return []
        actions = known.machine.ack(now)
        if Action.DELIVER in actions:
            return [Received((), ack, flow)]
        return self._run(key, actions, now)

    def _cancel(self, cancel: Request, flow: Flow) -> list[Effect]:
        """9.2. It is answered statelessly: the same CANCEL again finds the same INVITE, or none."""
        key = server_key(replace(cancel, method="INVITE"))
        flow = answer_flow(cancel, flow)
        invite = self._servers.get(key)
        if invite is None:
            self.stray += 1
            return [Send(flow, cancel.reply(481, tag=self.new_tag()).serialize())]
        tag = invite.tag or self.new_tag()  # that of the INVITE's answers (9.2)
        effects: list[Effect] = [Send(flow, cancel.reply(200, tag=tag).serialize())]
        return effects if invite.answered else [*effects, Canceled(key)]

    def _response(self, response: Response, now: float) -> list[Effect]:
        key = client_key(response.via.branch, response.cseq.method)
        client = self._clients.get(key)
        # 8.1.3.3: one with another Via below ours went astray.
        alone = len(response.headers.values("Via")) == 1
        if client is None or not alone or response.via.sent_by != client.request.via.sent_by:
            self.stray += 1
            return []
        return self._run(key, client.machine.response(response.status, now), now, response)

    def _run(self, key: Key, actions: list[Action], now: float, response: Response | None = None) -> list[Effect]:
        """Do what a machine said, then look at its next deadline and whether it is over."""
        client, server = self._clients.get(key), self._servers.get(key)
        effects: list[Effect] = []
        for action in actions:
            if action is Action.TIMED_OUT or action is Action.FAILED:
                effects.append(TimedOut(key, action is Action.FAILED))
            elif client is not None:
                effects += _client_effects(action, key, client, response)
            elif server is not None and action in (Action.SEND, Action.RESEND) and server.last:
                effects.append(Send(server.flow, server.last))
        one = client or server
        if one is not None and one.machine.state is State.TERMINATED:
            self._forget(key)
        elif one is not None:
            self._schedule(key, one)
        return effects

    def _schedule(self, key: Key, one: _Client | _Server) -> None:
        """An entry that comes too early finds nothing due and is made again; only an earlier deadline needs a new one.
        So repeats from the net add nothing to the heap.
        """
        at = one.machine.next_timeout()
        if at is not None and (one.due is None or at < one.due):
            one.due = at
            heapq.heappush(self._deadlines, (at, key))

    def _forget(self, key: Key) -> None:
        self._clients.pop(key, None)
        server = self._servers.pop(key, None)
        if server is not None and self._merges.get(server.merge) == key:
            del self._merges[server.merge]


def _client_effects(action: Action, key: Key, client: _Client, response: Response | None) -> list[Effect]:
    if action is Action.RESEND:
        return [Send(client.flow, client.data)]
    effects: list[Effect] = []
    if response is not None and action in (Action.ACK, Action.ACK_AND_DELIVER):
        effects.append(Send(client.flow, ack_for(client.request, response).serialize()))
    if response is not None and action in (Action.DELIVER, Action.ACK_AND_DELIVER):
        effects.append(Answered(key, response))
    return effects
