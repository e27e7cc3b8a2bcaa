"""One peer's ICE-lite agent (RFC 8445 2.5, RFC 7675). Sans-IO.

A lite agent sends no checks. It answers those that prove knowledge of our password, learns from them where the peer
can be reached, and takes the address that the peer nominates. A new nomination from elsewhere is a NAT that rebound
or an ICE restart: the address simply moves. Checks are consent as well: without one for 30 s nothing more is sent.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass

from media.transport import stun
from media.transport.stun import Address

CONSENT_S = 30.0
"""RFC 7675 5.1."""
MAX_ADDRESSES = 8
"""Addresses of one peer from which packets are taken; browsers check from one per network interface."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Our half of the user name, and the password that checks towards us are signed with."""

    ufrag: str
    password: str


def new_credentials(place: str = "") -> Credentials:
    """48 and 144 random bits (RFC 8445 5.3 asks for 24 and 128), behind the worker's name where there are several."""
    return Credentials(place + secrets.token_hex(6), secrets.token_hex(18))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a valid check brings about."""

    datagram: bytes
    """To go back to where the check came from."""
    selected: bool = False
    """From now on this is where packets go."""
    forgotten: Address | None = None
    """An older address that gave way."""


class IceLite:
    """The agent. Several credentials are valid during an ICE restart, the newest first."""

    def __init__(self, credentials: Credentials, now: float) -> None:
        self._credentials = [credentials]
        self._verified: OrderedDict[Address, None] = OrderedDict()
        self.selected: Address | None = None
        self.last_check = now

    @property
    def credentials(self) -> Credentials:
        return self._credentials[0]

    @property
    def ufrags(self) -> tuple[str, ...]:
        return tuple(each.ufrag for each in self._credentials)

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(self._verified)

    def restart(self, credentials: Credentials) -> str | None:
        """New credentials are added; media goes on where it went until the peer nominates anew (RFC 8445 9).

        Returns:
            a ufrag that is valid no longer, if any.
        """
        self._credentials.insert(0, credentials)
        return self._credentials.pop().ufrag if len(self._credentials) > 2 else None

    def check(self, request: stun.Message, address: Address, now: float) -> Answer | None:
        """A binding request from `address`. None when it does not prove that the sender knows our password."""
        ours = request.username.partition(":")[0]
        password = next((each.password for each in self._credentials if each.ufrag == ours), None)
        if request.type != stun.BINDING_REQUEST or password is None or not request.is_authentic(password):
            return None
        self.last_check = now
        forgotten = self._verify(address)
        # Before the first nomination any verified address will do; afterwards only the peer moves itself.
        moved = self.selected != address and (request.nominates or self.selected is None)
        if moved:
            self.selected = address
        return Answer(stun.binding_success(request, address, password), moved, forgotten)

    def _verify(self, address: Address) -> Address | None:
        self._verified[address] = None
        self._verified.move_to_end(address)
        if len(self._verified) <= MAX_ADDRESSES:
            return None
        oldest = next(each for each in self._verified if each not in (self.selected, address))
        del self._verified[oldest]
        return oldest

    def has_consent(self, now: float) -> bool:
        return now - self.last_check < CONSENT_S
