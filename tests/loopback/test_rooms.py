"""The room protocol against a real server process."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from signaling.room import messages as m
from tests.fakes.instance import Instance
from tests.fakes.people import People, people

__all__ = ["people"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    async with Instance(tmp_path_factory.mktemp("server"), duty={"ring_timeout_s": 3.0}) as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def call(http: aiohttp.ClientSession, path: str, status: int = 200, **body: object) -> dict[str, object]:
    async with http.post(path, json=body or None) as answer:
        found: dict[str, object] = await answer.json()
        assert answer.status == status, found
        return found


async def test_chat_reaches_everybody_in_the_room_with_the_same_number(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    county = await people.enter("county", "site:hongqi")
    await mine.send(m.Chat(id="c1", room="site:hongqi", text="井下通风正常"))
    assert (await mine.hear(m.Done)).id == "c1"
    heard = await county.event("chat", lambda body: body["text"] == "井下通风正常")
    assert heard == await mine.event("chat", lambda body: body["text"] == "井下通风正常")


async def test_nobody_looks_up_or_into_what_is_not_there(people: People) -> None:
    http = await people.http("dispatcher")
    for room in ("site:county", "site:nowhere", "session:none", "nonsense"):
        async with http.post("/api/token", json={"room": room}) as answer:
            assert answer.status in (403, 404), room


async def test_who_watches_a_mine_stands_in_its_roster(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    county = await people.enter("county", "site:county", "site:hongqi")
    user = (await county.hear(m.Welcome)).you.user
    await mine.hear(m.Roster, lambda one: user in [member.person.user for member in one.members])
    await mine.event("member", lambda body: body["change"] == "joined" and body["person"]["user"] == user)


async def test_a_cut_socket_comes_back_to_the_same_client_and_misses_nothing(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    welcome = await mine.hear(m.Welcome)
    joined = await mine.hear(m.Joined)
    other = await people.enter("county", "site:hongqi")
    await mine.cut()
    for number in range(20):
        await other.send(m.Chat(id=f"m{number}", room="site:hongqi", text=f"缺席期间 {number}"))
    await other.hear(m.Done, lambda one: one.id == "m19")
    last = max([joined.seq, *(one.seq for one in mine.events("site:hongqi"))])
    again = await people.enter(
        "dispatcher", "site:hongqi", client=welcome.client, key=welcome.key, since=last, epoch=joined.epoch
    )
    assert (await again.hear(m.Welcome)).client == welcome.client
    back = await again.hear(m.Joined)
    assert back.snapshot is None
    await asyncio.sleep(0.3)
    numbers = [one.seq for one in (*back.events, *again.events("site:hongqi"))]
    assert numbers == list(range(last + 1, last + 1 + len(numbers)))
    texts = [one.body["text"] for one in (*back.events, *again.events("site:hongqi")) if one.kind == "chat"]
    assert texts == [f"缺席期间 {number}" for number in range(20)]


async def test_one_click_rings_the_mine_and_the_levels_above_and_counts_the_answer(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    city = await people.enter("city", "site:city")
    county_http = await people.http("county")
    session = await call(county_http, "/api/sessions", 201, site="hongqi", levels=["city", "province"], title="演练")
    ring = await mine.event(
        "session", lambda body: body["change"] == "ringing" and body["session"] == session["session"]
    )
    assert ring.body["invitation"]["site"] == "hongqi"  # type: ignore[index]
    await city.event("session", lambda body: body["change"] == "ringing" and body["session"] == session["session"])
    await call(await people.http("city"), f"/api/sessions/{session['session']}/answer")
    answered = await city.event("session", lambda body: body["change"] == "answered")
    assert answered.body["invitation"]["answer_s"] >= 0  # type: ignore[index]
    room = f"session:{session['session']}"
    inside = await people.enter("city", room)
    await people.enter("dispatcher", room)
    await inside.event("session", lambda body: body["change"] == "joined" and body["participant"]["site"] == "hongqi")
    await inside.event(
        "session", lambda body: body["change"] == "unreachable" and body["invitation"]["site"] == "province"
    )
    await call(county_http, f"/api/sessions/{session['session']}/end")
    await mine.event("session", lambda body: body["change"] == "ended" and body["session"] == session["session"])


async def test_an_order_is_read_back(people: People) -> None:
    county_http = await people.http("county")
    session = await call(county_http, "/api/sessions", 201, site="hongqi", levels=[])
    room = f"session:{session['session']}"
    county = await people.enter("county", room)
    mine = await people.enter("dispatcher", room)
    await county.send(m.GiveOrder(id="o", room=room, to_site="hongqi", text="撤出 2301 工作面人员"))
    given = await mine.event("order", lambda body: body["change"] == "given")
    await county.send(m.AnswerOrder(id="x", room=room, order=str(given.body["order"]), state="confirmed"))
    assert (await county.hear(m.Problem)).error == "not_allowed"
    await mine.send(m.AnswerOrder(id="y", room=room, order=str(given.body["order"]), state="confirmed"))
    await county.event("order", lambda body: body["change"] == "confirmed")
    await call(county_http, f"/api/sessions/{session['session']}/end")


async def test_the_same_idempotency_key_opens_one_consultation(people: People) -> None:
    http = await people.http("county")
    found = []
    for _ in range(2):
        async with http.post(
            "/api/sessions", json={"site": "hongqi", "levels": []}, headers={"Idempotency-Key": "k1"}
        ) as a:
            found.append((await a.json())["session"])
    assert found[0] == found[1]
    await call(http, f"/api/sessions/{found[0]}/end")


async def test_revoked_access_closes_the_socket_within_a_second(people: People) -> None:
    admin = await people.http("admin")
    async with admin.post("/api/users", json={"login": "gone", "name": "离任", "role": "viewer", "site": "county",
                                              "password": "correct horse battery"}) as answer:  # fmt: skip
        user = await answer.json()
        assert answer.status in (200, 201), user
    leaver = await people.enter("gone", "site:county")
    async with admin.post(f"/api/users/{user['user']}/revoke") as answer:
        assert answer.status < 300
    assert await leaver.closed(timeout_s=1.0) == 4403
    assert (await leaver.hear(m.Closing)).final


async def test_bad_messages_are_refused_and_the_socket_lives(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    for text in ("{", "[]", '{"type":"nothing"}', '{"type":"chat","id":"a"}', '{"type":"ping","t":NaN}', "[" * 30000):
        before = sum(isinstance(one, m.Problem) for one in mine.heard)
        await mine.send_text(text)
        await mine.hear(m.Problem, lambda one, n=before: sum(isinstance(x, m.Problem) for x in mine.heard) > n)  # type: ignore[misc]
    await mine.send(m.Ping(t=1.0))
    assert (await mine.hear(m.Pong)).t == 1.0


async def test_a_frame_that_is_too_large_closes_with_1009(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    await mine.send_text('{"type":"chat","id":"a","room":"site:hongqi","text":"' + "x" * 70_000 + '"}')
    assert await mine.closed() == 1009


async def test_a_foreign_origin_may_not_open_the_socket(people: People) -> None:
    http = await people.http("dispatcher")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect("/api/ws", headers={"Origin": "https://elsewhere.example"})
    assert refused.value.status == 403


async def test_a_socket_that_does_not_say_hello_is_closed(people: People) -> None:
    http = await people.http("dispatcher")
    async with http.ws_connect("/api/ws") as socket:
        await socket.send_str('{"type":"ping"}')
        message = await socket.receive(timeout=5)
        assert "hello_first" in message.data
        await socket.receive(timeout=5)
        assert socket.close_code == 4400


async def test_after_kill_9_the_timeline_goes_on_where_it_was(people: People, server: Instance) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    joined = await mine.hear(m.Joined)
    await mine.send(m.Chat(id="before", room="site:hongqi", text="重启之前"))
    await mine.hear(m.Done, lambda one: one.id == "before")
    said = await mine.event("chat", lambda body: body["text"] == "重启之前")
    await server.kill()
    await server.start()
    again = await people.enter("dispatcher", "site:hongqi", since=said.seq - 1, epoch=joined.epoch)
    back = await again.hear(m.Joined)
    assert back.epoch == joined.epoch
    assert back.events[0].seq == said.seq
    assert back.events[0].body["text"] == "重启之前"
