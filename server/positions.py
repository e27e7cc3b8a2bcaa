"""Where everybody is now: the newest position of each tag, in memory, with its zone, level, speed and age.

Newest is by the source's clock and counter, never by arrival. The zone of a precise fix is found by its fences; that of
a tag which only a reader heard is the reader's area. A tag that falls silent stays where it was last, and its age says
so; nothing here ever takes it away but the age of `forget_s`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.fences import FenceIndex
from analytics.mine import MineFacts
from analytics.plugin import Position
from server.store.database import Database
from server.store.tables import latest_positions

FRESH_S = 90.0
"""A precise fix counts for so long; one of a file until the file is stale."""
STATIONS_FRESH_S = 900.0
MOVED_M = 1.0
"""Less is the noise of the system, not a move."""
STILL_MPS = 0.2
SPEED_SPAN_S = 30.0
"""Two fixes further apart say nothing of speed."""
SMOOTHING = 0.5
MAX_TAGS = 50_000
"""Of a site; further ones are stored and not shown."""
PIECE = 400

Key = tuple[str, str]
"""(site, tag)."""


def no_facts(site: str) -> MineFacts:
    """Where no registry is."""
    return MineFacts(site)


@dataclass(slots=True)
class Tag:
    """The newest of one tag."""

    position: Position
    speed_mps: float | None = None
    moved_at: float | None = None
    """When it last was more than `MOVED_M` from where it had been."""
    rest: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Where it was then."""
    zone_since: float = 0.0

    def age_s(self, now: float) -> float:
        """Since the source saw it."""
        return max(0.0, now - self.position.source_at)


@dataclass(frozen=True, slots=True)
class ZoneCount:
    """Who is in one zone."""

    zone: str
    people: int
    """Persons with a fresh fix; two cards of one person count once."""
    vehicles: int
    silent: int
    """Last heard here, and not heard of since for longer than counts."""
    quota: int | None = None


@dataclass(frozen=True, slots=True)
class Feed:
    """How the positions of a site come in."""

    state: Literal["live", "stale", "never"]
    newest_at: float | None
    """By the source's clock."""
    age_s: float | None


def _in_zone(one: Position, zone: str) -> Position:
    """The same fix in another zone; `dataclasses.replace` takes five times as long."""
    return Position(
        one.site, one.tag, one.kind, one.x_m, one.y_m, one.z_m, zone, one.source_at, one.received_at, one.seq,
        one.label, one.simulated, one.presence,
    )  # fmt: skip


