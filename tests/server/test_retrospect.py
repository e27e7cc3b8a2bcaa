"""What came late is judged after the fact: told, never rung, and once."""

import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analytics.finding import Finding
from analytics.plugin import Batch, Reading
from config.settings import Settings
from server import retrospect
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.retrospect import LONGEST_S, Retrospect, episodes
from server.store import timeline
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest
from tests.fakes.databases import database, tree
from tests.server.test_rules import DEVICE, overload

__all__ = ["database", "tree"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


class Part:
    """Ingest and retrospect over one store; `now` is the clock."""

    def __init__(self, database: Database, tree: SiteTree, folder: Path) -> None:
        self.settings = Settings.model_validate({"devices": [DEVICE], "server": {"data_dir": str(folder)}})
        self.database, self.tree = database, tree
        self.now = time.time()
        self.bus = MemoryBus()
        self.ingest = TelemetryIngest(database, tree, self.bus)
        self.renew()

    def renew(self) -> None:
        """As after a restart."""
        self.one = Retrospect(self.settings, self.database, self.tree, self.bus, clock=lambda: self.now)
        self.ingest.on_stored = self.one.stored

    async def store(self, readings: list[Reading]) -> None:
        async def stored() -> None:
            return None

        await self.ingest.store(Batch(readings, [], stored))

    async def told(self, room: str) -> list[dict[str, Any]]:
        async with self.database.reading() as connection:
            entries = await timeline.since(connection, room, 0)
        return [one.body for one in entries if one.kind == "retrospective"]


@pytest.fixture
def part(database: Database, tree: SiteTree, tmp_path: Path) -> Part:
    return Part(database, tree, tmp_path)


def late(readings: list[Reading], by_s: float) -> list[Reading]:
    return [replace(one, received_at=one.source_at + by_s) for one in readings]


def hour_ago(part: Part) -> list[Reading]:
    """A minute of overload, then a minute and a half at rest."""
    start = float(int(part.now - 3600))
    return late(overload(start, 60) + overload(start + 60, 90, 40.0), 3600.0)


async def test_overload_of_an_hour_ago_is_told_once_to_the_mine_and_above(part: Part) -> None:
    samples = hour_ago(part)
    await part.store(samples)
    [episode] = await part.one.judge("mine-a")
    [body] = await part.told("site:mine-a")
    assert (body["rule"], body["subject"], body["site"]) == ("overload", "pump", "mine-a")
    assert samples[0].source_at <= body["since"] < body["until"] <= samples[-1].source_at + 1
    assert body["explain"]
    assert await part.told("site:liulin") == [body]
    assert episode.key == "mine-a/overload/pump"
    async with part.database.reading() as connection:
        assert not (await connection.exec_driver_sql("SELECT * FROM alerts")).all()
        assert not (await connection.exec_driver_sql("SELECT * FROM late_windows")).all()


async def test_what_an_alert_told_at_the_time_is_not_told_again(part: Part) -> None:
    samples = hour_ago(part)
    at = samples[30].source_at
    finding = Finding("mine-a", "mine-a/overload/pump", "overload", "pump", "raised", "alarm", at, "过负荷", "Overload")
    await AlertService(part.database, part.tree, part.bus).apply(finding, at=at)
    await part.store(samples)
    assert await part.one.judge("mine-a") == []
    assert await part.told("site:mine-a") == []


async def test_samples_in_time_open_no_window(part: Part) -> None:
    await part.store(overload(part.now - 60, 40))
    with pytest.raises(KeyError):
        await part.one.judge("mine-a")


async def test_window_outlives_a_restart_and_is_judged_when_nothing_late_comes_any_more(
    part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrospect, "TICK_S", 0.01)
    await part.store(hour_ago(part))
    first = asyncio.create_task(part.one.run())
    async with asyncio.timeout(20):
        while True:
            async with part.database.reading() as connection:
                if (await connection.exec_driver_sql("SELECT * FROM late_windows")).all():
                    break
            await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait({first})
    part.renew()
    second = asyncio.create_task(part.one.run())
    await asyncio.sleep(0.1)
    assert await part.told("site:mine-a") == []
    part.now += part.settings.analytics.late_after_s + 1
    async with asyncio.timeout(60):
        while not await part.told("site:mine-a"):
            await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait({second})


async def test_failed_process_keeps_the_window(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    await part.store(hour_ago(part))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert await part.one.judge("mine-a") == []
    monkeypatch.undo()
    assert len(await part.one.judge("mine-a")) == 1


async def test_same_samples_again_are_told_once(part: Part) -> None:
    for _ in range(2):
        await part.store(hour_ago(part))
        await part.one.judge("mine-a")
    assert len(await part.told("site:mine-a")) == 1


def test_mine_in_which_something_late_comes_all_the_time_is_judged_now_and_then(part: Part) -> None:
    due = 0
    for _ in range(1800):  # a device whose clock is three minutes slow, every second
        part.now += 1
        part.one.stored([Reading("mine-a", "pump", "current_a", 1.0, "A", part.now - 180, part.now)])
        if part.one._due():
            due += 1
            for kept in (part.one._windows, part.one._opened_at, part.one._late_at):
                kept.clear()
    assert due == 1


async def test_line_of_a_log_among_the_findings_is_a_failure_and_not_the_end(
    part: Part, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speaks = tmp_path / "speaks"
    speaks.write_text("#!/bin/sh\ncat >/dev/null\necho 2026 warning fact_not_read\n")
    speaks.chmod(0o755)
    await part.store(hour_ago(part))
    monkeypatch.setattr(sys, "executable", str(speaks))
    assert await part.one.judge("mine-a") == []
    monkeypatch.undo()
    assert len(await part.one.judge("mine-a")) == 1


def test_window_has_an_end(part: Part) -> None:
    part.one.stored([Reading("mine-a", "pump", "current_a", 1.0, "A", part.now - 9 * 86_400, part.now)])
    part.one.stored([Reading("mine-a", "pump", "current_a", 1.0, "A", part.now - 3600, part.now)])
    since, until = part.one._windows["mine-a"]
    assert (round(until - since), round(part.now - until)) == (LONGEST_S, 3600)


def finding(change: str, at: float, key: str = "k") -> dict[str, Any]:
    return {
        "key": key, "rule": "r", "subject": "s", "change": change, "severity": "alarm", "at": at, "title_zh": "",
        "title_en": "", "explain": {}, "simulated": False,
    }  # fmt: skip


def test_episodes_begin_in_the_window_and_are_paired_with_their_ends() -> None:
    heard = [
        finding("raised", 5.0), finding("again", 6.0), finding("cleared", 12.0),  # began before
        finding("raised", 15.0), finding("raised", 15.5, "gap") | {"rule": "telemetry_gap"},
        finding("raised", 16.0, "other"), finding("cleared", 18.0), finding("raised", 19.0),
        finding("cleared", 30.0, "nobody"), finding("raised", 41.0, "after"),
    ]  # fmt: skip
    found = [(one.key, one.since, one.until) for one in episodes(heard, (10.0, 40.0))]
    assert found == [("k", 15.0, 18.0), ("other", 16.0, None), ("k", 19.0, None)]
