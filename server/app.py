"""The whole server of one level: opens what it needs, starts what runs, and ends it in order.

Everything that may fail alone runs under `supervise`. The first SIGTERM or SIGINT tells the browsers to come back,
gives them a moment and ends all; the second ends at once.
"""

import asyncio
import contextlib
import os
import random
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
from aiohttp import web

from analytics.messages import Blind, Observed
from analytics.plugin import Reading
from analytics.rules.electric import rated_current
from analytics.rules.runstate import RunStates
from config import VERSION
from config.settings import Settings, SiteSettings
from media.transport.listening import bind_tcp
from server import tls
from server.alerts.service import AlertService
from server.api import alerts, health, learning, login, own, recordings, sites, telemetry, tokens, users
from server.api.audit import AuditDoor
from server.api.cameras import CameraDoor
from server.api.camerasetup import CameraSetupDoor
from server.api.checks import CheckDoor
from server.api.consultation import ConsultationDoor
from server.api.context import Check, Context
from server.api.drills import DrillDoor
from server.api.duty import DutyDoor
from server.api.handovers import HandoverDoor
from server.api.hazards import HazardDoor
from server.api.http import Routes, install
from server.api.incidents import IncidentDoor
from server.api.muster import MusterDoor
from server.api.onvif import OnvifDoor
from server.api.openapi import routes_of
from server.api.pages import Pages
from server.api.phones import PhoneDoor
from server.api.plan import PlanDoor
from server.api.registry import RegistryDoor
from server.api.report import ReportDoor
from server.api.room import RoomDoor
from server.api.rota import RotaDoor
from server.api.rules import RulesDoor
from server.api.sessions import SessionDoor
from server.api.settings import SettingsDoor
from server.api.sources import SourceDoor
from server.api.spots import SpotDoor
from server.api.system import SystemDoor
from server.api.uplinks import UplinkDoor
from server.api.whip import WhipDoor
from server.auditcheck import AuditCheck
from server.bus import Bus
from server.bus.start import open_bus
from server.cameraprobe import CameraProbe
from server.clients import Client
from server.conductor import Conductor
from server.duty.office import DutyOffice
from server.frontdoor import FrontDoor, Handoff, media_tcp
from server.hazards.service import Hazards
from server.homeassistant import HomeAssistant
from server.identity.secret import load_or_make
from server.identity.service import Identity
from server.incidents.service import IncidentService
from server.ingest import Ingest
from server.measures import Measures
from server.media import Media, MediaClient
from server.mediapool import MediaPool
from server.minefiles import MineFiles
from server.minutes import Minutes
from server.moderation import Moderation
from server.muster.service import Musters
from server.observe import Metrics
from server.parameters import Parameters
from server.phonemedia import PhoneMedia
from server.phones.service import PhoneService
from server.positions import LivePositions
from server.posts import DutyPosts
from server.recording import Recordings
from server.registry.service import Registry
from server.retention import Retention, forget_quietly
from server.retrospect import Retrospect
from server.rules import Rules
from server.sessions.machine import State
from server.sessions.service import SessionService
from server.settingsfile import SettingsFile
from server.snapshot import Rooms
from server.sources import Sources
from server.spots import KeySpots
from server.store import chain
from server.store.database import Database, sqlite_url
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.streams import Streams
from server.supervise import Health, supervise
from server.system.report import SystemParts
from server.system.watch import SystemWatch
from server.telemetry import Notable, TelemetryIngest, quality_turned
from server.uplink.quality import DataQuality
from server.uplink.service import Uplinks
from server.vision import VisionWorker
from server.watchdog import watch

log = structlog.get_logger()
Sample = TypeVar("Sample")

GOODBYE_S = 1.0
"""How long browsers have to take the word that the server restarts."""
COME_BACK_S = 2.0
"""Browsers come back spread over this time."""
RETENTION_EVERY_S = 3600.0
DAY_S = 86400.0

LONGEST_DELAY_S = dict.fromkeys(
    (
        "conductor",
        "musters",
        "sessions",
        "streams",
        "moderation",
        "posts",
        "spots",
        "rules",
        "media",
        "recorder",
        "escalations",
        "ingest",
        "phones",
        "phone_media",
    ),
    2.0,
)
"""Units without which nobody is called or seen are started again soon, however often they fail."""
LONGEST_DELAY_S |= dict.fromkeys(("media", *(f"media{number}" for number in range(1, 17))), 0.3)
"""A start costs half a second, and everybody's pictures wait for it."""

