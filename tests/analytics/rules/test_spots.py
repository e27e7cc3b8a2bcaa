"""Key spots on hand-made and random walks: what is counted, what is told, and what is not known."""

from collections.abc import Iterable
from typing import Any

import pytest

from analytics.finding import Finding
from analytics.messages import PictureState
from analytics.plugin import Detection
from analytics.rules.crossing import Crossing
from analytics.rules.spot import Spot
from analytics.rules.spots import spot_of
from config.settings import RuleSettings, SpotSettings
from tests.fakes.walks import Walk, gate_walks, seen

START = 1_800_000_000.0
GATE: dict[str, Any] = {"kind": "crossing", "line": ((0.0, 0.6), (1.0, 0.6)), "inward": "left"}


class Log:
    """Feeds a spot and keeps what it says."""

    def __init__(self, rules: dict[str, Any] | None = None, **settings: Any) -> None:
        named = {"spot": "gate", "site": "mine-a", "camera": "gate", "name_en": "Gate", "name_zh": "井口"}
        self.settings = SpotSettings.model_validate({**named, **settings})
        self.rules = RuleSettings.model_validate(rules or {})
        self.spot: Spot = spot_of(self.settings, self.rules, at=START)
        self.findings: list[Finding] = []
        self.readings: list[tuple[str, float]] = []
        self.now = START

    def feed(self, pictures: Iterable[tuple[float, list[Detection]]], picture: PictureState = "ok") -> None:
        begin = self.now
        for at, things in pictures:
            self.now = begin + at
            said = self.spot.observe(self.now, picture, things)
            ticked = self.spot.tick(self.now)
            self.findings += [*said.findings, *ticked.findings]
            self.readings += [(one.quantity, one.value) for one in [*said.readings, *ticked.readings]]
        self.now += 0.2

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.now += 1
            self.findings += self.spot.tick(self.now).findings

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one.rule, one.change) for one in self.findings]


def still(people: int, seconds: float, y: float = 0.5) -> Iterable[tuple[float, list[Detection]]]:
    walks = [Walk(0, seconds + 1, (0.1 + n * 0.09, y), (0.1 + n * 0.09, y)) for n in range(people)]
    return seen(walks, seconds, missed=0.02)


# --- crossing ---------------------------------------------------------------------------------------------------------


def test_who_goes_in_and_who_goes_out_is_counted() -> None:
    log = Log(**GATE)
    log.feed(seen([Walk(0, 4, (0.3, 0.9), (0.3, 0.3)), Walk(0, 4, (0.7, 0.3), (0.7, 0.9))], 5))
    state = log.spot.state()
    assert (state["in"], state["out"], state["undecided"]) == (1, 1, 0)
    assert ("people_in", 1.0) in log.readings
    assert ("people_out", 1.0) in log.readings


def test_who_turns_back_or_walks_along_is_not() -> None:
    log = Log(**GATE)
    back = [Walk(0, 2, (0.3, 0.9), (0.3, 0.58)), Walk(2.1, 4, (0.3, 0.58), (0.3, 0.9))]
    log.feed(seen([*back, Walk(0, 4, (0.1, 0.8), (0.9, 0.8))], 5, missed=0.0))
    assert (log.spot.state()["in"], log.spot.state()["out"]) == (0, 0)


def test_who_vanishes_between_the_lines_is_undecided() -> None:
    log = Log(**GATE, gap=0.2)
    log.feed(seen([Walk(0, 2, (0.3, 0.9), (0.3, 0.6))], 6, missed=0.0))
    state = log.spot.state()
    assert (state["in"], state["out"], state["undecided"]) == (0, 0, 1)


def test_the_other_side_may_be_in_and_a_line_may_be_short() -> None:
    log = Log(kind="crossing", line=((0.4, 0.6), (0.6, 0.6)), inward="right")
    log.feed(seen([Walk(0, 3, (0.5, 0.3), (0.5, 0.9)), Walk(0, 3, (0.9, 0.3), (0.9, 0.9))], 4))
    assert (log.spot.state()["in"], log.spot.state()["out"]) == (1, 0)


def test_trucks_that_leave_are_said_one_by_one() -> None:
    log = Log(**GATE, counts="trucks", labels=["truck"])
    log.feed(seen([Walk(n * 4, n * 4 + 3, (0.5, 0.3), (0.5, 0.9), label="truck") for n in range(3)], 12))
    assert [one for one in log.readings if one[0] == "trucks_out"] == [("trucks_out", 1.0)] * 3


def test_counts_go_on_from_before_a_restart() -> None:
    spot = spot_of(Log(**GATE).settings, RuleSettings(), at=START, counted=(41, 17))
    assert isinstance(spot.watching, Crossing)
    assert {one.quantity: one.value for one in spot.watching.figures()} == {"people_in": 41.0, "people_out": 17.0}


def test_three_abreast_with_misses_are_counted_within_two_in_a_hundred() -> None:
    wrong = total = 0
    for seed in range(6):
        walks, entered, left = gate_walks(seed, 50)
        log = Log(**GATE)
        log.feed(seen(walks, walks[-1].ends_s + 4, seed=seed))
        state = log.spot.state()
        wrong += abs(int(str(state["in"])) - entered) + abs(int(str(state["out"])) - left)
        total += entered + left
    assert wrong / total <= 0.02


# --- headcount --------------------------------------------------------------------------------------------------------


def test_more_than_the_quota_for_a_minute_is_an_alert_and_over_after_a_minute_below() -> None:
    log = Log(kind="headcount", most=3)
    log.feed(still(5, 50))
    assert log.told == []
    log.feed(still(5, 30))
    assert log.told == [("video_over_quota", "raised")]
    (raised,) = log.findings
    assert raised.title_zh == "井口：视频统计人数超过定员"
    assert raised.explain["inputs"] == {"people": 5, "quota": 3, "camera": "gate"}
    log.feed(still(3, 80))
    assert log.told[1:] == [("video_over_quota", "cleared")]
    assert ("headcount_video", 5.0) in log.readings


