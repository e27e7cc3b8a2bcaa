"""The door for SIP: what is read, who is challenged, who may call, and which rule says no. Pure.

Order: bans, scanners, rates; then who it is. A trunk is known by its address. A phone is known by its name in From and
proves itself with a digest, in every INVITE and MESSAGE, and only from the addresses that its entry allows. Everybody
else is a stranger: no answer at all (or 403). A phone that is not registered from where it calls cannot call.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from config.settings import PhonesSettings, TrunkSettings
from server.phones import rules
from server.phones.pace import Pace, scanner
from signaling.sip.callevents import Account, Profile
from signaling.sip.digest import Algorithm, DigestServer, Secrets, Verdict
from signaling.sip.errors import MessageError
from signaling.sip.gate import Admitted, Misdeed, Turned
from signaling.sip.message import Request
from signaling.sip.registrar import Registrar
from signaling.sip.transactionlayer import RETRY_AFTER, Flow
from signaling.sip.uri import SipUri

PIN_DIGITS = 6
HOME = "0"
"""What a desk phone dials to come into the consultation that its site is called to."""
PHONE_CALLS = 4
"""Calls of one desk phone at once."""


@dataclass(frozen=True, slots=True)
class Device:
    """A registered phone's entry, as the gate needs it."""

    phone: str
    site: str
    name: str
    networks: tuple[str, ...]
    """Where it may come from; none: from everywhere."""
    disabled: bool = False


Devices = Callable[[str], Device | None]
MAX_REMEMBERED = 5000
UNANSWERED = 2
"""REGISTERs without an answer to the challenge after which a phone is offered MD5 alone."""


class Weak:
    """Phones that know only MD5, and give up when a challenge names anything else (RFC 8760 came late): those that
    asked again without an answer to the first challenge. An answer with SHA-256 takes it back."""

    def __init__(self) -> None:
        self._bare: OrderedDict[tuple[str, str], int] = OrderedDict()

    def saw(self, user: str, host: str, given: str) -> None:
        """A REGISTER with this Authorization ("" for none)."""
        key = (user, host)
        if "sha-256" in given.lower():
            self._bare.pop(key, None)
        elif not given:
            self._bare[key] = self._bare.get(key, 0) + 1
            self._bare.move_to_end(key)
            if len(self._bare) > MAX_REMEMBERED:
                self._bare.popitem(last=False)

    def algorithms(self, user: str, host: str) -> tuple[Algorithm, ...] | None:
        """What to offer; None = all."""
        return ("MD5",) if self._bare.get((user, host), 0) >= UNANSWERED else None


