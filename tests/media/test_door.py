"""Packets of other processes: whose they are, and what of them is taken."""

import os
import secrets
import stat
from pathlib import Path

from media import rtp
from media.door import MAX_DATAGRAM_BYTES, TOKEN_BYTES, Door, DoorSender, Gate


def packet(ssrc: int = 7, size: int = 20) -> bytes:
    return rtp.pack(bytes(size), payload_type=111, sequence=1, timestamp=2, ssrc=ssrc)


def test_a_packet_with_its_token_is_its_peers() -> None:
    gate = Gate()
    first, second = gate.admit(1, [7]), gate.admit(2, [7])
    assert gate.check(first + packet(), 100) == (1, packet())
    assert gate.check(second + packet(), 100) == (2, packet())
    assert gate.packets == 2


def test_wrong_tokens_are_counted_and_dropped() -> None:
    gate = Gate()
    gate.admit(1, [7])
    for datagram in (b"", b"short", secrets.token_bytes(TOKEN_BYTES) + packet(), packet()):
        assert gate.check(datagram, 100) is None
    assert gate.dropped["token"] == 4


def test_only_the_first_process_is_heard() -> None:
    gate = Gate()
    token = gate.admit(1, [7])
    assert gate.check(token + packet(), 100) is not None
    assert gate.check(token + packet(), 101) is None
    assert gate.check(token + packet(), 100) is not None
    assert gate.dropped["process"] == 1


def test_only_announced_ssrcs_are_taken() -> None:
    gate = Gate()
    token = gate.admit(1, [7])
    assert gate.check(token + packet(8), 100) is None
    gate.announce(token, [8])
    assert gate.check(token + packet(8), 100) is not None
    assert gate.check(token + packet(7), 100) is None
    assert gate.dropped["ssrc"] == 2


def test_what_is_no_packet_is_counted_and_dropped() -> None:
    gate = Gate()
    token = gate.admit(1, [7])
    for rubbish in (b"", b"\x80", packet()[:11], b"\x00" + packet()[1:]):
        assert gate.check(token + rubbish, 100) is None
    assert gate.dropped["malformed"] == 4


def test_a_dismissed_token_is_worth_nothing() -> None:
    gate = Gate()
    token = gate.admit(1, [7])
    gate.dismiss(token)
    gate.dismiss(token)
    assert gate.check(token + packet(), 100) is None


def test_the_socket_is_this_users_alone_and_knows_who_sends(tmp_path: Path) -> None:
    gate = Gate()
    token = gate.admit(1, [7])
    address = str(tmp_path / "door")
    door = Door(address, gate)
    sender = DoorSender(address)
    try:
        assert stat.S_IMODE(os.stat(address).st_mode) == 0o600
        assert sender.send(token, packet())
        sender.send(token, packet(size=MAX_DATAGRAM_BYTES))
        sender.send(token, packet())
        connection, _ = door.socket.accept()
        connection.setblocking(False)
        assert door.admit(connection)
        assert door.receive(connection) == ([(1, packet()), (1, packet())], True)
        assert gate.dropped["malformed"] == 1
        assert gate.check(token + packet(), os.getpid()) is not None
        assert gate.check(token + packet(), os.getppid()) is None
        sender.close()
        assert door.receive(connection) == ([], False)
    finally:
        door.close()
    assert not os.path.exists(address)


def test_a_sender_waits_for_nobody(tmp_path: Path) -> None:
    """The door is not read: what it does not take is dropped, and a door that is gone is tried once a second."""
    now = [0.0]
    address = str(tmp_path / "door")
    sender = DoorSender(address, lambda: now[0])
    assert not sender.send(bytes(TOKEN_BYTES), packet())
    door = Door(address, Gate())
    assert not sender.send(bytes(TOKEN_BYTES), packet())
    now[0] = 1.0
    taken = sum(sender.send(bytes(TOKEN_BYTES), packet()) for _ in range(5000))
    assert 100 <= taken < 5000
    assert sender.dropped == 2 + 5000 - taken
    door.close()
    assert not sender.send(bytes(TOKEN_BYTES), packet())
