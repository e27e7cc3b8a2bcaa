"""A consultation on a real server, with pictures and sound; then its report, its case folder and the hold on it."""

import asyncio
import hashlib
import io
import json
import sqlite3
import sys
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import av
import pytest
import pytest_asyncio
from aiortc.mediastreams import AudioStreamTrack

from signaling.room import messages as m
from tests.fakes.instance import ROOT, Instance
from tests.fakes.mediaserver import MovingPicture
from tests.fakes.people import People

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Instance]:
    async with Instance(tmp_path_factory.mktemp("server"), duty={"ring_timeout_s": 1.0}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ended(server: Instance) -> AsyncIterator[tuple[str, People]]:
    """A consultation that has ended, with an order and two seconds of recording."""
    people = People(server)
    http = await people.http("county")
    body = {"site": "hongqi", "levels": ["city"], "template": "water"}
    async with http.post("/api/sessions", json=body) as answer:
        session = str((await answer.json())["session"])
    room = f"session:{session}"
    county, mine = await people.enter("county", room), await people.enter("dispatcher", room)
    await people.publish(mine, room, "desk", MovingPicture(), AudioStreamTrack())
    await county.send(m.GiveOrder(id="o", room=room, to_site="hongqi", text="撤出全部人员"))
    order = (await mine.event("order")).body["order"]
    await mine.send(m.AnswerOrder(id="a", room=room, order=str(order), state="confirmed"))
    await county.event("order", lambda one: one["change"] == "confirmed")
    await county.hear(m.Roster, lambda one: one.recording == "on", timeout_s=20.0)
    await asyncio.sleep(2.5)
    async with http.post(f"/api/sessions/{session}/end") as answer:
        assert answer.status == 200
    async with asyncio.timeout(20):
        while True:
            async with http.get("/api/recordings", params={"session": session}) as answer:
                rows = (await answer.json())["items"]
            if rows and all(one["state"] == "finished" for one in rows):
                break
            await asyncio.sleep(0.2)
    yield session, people
    await people.close()


async def test_the_report_has_the_times_and_lists_what_is_missing(ended: tuple[str, People]) -> None:
    session, people = ended
    http = await people.http("dispatcher")
    async with http.get(f"/api/sessions/{session}/report") as answer:
        report = await answer.json()
    steps = {one["step"]: one for one in report["milestones"]}
    assert steps["called"]["at"] is not None
    assert steps["first_joined"]["source"] == "李调度"
    assert steps["orders_read_back"]["at"] is not None
    assert steps["all_levels"] == {"step": "all_levels", "at": None, "after_s": None, "source": "city"}
    assert {one["what"] for one in report["missing"]} >= {"level_missing", "no_alert", "last_out_unknown"}
    assert len(report["recordings"]) == 2
    async with http.get(f"/api/sessions/{session}/report", params={"format": "pdf", "lang": "en"}) as answer:
        assert answer.content_type == "application/pdf"
        assert (await answer.read()).startswith(b"%PDF-")
    async with http.get(f"/api/sessions/{session}/report", params={"format": "csv"}) as answer:
        assert "撤出全部人员" in (await answer.read()).decode("utf-8-sig")
    async with http.get("/api/sessions", params={"site": "hongqi"}) as answer:
        assert session in [one["session"] for one in (await answer.json())["items"]]
    for path in ("/api/sessions/none/report", "/api/sessions/none/case"):
        async with http.get(path) as answer:
            assert answer.status == 404


async def test_the_case_folder_is_whole_and_its_recordings_play(ended: tuple[str, People]) -> None:
    session, people = ended
    http = await people.http("county")
    async with http.get(f"/api/sessions/{session}/case") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/zip"
        archive = zipfile.ZipFile(io.BytesIO(await answer.read()))
    assert archive.testzip() is None
    manifest: dict[str, Any] = json.loads(archive.read("manifest.json"))
    files = {one["path"]: one for one in manifest["files"]}
    assert {"report.json", "report-zh.csv", "report-en.csv", "timeline.csv"} <= set(files)
    for path, one in files.items():
        assert hashlib.sha256(archive.read(path)).hexdigest() == one["sha256"]
    recorded = [path for path in files if path.startswith("recordings/")]
    assert len(recorded) == 2
    assert all(files[path]["as_recorded"] for path in recorded)
    video = next(path for path in recorded if "-video-" in path)
    with av.open(io.BytesIO(archive.read(video)), "r") as container:
        assert len(list(container.decode(video=0))) > 10
    async with http.get(f"/api/rooms/session:{session}/timeline", params={"limit": 500}) as answer:
        entries = (await answer.json())["items"]
    assert len(archive.read("timeline.csv").decode("utf-8-sig").splitlines()) == len(entries) + 1


async def test_the_hold_is_released_by_an_admin_with_a_reason_only(ended: tuple[str, People]) -> None:
    session, people = ended
    path, body = f"/api/sessions/{session}/hold", {"held": False, "reason": "结案，经局长批准"}
    async with (await people.http("county")).post(path, json=body) as answer:
        assert answer.status == 403
    admin = await people.http("admin")
    async with admin.post(path, json={"held": False, "reason": ""}) as answer:
        assert answer.status == 422
    async with admin.post(path, json=body) as answer:
        assert (answer.status, (await answer.json())["held"]) == (200, False)
    async with admin.get("/api/recordings", params={"session": session}) as answer:
        assert [one["held"] for one in (await answer.json())["items"]] == [False, False]
    async with admin.get(f"/api/rooms/session:{session}/timeline", params={"limit": 500}) as answer:
        last = (await answer.json())["items"][-1]
    assert (last["body"]["change"], last["body"]["reason"]) == ("released", "结案，经局长批准")
    async with admin.post(path, json={"held": True, "reason": "事故复查"}) as answer:
        assert (await answer.json())["held"] is True


async def test_a_file_that_was_touched_is_found_even_when_its_row_was_mended(
    ended: tuple[str, People], server: Instance
) -> None:
    """By the verb, beside the running server."""
    session, _ = ended

    async def verify() -> tuple[int, dict[str, Any]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server", "verify-audit", "--files", "--json", "-c", str(server.config), cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, json.loads(out)

    code, said = await verify()
    assert (code, said["holds"], said["files"], said["faults"]) == (0, True, 2, [])

    database = sqlite3.connect(server.folder / "data" / "lamproom.db", timeout=10)
    query = (
        "SELECT s.recording, s.sha256 FROM recording_segments s JOIN recordings r USING (recording) WHERE r.session = ?"
    )
    recording, sha256 = database.execute(query, (session,)).fetchone()
    file = server.folder / "data" / "recordings" / recording / "00000.mkv"
    whole = await asyncio.to_thread(file.read_bytes)
    await asyncio.to_thread(file.write_bytes, whole[:-1] + bytes([whole[-1] ^ 1]))
    code, said = await verify()
    assert (code, [one["chain"] for one in said["faults"]]) == (1, [f"recording {recording}"])

    changed = hashlib.sha256(whole[:-1] + bytes([whole[-1] ^ 1])).hexdigest()
    mend = "UPDATE recording_segments SET sha256 = ? WHERE recording = ?"
    with database:
        database.execute(mend, (changed, recording))
    code, said = await verify()
    assert (code, said["faults"][0]["reason"]) == (1, "The row of file 0 names another hash than the timeline.")
    with database:
        database.execute(mend, (sha256, recording))
    database.close()
    await asyncio.to_thread(file.write_bytes, whole)
    assert (await verify())[0] == 0
