"""Moderation against a real server and media worker: who is muted is really not forwarded."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiortc.mediastreams import AudioStreamTrack

from signaling.room import messages as m
from tests.fakes.instance import Instance
from tests.fakes.people import People, Screen, people
from tests.fakes.roomclient import RoomClient

__all__ = ["people"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOTHING_S = 0.6
"""Sound comes every 20 ms; none for so long is silence."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    async with Instance(tmp_path_factory.mktemp("server"), duty={"ring_timeout_s": 3.0}) as running:
        yield running


async def call(http: aiohttp.ClientSession, path: str, status: int = 200, **body: object) -> dict[str, Any]:
    async with http.post(path, json=body or None) as answer:
        found: dict[str, Any] = await answer.json() if answer.content_type.endswith("json") else {}
        assert answer.status == status, found
        return found


_numbers = iter(range(1, 10_000))


_Answer = (m.Done, m.Problem)


async def floor(client: RoomClient, room: str, action: str, target: str = "", value: str = "") -> str:
    """Ask; the error, or nothing."""
    number = f"f{next(_numbers)}"
    await client.send(m.Floor(id=number, room=room, action=action, target=target, value=value))  # type: ignore[arg-type]
    answer: m.Done | m.Problem = await client.hear(_Answer, lambda one: one.id == number)  # type: ignore[arg-type]
    return answer.error if isinstance(answer, m.Problem) else ""


async def consultation(people: People, by: str = "county", *levels: str) -> str:
    started = await call(await people.http(by), "/api/sessions", 201, site="hongqi", levels=list(levels))
    return f"session:{started['session']}"


async def user_of(client: RoomClient) -> str:
    return (await client.hear(m.Welcome)).you.user


async def packets(screen: Screen) -> int:
    """Sound that has arrived."""
    stats = await screen.connection.getStats()
    return sum(one.packetsReceived for one in stats.values() if one.type == "inbound-rtp")


async def is_heard(screen: Screen) -> bool:
    """Whether sound arrives from now on."""
    before = await packets(screen)
    await asyncio.sleep(NOTHING_S)
    return await packets(screen) - before > 5


async def test_a_muted_microphone_is_not_forwarded_whatever_its_page_does(people: People) -> None:
    room = await consultation(people)
    county = await people.enter("county", room)
    mine = await people.enter("dispatcher", room)
    connection, published = await people.publish(mine, room, "desk", AudioStreamTrack())
    screen = await people.watch(county, *published.tracks.values())
    await screen.frames("audio", 5)
    dispatcher = await user_of(mine)

    assert await floor(mine, room, "mute", dispatcher) == "not_allowed"
    assert await floor(county, room, "mute", dispatcher) == ""
    assert not await is_heard(screen)
    await county.event("session", lambda body: body["change"] == "muted" and body["about"]["user"] == dispatcher)
    await county.hear(m.Roster, lambda one: any(track.silenced for track in one.tracks))

    # The page says that it is not muted, and publishes anew, and comes back as another client: nothing helps.
    await mine.send(m.Muted(track=next(iter(published.tracks.values())), muted=False))
    assert await floor(mine, room, "unmute", dispatcher) == "not_allowed"
    again = await people.enter("dispatcher", room)
    _, second = await people.publish(again, room, "desk2", AudioStreamTrack())
    await screen.watch(*published.tracks.values(), *second.tracks.values())
    assert not await is_heard(screen)

    assert await floor(county, room, "unmute", dispatcher) == ""
    assert await is_heard(screen)
    await connection.close()
    assert await is_heard(screen), "the second microphone is heard too"


