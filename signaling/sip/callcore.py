"""What all calls of one user agent share: the transaction layer, who waits for which answer, and what goes out.

Pure. Calls append to `sends` and `events`; the user agent empties both at the end of each step.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from signaling.sip.address import Address
from signaling.sip.callevents import Account, CallEvent
from signaling.sip.digest import DigestClient
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.message import Request, Response
from signaling.sip.transaction import LONGEST
from signaling.sip.transactionlayer import (
    Answered,
    Canceled,
    Effect,
    Flow,
    Key,
    Received,
    Send,
    TimedOut,
    TransactionLayer,
    client_key,
)
from signaling.sip.uri import SipUri, host_of
from signaling.sip.via import MAGIC

Handler: TypeAlias = Callable[[Response | None, float], None]
"""A response to our request; None: nobody answered in time, or it could not be sent."""
Fields: TypeAlias = tuple[tuple[str, str], ...]
Build: TypeAlias = Callable[[Fields], Request]
"""Makes the request, with these further fields: once more with Authorization, so with a CSeq and branch of its own."""

MAX_TRIES = 3
"""Challenges answered for one request: the first, and a stale nonce."""


@dataclass(frozen=True, slots=True)
class Place:
    """How others reach us, for Via and Contact."""

    host: str
    ports: Mapping[str, int]
    """By transport in upper case."""
    user: str = "lamproom"
    toward: Callable[[str], str] | None = None
    """Where `host` is a wildcard: our address on the way to this one."""

    def address(self, flow: Flow) -> str:
        """Ours, as it stands in a URI."""
        return host_of(self.host if self.toward is None else self.toward(flow.host))

    def via(self, flow: Flow, branch: str) -> str:
        transport = flow.transport
        port = self.ports.get(transport, self.ports.get("UDP", 5060))
        return f"SIP/2.0/{transport} {self.address(flow)}:{port};rport;branch={MAGIC}{branch}"

    def contact(self, flow: Flow) -> Address:
        transport = flow.transport
        port = self.ports.get(transport, self.ports.get("UDP", 5060))
        parameters = () if transport == "UDP" else (("transport", transport.lower()),)
        return Address(SipUri(self.address(flow), self.user, port, parameters))


@dataclass(slots=True)
class CallCore:
    """`new_token` gives unguessable text for tags, branches and Call-IDs; `random` a number in [0, 1)."""

    layer: TransactionLayer
    place: Place
    new_token: Callable[[], str]
    random: Callable[[], float]
    sends: list[Send] = field(default_factory=list)
    events: list[CallEvent] = field(default_factory=list)
    malformed: int = 0
    """Responses of which a field could not be read."""
    touched: set[str] = field(default_factory=set)
    """Calls that heard a response: their deadlines may have moved."""
    _waiting: dict[Key, Handler] = field(default_factory=dict)
    _fading: deque[tuple[float, Key]] = field(default_factory=deque)
    """INVITEs of ours that were answered: a 2xx may come again for 64*T1."""
    _faded: set[Key] = field(default_factory=set)
    _digests: dict[Account, DigestClient] = field(default_factory=dict)

    def via(self, flow: Flow) -> str:
        return self.place.via(flow, self.new_token())

    def respond(self, key: Key, response: Response, now: float) -> None:
        self.take(self.layer.respond(key, response, now), now)

    def forget(self, key: Key) -> None:
        """A request of ours that got no final answer, and will not."""
        self._waiting.pop(key, None)
        self.layer.drop(key)

    def ask(
        self, build: Build, flow: Flow, now: float, handler: Handler, account: Account | None = None, owner: str = ""
    ) -> Request:
        """Send what `build` makes and give every response to `handler`; challenges are answered here.

        Raises:
            LocalSipError: the transaction table is full, or the request cannot be written.
        """

        def heard(response: Response | None, at: float) -> None:
            if owner:
                self.touched.add(owner)
            handler(response, at)

        return self._send(build, (), flow, now, heard, account, 0)

    def _send(
        self,
        build: Build,
        fields: Fields,
        flow: Flow,
        now: float,
        handler: Handler,
        account: Account | None,
        tries: int,
    ) -> Request:
        request = build(fields)
        key = client_key(request.via.branch, request.method)

        def judge(response: Response | None, at: float) -> None:
            if response is not None and response.status in (401, 407) and account is not None and tries < MAX_TRIES:
                given = self._authorization(response, request, account)
                if given is not None:
                    try:
                        self._send(build, (given,), flow, at, handler, account, tries + 1)
                    except LocalSipError:
                        handler(None, at)
                    return
            handler(response, at)

        self._waiting[key] = judge
        try:
            effects = self.layer.request(request, flow, now)
        except BaseException:
            del self._waiting[key]
            raise
        self.take(effects, now)
        return request

    def _authorization(self, response: Response, request: Request, account: Account) -> tuple[str, str] | None:
        proxy = response.status == 407
        challenges = response.headers.lines("Proxy-Authenticate" if proxy else "WWW-Authenticate")
        if request.headers.first("Authorization") or request.headers.first("Proxy-Authorization"):
            if not any("stale=true" in one.lower().replace(" ", "") for one in challenges):
                return None  # the same secret again would be as wrong
        client = self._digests.setdefault(account, DigestClient(account.realm, account.username, account.password))
        try:
            value = client.answer(challenges, request.method, str(request.uri), self.new_token())
        except MessageError:
            return None
        return None if value is None else ("Proxy-Authorization" if proxy else "Authorization", value)

    def take(self, effects: list[Effect], now: float) -> list[Received | Canceled]:
        """Sort what the layer said: bytes out, responses to whoever waits; new requests are the user agent's."""
        left: list[Received | Canceled] = []
        for effect in effects:
            if isinstance(effect, Send):
                self.sends.append(effect)
            elif isinstance(effect, Answered):
                self._answered(effect, now)
            elif isinstance(effect, TimedOut):
                if (handler := self._waiting.pop(effect.key, None)) is not None:
                    handler(None, now)
            else:
                left.append(effect)
        return left

    def _answered(self, effect: Answered, now: float) -> None:
        handler = self._waiting.get(effect.key)
        if handler is None:
            return
        status = effect.response.status
        if status >= 300 or (status >= 200 and effect.response.cseq.method != "INVITE"):
            del self._waiting[effect.key]
        elif status >= 200 and effect.key not in self._faded:
            self._faded.add(effect.key)
            self._fading.append((now + LONGEST, effect.key))
        try:
            handler(effect.response, now)
        except MessageError:
            self.malformed += 1  # a field that nobody had to read before; the call's own timers end it

    def fade(self, now: float) -> None:
        """Forget INVITEs for which no further 2xx can come."""
        while self._fading and self._fading[0][0] <= now:
            _, key = self._fading.popleft()
            self._faded.discard(key)
            self._waiting.pop(key, None)
