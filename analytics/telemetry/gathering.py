"""Samples of several connections of one source, on their way to the store.

A source that keeps connections (meters, hubs, servers) has a *feeder* for each: a coroutine that never returns, parses
what it gets and puts it here. `batches` runs the feeders and yields what they put, several at once where they are
quick. At most `most` parsed messages wait; then `put` waits, and with it the feeder, so that a slow store slows the
asking and fills no memory.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

from analytics.plugin import Batch, Position, Reading
from analytics.telemetry.links import Patience
from analytics.telemetry.payload import Parsed

MOST_WAITING = 64
MOST_SAMPLES = 2000
"""A batch ends at the message that brings it there."""
WAIT_S = 0.05
"""Longest that a sample waits for others of its batch."""

Feeder = Callable[[], Awaitable[None]]


class Gathering:
    """One bounded queue between feeders and the store."""

    def __init__(self, *, most: int = MOST_WAITING, wait_s: float = WAIT_S) -> None:
        self._queue: asyncio.Queue[Parsed] = asyncio.Queue(most)
        self._wait_s = wait_s

    async def put(self, parsed: Parsed) -> None:
        """Hand over what one message held. Waits while too many wait."""
        await self._queue.put(parsed)

    async def batches(self, feeders: Iterable[Feeder]) -> AsyncGenerator[Batch, None]:
        """Run the feeders and yield what they put, until closed.

        Raises:
            Exception: whatever a feeder raised; feeders deal themselves with connections that fail.
        """
        tasks = [asyncio.create_task(_endless(feeder)) for feeder in feeders]
        try:
            while True:
                first = await self._first(tasks)
                yield await self._batch(first)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _first(self, tasks: list[asyncio.Task[None]]) -> Parsed:
        taking = asyncio.create_task(self._queue.get())
        either: set[asyncio.Task[Parsed] | asyncio.Task[None]] = {taking, *tasks}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not taking.done():
                taking.cancel()
        for task in tasks:
            if task.done():
                task.result()
        return await taking

    async def _batch(self, first: Parsed) -> Batch:
        readings: list[Reading] = list(first.readings)
        positions: list[Position] = list(first.positions)
        rejected = first.rejected.total()
        deadline = asyncio.get_running_loop().time() + self._wait_s
        while len(readings) + len(positions) < MOST_SAMPLES:
            try:
                async with asyncio.timeout_at(deadline):
                    more = await self._queue.get()
            except TimeoutError:
                break
            readings += more.readings
            positions += more.positions
            rejected += more.rejected.total()
        return Batch(readings, positions, _nobody_waits, rejected)


async def keep_connected(
    connect: Callable[[], Awaitable[str]],
    failures: tuple[type[Exception], ...],
    down: Callable[[str], None],
    patience: Patience,
) -> None:
    """A connection that is begun anew whenever it ends, until cancelled.

    Args:
        connect: one connection, from its beginning to its end; says why it ended. Tells `patience` when it went well.
        failures: what it may raise instead of saying so.
        down: told the reason each time.
    """
    while True:
        try:
            reason = await connect()
        except failures as error:
            reason = str(error) or type(error).__name__
        down(reason)
        await asyncio.sleep(patience.wait_s())


async def _endless(feeder: Feeder) -> None:
    await feeder()
    raise RuntimeError("A feeder of a telemetry source returned.")


async def _nobody_waits() -> None:
    """These sources have nobody to tell that a sample is stored."""
