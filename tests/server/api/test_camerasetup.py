"""Cameras set up over the API: into the file, and fetched at once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from config.load import load
from config.settings import CameraSettings, IngestSettings
from media.ingest.probe import Found
from server.api.camerasetup import CameraSetupDoor
from server.cameraprobe import CameraProbe
from server.settingsfile import SettingsFile
from server.store.tables import audit
from tests.fakes.serving import Served, serve

FILE = "cameras:\n  - {site: mine-c, name: far, url: 'rtsp://u:hush@10.0.0.9/1'}\n"
CAMERA: dict[str, Any] = {"site": "mine-a", "name": "gate", "url": "rtsp://u:hush@10.0.0.1/1"}


class Fetching:
    """What fetches, without a process."""

    def __init__(self, cameras: tuple[CameraSettings, ...]) -> None:
        self.settings = cameras

    def fetches(self, site: str, name: str) -> bool:
        return any((one.site, one.name) == (site, name) for one in self.settings)

    def add(self, camera: CameraSettings) -> None:
        self.settings = (*self.settings, camera)

    async def remove(self, site: str, name: str) -> None:
        self.settings = tuple(one for one in self.settings if (one.site, one.name) != (site, name))


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    path = tmp_path / "lamproom.yaml"
    path.write_text(FILE)
    settings = load(path, {})
    door = CameraSetupDoor(None, Fetching(settings.cameras), CameraProbe(IngestSettings()))  # type: ignore[arg-type]
    async with serve(tmp_path, further=door.routes()) as one:
        door.file = SettingsFile(settings, path, {}, one.context.tree)
        await one.add_user("tech", "engineer", "county")
        yield one


async def test_a_camera_is_added_fetched_shown_without_password_and_removed(served: Served, tmp_path: Path) -> None:
    async with served.browser("tech") as session:
        wish = CAMERA | {"sub_url": "rtsp://u:hush@10.0.0.1/2"}
        async with session.post("/api/cameras/settings", json=wish) as response:
            assert response.status == 201, await response.text()
            assert (await response.json())["restart_needed"] is False
        async with session.get("/api/cameras/settings?site=county") as response:
            found = await response.json()
        assert "hush" not in str(found)
        assert [(one["name"], one["runs"]) for one in found["items"]] == [("gate", True)]
        for clash in (CAMERA, CAMERA | {"name": "gate-sub"}):
            async with session.post("/api/cameras/settings", json=clash) as response:
                assert response.status == 409
        async with session.delete("/api/cameras/settings/mine-a/gate") as response:
            assert response.status == 204
        async with session.delete("/api/cameras/settings/mine-a/gate") as response:
            assert response.status == 404
    assert [one.name for one in load(tmp_path / "lamproom.yaml", {}).cameras] == ["far"]
    async with served.context.database.reading() as connection:
        rows = (await connection.execute(select(audit).where(audit.c.action.startswith("camera.")))).all()
    assert [row.action for row in rows] == ["camera.add", "camera.remove"]
    assert "hush" not in str([row.detail for row in rows])


async def test_recording_and_a_post_go_into_the_file_and_call_for_a_restart(served: Served, tmp_path: Path) -> None:
    post = {"post": "gate", "name_zh": "门岗", "name_en": "Gate"}
    async with served.browser("tech") as session:
        wish = CAMERA | {"routine": True, "post": post, "sub_url": "rtsp://10.0.0.1/2"}
        async with session.post("/api/cameras/settings", json=wish) as response:
            assert (await response.json())["restart_needed"] is True
    settings = load(tmp_path / "lamproom.yaml", {})
    assert settings.recording.routine == ("mine-a/gate",)
    (made,) = settings.analytics.posts
    assert (made.site, made.post, made.camera, made.name_en) == ("mine-a", "gate", "gate-sub", "Gate")
    async with (
        served.browser("tech") as session, session.delete("/api/cameras/settings/mine-a/gate") as response,
    ):  # fmt: skip
        assert response.status == 204
    assert load(tmp_path / "lamproom.yaml", {}).recording.routine == ()  # the next one of that name is asked about


async def test_cameras_elsewhere_are_neither_seen_nor_touched(served: Served, tmp_path: Path) -> None:
    async with served.browser("tech") as session:
        async with session.post("/api/cameras/settings", json=CAMERA | {"site": "mine-c"}) as response:
            assert response.status == 404
        async with session.delete("/api/cameras/settings/mine-c/far") as response:
            assert response.status == 404
        async with session.get("/api/cameras/settings?site=mine-c") as response:
            assert response.status == 404
        async with session.post("/api/cameras/look", json={"site": "mine-c", "url": "rtsp://10.0.0.9/1"}) as response:
            assert response.status == 404
    assert (tmp_path / "lamproom.yaml").read_text() == FILE


async def test_a_look_says_how_far_it_came_and_is_written_down(served: Served) -> None:
    async with served.browser("tech") as session:
        wish = {"site": "mine-a", "url": "rtsp://u:hush@127.0.0.1:1/x"}
        async with session.post("/api/cameras/look", json=wish) as response:
            found = await response.json()
    assert (found["well"], found["picture"]) == (False, "")
    assert (found["steps"][0]["step"], found["steps"][0]["light"]) == ("address", "failed")
    assert "hush" not in str(found)
    async with served.context.database.reading() as connection:
        (row,) = (await connection.execute(select(audit).where(audit.c.action == "camera.probe"))).all()
    assert row.object == "rtsp://u:***@127.0.0.1:1/x"


async def test_a_look_never_waits_for_more_than_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    from server import cameraprobe

    monkeypatch.setattr(cameraprobe, "WAIT_S", 0.01)
    probe, gate = CameraProbe(IngestSettings()), asyncio.Event()

    async def held(_wish: object) -> Found:
        await gate.wait()
        return Found()

    monkeypatch.setattr(probe, "_ran", held)
    looks = [asyncio.create_task(probe.look("rtsp://10.0.0.1/1", "tcp", audio=True)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(cameraprobe.ProbesBusy):
        await probe.look("rtsp://10.0.0.1/1", "tcp", audio=True)
    gate.set()
    assert await asyncio.gather(*looks) == [Found(), Found()]
