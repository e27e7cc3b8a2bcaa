"""Where other processes of this machine hand in packets: plain RTP and RTCP over a Unix socket.

The socket keeps messages apart (SOCK_SEQPACKET; one of SOCK_DGRAM would hold ten of them and no more).

A message is a token of `TOKEN_BYTES` and one packet. The media worker makes a token for each peer that publishes this
way (`PublishPlain`); only packets with one of the SSRCs that were announced for it are taken, and only from the process
that used the token first. The socket is a file that only this user can open, so nothing of the net reaches it.
"""

import contextlib
import logging
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from media import rtp
from media.transport.listening import bind_private

log = logging.getLogger(__name__)

TOKEN_BYTES = 16
MAX_DATAGRAM_BYTES = TOKEN_BYTES + 1500
RECEIVES_PER_PUMP = 256
MAX_CONNECTIONS = 600
"""One for each camera that is fetched, and one for phones."""
RECONNECT_S = 1.0

_CREDENTIALS = struct.Struct("3i")


@dataclass(slots=True)
class _Entry:
    number: int
    ssrcs: frozenset[int]
    process: int = 0
    """The one that used the token first; 0 before that."""


class Gate:
    """Which datagram is whose. No socket here."""

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}
        self.packets = 0
        self.dropped = {"token": 0, "process": 0, "malformed": 0, "ssrc": 0, "connection": 0}

    def admit(self, number: int, ssrcs: Iterable[int]) -> bytes:
        """A new token, for the peer of this number."""
        token = secrets.token_bytes(TOKEN_BYTES)
        self._entries[token] = _Entry(number, frozenset(ssrcs))
        return token

    def announce(self, token: bytes, ssrcs: Iterable[int]) -> None:
        """The whole list of SSRCs, anew."""
        self._entries[token].ssrcs = frozenset(ssrcs)

    def dismiss(self, token: bytes) -> None:
        self._entries.pop(token, None)

    def check(self, datagram: bytes, process: int) -> tuple[int, bytes] | None:
        """Number of the peer and its packet; None for what is counted and dropped."""
        entry = self._entries.get(datagram[:TOKEN_BYTES])
        packet = datagram[TOKEN_BYTES:]
        wrong = self._wrong(entry, packet, process)
        if entry is None or wrong:
            self._drop(wrong)
            return None
        entry.process = process
        self.packets += 1
        return entry.number, packet

    @staticmethod
    def _wrong(entry: _Entry | None, packet: bytes, process: int) -> str:
        if entry is None:
            return "token"
        if entry.process not in (0, process):
            return "process"
        if len(packet) < 8 or packet[0] >> 6 != 2:
            return "malformed"
        if rtp.is_rtcp(packet):
            return ""
        if len(packet) < rtp.HEADER_BYTES:
            return "malformed"
        return "" if int.from_bytes(packet[8:12], "big") in entry.ssrcs else "ssrc"

    def _drop(self, reason: str) -> None:
        self.dropped[reason] += 1
        log.debug("A datagram at the door was dropped: wrong %s.", reason)

    def counters(self) -> dict[str, float]:
        """As in `Beat.counters`."""
        return {"door_packets": float(self.packets)} | {
            f"dropped_door_{name}": float(count) for name, count in self.dropped.items()
        }


class Door:
    """The listening socket of a gate, and its connections."""

    def __init__(self, address: str, gate: Gate) -> None:
        """Raises:
        OSError: the folder is not there, or the name is too long for a socket.
        """
        self.address = address
        self._gate = gate
        self.socket = bind_private(address)
        self.socket.listen(MAX_CONNECTIONS)
        self.connections: dict[socket.socket, int] = {}
        """With the process at the other end."""

    def admit(self, connection: socket.socket) -> bool:
        """Whether a connection may be read with `receive`; closed where not."""
        if len(self.connections) >= MAX_CONNECTIONS:
            self._gate.dropped["connection"] += 1
            connection.close()
            return False
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        self.connections[connection] = _CREDENTIALS.unpack(credentials)[0]
        return True

    def receive(self, connection: socket.socket) -> tuple[list[tuple[int, bytes]], bool]:
        """Numbers of peers and their packets, up to a bound, and whether the connection goes on."""
        taken: list[tuple[int, bytes]] = []
        process = self.connections[connection]
        for _ in range(RECEIVES_PER_PUMP):
            try:
                datagram = connection.recv(MAX_DATAGRAM_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return taken, True
            except OSError:
                return taken, False
            if not datagram:
                return taken, False
            if len(datagram) > MAX_DATAGRAM_BYTES:
                self._gate.dropped["malformed"] += 1
            elif (found := self._gate.check(datagram, process)) is not None:
                taken.append(found)
        return taken, True

    def dismiss(self, connection: socket.socket) -> None:
        self.connections.pop(connection, None)
        connection.close()

    def close(self) -> None:
        for connection in tuple(self.connections):
            self.dismiss(connection)
        self.socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self.address)


class DoorSender:
    """The other process's end. Nothing here blocks or raises; what the door does not take at once is dropped."""

    def __init__(self, address: str, now: Callable[[], float] = time.monotonic) -> None:
        self.address = address
        self._now = now
        self._socket: socket.socket | None = None
        self._try_at = 0.0
        self.sent = 0
        self.dropped = 0

    def send(self, token: bytes, packet: bytes) -> bool:
        """Whether it is on its way."""
        if self._socket is None and not self._connect():
            self.dropped += 1
            return False
        assert self._socket is not None
        try:
            self._socket.send(token + packet)
        except (BlockingIOError, InterruptedError):
            self.dropped += 1
            return False
        except OSError as error:
            log.debug("The door at %s is closed: %s.", self.address, error)
            self.close()
            self.dropped += 1
            return False
        self.sent += 1
        return True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> bool:
        now = self._now()
        if now < self._try_at:
            return False
        self._try_at = now + RECONNECT_S
        link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link.setblocking(False)
        try:
            link.connect(self.address)
        except OSError as error:
            log.debug("The door at %s cannot be reached: %s.", self.address, error)
            link.close()
            return False
        self._socket = link
        return True
