"""Sessions and kept answers; ids."""

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store import idempotency, sessions
from server.store.database import Database
from server.store.errors import StoreConflict
from server.store.ids import new_id


def state(session: str, site: str, **more: object) -> dict[str, object]:
    return {"session": session, "site": site, "started_by_site": "liulin", "invitations": {}, **more}


async def save(connection: AsyncConnection, body: dict[str, object], started_at: float, *, open: bool = True) -> None:
    await sessions.save(
        connection,
        str(body["session"]),
        body,
        open=open,
        site=str(body["site"]),
        started_at=started_at,
        ended_at=None if open else started_at + 60,
    )


async def test_a_session_is_saved_and_saved_again(database: Database) -> None:
    async with database.transaction() as connection:
        await save(connection, state("s1", "mine-a", title="一"), 1.0)
        await save(connection, state("s1", "mine-a", title="二"), 1.0, open=False)
    async with database.reading() as connection:
        assert await sessions.get(connection, "s1") == state("s1", "mine-a", title="二")
        assert await sessions.get(connection, "s2") is None
        assert await sessions.open_sessions(connection) == []


async def test_open_ones_and_those_that_concern_a_site(database: Database) -> None:
    async with database.transaction() as connection:
        await save(connection, state("s2", "mine-b", invitations={"cn": {}}), 2.0)
        await save(connection, state("s1", "mine-a"), 1.0)
        await save(connection, state("s0", "mine-a"), 0.0, open=False)
    async with database.reading() as connection:
        found = {
            site: [one["session"] for one in await sessions.open_concerning(connection, site)]
            for site in ("mine-a", "mine-b", "liulin", "cn", "shanxi")
        }
        assert [one["session"] for one in await sessions.about(connection, "mine-a")] == ["s1", "s0"]
        assert [one["session"] for one in await sessions.about(connection, "mine-a", before=1.0)] == ["s0"]
    assert found == {"mine-a": ["s1"], "mine-b": ["s2"], "liulin": ["s1", "s2"], "cn": ["s2"], "shanxi": []}


async def test_an_answer_is_kept_for_a_key_of_a_user(database: Database) -> None:
    async with database.transaction() as connection:
        await idempotency.keep(connection, "k", "u1", {"session": "s1"}, 1000.0)
    async with database.reading() as connection:
        assert await idempotency.find(connection, "k", "u1") == {"session": "s1"}
        assert await idempotency.find(connection, "k", "u2") is None
    with pytest.raises(StoreConflict):
        async with database.transaction() as connection:
            await idempotency.keep(connection, "k", "u1", {"session": "s2"}, 1001.0)


async def test_old_answers_are_forgotten(database: Database) -> None:
    async with database.transaction() as connection:
        await idempotency.keep(connection, "k", "u1", {}, 1000.0)
        await idempotency.keep(connection, "k2", "u1", {}, 1000.0 + idempotency.KEPT_S + 1)
        assert await idempotency.find(connection, "k", "u1") is None
        assert await idempotency.find(connection, "k2", "u1") == {}


def test_ids_sort_by_time_and_are_unlike() -> None:
    times = [0.001, 1.0, 1700000000.0, 1700000000.001, 4000000000.5]
    ids = [new_id(at) for at in times]
    assert ids == sorted(ids)
    assert len({new_id(1.0) for _ in range(1000)}) == 1000
    assert all(one[14] == "7" and one[19] in "89ab" for one in ids)