def test_a_short_crowd_and_people_outside_the_zone_are_none() -> None:
    log = Log(kind="headcount", most=3, zone=((0, 0), (1, 0), (1, 0.6), (0, 0.6)))
    log.feed(still(6, 20))
    log.feed(still(6, 90, y=0.95))
    assert log.told == []


def test_no_picture_is_no_count_and_marks_what_stands() -> None:
    log = Log(kind="headcount", most=3)
    log.feed(still(5, 90))
    log.feed([(n / 5, []) for n in range(60)], picture="blocked")
    assert log.spot.state()["state"] == "unknown"
    log.feed(still(2, 20))
    assert log.told == [
        ("video_over_quota", "raised"), ("video_over_quota", "no_data"), ("video_over_quota", "data_back"),
    ]  # fmt: skip


# --- danger -----------------------------------------------------------------------------------------------------------

ZONE = ((0.4, 0.4), (0.9, 0.4), (0.9, 1.0), (0.4, 1.0))


def test_a_foot_in_the_zone_for_two_seconds_is_an_alert_and_a_shorter_one_is_not() -> None:
    log = Log(kind="danger", zone=ZONE)
    log.feed(seen([Walk(0, 1.2, (0.5, 0.8), (0.5, 0.8))], 6))
    assert log.told == []
    log.feed(seen([Walk(0, 4, (0.5, 0.8), (0.6, 0.8))], 12))
    assert log.told == [("video_intrusion", "raised"), ("video_intrusion", "cleared")]


def test_only_who_goes_the_forbidden_way_is_told() -> None:
    log = Log(kind="danger", zone=ZONE, direction_deg=0)
    log.feed(seen([Walk(0, 5, (0.85, 0.8), (0.42, 0.8))], 10))
    assert log.told == []
    log.feed(seen([Walk(0, 5, (0.3, 0.8), (0.85, 0.8))], 6))
    assert log.told == [("video_intrusion", "raised")]


def test_outside_its_shifts_nobody_is_looked_at() -> None:
    log = Log(kind="danger", zone=ZONE)
    log.spot.judged = False
    log.feed(seen([Walk(0, 9, (0.5, 0.8), (0.5, 0.8))], 10))
    assert log.told == []
    assert log.spot.state()["judged"] is False


def test_no_pictures_for_ten_seconds_are_unknown_and_what_stood_is_marked() -> None:
    log = Log(kind="danger", zone=ZONE)
    log.feed(seen([Walk(0, 9, (0.5, 0.8), (0.5, 0.8))], 5))
    log.wait(12)
    assert log.told == [("video_intrusion", "raised"), ("video_intrusion", "no_data")]
    assert log.spot.state()["state"] == "unknown"


def test_a_clock_that_is_set_back_an_hour_blinds_nobody() -> None:
    log = Log(kind="danger", zone=ZONE)
    log.feed(seen([Walk(0, 9, (0.5, 0.8), (0.5, 0.8))], 5))
    log.now -= 3600
    log.feed(seen([], 6))
    assert log.told[-1] == ("video_intrusion", "cleared")
    log.feed(seen([Walk(0, 9, (0.5, 0.8), (0.5, 0.8))], 5))
    assert log.told[-1] == ("video_intrusion", "raised")


# --- belt -------------------------------------------------------------------------------------------------------------


def bursts(count: int, dx: float, peak: float = 0.9, shake: float = 0.0) -> Iterable[tuple[float, list[Detection]]]:
    for number in range(count):
        about = {"dx": dx, "dy": 0.1, "peak": peak, "shake": shake, "texture": 20.0}
        yield number * 2.0, [Detection("flow", min(peak, 1.0), (0, 0, 1, 1), about)]


BELT: dict[str, Any] = {"kind": "belt", "device": "belt-1"}


@pytest.mark.parametrize(
    ("dx", "peak", "shake", "state"),
    [
        (12.0, 0.9, 0.0, "running"),
        (0.2, 0.9, 0.0, "stopped"),
        (12.0, 0.2, 0.0, "unknown"),
        (3.0, 0.9, 2.8, "stopped"),
    ],
)
def test_what_bursts_say(dx: float, peak: float, shake: float, state: str) -> None:
    log = Log(**BELT)
    log.feed(bursts(12, dx, peak, shake))
    assert log.spot.state()["state"] == state
    assert bool(log.readings) == (state != "unknown")


def test_bursts_to_and_fro_are_no_running_belt() -> None:
    log = Log(**BELT)
    pictures = [next(iter(bursts(1, 9.0 if number % 2 else -9.0))) for number in range(12)]
    log.feed([(number * 2.0, things) for number, (_, things) in enumerate(pictures)])
    assert log.spot.state()["state"] == "unknown"


def test_a_belt_that_moves_without_its_motor_is_told_after_a_minute() -> None:
    log = Log(**BELT)
    assert hasattr(log.spot.watching, "motor")
    log.spot.watching.motor(False)
    log.feed(bursts(25, 12.0))
    assert log.told == []
    log.feed(bursts(15, 12.0))
    assert log.told == [("belt_disagrees", "raised")]
    log.spot.watching.motor(True)
    log.feed(bursts(10, 12.0))
    assert log.told[1:] == [("belt_disagrees", "cleared")]


def test_a_line_is_needed_to_count_passes() -> None:
    with pytest.raises(ValueError, match="needs a line"):
        Log(kind="crossing")
