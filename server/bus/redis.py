"""The bus of several processes: Redis Streams between them, a memory bus inside each.

What a process publishes reaches its own readers at once and without Redis, so a Redis that is away takes nothing from
the screens of this process. For the others it is added to the stream `{prefix}:{topic}`, which Redis cuts to about
`KEPT` bodies: it is fan-out, never a place where anything is kept. Each process reads on from the last id it saw, so a
short break is caught up; a number per sender tells what was cut off meanwhile, and then readers are told they `lagged`.

Bounded: what waits to be sent (`OUTGOING_LIMIT`, the oldest goes), what Redis keeps, what each reader holds.
"""

import asyncio
import json
import random
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server.bus import Body
from server.bus.memory import MemoryBus, MemorySubscription

log = structlog.get_logger()

TOPICS = ("entry", "live")
"""Read from the start; others from their first subscription on."""
KEPT = 10_000
"""Bodies kept per topic in Redis, about."""
OUTGOING_LIMIT = 4096
SEND_AT_ONCE = 256
READ_AT_ONCE = 512
BLOCK_MS = 500
ANSWER_S = 3.0
"""A Redis that answers nothing for this long is away."""
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 2.0
LARGEST_BYTES = 1024 * 1024
SENDERS_LIMIT = 1024
"""Senders whose numbers are remembered; each start of a process is another one."""


Work = Callable[[], Awaitable[None]]
Fields = dict[bytes, bytes]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _streams(answer: Any) -> Iterator[tuple[str, list[tuple[str, Fields]]]]:
    """The answer of XREAD in one shape: RESP2 gives pairs, RESP3 a mapping of lists of lists."""
    pairs = answer.items() if isinstance(answer, dict) else answer or ()
    for stream, messages in pairs:
        flat = messages[0] if isinstance(answer, dict) and messages and isinstance(messages[0], list) else messages
        yield _text(stream), [(_text(place), fields) for place, fields in flat]


def _order(place: str) -> tuple[int, int]:
    """Ids of a stream are `milliseconds-number`."""
    milliseconds, _, number = place.partition("-")
    return int(milliseconds), int(number or 0)


