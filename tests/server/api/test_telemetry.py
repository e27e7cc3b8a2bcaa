"""Curves and positions over HTTP."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from analytics.plugin import Batch, Position, Reading
from tests.fakes.serving import Served, serve

AT = 1_800_000_000.0


async def nothing() -> None:
    return None


def reading(second: float, value: float = 1.0, site: str = "mine-a", at: float = AT) -> Reading:
    return Reading(site, "fan-1", "current_a", value, "A", at + second, at + second + 0.2)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as one:
        await one.add_user("wang", "dispatcher", "mine-a")
        await one.add_user("li", "dispatcher", "mine-b")
        await one.context.telemetry.store(Batch([reading(s, float(s)) for s in range(10)], [], nothing))
        position = Position("mine-a", "card-7", "person", 1.5, 2.5, -300.0, "face-1", AT, AT, label="electrician")
        await one.context.telemetry.store(Batch([], [position], nothing))
        yield one


async def test_curve_has_its_first_and_not_its_end(served: Served) -> None:
    where = f"/api/readings?site=mine-a&device=fan-1&quantity=current_a&start={AT + 2}&end={AT + 5}"
    async with served.browser("wang") as session, session.get(where) as response:
        body = await response.json()
    assert [one["value"] for one in body["items"]] == [2.0, 3.0, 4.0]
    assert body["next"] is None
    assert body["items"][0]["unit"] == "A"


async def test_long_curve_goes_on_where_it_stopped(served: Served) -> None:
    values: list[float] = []
    start: float | None = AT
    async with served.browser("wang") as session:
        while start is not None:
            where = f"/api/readings?site=mine-a&device=fan-1&quantity=current_a&start={start}&end={AT + 99}&limit=4"
            async with session.get(where) as response:
                body = await response.json()
            values += [one["value"] for one in body["items"]]
            start = body["next"]
    assert values == [float(second) for second in range(10)]


async def test_last_hour_is_the_default(served: Served) -> None:
    now = time.time()
    await served.context.telemetry.store(Batch([reading(-60, 5.0, at=now), reading(-7200, 4.0, at=now)], [], nothing))
    where = "/api/readings?site=mine-a&device=fan-1&quantity=current_a"
    async with served.browser("wang") as session, session.get(where) as response:
        assert [one["value"] for one in (await response.json())["items"]] == [5.0]


async def test_site_alone_gives_the_newest_of_each(served: Served) -> None:
    async with served.browser("wang") as session, session.get("/api/readings?site=mine-a") as response:
        assert [one["value"] for one in (await response.json())["items"]] == [9.0]


async def test_positions_are_the_newest_of_each_tag(served: Served) -> None:
    async with served.browser("wang") as session, session.get("/api/positions?site=mine-a") as response:
        (one,) = (await response.json())["items"]
    assert (one["tag"], one["zone"], one["z_m"]) == ("card-7", "face-1", -300.0)


@pytest.mark.parametrize(
    ("where", "status"),
    [
        ("readings", 422),
        ("positions", 422),
        ("readings?site=mine-a&device=fan-1", 400),
        ("readings?site=mine-a&quantity=current_a", 400),
        ("readings?site=mine-a&device=f&quantity=q&start=nan", 422),
        ("readings?site=mine-a&device=f&quantity=q&end=inf", 422),
        ("readings?site=mine-a&device=f&quantity=q&start=-1", 422),
        ("readings?site=mine-a&device=f&quantity=q&limit=0", 422),
        ("readings?site=mine-a&device=f&quantity=q&limit=1000000", 422),
        ("readings?site=mine-a&device=f&quantity=q&start=5&end=1", 200),
        ("readings?site=mine-b", 404),
        ("positions?site=mine-b", 404),
        ("positions?site=county", 404),
        ("positions?site=nowhere", 404),
        ("positions?site=%25", 404),
        ("positions?site=mine-a'%20OR%201=1", 404),
    ],
)
async def test_question_is_checked(served: Served, where: str, status: int) -> None:
    async with served.browser("wang") as session, session.get(f"/api/{where}") as response:
        assert response.status == status
