"""The bus of one process: a bounded queue per reader."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.bus import Body


class MemorySubscription:
    """A reader's queue."""

    def __init__(self, limit: int) -> None:
        self.lagged = False
        self.dropped = 0
        self._limit = limit
        self._waiting: deque[Body] = deque()
        self._news = asyncio.Event()
        self._closed = False

    def put(self, body: Body) -> None:
        """Queue a body; when full, the oldest goes."""
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self.lagged = True
            self.dropped += 1
        self._waiting.append(body)
        self._news.set()

    def close(self) -> None:
        """End the iteration after what is queued."""
        self._closed = True
        self._news.set()

    def __aiter__(self) -> "MemorySubscription":
        return self

    async def __anext__(self) -> Body:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._waiting.popleft()


class MemoryBus:
    """Readers in this process only."""

    def __init__(self) -> None:
        self._readers: dict[str, list[MemorySubscription]] = {}

    async def publish(self, topic: str, body: Body) -> None:
        self.deliver(topic, body)

    def deliver(self, topic: str, body: Body) -> None:
        """Hand a body to every reader of the topic. All get the same object: do not change it."""
        for reader in self._readers.get(topic, ()):
            reader.put(body)

    def lag(self, topic: str) -> None:
        """Tell every reader of the topic that something may have been missed."""
        for reader in self._readers.get(topic, ()):
            reader.lagged = True

    @asynccontextmanager
    async def subscribe(self, topic: str, limit: int = 1024) -> AsyncIterator[MemorySubscription]:
        if limit < 1:
            raise ValueError("A subscription must be able to hold at least one body.")
        reader = MemorySubscription(limit)
        self._readers.setdefault(topic, []).append(reader)
        try:
            yield reader
        finally:
            self._readers[topic].remove(reader)

    def close(self) -> None:
        """End every iteration."""
        for readers in self._readers.values():
            for reader in readers:
                reader.close()
