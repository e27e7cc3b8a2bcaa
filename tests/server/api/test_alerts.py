"""Alerts and their pictures over HTTP: who sees which, who takes them, and no way to another file."""

import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from analytics.finding import Finding
from server.alerts.machine import Alert
from server.store.pictures import store_picture
from tests.fakes.serving import Served, serve

JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 50


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as one:
        await one.add_user("wang", "dispatcher", "mine-a")
        await one.add_user("li", "dispatcher", "mine-b")
        await one.add_user("zhao", "supervisor", "county")
        await one.add_user("south", "supervisor", "south")
        await one.add_user("eng", "engineer", "county")
        yield one


async def raised(served: Served, site: str = "mine-a", subject: str = "main") -> Alert:
    at = time.time()
    finding = Finding(
        site, f"{site}/absence/{subject}", "absence", subject, "raised", "alarm", at, "空岗", "Post is empty",
        explain={"empty_s": 301.5, "threshold_s": 300},
    )  # fmt: skip
    alert = await served.context.alerts.apply(finding, at=at)
    assert alert is not None
    return alert


async def pictured(served: Served, name: str = "before") -> Alert:
    alert = await raised(served)
    path, sha256 = store_picture(served.context.settings.server.data_dir, alert.id, name, JPEG)
    return await served.context.alerts.attach(alert.id, name, path, sha256, 640, 360, time.time())


async def status(session: ClientSession, path: str) -> int:
    async with session.get(path) as response:
        return response.status


async def test_supervisor_sees_what_is_below_newest_first(served: Served) -> None:
    made = [await raised(served, site, f"post-{number}") for number, site in enumerate(["mine-a", "mine-b", "mine-c"])]
    async with served.browser("zhao") as session, session.get("/api/alerts") as response:
        body = await response.json()
    assert [alert["id"] for alert in body["items"]] == [made[1].id, made[0].id]
    assert body["next"] is None
    first = body["items"][0]
    assert first["title"] == {"zh": "空岗", "en": "Post is empty"}
    assert first["explain"] == {"empty_s": 301.5, "threshold_s": 300}
    assert first["state"] == "open"


async def test_pages_follow_each_other_without_gap_or_double(served: Served) -> None:
    made = [(await raised(served, subject=f"post-{number}")).id for number in range(7)]
    found: list[str] = []
    after = ""
    async with served.browser("zhao") as session:
        while True:
            async with session.get(f"/api/alerts?limit=3{after}") as response:
                body = await response.json()
            found += [alert["id"] for alert in body["items"]]
            if body["next"] is None:
                break
            after = f"&after={body['next']}"
    assert found == made[::-1]


async def test_alert_of_another_mine_is_not_there(served: Served) -> None:
    alert = await pictured(served)
    for login in ("li", "south"):
        async with served.browser(login) as session:
            assert await status(session, f"/api/alerts/{alert.id}") == 404
            assert await status(session, f"/api/alerts/{alert.id}/evidence/before") == 404
            assert await status(session, "/api/alerts?site=mine-a") == 404
            assert await status(session, "/api/alerts?site=nowhere") == 404
            async with session.post(f"/api/alerts/{alert.id}/ack", json={}) as response:
                assert response.status == 404
                other = await response.json(content_type=None)
            async with session.post("/api/alerts/not-there/ack", json={}) as response:
                assert await response.json(content_type=None) == other


async def test_first_acknowledgement_counts_and_is_told(served: Served) -> None:
    alert = await raised(served)
    async with served.browser("wang") as wang, served.browser("zhao") as zhao:
        async with wang.post(f"/api/alerts/{alert.id}/ack", json={"comment": "我在处理"}) as response:
            body = await response.json()
        async with zhao.post(f"/api/alerts/{alert.id}/ack", json={}) as response:
            again = await response.json()
    assert body["state"] == "acknowledged"
    assert body["acknowledged"]["by"] == served.users["wang"].user
    assert body["acknowledged"]["comment"] == "我在处理"
    assert again["acknowledged"] == body["acknowledged"]


async def test_supervisor_closes_dispatcher_and_engineer_do_not(served: Served) -> None:
    alert = await raised(served)
    verdict = {"outcome": "false_alarm", "reason": "camera moved", "comment": ""}
    for login in ("wang", "eng"):
        async with (
            served.browser(login) as session,
            session.post(f"/api/alerts/{alert.id}/close", json=verdict) as response,
        ):
            assert response.status == 403
    async with served.browser("zhao") as session:
        async with session.post(f"/api/alerts/{alert.id}/close", json={"outcome": "whatever"}) as response:
            assert response.status == 422
        async with session.post(f"/api/alerts/{alert.id}/close", json=verdict) as response:
            assert response.status == 200
            assert (await response.json())["closed"]["reason"] == "camera moved"
        async with session.post(f"/api/alerts/{alert.id}/close", json={"outcome": "confirmed"}) as response:
            assert response.status == 409
            assert (await response.json(content_type=None))["error"] == "stale"


