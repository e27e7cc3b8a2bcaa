"""The supervisor's wall in Chromium: groups that people lay out themselves, the tour, the screen without controls."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import Screens
from tests.web.devserver import make_alert
from tests.web.test_screens import until

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]


def cell(camera: str, x: int, y: int, w: int = 8, h: int = 5) -> dict[str, object]:
    return {"camera": camera, "x": x, "y": y, "w": w, "h": h}


def groups(screens: Screens) -> list[dict[str, object]]:
    found: list[dict[str, object]] = screens.server.wall["value"]["groups"]
    return found


def keep(screens: Screens, *made: dict[str, object], tour_s: int = 20) -> None:
    screens.server.add_cameras("hongqi", "gate", "belt")
    screens.server.add_cameras("dongshan", "gate")
    screens.server.wall = {"value": {"groups": list(made), "tour_s": tour_s}, "version": 1}


NORTH_CELLS = [cell("hongqi/gate", 0, 0), cell("dongshan/gate", 8, 0)]
NORTH: dict[str, object] = {"id": "g1", "name": "井口", "cells": NORTH_CELLS}
BELTS: dict[str, object] = {"id": "g2", "name": "皮带", "cells": [cell("hongqi/belt", 0, 0)]}


async def place(page: Page, camera: str) -> str:
    found: str = await page.locator(f'[data-camera="{camera}"]').evaluate("node => node.style.gridArea")
    return found


async def test_group_is_made_of_what_is_shown_arranged_by_keys_and_kept(screens: Screens) -> None:
    keep(screens)
    page = await screens.open("supervisor", locale="en-GB")
    await expect(page.locator("lamproom-tile")).to_have_count(3)
    page.on("dialog", lambda dialog: dialog.accept("Gates"))
    await page.get_by_label("Keep these pictures as a group").click()
    await until(lambda: len(groups(screens)) == 1, 20)
    gate = page.locator('[data-camera="hongqi/gate"]')
    assert await place(page, "hongqi/gate") == "1 / 13 / span 7 / span 12"
    await gate.focus()
    await page.keyboard.press("Shift+ArrowLeft")
    await page.keyboard.press("Shift+ArrowLeft")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowUp")  # it is at the edge
    assert await place(page, "hongqi/gate") == "1 / 14 / span 7 / span 10"
    await page.locator('[data-camera="dongshan/gate"]').focus()
    await page.keyboard.press("ArrowRight")
    assert await place(page, "dongshan/gate") == "8 / 2 / span 7 / span 12"
    await page.keyboard.press("ArrowUp")  # another picture is in the way
    assert await place(page, "dongshan/gate") == "8 / 2 / span 7 / span 12"
    await page.keyboard.press("Delete")
    await until(lambda: len(groups(screens)[0]["cells"]) == 2, 20)  # type: ignore[arg-type]
    await page.reload()
    await page.locator(".wall-groups").select_option(label="Gates")
    await expect(page.locator(".cell")).to_have_count(2)
    await expect(page.locator('[data-camera="hongqi/gate"]')).to_be_visible()
    assert await place(page, "hongqi/gate") == "1 / 14 / span 7 / span 10"
    assert screens.complaints == []


async def test_picture_is_dragged_and_resized_by_the_pointer_and_never_over_another(screens: Screens) -> None:
    keep(screens, NORTH)
    page = await screens.open("supervisor", "/supervisor?group=g1", locale="en-GB")
    await page.get_by_label("Arrange pictures").click()
    box = await page.locator(".layout").bounding_box()
    assert box is not None
    step, row = box["width"] / 24, box["height"] / 14
    for start, end, where in (
        ((2, 2), (2, 7), "6 / 1 / span 5 / span 8"),  # down
        ((2, 7), (5, 7), "6 / 4 / span 5 / span 8"),  # to the right, where it is free now
        ((5, 7), (12, 3), "6 / 4 / span 5 / span 8"),  # over the other one: refused
    ):
        await page.mouse.move(box["x"] + start[0] * step, box["y"] + start[1] * row)
        await page.mouse.down()
        await page.mouse.move(box["x"] + end[0] * step, box["y"] + end[1] * row)
        await page.mouse.up()
        await expect(page.locator('[data-camera="hongqi/gate"]')).to_have_css("grid-area", where)
    corner = await page.locator('[data-camera="hongqi/gate"] .cell-size').bounding_box()
    assert corner is not None
    await page.mouse.move(corner["x"] + 8, corner["y"] + 8)
    await page.mouse.down()
    await page.mouse.move(corner["x"] + 8 + 3 * step, corner["y"] + 8 + 2 * row)
    await page.mouse.up()
    await expect(page.locator('[data-camera="hongqi/gate"]')).to_have_css("grid-area", "6 / 4 / span 7 / span 11")
    await until(lambda: groups(screens)[0]["cells"][0]["w"] == 11, 20)  # type: ignore[index]


async def test_layout_that_another_page_changed_is_shown_and_not_overwritten(screens: Screens) -> None:
    keep(screens, NORTH)
    page = await screens.open("supervisor", "/supervisor?group=g1", locale="en-GB")
    await page.get_by_label("Arrange pictures").click()
    screens.server.wall = {"value": {"groups": [NORTH, BELTS], "tour_s": 20}, "version": 7}
    await page.get_by_role("button", name="Tidy up").click()
    await page.get_by_text("The layout was changed on another page").wait_for()
    await expect(page.locator(".wall-groups option")).to_have_count(3)
    assert screens.server.wall["version"] == 7


async def test_tour_goes_from_group_to_group_and_stays_at_a_red_alert(screens: Screens) -> None:
    keep(screens, NORTH, BELTS, tour_s=5)
    context = await screens.context(locale="en-GB")
    page = await context.new_page()
    await page.clock.install()
    await page.goto(f"{screens.base}/as/supervisor?to=/supervisor%3Fkiosk%26group%3Dg1%26tour")
    await expect(page.locator('[data-camera="dongshan/gate"]')).to_be_visible()
    await page.clock.run_for(6000)
    await expect(page.locator('[data-camera="hongqi/belt"]')).to_be_visible()
    await expect(page).to_have_url(re.compile("group=g2"))
    await screens.server.raise_alert(make_alert(1, "critical", "空岗", "Unattended"))
    await page.locator(".beacon").wait_for()
    await page.clock.run_for(12_000)
    await expect(page).to_have_url(re.compile("group=g2"))
    await page.keyboard.press("a")
    await expect(page.locator(".beacon")).to_have_count(0)
    await page.clock.run_for(6000)
    await expect(page.locator('[data-camera="dongshan/gate"]')).to_be_visible()


async def test_screen_on_a_wall_has_no_controls_keeps_its_log_in_and_says_that_it_cannot_sound(
    screens: Screens,
) -> None:
    keep(screens, NORTH)
    page = await screens.open("supervisor", "/supervisor?kiosk=1&group=g1", locale="en-GB")
    await expect(page.locator(".cell")).to_have_count(2)
    await expect(page.locator(".topbar, .column.tree, .wall > header")).to_have_count(0)
    await until(lambda: screens.server.kept_logins == 1, 20)
    await page.locator(".kiosk-bar time").wait_for()
    await page.keyboard.press("Escape")
    await expect(page.locator(".topbar")).to_be_visible()
    await expect(page).to_have_url(re.compile(r"/supervisor\?group=g1$"))
    await page.keyboard.press("d")
    await page.keyboard.press("k")
    await expect(page.locator(".topbar")).to_have_count(0)
    assert screens.complaints == []


async def test_page_says_whether_it_would_be_heard(screens: Screens) -> None:
    page = await screens.open("supervisor")
    await until(lambda: screens.server.heard_of("screen"), 20)
    assert screens.server.heard_of("screen")[0]["armed"] is False
    await page.locator(".sound").click()
    await until(lambda: screens.server.heard_of("screen")[-1]["armed"], 20)
