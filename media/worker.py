"""The media worker: one UDP socket, one event loop, one link to the server.

Run as `python -m media.worker --fd N`, where N is one end of a socket pair on which `media.messages` are spoken, or
held in another process as `MediaWorker(settings, link)`. It ends when the link closes, on SIGTERM, and never sooner.
"""

import argparse
import asyncio
import datetime
import gc
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Protocol

from pydantic import ValidationError

from config.settings import MediaSettings
from media.door import MAX_CONNECTIONS, Door
from media.errors import CommandRefused, PortError
from media.exchange import TICKS_PER_S, Exchange
from media.forwarder.choice import new_forwarder
from media.forwarder.interface import HOLD_S
from media.link import Link, LinkError
from media.messages import (
    COMMANDS,
    Accept,
    AnyCommand,
    Beat,
    Close,
    Configure,
    GetStatistics,
    Message,
    Mute,
    NeedKeyframe,
    Pipe,
    Play,
    Publish,
    PublishPlain,
    Quality,
    Refused,
    Reply,
    SetViews,
    Started,
    Subscribe,
    Tap,
)
from media.transport import udpsocket
from media.transport.dtls import new_identity
from media.transport.guard import StrangerGuard
from media.transport.icetcp import IceTcp
from media.transport.listening import Listening, bind_tcp
from media.transport.mux import Mux

log = logging.getLogger(__name__)

REPAIR_S = 0.02
"""How often missing packets are looked at while there are any."""
LEAST_PAUSE_S = 0.002
"""Between two looks at what is paced."""
COLLECT_AFTER = 20_000
"""Objects made and not yet freed."""
LINK_FULL_BYTES = 1 << 20
"""With more waiting, the server is slow: qualities and beats are left out."""


class CommandLink(Protocol):
    """What the worker needs of a link; `media.link.Link` is one."""

    async def receive(self) -> AnyCommand | None: ...

    def send(self, message: Message) -> None: ...

    @property
    def waiting_bytes(self) -> int: ...

    def close(self) -> None: ...


class MediaWorker:
    """Runs until the link closes or `stop` is called. Without settings it waits for `Configure`."""

    def __init__(self, settings: MediaSettings | None, link: CommandLink, door: str = "", tcp_intake: str = "") -> None:
        self._settings = settings
        self._tcp_intake = tcp_intake
        self._door = door
        self._link = link
        self._stopping = asyncio.Event()
        self._running: _Running | None = None
        self._broken: LinkError | None = None
        self._hung_up = False

    @property
    def started(self) -> Started | None:
        """Where it listens; None before the start."""
        return self._running.started if self._running is not None else None

    def counters(self) -> dict[str, float]:
        """Totals since start, as in `Beat`; empty before the start."""
        return self._running.counters() if self._running is not None else {}

    def stop(self) -> None:
        """End soon."""
        self._stopping.set()

    async def run(self) -> None:
        """Raises:
        PortError: the UDP port of the settings given cannot be had.
        LinkError: the server sent what is no message.
        """
        if self._settings is not None:
            self._running = _Running(self._settings, self._send, self._door, self._tcp_intake)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each) for each in (self._serve(), self._ticks(), self._beats())]
                await self._stopping.wait()
                for task in tasks:
                    task.cancel()
        finally:
            if self._running is not None:
                self._running.close()
            self._link.close()
        if self._broken is not None:
            raise self._broken

    async def _serve(self) -> None:
        try:
            await self._obey_all()
        except LinkError as error:
            self._broken = error
        self._hung_up = True
        self._stopping.set()

    async def _obey_all(self) -> None:
        while (command := await self._link.receive()) is not None:
            try:
                reply = self._obey(command)
            except CommandRefused as refused:
                log.info("Command %s was refused (%s): %s", command.type, refused.error, refused.detail)
                self._link.send(Refused(request=command.request, error=refused.error, detail=refused.detail))
            else:
                self._link.send(reply)

    def _obey(self, command: AnyCommand) -> Reply:
        if isinstance(command, Configure):
            return self._configure(command)
        if self._running is None:
            raise CommandRefused("invalid", "The worker has not been configured yet.")
        return self._running.obey(command)

    def _configure(self, command: Configure) -> Reply:
        if self._running is None:
            try:
                settings = MediaSettings.model_validate(command.settings)
                self._running = _Running(
                    settings, self._send, command.door, command.tcp_intake, command.tcp_port, command.place
                )
            except (ValidationError, PortError) as error:
                raise CommandRefused("invalid", str(error)) from error
        return Reply(request=command.request, started=self._running.started)

    def _send(self, message: Message) -> None:
        """Events; those that the next one replaces are left out when the server is slow."""
        replaced = isinstance(message, Quality | Beat) and self._link.waiting_bytes > LINK_FULL_BYTES
        if self._hung_up or replaced:
            return
        self._link.send(message)

    async def _ticks(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + 1 / TICKS_PER_S, loop.time())
            await asyncio.sleep(due - loop.time())
            if self._running is not None:
                self._running.tick(loop.time() - due)

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self._running is not None:
                self._send(self._running.beat())


