"""A camera's way to RTP packets: with a camera of our own making, and in the real process with a real RTSP server."""

import asyncio
import contextlib
import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import av
import pytest
from pydantic import BaseModel

from media import rtp
from media.depacketize import Depacketizer
from media.ingest import puller as module
from media.ingest.address import Policy
from media.ingest.messages import (
    ANSWERS,
    Add,
    AnyAnswer,
    Attach,
    Changed,
    Configure,
    Detach,
    Facts,
    Opened,
    Ready,
    Remove,
    Stream,
    Target,
)
from media.ingest.puller import Puller
from media.ingest.rtsp import CameraFailed, Described, Unit
from media.link import Link
from media.tap import AccessUnit
from tests.fakes.rtspcamera import clip, free_port, rtsp_server, served

SPS, PPS = bytes.fromhex("6742c00bda0507ec04400000030040000007a3c50aa8"), bytes.fromhex("68ce0fc8")
CODE = b"\x00\x00\x00\x01"
M = TypeVar("M", bound=BaseModel)
ROOT = Path(__file__).parents[3]


TOKEN = bytes(range(16))


class Door:
    """As `media.door`, read by the test."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "door")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(self.address)
        self._listener.listen(8)
        self._listener.settimeout(5)
        self._connection: socket.socket | None = None
        self.reports: list[bytes] = []

    def receive(self, timeout_s: float = 5.0) -> bytes:
        """The next packet of media, over whatever connection comes."""
        self._listener.settimeout(timeout_s)
        while True:
            if self._connection is None:
                self._connection = self._listener.accept()[0]
                self._connection.settimeout(timeout_s)
            datagram = self._connection.recv(2048)
            if not datagram:
                self._connection.close()
                self._connection = None
                continue
            assert datagram[:16] == TOKEN
            if not rtp.is_rtcp(datagram[16:]):
                return datagram[16:]
            self.reports.append(datagram[16:])

    def packets(self, count: int) -> list[bytes]:
        return [self.receive() for _ in range(count)]

    def units(self, count: int, payload_type: int = 96) -> list[AccessUnit]:
        """Pictures, put together."""
        depacketizer = Depacketizer("H264", "t")
        found: list[AccessUnit] = []
        while len(found) < count:
            packet = self.receive()
            if packet[1] & 0x7F != payload_type:
                continue
            sequence, timestamp = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[4:8], "big")
            unit = depacketizer.push(packet[12:], bool(packet[1] & 0x80), timestamp, sequence, 0.0)
            if unit is not None:
                found.append(unit)
        return found

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def close(self) -> None:
        self.hang_up()
        self._listener.close()
        os.unlink(self.address)


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    one = Door(tmp_path)
    yield one
    one.close()


class Camera:
    """A camera whose units the test gives."""

    described = Described(Stream(codec="H264", clock_rate=90000), None, 320, 180, (SPS, PPS))

    def __init__(self, given: "list[Unit | CameraFailed | threading.Event]") -> None:
        self.given = given
        self.closed = threading.Event()

    def units(self) -> Iterator[Unit]:
        for one in self.given:
            if isinstance(one, CameraFailed):
                raise one
            if isinstance(one, threading.Event):
                one.wait(10)
            else:
                yield one

    def close(self) -> None:
        self.closed.set()


def picture(number: int, *, key: bool = False) -> Unit:
    head = b"\x65" if key else b"\x41"
    return Unit("video", CODE + head + bytes([number + 1]) * 50, number * 0.04, number * 0.04)


class Told:
    """What the puller said."""

    def __init__(self) -> None:
        self.messages: list[BaseModel] = []
        self._news = threading.Condition()

    def __call__(self, message: BaseModel) -> None:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def wait(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True) -> M:
        with self._news:
            found: M | None = None

            def there() -> bool:
                nonlocal found
                found = next((one for one in self.messages if isinstance(one, kind) and fits(one)), None)
                return found is not None

            assert self._news.wait_for(there, 10), self.messages
            assert found is not None
            return found


@contextlib.contextmanager
def pulling(*cameras: Camera | CameraFailed) -> Iterator[tuple[Puller, Told]]:
    told, left = Told(), iter(cameras)

    def opener(*_: object, **__: object) -> Camera:
        one = next(left, CameraFailed("unreachable", "No more."))
        if isinstance(one, CameraFailed):
            raise one
        return one

    puller = Puller(Add(camera="c", url="rtsp://camera.mine/1"), Policy(), told, opener=opener)
    puller.start()
    try:
        yield puller, told
    finally:
        puller.stop()


def attach(door: Door, opening: int = 1) -> Attach:
    return Attach(
        camera="c",
        opening=opening,
        address=door.address,
        token=TOKEN.hex(),
        video=Target(ssrc=7, payload_type=96),
        audio=Target(ssrc=8, payload_type=8),
    )


def test_what_came_before_the_door_was_open_goes_out_first_from_its_key_frame_on(door: Door) -> None:
    go, end = threading.Event(), threading.Event()
    units = [picture(0), picture(1, key=True), picture(2), picture(3, key=True), picture(4)]
    with pulling(Camera([*units, go, picture(5), end])) as (puller, told):
        told.wait(Changed, lambda one: one.state == "live")
        puller.attach(attach(door))
        go.set()
        found = door.units(3)
        end.set()
    assert [unit.data[-1] for unit in found] == [4, 5, 6]
    assert found[0].key
    assert SPS in found[0].data
    assert PPS in found[0].data


def test_after_a_detachment_packets_begin_with_a_key_frame_again(door: Door) -> None:
    begin, gone, again, end = (threading.Event() for _ in range(4))
    before: list[Unit | CameraFailed | threading.Event] = [picture(0, key=True), begin, picture(1), gone]
    after: list[Unit | CameraFailed | threading.Event] = [
        picture(2),
        picture(3),
        picture(4, key=True),
        picture(5),
        again,
        picture(6),
        end,
    ]
    with pulling(Camera([*before, *after])) as (puller, told):
        told.wait(Opened)
        puller.attach(attach(door))
        begin.set()
        assert [unit.data[-1] for unit in door.units(2)] == [1, 2]
        puller.detach()
        gone.set()
        assert not again.wait(0.2)  # time for the units that nobody takes
        puller.attach(attach(door))
        again.set()
        found = door.units(3)
        end.set()
    assert [unit.data[-1] for unit in found] == [5, 6, 7]


def test_a_door_that_closed_is_dialled_again_by_itself(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DIAL_AGAIN_S", 0.0)
    go, on, end = threading.Event(), threading.Event(), threading.Event()
    more = [picture(number, key=number % 3 == 0) for number in range(2, 12)]
    with pulling(Camera([picture(0, key=True), go, picture(1), on, *more, end])) as (puller, told):
        told.wait(Opened)
        puller.attach(attach(door))
        go.set()
        door.units(2)
        door.hang_up()
        on.set()
        found = door.units(3)
        end.set()
    assert found[0].key


def test_pictures_that_were_held_for_long_keep_their_own_times(door: Door) -> None:
    now = [100.0]
    go, end = threading.Event(), threading.Event()

    class Slow(Camera):
        def units(self) -> Iterator[Unit]:
            for unit in super().units():
                now[0] += 0.5
                yield unit

    many = [Unit("video", picture(n, key=n == 0).data, n * 0.5, n * 0.5) for n in range(40)]
    told = Told()
    camera = Slow([*many, go, picture(0), end])
    puller = Puller(Add(camera="c", url="rtsp://camera.mine/1"), Policy(), told, clock=lambda: now[0],
                    opener=lambda *_, **__: camera)  # fmt: skip
    puller.start()
    told.wait(Opened)
    puller.attach(attach(door))
    go.set()
    stamps = [int.from_bytes(packet[4:8], "big") for packet in door.packets(41)]
    end.set()
    puller.stop()
    assert [(later - earlier) & 0xFFFFFFFF for earlier, later in itertools.pairwise(sorted(set(stamps[2:])))] == [
        45_000
    ] * 38


def test_packets_for_an_opening_that_is_over_go_nowhere(door: Door) -> None:
    go, end = threading.Event(), threading.Event()
    with pulling(Camera([picture(0, key=True), go, picture(1), picture(2), end])) as (puller, told):
        told.wait(Opened)
        puller.attach(attach(door, opening=2))
        go.set()
        with pytest.raises(TimeoutError):
            door.receive(0.3)
        end.set()


def test_one_stream_of_packets_goes_on_over_a_new_opening(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.ingest.patience.FIRST_S", 0.05)
    go, again = threading.Event(), threading.Event()
    first = Camera([picture(0, key=True), go, picture(1), CameraFailed("no_data", "Silent.")])
    second = Camera([picture(100, key=True), again, picture(101), threading.Event()])
    with pulling(first, second) as (puller, told):
        told.wait(Opened)
        puller.attach(attach(door))
        go.set()
        told.wait(Opened, lambda one: one.opening == 2)
        puller.attach(attach(door, opening=2))
        again.set()
        packets = [rtp.HEADER.unpack_from(packet) for packet in door.packets(6)]
    assert first.closed.is_set()
    sequences = [packet[2] for packet in packets]
    assert [(later - earlier) & 0xFFFF for earlier, later in itertools.pairwise(sequences)] == [1] * 5
    assert {packet[4] for packet in packets} == {7}
    stamps = sorted({packet[3] for packet in packets}, key=lambda stamp: (stamp - packets[0][3]) & 0xFFFFFFFF)
    assert len(stamps) == 4
    assert (stamps[2] - stamps[1]) & 0xFFFFFFFF < 90000 * 5


def test_a_camera_that_never_sends_a_key_frame_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEYFRAME_PATIENCE_S", 0.0)
    with pulling(Camera([picture(number) for number in range(5)])) as (_, told):
        assert told.wait(Changed, lambda one: one.state == "backoff").reason == "no_keyframe"


def test_a_refusal_is_told_with_its_reason_and_the_wait() -> None:
    with pulling(CameraFailed("unauthorized", "The camera refuses.")) as (_, told):
        backoff = told.wait(Changed, lambda one: one.state == "backoff")
    assert (backoff.reason, backoff.detail) == ("unauthorized", "The camera refuses.")
    assert backoff.retry_in_s > 40


def test_a_media_worker_that_takes_nothing_costs_packets_and_no_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEND_TIMEOUT_S", 0.01)
    monkeypatch.setattr(module, "FACTS_S", 0.0)
    go = threading.Event()
    many = [picture(number % 200, key=not number % 50) for number in range(1, 2000)]
    with pulling(Camera([picture(0, key=True), go, *many, CameraFailed("ended", "Over.")])) as (puller, told):
        told.wait(Opened)
        puller.attach(attach(door))
        go.set()
        told.wait(Changed, lambda one: one.state == "backoff")
    assert max(one.dropped for one in told.messages if isinstance(one, Facts)) > 0


# --- the real process -----------------------------------------------------------------------------------------------


class Process:
    """The ingest process; keeps what it said."""

    def __init__(self, link: Link[AnyAnswer], process: asyncio.subprocess.Process) -> None:
        self.link, self.process = link, process
        self.messages: list[AnyAnswer] = []

    async def wait(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True, timeout_s: float = 15) -> M:
        async with asyncio.timeout(timeout_s):
            while True:
                for one in self.messages:
                    if isinstance(one, kind) and fits(one):
                        return one
                message = await self.link.receive()
                assert message is not None, "The process closed its link."
                self.messages.append(message)


@contextlib.asynccontextmanager
async def ingest() -> AsyncIterator[Process]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "media.ingest.worker", "--fd", str(theirs.fileno()), pass_fds=(theirs.fileno(),), cwd=ROOT
    )
    theirs.close()
    running = Process(Link(reader, writer, ANSWERS), process)
    running.link.send(Configure(allow=("127.0.0.0/8",)))
    await running.wait(Ready)
    try:
        yield running
    finally:
        running.link.close()
        assert await asyncio.wait_for(process.wait(), 5) == 0


@pytest.mark.peer
async def test_a_camera_of_a_real_server_is_fetched_and_fetched_again(tmp_path: Path, door: Door) -> None:
    mounts = {"/1": served(clip(tmp_path / "clip.mkv", seconds=20))}
    port = free_port()
    async with ingest() as process:
        process.link.send(Add(camera="c", url=f"rtsp://127.0.0.1:{port}/1"))
        refused = await process.wait(Changed, lambda one: one.state == "backoff")
        assert refused.reason == "connection_refused"
        async with rtsp_server(mounts, port=port):
            opened = await process.wait(Opened)
            assert (opened.width, opened.height) == (320, 180)
            assert opened.audio is not None
            process.link.send(attach(door, opened.opening))
            units = await asyncio.to_thread(door.units, 10)
            await process.wait(Facts, lambda one: 12 <= one.frames_per_s <= 18)
            assert {report[1] for report in door.reports} == {200}
            process.messages.clear()
        lost = await process.wait(Changed, lambda one: one.state == "backoff")
        assert lost.reason in ("ended", "no_data", "broken", "connection_refused")
        async with rtsp_server(mounts, port=port):
            again = await process.wait(Opened, lambda one: one.opening == opened.opening + 1, 20)
            process.link.send(attach(door, again.opening))
            await process.wait(Changed, lambda one: one.state == "live")
            process.link.send(Detach(camera="c"))
            process.link.send(Remove(camera="c"))
    assert units[0].key
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    pictures = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]
    assert len(pictures) >= len(units) - 2
    assert pictures[0].width == 320


@pytest.mark.peer
async def test_one_silent_camera_holds_up_no_other_and_no_end(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    silent = f"rtsp://127.0.0.1:{listener.getsockname()[1]}/silent"
    async with rtsp_server({"/1": served(clip(tmp_path / "clip.mkv", seconds=3))}) as server, ingest() as process:
        for number in range(20):
            process.link.send(Add(camera=f"silent{number}", url=silent))
        process.link.send(Add(camera="good", url=server.url("/1")))
        await process.wait(Changed, lambda one: (one.camera, one.state) == ("good", "live"))
        begun = time.monotonic()
    assert time.monotonic() - begun < 5
    listener.close()
