"""The vision worker as a real process, fed with real encoded clips."""

import asyncio
import base64
import contextlib
import io
import os
import stat
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from analytics.messages import Beat, Blind, Observed, Picture, Ready, TakePicture, Unwatch
from analytics.onnx import SHIPPED
from config.settings import AnalyticsSettings
from media.messages import GetStatistics
from media.tap import AccessUnit
from tests.fakes import onnxfile
from tests.fakes.clips import scene
from tests.fakes.plugins import STRANGER_ENTRIES, STRANGERS, install_wheel, wheel_of
from tests.fakes.visionprocess import Image, VisionProcess, play, vision_process, with_squares

Start = Callable[..., AbstractAsyncContextManager[VisionProcess]]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The strangers' detectors, installed from a wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    return install_wheel(folder / "packages", wheel_of(folder, "strangers", STRANGERS, STRANGER_ENTRIES))


@pytest.fixture
def start(tmp_path: Path, packages: Path) -> Start:
    """Starts a worker with the test model and the strangers' detectors installed."""
    model = onnxfile.write(tmp_path)

    def start(**more: Any) -> AbstractAsyncContextManager[VisionProcess]:
        detectors = ("absence", "square", "raises", "raises-at-start", "hangs", "leaks", "nan", "floods", "exits")
        settings = AnalyticsSettings.model_validate({"detectors": detectors, "model": model, **more})
        return vision_process(tmp_path, settings, packages)

    return start


async def while_playing(camera: Awaitable[None], awaited: Awaitable[Any]) -> Any:
    """Wait for something while a camera plays."""
    playing = asyncio.ensure_future(camera)
    try:
        return await awaited
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


def room(seconds: int, *places: tuple[float, float], rate: int = 10) -> list[Image]:
    return [with_squares(n / rate, *places) for n in range(seconds * rate)]


def ok(seen: Observed) -> bool:
    return seen.picture == "ok"


async def test_it_says_what_it_can_do_and_then_that_it_lives(start: Start) -> None:
    async with start() as worker:
        ready = await worker.receive()
        assert isinstance(ready, Ready)
        assert "absence" in ready.detectors
        assert ready.model.startswith("red-squares ")
        assert ready.trained_on == "rendered"
        first, second = await worker.until(Beat), await worker.until(Beat)
        assert 10 < first.rss_mb < 250
        assert second.cpu_s >= first.cpu_s
        assert second.cameras == 0
        assert stat.S_IMODE(os.stat(worker.tap_address).st_mode) == 0o600


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_persons_in_a_clip_are_seen_where_they_are(start: Start, codec: str) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        clip = room(6, (0.3, 0.5), (0.75, 0.4))
        seen = await while_playing(
            play(worker.tap_address, clip, codec), worker.until(Observed, lambda s: len(s.detections) == 2)
        )
    assert seen.picture == "ok"
    assert seen.camera == "mine-1/room"
    assert seen.detector == "absence"
    left, right = sorted(seen.detections, key=lambda d: d.box)
    assert (left.box[0] + left.box[2]) / 2 == pytest.approx(0.3, abs=0.05)
    assert (right.box[0] + right.box[2]) / 2 == pytest.approx(0.75, abs=0.05)
    assert left.attributes["posture.work"] > 0.5
    assert seen.inference_ms > 0


