"""The phone worker as the server sees it: a process that may die, legs by id, and the rooms that they are in.

Call control opens legs, passes session descriptions through and puts legs into rooms. What follows from that is done
here, again and again, so that it holds after any of the three processes was started anew:

| a leg in a room | is made so |
|---|---|
| is a track there | its client publishes one Opus track; the phone worker hands in its packets (`media.door`) |
| shows pictures (H.264) | they are another track of its client, handed in in the same way |
| sees pictures | one H.264 track of the room is tapped for it, and `Show` names it: `server.phonepictures` says which |
| hears the room | each Opus track that is shown there, but those of phones, is tapped, and `Hear` names them all |
| is silenced by a moderator | it is muted for other phones as well |
| its client has left the room, or is gone | it leaves the mixer |

Everybody sees in the roster that it hears. When the phone worker dies, every leg is gone and the listener is told so.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from config.settings import PhoneMediaSettings
from media.link import Link, LinkError
from media.messages import KeyframeNeeded, PlainTrack
from media.phone.messages import (
    ANSWERS,
    AnswerOffer,
    AnyAnswer,
    Beat,
    Close,
    Command,
    Configure,
    DigitPressed,
    Direction,
    Drop,
    Hear,
    InjectDigit,
    Join,
    Leave,
    LegEnded,
    LegStatistics,
    Levels,
    MakeOffer,
    MediaBack,
    MediaTimeout,
    Mute,
    NeedPicture,
    Play,
    Played,
    Profile,
    Prompt,
    Ready,
    Refused,
    Reply,
    SendDigits,
    Show,
    Started,
    Stop,
    TakeAnswer,
    Tone,
    VideoAgreed,
    WishPicture,
)
from server.clients import Client
from server.conductor import Conductor
from server.phonepictures import picture_for
from server.streams import StreamError, Streams
from server.workerprocess import worker_process
from signaling.room.messages import Publication

log = structlog.get_logger()

START_TIMEOUT_S = 15.0
SILENT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 5.0
WORKER_WAIT_S = 10.0
"""How long a new call waits for a worker that is being started."""
LOOK_S = 0.2
RETRY_S = 2.0
DWELL_S = 2.0
"""A picture is shown for so long at least."""
MID, VIDEO_MID = "0", "1"
VIDEO_PAYLOAD_TYPE = 102
OPUS = (("minptime", "10"), ("useinbandfec", "1"))
USUAL = Profile()


def _another(ssrc: int) -> int:
    return ssrc ^ 0x40000000


class PhoneMediaDown(Exception):
    """The phone worker is not running, or did not answer in time."""


class PhoneMediaRefused(Exception):
    """The phone worker says no; nothing changed. `error` is of `media.phone.messages.Refused`."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail


class PhoneWorkerDied(Exception):
    """The worker process ended, went silent or broke the link."""


class PhoneMediaListener(Protocol):
    """Who is told what happens on legs. Called from `run`; must not wait."""

    def media_started(self, event: Started) -> None: ...
    def digit(self, event: DigitPressed) -> None: ...
    def played(self, event: Played) -> None: ...
    def media_timeout(self, event: MediaTimeout) -> None: ...
    def media_back(self, event: MediaBack) -> None: ...
    def levels(self, event: Levels) -> None: ...
    def statistics(self, event: LegStatistics) -> None: ...
    def leg_ended(self, event: LegEnded) -> None: ...
    def silenced(self, leg: str, silenced: bool) -> None:
        """A moderator stopped what the phone says, or let it go on."""

    def phone_media_restarted(self) -> None:
        """The phone worker died: every leg is gone."""


@dataclass(slots=True, eq=False)
class _Joined:
    """A leg in a room."""

    leg: str
    client: Client
    room: str
    name: str
    track: str = ""
    """The sound that it publishes; "" before it does."""
    ssrc: int = 0
    video_ssrc: int = 0
    """0: no pictures are published."""
    shown: str = ""
    """The track that the phone sees."""
    shown_at: float = 0.0
    selected: str = ""
    """The one that somebody chose for it; "" = whoever speaks."""
    retry_at: float = 0.0
    muted: bool = False
    """By call control."""
    silenced: bool = False
    """By a moderator, as the listener knows."""
    told_mute: bool = False
    """What the phone worker was told; kept while there is no track, until it is judged again."""


