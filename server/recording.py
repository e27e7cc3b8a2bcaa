"""Records consultations, all of them and always, and the cameras that the settings name.

| what happens | then |
|---|---|
| a track is shown in an open consultation | a row is written, then the recorder is told, then the media worker |
| a segment begins | its row says so, and the next one is allowed: a row is there before the first byte of any file |
| the track or the consultation ends | the recording is completed: `finished` |
| the recorder dies or falls silent | it is started again; its files are completed and their rows say `interrupted` |
| this server was killed | at the next start, as above |
| the disk is short of room | routine recordings stop first, those of consultations at the last |

`state_of` says of each room whether it is recorded, for the roster and the pages: nobody is recorded unseen, and
nobody believes in a recording that is not there.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from config.settings import Settings
from media.link import Link
from media.record.files import Completed, complete_orphans, finished_segments, open_folder
from media.record.formats import CLOCK_RATE
from media.record.messages import (
    ANSWERS,
    Allow,
    AnyAnswer,
    Beat,
    Begun,
    Configure,
    Ended,
    Finished,
    Ready,
    Record,
    Stop,
)
from media.record.worker import lock_folder
from server.clients import Client, OwnTrack
from server.conductor import Conductor
from server.sessions.service import SessionService
from server.store import audit, timeline
from server.store import recordings as rows
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.streams import StreamError, Streams
from server.workerprocess import worker_process

log = structlog.get_logger()

State = Literal["off", "on", "failed"]
Key = tuple[str, str]
"""Consultation (empty: routine) and track."""

LOOK_S = 0.5
AFTER_NEWS_S = 0.02
"""From news to the look at them, so that what comes together is looked at together."""
START_TIMEOUT_S = 15.0
SILENT_TIMEOUT_S = 5.0
LATE_AFTER_S = 5.0
"""A track that should be recorded and is not for this long: the room is told."""
RETRY_S = 5.0
STORE_RETRY_S = 0.5
ORDERLY_END_S = 1.5


class RecorderDied(Exception):
    """The recorder process ended, went silent or broke the link."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A track that is to be recorded."""

    room: str
    site: str
    client: Client
    own: OwnTrack


@dataclass(slots=True)
class Active:
    """A recording of the running recorder."""

    recording: str
    key: Key
    room: str
    begun: bool = False
    stopping: bool = False


def folder_of(settings: Settings) -> Path:
    """Where recordings are."""
    return settings.recording.folder or settings.server.data_dir / "recordings"


