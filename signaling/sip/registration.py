"""Our own registration at a provider or a PBX, and the question whether a peer is there. Pure, by the user agent.

IDLE --> TRYING --200--> REGISTERED --before expiry--> TRYING
         TRYING --refused, no answer--> WAITING --back-off--> TRYING
"""

from collections.abc import Callable
from typing import Literal

from signaling.sip.address import Address
from signaling.sip.callevents import Account
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.grammar import number
from signaling.sip.message import Response
from signaling.sip.transactionlayer import Flow, Send
from signaling.sip.uri import SipUri, same_uri
from signaling.sip.useragent import UserAgent

FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 900.0
REFRESH_SHARE = 0.8
"""Of the time that was granted; a refresh that fails can be tried again before it is over."""
HIGHEST = 2**31 - 1
PROBE_EVERY_S = 30.0
MISSES = 2
"""Unanswered probes in a row after which a peer is down."""


class Registration:
    """One address of ours at one registrar. `random`: a number in [0, 1)."""

    def __init__(
        self,
        agent: UserAgent,
        registrar: SipUri,
        address: Address,
        flow: Flow,
        account: Account | None,
        random: Callable[[], float],
        call_id: str,
        expires_s: int = 600,
    ) -> None:
        self._agent = agent
        self._registrar = registrar
        self._address = address
        self._flow = flow
        self._account = account
        self._random = random
        self._call_id = call_id
        self._expires_s = expires_s
        self._number = 1
        self._fails = 0
        self._at: float | None = 0.0
        self.state: Literal["idle", "trying", "registered", "waiting"] = "idle"
        self.reason = ""
        """Why it is not registered."""

    def next_timeout(self) -> float | None:
        return self._at

    def timeout(self, now: float) -> list[Send]:
        if self._at is None or now < self._at:
            return []
        self._at = None
        self.state = "trying" if self.state != "registered" else "registered"
        return self._ask(self._expires_s, now, self._answered)

    def stop(self, now: float) -> list[Send]:
        """Take the registration back; nobody waits for the answer."""
        registered, self._at, self.state = self.state == "registered", None, "idle"
        return self._ask(0, now, lambda response, at: None) if registered else []

    def _ask(self, expires_s: int, now: float, done: Callable[[Response | None, float], None]) -> list[Send]:
        contact = self._agent.place.contact(self._flow)
        fields = (("Contact", str(contact)), ("Expires", str(expires_s)))
        number = self._number
        self._number += 5  # a challenge is answered with the next number
        try:
            return self._agent.ask(
                "REGISTER", self._registrar, self._flow, now, done, fields=fields, local=self._address,
                to=self._address, call_id=self._call_id, account=self._account, first_number=number,
            )  # fmt: skip
        except LocalSipError as problem:
            self._failed(problem.detail, now)
            return []

    def _answered(self, response: Response | None, now: float) -> None:
        if self.state == "idle":
            return
        if response is None:
            self._failed("no answer", now)
        elif response.status == 423 and (least := _least(response)) > self._expires_s:
            self._expires_s, self._at = least, now
        elif response.status >= 300:
            self._failed(f"{response.status} {response.reason}"[:100], now)
        else:
            granted = self._granted(response)
            if granted <= 0:
                self._failed("the registrar keeps no contact of ours", now)
                return
            self.state, self.reason, self._fails = "registered", "", 0
            self._at = now + max(5.0, granted * REFRESH_SHARE)

    def _granted(self, response: Response) -> int:
        ours = self._agent.place.contact(self._flow).uri
        general = response.headers.first("Expires")
        for contact in response.contacts:
            if same_uri(contact.uri, ours):
                return _seconds(contact.parameter("expires") or general, self._expires_s)
        return 0 if response.contacts else _seconds(general, self._expires_s)

    def _failed(self, reason: str, now: float) -> None:
        self.state, self.reason = "waiting", reason
        wait_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**self._fails)
        self._fails = min(self._fails + 1, 10)
        self._at = now + wait_s * (0.5 + self._random() / 2)


class Probe:
    """OPTIONS now and then: any answer but 408 and 503 says that the peer is there."""

    def __init__(self, agent: UserAgent, target: SipUri, flow: Flow, every_s: float = PROBE_EVERY_S) -> None:
        self._agent = agent
        self._target = target
        self._flow = flow
        self._every_s = every_s
        self._at: float | None = 0.0
        self._missed = 0
        self.up: bool | None = None
        """None before the first answer, or the second silence."""

    def next_timeout(self) -> float | None:
        return self._at

    def timeout(self, now: float) -> list[Send]:
        if self._at is None or now < self._at:
            return []
        self._at = None
        try:
            return self._agent.ask("OPTIONS", self._target, self._flow, now, self._answered)
        except LocalSipError:
            self._at = now + self._every_s
            return []

    def _answered(self, response: Response | None, now: float) -> None:
        self._at = now + self._every_s
        if response is not None and response.status not in (408, 503):
            self.up, self._missed = True, 0
            return
        self._missed += 1
        if self._missed >= MISSES:
            self.up = False


def _least(response: Response) -> int:
    return _seconds(response.headers.first("Min-Expires"), 0)


def _seconds(text: str | None, default: int) -> int:
    if text is None:
        return default
    try:
        return number(text, HIGHEST, "Expires")
    except MessageError:
        return default
