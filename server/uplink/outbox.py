"""What is to be sent, on disk until it is sent. One line per uplink; nothing overtakes.

A record is put under a key: putting it again changes nothing, so whoever is not sure puts it again. Whatever is not
acknowledged is sent again, word for word and under the same number, so the other side can tell a repeat.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from sqlalchemy import delete, func, select, update

from server.store.database import Database
from server.store.ids import new_id
from server.store.tables import uplink_outbox as table
from server.store.upsert import insert_into

State = Literal["waiting", "sent", "refused"]
KEEP_S = 7 * 86_400.0
"""Sent ones are remembered for so long, to know repeats by their keys."""


@dataclass(frozen=True, slots=True)
class Item:
    """One record that waits."""

    id: str
    endpoint: str
    key: str
    body: dict[str, Any]
    made_at: float
    tries: int


class Outbox:
    """Of one uplink."""

    def __init__(self, database: Database, uplink: str) -> None:
        self._database, self.uplink = database, uplink

    async def put(self, endpoint: str, key: str, body: dict[str, Any]) -> bool:
        """False: it is there already. On disk when this returns.

        Raises:
            StoreError
        """
        return await self._database.finish(self._put(endpoint, key, body))

    async def _put(self, endpoint: str, key: str, body: dict[str, Any]) -> bool:
        at = time.time()
        row: dict[str, Any] = {
            "id": new_id(at), "uplink": self.uplink, "endpoint": endpoint, "key": key, "body": body, "made_at": at,
            "batch": None, "tries": 0, "state": "waiting", "answer": "", "sent_at": None,
        }  # fmt: skip
        async with self._database.transaction() as connection:
            last = select(func.max(table.c.seq)).where(table.c.uplink == self.uplink)
            row["seq"] = ((await connection.execute(last)).scalar() or 0) + 1  # there is one writer at a time
            statement = insert_into(connection, table).on_conflict_do_nothing(index_elements=["uplink", "key"])
            result = await connection.execute(
                statement.execution_options(preserve_rowcount=True), [row]
            )  # fmt: skip
            return result.rowcount == 1

    async def head(self, most: int) -> list[Item]:
        """The oldest that wait, all of one endpoint. They are one batch from then on: what was sent once together is
        sent again as the same batch, also after a restart.

        Raises:
            StoreError
        """
        waiting = select(table).where(table.c.uplink == self.uplink, table.c.state == "waiting").order_by(table.c.seq)
        async with self._database.reading() as connection:
            rows = (await connection.execute(waiting.limit(most))).all()
        if not rows:
            return []
        batch = rows[0].batch
        if batch is not None:
            rows = [row for row in rows if row.batch == batch]
        else:
            rows = list(takewhile(lambda row: row.endpoint == rows[0].endpoint and row.batch is None, rows))
            await self._database.finish(self._set_batch([row.id for row in rows], rows[0].id))
        return [Item(row.id, row.endpoint, row.key, row.body, row.made_at, row.tries) for row in rows]

    async def apart(self, items: Sequence[Item]) -> None:
        """Each a batch of its own from now on: one of them is refused, and nobody knows which."""
        for one in items:
            await self._database.finish(self._set_batch([one.id], f"{one.id}-alone"))

    async def _set_batch(self, ids: Sequence[str], batch: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(update(table).where(table.c.id.in_(ids)).values(batch=batch))

    async def done(self, items: Sequence[Item], state: State, answer: str = "") -> None:
        """Sent, or refused for good."""
        values = {"state": state, "answer": answer[:300], "sent_at": time.time(), "tries": table.c.tries + 1}
        await self._database.finish(self._update(items, values))

    async def failed(self, items: Sequence[Item], answer: str) -> None:
        """Not taken this time."""
        await self._database.finish(self._update(items, {"tries": table.c.tries + 1, "answer": answer[:300]}))

    async def _update(self, items: Sequence[Item], values: dict[str, Any]) -> None:
        async with self._database.transaction() as connection:
            ids = [one.id for one in items]
            await connection.execute(update(table).where(table.c.id.in_(ids)).values(values))

    async def forget(self, now: float) -> None:
        """Drop what was sent long ago."""
        old = (table.c.uplink == self.uplink, table.c.state != "waiting", table.c.sent_at < now - KEEP_S)
        async with self._database.transaction() as connection:
            await connection.execute(delete(table).where(*old))

    async def ledger(self) -> dict[str, Any]:
        """How many wait, were sent and refused, and since when the oldest waits."""
        counts = select(table.c.state, func.count(), func.min(table.c.made_at)).where(table.c.uplink == self.uplink)
        async with self._database.reading() as connection:
            rows = (await connection.execute(counts.group_by(table.c.state))).all()
        found: dict[str, Any] = {"waiting": 0, "sent": 0, "refused": 0, "waiting_since": None}
        for state, count, oldest in rows:
            found[state] = count
            if state == "waiting":
                found["waiting_since"] = oldest
        return found
