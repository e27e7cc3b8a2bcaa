"""The schedule of the demonstration."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.demo.story import (
    ALARM_AFTER_S,
    LENGTH_S,
    SCENES,
    SLEEP_ALARM_AFTER_S,
    SLEEP_WARN_AFTER_S,
    WARN_AFTER_S,
    SetGathering,
    SetLoad,
    SetOfficer,
    Story,
    Tell,
)


def test_officer_is_away_long_enough_to_be_noticed_both_times() -> None:
    states = [(scene.at_s, a.state) for scene in SCENES for a in scene.actions if isinstance(a, SetOfficer)]
    assert [(at, state) for at, state in states if state == "absent"] == [(20.0, "absent"), (200.0, "absent")]
    for (left_at, state), (back_at, next_state) in pairwise(states):
        if state == "absent":
            assert next_state != "absent"
            assert back_at - left_at > ALARM_AFTER_S + 10


def test_officer_sleeps_long_enough_to_be_found_and_wakes_before_the_fan_stops() -> None:
    states = [(scene.at_s, a.state) for scene in SCENES for a in scene.actions if isinstance(a, SetOfficer)]
    slumps, wakes = next(pair for pair in pairwise(states) if pair[0][1] == "sleep_desk")
    assert slumps[0] == 70.0
    assert wakes[1] == "work"
    assert wakes[0] - slumps[0] > SLEEP_ALARM_AFTER_S + 5 > SLEEP_WARN_AFTER_S
    assert wakes[0] < next(s.at_s for s in SCENES if SetLoad("hongqi", "fan-main", 0.05) in s.actions)


def test_scenes_stand_in_order() -> None:
    times = [scene.at_s for scene in SCENES]
    assert times == sorted(times)
    assert times[-1] < LENGTH_S


def test_story_begins_with_everything_as_usual() -> None:
    first = Story().until(0.0)
    assert SetOfficer("work") in first
    assert SetGathering(None) in first
    assert SetLoad("hongqi", "fan-main", None) in first
    assert Story().until(19.9) == first


def test_every_scene_is_told_once_and_the_round_begins_anew() -> None:
    story = Story()
    told = [action for second in range(int(2 * LENGTH_S)) for action in story.until(float(second))]
    assert told == [action for _ in range(2) for action in Story().until(LENGTH_S - 1)]


def test_fan_drops_while_people_gather_and_ten_seconds_later_the_consultation_is_proposed() -> None:
    story = Story()
    assert SetGathering("return-airway") in story.until(89.0)
    assert [type(action) for action in story.until(90.0)] == [SetLoad, Tell]
    (proposal,) = story.until(100.0)
    assert isinstance(proposal, Tell)
    assert "一键会商" in proposal.zh
    assert "一键会商" in proposal.en


def test_speed_shortens_times_and_thresholds_alike() -> None:
    story = Story(speed=4.0)
    assert (story.warn_after_s, story.alarm_after_s) == (WARN_AFTER_S / 4, ALARM_AFTER_S / 4)
    assert (story.sleep_warn_after_s, story.sleep_alarm_after_s) == (SLEEP_WARN_AFTER_S / 4, SLEEP_ALARM_AFTER_S / 4)
    story.until(4.9)
    assert SetOfficer("absent") in story.until(5.0)
    assert story.next_in_s(5.0) == pytest.approx(6.25)


def test_narration_names_the_thresholds_in_force() -> None:
    tells = [action for action in Story(speed=2.0).until(11.0) if isinstance(action, Tell)]
    assert "4 秒后预警，7.5 秒后告警" in tells[-1].zh
    assert "after 4 s, an alarm after 7.5 s" in tells[-1].en


@pytest.mark.parametrize("speed", [0.0, -1.0, 21.0, float("nan")])
def test_senseless_speed_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Story(speed)


@given(st.lists(st.floats(min_value=0, max_value=2000), max_size=30))
def test_any_polling_tells_the_same_story(times: list[float]) -> None:
    story, end = Story(), max(times, default=0.0)
    told = [action for time in sorted(times) for action in story.until(time)]
    assert told == (Story().until(end) if times else [])