class Recordings:
    """All recordings of this server."""

    def __init__(
        self, settings: Settings, database: Database, conductor: Conductor, sessions: SessionService, streams: Streams
    ) -> None:
        self._settings = settings.recording
        self._folder = folder_of(settings)
        self._database = database
        self._conductor = conductor
        self._sessions = sessions
        self._streams = streams
        self._socket_folder = Path(tempfile.gettempdir()) / f"lamproom-{os.getpid()}-{secrets.token_hex(4)}"
        self._link: Link[AnyAnswer] | None = None
        self._wanted: dict[Key, Wanted] = {}
        self._news = asyncio.Event()
        self._active: dict[Key, Active] = {}
        self._missing_since: dict[Key, float] = {}
        self._retry_at: dict[Key, float] = {}
        self._told: dict[str, State] = {}
        self.beat: Beat | None = None
        self.pid: int | None = None

    def state_of(self, room: str) -> State:
        """Whether what is shown in a room is being recorded. `failed`: it should be and is not."""
        keys = [key for key, wanted in self._wanted.items() if wanted.room == room]
        if not keys:
            return "off"
        late = time.monotonic() - LATE_AFTER_S
        if self._link is None or any(self._missing_since.get(key, late + 1) <= late for key in keys):
            return "failed"
        return "on" if any(key in self._active and self._active[key].begun for key in keys) else "off"

    # --- the life of the recorder -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tidy up after the last recorder, start one, and keep it recording until it ends.

        Raises:
            RecorderDied, LinkError, OSError, StoreError: to be run again.
        """
        await self._tidy()
        self._socket_folder.mkdir(mode=0o700, exist_ok=True)
        try:
            async with worker_process("media.record.worker") as process:
                self.pid = process.pid
                await self._serve(Link(process.reader, process.writer, ANSWERS))
        finally:
            self.pid = self._link = None
            self._active.clear()
            self._tell()
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    async def _serve(self, link: Link[AnyAnswer]) -> None:
        settings = self._settings
        link.send(
            Configure(
                tap_address=self._tap_address, folder=str(self._folder), part_s=settings.part_s,
                segment_s=settings.segment_s, sync_parts=settings.sync_parts,
            )
        )  # fmt: skip
        if not isinstance(await self._receive(link, START_TIMEOUT_S), Ready):
            raise RecorderDied("The recorder did not begin with Ready.")
        log.info("recorder_ready", pid=self.pid)
        self._link = link
        looking = asyncio.create_task(self._look(link))
        reading = asyncio.create_task(self._read(link))
        try:
            done, _ = await asyncio.wait([looking, reading], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (looking, reading):
                task.cancel()
            await asyncio.wait([looking, reading])
            if not reading.done() or reading.cancelled():
                await self._end_all(link)

    @property
    def _tap_address(self) -> str:
        return str(self._socket_folder / "tap")

    async def _read(self, link: Link[AnyAnswer]) -> None:
        while True:
            await self._take(link, await self._receive(link, SILENT_TIMEOUT_S))

    async def _receive(self, link: Link[AnyAnswer], timeout_s: float) -> AnyAnswer:
        try:
            async with asyncio.timeout(timeout_s):
                message = await link.receive()
        except TimeoutError as error:
            raise RecorderDied(f"The recorder was silent for {timeout_s:g} s.") from error
        if message is None:
            raise RecorderDied("The recorder closed its link.")
        return message

    async def _end_all(self, link: Link[AnyAnswer]) -> None:
        """The server stops: complete what runs, and write it down, in a moment."""
        for active in self._active.values():
            link.send(Stop(recording=active.recording))
        with contextlib.suppress(TimeoutError, RecorderDied):
            async with asyncio.timeout(ORDERLY_END_S):
                while self._active:
                    await self._take(link, await self._receive(link, ORDERLY_END_S))

    async def _take(self, link: Link[AnyAnswer], message: AnyAnswer) -> None:
        match message:
            case Begun():
                await self._begun(link, message)
            case Finished():
                await self._finished(message)
            case Ended():
                await self._ended(message)
            case Beat():
                self.beat = message
            case Ready():
                raise RecorderDied("The recorder said twice that it is ready.")

    async def _begun(self, link: Link[AnyAnswer], begun: Begun) -> None:
        async def write(connection: AsyncConnection) -> None:
            await rows.segment_begun(connection, begun.recording, begun.segment, begun.started_at)
            await rows.allow(connection, begun.recording, begun.segment + 1)

        await self._write(write)
        link.send(Allow(recording=begun.recording, segment=begun.segment + 1))
        for active in self._active.values():
            if active.recording == begun.recording:
                active.begun = True
                self._missing_since.pop(active.key, None)
        self._tell()

    async def _finished(self, finished: Finished) -> None:
        done = Completed(finished.duration_s, finished.bytes, finished.sha256)
        session = next((one.key[0] for one in self._active.values() if one.recording == finished.recording), "")
        entries: list[timeline.Entry] = []

        async def write(connection: AsyncConnection) -> None:
            entries[:] = await _segment_done(
                connection, finished.recording, session, finished.segment, "finished", done
            )  # fmt: skip

        await self._write(write)
        await self._conductor.tell(entries)

    async def _ended(self, ended: Ended) -> None:
        state, reason = ("finished", "") if ended.reason == "stopped" else ("interrupted", ended.reason)
        at = time.time()
        await self._write(lambda connection: rows.end(connection, ended.recording, state, reason, at))
        for key, active in list(self._active.items()):
            if active.recording == ended.recording:
                del self._active[key]
                if state == "interrupted":
                    log.error("recording_interrupted", recording=ended.recording, reason=ended.detail)
                    self._retry_at[key] = time.monotonic() + RETRY_S
                    self._missing_since[key] = time.monotonic() - LATE_AFTER_S
        self._tell()

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        """Until it is written: the files are there already, and the recorder goes on meanwhile."""
        while True:
            try:
                async with self._database.transaction() as connection:
                    await work(connection)
            except StoreError as error:
                log.warning("recording_row_waits", reason=str(error))
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    # --- what is to be recorded ---------------------------------------------------------------------------------------

    def look_soon(self) -> None:
        """Somebody has published, or a consultation has changed: what is lost until it is recorded is lost."""
        self._news.set()

    async def _look(self, link: Link[AnyAnswer]) -> None:
        while True:
            wanted = self._what_is_wanted()
            free_mb = (await asyncio.to_thread(shutil.disk_usage, self._folder)).free / (1 << 20)
            routine = free_mb >= self._settings.routine_free_mb
            allowed = {
                key for key in wanted if (routine or key[0]) and free_mb >= self._settings.session_free_mb
            }  # fmt: skip
            now = time.monotonic()
            self._wanted = wanted
            self._missing_since = {
                key: self._missing_since.get(key, now)
                for key in wanted
                if key not in self._active or not self._active[key].begun
            }
            self._retry_at = {key: at for key, at in self._retry_at.items() if key in wanted}
            for key, active in self._active.items():
                if key not in allowed and not active.stopping:
                    active.stopping = True
                    link.send(Stop(recording=active.recording))
                    await self._untap(key)
            for key in allowed:
                if key not in self._active and now >= self._retry_at.get(key, 0.0):
                    await self._begin(link, key, wanted[key])
            self._tell()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._news.wait()
            self._news.clear()
            await asyncio.sleep(AFTER_NEWS_S)

    def _what_is_wanted(self) -> dict[Key, Wanted]:
        found: dict[Key, Wanted] = {}
        for state in self._sessions.open_states():
            for client, own in self._conductor.tracks_in(state.room):
                if own.codec in CLOCK_RATE:
                    found[state.session, own.track] = Wanted(state.room, state.site, client, own)
        for client in self._conductor.clients.values():
            for own in client.tracks.values():
                room = f"site:{own.site}"
                named = f"{own.site}/{own.publication.name}" in self._settings.routine
                if named and own.codec in CLOCK_RATE and room in own.publication.rooms:
                    found["", own.track] = Wanted(room, own.site, client, own)
        return found

    async def _begin(self, link: Link[AnyAnswer], key: Key, wanted: Wanted) -> None:
        at, own = time.time(), wanted.own
        recording = new_id(at)
        new = rows.Begin(
            recording=recording, kind_of="session" if key[0] else "routine", session=key[0] or None, site=wanted.site,
            track=own.track, client=wanted.client.client, person=wanted.client.person.name, name=own.publication.name,
            kind=own.kind, codec=own.codec, held=bool(key[0]), simulated=own.simulated, started_at=at,
        )  # fmt: skip
        try:
            async with self._database.transaction() as connection:
                await rows.begin(connection, new)
        except StoreError as error:
            log.warning("recording_waits", reason=str(error))
            return
        self._active[key] = Active(recording, key, wanted.room)
        link.send(Record(recording=recording, track=own.track, name=own.publication.name[:60]))
        try:
            await self._streams.tap(own.track, self._tap_address, "record")
        except StreamError as error:
            log.warning("track_not_tapped", track=own.track, reason=error.error)
            self._retry_at[key] = time.monotonic() + RETRY_S
            self._active[key].stopping = True
            link.send(Stop(recording=recording))

    async def _untap(self, key: Key) -> None:
        """Nobody records this track any more."""
        if any(other != key and other[1] == key[1] and not one.stopping for other, one in self._active.items()):
            return
        with contextlib.suppress(StreamError):  # it is gone already
            await self._streams.tap(key[1], None, "record")

    def _tell(self) -> None:
        """Rooms whose state changed hear of it."""
        rooms = {wanted.room for wanted in self._wanted.values()}
        for room in rooms | set(self._told):
            before, state = self._told.get(room, "off"), self.state_of(room)
            if state == before:
                continue
            self._told[room] = state
            if state == "off":
                del self._told[room]
            self._conductor.room_changed(room)
            if "failed" in (state, before):
                body: dict[str, object] = {"what": "recording", "state": "down" if state == "failed" else "up"}
                self._conductor.note([room], "link", body)

    # --- after a dead recorder ----------------------------------------------------------------------------------------

    async def _tidy(self) -> None:
        """Complete the files of recordings that nobody ended, and say so in their rows."""
        async with self._database.reading() as connection:
            left = await rows.under_way(connection)
        lock = await asyncio.to_thread(lock_folder, self._folder)
        try:
            for row in left:
                await self._tidy_one(row)
        finally:
            os.close(lock)

    async def _tidy_one(self, row: dict[str, Any]) -> None:
        recording = str(row["recording"])
        orphans, whole = await asyncio.to_thread(_complete, self._folder, recording)
        known = {one["segment"]: one for one in row["segments"]}
        end_at = float(row["started_at"])
        entries: list[timeline.Entry] = []
        async with self._database.transaction() as connection:
            for number, done in sorted(whole.items()):
                if number not in known:
                    continue
                if known[number]["sha256"] is None:
                    state = "interrupted" if number in orphans else "finished"
                    entries += await _segment_done(connection, recording, row["session"] or "", number, state, done)
                end_at = (known[number]["started_at"] or end_at) + done.duration_s
            await rows.end(connection, recording, "interrupted", "recorder_ended", end_at)
        await self._conductor.tell(entries)
        log.warning("recording_tidied", recording=recording, segments=len(whole))

    # --- retention ----------------------------------------------------------------------------------------------------

    async def forget(self, at: float) -> int:
        """Remove routine recordings that are older than they are kept; held ones never. Returns how many."""
        before = at - self._settings.routine_days * 86400.0
        async with self._database.reading() as connection:
            old = await rows.outdated(connection, "routine", before)
        return await self._forget(old, at)

    async def forget_session(self, session: str, at: float) -> int:
        """Remove the recordings of a consultation that was released, and whose time is over. Returns how many."""
        async with self._database.reading() as connection:
            found = await rows.of_session(connection, session)
        return await self._forget([one for one in found if not one["held"] and one["state"] != "recording"], at)

    async def _forget(self, old: Sequence[dict[str, Any]], at: float) -> int:
        for row in old:
            recording = str(row["recording"])
            await asyncio.to_thread(_remove, self._folder, recording)
            async with self._database.transaction() as connection:
                await rows.forget(connection, recording)
                await audit.append(
                    connection, at=at, actor="server", action="recording.forget", object=recording, site=row["site"],
                    detail={"class": row["class"], "segments": len(row["segments"])},
                )  # fmt: skip
        return len(old)


async def _segment_done(
    connection: AsyncConnection, recording: str, session: str, segment: int, state: str, done: Completed
) -> list[timeline.Entry]:
    """The row; and for a consultation the file's hash on its timeline, whose chain then guards the file as well."""
    await rows.segment_done(connection, recording, segment, state, done.duration_s, done.bytes, done.sha256)
    if not session:
        return []
    body: dict[str, object] = {
        "change": state, "recording": recording, "segment": segment, "bytes": done.bytes, "sha256": done.sha256,
        "duration_s": done.duration_s,
    }  # fmt: skip
    return await timeline.append(connection, [f"session:{session}"], "recording", body, time.time())


def _complete(folder: Path, recording: str) -> tuple[dict[int, Completed | None], dict[int, Completed]]:
    """What had to be completed, and everything that is complete."""
    try:
        directory = open_folder(folder, recording)
    except OSError:
        return {}, {}
    try:
        return complete_orphans(directory), finished_segments(directory)
    finally:
        os.close(directory)


def _remove(folder: Path, recording: str) -> None:
    try:
        directory = open_folder(folder, recording)
    except FileNotFoundError:
        return
    try:
        for name in os.listdir(directory):
            os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)
    (folder / recording).rmdir()
