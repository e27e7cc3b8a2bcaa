"""ICE over TCP (RFC 6544, passive): for networks that let no UDP through.

The forwarder knows one UDP socket and nothing else. So each TCP connection gets a UDP socket of its own on the loopback
interface, and packets are passed between the two: to the rest of the worker a peer that comes by TCP is a peer at a
loopback address. What TCP does to real-time media stays within its own connection: what cannot be written is dropped,
as a full queue in a router would.

| A connection is closed | after |
|---|---|
| that does not begin with STUN, or breaks the framing | at once |
| on which no DTLS came | `PROOF_S` |
| on which the client was silent | `SILENT_S` |

Loopback addresses are made of the client's address, so that what strangers may cost is counted per client as it is for
UDP. Connections come by a listener of our own, or from the server, which takes HTTP on the same port number.
"""

import asyncio
import contextlib
import hashlib
import logging
import resource
import socket
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import ip_address

from media.transport.framing import Deframer, FramingError, frame
from media.transport.listening import Listening, bind_private

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 1000
MAX_PER_CLIENT = 64
"""From one IP address: many people may sit behind one address translator."""
PROOF_S = 15.0
SILENT_S = 60.0
MAX_WAITING_BYTES = 256 * 1024
"""Not yet taken by TCP: a second of 2 Mbit/s."""
UDP_BUFFER_BYTES = 1 << 20
RECEIVES = 64
LOOK_S = 1.0
SPARE_DESCRIPTORS = 256
WANTED_DESCRIPTORS = 8192
_MAX_DATAGRAM = 65535


@dataclass(slots=True)
class TcpCounters:
    """Totals of the process; the names are those of `Beat.counters`."""

    tcp_connections: int = 0
    tcp_packets_in: int = 0
    tcp_packets_out: int = 0
    dropped_tcp_full: int = 0
    dropped_tcp_refused: int = 0
    """Connections over a limit."""
    dropped_tcp_noise: int = 0
    """Connections that were no ICE."""

    def totals(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in self.__slots__}


def descriptors() -> int:
    """How many this process may have open; the soft limit is raised to the hard one, or to `WANTED_DESCRIPTORS`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def loopback_of(client: str) -> str:
    """The loopback address that stands for a client's."""
    digest = hashlib.blake2s(client.encode(), digest_size=3).digest()
    return f"127.{digest[0] % 254 + 1}.{digest[1]}.{digest[2] % 254 + 1}"


class _Leg(asyncio.Protocol):
    """One connection and its UDP socket."""

    def __init__(self, owner: "IceTcp", client: str) -> None:
        self._owner = owner
        self.client = client
        self._loop = asyncio.get_running_loop()
        self._deframer = Deframer()
        self._transport: asyncio.Transport | None = None
        self._udp: socket.socket | None = None
        self._began = self.heard_at = time.monotonic()
        self.proven = False
        """DTLS has come: a peer sits at the other end, or somebody who knows how one begins."""

    @property
    def address(self) -> tuple[str, int] | None:
        """Where the worker sees this peer."""
        if self._udp is None:
            return None
        host, port = self._udp.getsockname()[:2]
        return host, port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        link: socket.socket | None = transport.get_extra_info("socket")
        if link is not None:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self._udp = self._owner.open_udp(self.client)
        except OSError as error:
            log.warning("No UDP socket for a TCP connection: %s.", error)
            transport.abort()
            return
        self._loop.add_reader(self._udp, self._from_worker)

    def data_received(self, data: bytes) -> None:
        counters = self._owner.counters
        try:
            packets = self._deframer.feed(data)
        except FramingError as error:
            self._refuse(str(error))
            return
        for packet in packets:
            first = packet[0]
            if not self.proven:
                if first > 63:
                    self._refuse("It does not begin with STUN and DTLS.")
                    return
                self.proven = 20 <= first <= 63
            counters.tcp_packets_in += 1
            with contextlib.suppress(OSError):  # the worker's queue is full, or it is closing
                assert self._udp is not None
                self._udp.send(packet)
        self.heard_at = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._udp is not None:
            self._loop.remove_reader(self._udp)
            self._udp.close()
            self._udp = None
        self._owner.forget(self)

    def look(self, now: float) -> None:
        """Close what is over."""
        if (not self.proven and now - self._began > PROOF_S) or now - self.heard_at > SILENT_S:
            self.close()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, why: str) -> None:
        self._owner.counters.dropped_tcp_noise += 1
        log.debug("A TCP connection from %s was closed: %s", self.client, why)
        self.close()

    def _from_worker(self) -> None:
        transport, udp, counters = self._transport, self._udp, self._owner.counters
        if transport is None or udp is None:
            return
        frames = []
        for _ in range(RECEIVES):
            try:
                packet = udp.recv(_MAX_DATAGRAM)
            except OSError:  # nothing more, or the worker's socket is closed
                break
            frames.append(frame(packet))
        if transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            counters.dropped_tcp_full += len(frames)
        elif frames:
            counters.tcp_packets_out += len(frames)
            transport.write(b"".join(frames))


