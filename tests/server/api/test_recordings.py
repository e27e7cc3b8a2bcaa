"""Recordings over HTTP: whose they are, and that names of files come from nowhere but the store."""

import os
from pathlib import Path

import pytest
from sqlalchemy import select

from server.store import recordings as rows
from server.store.tables import audit
from tests.fakes.serving import Served, serve

ID = "01900000-0000-7000-8000-000000000001"
PATHS = (
    f"/api/recordings/{ID}/segments/0",
    "/api/sessions/s1/export",
    "/api/recordings?session=s1",
    "/api/recordings?site=mine-a",
)


async def store(served: Served, data: bytes, site: str = "mine-a") -> Path:
    """A finished recording of a consultation at a site."""
    new = rows.Begin(
        recording=ID, kind_of="session", session="s1", site=site, track="p/0", client="c", person="王", name="room",
        kind="video", codec="VP8", held=True, simulated=False, started_at=1.0,
    )  # fmt: skip
    folder = served.context.settings.server.data_dir / "recordings" / ID
    folder.mkdir(parents=True)
    path = folder / "00000.mkv"
    path.write_bytes(data)
    async with served.context.database.transaction() as connection:
        await rows.begin(connection, new)
        await rows.segment_begun(connection, ID, 0, 1.0)
        await rows.segment_done(connection, ID, 0, "finished", 1.0, len(data), "0" * 64)
        await rows.end(connection, ID, "finished", "", 2.0)
    return path


@pytest.mark.parametrize(
    ("site", "may"), [("mine-a", True), ("county", True), ("nation", True), ("mine-b", False), ("south", False)]
)
async def test_recordings_are_for_those_whose_reach_they_are_in(tmp_path: Path, site: str, may: bool) -> None:
    async with serve(tmp_path) as served:
        await store(served, b"x" * 100)
        await served.add_user("somebody", "viewer", site)
        async with served.browser("somebody") as session:
            for path in PATHS:
                async with session.get(path) as response:
                    # the bytes are none of ours, so there is nothing in the export
                    expected = 404 if not may or path.endswith("export") else 200
                    assert response.status == expected, path
            async with session.get("/api/recordings") as response:
                assert [one["id"] for one in (await response.json())["items"]] == ([ID] if may else [])


@pytest.mark.parametrize(
    "path",
    [
        f"/api/recordings/{ID}/segments/1",
        f"/api/recordings/{ID}/segments/00000",
        f"/api/recordings/{ID}/segments/..%2f..%2flamproom.db",
        f"/api/recordings/..%2f{ID}/segments/0",
        "/api/recordings/unknown/segments/0",
    ],
)
async def test_a_name_that_is_not_in_the_store_opens_nothing(tmp_path: Path, path: str) -> None:
    async with serve(tmp_path) as served:
        await store(served, b"x" * 100)
        await served.add_user("somebody", "admin", "nation")
        async with served.browser("somebody") as session, session.get(path) as response:
            assert response.status == 404


async def test_no_link_is_followed(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        path = await store(served, b"x" * 100)
        secret = tmp_path / "secret"
        secret.write_bytes(b"s" * 100)
        await served.add_user("somebody", "admin", "nation")
        async with served.browser("somebody") as session:
            path.unlink()
            path.symlink_to(secret)
            async with session.get(PATHS[0]) as response:
                assert response.status == 404
            path.unlink()
            os.rename(path.parent, tmp_path / "elsewhere")
            (tmp_path / "elsewhere" / path.name).write_bytes(b"s" * 100)
            path.parent.symlink_to(tmp_path / "elsewhere")
            async with session.get(PATHS[0]) as response:
                assert response.status == 404


async def test_who_looks_at_a_recording_stands_in_the_audit(tmp_path: Path) -> None:
    async with serve(tmp_path) as served:
        await store(served, b"x" * 100)
        user = await served.add_user("somebody", "supervisor", "county")
        async with served.browser("somebody") as session, session.get("/api/sessions/s1/export"):
            async with session.get(PATHS[0]):
                pass
        async with served.context.database.reading() as connection:
            found = (await connection.execute(select(audit).where(audit.c.action.like("recording.%")))).all()
        assert [(one.action, one.actor, one.object, one.site) for one in found] == [
            ("recording.export", user.user, "s1", "mine-a"),
            ("recording.play", user.user, f"{ID}/0", "mine-a"),
        ]
