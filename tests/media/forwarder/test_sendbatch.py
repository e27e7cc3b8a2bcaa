"""Many datagrams in one call, and what happens where the kernel cannot."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from media.forwarder import sendbatch
from media.forwarder.sendbatch import SendBatch, destination


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    sender, receiver = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for each in (sender, receiver):
        each.bind(("127.0.0.1", 0))
    receiver.settimeout(1)
    yield sender, receiver
    sender.close()
    receiver.close()


def received(sock: socket.socket, count: int) -> list[bytes]:
    return [sock.recv(4096) for _ in range(count)]


def arena_of(*packets: bytes) -> bytearray:
    return bytearray(b"".join(packets))


@pytest.mark.parametrize("fast", [True, False])
def test_single_datagrams_and_runs_arrive_as_they_were_added(
    ends: tuple[socket.socket, socket.socket], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = ends
    monkeypatch.setattr(sendbatch, "can_batch", lambda: fast)
    packets = [b"a" * 100, b"b" * 200, b"c" * 200, b"d" * 50, b"e"]
    batch = SendBatch(sender, arena_of(*packets), gso=True)
    to = destination(receiver.getsockname(), segments=True)
    batch.add(to, 0, 100, 0)
    batch.add(to, 100, 450, 200)
    batch.add(to, 550, 1, 0)
    batch.flush()
    assert received(receiver, 5) == packets
    assert batch.dropped == 0
    batch.flush()


def test_a_path_that_cannot_segment_gets_its_packets_one_by_one(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = ends
    packets = [b"a" * 100, b"b" * 100, b"c" * 60]
    batch = SendBatch(sender, arena_of(*packets), gso=True)
    to = destination(receiver.getsockname(), segments=True)

    class Refusing:
        def sendmmsg(self, *_: Any) -> int:
            sendbatch._ffi.errno = errno.EIO
            return -1

    monkeypatch.setattr(batch, "_library", Refusing())
    batch.add(to, 0, 260, 100)
    batch.flush()
    assert received(receiver, 3) == packets
    assert not to.segments
    assert (batch.fallbacks, batch.dropped) == (1, 0)


def test_a_full_socket_drops_the_rest_and_counts_packets(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, receiver = ends
    batch = SendBatch(sender, bytearray(1000), gso=True)
    to = destination(receiver.getsockname(), segments=True)

    class Full:
        def sendmmsg(self, *_: Any) -> int:
            sendbatch._ffi.errno = errno.EAGAIN
            return -1

    monkeypatch.setattr(batch, "_library", Full())
    batch.add(to, 0, 100, 0)
    batch.add(to, 100, 450, 100)
    batch.flush()
    assert batch.dropped == 1 + 5


def test_an_unreachable_destination_does_not_stop_the_others(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = ends
    batch = SendBatch(sender, arena_of(b"x" * 100), gso=True)
    batch.add(destination(("240.0.0.1", 9), segments=True), 0, 100, 0)
    batch.add(destination(("::1", 9), segments=True), 0, 100, 0)
    batch.add(destination(receiver.getsockname(), segments=True), 0, 100, 0)
    batch.flush()
    assert received(receiver, 1) == [b"x" * 100]
    assert batch.dropped == 2
