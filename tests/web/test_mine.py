"""Plan, muster board and registry in a real browser."""

import re

import pytest
from playwright.async_api import expect

from tests.web.conftest import Screens

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]


async def test_plan_shows_zones_people_and_age(screens: Screens) -> None:
    page = await screens.open("dispatcher", "/plan", locale="en-GB")
    await expect(page.locator(".map .zone")).to_have_count(2)
    await expect(page.locator(".map .zone.over text")).to_contain_text("Zone face · 2/1")
    await expect(page.locator(".tags tr.old")).to_contain_text("P2")
    await expect(page.locator(".planbar")).to_contain_text("Positions live")
    await page.locator(".zones tr", has_text="Zone face").click()
    await expect(page.locator(".tags tbody tr")).to_have_count(2)
    await page.get_by_text("Replay 1 hour").click()
    await expect(page.locator(".past-mark")).to_be_visible()
    await page.get_by_text("Back to live").click()
    await expect(page.locator(".past-mark")).to_have_count(0)


async def test_plan_says_that_positions_stopped_and_counts_nobody(screens: Screens) -> None:
    screens.server.mine.feed = "stale"
    page = await screens.open("dispatcher", "/plan", locale="zh-CN")
    await expect(page.locator(".planbar")).to_contain_text("定位中断")
    await expect(page.locator(".zones h2 b")).to_have_text("— / 60")


async def test_muster_is_begun_by_two_presses(screens: Screens) -> None:
    page = await screens.open("dispatcher", "/muster", locale="en-GB")
    await page.locator("#reason").fill("gas")
    await page.get_by_role("button", name="Begin a muster").click()
    assert screens.server.mine.sent == []
    await page.get_by_role("button", name="Begin now").click()
    await expect(page.locator(".left-figure b")).to_have_text("2")
    assert screens.server.mine.sent == [("POST", "/api/musters", {"site": "hongqi", "reason": "gas", "drill": False})]
    await expect(page.locator(".person-row").first).to_contain_text("lost")
    await expect(page.locator(".going li")).to_have_count(3)
    await expect(page.locator(".going .wrong_way")).to_contain_text("1 going away from the way out")
    row = page.locator(".person-row", has_text="P1")
    await expect(row.locator(".chip.wrong_way")).to_have_text("wrong way")
    await expect(row).to_contain_text("612 m to the way out")
    await page.get_by_role("button", name="Sign").click()
    await expect(page.locator(".people")).to_contain_text("张**")
    await page.get_by_role("button", name=re.compile("Show names")).click()
    await expect(page.locator(".people")).to_contain_text("张三丰")
    assert screens.server.mine.sent[-1] == ("POST", "/api/musters/m1/lists/0/sign", {"sha256": "ab" * 32})


async def test_board_without_positions_never_says_that_nobody_is_left(screens: Screens) -> None:
    screens.server.mine.begin(left=None, feed="stale")
    page = await screens.open("dispatcher", "/muster", locale="zh-CN")
    await expect(page.locator(".left-figure b")).to_have_text("?")
    await expect(page.locator(".feed-bad")).to_contain_text("定位数据已中断")


async def test_muster_stands_on_top_of_the_dispatch_page(screens: Screens) -> None:
    screens.server.mine.begin()
    page = await screens.open("dispatcher", "/dispatch", locale="en-GB")
    strip = page.locator(".muster-strip")
    await expect(strip).to_contain_text("2 not out")
    box = await strip.bounding_box()
    assert box is not None
    assert box["y"] < 200


async def test_registry_shows_facts_and_lines_of_mistakes(screens: Screens) -> None:
    page = await screens.open("engineer", "/registry#zones", locale="en-GB")
    await page.locator("td", has_text="face").first.click()
    await page.locator("input[name=name_zh]").fill("新名称")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator(".fact")).to_have_count(0)
    (sent,) = screens.server.mine.sent
    assert sent[:2] == ("PUT", "/api/registry/zones/face")
    assert sent[2]["expect"] == 3
    assert sent[2]["data"]["name_zh"] == "新名称"
    assert sent[2]["data"]["allow_cards"] == ["P1"]
    assert sent[2]["data"]["fence"] == {"outline": [[0, 0], [1, 0], [1, 1]]}
    file = {"name": "zones.csv", "mimeType": "text/csv", "buffer": b"zone,kind\nface,faec\n"}
    await page.locator(".files input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    await page.get_by_role("button", name="Try").click()
    await expect(page.locator(".outcome")).to_contain_text("Line 3")
    await expect(page.get_by_role("button", name="Import", exact=True)).to_be_disabled()


async def test_who_may_not_change_sees_no_buttons(screens: Screens) -> None:
    page = await screens.open("dispatcher", "/registry#zones", locale="en-GB")
    await page.locator("td", has_text="face").first.click()
    await expect(page.locator("input[name=name_zh]")).to_have_attribute("readonly", "")
    await expect(page.get_by_role("button", name="Save")).to_have_count(0)
    await expect(page.locator(".files input[type=file]")).to_have_count(0)
