"""Who is told what, in which order, on a real store and bus, without sockets."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from config.settings import SiteSettings
from server.bus.memory import MemoryBus
from server.clients import Client, Connection
from server.conductor import Conductor
from server.identity.service import Revocation
from server.identity.tokens import Grant
from server.sessions.errors import SessionError
from server.sessions.machine import Acted, Actor, Ended
from server.sessions.service import SessionService
from server.store import timeline
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.store.tables import audit as audit_table
from signaling.room.messages import Event, Hello, Join

SITES = (
    SiteSettings(site="county", level="county", name_zh="县", name_en="County"),
    SiteSettings(site="mine", parent="county", level="mine", name_zh="矿", name_en="Mine"),
)


@dataclass
class World:
    database: Database
    bus: MemoryBus
    sessions: SessionService
    conductor: Conductor

    async def client(self, user: str, *rooms: str) -> tuple[Client, Connection]:
        connection = Connection(8)
        hello = Hello(version=1, joins=(Join(token="t"),))
        client, _ = self.conductor.connect(grant(user, rooms[0]).person(), connection, hello)
        for room in rooms:
            membership = await self.conductor.enter(client, grant(user, room))
            async with self.database.reading() as reading:
                membership.delivered = await timeline.last_seq(reading, room)  # as `Joined` says
        return client, connection

    async def write(self, room: str, text: str) -> list[timeline.Entry]:
        async with self.database.transaction() as connection:
            return await timeline.append(connection, [room], "chat", {"text": text}, 1.0)


def grant(user: str, room: str, expires_at: float = 9e9) -> Grant:
    return Grant(
        user=user,
        name=user,
        role="supervisor",
        site="county",
        level="county",
        room=room,
        publish=True,
        subscribe=True,
        sources=("camera",),
        moderate=True,
        jti="j" + user,
        login=None,
        issued_at=0.0,
        expires_at=expires_at,
    )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with Database.open(sqlite_url(tmp_path)) as database:
        tree = await SiteTree.load(database)
        await tree.ensure(SITES)
        bus = MemoryBus()
        sessions = SessionService(database, tree, bus, 20.0)
        conductor = Conductor(database, bus, sessions, resume_s=0.2)
        await conductor.prepare()
        task = asyncio.ensure_future(conductor.run())
        await asyncio.sleep(0.05)
        yield World(database, bus, sessions, conductor)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def events(connection: Connection) -> list[dict[str, object]]:
    waiting = [json.loads(body) for body in connection.outbox._durable]
    return [one for one in waiting if one["type"] == "event" and one["kind"] == "chat"]


def texts(connection: Connection) -> list[object]:
    return [one["body"]["text"] for one in events(connection)]  # type: ignore[index]


async def settle(client: Client, room: str, world: World) -> None:
    """Until the notes of entering are written, then forget them."""
    await asyncio.sleep(0.1)
    async with world.database.reading() as connection:
        client.rooms[room].delivered = await timeline.last_seq(connection, room)
    if client.connection is not None:
        client.connection.outbox._durable.clear()


async def test_entries_that_arrive_in_disorder_are_delivered_in_order_and_once(world: World) -> None:
    client, connection = await world.client("u", "site:mine")
    await settle(client, "site:mine", world)
    entries = [entry for text in "abc" for entry in await world.write("site:mine", text)]
    for entry in (entries[1], entries[0], entries[2], entries[1]):
        await world.conductor.deliver(Event.model_validate(entry.as_dict()))
    assert texts(connection) == ["a", "b", "c"]


async def test_a_lost_hint_on_the_bus_is_made_up_from_the_store(world: World) -> None:
    client, connection = await world.client("u", "site:mine")
    await settle(client, "site:mine", world)
    await world.write("site:mine", "lost on the bus")
    (entry,) = await world.write("site:mine", "heard")
    await world.conductor.deliver(Event.model_validate(entry.as_dict()))
    assert texts(connection) == ["lost on the bus", "heard"]


async def test_a_room_is_told_only_to_those_in_it(world: World) -> None:
    _, inside = await world.client("a", "site:mine")
    _, outside = await world.client("b", "site:county")
    await world.conductor.write(["site:mine"], "chat", {"text": "x"})
    await asyncio.sleep(0.1)
    assert texts(inside) == ["x"]
    assert texts(outside) == []


async def test_a_lost_client_is_taken_up_again_only_with_its_key_and_by_its_user(world: World) -> None:
    client, connection = await world.client("u", "site:mine")
    world.conductor.disconnect(client, connection)
    right = Hello(version=1, joins=(Join(token="t"),), client=client.client, key=client.key)
    wrong = right.model_copy(update={"key": "guess"})
    person = grant("u", "site:mine").person()
    assert world.conductor.connect(person, Connection(8), wrong) != (client, True)
    assert world.conductor.connect(grant("v", "site:mine").person(), Connection(8), right)[1] is False
    assert world.conductor.connect(person, Connection(8), right) == (client, True)
    assert client.lost_at is None


async def test_a_client_that_does_not_come_back_is_removed_with_its_rooms(world: World) -> None:
    gone: list[Client] = []
    world.conductor.on_removed = gone.append
    client, connection = await world.client("u", "site:mine")
    world.conductor.disconnect(client, connection)
    await asyncio.sleep(1.0)
    assert gone == [client]
    assert world.conductor.in_room("site:mine") == []


async def test_revoked_access_closes_the_socket_at_once(world: World) -> None:
    _, connection = await world.client("u", "site:mine")
    _, other = await world.client("v", "site:mine")
    world.conductor.revoke(Revocation(user="u"))
    assert connection.ended.done()
    assert connection.ended.result()[0] == 4403
    assert not other.ended.done()


async def test_nothing_is_delivered_before_joined_has_told_where_it_begins(world: World) -> None:
    for number in range(300):
        await world.write("site:mine", f"old {number}")
    connection = Connection(64)
    client, _ = world.conductor.connect(
        grant("u", "site:mine").person(), connection, Hello(version=1, joins=(Join(token="t"),))
    )
    await world.conductor.enter(client, grant("u", "site:mine"))
    await asyncio.sleep(0.2)  # the client's own `member` entry has come by the bus
    assert list(connection.outbox._durable) == []
    assert not connection.outbox.overflowed


async def test_a_client_far_behind_is_fed_as_its_outbox_drains(world: World) -> None:
    client, connection = await world.client("u", "site:mine")
    first = client.rooms["site:mine"].delivered or 0
    for number in range(100):
        await world.write("site:mine", f"{number}")
    await world.conductor.catch_up(client, "site:mine")
    got: list[int] = []
    async with asyncio.timeout(60):
        while len(got) < 100:
            message = json.loads(await connection.outbox.get())
            if message["type"] == "event":
                got.append(message["seq"])
    assert got == list(range(first + 1, first + 101))


async def test_a_revocation_holds_against_a_grant_that_was_verified_just_before(world: World) -> None:
    world.conductor.revoke(Revocation(user="u"))
    client, _ = world.conductor.connect(
        grant("u", "site:mine").person(), Connection(8), Hello(version=1, joins=(Join(token="t"),))
    )
    with pytest.raises(SessionError, match="revoked"):
        await world.conductor.enter(client, grant("u", "site:mine"))
    assert client.rooms == {}


async def test_who_enters_stands_in_the_audit_before_anything_is_shown(world: World) -> None:
    await world.client("u", "site:mine")
    async with world.database.reading() as connection:
        rows = (await connection.execute(select(audit_table).where(audit_table.c.action == "room.enter"))).all()
    assert [(row.actor, row.object) for row in rows] == [("user:u", "site:mine")]


async def test_the_end_of_a_consultation_takes_everybody_out_of_its_room(world: World) -> None:
    by = Actor("u", "u", "county", "county", "supervisor")
    state = await world.sessions.start("mine", by, [], title="t", alert=None)
    room = f"session:{state['session']}"
    client, connection = await world.client("u", room)
    await world.sessions.handle(str(state["session"]), Ended(by))
    await asyncio.sleep(0.2)
    assert client.rooms == {}
    assert "ended" in [json.loads(body).get("body", {}).get("change") for body in connection.outbox._durable]


async def test_an_expired_grant_takes_the_client_out_of_the_room(world: World) -> None:
    client, connection = await world.client("u", "site:mine")
    await world.conductor.enter(client, grant("u", "site:mine", expires_at=1.0))
    await asyncio.sleep(0.8)
    assert "site:mine" not in client.rooms
    problems = [json.loads(body) for body in connection.outbox._durable]
    assert [one["error"] for one in problems if one["type"] == "problem"] == ["token_expired"]


@pytest.mark.parametrize("why", ["revoked", "session_over", "removed"])
async def test_who_is_shut_out_while_coming_in_is_not_in(
    world: World, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    by = Actor("chair", "王", "county", "county", "supervisor")
    name = str((await world.sessions.start("mine", by, [], title="t", alert=None))["session"])
    room = f"session:{name}"
    client, _ = await world.client("u", "site:mine")
    await world.client("chair", room)
    write = world.conductor._write_entry_of

    async def and_then_it_happens(client: Client, grant: Grant) -> None:
        await write(client, grant)
        if why == "revoked":
            world.conductor.revoke(Revocation(jti=grant.jti))
        elif why == "session_over":
            await world.sessions.handle(name, Ended(by))
        else:
            await world.sessions.handle(name, Acted("remove", by, True, grant.user))

    monkeypatch.setattr(world.conductor, "_write_entry_of", and_then_it_happens)
    with pytest.raises(SessionError) as refused:
        await world.conductor.enter(client, grant("u", room))
    assert refused.value.error == why
    assert room not in client.rooms
    if (state := world.sessions.get_open(name)) is not None:
        assert set(state.people()) == {"chair"}
