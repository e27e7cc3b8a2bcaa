"""Publishing and watching through a real server: room protocol, WHIP, WHEP, and what happens when parts die."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import aiohttp
import psutil
import pytest
import pytest_asyncio
from aiortc.mediastreams import AudioStreamTrack

from signaling.room import messages as m
from tests.fakes.instance import Instance
from tests.fakes.mediaserver import MovingPicture
from tests.fakes.people import People, people, whip

__all__ = ["people"]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    async with Instance(tmp_path_factory.mktemp("server")) as running:
        yield running


async def live_track(client: object, kind: str, name: str) -> m.TrackNotice:
    """The track of this kind and name, once packets flow."""
    assert hasattr(client, "hear")

    def fits(roster: m.Roster) -> bool:
        return any((one.kind, one.name, one.state) == (kind, name, "live") for one in roster.tracks)

    roster: m.Roster = await client.hear(m.Roster, fits)
    return next(one for one in roster.tracks if (one.kind, one.name) == (kind, name))


async def test_county_sees_and_hears_the_dispatch_room(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    _, published = await people.publish(mine, "site:hongqi", "dispatch-room", MovingPicture(), AudioStreamTrack())
    county = await people.enter("county", "site:hongqi")
    await mine.hear(m.Roster, lambda one: all(track.state == "live" for track in one.tracks) and bool(one.tracks))
    screen = await people.watch(county, *published.tracks.values())
    assert len(await screen.frames("video", 10)) == 10
    assert len(await screen.frames("audio", 10)) == 10
    state = await county.hear(m.MediaState, lambda one: one.peer == "watch" and one.state == "connected")
    assert state.text is None
    user = (await county.hear(m.Welcome)).you.user
    await mine.hear(m.Roster, lambda one: any(x.watching and x.person.user == user for x in one.members))
    await county.hear(m.Quality, lambda one: bool(one.tracks))


async def test_what_is_not_shown_in_an_own_room_cannot_be_watched(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    _, published = await people.publish(mine, "site:hongqi", "inner", MovingPicture())
    county = await people.enter("county", "site:county")
    await county.send(m.Watch(id="w", tracks=tuple(published.tracks.values())))
    assert set((await county.hear(m.Watched)).refused) == set(published.tracks.values())


async def test_publishing_into_a_room_above_or_with_a_refused_source_is_not_allowed(people: People) -> None:
    county = await people.enter("county", "site:county", "site:hongqi")
    publication = m.Publication(source="camera", name="x", rooms=("site:hongqi",))
    await county.send(m.Publish(id="p", sdp="v=0\r\n", publications={"0": publication}))
    assert (await county.hear(m.Problem)).error == "not_allowed"


async def test_a_nonsense_sdp_is_refused_in_words(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    publication = m.Publication(source="camera", name="x", rooms=("site:hongqi",))
    await mine.send(m.Publish(id="p", sdp="v=0\r\nm=video", publications={"0": publication}))
    problem = await mine.hear(m.Problem)
    assert (problem.id, problem.error) == ("p", "sdp_invalid")


async def test_a_track_that_ends_is_taken_from_its_watchers(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    connection, published = await people.publish(mine, "site:hongqi", "short", MovingPicture())
    county = await people.enter("county", "site:hongqi")
    (track,) = published.tracks.values()
    screen = await people.watch(county, track)
    await screen.frames("video", 3)
    await connection.close()
    offer = await county.hear(m.Offer, lambda one: track not in one.mids.values())
    assert offer.generation > 1
    await county.event("track", lambda body: body["change"] == "ended" and body["track"]["track"] == track)


async def test_media_goes_on_while_the_websocket_is_away(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    _, published = await people.publish(mine, "site:hongqi", "steady", MovingPicture())
    county = await people.enter("county", "site:hongqi")
    screen = await people.watch(county, *published.tracks.values())
    await screen.frames("video", 5)
    welcome = await county.hear(m.Welcome)
    await county.cut()
    await mine.cut()
    assert len(await screen.frames("video", 30, timeout_s=5.0)) == 30
    again = await people.enter("county", "site:hongqi", client=welcome.client, key=welcome.key)
    assert (await again.hear(m.Welcome)).resumed


async def test_a_killed_media_worker_is_started_again_on_the_same_port(people: People, server: Instance) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    await people.publish(mine, "site:hongqi", "survivor", MovingPicture())
    workers = [child for child in psutil.Process(server.pid).children() if "media.worker" in " ".join(child.cmdline())]
    assert len(workers) == 1
    os.kill(workers[0].pid, signal.SIGKILL)
    state = await mine.hear(m.MediaState, lambda one: one.reason == "media_down")
    assert state.state == "closed"
    async with asyncio.timeout(5):
        await server.until_ready()
    _, published = await people.publish(mine, "site:hongqi", "again", MovingPicture())
    county = await people.enter("county", "site:hongqi")
    screen = await people.watch(county, *published.tracks.values())
    await screen.frames("video", 5)


async def test_a_program_publishes_by_whip_and_another_plays_by_whep(people: People, server: Instance) -> None:
    camera = people.connection()
    camera.addTrack(MovingPicture())
    camera.addTrack(AudioStreamTrack())
    token = await server.device_token("shaft")
    async with aiohttp.ClientSession() as http:
        url = f"{server.url}/whip/site:hongqi/shaft?simulated=true"
        status, headers, body = await whip(camera, http, url, token)
        assert (status, headers["Content-Type"]) == (201, "application/sdp"), body
        assert headers["ETag"]
        county = await people.enter("county", "site:hongqi")
        notice = await live_track(county, "video", "shaft")
        assert (notice.site, notice.simulated) == ("hongqi", True)
        player = people.connection()
        player.addTransceiver("video", direction="recvonly")
        player.addTransceiver("audio", direction="recvonly")
        arrived = asyncio.get_running_loop().create_future()
        player.on("track", lambda track: arrived.set_result(track) if track.kind == "video" else None)
        viewing = await county.token("site:hongqi")
        status, played, body = await whip(player, http, f"{server.url}/whep/site:hongqi/hongqi/shaft", viewing)
        assert status == 201, body
        picture = await asyncio.wait_for(arrived, 10)
        for _ in range(5):
            await asyncio.wait_for(picture.recv(), 10)
        for location, bearer in ((played["Location"], viewing), (headers["Location"], token)):
            async with http.delete(location, headers={"Authorization": f"Bearer {bearer}"}) as answer:
                assert answer.status == 200
            async with http.delete(location, headers={"Authorization": f"Bearer {bearer}"}) as answer:
                assert answer.status == 404
        await county.event("track", lambda body: body["change"] == "ended" and body["track"]["name"] == "shaft")


async def test_whip_refuses_in_words(people: People, server: Instance) -> None:
    token = await server.device_token("belt")
    url = f"{server.url}/whip/site:hongqi/belt"
    bearer = {"Authorization": f"Bearer {token}"}
    sdp = {"Content-Type": "application/sdp"}
    async with aiohttp.ClientSession() as http:
        cases = [
            (url, {**sdp}, b"v=0", 401),
            (url, {**sdp, **bearer}, b"hello", 400),
            (url, {**bearer, "Content-Type": "text/plain"}, b"v=0", 415),
            (url, {**sdp, **bearer}, b"v=0\r\n" + b"a" * 70_000, 413),
            (f"{server.url}/whip/site:hongqi/other", {**sdp, **bearer}, b"v=0", 403),
            (f"{server.url}/whip/site:county/belt", {**sdp, **bearer}, b"v=0", 404),
        ]
        for address, headers, body, expected in cases:
            async with http.post(address, data=body, headers=headers) as answer:
                assert answer.status == expected, (address, await answer.text())
                assert answer.content_type == "application/problem+json"
        async with http.options(url) as answer:
            assert (answer.status, answer.headers["Accept-Post"]) == (204, "application/sdp")


async def test_who_plays_by_whep_stands_in_the_roster_and_ends_when_removed(people: People, server: Instance) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    await people.publish(mine, "site:hongqi", "yard", MovingPicture())
    await live_track(mine, "video", "yard")
    county = await people.enter("county", "site:hongqi")
    viewing = await county.token("site:hongqi")
    player = people.connection()
    player.addTransceiver("video", direction="recvonly")
    async with aiohttp.ClientSession() as http:
        status, headers, body = await whip(player, http, f"{server.url}/whep/site:hongqi/hongqi/yard", viewing)
        assert status == 201, body
        known = {(await one.hear(m.Welcome)).client for one in (mine, county)}
        roster = await mine.hear(
            m.Roster, lambda one: any(x.watching and x.client not in known for x in one.members), timeout_s=15
        )
        (listener,) = [one for one in roster.members if one.watching and one.client not in known]
        await county.send(m.Moderate(id="out", room="site:hongqi", action="remove", client=listener.client))
        assert (await county.hear(m.Done)).id == "out"
        await mine.hear(m.Roster, lambda one: listener.client not in [x.client for x in one.members])

        async def gone() -> bool:
            async with http.delete(headers["Location"], headers={"Authorization": f"Bearer {viewing}"}) as answer:
                return answer.status == 404

        async with asyncio.timeout(10):
            while not await gone():
                await asyncio.sleep(0.2)


async def test_who_is_removed_from_a_room_is_no_longer_seen_there(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    _, published = await people.publish(mine, "site:hongqi", "talker", MovingPicture())
    (track,) = published.tracks.values()
    county = await people.enter("county", "site:hongqi")
    screen = await people.watch(county, track)
    await screen.frames("video", 3)
    talker = (await mine.hear(m.Welcome)).client
    await county.send(m.Moderate(id="out", room="site:hongqi", action="remove", client=talker))
    await county.hear(m.Done)
    assert (await mine.hear(m.Problem, lambda one: one.error == "removed")).room == "site:hongqi"
    await county.hear(m.Offer, lambda one: track not in one.mids.values())

    def without(roster: m.Roster) -> bool:
        return track not in [one.track for one in roster.tracks] and bool(roster.members)

    await county.hear(m.Roster, without)


async def test_a_viewer_may_not_chat_or_answer_orders(people: People) -> None:
    admin = await people.http("admin")
    body = {
        "login": "onlooker",
        "name": "旁观",
        "role": "viewer",
        "site": "county",
        "password": "correct horse battery",
    }
    async with admin.post("/api/users", json=body) as answer:
        assert answer.status in (200, 201), await answer.text()
    onlooker = await people.enter("onlooker", "site:county")
    await onlooker.send(m.Chat(id="c", room="site:county", text="我能说话吗"))
    problem = await onlooker.hear(m.Problem)
    assert (problem.id, problem.error) == ("c", "not_allowed")


async def test_what_a_page_does_not_show_is_not_sent_to_it(people: People) -> None:
    mine = await people.enter("dispatcher", "site:hongqi")
    _, published = await people.publish(mine, "site:hongqi", "views-camera", MovingPicture())
    [track] = published.tracks.values()
    county = await people.enter("county", "site:hongqi")
    await live_track(county, "video", "views-camera")
    screen = await people.watch(county, track)
    await screen.frames("video", 3)
    await county.send(m.Views(views={track: m.View(height=0)}))
    await county.hear(m.Quality, lambda quality: quality.tracks.get(track, {}).get("reason") == "hidden")
    await county.send(m.Views(views={track: m.View(height=180, first=True)}))
    await screen.frames("video", 100)
