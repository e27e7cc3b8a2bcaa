import json
from dataclasses import asdict
from typing import Any

import pytest

from analytics.messages import PictureState
from analytics.plugin import Detection
from analytics.rules.sleeping import TRANSITIONS, Input, SleepState, SleepWatch
from tests.fakes.dutylog import EPOCH, settings
from tests.fakes.sleeplog import Doing, SleepLog, officer

WARN, ALARM = 120.0, 300.0


def on_duty(**more: Any) -> SleepLog:
    """A log whose officer has worked for longer than the start-up hold."""
    log = SleepLog.of(**more).pictures(ALARM + 20, "work")
    assert log.watch.state is SleepState.AWAKE
    assert not log.findings()
    log.outputs.clear()
    return log


# --- what is a sleep, and what only looks like one --------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sleep_desk", "sleep_back"])
@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 5.0])
def test_a_sleep_is_warned_about_then_an_alarm_and_never_early(how: Doing, rate: float) -> None:
    log = on_duty(rate=rate)
    fell_asleep = log.now
    log.pictures(ALARM + 3, how)
    warning, alarm = log.findings()
    assert warning[1:] == ("raised", "warning")
    assert alarm[1:] == ("again", "alarm")
    assert fell_asleep + WARN <= warning[0] <= fell_asleep + WARN + 2
    assert fell_asleep + ALARM <= alarm[0] <= fell_asleep + ALARM + 2
    assert [state for _, state in log.states()] == ["drowsy", "drowsy", "asleep"]
    assert log.watch.since == EPOCH + fell_asleep


@pytest.mark.parametrize(("doing", "seconds"), [("write", 600.0), ("phone", 600.0), ("work", 600.0)])
def test_writing_and_a_phone_head_down_are_no_sleep(doing: Doing, seconds: float) -> None:
    log = on_duty().pictures(seconds, doing)
    assert not log.findings()
    assert log.states() == []


def test_a_nod_of_eight_seconds_is_no_finding_however_often() -> None:
    log = on_duty()
    for _ in range(30):
        log.pictures(8, "sleep_desk").pictures(20, "work")
    assert not log.findings()
    assert log.watch.state is SleepState.AWAKE


def test_sitting_still_and_upright_is_no_sleep() -> None:
    still = [Detection("person", 0.9, (0.4, 0.3, 0.6, 0.8), {"posture.sleep_desk": 0.1, "motion": 0.0, "noise": 0.0})]
    assert not on_duty().pictures(900, lambda _: still).findings()


def test_a_sleep_just_short_of_the_warning_time_is_nothing() -> None:
    log = on_duty().pictures(WARN - 1, "sleep_desk").pictures(60, "work")
    assert not log.findings()


def test_a_night_cameras_noise_does_not_keep_a_sleeper_awake() -> None:
    def noisy(_: float) -> list[Detection]:
        seen = officer("sleep_desk", noise=0.02)
        return [Detection(o.label, o.score, o.box, {**o.attributes, "motion": 0.045}) for o in seen]

    log = on_duty().pictures(ALARM + 3, noisy)
    assert [severity for _, _, severity in log.findings()] == ["warning", "alarm"]


def test_a_posture_that_flickers_delays_and_is_never_early() -> None:
    log = on_duty()
    fell_asleep = log.now
    log.pictures(ALARM + 20, lambda t: officer("work" if int(t * 2) % 10 == 0 else "sleep_desk"))
    first = log.findings()[0]
    assert first[1:] == ("raised", "warning")
    assert fell_asleep + WARN <= first[0] <= fell_asleep + WARN + 12


def test_a_sleeper_who_is_missed_in_every_third_picture_is_found() -> None:
    log = on_duty().pictures(ALARM + 15, lambda t: officer("absent" if int(t * 2) % 3 == 0 else "sleep_desk"))
    assert [severity for _, _, severity in log.findings()] == ["warning", "alarm"]


