"""Rows of phones and of calls. Secrets are digest HA1 values; a password is never stored."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import phone_calls, phone_registrations, phones


async def all_phones(connection: AsyncConnection) -> list[dict[str, Any]]:
    result = await connection.execute(select(phones).order_by(phones.c.phone))
    return [dict(row._mapping) for row in result]


async def version(connection: AsyncConnection) -> tuple[int, float]:
    """Changes whenever a phone is added, changed or removed, by whichever process."""
    row = (await connection.execute(select(func.count(), func.max(phones.c.changed_at)).select_from(phones))).one()
    return int(row[0]), float(row[1] or 0.0)


async def add_phone(connection: AsyncConnection, row: Mapping[str, object]) -> None:
    """Raises StoreConflict (at the end of the transaction) for a name that is taken."""
    await connection.execute(insert(phones).values(dict(row)))


async def change_phone(connection: AsyncConnection, phone: str, values: Mapping[str, object]) -> bool:
    result = await connection.execute(update(phones).where(phones.c.phone == phone).values(dict(values)))
    return result.rowcount == 1


async def remove_phone(connection: AsyncConnection, phone: str) -> bool:
    result = await connection.execute(delete(phones).where(phones.c.phone == phone))
    return result.rowcount == 1


async def registrations(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Of phones that were not changed since they registered."""
    held = phone_registrations.c
    wanted = select(phone_registrations).join(phones, phones.c.phone == held.phone)
    result = await connection.execute(wanted.where(phones.c.changed_at <= held.at).order_by(held.phone, held.number))
    return [dict(row._mapping) for row in result]


async def keep_registrations(
    connection: AsyncConnection, by_phone: Mapping[str, Sequence[Mapping[str, object]]]
) -> None:
    """These rows in the place of all that these phones had."""
    await connection.execute(delete(phone_registrations).where(phone_registrations.c.phone.in_(list(by_phone))))
    if fresh := [dict(row) for found in by_phone.values() for row in found]:
        await connection.execute(insert(phone_registrations), fresh)


async def forget_registrations(connection: AsyncConnection, before: float) -> None:
    """Those that have expired."""
    await connection.execute(delete(phone_registrations).where(phone_registrations.c.expires_at <= before))


async def add_call(connection: AsyncConnection, row: Mapping[str, object]) -> None:
    await connection.execute(insert(phone_calls).values(dict(row)))


async def change_call(connection: AsyncConnection, call: str, values: Mapping[str, object]) -> None:
    await connection.execute(update(phone_calls).where(phone_calls.c.call == call).values(dict(values)))


async def calls_of(
    connection: AsyncConnection, sites: Iterable[str], before: float | None, limit: int
) -> list[dict[str, Any]]:
    """Of these sites, newest first."""
    wanted = select(phone_calls).where(phone_calls.c.site.in_(list(sites)))
    if before is not None:
        wanted = wanted.where(phone_calls.c.at < before)
    result = await connection.execute(wanted.order_by(phone_calls.c.at.desc()).limit(limit))
    return [dict(row._mapping) for row in result]


async def dialled_since(connection: AsyncConnection, at: float) -> dict[str, int]:
    """How many calls were made by each trunk."""
    result = await connection.execute(
        select(phone_calls.c.peer, func.count())
        .where(phone_calls.c.direction == "out", phone_calls.c.at >= at)
        .group_by(phone_calls.c.peer)
    )
    return {str(peer).removeprefix("trunk:"): int(count) for peer, count in result if str(peer).startswith("trunk:")}


async def end_open_calls(connection: AsyncConnection, at: float) -> None:
    """Calls that were up when the server stopped are over."""
    await connection.execute(
        update(phone_calls)
        .where(phone_calls.c.ended_at.is_(None))
        .values(ended_at=at, result="interrupted", reason="The server was stopped.")
    )


async def forget_calls(connection: AsyncConnection, before: float) -> None:
    await connection.execute(delete(phone_calls).where(phone_calls.c.at < before))
