"""The socket of a server on the loopback address: every address of its own machine reaches it, nothing else does."""

import select
import socket
from ipaddress import ip_address

import pytest

from media.transport import udpsocket


def reached(sock: socket.socket, address: str, timeout_s: float) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"packet", (address, sock.getsockname()[1]))
    ready, _, _ = select.select([sock], [], [], timeout_s)
    return bool(ready) and sock.recv(16) == b"packet"


def test_every_address_of_the_machine_leads_to_a_server_on_the_loopback_address() -> None:
    with udpsocket.bind("127.0.0.1", 0) as sock:
        told = udpsocket.advertised("127.0.0.1", (), sock.getsockname()[0])
        assert told[0] == "127.0.0.1"
        assert all(reached(sock, address, 10) for address in told)


def test_what_comes_by_another_device_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nametoindex", lambda name: 4_000_000)
    with udpsocket.bind("127.0.0.1", 0) as sock:
        assert sock.getsockname()[0] == "0.0.0.0"
        assert not reached(sock, "127.0.0.1", 0.2)


def test_a_system_without_such_a_filter_gets_the_plain_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> int:
        raise OSError(name)

    monkeypatch.setattr(socket, "if_nametoindex", missing)
    with udpsocket.bind("127.0.0.1", 0) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        assert udpsocket.advertised("127.0.0.1", (), "127.0.0.1") == ("127.0.0.1",)
        assert reached(sock, "127.0.0.1", 10)


def test_another_address_than_127_0_0_1_is_bound_as_it_is() -> None:
    with udpsocket.bind("127.0.0.2", 0) as sock:
        assert sock.getsockname()[0] == "127.0.0.2"
        assert udpsocket.advertised("127.0.0.2", (), "127.0.0.2") == ("127.0.0.2",)


def test_configured_addresses_are_told_and_the_wildcard_tells_all_with_loopback_last() -> None:
    assert udpsocket.advertised("127.0.0.1", ("10.1.2.3",), "0.0.0.0") == ("10.1.2.3",)
    told = [ip_address(each).is_loopback for each in udpsocket.advertised("0.0.0.0", ())]
    assert told == sorted(told)
