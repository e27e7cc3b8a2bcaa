"""Key spots: from what the vision worker sees, by the rules, to readings, alerts with pictures and states.

The rules are pure (`analytics.rules.spot`); here they are fed and ticked, their counts are written as readings of the
spot's own (so that curves, the comparison with tags and the rule on covert running have them), and their findings go
the way of the duty posts' findings. Counts go on after a restart from what was last written.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog
from sqlalchemy import select

from analytics.messages import Blind, Observed
from analytics.mine import MineFacts
from analytics.plugin import Batch, Reading
from analytics.rules.beltrule import Belt
from analytics.rules.camera import CameraWatch
from analytics.rules.spot import Said, Spot
from analytics.rules.spots import spot_of
from config.settings import DeviceSettings, DutyPostSettings, RuleSettings, Settings, SpotSettings
from server.alerts.service import AlertService
from server.parameters import Parameters
from server.posts import DutyPosts
from server.references import References
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.store.tables import latest_readings
from server.streams import Camera
from server.telemetry import TelemetryIngest

log = structlog.get_logger()

TICK_S = 1.0
RETRY_S = 0.5
MAX_WAITING = 20_000
"""Readings that wait for the store; beyond it the oldest are dropped and counted."""
CHINA_S, DAY_S = 8 * 3600, 86400


class KeySpots:
    """All key spots of the settings.

    Args:
        running: whether a machine runs, by its power terminal; None: not known.
        facts: what is known of a mine (its shifts).
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        alerts: AlertService,
        posts: DutyPosts,
        telemetry: TelemetryIngest,
        parameters: Parameters,
        *,
        running: Callable[[str, str], bool | None] = lambda site, device: None,
        facts: Callable[[str], MineFacts] = MineFacts,
    ) -> None:
        self._database, self._tree, self._alerts, self._posts = database, tree, alerts, posts
        self._telemetry, self._parameters = telemetry, parameters
        self._running, self._facts = running, facts
        self._simulated = settings.server.simulated
        self._settings = {one.spot: one for one in settings.analytics.spots if one.site in tree}
        for one in settings.analytics.spots:
            if one.site not in tree:
                log.error("spot_without_site", spot=one.spot, site=one.site)
        self._references = References(settings.server.data_dir)
        self._spots: dict[str, Spot] = {}
        self._cameras: dict[tuple[str, str], CameraWatch] = {}
        """Cameras that no duty post looks through: their faults are told from here."""
        self._seen: dict[str, Observed] = {}
        self._readings: deque[Reading] = deque()
        self._wake = asyncio.Event()
        self._anew: set[str] = set()
        self.dropped = 0

    # --- cameras ---

    def look(self) -> None:
        """Begin to look; to be told after `DutyPosts.look_by`, before anything runs."""
        for site, name in {(one.site, one.camera) for one in self._settings.values()}:
            self._posts.looking.look(site, name, partial(self._look, site, name))
        self._posts.views |= {f"{one.site}/{one.spot}": view_of(one) for one in self._settings.values()}

    async def _look(self, site: str, name: str, camera: Camera | None) -> None:
        vision = self._posts.vision
        if vision is None:
            return
        views: dict[str, SpotSettings] = {}
        for one in self._of(site, name):
            view, before = view_of(one), views.get(view_of(one))
            if before is None or before.looks_by[1] < one.looks_by[1]:
                views[view] = one
        references = await asyncio.to_thread(self._references.of, site, name)
        for view, one in views.items():
            vision.unwatch(view)
            if camera is not None:
                detector, rate = one.looks_by
                vision.watch(view, camera.track, detector, one.zone, references, rate)
        for one in self._of(site, name):
            if camera is not None and (spot := self._spots.get(one.spot)) is not None:
                spot.simulated = self._simulated or camera.simulated

    def _of(self, site: str, name: str) -> list[SpotSettings]:
        return [one for one in self._settings.values() if (one.site, one.camera) == (site, name)]

    # --- what the worker says ---

    def observed(self, seen: Observed) -> None:
        """A report about any camera; others than ours are passed over."""
        if "#" not in seen.camera:
            return
        self._seen[seen.camera] = seen
        for spot in self._watching(seen.camera):
            self._take(spot.observe(seen.at, seen.picture, seen.detections))
        if (watch := self._health(seen.camera)) is not None:
            now = time.monotonic()
            if seen.picture == "ok":
                self._posts.take(watch.good(now, seen.at))
            else:
                watch.bad(seen.picture)

    def blind(self, blind: Blind) -> None:
        """A detector cannot look at a camera, or its worker is gone."""
        if "#" in blind.camera and (watch := self._health(blind.camera)) is not None:
            log.warning("detector_blind", camera=blind.camera, detector=blind.detector, reason=blind.reason)
            self._posts.take(watch.blind(time.monotonic(), time.time(), blind.reason))

    def _watching(self, view: str) -> list[Spot]:
        return [spot for spot in self._spots.values() if view_of(spot.settings) == view]

    def _health(self, view: str) -> CameraWatch | None:
        site, _, name = view.partition("#")[0].partition("/")
        return self._cameras.get((site, name))

    def _take(self, said: Said) -> None:
        self._posts.take(said.findings)
        self._readings.extend(said.readings)
        while len(self._readings) > MAX_WAITING:
            self._readings.popleft()
            self.dropped += 1
        if said.readings:
            self._wake.set()

    # --- questions ---

    def states(self, sites: Sequence[str]) -> list[dict[str, object]]:
        """The spots of these sites as the screens show them."""
        return [self._state(one) for one in self._settings.values() if one.site in sites]

    def _state(self, one: SpotSettings) -> dict[str, object]:
        spot, camera = self._spots.get(one.spot), self._posts.looking.camera(one.site, one.camera)
        seen = self._seen.get(view_of(one))
        return {
            "spot": one.spot, "site": one.site, "camera": one.camera, "kind": one.kind,
            "name": {"zh": one.name_zh, "en": one.name_en}, "zone": one.zone, "line": one.line, "inward": one.inward,
            "track": camera.track if camera else None, "detector": one.looks_by[0],
            **(spot.state() if spot else {"state": "unknown", "picture": "none", "seen_at": None, "judged": True}),
            "detections": [detection.model_dump() for detection in seen.detections] if seen else [],
            "inference_ms": seen.inference_ms if seen else None,
            "simulated": spot.simulated if spot else self._simulated,
        }  # fmt: skip

    # --- tasks ---

    def parameters_changed(self, site: str) -> None:
        """The figures of a site changed, and with them those of all below it."""
        below = {site, *self._tree.descendants(site)}
        self._anew |= {one.spot for one in self._settings.values() if one.site in below}

    async def run(self) -> None:
        """Ticks the rules and writes what they count, until cancelled."""
        self._anew |= set(self._settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._write())

    async def _tick(self) -> None:
        while True:
            await self._begin()
            at, now = time.time(), time.monotonic()
            for spot in self._spots.values():
                self._prepare(spot, at)
                self._take(spot.tick(at))
            for watch in self._cameras.values():
                self._posts.take(watch.tick(now, at))
            await asyncio.sleep(TICK_S)

    def _prepare(self, spot: Spot, at: float) -> None:
        """What the rule must know of shift and motor."""
        one = spot.settings
        spot.judged = not one.shifts or self._in_shift(one, at)
        if isinstance(spot.watching, Belt) and one.device:
            spot.watching.motor(self._running(one.site, one.device))

    def _in_shift(self, one: SpotSettings, at: float) -> bool:
        of_day = (at + CHINA_S) % DAY_S
        shifts = self._facts(one.site).shifts
        wanted = [shifts[name] for name in one.shifts if name in shifts]
        return any((of_day - shift.begins_s) % DAY_S < (shift.ends_s - shift.begins_s) % DAY_S for shift in wanted)

    async def _begin(self) -> None:
        """Rules for spots that have none, or whose figures changed; they go on with what was counted and stands."""
        while self._anew:
            name = next(iter(self._anew))
            try:
                self._spots[name] = await self._made(self._settings[name])
            except StoreError as error:
                log.error("spot_waits", spot=name, reason=str(error))
                return
            self._anew.discard(name)

    async def _made(self, one: SpotSettings) -> Spot:
        standing = {alert.key: (alert.severity, alert.opened_at) for alert in await self._alerts.open_for(one.site)}
        camera = self._posts.looking.camera(one.site, one.camera)
        made = spot_of(
            one, self._figures(one), at=time.time(), counted=await self._counted(one), open_alerts=standing,
            simulated=self._simulated or (camera is not None and camera.simulated),
        )  # fmt: skip
        key = (one.site, one.camera)
        if key not in self._cameras and not self._posts.looks_through(*key):
            self._cameras[key] = CameraWatch(
                DutyPostSettings(
                    post=one.spot, site=one.site, camera=one.camera, name_zh=one.name_zh, name_en=one.name_en,
                    detector=one.looks_by[0],
                ),
                now=time.monotonic(), open_alerts=standing, simulated=self._simulated,
            )  # fmt: skip
        return made

    def _figures(self, one: SpotSettings) -> RuleSettings:
        """Those of its site, and over them those set for the spot as for a device."""
        site = self._parameters.of_site(one.site)
        own = self._parameters.of_device(DeviceSettings(site=one.site, device=one.spot)).parameters
        return RuleSettings.model_validate({**site.model_dump(), **own})

    async def _counted(self, one: SpotSettings) -> tuple[int, int]:
        """What has been written of a crossing."""
        if one.kind != "crossing":
            return 0, 0
        waiting = {r.quantity: r.value for r in self._readings if (r.site, r.device) == (one.site, one.spot)}
        table = latest_readings
        query = select(table.c.quantity, table.c.value).where(table.c.site == one.site, table.c.device == one.spot)
        async with self._database.reading() as connection:
            found = {row.quantity: row.value for row in await connection.execute(query)} | waiting
        return int(found.get("people_in", 0)), int(found.get("people_out", 0))

    async def _write(self) -> None:
        told = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._readings:
                taken = tuple(self._readings)[:500]
                try:
                    await self._telemetry.store(Batch(taken, (), _stored))
                except StoreError as error:
                    log.error("counts_wait", reason=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                for _ in range(min(len(taken), len(self._readings))):
                    self._readings.popleft()
            if self.dropped > told:
                log.error("counts_dropped", dropped=self.dropped - told)
                told = self.dropped


async def _stored() -> None:
    """Nobody waits for it: what cannot be written stays here."""


def view_of(one: SpotSettings) -> str:
    """What the vision worker calls it: spots that need the same of one camera share it."""
    detector, _ = one.looks_by
    return f"{one.site}/{one.camera}#{one.spot if one.kind in ('belt', 'hoist') else detector}"
