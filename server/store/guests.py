"""Rows of guests: people without an account who take part in one consultation."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import guests

MAX_PER_SESSION = 200


@dataclass(frozen=True, slots=True)
class Guest:
    """One link, and who used it. Codes and secrets are kept as hashes only."""

    guest: str
    session: str
    site: str
    name: str
    speaks: bool
    """May publish camera and microphone."""
    waits: bool
    """Is let in by the chair."""
    secret_hash: str
    made_by: str
    made_at: float
    expires_at: float
    used_at: float | None
    revoked_at: float | None

    def lives(self, at: float) -> bool:
        return self.used_at is not None and self.revoked_at is None and at < self.expires_at


def _guest(row: "Row[Any]") -> Guest:
    return Guest(
        row.guest, row.session, row.site, row.name, row.speaks, row.waits, row.secret_hash, row.made_by, row.made_at,
        row.expires_at, row.used_at, row.revoked_at,
    )  # fmt: skip


async def add(connection: AsyncConnection, guest: Guest, code_hash: str) -> None:
    await connection.execute(
        insert(guests).values(
            guest=guest.guest,
            session=guest.session,
            site=guest.site,
            name=guest.name,
            speaks=guest.speaks,
            waits=guest.waits,
            code_hash=code_hash,
            secret_hash=guest.secret_hash,
            made_by=guest.made_by,
            made_at=guest.made_at,
            expires_at=guest.expires_at,
            used_at=None,
            revoked_at=None,
        )
    )


async def use(connection: AsyncConnection, code_hash: str, name: str, secret_hash: str, at: float) -> Guest | None:
    """Use a code up, once. None: unknown, used, revoked or too old."""
    done = await connection.execute(
        update(guests)
        .where(
            guests.c.code_hash == code_hash, guests.c.used_at.is_(None), guests.c.revoked_at.is_(None),
            guests.c.expires_at > at,
        )
        .values(used_at=at, name=name, secret_hash=secret_hash)
    )  # fmt: skip
    if done.rowcount != 1:
        return None
    return _guest((await connection.execute(select(guests).where(guests.c.code_hash == code_hash))).one())


async def peek(connection: AsyncConnection, code_hash: str, at: float) -> Guest | None:
    """What a code that is still good would give."""
    row = (await connection.execute(select(guests).where(guests.c.code_hash == code_hash))).one_or_none()
    if row is None or row.used_at is not None or row.revoked_at is not None or row.expires_at <= at:
        return None
    return _guest(row)


async def get(connection: AsyncConnection, guest: str) -> Guest | None:
    row = (await connection.execute(select(guests).where(guests.c.guest == guest))).one_or_none()
    return None if row is None else _guest(row)


async def of_session(connection: AsyncConnection, session: str) -> list[Guest]:
    """All of a consultation, oldest first."""
    found = await connection.execute(select(guests).where(guests.c.session == session).order_by(guests.c.made_at))
    return [_guest(row) for row in found]


async def revoke(connection: AsyncConnection, guest: str, at: float) -> bool:
    done = await connection.execute(
        update(guests).where(guests.c.guest == guest, guests.c.revoked_at.is_(None)).values(revoked_at=at)
    )
    return done.rowcount == 1
