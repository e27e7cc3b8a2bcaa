"""A peer's transport in time: when it is given up, when it is taken for silent. No socket, no sleeping."""

import datetime
from typing import Any

import pytest

from media.errors import TransportError
from media.forwarder.interface import Counters, Handed, Kind
from media.rtpparameters import RemoteTransport
from media.transport import stun
from media.transport.dtls import new_identity
from media.transport.guard import StrangerGuard
from media.transport.icelite import CONSENT_S, Credentials
from media.transport.mux import Mux
from media.transport.peer import CONNECT_S, DESCRIBE_S, DISCONNECTED_S, PeerTransport
from media.transport.stun import Address

IDENTITY = new_identity(datetime.datetime.now(datetime.UTC))
CREDENTIALS = Credentials("ours", "our-password")
HOME: Address = ("192.0.2.1", 1000)
REMOTE = RemoteTransport("theirs", "p" * 22, (("sha-256", ":".join(["00"] * 32)),), "active")


class DeafForwarder:
    """Takes everything and notes it."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.calls: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))

    def named(self, name: str) -> list[Any]:
        return [arguments for call, arguments in self.calls if call == name]


class Fixture:
    def __init__(self) -> None:
        self.forwarder = DeafForwarder()
        self.states: list[tuple[str, str]] = []
        self.mux = Mux(self.forwarder, IDENTITY, (("192.0.2.9", 443),), StrangerGuard(5), self._listen)
        self.transport = self.mux.open("camera", CREDENTIALS, now=0)

    def _listen(self, _: PeerTransport, state: str, reason: str, detail: str) -> None:
        assert not detail or detail.endswith(".")
        self.states.append((state, reason))

    def check(self, now: float, *, address: Address = HOME, credentials: Credentials = CREDENTIALS) -> None:
        attributes = [(stun.USERNAME, f"{credentials.ufrag}:theirs".encode()), (stun.USE_CANDIDATE, b"")]
        data = stun.build(stun.BINDING_REQUEST, bytes(12), attributes, credentials.password)
        self.mux.handle(Handed(Kind.STUN, 0, address, data), now)

    def tick(self, now: float) -> None:
        self.mux.guarded(self.transport, lambda: self.transport.tick(now))

    def connect(self, now: float) -> None:
        """As if DTLS had ended well."""
        self.transport._connected_before = True
        self.transport.last_heard = now
        self.transport._become("connected")


@pytest.fixture
def fixture() -> Fixture:
    return Fixture()


def test_a_peer_that_never_connects_is_given_up_after_its_description(fixture: Fixture) -> None:
    fixture.tick(DESCRIBE_S - 1)
    assert fixture.states == []
    fixture.transport.describe(REMOTE, now=DESCRIBE_S - 1)
    fixture.tick(DESCRIBE_S - 1 + CONNECT_S - 0.1)
    assert fixture.states == []
    fixture.tick(DESCRIBE_S - 1 + CONNECT_S)
    assert fixture.states == [("closed", "ice_timeout")]


def test_a_peer_that_nobody_describes_is_given_up(fixture: Fixture) -> None:
    fixture.tick(DESCRIBE_S - 0.1)
    assert fixture.states == []
    fixture.tick(DESCRIBE_S)
    assert fixture.states == [("closed", "ice_timeout")]
    assert len(fixture.mux) == 0
    assert len(fixture.forwarder.named("close_peer")) == 1


def test_the_reason_says_how_far_it_came(fixture: Fixture) -> None:
    fixture.transport.describe(REMOTE, now=0)
    with pytest.raises(TransportError, match="UDP and TCP are blocked"):
        fixture.transport.tick(CONNECT_S)
    fixture.check(now=1)
    with pytest.raises(TransportError, match="has not begun the DTLS handshake"):
        fixture.transport.tick(CONNECT_S)


def test_consent_ends_a_connected_peer(fixture: Fixture) -> None:
    fixture.check(now=1)
    fixture.connect(now=1)
    fixture.transport.heard(25)
    fixture.tick(1 + CONSENT_S - 0.1)
    assert fixture.states == [("connected", "")]
    fixture.tick(1 + CONSENT_S)
    assert fixture.states[-1] == ("closed", "consent_lost")


def test_a_silent_peer_is_disconnected_until_it_is_heard(fixture: Fixture) -> None:
    fixture.check(now=1)
    fixture.connect(now=1)
    fixture.tick(1 + DISCONNECTED_S)
    fixture.check(now=12)
    assert fixture.states == [("connected", ""), ("disconnected", "silent"), ("connected", "")]


def test_a_check_is_answered_and_its_address_admitted(fixture: Fixture) -> None:
    fixture.check(now=1)
    [(address, datagram)] = fixture.forwarder.named("send")
    assert address == HOME
    assert stun.parse(datagram).type == stun.BINDING_SUCCESS
    assert fixture.forwarder.named("admit") == [(HOME, fixture.transport.number)]
    assert fixture.forwarder.named("set_destination") == [(fixture.transport.number, HOME)]


def test_a_forged_check_is_counted_and_not_answered(fixture: Fixture) -> None:
    fixture.check(now=1, credentials=Credentials("ours", "guess"))
    fixture.check(now=1, credentials=Credentials("nobody", "guess"))
    assert fixture.forwarder.named("send") == []
    assert fixture.forwarder.counters.dropped_stun == 2


def test_a_new_description_with_other_credentials_is_a_restart(fixture: Fixture) -> None:
    fixture.transport.describe(REMOTE, now=0)
    assert not fixture.transport.restarts(REMOTE)
    other = RemoteTransport("others", "q" * 22, REMOTE.fingerprints, "active")
    assert fixture.transport.restarts(other)
    fixture.mux.restart(fixture.transport, Credentials("newer", "newer-password"))
    for number, name in enumerate(("ours", "newer")):
        fixture.check(now=1, credentials=Credentials(name, f"{'our' if name == 'ours' else name}-password"))
        assert len(fixture.forwarder.named("send")) == number + 1


def test_a_closed_peer_is_forgotten(fixture: Fixture) -> None:
    fixture.mux.close(fixture.transport, "closed", "Done.")
    fixture.mux.close(fixture.transport, "closed", "Done.")
    fixture.check(now=1)
    assert fixture.states == [("closed", "closed")]
    assert fixture.forwarder.counters.dropped_stun == 1
    fixture.mux.handle(Handed(Kind.DTLS, fixture.transport.number, HOME, b"\x16" * 20), now=2)
    assert fixture.forwarder.counters.dropped_dtls == 1
