"""From stored readings to alerts: retried, taken up after a restart, and reproduced from the store."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from analytics.mine import Fence, MineFacts, Zone
from analytics.plugin import Batch, Position, Reading
from config.settings import Settings
from server.alerts.machine import Alert
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.commands.main import app
from server.parameters import Parameters
from server.rules import Rules, replay
from server.store.database import Database, sqlite_url
from server.store.errors import StoreUnavailable
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest
from tests.fakes.databases import database, tree

__all__ = ["database", "tree"]

DEVICE: dict[str, Any] = {
    "site": "mine-a", "device": "pump", "kind": "pump", "rated_a": 100.0, "rated_v": 660.0, "expected_period_s": 30.0,
}  # fmt: skip


def settings(**device: Any) -> Settings:
    return Settings.model_validate({"devices": [DEVICE | device]})


def overload(start: float, seconds: int, amperes: float = 150.0) -> list[Reading]:
    return [
        Reading("mine-a", "pump", "current_a", amperes + n % 7 * 0.01, "A", start + n, start + n + 0.25, n)
        for n in range(seconds)
    ]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


class Part:
    """Ingest and rules over one store."""

    def __init__(self, database: Database, tree: SiteTree, given: Settings) -> None:
        self.alerts = AlertService(database, tree, MemoryBus())
        self.ingest = TelemetryIngest(database, tree, MemoryBus())
        self.rules = Rules(given, tree, self.alerts)
        self.ingest.on_stored = self.rules.stored

    async def store(self, readings: list[Reading]) -> None:
        async def stored() -> None:
            return None

        await self.ingest.store(Batch(readings, [], stored))

    async def until(self, state: str, rule: str = "overload") -> Alert:
        async with asyncio.timeout(10):
            while True:
                for alert in await self.alerts.list("mine-a"):
                    if (alert.rule, alert.state.value) == (rule, state):
                        return alert
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(database: Database, tree: SiteTree, given: Settings) -> AsyncIterator[Part]:
    part = Part(database, tree, given)
    task = asyncio.ensure_future(part.rules.run())
    try:
        yield part
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_an_overload_in_stored_readings_is_an_alert_and_is_cleared_after_a_restart(
    database: Database, tree: SiteTree
) -> None:
    now = time.time()
    async with running(database, tree, settings()) as part:
        await part.store(overload(now - 60, 40))
        alert = await part.until("open")
        assert (alert.severity, alert.subject, alert.occurrences) == ("alarm", "pump", 1)
        assert alert.explain is not None
        assert alert.explain["parameter_version"]
    async with running(database, tree, settings()) as part:
        await part.store(overload(now - 19, 5))
        await part.store(overload(now - 14, 10, 60.0))
        cleared = await part.until("cleared")
        assert (cleared.id, cleared.occurrences) == (alert.id, 1)


async def test_a_finding_that_cannot_be_written_is_tried_again(
    database: Database, tree: SiteTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    apply = AlertService.apply

    async def sometimes(self: AlertService, *given: Any, **named: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable("away")
        return await apply(self, *given, **named)

    monkeypatch.setattr(AlertService, "apply", sometimes)
    monkeypatch.setattr("server.rules.RETRY_S", 0.01)
    async with running(database, tree, settings()) as part:
        await part.store(overload(time.time() - 60, 40))
        await part.until("open")
    assert tries == 2


async def test_readings_beyond_the_bound_are_counted_and_not_judged(
    database: Database, tree: SiteTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.rules.MAX_WAITING", 10)
    part = Part(database, tree, settings())
    await part.store(overload(time.time() - 60, 40))
    assert part.rules.dropped == 30


async def test_a_replay_of_the_store_finds_what_was_found_live(database: Database, tree: SiteTree) -> None:
    now = time.time()
    async with running(database, tree, settings()) as part:
        await part.store(overload(now - 90, 40))
        await part.store(overload(now - 50, 45, 60.0))
        live = await part.until("cleared")
    found = [one async for one in replay(settings(), database, "mine-a", now - 100, now)]
    assert [(one.rule, one.change) for one in found] == [("overload", "raised"), ("overload", "cleared")]
    assert found[0].explain == live.explain
    assert (found[0].at, found[1].at) == (live.opened_at, live.cleared_at)
    assert [one async for one in replay(settings(), database, "mine-a", now - 100, now)] == found
    other = settings(parameters={"overload_integral_s": 1000.0})
    assert [one async for one in replay(other, database, "mine-a", now - 100, now)] == []


async def test_a_replay_tells_late_samples_from_those_in_time(database: Database, tree: SiteTree) -> None:
    now = time.time()
    late = [Reading("mine-a", "pump", "current_a", 150.0 + n % 7, "A", now + n, now + 900, n) for n in range(40)]
    part = Part(database, tree, settings())
    await part.store(late)
    live = [one.rule async for one in replay(settings(), database, "mine-a", now, now + 100)]
    assert "overload" not in live
    measured = [one.rule async for one in replay(settings(), database, "mine-a", now, now + 100, as_measured=True)]
    assert measured == ["overload"]


def test_the_command_prints_json_lines(tmp_path: Path) -> None:
    config = tmp_path / "lamproom.yaml"
    mine = {"site": "mine-a", "level": "mine", "name_zh": "甲矿", "name_en": "Mine A"}
    config.write_text(json.dumps({"server": {"data_dir": "data"}, "sites": [mine], "devices": [DEVICE]}), "utf-8")
    (tmp_path / "data").mkdir()

    async def fill() -> None:
        async with Database.open(f"sqlite+aiosqlite:///{tmp_path / 'data' / 'lamproom.db'}") as database:
            tree = await SiteTree.load(database)
            await tree.add("mine-a", None, "mine", "甲矿", "Mine A")
            await Part(database, tree, settings()).store(overload(1_790_000_000.0, 40))

    asyncio.run(fill())
    words = [
        "replay",
        "--site",
        "mine-a",
        "--from",
        "2026-09-21T22:13:20+08:00",
        "--to",
        "1790000100",
        "-c",
        str(config),
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    (line,) = result.output.splitlines()
    assert (json.loads(line)["rule"], json.loads(line)["change"]) == ("overload", "raised")
    assert CliRunner().invoke(app, ["replay", "--site", "mine-a", "--from", "soon", "--to", "0"]).exit_code == 2


async def test_positions_of_a_known_mine_are_judged_live_and_by_a_replay(database: Database, tree: SiteTree) -> None:
    now = float(int(time.time()))
    goaf = Zone("goaf", Fence(((0, 0), (50, 0), (50, 50), (0, 50))), name_zh="采空区", name_en="Goaf", kind="danger")
    facts = MineFacts("mine-a", 1, zones={"goaf": goaf})
    fixes = [
        Position("mine-a", "P1", "person", -20.0 + 2 * n, 25.0, 0.0, "", now - 40 + n, now - 40 + n + 0.2, n)
        for n in range(30)
    ]
    part = Part(database, tree, settings())
    part.rules = Rules(settings(), tree, part.alerts, facts=lambda site: facts if site == "mine-a" else MineFacts(site))
    part.ingest.on_positions = part.rules.located
    task = asyncio.ensure_future(part.rules.run())
    try:
        await part.ingest.store(Batch([], fixes, _stored))
        async with asyncio.timeout(10):
            while (live := await part.until("open", "zone_entry")).severity != "alarm":
                await asyncio.sleep(0.02)
    finally:
        task.cancel()
        await asyncio.wait({task})
    found = [one async for one in replay(settings(), database, "mine-a", now - 60, now, facts=facts)]
    entered = [one for one in found if one.rule == "zone_entry" and one.severity == "alarm"]
    assert (entered[0].key, entered[0].explain) == (live.key, live.explain)
    assert "采空区 · P1" in live.title_zh


async def test_new_figures_count_at_once_and_standing_alerts_go_on(database: Database, tree: SiteTree) -> None:
    now = time.time()
    parameters = await Parameters.load(settings(), database, tree)
    part = Part(database, tree, settings())
    part.rules = Rules(settings(), tree, part.alerts, parameters=parameters)
    part.ingest.on_stored = part.rules.stored
    parameters.on_change.append(part.rules.parameters_changed)
    task = asyncio.ensure_future(part.rules.run())
    try:
        await part.store(overload(now - 90, 40))
        alert = await part.until("open")
        await parameters.put("mine-a", "pump", {"overload_ratio": 2.0}, by="u")
        await part.store(overload(now - 50, 40))
        cleared = await part.until("cleared")
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert cleared.id == alert.id


async def _stored() -> None:
    return None
