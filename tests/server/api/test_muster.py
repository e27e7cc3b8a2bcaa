"""Musters over HTTP: who may begin and sign, who sees names, paper with the hash on it."""

import contextlib
import csv
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from sqlalchemy import select

from analytics.mine import Person, Zone
from analytics.plugin import Position
from server.api.http import Routes
from server.api.muster import MusterDoor
from server.bus.memory import MemoryBus
from server.muster import paper
from server.muster.service import Musters
from server.positions import LivePositions
from server.registry.service import Registry
from server.store.tables import audit
from tests.fakes.serving import Served, serve


class Desk:
    """A served API with two people underground."""

    def __init__(self, served: Served) -> None:
        self.served = served

    @contextlib.asynccontextmanager
    async def of(self, role: Any, site: str = "mine-a") -> AsyncIterator[ClientSession]:
        login = f"{role}-{site}"
        if login not in self.served.users:
            await self.served.add_user(login, role, site)
        async with self.served.browser(login) as session:
            yield session

    async def begun(self) -> Any:
        async with self.of("dispatcher") as session:
            status, body = await answer(session, "POST", "/api/musters", json={"site": "mine-a", "reason": "瓦斯超限"})
        assert status == 201
        return body

    async def audited(self, action: str) -> list[Any]:
        async with self.served.context.database.reading() as connection:
            return list(await connection.execute(select(audit).where(audit.c.action == action)))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    door = MusterDoor(None, None)  # type: ignore[arg-type]
    async with serve(tmp_path, further=Routes.of(door.routes())) as served:
        context, bus = served.context, MemoryBus()
        door.registry = await Registry.load(context.database, context.tree, bus)
        facts = {
            "people": [Person("P1", "瓦检员", name="张三丰", phone="13812345678")],
            "zones": [Zone("face", name_zh="工作面")],
        }
        await door.registry.change("mine-a", facts, by="setup")  # type: ignore[arg-type]
        live = LivePositions(door.registry.facts)
        door.musters = Musters(context.database, context.tree, bus, live, door.registry.facts)
        live.take([Position("mine-a", card, "person", 1, 2, -400, "face", time.time(), 0.0) for card in ("P1", "P2")])
        yield Desk(served)


