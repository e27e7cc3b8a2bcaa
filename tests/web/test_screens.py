"""The pages in Chromium against the small server."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Page, expect

from signaling.room import messages as m
from tests.web.conftest import Screens
from tests.web.devserver import PEOPLE, make_alert

pytestmark = [pytest.mark.peer, pytest.mark.timeout(90), pytest.mark.asyncio(loop_scope="module")]
EVIL = "<img src=x onerror=\"document.title='owned'\"><b>x</b>"


async def until(check: Callable[[], Any], seconds: float = 6.0) -> None:
    """Wait for something on the server's side; bounded."""
    ends = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < ends, "it did not happen in time"
        await asyncio.sleep(0.03)


async def online(page: Page) -> None:
    await page.locator('[data-link="online"]').wait_for()


async def test_wrong_password_is_told_and_a_right_one_leads_on(screens: Screens) -> None:
    page = await screens.open("", "/login?next=//elsewhere.example/")
    await page.locator("input[name=login]").fill("dispatcher")
    await page.locator("input[name=password]").fill("wrong")
    await page.locator("button[type=submit]").click()
    await expect(page.locator("[role=alert]")).to_have_text("用户名或密码不正确。")
    await page.locator("input[name=password]").fill(screens.server.password)
    await page.locator("button[type=submit]").click()
    await page.wait_for_url(f"{screens.base}/dispatch")


