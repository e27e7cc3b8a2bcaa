"""The sockets of a `SipService`: one UDP and one TCP port of the same number.

Thin on purpose: feed, write, set the deadline. There are no tasks; everything happens in callbacks of the event loop.
A connection that sends no whole message in `IDLE_SECONDS` while one is half there, that cannot be framed, or that does
not read what we write, is cut off.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, cast

from signaling.sip.errors import MessageError
from signaling.sip.service import SipService
from signaling.sip.stream import PONG, StreamFramer
from signaling.sip.transactionlayer import Flow, Send

MAX_CONNECTIONS = 1000
MAX_UNREAD = 256 << 10
"""Bytes that a connection may leave unread."""
IDLE_SECONDS = 30.0

log = logging.getLogger(__name__)


class SipEndpoint(asyncio.DatagramProtocol):
    """Made by `serve`."""

    def __init__(self, service: SipService) -> None:
        self.service = service
        self.connections: dict[str, Connection] = {}
        self.port = 0
        self._loop = asyncio.get_running_loop()
        self._udp: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = count(1)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._udp = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if not data.strip(b"\r\n\0"):
            return  # keep-alives of NATs
        self.handle(data, Flow(str(addr[0]), addr[1]))

    def error_received(self, exc: Exception) -> None:
        """An ICMP error; the transaction's own timers say the same a little later."""
        log.debug("A SIP datagram could not be delivered: %s.", exc)

    def new_connection(self) -> "Connection":
        return Connection(self, f"tcp{next(self._numbers)}")

    def handle(self, data: bytes, flow: Flow) -> None:
        self._write(self.service.receive(data, flow, self._loop.time()))
        self._arm()

    def forget(self, name: str) -> None:
        if self.connections.pop(name, None) is not None:
            self.service.lost(name)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._udp is not None:
            self._udp.close()
        for connection in list(self.connections.values()):
            connection.abort()

    def _write(self, sends: list[Send]) -> None:
        for one in sends:
            if not one.flow.connection and self._udp is not None:
                self._udp.sendto(one.data, (one.flow.host, one.flow.port))
            elif one.flow.connection in self.connections:
                self.connections[one.flow.connection].write(one.data)

    def _arm(self) -> None:
        at = self.service.next_timeout()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if at is None else self._loop.call_at(at, self._expire)

    def _expire(self) -> None:
        self._write(self.service.timeout(self._loop.time()))
        self._arm()


class Connection(asyncio.Protocol):
    """One TCP connection."""

    def __init__(self, endpoint: SipEndpoint, name: str) -> None:
        self._endpoint = endpoint
        self._name = name
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._flow = Flow("", 0, name)
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if len(self._endpoint.connections) >= MAX_CONNECTIONS:
            self._endpoint.service.counters["over_connections"] += 1
            self._transport.abort()
            return
        host, port = self._transport.get_extra_info("peername")[:2]
        self._flow = Flow(host, port, self._name)
        self._endpoint.connections[self._name] = self

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._framer.feed(data)
        except MessageError as problem:
            log.debug("A SIP connection is cut off: %s", problem.detail)
            self._endpoint.service.counters["unframed"] += 1
            self.abort()
            return
        if self._framer.pings:
            self._framer.pings = 0
            self.write(PONG)
        for message in messages:
            self._endpoint.handle(message, self._flow)
        self._watch(bool(messages))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._endpoint.forget(self._name)

    def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNREAD:
            self._endpoint.service.counters["unread"] += 1
            self.abort()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _watch(self, progress: bool) -> None:
        """A half message must become whole in time; between messages a connection may be quiet as long as it likes."""
        if progress or not self._framer.waiting:
            self._stop_watching()
        if self._framer.waiting and self._idle is None:
            self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.abort)

    def _stop_watching(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


@asynccontextmanager
async def serve(service: SipService, host: str, port: int) -> AsyncIterator[SipEndpoint]:
    """Both sockets for the time of the `async with`; port 0 takes a free one. Raises OSError when one is in use."""
    loop = asyncio.get_running_loop()
    transport, endpoint = await loop.create_datagram_endpoint(lambda: SipEndpoint(service), local_addr=(host, port))
    try:
        endpoint.port = transport.get_extra_info("sockname")[1]
        server = await loop.create_server(endpoint.new_connection, host, endpoint.port, backlog=128)
        try:
            yield endpoint
        finally:
            server.close()
            endpoint.close()
            await server.wait_closed()
    finally:
        endpoint.close()
