"""A sender, a bottleneck and a receiver on virtual time: what the estimator of bandwidth sees of a way."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from media.bandwidth import Bandwidth
from media.probing import Prober, lasts_s
from media.transportcc import Arrivals, Statuses


@dataclass
class Way:
    """So many bits a second, a queue in front that drops what would wait longer, and seeded loss and jitter."""

    bps: float
    queue_s: float = 0.3
    delay_s: float = 0.03
    loss: float = 0.0
    jitter_s: float = 0.0


class Simulation:
    """Frames thirty times a second, sent at the rate that the estimate allows up to `wanted_bps`, within a few ms."""

    STEP_S = 0.005

    def __init__(self, way: Way, wanted_bps: float, seed: int = 1) -> None:
        self.way, self.wanted_bps = way, wanted_bps
        self.bandwidth = Bandwidth()
        self.prober = Prober()
        self.now = 1000.0
        self.waits: list[tuple[float, float]] = []
        """When, and how long it stood in the queue."""
        self.sent_packets = self.dropped = self.padding = 0
        self.history: list[tuple[float, float]] = []
        self._dice = random.Random(seed)
        self._arrivals = Arrivals()
        self._free_at = self.now
        self._under_way: list[tuple[float, int]] = []
        self._feedback: list[tuple[float, Statuses]] = []
        self._number = 1
        self._next_frame = self._next_report = self.now
        self._probe_until = 0.0
        self._probe_bps = 0.0
        self._padded_to = 0.0
        self._owed = 0.0

    def run(self, seconds: float, each_step: Callable[[], None] = lambda: None) -> None:
        end = self.now + seconds
        while self.now < end:
            self._send_frames()
            self._probe()
            self._receive()
            self.history.append((self.now, self.bandwidth.estimate_bps))
            each_step()
            self.now += self.STEP_S

    def _send(self, size: int, at: float) -> None:
        number, self._number = self._number & 0xFFFF, self._number + 1
        self.bandwidth.sent([(number, at, size)])
        self.sent_packets += 1
        wait = max(0.0, self._free_at - at)
        if self._dice.random() < self.way.loss or wait > self.way.queue_s:
            self.dropped += wait > self.way.queue_s
            return
        self.waits.append((at, wait))
        self._free_at = max(self._free_at, at) + (size + 44) * 8 / self.way.bps
        arrives = self._free_at + self.way.delay_s + self._dice.random() * self.way.jitter_s
        self._under_way.append((arrives, number))

    def _send_frames(self) -> None:
        rate = min(self.wanted_bps, self.bandwidth.estimate_bps)
        while self._next_frame <= self.now:
            size = rate / 30 / 8
            packets = max(1, round(size / 1100))
            for index in range(packets):
                self._send(max(60, int(size / packets)), self._next_frame + index * 0.0004)
            self._next_frame += 1 / 30

    def _probe(self) -> None:
        missing = max(0.0, self.wanted_bps - self.bandwidth.estimate_bps)
        rate = self.prober.rate(self.bandwidth, missing, self.now)
        if rate is not None:
            self.bandwidth.begin_probe(self.now, lasts_s(rate))
            self._probe_until, self._probe_bps, self._owed = self.now + lasts_s(rate), rate, 0.0
        if self.now < self._probe_until:
            self._owed += self._probe_bps * self.STEP_S / 8
            index = 0
            while self._owed >= 550:
                self._owed -= 1100
                self.padding += 1
                self._send(1100, self.now + index * 0.0004)
                index += 1

    def _receive(self) -> None:
        came = sorted(each for each in self._under_way if each[0] <= self.now)
        self._under_way = [each for each in self._under_way if each[0] > self.now]
        self._arrivals.arrived((number, at) for at, number in came)
        if self.now >= self._next_report:
            self._next_report += 0.1
            for statuses in self._arrivals.reports(self.now):
                self._feedback.append((self.now + self.way.delay_s, statuses))
        for due, statuses in [each for each in self._feedback if each[0] <= self.now]:
            self._feedback.remove((due, statuses))
            self.bandwidth.feedback(statuses, self.now)
