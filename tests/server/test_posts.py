"""Both rules of a post see the same observations; what they conclude is on disk, in order, before anybody is told."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from analytics.finding import Finding
from analytics.messages import Learned, Observed, Seen
from config.settings import DutySettings, Settings
from server import posts as module
from server.alerts.machine import Alert
from server.alerts.service import AlertService
from server.bus import Body
from server.bus.memory import MemoryBus
from server.duty import challengedesk
from server.duty.challengedesk import ChallengeDesk
from server.posts import DutyPosts
from server.references import References
from server.sessions.service import SessionService
from server.store.database import Database, sqlite_url
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.streams import Camera, Streams
from tests.analytics.vision.test_reference import reference
from tests.fakes.databases import database, tree
from tests.fakes.sleeplog import Doing, officer

__all__ = ["database", "tree"]

POST = {
    "post": "desk", "site": "mine-a", "camera": "dispatch-room", "warn_after_s": 60, "alarm_after_s": 90,
    "sleep_warn_after_s": 20, "sleep_alarm_after_s": 40,
}  # fmt: skip


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._at = time.time()

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self._at + self.now


class NoCameras:
    def cameras(self, _site: str, _name: str) -> list[Camera]:
        return []


class NoSessions:
    def rooms_about(self, _site: str) -> list[str]:
        return []


class Bus(MemoryBus):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Body] = []

    async def publish(self, topic: str, body: Body) -> None:
        assert topic == "entry"
        self.told.append(body)


class Desk:
    """The duty posts of a server with one post, on a clock that the test moves."""

    def __init__(self, posts: DutyPosts, alerts: AlertService, bus: Bus, clock: Clock) -> None:
        self.posts, self.alerts, self.bus, self.clock = posts, alerts, bus, clock

    async def see(self, doing: Doing, seconds: float) -> None:
        """Reports twice a second; then everything concluded is carried out."""
        for _ in range(int(seconds * 2)):
            self.clock.now += 0.5
            seen = tuple(
                Seen(label=one.label, score=one.score, box=one.box, attributes=one.attributes) for one in officer(doing)
            )
            at = self.clock.time()
            self.posts.observed(
                Observed(camera="mine-a/dispatch-room", detector="absence", at=at, picture="ok", detections=seen)
            )
        async with asyncio.timeout(10):
            while self.posts._outcomes:
                await asyncio.sleep(0.01)

    async def standing(self) -> list[Alert]:
        return list(await self.alerts.open_for("mine-a"))

    def duty(self) -> list[str]:
        """The changes told in the mine's own room, in order."""
        entries = [body for body in self.bus.told if body["room"] == "site:mine-a" and body["kind"] == "duty"]
        return [str(cast(Body, entry["body"])["change"]) for entry in entries]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@contextlib.asynccontextmanager
async def running(
    database: Database, tree: SiteTree, clock: Clock, sizes: object = None, **more: object
) -> AsyncIterator[Desk]:
    bus = Bus()
    alerts = AlertService(database, tree, bus)
    settings = Settings.model_validate({"analytics": {"posts": [{**POST, **more}], "sizes": sizes or {}}})
    sessions, streams = cast(SessionService, NoSessions()), cast(Streams, NoCameras())
    posts = DutyPosts(settings, database, tree, bus, alerts, streams, sessions)
    task = asyncio.ensure_future(posts.run())
    try:
        while len(posts._posts) < 1 or len(posts._sizes) < len(settings.analytics.sizes):
            await asyncio.sleep(0.01)
        yield Desk(posts, alerts, bus, clock)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_a_sleeper_is_present_and_asleep_and_the_alert_ends_when_he_wakes(
    database: Database, tree: SiteTree, clock: Clock
) -> None:
    async with running(database, tree, clock) as desk:
        await desk.see("work", 100)
        await desk.see("sleep_desk", 50)
        (alert,) = await desk.standing()
        assert (alert.rule, alert.severity, alert.key) == ("sleeping", "alarm", "mine-a/sleeping/desk")
        (state,) = desk.posts.states(["mine-a"])
        assert state["state"] == "present"
        assert cast(Body, state["sleep"])["state"] == "asleep"
        assert cast(Body, state["sleep"])["warned"]
        await desk.see("work", 10)
        assert await desk.standing() == []
        assert [change for change in desk.duty() if change != "unknown"] == [
            "awake", "present", "drowsy", "drowsy", "asleep", "awake",
        ]  # fmt: skip


