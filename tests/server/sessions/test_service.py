"""Consultations on a real store: what could not be written has not happened."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import SiteSettings
from server.bus.memory import MemoryBus
from server.sessions import service as module
from server.sessions.errors import SessionError
from server.sessions.machine import Actor, Answered, Chatted, Ended, Event, Knocked
from server.sessions.service import SessionService
from server.store.database import Database, sqlite_url
from server.store.errors import StoreError, StoreUnavailable
from server.store.sites import SiteTree

BY = Actor("u", "王", "county", "county", "supervisor")
SITES = (
    SiteSettings(site="county", level="county", name_zh="县", name_en="County"),
    SiteSettings(site="mine", parent="county", level="mine", name_zh="矿", name_en="Mine"),
)


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[tuple[SessionService, Database]]:
    async with Database.open(sqlite_url(folder)) as database:
        tree = await SiteTree.load(database)
        await tree.ensure(SITES)
        sessions = SessionService(database, tree, MemoryBus(), 20.0)
        await sessions.load()
        yield sessions, database


@asynccontextmanager
async def _away(*_: Any) -> AsyncIterator[None]:
    raise StoreUnavailable("away")
    yield


async def test_an_end_that_was_not_written_can_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with service(tmp_path) as (sessions, database):
        state = await sessions.start("mine", BY, [], title="t", alert=None)
        name = str(state["session"])
        with monkeypatch.context() as patch:
            patch.setattr(database, "transaction", _away)
            for event in (Chatted(BY, "还在吗"), Ended(BY)):
                with pytest.raises(StoreError):
                    await sessions.handle(name, event)
        assert sessions.sites_of(name) == {"mine", "county"}
        assert (await sessions.handle(name, Ended(BY))).ended_at is not None
        assert sessions.sites_of(name) is None


async def test_a_consultation_that_was_not_written_does_not_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with service(tmp_path) as (sessions, database):
        with monkeypatch.context() as patch:
            patch.setattr(database, "transaction", _away)
            with pytest.raises(StoreError):
                await sessions.start("mine", BY, ["mine"], title="t", alert=None)
        assert sessions.about("mine") == []


async def test_one_alert_has_one_consultation(tmp_path: Path) -> None:
    async with service(tmp_path) as (sessions, _):
        await sessions.start("mine", BY, [], title="t", alert="a1")
        with pytest.raises(SessionError) as refused:
            await sessions.start("mine", BY, [], title="t", alert="a1")
        assert refused.value.error == "stale"


async def test_open_consultations_are_there_after_a_restart_with_nobody_in(tmp_path: Path) -> None:
    async with service(tmp_path) as (sessions, _):
        state = await sessions.start("mine", BY, ["mine"], title="t", alert=None)
        await sessions.handle(str(state["session"]), Knocked(Actor("g", "客", "mine", "guest", "guest")))
    async with service(tmp_path) as (sessions, _):
        (again,) = sessions.about("mine")
        assert again.session == state["session"]
        assert again.invitations["mine"].state == "ringing"
        assert again.floor.lobby == {}, "whoever waited knocks again"


@pytest.mark.parametrize("event", [Answered(BY), Ended(BY)])
async def test_a_ring_that_is_due_while_something_else_is_written_undoes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: Event
) -> None:
    async with service(tmp_path) as (sessions, database):
        sessions._ring_timeout_s = 0.0
        name = str((await sessions.start("mine", BY, ["county", "mine"], title="t", alert=None))["session"])
        go_on, finish = asyncio.Event(), database.finish

        async def later(work: Coroutine[Any, Any, Any]) -> Any:
            await go_on.wait()
            return await finish(work)

        monkeypatch.setattr(database, "finish", later)
        monkeypatch.setattr(module, "TICK_S", 0.0)
        done = asyncio.ensure_future(sessions.handle(name, event))
        ticking = asyncio.ensure_future(sessions._tick())
        while not sessions._lock._waiters:
            await asyncio.sleep(0)
        go_on.set()
        await done
        async with sessions._lock:  # the tick stood before us
            pass
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
        state = sessions.get_open(name)
        if isinstance(event, Ended):
            assert state is None
        else:
            assert state is not None
            assert {site: str(one.state) for site, one in state.invitations.items()} == {
                "county": "answered", "mine": "unreachable",
            }  # fmt: skip
    async with service(tmp_path) as (sessions, _):
        assert (sessions.get_open(name) is None) == isinstance(event, Ended), "and so it is written"
