"""Whoever alters, removes or reorders what was written down is found, and what retention removes stays provable."""

import json
import os
from pathlib import Path
from random import Random

import pytest
from alembic import command
from sqlalchemy import Connection, Executable, delete, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine

from server.store import audit, chain, timeline
from server.store.chain import Fault
from server.store.database import Database, sqlite_url
from server.store.errors import StoreUnavailable
from server.store.migrations import configuration
from server.store.tables import audit as audit_rows
from server.store.tables import chain_spans, entries, rooms, sessions

KINDS = (
    "alert", "duty", "session", "track", "chat", "order", "reading", "position", "member", "link",
)  # fmt: skip
ROOM = "site:mine-a"


async def fill(database: Database, count: int = 1) -> None:
    """Each kind of entry in two rooms, an audit row with each, and a checkpoint."""
    async with database.transaction() as connection:
        for number in range(count):
            for kind in KINDS:
                body: dict[str, object] = {
                    "n": number,
                    "share": number / 7,
                    "text": "说明 \x00 '",
                    "deep": {"b": [1, {}]},
                }
                await timeline.append(connection, [ROOM, "session:x"], kind, body, 1.7e9 + number)
                await audit.append(connection, at=1.7e9, actor="u", action=f"{kind}.noted", object="o", site="mine-a")
        await chain.checkpoint(connection, 1.7e9)


async def report(database: Database, expect: chain.Head | None = None) -> chain.Report:
    async with database.reading() as connection:
        return await chain.verify(connection, expect)


async def faults(database: Database, expect: chain.Head | None = None) -> list[tuple[str, int]]:
    return [(one.chain, one.seq) for one in (await report(database, expect)).faults]


async def test_what_nobody_touched_holds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await report(database)).holds
    await fill(database, 3)
    monkeypatch.setattr(chain, "PAGE_ROWS", 7)
    found = await report(database)
    assert (found.faults, found.rooms, found.entries, found.audit_rows) == ([], 2, 60, 31)
    assert found.head[0] == 31


class _Undo(Exception):
    """Ends a transaction without a trace."""


async def found_after(database: Database, *statements: Executable) -> list[Fault]:
    """What is found after a change, which is then undone."""
    found: list[Fault] = []

    async def do() -> None:
        async with database.transaction() as connection:
            for statement in statements:
                await connection.execute(statement)
            found.extend((await chain.verify_here(connection)).faults)
            raise _Undo

    with pytest.raises(_Undo):
        await do()
    return found


def swap(table: str, where: str, one: int, two: int) -> list[Executable]:
    steps = ((one, -1), (two, one), (-1, two))
    return [text(f"UPDATE {table} SET seq = {after} WHERE seq = {before}{where}") for before, after in steps]


async def test_an_altered_removed_or_moved_entry_of_each_kind_is_found(database: Database) -> None:
    await fill(database)
    for seq, kind in enumerate(KINDS, 1):
        where = (entries.c.room == ROOM, entries.c.kind == kind)
        reason = f"Entry {seq} was changed, or moved, after it was written."
        assert await found_after(database, update(entries).where(*where).values(body={"n": 99})) == [
            Fault(ROOM, seq, reason)
        ]
        (fault,) = await found_after(database, delete(entries).where(*where))
        assert (fault.chain, fault.seq) == (ROOM, seq)
        if seq < len(KINDS):
            (fault,) = await found_after(database, *swap("entries", f" AND room = '{ROOM}'", seq, seq + 1))
            assert (fault.chain, fault.seq) == (ROOM, seq)
    assert (await report(database)).holds


async def test_every_column_of_an_entry_counts(database: Database) -> None:
    await fill(database)
    for column, value in {"at": 1.0, "kind": "other", "sha256": "0" * 64}.items():
        where = (entries.c.seq == 5, entries.c.room == ROOM)
        (fault,) = await found_after(database, update(entries).where(*where).values({column: value}))
        assert (fault.chain, fault.seq) == (ROOM, 5)


async def test_altered_removed_and_swapped_audit_rows_are_found(database: Database) -> None:
    await fill(database)
    where = audit_rows.c.seq == 4
    altered = update(audit_rows).where(where).values(actor="somebody else")
    for steps in ([altered], [delete(audit_rows).where(where)], swap("audit", "", 4, 5)):
        (fault,) = await found_after(database, *steps)
        assert (fault.chain, fault.seq) == ("audit", 4)
    assert (await report(database)).holds