def test_one_of_two_officers_awake_is_enough_where_one_must_be_there() -> None:
    def two(_: float) -> list[Detection]:
        return officer("sleep_desk") + officer("work")

    assert not on_duty().pictures(900, two).findings()
    log = SleepLog.of(minimum_persons=2).pictures(320, lambda _: officer("work") * 2).pictures(ALARM + 3, two)
    assert [severity for _, _, severity in log.findings()] == ["warning", "alarm"]


def test_a_sleeper_outside_the_zone_is_not_the_posts() -> None:
    zone = ((0.0, 0.0), (0.2, 0.0), (0.2, 0.2))
    log = SleepLog.of(zone=zone).pictures(900, "sleep_desk")
    assert not log.findings()
    assert log.watch.state is SleepState.AWAY


def test_a_detector_without_postures_says_nothing_about_sleep() -> None:
    log = SleepLog.of().pictures(900, lambda _: [Detection("person", 0.9, (0.4, 0.3, 0.6, 0.8))])
    assert log.watch.state is SleepState.UNKNOWN
    assert not log.findings()


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_waking_ends_the_finding_within_ten_seconds_with_its_duration() -> None:
    log = on_duty()
    log.pictures(400, "sleep_desk")
    woke = log.now
    log.pictures(20, "work")
    t, change, _ = log.findings()[-1]
    assert change == "cleared"
    assert t <= woke + 10
    assert log.last_finding().explain["duration_s"] == pytest.approx(400, abs=1)
    assert log.last_finding().explain["ended"] == "awake"
    assert log.watch.since == EPOCH + woke


def test_moving_with_the_head_down_ends_it_too() -> None:
    log = on_duty().pictures(400, "sleep_desk").pictures(20, "write")
    assert log.findings()[-1][1] == "cleared"


def test_turning_over_in_the_sleep_does_not() -> None:
    log = on_duty().pictures(400, "sleep_desk").pictures(3, "work").pictures(60, "sleep_back")
    assert "cleared" not in [change for _, change, _ in log.findings()]


def test_leaving_ends_it() -> None:
    log = on_duty().pictures(400, "sleep_desk").pictures(20, "absent")
    assert log.findings()[-1][1] == "cleared"
    assert log.last_finding().explain["ended"] == "away"
    assert log.last_finding().explain["duration_s"] == pytest.approx(400, abs=1)
    assert log.watch.state is SleepState.AWAY


def test_a_standing_sleep_is_said_again_every_minute() -> None:
    log = on_duty().pictures(ALARM + 125, "sleep_desk")
    assert [change for _, change, _ in log.findings()] == ["raised", "again", "again", "again"]


# --- nothing to see ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("picture", ["dark", "frozen", "none", "silence"])
def test_time_without_a_picture_is_not_sleep_and_ends_none(picture: PictureState | str) -> None:
    log = on_duty().pictures(100, "sleep_desk")
    blind = log.now
    _ = log.silence(500) if picture == "silence" else log.pictures(500, "absent", picture)  # type: ignore[arg-type]
    assert log.watch.state is SleepState.UNKNOWN
    assert not log.findings()
    log.pictures(18, "sleep_desk")
    assert not log.findings()
    log.pictures(15, "sleep_desk")
    assert log.findings()[0][0] == pytest.approx(blind + 500 + 20, abs=8)


def test_an_open_alert_is_marked_without_data_and_goes_on_as_the_same() -> None:
    log = on_duty().pictures(400, "sleep_desk").silence(60).pictures(60, "sleep_desk")
    changes = [change for _, change, _ in log.findings()]
    assert changes[:4] == ["raised", "again", "again", "no_data"]
    assert "data_back" in changes
    assert "cleared" not in changes
    assert log.watch.state is SleepState.ASLEEP
    log.pictures(20, "work")
    assert log.last_finding().explain["duration_s"] == pytest.approx(460, abs=12)


def test_a_detector_that_dies_makes_it_unknown_at_once() -> None:
    log = on_duty().pictures(400, "sleep_desk")
    log.take(log.watch.blind(log.now, "worker gone"))
    assert log.watch.state is SleepState.UNKNOWN
    assert log.last_finding().change == "no_data"