async def test_an_empty_room_and_no_picture_are_two_different_reports(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        nothing = await worker.until(Observed)
        assert nothing.picture == "none"
        clip = room(4)
        empty = await while_playing(play(worker.tap_address, clip), worker.until(Observed, ok))
        assert empty.detections == ()
        again = await worker.until(Observed, lambda s: s.picture == "none")
        assert again.at > nothing.at


async def test_two_pictures_a_second_are_analysed_and_the_others_counted(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        await worker.until(Beat)
        await play(worker.tap_address, room(6))
        await worker.until(Observed, lambda s: s.picture == "none")
    seen = [m for m in worker.messages if isinstance(m, Observed) and ok(m)]
    assert 10 <= len(seen) <= 13
    skipped = sum(m.skipped for m in worker.messages if isinstance(m, Observed))
    assert len(seen) + skipped == 60
    assert np.diff([s.at for s in seen]) == pytest.approx(0.5, abs=0.11)


@pytest.mark.parametrize(("gain", "picture"), [(0.05, "dark"), (9.0, "overexposed"), (0.0, "blocked")])
async def test_a_picture_that_shows_nothing_is_called_by_its_fault(start: Start, gain: float, picture: str) -> None:
    def spoilt(image: Image) -> Image:
        out = np.full_like(image, 90) if gain == 0 else np.clip(image.astype(np.float32) * gain, 0, 255)
        return out.astype(np.uint8)

    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        clip = [spoilt(image) for image in room(3, (0.5, 0.5))]
        seen = await while_playing(
            play(worker.tap_address, clip), worker.until(Observed, lambda s: s.picture not in ("ok", "none"))
        )
    assert seen.picture == picture
    assert seen.detections == ()


async def test_a_frozen_source_with_somebody_in_it_is_frozen(start: Start) -> None:
    still = with_squares(0.0, (0.5, 0.5))
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        started = asyncio.get_running_loop().time()
        frozen = await while_playing(
            play(worker.tap_address, [still] * 400, "H264", speed=4),
            worker.until(Observed, lambda s: s.picture == "frozen"),
        )
        took = (asyncio.get_running_loop().time() - started) * 4
    assert frozen.detections == ()
    assert took < 14


async def test_a_track_that_nobody_watches_costs_nothing(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        await play(worker.tap_address, room(2), track="p9/1", speed=10)
        await worker.until(Observed, lambda s: s.picture == "none")
        assert not [m for m in worker.messages if isinstance(m, Observed) and ok(m)]


async def test_an_unwatched_camera_falls_silent(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        await worker.until(Observed)
        worker.link.send(Unwatch(camera="mine-1/room"))
        await worker.until(Beat, lambda b: b.cameras == 0)
        worker.messages.clear()
        await worker.until(Beat)
        await worker.until(Beat)
        assert not [m for m in worker.messages if isinstance(m, Observed)]


async def test_watching_anew_goes_on_without_waiting_for_a_key_frame(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()

        async def watch_twice() -> Observed:
            await worker.until(Observed, ok)
            worker.watch(detector="square")
            return await worker.until(Observed, lambda s: ok(s) and s.detector == "square")

        clip = [with_squares(n / 10, (0.5, 0.5)) for n in range(100)]
        seen = await while_playing(play(worker.tap_address, clip, "H264", key_every=1000), watch_twice())
    assert len(seen.detections) == 1


async def test_a_camera_that_is_watched_late_gets_a_key_frame_by_a_new_connection(start: Start) -> None:
    """A browser sends a key frame only when asked; the media worker asks for one at each new connection."""
    async with start() as worker:
        await worker.until(Ready)
        clip = room(30, (0.5, 0.5))

        async def film() -> None:
            for attempt in range(5):
                try:
                    await play(worker.tap_address, clip, "VP8", key_every=10_000, start_s=100.0 * attempt)
                except ConnectionError:
                    continue

        async def watch_late() -> Observed:
            await asyncio.sleep(1.0)
            worker.watch()
            return await worker.until(Observed, ok, timeout=6.0)

        seen = await while_playing(film(), watch_late())
    assert len(seen.detections) == 1


# --- pictures on request ----------------------------------------------------------------------------------------------


async def test_a_picture_is_given_on_request(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()

        async def ask() -> Picture:
            await worker.until(Observed, lambda s: bool(s.detections))
            worker.link.send(TakePicture(request=7, camera="mine-1/room", max_width=160))
            return await worker.until(Picture)

        picture = await while_playing(play(worker.tap_address, room(6, (0.5, 0.5))), ask())
    image = Pillow.open(io.BytesIO(base64.b64decode(picture.jpeg)))
    assert picture.request == 7
    assert image.size == (picture.width, picture.height) == (160, 90)
    red, green, blue = image.getpixel((80, 45))  # type: ignore[misc]
    assert red > 150
    assert max(green, blue) < 90
    assert len(picture.detections) == 1
    assert picture.at >= 1_800_000_000


async def test_no_picture_is_an_empty_answer(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        for request, camera in enumerate(("mine-1/room", "mine-1/nowhere")):
            worker.link.send(TakePicture(request=request, camera=camera))
            picture = await worker.until(Picture)
            assert (picture.request, picture.jpeg) == (request, "")


# --- plug-ins that misbehave ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("detector", "reason"),
    [
        ("raises", "RuntimeError: out of order"),
        ("raises-at-start", "OSError: no licence file"),
        ("nan", "not finite"),
        ("floods", "at most 200"),
        ("unheard-of", "no detector named 'unheard-of'; known: absence"),
    ],
)
async def test_a_broken_detector_blinds_its_camera_once_and_the_others_see(
    start: Start, detector: str, reason: str
) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch("mine-1/good", detector="square")
        worker.watch("mine-1/bad", detector=detector)
        await while_playing(
            play(worker.tap_address, room(6, (0.5, 0.5)), speed=2),
            worker.until(Observed, lambda s: len(s.detections) == 1 and s.skipped >= 0 and s.camera == "mine-1/good"),
        )
        for _ in range(2):
            await worker.until(Beat)
    blind = [m for m in worker.messages if isinstance(m, Blind)]
    assert [b.camera for b in blind] == ["mine-1/bad"]
    assert reason in blind[0].reason
    assert not [m for m in worker.messages if isinstance(m, Observed) and m.camera == "mine-1/bad" and ok(m)]


async def test_a_detector_that_hangs_ends_the_worker_and_is_named(start: Start) -> None:
    async with start(heartbeat_timeout_s=2.0) as worker:
        await worker.until(Ready)
        worker.watch("mine-1/bad", detector="hangs")
        blind = await while_playing(play(worker.tap_address, room(10)), worker.until(Blind))
        assert blind.camera == "mine-1/bad"
        assert blind.reason.startswith("stuck")
        assert await worker.end() == 3


async def test_a_detector_that_eats_memory_ends_only_the_worker(start: Start) -> None:
    async with start(worker_memory_mb=400, heartbeat_timeout_s=30) as worker:
        await worker.until(Ready)
        worker.watch("mine-1/bad", detector="leaks")
        assert await while_playing(play(worker.tap_address, room(10)), worker.end()) == 4


async def test_a_refused_model_is_told_and_the_picture_is_still_there(start: Start, tmp_path: Path) -> None:
    (tmp_path / "spoilt").mkdir()
    path = onnxfile.write(tmp_path / "spoilt", sha256="0" * 64)
    async with start(model=path) as worker:
        ready = await worker.until(Ready)
        assert (ready.model, ready.trained_on) == ("", "unknown")
        worker.watch()
        blind = await worker.until(Blind)
        assert blind.reason.startswith("hash_mismatch")

        async def ask() -> Picture:
            while True:
                worker.link.send(TakePicture(request=1, camera="mine-1/room"))
                if (picture := await worker.until(Picture)).jpeg:
                    return picture
                await asyncio.sleep(0.1)

        picture = await while_playing(play(worker.tap_address, room(6)), ask())
        assert picture.width == 320


# --- bad input --------------------------------------------------------------------------------------------------------


async def test_junk_on_the_tap_closes_that_connection_only(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        reader, writer = await asyncio.open_unix_connection(worker.tap_address)
        writer.write(b"\xff" * 100)
        assert await reader.read() == b""
        writer.close()
        seen = await while_playing(play(worker.tap_address, room(4, (0.5, 0.5))), worker.until(Observed, ok))
        assert seen.camera == "mine-1/room"


async def test_broken_units_are_no_picture_and_no_end(start: Start) -> None:
    def spoil(unit: AccessUnit) -> AccessUnit:
        junk = bytes(np.random.default_rng(unit.timestamp).integers(0, 256, len(unit.data), dtype=np.uint8))
        return AccessUnit(unit.track, unit.codec, unit.key, unit.after_gap, unit.timestamp, unit.arrived_at, junk)

    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        with contextlib.suppress(ConnectionError):  # cut, so that a key frame comes
            await play(worker.tap_address, room(3), "H264", change=spoil, speed=3)
        nothing = await worker.until(Observed, lambda s: s.picture == "none")
        assert nothing.skipped >= 0
        seen = await while_playing(play(worker.tap_address, room(6), "H264", start_s=200), worker.until(Observed, ok))
        assert seen.camera == "mine-1/room"


async def test_a_message_that_is_none_ends_the_worker(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.link.send(GetStatistics())
        assert await worker.end() == 2


async def test_it_ends_when_its_link_closes(start: Start) -> None:
    async with start() as worker:
        await worker.until(Ready)
        worker.watch()
        worker.link.close()
        async with asyncio.timeout(5):
            assert await worker.process.wait() == 0


# --- the shipped model ------------------------------------------------------------------------------------------------


async def test_the_shipped_model_runs_on_a_real_clip(start: Start) -> None:
    if not SHIPPED.exists():
        pytest.skip("no model in this tree")
    async with start(model=None) as worker:
        ready = await worker.until(Ready)
        assert ready.trained_on == "rendered"
        worker.watch()
        clip = [scene(n / 10, size=(640, 360)) for n in range(40)]
        seen = await while_playing(play(worker.tap_address, clip, "H264"), worker.until(Observed, ok))
        assert seen.inference_ms < 1000
        beat = await worker.until(Beat)
        assert beat.rss_mb < 250