DEFAULT_SITE = SiteSettings(site="mine", level="mine", name_zh="本矿", name_en="Our mine")
"""The tree of a server whose settings name no site."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that lives as long as the server."""

    settings: Settings
    health: Health
    database: Database
    tree: SiteTree
    identity: Identity
    alerts: AlertService
    duty: DutyOffice
    hazards: Hazards
    sessions: SessionService
    conductor: Conductor
    media: MediaClient | MediaPool
    streams: Streams
    moderation: Moderation
    telemetry: TelemetryIngest
    sources: Sources
    home_assistant: HomeAssistant
    retrospect: Retrospect
    rules: Rules
    parameters: Parameters
    incidents: IncidentService
    uplinks: Uplinks
    quality: DataQuality
    mine_files: MineFiles
    posts: DutyPosts
    spots: KeySpots
    vision: VisionWorker
    recordings: Recordings
    system: SystemParts
    settings_file: SettingsFile
    ingest: Ingest
    rooms: Rooms
    metrics: Metrics
    registry: Registry
    live: LivePositions
    minutes: Minutes
    run_states: RunStates
    musters: Musters
    phone_media: PhoneMedia
    phones: PhoneService
    """Both run only where the settings enable phones."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started server."""

    url: str
    port: int
    parts: Parts


@contextlib.asynccontextmanager
async def assemble(settings: Settings, file: Path | None = None) -> AsyncIterator[Parts]:
    """`file`: where the settings were read from. Open the store and the bus and join the parts; nothing runs yet."""
    data_dir = settings.server.data_dir
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = settings.store.url or sqlite_url(data_dir)
    async with Database.open(url) as database, open_bus(settings.bus) as bus:
        tree = await SiteTree.load(database)
        await tree.ensure(settings.sites or (() if len(tree) else (DEFAULT_SITE,)))
        sessions = SessionService(
            database, tree, bus, settings.duty.ring_timeout_s, simulated=settings.server.simulated
        )
        await sessions.load()
        alert_service = AlertService(database, tree, bus, further_rooms=sessions.rooms_about)
        duty = DutyOffice.open(settings, database, tree, bus, alert_service, sessions)
        registry, live, minutes, states, ingest, musters = await _telemetry(settings, database, tree, bus, sessions)
        parameters, rules, incidents = await _rules(
            settings, database, tree, bus, alert_service, registry, ingest, sessions
        )
        ingest.on_stored = _both(rules.stored, minutes.touched)
        mine_files = MineFiles(settings, database, tree, ingest, alert_service, registry)
        identity = await Identity.open(database, tree, settings.auth, data_dir)
        identity.sites_of_session = sessions.sites_of
        conductor = Conductor(database, bus, sessions, resume_s=settings.media.peer_grace_s)
        await conductor.prepare()
        identity.on_revoked(conductor.revoke)
        media = _media(settings)
        streams = Streams(conductor, media)
        media.listener = streams
        conductor.on_removed, conductor.on_rooms_changed = streams.client_removed, streams.recheck
        moderation = Moderation(conductor, streams, sessions)
        posts = DutyPosts(settings, database, tree, bus, alert_service, streams, sessions)
        spots = KeySpots(
            settings, database, tree, alert_service, posts, ingest, parameters,
            running=partial(_runs, states), facts=registry.facts,
        )  # fmt: skip
        vision = _eyes(settings, posts, spots, parameters)
        await duty.load(conductor, posts, alert_service, sessions)
        streams.on_camera = streams.on_camera_gone = posts.looking.camera_changed
        recorded = Recordings(settings, database, conductor, sessions, streams)
        conductor.recording_of = recorded.state_of
        streams.on_published, sessions.on_changed = _heed(moderation, recorded)
        fetched = Ingest(settings, tree, conductor, streams)
        rooms = Rooms(database, tree, conductor, alert_service, sessions, ingest, posts, duty)
        uplinks, quality = _upwards(settings, database, registry, alert_service, ingest, media, streams)
        phones, phone_media = _phones(settings, database, tree, conductor, sessions, streams, duty, media)
        health, metrics = _measured(
            conductor, media, vision, ingest, recorded, fetched, phone_media if settings.phones.enabled else None
        )
        sources = _sources(settings, tree, ingest, conductor, metrics)
        yield Parts(
            settings=settings,
            health=health,
            database=database,
            tree=tree,
            identity=identity,
            alerts=alert_service,
            duty=duty,
            hazards=Hazards(settings, database, tree, bus, alert_service, sessions.rooms_about),
            sessions=sessions,
            conductor=conductor,
            media=media,
            streams=streams,
            moderation=moderation,
            telemetry=ingest,
            sources=sources,
            home_assistant=HomeAssistant(settings.mqtt, tree, alert_service),
            retrospect=_retrospect(settings, database, tree, bus, ingest),
            rules=rules,
            parameters=parameters,
            incidents=incidents,
            mine_files=mine_files,
            posts=posts,
            spots=spots,
            vision=vision,
            recordings=recorded,
            settings_file=SettingsFile(settings, file, os.environ, tree),
            system=SystemParts(
                settings=settings,
                watch=SystemWatch(settings),
                health=health,
                database=database,
                tree=tree,
                bus=bus,
                conductor=conductor,
                media=media,
                vision=vision,
                recordings=recorded,
                ingest=fetched,
                phones=phone_media if settings.phones.enabled else None,
                telemetry=ingest,
                sources=sources,
                uplinks=uplinks,
                quality=quality,
                audit_check=AuditCheck(settings, database),
            ),
            ingest=fetched,
            rooms=rooms,
            metrics=metrics,
            registry=registry,
            live=live,
            minutes=minutes,
            run_states=states,
            musters=musters,
            phone_media=phone_media,
            phones=phones,
            uplinks=uplinks,
            quality=quality,
        )