async def test_the_talk_key_lets_one_be_heard_and_a_higher_level_takes_the_floor(people: People) -> None:
    room = await consultation(people, "county", "city")
    county, mine = await people.enter("county", room), await people.enter("dispatcher", room)
    city = await people.enter("city", room)
    _, ours = await people.publish(mine, room, "desk", AudioStreamTrack())
    _, theirs = await people.publish(city, room, "desk", AudioStreamTrack())
    mine_heard = await people.watch(county, *ours.tracks.values())
    city_heard = await people.watch(mine, *theirs.tracks.values())
    await asyncio.gather(mine_heard.frames("audio", 3), city_heard.frames("audio", 3))

    assert await floor(county, room, "mode", value="talk") == ""
    assert [await is_heard(mine_heard), await is_heard(city_heard)] == [False, False]
    assert await floor(mine, room, "talk") == ""
    assert [await is_heard(mine_heard), await is_heard(city_heard)] == [True, False]
    assert await floor(city, room, "talk") == "floor_taken"
    assert await floor(mine, room, "preempt") == "not_allowed"

    pressed = time.monotonic()
    assert await floor(city, room, "preempt") == ""
    print(f"floor taken {1000 * (time.monotonic() - pressed):.0f} ms after the key")
    assert [await is_heard(mine_heard), await is_heard(city_heard)] == [False, True]
    for one in (mine, county):  # everybody sees who took it
        seen = await one.event("session", lambda body: body["change"] == "preempted")
        assert seen.body["about"]["level"] == "city"  # type: ignore[index]
    await city.cut()  # gone without a word: the floor comes free when the server has noticed
    await county.event("session", lambda body: body["change"] == "floor_released")
    assert await floor(mine, room, "talk") == ""
    async with (await people.http("dispatcher")).post(f"/api/sessions/{room.removeprefix('session:')}/end") as answer:
        assert answer.status == 403, "the chair is there, and ends it"


async def test_who_is_removed_is_out_and_cannot_come_back(people: People) -> None:
    room = await consultation(people)
    county, mine = await people.enter("county", room), await people.enter("dispatcher", room)
    assert await floor(county, room, "remove", await user_of(mine)) == ""
    assert (await mine.hear(m.Problem, lambda one: one.room == room)).error == "removed"
    await mine.send(m.Join(id="again", token=await mine.token(room)))
    assert (await mine.hear(m.Problem, lambda one: one.id == "again")).error == "removed"
    assert await floor(county, room, "let_back", await user_of(mine)) == ""
    await mine.send(m.Join(id="once more", token=await mine.token(room)))
    await mine.hear(m.Joined, lambda one: one.id == "once more")


async def test_a_locked_consultation_lets_in_who_is_admitted(people: People) -> None:
    room = await consultation(people)
    county = await people.enter("county", room)
    assert await floor(county, room, "lock") == ""
    mine = await people.enter("dispatcher", "site:hongqi")
    await mine.send(m.Join(id="j1", token=await mine.token(room)))
    assert (await mine.hear(m.Problem, lambda one: one.id == "j1")).error == "locked"
    knocked = await county.event("session", lambda body: body["change"] == "knocked")
    user = knocked.body["about"]["user"]  # type: ignore[index]
    assert user == await user_of(mine)
    assert await floor(county, room, "admit", user) == ""
    await mine.send(m.Join(id="j2", token=await mine.token(room)))
    await mine.hear(m.Joined, lambda one: one.id == "j2")


