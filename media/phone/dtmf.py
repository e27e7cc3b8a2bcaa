"""DTMF: named events in RTP (RFC 4733), and tones where the other side has none. Pure.

A digit is a series of packets with one timestamp and a growing duration; the last is sent three times. The receiver
tells it once, when it ends: at the packet that says so, or `LOST_END_S` after the last one.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from media.errors import PacketError
from media.phone.audio import FULL_SCALE, Samples

EVENTS = "0123456789*#ABCD"
"""Event codes 0 to 15."""
_PAYLOAD = struct.Struct("!BBH")
LOST_END_S = 0.1
END_REPEATS = 3
OLD_S = 5.0
"""A timestamp by no more than this behind is that of an old packet; by more, the sender began anew."""
VOLUME_DBM0 = 10
"""Sent as is: -10 dBm0."""
INFO_TWIN_S = 1.0
"""Within this, the same digit by RTP and by INFO is one press."""

LOW, HIGH = (697.0, 770.0, 852.0, 941.0), (1209.0, 1336.0, 1477.0, 1633.0)
_ROWS = ("123A", "456B", "789C", "*0#D")
FREQUENCIES = {
    digit: (LOW[row], HIGH[column]) for row, digits in enumerate(_ROWS) for column, digit in enumerate(digits)
}


class EventError(PacketError):
    """Not a telephone event."""


@dataclass(frozen=True, slots=True)
class Pressed:
    digit: str
    duration_s: float


class EventReceiver:
    """Digits of one stream. Other events (flash, fax tones) are passed over."""

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._timestamp: int | None = None
        self._last_told: int | None = None
        self._digit = ""
        self._duration = 0
        self._heard_at = 0.0

    def packet(self, timestamp: int, payload: bytes, now: float) -> list[Pressed]:
        """Digits that ended. `timestamp` is extended.

        Raises:
            EventError: too short.
        """
        if len(payload) < _PAYLOAD.size:
            raise EventError(f"{len(payload)} bytes are no telephone event.")
        event, flags, duration = _PAYLOAD.unpack_from(payload)
        ended: list[Pressed] = []
        newest = self._timestamp if self._timestamp is not None else self._last_told
        if timestamp == self._last_told or (newest is not None and 0 < newest - timestamp < OLD_S * self._clock_rate):
            return ended
        if timestamp != self._timestamp:
            ended += self._end()
            self._timestamp = timestamp
            self._digit = EVENTS[event] if event < len(EVENTS) else ""
            self._duration = 0
        self._duration = max(self._duration, duration)
        self._heard_at = now
        if flags & 0x80:
            ended += self._end()
        return ended

    def tick(self, now: float) -> list[Pressed]:
        """A digit whose end was lost."""
        return self._end() if self._timestamp is not None and now - self._heard_at >= LOST_END_S else []

    def _end(self) -> list[Pressed]:
        if self._timestamp is None:
            return []
        self._last_told, self._timestamp = self._timestamp, None
        return [Pressed(self._digit, self._duration / self._clock_rate)] if self._digit else []


@dataclass(frozen=True, slots=True)
class EventPacket:
    """What to send instead of sound."""

    payload: bytes
    marker: bool
    offset: int
    """Ticks since the event began: its timestamp is that much older than now's."""


class EventSender:
    """Digits on their way out, one packet for each frame of 20 ms (three in the last)."""

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._step = clock_rate // 50
        self._queue: deque[tuple[str, int, int]] = deque(maxlen=64)
        self._elapsed = 0
        self._pause = 0

    def send(self, digits: str, tone_s: float, gap_s: float) -> None:
        """Queue them; more than 64 waiting push out the oldest."""
        ticks, gap = round(tone_s * self._clock_rate), round(gap_s * self._clock_rate)
        self._queue.extend((digit, ticks, gap) for digit in digits)

    @property
    def busy(self) -> bool:
        """Whether a digit sounds, so that no sound is to be sent."""
        return bool(self._queue) and self._pause <= 0

    def frame(self) -> Iterator[EventPacket]:
        """What goes out in this frame, if anything."""
        if self._pause > 0:
            self._pause -= self._step
            return
        if not self._queue:
            return
        digit, ticks, gap = self._queue[0]
        began = self._elapsed == 0
        self._elapsed += self._step
        ends = self._elapsed >= ticks
        duration = min(0xFFFF, self._elapsed)
        payload = _PAYLOAD.pack(EVENTS.index(digit), (0x80 if ends else 0) | VOLUME_DBM0, duration)
        for number in range(END_REPEATS if ends else 1):
            yield EventPacket(payload, began and number == 0, self._elapsed - self._step)
        if ends:
            self._queue.popleft()
            self._elapsed, self._pause = 0, gap


class ToneDetector:
    """DTMF in the sound itself (ITU-T Q.24): both tones strong, alike, and nearly all that is heard."""

    BLOCK_S = 0.02
    NEEDED = 2
    """Blocks in a row with the same digit; as many without it end it."""
    FAINTEST_DBOV = -45.0
    TWIST_DB = 9.0
    SHARE = 0.75

    def __init__(self, rate: int) -> None:
        self._samples = round(rate * self.BLOCK_S)
        at = np.arange(2 * self._samples) / rate
        window = np.hanning(2 * self._samples)
        waves = [np.exp(-2j * np.pi * frequency * at) * window for frequency in LOW + HIGH]
        self._waves = np.array(waves).astype(np.complex64)
        self._scale = float(2 / window.sum())
        self._energy = float((window**2).sum())
        self._past = np.zeros(self._samples, np.float32)
        self._window = window.astype(np.float32)
        self._last = self._digit = ""
        self._count = self._absent = self._blocks = 0

    def frame(self, samples: Samples) -> list[Pressed]:
        """A frame of 20 ms; digits that ended."""
        joined = np.concatenate((self._past, samples))
        self._past = samples
        found = self._look(joined)
        self._count = self._count + 1 if found and found == self._last else 1
        self._last = found
        ended: list[Pressed] = []
        if self._digit and found != self._digit:
            self._absent += 1
            if self._absent >= self.NEEDED:
                ended.append(Pressed(self._digit, self._blocks * self.BLOCK_S))
                self._digit = ""
        elif self._digit:
            self._absent, self._blocks = 0, self._blocks + 1
        if found and not self._digit and self._count >= self.NEEDED:
            self._digit, self._absent, self._blocks = found, 0, self._count
        return ended

    def _look(self, joined: Samples) -> str:
        windowed = joined * self._window
        power = float(np.dot(windowed, windowed)) / self._energy
        if power < FULL_SCALE**2 * 10 ** (self.FAINTEST_DBOV / 10):
            return ""
        sizes = np.abs(self._waves @ joined) * self._scale
        low, high = int(np.argmax(sizes[:4])), int(np.argmax(sizes[4:]))
        strong = float(sizes[low]), float(sizes[4 + high])
        if not min(strong) or abs(20 * np.log10(strong[0] / strong[1])) > self.TWIST_DB:
            return ""
        if (strong[0] ** 2 + strong[1] ** 2) / 2 < self.SHARE * power:
            return ""
        return _ROWS[low][high]


class Twins:
    """The same press by RTP and by SIP INFO is told once."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, float]] = {}

    def fresh(self, digit: str, source: str, now: float) -> bool:
        """Whether this one is to be told."""
        other = self._told.get(digit)
        if other is not None and other[0] != source and now - other[1] < INFO_TWIN_S:
            del self._told[digit]
            return False
        self._told[digit] = (source, now)
        return True
