"""A consultation is recorded from a real publisher, and stays recorded when the recorder or the server is killed."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import av
import psutil
import pytest
from aiortc.mediastreams import AudioStreamTrack

from signaling.room import messages as m
from tests.fakes.instance import Instance
from tests.fakes.mediaserver import MovingPicture
from tests.fakes.people import People
from tests.fakes.recorderprocess import content
from tests.fakes.roomclient import RoomClient


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Instance]:
    async with Instance(tmp_path) as running:
        yield running


@pytest.fixture
async def people(server: Instance) -> AsyncIterator[People]:
    them = People(server)
    yield them
    await them.close()


async def consult(people: People) -> tuple[RoomClient, str]:
    """The dispatch room is on; the county calls and enters."""
    mine = await people.enter("dispatcher", "site:hongqi")
    await people.publish(mine, "site:hongqi", "dispatch-room", MovingPicture(), AudioStreamTrack())
    http = await people.http("county")
    async with http.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
        session = str((await answer.json())["session"])
    county = await people.enter("county", f"session:{session}")
    await told(county, "on")
    return county, session


async def told(client: RoomClient, state: str) -> None:
    client.heard.clear()
    await client.hear(m.Roster, lambda one: one.recording == state, timeout_s=20)


async def listed(http: aiohttp.ClientSession, session: str) -> list[dict[str, Any]]:
    async with http.get("/api/recordings", params={"session": session}) as answer:
        assert answer.status == 200, await answer.text()
        return list((await answer.json())["items"])


async def fetch(http: aiohttp.ClientSession, recording: str, headers: dict[str, str] | None = None) -> Any:
    async with http.get(f"/api/recordings/{recording}/segments/0", headers=headers or {}) as answer:
        return answer.status, answer.headers, await answer.read()


def recorder_of(server: Instance) -> int:
    children = psutil.Process(server.pid).children()
    return int(next(one.pid for one in children if "media.record.worker" in one.cmdline()))


async def test_a_consultation_is_recorded_until_it_ends_and_played_by_ranges(
    server: Instance, people: People, tmp_path: Path
) -> None:
    _, session = await consult(people)
    http = await people.http("county")
    under_way = await listed(http, session)
    assert {(one["kind"], one["state"], one["purpose"], one["held"]) for one in under_way} == {
        ("video", "recording", "session", True),
        ("audio", "recording", "session", True),
    }
    await asyncio.sleep(2.0)
    async with http.post(f"/api/sessions/{session}/end") as answer:
        assert answer.status == 200
    async with asyncio.timeout(10):
        found = under_way
        while any(one["state"] == "recording" for one in found):
            await asyncio.sleep(0.1)
            found = await listed(http, session)
    packets = list[int]()
    for one in found:
        assert one["state"] == "finished"
        status, headers, whole = await fetch(http, one["id"])
        assert status == 200
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert [hashlib.sha256(whole).hexdigest()] == [part["sha256"] for part in one["segments"]]
        path = tmp_path / one["id"]
        path.write_bytes(whole)
        seen = content(path)
        assert seen.packets == seen.pictures > 10
        packets.append(seen.packets)
        status, headers, part = await fetch(http, one["id"], {"Range": "bytes=10-99"})
        assert (status, part) == (206, whole[10:100])
        assert headers["Content-Range"] == f"bytes 10-99/{len(whole)}"
        status, _, part = await fetch(http, one["id"], {"Range": "bytes=-5"})
        assert (status, part) == (206, whole[-5:])
        for wrong in (f"bytes={len(whole)}-", "bytes=0-1,3-4"):
            assert (await fetch(http, one["id"], {"Range": wrong}))[0] == 416
    async with http.get(f"/api/sessions/{session}/export") as answer:
        assert answer.status == 200
        (tmp_path / "export").write_bytes(await answer.read())
    with av.open(str(tmp_path / "export")) as joined:
        assert sorted(stream.type for stream in joined.streams) == ["audio", "video"]
        assert sum(1 for packet in joined.demux() if packet.size) == sum(packets)
    async with http.get(f"/api/sessions/{session}/export", params={"client": "nobody"}) as answer:
        assert answer.status == 404
    await is_nobody_elses(server, found[0]["id"])


async def is_nobody_elses(server: Instance, recording: str) -> None:
    async with aiohttp.ClientSession(server.url) as stranger:
        assert (await fetch(stranger, recording))[0] == 401


async def test_a_killed_recorder_is_told_of_and_recording_goes_on_as_a_new_one(
    server: Instance, people: People
) -> None:
    county, session = await consult(people)
    await asyncio.sleep(1.5)
    os.kill(recorder_of(server), signal.SIGKILL)
    await told(county, "failed")
    await told(county, "on")
    found = await listed(await people.http("county"), session)
    states = sorted((one["kind"], one["state"]) for one in found)
    assert states[:1] == [("audio", "interrupted")]
    assert ("video", "interrupted") in states
    for one in found:
        if one["state"] == "interrupted":
            assert [part["state"] for part in one["segments"]] == ["interrupted"]


async def test_a_killed_server_leaves_recordings_that_play_and_are_listed_at_the_next_start(
    server: Instance, people: People, tmp_path: Path
) -> None:
    _, session = await consult(people)
    await asyncio.sleep(2.0)
    recorder = recorder_of(server)
    os.kill(recorder, signal.SIGKILL)  # both at once, as a power cut would
    await server.kill()
    await server.start()
    http = await server.session("county")
    try:
        found = await listed(http, session)
        assert {(one["kind"], one["state"]) for one in found} == {("audio", "interrupted"), ("video", "interrupted")}
        for one in found:
            status, _, whole = await fetch(http, one["id"])
            assert status == 200
            (tmp_path / "part").write_bytes(whole)
            seen = content(tmp_path / "part")
            assert seen.packets == seen.pictures > 5
    finally:
        await http.close()
