"""Key spots in a server: what is seen becomes readings, alerts and states; counts outlive a restart."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import select

from analytics.messages import Observed, Seen
from analytics.mine import MineFacts, Shift
from config.settings import Settings
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.parameters import Parameters
from server.posts import DutyPosts
from server.sessions.service import SessionService
from server.spots import KeySpots
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.store.tables import latest_readings
from server.streams import Camera, Streams
from server.telemetry import TelemetryIngest
from server.vision import VisionWorker
from tests.fakes.databases import database, tree
from tests.fakes.walks import Walk, seen

__all__ = ["database", "tree"]

GATE = {
    "spot": "gate", "site": "mine-a", "camera": "shaft-mouth", "kind": "crossing", "line": [[0, 0.6], [1, 0.6]],
}  # fmt: skip
DANGER = {"spot": "pit", "site": "mine-a", "camera": "pit", "kind": "danger"}
BELT = {"spot": "belt-head", "site": "mine-a", "camera": "belt", "kind": "belt", "device": "belt-1"}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


class Cameras:
    """Stands in for the streams: live cameras, and what was tapped."""

    def __init__(self) -> None:
        self.live: dict[tuple[str, str], list[Camera]] = {}
        self.taps: list[tuple[str, str | None]] = []

    def cameras(self, site: str, name: str) -> list[Camera]:
        return self.live.get((site, name), [])

    async def tap(self, track: str, address: str | None) -> None:
        self.taps.append((track, address))


class Eyes:
    """Stands in for the vision worker."""

    model, trained_on, tap_address = "", "unknown", "/tmp/tap"

    def __init__(self) -> None:
        self.watched: dict[str, tuple[Any, ...]] = {}

    def watch(self, camera: str, *more: Any) -> None:
        self.watched[camera] = more

    def unwatch(self, camera: str) -> None:
        self.watched.pop(camera, None)

    async def picture(self, *_: object) -> None:
        return None


class NoSessions:
    def rooms_about(self, _site: str) -> list[str]:
        return []


class Place:
    """A server's key spots, with its hands free."""

    def __init__(self, database: Database, alerts: AlertService, spots: KeySpots, cameras: Cameras, eyes: Eyes) -> None:
        self.database, self.alerts, self.spots, self.cameras, self.eyes = database, alerts, spots, cameras, eyes

    async def see(self, view: str, walks: list[Walk], seconds: float, back_s: float) -> None:
        """Pictures of the last so many seconds, all at once."""
        begin = time.time() - back_s
        for at, things in seen(walks, seconds, missed=0.0):
            boxes = tuple(Seen(label=one.label, score=one.score, box=one.box) for one in things)
            self.spots.observed(
                Observed(camera=view, detector="absence", at=begin + at, picture="ok", detections=boxes)
            )

    async def readings(self) -> dict[str, float]:
        async with self.database.reading() as connection:
            rows = await connection.execute(select(latest_readings.c.quantity, latest_readings.c.value))
            return {row.quantity: row.value for row in rows}

    async def until_read(self, wanted: dict[str, float]) -> None:
        async with asyncio.timeout(20):
            while not wanted.items() <= (await self.readings()).items():
                await asyncio.sleep(0.02)

    async def until_told(self, count: int) -> list[str]:
        async with asyncio.timeout(20):
            while len(found := await self.alerts.open_for("mine-a")) != count:
                await asyncio.sleep(0.02)
        return [alert.rule for alert in found]


