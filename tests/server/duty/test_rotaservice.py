"""Call lists over HTTP and in the store; numbers that are tested and found dead."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from config.settings import DutySettings
from server.api.rota import RotaDoor
from server.duty.rota import Person, Plan
from server.duty.rotaservice import RotaService
from tests.fakes.serving import Served, serve


@dataclass(frozen=True)
class Outcome:
    result: str
    reason: str = ""
    answered_by: str = ""
    name: str = ""


class Phones:
    available = True

    def __init__(self, results: dict[str, str]) -> None:
        self.results = results
        self.rung: list[str] = []

    def reachable(self, site: str) -> bool:
        return False

    async def ring(self, target: str, **_: object) -> Outcome:
        self.rung.append(target)
        return Outcome(self.results[target])


@dataclass
class Office:
    served: Served
    rota: RotaService

    @contextlib.asynccontextmanager
    async def as_(self, login: str) -> AsyncIterator[ClientSession]:
        async with self.served.browser(login) as session:
            yield session


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made: list[RotaService] = []

    class Late:
        """The service is made with the server's own parts, after the routes were declared."""

        def __getattr__(self, name: str) -> Any:
            return getattr(made[0], name)

    async with serve(tmp_path, further=RotaDoor(Late()).routes()) as served:  # type: ignore[arg-type]
        context = served.context
        rota = RotaService(DutySettings(), context.database, context.tree, context.alerts)
        made.append(rota)
        for login, role, site in [
            ("mine", "dispatcher", "mine-a"), ("county", "supervisor", "county"), ("viewer", "viewer", "county"),
            ("other", "dispatcher", "mine-b"),
        ]:  # fmt: skip
            await served.add_user(login, role, site)  # type: ignore[arg-type]
        yield Office(served, rota)


async def post(session: ClientSession, path: str, body: object) -> tuple[int, Any]:
    async with session.post(path, json=body) as answer:
        return answer.status, await answer.json() if answer.content_type.endswith("json") else None


async def get(session: ClientSession, site: str) -> tuple[int, Any]:
    async with session.get("/api/rota", params={"site": site}) as answer:
        return answer.status, await answer.json()


async def test_list_plan_and_override_make_who_is_on_duty_now(office: Office) -> None:
    async with office.as_("mine") as session:
        status, li = await post(session, "/api/rota/people", {"site": "mine-a", "name": "李", "phone": "13812345678"})
        assert status == 201
        _, wang = await post(session, "/api/rota/people", {"site": "mine-a", "name": "王"})
        start = time.time() - 3600
        plan = {
            "site": "mine-a",
            "who": "on_duty",
            "starts_at": start,
            "turn_s": 7200,
            "turns": [[li["person"]], [wang["person"]]],
        }
        assert (await post(session, "/api/rota/plans", plan))[0] == 201
        _, shown = await get(session, "mine-a")
        assert shown["now"] == {"on_duty": [li["person"]], "deputy": [], "leader": []}
        assert [one["people"] for one in shown["spans"] if one["who"] == "on_duty"][:2] == [
            [li["person"]],
            [wang["person"]],
        ]
        override = {"site": "mine-a", "who": "on_duty", "start": start, "end": start + 9000, "people": [wang["person"]]}
        status, made = await post(session, "/api/rota/overrides", override)
        assert status == 201
        assert (await get(session, "mine-a"))[1]["now"]["on_duty"] == [wang["person"]]
        async with session.delete(f"/api/rota/overrides/{made['override']}") as answer:
            assert answer.status == 204
        assert (await get(session, "mine-a"))[1]["now"]["on_duty"] == [li["person"]]
    assert [one.name for one in office.rota.reach("mine-a", "on_duty", time.time())] == ["李"]
    again = RotaService(
        DutySettings(), office.served.context.database, office.served.context.tree, office.served.context.alerts
    )
    await again.load()
    assert again.rota == office.rota.rota


async def test_numbers_are_masked_for_whoever_may_not_change_the_list(office: Office) -> None:
    async with office.as_("mine") as session:
        await post(session, "/api/rota/people", {"site": "mine-a", "name": "李", "phone": "13812345678"})
        assert (await get(session, "mine-a"))[1]["people"][0]["phone"] == "13812345678"
    async with office.as_("viewer") as session:
        assert (await get(session, "mine-a"))[1]["people"][0]["phone"] == "138****5678"
        assert (await post(session, "/api/rota/people", {"site": "mine-a", "name": "x"}))[0] == 403


