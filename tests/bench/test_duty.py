import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.bench.duty import (
    GRACE_S,
    RATE,
    T_S,
    Alarm,
    Event,
    Score,
    Walk,
    bench,
    match,
    script,
    summed,
    truth,
)

SLEEP = Event("sleeping", "sleep_desk", 100.0, 140.0)


def scored(*alarms: Alarm, events: tuple[Event, ...] = (SLEEP,), until: float = 500.0) -> Score:
    return match(events, alarms, "sleeping", until)


def test_an_alarm_in_time_is_found_with_its_delay() -> None:
    score = scored(Alarm("sleeping", 121.5, 144.0, 40.5))
    assert (score.events, score.found, score.false, score.delays_s) == (1, 1, 0, [1.5])
    assert (score.resolved, score.resolvable) == (1, 1)


def test_an_early_alarm_is_false_and_the_event_is_missed() -> None:
    score = scored(Alarm("sleeping", 100 + T_S - 1 / RATE - 0.1))
    assert (score.found, score.false, score.early) == (0, 1, 1)


def test_an_absence_may_be_told_from_the_doorway_on() -> None:
    left = Event("absence", "absent", 100.0, 140.0, 1.0)
    assert match([left], [Alarm("absence", 118.6)], "absence", 500.0).delays_s == [-1.4]
    assert match([left], [Alarm("absence", 118.4)], "absence", 500.0).early == 1


def test_a_second_alarm_and_one_about_nothing_are_false() -> None:
    score = scored(Alarm("sleeping", 121.0), Alarm("sleeping", 135.0), Alarm("sleeping", 300.0))
    assert (score.found, score.false) == (1, 2)


def test_an_alarm_long_after_the_event_is_false() -> None:
    score = scored(Alarm("sleeping", 140 + GRACE_S + 0.1))
    assert (score.found, score.false) == (0, 1)


@pytest.mark.parametrize(("cleared", "duration_s"), [(151.0, 40.0), (145.0, 30.0), (None, None)])
def test_an_end_that_is_late_or_wrong_is_counted(cleared: float | None, duration_s: float | None) -> None:
    score = scored(Alarm("sleeping", 121.0, cleared, duration_s))
    assert (score.found, score.resolved) == (1, 0)


def test_an_alarm_of_the_other_rule_does_not_count() -> None:
    assert scored(Alarm("absence", 121.0)).found == 0


def test_an_event_that_the_room_ends_before_is_not_scored() -> None:
    score = scored(Alarm("sleeping", 121.0), until=145.0)
    assert (score.events, score.found, score.false) == (0, 0, 0)


def test_figures_are_sums_with_intervals_over_rooms() -> None:
    found = Score(events=2, found=2, delays_s=[0.5, 1.5])
    figures = summed([found, Score(events=2, found=1, false=1, delays_s=[1.0])])
    assert figures["precision"] == 0.75
    assert figures["recall"] == 0.75
    assert figures["recall_95"] == [0.5, 1.0]
    assert figures["delay_s"] == {"p50": 1.0, "p95": 1.45, "max": 1.5}
    assert summed([Score()])["precision"] is None


def test_a_script_holds_every_kind_and_only_long_ones_are_events() -> None:
    segments = script(7, 600.0)
    assert script(7, 600.0) == segments
    assert all(a.end == b.start for a, b in pairwise(segments))
    assert {s.officer for s in segments} == {"work", "write", "sleep_desk", "sleep_back", "absent"}
    assert any(s.officer.startswith("sleep") and s.end - s.start < 10 for s in segments)
    assert all(event.end - event.start >= 1.1 * T_S for event in truth(segments, Walk()))


def test_a_small_room_is_played_and_told_as_plain_data(tmp_path: Path) -> None:
    result = bench([7], 40.0, (128, 72), tmp_path)
    assert json.loads(json.dumps(result))["seeds"] == [7]
    assert set(result["rules"]) == {"absence", "sleeping"}  # type: ignore[call-overload]
    assert len(str(result["model_sha256"])) == 64
