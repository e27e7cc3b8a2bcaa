"""Incidents over a store: one for a lost supply, merged and split by people, and nothing lost by a crash."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from analytics.finding import Change, Finding, Severity
from analytics.rules.incidents import Correlator, Decision, Group, Member
from server.alerts.machine import Alert
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.incidents.errors import IncidentOver, NotTogether
from server.incidents.service import Incident, IncidentService
from server.store import audit, timeline
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from tests.fakes.databases import database, tree

__all__ = ["database", "tree"]

NOW = time.time()


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@dataclass(frozen=True)
class Somebody:
    user: str = "u1"
    name: str = "王"
    site: str = "liulin"


BY = Somebody()


def finding(
    rule: str, subject: str, severity: Severity, at: float, change: Change = "raised", site: str = "mine-a"
) -> Finding:
    return Finding(site, f"{site}/{rule}/{subject}", rule, subject, change, severity, NOW + at, rule, rule)


class Part:
    def __init__(self, database: Database, tree: SiteTree) -> None:
        self.alerts = AlertService(database, tree, MemoryBus())
        self.incidents = IncidentService(database, tree, MemoryBus(), self.alerts)
        self.alerts.on_change.append(self.incidents.changed)

    async def raise_all(self, *findings: Finding) -> list[Alert]:
        found = [await self.alerts.apply(one, at=time.time()) for one in findings]
        return [one for one in found if one is not None]

    async def until(self, site: str, alerts: int, state: str = "open") -> Incident:
        async with asyncio.timeout(10):
            while True:
                for one in await self.incidents.list(site):
                    if (one.alerts, one.state) == (alerts, state):
                        return one
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(database: Database, tree: SiteTree) -> AsyncIterator[Part]:
    part = Part(database, tree)
    task = asyncio.ensure_future(part.incidents.run())
    try:
        yield part
    finally:
        task.cancel()
        await asyncio.wait({task})


def lost_supply() -> list[Finding]:
    gaps = [finding("telemetry_gap", f"d{n}", "warning", 10.0) for n in range(12)]
    return [
        finding("main_fan_stop", "fan", "warning", 1.0), finding("supply_loss", "substation", "critical", 0.0),
        finding("zone_silent", "face", "critical", 50.0), *gaps,
    ]  # fmt: skip


async def test_a_lost_supply_is_one_incident_and_not_fifteen_alerts(database: Database, tree: SiteTree) -> None:
    async with running(database, tree) as part:
        await part.raise_all(*lost_supply(), finding("overload", "belt", "warning", 5.0))
        incident = await part.until("mine-a", 15)
        assert [one.id for one in await part.incidents.list("cn")] == [incident.id]
        assert (incident.kind, incident.severity, incident.standing) == ("supply_loss", "critical", 15)
        assert incident.sources == {"power": 3, "positions": 3}
        assert len(await part.incidents.alerts_of(incident.id)) == 15
    async with database.reading() as connection:
        above = [one for one in await timeline.since(connection, "site:cn", 0, 500) if one.kind == "incident"]
        assert above[0].body["change"] == "opened"
        assert above[-1].body["alerts"] == 15
        assert (await audit.verify(connection)).holds


async def test_alerts_from_before_a_crash_are_placed_after_it(database: Database, tree: SiteTree) -> None:
    part = Part(database, tree)  # its incidents never run
    await part.raise_all(*lost_supply())
    async with running(database, tree) as again:
        assert (await again.until("mine-a", 15)).kind == "supply_loss"
        assert len(await again.incidents.list("mine-a")) == 1


async def test_a_mine_s_incident_takes_nothing_of_another(database: Database, tree: SiteTree) -> None:
    async with running(database, tree) as part:
        await part.raise_all(
            finding("supply_loss", "s", "critical", 0.0),
            finding("main_fan_stop", "f", "critical", 1.0, site="mine-b"),
        )
        one, other = await part.until("mine-a", 1), await part.until("mine-b", 1)
        assert one.id != other.id
        with pytest.raises(NotTogether):
            await part.incidents.merge(one.id, other.id, by=BY)


async def test_people_merge_and_split_and_what_was_taken_out_stays_out(database: Database, tree: SiteTree) -> None:
    async with running(database, tree) as part:
        fan, sos = await part.raise_all(
            finding("main_fan_stop", "fan", "critical", 0.0), finding("sos", "P1", "critical", 2000.0)
        )
        async with asyncio.timeout(10):
            while len(await part.incidents.list("mine-a")) < 2:
                await asyncio.sleep(0.02)
        second, first = await part.incidents.list("mine-a")
        merged = await part.incidents.merge(second.id, first.id, by=BY, address="10.0.0.1")
        assert (merged.alerts, merged.kind) == (2, "ventilation")
        gone = await part.incidents.get(second.id)
        assert gone is not None
        assert (gone.state, gone.merged_into) == ("merged", first.id)
        with pytest.raises(IncidentOver):
            await part.incidents.close(second.id, "confirmed", "", by=BY)
        made = await part.incidents.split(first.id, [sos.id], by=BY)
        assert (made.alerts, made.kind) == (1, "person_in_distress")
        with pytest.raises(NotTogether):
            await part.incidents.split(first.id, [fan.id], by=BY)
        await part.raise_all(finding("sos", "P1", "critical", 2001.0, "again"))
        await part.raise_all(finding("sos", "P1", "critical", 2002.0, "cleared"))
        async with asyncio.timeout(10):
            while (now := await part.incidents.get(made.id)) is None or now.standing:
                await asyncio.sleep(0.02)
        assert [one.id for one in await part.incidents.alerts_of(first.id)] == [fan.id]


async def test_an_incident_is_closed_by_a_person_and_the_next_one_is_new(database: Database, tree: SiteTree) -> None:
    async with running(database, tree) as part:
        await part.raise_all(finding("supply_loss", "s", "critical", 0.0))
        incident = await part.until("mine-a", 1)
        closed = await part.incidents.close(incident.id, "confirmed", "回路检修", by=BY)
        assert closed.closed is not None
        assert (closed.state, closed.closed["outcome"], closed.closed["name"]) == ("closed", "confirmed", "王")
        await part.raise_all(finding("main_fan_stop", "f", "critical", 1.0))
        assert (await part.until("mine-a", 1)).id != incident.id


async def test_an_alert_is_held_against_incidents_of_its_time_only(
    database: Database, tree: SiteTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}
    decide = Correlator.decide

    def watched(self: Correlator, new: Member, incidents: Sequence[Group], loose: Sequence[Member]) -> Decision:
        seen[new.rule] = sum(len(group.members) for group in incidents)
        return decide(self, new, incidents, loose)

    monkeypatch.setattr(Correlator, "decide", watched)
    async with running(database, tree) as part:
        await part.raise_all(finding("supply_loss", "s", "critical", -30 * 86400.0))
        await part.until("mine-a", 1)
        await part.raise_all(finding("sos", "P1", "critical", 0.0), finding("main_fan_stop", "f", "warning", 3500.0))
        async with asyncio.timeout(10):
            while len(seen) < 3:
                await asyncio.sleep(0.02)
    assert seen == {"supply_loss": 0, "sos": 0, "main_fan_stop": 1}
