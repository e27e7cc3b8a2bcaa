"""Two browsers and the real server: a call is answered, both see each other, and pictures outlive what breaks."""

import asyncio
import signal
import time
from pathlib import Path

import psutil
import pytest
from playwright.async_api import Browser, Page

from tests.fakes.instance import Instance

pytestmark = [pytest.mark.peer, pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="module")]

SPY = """
window.sockets = []; window.resumed = []; window.peers = 0;
const Socket = WebSocket;
window.WebSocket = class extends Socket {
  constructor(...given) {
    super(...given);
    window.sockets.push(this);
    this.addEventListener('message', (event) => {
      const message = JSON.parse(event.data);
      if (message.type === 'welcome') window.resumed.push(message.resumed);
    });
  }
};
const Peer = RTCPeerConnection;
window.RTCPeerConnection = class extends Peer { constructor(...given) { super(...given); window.peers += 1; } };
"""
FRAMES = """() => {
  const video = document.querySelector('lamproom-session lamproom-tile:not([own]) video');
  return video && video.videoWidth ? video.getVideoPlaybackQuality().totalVideoFrames : null;
}"""


async def enter(browser: Browser, server: Instance, login: str) -> Page:
    """Somebody at work, by a one-time link."""
    context = await browser.new_context(locale="zh-CN", viewport={"width": 1440, "height": 900})
    context.set_default_timeout(20_000)
    await context.add_init_script(SPY)
    page = await context.new_page()
    await page.goto(await server.link(login))
    await page.locator("form button").click()
    await page.locator('[data-link="online"]').wait_for()
    return page


async def holds(page: Page, expression: str, seconds: float = 25.0) -> None:
    """Waits until it is so; the page's policy forbids `wait_for_function`, which evaluates in the page."""
    ends = time.monotonic() + seconds
    while not await page.evaluate(expression):
        assert time.monotonic() < ends, f"{expression} did not come true"
        await asyncio.sleep(0.1)


async def moves(page: Page, seconds: float = 25.0) -> None:
    """The far picture shows new frames."""
    ends = time.monotonic() + seconds
    before = None
    while time.monotonic() < ends:
        now = await page.evaluate(FRAMES)
        if now is not None and before is not None and now > before:
            return
        before = now if now is not None else before
        await asyncio.sleep(0.3)
    words = await page.locator("lamproom-tile .why").all_inner_texts()
    raise AssertionError(f"the far picture stands still: {words}")


async def test_pictures_outlive_a_lost_socket_a_dead_worker_and_a_dead_server(browser: Browser, tmp_path: Path) -> None:
    async with Instance(tmp_path) as server:
        mine, county = await enter(browser, server, "dispatcher"), await enter(browser, server, "county")
        await county.locator("lamproom-wall lamproom-tile").wait_for()
        await mine.locator(".one-click").click()
        await mine.locator("button.start").click()
        await county.locator("dialog.incoming .answer").click()
        both = (mine, county)
        for page in both:
            await moves(page)

        peers = [await page.evaluate("window.peers") for page in both]
        for page in both:
            await page.evaluate("window.sockets.at(-1).close()")
        for page in both:
            await holds(page, "window.resumed.length === 2")
            await moves(page)
        assert [await page.evaluate("window.resumed.at(-1)") for page in both] == [True, True]
        assert [await page.evaluate("window.peers") for page in both] == peers

        worker = next(
            one for one in psutil.Process(server.pid).children(recursive=True) if "media.worker" in one.cmdline()
        )
        worker.send_signal(signal.SIGKILL)
        for page in both:
            await holds(page, f"window.peers > {min(peers)}")
            await moves(page)

        await server.kill()
        for page in both:
            await page.locator('[data-link="waiting"], [data-link="connecting"]').first.wait_for()
        await server.start()
        for page in both:
            await holds(page, "window.resumed.length === 3")
            await moves(page)
        assert await mine.evaluate("window.resumed.at(-1)") is False
        for page in both:
            await page.context.close()


async def test_order_is_given_read_back_and_the_consultation_ended_for_all(browser: Browser, tmp_path: Path) -> None:
    async with Instance(tmp_path) as server:
        mine, county = await enter(browser, server, "dispatcher"), await enter(browser, server, "county")
        await mine.locator(".one-click").click()
        await mine.locator("button.start").click()
        await county.locator("dialog.incoming .answer").click()
        await county.locator(".say option").first.wait_for(state="attached")
        await county.locator(".say textarea").fill("立即撤人")
        await county.keyboard.press("Enter")
        await mine.locator(".order", has_text="立即撤人").locator("button.primary").click()
        await county.locator(".order.confirmed", has_text="李调度").wait_for()
        await mine.locator(".callbar .danger").click()
        await mine.locator(".callbar .danger").click()
        await county.locator("lamproom-wall").wait_for()
        for page in (mine, county):
            await page.context.close()


async def test_computer_check_proves_the_media_path(browser: Browser, tmp_path: Path) -> None:
    async with Instance(tmp_path) as server:
        page = await enter(browser, server, "dispatcher")
        await page.goto(f"{server.url}/check")
        await page.locator(
            '[data-step="media"][data-verdict="good"], [data-step="media"][data-verdict="fair"]'
        ).wait_for()
        await page.context.close()
