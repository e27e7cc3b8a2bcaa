"""Duty posts: from what the vision worker sees, by the rules, to alerts with pictures and states on the screens.

Two rules look at the same observations of a post: is it manned, and is whoever mans it asleep. They
tick here, in the server, so that a dead worker, a stalled stream or a missing camera is `unknown` and never an empty
room. Findings and changes are handled in the order in which they came out of the rules.
"""

import asyncio
import base64
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import structlog

from analytics.finding import Finding
from analytics.messages import Blind, Learned, Observed
from analytics.rules.absence import DutyChange, DutyPost, Output
from analytics.rules.camera import SizeWatch
from analytics.rules.sleeping import SleepChange, SleepOutput, SleepWatch, wanted
from analytics.vision.reference import ReferenceRefused
from config.settings import DutyPostSettings, Settings
from server.alerts.service import AlertService
from server.bus import Bus
from server.looking import Looking
from server.references import Mode, References
from server.sessions.service import SessionService
from server.store import timeline
from server.store.database import Database
from server.store.errors import StoreError
from server.store.pictures import store_picture
from server.store.sites import SiteTree
from server.streams import Camera, Streams
from server.vision import VisionWorker

log = structlog.get_logger()

TICK_S = 0.5
PICTURE_TIMEOUT_S = 2.0
RETRY_S = 0.5
"""A store that is away is asked again after this."""


