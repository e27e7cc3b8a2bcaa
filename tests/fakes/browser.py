"""Real Chromium processes with fake devices, logged in at a real server."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol

from playwright.async_api import Browser, Page, async_playwright

from tests.fakes.instance import Instance

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
]

# Keeps every peer connection and socket that the page makes, so that tests can look at them from outside.
KEEP = """
window.kept = {peers: [], sockets: []};
for (const [name, list] of [["RTCPeerConnection", "peers"], ["WebSocket", "sockets"]]) {
  const real = window[name];
  const construct = (target, given) => { const made = new target(...given); kept[list].push(made); return made; };
  window[name] = new Proxy(real, {construct});
}
"""

RECEIVED = """async () => {
  const found = {frames: 0, energy: 0, bytes: 0, width: 0};
  for (const peer of kept.peers) {
    if (peer.connectionState === "closed") continue;
    for (const one of (await peer.getStats()).values()) {
      if (one.type !== "inbound-rtp") continue;
      found.bytes += one.bytesReceived;
      found.width = Math.max(found.width, one.frameWidth || 0);
      found.frames += one.framesDecoded || 0;
      if (one.kind === "audio") found.energy += one.totalAudioEnergy || 0;
    }
  }
  return found;
}"""


class Scripted(Protocol):
    """A page of any browser, as far as receiving is measured through it."""

    async def evaluate(self, script: str, argument: Any = None, /) -> Any: ...

    async def wait_for_timeout(self, timeout_ms: float, /) -> None: ...


class Receiver:
    """A page that keeps its peers (`KEEP`), and what they have decoded."""

    def __init__(self, page: Scripted, errors: list[str]) -> None:
        self._scripted = page
        self.errors = errors

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        return await self._scripted.evaluate(script, argument)

    async def received(self) -> dict[str, Any]:
        """Totals of what the page has decoded: frames, audio energy, bytes, widest picture."""
        found: dict[str, Any] = await self.evaluate(RECEIVED)
        return found

    async def frames_per_s(self, over_s: float) -> float:
        before = (await self.received())["frames"]
        await self._scripted.wait_for_timeout(over_s * 1000)
        return float((await self.received())["frames"] - before) / over_s

    async def until_frames(self, more: int, timeout_s: float = 20.0) -> None:
        """So many more decoded frames; a peer that is replaced counts from 0."""
        start = (await self.received())["frames"]
        for _ in range(int(timeout_s * 10)):
            frames = (await self.received())["frames"]
            start = min(start, frames)
            if frames >= start + more:
                return
            await self._scripted.wait_for_timeout(100)
        raise AssertionError(f"no {more} frames in {timeout_s} s: {await self.received()}, {self.errors}")

    async def cut_sockets(self) -> None:
        """Close the WebSocket as a failing network would, from inside."""
        await self.evaluate("kept.sockets.filter(one => one.readyState === 1).forEach(one => one.close(4000))")


class Visitor(Receiver):
    """One page of Chromium, logged in."""

    def __init__(self, page: Page) -> None:
        super().__init__(page, [])
        self.page = page
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser process of its own."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()


async def visit(browser: Browser, server: Instance, login: str, **context: Any) -> Visitor:
    """A fresh context, logged in by a one-time link."""
    made = await browser.new_context(
        **{"locale": "zh-CN", "viewport": {"width": 1440, "height": 900}, "color_scheme": "dark", **context}
    )
    page = await made.new_page()
    await page.add_init_script(KEEP)
    visitor = Visitor(page)
    await page.goto(await server.link(login))
    await page.click("button[type=submit]")
    await page.wait_for_url("**/dispatch" if login == "dispatcher" else "**/supervisor")
    return visitor