# --- starts -----------------------------------------------------------------------------------------------------------


def test_nothing_is_raised_in_the_first_alarm_time_after_a_start() -> None:
    log = SleepLog.of().pictures(ALARM, "sleep_desk")
    assert not log.findings()
    log.pictures(2, "sleep_desk")
    assert log.findings()[0][2] == "alarm"


@pytest.mark.parametrize("severity", ["warning", "alarm"])
def test_an_alert_from_before_a_restart_is_gone_on_with(severity: Any) -> None:
    opened = {"mine-1/sleeping/desk": (severity, EPOCH - 50)}
    log = SleepLog(SleepWatch(settings(), now=0.0, at=EPOCH, open_alerts=opened))
    log.pictures(30, "sleep_desk")
    assert [change for _, change, _ in log.findings()] == ["data_back"]
    assert log.findings()[0][0] <= 8
    log.pictures(20, "work")
    assert log.findings()[-1][1:] == ("cleared", severity)


def test_zero_switches_a_step_off() -> None:
    assert [s for _, _, s in on_duty(sleep_warn_after_s=0).pictures(ALARM + 5, "sleep_desk").findings()] == ["alarm"]
    quiet = SleepLog.of(sleep_alarm_after_s=0).pictures(320, "work").pictures(900, "sleep_desk")
    assert [s for _, _, s in quiet.findings()] == ["warning"]
    with pytest.raises(ValueError, match="both 0"):
        SleepLog.of(sleep_warn_after_s=0, sleep_alarm_after_s=0)


# --- the challenge ----------------------------------------------------------------------------------------------------


def test_an_answer_ends_the_finding_and_all_times_begin_anew() -> None:
    log = on_duty().pictures(WARN + 5, "sleep_desk")
    log.take(log.watch.answered(log.now))
    assert log.last_finding().explain["ended"] == "answered"
    answered = log.now
    log.pictures(WARN + 5, "sleep_desk")
    t, change, severity = log.findings()[-1]
    assert (change, severity) == ("raised", "warning")
    assert answered + WARN <= t <= answered + WARN + 1


def test_no_answer_confirms_it_before_the_alarm_time_and_says_so() -> None:
    log = on_duty().pictures(WARN + 60, "sleep_desk")
    log.watch.unanswered()
    log.pictures(1, "sleep_desk")
    assert log.findings()[-1][1:] == ("again", "alarm")
    assert log.last_finding().explain["challenge"] == "unanswered"
    assert "not answered" in log.last_finding().title_en
    assert log.watch.state is SleepState.ASLEEP


def test_no_answer_from_somebody_who_is_awake_again_raises_nothing() -> None:
    log = on_duty().pictures(WARN + 5, "sleep_desk").pictures(30, "work")
    log.watch.unanswered()
    log.pictures(60, "work").pictures(WARN - 5, "sleep_desk")
    assert [change for _, change, _ in log.findings()] == ["raised", "cleared"]


# --- the whole --------------------------------------------------------------------------------------------------------


def test_a_finding_explains_itself_and_is_plain_data() -> None:
    log = on_duty()
    log.watch.model, log.watch.trained_on = "lamproom-person 1 (ca021f00)", "rendered"
    log.pictures(WARN + 5, "sleep_desk")
    explain = log.last_finding().explain
    assert explain["down_share"] == 1.0
    assert explain["still_share"] == 1.0
    assert explain["thresholds"]["sleep_warn_after_s"] == WARN  # type: ignore[index]
    assert (explain["model"], explain["trained_on"]) == ("lamproom-person 1 (ca021f00)", "rendered")
    assert "睡岗" in log.last_finding().title_zh
    json.dumps(asdict(log.last_finding()))


def test_every_state_is_entered_and_left_by_some_input() -> None:
    assert set(TRANSITIONS.values()) == set(SleepState)
    assert {state for state, _ in TRANSITIONS} == set(SleepState)
    assert {became for _, became in TRANSITIONS} == set(Input)
