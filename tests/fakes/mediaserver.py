"""The server's side of a media worker, in the test's own process, and aiortc clients that publish and subscribe."""

import asyncio
import contextlib
import fractions
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from av import VideoFrame

from config.settings import MediaSettings
from media.messages import (
    Accept,
    AnyCommand,
    Command,
    GetStatistics,
    Message,
    PeerState,
    Play,
    Publish,
    Quality,
    Refused,
    Reply,
    Subscribe,
    TrackState,
)
from media.worker import MediaWorker

M = TypeVar("M", bound=Message)


class MemoryLink:
    """A link without a socket: commands go in by `call`, events are kept in `events`."""

    def __init__(self) -> None:
        self._commands: asyncio.Queue[AnyCommand | None] = asyncio.Queue()
        self._waiting: dict[int, asyncio.Future[Reply | Refused]] = {}
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()
        self.events: list[Message] = []
        self.waiting_bytes = 0
        self.rewrite: Callable[[str], str] = lambda sdp: sdp
        """Changes every SDP of the worker, as a middlebox on the way would have it."""
        self.at_end: list[Callable[[], None]] = []

    async def receive(self) -> AnyCommand | None:
        return await self._commands.get()

    def send(self, message: Message) -> None:
        """The worker's side."""
        if isinstance(message, Reply | Refused):
            self._waiting.pop(message.request).set_result(message)
        else:
            self.events.append(message)
            self._news.set()

    def close(self) -> None:
        for future in self._waiting.values():
            future.cancel()

    def hang_up(self) -> None:
        self._commands.put_nowait(None)

    async def ask(self, command: Command) -> Reply | Refused:
        request = next(self._numbers)
        future: asyncio.Future[Reply | Refused] = asyncio.get_running_loop().create_future()
        self._waiting[request] = future
        self._commands.put_nowait(command.model_copy(update={"request": request}))  # type: ignore[arg-type]
        reply = await asyncio.wait_for(future, 10)
        return reply.model_copy(update={"sdp": self.rewrite(reply.sdp)}) if isinstance(reply, Reply) else reply

    async def call(self, command: Command) -> Reply:
        reply = await self.ask(command)
        assert isinstance(reply, Reply), reply
        return reply

    async def event(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True, timeout_s: float = 10) -> M:
        """The first event, past or to come, of this kind that fits."""
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and fits(event):
                        return event
                self._news.clear()
                await self._news.wait()

    async def peer(self, peer: str, state: str, timeout_s: float = 10) -> PeerState:
        return await self.event(PeerState, lambda each: each.peer == peer and each.state == state, timeout_s)

    async def track(self, track: str, state: str, timeout_s: float = 10) -> TrackState:
        return await self.event(TrackState, lambda each: each.track == track and each.state == state, timeout_s)

    async def quality(self, peer: str, fits: Callable[[Quality], bool] = lambda _: True) -> Quality:
        return await self.event(Quality, lambda each: each.peer == peer and fits(each))


