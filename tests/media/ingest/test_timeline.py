"""One timeline, whatever the camera's clock does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.ingest.timeline import FORGOTTEN, MAX_BACK_S, MAX_STEP_S, Timeline

RATE = 90_000


def test_steps_of_the_source_are_kept_exactly() -> None:
    timeline = Timeline(RATE, 5)
    times = [timeline.timestamp(1000 + number / 25, 50 + number / 25 + number % 3 * 0.01) for number in range(50)]
    assert times == [5 + number * 3600 for number in range(50)]
    assert timeline.jumps == 0


def test_the_timeline_wraps_at_32_bits() -> None:
    timeline = Timeline(RATE, 0xFFFFFFFF)
    timeline.timestamp(0.0, 0.0)
    assert timeline.timestamp(1.0, 1.0) == RATE - 1


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0, 2**33 / RATE, -(2**33) / RATE])
def test_a_jump_of_the_source_becomes_the_time_that_passed(jump_s: float) -> None:
    timeline = Timeline(RATE, 0)
    timeline.timestamp(100.0, 10.0)
    timeline.timestamp(100.04, 10.04)
    after = timeline.timestamp(100.08 + jump_s, 10.08)
    assert after == pytest.approx(0.08 * RATE, abs=2)
    assert timeline.timestamp(100.12 + jump_s, 10.12) == pytest.approx(0.12 * RATE, abs=2)
    assert timeline.jumps == 1


def test_a_new_connection_goes_on_where_time_is() -> None:
    timeline = Timeline(RATE, 0)
    timeline.timestamp(7.0, 10.0)
    timeline.reconnected()
    assert timeline.timestamp(7.2, 14.0) == pytest.approx(4.0 * RATE, abs=2)
    assert timeline.timestamp(7.24, 14.04) == pytest.approx(4.04 * RATE, abs=2)


def test_units_without_a_time_take_that_of_their_arrival() -> None:
    timeline = Timeline(RATE, 0)
    assert timeline.timestamp(None, 3.0) == 0
    assert timeline.timestamp(None, 3.5) == RATE // 2


def test_pictures_out_of_order_keep_their_order_of_showing() -> None:
    timeline = Timeline(RATE, 0)
    assert [timeline.timestamp(time_s, 1.0 + number / 25) for number, time_s in enumerate([0.0, 0.12, 0.04, 0.08])] == [
        0,
        10_800,
        3_600,
        7_200,
    ]


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 60)), min_size=2, max_size=50))
def test_whatever_the_source_says_time_never_runs_away(steps: list[tuple[float, float]]) -> None:
    timeline, now, unwrapped, last = Timeline(RATE, 0), 0.0, 0.0, 0
    for time_s, passed in steps:
        now += passed
        stamp = timeline.timestamp(time_s, now)
        step = (stamp - last + 2**31) % 2**32 - 2**31
        unwrapped, last = unwrapped + step / RATE, stamp
        assert -MAX_BACK_S - 0.001 <= step / RATE <= passed + MAX_STEP_S + MAX_BACK_S + 0.001
    assert unwrapped <= now * (1 + FORGOTTEN) + MAX_STEP_S + 0.001


def test_many_small_steps_forward_are_a_jump() -> None:
    timeline, stamp = Timeline(RATE, 0), 0
    for number in range(100):
        stamp = timeline.timestamp(number * 4.0, number * 0.04)
    assert stamp / RATE <= 100 * 0.04 * (1 + FORGOTTEN) + MAX_STEP_S
    assert timeline.jumps > 10


def test_a_clock_that_runs_a_little_fast_is_followed_for_ever() -> None:
    timeline = Timeline(RATE, 0)
    for number in range(20_000):
        timeline.timestamp(number * 1.0005, float(number))
    assert timeline.jumps == 0
