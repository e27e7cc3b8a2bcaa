"""The two ways into the database, on both engines."""

import asyncio
import random
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from server.store import timeline
from server.store.database import Database, sqlite_url
from server.store.errors import StoreConflict, StoreError, StoreFull, StoreUnavailable
from server.store.tables import meta


async def value_of(database: Database, key: str) -> str | None:
    async with database.reading() as connection:
        return await connection.scalar(select(meta.c.value).where(meta.c.key == key))


async def put(database: Database, key: str, value: str) -> None:
    async with database.transaction() as connection:
        await connection.execute(insert(meta).values(key=key, value=value))


async def test_what_was_committed_is_read(database: Database) -> None:
    await put(database, "a", "1")
    assert await value_of(database, "a") == "1"


async def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    async def half() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(meta).values(key="a", value="1"))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await half()
    assert await value_of(database, "a") is None


async def test_a_cancelled_block_leaves_nothing_and_the_next_can_write(database: Database) -> None:
    started = asyncio.Event()

    async def half() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(meta).values(key="a", value="1"))
            started.set()
            await asyncio.sleep(60)

    task = asyncio.ensure_future(half())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await value_of(database, "a") is None
    await put(database, "a", "2")
    assert await value_of(database, "a") == "2"


async def test_a_reader_does_not_wait_for_the_writer_and_sees_the_last_commit(database: Database) -> None:
    await put(database, "a", "1")
    async with database.transaction() as connection:
        await connection.execute(meta.update().where(meta.c.key == "a").values(value="2"))
        assert await asyncio.wait_for(value_of(database, "a"), 1) == "1"
    assert await value_of(database, "a") == "2"


async def test_one_writer_at_a_time(database: Database) -> None:
    await put(database, "count", "0")

    async def count_up() -> None:
        async with database.transaction() as connection:
            before = await connection.scalar(select(meta.c.value).where(meta.c.key == "count"))
            await asyncio.sleep(0)
            after = str(int(before or 0) + 1)
            await connection.execute(meta.update().where(meta.c.key == "count").values(value=after))

    await asyncio.gather(*(count_up() for _ in range(40)))
    assert await value_of(database, "count") == "40"


async def test_two_programs_write_one_after_the_other(database_url: str) -> None:
    async with Database.open(database_url) as one, Database.open(database_url) as other:
        await put(one, "count", "0")

        async def count_up(database: Database) -> None:
            async with database.transaction() as connection:
                before = await connection.scalar(select(meta.c.value).where(meta.c.key == "count"))
                after = str(int(before or 0) + 1)
                await connection.execute(meta.update().where(meta.c.key == "count").values(value=after))

        await asyncio.gather(*(count_up(database) for database in (one, other) * 10))
        assert await value_of(one, "count") == await value_of(other, "count") == "20"


async def test_a_key_that_is_taken_is_a_conflict(database: Database) -> None:
    await put(database, "a", "1")
    with pytest.raises(StoreConflict):
        await put(database, "a", "2")


async def test_a_wrong_statement_is_a_store_error(database: Database) -> None:
    with pytest.raises(StoreError):
        async with database.reading() as connection:
            await connection.execute(text("SELECT nothing FROM nowhere"))


async def test_work_is_finished_after_its_caller_was_cancelled(database: Database) -> None:
    started, told = asyncio.Event(), asyncio.Event()

    async def write_then_tell() -> None:
        started.set()
        await put(database, "a", "1")
        told.set()

    task = asyncio.ensure_future(database.finish(write_then_tell()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(told.wait(), 5)
    assert await value_of(database, "a") == "1"


async def test_work_that_fails_after_its_caller_left_is_logged(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def fail() -> None:
        started.set()
        await go_on.wait()
        raise StoreError("on purpose")

    task = asyncio.ensure_future(database.finish(fail()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    await asyncio.sleep(0.01)
    assert "StoreError: on purpose" in capsys.readouterr().out


async def test_cancellations_at_any_moment_break_nothing(database: Database) -> None:
    chance = random.Random(7)
    committed: list[int] = []

    async def write(number: int) -> None:
        async with database.transaction() as connection:
            await timeline.append(connection, ["r"], "chat", {"number": number}, 1.0)
        committed.append(number)

    async def read() -> None:
        async with database.reading() as connection:
            await timeline.last_seq(connection, "r")

    for start in range(0, 120, 6):
        tasks = [asyncio.ensure_future(write(number)) for number in range(start, start + 6)]
        tasks += [asyncio.ensure_future(read()) for _ in range(3)]
        for task in chance.sample(tasks, 5):
            await asyncio.sleep(chance.uniform(0, 0.004))
            task.cancel()
            if chance.random() < 0.3:
                await asyncio.sleep(0)
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    await write(-1)
    async with database.reading() as connection:
        entries = await timeline.since(connection, "r", 0)
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    written = [entry.body["number"] for entry in entries]
    assert len(set(written)) == len(written)
    assert set(committed) <= set(written)


async def test_unfinished_work_is_awaited_when_the_database_closes(database_url: str) -> None:
    done: list[str] = []

    async def write() -> None:
        await put(database, "a", "1")
        done.append("a")

    async with Database.open(database_url) as database:
        task = asyncio.ensure_future(database.finish(write()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert done == ["a"]


# --- SQLite only ----------------------------------------------------------------------------------------------------


async def test_sqlite_is_set_to_survive(tmp_path: Path) -> None:
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    async with Database.open(sqlite_url(tmp_path)) as database:
        for way in (database.transaction, database.reading):
            async with way() as connection:
                found = {name: await connection.scalar(text(f"PRAGMA {name}")) for name in wanted}
            assert found == wanted


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async with Database.open(sqlite_url(tmp_path)) as database:
        with pytest.raises(StoreError):
            async with database.reading() as connection:
                await connection.execute(insert(meta).values(key="a", value="1"))


async def test_the_file_is_for_its_owner_only(tmp_path: Path) -> None:
    async with Database.open(sqlite_url(tmp_path / "new")) as database:
        await put(database, "a", "1")
        for file in (tmp_path / "new").iterdir():
            assert file.stat().st_mode & 0o077 == 0, file


async def test_a_full_disk_is_said_so_and_leaves_what_was(tmp_path: Path) -> None:
    async with Database.open(sqlite_url(tmp_path)) as database:
        await put(database, "a", "1")
        async with database.transaction() as connection:
            pages = await connection.scalar(text("PRAGMA page_count"))
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreFull):
            await put(database, "b", "x" * 100_000)
        assert await value_of(database, "b") is None
        async with database.transaction() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=100000")
        await put(database, "b", "x" * 100_000)
        assert await value_of(database, "a") == "1"


async def test_another_program_that_holds_the_database_too_long_makes_it_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.store.database.BUSY_TIMEOUT_S", 0.1)
    async with Database.open(sqlite_url(tmp_path)) as database:
        other = sqlite3.connect(tmp_path / "lamproom.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable):
                await put(database, "a", "1")
        finally:
            other.close()
        await put(database, "a", "1")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x"])
async def test_a_database_that_cannot_keep_the_promise_is_refused(url: str) -> None:
    with pytest.raises(StoreUnavailable):
        async with Database.open(url):
            pass


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable):
        async with Database.open("postgresql://nobody@127.0.0.1:1/none"):
            pass


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lamproom.db").write_bytes(b"this is no database, it only looks long enough to be one. " * 100)
    with pytest.raises(StoreError):
        async with Database.open(sqlite_url(tmp_path)):
            pass
