"""The recorder process: `python -m media.record.worker --fd N`.

It listens on a Unix socket for the access units of media workers (`media.tap`) and writes them into files. Nothing is
decoded. It is told what to record in `media.record.messages`. When its link closes, whatever the reason, it completes
every file and ends; killed, it leaves `.part` files that play, and the server completes them.

Only one recorder may write below a folder: a lock on the folder says so, and the server waits for it before it tidies
up after a dead one.
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import time
from collections.abc import Coroutine
from pathlib import Path

import structlog
from pydantic import BaseModel

from media.childprocess import fd_of_arguments, run_process, serve_link
from media.link import Link
from media.record.files import complete
from media.record.matroska import MatroskaError
from media.record.messages import (
    COMMANDS,
    Allow,
    AnyCommand,
    Beat,
    Begun,
    Configure,
    Ended,
    Finished,
    Ready,
    Record,
    Stop,
)
from media.record.recording import Recording, Segment
from media.tap import AccessUnit, TapError, Unpacker
from media.taplistener import READ_BYTES, listen

log = structlog.get_logger()

TICK_S = 0.1
BEAT_S = 1.0
ASK_AGAIN_S = 0.5
LOCK_TIMEOUT_S = 5.0
EXIT_FOLDER = 3
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Recorder:
    """All recordings of this process."""

    def __init__(self, link: Link[AnyCommand], settings: Configure) -> None:
        self._link = link
        self._settings = settings
        self._folder = Path(settings.folder)
        self._recordings: dict[str, Recording] = {}
        self._completing: set[asyncio.Task[None]] = set()
        self._asked_at: dict[str, float] = {}
        self._bytes = self._units = self._dropped = 0

    async def run(self) -> None:
        """Serve until the link closes, then complete everything.

        Raises:
            LinkError: the server sent what is no message.
        """
        server = await listen(self._settings.tap_address, self._read_units)
        self._link.send(Ready())
        ticking = asyncio.create_task(self._tick())
        try:
            await self._commands()
        finally:
            server.close()
            ticking.cancel()
            await asyncio.wait([ticking])
            for recording in list(self._recordings.values()):
                self._end(recording, "stopped")
            while self._completing:
                await asyncio.wait(self._completing)

    async def _commands(self) -> None:
        while (command := await self._link.receive()) is not None:
            match command:
                case Record():
                    self._begin(command)
                case Allow():
                    if (recording := self._recordings.get(command.recording)) is not None:
                        recording.allow(command.segment)
                case Stop():
                    if (recording := self._recordings.get(command.recording)) is not None:
                        self._end(recording, "stopped")
                case Configure():
                    log.warning("configured_twice")

    def _begin(self, command: Record) -> None:
        settings = self._settings
        try:
            self._recordings[command.recording] = Recording(
                command.recording, command.track, command.name, self._folder,
                part_s=settings.part_s, segment_s=settings.segment_s,
                on_begun=self._begun, on_segment=self._complete,
            )  # fmt: skip
        except OSError as error:
            reason = "disk_full" if error.errno in DISK_FULL else "failed"
            self._send(Ended.model_validate({"recording": command.recording, "reason": reason, "detail": str(error)}))

    def _begun(self, recording: Recording, segment: Segment) -> None:
        self._send(
            Begun(
                recording=recording.recording,
                segment=segment.number,
                started_at=segment.started_at,
                codec=segment.form.codec,
            )
        )

    # --- units --------------------------------------------------------------------------------------------------------

    async def _read_units(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a media worker, with one track. A byte that goes back asks for a key frame."""
        unpacker = Unpacker()
        try:
            while data := await reader.read(READ_BYTES):
                for unit in unpacker.feed(data):
                    if self._take(unit):
                        writer.write(b"k")
        except (TapError, ConnectionError) as error:
            log.warning("tap_closed", reason=str(error))
        finally:
            writer.close()

    def _take(self, unit: AccessUnit) -> bool:
        """Give a unit to the recordings of its track; whether a key frame is needed."""
        now, wants_key = time.monotonic(), False
        for recording in [one for one in self._recordings.values() if one.track == unit.track]:
            before = recording.dropped
            try:
                recording.unit(unit, now)
            except OSError as error:
                self._failed(recording, error)
            self._dropped += recording.dropped - before
            wants_key = wants_key or recording.wants_key
        self._units += 1
        if not wants_key or now < self._asked_at.get(unit.track, 0.0):
            return False
        self._asked_at[unit.track] = now + ASK_AGAIN_S
        return True

    async def _tick(self) -> None:
        beat_at = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for recording in list(self._recordings.values()):
                try:
                    if recording.tick(now) and self._settings.sync_parts and recording.segment is not None:
                        await asyncio.to_thread(_sync, os.dup(recording.segment.descriptor))
                except OSError as error:
                    self._failed(recording, error)
            if now >= beat_at:
                beat_at = now + BEAT_S
                count = len(self._recordings)
                self._send(Beat(recordings=count, bytes=self._bytes, units=self._units, dropped=self._dropped))

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _failed(self, recording: Recording, error: OSError) -> None:
        log.error("recording_failed", recording=recording.recording, reason=str(error))
        self._end(recording, "disk_full" if error.errno in DISK_FULL else "failed", str(error))

    def _end(self, recording: Recording, reason: str, detail: str = "") -> None:
        if self._recordings.pop(recording.recording, None) is None:
            return
        if not any(one.track == recording.track for one in self._recordings.values()):
            self._asked_at.pop(recording.track, None)
        try:
            recording.close()
        except OSError as error:
            reason, detail = "disk_full" if error.errno in DISK_FULL else "failed", str(error)
        self._track(self._ended(recording, reason, detail, list(self._completing)))

    async def _ended(self, recording: Recording, reason: str, detail: str, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        os.close(recording.directory)
        self._send(Ended.model_validate({"recording": recording.recording, "reason": reason, "detail": detail[:500]}))

    def _complete(self, recording: Recording, segment: Segment) -> None:
        self._track(self._complete_one(recording, segment))

    async def _complete_one(self, recording: Recording, segment: Segment) -> None:
        try:
            done = await asyncio.to_thread(complete, recording.directory, segment.number, segment.descriptor)
        except (OSError, MatroskaError) as error:
            log.error("segment_not_completed", recording=recording.recording, reason=str(error))
            return
        finally:
            os.close(segment.descriptor)
        if done is None:
            return
        self._bytes += done.bytes
        self._send(
            Finished(
                recording=recording.recording,
                segment=segment.number,
                duration_s=done.duration_s,
                bytes=done.bytes,
                sha256=done.sha256,
            )
        )

    def _track(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._completing.add(task)
        task.add_done_callback(self._completing.discard)

    def _send(self, message: BaseModel) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):  # the server is gone: it will look at the files
            self._link.send(message)


def _sync(descriptor: int) -> None:
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def lock_folder(folder: Path, timeout_s: float = LOCK_TIMEOUT_S) -> int:
    """A descriptor that holds the folder's lock until it is closed. Blocks up to `timeout_s`.

    Raises:
        TimeoutError: another process holds it.
        OSError: the folder cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                os.close(descriptor)
                raise TimeoutError(f"Another recorder writes below {folder}.") from None
            time.sleep(0.05)
        else:
            return descriptor


async def _work(link: Link[AnyCommand], first: Configure) -> int:
    try:
        lock = await asyncio.to_thread(lock_folder, Path(first.folder))
        try:
            await Recorder(link, first).run()
        finally:
            os.close(lock)
    except OSError as error:
        log.error("recorder_cannot_begin", reason=str(error))
        return EXIT_FOLDER
    return 0


def main() -> None:
    fd = fd_of_arguments(__doc__)
    run_process(lambda: serve_link(fd, COMMANDS, Configure, _work), ignored=(signal.SIGINT, signal.SIGTERM))


if __name__ == "__main__":
    main()
