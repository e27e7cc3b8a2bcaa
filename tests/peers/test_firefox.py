"""Real Firefox beside real Chromium: pictures and sound both ways, simulcast, ICE restarts, failures of the server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from media.messages import SetViews, View
from media.transport.udpsocket import advertised
from tests.fakes.browser import CHROMIUM, Scripted, chromium, visit
from tests.fakes.firefox import FIREFOX, Firefox, firefox, visit_by_firefox
from tests.fakes.instance import Instance
from tests.fakes.mediapages import serving_pages
from tests.fakes.mediaserver import MemoryLink, running_worker

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not Path(FIREFOX).exists(), reason="Firefox is not installed"),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
    pytest.mark.skipif(
        all(ip_address(each).is_loopback for each in advertised("0.0.0.0", ())),
        reason="this machine has no address but loopback ones, by which Firefox sends no media",
    ),
    pytest.mark.timeout(240),
    pytest.mark.asyncio(loop_scope="module"),
]
WAIT_S = 60.0

PUBLISH = """async () => {
    const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: {width: 640, height: 360}});
    pc.addTransceiver(stream.getAudioTracks()[0], {direction: "sendonly", streams: [stream]});
    window.camera = pc.addTransceiver(stream.getVideoTracks()[0], {direction: "sendonly", streams: [stream],
        sendEncodings: [
            {rid: "q", scaleResolutionDownBy: 4, maxBitrate: 80000},
            {rid: "h", scaleResolutionDownBy: 2, maxBitrate: 200000},
            {rid: "f", maxBitrate: 500000}]});
    return offer();
}"""
UNTIL = """async ([frames, width]) => {
    const found = async () => {
        const {video, audio} = await stats();
        return [video?.framesDecoded ?? 0, video?.frameWidth ?? 0, audio?.totalAudioEnergy ?? 0];
    };
    const [before] = await found();
    for (;;) {
        const [decoded, wide, energy] = await found();
        if (decoded >= before + frames && (!width || wide === width) && energy > 0) return;
        await new Promise(next => setTimeout(next, 50));
    }
}"""


async def until(page: Scripted, frames: int, width: int = 0) -> None:
    """So many more frames decoded, the last of this width, and sound that is not silent."""
    try:
        await asyncio.wait_for(page.evaluate(UNTIL, [frames, width]), WAIT_S)
    except TimeoutError:
        raise AssertionError(await page.evaluate("stats()")) from None


async def show(link: MemoryLink, peer: str, track: str, height: int) -> None:
    await link.call(SetViews(peer=peer, views={track: View(height=height)}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fox() -> AsyncIterator[Firefox]:
    async with firefox() as browser:
        yield browser


async def test_firefox_and_chromium_send_and_receive_simulcasts_through_ice_restarts(fox: Firefox) -> None:
    async with running_worker() as (link, _), serving_pages(link) as address, chromium() as chrome:

        async def page(name: str, peer: str) -> Scripted:
            made = await fox.new_page() if name == "fox" else await chrome.new_page()
            await made.goto(f"{address}?peer={peer}")
            return made

        sources = {name: await page(name, name) for name in ("fox", "chrome")}
        watchers = {name: await page(name, f"{name}-watches") for name in ("fox", "chrome")}
        told: dict[str, list[dict[str, Any]]] = {}
        for name, source in sources.items():
            told[name] = await source.evaluate(PUBLISH)
            await link.peer(name, "connected")
        assert [track["rids"] for track in told["fox"] if track["kind"] == "video"] == [["q", "h", "f"]]

        for name, other in (("fox", "chrome"), ("chrome", "fox")):
            await watchers[name].evaluate('document.getElementById("v").muted = false')
            await watchers[name].evaluate("tracks => subscribe(tracks)", [track["track"] for track in told[other]])
        await asyncio.gather(*(until(each, 20) for each in watchers.values()))

        # What Firefox sends in three sizes comes in the one of the tile, what Chromium sends comes so to Firefox.
        [pictures] = [track["track"] for track in told["fox"] if track["kind"] == "video"]
        for height, width in ((180, 160), (360, 320), (720, 640)):
            await show(link, "chrome-watches", pictures, height)
            await until(watchers["chrome"], 5, width)

        assert await sources["fox"].evaluate("restartIce()")
        await watchers["fox"].evaluate(
            "tracks => subscribe(tracks, true)", [track["track"] for track in told["chrome"]]
        )
        await asyncio.gather(*(until(each, 20) for each in watchers.values()))
        for peer in ("fox", "fox-watches"):
            assert (await link.quality(peer, lambda each: bool(each.tracks))).tracks


async def test_the_pages_in_firefox_come_back_after_failures(fox: Firefox, tmp_path: Path) -> None:
    async with Instance(tmp_path) as server, chromium() as above:
        dispatcher = await visit_by_firefox(fox, server, "dispatcher")
        county = await visit(above, server, "county")
        city = await visit_by_firefox(fox, server, "city")
        await asyncio.gather(*(one.until_frames(20, WAIT_S) for one in (county, city)))

        await asyncio.gather(dispatcher.cut_sockets(), city.cut_sockets())
        await asyncio.gather(*(one.until_frames(20, WAIT_S) for one in (county, city)))

        [worker] = [child for child in psutil.Process(server.pid).children() if "media.worker" in child.cmdline()]
        os.kill(worker.pid, signal.SIGKILL)
        await asyncio.gather(*(one.until_frames(20, WAIT_S) for one in (county, city)))
