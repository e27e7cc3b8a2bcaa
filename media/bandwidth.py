"""How much may be sent to one receiver, from its reports. Pure; `now` in monotonic seconds.

Google congestion control on the sending side, as in draft-ietf-rmcat-gcc-02: the smaller of two estimates.

- By delay: `media.trendline` says what the queue does. While it grows the estimate becomes 0.85 of what arrives; else
  it grows, by 8 % a second while the limit of the way is unknown, by about a packet per round trip near it, and never
  beyond one and a half times what arrives: an idle way proves nothing.
- By loss: more than 10 % lost lowers it, less than 2 % raises it. Less than 18 % in the mean of some windows while no
  queue stands does not (ours): a way that loses packets whatever is sent loses as many of less. Where packets also
  stand in a long queue, that queue is full rather than growing, which the trend does not show: then too the estimate
  becomes 0.85 of what arrives. (This is ours as well; the draft waits for the losses alone.)

A *probe* (some 25 ms of padding at a higher rate) shows more of the way at once: the rate at which it arrives.
A receiver that numbers nothing may still send REMB, its own estimate, which is then taken as it is.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from media.rtp import nearest
from media.transportcc import REFERENCE_TICKS, TICKS_PER_S, Statuses
from media.trendline import Trendline

START_BPS, LEAST_BPS, MOST_BPS = 1_500_000.0, 50_000.0, 50_000_000.0
HISTORY_S = 2.0
ACKED_WINDOW_S = 0.5
MAX_ACKED = 8192
MAX_HISTORY = 16_384
"""Packets whose fate is waited for."""
CLOCK_BACK_S = 1.0
"""A receiver whose arrivals jump back so far has another clock now: what came by the old one is no measure."""
DECREASE = 0.85
GROWTH_PER_S = 1.08
OVERHEAD_BYTES = 44
"""Of a packet beside its RTP form: IP and UDP headers, the tag of SRTP."""
LOSS_LOW, LOSS_HIGH = 0.02, 0.10
LOSS_HEAVY, LOSS_SHARE = 0.18, 0.25
"""Lost in the mean, the newest window with this share of it."""
LOSS_PACKETS, LOSS_PACKETS_STANDING = 60, 20
"""Judged at once: of few packets, a die that loses 5 % often loses more than 10; where a queue stands, few will do."""
NOTICED_S = 0.025
"""A queue that grows but is shorter than this is a receiver that was busy, and what arrives not all that could."""
LONG_S = 0.15
"""A queue that has become this long is not waited for to be seen growing; once, until it was short again."""
STANDING_S = 0.08
"""So much longer than its best a way takes when packets stand in a queue."""
PROBE_PACKETS = 4
REPORTS_PER_S = 100.0
REPORTS_AHEAD = 20.0
"""A receiver reports ten or twenty times a second, now and then several times at once; what is far above is refused."""


@dataclass(slots=True)
class _Sent:
    at: float
    size: int
    probe: int
    arrived: float | None = None
    lost: bool = False


@dataclass(slots=True)
class _Probe:
    began: float
    ended: float
    packets: list[tuple[float, float, int]]
    """Sent, arrived, bytes."""
    sent: int = 0


class Estimate(Protocol):
    """What an estimator says. `arranged_bps` is only kept for who asks: the estimate when all was arranged last."""

    known: bool
    """Whether the receiver says anything that an estimate can be made of."""
    arranged_bps: float

    @property
    def estimate_bps(self) -> float: ...
    @property
    def acked_bps(self) -> float | None:
        """What arrived in the last half second."""

    @property
    def rtt_s(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def congested_at(self) -> float | None:
        """When the way was seen to be full for the last time."""

    @property
    def numbered(self) -> bool:
        """Whether it sends transport-wide feedback."""

    def begin_probe(self, now: float, lasts_s: float) -> None:
        """What is sent from now on for so long shows, by how it arrives, what the way carries."""

    def feedback(self, statuses: Statuses, now: float) -> bool:
        """Transport-wide feedback; False where it came too often and was left out."""

    def remb(self, bitrate_bps: int, now: float) -> None:
        """The receiver's own estimate; counts where it numbers nothing."""


