"""Checks over HTTP and in the store: called by those above, answered at the site, kept over a restart."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import DutySettings
from server.api import checks as door
from server.api.checks import CheckDoor
from server.duty import checks as module
from server.duty.checks import Checks
from server.store.errors import StoreUnavailable
from tests.fakes.serving import Served, serve

JPEG = b"\xff\xd8\xff\xd9"


class Office:
    def __init__(self, served: Served, checks: Checks) -> None:
        self.served, self.checks = served, checks

    async def do(self, login: str, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        async with (
            self.served.browser(login) as session,
            session.request(method, path, json=body, params=query) as answer,
        ):
            raw = await answer.read()
            return answer.status, json.loads(raw) if answer.content_type.endswith("json") else raw


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made: list[Checks] = []

    class Late:
        def __getattr__(self, name: str) -> Any:
            return getattr(made[0], name)

    async with serve(tmp_path, further=CheckDoor(Late()).routes()) as served:  # type: ignore[arg-type]
        made.append(new(served))
        for login, role, site in [
            ("mine", "dispatcher", "mine-a"), ("other", "dispatcher", "mine-b"), ("county", "supervisor", "county"),
            ("south", "supervisor", "south"),
        ]:  # fmt: skip
            await served.add_user(login, role, site)  # type: ignore[arg-type]
        yield Office(served, made[0])


def new(served: Served) -> Checks:
    context = served.context
    settings = context.settings.model_copy(update={"duty": DutySettings(check_answer_s=60)})
    checks = Checks(settings, context.database, context.tree, context.alerts._bus, context.alerts)
    checks.screens = lambda site: frozenset({"u"}) if site != "mine-b" else frozenset()
    checks.on_duty = lambda site: ("李明",)

    async def picture(site: str, within_s: float) -> tuple[bytes, int, int]:
        return JPEG, 1, 1

    checks.picture = picture
    return checks


async def test_called_answered_with_a_picture_and_confirmed(office: Office) -> None:
    status, called = await office.do("county", "POST", "/api/checks", {"site": "mine-a"})
    assert status == 201
    (one,) = called["items"]
    assert (one["outcome"], one["expected"]) == ("calling", ["李明"])
    path = f"/api/checks/{one['check']}"
    assert (await office.do("other", "POST", f"{path}/answer", {"officer": "x"}))[0] == 404
    assert (await office.do("county", "POST", f"{path}/answer", {"officer": "x"}))[0] == 404
    status, answered = await office.do("mine", "POST", f"{path}/answer", {"officer": "李明"})
    assert (status, answered["outcome"], answered["as_planned"], answered["picture"]) == (
        200,
        "answered",
        True,
        "answer",
    )
    assert (await office.do("mine", "POST", f"{path}/answer", {}))[0] == 404
    assert (await office.do("mine", "GET", f"{path}/picture"))[0] == 200
    assert (await office.do("other", "GET", f"{path}/picture"))[0] == 404
    assert (await office.do("mine", "POST", f"{path}/confirm", {"confirmed": True}))[0] == 403
    _, confirmed = await office.do("county", "POST", f"{path}/confirm", {"confirmed": True})
    assert (confirmed["confirmed"], confirmed["confirmed_by"]) == (True, "Name of county")
    _, shown = await office.do("county", "GET", "/api/checks", site="county")
    assert [item["check"] for item in shown["items"]] == [one["check"]]
    assert [row["site"] for row in shown["standings"]] == ["mine-b", "mine-a"]
    status, sheet = await office.do("county", "GET", "/api/checks", site="county", format="csv")
    assert (status, "李明" in sheet.decode("utf-8-sig")) == (200, True)


async def test_only_those_above_may_call_and_nobody_twice_at_once(office: Office) -> None:
    assert (await office.do("mine", "POST", "/api/checks", {"site": "mine-a"}))[0] == 403
    assert (await office.do("south", "POST", "/api/checks", {"site": "mine-a"}))[0] == 404
    assert (await office.do("county", "POST", "/api/checks", {"site": "county"}))[0] == 409
    assert (await office.do("county", "POST", "/api/checks", {"site": "mine-a"}))[0] == 201
    assert (await office.do("county", "POST", "/api/checks", {"site": "mine-a"}))[0] == 409


async def test_roll_call_calls_every_mine_below_and_the_lot_falls_on_the_one_checked_least(office: Office) -> None:
    _, rolled = await office.do("county", "POST", "/api/checks", {"site": "county", "mode": "roll"})
    assert {(item["site"], item["outcome"]) for item in rolled["items"]} == {
        ("mine-a", "calling"), ("mine-b", "unreachable"),
    }  # fmt: skip
    assert len({item["roll"] for item in rolled["items"]}) == 1
    assert rolled["items"][0]["roll"]
    late = next(item for item in rolled["items"] if item["site"] == "mine-b")
    _, answered = await office.do("other", "POST", f"/api/checks/{late['check']}/answer", {"officer": "赵"})
    assert (answered["outcome"], answered["as_planned"]) == ("answered", False)
    await office.do("county", "POST", "/api/checks", {"site": "mine-b"})
    _, drawn = await office.do("county", "POST", "/api/checks", {"site": "county", "mode": "draw"})
    assert drawn["error"] == "stale"  # mine-a has been called least, and is being called


async def until_over(office: Office) -> None:
    async with asyncio.timeout(10):
        while office.checks._open:
            await asyncio.sleep(0.01)


async def test_not_answered_is_told_is_an_alert_and_goes_on_over_a_restart(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.01)
    await office.do("county", "POST", "/api/checks", {"site": "county", "mode": "roll"})
    again = new(office.served)
    await again.load()
    assert {check.site for check, _ in again._open.values()} == {"mine-a", "mine-b"}
    assert all(until - asyncio.get_running_loop().time() <= 60 for _, until in again._open.values())
    office.checks._open = {key: (check, 0.0) for key, (check, _) in office.checks._open.items()}
    running = asyncio.ensure_future(office.checks.run())
    await until_over(office)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    _, shown = await office.do("county", "GET", "/api/checks", site="county")
    assert {(item["site"], item["outcome"]) for item in shown["items"]} == {
        ("mine-a", "unanswered"), ("mine-b", "unreachable"),
    }  # fmt: skip
    alerts = await office.served.context.alerts.open_for("county")
    assert {(alert.rule, alert.site) for alert in alerts} == {("spot_check", "mine-a"), ("spot_check", "mine-b")}
    after = new(office.served)
    await after.load()
    assert after._open == {}


async def test_an_answer_in_the_last_moment_and_the_end_of_the_time_do_not_both_count(office: Office) -> None:
    await office.do("county", "POST", "/api/checks", {"site": "mine-a"})
    ((check, _),) = office.checks._open.values()
    mine = office.served.users["mine"]
    answered, _ = await asyncio.gather(office.checks.answer(check.check, mine, "李明"), office.checks._end(check))
    stored = await office.checks.get(check.check)
    assert stored is not None
    assert (answered.outcome, stored.outcome) == ("answered", "answered")
    assert await office.served.context.alerts.open_for("mine-a") == []


async def test_reading_the_list_of_another_part_of_the_tree_is_not_found(office: Office) -> None:
    assert (await office.do("south", "GET", "/api/checks", site="county"))[0] == 404


async def test_an_alert_that_could_not_be_written_is_written_later_and_over_a_restart(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.01)
    alerts = office.served.context.alerts
    works, refused = alerts.apply, 0

    async def refuses(*given: Any, **more: Any) -> None:
        nonlocal refused
        refused += 1
        raise StoreUnavailable("locked")

    async def standing(checks: Checks, count: int) -> None:
        """Run until so many alerts stand."""
        running = asyncio.ensure_future(checks.run())
        async with asyncio.timeout(10):
            while len(await alerts.open_for("mine-a")) != count:
                await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    await office.do("county", "POST", "/api/checks", {"site": "mine-a"})
    ((check, _),) = office.checks._open.values()
    monkeypatch.setattr(alerts, "apply", refuses)
    await office.checks._end(check)
    assert (refused, office.checks._open) == (1, {})
    monkeypatch.setattr(alerts, "apply", works)
    again = new(office.served)
    await again.load()
    assert await alerts.open_for("mine-a") == []
    await standing(again, 1)
    (alert,) = await alerts.open_for("mine-a")
    await alerts.close(alert.id, by=office.served.users["mine"], outcome="confirmed", at=alert.at)
    after = new(office.served)
    await after.load()
    assert after._to_tell == {}
    await standing(office.checks, 1)  # the first server's own second attempt
    await office.do("county", "POST", "/api/checks", {"site": "mine-a"})
    ((check, _),) = office.checks._open.values()
    monkeypatch.setattr(alerts, "apply", refuses)
    answered = await office.checks.answer(check.check, office.served.users["mine"], "李明")
    assert answered.outcome == "answered"
    monkeypatch.setattr(alerts, "apply", works)
    await after.load()
    await standing(after, 0)


async def test_sheet_and_fairness_list_are_made_beside_the_event_loop(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[tuple[str, int]] = []

    def beside(where: Any, name: str) -> None:
        works = getattr(where, name)

        def noted(*given: Any) -> Any:
            threads.append((name, threading.get_ident()))
            return works(*given)

        monkeypatch.setattr(where, name, noted)

    beside(door, "as_csv")
    beside(module, "standings")
    for form in ("json", "csv"):
        assert (await office.do("county", "GET", "/api/checks", site="county", format=form))[0] == 200
    assert [name for name, _ in threads] == ["standings", "as_csv"]
    assert threading.get_ident() not in {thread for _, thread in threads}
