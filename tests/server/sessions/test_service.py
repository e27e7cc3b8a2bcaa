"""Consultations on a real store: what could not be written has not happened."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import SiteSettings
from server.bus.memory import MemoryBus
from server.sessions.errors import SessionError
from server.sessions.machine import Actor, Chatted, Ended
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
    async with service(tmp_path) as (sessions, _):
        (again,) = sessions.about("mine")
        assert again.session == state["session"]
        assert again.invitations["mine"].state == "ringing"
