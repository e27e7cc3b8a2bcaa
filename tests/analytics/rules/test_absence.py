import json
from dataclasses import asdict
from typing import Any

import pytest

from analytics.finding import Finding
from analytics.messages import Seen
from analytics.plugin import Detection
from analytics.rules.absence import TRANSITIONS, DutyPost, Input, State
from tests.fakes.dutylog import AT_DESK, EPOCH, Log, settings

WARN, ALARM = 180.0, 300.0


def on_duty(**more: Any) -> Log:
    """A log whose officer has been there for longer than the start-up hold."""
    log = Log.of(**more).pictures(ALARM + 20, 1)
    assert log.post.state is State.PRESENT
    assert not log.findings()
    log.outputs.clear()
    return log


# --- what a picture means ---------------------------------------------------------------------------------------------


def test_pictures_with_nobody_count_as_absence() -> None:
    log = on_duty()
    left = log.now
    log.pictures(ALARM + 3, 0)
    assert log.findings() == [(left + WARN, "raised", "warning"), (left + ALARM, "again", "alarm")]
    assert log.states() == [(left + 4.5, "leaving"), (left + WARN, "leaving"), (left + ALARM, "absent")]


def test_one_hit_does_not_mean_on_duty() -> None:
    log = Log.of().pictures(0.5, 1).pictures(60, 0)
    assert log.post.state is State.UNKNOWN
    assert log.states() == []


def test_presence_is_confirmed_after_ten_seconds_and_dated_back() -> None:
    log = Log.of().pictures(9.5, 1)
    assert log.post.state is State.UNKNOWN
    log.pictures(1, 1)
    assert log.states() == [(10.0, "present")]
    assert log.post.since == EPOCH


def test_half_of_the_pictures_do_not_confirm_presence() -> None:
    log = Log.of().pictures(120, lambda t: int(t % 1 == 0))
    assert log.post.state is State.UNKNOWN


def test_nothing_is_raised_in_the_first_alarm_time_after_a_start() -> None:
    log = Log.of().pictures(ALARM, 0)
    assert log.findings() == []
    log.pictures(1, 0)
    assert log.findings() == [(ALARM, "raised", "alarm")]


def test_an_officer_who_leaves_just_after_the_start_is_not_warned_about_too_soon() -> None:
    log = Log.of().pictures(20, 1).pictures(ALARM, 0)
    assert [(t, severity) for t, _, severity in log.findings()] == [(300.0, "warning")]
    log.pictures(30, 0)
    assert log.findings()[1] == (320.0, "again", "alarm")


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 5.0])
def test_an_absence_just_short_of_the_alarm_time_is_no_alarm(rate: float) -> None:
    log = on_duty(rate=rate, warn_after_s=290.0).pictures(ALARM - 1, 0).pictures(60, 1)
    assert "alarm" not in {severity for _, _, severity in log.findings()}
    assert log.post.state is State.PRESENT


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0, 5.0])
def test_an_absence_just_over_the_alarm_time_is_exactly_one_alarm(rate: float) -> None:
    log = on_duty(rate=rate)
    left = log.now
    log.pictures(ALARM + 2, 0).pictures(60, 1)
    alarms = [t for t, change, severity in log.findings() if severity == "alarm" and change in ("raised", "again")]
    assert len(alarms) == 1
    assert left + ALARM <= alarms[0] <= left + ALARM + 2
    assert [change for _, change, _ in log.findings()] == ["raised", "again", "cleared"]
    assert log.last_finding().explain["duration_s"] == pytest.approx(ALARM + 2, abs=2 / rate)


@pytest.mark.parametrize(("warn", "alarm"), [(8.0, 15.0), (30.0, 60.0), (5.0, 5.0)])
def test_short_demo_times_keep_the_promise(warn: float, alarm: float) -> None:
    log = Log.of(warn_after_s=warn, alarm_after_s=alarm).pictures(alarm + 20, 1)
    assert log.post.state is State.PRESENT
    left = log.now
    log.pictures(alarm + 3, 0)
    at = {severity: t for t, _, severity in log.findings()}
    assert left + alarm <= at["alarm"] <= left + alarm + 2
    if warn < alarm:
        assert left + warn <= at["warning"] <= left + warn + 2
    log.pictures(12, 1)
    assert log.findings()[-1][1] == "cleared"


