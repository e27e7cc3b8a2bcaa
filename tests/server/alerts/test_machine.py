"""The life of one alert, move by move."""

from dataclasses import dataclass, replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.finding import Change as FindingChange
from analytics.finding import Finding, Severity
from server.alerts import machine
from server.alerts.machine import OPENS, SEVERITIES, STANDING, TRANSITIONS, Alert, Change, Input, State


@dataclass(frozen=True)
class Somebody:
    user: str = "u1"
    name: str = "王工"
    site: str = "liulin"


def finding(change: FindingChange = "raised", at: float = 100.0, severity: Severity = "warning") -> Finding:
    return Finding(
        site="mine-a",
        key="mine-a/absence/post-1",
        rule="absence",
        subject="post-1",
        change=change,
        severity=severity,
        at=at,
        title_zh=f"空岗 {severity}",
        title_en=f"Post empty {severity}",
        explain={"threshold_s": 180, "at": at},
    )


def opened(**changes: object) -> Alert:
    step = machine.find(None, finding(), new_id="a1", at=101.0)
    assert step is not None
    assert step[1] is Change.RAISED
    return replace(step[0], **changes)  # type: ignore[arg-type]


def find(alert: Alert | None, given: Finding, at: float = 200.0) -> machine.Step:
    step = machine.find(alert, given, new_id="a2", at=at)
    assert step is not None
    return step


def test_a_finding_opens_an_alert() -> None:
    alert = opened()
    assert (alert.id, alert.state, alert.opened_at, alert.at, alert.occurrences) == ("a1", State.OPEN, 100.0, 101.0, 1)
    assert alert.as_dict() == {
        "id": "a1",
        "site": "mine-a",
        "key": "mine-a/absence/post-1",
        "rule": "absence",
        "subject": "post-1",
        "severity": "warning",
        "state": "open",
        "title": {"zh": "空岗 warning", "en": "Post empty warning"},
        "opened_at": 100.0,
        "at": 101.0,
        "acknowledged": None,
        "cleared_at": None,
        "duration_s": None,
        "occurrences": 1,
        "no_data": False,
        "evidence": [],
        "explain": {"threshold_s": 180, "at": 100.0},
        "outcome": None,
        "closed": None,
        "simulated": False,
    }


def test_again_without_a_standing_alert_opens_one() -> None:
    alert, change = find(None, finding("again"))
    assert (alert.id, change) == ("a2", Change.RAISED)


@pytest.mark.parametrize("change", ["no_data", "data_back", "cleared"])
def test_nothing_else_opens_one(change: FindingChange) -> None:
    assert machine.find(None, finding(change), new_id="a1", at=1.0) is None


@pytest.mark.parametrize("repeat", ["raised", "again"])
def test_a_repeat_is_counted_and_told(repeat: FindingChange) -> None:
    alert, change = find(opened(), finding(repeat, at=150.0))
    assert (alert.id, alert.occurrences, alert.opened_at, change) == ("a1", 2, 100.0, Change.AGAIN)
    assert alert.explain == {"threshold_s": 180, "at": 150.0}


def test_severity_rises_and_does_not_fall() -> None:
    alarm, change = find(opened(), finding("again", severity="alarm"))
    assert (alarm.severity, alarm.title_en, change) == ("alarm", "Post empty alarm", Change.AGAIN)
    still, _ = find(alarm, finding("again", severity="warning"))
    assert (still.severity, still.title_en, still.occurrences) == ("alarm", "Post empty alarm", 3)


def test_a_repeat_after_acknowledgement_is_told_and_stays_acknowledged() -> None:
    taken = machine.acknowledge(opened(), Somebody(), "看到了", 110.0)
    assert taken is not None
    alert, change = find(taken[0], finding("again"))
    assert (alert.state, change) == (State.ACKNOWLEDGED, Change.AGAIN)
    assert alert.acknowledged == taken[0].acknowledged


@pytest.mark.parametrize("state", STANDING)
def test_no_data_is_a_mark_and_clears_nothing(state: State) -> None:
    blind, change = find(opened(state=state), finding("no_data"))
    assert (blind.state, blind.no_data, blind.cleared_at, change) == (state, True, None, Change.NO_DATA)
    assert machine.find(blind, finding("no_data"), new_id="x", at=1.0) is None
    back, change = find(blind, finding("data_back"))
    assert (back.state, back.no_data, change) == (state, False, Change.DATA_BACK)
    assert machine.find(back, finding("data_back"), new_id="x", at=1.0) is None


def test_seeing_the_condition_again_means_that_data_is_back() -> None:
    assert find(opened(no_data=True), finding("again"))[0].no_data is False


def test_a_cleared_alert_says_how_long_it_lasted() -> None:
    alert, change = find(opened(), finding("cleared", at=250.5))
    assert (alert.state, alert.cleared_at, alert.duration_s) == (State.CLEARED, 250.5, 150.5)
    assert change is Change.CLEARED


def test_a_source_clock_that_jumps_back_gives_no_negative_duration() -> None:
    assert find(opened(), finding("cleared", at=50.0))[0].duration_s == 0.0