def _heed(
    moderation: Moderation, recorded: Recordings
) -> tuple[Callable[[Client], Awaitable[None]], Callable[[State], None]]:
    """What is done about tracks that somebody published, and about a consultation that changed."""

    async def published(client: Client) -> None:
        recorded.look_soon()
        await moderation.published(client)

    def changed(state: State) -> None:
        recorded.look_soon()
        moderation.changed(state)

    return published, changed


def _phones(
    settings: Settings,
    database: Database,
    tree: SiteTree,
    conductor: Conductor,
    sessions: SessionService,
    streams: Streams,
    duty: DutyOffice,
    workers: MediaClient | MediaPool,
) -> tuple[PhoneService, PhoneMedia]:
    """The phones; the key of their PINs is made when they are first enabled."""
    media = PhoneMedia(settings.phone_media, conductor, streams, settings.server.data_dir / "speech")
    key = load_or_make(settings.server.data_dir / "secrets" / "phones.key") if settings.phones.enabled else b""
    phones = PhoneService(
        settings.phones, database, tree, conductor, sessions, media, key, tls=lambda: tls.for_phones(settings.server)
    )
    media.listener = phones
    workers.on_keyframe_needed = media.keyframe_needed
    if settings.phones.enabled:
        duty.escalations.phones = phones
    return phones, media


async def _rules(
    settings: Settings,
    database: Database,
    tree: SiteTree,
    bus: Bus,
    alerts: AlertService,
    registry: Registry,
    ingest: TelemetryIngest,
    sessions: SessionService,
) -> tuple[Parameters, Rules, IncidentService]:
    """The rules over telemetry, the figures that people set for them, and what joins their alerts."""
    parameters = await Parameters.load(settings, database, tree)
    rules = Rules(settings, tree, alerts, facts=registry.facts, parameters=parameters)
    registry.on_change.append(rules.facts_changed)
    parameters.on_change.append(rules.parameters_changed)
    ingest.on_positions = rules.located
    incidents = IncidentService(
        database, tree, bus, alerts, facts=registry.facts, figures=parameters.of_site,
        further_rooms=sessions.rooms_about,
    )  # fmt: skip
    alerts.on_change += [rules.alert_changed, incidents.changed]
    return parameters, rules, incidents


async def _telemetry(
    settings: Settings, database: Database, tree: SiteTree, bus: Bus, sessions: SessionService
) -> tuple[Registry, LivePositions, Minutes, RunStates, TelemetryIngest, Musters]:
    """What is known of the mines, and what takes in their readings and positions."""
    registry = await Registry.load(database, tree, bus)
    live = LivePositions(registry.facts, stations_fresh_s=settings.files.stale_after_s)
    await live.load(database)
    registry.on_change.append(live.changed)
    states = RunStates(_rated(settings))
    ingest = TelemetryIngest(
        database, tree, bus, notable=_notable(states), further_rooms=sessions.rooms_about, live=live
    )  # fmt: skip
    musters = Musters(
        database, tree, bus, live, registry.facts, further_rooms=sessions.rooms_about,
        file_period_s=settings.files.stale_after_s / 3, simulated=settings.server.simulated,
    )  # fmt: skip
    await musters.load()
    return registry, live, Minutes(database), states, ingest, musters