async def answer(session: ClientSession, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with session.request(method, path, **more) as response:
        raw = await response.read()
        return response.status, json.loads(raw) if "json" in response.content_type else raw


async def test_board_has_figures_lists_and_no_names(desk: Desk) -> None:
    begun = await desk.begun()
    async with desk.of("viewer", "county") as session:
        status, body = await answer(session, "GET", f"/api/musters/{begun['muster']}")
        assert status == 200
        assert (body["board"]["left"], body["board"]["zones"], body["by"]) == (
            2,
            {"face": 2},
            "Name of dispatcher-mine-a",
        )
        assert [one["number"] for one in body["lists"]] == [0]
        _, page = await answer(session, "GET", "/api/musters?site=county")
        assert [one["muster"] for one in page["items"]] == [begun["muster"]]
        _, people = await answer(session, "GET", f"/api/musters/{begun['muster']}/people")
        shown = {one["card"]: (one["name"], one["known"], one["state"]) for one in people["items"]}
        assert shown == {"P1": ("张**", True, "underground"), "P2": ("", False, "underground")}
        assert (await answer(session, "GET", f"/api/musters/{begun['muster']}/people?names=true"))[0] == 403
        assert (await answer(session, "POST", "/api/musters", json={"site": "mine-a"}))[0] == 403


async def test_names_are_for_who_acts_and_each_look_is_audited_once(desk: Desk) -> None:
    begun = await desk.begun()
    async with desk.of("supervisor", "county") as session:
        for _ in range(3):
            _, people = await answer(session, "GET", f"/api/musters/{begun['muster']}/people?names=true")
        assert {one["name"] for one in people["items"]} == {"张三丰", ""}
    (row,) = await desk.audited("registry.unmask")
    assert json.loads(row.detail) == {"people": 2, "reason": f"muster {begun['muster']}"}


async def test_other_mines_see_nothing(desk: Desk) -> None:
    begun = await desk.begun()
    async with desk.of("dispatcher", "mine-b") as session:
        path = f"/api/musters/{begun['muster']}"
        for method, where, more in (
            ("GET", path, {}), ("GET", f"{path}/people", {}), ("GET", f"{path}/lists/0", {}),
            ("POST", f"{path}/end", {"json": {"reason": "over"}}), ("GET", "/api/musters?site=mine-a", {}),
            ("POST", f"{path}/lists/0/sign", {"json": {"sha256": "0" * 64}}),
        ):  # fmt: skip
            assert (await answer(session, method, where, **more))[0] == 404


async def test_list_is_signed_printed_and_ended(desk: Desk) -> None:
    begun = await desk.begun()
    path, sha256 = f"/api/musters/{begun['muster']}", begun["lists"][0]["sha256"]
    async with desk.of("dispatcher") as session:
        assert (await answer(session, "POST", f"{path}/lists/0/sign", json={"sha256": "0" * 64}))[1]["error"] == "stale"
        _, signed = await answer(session, "POST", f"{path}/lists/0/sign", json={"sha256": sha256})
        assert signed["signed_by"] == "Name of dispatcher-mine-a"
        assert (await answer(session, "GET", f"{path}/lists/9"))[1]["error"] == "no_such_list"
        _, raw = await answer(session, "GET", f"{path}/lists/0?format=csv")
        rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
        assert [row[1:4] for row in rows[1:3]] == [["P1", "张三丰", "瓦检员"], ["P2", "", ""]]
        assert rows[1][5].startswith("工作面")
        assert rows[-1] == ["sha256", sha256]
        _, body = await answer(session, "GET", f"{path}/lists/0")
        assert "张三丰" not in json.dumps(body, ensure_ascii=False)
        _, person = await answer(session, "POST", f"{path}/people/P2", json={"out": True, "note": "已升井"})
        assert (person["state"], person["note"]) == ("out", "已升井")
        _, ended = await answer(session, "POST", f"{path}/end", json={"reason": "全部升井"})
        assert (ended["board"]["left"], [one["number"] for one in ended["lists"]]) == (1, [0, 1])
        assert (await answer(session, "POST", f"{path}/end", json={"reason": "again"}))[1]["error"] == "muster_over"
    assert [row.object for row in await desk.audited("muster.sign")] == [f"{begun['muster']}/0"]


BODY: dict[str, Any] = {
    "muster": "m", "number": 1, "at": 1_793_491_200.0, "feed": "stale", "feed_at": None, "total": 130, "left": None,
    "left_out": 2, "drill": True, "simulated": True,
    "states": {"lost": 0, "underground": 130, "moving": 0, "refuge": 0, "out_once": 0, "out": 0},
    "people": [
        {"card": f"{n:017d}", "job": "采煤工", "state": "underground", "zone": "face", "place": [1.0, 2.0, -3.0],
         "seen_at": 1_793_491_000.0, "frozen": True, "note": "=1+1", "by_hand": ""}
        for n in range(130)
    ],
}  # fmt: skip


@pytest.mark.peer
def test_pdf_is_a_pdf_of_several_pages() -> None:
    try:
        paper.font()
    except paper.NoFont:
        pytest.skip("no font with Chinese on this machine")
    raw = paper.as_pdf(BODY, {}, {"face": "工作面"}, "ab" * 32, "红旗煤矿", paper.Signature("王", 1_793_491_300.0))
    assert raw.startswith(b"%PDF-")
    assert raw.count(b"/Type /Page\n") + raw.count(b"/Type /Page ") >= 5


def test_csv_is_no_program_for_a_spreadsheet() -> None:
    assert "'=1+1" in paper.as_csv(BODY, {}, {}, "ab" * 32)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (99, "99 s"), (420, "7 min"), (11_100, "3 h 05")])
def test_age_is_short_and_true(seconds: float, text: str) -> None:
    assert paper.age(seconds) == text
