"""The jitter buffer of one stream: packets in as they come, one answer for each frame that is to be played. Pure.

`delay` is what a packet waits before it is played. It follows the net: packets that come later than the fastest ones of
the last seconds say how much is needed, and the buffer aims at a delay that all but the latest 3 % keep.

| at the time of a frame | answer | afterwards |
|---|---|---|
| the packet that is due is there | `Play` | the next one is due |
| it is there, and for a while there was more than needed | `Play` with `hurry`: two are to become one | delay falls |
| a later one is there, and packets between are missing | `Missing` | the next one is due |
| a later one is there, none is missing: the sender was silent | `Wait` until its time | delay is right again |
| nothing is there | `Wait` with `dry` | delay grows by a frame |

At most `MAX_PACKETS` are kept, and never more than `max_delay_s` of sound: what is older is skipped.
"""

from collections import deque
from dataclasses import dataclass

from media.phone.audio import FRAME_S

MAX_PACKETS = 100
SPREAD_PACKETS = 200
"""Lateness is judged by so many packets, about 4 s."""
LATEST_SHARE = 0.03
FLOOR_S = 5.0
"""The fastest packet of the last one to two of these is what lateness is measured from: clocks drift."""
CALM_FRAMES = 50
"""Too much in the buffer for so many frames in a row: a frame is saved."""
NEW_BEGINNING_S = 2.0
"""A timestamp further away than this is another stream's."""


@dataclass(frozen=True, slots=True)
class Packet:
    sequence: int
    """Extended."""
    timestamp: int
    """Extended."""
    duration: int
    """Ticks."""
    payload: bytes
    arrived_at: float


@dataclass(frozen=True, slots=True)
class Play:
    packet: Packet
    hurry: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """A packet of this many ticks was lost, or is late."""

    duration: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is due. `dry`: something should be there by now."""

    dry: bool


Answer = Play | Missing | Wait


class JitterBuffer:
    """See the module's head. Sequence numbers and timestamps are extended by the caller (`media.rtp.nearest`)."""

    def __init__(self, clock_rate: int, *, min_delay_s: float = 0.02, max_delay_s: float = 0.24) -> None:
        self._clock_rate = clock_rate
        self._min_delay_s = min_delay_s
        self._max_delay_s = max_delay_s
        self._packets: dict[int, Packet] = {}
        """By sequence number."""
        self._next: int | None = None
        """Timestamp of what is due; None before the first packet was played."""
        self._last_sequence = -1
        """Of what was played last, or given up."""
        self._usual = round(clock_rate * FRAME_S)
        self._others: set[int] = set()
        self._spread: deque[float] = deque(maxlen=SPREAD_PACKETS)
        self._floors: list[float] = []
        self._floor_since = 0.0
        self._since_judged = 0
        self.target_s = 2 * FRAME_S
        self._calm = 0
        self._least = float("inf")
        self.played = self.missing = self.late = self.duplicates = self.skipped = self.hurried = self.dry = 0

    # --- in -----------------------------------------------------------------------------------------------------------

    def put(self, packet: Packet) -> None:
        """A packet came."""
        if packet.sequence in self._packets:
            self.duplicates += 1
            return
        if packet.sequence <= self._last_sequence:
            self.late += 1
            return
        self._judge(packet)
        if self._next is not None:
            distance = packet.timestamp - self._next
            if abs(distance) > NEW_BEGINNING_S * self._clock_rate:
                if not self._packets:
                    self._begin_anew()
            elif distance <= -packet.duration:
                self.late += 1
                return
        self._packets[packet.sequence] = packet
        self._bound()

    def other(self, sequence: int) -> None:
        """A packet of the stream that is no sound (DTMF, comfort noise): it is not missing."""
        self._others.add(sequence)
        if len(self._others) > 2 * MAX_PACKETS:
            self._others = {each for each in self._others if each > sequence - MAX_PACKETS}

    def reset(self) -> None:
        """Another source, or the end of a hold."""
        self._packets.clear()
        self._others.clear()
        self._last_sequence = -1
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._next = None
        self._spread.clear()
        self._floors.clear()
        self.target_s = 2 * FRAME_S
        self._calm, self._least = 0, float("inf")

    def _judge(self, packet: Packet) -> None:
        """How late it is, against the fastest of the last seconds."""
        transit = packet.arrived_at - packet.timestamp / self._clock_rate
        if not self._floors or packet.arrived_at - self._floor_since >= FLOOR_S:
            self._floors = [transit, *self._floors[:1]]
            self._floor_since = packet.arrived_at
        self._floors[0] = min(self._floors[0], transit)
        self._spread.append(max(0.0, transit - min(self._floors)))
        self._since_judged += 1
        if self._since_judged >= 10:
            self._since_judged = 0
            ordered = sorted(self._spread)
            late = ordered[min(len(ordered) - 1, int(len(ordered) * (1 - LATEST_SHARE)))]
            self.target_s = min(self._max_delay_s, max(self._min_delay_s, late + FRAME_S / 2))

    def _bound(self) -> None:
        while len(self._packets) > MAX_PACKETS or (self._next is not None and self.held_s > self._max_delay_s):
            sequence = min(self._packets)
            first = self._packets[sequence]
            if self._next is not None and self._next < first.timestamp:
                self._next, self._last_sequence = first.timestamp, sequence - 1
                continue
            if len(self._packets) == 1:
                return
            del self._packets[sequence]
            self._next, self._last_sequence = first.timestamp + first.duration, sequence
            self.skipped += 1

    @property
    def held_s(self) -> float:
        """Sound from what is due to the end of the newest packet."""
        if not self._packets:
            return 0.0
        newest = self._packets[max(self._packets)]
        first = self._packets[min(self._packets)].timestamp if self._next is None else self._next
        return max(0, newest.timestamp + newest.duration - first) / self._clock_rate

    # --- out ----------------------------------------------------------------------------------------------------------

    def get(self, now: float) -> Answer:
        """What to play next."""
        if not self._packets:
            self.dry += self._next is not None
            return Wait(dry=self._next is not None)
        sequence = min(self._packets)
        first = self._packets[sequence]
        if self._next is None:
            if now - first.arrived_at < self.target_s - FRAME_S / 2 and self.held_s < self.target_s:
                return Wait(dry=False)
            return self._play(first)
        ahead = first.timestamp - self._next
        if ahead <= 0:
            return self._play(first)
        if sequence - self._last_sequence - 1 > self._others_between(sequence):
            step = min(self._usual, ahead)
            self._next += step
            self.missing += 1
            if ahead <= step:
                self._last_sequence = sequence - 1
            return Missing(step)
        if now - first.arrived_at >= self.target_s - FRAME_S / 2 or ahead > NEW_BEGINNING_S * self._clock_rate:
            return self._play(first)
        return Wait(dry=False)

    def _others_between(self, sequence: int) -> int:
        return sum(self._last_sequence < each < sequence for each in self._others)

    def _play(self, packet: Packet) -> Play:
        del self._packets[packet.sequence]
        self._last_sequence = packet.sequence
        self._next = packet.timestamp + packet.duration
        self._usual = packet.duration
        self.played += 1
        return Play(packet, self._hurries())

    def _hurries(self) -> bool:
        """Whether there was more left than needed, for a while, each time."""
        self._least = min(self._least, self.held_s)
        self._calm += 1
        if self._calm < CALM_FRAMES:
            return False
        spare, self._least, self._calm = self._least, float("inf"), 0
        if spare < self.target_s + FRAME_S / 2 or not self._packets:
            return False
        self.hurried += 1
        return True
