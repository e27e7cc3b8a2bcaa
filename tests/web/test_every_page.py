"""What holds for every page, in both languages, on a wall and on a telephone: words for everything, no complaint on the
console, nothing asked of another host, and nothing in the way of people who see badly or use keys only (axe-core)."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.web.checkers import install
from tests.web.conftest import Screens
from tests.web.devserver import DevServer, make_alert
from tests.web.test_duty import CHECKS, HANDOVERS, ROTA
from tests.web.test_phones import PHONES
from web.pages import PAGES, words

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

WHO = {
    "login": "",
    "enter": "",
    "join": "",
    "error": "",
    "guest": "guest",
    "supervisor": "supervisor",
    "phones": "engineer",
}
"""Who opens a page; the dispatcher if it is not said."""
SIGNS = {
    "login": "lamproom-login form",
    "dispatch": "lamproom-alerts article",
    "supervisor": "lamproom-alerts article",
    "check": '[data-step="link"][data-verdict="good"]',
    "plan": ".map .zone",
    "muster": "main",
    "alerts": ".alert-row",
    "guest": "main, .notice",
}
"""What stands on the page once it is drawn; a heading if it is not said."""
AXE = """async (rules) => {
  const found = await axe.run(document, {runOnly: rules, resultTypes: ['violations']});
  return found.violations.filter((one) => ['serious', 'critical'].includes(one.impact)).flatMap((one) =>
    one.nodes.map((node) => `${one.id}: ${node.html.slice(0, 160)} | ${node.failureSummary.split('\\n')[1] ?? ''}`));
}"""
ALL = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
ADMINISTRATION = {"users", "audit", "system", "settings", "cameras"}
"""Looked at in the same way on a real server: tests/peers/test_admin_pages.py."""
COLOURS = {"type": "rule", "values": ["color-contrast"]}
"""What depends on the theme."""


async def prepare(server: DevServer) -> None:
    """Something to see on every page."""
    server.alerts["a1"] = make_alert(1, "critical", "空岗", "Unattended")
    server.rota, server.checks, server.handovers, server.phones = ROTA, CHECKS, HANDOVERS, PHONES
    await server.ring("county")


@pytest.fixture(scope="module", autouse=True)
def checkers() -> None:
    if not install.is_ready(install.HERE):
        pytest.skip("axe-core is not installed: python -m tests.web.checkers.install")


async def stumbling_blocks(page: Page, *themes: str) -> list[str]:
    """What axe-core finds serious: all of it in the first theme, what depends on the theme in the others."""
    await page.evaluate(install.AXE.read_text("utf-8"))
    found: list[str] = []
    for theme in themes:
        await page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
        rules = ALL if theme == themes[0] else COLOURS
        found += [f"{theme}: {one}" for one in await page.evaluate(AXE, rules)]
    return found


@pytest.mark.parametrize(
    ("locale", "width", "themes"), [("zh-CN", 1440, ("dark", "contrast")), ("en-GB", 390, ("light",))]
)
@pytest.mark.parametrize("name", sorted(PAGES - ADMINISTRATION))
async def test_every_page(screens: Screens, name: str, locale: str, width: int, themes: tuple[str, ...]) -> None:
    await prepare(screens.server)
    page = await screens.open(WHO.get(name, "dispatcher"), f"/{name}", locale=locale, width=width)
    await expect(page.locator(SIGNS.get(name, "h1, h2")).first).to_be_visible(timeout=20_000)
    assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    keys = {one.split(".")[0] for one in words("zh")}
    raw = re.findall(r"\b[a-z_]+(?:\.[a-z_]+)+\b", await page.locator("body").inner_text())
    assert [one for one in raw if one.split(".")[0] in keys] == [], "keys without words"
    assert await stumbling_blocks(page, *themes) == []
    assert screens.complaints == []
    assert screens.server.csp_reports == []
