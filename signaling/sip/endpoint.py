"""The sockets of a SIP server: UDP, TCP and TLS ports, connections that it opens itself, and WebSockets.

Thin on purpose: feed, write, set the deadline. What is not a WebSocket has no task; everything happens in callbacks of
the event loop. A connection that sends no whole message in `IDLE_SECONDS` while one is half there, that cannot be
framed, or that does not read what we write, is cut off. A connection of ours is opened when there is something to send
over it (its name says where to), waits `CONNECT_SECONDS` at most and holds `MAX_UNREAD` bytes meanwhile; it is kept
alive, and given up when nothing comes back (`keepalive.py`).
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any, Protocol, cast

from aiohttp import WSMsgType, web

from signaling.sip.errors import MessageError
from signaling.sip.keepalive import KEEP_ALIVE_SECONDS, KeepAlive
from signaling.sip.message import MAX_BYTES
from signaling.sip.stream import PING, PONG, StreamFramer
from signaling.sip.transactionlayer import Flow, Send

MAX_CONNECTIONS = 1000
MAX_PER_ADDRESS = 50
"""Connections that one IP address may have."""
MAX_UNREAD = 256 << 10
"""Bytes that a connection may leave unread."""
IDLE_SECONDS = 30.0
CONNECT_SECONDS = 5.0
SILENT_SECONDS = 120.0
"""A connection over which nobody has said a whole message yet is cut off after this."""

FREE_PORT_TRIES = 20
MAPPED = "::ffff:"
RECEIVE_BYTES = 4 << 20
"""Room in the UDP socket for what comes while this process waits for its turn; the system may allow less."""

log = logging.getLogger(__name__)


class SipServer(Protocol):
    """What stands behind the sockets: `SipService`, `UserAgent`."""

    counters: Counter[str]

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Send]: ...
    def lost(self, connection: str, now: float) -> list[Send]: ...
    def unframed(self, flow: Flow, now: float) -> None: ...
    def next_timeout(self) -> float | None: ...
    def timeout(self, now: float) -> list[Send]: ...


class SipEndpoint(asyncio.DatagramProtocol):
    """Made by `serve`. `on_step` is called after everything that may have changed something."""

    def __init__(self, service: SipServer, on_step: Callable[[], None] = lambda: None) -> None:
        self.service = service
        self.on_step = on_step
        self.on_traffic: Callable[[bool, bytes, Flow], None] | None = None
        """(sent, bytes, flow) of every message, for traces."""
        self.connections: dict[str, Connection | WebSocket] = {}
        self.port = 0
        self.tls_port = 0
        self.client_tls: ssl.SSLContext | None = None
        """For TLS connections of ours; without it there are none."""
        self._loop = asyncio.get_running_loop()
        self._udp: asyncio.DatagramTransport | None = None
        self._wide = False
        """The UDP port is of both families: it shows and wants IPv4 addresses as IPv6 (RFC 4291 section 2.5.5.2)."""
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = count(1)
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast(asyncio.DatagramTransport, transport)
        self._wide = transport.get_extra_info("sockname")[0] == "::"

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if not data.strip(b"\r\n\0"):
            return  # keep-alives of NATs
        self.handle(data, Flow(str(addr[0]).removeprefix(MAPPED), addr[1]))

    def error_received(self, exc: Exception) -> None:
        """An ICMP error; the transaction's own timers say the same a little later."""
        log.debug("A SIP datagram could not be delivered: %s.", exc)

    def new_connection(self, kind: str = "tcp") -> "Connection":
        return Connection(self, f"{kind}{next(self._numbers)}")

    def handle(self, data: bytes, flow: Flow) -> None:
        if self.on_traffic is not None:
            self.on_traffic(False, data, flow)
        self.step(lambda now: self.service.receive(data, flow, now))

    def step(self, do: Callable[[float], list[Send]]) -> None:
        """Do something with the service at this moment, and send what comes of it. Raises what `do` raises."""
        try:
            self._write(do(self._loop.time()))
        finally:
            self._arm()
        self.on_step()

    def forget(self, name: str, connection: "Connection | WebSocket") -> None:
        """It is gone, unless another has taken its name meanwhile."""
        if self.connections.get(name) is not connection:
            return
        del self.connections[name]
        if not self._closed:
            self.step(lambda now: self.service.lost(name, now))

    def crowded(self, host: str) -> bool:
        same = sum(one.flow.host == host for one in self.connections.values())
        return len(self.connections) >= MAX_CONNECTIONS or same >= MAX_PER_ADDRESS

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """A browser's connection (RFC 7118): one message in each frame. The caller has checked who may come."""
        page = web.WebSocketResponse(protocols=("sip",), max_msg_size=MAX_BYTES, heartbeat=KEEP_ALIVE_SECONDS)
        await page.prepare(request)
        name = f"{'wss' if request.secure else 'ws'}{next(self._numbers)}"
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        if peer is None or self._closed or self.crowded(str(peer[0])) or page.ws_protocol != "sip":
            await page.close(code=1008 if page.ws_protocol != "sip" else 1013)
            return page
        one = WebSocket(Flow(str(peer[0]), peer[1], name))
        self.connections[name] = one
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(one.send_all(page))
                async for message in page:
                    if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                        break
                    data = message.data.encode() if isinstance(message.data, str) else message.data
                    if data.strip(b"\r\n"):
                        self.handle(data, one.flow)
                    else:
                        one.write(PONG)
                writer.cancel()
        finally:
            self.forget(name, one)
        return page

    def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._opening:
            task.cancel()
        if self._udp is not None:
            self._udp.close()
        for connection in list(self.connections.values()):
            connection.abort()

    async def closed(self) -> None:
        """Wait for what `close` has ended."""
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _write(self, sends: list[Send]) -> None:
        for one in sends:
            if self.on_traffic is not None:
                self.on_traffic(True, one.data, one.flow)
            name = one.flow.connection
            if not name:
                if self._udp is not None and not self._udp.is_closing():
                    mapped = self._wide and ":" not in one.flow.host
                    host = MAPPED + one.flow.host if mapped else one.flow.host
                    self._udp.sendto(one.data, (host, one.flow.port))
            elif name in self.connections:
                self.connections[name].write(one.data)
            elif ":" in name and not self._closed:
                self._open(one.flow).write(one.data)
            elif not self._closed:
                self._loop.call_soon(self._gone, name)

    def _gone(self, name: str) -> None:
        if name not in self.connections and not self._closed:
            self.step(lambda now: self.service.lost(name, now))

    def _open(self, flow: Flow) -> "Connection":
        connection = Connection(self, flow.connection, flow)
        self.connections[flow.connection] = connection
        task = self._loop.create_task(self._connect(connection, flow))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return connection

    async def _connect(self, connection: "Connection", flow: Flow) -> None:
        secure = flow.connection.startswith("tls")
        try:
            if secure and self.client_tls is None:
                raise OSError("There are no TLS settings for connections of ours.")
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(
                    lambda: connection, flow.host, flow.port, ssl=self.client_tls if secure else None,
                    server_hostname=flow.host if secure else None,
                )  # fmt: skip
        except OSError as problem:  # ssl.SSLError and TimeoutError among them
            log.info("A SIP connection to %s:%d could not be opened: %s.", flow.host, flow.port, problem)
            self.forget(flow.connection, connection)

    def _arm(self) -> None:
        at = self.service.next_timeout()
        if self._timer is not None:
            if self._timer.when() == at and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = None if at is None or self._closed else self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self.step(self.service.timeout)


