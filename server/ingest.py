"""Cameras that are fetched: each is a client of its site, as one that pushes by WHIP would be.

The ingest process (`media.ingest.worker`) fetches; here is what it fetches, whose it is, and where its packets go.
Every half second what is published is made equal to what the process has opened, so that it does not matter who of the
three (camera, ingest process, media worker) went away and came back.
"""

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass, field
from typing import Literal

import structlog

from config.settings import CameraSettings, Settings
from media.ingest.messages import (
    ANSWERS,
    Add,
    AnyAnswer,
    Attach,
    Beat,
    Changed,
    Configure,
    Detach,
    Facts,
    Opened,
    Ready,
    Remove,
    Stream,
    Target,
)
from media.link import Link
from media.messages import PlainTrack
from server.clients import Client
from server.conductor import Conductor
from server.diagnosis import Known, StepState, diagnose, summary
from server.identity.tokens import Grant
from server.sessions.errors import SessionError
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.streams import StreamError, Streams
from server.workerprocess import worker_process
from signaling.room.messages import Person, Publication

log = structlog.get_logger()

LOOK_S = 0.5
START_TIMEOUT_S = 15.0
SILENT_TIMEOUT_S = 5.0
LONG_S = 10 * 365 * 86400.0
VIDEO_PAYLOAD_TYPE = 96
AUDIO_PAYLOAD_TYPES = {"PCMU": 0, "PCMA": 8, "opus": 111}


class IngestDied(Exception):
    """The ingest process ended, went silent or broke the link."""


@dataclass(slots=True)
class Fetched:
    """One stream of one camera."""

    camera: str
    """`site/name`."""
    site: str
    name: str
    url: str
    settings: CameraSettings
    known: Known = field(default_factory=lambda: Known("connecting"))
    since: float = 0.0
    """UTC; when its state last changed."""
    retry_at: float | None = None
    client: Client | None = None
    attached: tuple[int, str] | None = None
    """The opening, and the pass at the door, that the process was told last."""


@dataclass(frozen=True, slots=True)
class Card:
    """A diagnosis card."""

    site: str
    name: str
    state: str
    since: float
    retry_at: float | None
    summary: dict[Literal["zh", "en"], str]
    detail: str
    steps: tuple[StepState, ...] = field(default_factory=tuple)


def wanted(cameras: tuple[CameraSettings, ...]) -> dict[str, Fetched]:
    """Main and sub streams by `site/name`; of two with one name the last counts, with a word in the log."""
    found: dict[str, Fetched] = {}
    for camera in cameras:
        streams = [(camera.name, camera.url)]
        if camera.sub_url is not None:
            streams.append((f"{camera.name}-sub", camera.sub_url))
        for name, url in streams:
            key = f"{camera.site}/{name}"
            if key in found:
                log.warning("camera_named_twice", camera=key)
            found[key] = Fetched(key, camera.site, name, url, camera)
    return found


