"""A real vision worker process under a test's own hands, and a camera that writes to its tap."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from analytics.messages import ANSWERS, AnyAnswer, Configure, Watch
from config.settings import AnalyticsSettings
from media.link import Link
from media.tap import AccessUnit, pack
from tests.fakes.clips import encode, scene

T = TypeVar("T", bound=BaseModel)
Image = npt.NDArray[np.uint8]

ROOT = Path(__file__).parents[2]


class VisionProcess:
    """Keeps every message that came."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link[AnyAnswer], tap_address: str) -> None:
        self.process = process
        self.link = link
        self.tap_address = tap_address
        self.messages: list[AnyAnswer] = []

    async def receive(self, timeout: float = 50.0) -> AnyAnswer | None:
        async with asyncio.timeout(timeout):
            message = await self.link.receive()
        if message is not None:
            self.messages.append(message)
        return message

    async def until(self, kind: type[T], wanted: Callable[[T], bool] = lambda _: True, timeout: float = 50.0) -> T:
        """The next message of a kind that is as wanted; others are kept."""
        async with asyncio.timeout(timeout):
            while (message := await self.receive(timeout)) is not None:
                if isinstance(message, kind) and wanted(message):
                    return message
        raise AssertionError(f"The worker ended before it sent {kind.__name__}.")

    def watch(
        self, camera: str = "mine-1/room", track: str = "p1/0", detector: str = "absence", **more: object
    ) -> None:
        self.link.send(Watch.model_validate({"camera": camera, "track": track, "detector": detector, **more}))

    async def end(self, timeout: float = 30.0) -> int:
        """Read until the link closes; the exit code."""
        async with asyncio.timeout(timeout):
            with contextlib.suppress(ConnectionError):
                while await self.receive(timeout) is not None:
                    pass
            return await self.process.wait()


@contextlib.asynccontextmanager
async def vision_process(folder: Path, settings: AnalyticsSettings, *paths: Path) -> AsyncIterator[VisionProcess]:
    """A started and configured worker; `paths` go onto its import path."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "analytics.worker",
            "--fd",
            str(theirs.fileno()),
            pass_fds=(theirs.fileno(),),
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        )
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    link: Link[AnyAnswer] = Link(reader, writer, ANSWERS)
    worker = VisionProcess(process, link, str(folder / "tap"))
    try:
        link.send(Configure(settings=settings.model_dump(mode="json"), tap_address=worker.tap_address))
        yield worker
    finally:
        writer.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def with_squares(seconds: float, *places: tuple[float, float], size: tuple[int, int] = (320, 180)) -> Image:
    """The test scene with red squares of the test model's size around these places."""
    image = scene(seconds, size=size)
    half = round(20 * size[0] / 256)
    for x, y in places:
        column, row = round(x * size[0]), round(y * size[1])
        image[row - half : row + half, column - half : column + half] = (255, 0, 0)
    return image


async def play(
    address: str,
    pictures: Iterable[Image],
    codec: str = "VP8",
    *,
    track: str = "p1/0",
    rate: int = 10,
    speed: float = 1.0,
    key_every: int = 20,
    start_s: float = 100.0,
    change: Callable[[AccessUnit], AccessUnit] = lambda unit: unit,
) -> None:
    """A camera: encode and write to a tap, `speed` times as fast as life."""
    _, writer = await asyncio.open_unix_connection(address)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        for number, unit in enumerate(
            encode(iter(pictures), codec, track=track, rate=rate, key_every=key_every, start_s=start_s)
        ):
            await asyncio.sleep(max(0.0, began + number / rate / speed - loop.time()))
            writer.write(pack(change(unit)))
            await writer.drain()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
