"""The server's side of recording on a real store and a real recorder; only the media worker is played by the test."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from server.bus.memory import MemoryBus
from server.clients import Client, Membership, OwnTrack
from server.conductor import Conductor
from server.identity.tokens import Grant
from server.recording import Recordings
from server.sessions.machine import Actor, Ended
from server.sessions.service import SessionService
from server.store import recordings as rows
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from signaling.room.messages import Publication
from tests.fakes.recorderprocess import content, film, play

BY = Actor("u", "王", "county", "county", "supervisor")
DAY_S = 86400.0


@dataclass
class Camera:
    """Stands in for the media worker: a tap makes it send a clip."""

    seconds: float = 30.0
    sending: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def tap(self, track: str, address: str | None, reader: str) -> None:
        assert reader == "record"
        if (before := self.sending.pop(track, None)) is not None:
            before.cancel()
        if address is not None:
            self.sending[track] = asyncio.create_task(self._send(track, address))

    async def _send(self, track: str, address: str) -> None:
        with contextlib.suppress(OSError):
            await play(address, film("VP8", self.seconds, track=track))

    async def close(self) -> None:
        for task in self.sending.values():
            task.cancel()
        await asyncio.gather(*self.sending.values(), return_exceptions=True)


@dataclass
class World:
    settings: Settings
    database: Database
    sessions: SessionService
    conductor: Conductor
    recordings: Recordings

    async def listed(self) -> list[dict[str, Any]]:
        async with self.database.reading() as connection:
            return await rows.of_sites(connection, ["mine"], None, 100)

    async def until(self, true: Callable[[], object], timeout: float = 60.0) -> None:
        async with asyncio.timeout(timeout):
            while not true():
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.recordings.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def camera_client() -> Client:
    grant = Grant(
        user="d", name="d", role="device", site="mine", level="mine", room="site:mine", publish=True, subscribe=False,
        sources=("camera",), moderate=False, jti="j", login=None, issued_at=0.0, expires_at=9e9,
    )  # fmt: skip
    client = Client("c1", "k", grant.person(), kind="whip")
    client.rooms["site:mine"] = Membership(grant, 0.0)
    publication = Publication(source="camera", name="dispatch-room", rooms=("site:mine",))
    client.tracks["p1/0"] = OwnTrack("p1/0", "0", "video", "VP8", publication, "mine", False)
    return client


@asynccontextmanager
async def world(folder: Path, **recording: object) -> AsyncIterator[World]:
    settings = Settings.model_validate(
        {
            "server": {"data_dir": folder},
            "recording": {"routine_free_mb": 0, "session_free_mb": 0, **recording},
            "sites": [
                {"site": "county", "level": "county", "name_zh": "县", "name_en": "County"},
                {"site": "mine", "parent": "county", "level": "mine", "name_zh": "矿", "name_en": "Mine"},
            ],
        }
    )
    async with Database.open(sqlite_url(folder)) as database:
        tree = await SiteTree.load(database)
        await tree.ensure(settings.sites)
        bus = MemoryBus()
        sessions = SessionService(database, tree, bus, 20.0)
        await sessions.load()
        conductor = Conductor(database, bus, sessions, resume_s=30.0)
        await conductor.prepare()
        conductor.add_without_socket(camera_client())
        camera = Camera()
        recordings = Recordings(settings, database, conductor, sessions, camera)  # type: ignore[arg-type]
        yield World(settings, database, sessions, conductor, recordings)
        await camera.close()


async def test_a_consultation_is_recorded_from_its_start_to_its_end(tmp_path: Path) -> None:
    async with world(tmp_path) as all_of_it, all_of_it.recording():
        assert await all_of_it.listed() == []
        state = await all_of_it.sessions.start("mine", BY, [], title="t", alert=None)
        room = f"session:{state['session']}"
        await all_of_it.until(lambda: all_of_it.recordings.state_of(room) == "on")
        [row] = await all_of_it.listed()
        assert (row["state"], row["session"], row["held"]) == ("recording", state["session"], True)
        assert [one["state"] for one in row["segments"]] == ["recording", "allowed"]
        await asyncio.sleep(1.0)
        await all_of_it.sessions.handle(str(state["session"]), Ended(BY))
        await all_of_it.until(lambda: all_of_it.recordings.state_of(room) == "off")
        async with asyncio.timeout(10):
            while (row := (await all_of_it.listed())[0])["state"] != "finished":
                await asyncio.sleep(0.05)
        assert [one["state"] for one in row["segments"]] == ["finished"]
        assert content(tmp_path / "recordings" / row["recording"] / "00000.mkv").packets > 5


async def test_an_orderly_end_of_the_server_finishes_what_is_under_way(tmp_path: Path) -> None:
    async with world(tmp_path, routine=("mine/dispatch-room",)) as all_of_it:
        async with all_of_it.recording():
            await all_of_it.until(lambda: all_of_it.recordings.state_of("site:mine") == "on")
            await asyncio.sleep(0.5)
        [row] = await all_of_it.listed()
        assert (row["state"], row["class"], row["held"]) == ("finished", "routine", False)


@pytest.mark.parametrize(
    ("marks", "recorded"),
    [
        ({}, {"routine", "session"}),
        ({"routine_free_mb": 1 << 30}, {"session"}),
        ({"routine_free_mb": 1 << 30, "session_free_mb": 1 << 30}, set[str]()),
    ],
)
async def test_short_of_room_routine_recording_stops_first(
    tmp_path: Path, marks: dict[str, int], recorded: set[str]
) -> None:
    async with world(tmp_path, routine=("mine/dispatch-room",), **marks) as all_of_it, all_of_it.recording():
        await all_of_it.sessions.start("mine", BY, [], title="t", alert=None)
        await all_of_it.until(lambda: all_of_it.recordings.beat)
        await asyncio.sleep(1.2)
        assert {row["class"] for row in await all_of_it.listed()} == recorded


async def test_retention_removes_old_routine_recordings_and_no_held_one(tmp_path: Path) -> None:
    async with world(tmp_path, routine=("mine/dispatch-room",), routine_days=2) as all_of_it:
        async with all_of_it.recording():
            await all_of_it.sessions.start("mine", BY, [], title="t", alert=None)
            await all_of_it.until(lambda: all_of_it.recordings.state_of("site:mine") == "on")
            await asyncio.sleep(1.0)
        found = {row["class"]: row for row in await all_of_it.listed()}
        at = max(row["ended_at"] for row in found.values())
        assert await all_of_it.recordings.forget(at + DAY_S) == 0
        assert await all_of_it.recordings.forget(at + 3 * DAY_S) == 1
        assert [row["class"] for row in await all_of_it.listed()] == ["session"]
        folders = {entry.name for entry in os.scandir(tmp_path / "recordings") if entry.is_dir()}
        assert folders == {found["session"]["recording"]}
        session = found["session"]["session"]
        assert await all_of_it.recordings.forget_session(session, at) == 0  # held
        await all_of_it.sessions.hold(session, BY, False, "结案", "")
        assert await all_of_it.recordings.forget_session(session, at) == 1
        assert await all_of_it.listed() == []
        assert not any(entry.is_dir() for entry in os.scandir(tmp_path / "recordings"))
