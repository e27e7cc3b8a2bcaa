"""Escalation on the screens, in real Chromium."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.web.conftest import Screens
from tests.web.devserver import make_alert

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]


def escalation(change: str = "ringing", **more: Any) -> dict[str, Any]:
    return {
        "alert": "a1", "site": "hongqi", "severity": "alarm", "chain": "red", "status": "ringing", "round": 1,
        "ring": "a1.1", "at_site": "county", "at_level": "county", "who": ["on_duty"], "channels": ["browser"],
        "until": time.time() + 12, "next": {"site": "city", "level": "city"}, "reached": ["hongqi", "county"],
        "by": "", "by_site": "", "change": change, "simulated": True, **more,
    }  # fmt: skip


async def tell(screens: Screens, body: dict[str, Any]) -> None:
    for room in ("site:hongqi", "site:county", "site:city"):
        await screens.server.tell([screens.server.note(room, "escalation", body)])


async def raised(screens: Screens, person: str, body: dict[str, Any]) -> Page:
    """The dispatcher's or an authority's page, that counts what it would sound."""
    context = await screens.context(locale="en-GB")
    page = await context.new_page()
    await page.goto(f"{screens.base}/as/{person}")
    await page.locator("[data-link=online]").wait_for()
    await page.evaluate(
        """async () => {
          const sound = await import('/static/js/sound.js');
          await sound.armSound();
        }"""
    )
    await page.locator(".sound").click()
    await screens.server.raise_alert(make_alert(1, "alarm", "空岗", "Post empty"))
    await tell(screens, body)
    return page


async def until(such: Callable[[], bool]) -> None:
    async with asyncio.timeout(8):
        while not such():
            await asyncio.sleep(0.02)


LOOPS = "async () => (await import('/static/js/sound.js')).sounding()"


async def test_card_says_whom_it_rings_for_how_long_and_who_is_next(screens: Screens) -> None:
    page = await raised(screens, "dispatcher", escalation())
    line = page.locator("lamproom-alerts article .escalation")
    await expect(line).to_contain_text("Ringing Hongqi county (duty page)")
    await expect(line).to_contain_text("next: Linhe city")
    await expect(line).to_contain_text(re.compile(r"0:[01]\d"))
    await expect(page.locator("lamproom-timeline li.entry", has_text="Ringing Hongqi county")).to_be_visible()


async def test_rung_level_sounds_and_the_next_one_not_yet(screens: Screens) -> None:
    page = await raised(screens, "supervisor", escalation())
    await page.wait_for_function(LOOPS)
    assert "alerts:alarm" in await page.evaluate(LOOPS)
    await tell(screens, escalation("answered", status="answered", by="王建国", until=time.time() + 300, at_site=None))
    await expect(page.locator("lamproom-alerts article .escalation")).to_contain_text("Taken by 王建国")
    assert await page.evaluate(LOOPS) == []
    above = await raised(screens, "city", escalation())
    await above.locator("lamproom-alerts article .escalation").wait_for()
    assert await above.evaluate(LOOPS) == []
    await tell(screens, escalation(at_site="city", reached=["hongqi", "county", "city"], next=None))
    await expect(above.locator("lamproom-alerts article .escalation")).to_contain_text("Ringing Linhe city")
    assert "alerts:alarm" in await above.evaluate(LOOPS)


async def test_next_level_at_once_by_key(screens: Screens) -> None:
    page = await raised(screens, "dispatcher", escalation())
    await page.get_by_role("button", name="Call the next level now").wait_for()
    await page.keyboard.press("e")
    await until(lambda: screens.server.passed_on == ["a1"])


ROTA = {
    "site": "hongqi",
    "people": [
        {"person": "p1", "name": "李明", "phone": "13812345678", "user": "", "active": True, "tested_at": 1.0,
         "test": "answered", "dead": False, "untested": True},
        {"person": "p2", "name": "王芳", "phone": "13900000000", "user": "", "active": True, "tested_at": time.time(),
         "test": "wrong_number", "dead": True, "untested": False},
    ],
    "plans": [{"plan": "l1", "who": "on_duty", "name": "三班倒", "starts_at": time.time() - 3600, "turn_s": 28800,
               "turns": [["p1"], ["p2"]]}],
    "overrides": [],
    "now": {"on_duty": ["p1"], "deputy": [], "leader": []},
    "spans": [{"who": "on_duty", "start": time.time(), "end": time.time() + 28800, "people": ["p1"], "name": "三班倒",
               "override": ""}],
    "drilling": False, "phones": False,
}  # fmt: skip


@pytest.mark.parametrize(("width", "locale"), [(1440, "en-GB"), (390, "zh-CN")])
async def test_duty_office_shows_who_is_on_duty_and_which_numbers_are_dead(
    screens: Screens, width: int, locale: str
) -> None:
    screens.server.rota = ROTA
    page = await screens.open("dispatcher", "/duty", width=width, locale=locale)
    await expect(page.locator("[data-who=on_duty]")).to_have_text("李明")
    await expect(page.locator("[data-person=p2] .badge")).to_have_class("badge critical")
    await page.locator("[data-form=person]").click()
    await page.locator("input[name=name]").fill("赵")
    await page.locator("input[name=phone]").fill("+8613700000000")
    await page.locator(".duty-form button[type=submit]").click()
    await until(lambda: bool(screens.server.posted))
    assert screens.server.posted == [
        ("/api/rota/people", {"site": "hongqi", "name": "赵", "phone": "+8613700000000", "user": ""})
    ]
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert screens.complaints == []


def challenge(change: str = "asked", **more: Any) -> dict[str, Any]:
    return {
        "challenge": "c1", "post": "dispatch", "site": "hongqi", "rules": ["sleeping"], "asked_at": time.time(),
        "until": time.time() + 60, "place": 4, "by": "", "took_s": None, "change": change,
        "name": {"zh": "调度台", "en": "Dispatch desk"}, **more,
    }  # fmt: skip


async def test_desk_is_asked_and_answers_by_the_key_that_is_shown(screens: Screens) -> None:
    page = await screens.open("dispatcher", locale="en-GB")
    await page.locator("[data-link=online]").wait_for()
    await page.locator(".sound").click()
    above = await screens.open("supervisor", locale="en-GB")
    await above.locator("[data-link=online]").wait_for()
    for room in ("site:hongqi", "site:county"):
        await screens.server.tell([screens.server.note(room, "challenge", challenge())])
    asked = page.locator(".challenge")
    await expect(asked).to_contain_text("Are you there?")
    await expect(asked.locator("kbd")).to_have_text("5")
    assert "challenge:challenge" in await page.evaluate(LOOPS)
    await expect(above.locator("lamproom-timeline li.entry", has_text="asked at the desk")).to_be_visible()
    await expect(above.locator(".challenge")).to_have_count(0)
    await page.keyboard.press("3")
    await page.keyboard.press("5")
    await until(lambda: screens.server.answered == ["c1"])
    await expect(asked).to_have_count(0)
    assert await page.evaluate(LOOPS) == []
    told = screens.server.note("site:hongqi", "challenge", challenge("answered", by="王建国", took_s=3.2))
    await screens.server.tell([told])
    await expect(page.locator("lamproom-timeline li.entry", has_text="王建国 answered within 3 s")).to_be_visible()


def check(change: str = "called", **more: Any) -> dict[str, Any]:
    return {
        "check": "k1", "site": "hongqi", "roll": "", "by": "李敏", "by_site": "county", "called_at": time.time(),
        "answer_s": 60.0, "until": time.time() + 60, "outcome": "calling", "took_s": None, "answered_by": "",
        "officer": "", "expected": ["李明"], "picture": "", "confirmed": None, "confirmed_by": "", "note": "",
        "as_planned": None, "score": None, "change": change, **more,
    }  # fmt: skip


async def test_desk_that_is_checked_rings_and_answers_with_the_officers_name(screens: Screens) -> None:
    page = await screens.open("dispatcher", locale="en-GB")
    await page.locator("[data-link=online]").wait_for()
    await page.locator(".sound").click()
    await screens.server.tell([screens.server.note("site:hongqi", "check", check())])
    called = page.locator(".check-call")
    await expect(called).to_contain_text("Spot check")
    assert "check:ring" in await page.evaluate(LOOPS)
    await expect(called.locator("input")).to_have_value("李明")
    await called.locator("button").click()
    await until(lambda: ("/api/checks/k1/answer", {"officer": "李明"}) in screens.server.posted)
    await expect(called).to_have_count(0)


CHECKS = {
    "items": [check(outcome="answered", took_s=8.0, officer="李明", as_planned=True, picture="answer", score=100.0),
              check(check="k2", site="dongshan", outcome="unanswered", score=0.0)],
    "standings": [
        {"site": "dongshan", "checks": 1, "last_at": time.time(), "answered": 0, "median_s": None, "score": 0.0,
         "month_score": 0.0},
        {"site": "hongqi", "checks": 1, "last_at": time.time(), "answered": 1, "median_s": 8.0, "score": 100.0,
         "month_score": 100.0},
    ],
}  # fmt: skip


async def test_those_above_see_who_was_checked_least_and_confirm_the_officer(screens: Screens) -> None:
    screens.server.checks = CHECKS
    page = await screens.open("supervisor", "/duty#checks", locale="en-GB")
    await expect(page.locator("tr[data-check=k1]")).to_contain_text("answered")
    await expect(page.locator("tr[data-check=k2] .badge")).to_have_text("not answered")
    await expect(page.locator("tr[data-site=hongqi]")).to_contain_text("100")
    await page.locator("tr[data-check=k1] button").first.click()
    await until(lambda: ("/api/checks/k1/confirm", {"confirmed": True, "note": ""}) in screens.server.posted)
    await page.locator("[data-mode=draw]").click()
    await until(lambda: ("/api/checks", {"site": "county", "mode": "draw"}) in screens.server.posted)
    assert screens.complaints == []


HANDOVERS = {
    "items": [
        {"handover": "h2", "site": "hongqi", "opened_at": time.time(), "status": "signed", "same_account": False,
         "outgoing": {"user": "u1", "name": "李明", "at": time.time(), "notes": "主扇已检修", "posts": []},
         "incoming": None,
         "standing": {"alerts": [{"id": "a1", "severity": "alarm", "state": "open", "taken_by": "",
                                  "title": {"zh": "空岗", "en": "Post empty"}}], "alert_count": 1}},
        {"handover": "h1", "site": "hongqi", "opened_at": 1.0, "status": "complete", "same_account": True,
         "outgoing": {"user": "u1", "name": "赵", "at": 2.0, "notes": "", "posts": []},
         "incoming": {"user": "u1", "name": "李明", "at": 3.0, "notes": "", "posts": [["desk", "present"]]},
         "standing": {"alerts": [], "alert_count": 0}},
    ],
    "last_end": None, "next_end": time.time() + 3600,
}  # fmt: skip


async def test_incoming_officer_sees_what_stands_and_signs(screens: Screens) -> None:
    screens.server.handovers = HANDOVERS
    page = await screens.open("dispatcher", "/duty#handover", locale="en-GB")
    await expect(page.locator(".handover")).to_contain_text("Post empty")
    await expect(page.locator(".handover")).to_contain_text("主扇已检修")
    await page.locator("input[name=name]").fill("王芳")
    await page.locator("textarea[name=notes]").fill("收到")
    await page.locator(".handover button[type=submit]").click()
    await until(lambda: ("/api/handovers/h2/sign", {"name": "王芳", "notes": "收到"}) in screens.server.posted)
    await page.locator("a[href='#log']").click()
    await expect(page.locator("li.entry")).to_contain_text("李: 巡检")
    assert screens.complaints == []