def test_two_officers_who_swap_within_five_seconds_are_a_handover() -> None:
    log = on_duty().pictures(5, 0).pictures(20, 1)
    assert log.findings() == []
    assert [(c.state, c.reason) for c in log.changes()] == [(State.LEAVING, ""), (State.PRESENT, "handover")]


def test_single_wrong_hits_do_not_restart_the_clock() -> None:
    log = on_duty()
    left = log.now
    log.pictures(ALARM + 3, lambda t: int((t - left) % 37 == 12))
    assert [(t, severity) for t, _, severity in log.findings()] == [(left + WARN, "warning"), (left + ALARM, "alarm")]


def test_single_misses_do_not_end_the_presence() -> None:
    log = on_duty().pictures(600, lambda t: int(t % 4 != 0))
    assert log.outputs == []


def test_nothing_is_raised_while_somebody_is_just_coming_back() -> None:
    log = on_duty()
    left = log.now
    log.pictures(ALARM - 0.5, 0).pictures(1.5, 1)
    assert log.post.state is State.LEAVING
    assert "alarm" not in {severity for _, _, severity in log.findings()}
    log.pictures(10, 0)
    assert log.findings()[-1] == (left + ALARM + 2.0, "again", "alarm")


def test_a_coat_that_is_seen_as_a_person_is_the_detectors_fault_but_a_chair_is_not() -> None:
    chair = Detection("chair", 0.99, (0.4, 0.3, 0.6, 0.8))
    log = on_duty()
    for _ in range(int(ALARM + 2) * 2):
        log.take(log.post.observe(EPOCH + log.now, log.now, "ok", [chair]))
        log.now += 0.5
    assert log.post.state is State.ABSENT


def test_a_visitor_outside_the_zone_does_not_man_the_post() -> None:
    visitor = Detection("person", 0.9, (0.8, 0.2, 0.95, 0.9))
    log = on_duty(zone=((0.2, 0.2), (0.7, 0.2), (0.7, 1.0), (0.2, 1.0)))
    for _ in range(int(ALARM + 2) * 2):
        log.take(log.post.observe(EPOCH + log.now, log.now, "ok", [visitor]))
        log.now += 0.5
    assert log.post.state is State.ABSENT


def test_too_few_persons_are_an_absence() -> None:
    log = Log.of(minimum_persons=2).pictures(320, 2)
    assert log.states()[-1][1] == "present"
    log.pictures(ALARM + 1, 1)
    assert log.states()[-1][1] == "absent"
    assert log.last_finding().explain["persons"] == 1


# --- no picture -------------------------------------------------------------------------------------------------------


def test_no_frames_for_ten_seconds_are_unknown_and_never_absence() -> None:
    log = on_duty()
    last = log.now - 0.5
    log.silence(3600)
    assert log.states() == [(last + 9.5, "unknown")]
    assert log.findings() == []
    assert log.post.since == EPOCH + last


@pytest.mark.parametrize("picture", ["dark", "overexposed", "blocked", "none", "frozen"])
def test_an_unusable_picture_is_unknown_and_never_absence(picture: str) -> None:
    log = on_duty().pictures(3600, 0, picture)  # type: ignore[arg-type]
    assert log.post.state is State.UNKNOWN
    assert log.post.reason == picture
    assert log.findings() == []


def test_a_frozen_picture_with_a_person_in_it_is_unknown_at_once() -> None:
    log = on_duty()
    frozen = log.now
    log.pictures(3600, 1, "frozen")
    assert log.states() == [(frozen, "unknown")]


def test_a_dark_moment_changes_nothing() -> None:
    log = on_duty().pictures(3, 0, "dark").pictures(60, 1)
    assert log.outputs == []


def test_unknown_time_is_not_absence() -> None:
    log = on_duty().pictures(100, 0).pictures(250, 0, "dark")
    assert log.findings() == []
    back = log.now
    log.pictures(250, 0)
    assert [severity for _, _, severity in log.findings()] == ["warning", "alarm"]
    assert [t for t, _, _ in log.findings()] == pytest.approx([back + 80, back + 200], abs=1)