async def test_lost_socket_comes_back_with_the_last_number_seen(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    await screens.server.raise_alert(make_alert(1, "warning", "第一条", "First"))
    await page.get_by_text("第一条").first.wait_for()
    seen = screens.server.entries["site:hongqi"][-1].seq
    await screens.server.drop_sockets()
    await until(lambda: not screens.server.sockets)
    screens.server.alerts["a2"] = make_alert(2, "warning", "断线时发生", "While it was down")
    screens.server.note_alert("a2", "raised")
    await page.locator("lamproom-alerts article", has_text="断线时发生").wait_for()
    hello = screens.server.heard_of("hello")[-1]
    assert len(screens.server.heard_of("hello")) >= 2
    assert hello["client"] is not None
    join = next(one for one in hello["joins"] if one["since"] is not None)
    assert join["since"] == seen
    assert join["epoch"] == "e1"


async def test_new_epoch_starts_the_room_anew(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await page.locator("lamproom-alerts article", has_text="局部通风机").wait_for()
    screens.server.epoch = "e2"
    screens.server.alerts = {"a5": make_alert(5, "warning", "恢复后的警报", "After the restore")}
    await screens.server.drop_sockets()
    await page.locator("lamproom-alerts article", has_text="恢复后的警报").wait_for()
    await expect(page.locator("lamproom-alerts article", has_text="局部通风机")).to_have_count(0)


async def test_gap_is_filled_by_asking_with_since(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    await page.locator("lamproom-alerts article").first.wait_for()
    seen = screens.server.entries["site:hongqi"][-1].seq
    screens.server.alerts["a3"] = make_alert(3, "warning", "丢失的一条", "The lost one")
    screens.server.note_alert("a3", "raised")  # written, never told
    await screens.server.raise_alert(make_alert(4, "warning", "之后的一条", "The one after"))
    await page.locator("lamproom-alerts article", has_text="丢失的一条").wait_for()
    await page.locator("lamproom-alerts article", has_text="之后的一条").wait_for()
    joins = screens.server.heard_of("join")
    assert [one["since"] for one in joins] == [seen]
    times = await page.locator("lamproom-timeline li.entry p").all_inner_texts()
    assert sum("丢失的一条" in one for one in times) == 1
    assert sum("之后的一条" in one for one in times) == 1


async def test_repeated_event_is_shown_once(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    events = [screens.server.note("site:hongqi", "chat", {"from": PEOPLE["supervisor"], "text": "只说一遍"})]
    await screens.server.tell(events)
    await screens.server.tell(events)
    await page.locator("lamproom-timeline li.entry", has_text="只说一遍").wait_for()
    await screens.server.raise_alert(make_alert(6, "warning", "随后", "Then"))
    await page.locator("lamproom-timeline li.entry", has_text="随后").first.wait_for()
    await expect(page.locator("lamproom-timeline li.entry", has_text="只说一遍")).to_have_count(1)


@pytest.mark.parametrize(("state", "words"), [("drowsy", "Head down"), ("asleep", "Asleep")])
async def test_a_post_whose_officer_sleeps_says_so_with_its_own_timer(screens: Screens, state: str, words: str) -> None:
    body = screens.server.add_duty("hongqi", "dispatch", "present", "调度台", "Dispatch desk", 65, state)
    screens.server.note("site:hongqi", "duty", body)
    page = await screens.open("dispatcher", locale="en-GB")
    post = page.locator(f".post[data-state={state}]")
    await expect(post).to_contain_text(words)
    await expect(post.locator(".post-timer")).to_contain_text("1:0")
    await expect(post).to_contain_text("warning in")
    await expect(page.locator("lamproom-timeline li.entry", has_text=words).first).to_be_visible()


async def test_expiring_token_is_renewed(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    before = screens.server.heard_of("hello")[0]["joins"][0]["token"]
    await screens.server.expire("site:hongqi")
    await until(lambda: screens.server.heard_of("refresh"))
    assert screens.server.heard_of("refresh")[0]["token"] != before
    assert len(screens.server.heard_of("hello")) == 1


async def test_words_from_the_net_are_shown_as_text(screens: Screens) -> None:
    server = screens.server
    server.alerts["x1"] = make_alert(1, "critical", EVIL, EVIL, id="x1", explain={EVIL: EVIL}, rule=EVIL)
    server.add_duty("hongqi", EVIL, "absent", EVIL, EVIL, 10)
    server.note("site:hongqi", "chat", {"from": {"name": EVIL, "site": EVIL}, "text": EVIL})
    server.note("site:hongqi", EVIL, {"site": EVIL})
    server.note("site:hongqi", "session", {"session": EVIL, "change": EVIL, "title": EVIL, "by": EVIL})
    person = m.Person(**{**PEOPLE["supervisor"], "name": EVIL})
    server.guests["site:hongqi"].append(m.Member(client="g", person=person, since=0, watching=True))
    page = await screens.open("dispatcher")
    await page.locator("lamproom-beacon .beacon-title", has_text="onerror").wait_for()
    await page.locator("lamproom-alerts article").first.click()
    await page.locator(".watchers", has_text="onerror").wait_for()
    assert await page.locator("img[src=x]").count() == 0
    assert await page.title() != "owned"
    assert screens.server.csp_reports == []


async def test_red_alert_fills_the_page_until_it_is_acknowledged_by_key(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    await screens.server.raise_alert(make_alert(1, "critical", "空岗", "Unattended"))
    title = page.locator(".beacon-title")
    await title.wait_for()
    height = await title.evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
    assert height >= 32
    await page.keyboard.press("a")
    await until(lambda: screens.server.alerts["a1"]["state"] == "acknowledged")
    await expect(page.locator(".beacon")).to_have_count(0)


async def test_keys_are_off_while_somebody_types(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    await screens.server.raise_alert(make_alert(1, "critical", "空岗", "Unattended"))
    await page.locator("#alert-a1 button[title]").click()
    await page.locator("#alert-a1 input[name=comment]").fill("")
    await page.keyboard.type("a mv1?")
    await expect(page.locator("#alert-a1 input[name=comment]")).to_have_value("a mv1?")
    assert screens.server.alerts["a1"]["state"] == "open"
    await page.keyboard.press("Enter")
    await until(lambda: screens.server.alerts["a1"]["state"] == "acknowledged")
    assert screens.server.alerts["a1"]["acknowledged"]["comment"] == "a mv1?"


async def test_one_click_calls_by_itself_and_escape_takes_it_back(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    await page.locator(".one-click").click()
    await page.locator("dialog.call-dialog[open]").wait_for()
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog.call-dialog[open]")).to_have_count(0)
    await page.wait_for_timeout(5500)
    assert screens.server.sessions == {}
    await page.locator(".one-click").click()
    await page.locator("lamproom-session .invitation").first.wait_for()
    session = screens.server.sessions["s1"]
    assert set(session["invitations"]) == {"county", "city", "province"}
    await until(lambda: any("session:s1" in one.rooms for one in screens.server.sockets))


async def test_call_rings_over_everything_and_enter_answers(screens: Screens) -> None:
    page = await screens.open("supervisor")
    await online(page)
    await screens.server.ring("county")
    box = await page.locator("dialog.incoming h1").bounding_box()
    assert box is not None
    assert box["height"] > 60
    await page.keyboard.press("Enter")
    await page.locator("lamproom-session").wait_for()
    await until(lambda: screens.server.sessions["s1"]["invitations"]["county"]["state"] == "answered")
    await expect(page.locator("dialog.incoming")).to_have_count(0)


async def test_call_that_is_answered_elsewhere_stops_ringing(screens: Screens) -> None:
    page = await screens.open("supervisor")
    await online(page)
    await screens.server.ring("county")
    await page.locator("dialog.incoming").wait_for()
    ring = screens.server.sessions["s1"]["invitations"]["county"]
    ring["state"] = "answered"
    await screens.server._tell_session(screens.server.sessions["s1"], "answered", invitation=ring)
    await expect(page.locator("dialog.incoming")).to_have_count(0)


async def test_order_not_read_back_turns_red_after_a_minute(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    await page.locator(".one-click").click()
    await page.locator("button.start").click()
    await page.locator("lamproom-session").wait_for()
    await until(lambda: any("session:s1" in one.rooms for one in screens.server.sockets))
    for number, age in (("o1", 59.0 - 40), ("o2", 61.0)):
        body = {
            "order": number, "to_site": "hongqi", "text": f"撤人 {number}", "state": "given", "given_by": "李敏",
            "given_at": time.time() - age, "confirmed_by": "", "confirmed_at": None, "done_by": "", "done_at": None,
        }  # fmt: skip
        screens.server.sessions["s1"]["orders"][number] = body
        await screens.server.tell([screens.server.note("session:s1", "order", {**body, "change": "given"})])
    await page.locator(".order.late", has_text="撤人 o2").wait_for()
    await expect(page.locator(".order.late")).to_have_count(1)
    await page.locator(".order", has_text="撤人 o2").locator("button.primary").click()
    await until(lambda: screens.server.sessions["s1"]["orders"]["o2"]["state"] == "confirmed")
    await expect(page.locator(".order.late")).to_have_count(0)


async def test_language_is_switched_without_reload_and_remembered(screens: Screens) -> None:
    page = await screens.open("dispatcher")
    await online(page)
    await page.evaluate("window.marker = 1")
    await page.locator(".tools button").first.click()
    await page.get_by_text("Duty posts").wait_for()
    assert await page.evaluate("window.marker") == 1
    await page.reload()
    await page.get_by_text("Duty posts").wait_for()


async def test_sound_is_armed_by_the_first_press(screens: Screens) -> None:
    page = await screens.open("supervisor")
    # Whatever Playwright looks at counts as a gesture, and a page that had one before it made its sound is armed at
    # once: so nothing is looked at until the page has said hello, which it does after that.
    await until(lambda: screens.server.heard_of("hello"), 20)
    await expect(page.locator(".sound")).to_have_attribute("data-armed", "false")
    await page.locator(".sound").click()
    await expect(page.locator(".sound")).to_have_attribute("data-armed", "true")


async def test_missing_camera_is_told_in_words_and_the_page_works(screens: Screens) -> None:
    context = await screens.context()
    await context.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotFoundError'); };"
    )
    page = await context.new_page()
    await page.goto(f"{screens.base}/as/dispatcher")
    await page.locator("lamproom-tile .why", has_text="没有找到摄像头").wait_for()
    await page.locator("lamproom-alerts article").first.wait_for()


async def test_old_browser_is_told_so(screens: Screens) -> None:
    context = await screens.context()
    await context.add_init_script("delete window.RTCPeerConnection;")
    page = await context.new_page()
    await page.goto(f"{screens.base}/login")
    await page.locator("#too-old h1").wait_for()
    await expect(page.locator("#too-old-missing")).to_have_text("WebRTC")


async def test_fixed_camera_shows_the_room_and_the_page_does_not_publish_beside_it(screens: Screens) -> None:
    room = "site:hongqi"
    camera = m.TrackNotice(
        track="cam/0", client="cam", kind="video", source="camera", name="dispatch-room", codec="H264", site="hongqi",
        state="live",
    )  # fmt: skip
    screens.server.tracks[room].append(camera)
    page = await screens.open("dispatcher")
    await page.locator("lamproom-tile:not([own])").wait_for()
    await until(lambda: any(one["tracks"] == ["cam/0"] for one in screens.server.heard_of("watch")))
    assert screens.server.heard_of("publish") == []


async def test_without_a_fixed_camera_the_page_publishes_the_dispatch_room(screens: Screens) -> None:
    await screens.open("dispatcher")
    await until(lambda: screens.server.heard_of("publish"))
    sent = screens.server.heard_of("publish")[0]
    assert sent["fresh"] is True
    assert list(sent["publications"].values()) == [
        {"source": "camera", "name": "dispatch-room", "rooms": ["site:hongqi"]}
    ]
