"""Participants of a room without a browser: each publishes a picture stream, watches another's, and begins anew
whenever the server says that its media is gone, as the pages do."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from signaling.room import messages as m
from tests.fakes.loadpeer import Identity, LoadPeer, LoadPublisher
from tests.fakes.roomclient import RoomClient

PICTURE_S, PICTURE = 0.04, (600, 600)
RETRY_S = 0.1


class Participant:
    """One client with two peers. `tracks` is shared by all: number of the participant to its newest track."""

    def __init__(self, number: int, client: RoomClient, room: str, tracks: dict[int, str], identity: Identity) -> None:
        self.number = number
        self.client = client
        self.room = room
        self.tracks = tracks
        self.identity = identity
        self.watches = 0
        """Number of the participant that this one watches."""
        self.round = 0
        self.received_at = 0.0
        """When the newest packet came; monotonic."""
        self._camera: LoadPublisher | None = None
        self._screen: LoadPeer | None = None
        self._due = 0.0
        self._asked = 0
        self._watched = ""

    def service(self, now: float) -> None:
        """Checks, handshakes, a picture when it is time; and what came."""
        if self._camera is not None:
            self._camera.peer.poll()
            self._camera.peer.step(now)
            if self._camera.peer.connected and now >= self._due:
                self._due = now + PICTURE_S
                self._camera.send_picture(PICTURE, PICTURE_S, now)
        if self._screen is not None:
            before = self._screen.counters.packets
            self._screen.poll()
            self._screen.step(now)
            if self._screen.counters.packets > before:
                self.received_at = now

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
        peer = LoadPeer(self.identity, "127.0.0.1", controlling=True)
        ssrc = self.number * 1000 + self.round
        sdp = peer.offer(ssrc)
        publication = m.Publication(source="camera", name=f"camera{self.number}", rooms=(self.room,))

        def ask(name: str) -> m.Publish:
            return m.Publish(id=name, sdp=sdp, publications={"0": publication}, fresh=True)

        published = await self._ask(ask, m.Published)
        assert isinstance(published, m.Published)
        peer.learn(published.sdp)
        before, self._camera = self._camera, LoadPublisher(peer, ssrc)
        if before is not None:
            before.peer.close()
        self.tracks[self.number] = next(iter(published.tracks.values()))

    async def _watch(self) -> None:
        """Again for each new track of the other one."""
        self._watched = ""
        while True:
            track = self.tracks.get(self.watches, "")
            if track and track != self._watched:
                await self._watch_one(track)
            await asyncio.sleep(RETRY_S if track != self._watched else 0.02)

    async def _watch_one(self, track: str) -> None:
        offers = sum(isinstance(one, m.Offer) for one in self.client.heard)
        fresh = not self._watched
        watched = await self._ask(lambda name: m.Watch(id=name, tracks=(track,), fresh=fresh), m.Watched)
        assert isinstance(watched, m.Watched)
        if watched.refused:
            return
        offer = [one for one in self.client.heard if isinstance(one, m.Offer)][offers:]
        if not offer:
            return
        self._watched = track
        if fresh or self._screen is None:
            before, self._screen = self._screen, LoadPeer(self.identity, "127.0.0.1", controlling=True)
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
        tracks: dict[int, str] = {}
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
        """Until everybody got a packet after this moment; gives the seconds that the last one took.

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