def test_the_first_acknowledgement_counts() -> None:
    first = machine.acknowledge(opened(), Somebody(), "来了", 110.0)
    assert first is not None
    alert, change = first
    assert (alert.state, change) == (State.ACKNOWLEDGED, Change.ACKNOWLEDGED)
    assert alert.as_dict()["acknowledged"] == {
        "by": "u1",
        "name": "王工",
        "site": "liulin",
        "at": 110.0,
        "comment": "来了",
    }
    assert machine.acknowledge(alert, Somebody("u2"), "我也来", 120.0) is None


def test_a_cleared_alert_can_be_noted_once_and_stays_cleared() -> None:
    cleared, _ = find(opened(), finding("cleared"))
    noted = machine.acknowledge(cleared, Somebody(), "", 300.0)
    assert noted is not None
    assert noted[0].state is State.CLEARED
    assert machine.acknowledge(noted[0], Somebody(), "", 301.0) is None


@pytest.mark.parametrize("state", [State.OPEN, State.ACKNOWLEDGED])
def test_closed_while_it_holds_lasted_until_then(state: State) -> None:
    ended = machine.close(opened(state=state), Somebody(), "false_alarm", "反光", "灯", 400.0)
    assert ended is not None
    alert, change = ended
    assert (alert.state, alert.outcome, alert.duration_s, alert.cleared_at) == (
        State.CLOSED,
        "false_alarm",
        300.0,
        None,
    )
    assert alert.closed is not None
    assert (alert.closed.by, alert.closed.reason, alert.closed.comment) == ("u1", "反光", "灯")
    assert change is Change.CLOSED
    assert machine.close(alert, Somebody(), "confirmed", "", "", 500.0) is None
    assert machine.acknowledge(alert, Somebody(), "", 500.0) is None


def test_closed_after_it_cleared_keeps_the_duration() -> None:
    cleared, _ = find(opened(), finding("cleared", at=160.0))
    ended = machine.close(cleared, Somebody(), "confirmed", "", "", 9000.0)
    assert ended is not None
    assert ended[0].duration_s == 60.0


@pytest.mark.parametrize("state", [State.CLEARED, State.CLOSED])
@pytest.mark.parametrize("change", get_args(FindingChange))
def test_no_finding_moves_an_alert_that_is_over(state: State, change: FindingChange) -> None:
    assert machine.find(opened(state=state), finding(change), new_id="x", at=1.0) is None


def test_taken_and_reverted_is_open_and_may_be_taken_again() -> None:
    taken = machine.acknowledge(opened(), Somebody(), "", 300.0)
    assert taken is not None
    reverted = machine.revert(taken[0], 400.0)
    assert reverted is not None
    assert (reverted[0].state, reverted[0].acknowledged, reverted[1]) == (State.OPEN, None, Change.REVERTED)
    assert machine.revert(reverted[0], 401.0) is None
    assert machine.acknowledge(reverted[0], Somebody("u2"), "", 402.0) is not None


def test_the_table_is_whole() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.CLOSED}
    assert {given for _, given in TRANSITIONS} == set(Input)
    assert set(get_args(FindingChange)) | {"acknowledge", "revert", "close"} == {one.value for one in Input}
    assert get_args(Severity) == SEVERITIES
    assert all(after is State.CLOSED for (_, given), (after, _) in TRANSITIONS.items() if given is Input.CLOSE)
    assert all(given is Input.CLOSE for (_, given), (after, _) in TRANSITIONS.items() if after is State.CLOSED)


ORDER = [State.OPEN, State.ACKNOWLEDGED, State.CLEARED, State.CLOSED]


@given(st.lists(st.sampled_from(list(Input)), max_size=40), st.lists(st.sampled_from(SEVERITIES), min_size=40))
def test_states_only_go_forward_whatever_comes(inputs: list[Input], severities: list[Severity]) -> None:
    alert = opened()
    for number, move in enumerate(inputs):
        at = 200.0 + number
        if move is Input.ACKNOWLEDGE:
            step = machine.acknowledge(alert, Somebody(f"u{number}"), "", at)
        elif move is Input.REVERT:
            step = machine.revert(alert, at)
        elif move is Input.CLOSE:
            step = machine.close(alert, Somebody(), "explained", "", "", at)
        else:
            change: FindingChange = move.value  # type: ignore[assignment]
            step = machine.find(alert, finding(change, at, severities[number]), new_id="x", at=at)
        after = step[0] if step else alert
        assert after.id == "a1"
        assert ORDER.index(after.state) >= ORDER.index(alert.state) or (move is Input.REVERT and step is not None)
        assert SEVERITIES.index(after.severity) >= SEVERITIES.index(alert.severity)
        assert after.occurrences - alert.occurrences == (move in OPENS and alert.state in STANDING)
        assert alert.acknowledged in (None, after.acknowledged) or (move is Input.REVERT and step is not None)
        assert (after.state is State.CLOSED) == (after.closed is not None) == (after.outcome is not None)
        assert (after.duration_s is None) == (after.state in STANDING)
        alert = after