async def guest_client(server: Instance, url: str, name: str) -> tuple[aiohttp.ClientSession, int]:
    """A browser that uses a guest's link."""
    http = aiohttp.ClientSession(server.url, headers={"X-Lamproom": "1"}, cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with http.post(url, data={"name": name}, allow_redirects=False) as answer:
        return http, answer.status


class GuestClient(RoomClient):
    """Its tokens come from the guest's door."""

    async def token(self, room: str) -> str:
        async with self.http.post("/api/guest/token") as answer:
            body = await answer.json()
            assert answer.status == 200, body
            assert body["room"] == room
            return str(body["token"])


async def test_a_guest_knocks_takes_part_and_learns_nothing_of_the_mine(people: People, server: Instance) -> None:
    room = await consultation(people)
    session = room.removeprefix("session:")
    county_http = await people.http("county")
    county = await people.enter("county", room)
    await people.enter("dispatcher", room)
    link = await call(county_http, f"/api/sessions/{session}/guests", 201, name="专家", role="speaker")
    assert link["qr"].startswith("data:image/svg+xml")
    http, status = await guest_client(server, link["url"], "瓦斯专家 周")
    try:
        assert status == 303
        second, status = await guest_client(server, link["url"], "someone else")
        await second.close()
        assert status == 200, "a link works once: the page says so"
        async with http.get("/guest") as page:
            assert page.status == 200
        for path in ("/api/me", "/api/sites", f"/api/sessions/{session}", "/api/recordings", "/api/alerts"):
            async with http.get(path) as answer:
                assert answer.status == 401, path

        guest = GuestClient(http)
        await guest.connect(room)
        assert (await guest.hear(m.Problem)).error == "locked"
        knocked = await county.event("session", lambda body: body["change"] == "knocked")
        about: Any = knocked.body["about"]
        assert (about["name"], about["role"]) == ("瓦斯专家 周", "guest")
        assert await floor(county, room, "admit", about["user"]) == ""
        await guest.send(m.Join(id="in", token=await guest.token(room)))
        joined = await guest.hear(m.Joined)
        assert joined.snapshot is not None
        assert (joined.snapshot.positions, joined.snapshot.readings, joined.snapshot.alerts) == ((), (), ())
        assert joined.grants["sources"] == ["camera", "microphone"]

        await county.send(m.GiveOrder(id="o", room=room, to_site="hongqi", text="立即撤人"))
        await guest.hear(m.Event, lambda one: one.kind == "withheld" and one.body == {})
        await guest.send(m.Chat(id="c", room=room, text="建议检查回风侧"))
        await county.event("chat", lambda body: body["from"]["role"] == "guest")
        assert await floor(guest, room, "mute", await user_of(county)) == "not_allowed"
        assert await floor(guest, room, "raise_hand") == ""
        await guest.send(m.GiveOrder(id="o2", room=room, to_site="hongqi", text="x"))
        assert (await guest.hear(m.Problem, lambda one: one.id == "o2")).error == "not_allowed"

        await call(county_http, f"/api/sessions/{session}/guests/{link['guest']}/revoke", 204)
        assert await guest.closed() == 4403
        async with http.post("/api/guest/token") as answer:
            assert answer.status == 401
    finally:
        await http.close()


async def test_a_guest_without_a_voice_does_not_take_the_floor(people: People, server: Instance) -> None:
    room = await consultation(people)
    county = await people.enter("county", room)
    assert await floor(county, room, "mode", value="talk") == ""
    path = f"/api/sessions/{room.removeprefix('session:')}/guests"
    link = await call(await people.http("county"), path, 201, name="观察", role="viewer")
    http, _ = await guest_client(server, link["url"], "观察员")
    async with http:
        guest = GuestClient(http)
        await guest.connect(room)
        knocked = await county.event("session", lambda body: body["change"] == "knocked")
        assert await floor(county, room, "admit", knocked.body["about"]["user"]) == ""  # type: ignore[index]
        await guest.send(m.Join(id="in", token=await guest.token(room)))
        await guest.hear(m.Joined)
        assert await floor(guest, room, "talk") == "not_allowed"
        assert await floor(guest, room, "raise_hand") == "", "a hand may be raised"
        assert await floor(county, room, "talk") == "", "nobody has it"
        await guest.close()


async def test_who_goes_away_stands_at_the_door_no_more_unless_another_page_does(people: People) -> None:
    room = await consultation(people)
    county = await people.enter("county", room)
    assert await floor(county, room, "lock") == ""

    async def waiting_page() -> RoomClient:
        page = await people.enter("dispatcher", "site:hongqi")
        await page.send(m.Join(id="door", token=await page.token(room)))
        assert (await page.hear(m.Problem, lambda one: one.id == "door")).error == "locked"
        return page

    async def waiting() -> set[str]:
        async with (await people.http("county")).get(f"/api/sessions/{room.removeprefix('session:')}") as answer:
            return set((await answer.json())["floor"]["lobby"])

    first, second = await waiting_page(), await waiting_page()
    user = await user_of(first)
    await first.send(m.Leave(room=room))
    await first.send(m.Ping(t=1.0))
    await first.hear(m.Pong)  # the leave has been taken in
    assert await waiting() == {user}, "the second page is there"
    await second.cut()
    gone = await county.event("session", lambda body: body["change"] == "withdrew")
    assert gone.body["about"]["user"] == user  # type: ignore[index]
    assert await waiting() == set()


async def test_two_consultations_become_one_with_people_rings_and_open_orders(people: People) -> None:
    first, second = await consultation(people, "county", "city"), await consultation(people, "county", "province")
    county = await people.enter("county", first, second)
    mine = await people.enter("dispatcher", first, "site:hongqi")
    await people.enter("city", first)
    await county.send(m.GiveOrder(id="o", room=first, to_site="hongqi", text="清点人数"))
    await county.hear(m.Done, lambda one: one.id == "o")
    into = second.removeprefix("session:")
    http = await people.http("county")
    left = first.removeprefix("session:")
    merged = await call(http, f"/api/sessions/{left}/merge", into=into)
    assert set(merged["invitations"]) >= {"hongqi", "city", "province"}
    assert merged["invitations"]["city"]["state"] == "answered"
    (order,) = merged["orders"].values()
    assert (order["text"], order["given_in"]) == ("清点人数", left)
    ended = await mine.event("session", lambda body: body["change"] == "ended" and body["session"] == left)
    assert ended.body["merged_into"] == into
    await mine.send(m.Join(id="over", token=await mine.token(second)))
    await mine.hear(m.Joined, lambda one: one.id == "over")
    await call(http, f"/api/sessions/{left}/merge", 409, into=into)
    await call(await people.http("dispatcher"), f"/api/sessions/{into}/merge", 404, into="none")


async def test_an_end_says_what_came_of_it_and_a_template_gives_title_and_first_orders(people: People) -> None:
    http = await people.http("county")
    async with http.get("/api/consultation/templates") as answer:
        templates = {one["key"]: one for one in (await answer.json())["items"]}
    assert templates["main-fan"]["rules"] == ["main_fan_stop"]
    assert templates["main-fan"]["orders"][0]["text"]["zh"]
    started = await call(http, "/api/sessions", 201, site="hongqi", levels=[], template="water")
    assert (started["template"], started["title"]) == ("water", templates["water"]["title"]["zh"])
    await call(http, "/api/sessions", 404, site="hongqi", levels=[], template="nonsense")
    one = f"/api/sessions/{started['session']}"
    assert (await call(http, f"{one}/invite", level="city", role="supervisor"))["invitations"]["city"][
        "role"
    ] == "supervisor"
    await call(await people.http("city"), f"{one}/summary", text="城市局补充")
    await call(await people.http("dispatcher"), f"{one}/summary", 403, text="x")
    ended = await call(http, f"{one}/summary", text="水位已下降，人员全部升井。")
    assert ended["summary"] == "水位已下降，人员全部升井。"
    assert (await call(http, f"{one}/end"))["summary"] == ended["summary"]


async def test_a_guest_by_a_link_without_lobby_comes_in_at_once_unless_it_is_locked(
    people: People, server: Instance
) -> None:
    room = await consultation(people)
    county = await people.enter("county", room)
    county_http, path = await people.http("county"), f"/api/sessions/{room.removeprefix('session:')}/guests"
    for locked in (False, True):
        if locked:
            assert await floor(county, room, "lock") == ""
        link = await call(county_http, path, 201, name="专家", role="speaker", lobby=False)
        http, _ = await guest_client(server, link["url"], "专家")
        async with http:
            guest = GuestClient(http)
            await guest.connect(room)
            if locked:
                assert (await guest.hear(m.Problem)).error == "locked"
            else:
                assert (await guest.hear(m.Joined)).snapshot is not None
