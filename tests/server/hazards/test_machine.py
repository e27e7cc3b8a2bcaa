"""The rectification loop as a table, with hypothesis: any order of steps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.hazards.machine import (
    MAX_STEPS,
    OVER,
    SERVER,
    TRANSITIONS,
    Actor,
    Hazard,
    Input,
    Picture,
    State,
    StepRefused,
    alarm,
    hazard_of,
    lapse,
    record,
    step,
)

ABOVE, MINE = Actor("u1", "王", "county"), Actor("u2", "李", "mine-a")
DAY = 86400.0


def new(**more: Any) -> Hazard:
    values: dict[str, Any] = {
        "place": "3号皮带",
        "text": "护栏缺失",
        "severity": "general",
        "deadline": 10 * DAY,
    } | more
    return record("h1", "mine-a", ABOVE, 0.0, **values)


def test_replied_sent_back_replied_again_and_closed() -> None:
    picture = Picture("p1", "0" * 64, 12, "image/png")
    replied = step(new(), Input.REPLY, MINE, DAY, text="已加装", pictures=(picture,))
    back = step(replied, Input.RETURN, ABOVE, 2 * DAY, text="高度不够", deadline=12 * DAY)
    assert (back.state, back.deadline) == (State.RETURNED, 12 * DAY)
    closed = step(step(back, Input.REPLY, MINE, 3 * DAY, text="改好"), Input.CLOSE, ABOVE, 4 * DAY)
    assert (closed.state, closed.closed_at, closed.over) == (State.CLOSED, 4 * DAY, True)
    assert [one.change for one in closed.steps] == ["recorded", "replied", "returned", "replied", "closed"]
    assert closed.steps[1].pictures == (picture,)


def test_whoever_replied_does_not_close() -> None:
    with pytest.raises(StepRefused, match="does not close"):
        step(step(new(), Input.REPLY, ABOVE, DAY, text="x"), Input.CLOSE, ABOVE, DAY)


def test_late_is_told_first_as_a_warning_and_then_red_and_ends_with_a_reply() -> None:
    assert lapse(new(), 10 * DAY - 1, DAY) is None
    overdue = lapse(new(), 10 * DAY, DAY)
    assert overdue is not None
    assert (overdue.late, alarm(overdue), overdue.steps[-1].by) == ("overdue", "warning", SERVER)
    assert lapse(overdue, 11 * DAY - 1, DAY) is None
    risen = lapse(overdue, 11 * DAY, DAY)
    assert risen is not None
    assert (risen.late, alarm(risen), risen.next_at(DAY)) == ("risen", "alarm", None)
    replied = step(risen, Input.REPLY, MINE, 12 * DAY, text="x")
    assert (replied.late, lapse(replied, 99 * DAY, DAY)) == ("", None)
    with pytest.raises(StepRefused, match="ahead"):
        step(replied, Input.RETURN, ABOVE, 13 * DAY, text="no")
    assert step(replied, Input.RETURN, ABOVE, 13 * DAY, text="no", deadline=14 * DAY).next_at(DAY) == 14 * DAY


def test_a_major_hazard_is_red_at_once() -> None:
    late = lapse(new(severity="major"), 10 * DAY, DAY)
    assert late is not None
    assert alarm(late) == "alarm"


def test_more_time_is_asked_for_and_granted_refused_or_given() -> None:
    asked = step(new(), Input.ASK, MINE, DAY, text="缺料", deadline=15 * DAY)
    assert (asked.asked_until, asked.deadline) == (15 * DAY, 10 * DAY)
    granted = step(asked, Input.GRANT, ABOVE, DAY)
    assert (granted.deadline, granted.asked_until, granted.steps[-1].deadline) == (15 * DAY, None, 15 * DAY)
    assert step(asked, Input.GRANT, ABOVE, DAY, deadline=12 * DAY).deadline == 12 * DAY
    refused = step(asked, Input.REFUSE, ABOVE, DAY)
    assert (refused.deadline, refused.asked_until) == (10 * DAY, None)
    assert step(new(), Input.EXTEND, ABOVE, DAY, deadline=11 * DAY).deadline == 11 * DAY
    for given_, by in ((Input.GRANT, ABOVE), (Input.REFUSE, ABOVE)):
        with pytest.raises(StepRefused, match="Nobody has asked"):
            step(new(), given_, by, DAY)
    for given_ in (Input.ASK, Input.EXTEND):
        with pytest.raises(StepRefused, match="moved on"):
            step(new(), given_, MINE, DAY, deadline=9 * DAY)
    late = lapse(asked, 10 * DAY, DAY)
    assert late is not None
    assert step(late, Input.GRANT, ABOVE, 11 * DAY).late == ""


def test_a_new_one_has_a_deadline_ahead() -> None:
    with pytest.raises(StepRefused, match="ahead"):
        new(deadline=0.0)


def test_history_is_bounded_and_the_end_is_always_possible() -> None:
    hazard = new(deadline=1e9)
    for number in range(MAX_STEPS - 1):
        hazard = step(hazard, Input.EXTEND, ABOVE, float(number), deadline=1e9 + number + 1)
    with pytest.raises(StepRefused, match="at most"):
        step(hazard, Input.EXTEND, ABOVE, 1.0, deadline=2e9)
    assert step(hazard, Input.WITHDRAW, ABOVE, 1.0, text="x").over


moves = st.lists(
    st.tuples(
        st.sampled_from(list(Input)), st.sampled_from([ABOVE, MINE]), st.floats(0, 40 * DAY),
        st.none() | st.floats(0, 60 * DAY),
    ),
    max_size=25,
)  # fmt: skip


@given(moves=moves, rise=st.floats(60, 5 * DAY))
def test_whatever_is_done_a_hazard_that_waits_has_a_moment_and_nothing_is_lost(
    moves: list[tuple[Input, Actor, float, float | None]], rise: float
) -> None:
    hazard, at = new(), 0.0
    for given_, by, later, deadline in moves:
        at += later / 10
        before = hazard
        while (lapsed := lapse(hazard, at, rise)) is not None:
            hazard = lapsed
        try:
            hazard = step(hazard, given_, by, at, text="t", deadline=deadline)
        except StepRefused:
            continue
        assert (hazard.state, hazard.steps[-1].change) == TRANSITIONS[hazard_before(before, hazard), given_]
        assert hazard.steps[: len(before.steps)] == before.steps, "history is only ever added to"
        assert hazard.deadline >= before.deadline
        assert hazard.over == (hazard.state in OVER) == (hazard.closed_at is not None)
        assert (hazard.next_at(rise) is None) == (not hazard.waits or hazard.late == "risen")
        assert hazard.waits or hazard.late == ""
        assert hazard_of(hazard.as_dict() | {"state": hazard.state.value}) == hazard


def hazard_before(before: Hazard, after: Hazard) -> State:
    """Time changes no state, so the state before the step is that of before."""
    assert len(after.steps) > len(before.steps)
    return before.state
