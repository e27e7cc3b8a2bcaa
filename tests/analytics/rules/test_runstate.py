"""P1: a machine's run state from its current."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from analytics.plugin import Reading
from analytics.rules.runstate import RunChange, RunState, RunStates


def feed(rule: RunState, samples: list[float], start: float = 0.0) -> list[RunChange]:
    changes = (rule.feed(current, start + n) for n, current in enumerate(samples))
    return [change for change in changes if change is not None]


def test_machine_is_on_after_five_seconds_of_a_quarter_of_its_rated_current() -> None:
    rule = RunState(rated_a=100)
    assert feed(rule, [25, 25, 25, 25, 25]) == []
    (change,) = feed(rule, [25], start=5)
    assert (change.state, change.since, change.ratio, change.rated_a) == ("on", 0.0, 0.25, 100)
    assert rule.state == "on"


def test_short_dip_does_not_stop_the_machine() -> None:
    rule = RunState(rated_a=100)
    feed(rule, [80] * 6)
    assert feed(rule, [0, 0, 0, 0, 80, 0, 0, 0, 0, 80], start=6) == []
    assert rule.state == "on"


def test_stop_is_dated_back_to_the_first_sample_without_current() -> None:
    rule = RunState(rated_a=100)
    feed(rule, [80] * 6)
    (change,) = feed(rule, [3] * 6, start=6)
    assert (change.state, change.since) == ("off", 6.0)


def test_current_between_the_thresholds_changes_nothing() -> None:
    rule = RunState(rated_a=100)
    feed(rule, [80] * 6)
    assert feed(rule, [15] * 60, start=6) == []
    assert rule.state == "on"


def test_wait_starts_anew_after_a_sample_between_the_thresholds() -> None:
    rule = RunState(rated_a=100)
    assert feed(rule, [30, 30, 30, 20, 30, 30, 30, 30, 30]) == []


def test_rated_current_is_learned_from_three_samples_and_noise_is_not() -> None:
    rule = RunState()
    assert [change.state for change in feed(rule, [0.1, 0.2, 0.1, 0.2] * 5)] == ["off"]
    feed(rule, [0.1, 600.0, 0.1], start=20)  # one outlier teaches nothing
    assert rule.rated_a is None
    feed(rule, [40.0] * 8, start=30)
    assert rule.rated_a == 40.0
    assert rule.state == "on"


def test_current_above_the_noise_says_nothing_before_a_running_current_is_learned() -> None:
    rule = RunState()
    assert feed(rule, [0.1, 600.0] * 10) == []
    assert rule.since is None


def test_older_sample_is_ignored() -> None:
    rule = RunState(rated_a=100)
    feed(rule, [80] * 6)
    for _ in range(20):
        assert rule.feed(0.0, 3.0) is None
    assert rule.state == "on"


@given(st.lists(st.floats(min_value=0, max_value=2e4), max_size=60))
def test_two_changes_are_never_closer_than_the_debounce(samples: list[float]) -> None:
    times = [change.since for change in feed(RunState(rated_a=100), samples)]
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(times))
    states = [change.state for change in feed(RunState(rated_a=100), samples)]
    assert all(one != two for one, two in pairwise(states))


def reading(value: float, at: float, device: str = "fan", quantity: str = "current_a") -> Reading:
    return Reading("hongqi", device, quantity, value, "A", at, at)


def words(states: RunStates, samples: list[float], start: float, **which: str) -> list[str]:
    told = (states.notable(None, reading(value, start + n, **which)) for n, value in enumerate(samples))
    return [word for word in told if word]


def test_start_and_stop_of_a_machine_are_notable_and_its_first_state_is_not() -> None:
    states = RunStates()
    assert words(states, [40.0] * 20, 0.0) == []
    assert states.state("hongqi", "fan") == "on"
    assert words(states, [1.0] * 20, 20.0) == ["stopped"]
    assert words(states, [40.0] * 20, 40.0) == ["started"]


def test_machines_are_told_apart_and_other_quantities_say_nothing() -> None:
    states = RunStates({("hongqi", "pump"): 100.0})
    words(states, [40.0] * 20, 0.0)
    words(states, [0.0] * 20, 0.0, device="pump")
    assert states.state("hongqi", "pump") == "off"
    assert words(states, [0.0] * 20, 20.0, quantity="load") == []
    assert states.state("hongqi", "fan") == "on"
    assert states.state("dongfeng", "fan") == "unknown"


def test_number_of_followed_machines_is_bounded() -> None:
    states = RunStates({("hongqi", name): 10.0 for name in "abc"}, max_machines=2)
    for name in "abc":
        words(states, [10.0] * 10, 0.0, device=name)
    assert [states.state("hongqi", name) for name in "abc"] == ["unknown", "on", "on"]
