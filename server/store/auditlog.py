"""Looking into the audit: rows by person, kind, object and time, newest first."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.sites import at_or_below
from server.store.tables import audit, users

UNMASKED = "registry.unmask"
"""The action by which somebody saw names or numbers of people underground, in whichever list."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for; empty is everything."""

    path: str | None
    """Rows of sites at or below this path; None: all rows, those of no site too."""
    actors: Collection[str] | None = None
    action: str = ""
    """An action, or with a dot at its end all that begin so."""
    object: str = ""
    """Stands in the object."""
    start: float | None = None
    end: float | None = None
    before: int | None = None
    """Rows with a smaller number."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row, as it was written."""

    seq: int
    at: float
    actor: str
    action: str
    object: str
    site: str
    result: str
    address: str
    detail: dict[str, Any]
    sha256: str


async def find(connection: AsyncConnection, wanted: Wanted, limit: int) -> list[AuditRow]:
    """Newest first."""
    return [_row(row) for row in await connection.execute(_query(wanted).limit(limit))]


def _query(wanted: Wanted) -> "Select[Any]":
    query = select(audit).order_by(audit.c.seq.desc())
    if wanted.path is not None:
        query = query.where(at_or_below(audit.c.site, wanted.path))
    if wanted.actors is not None:
        spelled = [*wanted.actors, *(f"user:{one}" for one in wanted.actors)]
        query = query.where(audit.c.actor.in_(spelled))
    if wanted.action.endswith("."):
        query = query.where(audit.c.action.startswith(wanted.action, autoescape=True))
    elif wanted.action:
        query = query.where(audit.c.action == wanted.action)
    if wanted.object:
        query = query.where(audit.c.object.contains(wanted.object, autoescape=True))
    if wanted.start is not None:
        query = query.where(audit.c.at >= wanted.start)
    if wanted.end is not None:
        query = query.where(audit.c.at < wanted.end)
    if wanted.before is not None:
        query = query.where(audit.c.seq < wanted.before)
    return query


def _row(row: "Row[Any]") -> AuditRow:
    detail = json.loads(row.detail)
    return AuditRow(
        row.seq, row.at, row.actor, row.action, row.object, row.site, row.result, row.address,
        detail if isinstance(detail, dict) else {}, row.sha256,
    )  # fmt: skip


async def names_of(connection: AsyncConnection, actors: Collection[str]) -> dict[str, str]:
    """What accounts are called now."""
    found = await connection.execute(select(users.c.user, users.c.name).where(users.c.user.in_(actors)))
    return {row.user: row.name for row in found}


async def people_called(connection: AsyncConnection, text: str) -> list[str]:
    """Accounts with this text in login or name, or with this id; at most 200."""
    query = select(users.c.user).where(
        users.c.login.icontains(text, autoescape=True)
        | users.c.name.icontains(text, autoescape=True)
        | (users.c.user == text)
    )
    return list(await connection.scalars(query.limit(200)))


async def actions(connection: AsyncConnection) -> list[str]:
    """Every kind of action that stands in the audit."""
    return list(await connection.scalars(select(audit.c.action).distinct().order_by(audit.c.action)))
