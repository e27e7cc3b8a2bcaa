"""Timelines of rooms: entries with a gap-free `seq`, counted up inside the transaction that writes them.

The counter row of a room is raised by the same transaction that inserts the entry. A transaction that is rolled back
takes its numbers back with it, and because there is one writer at a time, whoever reads seq n can read all before it.

Each entry holds the hash of itself and of the hash before it in its room; the counter row holds the newest, so that one
more entry costs one hash and no reading. `server.store.chain` says what is checked by it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Row, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.errors import StoreError
from server.store.tables import entries, meta, rooms
from server.store.upsert import insert_into

FIRST = "0" * 64
"""What the first entry of a room is chained to."""

_NEW_HEAD = update(rooms).where(rooms.c.room == bindparam("of_room")).values(sha256=bindparam("head"))


def digest(room: str, seq: int, at: float, kind: str, body: object, before: str) -> str:
    """SHA-256 of an entry and of the hash before it, over JSON with one spelling."""
    words = json.dumps([room, seq, float(at), kind, body, before], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(words.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as written."""

    room: str
    seq: int
    at: float
    kind: str
    body: dict[str, object]

    def as_dict(self) -> dict[str, object]:
        """The fields of `signaling.room.messages.Event`. The body is shared, not copied: do not change it."""
        return {"room": self.room, "seq": self.seq, "at": self.at, "kind": self.kind, "body": self.body}


@dataclass(frozen=True, slots=True)
class News:
    """Something to be written into the timelines of these rooms."""

    rooms: Sequence[str]
    kind: str
    body: dict[str, object]
    at: float


async def append(
    connection: AsyncConnection, rooms: Sequence[str], kind: str, body: dict[str, object], at: float
) -> list[Entry]:
    """Write one entry into each of these rooms, within the caller's transaction. Publish only after it is committed."""
    return await append_all(connection, [News(rooms, kind, body, at)])


async def append_all(connection: AsyncConnection, news: Iterable[News]) -> list[Entry]:
    """Write many entries at once, in order. A room named twice in one piece of news gets it once."""
    wanted = [(room, one) for one in news for room in dict.fromkeys(one.rooms)]
    if not wanted:
        return []
    counts: dict[str, int] = {}
    for room, _ in wanted:
        counts[room] = counts.get(room, 0) + 1
    upsert = insert_into(connection, rooms)
    result = await connection.execute(
        upsert.on_conflict_do_update(
            index_elements=[rooms.c.room], set_={"last_seq": rooms.c.last_seq + upsert.excluded.last_seq}
        ).returning(rooms.c.room, rooms.c.last_seq, rooms.c.sha256),
        [{"room": room, "last_seq": count, "sha256": FIRST} for room, count in counts.items()],
    )
    at_end = {row.room: (row.last_seq, row.sha256) for row in result}
    next_seq = {room: last - counts[room] + 1 for room, (last, _) in at_end.items()}
    heads = {room: head for room, (_, head) in at_end.items()}
    written: list[Entry] = []
    chained: list[dict[str, object]] = []
    for room, one in wanted:
        entry = Entry(room, next_seq[room], one.at, one.kind, one.body)
        heads[room] = digest(room, entry.seq, entry.at, entry.kind, entry.body, heads[room])
        written.append(entry)
        chained.append({**entry.as_dict(), "sha256": heads[room]})
        next_seq[room] += 1
    await connection.execute(insert(entries), chained)
    await connection.execute(_NEW_HEAD, [{"of_room": room, "head": head} for room, head in heads.items()])
    return written


def _entry(row: "Row[tuple[str, int, float, str, dict[str, object]]]") -> Entry:
    return Entry(row.room, row.seq, row.at, row.kind, row.body)


async def since(connection: AsyncConnection, room: str, seq: int, limit: int = 1000) -> list[Entry]:
    """The entries after `seq`, oldest first, at most `limit`."""
    result = await connection.execute(
        select(entries).where(entries.c.room == room, entries.c.seq > seq).order_by(entries.c.seq).limit(limit)
    )
    return [_entry(row) for row in result]


async def recent(connection: AsyncConnection, room: str, count: int) -> list[Entry]:
    """The last `count` entries, oldest first."""
    result = await connection.execute(
        select(entries).where(entries.c.room == room).order_by(entries.c.seq.desc()).limit(count)
    )
    return [_entry(row) for row in result][::-1]


async def last_seq(connection: AsyncConnection, room: str) -> int:
    """The newest number of a room; 0 when nothing was ever written."""
    return await connection.scalar(select(rooms.c.last_seq).where(rooms.c.room == room)) or 0


async def epoch(connection: AsyncConnection) -> str:
    """The name of this run of numbers, made once with the database. Numbers of another epoch mean nothing here."""
    value = await connection.scalar(select(meta.c.value).where(meta.c.key == "epoch"))
    if value is None:
        raise StoreError("This database has no epoch; its migrations did not run.")
    return str(value)
