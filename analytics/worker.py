"""The vision worker process: `python -m analytics.worker --fd N`, where N is a socket to the server.

Three threads. The main one runs an event loop: commands, access units from the tap socket, a beat once a second. One
decodes, one runs detectors, so that a slow detector never holds up decoding (a decoder that falls behind has to wait
for a key frame) and neither holds up the beat.

What plug-ins do wrong stays here. One that raises makes its camera blind and the others go on. One that hangs, or eats
the memory, ends this process: the server notices and starts another. The process ends by itself when its link closes.
"""

import asyncio
import base64
import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from pydantic import BaseModel

from analytics.errors import AnalyticsError, ModelRefused, UnknownPlugin
from analytics.loader import known_detectors, load_detector
from analytics.messages import (
    COMMANDS,
    AnyCommand,
    Beat,
    Blind,
    Configure,
    Learned,
    Observed,
    Ready,
    TakePicture,
    Unwatch,
    Watch,
)
from analytics.onnx import SHIPPED, ModelStore
from analytics.options import WHOLE_PICTURE, DetectorOptions
from analytics.runner import CameraRunner
from config.settings import AnalyticsSettings
from media.childprocess import fd_of_arguments, run_process, serve_link
from media.link import Link
from media.tap import AccessUnit, TapError, Unpacker
from media.taplistener import READ_BYTES, listen

log = structlog.get_logger()

BEAT_S = 1.0
NOTHING_AFTER_S = 2.0
LOAD_TIMEOUT_S = 30.0
"""Of a detector with its model, which is tried in another process first."""
STARVED_S = 1.0
UNITS_AT_A_TIME = 8
GATHER_S = 0.1
"""Units are decoded a few together: going to the thread and back for each costs as much as decoding a small picture."""
MAX_CAMERAS = 64
MAX_WAITING_BYTES = 1 << 20
"""Reports are dropped while the server does not read."""
NICENESS = 5
"""Pictures that are looked at later are better than packets that are forwarded later."""
EXIT_STUCK, EXIT_MEMORY = 3, 4

T = TypeVar("T")


