"""The audit as an admin sees it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from sqlalchemy import update

from server.api.audit import AuditDoor
from server.auditcheck import AuditCheck
from server.store import audit
from server.store.tables import audit as table
from tests.fakes.serving import Served, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    door = AuditDoor(None)  # type: ignore[arg-type]
    async with serve(tmp_path, further=door.routes()) as one:
        door.check = AuditCheck(one.context.settings, one.context.database)
        await one.add_user("top", "admin", "nation")
        await one.add_user("chief", "admin", "county")
        async with one.context.database.transaction() as connection:
            for number, (site, action, at) in enumerate(
                [("mine-a", "registry.unmask", 100.0), ("mine-c", "registry.unmask", 200.0), ("", "login", 300.0)]
            ):
                await audit.append(
                    connection, at=at, actor=f"user:{one.users['chief'].user}", action=action, object=f"=x{number}",
                    site=site, detail={"reason": "drill"},
                )  # fmt: skip
        running = asyncio.create_task(door.check.run())
        yield one
        running.cancel()
        await asyncio.wait([running])


async def rows(session: ClientSession, query: str) -> list[dict[str, Any]]:
    async with session.get(f"/api/audit?{query}") as response:
        assert response.status == 200, await response.text()
        found: list[dict[str, Any]] = (await response.json())["items"]
        return found


async def test_rows_are_found_by_person_kind_object_and_time(served: Served) -> None:
    async with served.browser("top") as session:
        assert [one["object"] for one in await rows(session, "action=registry.unmask")] == ["=x1", "=x0"]
        assert {one["name"] for one in await rows(session, "action=registry.")} == {"Name of chief"}
        assert [one["object"] for one in await rows(session, "who=chief&start=100&end=200")] == ["=x0"]
        assert [one["object"] for one in await rows(session, "object=x2")] == ["=x2"]
        assert await rows(session, "who=nobody-here") == []
        assert [one["object"] for one in await rows(session, "site=south&action=registry.unmask")] == ["=x1"]
        async with session.get("/api/audit?limit=2") as response:
            first = await response.json()
        assert [one["seq"] for one in await rows(session, f"limit=1&before={first['next']}")] == [first["next"] - 1]


async def test_an_admin_of_another_tree_sees_nothing_of_the_server(served: Served) -> None:
    await served.context.tree.add("zeta", None, "nation", "另一棵树", "Another tree")
    await served.add_user("elsewhere", "admin", "zeta")
    async with served.browser("elsewhere") as session:
        assert {one["site"] for one in await rows(session, "limit=100")} <= {"zeta"}


async def test_an_admin_of_a_part_sees_the_rows_of_that_part_only(served: Served) -> None:
    async with served.browser("chief") as session:
        assert [one["object"] for one in await rows(session, "action=registry.unmask")] == ["=x0"]
        assert await rows(session, "object=x2") == []
        for path in ("/api/audit?site=nation", "/api/audit/export?site=mine-c", "/api/audit/check"):
            async with session.get(path) as response:
                assert response.status == 404, path
        async with session.get("/api/audit/export") as response:
            assert "mine-c" not in await response.text()


async def test_the_table_that_is_taken_away_calculates_nothing_and_is_written_down(served: Served) -> None:
    async with served.browser("top") as session:
        async with session.get("/api/audit/export?object=x") as response:
            text = await response.text("utf-8-sig")
        assert ",'=x0," in text
        taken = await rows(session, "action=audit.export")
    assert [one["detail"] for one in taken] == [{"object": "x"}]


async def _checked(session: ClientSession) -> dict[str, Any]:
    async with session.post("/api/audit/check") as response:
        assert response.status == 202
    async with asyncio.timeout(60):
        while True:
            async with session.get("/api/audit/check") as response:
                state: dict[str, Any] = await response.json()
            if not state["running"]:
                return state
            await asyncio.sleep(0.05)


async def test_a_check_says_that_all_holds_and_then_which_row_does_not(served: Served) -> None:
    async with served.browser("top") as session:
        whole = await _checked(session)
        assert whole["report"]["holds"], whole
        assert whole["report"]["name"] == "Name of top"
        async with served.context.database.transaction() as connection:
            await connection.execute(update(table).where(table.c.object == "=x1").values(actor="somebody else"))
        broken = (await _checked(session))["report"]
        number = next(one["seq"] for one in await rows(session, "object=x1"))
        assert not broken["holds"]
        assert (broken["faults"][0]["chain"], broken["faults"][0]["seq"]) == ("audit", number)
        told = await rows(session, "action=audit.verify")
    assert [one["result"] for one in told] == ["broken", "ok"]


async def test_a_check_that_cannot_be_made_says_why(served: Served, tmp_path: Path) -> None:
    check = AuditCheck(served.context.settings, served.context.database)
    check._url = f"sqlite+aiosqlite:///{tmp_path}/nowhere.db"
    await check._check("server")
    assert check.newest is None
    assert "There is no database file" in check.failed