class PhoneGate:
    """`calls(peer)`: how many a trunk or a phone (`trunk:...`, `phone:...`) has now."""

    def __init__(
        self,
        settings: PhonesSettings,
        registrar: Registrar,
        digest: DigestServer,
        secrets: Secrets,
        devices: Devices,
        pace: Pace,
        calls: Callable[[str], int],
    ) -> None:
        self._settings = settings
        self._registrar = registrar
        self._digest = digest
        self._secrets = secrets
        self._devices = devices
        self._calls = calls
        self.rates = pace
        self.weak = Weak()
        registrar.algorithms = self._offered

    # --- the user agent asks ---

    def listens(self, flow: Flow, now: float) -> bool:
        return self._trunk(flow) is not None or not self.rates.banned(flow.host, now)

    def pace(self, request: Request, flow: Flow, now: float) -> Turned | None:
        trunk = self._trunk(flow) is not None
        agent = request.headers.first("User-Agent") or ""
        if not trunk and scanner(agent):
            self.rates.ban(flow.host, "scanner", now)
            return Turned("scanner", f"The User-Agent {agent[:50]!r} is a scanner's.", 0)
        if self.rates.take(flow.host, now, known=trunk):
            return None
        status = 0 if self._settings.silent and not trunk else 503
        return Turned("over_rate", "More requests came from this address than are taken.", status, _LATER)

    def admit(self, request: Request, flow: Flow, now: float) -> Admitted | Turned:
        if request.method == "REGISTER":
            return self._register(request, flow)
        caller = request.from_.uri
        device = self._devices(caller.user or "") if isinstance(caller, SipUri) else None
        trunk = self._trunk(flow)
        bindings = self._registrar.bindings(device.phone, now) if device is not None and not device.disabled else []
        # An extension of the exchange may be called as a phone of ours is: what comes by the trunk is the trunk's.
        if device is not None and bindings and (trunk is None or any(one.flow.host == flow.host for one in bindings)):
            return self._phone(device, request, flow, now)
        if trunk is None:
            return self._stranger(f"This {request.method} comes from nobody that is known here.")
        return self._from_trunk(trunk, request)

    def noted(self, misdeed: Misdeed, flow: Flow, now: float) -> None:
        if self._trunk(flow) is None:
            self.rates.noted(misdeed, flow.host, now)

    # --- who ---

    def _offered(self, phone: str, host: str) -> tuple[Algorithm, ...] | None:
        """MD5 alone only where the settings offer both."""
        return self.weak.algorithms(phone, host) if len(self._digest.algorithms) > 1 else None

    def _register(self, request: Request, flow: Flow) -> Admitted | Turned:
        """An unknown user is challenged as a known one is: nobody learns which names there are."""
        to = request.to.uri
        device = self._devices(to.user or "") if isinstance(to, SipUri) else None
        if device is not None:
            self.weak.saw(device.phone, flow.host, request.headers.first("Authorization") or "")
        if device is not None and device.networks and not rules.within(flow.host, device.networks):
            return self._stranger("The phone registers from an address that its entry does not allow.", "address")
        return Admitted("register")

    def _phone(self, device: Device, request: Request, flow: Flow, now: float) -> Admitted | Turned:
        if device.networks and not rules.within(flow.host, device.networks):
            return self._stranger("The phone calls from an address that its entry does not allow.", "address")
        values = [*request.headers.lines("Authorization"), *request.headers.lines("Proxy-Authorization")]
        try:
            judged = self._digest.judge(values, request.method, flow.host, self._secrets, now)
        except MessageError as problem:
            return Turned("sip_400", problem.detail, 400)
        if judged.verdict is not Verdict.OK:
            wrong = judged.verdict is Verdict.WRONG
            stale = judged.verdict is Verdict.STALE
            offered = self._offered(device.phone, flow.host)
            challenges = self._digest.challenge(now, flow.host, stale, offered)
            fields = tuple(("WWW-Authenticate", one) for one in challenges)
            if wrong:
                return Turned("wrong_digest", "The digest is wrong.", 401, fields, "wrong_digest")
            return Turned("challenge", "The phone has to prove itself.", 401, fields, quiet=True)
        if judged.username != device.phone:
            return Turned("wrong_user", "The digest is another phone's than From.", 403, misdeed="wrong_digest")
        self.rates.proved(flow.host, now)
        if not any(one.flow.host == flow.host for one in self._registrar.bindings(device.phone, now)):
            return Turned("not_registered", "The phone calls from another address than it registered from.", 403)
        if request.method == "MESSAGE":
            return NO_TEXTS
        if request.method == "INVITE":
            if self._calls(f"phone:{device.phone}") >= PHONE_CALLS:
                return Turned("phone_busy", f"The phone has {PHONE_CALLS} calls, its most.", 503, _LATER)
            found = self.dispatch(f"phone:{device.phone}", request)
            if found.refused:
                return Turned(found.rule, found.why, found.status)
        return Admitted(f"phone:{device.phone}", PHONE_PROFILE)

    def _from_trunk(self, trunk: TrunkSettings, request: Request) -> Admitted | Turned:
        if request.method == "MESSAGE":
            return NO_TEXTS
        if request.method != "INVITE":
            return Admitted(f"trunk:{trunk.name}", profile_of(trunk))
        if not trunk.inbound:
            return Turned("trunk_outbound_only", f"The trunk {trunk.name} takes no calls.", 403)
        if self._calls(f"trunk:{trunk.name}") >= trunk.max_calls:
            why = f"The trunk {trunk.name} has {trunk.max_calls} calls, its most."
            return Turned("trunk_busy", why, 503, _LATER)
        found = self.dispatch(f"trunk:{trunk.name}", request)
        if found.refused:
            return Turned(found.rule, found.why, found.status)
        return Admitted(f"trunk:{trunk.name}", profile_of(trunk))

    def dispatch(self, who: str, request: Request) -> rules.Outcome:
        """What becomes of this INVITE."""
        source = rules.PHONES if who.startswith("phone:") else who.removeprefix("trunk:")
        called = rules.number_of(request.uri)
        return self.explain(source, called, caller_of(request) if source != rules.PHONES else who)

    def explain(self, source: str, called: str, caller: str) -> rules.Outcome:
        """The same for a call that nobody made. Desk phones without rules of their own dial 0 for the consultation
        that their site is called to, and six digits for any other that their site takes part in."""
        if source == rules.PHONES and not any(rule.source == rules.PHONES for rule in self._settings.rules):
            if called == HOME:
                return rules.Outcome("phones_home", "A desk phone dialled 0.", action="home")
            if len(called) == PIN_DIGITS and called.isdigit():
                return rules.Outcome("phones_pin", "A desk phone dialled six digits.", action="pin")
            return rules.Outcome("no_match", "A desk phone dials 0, or the six digits of a consultation.", 404)
        return rules.dispatch(self._settings.rules, source, called, caller)

    def _stranger(self, why: str, rule: str = "stranger") -> Turned:
        return Turned(rule, why, 0 if self._settings.silent else 403, misdeed="refused")

    def _trunk(self, flow: Flow) -> TrunkSettings | None:
        return rules.trunk_at(flow.host, self._settings.trunks) if self._settings.trunks else None


_LATER = (("Retry-After", RETRY_AFTER),)
PHONE_PROFILE = Profile()
NO_TEXTS = Turned("texts", "Texts are not taken.", 403)


def profile_of(trunk: TrunkSettings) -> Profile:
    """How to speak with a trunk."""
    account = None
    if trunk.username:
        account = Account(trunk.realm or trunk.host, trunk.username, trunk.password)
    return Profile(trunk.reliable, trunk.session_s, account=account)


def caller_of(request: Request) -> str:
    """The number that calls: what a trunk asserts, else From; "" when it is withheld."""
    asserted = request.headers.lines("P-Asserted-Identity")
    try:
        if asserted and (found := rules.number_of(request.addresses("P-Asserted-Identity")[0].uri)):
            return found
    except MessageError:
        return ""
    return rules.number_of(request.from_.uri)
