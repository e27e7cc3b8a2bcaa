"""Whatever an officer does, in whatever order: never early, never cured by silence, always the same."""

from dataclasses import asdict, dataclass
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.finding import Finding
from analytics.rules.sleeping import SleepState
from tests.fakes.sleeplog import SleepLog

WARN, ALARM = 24.0, 40.0
UP_WINDOW, LOST = 5.0, 8.0
"""The windows that follow: 5 s upright end a sleep, and a third of the warning time without a picture is unknown."""

Kind = Literal["sleep_desk", "sleep_back", "work", "write", "absent", "silence", "dark", "frozen"]


@dataclass(frozen=True)
class Part:
    kind: Kind
    seconds: float


parts = st.lists(
    st.builds(
        Part,
        st.sampled_from(
            ["sleep_desk", "sleep_desk", "sleep_back", "work", "write", "absent", "silence", "dark", "frozen"]
        ),
        st.sampled_from([0.5, 1.0, 2.5, 4.0, 7.0, 12.0, 20.0, 39.0, 41.0, 70.0]),
    ),
    max_size=8,
)


def play(story: list[Part]) -> SleepLog:
    log = SleepLog.of(sleep_warn_after_s=WARN, sleep_alarm_after_s=ALARM)
    for part in story:
        run(log, part)
    return log


def run(log: SleepLog, part: Part) -> None:
    if part.kind == "silence":
        log.silence(part.seconds)
    elif part.kind == "dark" or part.kind == "frozen":
        log.pictures(part.seconds, "absent", part.kind)
    else:
        log.pictures(part.seconds, part.kind)


def raised(log: SleepLog, severity: str) -> list[float]:
    """When a sleep was first given this severity."""
    found: list[float] = []
    before = None
    for t, output in log.outputs:
        if isinstance(output, Finding):
            if output.severity == severity != before:
                found.append(t)
            before = None if output.change == "cleared" else output.severity
    return found


def seen_without_waking(story: list[Part], until: float) -> float:
    """Seconds of usable pictures before `until`, back to the last part in which somebody was upright for so long that
    it ends a sleep."""
    start, total = 0.0, 0.0
    for part in story:
        end = min(start + part.seconds, until)
        if end > start:
            if part.kind in ("work", "write") and end - start > UP_WINDOW + 1:
                total = 0.0
            elif part.kind not in ("dark", "frozen") and not (part.kind == "silence" and part.seconds >= LOST):
                total += end - start
        start += part.seconds
    return total


@settings(max_examples=40, deadline=None)
@given(parts)
def test_nothing_is_raised_before_somebody_was_seen_asleep_for_that_time(story: list[Part]) -> None:
    log = play(story)
    for severity, after in (("warning", WARN), ("alarm", ALARM)):
        for at in raised(log, severity):
            assert at >= ALARM
            assert seen_without_waking(story, at) >= after - 1e-6


@settings(max_examples=40, deadline=None)
@given(parts)
def test_only_a_picture_of_somebody_awake_or_of_nobody_ends_a_sleep(story: list[Part]) -> None:
    log = SleepLog.of(sleep_warn_after_s=WARN, sleep_alarm_after_s=ALARM)
    for part in story:
        before = len(log.outputs)
        run(log, part)
        changes = [o.change for _, o in log.outputs[before:] if isinstance(o, Finding)]
        if part.kind in ("sleep_desk", "sleep_back"):
            continue  # a picture or two may finish what the part before began
        if part.kind in ("silence", "dark", "frozen"):
            assert set(changes) <= {"no_data"}


@settings(max_examples=20, deadline=None)
@given(parts)
def test_a_log_replayed_gives_the_same_outputs(story: list[Part]) -> None:
    assert [asdict(o) for _, o in play(story).outputs] == [asdict(o) for _, o in play(story).outputs]


@settings(max_examples=30, deadline=None)
@given(parts)
def test_a_long_sleep_is_always_found_and_waking_always_ends_it(story: list[Part]) -> None:
    log = play([*story, Part("sleep_desk", 2 * ALARM + 20)])
    assert log.watch.state is SleepState.ASLEEP
    assert log.watch.warned
    run(log, Part("work", 25.0))
    assert log.states()[-1][1] == "awake"
    assert not log.watch.warned


@settings(max_examples=40, deadline=None)
@given(parts)
def test_an_alert_has_one_beginning_and_one_end(story: list[Part]) -> None:
    opened = False
    for _, output in play(story).outputs:
        if isinstance(output, Finding):
            assert (output.change == "raised") is not opened
            opened = output.change != "cleared"


@settings(max_examples=20, deadline=None)
@given(parts)
def test_what_is_not_seen_for_long_is_unknown(story: list[Part]) -> None:
    log = play(story)
    log.silence(LOST + 0.5)
    assert log.watch.state is SleepState.UNKNOWN