def test_a_covered_camera_neither_clears_nor_doubles_an_alarm() -> None:
    log = on_duty().pictures(ALARM + 10, 0)
    log.pictures(200, 0, "blocked").pictures(20, 0)
    assert log.post.state is State.ABSENT
    changes = [change for _, change, _ in log.findings()]
    assert changes == ["raised", "again", "no_data", "data_back"]
    log.pictures(30, 1)
    assert [change for _, change, _ in log.findings()][4:] == ["cleared"]
    assert log.last_finding().explain["duration_s"] == pytest.approx(ALARM + 30, abs=2)


def test_an_officer_who_comes_while_the_camera_is_covered_ends_the_alarm_when_seen() -> None:
    log = on_duty().pictures(ALARM + 10, 0).pictures(200, 0, "blocked")
    seen = log.now
    log.pictures(9, 1)
    assert "cleared" not in {change for _, change, _ in log.findings()}
    log.pictures(5, 1)
    assert log.findings()[-1] == (seen + 10, "cleared", "alarm")
    assert log.last_finding().explain["duration_s"] == pytest.approx(ALARM + 10, abs=1)


def test_silence_never_ends_an_alarm() -> None:
    log = on_duty().pictures(ALARM + 10, 0).silence(7200)
    assert [change for _, change, _ in log.findings()] == ["raised", "again", "no_data"]


def test_a_standing_absence_is_said_again() -> None:
    log = on_duty().pictures(ALARM + 121, 0)
    again = [o for _, o in log.outputs if isinstance(o, Finding) and o.explain.get("reasserted")]
    assert [f.change for f in again] == ["again", "again"]


def test_a_detector_that_dies_makes_the_post_unknown_and_is_a_finding_itself() -> None:
    log = on_duty()
    log.take(log.post.blind(log.now, "worker_down"))
    assert log.states() == [(log.now, "unknown")]
    assert log.post.reason == "worker_down"
    assert log.findings("detector_blind") == [(log.now, "raised", "warning")]
    log.take(log.post.blind(log.now, "worker_down"))
    log.silence(5).pictures(30, 1)
    assert [change for _, change, _ in log.findings("detector_blind")] == ["raised", "cleared"]
    assert log.post.state is State.PRESENT


def test_a_minute_without_a_usable_picture_is_a_camera_fault() -> None:
    log = on_duty().pictures(70, 0, "dark")
    [(raised, change, severity)] = log.findings("camera_fault")
    assert (change, severity) == ("raised", "warning")
    assert raised - (ALARM + 20) == pytest.approx(59.5, abs=0.5)
    fault = log.last_finding("camera_fault")
    assert fault.explain["reason"] == "dark"
    assert "过暗" in fault.title_zh
    assert "dark" in fault.title_en
    log.pictures(29, 1)
    assert len(log.findings("camera_fault")) == 1
    log.pictures(3, 1)
    assert log.findings("camera_fault")[-1][1] == "cleared"


def test_a_camera_that_never_came_is_a_fault_after_the_start_up_hold() -> None:
    log = Log.of().silence(400)
    assert log.findings("camera_fault") == [(ALARM, "raised", "warning")]
    assert log.states() == []


# --- time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_step_of_the_wall_clock_neither_alarms_early_nor_late(step: float) -> None:
    log = on_duty()
    left = log.now
    log.pictures(100, 0)
    log.wall_offset += step
    log.pictures(ALARM, 0)
    assert [(t, severity) for t, _, severity in log.findings()][:2] == [
        (left + WARN, "warning"),
        (left + ALARM, "alarm"),
    ]


def test_a_picture_older_than_the_last_is_not_counted() -> None:
    log = on_duty()
    for _ in range(200):
        log.take(log.post.observe(EPOCH + log.now - 3.0, log.now, "ok", []))
    assert log.outputs == []


def test_late_delivery_does_not_make_an_absence_longer() -> None:
    """Pictures that come three seconds late, all together, count by when they were taken."""
    log = on_duty(warn_after_s=290.0)
    left = log.now
    log.pictures(ALARM - 4, 0)
    for taken in range(8):
        log.take(log.post.observe(EPOCH + left + ALARM - 4 + taken / 2, left + ALARM, "ok", []))
    assert "alarm" not in {severity for _, _, severity in log.findings()}


def test_the_same_log_gives_the_same_findings_byte_for_byte() -> None:
    def play() -> bytes:
        log = Log.of(warn_after_s=20.0, alarm_after_s=40.0)
        log.pictures(60, 1).pictures(50, 0).silence(70).pictures(20, 0).pictures(5, 0, "dark").pictures(60, 1)
        return json.dumps([(t, asdict(o)) for t, o in log.outputs], ensure_ascii=False).encode()

    assert play() == play()