def units(parts: Parts) -> dict[str, Callable[[], Awaitable[None]]]:
    """What runs, by name; each may fail alone and is started again."""
    running: dict[str, Callable[[], Awaitable[None]]] = {
        "conductor": parts.conductor.run,
        "sessions": parts.sessions.run,
        "streams": parts.streams.run,
        "moderation": parts.moderation.run,
        **_media_units(parts.media),
        "retention": lambda: _retain(parts),
        "minutes": parts.minutes.run,
        "musters": parts.musters.run,
        "recorder": parts.recordings.run,
        "audit_check": parts.system.audit_check.run,
        "system": parts.system.watch.run,
        "ingest": parts.ingest.run,
        "rules": parts.rules.run,
        "incidents": parts.incidents.run,
        "retrospect": parts.retrospect.run,
        "hazards": parts.hazards.run,
        **parts.duty.units(),
    }
    if parts.settings.files.inbox is not None and "files" in parts.settings.analytics.telemetry:
        running["files"] = parts.mine_files.run
    if parts.settings.phones.enabled:
        running |= {"phones": parts.phones.run, "phone_media": parts.phone_media.run}
    if parts.settings.uplinks:
        running["uplinks"] = parts.uplinks.run
    if parts.settings.analytics.posts or parts.settings.analytics.spots:
        running |= {"posts": parts.posts.run, "spots": parts.spots.run, "vision": parts.vision.run}
    if parts.settings.mqtt.host is not None and parts.settings.mqtt.home_assistant is not None:
        running["home_assistant"] = parts.home_assistant.run
    return running | parts.sources.units()


def _media(settings: Settings) -> MediaClient | MediaPool:
    tcp = media_tcp(settings)
    several = MediaPool if settings.media.workers > 1 else MediaClient
    return several(settings.media.model_copy(update={"tcp": tcp != "off"}), shares_port=tcp == "shared")


def _sources(
    settings: Settings, tree: SiteTree, ingest: TelemetryIngest, conductor: Conductor, metrics: Metrics
) -> Sources:
    sources = Sources(settings, tree, ingest, conductor)
    metrics.registry.register(sources)
    return sources


def _retrospect(
    settings: Settings, database: Database, tree: SiteTree, bus: Bus, ingest: TelemetryIngest
) -> Retrospect:
    retrospect = Retrospect(settings, database, tree, bus)
    ingest.on_stored = _both(ingest.on_stored, retrospect.stored)
    ingest.on_positions = _both(ingest.on_positions, retrospect.stored)
    return retrospect


def _media_units(media: MediaClient | MediaPool) -> dict[str, Callable[[], Awaitable[None]]]:
    if isinstance(media, MediaClient):
        return {"media": media.run}
    workers = {f"media{number}": worker.run for number, worker in enumerate(media.workers, 1)}
    return {"media": media.run, **workers}


def _measured(
    conductor: Conductor,
    media: Media,
    vision: VisionWorker,
    ingest: TelemetryIngest,
    recorded: Recordings,
    fetched: Ingest,
    phones: PhoneMedia | None,
) -> tuple[Health, Metrics]:
    health, metrics = Health(), Metrics()
    metrics.registry.register(Measures(conductor, media, vision, ingest, health, recorded, fetched, phones))
    return health, metrics


def _upwards(
    settings: Settings,
    database: Database,
    registry: Registry,
    alerts: AlertService,
    ingest: TelemetryIngest,
    media: Media,
    streams: Streams,
) -> tuple[Uplinks, DataQuality]:
    """What mines owe to the platforms above, and how good their data are."""

    def cameras(site: str) -> dict[str, bool] | None:
        if not media.serves:
            return None
        return {name: bool(streams.cameras(site, name)) for name in registry.facts(site).cameras}

    uplinks = Uplinks(settings.uplinks, database, ingest, facts=registry.facts, cameras=cameras)
    quality = DataQuality(settings, registry.facts)
    ingest.on_stored = _both(ingest.on_stored, _both(uplinks.stored, quality.stored))
    alerts.on_change.append(uplinks.alert_changed)
    return uplinks, quality


