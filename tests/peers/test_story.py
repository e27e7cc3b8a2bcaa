"""The story that all of this is for, with four levels, a telephone and a level that never answers:

an alert rings at the mine, climbs past the county, which has its page open and answers nothing, and is taken on the
city's telephone; mine, province and city talk; an order is read back; the consultation ends with a summary; the report
says all of it, and who never came.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser, Page, expect

from tests.fakes.baresip import Baresip, baresip
from tests.fakes.browser import chromium
from tests.fakes.instance import Instance, free_port
from tests.peers.test_escalation import raise_alert
from tests.web.test_consultation import enter, moves

pytestmark = [pytest.mark.peer, pytest.mark.timeout(300)]

STEPS = [{"ring": ["browser"], "seconds": 1.5}, {"ring": ["phone"], "seconds": 30.0}]
DUTY = {
    "chains": [{"chain": "story", "severities": ["warning"], "steps": STEPS}],
    "ring_timeout_s": 12.0,
    "group_wait_s": 0,
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[Instance, Browser]]:
    phones = {"enabled": True, "port": free_port(), "digest": "md5"}
    async with Instance(tmp_path, duty=DUTY, phones=phones) as server, chromium() as browser:
        yield server, browser


async def desk_phone(server: Instance) -> dict[str, str]:
    """An account for the city's desk phone, made as its engineer would."""
    async with await server.session("admin") as admin:
        wanted = {"phone": "city-desk", "site": "city", "name": "市局值班电话"}
        async with admin.post("/api/phones", json=wanted) as answer:
            assert answer.status == 201, await answer.text()
            made = await answer.json()
    address = f"127.0.0.1:{server.settings.phones.port}"
    return {"user": "city-desk", "secret": made["secret"], "domain": made["domain"], "server": address}


async def got(http: ClientSession, path: str, **params: str) -> Any:
    async with http.get(path, params=params) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json() if answer.content_type == "application/json" else await answer.read()


async def told(http: ClientSession, kind: str, wanted: Mapping[str, str]) -> dict[str, Any]:
    """The first entry of this kind on the mine's timeline that says all of this."""
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        for one in (await got(http, "/api/rooms/site:hongqi/timeline", limit="500"))["items"]:
            body: dict[str, Any] = one["body"]
            if one["kind"] == kind and all(body.get(key) == value for key, value in wanted.items()):
                return body
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {kind} entry says {wanted}")


async def pressed(phone: Baresip, came: "asyncio.Task[Any]") -> Any:
    """Key 1, as somebody who listens to the first words presses it, and again until it was heard."""
    while not came.done():
        await asyncio.wait({came}, timeout=1.5)
        if not came.done():
            await phone.press("1")
    return came.result()


async def taken_by_telephone(http: ClientSession, phone: Baresip) -> str:
    """The alert climbs: mine and county are rung, then the city's telephone, where key 1 takes it."""
    await raise_alert(http)
    first = await told(http, "escalation", {"change": "ringing", "at_site": "hongqi"})
    await told(http, "escalation", {"change": "ringing", "at_site": "county"})
    await phone.event("CALL_ESTABLISHED", 30)
    answered = await pressed(phone, asyncio.create_task(told(http, "escalation", {"change": "answered"})))
    assert answered["by_site"] == "city"
    await phone.event("CALL_CLOSED", 30)
    return str(first["alert"])


async def consultation(mine: Page, province: Page) -> str:
    """One click at the mine; the province answers and both see each other; the county lets it ring."""
    await mine.locator(".one-click").click()
    await mine.locator("lamproom-call select").last.select_option("water")
    for level in ("市", "省"):
        box = mine.locator("lamproom-call .level", has_text=level).locator("input")
        if not await box.is_checked():
            await box.check()
    await mine.locator("button.start").click()
    await province.locator("dialog.incoming .answer").click()
    await asyncio.gather(moves(mine), moves(province))
    return str(await mine.evaluate("import('/static/js/app.js').then((one) => one.app.session.value)"))


async def joined_by_telephone(http: ClientSession, phone: Baresip, session: str, mine: Page) -> None:
    """The city is called on its telephone and talks with the others."""
    phone.events.clear()
    target = {"target": "phone:city-desk", "menu": True}
    async with http.post(f"/api/sessions/{session}/ring", json=target) as answer:
        assert answer.status < 300, await answer.text()
    await phone.event("CALL_ESTABLISHED", 30)
    tile = mine.locator("lamproom-session lamproom-tile", has_text="市局值班电话")
    await pressed(phone, asyncio.create_task(tile.wait_for()))
    before = len(phone.heard())
    ends = time.monotonic() + 20
    while len(phone.heard()) < before + phone.rate:
        assert time.monotonic() < ends, "the telephone hears nothing of the room"
        await asyncio.sleep(0.1)


async def ordered(mine: Page, province: Page) -> None:
    """An order, read back and done."""
    await province.locator(".draft").first.click()
    await mine.locator(".order button.primary").click()
    await expect(province.locator(".order.confirmed")).to_have_count(1, timeout=20_000)
    await mine.locator(".order.confirmed button").click()
    await expect(province.locator(".order.done")).to_have_count(1, timeout=20_000)


async def ended(mine: Page, province: Page) -> None:
    await mine.locator(".callbar .danger").click()
    await mine.locator(".callbar textarea").fill("水已抽出，人员全部升井。")
    await mine.locator(".callbar .danger").click()
    await province.locator("lamproom-wall").wait_for()


async def test_from_the_alert_over_a_level_that_never_answers_to_the_report(
    house: tuple[Instance, Browser], tmp_path: Path
) -> None:
    server, browser = house
    account = await desk_phone(server)
    phone_of_city = baresip(tmp_path / "phone", account, codec="pcma/8000/1", transport="udp", answers=True)
    async with phone_of_city as phone, await server.session("dispatcher") as http:
        mine, county, province = await asyncio.gather(
            *(enter(browser, server, one) for one in ("dispatcher", "county", "province"))
        )
        alert = await taken_by_telephone(http, phone)
        await expect(mine.locator(f"#alert-{alert} .ack")).to_contain_text("市局值班电话", timeout=20_000)
        session = await consultation(mine, province)
        await joined_by_telephone(http, phone, session, mine)
        await ordered(mine, province)
        await expect(county.locator("dialog.incoming")).to_have_count(0, timeout=40_000)
        await ended(mine, province)
        await phone.event("CALL_CLOSED", 30)
        state = await got(http, f"/api/sessions/{session}")
        rings = {site: one["state"] for site, one in state["invitations"].items()}
        assert rings == {"county": "unreachable", "city": rings["city"], "province": "answered"}
        report = await got(http, f"/api/sessions/{session}/report", format="json", lang="zh")
        assert report["summary"] == "水已抽出，人员全部升井。"
        paper = await got(http, f"/api/sessions/{session}/report", format="pdf", lang="zh")
        assert paper.startswith(b"%PDF")
