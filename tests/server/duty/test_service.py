"""Escalations over a real store: written with the alert, told to all levels, gone on with after a restart."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
from sqlalchemy import select

from analytics.finding import Change, Finding, Severity
from config.settings import EscalationChainSettings as Chain
from config.settings import EscalationStepSettings as Step
from config.settings import Settings
from server.alerts.service import AlertService
from server.bus import Body
from server.bus.memory import MemoryBus
from server.duty import service as module
from server.duty.contacts import Contact
from server.duty.escalation import Acted, Due
from server.duty.service import Escalations
from server.store import timeline
from server.store.database import Database
from server.store.sites import SiteTree
from server.store.tables import duty_outbox, escalations
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]

ABOVE = ["mine-a", "liulin", "lvliang", "shanxi", "cn"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Somebody:
    user: str = "u1"
    name: str = "王工"
    site: str = "liulin"


def finding(change: Change = "raised", severity: Severity = "alarm", subject: str = "desk") -> Finding:
    return Finding("mine-a", f"mine-a/absence/{subject}", "absence", subject, change, severity, 100.0, "空岗", "Empty")


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.at = time.time()

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.at

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.at += seconds


class Bus(MemoryBus):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Body] = []

    async def publish(self, topic: str, body: Body) -> None:
        self.told.append(body)
        await super().publish(topic, body)


class Duty:
    """The part under test, with pages open at every site."""

    def __init__(self, database: Database, tree: SiteTree, clock: Clock, **duty: object) -> None:
        settings = Settings.model_validate({"duty": duty})
        self.database, self.clock, self.bus = database, clock, Bus()
        self.alerts = AlertService(database, tree, self.bus)
        self.escalations = Escalations(settings, database, tree, self.bus, self.alerts)
        self.escalations.screens = lambda site: frozenset({f"user-of-{site}"})
        self.alerts.follower = self.escalations

    def told(self, room: str = "site:mine-a") -> list[str]:
        return [
            str(one["body"]["change"])  # type: ignore[index]
            for one in self.bus.told
            if one["kind"] == "escalation" and one["room"] == room
        ]

    async def due(self, alert: str) -> None:
        """Time passes until the next step, which is then done."""
        view = self.escalations.view(alert)
        assert view is not None
        assert isinstance(view["until"], float)
        self.clock.passes(view["until"] - self.clock.at + 0.001)
        await self.escalations.give(alert, Due())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
async def duty(database: Database, tree: SiteTree, clock: Clock) -> Duty:
    return Duty(database, tree, clock)


async def test_raised_alert_rings_in_the_rooms_of_every_level(duty: Duty) -> None:
    alert = await duty.alerts.apply(finding(), at=duty.clock.at)
    assert alert is not None
    for site in ABOVE:
        assert duty.told(f"site:{site}") == ["ringing"]
    await duty.due(alert.id)
    view = duty.escalations.view(alert.id)
    assert view is not None
    assert view["at_site"] == "liulin"
    async with duty.database.reading() as connection:
        entries = await timeline.recent(connection, "site:liulin", 10)
    assert [(one.kind, one.body["change"]) for one in entries] == [
        ("alert", "raised"), ("escalation", "ringing"), ("escalation", "skipped"), ("escalation", "skipped"),
        ("escalation", "ringing"),
    ]  # fmt: skip


async def test_acknowledged_stops_it_and_nothing_done_takes_it_back(duty: Duty) -> None:
    alert = await duty.alerts.apply(finding(), at=duty.clock.at)
    assert alert is not None
    await duty.alerts.acknowledge(alert.id, by=Somebody(), at=duty.clock.at)
    assert duty.told() == ["ringing", "answered"]
    await duty.due(alert.id)
    again = await duty.alerts.get(alert.id)
    assert again is not None
    assert (again.state, again.acknowledged) == ("open", None)
    assert duty.told()[2:] == ["reverted", "ringing"]
    kinds = [(one["kind"], one["body"]["change"]) for one in duty.bus.told if one["room"] == "site:cn"]  # type: ignore[index]
    assert ("alert", "reverted") in kinds


async def test_a_consultation_about_it_is_a_deed(duty: Duty) -> None:
    alert = await duty.alerts.apply(finding(), at=duty.clock.at)
    assert alert is not None
    await duty.alerts.acknowledge(alert.id, by=Somebody(), at=duty.clock.at)
    await duty.escalations.give(alert.id, Acted("王工", "liulin"))
    view = duty.escalations.view(alert.id)
    assert view is not None
    assert (view["status"], view["until"]) == ("settled", None)


async def test_a_warning_taken_by_somebody_that_becomes_an_alarm_is_open_again(duty: Duty) -> None:
    alert = await duty.alerts.apply(finding(severity="warning"), at=duty.clock.at)
    assert alert is not None
    await duty.alerts.acknowledge(alert.id, by=Somebody(), at=duty.clock.at)
    graver = await duty.alerts.apply(finding("again"), at=duty.clock.at)
    assert graver is not None
    assert (graver.state, graver.severity, graver.acknowledged) == ("open", "alarm", None)
    await duty.due(alert.id)
    assert duty.told()[-1] == "ringing"
    view = duty.escalations.view(alert.id)
    assert view is not None
    assert view["at_site"] == "liulin"


@pytest.mark.parametrize("end", ["cleared", "closed"])
async def test_the_end_of_the_alert_ends_the_ringing(duty: Duty, end: str) -> None:
    alert = await duty.alerts.apply(finding(), at=duty.clock.at)
    assert alert is not None
    if end == "cleared":
        await duty.alerts.apply(finding("cleared"), at=duty.clock.at)
    else:
        await duty.alerts.close(alert.id, by=Somebody(), outcome="confirmed", at=duty.clock.at)
    assert duty.told() == ["ringing", "stopped"]
    assert duty.escalations.view(alert.id) is None
    await duty.escalations.give(alert.id, Due())
    assert duty.told() == ["ringing", "stopped"]


async def test_a_repeated_alert_begins_nothing_anew(duty: Duty) -> None:
    alert = await duty.alerts.apply(finding(), at=duty.clock.at)
    assert alert is not None
    for _ in range(3):
        await duty.alerts.apply(finding("again"), at=duty.clock.at)
    assert duty.told() == ["ringing"]


async def test_info_rings_nobody(duty: Duty) -> None:
    await duty.alerts.apply(finding(severity="info"), at=duty.clock.at)
    assert duty.told() == []


async def test_switched_off_rings_nobody(database: Database, tree: SiteTree, clock: Clock) -> None:
    off = Duty(database, tree, clock, escalate=False)
    await off.alerts.apply(finding(), at=clock.at)
    await off.escalations.load()
    assert (off.told(), len(off.escalations)) == ([], 0)


async def test_next_level_now(duty: Duty) -> None:
    alert = await duty.alerts.apply(finding(), at=duty.clock.at)
    assert alert is not None
    assert await duty.escalations.pass_on(alert.id, "李")
    assert duty.told() == ["ringing", "declined", "skipped", "skipped", "ringing"]
    await duty.alerts.acknowledge(alert.id, by=Somebody(), at=duty.clock.at)
    assert not await duty.escalations.pass_on(alert.id, "李")


async def test_after_a_restart_it_goes_on_where_it_was(duty: Duty, tree: SiteTree) -> None:
    alert = await duty.alerts.apply(finding(), at=duty.clock.at)
    assert alert is not None
    await duty.due(alert.id)
    duty.clock.passes(5.0)
    again = Duty(duty.database, tree, duty.clock)
    await again.escalations.load()
    assert again.escalations.view(alert.id) == duty.escalations.view(alert.id)
    assert again.told() == []
    await again.due(alert.id)
    view = again.escalations.view(alert.id)
    assert view is not None
    assert view["at_site"] == "lvliang"


async def test_an_alert_of_before_there_was_ringing_is_rung_once(
    database: Database, tree: SiteTree, clock: Clock
) -> None:
    before = Duty(database, tree, clock)
    before.alerts.follower = None
    await before.alerts.apply(finding(), at=clock.at)
    for expected in (["ringing"], []):
        after = Duty(database, tree, clock)
        await after.escalations.load()
        assert after.told() == expected


async def test_nothing_is_begun_when_the_alert_is_not_written(duty: Duty, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(point: str) -> None:
        raise RuntimeError(f"at {point}")

    monkeypatch.setattr(module, "crashpoint", fails)
    with pytest.raises(RuntimeError):
        await duty.alerts.apply(finding(), at=duty.clock.at)
    monkeypatch.undo()
    assert (len(duty.escalations), duty.told()) == (0, [])
    async with duty.database.reading() as connection:
        assert (await connection.execute(select(escalations))).all() == []


async def test_pages_are_on_their_way_back_after_a_start_and_missing_later(duty: Duty) -> None:
    duty.escalations.screens = lambda site: frozenset()
    assert duty.escalations.able("mine-a", "on_duty", "browser") == ""
    duty.clock.passes(module.COME_BACK_S)
    assert duty.escalations.able("mine-a", "on_duty", "browser") == "no_page"
    duty.escalations.screens = lambda site: frozenset({"u1"})
    assert duty.escalations.able("mine-a", "on_duty", "browser") == ""
    duty.escalations.armed = lambda site: frozenset()
    assert duty.escalations.able("mine-a", "on_duty", "browser") == "silent"
    assert duty.escalations.able("mine-a", "on_duty", "phone") == "no_phones"
    assert duty.escalations.able("mine-a", "deputy", "sms") == "no_gateway"
    assert duty.escalations.able("mine-a", "on_duty", "webhook") == "no_webhook"
    assert duty.escalations.able("mine-a", "on_duty", "mqtt") == "no_broker"


class OneDeputy:
    def reach(self, site: str, who: str, at: float) -> Sequence[Contact]:
        return (Contact("李", "13800000000", "u9"),) if who == "deputy" else ()


async def test_messages_to_programs_are_written_with_the_step(database: Database, tree: SiteTree, clock: Clock) -> None:
    chain = Chain(chain="x", severities=("alarm",), steps=(Step(ring=("webhook", "sms"), who=("on_duty", "deputy")),))
    hooks = [
        {"name": "all", "url": "http://127.0.0.1:9/", "secret": SECRET},
        {"name": "other", "url": "http://127.0.0.1:9/", "secret": SECRET, "site": "mine-b"},
    ]
    duty = Duty(database, tree, clock, chains=[chain.model_dump()], webhooks=hooks, sms={"url": "http://127.0.0.1:9/"})
    duty.escalations.call_list = OneDeputy()  # type: ignore[assignment]
    alert = await duty.alerts.apply(finding(), at=clock.at)
    assert alert is not None
    async with database.reading() as connection:
        sent = (await connection.execute(select(duty_outbox).order_by(duty_outbox.c.channel))).all()
    assert [(one.channel, one.address, one.who) for one in sent if one.who == "deputy"] == [
        ("sms", "13800000000", "deputy"), ("webhook", "all", "deputy"),
    ]  # fmt: skip
    assert {one.address for one in sent} == {"13800000000", "all"}
    assert all(one.red and one.alert == alert.id for one in sent)
    assert sent[0].body["text"] == {"zh": "【甲矿】空岗", "en": "[Mine A] Empty"}


# --- telephones -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    result: str
    reason: str = ""
    answered_by: str = ""
    name: str = ""


class FakePhones:
    available = True

    def __init__(self, *results: str) -> None:
        self.results = list(results)
        self.rung: list[str] = []
        self.hung_up = 0

    def reachable(self, site: str) -> bool:
        return True

    async def ring(self, target: str, **more: object) -> Outcome:
        self.rung.append(target)
        result = self.results.pop(0) if self.results else "rings"
        if result == "breaks":
            raise RuntimeError("a fault of ours")
        if result != "rings":
            return Outcome(result, answered_by="话机")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.hung_up += 1
            raise
        raise AssertionError


PHONES = Chain(chain="p", severities=("alarm",), steps=(Step(ring=("phone",), seconds=30),))


@contextlib.asynccontextmanager
async def ringing(duty: Duty, phones: FakePhones) -> AsyncIterator[str]:
    duty.escalations.phones = phones
    task = asyncio.ensure_future(duty.escalations.run())
    try:
        alert = await duty.alerts.apply(finding(), at=duty.clock.at)
        assert alert is not None
        yield alert.id
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(such: object, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not such():  # type: ignore[operator]
            await asyncio.sleep(0.01)


@pytest.fixture
async def phone_duty(database: Database, tree: SiteTree) -> Duty:
    class Real:
        at = property(lambda self: time.time())

    return Duty(database, tree, Real(), chains=[PHONES.model_dump()])  # type: ignore[arg-type]


async def test_whoever_presses_one_on_the_telephone_has_taken_it(phone_duty: Duty) -> None:
    phones = FakePhones("answered_by_person")
    async with ringing(phone_duty, phones) as alert:
        await until(lambda: "answered" in phone_duty.told())
        found = await phone_duty.alerts.get(alert)
        assert found is not None
        assert found.acknowledged is not None
        assert (found.acknowledged.name, found.acknowledged.site) == ("话机", "mine-a")
        assert phones.rung == ["site:mine-a"]


async def test_busy_or_the_next_goes_on_at_once(phone_duty: Duty) -> None:
    phones = FakePhones("busy", "next")
    async with ringing(phone_duty, phones):
        await until(lambda: len(phones.rung) == 3)
        assert phones.rung == ["site:mine-a", "site:liulin", "site:lvliang"]
        assert phone_duty.told() == ["ringing", "failed", "ringing", "declined", "ringing"]


async def test_a_ring_that_breaks_goes_on_to_the_next_and_stops_no_other(phone_duty: Duty) -> None:
    phones = FakePhones("breaks")
    async with ringing(phone_duty, phones):
        await until(lambda: len(phones.rung) == 2)
        assert phones.rung == ["site:mine-a", "site:liulin"]
        assert phone_duty.told() == ["ringing", "failed", "ringing"]


async def test_taken_on_a_page_the_telephone_stops_ringing(phone_duty: Duty) -> None:
    phones = FakePhones()
    async with ringing(phone_duty, phones) as alert:
        await until(lambda: phones.rung)
        await phone_duty.alerts.acknowledge(alert, by=Somebody(), at=time.time())
        await until(lambda: phones.hung_up == 1)


async def test_after_a_restart_the_telephone_rings_again(phone_duty: Duty, tree: SiteTree) -> None:
    first, second = FakePhones(), FakePhones()
    async with ringing(phone_duty, first):
        await until(lambda: first.rung)
    again = Duty(phone_duty.database, tree, phone_duty.clock, chains=[PHONES.model_dump()])
    await again.escalations.load()
    again.escalations.phones = second
    task = asyncio.ensure_future(again.escalations.run())
    await until(lambda: second.rung == ["site:mine-a"])
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert again.told() == []
