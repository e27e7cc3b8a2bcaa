"""The pages for those who look after the server, on a real server, in Chromium."""

import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.fakes.instance import PASSWORD
from tests.fakes.office import Office, office
from tests.fakes.rtspcamera import clip, free_port, need_gstreamer, rtsp_server, served
from tests.web.checkers import install
from tests.web.test_every_page import stumbling_blocks

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

LOOKS = [
    {"locale": "zh-CN", "color_scheme": "dark"},
    {"locale": "en-GB", "color_scheme": "light"},
    {"locale": "zh-CN", "color_scheme": "light", "width": 390},
    {"locale": "en-GB", "color_scheme": "dark", "width": 390},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Office]:
    async with office(
        tmp_path_factory.mktemp("office"),
        duty={"sms": {"headers": {"X-Key": "hush-hush"}}},
        ingest={"allow_networks": ["127.0.0.0/8"]},
    ) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def room(shared: Office) -> AsyncIterator[Office]:
    shared.complaints.clear()
    shared.expected = ()
    yield shared
    for context in list(shared.browser.contexts):
        await context.close()


async def test_an_account_is_made_with_a_one_time_password_that_must_be_changed(room: Office) -> None:
    page = await room.open("admin", "/users")
    await page.get_by_role("button", name="New account").click()
    await page.get_by_label("Name", exact=True).fill("新来的")
    await page.get_by_label("User name").fill("newcomer")
    await page.get_by_label("a one-time password").check()
    await page.get_by_role("button", name="Make the account").click()
    once = page.locator("[data-once=password]")
    await expect(once).to_have_text(re.compile(r"^[a-z2-9]{4}(-[a-z2-9]{4}){3}$"))
    password = await once.inner_text()
    await page.keyboard.press("Escape")
    await expect(page.locator("tr[data-user=newcomer]")).to_contain_text("password to change")

    other = await room.open("", "/login")
    await other.locator("input[name=login]").fill("newcomer")
    await other.locator("input[name=password]").fill(password)
    await other.locator("button[type=submit]").click()
    await other.locator("input[name=fresh]").fill("a long enough password")
    await other.locator("input[name=again]").fill("a long enough password")
    await other.locator("button[type=submit]").click()
    await other.wait_for_url("**/dispatch")
    await page.reload()
    await expect(page.locator("tr[data-user=newcomer]")).to_contain_text("in use")
    await room.sound(page)


async def test_an_account_is_changed_and_loses_its_log_ins(room: Office) -> None:
    room.expected = ("Failed to load resource",)  # the page of somebody whose log-in is ended
    page = await room.open("admin", "/users")
    await room.open("county", "/supervisor")
    row = page.locator("tr[data-user=county]")
    await page.reload()
    await expect(row).to_contain_text("1 log-in")
    await row.get_by_role("button").click()
    account = page.locator("dialog.account")
    await expect(account.locator(".logins li")).to_have_count(1)
    await account.locator(".logins button").click()
    await expect(account).to_contain_text("Not logged in anywhere")
    await account.get_by_label("Role").select_option("viewer")
    await account.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("Viewer")
    page.on("dialog", lambda dialog: dialog.accept())
    await account.get_by_role("button", name="Disable").click()
    await expect(row).to_contain_text("disabled")
    await account.get_by_role("button", name="Enable again").click()
    await account.get_by_label("Role").select_option("supervisor")
    await account.get_by_role("button", name="Save").click()
    await expect(row).to_contain_text("Supervisor")
    await account.get_by_role("button", name="Log-in link").click()
    await expect(account.locator("[data-once=link]")).to_contain_text("/enter/")
    await page.keyboard.press("Escape")

    await page.locator("tr[data-user=admin]").get_by_role("button").click()
    await expect(account.get_by_label("Role")).to_be_disabled()
    await expect(account.get_by_role("button", name="Disable")).to_have_count(0)
    await page.keyboard.press("Escape")

    await page.goto(f"{room.server.url}/audit")
    await page.get_by_label("Action").select_option("user.change")
    await page.get_by_label("Person").fill("admin")
    await page.get_by_role("button", name="Find").click()
    rows = page.locator("tr[data-seq]")
    await expect(rows).to_have_count(4)
    await rows.last.get_by_role("button", name="Details").click()
    await expect(page.locator("tr.detail")).to_contain_text("role_was")
    await room.sound(page)


async def test_the_chain_is_checked_and_the_audit_taken_away(room: Office) -> None:
    page = await room.open("admin", "/audit")
    await page.get_by_role("button", name="Check now").click()
    await expect(page.locator("[data-holds=true]")).to_be_visible()
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="CSV").click()
    table = (await (await waiting.value).path()).read_text("utf-8-sig")
    assert table.splitlines()[0].startswith("seq,time,actor")
    assert ",audit.verify," in table
    await page.get_by_role("button", name="Who saw people").click()
    await expect(page.locator("[data-part=rows] .empty")).to_be_visible()
    await room.sound(page)


@pytest.mark.parametrize("look", LOOKS, ids=str)
async def test_pages_fit_every_screen_in_both_languages(room: Office, look: dict[str, object]) -> None:
    page = await room.open("admin", "/users", **look)  # type: ignore[arg-type]
    for path in ("/users", "/audit", "/system", "/settings", "/cameras"):
        await page.goto(room.server.url + path)
        await expect(page.locator("main.admin .panel").first).to_be_visible()
        await expect(page.locator(".admin-nav a[aria-current=page]")).to_have_attribute("href", path)
        await room.sound(page)
        if install.is_ready() and look["locale"] == "zh-CN":  # what axe finds is the same in both languages
            assert await stumbling_blocks(page, str(look["color_scheme"]), "contrast") == []


