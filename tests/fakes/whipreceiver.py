"""A WHIP server made of aiohttp and aiortc: a peer that our publisher does not share a line with."""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import numpy.typing as npt
from aiohttp import web
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame

from tests.fakes.broker import free_port


@dataclass
class Received:
    """What arrived in one WHIP session."""

    path: str
    offer: str
    peer: RTCPeerConnection
    frames: dict[str, int] = field(default_factory=lambda: {"audio": 0, "video": 0})
    picture: npt.NDArray[np.uint8] | None = None
    loudest: int = 0
    ended: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class WhipReceiver:
    """Takes every session whose Bearer token is `token`."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.port = free_port()
        self.sessions: list[Received] = []
        self.refused = 0
        self._runner: web.AppRunner | None = None

    def url(self, name: str = "camera") -> str:
        return f"http://127.0.0.1:{self.port}/whip/site:hongqi/{name}?simulated=true"

    async def __aenter__(self) -> "WhipReceiver":
        app = web.Application()
        app.router.add_post("/whip/{room}/{name}", self._begin)
        app.router.add_delete("/session/{number}", self._end)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in self.sessions:
            await self.drop(session)
        if self._runner is not None:
            await self._runner.cleanup()

    async def drop(self, session: Received) -> None:
        """Close our end."""
        await session.peer.close()
        for task in session.tasks:
            task.cancel()
        if session.tasks:
            await asyncio.wait(session.tasks)

    async def until_frames(self, count: int, session: int = 0, within_s: float = 20) -> Received:
        """Wait for so many pictures in one session."""
        async with asyncio.timeout(within_s):
            while len(self.sessions) <= session or self.sessions[session].frames["video"] < count:
                await asyncio.sleep(0.05)
        return self.sessions[session]

    async def _begin(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.refused += 1
            return web.Response(status=401)
        offer = await request.text()
        peer = RTCPeerConnection()
        session = Received(request.path_qs, offer, peer)
        self.sessions.append(session)

        @peer.on("track")
        def on_track(track: MediaStreamTrack) -> None:
            session.tasks.append(asyncio.ensure_future(self._consume(track, session)))

        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        location = f"/session/{len(self.sessions) - 1}"
        return web.Response(
            status=201,
            text=peer.localDescription.sdp,
            content_type="application/sdp",
            headers={"Location": location},
        )

    async def _end(self, request: web.Request) -> web.Response:
        session = self.sessions[int(request.match_info["number"])]
        session.ended = True
        await session.peer.close()
        return web.Response()

    @staticmethod
    async def _consume(track: MediaStreamTrack, session: Received) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            session.frames[track.kind] += 1
            if isinstance(frame, VideoFrame):
                session.picture = frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
            elif isinstance(frame, AudioFrame):
                session.loudest = max(session.loudest, int(np.abs(frame.to_ndarray().astype(int)).max()))
