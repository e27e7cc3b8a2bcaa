"""The alert centre in Chromium: tabs with what is new to oneself, groups, keys, evidence, addresses to be sent."""

import re
import time
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import Screens
from tests.web.devserver import make_alert
from tests.web.test_screens import until

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]


def fill(screens: Screens) -> dict[str, dict[str, Any]]:
    """Four alike, a critical one with pictures, and one that is over."""
    alerts = screens.server.alerts
    for number in range(1, 5):
        alerts[f"a{number}"] = make_alert(number, "alarm", f"空岗 {number}", f"Unattended {number}")
    at = time.time() - 600
    pictures = [{"name": f"p{n}", "width": 64, "height": 36, "sha256": "0", "at": at + n} for n in range(3)]
    alerts["a6"] = make_alert(
        6, "critical", "主扇停机", "Fan stopped", rule="fan_stopped", opened_at=at, evidence=pictures
    )
    alerts["a7"] = make_alert(7, "info", "已恢复", "It is over", rule="link", state="cleared", duration_s=65.0)
    return alerts


async def opened(screens: Screens, path: str = "/alerts", person: str = "supervisor") -> Page:
    page = await screens.open(person, path, locale="en-GB")
    await page.locator('[data-link="online"]').wait_for()
    await page.locator(".alert-row").first.wait_for()
    return page


def rows(page: Page) -> Any:
    return page.locator(".alert-row")


async def test_tabs_count_what_is_new_to_oneself_and_filter(screens: Screens) -> None:
    fill(screens)
    page = await opened(screens)
    await expect(page.locator(".severity-tab.alarm")).to_contain_text("4/4")
    await page.locator(".severity-tab.critical").click()
    await expect(rows(page)).to_have_count(1)
    await page.keyboard.press("j")
    await page.keyboard.press("r")
    await until(lambda: screens.server.reviewed == {"a6"}, 20)
    await expect(page.locator(".severity-tab.critical")).to_contain_text("0/1")
    await page.get_by_label("Not looked at").check()
    await expect(rows(page)).to_have_count(0)
    await page.get_by_label("State").select_option("cleared")
    await page.locator(".severity-tab").first.click()
    await expect(rows(page)).to_have_text([re.compile("It is over")])
    assert screens.complaints == []


async def test_alike_stand_together_and_are_taken_at_once(screens: Screens) -> None:
    alerts = fill(screens)
    page = await opened(screens)
    group = page.locator(".alert-group")
    await expect(group).to_have_count(1)
    await expect(page.locator(".alert-row.alarm")).to_have_count(1)
    await group.locator("button").first.click()
    await expect(page.locator(".alert-row.alarm")).to_have_count(4)
    await group.get_by_role("button", name="Take all 4").click()
    await until(lambda: {alerts[f"a{n}"]["state"] for n in range(1, 5)} == {"acknowledged"}, 20)
    await expect(page.locator(".alert-row.alarm.open")).to_have_count(0)
    await expect(page.locator(".alert-row.critical.open")).to_have_count(1)
    await expect(page.locator(".alert-row.looked")).to_have_count(4)


async def test_keys_go_through_alerts_mark_take_and_call_the_next(screens: Screens) -> None:
    alerts = fill(screens)
    page = await opened(screens)
    await page.get_by_label("Group alike").uncheck()
    await expect(page.locator(".alert-row.current")).to_have_attribute("data-alert", "a1")
    await page.keyboard.press("j")
    await expect(page.locator(".alert-row.current")).to_have_attribute("data-alert", "a2")
    await page.keyboard.press("a")
    await until(lambda: alerts["a2"]["state"] == "acknowledged", 20)
    assert alerts["a1"]["state"] == "open"
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await page.keyboard.press("j")
    await page.keyboard.press("x")
    await expect(page.locator(".alert-marked")).to_contain_text("2 marked")
    await page.keyboard.press("a")
    await until(lambda: alerts["a3"]["state"] == alerts["a4"]["state"] == "acknowledged", 20)
    await expect(page.locator(".alert-marked")).to_have_count(0)
    await page.keyboard.press("Control+a")
    await expect(page.locator(".alert-marked")).to_contain_text("7 marked")
    await page.keyboard.press("Escape")
    await expect(page.locator(".alert-marked")).to_have_count(0)


async def test_evidence_is_shown_large_and_runs_as_a_film(screens: Screens) -> None:
    fill(screens)
    start = time.time() - 700
    segment = {"segment": 0, "sha256": "ab", "started_at": start, "duration_s": 600.0, "bytes": 1}
    routine = {"id": "r1", "kind": "video", "person": "", "name": "gate", "simulated": True, "segments": [segment]}
    elsewhen = {**routine, "id": "r2", "name": "belt", "segments": [{**segment, "started_at": start + 650}]}
    screens.server.recordings = [routine, elsewhen]
    page = await opened(screens, "/alerts?alert=a6")
    large = page.locator("img.evidence-large")
    await expect(large).to_have_attribute("src", "/api/alerts/a6/evidence/p0")
    await page.locator(".thumb").nth(2).click()
    await expect(large).to_have_attribute("src", "/api/alerts/a6/evidence/p2")
    await page.locator(".evidence-bar").get_by_text("Play").click()
    await expect(large).to_have_attribute("src", "/api/alerts/a6/evidence/p1", timeout=20_000)
    clips = page.locator(".evidence-bar button:has(svg)")
    await expect(clips).to_have_count(1)
    await page.route("**/segments/0", lambda route: route.fulfill(status=200, content_type="video/webm", body=b""))
    await clips.click()
    await expect(page.locator("video.evidence-large")).to_have_attribute("src", "/api/recordings/r1/segments/0")


async def test_address_names_the_alert_and_a_false_alarm_is_closed_with_a_reason(screens: Screens) -> None:
    alerts = fill(screens)
    page = await opened(screens, "/alerts?severity=info&alert=a6")
    await expect(rows(page)).to_have_count(1)  # it is not among those of this tab
    await expect(page.locator(".alert-detail")).to_contain_text("Fan stopped")
    await page.locator(".alert-row").click(position={"x": 120, "y": 10})
    await expect(page).to_have_url(re.compile("alert=a7"))
    await expect(page.locator(".alert-detail")).to_contain_text("It is over")
    await expect(page.locator(".alert-detail")).to_contain_text("1:05")
    await page.goto(f"{screens.base}/alerts?alert=a6")
    await page.locator(".alert-detail").get_by_role("button", name="Close").click()
    await page.get_by_label("False alarm").check()
    await page.locator(".close-form input[name=reason]").fill("lens cleaned")
    await page.locator(".close-form button.primary").click()
    await until(lambda: alerts["a6"]["outcome"] == "false_alarm", 20)


async def test_new_alert_comes_without_reload_and_only_where_it_fits(screens: Screens) -> None:
    fill(screens)
    page = await opened(screens, "/alerts?severity=info")
    await screens.server.raise_alert(make_alert(11, "info", "新的一条", "A new one", rule="link2"))
    await screens.server.raise_alert(make_alert(12, "warning", "另一级", "Of another kind"))
    await expect(rows(page)).to_have_count(2)
    await expect(page.locator(".severity-tab.warning")).to_contain_text("2/2")
