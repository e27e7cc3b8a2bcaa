"""Participants of a room without a browser: each publishes pictures and sound, watches another's, and begins anew
whenever the server says that its media is gone, as the pages do. What is sent was encoded once, before."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from functools import cache

from media import rtcp, rtp
from signaling.room import messages as m
from tests.fakes.encoded import Sent, encode
from tests.fakes.loadpeer import OPUS, RTX, VIDEO, Identity, LoadPeer
from tests.fakes.recorderprocess import sound
from tests.fakes.roomclient import RoomClient

PICTURE_S, SOUND_S = 1 / 15, 0.02
PICTURES = 15
"""In the film, which begins with a key frame, and anew at its end or when a key frame is asked for."""
RETRY_S = 0.1
LATE_S = 0.3


@cache
def film() -> tuple[tuple[Sent, ...], ...]:
    """Packets of VP8 pictures."""
    packets = encode("VP8", pictures=PICTURES, width=160, height=120, keyframe_every=PICTURES)
    return tuple(tuple(group) for _, group in itertools.groupby(packets, lambda each: each.timestamp))


@cache
def voice() -> tuple[bytes, ...]:
    """Packets of Opus."""
    return tuple(unit.data for unit in sound(1.0))


class Receiver(LoadPeer):
    """Notes when the newest packet of each kind came; monotonic."""

    seen_at = heard_at = 0.0

    def poll(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = self.socket.recv(2048)
                if data[0] & 0xC0 != 0x80 or 192 <= data[1] <= 223:
                    self._control(data)
                elif data[1] & 0x7F == OPUS:
                    self.heard_at = time.monotonic()
                elif data[1] & 0x7F != RTX:
                    self.seen_at = time.monotonic()


class Sender(LoadPeer):
    """Notes that somebody asks for a key frame."""

    key_wanted = False

    def _control(self, data: bytes) -> None:
        if self.srtp is not None and 192 <= data[1] <= 223:
            plain = self.srtp.unprotect_rtcp(data)
            self.key_wanted |= plain is not None and any(isinstance(each, rtcp.Pli) for each in rtcp.parse(plain))
        else:
            super()._control(data)


class Camera:
    """Sends the film and the voice on two SSRCs of one peer."""

    def __init__(self, peer: Sender, video: int, audio: int) -> None:
        self.peer = peer
        self._ssrcs = {VIDEO: video, OPUS: audio}
        self._sequence = {VIDEO: 0, OPUS: 0}
        self.pictures = 0
        self.sounds = 0
        self._shown = 0
        """Pictures of the film since it began anew."""
        self._began = 0.0

    def step(self, now: float) -> None:
        """Send what is due."""
        if not self.peer.connected:
            return
        if not self._began or now - max(self._began + self.pictures * PICTURE_S, self._began) > LATE_S:
            self._began = now - self.pictures * PICTURE_S  # a machine that was late sends nothing twice as fast
            self.sounds = max(self.sounds, round(self.pictures * PICTURE_S / SOUND_S))
        while self._began + self.pictures * PICTURE_S <= now:
            if self.peer.key_wanted:
                self.peer.key_wanted, self._shown = False, 0
            self._shown += 1
            for packet in film()[(self._shown - 1) % PICTURES]:
                self._send(VIDEO, packet.payload, round(self.pictures * PICTURE_S * 90_000), packet.marker)
            self.pictures += 1
        while self._began + self.sounds * SOUND_S <= now:
            self._send(OPUS, voice()[self.sounds % len(voice())], self.sounds * 960, self.sounds == 0)
            self.sounds += 1

    def _send(self, payload_type: int, payload: bytes, timestamp: int, marker: bool) -> None:
        packet = rtp.pack(
            payload,
            payload_type=payload_type,
            sequence=self._sequence[payload_type],
            timestamp=timestamp,
            ssrc=self._ssrcs[payload_type],
            marker=marker,
        )
        self._sequence[payload_type] += 1
        self.peer.send_protected(self.peer.protect(packet))


class Participant:
    """One client with two peers. `tracks` is shared by all: number of the participant to its newest tracks."""

    def __init__(
        self, number: int, client: RoomClient, room: str, tracks: dict[int, tuple[str, ...]], identity: Identity
    ) -> None:
        self.number = number
        self.client = client
        self.room = room
        self.tracks = tracks
        self.identity = identity
        self.watches = 0
        """Number of the participant that this one watches."""
        self.round = 0
        self._camera: Camera | None = None
        self._screen: Receiver | None = None
        self._asked = 0
        self._watched: tuple[str, ...] = ()

    @property
    def received_at(self) -> float:
        """When the newest picture and the newest sound had both come; monotonic."""
        return min(self._screen.seen_at, self._screen.heard_at) if self._screen is not None else 0.0

    def service(self, now: float) -> None:
        """Checks, handshakes, pictures and sound when it is time; and what came."""
        if self._camera is not None:
            self._camera.peer.poll()
            self._camera.peer.step(now)
            self._camera.step(now)
        if self._screen is not None:
            self._screen.poll()
            self._screen.step(now)

    async def run(self) -> None:
        """Publish and watch, again and again."""
        heard = 0
        while True:
            self.round += 1
            await self._publish()
            watching = asyncio.ensure_future(self._watch())
            try:
                heard = await self._until_gone(heard)
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching

    async def _until_gone(self, heard: int) -> int:
        """Until the media worker is gone once more; gives how much was heard by then."""
        while True:
            for place, one in enumerate(self.client.heard[heard:], heard):
                if isinstance(one, m.MediaState) and (one.peer, one.reason) == ("publish", "media_down"):
                    return place + 1
            await asyncio.sleep(0.02)

    async def _ask(
        self, make: Callable[[str], m.Publish | m.Watch], wanted: type[m.Published] | type[m.Watched]
    ) -> m.Published | m.Watched:
        """Ask until it is not refused: the media worker may be on its way."""
        while True:
            self._asked += 1
            name = f"ask-{self._asked}"
            await self.client.send(make(name))
            answer = await self._answer(name, wanted)
            if answer is not None:
                return answer
            await asyncio.sleep(RETRY_S)

    async def _answer(self, name: str, wanted: type[m.Published] | type[m.Watched]) -> m.Published | m.Watched | None:
        def fits(message: m.Published | m.Watched | m.Problem) -> bool:
            return message.id == name

        answered = asyncio.ensure_future(self.client.hear(wanted, fits, timeout_s=30))
        refused = asyncio.ensure_future(self.client.hear(m.Problem, fits, timeout_s=30))
        await asyncio.wait((answered, refused), return_when=asyncio.FIRST_COMPLETED)
        for one in (answered, refused):
            if not one.done():
                one.cancel()
        return answered.result() if answered.done() and not answered.cancelled() else None

    async def _publish(self) -> None:
        peer = Sender(self.identity, "127.0.0.1", controlling=True)
        video = self.number * 100_000 + self.round * 2
        sdp = peer.offer(video, video + 1)
        name = f"desk{self.number}"
        publications = {
            "0": m.Publication(source="camera", name=name, rooms=(self.room,)),
            "1": m.Publication(source="microphone", name=name, rooms=(self.room,)),
        }

        def ask(name: str) -> m.Publish:
            return m.Publish(id=name, sdp=sdp, publications=publications, fresh=True)

        published = await self._ask(ask, m.Published)
        assert isinstance(published, m.Published)
        peer.learn(published.sdp)
        before, self._camera = self._camera, Camera(peer, video, video + 1)
        if before is not None:
            before.peer.close()
        self.tracks[self.number] = tuple(published.tracks.values())

    async def _watch(self) -> None:
        """Again for the new tracks of the other one."""
        self._watched = ()
        while True:
            tracks = self.tracks.get(self.watches, ())
            if tracks and tracks != self._watched:
                await self._watch_these(tracks)
            await asyncio.sleep(RETRY_S if tracks != self._watched else 0.02)

    async def _watch_these(self, tracks: tuple[str, ...]) -> None:
        offers = sum(isinstance(one, m.Offer) for one in self.client.heard)
        fresh = not self._watched
        watched = await self._ask(lambda name: m.Watch(id=name, tracks=tracks, fresh=fresh), m.Watched)
        assert isinstance(watched, m.Watched)
        if watched.refused:
            return
        offer = [one for one in self.client.heard if isinstance(one, m.Offer)][offers:]
        if not offer:
            return
        self._watched = tracks
        if fresh or self._screen is None:
            before, self._screen = self._screen, Receiver(self.identity, "127.0.0.1", controlling=True)
            if before is not None:
                before.close()
        await self.client.send(m.Answer(generation=offer[-1].generation, sdp=self._screen.answer(offer[-1].sdp)))

    def close(self) -> None:
        for peer in (self._camera.peer if self._camera else None, self._screen):
            if peer is not None:
                peer.close()


class Participants:
    """All of a room, served by one task."""

    def __init__(self, clients: list[RoomClient], room: str) -> None:
        tracks: dict[int, tuple[str, ...]] = {}
        identity = Identity()
        self.all = [Participant(number, client, room, tracks, identity) for number, client in enumerate(clients, 1)]
        for one in self.all:
            one.watches = one.number % len(self.all) + 1

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for one in self.all:
                group.create_task(one.run())
            group.create_task(self._service())

    async def _service(self) -> None:
        while True:
            now = time.monotonic()
            for one in self.all:
                one.service(now)
            await asyncio.sleep(0.01)

    async def all_receive(self, since: float, timeout_s: float) -> float:
        """Until everybody got a picture and a sound after this moment; gives the seconds that the last one took.

        Raises:
            TimeoutError: not all did.
        """
        async with asyncio.timeout(timeout_s):
            while any(one.received_at <= since for one in self.all):
                await asyncio.sleep(0.01)
        return max(one.received_at for one in self.all) - since

    def close(self) -> None:
        for one in self.all:
            one.close()
