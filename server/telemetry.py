"""Readings and positions on their way into the store: one batch, one transaction, and only then the source is told.

- A sample that is there already (same device, quantity, source time and counter) is counted and ignored: brokers send
  again what they are not sure about.
- *Latest* is the newest by the source's clock, not what arrived last: a compare-and-set on (source time, counter).
- Samples older than the latest fill the curves and are told to nobody.
- Notable changes (a quality that turns, a value that the caller calls notable, a tag that changes zone) are entries of
  the mine's timeline, in the same transaction. Every newest value goes out live, where it may be dropped.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from operator import attrgetter
from typing import TypeVar

from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.plugin import Batch, Position, Reading
from server.bus import Bus
from server.positions import LivePositions
from server.store import timeline
from server.store.crashpoints import crashpoint
from server.store.database import Database
from server.store.sites import SiteTree
from server.store.tables import latest_positions, latest_readings, positions, readings

Notable = Callable[[Reading | None, Reading], str | None]
"""(the latest before, the new one) to the word for `change`, or None for a change that is not worth an entry."""

Sample = TypeVar("Sample", Reading, Position)

RANGE_LIMIT = 20_000
"""Most samples of one curve in one answer."""
FORGET_ROWS = 5000
"""Most rows deleted in one transaction, so that writers wait only shortly."""

TOGETHER = 32
"""More new positions of a site than this in one batch go out as one live message, `positions`."""

READING_KEY = ("site", "device", "quantity")
POSITION_KEY = ("site", "tag")
READING_FIELDS = tuple(field.name for field in fields(Reading))
POSITION_FIELDS = tuple(field.name for field in fields(Position))
_reading_row = attrgetter(*READING_FIELDS)
_position_row = attrgetter(*POSITION_FIELDS)
_order = attrgetter("source_at", "seq")
"""What is newer by the source's own account."""


@dataclass(slots=True)
class Counts:
    """What came in since the start."""

    batches: int = 0
    readings: int = 0
    """Written."""
    positions: int = 0
    """Written."""
    duplicates: int = 0
    """There already."""
    late: int = 0
    """Written to the history only: older than the latest."""
    unknown_site: int = 0
    rejected: int = 0
    """Records that the source could not read."""
    notable: int = 0


def quality_turned(before: Reading | None, new: Reading) -> str | None:
    """The one change that is always notable."""
    if before is None or before.quality == new.quality:
        return None
    return f"quality_{new.quality}"


def _no_further_rooms(_site: str) -> Iterable[str]:
    return ()


