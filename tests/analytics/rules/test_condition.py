"""The life of one condition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.rules.condition import Condition, State, Verdict

VERDICTS = st.sampled_from(["over", "between", "inside", "silent"])


def fed(condition: Condition, samples: list[tuple[Verdict, float]]) -> list[str]:
    return [step for verdict, at in samples for step in condition.feed(verdict, at)]


def test_it_is_raised_only_after_the_whole_time_without_a_break() -> None:
    condition = Condition(3.0, 0.0)
    assert fed(condition, [("over", 0.0), ("over", 2.0), ("between", 2.5), ("over", 3.0), ("over", 5.9)]) == []
    assert fed(condition, [("over", 6.0)]) == ["raised"]
    assert condition.since == 3.0


def test_it_is_cleared_only_after_the_whole_time_within_the_limit() -> None:
    condition = Condition(0.0, 5.0)
    assert fed(condition, [("over", 0.0), ("inside", 1.0), ("between", 3.0), ("inside", 4.0), ("inside", 8.0)]) == [
        "raised"
    ]
    assert condition.standing
    assert fed(condition, [("inside", 9.0)]) == ["cleared"]
    assert condition.over_at == 4.0
    assert condition.state is State.CLEARED


@pytest.mark.parametrize(
    ("verdict", "steps"), [("over", ["data_back"]), ("between", ["data_back"]), ("inside", ["data_back", "cleared"])]
)
def test_silence_ends_nothing_that_stands(verdict: Verdict, steps: list[str]) -> None:
    condition = Condition(0.0, 0.0)
    condition.feed("over", 0.0)
    assert condition.silent() == ["no_data"]
    assert condition.silent() == []
    assert condition.standing
    assert condition.feed(verdict, 100.0) == steps


def test_what_was_pending_before_a_silence_starts_anew() -> None:
    condition = Condition(10.0, 0.0)
    condition.feed("over", 0.0)
    assert condition.silent() == []
    assert fed(condition, [("over", 20.0), ("over", 29.0)]) == []
    assert fed(condition, [("over", 30.0)]) == ["raised"]


def test_a_restored_condition_is_not_raised_again() -> None:
    condition = Condition(0.0, 0.0)
    condition.restore(5.0, standing=True)
    assert condition.feed("over", 9.0) == ["data_back"]
    assert condition.feed("inside", 10.0) == ["cleared"]


@given(st.lists(st.tuples(VERDICTS, st.floats(0.1, 5.0)), max_size=60), st.floats(0, 6), st.floats(0, 6))
def test_raised_and_cleared_take_turns_and_silence_never_clears(
    samples: list[tuple[str, float]], on_s: float, off_s: float
) -> None:
    condition, at, told = Condition(on_s, off_s), 0.0, []
    for verdict, step in samples:
        at += step
        before = condition.standing
        if verdict == "silent":
            assert set(condition.silent()) <= {"no_data"}
            assert condition.standing == before
        else:
            told += [one for one in condition.feed(verdict, at) if one in ("raised", "cleared")]  # type: ignore[arg-type]
    assert told == ["raised", "cleared"] * (len(told) // 2) + ["raised"] * (len(told) % 2)
