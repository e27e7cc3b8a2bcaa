"""Who is where: the bindings of a registrar (RFC 3261 section 10.3), several flows for one device (RFC 5626).

Only users that `secrets` knows may register, each with a secret of its own, and each only itself: the user of the
digest, of To and of From is the same. Every change, refresh and removal needs a fresh right digest; a known Call-ID or
address proves nothing. A request changes all that it asks for or nothing. Bindings end by themselves at their expiry,
and those of a TCP connection with it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from signaling.sip.address import Address
from signaling.sip.digest import Algorithm, DigestServer, Secrets, Verdict
from signaling.sip.errors import MessageError
from signaling.sip.grammar import number, unquote
from signaling.sip.message import Request, Response
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri, same_uri

MAX_CONTACTS = 8
"""Bindings of one user."""
MAX_CONTACT = 512
"""Characters of one contact."""
MIN_EXPIRES = 60
DEFAULT_EXPIRES = 3600
MAX_EXPIRES = 86400
"""Seconds. Less than the lowest is answered 423, more than the highest is shortened (10.3 step 7)."""
HIGHEST = 2**32 - 1
FLOW_TIMER = 120
"""Seconds in which we want a keep-alive on a flow (RFC 5626 section 5.4)."""


@dataclass(frozen=True, slots=True)
class Binding:
    contact: Address
    """Without `expires`."""
    flow: Flow
    """Where the REGISTER came from: requests to this user go there, whatever the Contact says."""
    call_id: str
    cseq: int
    expires_at: float
    """Seconds, monotonic."""
    instance: str = ""
    """+sip.instance with reg-id (RFC 5626): another REGISTER of the same replaces this one."""

    @property
    def q(self) -> float:
        """Preference, 0 to 1."""
        text = self.contact.parameter("q") or "1"
        whole, _, part = text.partition(".")
        proper = whole in ("0", "1") and len(part) <= 3 and (part.isascii() and part.isdigit() if part else True)
        return min(float(text), 1.0) if proper else 1.0


@dataclass(slots=True)
class Registrar:
    domain: str
    digest: DigestServer
    secrets: Secrets
    new_tag: Callable[[], str]
    min_expires: int = MIN_EXPIRES
    max_expires: int = MAX_EXPIRES
    algorithms: Callable[[str, str], tuple[Algorithm, ...] | None] = lambda user, host: None
    """(user, IP address) to what a challenge offers; None = all."""
    wrong: int = field(default=0, init=False)
    """Wrong digests, for the limits and the alarm of whoever runs this."""
    _bindings: dict[str, list[Binding]] = field(default_factory=dict, init=False)

    def bindings(self, user: str, now: float) -> list[Binding]:
        """Those that still hold, the preferred first."""
        held = [one for one in self._bindings.get(user, ()) if one.expires_at > now]
        return sorted(held, key=lambda one: -one.q)

    def bound(self, user: str, flow: Flow, now: float) -> bool:
        """Whether this user's registration came over this very flow. Claiming a name in From is not enough."""
        return any(one.flow == flow for one in self.bindings(user, now))

    def users(self) -> list[str]:
        """Everybody with a binding, expired ones until they are swept."""
        return list(self._bindings)

    def forget(self, user: str) -> None:
        """Somebody who may not register any more."""
        self._bindings.pop(user, None)

    def restore(self, user: str, binding: Binding) -> None:
        """A binding of before a restart. Its digest was asked for then."""
        held = self._bindings.get(user, [])
        if len(held) < MAX_CONTACTS:
            self._bindings[user] = [*held, binding]

    def lost(self, connection: str) -> list[str]:
        """A TCP connection ended: its bindings end with it (RFC 5626 section 5.3). The users that lost one."""
        losers = [
            user for user, held in self._bindings.items() if any(one.flow.connection == connection for one in held)
        ]
        for user in losers:
            self._keep(user, [one for one in self._bindings[user] if one.flow.connection != connection])
        return losers

    def next_timeout(self) -> float | None:
        return min((one.expires_at for held in self._bindings.values() for one in held), default=None)

    def timeout(self, now: float) -> list[str]:
        """Forget what has expired; the users that have no binding any more."""
        gone = []
        for user in list(self._bindings):
            self._keep(user, [one for one in self._bindings[user] if one.expires_at > now])
            if user not in self._bindings:
                gone.append(user)
        return gone

    def register(self, request: Request, flow: Flow, now: float) -> Response:
        """The response to a REGISTER; 10.3 step by step."""
        try:
            return self._register(request, flow, now)
        except MessageError as problem:
            return request.reply(problem.status, tag=self.new_tag())

    def _register(self, request: Request, flow: Flow, now: float) -> Response:
        to = request.to.uri
        if not isinstance(to, SipUri):
            return request.reply(400, tag=self.new_tag())  # RFC 4475 section 3.3.4
        if to.host.lower() != self.domain.lower() or not to.user:
            return request.reply(404, tag=self.new_tag())
        judged = self.digest.judge(request.headers.lines("Authorization"), "REGISTER", flow.host, self.secrets, now)
        user = to.address_of_record().user or ""
        if judged.verdict is not Verdict.OK:
            self.wrong += judged.verdict is Verdict.WRONG
            offered = self.algorithms(user, flow.host)
            challenges = self.digest.challenge(now, flow.host, judged.verdict is Verdict.STALE, offered)
            fields = [("WWW-Authenticate", value) for value in challenges]
            return request.reply(401, *fields, tag=self.new_tag())
        caller = request.from_.uri
        if judged.username != user or not isinstance(caller, SipUri) or caller.address_of_record().user != user:
            return request.reply(403, tag=self.new_tag())
        changed = self._changed(request, self.bindings(user, now), flow, now)
        if changed is None:
            return request.reply(423, ("Min-Expires", str(self.min_expires)), tag=self.new_tag())
        self._keep(user, changed)
        return self._answer(request, user, now)

    def _answer(self, request: Request, user: str, now: float) -> Response:
        """All that holds now, and for how long (step 8)."""
        fields = [
            ("Contact", f"{one.contact};expires={max(1, round(one.expires_at - now))}")
            for one in self.bindings(user, now)
        ]
        if any(one.instance for one in self.bindings(user, now)) and "outbound" in request.headers.tokens("Supported"):
            fields += [("Require", "outbound"), ("Flow-Timer", str(FLOW_TIMER))]
        return request.reply(200, *fields, tag=self.new_tag())

    def _changed(self, request: Request, held: list[Binding], flow: Flow, now: float) -> list[Binding] | None:
        """The bindings after this request; None for an expiry that is too short. Raises MessageError."""
        general = _seconds(request.headers.first("Expires"), DEFAULT_EXPIRES)
        if "*" in request.headers.values("Contact"):
            if request.contacts or request.headers.first("Expires") is None or general != 0:
                raise MessageError("Contact * stands alone, with Expires 0.")
            for one in held:
                _in_order(request, one)
            return []
        for contact in request.contacts:
            seconds = _seconds(contact.parameter("expires"), general)
            if 0 < seconds < self.min_expires:
                return None
            if len(str(contact)) > MAX_CONTACT:
                raise MessageError("A contact is too long.", 403)
            instance = _instance(contact)
            old = [one for one in held if _same(one, contact, instance)]
            for one in old:
                _in_order(request, one)
            held = [one for one in held if one not in old]
            if seconds:
                parameters = tuple(pair for pair in contact.parameters if pair[0] != "expires")
                plain = replace(contact, parameters=parameters)
                ends = now + min(seconds, self.max_expires)
                held.append(Binding(plain, flow, request.call_id, request.cseq.number, ends, instance))
        if len(held) > MAX_CONTACTS:
            raise MessageError("This user has too many contacts.", 403)
        return held

    def _keep(self, user: str, held: list[Binding]) -> None:
        if held:
            self._bindings[user] = held
        else:
            self._bindings.pop(user, None)


def _seconds(text: str | None, default: int) -> int:
    """A malformed expiry is the default (20.19); one too large for a number is the largest (RFC 4475 3.1.2.4)."""
    if text is None or not (text.isascii() and text.isdigit()):
        return default
    return number(text, HIGHEST, "Expires") if len(text) <= 9 else HIGHEST


def _instance(contact: Address) -> str:
    instance, reg_id = contact.parameter("+sip.instance"), contact.parameter("reg-id")
    return f"{unquote(instance)};{reg_id}" if instance and reg_id else ""


def _same(binding: Binding, contact: Address, instance: str) -> bool:
    if binding.instance or instance:
        return binding.instance == instance
    return same_uri(binding.contact.uri, contact.uri)


def _in_order(request: Request, binding: Binding) -> None:
    """Step 7: within one Call-ID the number must rise, else the request is late and changes nothing."""
    if request.call_id == binding.call_id and request.cseq.number <= binding.cseq:
        raise MessageError("A REGISTER came out of order.", 500)