async def test_a_picture_of_another_size_than_registered_is_told_and_over(
    database: Database, tree: SiteTree, clock: Clock
) -> None:
    async with running(database, tree, clock, sizes={"mine-a/dispatch-room": [640, 360]}) as desk:

        async def see(size: tuple[int, int], count: int) -> None:
            at = clock.time()
            desk.posts.observed(
                Observed(camera="mine-a/dispatch-room#motion", detector="motion", at=at, picture="ok", size=size)
            )
            async with asyncio.timeout(20):
                while len(await desk.standing()) != count:
                    await asyncio.sleep(0.01)

        await see((352, 288), 1)
        (alert,) = await desk.standing()
        assert (alert.rule, alert.subject, alert.title_en) == (
            "camera_resolution", "dispatch-room", "dispatch-room: sends 352×288, registered is 640×360",
        )  # fmt: skip
        await see((640, 360), 0)


async def test_an_empty_desk_is_absence_alone(database: Database, tree: SiteTree, clock: Clock) -> None:
    async with running(database, tree, clock) as desk:
        await desk.see("work", 100)
        await desk.see("absent", 100)
        assert [alert.rule for alert in await desk.standing()] == ["absence"]
        assert cast(Body, desk.posts.states(["mine-a"])[0]["sleep"])["state"] == "away"


async def test_a_sleep_alert_of_before_a_restart_is_gone_on_with(
    database: Database, tree: SiteTree, clock: Clock
) -> None:
    async with running(database, tree, clock) as desk:
        await desk.see("work", 100)
        await desk.see("sleep_desk", 50)
        (before,) = await desk.standing()
    async with running(database, tree, clock) as desk:
        await desk.see("sleep_desk", 20)
        assert [alert.id for alert in await desk.standing()] == [before.id]
        await desk.see("work", 10)
        assert await desk.standing() == []


class AskingDesk:
    """The desk's challenges, joined to the rules as the server joins them."""

    def __init__(self, desk: Desk, clock: Clock, monkeypatch: pytest.MonkeyPatch, *, page: bool = True) -> None:
        monkeypatch.setattr(challengedesk, "time", clock)
        self.told: list[dict[str, object]] = []
        self.asking = ChallengeDesk(DutySettings(challenge_s=10), lambda site: [f"site:{site}"], simulated=False)
        self.asking.note = lambda rooms, kind, body: self.told.append(body)
        self.asking.screens = lambda site: frozenset({"u1"}) if page else frozenset()
        self.asking.on_answered, self.asking.on_unanswered = desk.posts.answered, desk.posts.unanswered
        desk.posts.on_warned, desk.posts.on_over = self.asking.warned, self.asking.over

    @property
    def changes(self) -> list[object]:
        return [one["change"] for one in self.told]


