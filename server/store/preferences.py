"""What people have set for their own pages: one value by name and person, with a version that counts its changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from server.store.database import Database
from server.store.tables import preferences as table
from server.store.upsert import insert_into


@dataclass(frozen=True, slots=True)
class Kept:
    value: Mapping[str, Any]
    version: int


async def read(database: Database, user: str, name: str) -> Kept | None:
    """What was kept last; None: nothing yet."""
    query = select(table.c.value, table.c.version).where(table.c.user == user, table.c.name == name)
    async with database.reading() as connection:
        row = (await connection.execute(query)).first()
    return None if row is None else Kept(row.value, row.version)


async def keep(
    database: Database, user: str, name: str, value: Mapping[str, Any], version: int, at: float
) -> int | None:
    """Keep `value` in the place of what has `version` (0: of nothing). Its own version; None if that is not it."""
    async with database.transaction() as connection:
        same = (table.c.user == user, table.c.name == name)
        known = await connection.scalar(select(table.c.version).where(*same))
        if (known or 0) != version:
            return None
        new = {"value": dict(value), "version": version + 1, "at": at}
        query = insert_into(connection, table).values(user=user, name=name, **new)
        await connection.execute(query.on_conflict_do_update(index_elements=["user", "name"], set_=new))
    return version + 1
