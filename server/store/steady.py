"""An aiosqlite connection that a cancelled caller cannot leave with the write lock.

A step runs in a thread and cannot be called back. If its caller is cancelled and goes on at once, SQLAlchemy throws the
connection away while the thread still works on it: the write lock may outlive the transaction, and closing it twice
leaves a task that never ends. So a cancelled caller waits for the step that is under way, which is short, then goes.

And closing is not enough to end a transaction: SQLite keeps a closed connection alive, with its lock, for as long as a
cursor of it exists, and a cursor may live on in the traceback of the cancellation. So it is rolled back first.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import aiosqlite


async def to_the_end(future: "asyncio.Future[Any]") -> Any:
    """The result; a cancellation is kept until there is one, and then goes on."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError:
                continue  # the first one is raised below
        raise


def _roll_back(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.Error):  # closed already
        if connection.in_transaction:
            connection.rollback()


class SteadyConnection(aiosqlite.Connection):
    """As its parent, but a step that was begun is awaited, and it stops once."""

    _stopped: "asyncio.Future[Any] | None" = None

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._running or not self._connection:
            raise ValueError("Connection closed")  # SQLAlchemy knows this text
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((future, partial(fn, *args, **kwargs)))
        return await to_the_end(future)

    async def close(self) -> None:
        stopped = self.stop()
        if stopped is not None:
            await to_the_end(stopped)

    def stop(self) -> "asyncio.Future[Any] | None":
        if self._stopped is None:
            if self._connection is not None:
                self._tx.put_nowait((None, partial(_roll_back, self._connection)))
            self._stopped = super().stop()
        return self._stopped


def connect(database: str, **how: Any) -> SteadyConnection:
    """To be awaited; the arguments are those of `sqlite3.connect`."""
    connector = aiosqlite.connect(database, **how)._connector
    connection = SteadyConnection(connector, iter_chunk_size=64)
    connection._thread.daemon = True
    return connection