class _Running:
    """A configured worker: the socket, the forwarder and the exchange."""

    def __init__(
        self,
        settings: MediaSettings,
        send: Callable[[Message], None],
        door: str,
        tcp_intake: str,
        tcp_port: int = 0,
        place: str = "",
    ) -> None:
        """Raises:
        PortError: the UDP port or the door cannot be had.
        """
        self._loop = asyncio.get_running_loop()
        self._socket = udpsocket.bind(settings.listen_host, settings.udp_port)
        bound, port = self._socket.getsockname()[:2]
        self._tcp = self._open_tcp(settings, port, tcp_intake) if settings.tcp else None
        addresses = udpsocket.advertised(settings.listen_host, settings.advertise, bound)
        told_tcp = udpsocket.advertised(settings.listen_host, settings.advertise) if self._tcp is not None else ()
        identity = new_identity(datetime.datetime.now(datetime.UTC))
        self._forwarder = new_forwarder(
            settings.forwarder, self._socket, cache_packets=settings.packet_cache_packets, gso=settings.gso
        )
        self._exchange = Exchange(
            self._forwarder,
            lambda listener: Mux(
                self._forwarder,
                identity,
                tuple((address, port) for address in addresses),
                StrangerGuard(settings.stranger_packets_per_s),
                listener,
                tcp=tuple((address, tcp_port or port) for address in told_tcp),
            ),
            send,
            keyframe_interval_s=settings.keyframe_interval_s,
            stalled_after_s=settings.stalled_after_s,
            max_peers=settings.max_peers,
            clock=time.monotonic,
            wall_clock=time.time,
            place=place,
        )
        self._door = self._open_door(door) if door else None
        self._repair: asyncio.TimerHandle | None = None
        self._pacing: asyncio.TimerHandle | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._lag_s = 0.0
        self.started = Started(
            udp_port=port,
            addresses=addresses,
            fingerprint=identity.fingerprint,
            forwarder=self._forwarder.name,
            tcp=self._tcp is not None,
        )
        self._loop.add_reader(self._socket, self._pump)

    def _open_tcp(self, settings: MediaSettings, port: int, intake: str) -> IceTcp | None:
        """None where another program has the number."""
        tcp = IceTcp(settings.listen_host, port)
        if intake:
            try:
                tcp.take_from(intake)
            except OSError as error:
                tcp.close()
                self._socket.close()
                raise PortError(f"The intake at {intake} cannot be opened: {error}.") from error
            return tcp
        try:
            listener = bind_tcp(settings.listen_host, port)
        except OSError as error:
            log.warning("TCP port %d cannot be had (%s): no ICE over TCP.", port, error.strerror)
            tcp.close()
            return None
        tcp.listen(listener)
        return tcp

    def _open_door(self, address: str) -> Door:
        try:
            door = Door(address, self._exchange.gate)
        except OSError as error:
            self._socket.close()
            raise PortError(f"The door at {address} cannot be opened: {error}.") from error
        self._exchange.door_address = address
        self._at_door = Listening(
            door.socket, lambda connection: self._let_in(door, connection), backlog=MAX_CONNECTIONS
        )
        return door

    def _let_in(self, door: Door, connection: socket.socket) -> None:
        if door.admit(connection):
            self._loop.add_reader(connection, self._take_in, door, connection)

    def _take_in(self, door: Door, connection: socket.socket) -> None:
        taken, open_still = door.receive(connection)
        for number, packet in taken:
            self._exchange.hand_in(number, packet)
        self._hold()
        if not open_still:
            self._loop.remove_reader(connection)
            door.dismiss(connection)

    def _pump(self) -> None:
        if self._exchange.pump() and self._repair is None:
            self._repair = self._loop.call_later(REPAIR_S, self._repair_now)
        self._hold()
        if self._pacing is None and self._exchange.hurries:
            self._release()

    def _hold(self) -> None:
        """See to it that what waits for the rest of its picture does not wait long."""
        if not self._exchange.holds:
            if self._settling is not None:
                self._settling.cancel()
                self._settling = None
        elif self._settling is None:
            self._settling = self._loop.call_later(HOLD_S, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self._exchange.settle()

    def _release(self) -> None:
        """What is paced leaves by a timer of its own, which runs only while something waits."""
        if self._pacing is not None:
            self._pacing.cancel()
        due = self._exchange.release()
        self._pacing = self._loop.call_at(max(due, self._loop.time() + LEAST_PAUSE_S), self._release) if due else None

    def _repair_now(self) -> None:
        again = self._exchange.repair()
        self._repair = self._loop.call_later(REPAIR_S, self._repair_now) if again else None

    def obey(self, command: AnyCommand) -> Reply:
        """Raises:
        CommandRefused: the command did nothing.
        """
        exchange, request = self._exchange, command.request
        match command:
            case Publish():
                return exchange.publish(request, command.peer, command.sdp, command.allow)
            case PublishPlain():
                return exchange.publish_plain(
                    request, command.peer, command.tracks, command.stream, piped=command.piped
                )
            case Subscribe():
                return exchange.subscribe(request, command.peer, command.tracks, command.ice_restart)
            case SetViews():
                return exchange.set_views(request, command.peer, command.views)
            case Accept():
                return exchange.accept(request, command.peer, command.generation, command.sdp)
            case Play():
                return exchange.play(request, command.peer, command.sdp, command.tracks)
            case Close():
                return exchange.close(request, command.peer, command.reason)
            case Mute():
                return exchange.mute(request, command.track, command.muted)
            case Tap():
                return exchange.tap(request, command.track, command.address, command.reader)
            case Pipe() | NeedKeyframe():
                return self._pipe(command)
            case GetStatistics():
                tcp = self._tcp.names() if self._tcp is not None else {}
                return exchange.statistics(request, tcp)
            case _:
                raise CommandRefused("invalid", f"The worker does not know the command {command.type}.")

    def _pipe(self, command: Pipe | NeedKeyframe) -> Reply:
        if isinstance(command, Pipe):
            return self._exchange.pipe(command.request, command.track, command.outlets)
        return self._exchange.need_keyframe(command.request, command.track)

    def tick(self, lag_s: float) -> None:
        self._lag_s = max(self._lag_s, lag_s)
        self._exchange.tick()
        if self._pacing is None:
            self._release()

    def beat(self) -> Beat:
        lag, self._lag_s = self._lag_s, 0.0
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Beat(loop_lag_s=round(lag, 4), cpu_s=usage.ru_utime + usage.ru_stime, counters=self.counters())

    def counters(self) -> dict[str, float]:
        tcp = self._tcp.counters.totals() if self._tcp is not None else {}
        return self._forwarder.counters.totals() | self._exchange.gate.counters() | tcp

    def close(self) -> None:
        for timer in (self._repair, self._pacing, self._settling):
            if timer is not None:
                timer.cancel()
        self._exchange.close_all()
        if self._door is not None:
            self._at_door.close()
            for each in self._door.connections:
                self._loop.remove_reader(each)
            self._door.close()
        if self._tcp is not None:
            self._tcp.close()
        self._loop.remove_reader(self._socket)
        self._socket.close()


async def _main(fd: int) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd))
    worker = MediaWorker(None, Link[AnyCommand](reader, writer, COMMANDS))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()


def _collect_seldom() -> None:
    """What the start has made stays; so looking through all that is there for what is no longer used, which stops the
    loop, pays only after much was made."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)


def main() -> None:
    """Entry of the process."""
    parser = argparse.ArgumentParser(prog="python -m media.worker", description="Forwards media for one server.")
    parser.add_argument("--fd", type=int, required=True, help="one end of the server's socket pair")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    options = parser.parse_args()
    _collect_seldom()
    try:
        asyncio.run(_main(options.fd))
    except LinkError as error:
        log.error("The link to the server is broken: %s", error)
        sys.exit(1)


if __name__ == "__main__":
    main()