async def test_a_sleeper_who_answers_at_the_desk_ends_it_and_raises_no_alarm(
    database: Database, tree: SiteTree, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(database, tree, clock) as desk:
        asked = AskingDesk(desk, clock, monkeypatch)
        await desk.see("work", 100)
        await desk.see("sleep_desk", 24)
        assert [one.severity for one in await desk.standing()] == ["warning"]
        assert asked.changes == ["asked"]
        assert asked.asking.answer(str(asked.told[0]["challenge"]), "李调度")
        await desk.see("work", 2)
        assert await desk.standing() == []
        assert asked.changes == ["asked", "answered"]
        assert asked.told[-1]["by"] == "李调度"
        (ended,) = await desk.alerts.list("mine-a")
        assert (ended.state, ended.severity) == ("cleared", "warning")


@pytest.mark.parametrize(("doing", "rule", "warned_s"), [("sleep_desk", "sleeping", 24.0), ("absent", "absence", 65.0)])
async def test_nobody_answers_and_the_alarm_comes_at_once(
    database: Database,
    tree: SiteTree,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    doing: Doing,
    rule: str,
    warned_s: float,
) -> None:
    async with running(database, tree, clock) as desk:
        asked = AskingDesk(desk, clock, monkeypatch)
        await desk.see("work", 100)
        await desk.see(doing, warned_s)
        assert [(one.rule, one.severity) for one in await desk.standing()] == [(rule, "warning")]
        await desk.see(doing, 10)
        asked.asking._tell(asked.asking._challenges.tick(clock.now))
        assert asked.changes == ["asked", "unanswered"]
        await desk.see(doing, 1)
        (alert,) = await desk.standing()
        assert alert.severity == "alarm"
        assert alert.explain is not None
        assert alert.explain["challenge"] == "unanswered"
        assert "not answered" in alert.title_en


async def test_without_a_page_at_the_desk_the_alarm_comes_at_its_own_time_and_says_so(
    database: Database, tree: SiteTree, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(database, tree, clock) as desk:
        asked = AskingDesk(desk, clock, monkeypatch, page=False)
        await desk.see("work", 100)
        await desk.see("sleep_desk", 33)
        assert asked.changes == ["no_page"]
        assert [one.severity for one in await desk.standing()] == ["warning"]
        await desk.see("sleep_desk", 12)
        (alert,) = await desk.standing()
        assert (alert.severity, "no page at the desk" in alert.title_en) == ("alarm", True)


async def test_whoever_comes_back_need_not_answer(
    database: Database, tree: SiteTree, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(database, tree, clock) as desk:
        asked = AskingDesk(desk, clock, monkeypatch)
        await desk.see("work", 100)
        await desk.see("absent", 65)
        await desk.see("work", 10)
        assert asked.changes == ["asked", "called_off"]
        assert await desk.standing() == []


async def test_a_finding_waits_for_a_store_that_is_away(
    database: Database, tree: SiteTree, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    async with running(database, tree, clock) as desk:
        apply, failures = desk.alerts.apply, 3

        async def away_at_first(finding: Finding, *, at: float) -> Alert | None:
            nonlocal failures
            if failures:
                failures -= 1
                raise StoreError("away")
            return await apply(finding, at=at)

        monkeypatch.setattr(desk.alerts, "apply", away_at_first)
        await desk.see("work", 100)
        await desk.see("sleep_desk", 25)
        assert failures == 0
        assert [alert.severity for alert in await desk.standing()] == ["warning"]


async def test_no_sleep_times_no_sleep_rule(database: Database, tree: SiteTree, clock: Clock) -> None:
    async with running(database, tree, clock, sleep_warn_after_s=0, sleep_alarm_after_s=0) as desk:
        await desk.see("work", 100)
        await desk.see("sleep_desk", 200)
        assert await desk.standing() == []
        assert desk.posts.states(["mine-a"])[0]["sleep"] is None


async def test_what_a_view_looks_like_is_kept_when_it_was_learned(
    database: Database, tree: SiteTree, clock: Clock, tmp_path: Path
) -> None:
    png = reference(1).png()
    lesson = Learned(camera="mine-a/desk", mode="day", png=base64.b64encode(png).decode(), judgeable=True)
    async with running(database, tree, clock) as desk:
        desk.posts._references = References(tmp_path)
        desk.posts.learned(lesson.model_copy(update={"png": "bm90IGEgcGljdHVyZQ=="}))
        desk.posts.learned(lesson)
        async with asyncio.timeout(5):
            while await desk.posts.reference("mine-a", "desk") != {"day": png}:
                await asyncio.sleep(0.01)