def _both(
    one: Callable[[Sequence[Sample]], None], two: Callable[[Sequence[Sample]], None]
) -> Callable[[Sequence[Sample]], None]:
    def told(samples: Sequence[Sample]) -> None:
        one(samples)
        two(samples)

    return told


def _power(parts: Parts) -> Callable[[str], dict[str, str]]:
    """Which machines of a site run, by their power terminals."""

    def of(site: str) -> dict[str, str]:
        named = {one.device for one in parts.registry.facts(site).machines.values() if one.device}
        return {device: parts.run_states.state(site, device) for device in named}

    return of


def _runs(states: RunStates, site: str, device: str) -> bool | None:
    """Whether a machine runs, by its power terminal; None: not known."""
    return {"on": True, "off": False}.get(states.state(site, device))


def _eyes(settings: Settings, posts: DutyPosts, spots: KeySpots, parameters: Parameters) -> VisionWorker:
    """The worker that looks, for duty posts and key spots."""

    def observed(seen: Observed) -> None:
        posts.observed(seen)
        spots.observed(seen)

    def blind(one: Blind) -> None:
        posts.blind(one)
        spots.blind(one)

    vision = VisionWorker(settings.analytics, on_observed=observed, on_blind=blind, on_state=posts.vision_state)
    posts.look_by(vision)
    spots.look()
    parameters.on_change.append(spots.parameters_changed)
    return vision


def _rated(settings: Settings) -> dict[tuple[str, str], float]:
    rated = {(one.site, one.device): rated_current(one) for one in settings.devices}
    return {key: current for key, current in rated.items() if current is not None}


def _notable(states: RunStates) -> Notable:
    """Changes of readings that are worth an entry: quality, and machines that start or stop."""

    def change(before: Reading | None, new: Reading) -> str | None:
        return quality_turned(before, new) or states.notable(before, new)

    return change


async def _retain(parts: Parts) -> None:
    kept = parts.settings.store
    data_dir = parts.settings.server.data_dir
    forget = parts.recordings.forget_session
    retention = Retention(parts.settings.retention, parts.database, parts.tree, data_dir, forget)
    while True:
        now = time.time()
        await parts.telemetry.forget(
            now - kept.reading_retention_days * DAY_S, now - kept.position_retention_days * DAY_S
        )  # fmt: skip
        await parts.minutes.forget(now - kept.minute_retention_days * DAY_S)
        parts.live.forget(now - kept.position_retention_days * DAY_S)
        await parts.recordings.forget(time.time())
        await forget_quietly(retention, time.time())
        with contextlib.suppress(StoreError):
            await parts.hazards.forget(time.time())
        await _checkpoint(parts.database)
        await asyncio.sleep(RETENTION_EVERY_S)


async def _checkpoint(database: Database) -> None:
    """Note the newest entry of every timeline in the audit."""
    written = chain.ROOMS_PER_CHECKPOINT
    while written == chain.ROOMS_PER_CHECKPOINT:
        async with database.transaction() as connection:
            written = await chain.checkpoint(connection, time.time())


def checks(parts: Parts) -> dict[str, Check]:
    """What must work for `/-/ready`."""

    async def media() -> str | None:
        return None if parts.media.ready.is_set() else "The media worker is not running."

    async def running() -> str | None:
        return "; ".join(f"{name}: {why}" for name, why in parts.health.failing.items()) or None

    async def store() -> str | None:
        async with parts.database.reading():
            return None

    return {"media": media, "units": running, "store": store}


