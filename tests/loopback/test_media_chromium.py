"""A real browser publishes its fake camera and microphone, another page of it watches."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.fakes.mediapages import serving_pages
from tests.fakes.mediaserver import MemoryLink, running_worker

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
