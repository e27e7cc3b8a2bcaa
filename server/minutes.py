"""Readings by the minute: smallest, mean, greatest and last value of each curve, made from what is on disk.

A minute is made once it has been over for `SETTLE_S`, and made anew when late samples of it come in. After a restart
everything since the last minute that was made is made. Samples of bad quality are left out.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.plugin import Reading
from server.store.database import Database
from server.store.errors import StoreError
from server.store.tables import latest_readings, reading_minutes, readings
from server.store.upsert import insert_into

log = structlog.get_logger()

MINUTE_S = 60.0
SETTLE_S = 15.0
TICK_S = 5.0
MAX_TOUCHED = 200_000
"""Minutes of curves that wait; beyond it further ones are dropped and counted. The samples are on disk all the same."""
CATCH_UP_S = 86_400.0
"""After a restart at most so far back."""
CURVES_AT_ONCE = 100
RANGE_LIMIT = 20_000

Curve = tuple[str, str, str]
"""site, device, quantity."""


@dataclass(frozen=True, slots=True)
class Minute:
    """One minute of one curve."""

    site: str
    device: str
    quantity: str
    minute: int
    count: int
    low: float
    mean: float
    high: float
    last: float
    unit: str
    simulated: bool


class Minutes:
    """The one writer of minutes."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._touched: dict[Curve, set[int]] = {}
        self._waiting = 0
        self._caught_up = False
        self.dropped = 0

    def touched(self, samples: Iterable[Reading]) -> None:
        """Readings that are on disk."""
        for one in samples:
            minutes = self._touched.setdefault((one.site, one.device, one.quantity), set())
            minute = int(one.source_at // MINUTE_S)
            if minute not in minutes:
                if self._waiting >= MAX_TOUCHED:
                    self.dropped += 1
                    continue
                minutes.add(minute)
                self._waiting += 1

    async def run(self) -> None:
        """Until cancelled."""
        told = 0
        while True:
            try:
                if not self._caught_up:
                    await self._catch_up()
                await self.make()
            except StoreError as error:  # what was touched is kept and made with a later tick
                log.error("minutes_wait", reason=str(error))
            if self.dropped > told:
                log.error("minutes_dropped", dropped=self.dropped - told)
                told = self.dropped
            await asyncio.sleep(TICK_S)

    async def _catch_up(self) -> None:
        """Everything since the last minute of each curve."""
        table = reading_minutes.c
        of_curve = (
            table.site == latest_readings.c.site, table.device == latest_readings.c.device,
            table.quantity == latest_readings.c.quantity,
        )  # fmt: skip
        last = select(func.max(table.minute)).where(*of_curve).scalar_subquery()
        keys = latest_readings.c
        query = select(keys.site, keys.device, keys.quantity, keys.source_at, last.label("last"))
        async with self._database.reading() as connection:
            for row in await connection.execute(query):
                newest = int(row.source_at // MINUTE_S)
                oldest = newest - int(CATCH_UP_S // MINUTE_S)
                first = max(oldest, row.last if row.last is not None else oldest)
                minutes = self._touched.setdefault((row.site, row.device, row.quantity), set())
                before = len(minutes)
                minutes.update(range(first, newest + 1))
                self._waiting += len(minutes) - before
        self._caught_up = True

    async def make(self) -> int:
        """Make what is over; returns how many minutes.

        Raises:
            StoreError: what was not written is still waiting.
        """
        over = int((self._clock() - SETTLE_S) // MINUTE_S)
        made = 0
        ready = [curve for curve, minutes in self._touched.items() if any(one < over for one in minutes)]
        for start in range(0, len(ready), CURVES_AT_ONCE):
            made += await self._database.finish(self._make_some(ready[start : start + CURVES_AT_ONCE], over))
        return made

    async def _make_some(self, curves: Sequence[Curve], over: int) -> int:
        rows: list[dict[str, object]] = []
        taken: dict[Curve, set[int]] = {}
        async with self._database.reading() as connection:
            for curve in curves:
                minutes = {one for one in self._touched[curve] if one < over}
                taken[curve] = minutes
                for first, last in _runs(sorted(minutes)):
                    rows += await _made(connection, curve, first, last)
        if rows:
            async with self._database.transaction() as connection:
                upsert = insert_into(connection, reading_minutes)
                changed = {name: upsert.excluded[name] for name in ("count", "low", "mean", "high", "last", "unit")}
                key = ["site", "device", "quantity", "minute"]
                await connection.execute(upsert.on_conflict_do_update(index_elements=key, set_=changed), rows)
        for curve, minutes in taken.items():
            left = self._touched[curve] - minutes
            self._waiting -= len(minutes)
            if left:
                self._touched[curve] = left
            else:
                del self._touched[curve]
        return len(rows)

    async def range(self, curve: Curve, start: float, end: float, limit: int) -> list[Minute]:
        """Minutes that begin in `start <= t < end`, oldest first."""
        table = reading_minutes.c
        query = (
            select(reading_minutes)
            .where(table.site == curve[0], table.device == curve[1], table.quantity == curve[2])
            .where(table.minute >= start / MINUTE_S, table.minute < end / MINUTE_S)
            .order_by(table.minute)
            .limit(min(max(limit, 1), RANGE_LIMIT))
        )
        async with self._database.reading() as connection:
            return [Minute(**row._asdict()) for row in await connection.execute(query)]

    async def forget(self, before: float) -> int:
        """Delete minutes older than `before`; returns how many went."""
        keys = reading_minutes.c
        async with self._database.reading() as connection:
            query = select(keys.site, keys.device, keys.quantity).distinct()
            curves = (await connection.execute(query)).all()
        gone = 0
        for site, device, quantity in curves:
            old = (
                keys.site == site,
                keys.device == device,
                keys.quantity == quantity,
                keys.minute < before // MINUTE_S,
            )
            async with self._database.transaction() as connection:
                gone += (await connection.execute(delete(reading_minutes).where(*old))).rowcount
        return gone


def _runs(minutes: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring minutes together: (first, last)."""
    found: list[tuple[int, int]] = []
    for one in minutes:
        if found and one == found[-1][1] + 1:
            found[-1] = (found[-1][0], one)
        else:
            found.append((one, one))
    return found


async def _made(connection: AsyncConnection, curve: Curve, first: int, last: int) -> list[dict[str, object]]:
    table = readings.c
    query = (
        select(table.source_at, table.value, table.unit, table.simulated)
        .where(table.site == curve[0], table.device == curve[1], table.quantity == curve[2])
        .where(table.source_at >= first * MINUTE_S, table.source_at < (last + 1) * MINUTE_S, table.quality != "bad")
        .order_by(table.source_at, table.seq)
    )
    by_minute: dict[int, list[tuple[float, str, bool]]] = {}
    for at, value, unit, simulated in await connection.execute(query):
        by_minute.setdefault(int(at // MINUTE_S), []).append((value, unit, simulated))
    rows: list[dict[str, object]] = []
    for minute, samples in by_minute.items():
        values = [value for value, _, _ in samples]
        rows.append(
            {
                "site": curve[0], "device": curve[1], "quantity": curve[2], "minute": minute, "count": len(values),
                "low": min(values), "mean": sum(values) / len(values), "high": max(values), "last": values[-1],
                "unit": samples[-1][1], "simulated": any(one for _, _, one in samples),
            }
        )  # fmt: skip
    return rows
