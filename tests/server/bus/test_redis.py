"""The bus between processes: against a Redis in memory, and against a real one that is killed, frozen and emptied."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import fakeredis
import pytest
from redis.asyncio import Redis

from config.settings import BusSettings
from server.bus import redis as module
from server.bus.memory import MemorySubscription
from server.bus.redis import RedisBus
from server.bus.start import open_bus
from tests.fakes.redisserver import PROGRAM, RedisServer

Join = Callable[[], AbstractAsyncContextManager[RedisBus]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    if PROGRAM is None:
        pytest.skip("redis-server is not installed on this machine")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.peer)])
def join(request: pytest.FixtureRequest) -> Join:
    """How another process would join the same bus."""
    if request.param == "real":
        server: RedisServer = request.getfixturevalue("server")
        return lambda: RedisBus.open(server.url, "lamproom")
    fake = fakeredis.FakeServer()

    def of_fake() -> AbstractAsyncContextManager[RedisBus]:
        sender, reader = (fakeredis.FakeAsyncRedis(server=fake) for _ in range(2))
        return RedisBus.of(sender, reader, "lamproom")

    return of_fake


async def take(reader: MemorySubscription, count: int, within: float = 10.0) -> list[object]:
    async with asyncio.timeout(within):
        return [(await anext(reader))["n"] for _ in range(count)]


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.01)


async def ready(*buses: RedisBus) -> None:
    """Until each knows from where on it reads."""
    await until(lambda: all(all(bus._places.values()) for bus in buses))


async def test_every_process_hears_everything_once_and_in_order(join: Join) -> None:
    async with join() as one, join() as other, one.subscribe("entry") as here, other.subscribe("entry") as there:
        await ready(one, other)
        for n in range(500):
            await one.publish("entry", {"n": n, "text": "空岗"})
        assert await take(here, 500) == await take(there, 500) == list(range(500))
        await other.publish("entry", {"n": 500})
        assert await take(here, 1) == await take(there, 1) == [500]
        assert not here.lagged
        assert not there.lagged
        assert one.up
        assert other.up


async def test_a_topic_that_nobody_knew_is_heard_from_its_subscription_on(join: Join) -> None:
    async with join() as one, join() as other, other.subscribe("further") as there:
        await until(lambda: bool(other._places.get("further")))
        await one.publish("further", {"n": 1})
        assert await take(there, 1) == [1]


async def test_a_prefix_keeps_levels_apart(server_or_fake: tuple[Join, Join]) -> None:
    join_one, join_other = server_or_fake
    async with join_one() as one, join_other() as other, other.subscribe("entry") as there:
        await ready(one, other)
        await one.publish("entry", {"n": 1})
        await other.publish("entry", {"n": 2})
        assert await take(there, 1) == [2]
        with pytest.raises(TimeoutError):
            await take(there, 1, within=0.7)


@pytest.fixture
def server_or_fake() -> tuple[Join, Join]:
    fake = fakeredis.FakeServer()

    def with_prefix(prefix: str) -> Join:
        def join() -> AbstractAsyncContextManager[RedisBus]:
            sender, reader = (fakeredis.FakeAsyncRedis(server=fake) for _ in range(2))
            return RedisBus.of(sender, reader, prefix)

        return join

    return with_prefix("county-a"), with_prefix("county-b")


async def test_what_is_no_message_of_ours_is_counted_and_dropped(join: Join) -> None:
    bad = [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"from": 1, "number": 1, "body": {}}',
        b'{"from": "x", "number": "1", "body": {}}',
        b'{"from": "x", "number": 1, "body": []}',
        b"[" * 100_000,
        b'"' + b"x" * module.LARGEST_BYTES + b'"',
        b"\xff\xfe",
    ]
    async with join() as one, join() as other, other.subscribe("entry") as there:
        await ready(one, other)
        for message in bad:
            await one._sender.xadd("lamproom:entry", {"m": message})
        await one._sender.xadd("lamproom:entry", {"other": b"field"})
        await one.publish("entry", {"n": 1})
        assert await take(there, 1) == [1]
        assert other.malformed == len(bad) + 1


async def test_a_number_that_is_missing_is_told_and_one_that_came_before_is_not_given_again(join: Join) -> None:
    async with join() as one, join() as other, other.subscribe("entry") as there:
        await ready(one, other)
        for number in (1, 2, 2, 1, 3, 7):
            message = json.dumps({"from": "sender", "number": number, "body": {"n": number}})
            await one._sender.xadd("lamproom:entry", {"m": message})
        assert await take(there, 3) == [1, 2, 3]
        assert await take(there, 1) == [7]
        assert there.lagged


async def test_what_waits_to_be_sent_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTGOING_LIMIT", 10)
    async with RedisBus.open("redis://127.0.0.1:1/0", "lamproom") as bus, bus.subscribe("entry") as here:
        for n in range(25):
            await bus.publish("entry", {"n": n})
        assert await take(here, 25) == list(range(25))
        await until(lambda: not bus.up)
        assert bus.dropped == 15
        assert len(bus._outgoing) <= 10


async def test_settings_choose_the_bus() -> None:
    async with open_bus(BusSettings(url="redis://127.0.0.1:1/0")) as bus:
        assert isinstance(bus, RedisBus)


# --- a real server that fails ---------------------------------------------------------------------------------------


@pytest.fixture
async def pair(server: RedisServer) -> AsyncIterator[tuple[RedisBus, RedisBus]]:
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(RedisBus.open(server.url, "lamproom")) for _ in range(2)]
        await ready(*buses)
        yield buses[0], buses[1]


@pytest.mark.peer
async def test_a_redis_that_is_killed_takes_nothing_from_this_process_and_comes_back(
    server: RedisServer, pair: tuple[RedisBus, RedisBus]
) -> None:
    one, other = pair
    async with one.subscribe("entry") as here, other.subscribe("entry") as there:
        await one.publish("entry", {"n": 0})
        assert await take(here, 1) == await take(there, 1) == [0]
        server.kill()
        await one.publish("entry", {"n": 1})
        assert await take(here, 1, within=0.1) == [1]
        await until(lambda: not one.up and not other.up, within=3)
        server.start()
        assert await take(there, 1, within=5) == [1]
        await one.publish("entry", {"n": 2})
        assert await take(there, 1, within=5) == [2]
        await until(lambda: one.up and other.up, within=5)


@pytest.mark.peer
async def test_a_frozen_redis_is_noticed_and_its_thaw_too(
    server: RedisServer, pair: tuple[RedisBus, RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    async with one.subscribe("entry") as here, other.subscribe("entry") as there:
        server.signal(signal.SIGSTOP)
        await one.publish("entry", {"n": 1})
        assert await take(here, 1, within=0.1) == [1]
        await until(lambda: not one.up and not other.up, within=module.ANSWER_S * 2 + 2)
        server.signal(signal.SIGCONT)
        assert await take(there, 1, within=5) == [1]
        await until(lambda: one.up and other.up, within=5)
        with pytest.raises(TimeoutError):  # sent twice perhaps, given once
            await take(there, 1, within=1)


@pytest.mark.peer
@pytest.mark.parametrize("setting", [("min-replicas-to-write", "1"), ("maxmemory", "1")])
async def test_a_redis_that_refuses_to_write_is_tried_again(
    server: RedisServer, pair: tuple[RedisBus, RedisBus], setting: tuple[str, str]
) -> None:
    one, other = pair
    admin = Redis.from_url(server.url)
    try:
        await admin.config_set(*setting)
        async with other.subscribe("entry") as there:
            await one.publish("entry", {"n": 1})
            await until(lambda: not one.up, within=3)
            await admin.config_set(setting[0], "0")
            assert await take(there, 1, within=5) == [1]
            await until(lambda: one.up, within=5)
    finally:
        await admin.aclose()


@pytest.mark.peer
async def test_a_redis_that_is_emptied_goes_on(server: RedisServer, pair: tuple[RedisBus, RedisBus]) -> None:
    one, other = pair
    admin = Redis.from_url(server.url)
    try:
        async with other.subscribe("entry") as there:
            for n in range(3):
                await one.publish("entry", {"n": n})
                assert await take(there, 1) == [n]
                await admin.flushall()
                await asyncio.sleep(0.005)  # an emptied stream counts anew within each millisecond
    finally:
        await admin.aclose()


@pytest.mark.peer
async def test_redis_keeps_only_so_much(
    server: RedisServer, pair: tuple[RedisBus, RedisBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 100)
    one, _ = pair
    for n in range(3000):
        await one.publish("live", {"n": n})
    await until(lambda: not one._outgoing)
    admin = Redis.from_url(server.url)
    try:
        assert await admin.xlen("lamproom:live") < 500
    finally:
        await admin.aclose()
