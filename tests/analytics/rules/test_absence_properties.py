"""Whatever a camera shows, in whatever order: never early, never cured by silence, always the same."""

from dataclasses import asdict, dataclass
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.finding import Finding
from analytics.messages import PictureState
from analytics.rules.absence import State
from tests.fakes.dutylog import Log

WARN, ALARM = 24.0, 40.0
WINDOW, LOST = 6.0, 8.0
"""The windows that follow: 6 s of pictures, and a third of the warning time without any."""

Kind = Literal["manned", "empty", "silence", "dark", "frozen"]


@dataclass(frozen=True)
class Part:
    kind: Kind
    seconds: float


parts = st.lists(
    st.builds(
        Part,
        st.sampled_from(["manned", "empty", "empty", "silence", "dark", "frozen"]),
        st.sampled_from([0.5, 1.0, 2.5, 4.0, 7.0, 12.0, 20.0, 39.0, 41.0, 70.0, 130.0]),
    ),
    max_size=14,
)


def play(story: list[Part]) -> Log:
    log = Log.of(warn_after_s=WARN, alarm_after_s=ALARM)
    for part in story:
        run(log, part)
    return log


def run(log: Log, part: Part) -> None:
    picture: PictureState = part.kind if part.kind in ("dark", "frozen") else "ok"
    if part.kind == "silence":
        log.silence(part.seconds)
    else:
        log.pictures(part.seconds, int(part.kind == "manned"), picture)


def alarms(log: Log) -> list[float]:
    """When a condition was first called an alarm."""
    found: list[float] = []
    severity = None
    for t, output in log.outputs:
        if isinstance(output, Finding) and output.rule == "absence":
            if output.severity == "alarm" and severity != "alarm":
                found.append(t)
            severity = None if output.change == "cleared" else output.severity
    return found


def seen_without_a_stay(story: list[Part], until: float) -> float:
    """Seconds of usable pictures before `until`, back to the last part in which somebody stayed for a window."""
    start, total = 0.0, 0.0
    for part in story:
        end = min(start + part.seconds, until)
        if end > start:
            if part.kind == "manned" and end - start >= WINDOW:
                total = 0.0
            elif part.kind in ("empty", "manned") or (part.kind == "silence" and part.seconds < LOST):
                total += end - start  # a missing picture or two between others do not stop the clock
        start += part.seconds
    return total


@settings(max_examples=300, deadline=None)
@given(parts)
def test_no_alarm_before_the_post_was_seen_empty_for_the_alarm_time(story: list[Part]) -> None:
    for at in alarms(play(story)):
        assert at >= ALARM
        assert seen_without_a_stay(story, at) >= ALARM - 1e-6


@settings(max_examples=300, deadline=None)
@given(parts)
def test_only_a_person_in_the_picture_ends_an_absence(story: list[Part]) -> None:
    log = Log.of(warn_after_s=WARN, alarm_after_s=ALARM)
    for part in story:
        before = len(log.outputs)
        run(log, part)
        changes = [o.change for _, o in log.outputs[before:] if isinstance(o, Finding) and o.rule == "absence"]
        if part.kind != "manned":
            assert "cleared" not in changes
        if part.kind in ("silence", "dark", "frozen"):
            assert set(changes) <= {"no_data"}


@settings(max_examples=100, deadline=None)
@given(parts)
def test_a_log_replayed_gives_the_same_outputs(story: list[Part]) -> None:
    assert [asdict(o) for _, o in play(story).outputs] == [asdict(o) for _, o in play(story).outputs]


@settings(max_examples=200, deadline=None)
@given(parts)
def test_a_long_emptiness_is_always_found_and_a_long_stay_always_ends_it(story: list[Part]) -> None:
    log = play([*story, Part("empty", 2 * ALARM + 2)])
    assert log.post.state is State.ABSENT
    assert log.post.warned
    run(log, Part("manned", 40.0))
    assert log.states()[-1][1] == "present"
    assert not log.post.warned


@settings(max_examples=200, deadline=None)
@given(parts)
def test_an_alert_has_one_beginning_and_one_end(story: list[Part]) -> None:
    opened = False
    for _, output in play(story).outputs:
        if isinstance(output, Finding) and output.rule == "absence":
            assert (output.change == "raised") is not opened
            opened = output.change != "cleared"


@settings(max_examples=200, deadline=None)
@given(parts)
def test_what_is_not_seen_for_long_is_unknown(story: list[Part]) -> None:
    log = play(story)
    log.silence(LOST + 0.5)
    assert log.post.state is State.UNKNOWN
