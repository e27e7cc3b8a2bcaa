"""Makes the pictures of the documents anew from a running demo: `python -m tests.pictures` (about two minutes).

Dispatcher in Chinese, county in English, city on a phone, province in the light theme; before, during and after an
alert that is answered with a consultation. The fake devices of Chromium stand for people's cameras.
"""

import asyncio
import re
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.fakes.browser import chromium

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/pictures"
LINK = re.compile(r"http://([\w.]+):\d+/enter/\S+")
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


async def demo() -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    """A demo and its links, by level."""
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "lamproom"), "demo", "--no-browser", stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    links: dict[str, str] = {}
    async with asyncio.timeout(120):
        while len(links) < 5:
            if found := LINK.search((await process.stdout.readline()).decode()):
                links[found[1].split(".")[0] if "localhost" in found[1] else "dispatcher"] = found[0]
    return process, links


async def enter(browser: Browser, link: str, locale: str, scheme: str, viewport: dict[str, int]) -> Page:
    """A page, logged in."""
    context = await browser.new_context(
        locale=locale,
        color_scheme="light" if scheme == "light" else "dark",
        viewport={"width": viewport["width"], "height": viewport["height"]},
    )
    page = await context.new_page()
    await page.goto(link)
    await page.click("button[type=submit]")
    return page


async def shoot(page: Page, name: str) -> None:
    await page.screenshot(path=FOLDER / f"{name}.jpg", type="jpeg", quality=82)


async def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    process, links = await demo()
    assert process.stdout is not None
    draining = asyncio.ensure_future(process.stdout.read())
    try:
        async with chromium() as mine, chromium() as above:
            dispatcher = await enter(mine, links["dispatcher"], "zh-CN", "dark", WIDE)
            county = await enter(above, links["county"], "en-US", "dark", WIDE)
            city = await enter(above, links["city"], "zh-CN", "dark", PHONE)
            province = await enter(above, links["province"], "en-US", "light", WIDE)
            await asyncio.sleep(8)
            await shoot(province, "wall-en-light")
            await dispatcher.get_by_text("空岗已").first.wait_for(timeout=90_000)
            await asyncio.sleep(9)
            await shoot(dispatcher, "alert-zh-dark")
            await dispatcher.keyboard.press("c")
            await asyncio.sleep(1)
            await dispatcher.keyboard.press("Enter")
            await asyncio.sleep(2)
            await shoot(county, "ring-en-dark")
            for page in (county, city, province):
                await page.keyboard.press("Enter")
                await asyncio.sleep(1)
            await asyncio.sleep(8)
            await shoot(dispatcher, "session-zh-dark")
            await shoot(county, "session-en-dark")
            await shoot(city, "session-zh-phone")
            await shoot(province, "session-en-light")
    finally:
        process.terminate()
        await process.wait()
        draining.cancel()


if __name__ == "__main__":
    asyncio.run(main())
