"""Chromium's own encoders through the worker, the tap and a decoder: every codec that a browser may choose."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import av
import pytest
from playwright.async_api import Page, async_playwright

from media.messages import Publish, Tap
from media.tap import AccessUnit, Unpacker
from tests.fakes.mediaserver import running_worker

pytestmark = pytest.mark.peer

ARGUMENTS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox"]
PUBLISHER = """
async (codec) => {
  const pc = globalThis.pc = new RTCPeerConnection();
  const camera = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480}});
  const transceiver = pc.addTransceiver(camera.getVideoTracks()[0], {direction: 'sendonly', streams: [camera]});
  const able = RTCRtpSender.getCapabilities('video').codecs;
  const wanted = able.filter((each) => each.mimeType === `video/${codec}`);
  transceiver.setCodecPreferences([...wanted, ...able.filter((each) => each.mimeType === 'video/rtx')]);
  await pc.setLocalDescription(await pc.createOffer());
  return pc.localDescription.sdp;
}
"""
TAKE_ANSWER = "async (sdp) => { await pc.setRemoteDescription({type: 'answer', sdp}); }"
DECODERS = {"VP8": "vp8", "VP9": "vp9", "H264": "h264", "AV1": "libdav1d"}
PICTURES = 20


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = await browser.new_page()
        await page.route("http://localhost/**", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        await page.goto("http://localhost/")
        yield page
        await browser.close()


async def units_from(path: Path, count: int, start: asyncio.Event) -> list[AccessUnit]:
    """What a vision worker would read from the first connection."""
    units: list[AccessUnit] = []
    enough = asyncio.Event()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = Unpacker()
        while len(units) < count and (data := await reader.read(65536)):
            units.extend(unpacker.feed(data))
        enough.set()
        writer.close()

    async with await asyncio.start_unix_server(read, path):
        start.set()
        async with asyncio.timeout(60):
            await enough.wait()
    return units


@pytest.mark.parametrize("codec", DECODERS)
async def test_what_chromium_encodes_reaches_a_decoder_whole(page: Page, tmp_path: Path, codec: str) -> None:
    listening = asyncio.Event()
    async with running_worker() as (link, _), asyncio.TaskGroup() as group:
        reading = group.create_task(units_from(tmp_path / "tap", PICTURES, listening))
        await listening.wait()
        offer = await page.evaluate(PUBLISHER, codec)
        reply = await link.call(Publish(peer="p", sdp=offer))
        assert [track.codec for track in reply.tracks] == [codec]
        await page.evaluate(TAKE_ANSWER, reply.sdp)
        await link.call(Tap(track=reply.tracks[0].track, address=str(tmp_path / "tap")))
        units = await reading
    assert units[0].key, "the tap begins with a key frame"
    assert {unit.codec for unit in units} == {codec}
    decoder = av.CodecContext.create(DECODERS[codec], "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))] + decoder.decode(None)
    assert len(frames) >= PICTURES - 2
    assert {frame.width * 3 for frame in frames} == {frame.height * 4 for frame in frames}
