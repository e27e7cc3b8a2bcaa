"""The telephones page, in real Chromium."""

import time
from typing import Any

import pytest
from playwright.async_api import expect

from signaling.room import messages as m
from tests.fakes.softphone import until
from tests.web.conftest import Screens

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]


def call(one: str, state: str, **more: Any) -> dict[str, Any]:
    return {
        "call": one, "direction": "in", "peer": "phone:desk", "name": "红旗矿调度台", "site": "hongqi",
        "session": "s1",
        "alert": "", "rule": "phones_home", "state": state, "at": time.time() - 90, "answered_at": time.time() - 80,
        "ended_at": None, "result": "", "reason": "", "status": 0, "held": False, "muted": False, "level": -30.0,
        "client": "", "picture": "", "by": "", **more,
    }  # fmt: skip


STEP = {"at": time.time(), "peer": "10.1.2.3:5060", "transport": "UDP"}
PHONES: dict[str, Any] = {
    "/api/phones": {
        "available": True, "domain": "lamproom", "address": "10.0.0.1", "port": 5060, "tls_port": 5061,
        "items": [
            {"phone": "hongqi-1", "site": "hongqi", "name": "红旗矿调度台", "networks": ["10.1.0.0/16"],
             "disabled": False, "created_at": 1.0, "needs_secret": False, "agent": "baresip v1.0.0",
             "registered": [{"address": "10.1.2.3:5060", "transport": "UDP", "expires_s": 80}]},
            {"phone": "hongqi-2", "site": "hongqi", "name": "井口", "networks": [], "disabled": False,
             "created_at": 1.0, "needs_secret": False, "agent": "", "registered": []},
        ],
    },
    "/api/phones/calls": {"items": [
        call("c1", "talking"),
        call("c2", "ended", direction="out", name="☎ ***5678", ended_at=time.time() - 10, result="busy", status=486,
             answered_at=None, by="张三", rule=""),
    ]},
    "/api/phones/trunks": {"items": [
        {"name": "pbx", "host": "10.9.0.1", "port": 5060, "transport": "udp", "networks": ["10.9.0.1"],
         "inbound": True, "outbound": True, "prefixes": ["138", "0351"], "calls": 1, "max_calls": 4,
         "dialled_today": 3, "max_dialled_per_day": 100, "up": True, "registration": "registered", "reason": "",
         "srtp": "allow"},
    ]},
    "/api/phones/refused": {
        "items": [{"at": time.time(), "rule": "stranger", "why": "Nobody that is known here.", "status": 0,
                   "method": "INVITE", "address": "203.0.113.9", "transport": "UDP", "caller": "100@1.1.1.1",
                   "called": "sip:900442@x", "count": 40}],
        "rules": {"stranger": 40, "scanner": 2},
        "bans": [{"address": "203.0.113.9", "left_s": 250, "why": "scanner"}],
    },
    "/api/phones/calls/c1/trace": {"call": "c1", "total": 4, "steps": [
        {**STEP, "sent": False, "line": "INVITE sip:0@lamproom SIP/2.0", "text": "Authorization: (hidden)"},
        {**STEP, "sent": True, "line": "SIP/2.0 200 OK", "text": "SIP/2.0 200 OK"},
    ]},
    "POST /api/phones": {"phone": "hongqi-3", "domain": "lamproom", "secret": "abcdefgh23456789abcdefgh"},
    "POST /api/phones/explain": {"rule": "blocked", "why": "The rule blocked refuses this call.", "status": 403,
                                 "action": "", "site": ""},
}  # fmt: skip


@pytest.mark.parametrize(("width", "locale"), [(1440, "en-GB"), (390, "zh-CN")])
async def test_phones_calls_trunks_and_refusals_are_shown(screens: Screens, width: int, locale: str) -> None:
    screens.server.phones = PHONES
    page = await screens.open("engineer", "/phones", width=width, locale=locale)
    await expect(page.locator("[data-phone=hongqi-1] .badge")).to_have_class("badge ok")
    await expect(page.locator("[data-phone=hongqi-2] .badge")).to_have_class("badge critical")
    await expect(page.locator("[data-part=calls]")).to_contain_text("486")
    await expect(page.locator("[data-part=trunks]")).to_contain_text("3/100")
    await expect(page.locator("[data-part=refused]")).to_contain_text("stranger")
    await page.locator("[data-call=c1] button[aria-expanded]").click()
    await expect(page.locator(".ladder li")).to_have_count(3)
    await page.locator("[data-part=desk] h2 button").click()
    await page.locator("input[name=phone]").fill("hongqi-3")
    await page.locator("input[name=name]").fill("绞车房")
    await page.locator("input[name=networks]").fill("10.1.0.0/16, 10.2.0.0/16")
    await page.locator("[data-part=desk] button[type=submit]").click()
    await expect(page.locator("[data-secret]")).to_have_text("abcdefgh23456789abcdefgh")
    path, body = screens.server.posted[-1]
    assert path == "/api/phones"
    assert (body["phone"], body["networks"]) == ("hongqi-3", ["10.1.0.0/16", "10.2.0.0/16"])
    await page.locator("input[name=called]").fill("5000")
    await page.locator("[data-part=trunks] button[type=submit]").click()
    await expect(page.locator("output")).to_contain_text("blocked")
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert screens.complaints == []


