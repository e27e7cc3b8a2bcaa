"""A real browser publishes a simulcast of pictures that no encoder makes small; another page of it watches over a bad
way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from playwright.async_api import Page, async_playwright

from media.messages import Close
from media.worker import MediaWorker
from tests.fakes.badway import BadWay, Leg
from tests.fakes.browser import ARGUMENTS, CHROMIUM
from tests.fakes.mediapages import serving_pages
from tests.fakes.mediaserver import MemoryLink, running_worker

ALL_LAYERS = "--force-fieldtrials=WebRTC-LegacySimulcastLayerLimit/Disabled/"
"""Three layers of a small picture too: a busy machine has no time to encode large ones."""

# Notes each decoded picture: when it was shown, how wide it is, and the how-manieth it is.
WATCH = """() => {
    window.shown = [];
    const video = document.getElementById("v");
    const note = (now, {width, presentedFrames}) => {
        shown.push([now, width, presentedFrames]);
        video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
}"""

WIDTHS = (80, 160, 320)
"""Of the three encodings: small, as the machine that does all this may be."""

JOIN = """async tracks => {
    const began = performance.now(), video = document.getElementById("v");
    const seen = new Promise(found => video.requestVideoFrameCallback(() => found(performance.now() - began)));
    await subscribe(tracks);
    return await seen;
}"""

PUBLISH = """async () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [320, 180];
    const context = canvas.getContext("2d");
    const pictures = [];
    for (let index = 0; index < 6; index++) {
        const image = context.createImageData(160, 90);
        for (let at = 0; at < image.data.length; at += 4)
            image.data.fill(Math.random() * 255, at, at + 3).fill(255, at + 3, at + 4);
        pictures.push(await createImageBitmap(image));
    }
    let step = 0;
    setInterval(() => context.drawImage(pictures[step++ % 6], 0, 0, 320, 180), 66);
    pc.addTransceiver(canvas.captureStream(15).getVideoTracks()[0], {direction: "sendonly", sendEncodings: [
        {rid: "q", scaleResolutionDownBy: 4, maxBitrate: 80000},
        {rid: "h", scaleResolutionDownBy: 2, maxBitrate: 300000},
        {rid: "f", maxBitrate: 1500000}]});
    return offer();
}"""


@dataclass
class ThinLine:
    """`way.down` is what stands between the worker and the viewer."""

    link: MemoryLink
    worker: MediaWorker
    publisher: Page
    viewer: Page
    way: BadWay
    track: str
    address: str
    """Of pages."""

    async def join(self, name: str) -> float:
        """Milliseconds from another viewer's wish to see until its first decoded picture; it leaves then."""
        browser = self.viewer.context.browser
        assert browser is not None
        context = await browser.new_context()
        try:
            page = await context.new_page()
            await page.goto(f"{self.address}?peer={name}")
            took: float = await asyncio.wait_for(page.evaluate(JOIN, [self.track]), 60)
            return took
        finally:
            await context.close()
            await self.link.call(Close(peer=name, reason="seen"))

    async def inbound(self) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = await self.viewer.evaluate("stats()")
        return found["video"]

    async def shown(self) -> list[tuple[float, int, int]]:
        """Milliseconds of the page, width and number of each picture."""
        found: list[tuple[float, int, int]] = await self.viewer.evaluate("shown")
        return found

    async def until_width(self, *widths: int, timeout_s: float) -> None:
        script = """async widths => {
            while (!(shown.length && widths.includes(shown[shown.length - 1][1])))
                await new Promise(f => setTimeout(f, 20));
        }"""
        try:
            await asyncio.wait_for(self.viewer.evaluate(script, list(widths)), timeout_s)
        except TimeoutError:
            raise AssertionError(f"no picture of {widths} in {timeout_s} s: {(await self.shown())[-3:]}") from None


@contextlib.asynccontextmanager
async def thin_line(down: Leg, seed: int = 1, up: Leg | None = None) -> AsyncIterator[ThinLine]:
    async with (
        async_playwright() as playwright,
        running_worker() as (link, worker),
        serving_pages(link) as address,
    ):
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, ALL_LAYERS])
        try:
            assert worker.started is not None
            port = worker.started.udp_port
            publisher = await (await browser.new_context()).new_page()
            await publisher.goto(f"{address}?peer=camera")
            [track] = await publisher.evaluate(PUBLISH)
            await link.peer("camera", "connected")
            async with BadWay(("127.0.0.1", port), up=up, down=down, seed=seed) as way:
                link.rewrite = lambda sdp: sdp.replace(f" {port} typ host", f" {way.port} typ host")
                viewer = await (await browser.new_context()).new_page()
                await viewer.goto(f"{address}?peer=viewer")
                await viewer.evaluate(WATCH)
                await viewer.evaluate("tracks => subscribe(tracks)", [track["track"]])
                await link.peer("viewer", "connected")
                yield ThinLine(link, worker, publisher, viewer, way, track["track"], address)
        finally:
            await browser.close()
