"""The inbox at work: what the ledger remembers over a restart, and the alert of a silence."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.settings import Settings
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.minefiles import MineFiles
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.store.tables import mine_files
from server.telemetry import TelemetryIngest
from tests.fakes.databases import database, tree
from tests.fakes.minefiles import AREA, MINE, card, person, ryss

__all__ = ["database", "tree"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@asynccontextmanager
async def running(
    database: Database, tree: SiteTree, inbox: Path
) -> AsyncIterator[tuple[TelemetryIngest, AlertService]]:
    mines = [{"mine": MINE, "site": "mine-a"}]
    given = {"files": {"inbox": str(inbox), "scan_interval_s": 0.05, "mines": mines}}
    bus = MemoryBus()
    ingest, alerts = TelemetryIngest(database, tree, bus), AlertService(database, tree, bus)
    part = MineFiles(Settings.model_validate(given), database, tree, ingest, alerts)
    task = asyncio.ensure_future(part.run())
    try:
        yield ingest, alerts
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(get: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(60):
        while not (found := await get()):
            await asyncio.sleep(0.05)
    return found


def drop(inbox: Path, file: tuple[str, str]) -> None:
    folder = inbox / MINE
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "writing.tmp").write_text(file[1], "utf-8")
    (folder / "writing.tmp").rename(folder / file[0])


async def rows(database: Database) -> list[Any]:
    async with database.reading() as connection:
        return list(await connection.execute(select(mine_files).order_by(mine_files.c.id)))


async def test_files_become_readings_and_alerts_over_a_restart(
    database: Database, tree: SiteTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.minefiles.TICK_S", 0.05)
    inbox, now = tmp_path / "inbox", float(int(time.time()))
    old = ryss(now - 1000, [person(1), person(2), person(3, "2")])
    async with running(database, tree, inbox) as (ingest, alerts):
        drop(inbox, old)
        await until(lambda: alerts.list("mine-a", "open"))
        newest = {one.quantity: one for one in await ingest.newest("mine-a")}
        assert newest["headcount_underground"].value == 2.0
        assert newest["headcount_underground"].source_at == now - 1000
        zones = {one.tag: (one.zone, one.label) for one in await ingest.positions("mine-a")}
        assert zones == {card(1): (AREA, card(1)), card(2): (AREA, card(2)), card(3): ("", card(3))}
    async with running(database, tree, inbox) as (ingest, alerts):
        drop(inbox, old)
        drop(inbox, ryss(now - 2000, [person(1)]))

        async def three() -> bool:
            return len(await rows(database)) == 3

        await until(three)
        assert len(await alerts.list("mine-a")) == 1
        drop(inbox, ryss(now - 5, [person(1)]))
        await until(lambda: alerts.list("mine-a", "cleared"))
        newest = {one.quantity: one for one in await ingest.newest("mine-a")}
        assert newest["headcount_underground"].value == 1.0
        curve = await ingest.readings("mine-a", "positioning", "headcount_underground", now - 3000, now)
        assert [one.source_at - now for one in curve] == [-2000, -1000, -5]
    found = await rows(database)
    assert sorted(row.status for row in found) == ["DONE", "DONE", "DUPLICATE", "STALE"]
    assert "人员" not in repr(found)
