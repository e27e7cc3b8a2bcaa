"""Rows of the registry: facts by versions, within the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import registry, registry_changes

PIECE = 300
"""Keys in one statement."""


@dataclass(frozen=True, slots=True)
class Version:
    """A fact as it was from one moment to another."""

    site: str
    kind: str
    id: str
    version: int
    valid_from: float
    valid_to: float | None
    data: dict[str, Any]
    manual: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction that changed a mine's facts."""

    site: str
    version: int
    at: float
    by: str
    source: str
    counts: dict[str, dict[str, int]]
    """Kind → `added`, `changed`, `removed`."""


def _version(row: "Row[Any]") -> Version:
    return Version(
        row.site, row.kind, row.id, row.version, row.valid_from, row.valid_to, row.data, tuple(row.manual)
    )  # fmt: skip


async def current(connection: AsyncConnection, site: str | None = None) -> list[Version]:
    """What is valid now, of one mine or of all."""
    query = select(registry).where(registry.c.valid_to.is_(None))
    if site is not None:
        query = query.where(registry.c.site == site)
    return [_version(row) for row in await connection.execute(query)]


def valid_at(at: float) -> ColumnElement[bool]:
    """A condition: the version was valid at this moment."""
    return and_(registry.c.valid_from <= at, or_(registry.c.valid_to.is_(None), registry.c.valid_to > at))


async def as_of(connection: AsyncConnection, site: str, kind: str, at: float) -> list[Version]:
    """What was valid at a moment, of one kind, by id."""
    query = select(registry).where(registry.c.site == site, registry.c.kind == kind, valid_at(at))
    return [_version(row) for row in await connection.execute(query.order_by(registry.c.id))]


async def history(connection: AsyncConnection, site: str, kind: str, id: str, limit: int) -> list[Version]:
    """All versions of one fact, the newest first."""
    of_fact = (registry.c.site == site, registry.c.kind == kind, registry.c.id == id)
    query = select(registry).where(*of_fact).order_by(registry.c.version.desc()).limit(limit)
    return [_version(row) for row in await connection.execute(query)]


async def changes(connection: AsyncConnection, site: str, before: int | None, limit: int) -> list[Change]:
    """Changes of a mine, the newest first; `before` goes on with a page."""
    table = registry_changes
    query = select(table).where(table.c.site == site).order_by(table.c.version.desc()).limit(limit)
    if before is not None:
        query = query.where(table.c.version < before)
    return [Change(**row._asdict()) for row in await connection.execute(query)]


async def last_changes(connection: AsyncConnection) -> Mapping[str, tuple[int, float]]:
    """Site → its newest version and when that was made."""
    table = registry_changes
    found: dict[str, tuple[int, float]] = {}
    for row in await connection.execute(select(table.c.site, table.c.version, table.c.at)):
        if row.version > found.get(row.site, (0, 0.0))[0]:
            found[row.site] = (row.version, row.at)
    return found


async def write(
    connection: AsyncConnection, change: Change, put: Sequence[Version], ended: Sequence[tuple[str, str]]
) -> None:
    """End these facts (kind, id) and begin those versions, as one change."""
    for start in range(0, len(ended), PIECE):
        of_facts = tuple_(registry.c.kind, registry.c.id).in_(list(ended[start : start + PIECE]))
        await connection.execute(
            registry.update()
            .where(registry.c.site == change.site, registry.c.valid_to.is_(None), of_facts)
            .values(valid_to=change.at)
        )
    if put:
        await connection.execute(
            insert(registry),
            [
                {
                    "site": one.site, "kind": one.kind, "id": one.id, "version": one.version,
                    "valid_from": one.valid_from, "valid_to": None, "data": one.data, "manual": list(one.manual),
                }
                for one in put
            ],
        )  # fmt: skip
    await connection.execute(
        insert(registry_changes).values(
            site=change.site, version=change.version, at=change.at, by=change.by, source=change.source,
            counts=change.counts,
        )
    )  # fmt: skip
