"""Peers that are no browsers: libwebrtc in Node, GStreamer's webrtcbin, files of FFmpeg's by PyAV. Each publishes by
WHIP and another plays it by WHEP."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiortc import RTCRtpSender
from aiortc.contrib.media import MediaPlayer

from signaling.room import messages as m
from tests.fakes.instance import Instance
from tests.fakes.people import People, people, whip
from tests.fakes.rtspcamera import clip
from tests.web.checkers import install

__all__ = ["people"]

SYSTEM_PYTHON = "/usr/bin/python3"
GSTREAMER = Path(__file__).parent.parent / "fakes" / "gstpeer.py"
NODE = shutil.which("node") or ""
WAIT_S = 45.0
START_BPS = 500_000
"""Told in our answers; without feedback the estimate of libwebrtc stays there."""

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


def need_webrtcbin() -> None:
    check = "import gi; gi.require_version('GstWebRTC', '1.0'); from gi.repository import Gst; Gst.init(None); "
    check += "assert all(map(Gst.ElementFactory.find, ('webrtcbin', 'nicesrc', 'vp8enc', 'openh264dec')))"
    if subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, check=False).returncode:
        pytest.skip("GStreamer's webrtcbin is not installed")


def need_wrtc() -> None:
    if not NODE or not install.is_ready(install.WRTC):
        pytest.skip("libwebrtc in Node is not installed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    async with Instance(tmp_path_factory.mktemp("server")) as running:
        yield running


class Program:
    """Lines of JSON of a running peer."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first line that fits."""
        assert self._process.stdout is not None
        last = b""
        try:
            async with asyncio.timeout(WAIT_S):
                while last := await self._process.stdout.readline():
                    told: dict[str, Any] = json.loads(last)
                    assert "error" not in told, told
                    if fits(told):
                        return told
        except TimeoutError:
            pass
        raise AssertionError(f"it did not come so far, or ended: {last!r}")


@contextlib.asynccontextmanager
async def program(*command: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Program(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def live(client: Any, name: str, kinds: set[str]) -> dict[str, str]:
    """Tracks by kind, once packets of all of them flow."""

    def found(roster: m.Roster) -> dict[str, str]:
        return {one.kind: one.track for one in roster.tracks if (one.name, one.state) == (name, "live")}

    roster = await client.hear(m.Roster, lambda one: set(found(one)) >= kinds, timeout_s=WAIT_S)
    return found(roster)


async def test_libwebrtc_in_node_publishes_a_simulcast_and_plays_what_webrtcbin_publishes(
    server: Instance, people: People
) -> None:
    need_wrtc()
    need_webrtcbin()
    county = await people.enter("county", "site:hongqi")
    token = await server.device_token("bin")
    async with program(SYSTEM_PYTHON, str(GSTREAMER), "whip", f"{server.url}/whip/site:hongqi/bin", token):
        await live(county, "bin", {"audio", "video"})
        wanted = {
            "whip": f"{server.url}/whip/site:hongqi/node",
            "token": await server.device_token("node"),
            "whep": f"{server.url}/whep/site:hongqi/hongqi/bin",
            "viewing": await county.token("site:hongqi"),
        }
        async with program(NODE, str(install.WRTC / "peer.mjs"), json.dumps(wanted)) as node:
            said = await node.until(
                lambda told: (
                    told["pictures"] > 10
                    and told["loudest"] > 1000
                    and min(told["sent"].get(rid, 0) for rid in "hf") > 10
                    and told["available"] not in (0, START_BPS)
                )
            )
            assert said["simulcast"]
            assert said["numbered"]
            assert said["width"] == 320
            # Each size reaches who has a tile for it.
            tracks = await live(county, "node", {"video"})
            screen = await people.watch(county, tracks["video"])
            for height, width in ((180, 320), (720, 640)):
                await county.send(m.Views(views={tracks["video"]: m.View(height=height)}))
                async with asyncio.timeout(WAIT_S):
                    while (await screen.frames("video", 1))[0].width != width:
                        pass


async def test_webrtcbin_plays_h264_of_a_file_that_pyav_publishes_as_it_is(
    server: Instance, people: People, tmp_path: Path
) -> None:
    need_webrtcbin()
    player = MediaPlayer(str(clip(tmp_path / "clip.ts", seconds=60, key_every=15, sound=False)), decode=False)
    camera = people.connection()
    assert player.video is not None
    camera.addTrack(player.video)
    codecs = RTCRtpSender.getCapabilities("video").codecs
    camera.getTransceivers()[0].setCodecPreferences([one for one in codecs if one.mimeType == "video/H264"])
    token = await server.device_token("file")
    county = await people.enter("county", "site:hongqi")
    async with aiohttp.ClientSession() as http:
        status, _, body = await whip(camera, http, f"{server.url}/whip/site:hongqi/file", token)
        assert status == 201, body
    await live(county, "file", {"video"})
    viewing = await county.token("site:hongqi")
    play = ("whep", f"{server.url}/whep/site:hongqi/hongqi/file", viewing)
    async with program(SYSTEM_PYTHON, str(GSTREAMER), *play) as bin_:
        await bin_.until(lambda told: told["decoded"].get("H264", 0) > 20)