def _free_twice() -> int:
    """A number that is free for UDP and for TCP: ICE over TCP is on the same one."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as streams:
            datagrams.bind(("127.0.0.1", 0))
            number: int = datagrams.getsockname()[1]
            with contextlib.suppress(OSError):
                streams.bind(("127.0.0.1", number))
                return number


@contextlib.asynccontextmanager
async def running_worker(
    *, door: str = "", tcp_intake: str = "", **settings: Any
) -> AsyncIterator[tuple[MemoryLink, MediaWorker]]:
    """A worker on a free port of the loopback address."""
    link = MemoryLink()
    worker = MediaWorker(MediaSettings(**{"udp_port": _free_twice()} | settings), link, door, tcp_intake)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(worker.run())
        try:
            await link.ask(GetStatistics())
            yield link, worker
        finally:
            link.hang_up()
            await task
            for step in link.at_end:
                step()


class MovingPicture(VideoStreamTrack):
    """A small picture that changes from frame to frame, 30 a second."""

    def __init__(self, width: int = 320, height: int = 240) -> None:
        super().__init__()
        self._base = np.random.default_rng(7).integers(0, 255, (height // 8, width // 8, 3), np.uint8).repeat(8, 0)
        self._base = self._base.repeat(8, 1)
        self.sent = 0

    async def recv(self) -> VideoFrame:
        pts, _ = await self.next_timestamp()
        self.sent += 1
        frame = VideoFrame.from_ndarray(np.roll(self._base, 4 * self.sent, axis=1), format="rgb24")
        frame.pts, frame.time_base = pts, fractions.Fraction(1, 90000)
        return frame


def new_connection() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


class Client:
    """One aiortc connection."""

    def __init__(self, link: MemoryLink, peer: str) -> None:
        self.link = link
        self.peer = peer
        self.connection = new_connection()
        self.tracks: dict[str, MediaStreamTrack] = {}
        """What arrives, by mid."""
        self._arrived = asyncio.Event()
        self.connection.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        for transceiver in self.connection.getTransceivers():
            if transceiver.receiver.track is track:
                self.tracks[transceiver.mid or ""] = track
                self._arrived.set()

    async def publish(
        self, *tracks: MediaStreamTrack, prefer: str = "", change: Callable[[str], str] = lambda sdp: sdp
    ) -> Reply:
        """Offer these tracks; `prefer` names the video codec, `change` edits the offer."""
        for track in tracks or (MovingPicture(), AudioStreamTrack()):
            self.connection.addTrack(track)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = change(only_codec(self.connection.localDescription.sdp, prefer))
        reply = await self.link.call(Publish(peer=self.peer, sdp=sdp))
        await self.connection.setRemoteDescription(RTCSessionDescription(reply.sdp, "answer"))
        return reply

    async def subscribe(self, *tracks: str, change: Callable[[str], str] = lambda sdp: sdp) -> Reply:
        """Get these tracks; gives the answer to `Subscribe`."""
        reply = await self.link.call(Subscribe(peer=self.peer, tracks=tracks))
        if reply.sdp:
            await self.connection.setRemoteDescription(RTCSessionDescription(reply.sdp, "offer"))
            await self.connection.setLocalDescription(await self.connection.createAnswer())
            sdp = change(self.connection.localDescription.sdp)
            await self.link.call(Accept(peer=self.peer, generation=reply.generation, sdp=sdp))
        return reply

    async def offer_to_receive(self, *kinds: str) -> str:
        for kind in kinds:
            self.connection.addTransceiver(kind, "recvonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def play(self, *kinds: str, tracks: tuple[str, ...]) -> Reply:
        """Offer to receive, as a WHEP player does."""
        reply = await self.link.call(Play(peer=self.peer, sdp=await self.offer_to_receive(*kinds), tracks=tracks))
        await self.connection.setRemoteDescription(RTCSessionDescription(reply.sdp, "answer"))
        return reply

    async def frames(self, mid: str, count: int, timeout_s: float = 20) -> list[Any]:
        """So many decoded frames of one m-line."""
        async with asyncio.timeout(timeout_s):
            while mid not in self.tracks:
                self._arrived.clear()
                await self._arrived.wait()
            return [await self.tracks[mid].recv() for _ in range(count)]

    async def close(self) -> None:
        await self.connection.close()


def only_codec(sdp: str, name: str) -> str:
    """The offer with the payload types of other video codecs (but rtx) taken off the m-line."""
    if not name:
        return sdp
    lines = sdp.split("\r\n")
    wanted = {line[9:].split(" ")[0] for line in lines if line.startswith("a=rtpmap:") and f" {name}/" in line}
    kept = []
    for line in lines:
        if line.startswith("m=video"):
            head, formats = line.split(" ")[:3], line.split(" ")[3:]
            line = " ".join(head + [each for each in formats if each in wanted])
        kept.append(line)
    return "\r\n".join(kept)
