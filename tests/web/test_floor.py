"""Chair, floor and guests in real Chromium against the real server: what is pressed is heard, seen and kept."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.fakes.instance import Instance
from tests.web.test_consultation import enter, holds

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

PEERS = """
window.kept = [];
const Real = RTCPeerConnection;
window.RTCPeerConnection = class extends Real { constructor(...given) { super(...given); window.kept.push(this); } };
"""
SOUND = """async () => {
  let packets = 0;
  for (const peer of window.kept) {
    if (peer.connectionState === 'closed') continue;
    for (const one of (await peer.getStats()).values())
      if (one.type === 'inbound-rtp' && one.kind === 'audio') packets += one.packetsReceived;
  }
  return packets;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    async with Instance(tmp_path_factory.mktemp("server")) as running:
        yield running


async def over(server: Instance, *pages: Page) -> None:
    """Everybody goes, and nothing goes on: the next test begins with an empty house."""
    for page in pages:
        await page.context.close()
    http = await server.session("county")
    try:
        async with http.get("/api/sessions", params={"site": "hongqi"}) as answer:
            listed = (await answer.json())["items"]
        for one in listed:
            if one["ended_at"] is None:
                async with http.post(f"/api/sessions/{one['session']}/end") as answer:
                    assert answer.status == 200, await answer.text()
    finally:
        await http.close()


async def hears(page: Page, wanted: bool, seconds: float = 10.0) -> None:
    """Sound arrives (or none does) over half a second."""
    ends = time.monotonic() + seconds
    while True:
        before = await page.evaluate(SOUND)
        await asyncio.sleep(0.5)
        if (await page.evaluate(SOUND) - before > 5) == wanted:
            return
        assert time.monotonic() < ends, f"sound arrives, which is not {wanted}"


async def called(browser: Browser, server: Instance, template: str = "") -> tuple[Page, Page]:
    """Mine and county in a consultation that the mine has called."""
    mine, county = await enter(browser, server, "dispatcher"), await enter(browser, server, "county")
    await mine.locator(".one-click").click()
    if template:
        await mine.locator("lamproom-call select").last.select_option(template)
    await mine.locator("button.start").click()
    await county.locator("dialog.incoming .answer").click()
    await mine.locator(".invitation.answered", has_text="某县局").wait_for()
    return mine, county


async def people(page: Page) -> None:
    await page.locator(".tabs button", has_text="人员").click()


async def test_hand_mute_floor_and_talk_key_in_two_browsers(browser: Browser, server: Instance) -> None:
    mine, county = await called(browser, server)
    try:
        await people(mine)
        await county.keyboard.press("h")
        await mine.locator(".hands li", has_text="王县局").wait_for()
        await expect(mine.locator(".tabs .count")).to_have_text("1")

        # Chaired: the county is not heard until it is given the floor.
        await mine.locator(".segments button", has_text="主持发言").click()
        await county.locator(".floor-banner", has_text="只有主持人发言").wait_for()
        await expect(county.locator(".callbar .silent")).to_have_count(1)
        await mine.locator(".hands .primary").click()
        await county.locator(".floor-banner.mine").wait_for()
        await expect(mine.locator(".hands")).to_have_count(0)

        # A mute names who did it, and only the chair ends it.
        await mine.locator("button.who", has_text="王县局").click()
        await mine.locator(".person .acts button", has_text="静音").click()
        await county.locator(".floor-banner.muted", has_text="李调度").wait_for()
        await mine.locator(".person .acts button", has_text="解除静音").click()
        await county.locator(".floor-banner.muted").wait_for(state="detached")

        # The talk key: the space bar is held, and let go.
        await mine.locator(".segments button", has_text="对讲").click()
        await county.locator(".callbar .talk").wait_for()
        await county.keyboard.down(" ")
        await mine.locator(".floor-banner", has_text="王县局").wait_for()
        await county.locator(".callbar .talk.on").wait_for()
        await county.keyboard.up(" ")
        await mine.locator(".floor-banner", has_text="按住空格键").wait_for()
        # By the pointer, too.
        box = await county.locator(".callbar .talk").bounding_box()
        assert box is not None
        await county.mouse.move(box["x"] + 5, box["y"] + 5)
        await county.mouse.down()
        await mine.locator(".floor-banner", has_text="王县局").wait_for()
        await county.mouse.up()
        await mine.locator(".floor-banner", has_text="按住空格键").wait_for()

        # A level above takes the floor by priority: all see it, and the chair below cannot end it.
        await people(county)
        await county.locator(".preempt").click()
        await mine.locator(".floor-banner.priority", has_text="王县局").wait_for()
        await expect(mine.locator(".floor-banner button")).to_have_count(0)
        await county.locator(".floor-banner button").click()
        await mine.locator(".floor-banner.priority").wait_for(state="detached")

        # The chair is handed over; and a picture is made large for all.
        await mine.locator(".segments button", has_text="自由发言").click()
        await mine.locator(".person .acts button", has_text="全员大画面").click()
        await mine.locator("lamproom-tile.focused").wait_for()
        await mine.locator(".person .acts button", has_text="移交主持").click()
        await mine.locator(".segments").wait_for(state="detached")

        # Removed: out, and back only when let.
        await county.locator("button.who", has_text="李调度").click()
        await county.locator(".person .acts button", has_text="移出").click()
        await mine.locator(".one-click").wait_for()
        await mine.locator(".rejoin").click()
        await mine.locator(".toast", has_text="移出").first.wait_for()
        await county.locator(".person button", has_text="允许返回").click()
        await mine.locator(".one-click").wait_for()
        await mine.locator(".rejoin").click()
        await mine.locator("lamproom-session").wait_for()
    finally:
        await over(server, mine, county)


async def test_what_is_muted_is_not_heard_and_layouts_change_by_key(browser: Browser, server: Instance) -> None:
    mine, county = await called(browser, server)
    try:
        await mine.add_init_script(PEERS)
        await mine.reload()
        await mine.locator(".rejoin").click()
        await hears(mine, True)
        await people(mine)
        await mine.locator("button.who", has_text="王县局").click()
        await mine.locator(".person .acts button", has_text="静音").click()
        await hears(mine, False)
        await county.evaluate("document.querySelector('lamproom-session') && true")
        await county.reload()  # a page that is loaded anew stays muted
        await county.locator(".rejoin").click()
        await county.locator(".floor-banner.muted").wait_for()
        await county.locator("lamproom-tile:not([own]) video").first.wait_for()
        await hears(mine, False)
        await mine.locator(".person .acts button", has_text="解除静音").click()
        await hears(mine, True)

        assert await mine.locator(".stage.has-focus").count() == 0
        await mine.keyboard.press("l")
        await mine.locator(".stage.has-focus lamproom-tile.focused").wait_for()
        await mine.keyboard.press("l")
        await mine.locator(".stage-area.beside .stage-facts lamproom-readings").wait_for()
        await mine.reload()
        await mine.locator(".rejoin").click()
        await mine.locator(".stage-area.beside").wait_for()  # the choice is kept
        await mine.keyboard.press("?")
        await mine.locator("dialog.help dd", has_text="按住讲话").wait_for()
    finally:
        await over(server, mine, county)


async def test_a_template_lays_first_orders_ready_and_shows_the_legal_clocks(
    browser: Browser, server: Instance
) -> None:
    mine, county = await called(browser, server, "water")
    try:
        await county.locator(".session-name", has_text="突水透水 · 红旗煤矿").wait_for()
        await expect(county.locator(".clock")).to_have_count(2)
        await county.locator(".draft", has_text="立即撤出").click()
        await mine.locator(".order", has_text="立即撤出").locator("button.primary").click()
        await county.locator(".order.confirmed", has_text="立即撤出").wait_for()
        await expect(county.locator(".draft", has_text="立即撤出")).to_have_count(0)
        await mine.locator(".callbar .danger").click()
        await mine.locator(".callbar textarea").fill("全部升井，水位稳定。")
        await mine.locator(".callbar .danger").click()
        await county.locator("lamproom-wall").wait_for()
    finally:
        await over(server, mine, county)


async def test_a_guest_comes_by_a_link_waits_at_the_door_and_is_let_in(browser: Browser, server: Instance) -> None:
    mine, county = await called(browser, server)
    try:
        await people(mine)
        await mine.locator("lamproom-guest-links > button").click()
        await mine.locator(".guest-form select[name=role]").select_option("speaker")
        await mine.locator(".guest-form button").click()
        await mine.locator(".guest-link img").wait_for()
        link = await mine.locator(".guest-link input").input_value()
        await mine.keyboard.press("Escape")
        context = await browser.new_context(locale="en-GB", viewport={"width": 390, "height": 844})
        context.set_default_timeout(20_000)
        guest = await context.new_page()
        complaints: list[str] = []
        guest.on("console", lambda one: complaints.append(one.text) if one.type == "error" else None)
        guest.on("pageerror", lambda error: complaints.append(str(error)))
        await guest.goto(link)
        await guest.locator("input[name=name]").fill("周教授")
        await guest.locator("form button").click()
        await guest.locator(".door", has_text="knocked").wait_for()
        await mine.locator(".lobby li", has_text="周教授").locator("button.primary").click()
        await guest.locator("lamproom-session").wait_for()
        await holds(guest, "[...document.querySelectorAll('video')].some((one) => one.videoWidth > 0)")
        await mine.locator(".person", has_text="周教授").locator(".chip", has_text="访客").wait_for()
        assert await guest.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
        assert complaints == []
        await mine.locator("lamproom-guest-links > button").click()
        await mine.locator(".guest-list button").click()  # revoked: out at once
        await guest.locator('[data-link="ended"]').wait_for()
        await context.close()
    finally:
        await over(server, mine, county)


async def test_two_consultations_at_once_are_changed_over_and_merged(browser: Browser, server: Instance) -> None:
    mine, county = await called(browser, server)
    try:
        # The county opens a second one; it does not begin by itself, and the first goes on.
        await county.keyboard.press("c")
        await county.locator("lamproom-call .note").wait_for()
        await county.locator("lamproom-call select").last.select_option("fire")
        await county.locator("button.start").click()
        await county.locator(".session-name", has_text="矿井火灾").wait_for()
        await mine.locator("dialog.incoming .decline").click()
        await mine.locator(".session-name", has_text="红旗煤矿").wait_for()
        await county.locator("button.other").click()  # back to the first
        await county.locator("button.other", has_text="矿井火灾").click()  # and over again

        # The county chairs the second and stands above the mine that chairs the first.
        await people(county)
        await county.locator(".people-tools button", has_text="并入").click()
        await mine.locator(".session-name", has_text="矿井火灾").wait_for()
        await expect(county.locator("button.other")).to_have_count(0)
        await county.locator(".person", has_text="李调度").first.wait_for()
        await expect(county.locator(".watching")).to_have_text("2")
    finally:
        await over(server, mine, county)