class IceTcp:
    """All TCP connections of one worker."""

    def __init__(self, host: str, port: int) -> None:
        """`host` and `port`: those that the worker's UDP socket is bound to."""
        self._loop = asyncio.get_running_loop()
        unspecified = ip_address(host).is_unspecified
        self._worker = (("::1" if ":" in host else "127.0.0.1") if unspecified else host, port)
        self._legs: set[_Leg] = set()
        self._clients: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: list[Listening] = []
        self._handed: dict[socket.socket, None] = {}
        self._looking = self._loop.call_later(LOOK_S, self._look)
        self._most = min(MAX_CONNECTIONS, (descriptors() - SPARE_DESCRIPTORS) // 2)
        """Each connection takes two descriptors."""
        self.counters = TcpCounters()

    def listen(self, listener: socket.socket) -> None:
        """Take connections from a bound socket, which is closed with this."""
        self._listening.append(Listening(listener, self._begin, backlog=128))

    def take_from(self, address: str) -> None:
        """Take connections that the server accepted: descriptors over a Unix socket at this address.

        Raises:
            OSError: the socket cannot be made there.
        """
        self._listening.append(Listening(bind_private(address), self._let_in, backlog=4))

    def names(self) -> dict[str, str]:
        """Loopback addresses in use, and the clients that they stand for."""
        return {"%s:%d" % leg.address: leg.client for leg in self._legs if leg.address is not None}  # noqa: UP031

    def close(self) -> None:
        self._looking.cancel()
        for listening in self._listening:
            listening.close()
        for server in self._handed:
            self._loop.remove_reader(server)
            server.close()
        for leg in tuple(self._legs):
            leg.close()
        for task in self._tasks:
            task.cancel()

    # --- inside -------------------------------------------------------------------------------------------------------

    def open_udp(self, client: str) -> socket.socket:
        """A socket that is connected to the worker's, at the client's loopback address where that can be had."""
        family = socket.AF_INET6 if ":" in self._worker[0] else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
            if family == socket.AF_INET:
                udp.bind((loopback_of(client), 0))
            udp.connect(self._worker)
        except OSError:
            udp.close()
            raise
        return udp

    def forget(self, leg: _Leg) -> None:
        if leg in self._legs:
            self._legs.discard(leg)
            self._clients[leg.client] -= 1
            if not self._clients[leg.client]:
                del self._clients[leg.client]
            self.counters.tcp_connections = len(self._legs)

    def _let_in(self, server: socket.socket) -> None:
        self._handed[server] = None
        self._loop.add_reader(server, self._take, server)

    def _take(self, server: socket.socket) -> None:
        """One descriptor of the server's, or its end."""
        try:
            said, descriptors, _, _ = socket.recv_fds(server, 16, 4)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            said, descriptors = b"", []
        for descriptor in descriptors:
            handed = socket.socket(fileno=descriptor)
            handed.setblocking(False)
            self._begin(handed)
        if not said:
            self._loop.remove_reader(server)
            self._handed.pop(server, None)
            server.close()

    def _begin(self, connection: socket.socket) -> None:
        try:
            client = str(connection.getpeername()[0])
        except OSError:
            connection.close()
            return
        if len(self._legs) >= self._most or self._clients[client] >= MAX_PER_CLIENT:
            self.counters.dropped_tcp_refused += 1
            connection.close()
            return
        leg = _Leg(self, client)
        self._legs.add(leg)
        self._clients[client] += 1
        self.counters.tcp_connections = len(self._legs)
        task = self._loop.create_task(self._connect(leg, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, leg: _Leg, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: leg, connection)
        except OSError as error:
            log.debug("A TCP connection from %s broke off: %s.", leg.client, error)
            self.forget(leg)
            connection.close()

    def _look(self) -> None:
        now = time.monotonic()
        for leg in tuple(self._legs):
            leg.look(now)
        self._looking = self._loop.call_later(LOOK_S, self._look)
