"""The estimate of a way's bandwidth, on virtual time."""

import pytest

from media.bandwidth import LEAST_BPS, START_BPS, Bandwidth
from media.rtcp import Remb
from media.transportcc import Statuses
from tests.fakes.bottleneck import Simulation, Way


def test_a_wide_way_gives_what_is_wanted_within_a_second() -> None:
    simulation = Simulation(Way(50e6), 4e6)
    simulation.run(1)
    assert simulation.bandwidth.estimate_bps > 4e6
    assert simulation.dropped == 0


def test_a_thin_way_is_found_within_two_seconds_and_its_queue_left_free() -> None:
    simulation = Simulation(Way(500e3), 3e6)
    simulation.run(2)
    assert simulation.bandwidth.estimate_bps < 550e3
    simulation.waits.clear()
    simulation.dropped = 0
    simulation.run(15)
    waits = sorted(wait for _, wait in simulation.waits)
    assert waits[len(waits) // 2] < 0.2
    assert simulation.dropped < 0.02 * len(waits)
    assert simulation.bandwidth.estimate_bps > 300e3


def test_a_cut_is_felt_within_two_seconds_and_its_end_within_ten() -> None:
    simulation = Simulation(Way(3e6), 2.5e6)
    simulation.run(10)
    assert simulation.bandwidth.estimate_bps > 2.5e6
    simulation.way.bps = 500e3
    simulation.run(2)
    assert simulation.bandwidth.estimate_bps < 550e3
    simulation.run(10)
    assert 350e3 < simulation.bandwidth.estimate_bps < 600e3
    simulation.way.bps = 3e6
    simulation.run(10)
    assert simulation.bandwidth.estimate_bps > 2.4e6


@pytest.mark.parametrize("way", [Way(3e6, loss=0.05), Way(3e6, jitter_s=0.02), Way(3e6, delay_s=0.2)])
def test_loss_jitter_and_distance_are_not_taken_for_a_thin_way(way: Way) -> None:
    simulation = Simulation(way, 2.2e6)
    simulation.run(8)
    low = min(estimate for at, estimate in simulation.history if at > simulation.history[0][0] + 4)
    assert low > 2.2e6


@pytest.mark.parametrize("seed", range(4))
def test_ten_percent_lost_without_a_queue_lower_nothing(seed: int) -> None:
    simulation = Simulation(Way(50e6, loss=0.1), 2e6, seed)
    simulation.run(3)
    simulation.history.clear()
    simulation.run(15)
    assert min(estimate for _, estimate in simulation.history) > 2e6


def test_heavy_loss_lowers_it() -> None:
    simulation = Simulation(Way(50e6, loss=0.3), 2e6)
    simulation.run(10)
    assert simulation.bandwidth.estimate_bps < 1e6
    assert simulation.bandwidth.congested_at is not None


def test_what_was_only_late_is_not_lost() -> None:
    bandwidth = Bandwidth()
    bandwidth.sent([(number, number * 0.01, 1000) for number in range(1, 101)])
    for first in range(1, 100, 4):
        bandwidth.feedback(Statuses(first, 10, 0, (None, 4, 4, 4)), first * 0.01)
        bandwidth.feedback(Statuses(first, 10, 0, (1, 4, 4, 4)), first * 0.01)
    assert bandwidth.loss < 0.02  # of the last report alone


def test_without_numbers_the_receivers_word_counts() -> None:
    bandwidth = Bandwidth()
    assert not bandwidth.known
    bandwidth.remb(Remb(1, 700_000, ()).bitrate_bps, 1.0)
    assert (bandwidth.known, bandwidth.estimate_bps) == (True, 700_000)
    assert bandwidth.congested_at == 1.0
    bandwidth.remb(1, 2.0)
    assert bandwidth.estimate_bps == LEAST_BPS


def test_with_numbers_it_does_not() -> None:
    bandwidth = Bandwidth()
    bandwidth.sent([(1, 0.0, 1000)])
    bandwidth.feedback(Statuses(1, 0, 0, (4,)), 0.1)
    bandwidth.remb(100_000, 0.2)
    assert bandwidth.estimate_bps == START_BPS


def test_feedback_about_what_was_never_sent_is_nothing() -> None:
    bandwidth = Bandwidth()
    bandwidth.feedback(Statuses(7, 0, 0, (4, None, 4)), 0.1)
    bandwidth.sent([(1, 0.0, 1000)])
    bandwidth.feedback(Statuses(30_000, 0xFFFFFF, 0, (4,) * 50), 0.1)
    assert bandwidth.estimate_bps == START_BPS


def test_a_receiver_whose_clock_goes_back_is_measured_by_the_new_clock() -> None:
    """And what came by the old one is not kept: its times would never be old enough to be forgotten."""
    bandwidth = Bandwidth()
    number, told = 1, 60_000
    for report in range(200):
        at = 1 + report * 0.1
        bandwidth.sent((number + index, at, 1000) for index in range(10))
        bandwidth.feedback(Statuses(number, told - report * 40, 0, (4,) * 10), at + 0.05)
        number += 10
    before = bandwidth.acked_bps
    for report in range(20):
        at = 30 + report * 0.1
        bandwidth.sent((number + index, at + index * 0.01, 1000) for index in range(10))
        bandwidth.feedback(Statuses(number, report * 100 // 64, 0, (40,) * 10), at + 0.15)
        number += 10
    assert before is None
    assert bandwidth.acked_bps is not None
    assert 0.5e6 < bandwidth.acked_bps < 1.2e6
