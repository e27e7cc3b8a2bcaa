"""The bus inside one process."""

import asyncio

import pytest

from config.settings import BusSettings
from server.bus import Bus
from server.bus.memory import MemoryBus, MemorySubscription
from server.bus.start import open_bus


async def take(reader: MemorySubscription, count: int) -> list[object]:
    async with asyncio.timeout(5):
        return [(await anext(reader))["n"] for _ in range(count)]


async def test_every_reader_of_a_topic_hears_everything_in_order() -> None:
    bus = MemoryBus()
    async with bus.subscribe("entry") as one, bus.subscribe("entry") as other, bus.subscribe("live") as third:
        for n in range(5):
            await bus.publish("entry", {"n": n})
        await bus.publish("live", {"n": 9})
        assert await take(one, 5) == await take(other, 5) == [0, 1, 2, 3, 4]
        assert await take(third, 1) == [9]
        assert not one.lagged


async def test_a_full_queue_drops_the_oldest_and_says_so() -> None:
    bus = MemoryBus()
    async with bus.subscribe("entry", limit=3) as slow, bus.subscribe("entry") as quick:
        for n in range(10):
            await bus.publish("entry", {"n": n})
        assert await take(slow, 3) == [7, 8, 9]
        assert (slow.lagged, slow.dropped) == (True, 7)
        slow.lagged = False
        await bus.publish("entry", {"n": 10})
        assert await take(slow, 1) == [10]
        assert not slow.lagged
        assert await take(quick, 11) == list(range(11))
        assert not quick.lagged


async def test_a_reader_waits_for_news() -> None:
    bus = MemoryBus()
    async with bus.subscribe("entry") as reader:
        waiting = asyncio.ensure_future(take(reader, 1))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await bus.publish("entry", {"n": 1})
        assert await waiting == [1]


async def test_what_is_published_before_and_after_is_not_heard() -> None:
    bus = MemoryBus()
    await bus.publish("entry", {"n": 0})
    async with bus.subscribe("entry") as reader:
        await bus.publish("entry", {"n": 1})
    await bus.publish("entry", {"n": 2})
    bus.close()
    async with bus.subscribe("entry") as late:
        await bus.publish("entry", {"n": 3})
        assert await take(late, 1) == [3]
    assert await take(reader, 1) == [1]


async def test_closing_ends_the_iteration_after_what_is_queued() -> None:
    async with open_bus(BusSettings()) as bus:
        assert isinstance(bus, MemoryBus)
        protocol: Bus = bus
        async with protocol.subscribe("entry") as reader:
            await protocol.publish("entry", {"n": 1})
            bus.close()
            assert [body async for body in reader] == [{"n": 1}]


async def test_a_reader_must_be_able_to_hold_something() -> None:
    with pytest.raises(ValueError, match="at least one"):
        async with MemoryBus().subscribe("entry", limit=0):
            pass
