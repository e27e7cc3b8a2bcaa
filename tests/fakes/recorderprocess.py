"""A real recorder process under a test's own hands, a microphone, and what its files hold according to PyAV."""

import asyncio
import contextlib
import os
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import av
from pydantic import BaseModel

from media.link import Link
from media.record.messages import ANSWERS, Allow, AnyAnswer, Configure, Record, Stop
from media.tap import AccessUnit, pack
from tests.fakes.clips import encode, scene

T = TypeVar("T", bound=BaseModel)
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Content:
    """What a player finds in a file."""

    codec: str
    packets: int
    pictures: int
    """Decoded without an error."""
    first_s: float
    last_s: float
    width: int


def content(path: Path) -> Content:
    """Demux and decode a whole file; raises where it is broken."""
    with av.open(str(path)) as file:
        stream = file.streams[0]
        times = [float(p.pts * p.time_base) for p in file.demux(stream) if p.size and p.pts is not None and p.time_base]
        width = stream.width if isinstance(stream, av.VideoStream) else 0
    with av.open(str(path)) as file:
        pictures = sum(1 for _ in file.decode(file.streams[0]))
    return Content(stream.codec.name, len(times), pictures, times[0], times[-1], width)


class RecorderProcess:
    """Keeps every message that came."""

    def __init__(
        self, process: asyncio.subprocess.Process, link: Link[AnyAnswer], tap_address: str, folder: Path
    ) -> None:
        self.process = process
        self.link = link
        self.tap_address = tap_address
        self.folder = folder
        self.messages: list[AnyAnswer] = []

    async def until(self, kind: type[T], wanted: Callable[[T], bool] = lambda _: True, timeout: float = 30.0) -> T:
        async with asyncio.timeout(timeout):
            while (message := await self.link.receive()) is not None:
                self.messages.append(message)
                if isinstance(message, kind) and wanted(message):
                    return message
        raise AssertionError(f"The recorder ended before it sent {kind.__name__}.")

    def record(self, track: str, *, segments: int = 1) -> str:
        recording = str(uuid.uuid4())
        self.link.send(Record(recording=recording, track=track))
        self.link.send(Allow(recording=recording, segment=segments - 1))
        return recording

    def stop(self, recording: str) -> None:
        self.link.send(Stop(recording=recording))

    def files(self, recording: str) -> list[Path]:
        return sorted((self.folder / recording).iterdir())


@contextlib.asynccontextmanager
async def recorder_process(
    folder: Path, *, recordings: Path | None = None, part_s: float = 0.8, segment_s: float = 300.0
) -> AsyncIterator[RecorderProcess]:
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "media.record.worker", "--fd", str(theirs.fileno()),
            pass_fds=(theirs.fileno(),), cwd=ROOT, env=dict(os.environ),
        )  # fmt: skip
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    link: Link[AnyAnswer] = Link(reader, writer, ANSWERS)
    where = recordings or folder / "recordings"
    worker = RecorderProcess(process, link, str(folder / "tap"), where)
    try:
        link.send(
            Configure(
                tap_address=worker.tap_address, folder=str(where), part_s=part_s, segment_s=segment_s, sync_parts=True
            )
        )
        yield worker
    finally:
        writer.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def film(codec: str, seconds: float, *, track: str = "p1/0", rate: int = 10, key_every: int = 10) -> list[AccessUnit]:
    """A camera's units, that arrive when they are taken."""
    clip = [scene(n / rate) for n in range(round(seconds * rate))]
    return list(encode(clip, codec, track=track, rate=rate, key_every=key_every))


def sound(seconds: float, *, track: str = "p1/1") -> list[AccessUnit]:
    """A microphone's units: real Opus, of silence."""
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "s16"
    units = []
    for number in range(round(seconds * 50)):
        frame = av.AudioFrame(format="s16", layout="stereo", samples=960)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 48_000, number * 960
        for packet in encoder.encode(frame):
            at_s = number / 50
            units.append(
                AccessUnit(track, "opus", True, False, 4_800_000 + number * 960, 1_800_000_000.0 + at_s, bytes(packet))
            )
    return units


async def play(address: str, units: Iterable[AccessUnit], *, speed: float = 1.0) -> None:
    """Write units to the tap as their own clock says, `speed` times as fast."""
    _, writer = await asyncio.open_unix_connection(address)
    loop = asyncio.get_running_loop()
    began, first = loop.time(), None
    try:
        for unit in units:
            first = unit.arrived_at if first is None else first
            await asyncio.sleep(max(0.0, began + (unit.arrived_at - first) / speed - loop.time()))
            writer.write(pack(replace(unit)))
            await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