# --- restart ----------------------------------------------------------------------------------------------------------


def restarted(**more: object) -> Log:
    post = DutyPost(
        settings(),
        now=0.0,
        at=EPOCH,
        open_alerts={"mine-1/absence/desk": ("alarm", EPOCH - 50)},
        **more,  # type: ignore[arg-type]
    )
    return Log(post)


def test_an_alarm_from_before_a_restart_is_ended_by_a_return() -> None:
    log = restarted().pictures(15, 1)
    assert [change for _, change, _ in log.findings()] == ["cleared"]


def test_an_alarm_from_before_a_restart_goes_on_without_a_second_one() -> None:
    log = restarted().pictures(20, 0)
    assert [change for _, change, _ in log.findings()] == ["data_back"]
    assert log.post.state is State.ABSENT
    assert log.changes()[0].since == EPOCH - 50 - ALARM


# --- what is told -----------------------------------------------------------------------------------------------------


def test_a_finding_carries_enough_to_be_reproduced() -> None:
    log = on_duty()
    log.post.model, log.post.trained_on = "person 0123abcd", "rendered"
    log.pictures(ALARM + 1, 0)
    finding = log.last_finding()
    assert finding.key == "mine-1/absence/desk"
    assert finding.subject == "desk"
    explain = finding.explain
    assert explain["persons"] == 0
    assert explain["absent_s"] == ALARM
    assert explain["window_s"] == 6.0
    assert explain["data_age_s"] == 0.0
    assert explain["model"] == "person 0123abcd"
    assert explain["trained_on"] == "rendered"
    assert explain["thresholds"]["alarm_after_s"] == ALARM  # type: ignore[index]
    assert finding.title_zh == "值班岗位：空岗已 5 分钟"
    assert finding.title_en == "Duty post: unmanned for 5 min"
    json.dumps(asdict(finding))


def test_sightings_of_the_worker_and_of_a_plug_in_are_the_same_to_the_rule() -> None:
    seen = Seen(label="person", score=0.9, box=AT_DESK.box)
    log = Log.of()
    for _ in range(30):
        log.take(log.post.observe(EPOCH + log.now, log.now, "ok", [seen]))
        log.now += 0.5
    assert log.post.state is State.PRESENT


def test_every_state_can_be_left_and_reached() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert set(TRANSITIONS.values()) == set(State)
    assert {became for _, became in TRANSITIONS} == set(Input)


# --- the challenge ----------------------------------------------------------------------------------------------------


def test_no_answer_makes_it_an_alarm_with_the_next_picture() -> None:
    log = on_duty().pictures(WARN + 1, 0)
    log.post.unanswered()
    asked = log.now
    log.pictures(1, 0)
    assert log.findings()[-1] == (asked, "again", "alarm")
    assert log.last_finding().explain["challenge"] == "unanswered"
    assert "not answered" in log.last_finding().title_en


def test_no_answer_from_somebody_who_is_back_raises_nothing() -> None:
    log = on_duty().pictures(WARN + 1, 0)
    log.post.unanswered()
    log.pictures(20, 1)
    assert [change for _, change, severity in log.findings()] == ["raised", "cleared"]


def test_an_answer_though_nobody_is_seen_makes_it_unknown_and_all_times_begin_anew() -> None:
    log = on_duty().pictures(WARN + 1, 0)
    log.take(log.post.answered(log.now))
    answered = log.now
    assert (log.last_finding().change, log.last_finding().explain["ended"]) == ("cleared", "answered")
    assert "check the camera" in log.last_finding().title_en
    assert (log.post.state, log.post.reason) == (State.UNKNOWN, "answered")
    log.pictures(ALARM + 5, 0)
    later = [(t - answered, severity) for t, change, severity in log.findings() if t > answered]
    assert [severity for _, severity in later] == ["warning", "alarm"]
    assert later[0][0] >= WARN
    assert later[1][0] >= ALARM


def test_an_answer_when_nothing_was_asked_changes_nothing() -> None:
    log = on_duty()
    assert log.post.answered(log.now) == []
    log.post.unanswered()
    log.pictures(WARN + 1, 0)
    assert [severity for _, _, severity in log.findings()] == ["warning"]
