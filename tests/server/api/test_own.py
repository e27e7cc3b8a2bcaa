"""What is one's own: the wall, which alerts one has looked at, and several alerts taken at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from tests.fakes.serving import Served, serve
from tests.server.api.test_alerts import raised

CELL = {"camera": "mine-a/gate", "x": 0, "y": 0, "w": 12, "h": 7}
WALL: dict[str, Any] = {"groups": [{"id": "g1", "name": "井口", "cells": [CELL]}], "tour_s": 30}
HEADERS = {"X-Lamproom": "1"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as one:
        await one.add_user("wang", "dispatcher", "mine-a")
        await one.add_user("zhao", "supervisor", "county")
        await one.add_user("eng", "engineer", "county")
        yield one


async def send(session: ClientSession, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with session.request(method, path, json=body, headers=HEADERS) as answer:
        return answer.status, await answer.json() if answer.content_type.endswith("json") else None


async def test_wall_is_kept_for_each_person_and_not_overwritten_by_a_stale_page(served: Served) -> None:
    async with served.browser("zhao") as mine, served.browser("wang") as other:
        assert await send(mine, "GET", "/api/me/wall") == (200, {"value": {"groups": [], "tour_s": 20}, "version": 0})
        assert (await send(mine, "PUT", "/api/me/wall", {"value": WALL, "version": 0}))[1]["version"] == 1
        assert await send(mine, "GET", "/api/me/wall") == (200, {"value": WALL, "version": 1})
        status, problem = await send(mine, "PUT", "/api/me/wall", {"value": {"groups": []}, "version": 0})
        assert (status, problem["error"]) == (409, "stale")
        assert (await send(other, "GET", "/api/me/wall"))[1]["version"] == 0


@pytest.mark.parametrize(
    "wrong", [{"x": 24}, {"w": 1}, {"camera": "no-site"}, {"camera": "mine-a/two words"}, {"h": 15}, {"z": 1}]
)
async def test_wall_off_its_grid_is_refused(served: Served, wrong: dict[str, Any]) -> None:
    value = {"groups": [{"id": "g1", "name": "x", "cells": [{**CELL, **wrong}]}], "tour_s": 30}
    async with served.browser("zhao") as mine:
        assert (await send(mine, "PUT", "/api/me/wall", {"value": value, "version": 0}))[0] == 422


async def test_each_person_has_looked_at_alerts_for_himself(served: Served) -> None:
    first, second = await raised(served, subject="a"), await raised(served, subject="b")
    async with served.browser("zhao") as mine, served.browser("wang") as other:
        for _ in range(2):  # again is no error
            assert (await send(mine, "POST", "/api/alerts/reviewed", {"alerts": [first.id]}))[0] == 204
        assert (await send(mine, "GET", "/api/alerts"))[1]["reviewed"] == [first.id]
        assert (await send(other, "GET", "/api/alerts"))[1]["reviewed"] == []
        new = await send(mine, "GET", "/api/alerts?unreviewed=true&severity=alarm")
        assert [one["id"] for one in new[1]["items"]] == [second.id]
        assert (await send(mine, "GET", "/api/alerts?severity=info"))[1]["items"] == []
        counts = (await send(mine, "GET", "/api/alerts/counts"))[1]["counts"]
        assert counts == {"alarm": {"all": 2, "new": 1, "open": 2}}
        await send(mine, "POST", "/api/alerts/reviewed", {"alerts": [first.id], "reviewed": False})
        assert (await send(mine, "GET", "/api/alerts"))[1]["reviewed"] == []


async def test_several_alerts_are_taken_at_once_by_who_may_and_all_or_none(served: Served) -> None:
    made = [(await raised(served, subject=one)).id for one in "abc"]
    elsewhere = (await raised(served, "mine-b")).id
    async with served.browser("wang") as mine, served.browser("eng") as engineer:
        assert (await send(engineer, "POST", "/api/alerts/ack", {"alerts": made}))[0] == 403
        for unknown in (elsewhere, "nothing"):
            assert (await send(mine, "POST", "/api/alerts/ack", {"alerts": [*made, unknown]}))[0] == 404
            assert (await send(mine, "POST", "/api/alerts/reviewed", {"alerts": [unknown]}))[0] == 404
        assert {one["state"] for one in (await send(mine, "GET", "/api/alerts"))[1]["items"]} == {"open"}
        status, answer = await send(mine, "POST", "/api/alerts/ack", {"alerts": made, "comment": "同一台风机"})
        assert (status, answer) == (200, {"acknowledged": made, "over": []})
        items = (await send(mine, "GET", "/api/alerts"))[1]["items"]
        assert {one["acknowledged"]["comment"] for one in items} == {"同一台风机"}


async def test_log_in_of_a_wall_lives_on(served: Served) -> None:
    identity = served.context.identity
    async with served.browser("zhao") as mine:
        cookie = next(one.value for one in mine.cookie_jar if one.key == "lamproom_login")
        async with mine.post("/api/login/keep", headers=HEADERS) as answer:
            assert answer.status == 204
            assert answer.cookies["lamproom_login"]["httponly"]
            assert answer.cookies["lamproom_login"].value == cookie
        visitor = await identity.user_of_cookie(cookie)
        assert visitor is not None
        await asyncio.gather(*(identity.keep_login(visitor.login) for _ in range(3)))
        await identity.revoke_login(visitor.login)
        assert not await identity.keep_login(visitor.login)