class Connection(asyncio.Protocol):
    """One TCP or TLS connection; `flow` is given for one that we open."""

    def __init__(self, endpoint: SipEndpoint, name: str, flow: Flow | None = None) -> None:
        self._endpoint = endpoint
        self._name = name
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._ours = flow is not None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self.flow = flow or Flow("", 0, name)
        self._idle: asyncio.TimerHandle | None = None
        self._keep_alive: KeepAlive | None = None
        self._alive: asyncio.TimerHandle | None = None
        self._spoke = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._ours:
            for data in self._waiting:
                self._transport.write(data)
            self._waiting.clear()
            self._keep_alive = KeepAlive(asyncio.get_running_loop().time())
            self._ping()
            return
        host, port = self._transport.get_extra_info("peername")[:2]
        self.flow = Flow(host, port, self._name)
        if self._endpoint.crowded(host):
            self._endpoint.service.counters["over_connections"] += 1
            self._transport.abort()
            return
        self._endpoint.connections[self._name] = self
        self._idle = asyncio.get_running_loop().call_later(SILENT_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        if self._keep_alive is not None:
            pong = data == PONG and not self._framer.waiting
            self._keep_alive.heard(pong)
            if pong:
                return
        try:
            messages = self._framer.feed(data)
        except MessageError as problem:
            log.debug("A SIP connection is cut off: %s", problem.detail)
            self._endpoint.service.unframed(self.flow, asyncio.get_running_loop().time())
            self.abort()
            return
        if self._framer.pings:
            self._framer.pings = 0
            self.write(PONG)
        for message in messages:
            self._endpoint.handle(message, self.flow)
        self._watch(bool(messages))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        if self._alive is not None:
            self._alive.cancel()
        self._endpoint.forget(self._name, self)

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._waiting_bytes += len(data)
            if self._waiting_bytes <= MAX_UNREAD:
                self._waiting.append(data)
            return
        if self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._endpoint.service.counters["unread"] += 1
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _ping(self) -> None:
        """What the keep-alive asks for now, and again at its next deadline."""
        assert self._keep_alive is not None
        loop = asyncio.get_running_loop()
        if self._keep_alive.timeout(loop.time()):
            self.write(PING)
        if self._keep_alive.dead:
            self._endpoint.service.counters["silent_connection"] += 1
            self.abort()
            return
        self._alive = loop.call_at(self._keep_alive.next_timeout(), self._ping)

    def _watch(self, progress: bool) -> None:
        """A half message must become whole in time; between messages a connection may be quiet as long as it likes."""
        self._spoke = self._spoke or progress
        if progress or (self._spoke and not self._framer.waiting):
            self._stop_watching()
        if self._framer.waiting and (self._idle is None or not self._spoke):
            self._stop_watching()
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.abort)

    def _stop_watching(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


class WebSocket:
    """One WebSocket connection: what is to be sent waits in a bounded queue."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(200)

    def write(self, data: bytes) -> None:
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            self.abort()

    def abort(self) -> None:
        while True:
            try:
                self._queue.put_nowait(None)
                return
            except asyncio.QueueFull:
                self._queue.get_nowait()

    async def send_all(self, page: web.WebSocketResponse) -> None:
        while (data := await self._queue.get()) is not None:
            try:
                await page.send_str(data.decode())
            except UnicodeDecodeError:
                await page.send_bytes(data)
            except ConnectionError:
                return
        await page.close()


@asynccontextmanager
async def serve(
    service: SipServer,
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    tls_port: int = 0,
    on_step: Callable[[], None] = lambda: None,
) -> AsyncIterator[SipEndpoint]:
    """The UDP and the TCP port of one number, and a TLS port where there are TLS settings, for the time of the
    `async with`; port 0 takes a free one. The host `::` is both families. Raises OSError when one is in use.
    """
    loop = asyncio.get_running_loop()
    hosts = ["::", "0.0.0.0"] if host == "::" else [host]
    async with AsyncExitStack() as stack:
        tries = FREE_PORT_TRIES if port == 0 else 1
        while True:
            transport, endpoint = await loop.create_datagram_endpoint(
                lambda: SipEndpoint(service, on_step), local_addr=(host, port)
            )
            endpoint.port = transport.get_extra_info("sockname")[1]
            try:
                server = await loop.create_server(endpoint.new_connection, hosts, endpoint.port, backlog=128)
                break
            except OSError:  # a port that is free for UDP may be taken for TCP
                transport.close()
                tries -= 1
                if tries == 0:
                    raise
        stack.callback(transport.close)
        stack.callback(server.close)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        servers = [server]
        if tls is not None:
            second = await loop.create_server(
                lambda: endpoint.new_connection("tls"), hosts, tls_port, ssl=tls, backlog=128
            )
            stack.callback(second.close)
            servers.append(second)
            endpoint.tls_port = second.sockets[0].getsockname()[1]
        try:
            yield endpoint
        finally:
            for server in servers:
                server.close()
            endpoint.close()
            await endpoint.closed()
            for server in servers:
                await server.wait_closed()
