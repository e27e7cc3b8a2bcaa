"""Chromium where no UDP passes: pictures come over the port of the pages, both ways."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright

from tests.fakes.browser import ARGUMENTS, CHROMIUM, chromium, visit
from tests.fakes.instance import Instance

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
    pytest.mark.timeout(120),
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


def on_one_number(folder: Path) -> Instance:
    """A server with HTTP and media on the same number."""
    server = Instance(folder)
    config: dict[str, Any] = json.loads(server.config.read_text())
    config["media"]["udp_port"] = server.port
    server.config.write_text(json.dumps(config))
    return server


async def test_pictures_come_by_tcp_where_udp_is_blocked(tmp_path: Path) -> None:
    async with on_one_number(tmp_path) as server, chromium() as above, async_playwright() as playwright:
        blocked = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[*ARGUMENTS, "--webrtc-ip-handling-policy=disable_non_proxied_udp"],
        )
        try:
            mine = await visit(blocked, server, "dispatcher")
            county = await visit(above, server, "county")
            await county.until_frames(20)
            assert set(await mine.page.evaluate(PAIRS)) == {"tcp"}
            assert set(await county.page.evaluate(PAIRS)) == {"udp"}

            watching = await visit(blocked, server, "city")
            await watching.until_frames(20)
            assert set(await watching.page.evaluate(PAIRS)) == {"tcp"}
        finally:
            await blocked.close()
