"""What waits for one WebSocket, bounded.

Three classes, each with its drop rule:

- **durable**: answers, events, offers. Never dropped; when `limit` of them wait, the reader is too slow: its socket is
  closed with 1013: it comes back and asks for what it missed with `since`.
- **state** (keyed): rosters, media states. The newest replaces the older of the same key.
- **live** (keyed): readings, positions, quality. As state, and dropped altogether while more than half the limit waits.
"""

import asyncio
from collections import OrderedDict, deque

from pydantic import BaseModel

LIMIT = 256


class TooSlow(Exception):
    """The reader did not take its durable messages; close the socket."""


class Outbox:
    """One reader's queue."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._durable: deque[str] = deque()
        self._keyed: OrderedDict[str, str] = OrderedDict()
        self._wake = asyncio.Event()
        self.overflowed = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._durable) + len(self._keyed)

    @property
    def free(self) -> int:
        """Durable messages that still fit with as much again to spare, for those who have more to give than one."""
        return max(0, self._limit // 2 - len(self._durable))

    def put(self, message: BaseModel) -> None:
        """Durable. After an overflow nothing more is taken: the socket is about to be closed."""
        self.put_written(message.model_dump_json())

    def put_written(self, raw: str) -> None:
        """As `put`, for a message that is JSON already: one that goes to very many is written once."""
        if len(self._durable) >= self._limit:
            self.overflowed = True
        if not self.overflowed:
            self._durable.append(raw)
        self._wake.set()

    def put_state(self, key: str, message: BaseModel) -> None:
        """Newest wins."""
        self.put_state_written(key, message.model_dump_json())

    def put_state_written(self, key: str, raw: str) -> None:
        """As `put_state`, for a message that is JSON already."""
        self._keyed.pop(key, None)
        self._keyed[key] = raw
        self._wake.set()

    def put_live(self, key: str, message: BaseModel) -> None:
        """Newest wins, and none is taken while the reader lags."""
        if len(self) > self._limit // 2 and key not in self._keyed:
            self.dropped += 1
            return
        self.put_state(key, message)

    async def get(self) -> str:
        """The next message, durable ones first.

        Raises:
            TooSlow: durable messages overflowed.
        """
        while True:
            if self.overflowed:
                raise TooSlow
            if self._durable:
                return self._durable.popleft()
            if self._keyed:
                return self._keyed.popitem(last=False)[1]
            self._wake.clear()
            await self._wake.wait()
