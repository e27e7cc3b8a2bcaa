"""The vision worker as the server sees it: a process that may die, hang or eat memory, and is started again.

While it is down, its cameras are blind, and whoever tells the duty posts is told so at once: a dead worker must never
look like an empty room. What is watched is remembered here and sent again to each new process. A camera whose detector
hung the worker twice is left out then, so that one bad plug-in does not keep the others blind; `watch` brings it back.

| what happens                       | noticed after           | then                                    |
|------------------------------------|-------------------------|-----------------------------------------|
| the process ends                   | at once                 | blind, started again after 1, 2, 4..60 s |
| it stops or its main loop hangs    | `heartbeat_timeout_s`   | killed, as above                        |
| a detector hangs                   | 0.8 of that, by itself  | the worker names the camera and ends    |
| five ends in a minute              | at the fifth            | the next start waits 60 s               |
| it does not get ready              | 8 s, 20 s               | blind, killed                           |
"""

import asyncio
import base64
import contextlib
import os
import secrets
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import structlog

from analytics.messages import (
    ANSWERS,
    AnyAnswer,
    AnyCommand,
    Beat,
    Blind,
    Configure,
    Learned,
    Observed,
    Picture,
    Ready,
    TakePicture,
    Unwatch,
    Watch,
)
from config.settings import AnalyticsSettings
from media.link import Link, LinkError
from server.references import Mode
from server.workerprocess import worker_process

log = structlog.get_logger()

State = Literal["starting", "ready", "blind"]

START_TIMEOUT_S = 60.0
"""More than the worker allows itself to try a model of somebody else's and to load it (`LOAD_TIMEOUT_S`)."""
BLIND_AFTER_S = 8.0
"""A worker that takes longer than this to get ready leaves its cameras blind."""
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0
HEALTHY_AFTER_S = 60.0
BREAKER_ENDS = 5
BREAKER_WINDOW_S = 60.0
STUCK_LIMIT = 2
MAX_WAITING_BYTES = 1 << 20


class VisionWorkerDied(Exception):
    """The worker process ended, went silent or broke the link."""


@dataclass(slots=True)
class Looks:
    """What was looked at of one camera by one detector since the server started."""

    pictures: int = 0
    skipped: int = 0
    inference_s: float = 0.0
    decode_s: float = 0.0


@dataclass(slots=True)
class Backoff:
    """When to start again. `now` is monotonic seconds."""

    delay_s: float = FIRST_DELAY_S
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=BREAKER_ENDS))

    def ended(self, now: float, ran_s: float) -> float:
        """The process ended after `ran_s`; how long to wait before the next start."""
        if ran_s >= HEALTHY_AFTER_S:
            self.delay_s = FIRST_DELAY_S
        self.ends.append(now)
        if len(self.ends) == BREAKER_ENDS and now - self.ends[0] <= BREAKER_WINDOW_S:
            return LONGEST_DELAY_S
        delay, self.delay_s = self.delay_s, min(self.delay_s * 2, LONGEST_DELAY_S)
        return delay