class PhoneMedia:
    """One phone worker process."""

    def __init__(
        self, settings: PhoneMediaSettings, conductor: Conductor, streams: Streams, speech: Path | None = None
    ) -> None:
        """`speech`: folder where spoken prompts are kept."""
        self._settings = settings
        self._speech = str(speech) if speech is not None and settings.speech else ""
        self._conductor = conductor
        self._streams = streams
        self.listener: PhoneMediaListener | None = None
        self._folder = Path(tempfile.gettempdir()) / f"lamproom-phones-{os.getpid()}-{secrets.token_hex(4)}"
        self._link: Link[AnyAnswer] | None = None
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._last_request = 0
        self._joined: dict[str, _Joined] = {}
        self._heard: dict[str, tuple[str, ...]] = {}
        """What the worker was told of each room."""
        self._video: dict[str, VideoAgreed] = {}
        """What is agreed about pictures, by leg."""
        self._tapped: dict[str, float] = {}
        """Tracks that are tapped for it; those that could not be, with the time to try again."""
        self._wake = asyncio.Event()
        self.beat: Beat | None = None
        self.pid: int | None = None
        self.ready = asyncio.Event()

    # --- what call control asks for -----------------------------------------------------------------------------------

    async def make_offer(self, leg: str, profile: Profile = USUAL, direction: Direction = "sendrecv") -> str:
        """Our offer; the first opens the leg. All of these raise `PhoneMediaRefused` and `PhoneMediaDown`."""
        await self._started()
        return (await self._request(MakeOffer(leg=leg, profile=profile, direction=direction))).sdp

    async def take_answer(self, leg: str, sdp: str) -> None:
        await self._request(TakeAnswer(leg=leg, sdp=sdp))

    async def answer_offer(
        self, leg: str, sdp: str, profile: Profile = USUAL, direction: Direction = "sendrecv"
    ) -> str:
        """Our answer; the first opens the leg."""
        await self._started()
        return (await self._request(AnswerOffer(leg=leg, sdp=sdp, profile=profile, direction=direction))).sdp

    async def drop(self, leg: str) -> None:
        """Our offer was refused."""
        await self._request(Drop(leg=leg))

    async def join(self, leg: str, client: Client, room: str, name: str = "phone") -> None:
        """Into a room, as this client, which is in it already. It is heard at once by phones, and soon by browsers."""
        await self._request(Join(leg=leg, room=room))
        before = self._joined.get(leg)
        joined = self._joined[leg] = _Joined(leg, client, room, name)
        if before is not None:
            joined.muted, joined.told_mute, joined.silenced = before.muted, before.told_mute, before.silenced
            joined.selected = before.selected
        self._wake.set()

    async def leave(self, leg: str) -> None:
        """Out of its room, if it is in one."""
        await self._request(Leave(leg=leg))
        await self._left(leg)

    async def mute(self, leg: str, muted: bool) -> None:
        joined = self._joined.get(leg)
        told = muted or (joined is not None and joined.silenced)
        await self._request(Mute(leg=leg, muted=told))
        if joined is not None:
            joined.muted, joined.told_mute = muted, told
            self._wake.set()

    async def play(
        self, leg: str, *sounds: Prompt | Tone, prompt: str = "", repeat: int = 1, over_room: bool = False
    ) -> None:
        """`repeat` 0: until something else is played, or `stop`."""
        await self._request(Play(leg=leg, prompt=prompt, sounds=sounds, repeat=repeat, over_room=over_room))

    async def stop(self, leg: str) -> None:
        await self._request(Stop(leg=leg))

    def select(self, leg: str, track: str) -> None:
        """Which picture of the room the phone sees; "": whoever speaks."""
        if (joined := self._joined.get(leg)) is not None:
            joined.selected = track
            self._wake.set()

    def wish_picture(self, leg: str) -> None:
        """The phone has asked for a key frame by its signalling."""
        if self._link is not None:
            self._link.send(WishPicture(leg=leg))

    def keyframe_needed(self, event: KeyframeNeeded) -> None:
        """Somebody who watches needs a key frame; not ours to give where it is no phone's track."""
        for joined in self._joined.values():
            if event.track in joined.client.tracks and self._link is not None:
                self._link.send(NeedPicture(leg=joined.leg))

    async def send_digits(self, leg: str, digits: str) -> None:
        await self._request(SendDigits(leg=leg, digits=digits))

    async def inject_digit(self, leg: str, digit: str, duration_ms: int = 160) -> None:
        """One that came by SIP INFO; told back as `digit`, unless the same has just come by RTP."""
        await self._request(InjectDigit(leg=leg, digit=digit, duration_ms=duration_ms))

    async def close(self, leg: str, reason: str = "") -> None:
        """Ends a leg. Never raises."""
        with contextlib.suppress(PhoneMediaDown, PhoneMediaRefused):
            await self._request(Close(leg=leg, reason=reason[:200]))
        await self._left(leg, over=True)

    async def _started(self) -> None:
        """A call that comes while the worker starts rings as long as that takes, within bounds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WORKER_WAIT_S):
                await self.ready.wait()

    async def _request(self, command: Command) -> Reply:
        if self._link is None or not self.ready.is_set():
            raise PhoneMediaDown("The phone worker is being started.")
        self._last_request += 1
        number = self._last_request
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        self._link.send(command.model_copy(update={"request": number}))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                return await future
        except TimeoutError as error:
            name = type(command).__name__
            raise PhoneMediaDown(f"The phone worker did not answer {name} in {REQUEST_TIMEOUT_S:.0f} s.") from error
        finally:
            self._pending.pop(number, None)

    async def _left(self, leg: str, *, over: bool = False) -> None:
        if over:
            self._video.pop(leg, None)
        joined = self._joined.pop(leg, None)
        if joined is not None:
            await self._unpublish(joined)
            self._wake.set()

    # --- the life of the worker ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start the worker and serve it until it ends.

        Raises:
            PhoneWorkerDied, LinkError: always, unless cancelled; to be run again.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        try:
            async with worker_process("media.phone.worker", OPENBLAS_NUM_THREADS="1") as process:
                self.pid = process.pid
                await self._serve(Link(process.reader, process.writer, ANSWERS))
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _serve(self, link: Link[AnyAnswer]) -> None:
        settings = self._settings.model_dump(mode="json")
        link.send(Configure(settings=settings, tap_address=self._tap_address, speech=self._speech))
        if not isinstance(await self._receive(link, START_TIMEOUT_S), Ready):
            raise PhoneWorkerDied("The phone worker did not begin with Ready.")
        self._link = link
        self.ready.set()
        log.info("phone_worker_ready", pid=self.pid)
        reading = asyncio.create_task(self._read(link))
        looking = asyncio.create_task(self._look(link))
        try:
            done, _ = await asyncio.wait([reading, looking], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reading, looking):
                task.cancel()
            await asyncio.wait([reading, looking])
            self._over()

    def _over(self) -> None:
        """Nothing of the worker is left."""
        self._link = self.pid = None
        self.ready.clear()
        for future in self._pending.values():
            if not future.done():
                future.set_exception(PhoneMediaDown("The phone worker ended."))
        self._pending.clear()
        self._heard.clear()
        self._tapped.clear()
        self._video.clear()
        for joined in self._joined.values():
            joined.client.sending = frozenset()
            self._conductor.room_changed(joined.room)
        self._joined.clear()
        if self.listener is not None:
            self.listener.phone_media_restarted()

    @property
    def _tap_address(self) -> str:
        return str(self._folder / "tap")

    async def _read(self, link: Link[AnyAnswer]) -> None:
        while True:
            self._take(await self._receive(link, SILENT_TIMEOUT_S))

    async def _receive(self, link: Link[AnyAnswer], timeout_s: float) -> AnyAnswer:
        try:
            async with asyncio.timeout(timeout_s):
                message = await link.receive()
        except TimeoutError as error:
            raise PhoneWorkerDied(f"The phone worker was silent for {timeout_s:g} s.") from error
        except LinkError as error:
            raise PhoneWorkerDied(str(error)) from error
        if message is None:
            raise PhoneWorkerDied("The phone worker closed its link.")
        return message

    def _take(self, message: AnyAnswer) -> None:
        match message:
            case Reply() | Refused():
                self._resolve(message)
            case Beat():
                self.beat = message
            case VideoAgreed():
                self._video[message.leg] = message
                self._wake.set()
            case Ready():
                raise PhoneWorkerDied("The phone worker said twice that it is ready.")
            case _ if self.listener is not None:
                self._tell(self.listener, message)

    def _resolve(self, message: Reply | Refused) -> None:
        future = self._pending.get(message.request)
        if future is None or future.done():
            return
        if isinstance(message, Reply):
            future.set_result(message)
        else:
            future.set_exception(PhoneMediaRefused(message.error, message.detail))

    def _tell(self, listener: PhoneMediaListener, message: AnyAnswer) -> None:
        match message:
            case Started():
                listener.media_started(message)
            case DigitPressed():
                listener.digit(message)
            case Played():
                listener.played(message)
            case MediaTimeout():
                listener.media_timeout(message)
            case MediaBack():
                listener.media_back(message)
            case Levels():
                listener.levels(message)
            case LegStatistics():
                listener.statistics(message)
            case LegEnded():
                listener.leg_ended(message)

    # --- rooms --------------------------------------------------------------------------------------------------------

    async def _look(self, link: Link[AnyAnswer]) -> None:
        """Make everything as the head of this module says, over and over."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            for joined in list(self._joined.values()):
                await self._settle(joined, loop.time())
            self._show(link, loop.time())
            await self._hear(link, loop.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if self._joined else None):
                    await self._wake.wait()

    async def _settle(self, joined: _Joined, now: float) -> None:
        """One leg in its room."""
        client = joined.client
        if client.client not in self._conductor.clients or joined.room not in client.rooms:
            with contextlib.suppress(PhoneMediaRefused, PhoneMediaDown):
                await self._request(Leave(leg=joined.leg))
            if self._joined.get(joined.leg) is joined:
                await self._left(joined.leg)
            return
        own = client.tracks.get(joined.track)
        try:
            if now >= joined.retry_at and (own is None or self._may_show(joined) != bool(joined.video_ssrc)):
                await self._publish(joined)
            muted = joined.muted or (own.silenced if own is not None else joined.told_mute)
            if muted != joined.told_mute:
                await self._request(Mute(leg=joined.leg, muted=muted))
                joined.told_mute = muted
            if own is not None and own.silenced != joined.silenced:
                joined.silenced = own.silenced
                if self.listener is not None:
                    self.listener.silenced(joined.leg, own.silenced)
        except (StreamError, PhoneMediaRefused, PhoneMediaDown) as error:
            log.warning("phone_not_settled", leg=joined.leg, room=joined.room, reason=str(error))
            joined.retry_at = now + RETRY_S
        if own is not None and own.muted != joined.muted:
            own.muted = joined.muted
            self._conductor.room_changed(joined.room)

    async def _publish(self, joined: _Joined) -> None:
        """Its sound as a track of the room."""
        joined.ssrc = joined.ssrc or secrets.randbits(32) | 1
        video_ssrc = _another(joined.ssrc) if self._may_show(joined) else 0
        tracks = [
            PlainTrack(
                mid=MID, kind="audio", codec="opus", clock_rate=48000, channels=2, payload_type=111, ssrc=joined.ssrc,
                parameters=OPUS,
            )
        ]  # fmt: skip
        publications = {MID: Publication(source="microphone", name=joined.name, rooms=(joined.room,))}
        if video_ssrc:
            tracks.append(self._pictures(joined, video_ssrc))
            publications[VIDEO_MID] = Publication(source="camera", name=joined.name, rooms=(joined.room,))
        door = await self._streams.publish_plain(joined.client, tuple(tracks), publications, asks=True)
        if self._joined.get(joined.leg) is not joined:
            await self._unpublish(joined)
            return
        await self._request(
            Join(
                leg=joined.leg, room=joined.room, door=door.address, token=door.token, ssrc=joined.ssrc,
                payload_type=111, video_ssrc=video_ssrc, video_payload_type=VIDEO_PAYLOAD_TYPE,
            )
        )  # fmt: skip
        joined.video_ssrc = video_ssrc  # not before it is answered: else it would not be tried again
        joined.track = next((each.track for each in joined.client.tracks.values() if each.kind == "audio"), "")

    def _may_show(self, joined: _Joined) -> bool:
        """Whether the phone's pictures are a track of the room: both the call and the grant say so."""
        agreed, membership = self._video.get(joined.leg), joined.client.rooms.get(joined.room)
        return (
            agreed is not None and agreed.receives and membership is not None and "camera" in membership.grant.sources
        )

    def _pictures(self, joined: _Joined, ssrc: int) -> PlainTrack:
        profile = ("profile-level-id", self._video[joined.leg].profile_level_id)
        return PlainTrack(
            mid=VIDEO_MID, kind="video", codec="H264", clock_rate=90000, channels=1, payload_type=VIDEO_PAYLOAD_TYPE,
            ssrc=ssrc, parameters=(profile, ("packetization-mode", "1"), ("level-asymmetry-allowed", "1")),
        )  # fmt: skip

    async def _unpublish(self, joined: _Joined) -> None:
        client = joined.client
        client.sending = frozenset()
        if client.client not in self._conductor.clients or client.publish_peer is None:
            return
        try:
            await self._streams.publish_plain(client, (), {})
        except StreamError as error:
            log.info("phone_not_unpublished", leg=joined.leg, reason=error.error)

    async def _hear(self, link: Link[AnyAnswer], now: float) -> None:
        """Which tracks each room's phones hear, and their taps."""
        wanted = {joined.room: self._tracks_of(joined.room) for joined in self._joined.values()}
        for joined in self._joined.values():
            heard = frozenset(wanted[joined.room])
            if joined.client.sending != heard:
                if bool(joined.client.sending) != bool(heard):
                    self._conductor.room_changed(joined.room)
                joined.client.sending = heard
        for room in set(self._heard) | set(wanted):
            tracks = wanted.get(room, ())
            if self._heard.get(room, ()) != tracks:
                link.send(Hear(room=room, tracks=tracks))
                self._heard[room] = tracks
            if room not in wanted:
                del self._heard[room]
        shown = {joined.shown for joined in self._joined.values() if joined.shown}
        await self._tap({track for tracks in wanted.values() for track in tracks} | shown, now)

    def _show(self, link: Link[AnyAnswer], now: float) -> None:
        """Which picture each phone with a screen sees."""
        for joined in self._joined.values():
            agreed = self._video.get(joined.leg)
            found = ""
            if agreed is not None and agreed.sends:
                found = picture_for(self._conductor, joined.client, joined.room, joined.shown, joined.selected)
            stays = found and self._conductor.find_track(joined.shown) is not None and not joined.selected
            if found == joined.shown or (stays and now - joined.shown_at < DWELL_S):
                continue
            joined.shown, joined.shown_at = found, now
            link.send(Show(leg=joined.leg, track=found))

    def _tracks_of(self, room: str) -> tuple[str, ...]:
        may = any(
            joined.client.rooms[room].grant.subscribe
            for joined in self._joined.values()
            if joined.room == room and room in joined.client.rooms
        )
        if not may:
            return ()
        phones = {joined.client.client for joined in self._joined.values()}
        found = [
            own.track
            for client, own in self._conductor.tracks_in(room)
            if own.kind == "audio" and own.codec.lower() == "opus" and client.client not in phones
        ]
        return tuple(sorted(found)[:64])

    async def _tap(self, tracks: set[str], now: float) -> None:
        for track in set(self._tapped) - tracks:
            del self._tapped[track]
            with contextlib.suppress(StreamError):  # it is gone already
                await self._streams.tap(track, None, "phone")
        for track in tracks:
            if self._tapped.get(track, 0.0) > now or self._tapped.get(track) == 0.0:
                continue
            try:
                await self._streams.tap(track, self._tap_address, "phone")
                self._tapped[track] = 0.0
            except StreamError as error:
                log.warning("track_not_tapped", track=track, reason=error.error)
                self._tapped[track] = now + RETRY_S