async def test_whatever_is_altered_removed_or_reordered_anywhere_is_found(database: Database) -> None:
    """By lot, always the same one: rows of the audit or of a timeline are altered, removed or put in another order."""
    await fill(database, 3)
    chance = Random(7)
    sizes = {"audit": 31, ROOM: 30, "session:x": 30}
    for _ in range(60):
        name = chance.choice(list(sizes))
        seqs = sorted(chance.sample(range(1, sizes[name]), chance.randint(1, 4)))  # the last row: see the cut-off tests
        kind = chance.choice(["alter", "remove", "reorder"])
        found = await found_after(database, *tampering(chance, name, kind, seqs))
        assert found, (name, kind, seqs)
        assert (found[0].chain, found[0].seq) == (name, seqs[0]), (name, kind, seqs)
    assert (await report(database)).holds


def tampering(chance: Random, name: str, kind: str, seqs: list[int]) -> list[Executable]:
    """What does it to these rows of a chain."""
    table = audit_rows if name == "audit" else entries
    of = () if name == "audit" else (entries.c.room == name,)
    if kind == "remove":
        return [delete(table).where(*of, table.c.seq.in_(seqs))]
    if kind == "alter":
        column = chance.choice(["at", "sha256", "actor", "detail"] if name == "audit" else ["at", "kind", "sha256"])
        value = 7.5 if column == "at" else "7"
        return [update(table).where(*of, table.c.seq == seq).values({column: value}) for seq in seqs]
    moved = sorted({*seqs, seqs[0] + 1})
    turned = zip(moved, [*moved[1:], moved[0]], strict=True)
    away = [update(table).where(*of, table.c.seq == seq).values(seq=-seq) for seq in moved]
    return [*away, *(update(table).where(*of, table.c.seq == -seq).values(seq=to) for seq, to in turned)]


async def test_a_timeline_that_was_cut_off_is_found(database: Database) -> None:
    await fill(database)
    async with database.transaction() as connection:
        await connection.execute(delete(entries).where(entries.c.room == ROOM, entries.c.seq > 6))
    assert await faults(database) == [(ROOM, 7)]
    async with database.transaction() as connection:  # and the counter mended
        head = await connection.scalar(select(entries.c.sha256).where(entries.c.room == ROOM, entries.c.seq == 6))
        await connection.execute(update(rooms).where(rooms.c.room == ROOM).values(last_seq=6, sha256=head))
    assert await faults(database) == [(ROOM, 7)]
    async with database.transaction() as connection:  # and new entries written over it
        for _ in range(6):
            await timeline.append(connection, [ROOM], "chat", {}, 1.0)
    assert await faults(database) == [(ROOM, 10)]


async def test_a_room_that_is_gone_is_found(database: Database) -> None:
    await fill(database)
    async with database.transaction() as connection:
        await connection.execute(delete(entries).where(entries.c.room == ROOM))
        await connection.execute(delete(rooms).where(rooms.c.room == ROOM))
        await connection.execute(delete(rooms).where(rooms.c.room == "session:x"))
    assert {fault.chain for fault in (await report(database)).faults} == {ROOM, "session:x"}


async def test_an_audit_that_was_cut_off_is_found_by_the_hash_that_was_noted(database: Database) -> None:
    await fill(database)
    noted = (await report(database)).head
    assert await faults(database, noted) == []
    async with database.transaction() as connection:
        await connection.execute(delete(audit_rows).where(audit_rows.c.seq == noted[0]))
    assert await faults(database) == []
    assert await faults(database, noted) == [("audit", noted[0])]
    async with database.transaction() as connection:
        await audit.append(connection, at=1.0, actor="u", action="a", object="o", site="s")
    assert await faults(database, noted) == [("audit", noted[0])]


# --- removing on purpose --------------------------------------------------------------------------------------------


async def prune(database: Database, room: str, first: int, last: int) -> int:
    async with database.transaction() as connection:
        return await chain.prune_room(connection, room, first, last, 1.8e9)


async def test_what_retention_removes_leaves_a_chain_that_holds(database: Database) -> None:
    await fill(database, 2)
    assert await prune(database, ROOM, 5, 7) == 3
    assert await prune(database, ROOM, 10, 12) == 3
    assert (await report(database)).removed == 6
    assert await prune(database, ROOM, 1, 9) == 6  # over a hole, and joined to the next
    assert await prune(database, ROOM, 20, 20) == 1  # the newest
    assert await prune(database, ROOM, 1, 12) == 0
    found = await report(database)
    assert (found.faults, found.entries, found.removed) == ([], 27, 13)
    async with database.reading() as connection:
        spans = (await connection.execute(select(chain_spans.c.first, chain_spans.c.last))).all()
    assert sorted(map(tuple, spans)) == [(1, 12), (20, 20)]
    await fill(database)
    assert (await report(database)).holds


