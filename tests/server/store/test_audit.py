"""The chain holds, and says where it does not."""

import asyncio

import pytest
from sqlalchemy import delete

from server.store import audit
from server.store.database import Database
from server.store.tables import audit as table


async def fill(database: Database, count: int) -> None:
    async with database.transaction() as connection:
        for number in range(count):
            await audit.append(
                connection,
                at=1700000000.125 + number / 3,
                actor="user:张三",
                action="alert.acknowledged",
                object=f"alert:{number}",
                site="mine-a",
                address="10.0.0.1",
                detail={"number": number, "share": number / 7, "text": "说明 \x00 '"},
            )


async def verdict(database: Database) -> audit.Verdict:
    async with database.reading() as connection:
        return await audit.verify(connection)


async def test_an_empty_chain_holds(database: Database) -> None:
    assert await verdict(database) == audit.Verdict(0)


async def test_a_chain_of_several_pages_holds(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE_ROWS", 7)
    await fill(database, 21)
    assert await verdict(database) == audit.Verdict(21)


async def test_writers_at_once_make_one_chain(database: Database) -> None:
    await asyncio.gather(*(fill(database, 3) for _ in range(10)))
    assert await verdict(database) == audit.Verdict(30)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "user:李四"),
        ("at", 1.0),
        ("detail", '{"number":9}'),
        ("result", "refused"),
        ("address", ""),
        ("sha256", "0" * 64),
        ("prev_sha256", "0" * 64),
    ],
)
async def test_a_changed_row_is_found(database: Database, column: str, value: object) -> None:
    await fill(database, 6)
    async with database.transaction() as connection:
        await connection.execute(table.update().where(table.c.seq == 4).values({column: value}))
    found = await verdict(database)
    assert found.broken_at == 4
    assert found.rows == 3
    assert not found.holds
    assert found.reason


async def test_a_removed_row_is_found(database: Database) -> None:
    await fill(database, 6)
    async with database.transaction() as connection:
        await connection.execute(delete(table).where(table.c.seq == 4))
    assert (await verdict(database)).reason == "Row 4 is missing."


async def test_head_is_the_newest_hash(database: Database) -> None:
    async with database.reading() as connection:
        assert await audit.head(connection) == (0, audit.FIRST)
    await fill(database, 2)
    async with database.reading() as connection:
        seq, digest = await audit.head(connection)
    assert seq == 2
    assert len(digest) == 64


async def test_what_is_no_json_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="JSON"):
        async with database.transaction() as connection:
            await audit.append(
                connection, at=1.0, actor="a", action="b", object="c", site="d", detail={"x": float("nan")}
            )
    assert await verdict(database) == audit.Verdict(0)