@contextlib.asynccontextmanager
async def running(
    database: Database, tree: SiteTree, tmp_path: Path, *spots: dict[str, Any], shifts: dict[str, Shift] | None = None
) -> AsyncIterator[Place]:
    data: dict[str, Any] = {"server": {"data_dir": tmp_path}, "analytics": {"spots": spots}}
    settings = Settings.model_validate(data)
    bus, cameras, eyes = MemoryBus(), Cameras(), Eyes()
    alerts = AlertService(database, tree, bus)
    streams, sessions = cast(Streams, cameras), cast(SessionService, NoSessions())
    posts = DutyPosts(settings, database, tree, bus, alerts, streams, sessions)
    telemetry = TelemetryIngest(database, tree, bus)
    parameters = await Parameters.load(settings, database, tree)
    made = KeySpots(
        settings, database, tree, alerts, posts, telemetry, parameters,
        running=lambda site, device: False, facts=lambda site: MineFacts(site, shifts=shifts or {}),
    )  # fmt: skip
    posts.look_by(cast(VisionWorker, eyes))
    made.look()
    tasks = [asyncio.ensure_future(unit()) for unit in (posts.run, made.run)]
    try:
        while len(made._spots) < len(spots):
            await asyncio.sleep(0.01)
        for spot in made._spots.values():
            spot.seen_at -= 1000  # so that pictures of the past are taken
        yield Place(database, alerts, made, cameras, eyes)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_passes_a_gate_is_a_reading_and_goes_on_after_a_restart(
    database: Database, tree: SiteTree, tmp_path: Path
) -> None:
    async with running(database, tree, tmp_path, GATE) as place:
        await place.see("mine-a/shaft-mouth#absence", [Walk(0, 3, (0.3, 0.9), (0.3, 0.3))], 4, 20)
        await place.until_read({"people_in": 1.0, "people_out": 0.0})
        (state,) = place.spots.states(["mine-a"])
        assert (state["in"], state["out"], state["picture"]) == (1, 0, "ok")
    async with running(database, tree, tmp_path, GATE) as place:
        await place.see("mine-a/shaft-mouth#absence", [Walk(0, 3, (0.7, 0.9), (0.7, 0.3))], 4, 10)
        await place.until_read({"people_in": 2.0, "people_out": 0.0})


async def test_an_intrusion_is_an_alert_of_the_spot(database: Database, tree: SiteTree, tmp_path: Path) -> None:
    async with running(database, tree, tmp_path, DANGER) as place:
        await place.see("mine-a/pit#absence", [Walk(0, 9, (0.5, 0.8), (0.5, 0.8))], 5, 5)
        assert await place.until_told(1) == ["video_intrusion"]
        assert place.spots.states(["mine-b"]) == []


async def test_outside_its_shift_a_spot_is_not_judged(database: Database, tree: SiteTree, tmp_path: Path) -> None:
    begins = (time.time() + 8 * 3600 + 7200) % 86400
    later = {"night": Shift("night", begins, (begins + 3600) % 86400)}
    async with running(database, tree, tmp_path, {**DANGER, "shifts": ["night"]}, shifts=later) as place:
        async with asyncio.timeout(20):
            while place.spots.states(["mine-a"])[0]["judged"]:
                await asyncio.sleep(0.02)
        await place.see("mine-a/pit#absence", [Walk(0, 9, (0.5, 0.8), (0.5, 0.8))], 5, 5)
        await asyncio.sleep(0)
        assert await place.alerts.open_for("mine-a") == []


async def test_spots_of_one_camera_share_its_tap_and_a_belt_has_a_view_of_its_own(
    database: Database, tree: SiteTree, tmp_path: Path
) -> None:
    count = {**GATE, "spot": "count", "kind": "headcount", "most": 3}
    belt = {**BELT, "camera": "shaft-mouth"}
    async with running(database, tree, tmp_path, GATE, count, belt) as place:
        camera = Camera("mine-a", "shaft-mouth", "t1", device=True)
        place.cameras.live["mine-a", "shaft-mouth"] = [camera]
        place.spots._posts.looking.camera_changed(camera)
        async with asyncio.timeout(20):
            while len(place.eyes.watched) < 2 or not place.cameras.taps:
                await asyncio.sleep(0.02)
        assert place.cameras.taps == [("t1", "/tmp/tap")]
        assert {view: (more[1], more[4]) for view, more in place.eyes.watched.items()} == {
            "mine-a/shaft-mouth#absence": ("absence", 5.0), "mine-a/shaft-mouth#belt-head": ("flow", 0.5),
        }  # fmt: skip
        place.cameras.live.clear()
        place.spots._posts.looking.camera_changed(camera)
        async with asyncio.timeout(20):
            while place.eyes.watched:
                await asyncio.sleep(0.02)


async def test_new_figures_count_at_once(database: Database, tree: SiteTree, tmp_path: Path) -> None:
    async with running(database, tree, tmp_path, DANGER) as place:
        parameters = place.spots._parameters
        parameters.on_change.append(place.spots.parameters_changed)
        before = place.spots._spots["pit"]
        await parameters.put("mine-a", "", {"intrusion_s": 100.0}, by="test")
        async with asyncio.timeout(20):
            while place.spots._spots["pit"] is before:
                await asyncio.sleep(0.02)
        place.spots._spots["pit"].seen_at -= 1000
        await place.see("mine-a/pit#absence", [Walk(0, 9, (0.5, 0.8), (0.5, 0.8))], 5, 5)
        assert await place.alerts.open_for("mine-a") == []
