"""A camera behind a real RTSP server, seen by a county in Chromium, through failures of everything on the way."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.fakes.browser import CHROMIUM, chromium, visit
from tests.fakes.instance import Instance
from tests.fakes.rtspcamera import clip, free_port, rtsp_server, served

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
    pytest.mark.timeout(180),
]


def child(server: Instance, module: str) -> int:
    """A worker process of the server."""
    for process in psutil.Process(server.pid).children():
        if module in process.cmdline():
            return int(process.pid)
    raise AssertionError(f"{module} does not run")


async def card(http: aiohttp.ClientSession, fits: Callable[[dict[str, Any]], bool], timeout_s: float = 30) -> None:
    """Until the diagnosis card of the camera fits."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                async with http.get("/api/cameras/diagnosis?site=county") as answer:
                    assert answer.status == 200, await answer.text()
                    (found,) = (await answer.json())["items"]
                if fits(found):
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(found) from None


def fails(step: str) -> Callable[[dict[str, Any]], bool]:
    return lambda found: any(one["step"] == step and one["light"] == "failed" for one in found["steps"])


def well(found: dict[str, Any]) -> bool:
    return all(one["light"] == "ok" for one in found["steps"])


async def test_a_county_sees_a_camera_and_sees_it_again_after_every_failure(tmp_path: Path) -> None:
    mounts = {"/gate": served(clip(tmp_path / "clip.mkv", seconds=90, key_every=15))}
    port = free_port()
    camera = {"site": "hongqi", "name": "gate", "url": f"rtsp://admin:topsecret@127.0.0.1:{port}/gate"}
    ingest = {"allow_networks": ["127.0.0.0/8"]}
    async with Instance(tmp_path, cameras=[camera], ingest=ingest) as server, chromium() as browser:
        http = await server.session("county")
        async with http:
            await card(http, fails("connection"))
            async with rtsp_server(mounts, port=port, password="topsecret"):
                county = await visit(browser, server, "county")
                await county.until_frames(20)
                assert (await county.received())["width"] == 320
                await card(http, well)

                # What moves the packets is killed, then what fetches the camera: pictures come back by themselves.
                os.kill(child(server, "media.worker"), signal.SIGKILL)
                await county.until_frames(20, timeout_s=30)
                os.kill(child(server, "media.ingest.worker"), signal.SIGKILL)
                await county.until_frames(20, timeout_s=30)
            await card(http, lambda found: found["state"] == "backoff")
            async with rtsp_server(mounts, port=port, password="another"):
                await card(http, fails("login"), timeout_s=60)
        assert "topsecret" not in server.log.read_text()
