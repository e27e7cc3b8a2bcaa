"""Review in Chromium: curves and positions under the axis of the pictures, and all cameras of a stretch of time."""

import re
import time

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import Screens

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]

PAINTED = """canvas => {
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value) => value > 0);
}"""
NEEDLE = """async () => {
  const past = document.querySelector('lamproom-past');
  await past.updateComplete;
  return (past.at - past.start) / (past.end - past.start);
}"""


async def recorded(screens: Screens) -> tuple[float, float]:
    """A consultation of ten minutes that is over, and two cameras that were recorded then."""
    await screens.server.ring("county")
    session = screens.server.sessions["s1"]
    start, end = time.time() - 600.0, time.time()
    session.update(started_at=start, ended_at=end)
    segment = {"segment": 0, "sha256": "ab", "started_at": start, "duration_s": 580.0, "bytes": 1}
    screens.server.recordings = [
        {"id": f"r{name}", "kind": "video", "person": "", "name": name, "simulated": True, "segments": [segment]}
        for name in ("gate", "belt")
    ]
    return start, end


async def opened(screens: Screens, path: str) -> Page:
    context = await screens.context(locale="en-GB")
    page = await context.new_page()
    await page.route("**/segments/0", lambda route: route.fulfill(status=200, content_type="video/webm", body=b""))
    await page.goto(f"{screens.base}/as/supervisor?to={path}")
    await expect(page.locator(".past-plot canvas")).to_have_count(3, timeout=20_000)
    return page


async def test_curves_and_positions_follow_the_clock_of_the_pictures(screens: Screens) -> None:
    await recorded(screens)
    page = await opened(screens, "/review")
    for canvas in await page.locator(".past-plot canvas").all():
        assert await canvas.evaluate(PAINTED)
    await expect(page.locator(".past-map .count")).not_to_have_text("0")
    lanes, plot = page.locator(".axis-lanes"), page.locator(".past-plot").first
    left, right = await lanes.bounding_box(), await plot.bounding_box()
    assert left is not None
    assert right is not None
    assert left["x"] == pytest.approx(right["x"], abs=2)
    assert left["width"] == pytest.approx(right["width"], abs=2)
    await plot.click(position={"x": right["width"] * 0.75, "y": 30})
    await expect(page.locator(".player-bar .now")).to_contain_text(re.compile(r"7:(2\d|3\d) / "))
    assert await page.evaluate(NEEDLE) == pytest.approx(0.75, abs=0.02)
    await lanes.click(position={"x": left["width"] * 0.25, "y": 20})
    await expect(page.locator(".player-bar .now")).to_contain_text(re.compile(r"2:(2\d|3\d) / "))
    assert await page.evaluate(NEEDLE) == pytest.approx(0.25, abs=0.02)


async def test_curves_are_chosen_and_say_what_they_were(screens: Screens) -> None:
    await recorded(screens)
    page = await opened(screens, "/review")
    await expect(page.locator(".past-curve").first).to_contain_text(re.compile(r"A \([\d.]+–[\d.]+\)"))
    await page.locator(".past-choose summary").click()
    await page.locator(".past-choose input:checked").first.uncheck()
    await expect(page.locator(".past-plot canvas")).to_have_count(2)
    await page.locator(".past-choose input:not(:checked)").nth(2).check()
    await expect(page.locator(".past-plot canvas")).to_have_count(3)


async def test_all_cameras_of_a_time_are_looked_at_without_a_consultation(screens: Screens) -> None:
    start, end = await recorded(screens)
    address = f"/review%3Fsite=hongqi%26start={start:.0f}%26end={end:.0f}"
    page = await opened(screens, address)
    await expect(page.locator(".player-stage .tile")).to_have_count(2)
    await expect(page.locator(".session-head")).to_contain_text("2 recorded pictures")
    await expect(page.locator(".session-head a")).to_have_count(0)
    await page.locator(".review-stretch select").select_option("60")
    await page.locator(".review-stretch button").click()
    await expect(page).to_have_url(re.compile(r"start=\d+&end=\d+"))
    await expect(page.locator(".player-bar .now")).to_contain_text(re.compile(r"/ 1:00:00|/ 1:\d\d:\d\d|/ \d\d:\d\d"))


async def test_a_house_without_consultations_says_so_once(screens: Screens) -> None:
    page = await screens.open("dispatcher", "/review", locale="en-GB")
    await expect(page.get_by_text("There are no consultations.")).to_have_count(1)
    await expect(page.get_by_text("After a consultation")).to_be_visible()
    await expect(page.locator(".topbar .who")).to_contain_text("王建国")


@pytest.mark.parametrize("path", ["/review", "/plan", "/muster"])
async def test_paper_is_white_shows_all_and_has_nothing_to_press(screens: Screens, path: str) -> None:
    await recorded(screens)
    screens.server.mine.begin()
    page = await screens.open("dispatcher", path, locale="en-GB")
    await expect(page.locator(".panel, .map .zone").first).to_be_visible(timeout=20_000)
    await page.emulate_media(media="print")
    await expect(page.locator("button:visible, select:visible, .light:visible")).to_have_count(0)
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    cut = "[...document.querySelectorAll('.scroll')].filter((one) => one.scrollHeight > one.clientHeight + 1).length"
    assert await page.evaluate(cut) == 0
