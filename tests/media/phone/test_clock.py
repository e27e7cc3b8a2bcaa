"""The mixer's clock in virtual time."""

import random

from media.phone.clock import TickClock


def test_it_never_drifts() -> None:
    clock, now, ticks = TickClock(1000.0), 1000.0, 0
    noise = random.Random(1)
    while now < 4600.0:
        skip, run = clock.due(now)
        ticks += skip + run
        now = max(now, clock.next_at()) + noise.uniform(0, 0.004)
    assert abs(ticks - 3600 * 50) <= 1
    assert clock.skipped == 0


def test_a_short_stop_is_made_up_for() -> None:
    clock = TickClock(0.0)
    assert clock.due(0.0) == (0, 1)
    assert clock.due(0.081) == (0, 4)
    assert clock.due(0.0811) == (0, 0)
    assert clock.next_at() == 0.1
    assert clock.late == 1


def test_a_long_stop_is_skipped_and_counted() -> None:
    clock = TickClock(0.0)
    clock.due(0.0)
    assert clock.due(2.0) == (95, 5)
    assert clock.skipped == 95
    assert clock.next_at() == 101 * 0.02


def test_before_its_time_nothing_is_due() -> None:
    clock = TickClock(0.0)
    clock.due(0.0)
    assert clock.due(0.019) == (0, 0)
