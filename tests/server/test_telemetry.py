"""From a batch to curves, latest values, entries and live messages."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import pytest

from analytics.plugin import Batch, Position, Reading
from server.bus import Body
from server.bus.memory import MemoryBus
from server.store import timeline
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]


def reading(value: float, at: float, seq: int = 0, quality: Literal["good", "suspect", "bad"] = "good") -> Reading:
    return Reading("mine-a", "fan-1", "current_a", value, "A", at, at + 0.5, seq, quality)


def position(zone: str, at: float, tag: str = "t1", seq: int = 0) -> Position:
    return Position("mine-a", tag, "person", 1.0, 2.0, -300.0, zone, at, at + 0.5, seq, "电工")


class Recorder(MemoryBus):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, Body]] = []

    async def publish(self, topic: str, body: Body) -> None:
        self.told.append((topic, body))


@pytest.fixture
def bus() -> Recorder:
    return Recorder()


@pytest.fixture
def ingest(database: Database, tree: SiteTree, bus: Recorder) -> TelemetryIngest:
    return TelemetryIngest(database, tree, bus)


async def give(
    ingest: TelemetryIngest, readings: Sequence[Reading] = (), positions: Sequence[Position] = (), rejected: int = 0
) -> None:
    told: list[bool] = []

    async def stored() -> None:
        told.append(True)

    await ingest.store(Batch(readings, positions, stored, rejected))
    assert told == [True]


async def entries(database: Database, room: str = "site:mine-a") -> list[tuple[str, dict[str, object]]]:
    async with database.reading() as connection:
        return [(entry.kind, entry.body) for entry in await timeline.since(connection, room, 0)]


async def test_samples_become_a_curve_and_a_latest(ingest: TelemetryIngest, bus: Recorder) -> None:
    await give(ingest, [reading(2.0, 20.0), reading(1.0, 10.0)], rejected=3)
    assert await ingest.readings("mine-a", "fan-1", "current_a", 0.0, 100.0) == [reading(1.0, 10.0), reading(2.0, 20.0)]
    assert await ingest.newest("mine-a") == [reading(2.0, 20.0)]
    assert (ingest.counts.readings, ingest.counts.batches, ingest.counts.rejected) == (2, 1, 3)
    assert bus.told == [
        (
            "live",
            {
                "room": "site:mine-a",
                "kind": "reading",
                "key": "fan-1/current_a",
                "body": {
                    "site": "mine-a",
                    "device": "fan-1",
                    "quantity": "current_a",
                    "value": 2.0,
                    "unit": "A",
                    "source_at": 20.0,
                    "received_at": 20.5,
                    "seq": 0,
                    "quality": "good",
                    "simulated": False,
                },
            },
        )
    ]


async def test_a_repeat_is_counted_and_changes_nothing(ingest: TelemetryIngest, bus: Recorder) -> None:
    await give(ingest, [reading(1.0, 10.0)], [position("A", 10.0)])
    bus.told.clear()
    await give(ingest, [replace(reading(9.0, 10.0), received_at=99.0)], [position("B", 10.0)])
    await give(ingest, [reading(1.0, 11.0), reading(1.0, 11.0)])
    assert [one.value for one in await ingest.readings("mine-a", "fan-1", "current_a", 0, 100)] == [1.0, 1.0]
    assert (await ingest.positions("mine-a"))[0].zone == "A"
    assert ingest.counts.duplicates == 3
    assert [topic for topic, _ in bus.told] == ["live"]


async def test_samples_of_one_instant_are_told_apart_by_their_counter(ingest: TelemetryIngest) -> None:
    await give(ingest, [reading(2.0, 10.0, seq=2), reading(1.0, 10.0, seq=1), reading(3.0, 10.0, seq=3)])
    assert [one.value for one in await ingest.readings("mine-a", "fan-1", "current_a", 0, 100)] == [1.0, 2.0, 3.0]
    assert (await ingest.newest("mine-a"))[0].value == 3.0
    await give(ingest, [reading(9.0, 10.0, seq=2)])
    assert (await ingest.newest("mine-a"))[0].value == 3.0


async def test_late_samples_fill_the_curve_and_are_told_to_nobody(
    database: Database, ingest: TelemetryIngest, bus: Recorder
) -> None:
    await give(ingest, [reading(5.0, 50.0)], [position("A", 50.0)])
    before = await entries(database)
    bus.told.clear()
    await give(ingest, [reading(4.0, 40.0, quality="bad")], [position("B", 40.0)])
    assert len(await ingest.readings("mine-a", "fan-1", "current_a", 0, 100)) == 2
    assert (await ingest.newest("mine-a"))[0].value == 5.0
    assert (await ingest.positions("mine-a"))[0].zone == "A"
    assert await entries(database) == before
    assert bus.told == []
    assert ingest.counts.late == 2


async def test_zone_changes_are_entries_in_order(database: Database, ingest: TelemetryIngest) -> None:
    await give(ingest, positions=[position("B", 2.0), position("A", 1.0), position("B", 3.0), position("A", 4.0, "t2")])
    await give(ingest, positions=[position("B", 5.0), position("C", 6.0)])
    found = [(body["tag"], body["from_zone"], body["zone"]) for kind, body in await entries(database)]
    assert found == [("t1", "", "A"), ("t1", "A", "B"), ("t2", "", "A"), ("t1", "B", "C")]
    assert all(kind == "position" for kind, _ in await entries(database))
    assert await entries(database, "site:liulin") == []


async def test_notable_readings_are_entries(database: Database, tree: SiteTree, bus: Recorder) -> None:
    def switched(before: Reading | None, new: Reading) -> str | None:
        running = new.value > 3
        if before is None or (before.value > 3) == running:
            return None
        return "on" if running else "off"

    ingest = TelemetryIngest(database, tree, bus, notable=switched, further_rooms=lambda site: ["session:s1"])
    await give(ingest, [reading(1.0, 1.0), reading(2.0, 2.0), reading(9.0, 3.0)])
    await give(ingest, [reading(9.5, 4.0), replace(reading(0.0, 5.0), simulated=True)])
    assert [(kind, body["change"], body["source_at"]) for kind, body in await entries(database)] == [
        ("reading", "on", 3.0),
        ("reading", "off", 5.0),
    ]
    assert (await entries(database))[1][1]["simulated"] is True
    assert len(await entries(database, "session:s1")) == 2
    assert [topic for topic, _ in bus.told].count("entry") == 4
    assert ingest.counts.notable == 2


async def test_a_quality_that_turns_is_notable(database: Database, ingest: TelemetryIngest) -> None:
    await give(ingest, [reading(1.0, 1.0), reading(1.0, 2.0, quality="bad"), reading(1.0, 3.0, quality="bad")])
    assert [body["change"] for _, body in await entries(database)] == ["quality_bad"]


async def test_an_unknown_site_is_counted_and_the_rest_is_written(ingest: TelemetryIngest) -> None:
    await give(ingest, [replace(reading(1.0, 1.0), site="nowhere"), reading(1.0, 1.0)])
    assert ingest.counts.unknown_site == 1
    assert len(await ingest.newest("mine-a")) == 1
    assert await ingest.newest("nowhere") == []


async def test_an_empty_batch_is_stored_too(ingest: TelemetryIngest) -> None:
    await give(ingest)
    assert ingest.counts.batches == 1


async def test_the_source_is_not_told_when_nothing_was_written(
    database: Database, ingest: TelemetryIngest, bus: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> list[timeline.Entry]:
        raise StoreError("on purpose")

    async def stored() -> None:
        raise AssertionError("told although nothing is stored")

    batch = Batch([reading(1.0, 1.0)], [position("A", 1.0)], stored)
    with monkeypatch.context() as patched:
        patched.setattr(timeline, "append_all", fail)
        with pytest.raises(StoreError):
            await ingest.store(batch)
    assert await ingest.newest("mine-a") == []
    assert await ingest.readings("mine-a", "fan-1", "current_a", 0, 100) == []
    assert (bus.told, ingest.counts.readings) == ([], 0)
    await give(ingest, batch.readings, batch.positions)
    assert ingest.counts.duplicates == 0


async def test_batches_at_once_leave_the_newest(ingest: TelemetryIngest) -> None:
    batches = [[reading(float(n), float(n)) for n in range(start, 200, 10)] for start in range(10)]
    await asyncio.gather(*(give(ingest, batch) for batch in batches))
    assert (await ingest.newest("mine-a"))[0].value == 199.0
    assert len(await ingest.readings("mine-a", "fan-1", "current_a", 0, 1000)) == 200


async def test_two_programs_do_not_set_the_latest_back(
    database_url: str, database: Database, tree: SiteTree, bus: Recorder
) -> None:
    async with Database.open(database_url) as other_database:
        one = TelemetryIngest(database, tree, bus)
        other = TelemetryIngest(other_database, await SiteTree.load(other_database), bus)
        await asyncio.gather(*(give((one, other)[n % 2], [reading(float(n), float(n))]) for n in range(20)))
    assert (await one.newest("mine-a"))[0].value == 19.0


async def test_ranges_are_half_open_and_bounded(ingest: TelemetryIngest) -> None:
    await give(ingest, [reading(float(n), float(n)) for n in range(10)])

    async def values(*given: float, limit: int = 100) -> list[float]:
        found = await ingest.readings("mine-a", "fan-1", "current_a", given[0], given[1], limit)
        return [one.value for one in found]

    assert await values(2, 5) == [2.0, 3.0, 4.0]
    assert await values(0, 100, limit=2) == [0.0, 1.0]
    assert await values(5, 5) == []
    assert await ingest.readings("mine-a", "fan-2", "current_a", 0, 100) == []


async def test_old_samples_are_forgotten_and_the_latest_stays(
    ingest: TelemetryIngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.telemetry.FORGET_ROWS", 7)
    await give(ingest, [reading(float(n), float(n)) for n in range(30)], [position("A", float(n)) for n in range(20)])
    assert await ingest.forget(25.0) == 25 + 20
    assert [one.value for one in await ingest.readings("mine-a", "fan-1", "current_a", 0, 100)] == [25, 26, 27, 28, 29]
    assert len(await ingest.positions("mine-a")) == 1
    assert await ingest.forget(25.0) == 0
