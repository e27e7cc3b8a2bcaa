"""Readings by the minute: made from the store, anew for late samples, and after a restart."""

import pytest

from analytics.plugin import Batch, Reading
from server.bus.memory import MemoryBus
from server.minutes import Minutes
from server.store.database import Database
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]

CURVE = ("mine-a", "fan", "current_a")


class Clock:
    now = 6000.0 + 180.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def minutes(database: Database, clock: Clock) -> Minutes:
    return Minutes(database, clock)


@pytest.fixture
def ingest(database: Database, tree: SiteTree, minutes: Minutes) -> TelemetryIngest:
    made = TelemetryIngest(database, tree, MemoryBus())
    made.on_stored = minutes.touched
    return made


def sample(at: float, value: float, quality: str = "good") -> Reading:
    return Reading(*CURVE, value, "A", at, at, 0, quality)  # type: ignore[arg-type]


async def give(ingest: TelemetryIngest, *samples: Reading) -> None:
    async def done() -> None:
        pass

    await ingest.store(Batch(samples, (), done))


async def shown(minutes: Minutes) -> list[tuple[int, int, float, float, float, float]]:
    found = await minutes.range(CURVE, 0.0, 1e9, 100)
    return [(one.minute, one.count, one.low, one.mean, one.high, one.last) for one in found]


async def test_minute_holds_its_samples_and_no_others(ingest: TelemetryIngest, minutes: Minutes) -> None:
    await give(ingest, sample(6000, 4), sample(6059.9, 2), sample(6030, 6), sample(6031, 99, "bad"), sample(6060, 7))
    assert await minutes.make() == 2
    assert await shown(minutes) == [(100, 3, 2.0, 4.0, 6.0, 2.0), (101, 1, 7.0, 7.0, 7.0, 7.0)]
    assert await minutes.make() == 0
    assert [one.minute for one in await minutes.range(CURVE, 6001.0, 6120.0, 100)] == [101]


async def test_minute_that_is_not_over_waits(ingest: TelemetryIngest, minutes: Minutes, clock: Clock) -> None:
    clock.now = 6060.0 + 14.0
    await give(ingest, sample(6000, 4))
    assert await minutes.make() == 0
    clock.now += 1.0
    assert await minutes.make() == 1


async def test_late_sample_makes_its_minute_anew(ingest: TelemetryIngest, minutes: Minutes) -> None:
    await give(ingest, sample(6000, 4))
    await minutes.make()
    await give(ingest, sample(6001, 8))
    await minutes.make()
    assert await shown(minutes) == [(100, 2, 4.0, 6.0, 8.0, 8.0)]


async def test_restart_makes_what_was_not_made(
    ingest: TelemetryIngest, minutes: Minutes, database: Database, clock: Clock
) -> None:
    await give(ingest, sample(6000, 4))
    await minutes.make()
    await give(ingest, sample(6010, 6), sample(6060, 1))
    again = Minutes(database, clock)
    await again._catch_up()
    await again.make()
    assert await shown(again) == [(100, 2, 4.0, 5.0, 6.0, 6.0), (101, 1, 1.0, 1.0, 1.0, 1.0)]


async def test_old_minutes_go(ingest: TelemetryIngest, minutes: Minutes) -> None:
    await give(ingest, sample(6000, 4), sample(6060, 5))
    await minutes.make()
    assert await minutes.forget(6060.0) == 1
    assert [one[0] for one in await shown(minutes)] == [101]
