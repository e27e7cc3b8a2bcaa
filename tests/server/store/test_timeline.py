"""Entries with numbers that have no gaps."""

import asyncio
from collections import defaultdict

import pytest

from server.store import timeline
from server.store.database import Database
from server.store.timeline import Entry, News


async def all_of(database: Database, room: str) -> list[Entry]:
    async with database.reading() as connection:
        return await timeline.since(connection, room, 0, 100_000)


async def test_an_entry_stands_in_every_room_with_that_rooms_next_number(database: Database) -> None:
    async with database.transaction() as connection:
        await timeline.append(connection, ["site:a"], "chat", {"text": "一"}, 1.0)
        written = await timeline.append(connection, ["site:a", "site:b", "site:a"], "chat", {"text": "二"}, 2.0)
    assert [(entry.room, entry.seq) for entry in written] == [("site:a", 2), ("site:b", 1)]
    assert await all_of(database, "site:b") == [Entry("site:b", 1, 2.0, "chat", {"text": "二"})]


async def test_as_dict_is_an_event_body(database: Database) -> None:
    entry = Entry("site:a", 7, 1.5, "chat", {"text": "x"})
    assert entry.as_dict() == {"room": "site:a", "seq": 7, "at": 1.5, "kind": "chat", "body": {"text": "x"}}


async def test_numbers_of_a_rolled_back_transaction_are_used_again(database: Database) -> None:
    async def half() -> None:
        async with database.transaction() as connection:
            await timeline.append(connection, ["site:a"], "chat", {}, 1.0)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await half()
    async with database.transaction() as connection:
        (entry,) = await timeline.append(connection, ["site:a"], "chat", {}, 2.0)
    assert entry.seq == 1


async def test_no_gaps_and_no_doubles_when_many_write_and_some_fail(database: Database) -> None:
    rooms = ["site:a", "site:b", "site:c"]

    async def write(number: int) -> None:
        chosen = [room for index, room in enumerate(rooms) if (number + 1) >> index & 1]
        async with database.transaction() as connection:
            await timeline.append(connection, chosen, "chat", {"number": number}, float(number))
            await asyncio.sleep(0)
            if number % 5 == 0:
                raise RuntimeError("on purpose")

    results = await asyncio.gather(*(write(number) for number in range(80)), return_exceptions=True)
    assert sum(isinstance(result, RuntimeError) for result in results) == 16
    for index, room in enumerate(rooms):
        entries = await all_of(database, room)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        wanted = [number for number in range(80) if number % 5 and (number + 1) >> index & 1]
        assert sorted(entry.body["number"] for entry in entries) == wanted  # type: ignore[type-var]


async def test_whoever_can_read_a_number_can_read_all_before_it(database: Database) -> None:
    stop = asyncio.Event()

    async def read() -> int:
        looks = 0
        while not stop.is_set():
            entries = await all_of(database, "site:a")
            assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
            looks += 1
        return looks

    async def write() -> None:
        for _ in range(30):
            async with database.transaction() as connection:
                await timeline.append(connection, ["site:a"], "chat", {}, 1.0)

    reader = asyncio.ensure_future(read())
    await asyncio.gather(write(), write())
    stop.set()
    assert await reader > 1
    assert len(await all_of(database, "site:a")) == 60


async def test_many_pieces_of_news_keep_their_order_in_each_room(database: Database) -> None:
    news = [News(["r1", "r2"] if n % 2 else ["r2"], "reading", {"n": n}, float(n)) for n in range(10)]
    async with database.transaction() as connection:
        written = await timeline.append_all(connection, news)
        assert await timeline.append_all(connection, []) == []
    by_room: dict[str, list[object]] = defaultdict(list)
    for entry in written:
        by_room[entry.room].append(entry.body["n"])
    assert by_room == {"r1": [1, 3, 5, 7, 9], "r2": list(range(10))}
    assert [entry.seq for entry in await all_of(database, "r2")] == list(range(1, 11))


async def test_since_recent_and_last(database: Database) -> None:
    async with database.transaction() as connection:
        for number in range(1, 8):
            await timeline.append(connection, ["r"], "chat", {"n": number}, float(number))
    async with database.reading() as connection:
        assert [entry.seq for entry in await timeline.since(connection, "r", 3, 3)] == [4, 5, 6]
        assert [entry.seq for entry in await timeline.since(connection, "r", 7)] == []
        assert [entry.seq for entry in await timeline.recent(connection, "r", 3)] == [5, 6, 7]
        assert await timeline.last_seq(connection, "r") == 7
        assert await timeline.last_seq(connection, "nobody") == 0
        assert await timeline.recent(connection, "nobody", 3) == []


async def test_bodies_come_back_as_they_were(database: Database) -> None:
    body: dict[str, object] = {
        "text": "NUL \x00, quote ', 中文 😀, %s :x",
        "list": [1, 2.5, None, True],
        "small": 1e-300,
        "whole": 3.0,
        "deep": {"b": 1, "a": [{}]},
    }
    async with database.transaction() as connection:
        await timeline.append(connection, ["r"], "chat", body, 1.0)
    (entry,) = await all_of(database, "r")
    assert entry.body == body
