"""Incidents, figures of rules, uplinks and data quality over HTTP: who sees what, and what is refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from analytics.finding import Finding
from config.settings import Settings
from server.api.http import Routes
from server.api.incidents import IncidentDoor
from server.api.rules import RulesDoor
from server.incidents.service import IncidentService
from server.parameters import Parameters
from server.rules import Rules
from tests.fakes.serving import Served, serve


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[tuple[Served, IncidentService]]:
    """Doors that are filled once the server's parts are there."""
    incidents, rules = IncidentDoor(None), RulesDoor(None, None)  # type: ignore[arg-type]
    async with serve(tmp_path, further=Routes.of(incidents.routes(), rules.routes())) as one:
        context = one.context
        service = IncidentService(context.database, context.tree, context.alerts._bus, context.alerts)
        context.alerts.on_change.append(service.changed)
        incidents._incidents = service
        rules._parameters = await Parameters.load(Settings(), context.database, context.tree)
        rules._rules = Rules(Settings(), context.tree, context.alerts)
        task = asyncio.ensure_future(service.run())
        try:
            yield one, service
        finally:
            task.cancel()
            await asyncio.wait({task})


async def lost(one: Served, site: str) -> None:
    finding = Finding(
        site, f"{site}/supply_loss/s", "supply_loss", "s", "raised", "critical", time.time(), "失电", "lost"
    )
    await one.context.alerts.apply(finding, at=time.time())


async def get(session: ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(path) as answer:
        return answer.status, await answer.json()


async def test_incidents_are_seen_from_above_and_not_from_beside(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, service):
        await one.add_user("county", "supervisor", "county")
        await one.add_user("south", "supervisor", "south")
        await one.add_user("desk", "dispatcher", "mine-a")
        await lost(one, "mine-a")
        async with asyncio.timeout(10):
            while not (found := await service.list("mine-a")):
                await asyncio.sleep(0.02)
        path = f"/api/incidents/{found[0].id}"
        async with one.browser("county") as session:
            status, body = await get(session, "/api/incidents?state=open")
            assert (status, [item["kind"] for item in body["items"]]) == (200, ["supply_loss"])
            status, body = await get(session, path)
            assert (status, len(body["alerts"]), body["incident"]["alerts"]) == (200, 1, 1)
        async with one.browser("south") as session:
            assert (await get(session, path))[0] == 404
            assert (await get(session, "/api/incidents"))[1]["items"] == []
        async with one.browser("desk") as session:
            async with session.post(f"{path}/close", json={"outcome": "confirmed"}) as answer:
                assert answer.status == 403
            async with session.post(f"{path}/split", json={"alerts": ["x"]}) as answer:
                assert answer.status == 400
        async with one.browser("county") as session:
            async with session.post(f"{path}/close", json={"outcome": "confirmed", "comment": "检修"}) as answer:
                assert (answer.status, (await answer.json())["closed"]["comment"]) == (200, "检修")
            async with session.post(f"{path}/close", json={"outcome": "confirmed"}) as answer:
                assert answer.status == 409


async def test_figures_are_shown_with_whose_they_are_and_wrong_ones_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as (one, _):
        await one.add_user("engineer", "engineer", "north")
        await one.add_user("viewer", "viewer", "mine-a")
        async with one.browser("engineer") as session:
            wish = {"site": "north", "values": {"quota_s": 30.0}}
            async with session.put("/api/rules", json=wish) as answer:
                assert answer.status == 200
            async with session.put("/api/rules", json=wish | {"values": {"quota_s": -1.0}}) as answer:
                assert answer.status == 400
            async with session.put("/api/rules", json=wish | {"site": "mine-c"}) as answer:
                assert answer.status == 404
        async with one.browser("viewer") as session:
            status, body = await get(session, "/api/rules?site=mine-a")
            assert status == 200
            assert body["parameters"]["quota_s"]["value"] == 30.0
            assert body["parameters"]["quota_s"]["from_site"] == "north"
            assert body["parameters"]["quota_s"]["default"] == 60.0
            async with session.put("/api/rules", json={"site": "mine-a", "values": {}}) as answer:
                assert answer.status == 403
