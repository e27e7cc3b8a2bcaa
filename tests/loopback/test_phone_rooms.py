"""Phones in consultations of a whole server, with browsers (aiortc): sound at both ends, roster, mute, ends."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest

from media.phone.audio import FULL_SCALE, silence
from media.phone.messages import (
    DigitPressed,
    LegEnded,
    LegStatistics,
    Levels,
    MediaBack,
    MediaTimeout,
    Played,
    Prompt,
    Started,
)
from server import phonemedia
from server.clients import Client
from server.media import MediaClient
from server.phonemedia import PhoneMediaDown, PhoneMediaRefused
from signaling.room import messages as m
from tests.fakes.people import People
from tests.fakes.phoneserver import PhoneServer, ToneTrack, listen, phone_server, sip_server
from tests.fakes.roomclient import RoomClient
from tests.fakes.rtpphone import RtpPhone, phone
from tests.fakes.sound import dominant, level, share_at, tone

FROM_PHONE, FROM_BROWSER, FROM_MINE = 440.0, 1000.0, 1500.0


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[PhoneServer]:
    async with phone_server(tmp_path) as running:
        yield running


@pytest.fixture
async def people(server: PhoneServer) -> AsyncIterator[People]:
    them = People(server)  # type: ignore[arg-type]
    yield them
    await them.close()


async def consult(people: People) -> tuple[RoomClient, str]:
    """The mine's dispatch room sounds in its site's room; the county calls a consultation and enters."""
    mine = await people.enter("dispatcher", "site:hongqi")
    await people.publish(mine, "site:hongqi", "dispatch-room", ToneTrack(FROM_MINE))
    http = await people.http("county")
    async with http.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
        session = f"session:{(await answer.json())['session']}"
    county = await people.enter("county", session)
    return county, session


async def call(server: PhoneServer, telephone: RtpPhone, room: str, leg: str = "leg") -> Client:
    """The phone's call is answered and put into the room."""
    telephone.take(await server.phones.answer_offer(leg, telephone.sdp()))
    client = await server.telephone(room)
    await server.phones.join(leg, client, room)
    return client


async def track_of(county: RoomClient, client: Client) -> m.TrackNotice:
    roster = await county.hear(m.Roster, lambda one: any(each.client == client.client for each in one.tracks))
    return next(each for each in roster.tracks if each.client == client.client)


async def test_a_phone_and_browsers_hear_each_other(server: PhoneServer, people: People) -> None:
    county, room = await consult(people)
    await people.publish(county, room, "county-voice", ToneTrack(FROM_BROWSER))
    with_sound = tone(FROM_PHONE, 4.5, 8000)
    async with phone() as telephone:
        client = await call(server, telephone, room)
        speaking = asyncio.create_task(telephone.say(with_sound))
        track = await track_of(county, client)
        assert (track.kind, track.codec, track.source, track.name) == ("audio", "opus", "microphone", "phone")
        roster = await county.hear(m.Roster, lambda one: any(each.watching for each in one.members))
        assert [each.person.name for each in roster.members if each.client == client.client] == ["一号井电话"]
        screen = await people.watch(county, track.track)
        sound = (await listen(screen, 2.0))[-48000:]
        assert dominant(sound, 48000) == pytest.approx(FROM_PHONE, abs=3)
        assert level(sound) == pytest.approx(level(with_sound), abs=2)
        await speaking
        at_phone = telephone.heard()[-8000:]
        assert share_at(at_phone, FROM_BROWSER, 8000) == pytest.approx(0.5, abs=0.15)
        assert share_at(at_phone, FROM_MINE, 8000) == pytest.approx(0.5, abs=0.15)
        assert share_at(at_phone, FROM_PHONE, 8000) < 0.01
        expected = level(tone(FROM_BROWSER, 1, 8000) + tone(FROM_MINE, 1, 8000))
        assert level(at_phone) == pytest.approx(expected, abs=2)


async def test_a_moderator_silences_a_phone_for_browsers_and_phones(server: PhoneServer, people: People) -> None:
    county, room = await consult(people)
    server.phones.listener = told = Told()
    async with phone() as one, phone() as two:
        first = await call(server, one, room, "one")
        await call(server, two, room, "two")
        track = await track_of(county, first)
        talking = asyncio.gather(one.say(tone(FROM_PHONE, 2.5, 8000)), two.say(silence(20000)))
        await asyncio.sleep(1.2)
        two.listen()
        before = two.heard()[-4000:]
        await county.send(m.Moderate(id="quiet", room=room, action="mute", track=track.track))
        await county.hear(m.Done, lambda each: each.id == "quiet")
        await talking
        after = two.heard()[-2400:]
        assert share_at(before, FROM_PHONE, 8000) > 0.2
        assert share_at(after, FROM_PHONE, 8000) < 0.01
        assert told.stopped == [("one", True)]


async def test_a_phone_leaves_with_its_track_and_hears_no_more(server: PhoneServer, people: People) -> None:
    county, room = await consult(people)
    async with phone() as telephone:
        client = await call(server, telephone, room)
        track = await track_of(county, client)
        await telephone.say(silence(8000))
        assert level(telephone.heard()[-1600:]) > -40
        await server.phones.leave("leg")
        ended = await county.event("track", lambda body: body["change"] == "ended")
        assert ended.body["track"]["track"] == track.track  # type: ignore[index]
        telephone.got.clear()
        await telephone.say(silence(4000))
        assert level(telephone.heard()[-1600:]) < -55
        await server.phones.close("leg")
        await server.parts.conductor.remove(client)


