"""How parts of one level tell each other that something is new. The store stays the truth.

A body on the bus is a hint: it may be lost (a full queue, a Redis that is away), never wrong. Who needs everything
keeps the last `seq` seen and reads the store when a number is missing or `lagged` is set.

Topics in use: `entry` (bodies are `server.store.timeline.Entry.as_dict()`), `live` ({room, kind, key, body}).
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

Body = dict[str, object]


class Subscription(Protocol):
    """What one reader of a topic has not read yet. Iterate with `async for`; it ends when the bus closes."""

    lagged: bool
    """Something was dropped, or may have been. The reader sets it back to False and reads the store again."""
    dropped: int
    """Bodies this reader has lost for certain."""

    def __aiter__(self) -> "Subscription": ...
    async def __anext__(self) -> Body: ...


class Bus(Protocol):
    """Fan-out to all parts of one level."""

    async def publish(self, topic: str, body: Body) -> None:
        """Tell everybody who listens to `topic`. Never waits for a reader and never fails: the store has it."""
        ...

    def subscribe(self, topic: str, limit: int = 1024) -> AbstractAsyncContextManager[Subscription]:
        """Hear what is published from now on. At most `limit` bodies wait; then the oldest is dropped."""
        ...
