"""One database, SQLite or PostgreSQL, and the only two ways into it: `transaction()` to write, `reading()` to read.

**One writer at a time**, on both engines: a transaction begins with SQLite's `BEGIN IMMEDIATE` or a PostgreSQL advisory
lock. That gives timelines without gaps, one open alert per key and an unbroken audit chain with plain code, no retries
and no deadlocks. Readers never wait for the writer: they see the last commit (WAL, or PostgreSQL's snapshots).

SQLite runs with `synchronous=FULL`: when `transaction()` has ended, what was written outlives the process and the
machine (as far as its disk keeps what it says it kept).
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy.exc
import structlog
from sqlalchemy import event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from server.store import steady
from server.store.crashpoints import crashpoint
from server.store.errors import StoreUnavailable, translate
from server.store.migrations import is_newest, upgrade_connection

BUSY_TIMEOUT_S = 5.0
"""How long a transaction waits for another program that writes the same database."""
READERS = 4
"""Connections kept for reading; a read waits up to `BUSY_TIMEOUT_S` for one."""
WRITER_LOCK = 0x6C616D70
"""PostgreSQL advisory lock of the one writer."""
WAL_LIMIT_BYTES = 64 * 1024 * 1024

T = TypeVar("T")

log = structlog.get_logger()


def _url(given: str) -> URL:
    """With the driver that we use."""
    url = make_url(given)
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreUnavailable("A database in memory would forget acknowledged alerts; name a file.")
        return url.set(drivername="sqlite+aiosqlite")
    if backend == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    raise StoreUnavailable(f"Databases of kind {backend} are not supported: use SQLite or PostgreSQL.")


def sqlite_url(data_dir: Path) -> str:
    """Where the database is when the settings name none."""
    return f"sqlite+aiosqlite:///{data_dir / 'lamproom.db'}"


def _sqlite_engine(url: URL, *, writes: bool) -> AsyncEngine:
    size = 1 if writes else READERS
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_S,
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S, "async_creator_fn": steady.connect},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
        if not writes:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: URL) -> AsyncEngine:
    """One pool for both; nobody waits longer than `BUSY_TIMEOUT_S` for a connection or a lock."""
    return create_async_engine(
        url,
        pool_size=READERS + 1,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": max(2, int(BUSY_TIMEOUT_S)),
            "options": f"-c lock_timeout={int(BUSY_TIMEOUT_S * 1000)}",
        },
    )


class Database:
    """An open database. Made by `open`."""

    def __init__(self, url: URL, writer: AsyncEngine, reader: AsyncEngine) -> None:
        self.dialect: Literal["sqlite", "postgresql"] = "sqlite" if url.get_backend_name() == "sqlite" else "postgresql"
        self.location = url.render_as_string(hide_password=True)
        """For messages; without the password."""
        self._writer = writer
        self._reader = reader
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[Any]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, as_it_is: bool = False) -> "AsyncIterator[Database]":
        """Open (SQLite: make) the database, bring its tables up to date, and close it at the end.

        `as_it_is`: to look at it only. Nothing is made and nothing brought up to date.

        Raises:
            StoreError: it cannot be opened or brought up to date; with `as_it_is`, it is not there or not up to date.
        """
        parsed = _url(url)
        if parsed.get_backend_name() == "sqlite":
            _make_file(Path(parsed.database or ""), only_look=as_it_is)
            writer, reader = _sqlite_engine(parsed, writes=True), _sqlite_engine(parsed, writes=False)
        else:
            writer = reader = _postgresql_engine(parsed)
        database = cls(parsed, writer, reader)
        try:
            if as_it_is:
                async with database.reading() as connection:
                    if not await is_newest(connection):
                        raise StoreUnavailable("The tables are those of another version; start the server once.")
            else:
                async with database.transaction() as connection:
                    await upgrade_connection(connection)
            yield database
        finally:
            await database._close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """The one writer. Committed when the block ends, rolled back when it raises; after the block it is on disk.

        Raises:
            StoreConflict: a unique or foreign key would break.
            StoreFull: the disk is full.
            StoreUnavailable: no connection, or another program holds the database for too long.
        """
        async with self._lock:
            try:
                async with self._writer.connect() as connection:
                    async with connection.begin():
                        if self.dialect == "postgresql":
                            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITER_LOCK})
                        yield connection
                        crashpoint("commit.before")
                    crashpoint("commit.after")
            except sqlalchemy.exc.SQLAlchemyError as error:
                raise translate(error) from error

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """One consistent view of the last commit. Waits for no writer.

        Raises:
            StoreUnavailable: no connection became free in time, or the database is away.
        """
        try:
            async with self._reader.connect() as connection, connection.begin():
                yield connection
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise translate(error) from error

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` so that it runs to its end even if the caller is cancelled half-way.

        For "write, then tell": a caller that goes away between the two must not leave news untold. Work that is still
        under way when the database closes is awaited there.
        """
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_ended_alone)
            raise

    async def _close(self) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way)
        if self._reader is not self._writer:
            await self._reader.dispose()
        await self._writer.dispose()


def _ended_alone(task: "asyncio.Task[Any]") -> None:
    """The caller has gone, so nobody else hears of a failure."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("work_failed_after_its_caller_left", reason=f"{type(error).__name__}: {error}")


def _make_file(path: Path, *, only_look: bool) -> None:
    """Make the database file readable to its owner only, before SQLite would make it readable to all."""
    if only_look:
        if not path.is_file():
            raise StoreUnavailable(f"There is no database file {path}.")
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreUnavailable(f"The database file {path} cannot be opened: {error.strerror}.") from error
