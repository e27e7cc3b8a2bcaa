"""Every change is written whole before anybody hears of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import func, insert, select

from analytics.finding import Change, Finding
from server.alerts.errors import AlertOver, NoSuchAlert
from server.alerts.machine import State
from server.alerts.service import AlertService
from server.bus import Body
from server.bus.memory import MemoryBus
from server.store import audit, timeline
from server.store.database import Database
from server.store.errors import NoSuchSite, StoreConflict, StoreError
from server.store.sites import SiteTree
from server.store.tables import alerts as table


@dataclass(frozen=True)
class Somebody:
    user: str = "u1"
    name: str = "王工"
    site: str = "liulin"


ABOVE_A = ["site:mine-a", "site:liulin", "site:lvliang", "site:shanxi", "site:cn"]


def finding(change: Change = "raised", site: str = "mine-a", subject: str = "post-1", at: float = 100.0) -> Finding:
    return Finding(
        site,
        f"{site}/absence/{subject}",
        "absence",
        subject,
        change,
        "alarm",
        at,
        "空岗",
        "Post empty",
        {"limit_s": 300},
    )


class Recorder(MemoryBus):
    """Remembers what was told, and what a reader of the store would have found at that moment."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self.told: list[Body] = []
        self._database = database

    async def publish(self, topic: str, body: Body) -> None:
        assert topic == "entry"
        async with self._database.reading() as connection:
            stored = await timeline.since(connection, str(body["room"]), 0, 10_000)
        assert body in [entry.as_dict() for entry in stored], "told before it was on disk"
        self.told.append(body)


@pytest.fixture
def bus(database: Database) -> Recorder:
    return Recorder(database)


@pytest.fixture
async def alerts(database: Database, tree: SiteTree, bus: Recorder) -> AsyncIterator[AlertService]:
    yield AlertService(database, tree, bus)
    async with database.reading() as connection:
        assert (await audit.verify(connection)).holds


async def entries(database: Database, room: str) -> list[timeline.Entry]:
    async with database.reading() as connection:
        return await timeline.since(connection, room, 0, 10_000)


def changes(found: Iterable[timeline.Entry]) -> list[object]:
    return [entry.body["change"] for entry in found]


async def test_an_alert_is_told_at_the_mine_and_at_every_authority_above(
    database: Database, alerts: AlertService, bus: Recorder
) -> None:
    alert = await alerts.apply(finding(), at=101.0)
    assert alert is not None
    body = {**alert.as_dict(), "change": "raised"}
    assert bus.told == [{"room": room, "seq": 1, "at": 101.0, "kind": "alert", "body": body} for room in ABOVE_A]
    for room in ABOVE_A:
        assert [entry.body for entry in await entries(database, room)] == [body]
    assert await entries(database, "site:zhongyang") == []
    async with database.reading() as connection:
        assert (await audit.verify(connection)).rows == 1


async def test_open_sessions_about_the_mine_hear_of_it_too(database: Database, tree: SiteTree, bus: Recorder) -> None:
    alerts = AlertService(database, tree, bus, further_rooms=lambda site: [f"session:{site}"])
    await alerts.apply(finding(), at=101.0)
    assert changes(await entries(database, "session:mine-a")) == ["raised"]


async def test_fifty_at_once_make_one_open_alert(database: Database, alerts: AlertService, bus: Recorder) -> None:
    results = await asyncio.gather(*(alerts.apply(finding(at=100.0 + n), at=101.0) for n in range(50)))
    assert len({alert.id for alert in results if alert}) == 1
    (alert,) = await alerts.open_for("cn")
    assert alert.occurrences == 50
    found = await entries(database, "site:cn")
    assert [entry.seq for entry in found] == list(range(1, 51))
    assert changes(found) == ["raised"] + ["again"] * 49
    assert len(bus.told) == 50 * len(ABOVE_A)


async def test_two_programs_at_once_make_one_open_alert(database_url: str, database: Database, tree: SiteTree) -> None:
    async with Database.open(database_url) as other:
        both = [
            AlertService(database, tree, MemoryBus()),
            AlertService(other, await SiteTree.load(other), MemoryBus()),
        ]
        await asyncio.gather(*(both[n % 2].apply(finding(), at=101.0) for n in range(20)))
        (alert,) = await both[0].open_for("mine-a")
    assert alert.occurrences == 20