class Bandwidth:
    """The estimate for one receiver: an `Estimate`."""

    def __init__(self) -> None:
        self.estimate_bps = START_BPS
        self.acked_bps: float | None = None
        self.rtt_s = 0.1
        self.loss = 0.0
        self.known = False
        self.arranged_bps = 0.0
        self.congested_at: float | None = None
        self._sent: dict[int, _Sent] = {}
        self._highest = -1
        self._trend = Trendline()
        self._acked: deque[tuple[float, int]] = deque(maxlen=MAX_ACKED)
        self._reference: int | None = None
        self._by_delay = START_BPS
        self._by_loss = MOST_BPS
        self._grew_at: float | None = None
        self._fell_at = float("-inf")
        self._limit: tuple[float, float] | None = None
        """Mean and variance of what arrived when the queue grew: where the limit of the way seems to be."""
        self._least_s: float | None = None
        """The smallest difference between the receiver's clock and ours, and how far above it the last ones are:"""
        self._standing_s = 0.0
        self._was_short = True
        self._lost = self._judged = 0
        self._mean_loss = 0.0
        self._loss_at = float("-inf")
        self._probe: _Probe | None = None
        self._probe_number = 0
        self.numbered = False
        self._reported_at = float("-inf")
        self._reports_left = 0.0

    # --- what was sent ----------------------------------------------------------------------------------------------

    def sent(self, packets: Iterable[tuple[int, float, int]]) -> None:
        """Numbers (16 bits), times and bytes, in the order of the numbers."""
        probe = self._probe
        for number, at, size in packets:
            extended = self._highest + (number - self._highest & 0xFFFF) if self._highest >= 0 else number + 0x10000
            self._highest = extended
            part = 0
            if probe is not None and probe.began <= at <= probe.ended:
                part = self._probe_number
                probe.sent += 1
            self._sent[extended] = _Sent(at, size + OVERHEAD_BYTES, part)
        while self._sent:
            oldest = next(iter(self._sent))
            young = self._sent[self._highest].at - self._sent[oldest].at <= HISTORY_S
            if young and len(self._sent) <= MAX_HISTORY:
                break
            del self._sent[oldest]

    def begin_probe(self, now: float, lasts_s: float) -> None:
        """Also what was sent just now is a part of it."""
        self._probe_number += 1
        probe = self._probe = _Probe(now, now + lasts_s, [])
        for packet in reversed(self._sent.values()):
            if packet.at < now:
                break
            if packet.at <= probe.ended:
                packet.probe = self._probe_number
                probe.sent += 1

    # --- what is said of it -----------------------------------------------------------------------------------------

    def feedback(self, statuses: Statuses, now: float) -> bool:
        elapsed = now - self._reported_at
        self._reports_left = min(self._reports_left + elapsed * REPORTS_PER_S, REPORTS_AHEAD)
        self._reported_at = now
        if self._reports_left < 1:
            return False
        self._reports_left -= 1
        if self._highest >= 0:
            self._take(statuses, now)
        return True

    def _take(self, statuses: Statuses, now: float) -> None:
        self.known = self.numbered = True
        number = nearest(statuses.base, self._highest, 16)
        reference = self._unwrapped(statuses.reference)
        ticks = reference * REFERENCE_TICKS
        came: list[_Sent] = []
        newest_sent = None
        for delta in statuses.deltas:
            packet = self._sent.get(number)
            number += 1
            if delta is not None:
                ticks += delta
            if packet is None:
                continue
            if delta is None:
                if not packet.lost and packet.arrived is None:
                    packet.lost = True
                    self._lost += 1
                    self._judged += 1
                continue
            if packet.arrived is not None:
                continue
            packet.arrived = ticks / TICKS_PER_S
            self._judged += 1
            if packet.lost:  # it was only late
                packet.lost = False
                self._lost -= 1
                self._judged -= 1
            came.append(packet)
            newest_sent = packet.at
        if newest_sent is not None:
            self.rtt_s = 0.9 * self.rtt_s + 0.1 * max(0.0, min(now - newest_sent, 2.0))
        self._learn(came)
        self._by_losses(now)
        self._by_delays(now)
        self._settle()

    def _unwrapped(self, reference: int) -> int:
        """Reference times have 24 bits."""
        known = reference if self._reference is None else nearest(reference, self._reference, 24)
        self._reference = known
        return known

    def _learn(self, came: list[_Sent]) -> None:
        probe = self._probe
        for packet in came:
            arrived = packet.arrived
            assert arrived is not None
            self._trend.packet(packet.at, arrived)
            # Forgotten slowly, so that another way or a drifting clock does not count for ever.
            least = arrived - packet.at if self._least_s is None else self._least_s + 0.00001
            self._least_s = min(least, arrived - packet.at)
            self._standing_s = 0.8 * self._standing_s + 0.2 * (arrived - packet.at - self._least_s)
            if self._acked and arrived < self._acked[-1][0] - CLOCK_BACK_S:
                self._acked.clear()
            self._acked.append((arrived, packet.size))
            if probe is not None and packet.probe == self._probe_number:
                probe.packets.append((packet.at, arrived, packet.size))
        if self._acked:
            newest = max(at for at, _ in list(self._acked)[-8:])
            while self._acked and self._acked[0][0] < newest - ACKED_WINDOW_S:
                self._acked.popleft()
            span = newest - self._acked[0][0]
            if span > ACKED_WINDOW_S / 2:
                self.acked_bps = sum(size for _, size in self._acked) * 8 / max(span, ACKED_WINDOW_S * 0.9)
        if probe is not None:
            self._judge_probe(probe)

    # --- by delay ---------------------------------------------------------------------------------------------------

    def _by_delays(self, now: float) -> None:
        elapsed = min(now - self._grew_at, 1.0) if self._grew_at is not None else 0.0
        self._grew_at = now
        usage = self._trend.usage
        if usage == "over" and self._standing_s < NOTICED_S:
            usage = self._trend.usage = "normal"
        if self._standing_s < STANDING_S:
            self._was_short = True
        elif self._standing_s > LONG_S and self._was_short:
            self._was_short, usage = False, "over"
        if usage == "over":
            self._trend.usage = "normal"
            if now - self._fell_at >= self.rtt_s + 0.1 and self.acked_bps is not None:
                self._fall(self.acked_bps, now)
        elif usage == "normal" and now - self._fell_at > self.rtt_s + 0.1:
            self._grow(elapsed)

    def _fall(self, acked: float, now: float) -> None:
        self._fell_at = self.congested_at = now
        self._by_delay = max(LEAST_BPS, min(self._by_delay, acked * DECREASE))
        if self._limit is None or abs(acked - self._limit[0]) > 3 * self._limit[1] ** 0.5:
            self._limit = acked, (acked * 0.1) * (acked * 0.1)
        else:
            mean, variance = self._limit
            off = acked - mean
            self._limit = mean * 0.95 + acked * 0.05, variance * 0.95 + off * off * 0.05
        self._probe = None

    def _grow(self, elapsed: float) -> None:
        acked = self.acked_bps
        if acked is None:
            return
        if self._limit is not None and acked > self._limit[0] + 3 * self._limit[1] ** 0.5:
            self._limit = None  # there is more room than there was
        near = self._limit is not None and self._by_delay > self._limit[0] - 3 * self._limit[1] ** 0.5
        if near:
            grown = self._by_delay + elapsed * max(4000.0, 1200 * 8 / (self.rtt_s + 0.1))
        else:
            grown = self._by_delay * GROWTH_PER_S**elapsed + 1000 * elapsed
        self._by_delay = max(self._by_delay, min(grown, acked * 1.5 + 10_000))
        if self._standing_s < STANDING_S:
            self._by_delay = max(self._by_delay, acked * DECREASE)

    # --- by loss ----------------------------------------------------------------------------------------------------

    def _by_losses(self, now: float) -> None:
        least = LOSS_PACKETS_STANDING if self._standing_s > STANDING_S else LOSS_PACKETS
        if self._judged < least or now - self._loss_at < 0.2:
            return
        elapsed = min(now - self._loss_at, 1.0)
        self.loss = max(0, self._lost) / self._judged
        self._lost = self._judged = 0
        self._loss_at = now
        self._take_loss(self.loss, elapsed, now)

    def _take_loss(self, loss: float, elapsed: float, now: float) -> None:
        self._mean_loss += LOSS_SHARE * (loss - self._mean_loss)
        if loss > LOSS_HIGH:
            if self._standing_s < NOTICED_S and self._mean_loss < LOSS_HEAVY:
                return
            if now - self._fell_at >= self.rtt_s + 0.3:
                # What arrives in spite of it is there to be used.
                least = max(LEAST_BPS, min((self.acked_bps or 0.0) * DECREASE, self.estimate_bps))
                self._by_loss = max(least, min(self._by_loss, self.estimate_bps) * (1 - 0.5 * loss))
                if self._standing_s > STANDING_S and self.acked_bps is not None:
                    self._fall(self.acked_bps, now)
                self._fell_at = self.congested_at = now
        elif loss < LOSS_LOW:
            self._by_loss = min(MOST_BPS, self._by_loss * GROWTH_PER_S**elapsed + 1000 * elapsed)

    # --- by probes and by the receiver's own word -------------------------------------------------------------------

    def _judge_probe(self, probe: _Probe) -> None:
        packets = probe.packets
        if len(packets) < PROBE_PACKETS or len(packets) < 0.8 * probe.sent or not self._over(probe):
            return
        self._probe = None
        first_sent, last_sent = packets[0][0], packets[-1][0]
        arrivals = [arrived for _, arrived, _ in packets]
        first, last = min(arrivals), max(arrivals)
        total = sum(size for _, _, size in packets)
        if last_sent <= first_sent or last <= first:
            return
        sent = (total - packets[-1][2]) * 8 / (last_sent - first_sent)
        received = (total - packets[0][2]) * 8 / (last - first)
        if received > 2 * sent:
            return
        result = min(sent, received) if received >= 0.9 * sent else received * 0.95
        if result > self._by_delay:
            self._by_delay = min(result, MOST_BPS)
            self._by_loss = max(self._by_loss, self._by_delay)
            self._limit = None

    def _over(self, probe: _Probe) -> bool:
        newest = self._sent.get(self._highest)
        return newest is not None and (newest.at > probe.ended or len(probe.packets) == probe.sent)

    def remb(self, bitrate_bps: int, now: float) -> None:
        self.known = True
        if not self.numbered:
            before = self.estimate_bps
            self.estimate_bps = min(max(float(bitrate_bps), LEAST_BPS), MOST_BPS)
            if self.estimate_bps < before * 0.95:
                self.congested_at = now

    def _settle(self) -> None:
        self.estimate_bps = min(max(min(self._by_delay, self._by_loss), LEAST_BPS), MOST_BPS)