class DutyPosts:
    """All posts of the settings."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        alerts: AlertService,
        streams: Streams,
        sessions: SessionService,
    ) -> None:
        self._data_dir = settings.server.data_dir
        self._database = database
        self._tree = tree
        self._bus = bus
        self._alerts = alerts
        self.looking = Looking(streams)
        self._sessions = sessions
        self._simulated = settings.server.simulated
        self._settings = {one.post: one for one in settings.analytics.posts}
        self._posts: dict[str, DutyPost] = {}
        self._sleep: dict[str, SleepWatch] = {}
        self._registered = settings.analytics.sizes
        self._sizes: dict[str, SizeWatch] = {}
        """By `site/camera`."""
        self._outcomes: deque[Output | SleepOutput] = deque()
        self._references = References(settings.server.data_dir)
        self._lessons: deque[Learned] = deque(maxlen=1000)
        self._wake = asyncio.Event()
        self.vision: VisionWorker | None = None
        self.on_warned: Callable[[Finding, DutyPostSettings], None] = lambda finding, post: None
        """A rule has warned about a post: somebody at the desk may be asked."""
        self.on_over: Callable[[Finding], None] = lambda finding: None
        """What a rule had told of has ended."""
        self.views: dict[str, str] = {}
        """Subjects of findings that are not of posts, and what the vision worker calls the view of each."""

    def look_by(self, vision: VisionWorker) -> None:
        """The worker that looks; to be told before anything runs."""
        self.vision = vision
        self.looking.tap_address = vision.tap_address
        vision.on_learned = self.learned
        for site, name in {(one.site, one.camera) for one in self._settings.values()}:
            self.looking.look(site, name, partial(self._look, site, name))

    # --- cameras ---

    async def _look(self, site: str, name: str, camera: Camera | None) -> None:
        """Analyse another camera than before, or none."""
        key, vision = f"{site}/{name}", self.vision
        if vision is None:
            return
        vision.unwatch(key)
        if camera is None:
            return
        references = await asyncio.to_thread(self._references.of, site, name)
        post = next(one for one in self._settings.values() if f"{one.site}/{one.camera}" == key)
        vision.watch(key, camera.track, post.detector, post.zone, references)
        for rule in self._watching(key, post.detector):
            rule.simulated = self._simulated or camera.simulated

    async def reference(self, site: str, name: str) -> dict[Mode, bytes]:
        """What the view of a camera looks like, as PNG."""
        return await asyncio.to_thread(self._references.of, site, name)

    def looks_through(self, site: str, name: str) -> bool:
        """Whether a post looks through this camera."""
        return any((one.site, one.camera) == (site, name) for one in self._settings.values())

    async def renew_reference(self, site: str, name: str) -> None:
        """A person says that the view is right as it is now: it is learned anew."""
        key = f"{site}/{name}"
        post = next(one for one in self._settings.values() if f"{one.site}/{one.camera}" == key)
        await asyncio.to_thread(self._references.forget, site, name)
        if (camera := self.looking.camera(site, name)) is not None and self.vision is not None:
            self.vision.watch(key, camera.track, post.detector, post.zone)

    def learned(self, lesson: Learned) -> None:
        """The first reference of a camera's view; it is kept on the disk."""
        if not lesson.judgeable:
            log.warning("view_not_judgeable", camera=lesson.camera, mode=lesson.mode)
        self._lessons.append(lesson)
        self._wake.set()

    async def _keep_lessons(self) -> None:
        while self._lessons:
            lesson = self._lessons.popleft()
            site, _, name = lesson.camera.partition("#")[0].partition("/")
            try:
                png = base64.b64decode(lesson.png)
                await asyncio.to_thread(self._references.put, site, name, lesson.mode, png)
            except (ReferenceRefused, ValueError, OSError) as error:
                log.error("reference_not_kept", camera=lesson.camera, reason=str(error))

    # --- what the worker says ---

    def observed(self, seen: Observed) -> None:
        now = time.monotonic()
        if (size := self._sizes.get(seen.camera.partition("#")[0])) is not None:
            self._take(size.look(seen.size, seen.at))
        for rule in self._watching(seen.camera, seen.detector):
            if self.vision is not None:
                rule.model, rule.trained_on = self.vision.model, self.vision.trained_on
            self._take(rule.observe(seen.at, now, seen.picture, seen.detections))

    def blind(self, blind: Blind) -> None:
        """The detector cannot look at this camera, or its worker is gone."""
        log.warning("detector_blind", camera=blind.camera, detector=blind.detector, reason=blind.reason)
        for rule in self._watching(blind.camera, blind.detector):
            self._take(rule.blind(time.monotonic(), blind.reason))

    def _watching(self, camera: str, detector: str) -> list[DutyPost | SleepWatch]:
        """The rules of the posts that this camera and detector serve."""
        return [
            rule
            for rule in self._rules()
            if f"{rule.settings.site}/{rule.settings.camera}" == camera and rule.settings.detector == detector
        ]

    def vision_state(self, state: str) -> None:
        """The worker came, went or is blind; the rules notice by themselves that nothing is seen."""
        log.info("vision_worker", state=state)

    def _rules(self) -> list[DutyPost | SleepWatch]:
        return [*self._posts.values(), *self._sleep.values()]

    def take(self, findings: Sequence[Finding]) -> None:
        """Findings of others who look, to become alerts with pictures in the same order and with the same care."""
        self._take(findings)

    def _take(self, outcomes: Sequence[Output | SleepOutput]) -> None:
        if outcomes:
            self._outcomes.extend(outcomes)
            self._wake.set()

    # --- what the desk says ---

    def answered(self, post: str, rules: Sequence[str]) -> None:
        """Somebody at the desk has answered the challenge."""
        for rule in self._told(post, rules):
            self._take(rule.answered(time.monotonic()))

    def unanswered(self, post: str, rules: Sequence[str], why: Literal["unanswered", "no_page"]) -> None:
        """Nobody has, or nobody could be asked."""
        for rule in self._told(post, rules):
            rule.unanswered(why)

    def _told(self, post: str, rules: Sequence[str]) -> list[DutyPost | SleepWatch]:
        found = {"absence": self._posts.get(post), "sleeping": self._sleep.get(post)}
        return [rule for name in rules if (rule := found.get(name)) is not None]

    # --- questions ---

    async def site_picture(self, site: str, within_s: float) -> tuple[bytes, int, int] | None:
        """The newest picture of a site's duty post as JPEG, with its size; None: nothing looks at one now."""
        for settings in self._settings.values():
            if settings.site == site and self.vision is not None:
                picture = await self.vision.picture(f"{site}/{settings.camera}", 960, within_s)
                if picture is not None and picture.jpeg:
                    return base64.b64decode(picture.jpeg), picture.width, picture.height
        return None

    def states(self, sites: list[str]) -> list[dict[str, object]]:
        """The posts of these sites as the screens show them."""
        return [self._state(post) for post, one in self._settings.items() if one.site in sites]

    def _state(self, post: str) -> dict[str, object]:
        settings, rule = self._settings[post], self._posts.get(post)
        camera = self.looking.camera(settings.site, settings.camera)
        return {
            "post": post,
            "site": settings.site,
            "camera": settings.camera,
            "track": camera.track if camera else None,
            "name": {"zh": settings.name_zh, "en": settings.name_en},
            "zone": settings.zone,
            "minimum_persons": settings.minimum_persons,
            "warn_after_s": settings.warn_after_s,
            "alarm_after_s": settings.alarm_after_s,
            "sleep": self._sleep_state(post),
            "sleep_warn_after_s": settings.sleep_warn_after_s,
            "sleep_alarm_after_s": settings.sleep_alarm_after_s,
            "state": rule.state.value if rule is not None else "unknown",
            "since": rule.since if rule is not None else None,
            "warned": rule.warned if rule is not None else False,
            "reason": rule.reason if rule is not None else "starting",
            "picture": rule.camera.picture if rule is not None else "none",
            "simulated": rule.simulated if rule is not None else self._simulated,
            "model": self.vision.model if self.vision is not None else "",
            "trained_on": self.vision.trained_on if self.vision is not None else "",
        }

    def _sleep_state(self, post: str) -> dict[str, object] | None:
        """None: nobody asks whether whoever is there sleeps (both times are 0)."""
        if not wanted(self._settings[post]):
            return None
        watch = self._sleep.get(post)
        if watch is None:
            return {"state": "unknown", "since": None, "warned": False}
        return {"state": watch.state.value, "since": watch.since, "warned": watch.warned}

    # --- tasks ---

    async def run(self) -> None:
        """Ticks the rules and carries out what they conclude. Alerts of before a restart are gone on with."""
        for post, settings in self._settings.items():
            if post not in self._posts:
                await self._begin(post, settings)
        for camera, size in self._registered.items():
            if camera not in self._sizes:
                await self._begin_size(camera, size)
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.looking.run())
            group.create_task(self._tick())
            group.create_task(self._carry_out(group))

    async def _begin(self, post: str, settings: DutyPostSettings) -> None:
        """A rule for a post; the screens are told that it knows nothing yet."""
        if settings.site not in self._tree:
            log.error("post_without_site", post=post, site=settings.site)
            return
        standing = {
            alert.key: (alert.severity, alert.opened_at) for alert in await self._alerts.open_for(settings.site)
        }
        now, at = time.monotonic(), time.time()
        rule = DutyPost(settings, now=now, at=at, open_alerts=standing, simulated=self._simulated)
        self._posts[post] = rule
        if wanted(settings):
            self._sleep[post] = SleepWatch(settings, now=now, at=at, open_alerts=standing, simulated=self._simulated)
        self._outcomes.append(DutyChange(post, settings.site, rule.state, at, at, rule.warned, rule.reason))

    async def _begin_size(self, camera: str, size: tuple[int, int]) -> None:
        site, _, name = camera.partition("/")
        if site not in self._tree:
            log.error("camera_without_site", camera=camera)
            return
        standing = {alert.key for alert in await self._alerts.open_for(site)}
        self._sizes[camera] = SizeWatch(site, name, size, open_alerts=standing, simulated=self._simulated)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for rule in self._rules():
                self._take(rule.tick(now))

    async def _carry_out(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._keep_lessons()
            while self._outcomes:
                try:
                    await self._tell(self._outcomes[0], group)
                except StoreError as error:  # nothing is lost: the same outcome is tried again
                    log.error("finding_waits", reason=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                self._outcomes.popleft()

    async def _tell(self, outcome: Output | SleepOutput, group: asyncio.TaskGroup) -> None:
        if isinstance(outcome, Finding):
            await self._alert(outcome, group)
        else:
            await self._show(outcome)

    async def _alert(self, finding: Finding, group: asyncio.TaskGroup) -> None:
        alert = await self._alerts.apply(finding, at=time.time())
        settings = self._settings.get(finding.subject)
        if settings is not None and finding.rule in ("absence", "sleeping"):
            if (finding.change, finding.severity) == ("raised", "warning"):
                self.on_warned(finding, settings)
            elif finding.change == "cleared":
                self.on_over(finding)
        if alert is not None and finding.change in ("raised", "again", "cleared"):
            group.create_task(self._evidence(alert.id, finding))

    async def _evidence(self, alert: str, finding: Finding) -> None:
        """A picture of the moment, kept with the alert. No picture is no reason to lose the alert."""
        settings = self._settings.get(finding.subject)
        if self.vision is None:
            return
        camera = settings.camera if settings is not None else finding.subject  # equipment findings name the camera
        view = self.views.get(f"{finding.site}/{finding.subject}", f"{finding.site}/{camera}")
        picture = await self.vision.picture(view, 960, PICTURE_TIMEOUT_S)
        if picture is None or not picture.jpeg:
            log.info("no_evidence_picture", alert=alert)
            return
        name = f"{finding.severity}-{finding.change}-{int(picture.at * 1000)}"
        jpeg = base64.b64decode(picture.jpeg)
        try:
            path, sha256 = await asyncio.to_thread(store_picture, self._data_dir, alert, name, jpeg)
            await self._alerts.attach(alert, name, path, sha256, picture.width, picture.height, picture.at)
        except StoreError as error:
            log.error("evidence_lost", alert=alert, reason=str(error))

    async def _show(self, change: DutyChange | SleepChange) -> None:
        """A new state of a post, on the timelines of its site and of all above."""
        body = {**self._state(change.post), "change": change.state.value, "at": change.at}
        async with self._database.transaction() as connection:
            rooms = [*self._tree.rooms_of(change.site), *self._sessions.rooms_about(change.site)]
            entries = await timeline.append(connection, rooms, "duty", body, time.time())
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())
