"""The estimate of a way's bandwidth that C makes is that of `media.bandwidth`, to the last bit."""

import random
from collections.abc import Iterable

import pytest

from media import transportcc
from media.bandwidth import Bandwidth, Estimate
from media.errors import RtcpError
from media.forwarder.native import build
from media.forwarder.native.accelerated import NativeEstimate
from media.forwarder.native.binding import Library, load
from media.forwarder.native.build import library_path
from media.transportcc import Statuses
from tests.fakes.bottleneck import Simulation, Way

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def library() -> Library:
    if not library_path().exists():
        build.build(library_path())
    return load()


@pytest.fixture
def native(library: Library) -> NativeEstimate:
    told = library.ffi.gc(library.calls.estimator_new(), library.calls.estimator_free)
    return NativeEstimate(library.calls, told)


def said(estimate: Estimate) -> tuple[object, ...]:
    return (
        *(estimate.estimate_bps, estimate.acked_bps, estimate.rtt_s, estimate.loss),
        *(estimate.congested_at, estimate.known, estimate.numbered),
    )


class Both(Bandwidth):
    """The one in Python, which holds the one in C against itself at each report."""

    def __init__(self, native: NativeEstimate) -> None:
        super().__init__()
        self.native = native
        self.reports = 0

    def sent(self, packets: Iterable[tuple[int, float, int]]) -> None:
        packets = list(packets)
        super().sent(packets)
        for number, at, size in packets:
            self.native._calls.estimator_note(self.native._told, number, at, size)

    def begin_probe(self, now: float, lasts_s: float) -> None:
        super().begin_probe(now, lasts_s)
        self.native.begin_probe(now, lasts_s)

    def feedback(self, statuses: Statuses, now: float) -> bool:
        taken = super().feedback(statuses, now)
        assert self.native.feedback(statuses, now) == taken
        assert said(self.native) == said(self)
        self.reports += 1
        return taken

    def remb(self, bitrate_bps: int, now: float) -> None:
        super().remb(bitrate_bps, now)
        self.native.remb(bitrate_bps, now)
        assert said(self.native) == said(self)


@pytest.mark.parametrize(
    ("way", "wanted_bps"),
    [
        (Way(50e6), 4e6),
        (Way(500e3), 3e6),
        (Way(3e6, loss=0.15, jitter_s=0.03), 2.5e6),
        (Way(1.2e6, queue_s=1.0, delay_s=0.2), 2e6),
        (Way(40e6), 30e6),
    ],
)
def test_over_every_way_both_say_the_same(native: NativeEstimate, way: Way, wanted_bps: float) -> None:
    simulation = Simulation(way, wanted_bps)
    both = simulation.bandwidth = Both(native)
    simulation.run(4)
    way.bps *= 0.3
    simulation.run(4)
    way.bps *= 4
    simulation.run(4)
    assert both.reports > 100
    assert said(native) == said(both)


def test_reports_of_no_sense_are_taken_alike(native: NativeEstimate) -> None:
    both, chance = Both(native), random.Random(7)
    both.remb(400_000, 0.5)
    now, number = 1.0, chance.randrange(1 << 16)
    for _ in range(600):
        now += chance.choice((0.0, 0.01, 0.2, 3.0))
        for _ in range(chance.choice((0, 1, 30, 700))):
            both.sent([(number & 0xFFFF, now, chance.randint(40, 1400))])
            number += 1
        if chance.random() < 0.1:
            both.begin_probe(now, chance.choice((0.0, 0.05)))
        base = chance.choice((number - chance.randint(0, 900), chance.randrange(1 << 16))) & 0xFFFF
        deltas = tuple(chance.choice((None, 0, 4, 255, 300, -300)) for _ in range(chance.choice((0, 1, 40, 900))))
        both.feedback(Statuses(base, chance.choice((0, int(now * 15.6), 1 << 23)), 0, deltas), now)
    assert both.numbered


def test_one_finds_wrong_what_the_other_finds_wrong(library: Library) -> None:
    count = library.calls.statuses_count
    chance, right = random.Random(3), 0
    for _ in range(3000):
        deltas = tuple(chance.choice((None, 1, 2, 300)) for _ in range(chance.choice((0, 1, 9, 60))))
        body = bytearray(Statuses(5, 6, 7, deltas).pack())
        for _ in range(chance.randint(0, 3)):
            body[chance.randrange(len(body))] = chance.getrandbits(8)
        cut = bytes(body[: chance.randint(0, len(body))]) if chance.random() < 0.3 else bytes(body)
        try:
            expected = len(transportcc.parse(cut, 2000).deltas)
        except RtcpError:
            expected = -1
        assert count(cut, len(cut), 2000) == expected
        right += expected >= 0
    assert 500 < right < 2900