class LivePositions:
    """The newest of every tag of every site of this server.

    Args:
        facts: what is known of a mine.
        fresh_s: a fix of a file counts for so long.
    """

    def __init__(
        self, facts: Callable[[str], MineFacts] = no_facts, *, stations_fresh_s: float = STATIONS_FRESH_S
    ) -> None:
        self._facts = facts
        self._stations_fresh_s = stations_fresh_s
        self._sites: dict[str, dict[str, Tag]] = {}
        self._fences: dict[str, FenceIndex] = {}
        self._areas: dict[str, Mapping[str, str]] = {}
        self._newest: dict[str, float] = {}

    async def load(self, database: Database) -> None:
        """Take up what was newest before a restart."""
        async with database.reading() as connection:
            for row in await connection.execute(select(latest_positions)):
                self._put(Position(**row._asdict()))

    # --- taking in ---

    def changed(self, facts: MineFacts) -> None:
        """The facts of a mine have changed."""
        self._fences.pop(facts.site, None)
        self._areas.pop(facts.site, None)

    def located(self, samples: Iterable[Position]) -> list[Position]:
        """With the zone that the facts of the mine give; without such facts, as the source said."""
        done: list[Position] = []
        site, precise = "", False
        fences: FenceIndex | None = None
        areas: Mapping[str, str] = {}
        for one in samples:
            if one.site != site:
                site = one.site
                fences, areas = self._index(site)
                facts = self._facts(site)
                precise = facts.mine.positions == "precise" and bool(facts.zones)
            zone = areas.get(one.zone, "")
            if not zone and precise and one.presence != "out" and fences is not None:
                zone = fences.zone_at(one.x_m, one.y_m, one.z_m)
            done.append(one if not zone or zone == one.zone else _in_zone(one, zone))
        return done

    def _index(self, site: str) -> tuple[FenceIndex, Mapping[str, str]]:
        found = self._fences.get(site)
        if found is None:
            facts = self._facts(site)
            found = self._fences[site] = FenceIndex.of(facts)
            self._areas[site] = {one.area_code: one.zone for one in facts.zones.values() if one.area_code}
        return found, self._areas[site]

    async def latest(self, connection: AsyncConnection, keys: Iterable[Key]) -> dict[Key, Position]:
        """The newest so far; of tags never heard since the start, from the store."""
        found: dict[Key, Position] = {}
        missing: list[Key] = []
        for key in keys:
            tag = self._sites.get(key[0], {}).get(key[1])
            if tag is not None:
                found[key] = tag.position
            else:
                missing.append(key)
        table = latest_positions.c
        for start in range(0, len(missing), PIECE):
            some = sorted(missing)[start : start + PIECE]
            query = select(latest_positions).where(tuple_(table.site, table.tag).in_(some))
            for row in await connection.execute(query):
                one = Position(**row._asdict())
                found[one.site, one.tag] = one
        return found

    def take(self, newest: Iterable[Position]) -> None:
        """Positions that are on disk, each newer than the one before it."""
        for one in newest:
            self._put(one)

    def _put(self, one: Position) -> None:
        tags = self._sites.setdefault(one.site, {})
        self._newest[one.site] = max(self._newest.get(one.site, 0.0), one.source_at)
        before = tags.get(one.tag)
        here = (one.x_m, one.y_m, one.z_m)
        if before is None:
            if len(tags) >= MAX_TAGS:
                return
            tags[one.tag] = Tag(one, rest=here, zone_since=one.source_at)
            return
        was = before.position
        if (one.source_at, one.seq) <= (was.source_at, was.seq):
            return
        before.position = one
        passed = one.source_at - was.source_at
        if 0 < passed <= SPEED_SPAN_S:
            speed = math.dist(here, (was.x_m, was.y_m, was.z_m)) / passed
            known = before.speed_mps
            before.speed_mps = speed if known is None else known + SMOOTHING * (speed - known)
        elif passed > 0:
            before.speed_mps = None
        if math.dist(here, before.rest) > MOVED_M:
            before.rest, before.moved_at = here, one.source_at
        if one.zone != was.zone:
            before.zone_since = one.source_at

    # --- questions ---

    def tags(self, site: str) -> list[Tag]:
        """All tags ever heard of (and not forgotten) of a site."""
        return list(self._sites.get(site, {}).values())

    def tag(self, site: str, tag: str) -> Tag | None:
        return self._sites.get(site, {}).get(tag)

    def fresh_s(self, site: str) -> float:
        """How long a fix of this site counts."""
        mine = self._facts(site).mine
        return self._stations_fresh_s if mine.positions == "stations" else max(FRESH_S, 3 * mine.expected_period_s)

    def feed(self, site: str, now: float) -> Feed:
        """Whether positions of a site come in at all."""
        newest = self._newest.get(site)
        if newest is None:
            return Feed("never", None, None)
        age = max(0.0, now - newest)
        return Feed("live" if age <= self.fresh_s(site) else "stale", newest, age)

    def underground(self, one: Tag) -> bool:
        """Last seen inside: not said to be out, and not at a gate."""
        position = one.position
        if position.presence:
            return position.presence == "in"
        if not position.zone:
            return self._facts(position.site).mine.positions == "precise"
        zone = self._facts(position.site).zones.get(position.zone)
        return zone is None or zone.kind not in ("gate", "shaft_mouth")

    def counts(self, site: str, now: float) -> list[ZoneCount]:
        """By zone; zones of the registry are there even when nobody is in them."""
        facts, fresh_s = self._facts(site), self.fresh_s(site)
        people: dict[str, set[str]] = {zone: set() for zone in facts.zones}
        vehicles: dict[str, int] = {}
        silent: dict[str, int] = {}
        for tag in self._sites.get(site, {}).values():
            one = tag.position
            if one.presence == "out":
                continue
            if tag.age_s(now) > fresh_s:
                silent[one.zone] = silent.get(one.zone, 0) + 1
            elif one.kind == "vehicle":
                vehicles[one.zone] = vehicles.get(one.zone, 0) + 1
            else:
                card = facts.people.get(one.tag)
                people.setdefault(one.zone, set()).add((card.person if card else "") or one.tag)
        zones = sorted({*people, *vehicles, *silent})
        return [
            ZoneCount(
                zone, len(people.get(zone, ())), vehicles.get(zone, 0), silent.get(zone, 0),
                quota.people if zone and (quota := facts.quota_of(zone)) is not None else None,
            )
            for zone in zones
        ]  # fmt: skip

    def level_of(self, one: Position) -> str:
        """The level at which a position is."""
        return self._index(one.site)[0].level_at(one.z_m)

    def forget(self, before: float) -> int:
        """Tags that nobody has heard of since `before` are no longer shown; returns how many."""
        gone = 0
        for tags in self._sites.values():
            old = [name for name, tag in tags.items() if tag.position.source_at < before]
            for name in old:
                del tags[name]
            gone += len(old)
        return gone
