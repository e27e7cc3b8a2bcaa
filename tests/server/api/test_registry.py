"""The registry over HTTP: who sees names, what is audited, files whole or not at all, pictures of plans."""

import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from PIL import Image
from sqlalchemy import select

from analytics.mine import Person, Plan, Quota, Zone
from server.api.http import Routes
from server.api.registry import RegistryDoor
from server.bus.memory import MemoryBus
from server.registry.service import Registry
from server.store.tables import audit
from tests.fakes.serving import Served, serve


class Desk:
    """A served API with a registry."""

    def __init__(self, served: Served, registry: Registry) -> None:
        self.served = served
        self.registry = registry

    @contextlib.asynccontextmanager
    async def of(self, role: Any, site: str = "mine-a") -> AsyncIterator[ClientSession]:
        login = f"{role}-{site}"
        await self.served.add_user(login, role, site)
        async with self.served.browser(login) as session:
            yield session

    async def audited(self, action: str) -> list[Any]:
        async with self.served.context.database.reading() as connection:
            return list(await connection.execute(select(audit).where(audit.c.action == action)))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    door = RegistryDoor(None)  # type: ignore[arg-type]
    async with serve(tmp_path, further=Routes.of(door.routes())) as served:
        context = served.context
        door.registry = await Registry.load(context.database, context.tree, MemoryBus())
        await door.registry.change(
            "mine-a",
            {
                "people": [Person("P1", "瓦检员", name="张三丰", phone="13812345678")],
                "zones": [Zone("face", kind="face")],
                "quotas": [Quota("q", 16, "face")],
                "plans": [Plan("main")],
            },
            by="setup",
        )
        yield Desk(served, door.registry)


