"""Reads a telemetry source in the background, as the server does, and keeps what came."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Protocol

from analytics.plugin import Batch, Position, Reading


class Readable(Protocol):
    """A source of ours, whose iterator can be closed."""

    def batches(self) -> AsyncGenerator[Batch, None]: ...


async def until(condition: Callable[[], bool], within_s: float = 20) -> None:
    """Wait for it."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


class TelemetryReader:
    """`async with TelemetryReader(source) as reader: await until(lambda: reader.readings)`."""

    def __init__(self, source: Readable) -> None:
        self.batches: list[Batch] = []
        self._source = source
        self._task: asyncio.Task[None] | None = None

    @property
    def readings(self) -> list[Reading]:
        return [one for batch in self.batches for one in batch.readings]

    @property
    def positions(self) -> list[Position]:
        return [one for batch in self.batches for one in batch.positions]

    def values(self, quantity: str) -> list[float]:
        return [one.value for one in self.readings if one.quantity == quantity]

    async def _run(self) -> None:
        batches = self._source.batches()
        try:
            async for batch in batches:
                self.batches.append(batch)
                await batch.stored()
        finally:
            await batches.aclose()

    async def __aenter__(self) -> "TelemetryReader":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
