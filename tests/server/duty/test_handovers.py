"""Handovers and the duty log over HTTP and in the store."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from server.api.handovers import HandoverDoor
from server.duty.handovers import Handovers
from server.duty.rota import Person, Plan
from server.duty.rotaservice import RotaService
from tests.fakes.serving import Served, serve

H = 3600.0
START = 1_800_000_000.0


class Office:
    def __init__(self, served: Served, handovers: Handovers, rota: RotaService) -> None:
        self.served, self.handovers, self.rota = served, handovers, rota

    async def do(self, login: str, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        async with (
            self.served.browser(login) as session,
            session.request(method, path, json=body, params=query) as answer,
        ):
            return answer.status, await answer.json() if answer.content_type.endswith("json") else None


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made: list[Handovers] = []

    class Late:
        def __getattr__(self, name: str) -> Any:
            return getattr(made[0], name)

    async with serve(tmp_path, further=HandoverDoor(Late()).routes()) as served:  # type: ignore[arg-type]
        context = served.context
        settings = Settings()
        rota = RotaService(settings.duty, context.database, context.tree, context.alerts)
        handovers = Handovers(settings, context.database, context.tree, context.alerts._bus, context.alerts, rota)
        made.append(handovers)

        async def standing(site: str) -> dict[str, Any]:
            return {"alerts": [{"id": "a1", "title": {"zh": "空岗", "en": "x"}}], "alert_count": 1}

        handovers.standing = standing
        handovers.posts = lambda site: (("desk", "present"),)
        for login, role, site in [
            ("day", "dispatcher", "mine-a"), ("night", "dispatcher", "mine-a"), ("county", "supervisor", "county"),
            ("other", "dispatcher", "mine-b"),
        ]:  # fmt: skip
            await served.add_user(login, role, site)  # type: ignore[arg-type]
        yield Office(served, handovers, rota)


async def test_opened_signed_and_complete(office: Office) -> None:
    status, one = await office.do("day", "POST", "/api/handovers", {"site": "mine-a"})
    assert (status, one["status"], one["standing"]["alert_count"]) == (200, "open", 1)
    _, same = await office.do("night", "POST", "/api/handovers", {"site": "mine-a"})
    assert same["handover"] == one["handover"]
    sign = f"/api/handovers/{one['handover']}/sign"
    assert (await office.do("county", "POST", "/api/handovers", {"site": "mine-a"}))[0] == 403
    assert (await office.do("other", "POST", sign, {"name": "x"}))[0] == 404
    _, signed = await office.do("day", "POST", sign, {"name": "李明", "notes": "主扇已检修"})
    assert (signed["status"], signed["outgoing"]["posts"]) == ("signed", [["desk", "present"]])
    assert (await office.do("day", "POST", sign, {"name": "李明"}))[0] == 409
    _, done = await office.do("night", "POST", sign, {"name": "王芳"})
    assert (done["status"], done["same_account"]) == ("complete", False)
    assert (await office.do("night", "POST", sign, {"name": "赵"}))[0] == 409
    _, shown = await office.do("county", "GET", "/api/handovers", site="mine-a")
    assert [item["handover"] for item in shown["items"]] == [one["handover"]]
    _, fresh = await office.do("day", "POST", "/api/handovers", {"site": "mine-a"})
    assert fresh["handover"] != one["handover"]


async def test_a_missing_handover_is_an_alarm_told_once_and_ends_when_it_is_made(office: Office) -> None:
    rota = office.rota.rota
    rota.people |= {"a": Person("a", "mine-a", "A"), "b": Person("b", "mine-a", "B")}
    rota.plans["p"] = Plan("p", "mine-a", "on_duty", "", START, 8 * H, (("a",), ("b",)))
    alerts = office.served.context.alerts
    await office.handovers.look(START + 8 * H + 800)
    assert await alerts.open_for("mine-a") == []
    for _ in range(3):
        await office.handovers.look(START + 8 * H + 901)
    (alert,) = await alerts.open_for("mine-a")
    assert (alert.rule, alert.severity, alert.occurrences) == ("handover_missing", "alarm", 1)
    _, one = await office.do("day", "POST", "/api/handovers", {"site": "mine-a"})
    for name in ("李明", "王芳"):
        await office.do("day", "POST", f"/api/handovers/{one['handover']}/sign", {"name": name})
    assert await alerts.open_for("mine-a") == []


async def test_log_is_searched_by_words_kind_and_time_and_paged(office: Office) -> None:
    for number in range(5):
        assert (await office.do("day", "POST", "/api/log", {"site": "mine-a", "text": f"巡检 {number} 号泵"}))[0] == 204
    await office.do("day", "POST", "/api/log", {"site": "mine-a", "text": "Main FAN checked"})
    await office.do("day", "POST", "/api/handovers", {"site": "mine-a"})

    async def found(login: str = "day", **query: str) -> list[str]:
        status, page = await office.do(login, "GET", "/api/log", site="mine-a", **query)
        assert status == 200
        return [item["body"].get("text", item["kind"]) for item in page["items"]]

    assert await found(q="巡检 3") == ["巡检 3 号泵"]
    assert await found(q="main fan") == ["Main FAN checked"]
    assert await found(kinds="handover") == ["handover"]
    assert await found(kinds="note", end="1000") == []
    assert await found(kinds="note", start="99999999999") == []
    assert await found("county", q="号泵", limit="2") == ["巡检 4 号泵", "巡检 3 号泵"]
    _, page = await office.do("day", "GET", "/api/log", site="mine-a", q="号泵", limit="2")
    assert await found(q="号泵", before=str(page["before"])) == ["巡检 2 号泵", "巡检 1 号泵", "巡检 0 号泵"]
    assert (await office.do("other", "GET", "/api/log", site="mine-a"))[0] == 404
    assert (await office.do("county", "POST", "/api/log", {"site": "mine-a", "text": "x"}))[0] == 403


async def test_a_missing_handover_whose_alert_was_closed_is_no_new_alert_after_a_restart(office: Office) -> None:
    rota, context = office.rota.rota, office.served.context
    rota.people |= {"a": Person("a", "mine-a", "A"), "b": Person("b", "mine-a", "B")}
    rota.plans["p"] = Plan("p", "mine-a", "on_duty", "", START, 8 * H, (("a",), ("b",)))
    first, second = START + 8 * H + 901, START + 16 * H + 901

    async def restarted_looks(at: float) -> list[int]:
        again = Handovers(
            Settings(), context.database, context.tree, context.alerts._bus, context.alerts, office.rota
        )  # fmt: skip
        await again.look(at)
        return [one.occurrences for one in await context.alerts.open_for("mine-a")]

    await office.handovers.look(first)
    assert await restarted_looks(first) == [1]
    (alert,) = await context.alerts.open_for("mine-a")
    await context.alerts.close(alert.id, by=office.served.users["day"], outcome="confirmed", at=first)
    assert await restarted_looks(first) == []
    assert await restarted_looks(second) == [1]