def application(parts: Parts) -> web.Application:
    """The HTTP door over the parts."""
    settings = parts.settings
    app = web.Application(client_max_size=1 << 20)
    context = Context(
        settings=settings,
        database=parts.database,
        tree=parts.tree,
        identity=parts.identity,
        alerts=parts.alerts,
        telemetry=parts.telemetry,
        metrics=parts.metrics,
        checks=checks(parts),
    )
    install(app, context)
    sessions = SessionDoor(parts.sessions, parts.conductor, parts.posts)
    whip = WhipDoor(parts.conductor, parts.streams)
    fetched = CameraDoor(parts.ingest, parts.posts)
    files = (alerts, health, learning, login, own, recordings, sites, telemetry, tokens, users)
    shared = (part.routes for part in files)
    registry = RegistryDoor(parts.registry)
    duty = (
        DutyDoor(parts.duty.escalations, parts.duty.challenges),
        RotaDoor(parts.duty.rota),
        CheckDoor(parts.duty.checks),
        HandoverDoor(parts.duty.handovers),
        DrillDoor(parts.duty.drills),
    )
    plan = PlanDoor(parts.registry, parts.live, parts.minutes, _power(parts))
    consultation = ConsultationDoor(parts.sessions, parts.conductor, sessions)
    rules, incidents = RulesDoor(parts.parameters, parts.rules), IncidentDoor(parts.incidents)
    spots = SpotDoor(parts.spots)
    upwards = UplinkDoor(parts.uplinks, parts.quality)
    sources = SourceDoor(parts.sources, settings.push if "push" in settings.analytics.telemetry else (), settings.omlox)
    muster = MusterDoor(parts.musters, parts.registry)
    phones = PhoneDoor(parts.phones if settings.phones.enabled else None)
    reports = ReportDoor(parts.sessions, sessions)
    hazards = HazardDoor(parts.hazards, parts.sessions, parts.duty.checks)
    consultations = (sessions, consultation, reports)
    doors = (*consultations, whip, registry, *duty, plan, fetched, rules, incidents, upwards, muster, phones, hazards)
    office = (AuditDoor(parts.system.audit_check), SystemDoor(parts.system), sources, spots, OnvifDoor(settings.ingest))
    setup = CameraSetupDoor(parts.settings_file, parts.ingest, CameraProbe(settings.ingest))
    kept = (SettingsDoor(parts.settings_file), setup)
    routes = Routes.of(*shared, *(one.routes() for one in (*doors, *office, *kept)))
    Routes.of(routes, routes_of(routes, VERSION)).mount(app)
    door = RoomDoor(
        parts.conductor,
        parts.streams,
        parts.moderation,
        parts.sessions,
        parts.rooms,
        parts.identity,
        parts.tree,
        settings.server,
        settings.media.peer_grace_s,
    )
    app.router.add_get("/api/ws", door.handle)
    app.router.add_get("/api/sip", phones.websocket)
    Pages().mount(app)
    return app


@contextlib.asynccontextmanager
async def running(settings: Settings, file: Path | None = None) -> AsyncIterator[Running]:
    """A server that serves while the block runs."""
    async with assemble(settings, file) as parts, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(supervise(name, run, parts.health, longest_delay_s=LONGEST_DELAY_S.get(name, 60.0)))
            for name, run in units(parts).items()
        ]
        secure = tls.context(settings.server)
        runner = web.AppRunner(application(parts), access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        try:
            port, stop = await _listen(parts, runner, secure)
            url = settings.server.public_url or _url(settings, port, secure is not None)
            log.info("listening", url=url)
            yield Running(url, port, parts)
            await stop()
            parts.conductor.say_goodbye(lambda: GOODBYE_S + random.uniform(0.0, COME_BACK_S))
            await asyncio.sleep(GOODBYE_S if parts.conductor.clients else 0)
        finally:
            await runner.cleanup()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with contextlib.suppress(StoreError):
                await parts.conductor.flush()
                await _checkpoint(parts.database)


async def _listen(
    parts: Parts, runner: web.AppRunner, secure: ssl.SSLContext | None
) -> tuple[int, Callable[[], Awaitable[None]]]:
    """Open the HTTP port; its number, and what closes it."""
    settings = parts.settings.server
    if media_tcp(parts.settings) != "shared":
        site = web.TCPSite(runner, settings.listen_host, settings.listen_port, ssl_context=secure)
        await site.start()
        return runner.addresses[0][1], site.stop
    assert runner.server is not None
    listener = bind_tcp(settings.listen_host, settings.listen_port)
    door = FrontDoor(listener, runner.server, secure, [Handoff(one) for one in parts.media.tcp_intakes])
    door.open()
    return listener.getsockname()[1], door.close


def _url(settings: Settings, port: int, secure: bool) -> str:
    host = settings.server.listen_host
    shown = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    return f"{'https' if secure else 'http'}://{shown}:{port}"


async def serve(
    settings: Settings, file: Path | None = None, *, on_ready: Callable[[Running], None] = lambda running: None
) -> None:
    """Run until SIGTERM or SIGINT; a second one ends at once. `file`: where the settings were read from."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    this = asyncio.current_task()
    assert this is not None

    def stop_or_force() -> None:
        if stop.is_set():
            this.cancel()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_or_force)
    async with running(settings, file) as server, asyncio.TaskGroup() as group:
        dog = group.create_task(watch())
        on_ready(server)
        await stop.wait()
        log.info("stopping")
        dog.cancel()