async def test_a_client_that_is_removed_takes_its_leg_out_of_the_room(server: PhoneServer, people: People) -> None:
    county, room = await consult(people)
    async with phone() as telephone:
        client = await call(server, telephone, room)
        await track_of(county, client)
        await server.parts.conductor.remove(client)
        async with asyncio.timeout(5):
            while server.phones._joined:
                await asyncio.sleep(0.05)
        telephone.got.clear()
        await telephone.say(silence(4000))
        assert level(telephone.heard()[-1600:]) < -55


async def test_a_call_outlives_the_media_worker(server: PhoneServer, people: People) -> None:
    county, room = await consult(people)
    async with phone() as telephone:
        client = await call(server, telephone, room)
        track = await track_of(county, client)
        media = server.parts.media
        assert isinstance(media, MediaClient)
        assert media.pid is not None
        os.kill(media.pid, signal.SIGKILL)
        roster = await county.hear(
            m.Roster,
            lambda one: any(each.client == client.client and each.track != track.track for each in one.tracks),
            timeout_s=15,
        )
        again = next(each for each in roster.tracks if each.client == client.client)
        speaking = asyncio.create_task(telephone.say(tone(FROM_PHONE, 3.0, 8000)))
        screen = await people.watch(county, again.track)
        assert dominant((await listen(screen, 1.5))[-24000:], 48000) == pytest.approx(FROM_PHONE, abs=4)
        await speaking


class Told:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.restarts = 0
        self.stopped: list[tuple[str, bool]] = []

    def _keep(self, event: object) -> None:
        self.events.append(event)

    media_started = digit = played = media_timeout = media_back = levels = statistics = leg_ended = _keep

    def silenced(self, leg: str, silenced: bool) -> None:
        self.stopped.append((leg, silenced))

    def phone_media_restarted(self) -> None:
        self.restarts += 1

    def kinds(self) -> set[type]:
        return {type(event) for event in self.events}


async def test_the_listener_hears_everything_and_of_a_dead_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with phone_server(tmp_path, first_packet_s=0.3, silent_s=0.3) as server, phone() as telephone:
        told = Told()
        server.phones.listener = told
        client = await server.telephone("site:hongqi")
        telephone.take(await server.phones.answer_offer("leg", telephone.sdp()))
        await server.phones.join("leg", client, "site:hongqi")
        await asyncio.sleep(0.5)
        await telephone.say(silence(1600))
        await telephone.press(1)
        await server.phones.play("leg", Prompt(name="join"), prompt="p")
        await telephone.say(silence(8000))
        await server.phones.close("leg")
        await asyncio.sleep(0.1)
        assert told.kinds() >= {
            Started, DigitPressed, Played, MediaTimeout, MediaBack, Levels, LegStatistics,
        }  # fmt: skip
        assert LegEnded not in told.kinds()
        with pytest.raises(PhoneMediaRefused) as refused:
            await server.phones.mute("leg", True)
        assert refused.value.error == "unknown_leg"
        await server.phones.close("leg")
        assert server.phones.pid is not None
        os.kill(server.phones.pid, signal.SIGKILL)
        async with asyncio.timeout(5):
            while not told.restarts:
                await asyncio.sleep(0.02)
        monkeypatch.setattr(phonemedia, "WORKER_WAIT_S", 0.1)
        with pytest.raises(PhoneMediaDown):
            await server.phones.make_offer("other")


async def test_metrics_tell_of_the_phone_worker(tmp_path: Path) -> None:
    async with sip_server(tmp_path) as server, phone() as telephone:
        telephone.take(await server.phones.answer_offer("leg", telephone.sdp()))
        async with asyncio.timeout(5):
            while server.phones.beat is None or not server.phones.beat.legs:
                await asyncio.sleep(0.05)
        text = server.parts.metrics.text().decode()
        assert "lamproom_phone_worker_up 1.0" in text
        assert "lamproom_phone_legs 1.0" in text
        assert 'lamproom_phone_ports{state="free"}' in text


async def test_a_phone_is_recorded_as_a_participant(server: PhoneServer, people: People, tmp_path: Path) -> None:
    county, room = await consult(people)
    session = room.removeprefix("session:")
    async with phone() as telephone:
        client = await call(server, telephone, room)
        await track_of(county, client)
        await county.hear(m.Roster, lambda one: one.recording == "on", timeout_s=20)
        await telephone.say(tone(FROM_PHONE, 3.0, 8000))
        http = await people.http("county")
        async with http.post(f"/api/sessions/{session}/end") as answer:
            assert answer.status == 200
    async with asyncio.timeout(15):
        while True:
            async with http.get("/api/recordings", params={"session": session}) as answer:
                found = [one for one in (await answer.json())["items"] if one["client"] == client.client]
            if found and all(one["state"] == "finished" for one in found):
                break
            await asyncio.sleep(0.2)
    async with http.get(f"/api/recordings/{found[0]['id']}/segments/0") as answer:
        (tmp_path / "phone.mkv").write_bytes(await answer.read())
    with av.open(str(tmp_path / "phone.mkv")) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["opus"]
        frames = [frame.to_ndarray()[0] for frame in file.decode(audio=0)]
    sound = np.concatenate(frames).astype(np.float32) * np.float32(FULL_SCALE)
    size = 12000
    heard = [
        dominant(sound[at : at + size], 48000)
        for at in range(0, len(sound) - size, size)
        if sound[at : at + size].any()
    ]
    assert any(abs(one - FROM_PHONE) <= 3 for one in heard), heard
