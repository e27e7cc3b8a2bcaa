"""Open incidents on the pages: one card for many alerts, opened, split, merged and closed by people."""

import os
import time
from typing import Any

import pytest
from playwright.async_api import expect

from tests.web.conftest import Screens

pytestmark = [pytest.mark.peer, pytest.mark.asyncio(loop_scope="module")]


def incident(number: int, **given: Any) -> dict[str, Any]:
    return {
        "id": f"i{number}", "site": "hongqi", "kind": "supply_loss", "severity": "critical", "state": "open",
        "title": {"zh": "失电事件", "en": "Loss of supply"}, "opened_at": time.time() - 75, "at": time.time(),
        "sources": {"power": 3, "positions": 2}, "zones": ["face-1", "main-road"], "merged_into": None, "closed": None,
        "simulated": True, "alerts": 15, "standing": 12,
    } | given  # fmt: skip


async def test_no_incident_no_card(screens: Screens) -> None:
    screens.server.incidents = []
    page = await screens.open("dispatcher")
    await page.locator("lamproom-alerts").first.wait_for()
    assert await page.locator("lamproom-incidents article").count() == 0


@pytest.mark.parametrize(
    ("locale", "words", "ends"),
    [("zh-CN", "15 条报警，12 条未恢复", "属实"), ("en-GB", "15 alerts, 12 standing", "Confirmed")],
)
async def test_many_alerts_are_one_card_and_a_supervisor_ends_it(
    screens: Screens, locale: str, words: str, ends: str
) -> None:
    screens.server.incidents = [incident(1)]
    page = await screens.open("supervisor", locale=locale)
    card = page.locator("lamproom-incidents article")
    await expect(card).to_contain_text(words)
    if folder := os.environ.get("SCREENS"):
        await card.locator("button").first.click()
        await page.screenshot(path=f"{folder}/incident-{locale}.png")
    await card.locator("button").last.click()
    await page.get_by_role("button", name=ends).click()
    await expect(page.locator("lamproom-incidents article")).to_have_count(0)
    assert screens.server.asked[-1][:2] == ("close", "i1")
    assert screens.complaints == []


async def test_an_alert_shows_what_each_source_says(screens: Screens) -> None:
    items = [
        {
            "item": "E1",
            "source": "power",
            "subject": "belt",
            "since": time.time() - 700,
            "strength": 1,
            "explained": False,
        },
        {
            "item": "E6",
            "source": "video",
            "subject": "belt",
            "since": time.time() - 600,
            "strength": 2,
            "explained": True,
        },
    ]
    alert = {
        "id": "covert1", "site": "hongqi", "key": "hongqi/covert_running/mine", "rule": "covert_running",
        "subject": "mine", "severity": "alarm", "state": "open", "title": {"zh": "疑似明停暗开", "en": "covert"},
        "opened_at": time.time() - 700, "at": time.time(), "acknowledged": None, "cleared_at": None, "duration_s": None,
        "occurrences": 1, "no_data": False, "evidence": [], "outcome": None, "closed": None, "simulated": True,
        "explain": {"inputs": {"state": "stopped", "score": 3.0, "votes": {"power": 1, "video": 2}, "evidence": items}},
    }  # fmt: skip
    page = await screens.open("supervisor")
    await screens.server.raise_alert(alert)
    card = page.locator("#alert-covert1")
    await card.click()
    await expect(card).to_contain_text("提升或皮带运行")
    await expect(card).to_contain_text("许可范围内")
    await expect(card).to_contain_text("申报状态")
    if folder := os.environ.get("SCREENS"):
        await page.screenshot(path=f"{folder}/covert.png")
    assert screens.complaints == []


async def test_a_dispatcher_merges_two_of_the_mine_and_may_end_none(screens: Screens) -> None:
    screens.server.incidents = [incident(1), incident(2, title={"zh": "区域失联", "en": "A zone has fallen silent"})]
    page = await screens.open("dispatcher", width=390, height=844)
    cards = page.locator("lamproom-incidents article")
    await expect(cards).to_have_count(2)
    if folder := os.environ.get("SCREENS"):
        await page.screenshot(path=f"{folder}/incident-phone.png", full_page=True)
    assert await page.get_by_text("结束事件").count() == 0
    await cards.nth(1).locator("select").select_option("i1")
    await expect(cards).to_have_count(1)
    assert screens.server.asked[-1] == ("merge", "i2", {"into": "i1"})


async def test_an_incident_of_which_nothing_stands_says_that_it_can_be_closed(screens: Screens) -> None:
    screens.server.incidents = [incident(1), incident(2, standing=0)]
    page = await screens.open("supervisor", locale="en-GB")
    cards = page.locator("[data-incident]")
    await expect(cards).to_have_count(2)
    await expect(page.locator("[data-incident] [data-over]")).to_have_text(
        ["No alert of it stands any more: it can be closed"]
    )
