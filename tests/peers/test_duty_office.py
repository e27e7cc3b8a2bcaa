"""The duty office on a real server, in Chromium: a check rings at the desk, a shift is handed over, the log tells, and
a hazard goes its whole round between two people."""

import io
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.fakes.instance import Instance
from tests.web.conftest import ARGUMENTS, CHROMIUM

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Office:
    """One server for all tests of this file, and a browser."""

    server: Instance
    browser: Browser

    async def enter(self, login: str, script: str = "") -> Page:
        context = await self.browser.new_context(locale="en-GB")
        if script:
            await context.add_init_script(script)
        context.set_default_timeout(20_000)
        page = await context.new_page()
        await page.goto(await self.server.link(login))
        await page.locator("button[type=submit]").click()
        await page.locator("[data-link=online]").wait_for()
        return page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def office(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    expect.set_options(timeout=20_000)
    async with Instance(tmp_path_factory.mktemp("office")) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield Office(server, browser)
        finally:
            await browser.close()


async def test_a_spot_check_rings_at_the_desk_and_a_shift_is_handed_over(office: Office) -> None:
    server = office.server
    desk = await office.enter("dispatcher")
    above = await office.enter("county")
    await above.goto(f"{server.url}/duty#checks")
    await above.locator("tr[data-site=hongqi] button").click()
    called = desk.locator(".check-call")
    await called.locator("input").fill("李明")
    await called.locator("button").click()
    await expect(above.locator("tr[data-check]")).to_contain_text("answered")
    await expect(above.locator("tr[data-check]")).to_contain_text("李明")
    await above.locator("tr[data-check] button").first.click()
    await expect(above.locator("tr[data-check]")).to_contain_text("was the officer on duty")

    await desk.goto(f"{server.url}/duty#rota")
    await desk.locator("[data-form=person]").click()
    await desk.locator("input[name=name]").fill("李明")
    await desk.locator("input[name=phone]").fill("13812345678")
    await desk.locator(".duty-form button[type=submit]").click()
    await expect(desk.locator("tr[data-person]")).to_contain_text("13812345678")

    await desk.goto(f"{server.url}/duty#handover")
    await desk.locator("[data-open]").click()
    for name, status in (("李明", "open"), ("王芳", "signed")):
        making = desk.locator(f".handover[data-status={status}]")
        await making.locator("input[name=name]").fill(name)
        await making.locator("button[type=submit]").click()
    await expect(desk.locator("li", has_text="李明 → 王芳")).to_contain_text("one account")

    await desk.goto(f"{server.url}/duty#log")
    await desk.locator("select[name=kind]").select_option("handover")
    await desk.locator("form button[type=submit].primary").click()
    await expect(desk.locator("li.entry").first).to_contain_text("李明 handed over to 王芳")
    await expect(desk.locator("li.entry")).to_have_count(3)
    await desk.context.close()
    await above.context.close()


async def test_a_drill_is_marked_everywhere_and_gives_way_to_a_real_alert(office: Office) -> None:
    desk, above = await office.enter("dispatcher"), await office.enter("county")
    await above.goto(f"{office.server.url}/duty?site=hongqi#drills")
    await above.locator("[data-begin]").click()
    await above.locator("form[data-form=drill] button[type=submit]").click()
    running = above.locator("tr[data-drill]").first
    await expect(running).to_have_attribute("data-outcome", "running")
    for page in (desk, above):
        await expect(page.locator(".drill-strip")).to_contain_text("A drill is going on")
    await expect(desk.locator(".beacon .badge.drillmark")).to_have_text("DRILL")
    await expect(desk.locator("lamproom-alerts .badge.drillmark")).to_have_count(1)
    await expect(desk.locator("lamproom-timeline .badge.drillmark").first).to_be_visible()
    async with await office.server.session("province") as province:
        async with province.get("/api/escalations", params={"site": "province"}) as answer:
            (rung,) = (await answer.json())["items"]
        assert (rung["drill"], set(rung["reached"]) <= {"hongqi", "county"}) == (True, True)
        await desk.locator(".beacon-acts button").first.click()
        await expect(running).to_have_attribute("data-outcome", "answered")
        async with province.post(
            "/api/sessions", json={"site": "hongqi", "levels": ["county"], "drill": True}
        ) as answer:
            state = await answer.json()
        assert (answer.status, state["drill"], state["title"]) == (201, True, "【演练】红旗煤矿")
        await expect(above.locator(".drill-strip")).to_contain_text("Hongqi mine")

        deadline = time.time() + 1.5
        hazard = {"site": "hongqi", "place": "井口", "text": "真实", "severity": "major", "deadline": deadline}
        async with province.post("/api/hazards", json=hazard) as answer:
            assert answer.status == 201
            real = f"/api/hazards/{(await answer.json())['hazard']}/withdraw"
        for page in (desk, above):
            await expect(page.locator(".drill-strip")).to_have_attribute("data-drill", "interrupted")
            await expect(page.locator(".drill-strip")).to_contain_text("REAL ALERT")
        await expect(running.locator("[data-end]")).to_have_count(0)
        async with province.get("/api/drills", params={"site": "province"}) as answer:
            (drill,) = (await answer.json())["items"]
        assert (drill["outcome"], drill["answered_by"], drill["ended_at"] is None) == ("answered", "李调度", False)
        async with province.get("/api/incidents", params={"site": "province", "state": "open"}) as answer:
            assert all("演练" not in str(one) for one in (await answer.json())["items"])
        report = f"/api/sessions/{state['session']}/report"
        async with province.get(report, params={"format": "csv", "lang": "en"}) as answer:
            assert "DRILL, not a real event" in await answer.text()
        async with province.post(f"/api/sessions/{state['session']}/end", json={}) as answer:
            assert answer.status == 200
        async with province.post(real, json={"text": "演练用"}) as answer:
            assert answer.status == 200
    await expect(desk.locator(".drill-strip")).to_have_count(0)
    await desk.context.close()
    await above.context.close()


NO_MEDIA = """
  // A browser behind a wall: no candidate of the server gets through; and its clock runs eight times as fast.
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (one) {
    return set.call(this, { type: one.type, sdp: one.sdp.replace(/a=candidate:[^\\r\\n]*\\r\\n/g, '') });
  };
  const now = performance.now.bind(performance);
  performance.now = () => now() * 8;
"""


async def test_a_page_that_reaches_no_media_says_so_and_takes_part_in_writing(office: Office) -> None:
    above = await office.enter("county")
    desk = await office.enter("dispatcher", NO_MEDIA)
    async with await office.server.session("county") as county:
        async with county.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
            session = (await answer.json())["session"]
        await desk.locator(".incoming .answer").click()
        line = desk.locator(".ladder")
        await expect(line).to_have_attribute("data-rung", "text")
        await expect(line).to_contain_text("take part in writing (the browser does not reach the media server)")
        await above.evaluate(
            "(session) => import('/static/js/app.js').then(({ app }) => app.enterSession(session))", session
        )
        await above.locator(".watching").click()
        await expect(above.locator("lamproom-people [data-reach=text]")).to_have_text("in writing")
        await line.locator("[data-write]").click()
        await expect(desk.locator(".chat")).to_be_visible()
        async with county.post(f"/api/sessions/{session}/end", json={}) as answer:
            assert answer.status == 200
    await expect(line).to_have_count(0)
    await desk.context.close()
    await above.context.close()


def picture(folder: Path, colour: str) -> str:
    out = io.BytesIO()
    Image.new("RGB", (32, 24), colour).save(out, "PNG")
    path = folder / f"{colour}.png"
    path.write_bytes(out.getvalue())
    return str(path)


async def test_a_hazard_is_recorded_answered_sent_back_given_time_and_closed(office: Office, tmp_path: Path) -> None:
    desk, above = await office.enter("dispatcher"), await office.enter("county")
    await above.goto(f"{office.server.url}/duty#hazards")
    await above.locator("[data-record]").click()
    form = above.locator("form[data-form=record]")
    await form.locator("select[name=site]").select_option("hongqi")
    await form.locator("input[name=place]").fill("3号皮带机头")
    await form.locator("textarea").fill("护栏缺失")
    await form.locator("input[type=file]").set_input_files(picture(tmp_path, "red"))
    await form.locator("button[type=submit]").click()
    seen = above.locator(".hazard")
    await expect(seen).to_have_attribute("data-state", "open")
    await expect(seen.locator("img")).to_have_count(1)

    await desk.goto(f"{office.server.url}/duty#hazards")
    await desk.locator("tr[data-hazard]", has_text="3号皮带机头").locator("button").click()
    own = desk.locator(".hazard")
    await expect(own.locator("[data-step]")).to_have_text(["Reply", "Ask for more time"])
    await own.locator("[data-step=ask]").click()
    await own.locator("form[data-form=ask] textarea").fill("等材料")
    await own.locator("form[data-form=ask] button[type=submit]").click()
    await expect(own.locator("li[data-change=asked]")).to_contain_text("等材料")

    await expect(seen.locator("li[data-change=asked]")).to_have_count(1)  # by itself
    await seen.locator("[data-step=grant]").click()
    await seen.locator("form[data-form=grant] button[type=submit]").click()
    await expect(own.locator("li[data-change=granted]")).to_have_count(1)

    for number, (colour, words, answer) in enumerate([("green", "已加装", "return"), ("blue", "已加高", "close")], 1):
        await own.locator("[data-step=reply]").click()
        reply = own.locator("form[data-form=reply]")
        await reply.locator("textarea").fill(words)
        await reply.locator("input[type=file]").set_input_files(picture(tmp_path, colour))
        await reply.locator("button[type=submit]").click()
        await expect(own).to_have_attribute("data-state", "replied")
        await expect(seen.locator("li[data-change=replied]")).to_have_count(number)
        await expect(seen.locator("img")).to_have_count(number + 1)
        await seen.locator(f"[data-step={answer}]").click()
        if answer == "return":
            await seen.locator("form textarea").fill("高度不够")
        await seen.locator(f"form[data-form={answer}] button[type=submit]").click()
        await expect(own).to_have_attribute("data-state", "returned" if answer == "return" else "closed")
    await expect(own.locator("[data-step]")).to_have_count(0)
    changes = await own.locator("li[data-change]").evaluate_all("all => all.map((one) => one.dataset.change)")
    assert changes == ["recorded", "asked", "granted", "replied", "returned", "replied", "closed"]

    row = above.locator("tr[data-hazard]", has_text="3号皮带机头")
    await expect(row).to_have_count(0)  # not closed ones only
    await above.locator("select[name=state]").select_option("closed")
    await expect(row).to_have_count(1)
    await expect(above.locator(".hazard-counts tr[data-site=hongqi]")).to_contain_text("1")
    loaded = "all => all.every((one) => one.complete && one.naturalWidth === 32)"
    await above.wait_for_function(f"({loaded})([...document.querySelectorAll('.hazard img')])")
    await desk.context.close()
    await above.context.close()
