"""A real browser publishes a simulcast; other pages of it get the encoding that they have room for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from media.messages import EncodingsWanted, SetViews, View
from tests.fakes.browser import ARGUMENTS, CHROMIUM
from tests.fakes.mediapages import serving_pages
from tests.fakes.mediaserver import MemoryLink, running_worker
from tests.fakes.thinline import ALL_LAYERS, WATCH

pytestmark = pytest.mark.peer

LAYERS = """async codec => {
    const stream = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 360, frameRate: 15}});
    window.sender = pc.addTransceiver(stream.getVideoTracks()[0], {direction: "sendonly", sendEncodings: [
        {rid: "q", scaleResolutionDownBy: 4, maxBitrate: 80000},
        {rid: "h", scaleResolutionDownBy: 2, maxBitrate: 200000},
        {rid: "f", maxBitrate: 500000}]});
    const all = RTCRtpSender.getCapabilities("video").codecs;
    window.sender.setCodecPreferences(all.filter(c => c.mimeType === "video/" + codec || c.mimeType === "video/rtx"));
    return offer();
}"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, ALL_LAYERS])
        yield browser
        await browser.close()


async def open_page(browser: Browser, address: str, peer: str) -> Page:
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{address}?peer={peer}")
    return page


async def until_width(page: Page, width: int, timeout_s: float = 15) -> None:
    script = """async width => {
        while (!(shown.length && shown[shown.length - 1][1] === width)) await new Promise(f => setTimeout(f, 20));
    }"""
    try:
        await asyncio.wait_for(page.evaluate(script, width), timeout_s)
    except TimeoutError:
        raise AssertionError(await page.evaluate("shown.slice(-3)")) from None


async def show(link: MemoryLink, peer: str, track: str, height: int) -> None:
    await link.call(SetViews(peer=peer, views={track: View(height=height)}))


async def inbound(page: Page) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = await page.evaluate("stats()")
    return found["video"]


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_each_viewer_gets_the_encoding_of_its_tile_without_a_seam(browser: Browser, codec: str) -> None:
    async with running_worker() as (link, _), serving_pages(link) as address:
        publisher = await open_page(browser, address, "camera")
        [track] = await publisher.evaluate(LAYERS, codec)
        assert track["rids"] == ["q", "h", "f"]
        await link.peer("camera", "connected")
        viewer = await open_page(browser, address, "viewer")
        await viewer.evaluate(WATCH)
        await viewer.evaluate("tracks => subscribe(tracks)", [track["track"]])
        await link.peer("viewer", "connected")
        await show(link, "viewer", track["track"], 720)
        await until_width(viewer, 640)
        for height, width in ((180, 160), (360, 320), (720, 640), (180, 160)):
            await show(link, "viewer", track["track"], height)
            await until_width(viewer, width)
        stats = await inbound(viewer)
        # No gap in the numbers, and nothing that could not be decoded.
        assert (stats["packetsLost"], stats["nackCount"]) == (0, 0)
        assert stats["pliCount"] <= 1


async def test_a_hidden_tile_gets_nothing_and_what_nobody_takes_is_stopped(browser: Browser) -> None:
    async with running_worker() as (link, _), serving_pages(link) as address:
        publisher = await open_page(browser, address, "camera")
        [track] = await publisher.evaluate(LAYERS, "VP8")
        await link.peer("camera", "connected")
        viewer = await open_page(browser, address, "viewer")
        await viewer.evaluate(WATCH)
        await viewer.evaluate("tracks => subscribe(tracks)", [track["track"]])
        await link.peer("viewer", "connected")
        await show(link, "viewer", track["track"], 180)
        await until_width(viewer, 160)
        wanted = await link.event(EncodingsWanted, lambda each: each.rids == ("q",))
        assert (wanted.track, wanted.peer) == (track["track"], "camera")
        await publisher.evaluate(
            """async active => {
                const parameters = sender.sender.getParameters();
                for (const each of parameters.encodings) each.active = active.includes(each.rid);
                await sender.sender.setParameters(parameters);
            }""",
            list(wanted.rids),
        )
        await show(link, "viewer", track["track"], 0)
        await asyncio.sleep(0.5)
        before = (await inbound(viewer))["packetsReceived"]
        await asyncio.sleep(1)
        assert (await inbound(viewer))["packetsReceived"] == before
        # The largest is not sent: the tile grows and gets what there is, while the publisher is told.
        link.events.clear()
        await show(link, "viewer", track["track"], 720)
        frames = len(await viewer.evaluate("shown"))
        await asyncio.wait_for(
            viewer.evaluate(
                "async n => { while (shown.length < n) await new Promise(f => setTimeout(f, 20)); }", frames + 5
            ),
            5,
        )
        assert (await viewer.evaluate("shown"))[-1][1] == 160
        await link.event(EncodingsWanted, lambda each: each.rids == ("q", "f"))
        await publisher.evaluate(
            """async () => {
                const parameters = sender.sender.getParameters();
                for (const each of parameters.encodings) each.active = true;
                await sender.sender.setParameters(parameters);
            }"""
        )
        await until_width(viewer, 640)
