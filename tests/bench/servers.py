"""Our media worker as a process under load, and the few verbs that every server under load has."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from media.link import Link
from media.messages import (
    ANSWERS,
    Accept,
    AnyAnswer,
    Beat,
    Command,
    Configure,
    GetStatistics,
    Publish,
    Reply,
    Subscribe,
)
from tests.fakes.loadpeer import LoadPeer

WAIT_S = 20


class Server(Protocol):
    """A running server and the peers on it."""

    name: str
    pid: int
    controls_subscribers: bool
    """Whether it sends the connectivity checks where it has made the offer; otherwise peers do."""

    async def publish(self, peer: LoadPeer, ssrc: int) -> None: ...

    async def subscribe(self, peer: LoadPeer) -> None: ...

    async def refresh(self) -> None:
        """Take what it has sent meanwhile and show that we are there; between runs, at least every 30 s."""


class Lamproom:
    """`python -m media.worker` over its link."""

    controls_subscribers = False

    def __init__(self, name: str, process: asyncio.subprocess.Process, link: Link[AnyAnswer]) -> None:
        self.name = name
        self.pid = process.pid
        self.forwarder = ""
        self._link = link
        self.lags_s: list[float] = []
        """How late the loop's ticks were at most, in each second."""
        self._requests = 0
        self._track = ""

    async def call(self, command: Command) -> Reply:
        self._requests += 1
        self._link.send(command.model_copy(update={"request": self._requests}))
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self._link.receive()
                if message is None:
                    raise ConnectionError("The media worker has closed its link.")
                if isinstance(message, Beat):
                    self.lags_s.append(message.loop_lag_s)
                if getattr(message, "request", None) == self._requests:
                    if not isinstance(message, Reply):
                        raise ConnectionError(f"The media worker refused: {message}.")
                    return message

    async def start(self, address: str) -> None:
        settings = {"listen_host": address, "udp_port": 0, "forwarder": self.name, "max_peers": 2000}
        reply = await self.call(Configure(settings=settings))
        self.forwarder = reply.started.forwarder if reply.started else ""

    async def publish(self, peer: LoadPeer, ssrc: int) -> None:
        self._track = await self.publish_as("publisher", peer, ssrc)

    async def publish_as(self, name: str, peer: LoadPeer, ssrc: int) -> str:
        """Gives the track."""
        reply = await self.call(Publish(peer=name, sdp=peer.offer(ssrc)))
        peer.learn(reply.sdp)
        return reply.tracks[0].track

    async def subscribe(self, peer: LoadPeer) -> None:
        await self.watch(f"s{self._requests}", peer, (self._track,))

    async def watch(self, name: str, peer: LoadPeer, tracks: tuple[str, ...]) -> None:
        """All of these tracks to one peer."""
        reply = await self.call(Subscribe(peer=name, tracks=tracks))
        await self.call(Accept(peer=name, generation=reply.generation, sdp=peer.answer(reply.sdp)))

    async def refresh(self) -> None:
        await self.call(GetStatistics())


@contextlib.asynccontextmanager
async def running_lamproom(address: str, forwarder: str) -> AsyncIterator[Lamproom]:
    """A media worker that listens on this address and forwards by `native` or `python`."""
    ours, theirs = socket.socketpair()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "media.worker", "--fd", str(theirs.fileno())),
        pass_fds=[theirs.fileno()],
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    link = Link[AnyAnswer](reader, writer, ANSWERS)
    try:
        server = Lamproom(forwarder, process, link)
        await server.start(address)
        yield server
    finally:
        link.close()
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """It was started here, so it ends here."""
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(5):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