async def test_a_list_of_another_mine_is_not_there(office: Office) -> None:
    async with office.as_("mine") as session:
        _, li = await post(session, "/api/rota/people", {"site": "mine-a", "name": "李"})
    async with office.as_("other") as session:
        assert (await get(session, "mine-a"))[0] == 404
        assert (await post(session, "/api/rota/people", {"site": "mine-a", "name": "x"}))[0] == 404
        assert (await post(session, f"/api/rota/people/{li['person']}/tested", {"result": "answered"}))[0] == 404
        theirs = {"site": "mine-b", "who": "on_duty", "starts_at": 0.0, "turn_s": 7200, "turns": [[li["person"]]]}
        assert (await post(session, "/api/rota/plans", theirs))[0] == 422


@pytest.mark.parametrize(
    "bad",
    [
        {"who": "on_duty", "starts_at": 0.0, "turn_s": 10, "turns": [[]]},
        {"who": "on_duty", "starts_at": 0.0, "turn_s": 7200, "turns": []},
        {"who": "boss", "starts_at": 0.0, "turn_s": 7200, "turns": [[]]},
    ],
)
async def test_plan_that_makes_no_sense_is_refused(office: Office, bad: dict[str, object]) -> None:
    async with office.as_("county") as session:
        assert (await post(session, "/api/rota/plans", {"site": "mine-a", **bad}))[0] == 422


async def test_a_call_by_hand_is_kept_and_a_dead_number_is_an_alert_until_it_works(office: Office) -> None:
    alerts = office.served.context.alerts
    async with office.as_("mine") as session:
        _, li = await post(session, "/api/rota/people", {"site": "mine-a", "name": "李", "phone": "13812345678"})
        path = f"/api/rota/people/{li['person']}/tested"
        assert (await post(session, path, {"result": "wrong_number"}))[1]["dead"]
        assert [one.rule for one in await alerts.open_for("mine-a")] == ["dead_number"]
        _, good = await post(session, path, {"result": "answered"})
        assert (good["dead"], good["untested"]) == (False, False)
        assert await alerts.open_for("mine-a") == []
        async with session.patch(f"/api/rota/people/{li['person']}", json={"phone": "13900000000"}) as answer:
            assert (await answer.json())["untested"]


async def test_drill_rings_every_number_and_finds_the_dead_ones(office: Office) -> None:
    phones = Phones({"tel:1380001": "answered_by_person", "tel:1380002": "unreachable"})
    async with office.as_("mine") as session:
        await post(session, "/api/rota/people", {"site": "mine-a", "name": "李", "phone": "1380001"})
        await post(session, "/api/rota/people", {"site": "mine-a", "name": "王", "phone": "1380002"})
        await post(session, "/api/rota/people", {"site": "mine-a", "name": "无"})
        assert (await post(session, "/api/rota/drill", {"site": "mine-a"}))[0] == 409
        office.rota.phones = lambda: phones
        running = asyncio.ensure_future(office.rota.run())
        assert (await post(session, "/api/rota/drill", {"site": "mine-a"}))[0] == 204
        async with asyncio.timeout(10):
            while office.rota.drilling("mine-a"):
                await asyncio.sleep(0.01)
        running.cancel()
        _, shown = await get(session, "mine-a")
    assert {one["name"]: one["test"] for one in shown["people"]} == {"李": "answered", "王": "unreachable", "无": ""}
    assert [one.subject for one in await office.served.context.alerts.open_for("mine-a")]
    assert sorted(phones.rung) == ["tel:1380001", "tel:1380002"]


async def test_dead_numbers_are_called_last_not_never(office: Office) -> None:
    rota = office.rota.rota
    rota.people = {
        "a": Person("a", "mine-a", "A", "1", test="wrong_number", tested_at=1.0),
        "b": Person("b", "mine-a", "B", "2"),
    }
    rota.plans["p"] = Plan("p", "mine-a", "deputy", "", 0.0, 3600.0, (("a", "b"),))
    assert [one.name for one in office.rota.reach("mine-a", "deputy", 10.0)] == ["B", "A"]
