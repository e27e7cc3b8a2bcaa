"""A real browser publishes its fake camera and microphone, another page of it watches."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.fakes.mediapages import serving_pages
from tests.fakes.mediaserver import MemoryLink, running_worker
from tests.fakes.narrow import NarrowPath

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = pytest.mark.peer


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"],
        )
        yield browser
        await browser.close()


async def open_page(browser: Browser, address: str, peer: str) -> Page:
    page = await (await browser.new_context()).new_page()
    await page.goto(f"{address}?peer={peer}")
    return page


async def decoded(page: Page, kind: str = "video") -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = await page.evaluate("stats()")
    return found.get(kind, {})


async def until_decoding(page: Page, frames: int = 1, timeout_s: float = 15) -> None:
    script = """async frames => {
        while (!(((await stats()).video || {}).framesDecoded >= frames)) await new Promise(f => setTimeout(f, 20));
    }"""
    await asyncio.wait_for(page.evaluate(script, frames), timeout_s)


@pytest.mark.parametrize("codec", ["VP8", "H264", "VP9", "AV1"])
async def test_browser_sees_another_browser_through_one_port(browser: Browser, codec: str) -> None:
    async with running_worker() as (link, _), serving_pages(link) as address:
        publisher = await open_page(browser, address, "camera")
        constraints = {"audio": True, "video": {"width": 320, "height": 240, "frameRate": 20}}
        tracks = await publisher.evaluate("([codec, c]) => publish(codec, c)", [codec, constraints])
        await link.peer("camera", "connected")
        assert {track["codec"] for track in tracks} == {codec, "opus"}
        viewer = await open_page(browser, address, "viewer")
        await viewer.evaluate("tracks => subscribe(tracks)", [track["track"] for track in tracks])
        await link.peer("viewer", "connected")
        await until_decoding(viewer)
        before = (await decoded(viewer))["framesDecoded"]
        await asyncio.sleep(3)
        after = (await decoded(viewer))["framesDecoded"]
        sound = await decoded(viewer, "audio")
        transport = await decoded(viewer, "transport")
        assert (after - before) / 3 >= 10
        assert sound["packetsReceived"] > 50
        assert transport["srtpCipher"] == "SRTP_AEAD_AES_128_GCM"
        await check_quality(link)


async def check_quality(link: MemoryLink) -> None:
    report = await link.quality("viewer", lambda each: any(track.rtt_ms is not None for track in each.tracks))
    assert all(track.loss == 0 for track in report.tracks)


async def test_a_browser_finds_its_whole_bit_rate(browser: Browser) -> None:
    """From our reports of what arrived when, it learns that the way carries more than it wants to send."""
    async with running_worker() as (link, _), serving_pages(link) as address:
        publisher = await open_page(browser, address, "camera")
        await publisher.evaluate("publishNoise(4000000)")
        await link.peer("camera", "connected")
        script = """async wanted => {
            for (;;) {
                for (const each of (await pc.getStats()).values())
                    if (each.type === "candidate-pair" && each.availableOutgoingBitrate > wanted) return;
                await new Promise(f => setTimeout(f, 100));
            }
        }"""
        await asyncio.wait_for(publisher.evaluate(script, 4_000_000), 20)


async def test_a_browser_keeps_the_queue_of_a_thin_uplink_short(browser: Browser) -> None:
    """It wants four times what the way carries; from our reports it hears of the queue before anything is dropped."""
    async with running_worker() as (link, worker), serving_pages(link) as address:
        assert worker.started is not None
        port = worker.started.udp_port
        async with NarrowPath(("127.0.0.1", port), bps=1e6, queue_s=0.5) as path:
            link.rewrite = lambda sdp: sdp.replace(f" {port} typ host", f" {path.port} typ host")
            publisher = await open_page(browser, address, "camera")
            await publisher.evaluate("publishNoise(4000000)")
            await link.peer("camera", "connected")
            await asyncio.sleep(5)
            path.waited_s.clear()
            path.carried = path.dropped = 0
            await asyncio.sleep(5)
            assert path.carried * 8 / 5 > 300_000
            assert path.dropped < 0.05 * len(path.waited_s)
            assert sorted(path.waited_s)[len(path.waited_s) // 2] < path.queue_s / 2


async def frames_in(page: Page, seconds: float) -> int:
    before = (await decoded(page))["framesDecoded"]
    await asyncio.sleep(seconds)
    return int((await decoded(page))["framesDecoded"] - before)


async def test_one_layer_of_a_simulcast_offer_is_taken_and_seen(browser: Browser) -> None:
    async with running_worker() as (link, _), serving_pages(link) as address:
        publisher = await open_page(browser, address, "camera")
        [track] = await publisher.evaluate("publishLayers()")
        viewer = await open_page(browser, address, "viewer")
        await viewer.evaluate("tracks => subscribe(tracks)", [track["track"]])
        await until_decoding(viewer)
        assert await frames_in(viewer, 2) >= 20
        assert (await decoded(viewer))["frameWidth"] in (320, 480, 640)


async def test_media_goes_on_over_ice_restarts_of_both_sides(browser: Browser) -> None:
    async with running_worker() as (link, _), serving_pages(link) as address:
        publisher = await open_page(browser, address, "camera")
        [track] = await publisher.evaluate("publish('', {video: {width: 320, height: 240}})")
        viewer = await open_page(browser, address, "viewer")
        await viewer.evaluate("tracks => subscribe(tracks)", [track["track"]])
        await until_decoding(viewer)
        assert await publisher.evaluate("restartIce()")
        assert await frames_in(viewer, 2) >= 20
        await viewer.evaluate("tracks => subscribe(tracks, true)", [track["track"]])
        assert await frames_in(viewer, 2) >= 20


async def test_a_screen_is_added_and_taken_away(browser: Browser) -> None:
    async with running_worker() as (link, _), serving_pages(link) as address:
        publisher = await open_page(browser, address, "camera")
        await publisher.evaluate("publish('', {video: {width: 320, height: 240}, audio: true})")
        tracks = await publisher.evaluate("addScreen()")
        assert [track["kind"] for track in tracks] == ["audio", "video", "video"]
        screen = tracks[-1]["track"]
        viewer = await open_page(browser, address, "viewer")
        await viewer.evaluate("tracks => subscribe(tracks)", [screen])
        await until_decoding(viewer)
        assert await frames_in(viewer, 2) >= 20
        assert len(await publisher.evaluate("removeScreen()")) == 2
        await link.track(screen, "ended")