async def answer(session: ClientSession, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with session.request(method, path, **more) as response:
        text = await response.text()
        return response.status, json.loads(text) if "json" in response.content_type else text


async def test_people_are_masked_for_everybody_who_reads(desk: Desk) -> None:
    for role in ("viewer", "dispatcher"):
        async with desk.of(role) as session:
            status, page = await answer(session, "GET", "/api/registry/people?site=mine-a")
            assert status == 200
            assert page["items"][0]["data"] | {"dept": ""} == page["items"][0]["data"]
            assert (page["items"][0]["data"]["name"], page["items"][0]["data"]["phone"]) == ("张**", "138******78")
            _, history = await answer(session, "GET", "/api/registry/people/P1/history?site=mine-a")
            _, then = await answer(session, "GET", "/api/registry/people?site=mine-a&at=99999999999")
            assert "三丰" not in json.dumps([history, then], ensure_ascii=False)


async def test_unmasking_is_written_down_with_its_reason(desk: Desk) -> None:
    async with desk.of("dispatcher") as session:
        status, body = await answer(
            session, "POST", "/api/registry/people/P1/unmask?site=mine-a", json={"reason": "撤离清点"}
        )
    assert (status, body["data"]["name"]) == (200, "张三丰")
    (row,) = await desk.audited("registry.unmask")
    assert (row.object, row.site, json.loads(row.detail)["reason"]) == ("P1", "mine-a", "撤离清点")
    async with desk.of("viewer") as session:
        status, _ = await answer(session, "POST", "/api/registry/people/P1/unmask?site=mine-a", json={"reason": "why"})
    assert status == 403


async def test_neighbouring_mine_sees_nothing(desk: Desk) -> None:
    async with desk.of("dispatcher", "mine-b") as session:
        for method, path in (
            ("GET", "/api/registry?site=mine-a"), ("GET", "/api/registry/zones?site=mine-a"),
            ("GET", "/api/registry/changes?site=mine-a"), ("GET", "/api/registry/export?site=mine-a&format=yaml"),
        ):  # fmt: skip
            assert (await answer(session, method, path))[0] == 404
    async with desk.of("engineer", "mine-b") as session:
        assert (await answer(session, "DELETE", "/api/registry/quotas/q?site=mine-a"))[0] == 404
        assert (await answer(session, "POST", "/api/registry/import?site=mine-a&format=yaml", data=b"zones: []"))[
            0
        ] == 404


async def test_fact_is_put_looked_at_and_removed(desk: Desk) -> None:
    async with desk.of("engineer") as session:
        path = "/api/registry/quotas/mine?site=mine-a"
        status, body = await answer(session, "PUT", path, json={"data": {"people": 600}, "expect": 1})
        assert (status, body["done"], body["added"], body["version"]) == (200, True, 1, 2)
        status, body = await answer(session, "PUT", path, json={"data": {"people": 500}, "expect": 1})
        assert (status, body["error"]) == (409, "stale")
        status, body = await answer(session, "PUT", path, json={"data": {"people": "many", "bla": 1}})
        assert (status, body["error"]) == (422, "invalid")
        assert {one["where"]: one["text"]["zh"] for one in body["fields"]} == {
            "people": "须为整数", "bla": "没有这个字段",
        }  # fmt: skip
        status, body = await answer(session, "DELETE", "/api/registry/zones/face?site=mine-a")
        assert (status, body["fields"][0]["where"]) == (422, "zone")
        assert (await answer(session, "DELETE", path))[1]["removed"] == 1
        assert (await answer(session, "DELETE", path))[0] == 404
        _, changes = await answer(session, "GET", "/api/registry/changes?site=mine-a")
    assert [(one["version"], one["by"]) for one in changes["items"]] == [
        (3, "Name of engineer-mine-a"), (2, "Name of engineer-mine-a"), (1, "setup"),
    ]  # fmt: skip


async def test_masked_name_that_comes_back_leaves_the_name(desk: Desk) -> None:
    async with desk.of("engineer") as session:
        _, page = await answer(session, "GET", "/api/registry/people?site=mine-a")
        data = page["items"][0]["data"] | {"job": "安全员"}
        assert (await answer(session, "PUT", "/api/registry/people/P1?site=mine-a", json={"data": data}))[0] == 200
    assert desk.registry.person("mine-a", "P1") == Person("P1", "安全员", name="张三丰", phone="13812345678")


async def test_import_is_whole_or_nothing_and_names_lines(desk: Desk) -> None:
    async with desk.of("engineer") as session:
        path = "/api/registry/import?site=mine-a&format=csv&kind=quotas"
        bad = b"quota,people,zone\nmine,600,\nheading,12,nowhere\n"
        status, body = await answer(session, "POST", path, data=bad)
        assert (status, body["done"]) == (200, False)
        assert [(one["line"], one["key"]) for one in body["mistakes"]] == [(3, "zone")]
        good = b"quota,people,zone\nmine,600,\n"
        _, body = await answer(session, "POST", f"{path}&mode=replace&dry_run=true", data=good)
        assert (body["done"], body["added"], body["removed"]) == (False, 1, 1)
        assert set(desk.registry.facts("mine-a").quotas) == {"q"}
        _, body = await answer(session, "POST", f"{path}&mode=replace", data=good)
        assert (body["done"], body["examples"]) == (True, ["quotas/mine", "quotas/q"])
    assert set(desk.registry.facts("mine-a").quotas) == {"mine"}


async def test_export_is_read_again_and_people_need_more(desk: Desk) -> None:
    async with desk.of("viewer") as session:
        assert (await answer(session, "GET", "/api/registry/export?site=mine-a&format=csv&kind=people"))[0] == 403
        status, text = await answer(session, "GET", "/api/registry/export?site=mine-a&format=yaml")
        assert status == 200
        assert "张" not in text
    async with desk.of("admin") as session:
        _, people = await answer(session, "GET", "/api/registry/export?site=mine-a&format=csv&kind=people")
        assert "张三丰" in people
        _, body = await answer(
            session,
            "POST",
            "/api/registry/import?site=mine-a&format=csv&kind=people&mode=replace",
            data=people.encode(),
        )
        assert (body["done"], body["unchanged"], body["changed"]) == (True, 1, 0)
        _, body = await answer(
            session, "POST", "/api/registry/import?site=mine-a&format=yaml&mode=replace", data=text.encode()
        )  # fmt: skip
        assert (body["done"], body["added"], body["changed"], body["removed"]) == (True, 0, 0, 0)
    (row,) = await desk.audited("registry.unmask")
    assert json.loads(row.detail) == {"people": 1, "reason": "export"}


async def test_picture_of_a_plan_is_a_picture(desk: Desk) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (32, 16), "white").save(picture, "PNG")
    async with desk.of("engineer") as session:
        path = "/api/registry/plans/main/picture?site=mine-a"
        assert (await answer(session, "GET", path))[0] == 404
        assert (await answer(session, "PUT", path, data=b"<svg onload='x'/>"))[0] == 422
        assert (await answer(session, "PUT", path, data=picture.getvalue()))[1]["changed"] == 1
        async with session.get(path) as response:
            assert (response.content_type, await response.read()) == ("image/png", picture.getvalue())
        assert (await answer(session, "PUT", path.replace("main", "none"), data=picture.getvalue()))[0] == 404
    async with desk.of("viewer", "mine-b") as session:
        assert (await answer(session, "GET", path))[0] == 404


async def test_kind_that_is_none_is_not_found(desk: Desk) -> None:
    async with desk.of("admin") as session:
        assert (await answer(session, "GET", "/api/registry/ghosts?site=mine-a"))[0] == 404
        assert (await answer(session, "PUT", "/api/registry/ghosts/x?site=mine-a", json={"data": {}}))[0] == 404


async def test_pages_of_many_facts_hold_each_once(desk: Desk) -> None:
    await desk.registry.change("mine-a", {"zones": [Zone(f"z{n:03d}") for n in range(25)]}, by="u")
    seen: list[str] = []
    async with desk.of("viewer") as session:
        after: str | None = ""
        while after is not None:
            _, page = await answer(session, "GET", f"/api/registry/zones?site=mine-a&limit=10&after={after}")
            seen += [one["id"] for one in page["items"]]
            after = page["next"]
    assert seen == sorted({"face", *(f"z{n:03d}" for n in range(25))})
