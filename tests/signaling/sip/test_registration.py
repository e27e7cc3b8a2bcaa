"""Our registrations elsewhere, in virtual time."""

import random

import pytest

from signaling.sip.address import Address
from signaling.sip.callcore import Place
from signaling.sip.callevents import Account, RegistrationChanged
from signaling.sip.digest import Algorithm, DigestServer, ha1
from signaling.sip.registrar import Registrar
from signaling.sip.registration import Probe, Registration
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri
from tests.fakes.sipwire import Wire, tokens

DOMAIN = "192.0.2.2"


def ready(wire: Wire, password: str = "12345678") -> Registration:
    def secrets(user: str, algorithm: Algorithm) -> str | None:
        return ha1(algorithm, user, DOMAIN, "12345678") if user == "mine" else None

    digest = DigestServer(DOMAIN, b"k" * 32, random.Random(1).randbytes)
    wire.b.registrar = Registrar(DOMAIN, digest, secrets, tokens("r"))
    address = Address(SipUri(DOMAIN, "mine"))
    account = Account(DOMAIN, "mine", password)
    return Registration(wire.a, SipUri(DOMAIN), address, wire.to_b, account, lambda: 0.5, "call-id")


def run(wire: Wire, registration: Registration | Probe, seconds: float) -> None:
    end = wire.now + seconds
    while wire.now < end:
        at = registration.next_timeout()
        wire.run(max(0.0, min(end, at if at is not None else end, wire.now + 1.0) - wire.now))
        wire.put("a", registration.timeout(wire.now))


def test_a_registration_is_kept_and_taken_back() -> None:
    wire = Wire()
    registration = ready(wire)
    run(wire, registration, 3000)
    assert registration.state == "registered"
    assert wire.b.registrar is not None
    assert len(wire.b.registrar.bindings("mine", wire.now)) == 1
    assert 6 <= len([one for one in wire.of("b", RegistrationChanged) if one.contacts]) <= 8
    numbers = [one.cseq.number for one in wire.sent("a", "REGISTER")]
    assert numbers == sorted(set(numbers))
    wire.put("a", registration.stop(wire.now))
    wire.run(5)
    assert wire.b.registrar.bindings("mine", wire.now) == []


def test_a_wrong_password_is_tried_again_with_patience() -> None:
    wire = Wire()
    registration = ready(wire, "wrong")
    run(wire, registration, 3600)
    assert registration.state == "waiting"
    assert "401" in registration.reason
    assert len(wire.sent("a", "REGISTER")) < 30


def test_an_interval_that_is_too_brief_is_made_longer() -> None:
    wire = Wire()
    registration = ready(wire)
    assert wire.b.registrar is not None
    wire.b.registrar.min_expires = 1200
    run(wire, registration, 60)
    assert registration.state == "registered"


@pytest.mark.parametrize("there", [True, False])
def test_a_peer_is_up_as_long_as_it_answers(there: bool) -> None:
    wire = Wire()
    probe = Probe(wire.a, SipUri(DOMAIN), wire.to_b)
    wire.drop = lambda sender, message: not there
    run(wire, probe, 300)
    assert probe.up is there
    there = not there
    run(wire, probe, 300)
    assert probe.up is there


def test_a_place_writes_ipv6_in_brackets_and_names_the_transport() -> None:
    place = Place("2001:db8::1", {"UDP": 5060, "TLS": 5061})
    assert str(place.contact(Flow("2001:db8::2", 5061, "tls3"))) == "<sip:lamproom@[2001:db8::1]:5061;transport=tls>"
    assert place.via(Flow("2001:db8::2", 5060), "x").startswith("SIP/2.0/UDP [2001:db8::1]:5060;")
