"""What waits for a slow reader, and what is dropped."""

import asyncio
import json

import pytest

from server.outbox import Outbox, TooSlow
from signaling.room.messages import Live, Pong, Roster


def live(key: str, value: float) -> Live:
    return Live(room="site:a", kind="reading", key=key, body={"value": value})


async def everything(outbox: Outbox) -> list[dict[str, object]]:
    return [json.loads(await outbox.get()) for _ in range(len(outbox))]


async def test_durable_messages_leave_in_order_and_before_values() -> None:
    outbox = Outbox()
    outbox.put_live("a", live("a", 1))
    outbox.put(Pong(t=1))
    outbox.put(Pong(t=2))
    assert [one["type"] for one in await everything(outbox)] == ["pong", "pong", "live"]


async def test_the_newest_value_replaces_the_older_one_of_its_key() -> None:
    outbox = Outbox()
    for value in range(100):
        outbox.put_live("a", live("a", value))
        outbox.put_state("roster/site:a", Roster(room="site:a", members=(), tracks=()))
    found = await everything(outbox)
    assert len(found) == 2
    assert {"value": 99} in [one.get("body") for one in found]


async def test_no_new_value_is_taken_while_the_reader_lags() -> None:
    outbox = Outbox(limit=10)
    for number in range(6):
        outbox.put(Pong(t=number))
    outbox.put_live("a", live("a", 1))
    assert (len(outbox), outbox.dropped) == (6, 1)


async def test_too_many_durable_messages_end_the_reader_instead_of_losing_one_silently() -> None:
    outbox = Outbox(limit=3)
    for number in range(4):
        outbox.put(Pong(t=number))
    assert outbox.overflowed
    with pytest.raises(TooSlow):
        await outbox.get()


async def test_a_waiting_reader_is_woken() -> None:
    outbox = Outbox()
    reader = asyncio.ensure_future(outbox.get())
    await asyncio.sleep(0)
    outbox.put(Pong(t=7))
    assert json.loads(await reader)["t"] == 7
