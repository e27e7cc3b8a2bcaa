"""A track's access units on their way out to a reader, without ever waiting for it.

States of the way:

| State | On a unit | Leaves it when |
|---|---|---|
| not connected | dropped | a connect succeeds, tried at most once per second |
| waiting for a key frame | dropped unless it is one | a key unit goes out |
| flowing | written, or queued behind what the socket has not taken | nothing taken for `MAX_STUCK_S`, or queue full |

Leaving "flowing" means waiting for a key frame again, and that one is marked `after_gap`.
"""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import replace

from media.depacketize import Depacketizer
from media.keyframes import Payload
from media.tap import MAX_UNIT_BYTES, AccessUnit, pack

log = logging.getLogger(__name__)

MAX_PENDING_BYTES = MAX_UNIT_BYTES
MAX_STUCK_S = 1.0
"""A reader that takes nothing for so long gets no stale pictures later."""
RECONNECT_S = 1.0


class TapSender:
    """One track to one Unix stream socket. Call `packet` for each RTP packet; nothing here blocks or raises."""

    def __init__(self, address: str, track: str, codec: str, now: Callable[[], float] = time.monotonic) -> None:
        """Raises:
        ValueError: a codec that is not depacketized.
        """
        self._address = address
        self._depacketizer = Depacketizer(codec, track)
        self._now = now
        self._socket: socket.socket | None = None
        self._try_at = 0.0
        self._pending = bytearray()
        self._taken_at = 0.0
        self._waits_for_key = True
        self._asks_for_key = False
        self._gap = False
        self.units_sent = 0
        self.units_dropped = 0
        self._connect()

    @property
    def connected(self) -> bool:
        return self._socket is not None

    @property
    def wants_keyframe(self) -> bool:
        """Whether the reader is there and a key frame would help it: nothing goes out before the next one, or what goes
        out refers to pictures that were lost on the way here."""
        return self._socket is not None and (self._waits_for_key or self._asks_for_key)

    @property
    def pending_bytes(self) -> int:
        return len(self._pending)

    def packet(self, payload: Payload, marker: bool, timestamp: int, seq: int, arrived_at: float) -> None:
        """Take one RTP packet's payload; arguments as in `Depacketizer.push`."""
        unit = self._depacketizer.push(payload, marker, timestamp, seq, arrived_at)
        while unit is not None:
            self._unit(unit)
            unit = self._depacketizer.pop()
        if self._pending:
            self.flush()

    def flush(self) -> None:
        """Write what the socket takes now of what it has not taken before."""
        while self._pending and self._socket is not None:
            try:
                taken = self._socket.send(self._pending)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._lost(error)
                return
            del self._pending[:taken]
            self._taken_at = self._now()

    def hear(self) -> None:
        """A byte from the reader asks for a key frame. A few times a second is often enough."""
        if self._socket is None:
            return
        try:
            said = self._socket.recv(64)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lost(error)
            return
        if said:
            self._asks_for_key = True
        else:
            self._lost(ConnectionResetError("it has closed"))

    def close(self) -> None:
        """For good; what is pending is dropped."""
        self._try_at = float("inf")
        self._disconnect()

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._pending.clear()

    def _unit(self, unit: AccessUnit) -> None:
        if self._socket is None and not self._connect():
            self._drop()
            return
        self.flush()
        if self._pending and self._now() - self._taken_at > MAX_STUCK_S:
            self._waits_for_key = True
        if self._waits_for_key and (self._pending or not unit.key):
            self._drop()
            return
        frame = pack(replace(unit, after_gap=unit.after_gap or self._gap))
        if self._pending and len(self._pending) + len(frame) > MAX_PENDING_BYTES:
            self._drop()
            return
        if not self._pending:
            self._taken_at = self._now()
        self._pending += frame
        self._waits_for_key = self._gap = False
        self._asks_for_key = not unit.key and (self._asks_for_key or unit.after_gap)
        self.units_sent += 1
        self.flush()

    def _drop(self) -> None:
        self._waits_for_key = True
        self._gap = True
        self.units_dropped += 1

    def _connect(self) -> bool:
        now = self._now()
        if now < self._try_at:
            return False
        self._try_at = now + RECONNECT_S
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)
        try:
            link.connect(self._address)
        except OSError as error:
            log.debug("The tap at %s cannot be reached: %s.", self._address, error)
            link.close()
            return False
        self._socket = link
        self._waits_for_key = True
        return True

    def _lost(self, error: OSError) -> None:
        log.debug("The reader of the tap at %s is gone: %s.", self._address, error)
        self._disconnect()
        self._waits_for_key = True
        self._gap = True
