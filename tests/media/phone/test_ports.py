"""Sockets of legs: IPv4, IPv6, and both at once; and what a phone is told of them."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from media.phone import ports
from media.phone.messages import Profile
from media.phone.portpool import PortPool
from media.phone.ports import PortPair
from media.phone.wire import Wire


class Plain:
    """An agreement without encryption, with a phone at this address."""

    control = ours = theirs = None
    mux = True

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address


@contextmanager
def both(host: str, phone: str) -> Iterator[tuple[PortPair, socket.socket]]:
    """Our pair, and a phone's socket."""
    with ExitStack() as stack:
        pair = ports.take(PortPool(36000, 38999), host)
        stack.callback(pair.close)
        family = socket.AF_INET6 if ":" in phone else socket.AF_INET
        other = stack.enter_context(closing(socket.socket(family, socket.SOCK_DGRAM)))
        other.bind((phone, 0))
        other.settimeout(20)
        yield pair, other


@pytest.mark.parametrize(
    ("host", "phone"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "::1"), ("::", "127.0.0.1")]
)
def test_media_goes_both_ways(host: str, phone: str) -> None:
    """On the wildcard of both families an IPv4 phone is seen under its own address, and answered there."""
    packet = b"\x80\x00" + bytes(10) + b"sound"
    with both(host, phone) as (pair, other):
        wire = Wire("leg", pair, 3.0)
        wire.agree(Plain(other.getsockname()[:2]), Profile(), 0.0)
        other.sendto(packet, (phone, pair.port))
        pair.rtp.setblocking(True)
        pair.rtp.settimeout(20)
        (datagram,) = ports.receive(pair.rtp, 1)
        assert datagram.address == other.getsockname()[:2]
        assert wire.open(datagram, 0.1, lambda _: True) == (packet, True)
        wire.send(packet, (phone, other.getsockname()[1]))
        assert other.recv(100) == packet


@pytest.mark.parametrize(
    ("host", "signalled", "told"),
    [
        ("192.0.2.1", "127.0.0.9", "192.0.2.1"),
        ("2001:db8::1", "::1", "2001:db8::1"),
        ("0.0.0.0", "127.0.0.9", "127.0.0.1"),
        ("::", "127.0.0.9", "127.0.0.1"),
        ("::", "::1", "::1"),
    ],
)
def test_a_phone_is_told_an_address_of_its_own_family(host: str, signalled: str, told: str) -> None:
    assert ports.told(host, signalled) == told


@pytest.mark.parametrize(("host", "signalled"), [("0.0.0.0", "::1"), ("::", ""), ("0.0.0.0", ""), ("::", "not one")])
def test_where_nothing_is_known_it_is_told_the_ipv4_address_of_this_machine(host: str, signalled: str) -> None:
    assert "." in ports.told(host, signalled)
