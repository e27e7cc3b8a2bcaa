"""A browser and the small server, for tests that look at pages."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import quote

import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from tests.web.devserver import DevServer

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=document-user-activation-required",
)


@dataclass
class Screens:
    """Opens pages and keeps what they complained of."""

    server: DevServer
    base: str
    browser: Browser
    complaints: list[str] = field(default_factory=list)

    async def open(
        self, person: str, path: str = "", *, locale: str = "zh-CN", width: int = 1440, height: int = 900
    ) -> Page:
        context = await self.context(locale=locale, width=width, height=height)
        page = await context.new_page()
        await page.goto(f"{self.base}/as/{person}?to={quote(path or '/')}" if person else self.base + path)
        return page

    async def context(self, *, locale: str = "zh-CN", width: int = 1440, height: int = 900) -> BrowserContext:
        context = await self.browser.new_context(locale=locale, viewport={"width": width, "height": height})
        context.set_default_timeout(8000)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        context.on("request", self._foreign)
        return context

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _foreign(self, request: object) -> None:
        url = str(getattr(request, "url", ""))
        if not url.startswith((self.base, "data:", "blob:")):
            self.complaints.append(f"foreign request: {url}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def screens(browser: Browser) -> AsyncIterator[Screens]:
    server = DevServer()
    runner = web.AppRunner(server.application(), shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield Screens(server, f"http://{host}:{port}", browser)
    finally:
        for context in list(browser.contexts):
            await context.close()
        await runner.cleanup()
