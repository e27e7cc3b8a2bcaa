"""Who sets cameras up may search and ask for them, and what was asked stands in the audit."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from sqlalchemy import select

from config.settings import IngestSettings
from server.api import onvif
from server.api.onvif import OnvifDoor
from server.store import tables
from tests.fakes.onvifcamera import camera
from tests.fakes.serving import serve

LOOPBACK = IngestSettings(allow_networks=("127.0.0.0/8",))


async def ask(session: ClientSession, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    async with session.post(f"/api/cameras/{path}", json=body) as answer:
        return answer.status, await answer.json()


async def test_an_engineer_asks_a_camera_for_its_streams(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serve(tmp_path, further=OnvifDoor(LOOPBACK).routes()))
        made = await stack.enter_async_context(camera())
        await served.add_user("engineer", "engineer", "mine-a")
        session = await stack.enter_async_context(served.browser("engineer"))
        wanted = {"site": "mine-a", "address": f"127.0.0.1:{made.port}", "user": "admin", "password": "Mine#2026"}
        status, found = await ask(session, "probe", wanted)
        assert (status, found["state"], found["model"]) == (200, "ok", "DS-1")
        assert [(one["use"], one["codec"], one["width"]) for one in found["streams"]] == [
            ("main", "H264", 1920),
            ("sub", "H264", 640),
            ("", "JPEG", 320),
        ]
        assert "Mine#2026" not in str(found)
        _, wrong = await ask(session, "probe", {**wanted, "password": "guess"})
        assert (wrong["state"], wrong["streams"]) == ("refused", [])
        _, refused = await ask(session, "probe", {**wanted, "address": "http://169.254.169.254/latest"})
        assert refused["state"] == "address_refused"
        _, nobody = await ask(session, "probe", {**wanted, "address": "127.0.0.1:1"})
        assert nobody["state"] == "unreachable"
        assert (await ask(session, "probe", {**wanted, "site": "mine-b"}))[0] == 404
        async with served.context.database.reading() as connection:
            kept = await connection.execute(
                select(tables.audit.c.object).where(tables.audit.c.action == "camera.probe")
            )
            assert set(kept.scalars()) == {"127.0.0.1", "169.254.169.254"}


async def test_one_search_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(onvif, "discover", nothing)
    door = OnvifDoor(IngestSettings())
    async with serve(tmp_path, further=door.routes()) as served:
        await served.add_user("engineer", "engineer", "mine-a")
        async with served.browser("engineer") as session:
            assert await ask(session, "discover", {"site": "mine-a"}) == (200, {"items": []})
            async with door._turn:
                status, problem = await ask(session, "discover", {"site": "mine-a"})
        assert (status, problem["error"]) == (429, "too_fast")