class Ingest:
    """All cameras that this server fetches."""

    def __init__(self, settings: Settings, tree: SiteTree, conductor: Conductor, streams: Streams) -> None:
        self._settings = settings
        self._tree = tree
        self._conductor = conductor
        self._streams = streams
        self.settings = settings.cameras
        """What is fetched; changed by `add` and `remove`."""
        self._cameras = wanted(settings.cameras)
        self._some = asyncio.Event()
        if self._cameras:
            self._some.set()
        self._link: Link[AnyAnswer] | None = None
        self._wake = asyncio.Event()
        self.beat: Beat | None = None
        self.pid: int | None = None

    # --- the life of the process --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start the process once there is a camera, and keep its cameras published until it ends.

        Raises:
            IngestDied, LinkError, OSError: to be run again.
        """
        await self._some.wait()
        try:
            async with worker_process("media.ingest.worker") as process:
                self.pid = process.pid
                await self._serve(Link(process.reader, process.writer, ANSWERS))
        finally:
            self.pid = self._link = None
            for fetched in self._cameras.values():
                self._now(fetched, Known("connecting"))
                fetched.attached = None

    async def _serve(self, link: Link[AnyAnswer]) -> None:
        networks = self._settings.ingest
        link.send(Configure(allow=networks.allow_networks, deny=networks.deny_networks))
        if not isinstance(await self._receive(link, START_TIMEOUT_S), Ready):
            raise IngestDied("The ingest process did not begin with Ready.")
        for fetched in self._cameras.values():
            # The door of a client is open to the first process that used it, and to no other.
            if fetched.client is not None:
                client, fetched.client = fetched.client, None
                await self._conductor.remove(client)
        self._link = link
        log.info("ingest_ready", pid=self.pid, cameras=len(self._cameras))
        for fetched in self._cameras.values():
            self._fetch(link, fetched)
        tasks = [asyncio.create_task(self._publish_all(link)), asyncio.create_task(self._read(link))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _fetch(self, link: Link[AnyAnswer], fetched: Fetched) -> None:
        if fetched.site not in self._tree:
            log.error("camera_of_no_site", camera=fetched.camera)
            return
        camera = fetched.settings
        link.send(Add(camera=fetched.camera, url=fetched.url, transport=camera.transport, audio=camera.audio))

    # --- cameras that come and go -------------------------------------------------------------------------------------

    def fetches(self, site: str, name: str) -> bool:
        """Whether a camera of this name is fetched."""
        return f"{site}/{name}" in self._cameras

    def add(self, camera: CameraSettings) -> None:
        """Fetch one more camera from now on."""
        self.settings = (*self.settings, camera)
        for key, fetched in wanted((camera,)).items():
            self._cameras[key] = fetched
            if self._link is not None:
                self._fetch(self._link, fetched)
        self._some.set()

    async def remove(self, site: str, name: str) -> None:
        """Fetch a camera no more, its smaller stream neither; its pictures leave the rooms."""
        gone = [one for one in self.settings if (one.site, one.name) == (site, name)]
        self.settings = tuple(one for one in self.settings if one not in gone)
        for key in wanted(tuple(gone)):
            fetched = self._cameras.pop(key, None)
            if fetched is not None:
                if self._link is not None:
                    self._link.send(Remove(camera=key))
                await self._leave(fetched)

    async def _leave(self, fetched: Fetched) -> None:
        client, fetched.client = fetched.client, None
        if client is not None:
            await self._conductor.remove(client)

    @staticmethod
    async def _receive(link: Link[AnyAnswer], timeout_s: float) -> AnyAnswer:
        try:
            async with asyncio.timeout(timeout_s):
                message = await link.receive()
        except TimeoutError as error:
            raise IngestDied(f"The ingest process was silent for {timeout_s:.0f} s.") from error
        if message is None:
            raise IngestDied("The ingest process closed its link.")
        return message

    async def _read(self, link: Link[AnyAnswer]) -> None:
        while True:
            message = await self._receive(link, SILENT_TIMEOUT_S)
            match message:
                case Beat():
                    self.beat = message
                case Changed() | Opened() | Facts():
                    if (fetched := self._cameras.get(message.camera)) is not None:
                        self._take(fetched, message)
                case Ready():
                    log.warning("ingest_ready_twice")

    def _take(self, fetched: Fetched, message: Changed | Opened | Facts) -> None:
        known = fetched.known
        match message:
            case Changed():
                opened = known.opened if message.state in ("waiting", "live") else None
                if (message.state, message.reason) != (known.state, known.reason):
                    log.info("camera", camera=fetched.camera, state=message.state, reason=message.reason)
                facts = known.facts if opened is not None else None
                self._now(fetched, Known(message.state, message.reason, message.detail, opened, facts))
                fetched.retry_at = time.time() + message.retry_in_s if message.state == "backoff" else None
            case Opened():
                self._now(fetched, Known(known.state, known.reason, known.detail, message, None))
                self._wake.set()
            case Facts():
                fetched.known = Known(known.state, known.reason, known.detail, known.opened, message)

    @staticmethod
    def _now(fetched: Fetched, known: Known) -> None:
        if known.state != fetched.known.state or not fetched.since:
            fetched.since = time.time()
        fetched.known = known

    # --- publishing ---------------------------------------------------------------------------------------------------

    async def _publish_all(self, link: Link[AnyAnswer]) -> None:
        while True:
            for fetched in list(self._cameras.values()):
                try:
                    await self._publish(link, fetched)
                except (StreamError, SessionError, StoreError) as error:
                    log.debug("camera_not_published", camera=fetched.camera, reason=str(error))
                if self._cameras.get(fetched.camera) is not fetched:  # removed meanwhile
                    await self._leave(fetched)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()

    async def _publish(self, link: Link[AnyAnswer], fetched: Fetched) -> None:
        """Make what is published equal to what is open."""
        client = fetched.client
        if client is not None and (client.client not in self._conductor.clients or client.publish_peer is None):
            if fetched.attached is not None:
                link.send(Detach(camera=fetched.camera))
            fetched.client, fetched.attached = None, None
            await self._conductor.remove(client)
        opened = fetched.known.opened
        if opened is None or (fetched.attached is not None and fetched.attached[0] == opened.opening):
            return
        client = fetched.client or await self._client(fetched)
        fetched.client = client
        video, audio = _ssrcs(client)
        tracks = [_plain("v", "video", opened.video, VIDEO_PAYLOAD_TYPE, video)]
        if opened.audio is not None:
            tracks.append(_plain("a", "audio", opened.audio, AUDIO_PAYLOAD_TYPES[opened.audio.codec], audio))
        room = f"site:{fetched.site}"
        publications = {
            one.mid: Publication(
                source="camera" if one.kind == "video" else "microphone", name=fetched.name, rooms=(room,)
            )
            for one in tracks
        }
        door = await self._streams.publish_plain(client, tuple(tracks), publications)
        sound = Target(ssrc=audio, payload_type=tracks[1].payload_type) if opened.audio is not None else None
        link.send(
            Attach(
                camera=fetched.camera, opening=opened.opening, address=door.address, token=door.token,
                video=Target(ssrc=video, payload_type=VIDEO_PAYLOAD_TYPE), audio=sound,
            )
        )  # fmt: skip
        fetched.attached = (opened.opening, door.token)

    async def _client(self, fetched: Fetched) -> Client:
        """In the room of its site; nothing is left of it when it cannot enter."""
        user = f"device:{fetched.site}:{fetched.name}"
        level = self._tree.level(fetched.site)
        person = Person(user=user, name=fetched.name, role="device", site=fetched.site, level=level)
        client = Client(
            secrets.token_hex(6), secrets.token_urlsafe(24), person, kind="whip",
            simulated=self._settings.server.simulated,
        )  # fmt: skip
        self._conductor.add_without_socket(client)
        try:
            await self._conductor.enter(client, _grant(person, time.time()))
        except (SessionError, StoreError):
            await self._conductor.remove(client)
            raise
        return client

    # --- questions ----------------------------------------------------------------------------------------------------

    def cards(self, sites: list[str]) -> list[Card]:
        """The diagnosis of every camera of these sites."""
        return [self._card(one) for one in self._cameras.values() if one.site in sites]

    def _card(self, fetched: Fetched) -> Card:
        client = fetched.client
        own = next((one for one in client.tracks.values() if one.kind == "video"), None) if client else None
        watchers = 0
        if own is not None:
            watchers = sum(own.track in one.sending for one in self._conductor.clients.values())
        known = fetched.known
        known = Known(
            known.state, known.reason, known.detail, known.opened, known.facts, own.state if own else "no", watchers
        )
        return Card(
            fetched.site, fetched.name, known.state, fetched.since, fetched.retry_at, summary(known), known.detail,
            diagnose(known),
        )  # fmt: skip

    @property
    def sites(self) -> list[str]:
        """Sites that have cameras that are fetched."""
        return sorted({one.site for one in self._cameras.values()})

    @property
    def states(self) -> list[str]:
        """One per camera, for the metrics."""
        return [one.known.state for one in self._cameras.values()]


def _ssrcs(client: Client) -> tuple[int, int]:
    """Of picture and sound: drawn from the client's name, so that they stay over openings."""
    base = int(client.client[:7], 16) << 1
    return base | 1, base + 2


def _plain(mid: str, kind: Literal["video", "audio"], stream: Stream, payload_type: int, ssrc: int) -> PlainTrack:
    return PlainTrack(
        mid=mid, kind=kind, codec=stream.codec, clock_rate=stream.clock_rate, channels=stream.channels,
        payload_type=payload_type, ssrc=ssrc, parameters=stream.parameters,
    )  # fmt: skip


def _grant(person: Person, at: float) -> Grant:
    """What a camera may: show itself in the room of its site. Nobody holds this as a token."""
    return Grant(
        user=person.user, name=person.name, role="device", site=person.site, level=person.level,
        room=f"site:{person.site}", publish=True, subscribe=False, sources=("camera", "microphone"), moderate=False,
        jti=secrets.token_hex(8), login=None, issued_at=at, expires_at=at + LONG_S,
    )  # fmt: skip
