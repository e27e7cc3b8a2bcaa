"""A telephone with a camera, our server and Chromium: pictures arrive both ways, undecoded on their way."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from media.phone.audio import silence
from signaling.sip.callevents import Answered
from tests.fakes.browser import chromium
from tests.fakes.phoneserver import PhoneServer, sip_server
from tests.fakes.rtpphone import RtpPhone, phone
from tests.fakes.softphone import Softphone, softphone, until
from tests.fakes.videophone import HEIGHT, WIDTH, VideoPhone
from tests.fakes.voicepage import VoicePage

pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]


@contextlib.asynccontextmanager
async def calling(
    server: PhoneServer, desk: Softphone, telephone: RtpPhone, camera: VideoPhone
) -> AsyncIterator[str]:  # fmt: skip
    """In the consultation; gives the call."""
    call = desk.dial("0", offer=telephone.sdp(further=camera.lines()).encode())
    await until(lambda: [one for one in desk.of(Answered) if one.call == call], 60)
    answer = next(one for one in desk.of(Answered) if one.call == call).answer.decode()
    telephone.take(answer)
    found = re.search(r"m=video (\d+) RTP/AVP (\d+)", answer)
    assert found is not None
    assert found[2] == str(camera.payload_type)
    assert f"packetization-mode={int(camera.fragments)}" in answer
    camera.remote = ("127.0.0.1", int(found[1]))
    tasks = [asyncio.create_task(telephone.say(silence(telephone.rate * 300))), asyncio.create_task(camera.run())]
    try:
        yield call
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        desk.hang_up(call)
        await desk.ended(call)


async def picture_of(server: PhoneServer, room: str) -> str:
    """The phone's picture, once it is a live track of the room."""
    async with asyncio.timeout(60):
        while True:
            for client, own in server.parts.conductor.tracks_in(room):
                if client.kind == "phone" and own.kind == "video" and own.state == "live":
                    return own.track
            await asyncio.sleep(0.05)


async def seen(page: VoicePage, more: int) -> None:
    """So many further pictures of the phone, decoded by the browser."""
    begun = (await page.pictures())[0]
    async with asyncio.timeout(60):
        while (found := await page.pictures())[0] < begun + more:
            await asyncio.sleep(0.1)
    assert found[1] == WIDTH


async def test_pictures_of_a_phone_and_of_pages_arrive_both_ways(tmp_path: Path) -> None:
    """Packetization modes 1 and 0; whole pictures are sent by nobody who was not asked."""
    async with sip_server(tmp_path, digest="md5") as server, chromium() as browser:
        page = VoicePage(await (await browser.new_context()).new_page())
        http = await server.session("county")
        async with http.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
            room = f"session:{(await answer.json())['session']}"
        await http.close()
        await page.enter(server.url, "county", room, 1000.0)
        await page.show()
        secret = await server.parts.phones.phones.add("desk", "hongqi", "调度电话", (), "test")
        endpoint = server.parts.phones.endpoint
        assert endpoint is not None
        async with softphone("desk", "lamproom", endpoint.port, secret) as desk, phone() as telephone:
            await desk.register()
            for fragments in (True, False):
                camera = VideoPhone(fragments=fragments)
                with contextlib.closing(camera):
                    async with calling(server, desk, telephone, camera):
                        await page.watch(await picture_of(server, room))
                        await seen(page, 20)
                        assert camera.asked, "a browser that begins to watch needs a whole picture"
                        await until(lambda camera=camera: len(camera.decoded) >= 20, 60)  # type: ignore[misc]
                        assert set(camera.decoded) <= {(WIDTH, HEIGHT), (WIDTH // 2, HEIGHT // 2)}
                        again = len(camera.decoded)
                        camera.ask()
                        await until(lambda camera=camera, again=again: len(camera.decoded) >= again + 20, 60)  # type: ignore[misc]
