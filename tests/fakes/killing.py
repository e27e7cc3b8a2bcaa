"""A consultation of ten whose media worker is killed again and again: when everybody sees and hears again, and what
the recordings lack.

What a recording lacks is told by its files alone: time from the end of one to the begin of the next of the same person
and kind, and from the last whole part to the kill."""

import asyncio
import os
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from tests.fakes.instance import Instance
from tests.fakes.people import People
from tests.fakes.recorderprocess import content
from tests.fakes.scripted import Participants

PEOPLE = 10
AT_MOST_S = 90.0
STILL_COMES_S = 0.05
"""What was under way when the worker died may still come for so long."""


@dataclass
class Killed:
    """All of one run."""

    back_s: list[float] = field(default_factory=list)
    """For each kill, until the last of all saw and heard again."""
    killed_at: list[float] = field(default_factory=list)
    """UTC."""
    tracks: int = 0
    """Recorded files."""
    broken: list[str] = field(default_factory=list)
    """Files that do not play to their end as they are, and why."""
    lost_s: list[float] = field(default_factory=list)
    """For each kill and track: between the last recorded unit and the kill."""
    gaps_s: list[float] = field(default_factory=list)
    """For each kill and track: between the last recorded unit before it and the first after it."""
    load: list[float] = field(default_factory=list)


def media_worker(server: Instance) -> int:
    children = psutil.Process(server.pid).children()
    [pid] = [child.pid for child in children if "media.worker" in child.cmdline()]
    return int(pid)


async def kill_again_and_again(folder: Path, kills: int, people: int = PEOPLE) -> Killed:
    """Raises:
    TimeoutError: somebody did not come back.
    """
    found = Killed()
    async with Instance(folder) as server:
        them = People(server)
        try:
            await _consult(found, server, them, kills, people)
        finally:
            await them.close()
    return found


async def _consult(found: Killed, server: Instance, them: People, kills: int, people: int) -> None:
    http = await them.http("county")
    async with http.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
        assert answer.status in (200, 201), await answer.text()
        session = str((await answer.json())["session"])
    room = f"session:{session}"
    clients = [await them.enter(("dispatcher", "county")[number % 2], room) for number in range(people)]
    all_ = Participants(clients, room)
    running = asyncio.ensure_future(all_.run())
    try:
        await all_.all_receive(time.monotonic(), AT_MOST_S)
        await recorded(http, session, 2 * people)
        for number in range(kills):
            await asyncio.sleep(1.0 + 0.37 * (number % 4))
            found.killed_at.append(time.time())
            os.kill(media_worker(server), signal.SIGKILL)
            since = time.monotonic() + STILL_COMES_S
            found.back_s.append(STILL_COMES_S + await all_.all_receive(since, AT_MOST_S))
            found.load.append(os.getloadavg()[0])
            await recorded(http, session, 2 * people)
            assert not running.done()
        await asyncio.sleep(1.0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        all_.close()
    async with http.post(f"/api/sessions/{session}/end") as answer:
        assert answer.status == 200, await answer.text()
    listed = await recorded(http, session, 0)
    await asyncio.to_thread(look, found, listed, server.folder / "data" / "recordings")


async def recorded(http: aiohttp.ClientSession, session: str, running: int) -> list[dict[str, Any]]:
    """Until so many recordings are under way; gives all of the consultation."""
    async with asyncio.timeout(AT_MOST_S):
        while True:
            async with http.get("/api/recordings", params={"session": session}) as answer:
                assert answer.status in (200, 404), await answer.text()
                listed: list[dict[str, Any]] = (await answer.json())["items"] if answer.status == 200 else []
            begun = [one for one in listed if one["state"] == "recording" and (one["segments"] or not running)]
            if len(begun) == running:
                return listed
            await asyncio.sleep(0.1)


def look(found: Killed, listed: list[dict[str, Any]], folder: Path) -> None:
    """Play every file and put the files of each person and kind behind one another."""
    spans: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for one in listed:
        for segment in one["segments"]:
            found.tracks += 1
            path = folder / one["id"] / f"{segment['segment']:05d}.mkv"
            try:
                seen = content(path)
            except (OSError, ValueError) as error:
                found.broken.append(f"{one['name']} {one['kind']}: {error}")
                continue
            if seen.packets != seen.pictures:
                found.broken.append(f"{one['name']} {one['kind']}: {seen.pictures} of {seen.packets} decoded")
            start = float(segment["started_at"])
            spans[one["name"], one["kind"]].append((start + seen.first_s, start + seen.last_s))
    for files in spans.values():
        files.sort()
        for killed_at in found.killed_at:
            before = [end for start, end in files if start < killed_at]
            after = [start for start, _ in files if start > killed_at]
            if before and after:
                found.lost_s.append(max(0.0, killed_at - max(before)))
                found.gaps_s.append(min(after) - max(before))
