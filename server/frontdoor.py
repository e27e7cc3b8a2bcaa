"""One TCP port for two: HTTP for the server, and ICE over TCP for the media worker.

The first byte tells them apart. A TLS record begins with 22, an HTTP request with a letter; a media connection begins
with the length of a small STUN packet (RFC 4571), whose first byte is 0 to 5. The byte is looked at and not taken.
Media connections are passed on to the media worker as they are: no packet of theirs is read here.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Literal

import structlog

from config.settings import Settings
from media.errors import PacketError
from media.transport import stun
from media.transport.listening import Listening
from server.mediapool import PLACES

log = structlog.get_logger()

FIRST_BYTE_S = 10.0
HANDSHAKE_S = 10.0
MAX_UNSORTED = 512
"""Connections that have said nothing yet; the newest beyond that are closed."""
_LARGEST_FIRST_BYTE_OF_MEDIA = 5
_LONGEST_FIRST = 1500
PIECES_S = 0.02
"""Between looks at a first packet that comes in pieces."""


class FrontDoor:
    """A listening socket. `http` makes the protocol of a connection of ours; `media` takes over one that is not."""

    def __init__(
        self,
        listener: socket.socket,
        http: Callable[[], asyncio.Protocol],
        secure: ssl.SSLContext | None,
        media: Sequence[Callable[[socket.socket], None]],
    ) -> None:
        """`media`: for each media worker; where there are several, the first packet says whose a connection is."""
        self._listener = listener
        self._http = http
        self._secure = secure
        self._media = media
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: Listening | None = None
        self._unsorted = 0
        self.refused = 0

    def open(self) -> None:
        """Begin to accept."""
        self._listening = Listening(self._listener, self._take, backlog=256)

    async def close(self) -> None:
        """With connections that have said nothing yet."""
        if self._listening is not None:
            self._listening.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _take(self, connection: socket.socket) -> None:
        if self._unsorted >= MAX_UNSORTED:
            self.refused += 1
            connection.close()
            return
        self._unsorted += 1
        task = self._loop.create_task(self._sort(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sort(self, connection: socket.socket) -> None:
        handed_on = False
        try:
            first = await self._first(connection)
            if not first:
                return
            if first[0] <= _LARGEST_FIRST_BYTE_OF_MEDIA:
                self._media[place_of(first, len(self._media))](connection)
                return
            # A slow TLS handshake is bounded by its own time limit, and no longer counted here.
            handshake_s = HANDSHAKE_S if self._secure is not None else None
            await self._loop.connect_accepted_socket(
                self._http, connection, ssl=self._secure, ssl_handshake_timeout=handshake_s
            )
            handed_on = True
        except (OSError, TimeoutError) as error:
            log.debug("connection_not_taken", reason=str(error))
        finally:
            if not handed_on:
                connection.close()

    async def _first(self, connection: socket.socket) -> bytes:
        """What came first, without taking it: a byte, or the whole first packet of media where it is needed. Empty when
        the other side closed or said nothing."""
        try:
            async with asyncio.timeout(FIRST_BYTE_S):
                first = await self._first_byte(connection)
                while first and first[0] <= _LARGEST_FIRST_BYTE_OF_MEDIA and len(self._media) > 1:
                    first = connection.recv(_LONGEST_FIRST, socket.MSG_PEEK)
                    if len(first) >= min(2 + int.from_bytes(first[:2], "big"), _LONGEST_FIRST):
                        break
                    await asyncio.sleep(PIECES_S)  # it stays readable, so there is nothing else to wait for
            return first
        except (TimeoutError, BlockingIOError):
            return b""
        finally:
            self._unsorted -= 1

    async def _first_byte(self, connection: socket.socket) -> bytes:
        readable: asyncio.Future[None] = self._loop.create_future()

        def ready() -> None:
            if not readable.done():
                readable.set_result(None)

        self._loop.add_reader(connection, ready)
        try:
            await readable
            return connection.recv(1, socket.MSG_PEEK)
        finally:
            self._loop.remove_reader(connection)


def place_of(first: bytes, places: int) -> int:
    """Which worker a connection is for, by its first packet (RFC 4571, STUN). 0 where that cannot be told: that worker
    counts what is no media."""
    if places == 1 or len(first) < 2:
        return 0
    try:
        ours = stun.parse(first[2 : 2 + int.from_bytes(first[:2], "big")]).username[:1]
    except PacketError:
        return 0
    place = PLACES.find(ours) if ours else 0
    return place if 0 <= place < places else 0


class Handoff:
    """Passes connections to the media worker over its Unix socket."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._link: socket.socket | None = None
        self.dropped = 0

    def __call__(self, connection: socket.socket) -> None:
        """The worker gets a descriptor of its own; closing ours is the caller's."""
        for _ in range(2):  # a worker that was started again has another socket there
            try:
                if self._link is None:
                    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    link.setblocking(False)
                    with contextlib.ExitStack() as stack:
                        stack.callback(link.close)
                        link.connect(self._address)
                        stack.pop_all()
                    self._link = link
                socket.send_fds(self._link, [b"t"], [connection.fileno()])
                return
            except OSError as error:
                log.debug("media_connection_not_passed", reason=str(error))
                self.close()
        self.dropped += 1

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


def media_tcp(settings: Settings) -> Literal["off", "own", "shared"]:
    """Who takes ICE over TCP: nobody, the media worker on a port of its own, or this server on the port of HTTP."""
    http, media = settings.server, settings.media
    if not media.tcp:
        return "off"
    if http.listen_port != media.udp_port or not media.udp_port:
        return "own"
    if http.listen_host == media.listen_host or ip_address(http.listen_host).is_unspecified:
        return "shared"
    return "off" if ip_address(media.listen_host).is_unspecified else "own"