async def test_who_may_not_see_a_page_is_told_so(room: Office) -> None:
    room.expected = ("Failed to load resource",)
    page = await room.open("dispatcher", "/users")
    await expect(page.locator("[role=alert]")).to_contain_text("not for your account")
    await expect(page.locator(".admin-nav")).to_have_count(0)
    await room.sound(page)


async def test_the_system_page_says_how_all_is_and_gives_a_bundle_without_secrets(room: Office) -> None:
    page = await room.open("admin", "/system")
    for process in ("server", "media", "recorder"):
        await expect(page.locator(f"[data-process={process}]")).to_contain_text("runs")
    await expect(page.locator("[data-part=findings] li").first).to_be_visible()
    await expect(page.locator("[data-part=disks] meter")).to_have_count(1)
    async with page.expect_download() as waiting:
        await page.get_by_role("link", name="Support bundle").click()
    with zipfile.ZipFile(await (await waiting.value).path()) as bundle:
        texts = {name: bundle.read(name).decode() for name in bundle.namelist()}
    assert set(texts) == {"system.json", "findings.json", "settings.yaml", "metrics.txt", "packages.txt"}
    assert "hush-hush" not in "".join(texts.values())
    assert "headers" in texts["settings.yaml"]
    await room.sound(page)


async def test_settings_are_changed_shown_against_what_is_and_written(room: Office) -> None:
    page = await room.open("admin", "/settings#duty")
    before = room.server.config.read_text("utf-8")
    await page.get_by_label("check_answer_s").fill("5000")
    await page.get_by_label("check_answer_s").blur()
    await page.get_by_role("button", name="Review and apply").click()
    await expect(page.locator("[data-path='duty.check_answer_s'] [role=alert]")).to_contain_text("3600")
    await page.get_by_label("check_answer_s").fill("90")
    await page.get_by_label("check_answer_s").blur()
    await page.get_by_role("link", name="auth").click()
    await page.get_by_label("login_days").fill("3")
    await page.get_by_label("login_days").blur()
    await expect(page.get_by_text("Pending changes: 2")).to_be_visible()
    await page.get_by_role("button", name="Review and apply").click()
    await expect(page.locator("[data-diff]")).to_have_count(2)
    room.expected = ("Failed to load resource",)
    await page.get_by_label("Your password").fill("not the password")
    await page.get_by_role("button", name="Apply", exact=True).click()
    await expect(page.locator(".settings-review [role=alert]")).to_contain_text("not correct")
    assert room.server.config.read_text("utf-8") == before
    await page.get_by_label("Your password").fill(PASSWORD)
    await page.get_by_role("button", name="Apply", exact=True).click()
    await expect(page.locator("[data-restart]")).to_be_visible()
    settings = room.server.settings
    assert (settings.auth.login_days, settings.duty.check_answer_s) == (3, 90)
    await expect(page.locator("[data-path='auth.login_days']")).to_contain_text("after a restart")
    await room.sound(page)
    room.server.config.write_text(before, "utf-8")


async def test_an_item_is_added_to_a_list_of_the_settings(room: Office) -> None:
    page = await room.open("admin", "/settings#devices")
    await page.get_by_role("button", name="Add one").click()
    item = page.locator("[data-item='devices.0']")
    await item.get_by_label("site", exact=True).fill("hongqi")
    await item.get_by_label("device", exact=True).fill("main-fan")
    await item.get_by_label("kind", exact=True).select_option("main_fan")
    await page.get_by_role("button", name="Review and apply").click()
    await expect(page.locator("[data-diff=devices]")).to_contain_text("main-fan")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Discard all").click()
    await expect(item).to_have_count(0)
    await room.sound(page)


async def test_a_camera_is_looked_at_added_and_seen_without_a_restart(room: Office, tmp_path: Path) -> None:
    need_gstreamer()
    port = free_port()
    mounts = {"/gate": served(clip(tmp_path / "clip.mkv", seconds=25, key_every=15))}
    async with rtsp_server(mounts, port=port, password="topsecret"):
        page = await room.open("admin", "/cameras")
        await page.get_by_role("button", name="Add a camera").click()
        await page.get_by_label("Maker").select_option("own")
        await page.get_by_label("RTSP address").fill(f"rtsp://127.0.0.1:{port}/gate")
        await page.get_by_label("User name").fill("admin")
        await page.get_by_label("Password").fill("wrong")
        await page.get_by_role("button", name="Look at it").click()
        await expect(page.locator("[data-look=false]")).to_contain_text("refuses the name or password")
        await expect(page.get_by_role("button", name="Next")).to_be_disabled()
        await page.get_by_role("button", name="Back").click()
        await page.get_by_label("Password").fill("topsecret")
        await page.get_by_role("button", name="Look at it").click()
        await expect(page.locator("[data-look=true] img")).to_be_visible()
        await expect(page.locator("[data-look=true]")).to_contain_text("320×180")
        await room.sound(page)
        await page.get_by_role("button", name="Next").click()
        await page.locator(".wizard input[name=name]").fill("gate")
        await page.get_by_role("button", name="Add it").click()
        await expect(page.locator(".done-line")).to_contain_text("gate")
        row = page.locator("[data-camera='hongqi/gate']")
        await expect(row).to_contain_text("picture on")
        await expect(row).not_to_contain_text("topsecret")
        assert [one.url for one in room.server.settings.cameras] == [f"rtsp://admin:topsecret@127.0.0.1:{port}/gate"]
        await room.sound(page)
        page.on("dialog", lambda dialog: dialog.accept())
        await row.get_by_role("button").click()
        await expect(row).to_have_count(0)
        assert room.server.settings.cameras == ()
