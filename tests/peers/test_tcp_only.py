"""Chromium where no UDP passes: pictures come over the port of the pages, both ways, of any worker."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiortc.mediastreams import AudioStreamTrack
from playwright.async_api import async_playwright

from tests.fakes.browser import ARGUMENTS, CHROMIUM, chromium, visit
from tests.fakes.instance import Instance
from tests.fakes.people import People

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
    pytest.mark.timeout(240),
]

PAIRS = """async () => {
  const found = [];
  for (const peer of kept.peers) {
    if (peer.connectionState !== "connected") continue;
    const stats = [...(await peer.getStats()).values()];
    for (const one of stats) {
      if (one.type === "candidate-pair" && one.nominated && one.state === "succeeded")
        found.push(stats.find((other) => other.id === one.remoteCandidateId).protocol);
    }
  }
  return found;
}"""

# UDP ports of the workers that the page's peers are told of.
UDP_PORTS = """() => kept.peers.flatMap(peer => [...(peer.remoteDescription?.sdp ?? "").matchAll(
    /a=candidate:\\S+ 1 udp \\d+ \\S+ (\\d+)/g)].map(found => Number(found[1])))"""


def on_one_number(folder: Path) -> Instance:
    """A server with HTTP and media on the same number."""
    server = Instance(folder)
    config: dict[str, Any] = json.loads(server.config.read_text())
    config["media"] |= {"udp_port": server.port, "workers": 2}
    server.config.write_text(json.dumps(config))
    return server


async def test_pictures_come_by_tcp_where_udp_is_blocked(tmp_path: Path) -> None:
    async with on_one_number(tmp_path) as server, chromium() as above, async_playwright() as playwright:
        blocked = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[*ARGUMENTS, "--webrtc-ip-handling-policy=disable_non_proxied_udp"],
        )
        people = People(server)
        try:
            # Somebody is there before, so that the mine's room is at the second worker.
            early = await people.enter("county", "site:county")
            await people.publish(early, "site:county", "desk", AudioStreamTrack())
            mine = await visit(blocked, server, "dispatcher")
            county = await visit(above, server, "county")
            await county.until_frames(20)
            assert set(await mine.page.evaluate(PAIRS)) == {"tcp"}
            assert set(await county.page.evaluate(PAIRS)) == {"udp"}

            watching = await visit(blocked, server, "city")
            await watching.until_frames(20)
            assert set(await watching.page.evaluate(PAIRS)) == {"tcp"}
            ports = set(await watching.page.evaluate(UDP_PORTS))
            assert ports
            assert server.port not in ports
        finally:
            await people.close()
            await blocked.close()
