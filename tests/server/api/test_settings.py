"""The settings as an admin changes them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from sqlalchemy import select

from config.load import load
from config.settings import Settings
from server.api.settings import SettingsDoor
from server.settingsfile import SettingsFile
from server.store.tables import audit
from tests.fakes.serving import PASSWORD, Served, serve

FILE = "media:\n  udp_port: 7000  # known to the firewall\nmqtt: {host: h, password: hush-1}\n"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    door = SettingsDoor(None)  # type: ignore[arg-type]
    path = tmp_path / "lamproom.yaml"
    path.write_text(FILE)
    async with serve(tmp_path, further=door.routes()) as one:
        door.file = SettingsFile(load(path, {}), path, {}, one.context.tree)
        await one.add_user("top", "admin", "nation")
        await one.add_user("chief", "admin", "county")
        yield one


async def get(session: ClientSession) -> dict[str, Any]:
    async with session.get("/api/settings") as response:
        assert response.status == 200, await response.text()
        found: dict[str, Any] = await response.json()
        return found


async def send(session: ClientSession, changes: list[dict[str, Any]], path: str = "", **more: Any) -> tuple[int, Any]:
    body = {"changes": changes, "expect": (await get(session))["fingerprint"], **more}
    async with session.post(f"/api/settings{path}", json=body) as response:
        return response.status, await response.json(content_type=None)


def port(value: object) -> list[dict[str, Any]]:
    return [{"path": "media.udp_port", "op": "set", "value": value}]


async def test_a_change_is_tried_then_made_and_a_restart_is_called_for(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "lamproom.yaml"
    async with served.browser("top") as session:
        assert not (await get(session))["restart_needed"]
        status, tried = await send(session, port(7001), "/try")
        assert (status, tried["dangerous"], file.read_text()) == (200, False, FILE)
        assert tried["differences"] == [{"path": "media.udp_port", "before": 7000, "after": 7001, "dangerous": False}]
        status, made = await send(session, port(7001))
        assert (status, made["restart_needed"]) == (200, True)
        assert "udp_port: 7001  # known to the firewall" in file.read_text()
        assert (await get(session))["restart_needed"]
        status, _ = await send(session, port(7000))
        assert not (await get(session))["restart_needed"]


async def test_a_dangerous_change_needs_the_password_and_shows_no_secret(served: Served, tmp_path: Path) -> None:
    secret = [{"path": "mqtt.password", "op": "set", "value": "hush-2"}]
    async with served.browser("top") as session:
        for wrong in ("", "wrong password here"):
            status, body = await send(session, secret, password=wrong)
            assert (status, body["error"]) == (401, "wrong_login")
        assert load(tmp_path / "lamproom.yaml", {}).mqtt.password == "hush-1"
        status, body = await send(session, secret, password=PASSWORD)
        assert status == 200
        assert "hush" not in json.dumps(body)
        assert "hush" not in json.dumps(await get(session))
    assert load(tmp_path / "lamproom.yaml", {}).mqtt.password == "hush-2"
    async with served.context.database.reading() as connection:
        rows = (await connection.execute(select(audit).where(audit.c.action == "settings.change"))).all()
    assert [(row.actor, row.object, row.result) for row in rows] == [(served.users["top"].user, "mqtt.password", "ok")]
    assert "hush" not in rows[0].detail


@pytest.mark.parametrize(
    "change",
    [
        {"path": "mqtt", "op": "set", "value": {"host": "elsewhere", "password": "hush-3"}},
        {"path": "mqtt", "op": "remove"},
        {"path": "server", "op": "set", "value": {"listen_host": "0.0.0.0"}},
        {"path": "cameras.0", "op": "set", "value": {"site": "a", "name": "b", "url": "rtsp://u:hush-3@h/1"}},
    ],
    ids=lambda change: change["path"] + change["op"],
)
async def test_what_is_dangerous_stays_so_inside_of_something_larger(
    served: Served, tmp_path: Path, change: dict[str, Any]
) -> None:
    async with served.browser("top") as session:
        status, body = await send(session, [change])
    assert (status, body["error"]) == (401, "wrong_login")
    assert (tmp_path / "lamproom.yaml").read_text() == FILE


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"path": "media.udp_port", "op": "set", "value": 70000}, "media.udp_port"),
        ({"path": "media.udp_port", "op": "set", "value": "many"}, "media.udp_port"),
        ({"path": "media.nothing", "op": "set", "value": 1}, "media.nothing"),
        ({"path": "cameras.4.url", "op": "set", "value": "rtsp://x"}, "cameras.4.url"),
        ({"path": "sites.0", "op": "set", "value": {
            "site": "a", "parent": "nowhere", "level": "mine", "name_zh": "a", "name_en": "a"}}, "sites.0.parent"),
        ({"path": "server.tls", "op": "set", "value": "files"}, "server.tls_certificate"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
async def test_what_no_server_would_start_with_is_refused_at_its_field(
    served: Served, tmp_path: Path, change: dict[str, Any], where: str
) -> None:
    async with served.browser("top") as session:
        status, body = await send(session, [change], password=PASSWORD)
    assert (status, body["error"]) == (422, "invalid")
    assert body["fields"][0]["where"] == where
    assert (tmp_path / "lamproom.yaml").read_text() == FILE


async def test_a_change_made_for_another_file_is_stale(served: Served, tmp_path: Path) -> None:
    async with served.browser("top") as session:
        known = (await get(session))["fingerprint"]
        (tmp_path / "lamproom.yaml").write_text(FILE + "auth: {login_days: 3}\n")
        body = {"changes": port(7001), "expect": known}
        async with session.post("/api/settings", json=body) as response:
            assert response.status == 409


async def test_a_broken_file_is_told_and_not_written_over(served: Served, tmp_path: Path) -> None:
    (tmp_path / "lamproom.yaml").write_text("media: [\n")
    async with served.browser("top") as session:
        found = await get(session)
        assert found["broken"]
        status, _ = await send(session, port(7001))
        assert status == 422
    assert (tmp_path / "lamproom.yaml").read_text() == "media: [\n"


async def test_who_looks_after_a_part_only_sees_none_of_it(served: Served) -> None:
    async with served.browser("chief") as session:
        async with session.get("/api/settings") as response:
            assert response.status == 404
        async with session.post("/api/settings", json={"changes": port(1), "expect": "x"}) as response:
            assert response.status == 404


async def test_without_a_file_it_is_look_only(tmp_path: Path) -> None:
    door = SettingsDoor(None)  # type: ignore[arg-type]
    async with serve(tmp_path, further=door.routes()) as one:
        door.file = SettingsFile(Settings(), None, {}, one.context.tree)
        await one.add_user("top", "admin", "nation")
        async with one.browser("top") as session:
            found = await get(session)
            assert (found["file"], found["writable"]) == (None, False)
            assert found["sections"]
            status, body = await send(session, port(7001))
            assert (status, body["error"]) == (409, "no_settings_file")
