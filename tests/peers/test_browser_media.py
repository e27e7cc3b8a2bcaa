"""Dispatcher and three levels above in real Chromium processes: pictures, sound, and coming back after failures."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.fakes.browser import CHROMIUM, chromium, visit
from tests.fakes.instance import Instance

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
    pytest.mark.timeout(180),
]

LEVELS = ("county", "city", "province")


async def test_three_levels_see_and_hear_the_dispatch_room_and_come_back_after_failures(tmp_path: Path) -> None:
    async with Instance(tmp_path) as server, chromium() as mine, chromium() as above:
        dispatcher = await visit(mine, server, "dispatcher")
        watchers = [await visit(above, server, level) for level in LEVELS]

        await asyncio.gather(*(one.until_frames(20) for one in watchers))
        rates = await asyncio.gather(*(one.frames_per_s(5.0) for one in watchers))
        assert min(rates) >= 10, dict(zip(LEVELS, rates, strict=True))

        # The WebSocket is cut: pictures go on, and the page comes back to the same client.
        county = watchers[0]
        await asyncio.gather(county.cut_sockets(), dispatcher.cut_sockets())
        assert await county.frames_per_s(3.0) >= 10

        # The server is killed and started again: pictures come back by themselves.
        await server.kill()
        await server.start()
        ready = time.monotonic()
        await asyncio.gather(*(one.until_frames(5, timeout_s=20) for one in watchers))
        print(f"pictures back {time.monotonic() - ready:.1f} s after the server was ready")