class TelemetryIngest:
    """The one writer of readings and positions."""

    def __init__(
        self,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        *,
        notable: Notable = quality_turned,
        further_rooms: Callable[[str], Iterable[str]] = _no_further_rooms,
        live: LivePositions | None = None,
    ) -> None:
        """`further_rooms(site)`: rooms beside the mine's own in which notable changes are told (open sessions).
        `live`: the newest positions; it finds their zones. `on_stored` and `on_positions` may be set to what wants each
        batch's samples of known sites, with their zones, after they are on disk."""
        self._database = database
        self._tree = tree
        self._bus = bus
        self._notable = notable
        self._further_rooms = further_rooms
        self.live = live or LivePositions()
        self.counts = Counts()
        self.on_stored: Callable[[Sequence[Reading]], None] = lambda readings: None
        self.on_positions: Callable[[Sequence[Position]], None] = lambda positions: None

    # --- writing ---

    async def store(self, batch: Batch) -> None:
        """Write a batch, tell what is new, then tell the source that it is stored.

        Raises:
            StoreError: nothing of the batch was written, and the source was told nothing.
        """
        await self._database.finish(self._store(batch))
        await batch.stored()

    async def _store(self, batch: Batch) -> None:
        counts = replace(self.counts, batches=self.counts.batches + 1, rejected=self.counts.rejected + batch.rejected)
        new_readings = self._known(batch.readings, counts)
        new_positions = self.live.located(self._known(batch.positions, counts))
        newest: list[Position] = []
        news: list[timeline.News] = []
        live: list[dict[str, object]] = []
        async with self._database.transaction() as connection:
            if new_readings:
                counts.readings += await self._take_readings(connection, new_readings, counts, news, live)
            if new_positions:
                counts.positions += await self._take_positions(connection, new_positions, counts, news, newest)
            crashpoint("telemetry.rows")
            entries = await timeline.append_all(connection, news)
        crashpoint("telemetry.committed")
        counts.notable += len(news)
        self.counts = counts
        self.live.take(newest)
        self.on_stored(new_readings)
        self.on_positions(new_positions)
        live += _told(newest)
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())
        for body in live:
            await self._bus.publish("live", body)

    def _known(self, samples: Sequence[Sample], counts: Counts) -> list[Sample]:
        """Those of sites that we have, in the order of the source's clock."""
        ours = {site: site in self._tree for site in {sample.site for sample in samples}}
        known = [sample for sample in samples if ours[sample.site]]
        counts.unknown_site += len(samples) - len(known)
        known.sort(key=_order)
        return known

    async def _take_readings(
        self,
        connection: AsyncConnection,
        samples: Sequence[Reading],
        counts: Counts,
        news: list[timeline.News],
        live: list[dict[str, object]],
    ) -> int:
        keys = {(one.site, one.device, one.quantity) for one in samples}
        latest = await self._latest_readings(connection, keys)
        written = await _insert(connection, readings, samples, counts)
        newest: dict[tuple[str, str, str], Reading] = {}
        for sample in samples:
            key = (sample.site, sample.device, sample.quantity)
            before = newest.get(key) or latest.get(key)
            if _is_late(sample, before, counts):
                continue
            if (change := self._notable(before, sample)) is not None:
                rooms = [f"site:{sample.site}", *self._further_rooms(sample.site)]
                news.append(
                    timeline.News(rooms, "reading", reading_body(sample) | {"change": change}, sample.received_at)
                )
            newest[key] = sample
        await _advance(connection, latest_readings, READING_KEY, list(newest.values()))
        live += [
            {
                "room": f"site:{one.site}",
                "kind": "reading",
                "key": f"{one.device}/{one.quantity}",
                "body": reading_body(one),
            }
            for one in newest.values()
        ]
        return written

    async def _take_positions(
        self,
        connection: AsyncConnection,
        samples: Sequence[Position],
        counts: Counts,
        news: list[timeline.News],
        told: list[Position],
    ) -> int:
        latest = await self.live.latest(connection, {(one.site, one.tag) for one in samples})
        written = await _insert(connection, positions, samples, counts)
        newest: dict[tuple[str, str], Position] = {}
        for sample in samples:
            key = (sample.site, sample.tag)
            before = newest.get(key) or latest.get(key)
            if _is_late(sample, before, counts):
                continue
            from_zone = before.zone if before is not None else ""
            if from_zone != sample.zone:
                rooms = [f"site:{sample.site}", *self._further_rooms(sample.site)]
                body = position_body(sample) | {"from_zone": from_zone}
                news.append(timeline.News(rooms, "position", body, sample.received_at))
            newest[key] = sample
        await _advance(connection, latest_positions, POSITION_KEY, list(newest.values()))
        told += newest.values()
        return written

    async def _latest_readings(
        self, connection: AsyncConnection, keys: Iterable[tuple[str, str, str]]
    ) -> dict[tuple[str, str, str], Reading]:
        table = latest_readings.c
        query = select(latest_readings).where(tuple_(table.site, table.device, table.quantity).in_(sorted(keys)))
        found = [Reading(**row._asdict()) for row in await connection.execute(query)]
        return {(one.site, one.device, one.quantity): one for one in found}

    async def forget(self, before: float, positions_before: float | None = None) -> int:
        """Delete samples whose source time is older than `before`, a piece at a time; returns how many went.

        Goes along the primary key, one curve after the other. The latest of each stays.

        Args:
            positions_before: for positions; default as for readings.
        """
        gone = 0
        for table, latest, names, limit in (
            (readings, latest_readings, READING_KEY, before),
            (positions, latest_positions, POSITION_KEY, positions_before or before),
        ):
            async with self._database.reading() as connection:
                keys = (await connection.execute(select(*(latest.c[name] for name in names)))).all()
            for key in keys:
                gone += await self._forget_curve(table, dict(zip(names, key, strict=True)), limit)
        return gone

    async def _forget_curve(self, table: Table, key: dict[str, str], before: float) -> int:
        of_key = [table.c[name] == value for name, value in key.items()]
        number = tuple_(table.c.source_at, table.c.seq)
        old = select(table.c.source_at, table.c.seq).where(*of_key, table.c.source_at < before).limit(FORGET_ROWS)
        gone = 0
        while True:
            async with self._database.reading() as connection:
                if (await connection.execute(old.limit(1))).first() is None:
                    return gone
            async with self._database.transaction() as connection:
                gone += (await connection.execute(delete(table).where(*of_key, number.in_(old)))).rowcount

    # --- questions ---

    async def readings(
        self, site: str, device: str, quantity: str, start: float, end: float, limit: int = RANGE_LIMIT
    ) -> list[Reading]:
        """A curve: samples with `start <= source_at < end`, oldest first, at most `limit` (the first ones)."""
        table = readings.c
        query = (
            select(readings)
            .where(table.site == site, table.device == device, table.quantity == quantity)
            .where(table.source_at >= start, table.source_at < end)
            .order_by(table.source_at, table.seq)
            .limit(min(max(limit, 1), RANGE_LIMIT))
        )
        async with self._database.reading() as connection:
            return [Reading(**row._asdict()) for row in await connection.execute(query)]

    async def newest(self, site: str) -> list[Reading]:
        """The latest of each device and quantity of one site."""
        table = latest_readings.c
        query = select(latest_readings).where(table.site == site).order_by(table.device, table.quantity)
        async with self._database.reading() as connection:
            return [Reading(**row._asdict()) for row in await connection.execute(query)]

    async def positions(self, site: str) -> list[Position]:
        """The latest of each tag of one site."""
        query = select(latest_positions).where(latest_positions.c.site == site).order_by(latest_positions.c.tag)
        async with self._database.reading() as connection:
            return [Position(**row._asdict()) for row in await connection.execute(query)]


