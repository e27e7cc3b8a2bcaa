"""A way over TCP that can be cut and mended: what a switch, a radio link or a firewall does to a connection."""

import asyncio
import contextlib
from types import TracebackType

from tests.fakes.broker import free_port


class Relay:
    """Passes bytes between `port` of this machine and another port of it, while it is whole."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._ways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._passes, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """End all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for way in tuple(self._ways):
            way.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> "Relay":
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def _passes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._ways |= {writer, back}
        for one, other in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._copy(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, one: asyncio.StreamReader, other: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await one.read(65536):
                other.write(data)
                await other.drain()
        self._ways.discard(other)
        other.close()
