"""A small SIP server without I/O: it answers OPTIONS, keeps registrations, and refuses the rest properly.

`receive` takes the bytes of one message and where they came from, and gives what is to be sent. Each IP address has a
token bucket; a request over it is answered 503 with Retry-After and leaves nothing behind, an ACK or a response is
dropped. Nothing here dials, forwards or calls: INVITE is answered 405.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable

from signaling.sip.admission import Admission
from signaling.sip.errors import MessageError
from signaling.sip.message import Request, Response, parse
from signaling.sip.registrar import Registrar
from signaling.sip.transactionlayer import (
    RETRY_AFTER,
    Flow,
    Received,
    Send,
    TransactionLayer,
    answer_flow,
    stamped,
)

REQUESTS_PER_S = 20.0
"""For each IP address; as many may come at once."""
MAX_ADDRESSES = 10_000
"""Addresses whose buckets are kept; the one that was quiet the longest goes first."""
SWEEP_SECONDS = 10.0
"""How often expired bindings are forgotten. They hold no longer before that, they only take room."""


class Buckets:
    """Token buckets by address."""

    def __init__(self, per_s: float, limit: int = MAX_ADDRESSES) -> None:
        self._per_s = per_s
        self._limit = limit
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, host: str, now: float) -> bool:
        level, at = self._levels.get(host, (self._per_s, now))
        level = min(self._per_s, level + (now - at) * self._per_s)
        allowed = level >= 1
        self._levels[host] = (level - 1 if allowed else level, now)
        self._levels.move_to_end(host)
        if len(self._levels) > self._limit:
            self._levels.popitem(last=False)
        return allowed


class SipService:
    """`counters` says what was dropped and refused, by reason."""

    def __init__(self, registrar: Registrar, new_tag: Callable[[], str], per_s: float = REQUESTS_PER_S) -> None:
        self.registrar = registrar
        self.counters: Counter[str] = Counter()
        self._new_tag = new_tag
        self._layer = TransactionLayer(new_tag)
        self._admission = Admission(
            frozenset({"OPTIONS", "REGISTER", "ACK", "CANCEL"}), frozenset({"outbound", "path"})
        )
        self._buckets = Buckets(per_s)
        self._sweep_at: float | None = None

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Send]:
        """One datagram, or one message of a stream. Raises nothing for what the net sends."""
        try:
            message = parse(data)
        except MessageError as problem:
            return self._malformed(problem, flow, now)
        if isinstance(message, Request) and not self._buckets.take(flow.host, now):
            self.counters["over_rate"] += 1
            return (
                [] if message.method == "ACK" else [self._stateless(message, flow, 503, ("Retry-After", RETRY_AFTER))]
            )
        sends: list[Send] = []
        for effect in self._layer.receive(message, flow, now):
            if isinstance(effect, Send):
                sends.append(effect)
            elif isinstance(effect, Received) and effect.key:
                try:
                    response = self._answer(effect.request, flow, now)
                except MessageError as problem:  # a field that parsing leaves alone, read only now
                    response = effect.request.reply(problem.status, tag=self._new_tag())
                sends += [one for one in self._layer.respond(effect.key, response, now) if isinstance(one, Send)]
        return sends

    def lost(self, connection: str, now: float) -> list[Send]:
        """A connection ended; the users that were registered over it are gone."""
        self.registrar.lost(connection)
        return []

    def unframed(self, flow: Flow, now: float) -> None:
        """A connection was cut off: no message could be found in what it sent."""
        self.counters["unframed"] += 1

    def next_timeout(self) -> float | None:
        times = [at for at in (self._layer.next_timeout(), self._sweep_at) if at is not None]
        return min(times, default=None)

    def timeout(self, now: float) -> list[Send]:
        if self._sweep_at is not None and now >= self._sweep_at:
            self.registrar.timeout(now)
            self._sweep_at = now + SWEEP_SECONDS if self.registrar.next_timeout() is not None else None
        return [one for one in self._layer.timeout(now) if isinstance(one, Send)]

    def _malformed(self, problem: MessageError, flow: Flow, now: float) -> list[Send]:
        self.counters["malformed"] += 1
        if problem.request is None or not self._buckets.take(flow.host, now):
            return []
        return [self._stateless(problem.request, flow, problem.status)]

    def _stateless(self, request: Request, flow: Flow, status: int, *fields: tuple[str, str]) -> Send:
        reply = stamped(request, flow).reply(status, *fields, tag=self._new_tag())
        return Send(answer_flow(request, flow), reply.serialize())

    def _answer(self, request: Request, flow: Flow, now: float) -> Response:
        refusal = self._admission.refuse(request)
        if refusal is not None:
            self.counters[f"refused_{refusal.status}"] += 1
            return request.reply(refusal.status, *refusal.fields, tag=self._new_tag())
        if request.method == "REGISTER":
            self._sweep_at = self._sweep_at or now + SWEEP_SECONDS
            return self.registrar.register(request, flow, now)
        return request.reply(200, ("Allow", "OPTIONS, REGISTER"), ("Accept", "application/sdp"), tag=self._new_tag())