async def test_the_database_itself_refuses_a_second_open_alert(database: Database, alerts: AlertService) -> None:
    alert = await alerts.apply(finding(), at=101.0)
    assert alert is not None
    async with database.reading() as connection:
        row = (await connection.execute(select(table))).one()._asdict()
    with pytest.raises(StoreConflict):
        async with database.transaction() as connection:
            await connection.execute(insert(table).values({**row, "alert": "second", "state": "acknowledged"}))
    async with database.transaction() as connection:
        await connection.execute(insert(table).values({**row, "alert": "second", "state": "cleared"}))


async def test_the_whole_life(database: Database, alerts: AlertService, bus: Recorder) -> None:
    raised = await alerts.apply(finding(), at=101.0)
    assert raised is not None
    await alerts.apply(finding("no_data", at=110.0), at=110.0)
    await alerts.apply(finding("data_back", at=120.0), at=120.0)
    await alerts.acknowledge(raised.id, by=Somebody(), comment="已联系", at=130.0)
    await alerts.attach(raised.id, "raised", "evidence/x/raised.jpg", "ab" * 32, 960, 540, 131.0)
    await alerts.apply(finding("again", at=140.0), at=140.0)
    await alerts.apply(finding("cleared", at=150.0), at=150.0)
    closed = await alerts.close(raised.id, by=Somebody("u2"), outcome="confirmed", reason="离岗", at=160.0)
    assert (closed.state, closed.duration_s, closed.occurrences) == (State.CLOSED, 50.0, 2)
    assert await alerts.get(raised.id) == closed
    assert closed.as_dict()["evidence"] == [
        {"name": "raised", "width": 960, "height": 540, "sha256": "ab" * 32, "at": 131.0}
    ]
    found = await entries(database, "site:liulin")
    assert changes(found) == [
        "raised", "no_data", "data_back", "acknowledged", "evidence", "again", "cleared", "closed",
    ]  # fmt: skip
    assert found[-1].body == {**closed.as_dict(), "change": "closed"}
    assert await alerts.open_for("cn") == []


async def test_a_recurrence_after_the_end_is_a_new_alert(alerts: AlertService) -> None:
    first = await alerts.apply(finding(), at=101.0)
    await alerts.apply(finding("cleared", at=150.0), at=150.0)
    second = await alerts.apply(finding(at=200.0), at=200.0)
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert second.occurrences == 1
    cleared = await alerts.get(first.id)
    assert cleared is not None
    assert cleared.state is State.CLEARED


async def test_what_changes_nothing_is_neither_written_nor_told(
    database: Database, alerts: AlertService, bus: Recorder
) -> None:
    assert await alerts.apply(finding("cleared"), at=1.0) is None
    assert await alerts.apply(finding("no_data"), at=1.0) is None
    alert = await alerts.apply(finding(), at=101.0)
    assert alert is not None
    first = await alerts.acknowledge(alert.id, by=Somebody(), at=110.0)
    told = len(bus.told)
    assert await alerts.acknowledge(alert.id, by=Somebody("u2"), at=111.0) == first
    assert await alerts.apply(finding("data_back"), at=112.0) == first
    assert len(bus.told) == told
    async with database.reading() as connection:
        assert (await audit.verify(connection)).rows == 2


async def test_twenty_acknowledge_at_once_and_one_counts(database: Database, alerts: AlertService) -> None:
    alert = await alerts.apply(finding(), at=101.0)
    assert alert is not None
    results = await asyncio.gather(
        *(alerts.acknowledge(alert.id, by=Somebody(f"u{n}"), at=110.0 + n) for n in range(20))
    )
    assert len({one.acknowledged.by for one in results if one.acknowledged}) == 1
    assert changes(await entries(database, "site:cn")) == ["raised", "acknowledged"]


