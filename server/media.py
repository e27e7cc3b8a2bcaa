"""The media worker as the server sees it: a process that may die, and requests that are answered or fail.

`run` starts the worker and reads from it until it ends; whoever supervises it calls `run` again. Requests then fail
fail with `MediaDown`, and the listener is told that every peer of before is gone.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import Protocol

import structlog

from config.settings import MediaSettings
from media.link import Link, LinkError
from media.messages import (
    ANSWERS,
    AnyAnswer,
    AnyCommand,
    Beat,
    Configure,
    EncodingsWanted,
    KeyframeNeeded,
    PeerState,
    Quality,
    Refused,
    Reply,
    SpeakerChanged,
    Started,
    TrackState,
)
from server.workerprocess import worker_process

log = structlog.get_logger()

START_TIMEOUT_S = 15.0
SILENT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 8.0


class MediaDown(Exception):
    """The media worker is not there (it is being started again)."""


class MediaRefused(Exception):
    """The media worker refused a command; nothing changed."""

    def __init__(self, error: str, detail: str) -> None:
        self.error = error
        self.detail = detail
        super().__init__(detail)


class MediaWorkerDied(Exception):
    """The worker process ended, went silent or broke the link."""


class MediaListener(Protocol):
    """Who is told what the worker says by itself."""

    def peer_changed(self, event: PeerState) -> None: ...
    def track_changed(self, event: TrackState) -> None: ...
    def encodings_wanted(self, event: EncodingsWanted) -> None: ...
    def speaker_changed(self, event: SpeakerChanged) -> None: ...
    def quality(self, event: Quality) -> None: ...
    def media_restarted(self, gone: Collection[str] | None) -> None:
        """These peers are no more; None = all."""


class Media(Protocol):
    """All media workers together: one (`MediaClient`) or several (`server.mediapool`)."""

    listener: MediaListener | None

    @property
    def serves(self) -> bool:
        """Whether every worker takes commands."""

    @property
    def beat(self) -> Beat | None: ...

    def place(self, peer: str, room: str) -> None:
        """This new peer is for what goes on in that room."""

    def generation(self, peer: str) -> int:
        """Grows when the worker of this peer is another one."""

    async def request(self, command: AnyCommand) -> Reply:
        """Raises:
        MediaRefused: the worker refused it.
        MediaDown: the worker is not there or did not answer in time.
        """


class MediaClient:
    """One media worker process."""

    def __init__(
        self, settings: MediaSettings, *, shares_port: bool = False, tcp_port: int = 0, place: str = ""
    ) -> None:
        """`shares_port`: the server takes HTTP on the same TCP port, and hands connections of media to the intake.
        `tcp_port` and `place`: as in `Configure`."""
        self._settings = settings
        self._tcp_port = tcp_port
        self._place = place
        self._shares_port = shares_port
        self.listener: MediaListener | None = None
        self._link: Link[AnyAnswer] | None = None
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._last_request = 0
        self._udp_port = settings.udp_port
        self._folder = Path(tempfile.gettempdir()) / f"lamproom-media-{os.getpid()}-{secrets.token_hex(4)}"
        self.started: Started | None = None
        self.beat: Beat | None = None
        self.pid: int | None = None
        self.ready = asyncio.Event()
        self.on_keyframe_needed: Callable[[KeyframeNeeded], None] = lambda event: None
        self._generation = 0

    @property
    def serves(self) -> bool:
        return self.ready.is_set()

    def place(self, peer: str, room: str) -> None:
        """There is one place only."""

    def generation(self, peer: str) -> int:
        return self._generation

    @property
    def tcp_intakes(self) -> tuple[str, ...]:
        """Where connections are handed in that are media's, for each worker."""
        return (str(self._folder / "tcp"),)

    async def run(self) -> None:
        """Start the worker and serve it until it ends.

        Raises:
            MediaWorkerDied: always, unless cancelled: a media worker has no reason to end.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        async with self._process() as link:
            self._link = link
            try:
                await self._configure(link)
                await self._read(link)
            finally:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._link = None
                self.ready.clear()
                for future in self._pending.values():
                    if not future.done():
                        future.set_exception(MediaDown("The media worker ended."))
                self._pending.clear()
                self._generation += 1
                if self.listener is not None:
                    self.listener.media_restarted(None)

    async def request(self, command: AnyCommand) -> Reply:
        """Send a command and wait for its answer.

        Raises:
            MediaRefused: the worker refused it.
            MediaDown: the worker is not there or did not answer in time.
        """
        if self._link is None or not self.ready.is_set():
            raise MediaDown("The media worker is being started.")
        self._last_request += 1
        number = self._last_request
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        self._link.send(command.model_copy(update={"request": number}))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await future
        except TimeoutError as error:
            raise MediaDown(f"The media worker did not answer {command.type} in {REQUEST_TIMEOUT_S:.0f} s.") from error
        finally:
            self._pending.pop(number, None)

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncIterator[Link[AnyAnswer]]:
        async with worker_process("media.worker") as process:
            self.pid = process.pid
            try:
                yield Link(process.reader, process.writer, ANSWERS)
            finally:
                self.pid = None

    async def _configure(self, link: Link[AnyAnswer]) -> None:
        settings = self._settings.model_copy(update={"udp_port": self._udp_port})
        intake = str(self._folder / "tcp") if self._shares_port else ""
        link.send(
            Configure(
                settings=settings.model_dump(mode="json"), door=str(self._folder / "door"), tcp_intake=intake,
                tcp_port=self._tcp_port, place=self._place,
            )
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                message = await link.receive()
        except TimeoutError as error:
            raise MediaWorkerDied(f"The media worker did not start in {START_TIMEOUT_S:.0f} s.") from error
        if isinstance(message, Refused):
            raise MediaWorkerDied(message.detail)
        if not isinstance(message, Reply) or message.started is None:
            raise MediaWorkerDied("The media worker ended before it had started.")
        started = self.started = message.started
        self._udp_port = started.udp_port  # the same port after a restart: firewalls and browsers know it
        self.ready.set()
        log.info("media_worker_ready", udp_port=started.udp_port, forwarder=started.forwarder, pid=self.pid)

    async def _read(self, link: Link[AnyAnswer]) -> None:
        while True:
            try:
                async with asyncio.timeout(SILENT_TIMEOUT_S):
                    message = await link.receive()
            except TimeoutError as error:
                raise MediaWorkerDied(f"The media worker was silent for {SILENT_TIMEOUT_S:.0f} s.") from error
            except LinkError as error:
                raise MediaWorkerDied(str(error)) from error
            self._take(message)

    def _take(self, message: AnyAnswer | None) -> None:
        match message:
            case None:
                raise MediaWorkerDied("The media worker closed its link.")
            case Reply() | Refused():
                self._resolve(message)
            case Beat():
                self.beat = message
            case KeyframeNeeded():
                self.on_keyframe_needed(message)
            case _ if self.listener is not None:
                self._tell(self.listener, message)

    @staticmethod
    def _tell(listener: MediaListener, message: AnyAnswer) -> None:
        match message:
            case PeerState():
                listener.peer_changed(message)
            case TrackState():
                listener.track_changed(message)
            case EncodingsWanted():
                listener.encodings_wanted(message)
            case SpeakerChanged():
                listener.speaker_changed(message)
            case Quality():
                listener.quality(message)

    def _resolve(self, message: Reply | Refused) -> None:
        future = self._pending.get(message.request)
        if future is None or future.done():
            return
        if isinstance(message, Reply):
            future.set_result(message)
        else:
            future.set_exception(MediaRefused(message.error, message.detail))
