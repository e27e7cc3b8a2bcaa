"""A real server and a browser that tests of one module share: pages for those who look after the server."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.fakes.instance import PASSWORD, Instance
from tests.web.conftest import CHROMIUM

NAMELESS = """() => [...document.querySelectorAll('button, a, input, select, textarea')].filter((one) =>
  one.offsetParent && one.type !== 'hidden'
  && !(one.labels?.length && [...one.labels].some((label) => label.innerText.trim()))
  && !(one.getAttribute('aria-label') || one.title || one.innerText || one.getAttribute('aria-labelledby'))
).map((one) => one.outerHTML.slice(0, 200))"""
"""What a screen reader could not name."""
TIMEOUT_MS = 30_000
expect.set_options(timeout=TIMEOUT_MS)  # a busy machine takes its time


@dataclass
class Office:
    """Opens pages of one server and keeps what they complained of."""

    server: Instance
    browser: Browser
    complaints: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()
    """Beginnings of complaints that a test wants."""

    async def open(self, login: str, path: str, *, password: str = PASSWORD, width: int = 1440, **context: Any) -> Page:
        """A page of somebody who is logged in; by hand when `login` is empty."""
        made = await self.browser.new_context(
            **{"locale": "en-GB", "viewport": {"width": width, "height": 900}, "color_scheme": "dark", **context}
        )
        made.set_default_timeout(TIMEOUT_MS)
        made.on("console", lambda one: self.complaints.append(one.text) if one.type in ("error", "warning") else None)
        made.on("weberror", lambda one: self.complaints.append(str(one.error)))
        made.on(
            "request",
            lambda one: (
                None if one.url.startswith((self.server.url, "data:", "blob:")) else self.complaints.append(one.url)
            ),
        )
        if login:
            await self.log_in(made, login, password)
        page = await made.new_page()
        await page.goto(self.server.url + path)
        return page

    async def log_in(self, context: BrowserContext, login: str, password: str) -> None:
        answer = await context.request.post(
            f"{self.server.url}/api/login", data={"login": login, "password": password}, headers={"X-Lamproom": "1"}
        )
        assert answer.ok, await answer.text()

    async def sound(self, page: Page) -> None:
        """Nothing without a name, nothing wider than the screen, no complaint."""
        assert await page.evaluate(NAMELESS) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert [one for one in self.complaints if not one.startswith(self.expected or ("\0",))] == []


@contextlib.asynccontextmanager
async def office(folder: Path, **sections: Any) -> AsyncIterator[Office]:
    """Started, with a browser."""
    async with Instance(folder, **sections) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield Office(server, browser)
        finally:
            await browser.close()
