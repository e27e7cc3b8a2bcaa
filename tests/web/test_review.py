"""A consultation is recorded, and played back in the page: together, by ranges, beside what happened."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.fakes.instance import Instance
from tests.web.test_consultation import enter
from tests.web.test_floor import called

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

MEDIA = """() => [...document.querySelectorAll('.lane-media')].map((one) =>
  ({kind: one.tagName, at: one.currentTime, paused: one.paused, width: one.videoWidth || 0, url: one.src,
   out: one.currentTime >= one.duration - 0.1}))"""


async def media(page: Page) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await page.evaluate(MEDIA)
    return found


async def recorded(browser: Browser, server: Instance) -> None:
    """Mine and county for some seconds, with an order."""
    mine, county = await called(browser, server, "water")
    await county.locator(".badge.recording").wait_for()
    await asyncio.sleep(2.0)
    await county.locator(".draft").first.click()
    await mine.locator(".order button.primary").click()
    await asyncio.sleep(1.0)
    await mine.locator(".callbar .danger").click()
    await mine.locator(".callbar textarea").fill("人员全部升井。")
    await mine.locator(".callbar .danger").click()
    await county.locator("lamproom-wall").wait_for()
    for page in (mine, county):
        await page.context.close()


async def opened(page: Page, address: str) -> None:
    """The page with its recordings; opened again while the recorder completes its files."""
    ends = time.monotonic() + 60
    while True:
        await page.goto(address)
        try:  # the page is loaded before it has asked for anything: what it shows comes a moment later
            await expect(page.locator(".lane-media")).to_have_count(4, timeout=5000)
            return
        except AssertionError:
            assert time.monotonic() < ends


async def test_recordings_play_together_and_the_evidence_is_released_with_a_reason(
    browser: Browser, tmp_path: Path
) -> None:
    async with Instance(tmp_path) as server:
        await recorded(browser, server)
        admin = await enter(browser, server, "admin")
        complaints: list[str] = []
        admin.on("pageerror", lambda error: complaints.append(str(error)))
        await opened(admin, f"{server.url}/review")
        await admin.locator(".review-summary", has_text="人员全部升井。").wait_for()
        await admin.keyboard.press(" ")
        ends = time.monotonic() + 60
        while True:
            before = await media(admin)
            await asyncio.sleep(0.7)
            after = await media(admin)
            moved = [two["at"] - one["at"] for one, two in zip(before, after, strict=True)]
            if len(after) == 4 and min(moved) > 0.2 and all(one["width"] for one in after if one["kind"] == "VIDEO"):
                break
            assert time.monotonic() < ends, (before, after)
        await admin.keyboard.press(" ")
        await expect(admin.locator(".player-bar .primary")).to_contain_text("播放")

        # A press on what happened goes there, on all of them; a stopped clock keeps them together.
        order = admin.locator(".review-entries .entry", has_text="已复诵").first
        await order.locator("button").click()
        await expect(admin.locator(".entry.current")).to_contain_text("复诵")
        rows = await admin.evaluate(
            "fetch('/api/recordings?session=' + new URLSearchParams(location.search).get('session'))"
            ".then((answer) => answer.json())"
        )
        starts = {
            f"{server.url}/api/recordings/{one['id']}/segments/{part['segment']}": part["started_at"]
            for one in rows["items"]
            for part in one["segments"]
        }
        ends = time.monotonic() + 10
        while True:
            # A recording that ended before this moment rests on its last picture.
            moments = [starts[one["url"]] + one["at"] for one in await media(admin) if not one["out"]]
            if moments and max(moments) - min(moments) < 0.1:
                break
            assert time.monotonic() < ends, moments
            await asyncio.sleep(0.2)

        clock = "document.querySelector('lamproom-player').at"
        before_key = await admin.evaluate(clock)
        await admin.keyboard.press("Shift+ArrowLeft")  # one picture
        await admin.keyboard.press("Shift+ArrowLeft")
        stepped = await admin.evaluate(clock)
        assert 0.05 < before_key - stepped < 0.5
        await admin.keyboard.press("k")  # the mark before
        assert await admin.evaluate(clock) < stepped - 0.05

        async with admin.expect_download() as download:
            await admin.locator("a.button", has_text="PDF").click()
        assert await asyncio.to_thread((await (await download.value).path()).read_bytes)

        await admin.locator(".session-head button").click()
        await admin.locator(".review-hold input").fill("结案，经批准")
        await admin.locator(".review-hold .danger").click()
        await admin.locator(".badge.warning", has_text="保全已解除").wait_for()
        assert complaints == []
        await admin.context.close()
