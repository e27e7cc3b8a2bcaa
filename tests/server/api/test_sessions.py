"""Consultations over HTTP: who calls takes part."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from analytics.finding import Finding
from server.api.sessions import SessionDoor
from server.bus.memory import MemoryBus
from server.sessions.service import SessionService
from tests.fakes.serving import Served, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    door = SessionDoor(None, None, None)  # type: ignore[arg-type]
    async with serve(tmp_path, further=door.routes()) as one:
        door.sessions = SessionService(one.context.database, one.context.tree, MemoryBus(), 20.0)
        await one.add_user("county", "supervisor", "county")
        await one.add_user("north", "supervisor", "north")
        yield one


async def test_an_authority_that_calls_for_an_alert_in_consultation_takes_part_in_it(served: Served) -> None:
    finding = Finding(
        "mine-a", "mine-a/absence/main", "absence", "main", "raised", "alarm", time.time(), "空岗", "Post is empty",
    )  # fmt: skip
    alert = await served.context.alerts.apply(finding, at=finding.at)
    assert alert is not None
    call = {"site": "mine-a", "levels": [], "alert": alert.id}
    async with served.browser("county") as county, served.browser("north") as north:
        async with county.post("/api/sessions", json=call) as answer:
            assert answer.status == 201
            first = await answer.json()
        assert set(first["invitations"]) == {"mine-a"}
        async with north.post("/api/sessions", json={**call, "levels": ["city"]}) as answer:
            assert answer.status == 201
            second = await answer.json()
        assert second["session"] == first["session"]
        assert {site: one["state"] for site, one in second["invitations"].items()} == {
            "mine-a": "ringing", "north": "answered", "city": "ringing",
        }  # fmt: skip
        async with north.post(f"/api/sessions/{first['session']}/invite", json={"level": "county"}) as answer:
            assert answer.status == 200, "it is theirs"