@pytest.mark.parametrize(
    "comment", ["<script>alert(1)</script>", "'; DROP TABLE alerts;--", "%_\\", "矿灯😀", "x" * 1000]
)
async def test_any_comment_comes_back_as_it_was(served: Served, comment: str) -> None:
    alert = await raised(served)
    async with (
        served.browser("wang") as session,
        session.post(f"/api/alerts/{alert.id}/ack", json={"comment": comment}) as response,
    ):
        assert response.content_type == "application/json"
        assert (await response.json())["acknowledged"]["comment"] == comment


async def test_picture_comes_as_it_was_stored(served: Served) -> None:
    alert = await pictured(served)
    async with served.browser("wang") as session:
        async with session.get(f"/api/alerts/{alert.id}/evidence/before") as response:
            assert response.status == 200
            assert response.content_type == "image/jpeg"
            assert await response.read() == JPEG
            assert response.headers["ETag"] == f'"{hashlib.sha256(JPEG).hexdigest()}"'
            assert "private" in response.headers["Cache-Control"]
        assert await status(session, f"/api/alerts/{alert.id}/evidence/after") == 404
    async with served.browser() as session:
        assert await status(session, f"/api/alerts/{alert.id}/evidence/before") == 401


async def test_picture_that_was_changed_is_not_shown(served: Served) -> None:
    alert = await pictured(served)
    data_dir = served.context.settings.server.data_dir
    (file,) = (data_dir / "evidence").rglob("*.jpg")
    file.write_bytes(JPEG + b"!")
    async with served.browser("wang") as session:
        assert await status(session, f"/api/alerts/{alert.id}/evidence/before") == 409
        file.unlink()
        assert await status(session, f"/api/alerts/{alert.id}/evidence/before") == 404


async def test_link_in_place_of_a_picture_is_not_followed(served: Served) -> None:
    alert = await pictured(served)
    data_dir = served.context.settings.server.data_dir
    (file,) = (data_dir / "evidence").rglob("*.jpg")
    outside = data_dir / "outside.jpg"
    shutil.move(file, outside)
    os.symlink(outside, file)
    async with served.browser("wang") as session:
        assert await status(session, f"/api/alerts/{alert.id}/evidence/before") == 404
        file.unlink()
        file.parent.rmdir()
        os.symlink(data_dir, file.parent)
        shutil.move(outside, data_dir / file.name)
        assert await status(session, f"/api/alerts/{alert.id}/evidence/before") == 404


SPELLINGS = [
    "..", "../", "../../secrets/token.key", "..%2f..%2fsecrets%2ftoken.key", "..%2F..%2Fsecrets%2Ftoken.key",
    "%2e%2e%2f%2e%2e%2fsecrets%2ftoken.key", "%2e%2e/%2e%2e/secrets/token.key", "..%5c..%5csecrets%5ctoken.key",
    "..\\..\\secrets\\token.key", "....//....//secrets/token.key", "..;/..;/secrets/token.key",
    "%252e%252e%252fsecrets%252ftoken.key", "..%252fsecrets", "%c0%ae%c0%ae%c0%afsecrets", "%e0%80%ae%e0%80%aesecrets",
    "..%u2215secrets", "%ef%bc%8e%ef%bc%8e%ef%bc%8fsecrets", "%e2%80%a4%e2%80%a4%2fsecrets", "．．／secrets",
    "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "%2f%2fetc%2fpasswd", "file:///etc/passwd",
    "file:%2f%2f%2fetc%2fpasswd", "before/../../../secrets/token.key", "before%2f..%2f..%2f..%2fsecrets%2ftoken.key",
    "before%00", "before%00.jpg", "%00before", "before.jpg", "before.", "before%20", "%20before", "BEFORE", "before%0a",
    "before%0d%0aX-Injected:%201", "~", "~root", "$HOME", "C:%5cboot.ini", "%5c%5chost%5cshare", ".", "%2e", "",
    "before;a=b", "*", "?", "%3f", "before%23",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_spelling_of_a_name_reads_another_file(served: Served, spelling: str) -> None:
    alert = await pictured(served)
    secret = (served.context.settings.server.data_dir / "secrets" / "token.key").read_bytes()
    async with served.browser("wang") as session:
        for path in (f"/api/alerts/{alert.id}/evidence/{spelling}", f"/api/alerts/{spelling}/evidence/before"):
            url = URL(served.url.rstrip("/") + path, encoded=spelling.isascii() and "\\" not in spelling)
            async with session.get(url, allow_redirects=False) as response:
                body = await response.read()
                assert response.status in (200, 400, 404, 405)
                assert secret not in body
                assert b"root:" not in body
                assert "X-Injected" not in response.headers
                if response.content_type == "image/jpeg":
                    assert body == JPEG
