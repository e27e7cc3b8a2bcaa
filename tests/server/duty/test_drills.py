"""Drills over a real store: the real chain, marked; ended by people, by time, by a real alert; kept over a restart."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from analytics.finding import Finding, Severity
from analytics.mine import MineFacts
from config.settings import RuleSettings, Settings
from server.alerts.machine import STANDING, Alert
from server.alerts.service import AlertService
from server.bus import Body
from server.bus.memory import MemoryBus
from server.duty import rows
from server.duty.contacts import Contact
from server.duty.drill import Wish
from server.duty.drills import DrillRefused, Drills
from server.duty.rota import Person
from server.duty.rotaservice import RotaService
from server.duty.rows import Message
from server.duty.service import Escalations
from server.incidents.service import IncidentService
from server.sessions.errors import SessionError
from server.sessions.machine import Actor
from server.sessions.service import SessionService
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.store.tables import duty_outbox, incident_alerts
from tests.server.duty.test_rotaservice import Phones

CHAIN = {
    "chain": "p", "severities": ["alarm"],
    "steps": [{"ring": ["browser", "phone", "sms"], "who": ["on_duty"], "seconds": 30}],
}  # fmt: skip
GAS = {"chain": "gas", "rules": ["gas"], "severities": ["alarm"], "steps": [{"ring": ["browser"], "seconds": 9}]}


class Bus(MemoryBus):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Body] = []

    async def publish(self, topic: str, body: Body) -> None:
        self.told.append(body)
        await super().publish(topic, body)


@dataclass(frozen=True)
class Somebody:
    user: str = "u1"
    name: str = "王"
    site: str = "county"


@dataclass
class World:
    database: Database
    tree: SiteTree
    bus: Bus = field(default_factory=Bus)

    def __post_init__(self) -> None:
        settings = Settings.model_validate({
            "duty": {"chains": [GAS, CHAIN], "sms": {"url": "http://127.0.0.1:9/"}, "drill_s": 60},
        })  # fmt: skip
        self.alerts = AlertService(self.database, self.tree, self.bus)
        self.sessions = SessionService(self.database, self.tree, self.bus, 20.0)
        self.escalations = Escalations(settings, self.database, self.tree, self.bus, self.alerts)
        self.escalations.screens = lambda site: frozenset({f"user-of-{site}"})
        self.alerts.follower = self.escalations
        self.incidents = IncidentService(
            self.database, self.tree, self.bus, self.alerts, facts=MineFacts, figures=lambda _: RuleSettings()
        )  # fmt: skip
        self.alerts.on_change.append(self.incidents.changed)
        self.drills = Drills(settings, self.database, self.tree, self.alerts, self.sessions)

    async def start(self, up_to: str = "county", like: str = "", *, numbers: bool = False) -> Alert:
        wish = Wish("mine-a", "alarm", like, up_to, "王", up_to)
        return await self.drills.start(wish, numbers=numbers)

    async def real(self, site: str = "mine-a", severity: Severity = "alarm") -> Alert:
        found = Finding(site, f"{site}/gas/1", "gas", "1", "raised", severity, 100.0, "瓦斯超限", "Gas")
        made = await self.alerts.apply(found, at=100.0)
        assert made is not None
        return made

    async def outcomes(self) -> list[str]:
        return [one.outcome for one in await self.drills.listed("nation", 10)]


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[World]:
    async with Database.open(sqlite_url(folder)) as database:
        tree = await SiteTree.load(database)
        for site, parent, level in (
            ("nation", None, "nation"), ("city", "nation", "city"), ("county", "city", "county"),
            ("mine-a", "county", "mine"), ("mine-b", "county", "mine"), ("far", "nation", "city"),
        ):  # fmt: skip
            await tree.add(site, parent, level, f"{site}中文", site)
        world = World(database, tree)
        await world.escalations.load()
        await world.drills.load()
        yield world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made


async def test_it_runs_the_real_chain_up_to_whoever_began_it_and_says_so_everywhere(world: World) -> None:
    class Listed:
        def reach(self, site: str, who: str, at: float) -> tuple[Contact, ...]:
            return (Contact("李", "13812345678", ""),)

    world.escalations.call_list = Listed()
    alert = await world.start()
    view = world.escalations.view(alert.id)
    assert view is not None
    assert (view["drill"], view["chain"], view["next"]) == (True, "p", {"site": "county", "level": "county"})
    assert [one.site for one in world.escalations._open[alert.id].way.stations] == ["mine-a", "county"]
    told = [one["body"] for one in world.bus.told if one["kind"] in ("alert", "escalation")]
    assert told
    assert all(body["drill"] is True for body in told)  # type: ignore[index]
    async with world.database.reading() as connection:
        (body,) = (await connection.execute(select(duty_outbox.c.body))).scalars()
    assert body["text"]["zh"] == "【演练】【mine-a中文】应急呼叫演练"
    assert body["text"]["en"] == "[DRILL] [mine-a] Call-out drill"


async def test_the_chain_of_another_rule_can_be_tried_and_who_takes_a_drill_is_not_rung_again(world: World) -> None:
    alert = await world.start(like="gas")
    one = world.escalations._open[alert.id]
    assert (one.state.chain, one.way.chain.revert_after_s) == ("gas", 0.0)
    await world.alerts.acknowledge(alert.id, by=Somebody(), at=alert.at + 7)
    assert world.escalations._open[alert.id].due is None
    (result,) = await world.drills.listed("nation", 10)
    assert (result.outcome, result.answered_by, result.took_s) == ("answered", "王", 7.0)


async def test_it_joins_no_incident(world: World) -> None:
    await world.start()
    await world.incidents._catch_up()
    assert not world.incidents._waiting
    await world.real(severity="warning")
    assert len(world.incidents._waiting) == 1
    async with world.database.reading() as connection:
        assert (await connection.execute(select(incident_alerts))).all() == []


async def test_a_real_red_alert_ends_it_and_is_told_in_a_consultation_that_is_a_drill(world: World) -> None:
    by = Actor("u", "王", "county", "county", "supervisor")
    await world.start()
    far = await world.sessions.start("far", by, [], title="远", alert=None, drill=True)
    near = await world.sessions.start("mine-b", by, [], title="近", alert=None, drill=True)
    world.drills._wake.clear()
    await world.real(severity="warning")
    assert not world.drills._wake.is_set(), "not red"
    real = await world.real("mine-b")
    await world.drills._preempt()
    (result,) = await world.drills.listed("nation", 10)
    assert (result.outcome, result.real) == ("preempted", real.id)
    assert world.escalations.view(result.alert) is None, "it rings no more"
    state = world.sessions.get_open(str(near["session"]))
    assert state is not None
    assert state.interrupted == real.id
    told = [one["body"] for one in world.bus.told if one["body"].get("change") == "interrupted"]  # type: ignore[attr-defined]
    assert {body["room"] for body in told} == {state.room, f"session:{far['session']}"}  # type: ignore[index]
    assert all(body["real"]["site"] == "mine-b" for body in told)  # type: ignore[index]
    other = world.sessions.get_open(str(far["session"]))
    assert other is not None
    assert other.interrupted == real.id, "its caller's county lies above mine-b"


async def test_none_begins_while_one_goes_on_or_something_real_is_open(world: World) -> None:
    await world.start()
    with pytest.raises(DrillRefused, match="under way"):
        await world.start()
    real = await world.real("far")
    (open_one,) = world.drills._open.values()
    await world.drills.end(open_one, Somebody())
    assert await world.outcomes() == ["ended"]
    await world.start()  # far is not on its way
    (open_one,) = world.drills._open.values()
    await world.drills.end(open_one, Somebody())
    assert real.state in STANDING
    await world.real("mine-b")
    with pytest.raises(DrillRefused, match="real alert"):
        await world.start()


async def test_it_ends_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    alert = await world.start()
    await world.drills._end_late()
    assert await world.outcomes() == ["running"]
    monkeypatch.setattr("server.duty.drills.time.time", lambda: alert.opened_at + 60)
    await world.drills._end_late()
    assert await world.outcomes() == ["unanswered"]


async def test_a_real_alert_of_just_before_a_crash_ends_the_drill_after_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as world:
        await world.start()
        await world.real()
    async with opened(tmp_path) as world:
        unit = asyncio.ensure_future(world.drills.run())
        try:
            async with asyncio.timeout(20):
                while await world.outcomes() != ["preempted"]:
                    await asyncio.sleep(0.02)
        finally:
            unit.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await unit


async def test_a_drill_and_a_real_consultation_do_not_become_one(world: World) -> None:
    by = Actor("u", "王", "county", "county", "supervisor")
    real = await world.sessions.start("mine-a", by, [], title="真", alert=None)
    drill = await world.sessions.start("mine-a", by, [], title="演", alert=None, drill=True)
    with pytest.raises(SessionError, match="do not become one"):
        await world.sessions.merge(str(drill["session"]), str(real["session"]), by, moderates=True)


async def test_a_number_that_is_rung_in_a_drill_is_tested_and_all_can_be(world: World) -> None:
    rota = RotaService(Settings().duty, world.database, world.tree, world.alerts)
    rota.phones = lambda: Phones({})
    person = Person("p1", "mine-a", "李", "13812345678")
    await rota.keep(person, Somebody(), 1.0)
    for result, test in (("no_answer", ""), ("cancelled", ""), ("unreachable", "unreachable"), ("next", "answered")):
        await rota.rung_in_drill("mine-a", "tel:13812345678", result)
        assert (rota.rota.people["p1"].test or "") == test
    await rota.rung_in_drill("mine-a", "site:mine-a", "answered_by_person")
    world.drills.test_numbers, world.drills.stop_numbers = rota.ask_drill, rota.stop_drill
    alert = await world.start(numbers=True)
    assert not rota.drilling("mine-a"), "not beside the drill, which rings the same lines"
    await world.drills.end(alert, Somebody())
    assert rota.drilling("mine-a")


async def test_numbers_are_not_tested_while_something_real_goes_on(world: World) -> None:
    rings: list[asyncio.Event] = []

    class Hanging(Phones):
        async def ring(self, target: str, **_: object) -> Any:
            rings.append(asyncio.Event())
            try:
                await asyncio.Event().wait()
            finally:
                rings[-1].set()  # hung up

    rota = RotaService(Settings().duty, world.database, world.tree, world.alerts)
    rota.phones = lambda: Hanging({})
    for number in range(3):
        await rota.keep(Person(f"p{number}", "mine-a", "李", f"1381234567{number}"), Somebody(), 1.0)
    world.drills.test_numbers, world.drills.stop_numbers = rota.ask_drill, rota.stop_drill
    await world.drills.end(await world.start(numbers=True), Somebody())
    unit = asyncio.create_task(rota.run())
    async with asyncio.timeout(20):
        while not rings:
            await asyncio.sleep(0.01)
        await world.real()
        await world.drills._preempt()
        await rings[0].wait()
        while rota.drilling("mine-a"):
            await asyncio.sleep(0.01)
    assert len(rings) == 1
    assert not unit.done()
    rota._monthly(time.time())
    assert not rota.drilling("mine-a")
    unit.cancel()
    await asyncio.wait({unit})


async def test_alert_that_was_taken_and_is_open_again_ends_a_drill(world: World) -> None:
    real = await world.real("far")
    await world.alerts.acknowledge(real.id, by=Somebody(), at=101.0)
    await world.start()  # far is not on its way
    async with world.database.transaction() as connection:
        await world.alerts.revert(connection, real.id, "untouched", 102.0)
    world.drills._real.clear()
    await world.drills._look_for_real()
    assert [one.id for one in world.drills._real] == [real.id]
    near = await world.real()
    await world.alerts.acknowledge(near.id, by=Somebody(), at=103.0)
    await world.drills._preempt()
    with pytest.raises(DrillRefused, match="real alert"):
        await world.start()  # taken, but not over: it may be open again any moment


async def test_ring_of_a_drill_that_is_over_is_not_sent_any_more(world: World) -> None:
    ring = Message("m1", "sms", "139", True, (await world.start()).id, "r1", "w", {"drill": True}, 100.0)
    told, real = replace(ring, message="m2", ring=""), replace(ring, message="m3", body={})

    async def over() -> list[str]:
        async with world.database.reading() as connection:
            found = await rows.rings_of_drills_that_are_over(connection, [ring, told, real])
        return [one.message for one in found]

    assert await over() == []
    (open_one,) = world.drills._open.values()
    await world.drills.end(open_one, Somebody())
    assert await over() == ["m1"]