class Worker:
    """All cameras of this process."""

    def __init__(self, link: Link[AnyCommand], settings: AnalyticsSettings) -> None:
        self._link = link
        self._settings = settings
        self._cameras: dict[str, CameraRunner] = {}
        self._models = ModelStore(settings.provider)
        self._decoding = _Thread("decode")
        self._inference = _Thread("inference")
        self._units_there = asyncio.Event()
        self._picture_there = asyncio.Event()
        self._to_build: asyncio.Queue[CameraRunner] = asyncio.Queue(MAX_CAMERAS * 2)
        self._asked: asyncio.Queue[TakePicture] = asyncio.Queue(16)
        self._stuck_after_s = 0.8 * settings.heartbeat_timeout_s

    async def run(self, tap_address: str) -> None:
        """Serve until the link closes.

        Raises:
            LinkError: the server sent what is no message.
        """
        server = await listen(tap_address, self._read_units)
        await self._get_ready()
        loops = (self._commands, self._beat, self._decode, self._look, self._build, self._take_pictures)
        tasks = [asyncio.create_task(loop()) for loop in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # --- the link -----------------------------------------------------------------------------------------------------

    async def _commands(self) -> None:
        while (command := await self._link.receive()) is not None:
            match command:
                case Watch():
                    self._watch(command)
                case Unwatch():
                    self._cameras.pop(command.camera, None)
                case TakePicture():
                    with contextlib.suppress(asyncio.QueueFull):  # the asker's own time-out answers
                        self._asked.put_nowait(command)
                case Configure():
                    log.warning("configured_twice")

    async def _get_ready(self) -> None:
        path = self._settings.model or SHIPPED
        known = known_detectors()
        loaded = await self._call(self._inference, partial(self._models.get, path), timeout_s=LOAD_TIMEOUT_S)
        model, trained_on, provider = "", "unknown", ""
        if isinstance(loaded, ModelRefused):
            log.error("model_refused", model=path.name, reason=str(loaded))
        elif isinstance(loaded, BaseException):
            raise loaded
        else:
            model, trained_on, provider = loaded.described, loaded.card.trained_on, loaded.provider
        allowed = tuple(name for name in self._settings.detectors if name in known)
        _limit_memory(self._settings.worker_memory_mb)
        self._link.send(Ready(detectors=allowed, model=model, trained_on=trained_on, provider=provider))

    async def _beat(self) -> None:
        while True:
            limit = self._settings.worker_memory_mb
            self._link.send(Beat(rss_mb=_rss_mb(), cpu_s=time.process_time(), cameras=len(self._cameras)))
            if _rss_mb() > _start_mb + limit:
                _end(EXIT_MEMORY, "memory_limit_reached", rss_mb=round(_rss_mb()))
            now = time.monotonic()
            for camera, runner in self._cameras.items():
                if now - runner.last_picture_now > NOTHING_AFTER_S:
                    detector, skipped = runner.watch.detector, runner.take_skipped()
                    self._send(
                        Observed(camera=camera, detector=detector, at=time.time(), picture="none", skipped=skipped)
                    )
            await asyncio.sleep(BEAT_S)

    def _send(self, message: BaseModel) -> None:
        if self._link.waiting_bytes < MAX_WAITING_BYTES:
            self._link.send(message)

    def _blind(self, runner: CameraRunner, reason: str) -> None:
        """Say it once, until the camera has been seen again."""
        if not runner.reported_blind:
            runner.reported_blind = True
            log.warning("detector_blind", camera=runner.watch.camera, reason=reason)
            self._link.send(Blind(camera=runner.watch.camera, detector=runner.watch.detector, reason=reason[:500]))

    # --- cameras ------------------------------------------------------------------------------------------------------

    def _watch(self, watch: Watch) -> None:
        runner = CameraRunner(watch, self._settings.frames_per_s)
        runner.last_picture_now = time.monotonic()
        if (older := self._cameras.pop(watch.camera, None)) is not None:
            runner.take_over(older)
        if len(self._cameras) >= MAX_CAMERAS:
            self._blind(runner, f"capacity: more than {MAX_CAMERAS} cameras in one vision worker")
            return
        self._cameras[watch.camera] = runner
        try:
            self._to_build.put_nowait(runner)
        except asyncio.QueueFull:
            self._blind(runner, "capacity: too many cameras at once")

    async def _build(self) -> None:
        """Load detectors, on the thread that will run them."""
        while True:
            runner = await self._to_build.get()
            watch, settings = runner.watch, self._settings
            options = DetectorOptions(
                camera=watch.camera,
                zone=watch.zone or WHOLE_PICTURE,
                model=settings.model or SHIPPED,
                models=self._models,
            )
            if watch.detector not in settings.detectors:
                self._blind(runner, str(UnknownPlugin(watch.detector, list(settings.detectors))))
                continue
            build = partial(load_detector, watch.detector, options)
            made = await self._call(self._inference, build, runner, LOAD_TIMEOUT_S)
            if isinstance(made, BaseException):
                self._blind(runner, _said(made))
            else:
                runner.detector = made
                self._picture_there.set()

    async def _read_units(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a media worker, with one track.

        Who joins late, or lost something, needs a key frame, and a browser sends none unless asked. A new connection
        always begins with one (the media worker asks for it), so this one is cut.
        """
        unpacker = Unpacker()
        try:
            while data := await reader.read(READ_BYTES):
                for unit in unpacker.feed(data):
                    if self._deliver(unit):
                        log.info("tap_cut_for_keyframe", track=unit.track)
                        return
        except (TapError, ConnectionError) as error:
            log.warning("tap_closed", reason=str(error))
        finally:
            writer.close()

    def _deliver(self, unit: AccessUnit) -> bool:
        """Queue a unit for the cameras of its track; whether one of them starves for a key frame."""
        runners = [runner for runner in self._cameras.values() if runner.watch.track == unit.track]
        starving = any(runner.starving_s > STARVED_S for runner in runners)
        for runner in runners:
            if starving:
                runner.fed_anew()
            else:
                runner.queue(unit)
                self._units_there.set()
        return starving

    # --- the two threads ----------------------------------------------------------------------------------------------

    async def _decode(self) -> None:
        while True:
            await self._units_there.wait()
            self._units_there.clear()
            busy = True
            while busy:
                busy = False
                for runner in list(self._cameras.values()):
                    if units := runner.take_units(UNITS_AT_A_TIME):
                        busy = True
                        await self._decode_some(runner, units)
            await asyncio.sleep(GATHER_S)

    async def _decode_some(self, runner: CameraRunner, units: list[AccessUnit]) -> None:
        count = await self._call(self._decoding, partial(runner.decode, units), runner)
        if isinstance(count, BaseException):
            self._blind(runner, _said(count))
        elif count:
            runner.last_picture_now = time.monotonic()
            self._picture_there.set()

    async def _look(self) -> None:
        while True:
            await self._picture_there.wait()
            self._picture_there.clear()
            while (runner := self._longest_waiting()) is not None:
                await self._look_once(runner)

    def _longest_waiting(self) -> CameraRunner | None:
        waiting = [(since, r) for r in self._cameras.values() if r.detector and (since := r.waiting_since) is not None]
        return min(waiting, key=lambda pair: pair[0])[1] if waiting else None

    async def _look_once(self, runner: CameraRunner) -> None:
        if (taken := runner.take_waiting()) is None:
            return
        decoded, state = taken
        started = time.perf_counter()
        result = await self._call(self._inference, partial(runner.look, decoded, state), runner)
        if isinstance(result, BaseException):
            self._blind(runner, _said(result))
            return
        if self._cameras.get(runner.watch.camera) is not runner:
            return  # no longer watched, or watched anew
        runner.reported_blind = False
        for lesson in runner.take_lessons():
            png = base64.b64encode(lesson.png).decode()
            self._link.send(Learned(camera=runner.watch.camera, mode=lesson.mode, png=png, judgeable=lesson.judgeable))
        picture, seen = result
        self._send(
            Observed(
                camera=runner.watch.camera,
                detector=runner.watch.detector,
                at=decoded.arrived_at,
                picture=picture,
                size=decoded.size,
                detections=seen,
                inference_ms=round((time.perf_counter() - started) * 1000, 2),
                decode_ms=runner.take_decode_ms(),
                skipped=runner.take_skipped(),
            )
        )

    async def _take_pictures(self) -> None:
        while True:
            asked = await self._asked.get()
            runner = self._cameras.get(asked.camera) or CameraRunner(_NOBODY, 1.0)
            picture = await self._call(self._decoding, partial(runner.picture, asked), runner)
            if isinstance(picture, BaseException):
                log.warning("no_picture", camera=asked.camera, reason=_said(picture))
            else:
                self._send(picture)

    async def _call(
        self,
        thread: "_Thread",
        function: Callable[[], T],
        runner: CameraRunner | None = None,
        timeout_s: float | None = None,
    ) -> T | BaseException:
        """Run on a thread; the result, or what was raised. A call that does not come back ends this process."""
        camera = runner.watch.camera if runner else ""
        async with thread.free:
            future = asyncio.get_running_loop().run_in_executor(thread.pool, function)
            await asyncio.wait([future], timeout=timeout_s or self._stuck_after_s)
            if not future.done():
                if runner is not None:
                    self._blind(runner, "stuck: the detector or the decoder does not come back")
                    await self._flush()
                _end(EXIT_STUCK, "thread_stuck", camera=camera)
        raised = future.exception()
        if isinstance(raised, MemoryError):
            _end(EXIT_MEMORY, "memory_limit_reached", camera=camera)
        return future.result() if raised is None else raised

    async def _flush(self) -> None:
        """Wait a moment for what was sent to leave."""
        for _ in range(20):
            if not self._link.waiting_bytes:
                return
            await asyncio.sleep(0.02)


class _Thread:
    """One thread, and the right to use it: a time limit begins when the call does, not when it is queued."""

    def __init__(self, name: str) -> None:
        self.pool = ThreadPoolExecutor(1, name)
        self.free = asyncio.Lock()


_NOBODY = Watch(camera="", track="", detector="")
_start_mb = 0.0


def _said(raised: BaseException) -> str:
    """An exception as a reason: ours speak for themselves."""
    return str(raised) if isinstance(raised, AnalyticsError) else f"{type(raised).__name__}: {raised}"


def _end(code: int, event: str, **more: object) -> None:
    """Leave at once: a thread that does not come back would hold up an orderly end."""
    log.error(event, **more)
    sys.stderr.flush()
    os._exit(code)


def _rss_mb() -> float:
    return _statm(1)


def _statm(field: int) -> float:
    """Field 0 of /proc/self/statm is the size of the address space, 1 what is in memory; MiB. 0 where there is none."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[field])
    except OSError:
        return 0.0
    return pages * resource.getpagesize() / (1 << 20)


def _limit_memory(beyond_mb: int) -> None:
    """Allocations beyond this fail, here and nowhere else."""
    global _start_mb
    _start_mb = _rss_mb()
    size_mb = _statm(0)
    if size_mb:
        limit = int(size_mb + beyond_mb) << 20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


async def _work(link: Link[AnyCommand], first: Configure) -> int:
    await Worker(link, AnalyticsSettings.model_validate(first.settings)).run(first.tap_address)
    return 0


def main() -> None:
    fd = fd_of_arguments(__doc__)
    os.nice(NICENESS)
    run_process(lambda: serve_link(fd, COMMANDS, Configure, _work), ignored=(signal.SIGINT,))


if __name__ == "__main__":
    main()