async def test_a_server_without_phones_says_so(screens: Screens) -> None:
    screens.server.phones = {}
    page = await screens.open("engineer", "/phones", locale="en-GB")
    await expect(page.locator(".phones-page")).to_contain_text("switched off")


@pytest.mark.parametrize(("width", "locale"), [(1440, "en-GB"), (390, "zh-CN")])
async def test_a_consultation_says_how_telephones_come_in_and_rings_one(
    screens: Screens, width: int, locale: str
) -> None:
    screens.server.phones = {"session": {"available": True, "pin": "048213"}}
    page = await screens.open("dispatcher", width=width, locale=locale)
    await page.locator("[data-link=online]").wait_for()
    await page.locator(".one-click").click()
    await page.locator("button.start").click()
    await page.locator("lamproom-session").wait_for()
    await page.locator(".tabs button", has_text="People" if locale == "en-GB" else "人员").first.click()
    await page.locator("lamproom-people button[aria-expanded=false]").first.click()
    await expect(page.locator(".dial")).to_contain_text("048213")
    await page.locator(".dial input[name=number]").fill("13812345678")
    await page.locator(".dial button").click()
    await expect(page.locator(".dial [role=status]")).to_contain_text("13812345678")
    path, body = screens.server.posted[-1]
    assert path.endswith("/ring")
    assert body == {"targets": ["tel:13812345678"], "mode": "sequential", "timeout_s": None}
    await page.locator(".dial input[name=number]").fill("13812345678，13900001111")
    await page.locator(".dial select[name=mode]").select_option("parallel")
    await page.locator(".dial input[name=timeout]").fill("20")
    await page.locator(".dial button").click()
    await expect(page.locator(".dial [role=status]")).to_contain_text("13900001111")
    assert screens.server.posted[-1][1] == {
        "targets": ["tel:13812345678", "tel:13900001111"], "mode": "parallel", "timeout_s": 20
    }  # fmt: skip
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize(("width", "locale"), [(1440, "en-GB"), (390, "zh-CN")])
async def test_a_telephone_in_the_roster_is_held_transferred_and_hung_up(
    screens: Screens, width: int, locale: str
) -> None:
    desk = m.Person(user="phone:desk", name="红旗矿调度台", role="phone", site="hongqi", level="mine")
    screens.server.guests["session:s1"].append(m.Member(client="ph1", person=desk, since=0, watching=True))
    others = [call("c2", "talking", client="ph2", name="井口"), call("c3", "talking", peer="trunk:pbx", name="☎ ***1")]
    screens.server.phones = {
        "session": {"available": False, "pin": ""},
        "/api/phones/calls": {"items": [call("c1", "talking", client="ph1"), *others]},
    }
    page = await screens.open("supervisor", width=width, locale=locale)
    await page.locator("[data-link=online]").wait_for()
    await screens.server.ring("county")
    await page.locator("dialog.incoming h1").wait_for()
    await page.keyboard.press("Enter")
    await page.locator("lamproom-session").wait_for()
    await page.locator(".tabs button", has_text="People" if locale == "en-GB" else "人员").first.click()
    await page.locator("lamproom-people li.person button.who", has_text="红旗矿调度台").click()
    acts = page.locator("lamproom-phone-acts")
    await acts.locator("[data-act=hold]").click()
    await until(lambda: screens.server.posted[-1:] == [("/api/phones/calls/c1/hold", {"held": True})])
    await acts.locator("[data-act=transfer]").click()
    await expect(acts.locator("select option")).to_have_count(2)
    await acts.locator("input").fill("13812345678")
    await acts.locator("button[type=submit]").click()
    await until(lambda: screens.server.posted[-1] == ("/api/phones/calls/c1/transfer", {"target": "tel:13812345678"}))
    await acts.locator("[data-act=transfer]").click()
    await acts.locator("select").select_option("c2")
    await acts.locator("button[type=submit]").click()
    await until(lambda: screens.server.posted[-1] == ("/api/phones/calls/c1/transfer", {"target": "call:c2"}))
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    await acts.locator("[data-act=hangup]").click()
    await until(lambda: screens.server.posted[-1][0] == "/api/phones/calls/c1/hangup")
