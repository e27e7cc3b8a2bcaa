"""The duty office on a real server, in Chromium: a check rings at the desk, a shift is handed over, the log tells."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.fakes.instance import Instance
from tests.web.conftest import CHROMIUM

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]


async def enter(browser: Browser, server: Instance, login: str) -> Page:
    context = await browser.new_context(locale="en-GB")
    context.set_default_timeout(15_000)
    page = await context.new_page()
    await page.goto(await server.link(login))
    await page.locator("button[type=submit]").click()
    await page.locator("[data-link=online]").wait_for()
    return page


async def test_a_spot_check_rings_at_the_desk_and_a_shift_is_handed_over(tmp_path: Path) -> None:
    async with Instance(tmp_path) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-fake-ui-for-media-stream"]
        )
        desk = await enter(browser, server, "dispatcher")
        above = await enter(browser, server, "county")
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
        await browser.close()
