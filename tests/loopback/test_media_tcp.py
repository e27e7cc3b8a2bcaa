"""A whole worker, and peers that come by TCP because no UDP passes."""

import asyncio
import errno
import socket
import time
from pathlib import Path

import pytest

from config.settings import MediaSettings
from media.messages import GetStatistics
from media.transport import icetcp, listening
from media.transport.framing import frame
from media.transport.icetcp import loopback_of
from media.worker import MediaWorker
from server.frontdoor import Handoff
from tests.fakes.mediaserver import MemoryLink, running_worker
from tests.fakes.rawpeer import RawPeer, connected_publisher, vp8
from tests.fakes.tcppeer import TcpPeer


def port_of(worker: MediaWorker) -> int:
    assert worker.started is not None
    return worker.started.udp_port


async def tcp_publisher(link: MemoryLink, name: str = "camera") -> TcpPeer:
    peer = TcpPeer(link, name)
    await peer.publish(peer.offer(ssrc=77))
    await peer.connect()
    await link.peer(name, "connected")
    return peer


async def tcp_subscriber(link: MemoryLink, *tracks: str, name: str = "viewer") -> TcpPeer:
    peer = TcpPeer(link, name)
    await peer.subscribe(*tracks)
    await peer.connect()
    await link.peer(name, "connected")
    return peer


def send_pictures(peer: RawPeer, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        peer.send_media(number, vp8(number == 0, picture=number), ssrc=77, timestamp=number * 3000)


async def test_the_description_offers_the_number_by_tcp_below_udp() -> None:
    async with running_worker() as (link, worker):
        assert worker.started is not None
        assert worker.started.tcp
        peer = RawPeer(link, "camera")
        answer = await peer.publish(peer.offer(ssrc=77))
        port = port_of(worker)
        assert f" 1 tcp 1520435199 127.0.0.1 {port} typ host tcptype passive\r\n" in answer.sdp
        assert answer.sdp.index(" 1 udp ") < answer.sdp.index(" 1 tcp ")


async def test_pictures_pass_from_tcp_to_udp_and_from_udp_to_tcp() -> None:
    async with running_worker() as (link, worker):
        camera = await tcp_publisher(link)
        near = RawPeer(link, "near")
        await near.subscribe("camera/0")
        await near.connect()
        far = await tcp_subscriber(link, "camera/0", name="far")
        await link.peer("near", "connected")
        send_pictures(camera, 30)
        await asyncio.gather(near.until(30), far.until(30))
        assert [one.payload for one in far.received] == [one.payload for one in near.received]
        counters = worker.counters()
        assert counters["tcp_connections"] == 2
        assert counters["tcp_packets_in"] >= 30
        assert counters["dropped_tcp_full"] == 0
        tcp = (await link.call(GetStatistics())).statistics["tcp"]
        assert isinstance(tcp, dict)
        assert set(tcp.values()) == {"127.0.0.1"}
        assert all(name.startswith(loopback_of("127.0.0.1")) for name in tcp)


async def test_a_peer_may_go_from_one_connection_to_another() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await tcp_subscriber(link, "camera/0")
        send_pictures(camera, 5)
        await viewer.until(5)
        viewer.hang_up()
        await viewer.check()
        send_pictures(camera, 5, 5)
        await viewer.until(10)


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\xff\xff", frame(b"\x80" * 40), frame(b"\x7fELF")],
)
async def test_what_is_no_ice_is_closed_at_once(said: bytes) -> None:
    async with running_worker() as (_, worker):
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(worker))
        writer.write(said)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert worker.counters()["dropped_tcp_noise"] == 1
        assert worker.counters()["tcp_connections"] == 0


async def test_silent_connections_are_closed_and_few_per_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icetcp, "PROOF_S", 0.3)
    monkeypatch.setattr(icetcp, "LOOK_S", 0.1)
    monkeypatch.setattr(icetcp, "MAX_PER_CLIENT", 3)
    async with running_worker() as (_, worker):
        open_ones = [await asyncio.open_connection("127.0.0.1", port_of(worker)) for _ in range(5)]
        ends = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in open_ones)), 5)
        assert ends == [b""] * 5
        for _, writer in open_ones:
            writer.close()
        assert worker.counters()["dropped_tcp_refused"] == 2
        assert worker.counters()["tcp_connections"] == 0


async def test_a_client_that_takes_nothing_loses_packets_and_holds_up_nobody() -> None:
    async with running_worker(gso=False) as (link, worker):
        camera = await connected_publisher(link)
        good = await tcp_subscriber(link, "camera/0", name="good")
        stuck = await tcp_subscriber(link, "camera/0", name="stuck")
        stuck.dial().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ends_at, sent = time.monotonic() + 20, 0
        while not worker.counters()["dropped_tcp_full"]:
            assert time.monotonic() < ends_at
            for number in range(sent, sent + 50):
                camera.send_media(number, vp8(number == 0, length=1100), ssrc=77, timestamp=number * 3000)
            sent += 50
            await good.until(sent)


async def test_another_program_on_the_number_leaves_udp_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        link = MemoryLink()
        worker = MediaWorker(MediaSettings(udp_port=port), link)
        task = asyncio.create_task(worker.run())
        await link.ask(GetStatistics())
        assert worker.started is not None
        assert not worker.started.tcp
        peer = RawPeer(link, "camera")
        answer = await peer.publish(peer.offer(ssrc=77))
        assert " tcp " not in answer.sdp
        link.hang_up()
        await task
        peer.socket.close()


async def test_the_server_may_hand_connections_in(tmp_path: Path) -> None:
    intake = str(tmp_path / "tcp")
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    async with running_worker(tcp_intake=intake) as (link, worker):
        handoff = Handoff(intake)
        camera = TcpPeer(link, "camera", dialled=listener.getsockname())
        await camera.publish(camera.offer(ssrc=77))
        camera.dial()
        accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
        handoff(accepted)
        accepted.close()
        await camera.connect()
        await link.peer("camera", "connected")
        assert worker.counters()["tcp_connections"] == 1
        handoff.close()
        assert handoff.dropped == 0
    listener.close()


async def test_without_descriptors_nothing_spins_and_all_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "EXHAUSTED_S", 0.3)
    tries: list[float] = []

    class Exhausted(socket.socket):
        """A listener of a process that has too many files open."""

        def accept(self) -> tuple[socket.socket, object]:
            tries.append(time.monotonic())
            if len(tries) == 1:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    monkeypatch.setattr(socket, "socket", Exhausted)
    async with running_worker() as (link, _):
        monkeypatch.undo()
        monkeypatch.setattr(listening, "EXHAUSTED_S", 0.3)
        await tcp_publisher(link)
        assert [one - tries[0] >= 0.25 for one in tries[:2]] == [False, True]
