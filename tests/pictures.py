"""Makes the pictures of the documents anew from a running demo: `./lamproom shots` (about two minutes).

Dispatcher in Chinese, county in English, city on a phone, province in the light theme; before, during and after an
alert that is answered with a consultation. The fake devices of Chromium stand for people's cameras.

With `--to FOLDER` they go there, and every page besides: light and dark, Chinese and English, wide and on a phone, as
`FOLDER/{page}-{zh or en}-{light or dark}-{wide or phone}.png` (about six minutes).
"""

import argparse
import asyncio
import itertools
import re
import sys
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, Page

from tests.fakes.browser import chromium
from web.pages import PAGES

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/pictures"
LINK = re.compile(r"http://([\w.]+):\d+/enter/\S+")
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
SETTLE_S = 2.0
MANY = 5

WHO = {"login": "", "dispatch": "dispatcher", "muster": "dispatcher", "check": "dispatcher", "supervisor": "county"}
"""Who opens a page; an administrator if it is not said."""
NOT_SHOWN = {"enter", "join", "guest", "error"}
"""They need a link or a mistake."""

Scheme = Literal["light", "dark"]


async def demo() -> tuple[asyncio.subprocess.Process, dict[str, str]]:
    """A demo and its links, by level."""
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "lamproom"), "demo", "--no-browser", stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    links: dict[str, str] = {}
    async with asyncio.timeout(120):
        while len(links) < MANY:
            if found := LINK.search((await process.stdout.readline()).decode()):
                links[found[1].split(".")[0] if "localhost" in found[1] else "dispatcher"] = found[0]
    return process, links


async def enter(browser: Browser, link: str, locale: str, scheme: Scheme, size: dict[str, int]) -> Page:
    """A page, logged in."""
    context = await browser.new_context(
        locale=locale, color_scheme=scheme, viewport={"width": size["width"], "height": size["height"]}
    )
    page = await context.new_page()
    await page.goto(link)
    await page.click("button[type=submit]")
    await page.locator('[data-link="online"]').wait_for()
    return page


async def shoot(page: Page, folder: Path, name: str) -> None:
    await page.screenshot(path=folder / f"{name}.jpg", type="jpeg", quality=76)


async def story(mine: Browser, above: Browser, links: dict[str, str], folder: Path) -> dict[str, Any]:
    """The pictures of the documents; the log-ins that were used, by level."""
    dispatcher = await enter(mine, links["dispatcher"], "zh-CN", "dark", WIDE)
    county = await enter(above, links["county"], "en-US", "dark", WIDE)
    city = await enter(above, links["city"], "zh-CN", "dark", PHONE)
    province = await enter(above, links["province"], "en-US", "light", WIDE)
    await asyncio.sleep(8)
    await shoot(province, folder, "wall-en-light")
    await dispatcher.get_by_text("空岗已").first.wait_for(timeout=90_000)
    await asyncio.sleep(9)
    await shoot(dispatcher, folder, "alert-zh-dark")
    await dispatcher.keyboard.press("c")
    await asyncio.sleep(1)
    await dispatcher.keyboard.press("Enter")
    await asyncio.sleep(2)
    await shoot(county, folder, "ring-en-dark")
    for page in (county, city, province):
        await page.keyboard.press("Enter")
        await asyncio.sleep(1)
    await asyncio.sleep(8)
    await shoot(dispatcher, folder, "session-zh-dark")
    await shoot(county, folder, "session-en-dark")
    await shoot(city, folder, "session-zh-phone")
    await shoot(province, folder, "session-en-light")
    await dispatcher.locator(".callbar .danger").click()
    await dispatcher.locator(".callbar textarea").fill("值班员已回岗，通风正常。")
    await dispatcher.locator(".callbar .danger").click()
    await county.locator("lamproom-wall").wait_for()
    states: dict[str, Any] = {}
    for level, page in (("dispatcher", dispatcher), ("county", county)):
        states[level] = {"state": await page.context.storage_state(), "origin": page.url.rpartition("/")[0]}
    await asyncio.sleep(6)  # the recorder completes its files
    for name, level, path, page_of in (
        ("alerts-zh-dark", "dispatcher", "/alerts", dispatcher),
        ("review-en-dark", "county", "/review", county),
        ("plan-zh-dark", "dispatcher", "/plan", dispatcher),
    ):
        page = await page_of.context.new_page()
        await page.goto(states[level]["origin"] + path)
        if path == "/alerts":
            await page.locator(".alert-pick", has_text="空岗").first.click()  # it has pictures
        if path == "/review":
            await page.locator(".axis-lanes").click()  # in the middle of it
        await asyncio.sleep(2 * SETTLE_S)
        await shoot(page, folder, name)
        await page.close()
    return states


async def every_page(browser: Browser, links: dict[str, str], states: dict[str, Any], folder: Path) -> None:
    """Each page in each look."""
    admin = await enter(browser, links["admin"], "zh-CN", "dark", WIDE)
    states["admin"] = {"state": await admin.context.storage_state(), "origin": admin.url.rpartition("/")[0]}
    await admin.context.close()
    sizes = {"wide": WIDE, "phone": PHONE}
    looks = itertools.product({"zh": "zh-CN", "en": "en-US"}.items(), ("light", "dark"), sizes.items())
    for (short, locale), scheme, (size, viewport) in looks:
        for name in sorted(PAGES - NOT_SHOWN):
            who = states.get(WHO.get(name, "admin"), {"state": None, "origin": states["dispatcher"]["origin"]})
            context = await browser.new_context(
                locale=locale, color_scheme="light" if scheme == "light" else "dark", storage_state=who["state"],
                viewport={"width": viewport["width"], "height": viewport["height"]},
            )  # fmt: skip
            page = await context.new_page()
            await page.goto(f"{who['origin']}/{name}?lang={short}")
            await asyncio.sleep(SETTLE_S)
            await page.screenshot(path=folder / f"{name}-{short}-{scheme}-{size}.png")
            await context.close()
        sys.stdout.write(f"{short} {scheme} {size}\n")
        sys.stdout.flush()


async def main(to: Path | None) -> None:
    folder = to or FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    process, links = await demo()
    assert process.stdout is not None
    draining = asyncio.ensure_future(process.stdout.read())
    try:
        async with chromium() as mine, chromium() as above:
            states = await story(mine, above, links, folder)
            if to is not None:
                await every_page(above, links, states, folder)
    finally:
        process.terminate()
        await process.wait()
        draining.cancel()
    sys.stdout.write(f"The pictures lie in {folder}.\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(prog="lamproom shots", description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--to", type=Path, help="put them there, and every page in every look besides")
    asyncio.run(main(arguments.parse_args().to))