class VisionWorker:
    """One vision worker process. Callbacks run in the event loop and must not block."""

    def __init__(
        self,
        settings: AnalyticsSettings,
        *,
        on_observed: Callable[[Observed], None],
        on_blind: Callable[[Blind], None],
        on_state: Callable[[State], None],
    ) -> None:
        self._settings = settings
        self._on_observed = on_observed
        self._on_blind = on_blind
        self._on_state = on_state
        self._folder = Path(tempfile.gettempdir()) / f"lamproom-{os.getpid()}-{secrets.token_hex(4)}"
        self.tap_address = str(self._folder / "tap")
        """Unix socket for access units. There is a new listener behind it each time that the state becomes `ready`."""
        self.state: State = "starting"
        self.model = ""
        self.trained_on = "unknown"
        self.detectors: tuple[str, ...] = ()
        self.beat: Beat | None = None
        self.pid: int | None = None
        self.restarts = 0
        self._link: Link[AnyAnswer] | None = None
        self._watches: dict[str, Watch] = {}
        self._stuck: Counter[str] = Counter()
        self.looks: dict[tuple[str, str], Looks] = {}
        """By camera and detector, of what is watched."""
        self._asked: dict[int, asyncio.Future[Picture]] = {}
        self._last_request = 0
        self.on_learned: Callable[[Learned], None] = lambda lesson: None
        """What a view looks like is known now."""

    def _learned(self, lesson: Learned) -> None:
        """Also for the next start of the worker: it is learned once."""
        watch = self._watches.get(lesson.camera)
        if watch is None or lesson.mode in watch.references:
            return
        references = {**watch.references, lesson.mode: lesson.png}
        self._watches[lesson.camera] = watch.model_copy(update={"references": references})
        self.on_learned(lesson)

    # --- what others ask ----------------------------------------------------------------------------------------------

    def watch(
        self,
        camera: str,
        track: str,
        detector: str,
        zone: tuple[tuple[float, float], ...] = (),
        references: Mapping[Mode, bytes] = MappingProxyType({}),
        frames_per_s: float = 0.0,
    ) -> None:
        """Run a detector on a track, now and after every restart, in place of what this camera had before.
        `references`: what its view looks like; a mode that is missing is learned. `frames_per_s`: 0 = as the
        detector wants and the settings allow."""
        encoded = {mode: base64.b64encode(png).decode() for mode, png in references.items()}
        watch = Watch(
            camera=camera, track=track, detector=detector, zone=zone, references=encoded, frames_per_s=frames_per_s
        )  # fmt: skip
        before = self._watches.get(camera)
        if before is not None and before.detector != detector:
            self.looks.pop((camera, before.detector), None)
        self._watches[camera] = watch
        del self._stuck[camera]
        if self._link is not None:
            self._send(self._link, watch)
        elif self.state == "blind":
            self._tell_blind(watch, "worker_down")

    def unwatch(self, camera: str) -> None:
        """Stop; an unknown camera is no error."""
        watch = self._watches.pop(camera, None)
        if watch is not None:
            self.looks.pop((camera, watch.detector), None)
        if watch is not None and self._link is not None:
            self._send(self._link, Unwatch(camera=camera))

    async def picture(self, camera: str, max_width: int = 960, timeout: float = 2.0) -> Picture | None:
        """The newest picture of a watched camera; None when there is none or the worker does not answer in time."""
        if self._link is None or camera not in self._watches:
            return None
        self._last_request += 1
        number = self._last_request
        future: asyncio.Future[Picture] = asyncio.get_running_loop().create_future()
        self._asked[number] = future
        self._send(self._link, TakePicture(request=number, camera=camera, max_width=max_width))
        try:
            async with asyncio.timeout(timeout):
                picture = await future
        except (TimeoutError, VisionWorkerDied):
            return None
        finally:
            del self._asked[number]
        return picture if picture.jpeg else None

    @property
    def watched(self) -> tuple[str, ...]:
        return tuple(self._watches)

    # --- the life of the process --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a worker running until cancelled."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        self._folder.mkdir(mode=0o700)
        try:
            while True:
                started = loop.time()
                try:
                    await self._serve()
                except (VisionWorkerDied, LinkError, OSError) as error:
                    self._down(str(error))
                delay = backoff.ended(loop.time(), loop.time() - started)
                if delay == LONGEST_DELAY_S:
                    log.error("vision_worker_breaker_open", wait_s=delay)
                await asyncio.sleep(delay)
                self.restarts += 1
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self) -> None:
        async with self._process() as link:
            try:
                await self._get_ready(link)
                while True:
                    self._take(await self._receive(link, self._settings.heartbeat_timeout_s))
            finally:
                self._link = None
                for future in self._asked.values():
                    if not future.done():
                        future.set_exception(VisionWorkerDied("The vision worker ended."))

    async def _get_ready(self, link: Link[AnyAnswer]) -> None:
        link.send(Configure(settings=self._settings.model_dump(mode="json"), tap_address=self.tap_address))
        late = asyncio.get_running_loop().call_later(BLIND_AFTER_S, self._down, "The vision worker is slow to start.")
        try:
            ready = await self._receive(link, START_TIMEOUT_S)
        finally:
            late.cancel()
        if not isinstance(ready, Ready):
            raise VisionWorkerDied(f"The vision worker began with {ready.type}.")
        self.model, self.trained_on, self.detectors = ready.model, ready.trained_on, ready.detectors
        self._link = link
        log.info("vision_worker_ready", pid=self.pid, model=ready.model, trained_on=ready.trained_on, by=ready.provider)
        self._become("ready")
        for camera, watch in self._watches.items():
            if self._stuck[camera] < STUCK_LIMIT:
                self._send(link, watch)
            else:
                self._tell_blind(watch, "stuck: left out, its detector hung the worker again and again")

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[Link[AnyAnswer]]:
        async with worker_process("analytics.worker") as process:
            self.pid = process.pid
            try:
                yield Link(process.reader, process.writer, ANSWERS)
            finally:
                self.pid = None

    async def _receive(self, link: Link[AnyAnswer], timeout_s: float) -> AnyAnswer:
        try:
            async with asyncio.timeout(timeout_s):
                message = await link.receive()
        except TimeoutError as error:
            raise VisionWorkerDied(f"The vision worker was silent for {timeout_s:g} s.") from error
        if message is None:
            raise VisionWorkerDied("The vision worker closed its link.")
        return message

    def _take(self, message: AnyAnswer) -> None:
        match message:
            case Observed():
                if message.camera in self._watches:
                    self._count(message)
                    self._on_observed(message)
            case Blind():
                if message.reason.startswith("stuck"):
                    self._stuck[message.camera] += 1
                self._on_blind(message)
            case Learned():
                self._learned(message)
            case Picture():
                future = self._asked.get(message.request)
                if future is not None and not future.done():
                    future.set_result(message)
            case Beat():
                self.beat = message
            case Ready():
                raise VisionWorkerDied("The vision worker said twice that it is ready.")

    def _count(self, seen: Observed) -> None:
        if self._watches[seen.camera].detector != seen.detector:
            return
        looks = self.looks.setdefault((seen.camera, seen.detector), Looks())
        looks.pictures += seen.picture != "none"
        looks.skipped += seen.skipped
        looks.inference_s += seen.inference_ms / 1000
        looks.decode_s += seen.decode_ms / 1000

    def _send(self, link: Link[AnyAnswer], command: AnyCommand) -> None:
        """A worker that does not read is silent too, and is dealt with for that."""
        if link.waiting_bytes < MAX_WAITING_BYTES:
            link.send(command)

    # --- blindness ----------------------------------------------------------------------------------------------------

    def _down(self, reason: str) -> None:
        if self.state == "blind":
            return
        log.error("vision_worker_down", reason=reason)
        self._become("blind")
        for watch in self._watches.values():
            self._tell_blind(watch, f"worker_down: {reason}")

    def _tell_blind(self, watch: Watch, reason: str) -> None:
        self._on_blind(Blind(camera=watch.camera, detector=watch.detector, reason=reason))

    def _become(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._on_state(state)