async def test_a_hole_that_the_audit_does_not_know_is_found(database: Database) -> None:
    await fill(database)
    async with database.transaction() as connection:
        hashes = {
            row.seq: row.sha256 for row in await connection.execute(select(entries).where(entries.c.room == ROOM))
        }
        await connection.execute(delete(entries).where(entries.c.room == ROOM, entries.c.seq.between(4, 6)))
        await connection.execute(
            chain_spans.insert().values(chain=ROOM, first=4, last=6, before=hashes[3], after=hashes[6], named_by=1)
        )
    assert await faults(database) == [(ROOM, 4)]


async def test_an_entry_beside_a_hole_is_still_guarded(database: Database) -> None:
    await fill(database)
    await prune(database, ROOM, 3, 5)
    async with database.transaction() as connection:
        await connection.execute(delete(entries).where(entries.c.room == ROOM, entries.c.seq == 6))
    assert await faults(database) == [(ROOM, 6)]


async def test_a_pruned_audit_holds_and_still_guards_the_timelines(database: Database) -> None:
    await fill(database, 2)
    await prune(database, ROOM, 1, 4)
    async with database.transaction() as connection:
        assert await chain.prune_audit(connection, 10_000, 1.9e9) == 21
    found = await report(database)
    assert found.faults == []
    async with database.transaction() as connection:
        assert await chain.prune_audit(connection, 10, 1.9e9) == 0
        await connection.execute(delete(entries).where(entries.c.room == "session:x", entries.c.seq > 18))
        head = await connection.scalar(
            select(entries.c.sha256).where(entries.c.room == "session:x", entries.c.seq == 18)
        )
        await connection.execute(update(rooms).where(rooms.c.room == "session:x").values(last_seq=18, sha256=head))
    assert await faults(database) == [("session:x", 19)]


async def test_oldest_audit_rows_removed_by_somebody_are_found(database: Database) -> None:
    await fill(database)
    async with database.transaction() as connection:
        await connection.execute(delete(audit_rows).where(audit_rows.c.seq <= 3))
    assert await faults(database) == [("audit", 1)]


async def test_a_timeline_from_before_there_were_chains_is_chained_by_the_migration(database_url: str) -> None:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(_as_of_0003)
    await engine.dispose()
    with pytest.raises(StoreUnavailable):
        async with Database.open(database_url, as_it_is=True):
            pass
    async with Database.open(database_url) as database:
        async with database.reading() as connection:
            found = await chain.verify(connection)
        assert found.faults == []
        assert found.entries == 40
        await fill(database)
        assert (await report(database)).holds


def _as_of_0003(connection: Connection) -> None:
    """A database of that time, with entries in two rooms."""
    command.upgrade(configuration(connection), "0003")
    body = json.dumps({"n": 1, "text": "值班"})
    for room in ("site:a", "site:b"):
        connection.execute(text("INSERT INTO rooms (room, last_seq) VALUES (:room, 20)"), {"room": room})
        for seq in range(1, 21):
            connection.execute(
                text("INSERT INTO entries (room, seq, at, kind, body) VALUES (:room, :seq, :at, 'chat', :body)"),
                {"room": room, "seq": seq, "at": 1000.5 + seq, "body": body},
            )


async def test_consultations_of_before_get_what_retention_asks_for(database_url: str) -> None:
    states = {
        "open": {"ended_at": None, "held": True, "alert": "a1", "alerts": {"a2": "open", "a1": "open"}},
        "held": {"ended_at": 50.0, "held": True, "alert": None, "alerts": {}},
        "old": {"ended_at": 50.0, "alert": None},
        "released": {"ended_at": 50.0, "held": False, "released_at": 70.0, "alert": None, "alerts": {}},
        "later": {"ended_at": 90.0, "held": False, "released_at": 70.0, "alert": None, "alerts": {"a3": "closed"}},
    }

    def as_of_0020(connection: Connection) -> None:
        command.upgrade(configuration(connection), "0020")
        for name, state in states.items():
            connection.execute(
                text("INSERT INTO sessions (session, state, open, site, started_at) VALUES (:n, :s, :o, 'm', 1)"),
                {"n": name, "s": json.dumps(state), "o": name == "open"},
            )

    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(as_of_0020)
    await engine.dispose()
    async with Database.open(database_url) as database, database.reading() as connection:
        found = {
            row.session: (row.released_at, row.alerts) for row in await connection.execute(select(sessions))
        }  # fmt: skip
    assert found == {
        "open": (None, ["a1", "a2"]), "held": (None, []), "old": (None, []), "released": (70.0, []),
        "later": (90.0, ["a3"]),
    }  # fmt: skip


async def test_looking_at_a_database_makes_none(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        async with Database.open(sqlite_url(tmp_path), as_it_is=True):
            pass
    assert os.listdir(tmp_path) == []
