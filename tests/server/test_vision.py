"""The server's side of the vision worker, with real processes that are killed, stopped and hung."""

import asyncio
import base64
import gc
import io
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from analytics.messages import Blind, Observed
from analytics.modeltrial import Ceilings
from analytics.worker import LOAD_TIMEOUT_S
from config.settings import AnalyticsSettings
from server.vision import BREAKER_ENDS, LONGEST_DELAY_S, START_TIMEOUT_S, Backoff, State, VisionWorker
from tests.fakes import onnxfile
from tests.fakes.plugins import install_strangers
from tests.fakes.visionprocess import play, with_squares


@dataclass
class Server:
    """A supervised worker, and all that it told."""

    vision: VisionWorker
    task: asyncio.Task[None]
    observed: list[Observed]
    blind: list[Blind]
    states: list[State]

    async def until(self, true: Callable[[], object], timeout: float = 50.0) -> float:
        """Wait until something is so; seconds that it took."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with asyncio.timeout(timeout):
            while not true():
                await asyncio.sleep(0.02)
        return loop.time() - started

    def seen(self, camera: str) -> list[Observed]:
        return [o for o in self.observed if o.camera == camera and o.picture == "ok"]


@pytest.fixture
async def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Server]]:
    packages = tmp_path / "packages"
    packages.mkdir()
    install_strangers(packages)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    model = onnxfile.write(tmp_path)
    running: list[asyncio.Task[None]] = []

    def begin(**more: Any) -> Server:
        settings = AnalyticsSettings.model_validate(
            {"detectors": ("absence", "square", "hangs", "exits"), "model": model, **more}
        )
        observed, blind, states = list[Observed](), list[Blind](), list[State]()
        vision = VisionWorker(settings, on_observed=observed.append, on_blind=blind.append, on_state=states.append)
        running.append(asyncio.create_task(vision.run()))
        return Server(vision, running[-1], observed, blind, states)

    yield begin
    for task in running:
        task.cancel()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


@pytest.fixture
async def camera() -> AsyncIterator[Callable[[Server], None]]:
    """Starts a camera with somebody in the picture; it dials again whenever its tap is gone."""
    playing: list[asyncio.Task[None]] = []
    clip = [with_squares(n / 10, (0.5, 0.5)) for n in range(50)]

    async def film(server: Server) -> None:
        start_s = 100.0
        while True:
            try:
                await play(server.vision.tap_address, clip, "H264", start_s=start_s)
            except OSError:
                await asyncio.sleep(0.1)
            start_s += 60

    yield lambda server: playing.append(asyncio.create_task(film(server)))
    for task in playing:
        task.cancel()
    await asyncio.gather(*playing, return_exceptions=True)


Begin = Callable[..., Server]
Film = Callable[[Server], None]


async def test_a_watched_camera_is_seen(begin: Begin, camera: Film) -> None:
    server = begin()
    server.vision.watch("mine-1/room", "p1/0", "absence", ())
    camera(server)
    await server.until(lambda: any(o.detections for o in server.seen("mine-1/room")))
    assert server.states[-1] == server.vision.state == "ready"
    assert server.vision.model.startswith("red-squares ")
    assert server.vision.trained_on == "rendered"
    looks = server.vision.looks["mine-1/room", "absence"]
    assert looks.pictures >= 1
    assert looks.decode_s > 0
    assert looks.inference_s > 0
    server.vision.unwatch("mine-1/room")
    assert server.vision.looks == {}
    await asyncio.sleep(1.5)
    count = len(server.observed)
    await asyncio.sleep(1.5)
    assert len(server.observed) == count


async def test_a_killed_worker_is_told_of_at_once_and_comes_back_with_what_it_watched(
    begin: Begin, camera: Film
) -> None:
    server = begin()
    server.vision.watch("mine-1/room", "p1/0", "absence")
    server.vision.watch("mine-1/gate", "p2/0", "square")
    camera(server)
    await server.until(lambda: server.seen("mine-1/room"))
    assert server.vision.pid is not None
    os.kill(server.vision.pid, signal.SIGKILL)
    told_after = await server.until(lambda: len(server.blind) == 2)
    assert told_after < 2
    assert {b.camera for b in server.blind} == {"mine-1/room", "mine-1/gate"}
    assert all(b.reason.startswith("worker_down") for b in server.blind)
    count = len(server.seen("mine-1/room"))
    back_after = await server.until(lambda: len(server.seen("mine-1/room")) > count)
    assert back_after < 15
    assert server.states[-2:] == ["blind", "ready"]
    assert len(server.blind) == 2


async def test_a_stopped_worker_is_killed_and_replaced(begin: Begin, camera: Film) -> None:
    server = begin(heartbeat_timeout_s=3.0)
    server.vision.watch("mine-1/room", "p1/0", "absence")
    camera(server)
    await server.until(lambda: server.seen("mine-1/room"))
    stopped = server.vision.pid
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)
    told_after = await server.until(lambda: server.blind)
    assert told_after < 5
    count = len(server.seen("mine-1/room"))
    await server.until(lambda: len(server.seen("mine-1/room")) > count)
    assert server.vision.pid != stopped
    with pytest.raises(ProcessLookupError):
        os.kill(stopped, 0)


async def test_a_camera_whose_detector_hangs_twice_is_left_out_and_the_others_see(begin: Begin, camera: Film) -> None:
    server = begin(heartbeat_timeout_s=1.5)
    server.vision.watch("mine-1/bad", "p1/0", "hangs")
    server.vision.watch("mine-1/good", "p1/0", "square")
    camera(server)
    await server.until(lambda: any("left out" in b.reason for b in server.blind), 60)
    assert sum(b.reason.startswith("stuck: the detector") for b in server.blind) == 2
    count = len(server.seen("mine-1/good"))
    await server.until(lambda: len(server.seen("mine-1/good")) > count + 3)
    assert server.vision.state == "ready"
    server.vision.watch("mine-1/bad", "p1/0", "square")
    await server.until(lambda: server.seen("mine-1/bad"))


async def test_a_camera_watched_while_the_worker_is_down_is_blind_until_it_is_back(begin: Begin, camera: Film) -> None:
    server = begin()
    await server.until(lambda: server.vision.state == "ready")
    assert server.vision.pid is not None
    os.kill(server.vision.pid, signal.SIGKILL)
    await server.until(lambda: server.vision.state == "blind")
    assert server.blind == []
    server.vision.watch("mine-1/room", "p1/0", "absence")
    assert [b.reason for b in server.blind] == ["worker_down"]
    camera(server)
    await server.until(lambda: server.seen("mine-1/room"))


async def test_a_picture_is_given_or_nothing_in_time(begin: Begin, camera: Film) -> None:
    server = begin()
    assert await server.vision.picture("mine-1/room") is None
    server.vision.watch("mine-1/room", "p1/0", "absence")
    await server.until(lambda: server.vision.state == "ready")
    assert await server.vision.picture("mine-1/room") is None
    camera(server)
    await server.until(lambda: server.seen("mine-1/room"))
    picture = await server.vision.picture("mine-1/room", 200)
    assert picture is not None
    assert Pillow.open(io.BytesIO(base64.b64decode(picture.jpeg))).size == (200, 112)
    assert await server.vision.picture("mine-1/nowhere") is None
    assert server.vision.pid is not None
    os.kill(server.vision.pid, signal.SIGSTOP)
    waited = asyncio.get_running_loop().time()
    assert await server.vision.picture("mine-1/room", timeout=0.3) is None
    assert asyncio.get_running_loop().time() - waited < 1


async def test_a_picture_asked_of_a_dying_worker_is_nothing(begin: Begin) -> None:
    server = begin()
    server.vision.watch("mine-1/room", "p1/0", "absence")
    await server.until(lambda: server.vision.state == "ready")
    assert server.vision.pid is not None
    os.kill(server.vision.pid, signal.SIGSTOP)
    asking = asyncio.create_task(server.vision.picture("mine-1/room", timeout=20))
    await asyncio.sleep(0.1)
    os.kill(server.vision.pid, signal.SIGKILL)
    async with asyncio.timeout(5):
        assert await asking is None


async def test_nothing_is_left_behind(begin: Begin) -> None:
    server = begin()
    await server.until(lambda: server.vision.state == "ready")
    folder = Path(server.vision.tap_address).parent
    assert folder.stat().st_mode & 0o777 == 0o700
    pid = server.vision.pid
    assert pid is not None
    server.task.cancel()
    await asyncio.gather(server.task, return_exceptions=True)
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.3])
async def test_a_start_that_is_broken_off_leaves_nothing_behind(begin: Begin, after_s: float) -> None:
    """At any moment; an unclosed socket or process would be a warning, and so an error."""
    server = begin()
    await asyncio.sleep(after_s)
    server.task.cancel()
    await asyncio.gather(server.task, return_exceptions=True)
    assert server.vision.pid is None
    gc.collect()


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.1])
async def test_an_end_that_is_broken_off_leaves_no_process(begin: Begin, after_s: float) -> None:
    server = begin(heartbeat_timeout_s=0.5)
    await server.until(lambda: server.vision.state == "ready")
    pid = server.vision.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    await server.until(lambda: server.vision.pid is None)
    await asyncio.sleep(after_s)
    server.task.cancel()
    await asyncio.gather(server.task, return_exceptions=True)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    gc.collect()


# --- when to start again ----------------------------------------------------------------------------------------------


def test_starts_are_further_and_further_apart() -> None:
    backoff = Backoff()
    assert [backoff.ended(100.0 * n, 0.5) for n in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_long_healthy_run_starts_over() -> None:
    backoff = Backoff()
    for n in range(4):
        backoff.ended(100.0 * n, 0.5)
    assert backoff.ended(1000.0, 300.0) == 1


def test_five_ends_in_a_minute_open_the_breaker() -> None:
    backoff = Backoff()
    delays = [backoff.ended(10.0 * n, 0.5) for n in range(BREAKER_ENDS)]
    assert delays == [1, 2, 4, 8, LONGEST_DELAY_S]


def test_worker_may_take_its_whole_time_to_load_a_model_before_it_is_given_up() -> None:
    assert START_TIMEOUT_S > LOAD_TIMEOUT_S + Ceilings().wall_s