async def _end(tasks: "set[asyncio.Task[None]]") -> None:
    """Cancel until they have ended. Once is not enough: `asyncio.wait_for` of Python 3.11, which redis-py uses, loses a
    cancellation that comes at the moment at which what it waits for is done."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.2)
    for task in tasks:
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


class RedisBus:
    """One process's end of the bus. Made by `open`."""

    def __init__(self, sender: Redis, reader: Redis, prefix: str) -> None:
        self._sender = sender
        self._reader = reader
        self._prefix = prefix
        self._local = MemoryBus()
        self._origin = secrets.token_hex(8)
        self._count: dict[str, int] = {}
        self._outgoing: deque[tuple[str, bytes]] = deque()
        self._something = asyncio.Event()
        self._places: dict[str, str] = {}
        """Topic to the id of the last body seen; empty = not known yet."""
        self._seen: dict[tuple[str, str], int] = {}
        """(topic, sender) to its last number."""
        self.failing: dict[str, str] = {}
        """`send` or `read` to the reason, while Redis does not answer."""
        self.dropped = 0
        """Bodies that no other process was told of."""
        self.malformed = 0

    @property
    def up(self) -> bool:
        """Whether Redis answered when it was last asked."""
        return not self.failing

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, prefix: str) -> "AsyncIterator[RedisBus]":
        """Join the bus at `url`. Does not wait for Redis and does not fail when it is away."""
        sender = Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        reader = Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S)
        async with cls.of(sender, reader, prefix) as bus:
            yield bus

    @classmethod
    @asynccontextmanager
    async def of(cls, sender: Redis, reader: Redis, prefix: str) -> "AsyncIterator[RedisBus]":
        """As `open`, with clients that exist; they are closed at the end."""
        bus = cls(sender, reader, prefix)
        for topic in TOPICS:
            bus._places[topic] = ""
        tasks = {
            asyncio.ensure_future(bus._keep_on(name, run)) for name, run in (("send", bus._send), ("read", bus._read))
        }
        try:
            yield bus
        finally:
            await _end(tasks)
            bus._local.close()
            for client in (sender, reader):
                await client.aclose()

    # --- the bus ---

    async def publish(self, topic: str, body: Body) -> None:
        """Tell the readers of this process now and the other processes soon."""
        self._local.deliver(topic, body)
        number = self._count[topic] = self._count.get(topic, 0) + 1
        message = {"from": self._origin, "number": number, "body": body}
        if len(self._outgoing) >= OUTGOING_LIMIT:
            self._outgoing.popleft()
            self.dropped += 1
        self._outgoing.append((topic, json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()))
        self._something.set()

    @asynccontextmanager
    async def subscribe(self, topic: str, limit: int = 1024) -> AsyncIterator[MemorySubscription]:
        self._places.setdefault(topic, "")
        async with self._local.subscribe(topic, limit) as reader:
            yield reader

    # --- tasks ---

    async def _keep_on(self, name: str, run: Work) -> None:
        """Run again, after a growing wait, for as long as Redis fails."""
        delay = FIRST_DELAY_S
        while True:
            try:
                await run()
            except (RedisError, OSError, TimeoutError) as error:
                if name not in self.failing:
                    log.warning("redis_away", part=name, reason=str(error))
                    delay = FIRST_DELAY_S
                self.failing[name] = str(error)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, LONGEST_DELAY_S)

    def _answered(self, name: str) -> None:
        if self.failing.pop(name, None) is not None:
            log.info("redis_back", part=name)

    async def _send(self) -> None:
        while True:
            await self._something.wait()
            batch = [self._outgoing.popleft() for _ in range(min(SEND_AT_ONCE, len(self._outgoing)))]
            if not batch:
                self._something.clear()
                continue
            try:
                await self._add(batch)
            except BaseException:
                self._take_back(batch)
                raise
            self._answered("send")

    async def _add(self, batch: Sequence[tuple[str, bytes]]) -> None:
        async with self._sender.pipeline(transaction=False) as pipeline:
            for topic, message in batch:
                pipeline.xadd(self._stream(topic), {"m": message}, maxlen=KEPT, approximate=True)
            await pipeline.execute()

    def _take_back(self, batch: Sequence[tuple[str, bytes]]) -> None:
        """Not sent, or not known to be: sent again later. Readers know a number that they have seen."""
        self._outgoing.extendleft(reversed(batch))
        while len(self._outgoing) > OUTGOING_LIMIT:
            self._outgoing.popleft()
            self.dropped += 1

    async def _read(self) -> None:
        for topic, place in list(self._places.items()):
            if place and _order(await self._newest(topic)) < _order(place):
                self._places[topic] = "0-0"  # Redis came back with less than it had
                self._local.lag(topic)
        while True:
            for topic, place in list(self._places.items()):
                if not place:
                    self._places[topic] = await self._newest(topic)
            places = {self._stream(topic): place for topic, place in self._places.items()}
            answer = await self._reader.xread(places, count=READ_AT_ONCE, block=BLOCK_MS)  # type: ignore[arg-type]
            self._answered("read")
            for stream, messages in _streams(answer):
                topic = stream.removeprefix(f"{self._prefix}:")
                for place, fields in messages:
                    self._places[topic] = place
                    self._hear(topic, fields.get(b"m", b""))

    async def _newest(self, topic: str) -> str:
        newest = await self._reader.xrevrange(self._stream(topic), count=1)
        return _text(newest[0][0] or b"0-0") if newest else "0-0"

    def _hear(self, topic: str, message: bytes) -> None:
        try:
            if len(message) > LARGEST_BYTES:
                raise ValueError("too large")
            heard = json.loads(message)
            origin, number, body = heard["from"], heard["number"], heard["body"]
            if not (isinstance(origin, str) and isinstance(number, int) and isinstance(body, dict)):
                raise TypeError("fields of the wrong kind")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self.malformed += 1
            log.debug("bus_message_dropped", topic=topic, reason=f"A message on the bus could not be read: {error}.")
            return
        if origin == self._origin:
            return
        last = self._seen.get((topic, origin))
        if last is not None and number <= last:
            return
        if last is not None and number != last + 1:
            self._local.lag(topic)
        if last is None and len(self._seen) >= SENDERS_LIMIT:
            del self._seen[next(iter(self._seen))]
        self._seen[topic, origin] = number
        self._local.deliver(topic, body)

    def _stream(self, topic: str) -> str:
        return f"{self._prefix}:{topic}"