async def test_closing_twice(alerts: AlertService) -> None:
    alert = await alerts.apply(finding(), at=101.0)
    assert alert is not None
    closed = await alerts.close(alert.id, by=Somebody(), outcome="explained", reason="换班", at=110.0)
    assert await alerts.close(alert.id, by=Somebody(), outcome="explained", reason="换班", at=111.0) == closed
    with pytest.raises(AlertOver):
        await alerts.close(alert.id, by=Somebody("u2"), outcome="explained", at=112.0)
    with pytest.raises(AlertOver):
        await alerts.close(alert.id, by=Somebody(), outcome="confirmed", at=112.0)
    with pytest.raises(ValueError, match="no outcome"):
        await alerts.close(alert.id, by=Somebody(), outcome="whatever", at=113.0)  # type: ignore[arg-type]
    assert await alerts.get(alert.id) == closed


async def test_evidence_is_not_replaced(database: Database, alerts: AlertService) -> None:
    alert = await alerts.apply(finding(), at=101.0)
    assert alert is not None
    first = await alerts.attach(alert.id, "raised", "evidence/x/raised.jpg", "ab" * 32, 960, 540, 102.0)
    assert await alerts.attach(alert.id, "raised", "elsewhere.jpg", "cd" * 32, 1, 1, 103.0) == first
    assert first.evidence[0].path == "evidence/x/raised.jpg"
    assert changes(await entries(database, "site:mine-a")) == ["raised", "evidence"]


async def test_an_alert_that_is_not_there(alerts: AlertService) -> None:
    assert await alerts.get("nothing") is None
    with pytest.raises(NoSuchAlert):
        await alerts.acknowledge("nothing", by=Somebody(), at=1.0)
    with pytest.raises(NoSuchAlert):
        await alerts.close("nothing", by=Somebody(), outcome="confirmed", at=1.0)
    with pytest.raises(NoSuchAlert):
        await alerts.attach("nothing", "a", "b", "c", 1, 1, 1.0)


async def test_a_finding_about_a_site_that_is_not_there_is_refused(alerts: AlertService) -> None:
    with pytest.raises(NoSuchSite):
        await alerts.apply(finding(site="nowhere"), at=1.0)


async def test_lists_hold_the_site_and_below_and_come_in_pages(alerts: AlertService) -> None:
    for number in range(7):
        await alerts.apply(finding(subject=f"post-{number}"), at=100.0 + number)
    other = await alerts.apply(finding(site="mine-b"), at=200.0)
    assert other is not None
    await alerts.close(other.id, by=Somebody(), outcome="confirmed", at=201.0)
    assert len(await alerts.list("cn")) == 8
    assert [alert.id for alert in await alerts.list("zhongyang")] == [other.id]
    assert [alert.id for alert in await alerts.list("cn", state="closed")] == [other.id]
    assert [alert.site for alert in await alerts.open_for("lvliang")] == ["mine-a"] * 7
    seen: list[str] = []
    after = None
    while page := await alerts.list("liulin", after=after, limit=3):
        assert len(page) <= 3
        seen += [alert.subject for alert in page]
        after = page[-1].id
    assert seen == [f"post-{number}" for number in reversed(range(7))]
    with pytest.raises(NoSuchSite):
        await alerts.list("nowhere")


async def test_a_failed_write_tells_nobody_and_can_be_given_again(
    database: Database, alerts: AlertService, bus: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> int:
        raise StoreError("on purpose")

    with monkeypatch.context() as patched:
        patched.setattr(audit, "append", fail)
        with pytest.raises(StoreError):
            await alerts.apply(finding(), at=101.0)
    assert bus.told == []
    assert await alerts.open_for("cn") == []
    assert await entries(database, "site:mine-a") == []
    assert await alerts.apply(finding(), at=102.0) is not None
    assert [entry.seq for entry in await entries(database, "site:mine-a")] == [1]


async def test_a_caller_that_goes_away_leaves_nothing_half_told(
    database: Database, alerts: AlertService, bus: Recorder
) -> None:
    tasks = [asyncio.ensure_future(alerts.apply(finding(subject=f"p{n}"), at=101.0)) for n in range(10)]
    await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(10):
        while True:
            async with database.reading() as connection:
                count = await connection.scalar(select(func.count()).select_from(table))
            if count == 10 and len(bus.told) == 10 * len(ABOVE_A):
                break
            await asyncio.sleep(0.01)


async def test_simulated_is_said_everywhere(database: Database, alerts: AlertService) -> None:
    await alerts.apply(replace(finding(), simulated=True), at=101.0)
    (entry,) = await entries(database, "site:cn")
    assert entry.body["simulated"] is True
