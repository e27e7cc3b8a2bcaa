"""The light for all fetched cameras, and the card that says what to do."""

import time
from typing import Any

import pytest

from media.ingest.messages import Facts, Opened, Stream
from server.diagnosis import Known, diagnose, summary
from tests.web.conftest import Screens

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]

OPENED = Opened(camera="m/c", opening=1, video=Stream(codec="H264", clock_rate=90000), width=1920, height=1080)
FACTS = Facts(camera="m/c", frames_per_s=25, bitrate_bps=4_000_000, keyframe_interval_s=2.0)
WELL = Known("live", opened=OPENED, facts=FACTS, forwarded="live", watchers=2)
LOGIN = Known("backoff", "unauthorized", "rtsp://admin:***@10.0.0.7/1 refuses this name and password.")
JUMPY = Known("live", opened=OPENED, facts=FACTS.model_copy(update={"jumps": 9}), forwarded="live")


def card(name: str, known: Known) -> dict[str, Any]:
    steps = [{"step": one.step, "light": one.light, "name": one.name, "text": one.text} for one in diagnose(known)]
    retry = time.time() + 60 if known.state == "backoff" else None
    return {
        "site": "hongqi", "name": name, "state": known.state, "since": time.time() - 90, "retry_at": retry,
        "summary": summary(known), "detail": known.detail, "steps": steps,
    }  # fmt: skip


async def test_a_server_that_fetches_no_camera_shows_no_light(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await page.locator("lamproom-topbar").wait_for()
    assert await page.locator("[data-cameras]").count() == 0


async def test_the_worst_camera_comes_first_and_says_what_to_do(screens: Screens) -> None:
    screens.server.cards = [card("coal-gate", WELL), card("shaft-mouth", LOGIN), card("belt-head", JUMPY)]
    page = await screens.open("dispatcher")
    light = page.locator("[data-cameras]")
    assert await light.get_attribute("data-cameras") == "bad"
    assert "2/3" in await light.inner_text()
    await light.click()
    cards = page.locator(".camera-card")
    first = await cards.nth(0).inner_text()
    assert "井口" in first
    assert "用户名或密码" in first
    assert await cards.nth(0).locator(".steps .failed").count() == 1
    assert "煤场大门" in await cards.nth(2).inner_text()
    await page.keyboard.press("Escape")
    assert not await page.locator("dialog.cameras").is_visible()
    assert screens.complaints == []


async def test_all_green_is_told_in_english_too(screens: Screens) -> None:
    screens.server.cards = [card("coal-gate", WELL)]
    page = await screens.open("supervisor", locale="en-GB")
    light = page.locator("[data-cameras]")
    await light.click()
    assert await light.get_attribute("data-cameras") == "ok"
    assert "The picture is on." in await page.locator(".camera-card").inner_text()
    assert screens.complaints == []