def _is_late(sample: Reading | Position, before: Reading | Position | None, counts: Counts) -> bool:
    """By the source's own account it is no news; counted when it is older than what we have."""
    if before is None or sample.source_at > before.source_at:
        return False
    new, old = _order(sample), _order(before)
    counts.late += new < old
    return bool(new <= old)


def _rows(samples: Sequence[Reading] | Sequence[Position]) -> list[tuple[object, ...]]:
    row = _reading_row if isinstance(samples[0], Reading) else _position_row
    return [row(one) for one in samples]


@cache
def _statement(table: Table, dialect: str, key: tuple[str, ...] = ()) -> str:
    """Plain SQL that both engines read, for rows as tuples: at tens of thousands a second it must be no more than that.
    With a `key`: the newest by source time and counter wins."""
    names = READING_FIELDS if "quantity" in table.c else POSITION_FIELDS
    mark = "?" if dialect == "sqlite" else "%s"
    words = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"
    if not key:
        return f"{words} ON CONFLICT DO NOTHING"
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    newer = f"(excluded.source_at, excluded.seq) > ({table.name}.source_at, {table.name}.seq)"
    return f"{words} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes} WHERE {newer}"


async def _insert(connection: AsyncConnection, table: Table, samples: Sequence[Sample], counts: Counts) -> int:
    statement = _statement(table, connection.dialect.name)
    result = await connection.exec_driver_sql(statement, _rows(samples), {"preserve_rowcount": True})
    counts.duplicates += len(samples) - result.rowcount
    return result.rowcount


async def _advance(
    connection: AsyncConnection, table: Table, key: tuple[str, ...], samples: Sequence[Reading] | Sequence[Position]
) -> None:
    """Set the latest, unless a newer one is there."""
    if samples:
        await connection.exec_driver_sql(_statement(table, connection.dialect.name, key), _rows(samples))


def _told(newest: Sequence[Position]) -> list[dict[str, object]]:
    """Live messages: one for each position, or one for all of a site where there are many."""
    by_site: dict[str, list[Position]] = {}
    for one in newest:
        by_site.setdefault(one.site, []).append(one)
    told: list[dict[str, object]] = []
    for site, ones in by_site.items():
        room = f"site:{site}"
        if len(ones) <= TOGETHER:
            told += [{"room": room, "kind": "position", "key": one.tag, "body": position_body(one)} for one in ones]
        else:
            items = [position_body(one) for one in ones]
            told.append({"room": room, "kind": "positions", "key": ones[0].tag, "body": {"items": items}})
    return told


def reading_body(reading: Reading) -> dict[str, object]:
    """As in the API, in `live` messages and in entries: plain values, which `dataclasses.asdict` would copy."""
    return dict(zip(READING_FIELDS, _reading_row(reading), strict=True))


def position_body(position: Position) -> dict[str, object]:
    """As in the API, in `live` messages and in entries."""
    return dict(zip(POSITION_FIELDS, _position_row(position), strict=True))
