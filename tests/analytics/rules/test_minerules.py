"""Rules on people and machines that move, over invented fixes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

from analytics.finding import Finding
from analytics.mine import Drift, Fence, Machine, Mine, MineFacts, PersonCard, Quota, Shift, Zone
from analytics.plugin import Position, Reading
from analytics.rules.minerules import MineRules
from config.settings import RuleSettings

T0 = 1_790_000_000.0  # 22:13:20 in China
FACTS = MineFacts(
    "hongqi",
    1,
    Mine(expected_period_s=1.0),
    zones={
        "gate": Zone("gate", kind="gate"),
        "face": Zone("face", kind="face", stations=("r1",)),
        "road": Zone("road", kind="roadway", stations=("r2",)),
        "goaf": Zone("goaf", Fence(((50, 0), (90, 0), (90, 40), (50, 40))), kind="danger", allow_jobs=("瓦检员",)),
    },
    quotas={"q": Quota("q", 3, "face")},
    people={
        f"P{n}": PersonCard(f"P{n}", job="瓦检员" if n == 9 else "采煤工", person="one" if n in (7, 8) else "")
        for n in range(30)
    },
    machines={
        "V1": Machine("V1", ("V1",), "mine_car"),
        "S1": Machine("S1", ("S1",), "shearer", device="shearer", operators=("P1",)),
    },
    drifts={"d": Drift("d", ((0, 100, 0), (200, 100, 0)), direction="forward", speed_limit_mps=5.0)},
)  # fmt: skip


def made(facts: MineFacts = FACTS, **figures: Any) -> MineRules:
    return MineRules(facts, RuleSettings.model_validate(figures), now=T0, rated_a={"shearer": 100.0})


def fix(
    at: float, tag: str, x: float, y: float, zone: str = "road", kind: Literal["person", "vehicle"] = "person"
) -> Position:  # fmt: skip
    return Position("hongqi", tag, kind, x, y, 0.0, zone, T0 + at, T0 + at + 0.2, int(at * 10))


def reading(at: float, device: str, quantity: str, value: float) -> Reading:
    return Reading("hongqi", device, quantity, value, "1", T0 + at, T0 + at + 0.2)


def fed(rules: MineRules, fixes: Iterable[Position], readings: Sequence[Reading] = ()) -> list[Finding]:
    return rules.feed(list(readings), sorted(fixes, key=lambda one: one.received_at))


def told(found: Iterable[Finding], *rules: str) -> list[tuple[str, str, str, str]]:
    return [(one.rule, one.subject, one.change, one.severity) for one in found if not rules or one.rule in rules]


def walking(seconds: range, tags: Iterable[str], zone: str) -> list[Position]:
    """People who walk to and fro, far apart."""
    return [
        fix(second, tag, 3.0 * (second % 20) + 300 * number, 500.0, zone)
        for second in seconds
        for number, tag in enumerate(tags)
    ]


# --- L1 ---


def test_too_many_people_for_a_minute_are_an_alert_and_two_cards_of_one_person_are_one() -> None:
    rules = made()
    assert told(fed(rules, walking(range(1, 100), ["P1", "P7", "P8"], "face")), "over_quota") == []
    found = fed(rules, walking(range(100, 200), ["P1", "P2", "P3", "P4"], "face"))
    assert told(found, "over_quota") == [("over_quota", "face", "raised", "alarm")]
    # P7's cards were heard of 61 s ago and still count
    quota = next(one for one in found if one.rule == "over_quota")
    assert quota.explain["inputs"] == {"people": 5, "quota": 3, "basis": ""}


def test_around_a_change_of_shift_no_quota_is_judged() -> None:
    facts = replace(FACTS, shifts={"n": Shift("n", 22.25 * 3600, 6 * 3600)})
    found = fed(made(facts), walking(range(1, 200), ["P1", "P2", "P3", "P4"], "face"))
    assert told(found, "over_quota") == []


# --- L3 ---


def test_who_goes_into_a_danger_zone_is_told_on_the_second_fix_and_who_may_is_not() -> None:
    path = [fix(n, tag, 40.0 + n, 20.0) for n in range(0, 30) for tag in ("P1", "P9")]
    found = fed(made(), path)
    assert told(found, "zone_entry") == [
        ("zone_entry", "goaf:P1", "raised", "info"), ("zone_entry", "goaf:P1", "again", "alarm")
    ]  # fmt: skip
    entered = found[[one.severity for one in found].index("alarm")]
    assert 11 <= entered.at - T0 <= 13
    assert set(entered.explain) >= {"inputs", "value", "threshold", "window_s", "age_s", "parameters", "rule_version"}


def test_somebody_in_a_danger_zone_of_whom_nothing_is_heard_is_not_out_of_it() -> None:
    rules = made()
    fed(rules, [fix(n, "P1", 40.0 + n, 20.0) for n in range(30)])
    found = fed(rules, walking(range(30, 90), ["P2"], "road"))
    assert told(found, "zone_entry") == [("zone_entry", "goaf:P1", "no_data", "alarm")]
    found = fed(rules, [fix(90 + n, "P1", 30.0 - n, 20.0) for n in range(10)])
    assert told(found, "zone_entry")[-1] == ("zone_entry", "goaf:P1", "cleared", "alarm")


# --- L5 ---


def test_one_silent_tag_is_a_lost_tag_and_a_tag_that_left_by_the_gate_is_not() -> None:
    rules = made()
    fed(rules, walking(range(1, 10), ["P1"], "road") + walking(range(1, 10), ["P2"], "gate"))
    found = fed(rules, walking(range(10, 120), ["P3"], "road"))
    assert told(found, "tag_lost") == [("tag_lost", "P1", "raised", "warning")]
    assert told(fed(rules, [fix(121, "P1", 5.0, 500.0)]), "tag_lost") == [("tag_lost", "P1", "cleared", "warning")]


def test_a_zone_that_falls_silent_is_one_alert_and_a_dead_reader_is_told_instead() -> None:
    crew = [f"P{n}" for n in range(10, 16)]
    rules = made()
    fed(rules, walking(range(1, 10), crew, "face"))
    found = fed(rules, walking(range(10, 120), ["P3"], "road"))
    assert told(found, "tag_lost", "zone_silent") == [("zone_silent", "face", "raised", "critical")]
    back = fed(rules, walking(range(120, 125), crew, "face"))
    assert told(back, "zone_silent") == [("zone_silent", "face", "cleared", "critical")]
    rules = made()
    fed(rules, walking(range(1, 10), crew, "face"), [reading(9, "r1", "station_run", 1.0)])
    found = fed(rules, walking(range(10, 120), ["P3"], "road"))
    assert told(found, "tag_lost", "zone_silent") == []


def test_when_nobody_is_heard_at_all_it_is_the_link_and_no_tag() -> None:
    rules = made()
    fed(rules, walking(range(1, 10), ["P1", "P2"], "road"))
    assert told(rules.tick(T0 + 200)) == [("mine_offline", "mine", "raised", "alarm")]
    assert told(fed(rules, walking(range(201, 203), ["P1", "P2"], "road")))[0] == (
        "mine_offline", "mine", "cleared", "alarm",
    )  # fmt: skip


# --- others ---


def test_somebody_who_lies_still_is_told_after_five_minutes_and_again_after_ten() -> None:
    fixes = [fix(n, "P1", 5.0 + 0.2 * (n % 3), 5.0) for n in range(0, 700, 2)]
    assert told(fed(made(), fixes), "still") == [
        ("still", "P1", "raised", "warning"), ("still", "P1", "again", "critical")
    ]  # fmt: skip


def test_a_call_for_help_is_told_at_once_and_only_once_while_it_lasts() -> None:
    rules = made()
    calls = [reading(n, "P1", "sos", 1.0) for n in range(3)]
    assert told(fed(rules, [], calls)) == [("sos", "P1", "raised", "critical")]
    assert told(fed(rules, [], [reading(4, "P1", "sos", 0.0)])) == [("sos", "P1", "cleared", "critical")]


def test_cameras_and_tags_may_differ_by_ten_and_not_by_more_for_five_minutes() -> None:
    rules = made()
    fixes = walking(range(0, 400), ["P1", "P2"], "road")
    assert told(fed(rules, fixes, [reading(5, "gate", "headcount_video", 12.0)]), "count_mismatch") == []
    rules = made()
    found = fed(rules, fixes, [reading(5, "gate", "headcount_video", 13.0)])
    assert told(found, "count_mismatch") == [("count_mismatch", "mine", "raised", "alarm")]
    assert found[-1].explain["threshold"] == 10


def test_gates_that_count_in_and_out_give_the_balance() -> None:
    rules = made()
    rules.feed([reading(1, "g1", "people_in", 40.0), reading(2, "g1", "people_out", 4.0)], [])
    rules.feed([reading(3, "g2", "people_in", 6.0)], [])
    assert rules.counts.video == (42.0, T0 + 3)


def test_a_dwell_beyond_ten_hours_is_a_warning_and_beyond_twelve_an_alarm() -> None:
    rules = made(dwell_warning_s=200.0, dwell_alarm_s=400.0)
    found = fed(rules, walking(range(0, 500), ["P1"], "road"))
    assert told(found, "dwell") == [("dwell", "P1", "raised", "warning"), ("dwell", "P1", "again", "alarm")]


def test_a_car_against_the_direction_is_told_after_three_seconds_and_three_metres() -> None:
    fixes = [fix(n, "V1", 150.0 - 2.0 * n, 100.0, kind="vehicle") for n in range(15)]
    found = fed(made(), fixes)
    assert told(found, "reverse_travel") == [("reverse_travel", "V1", "raised", "alarm")]
    assert told(fed(made(), [fix(n, "V1", 20 + 2.0 * n, 100.0, kind="vehicle") for n in range(15)])) == []


def test_a_bent_roadway_has_its_direction_everywhere() -> None:
    bent = {"d": Drift("d", ((0, 0, 0), (100, 0, 0), (100, 100, 0), (0, 100, 0)), direction="forward")}
    facts = replace(FACTS, drifts=bent)
    back = [fix(n, "V1", 20.0 + 2.0 * n, 100.0, kind="vehicle") for n in range(15)]
    assert told(fed(made(facts), back), "reverse_travel") == [("reverse_travel", "V1", "raised", "alarm")]
    on = [fix(n, "V1", 80.0 - 2.0 * n, 100.0, kind="vehicle") for n in range(15)]
    assert told(fed(made(facts), on), "reverse_travel") == []


def test_a_wrong_figure_of_a_mine_stops_no_rule() -> None:
    facts = replace(FACTS, mine=Mine(parameters={"quota_s": -5.0, "lone_m": 40.0, "no_such": 1.0}))
    assert (made(facts).settings.quota_s, made(facts).settings.lone_m) == (60.0, 40.0)


def test_two_cars_on_one_track_are_told_before_they_meet() -> None:
    fixes = [
        fix(n, tag, x, 100.0, kind="vehicle") for n in range(18) for tag, x in (("V1", 4.0 * n), ("V2", 150 - 4.0 * n))
    ]
    found = [one for one in fed(made(), fixes) if one.rule == "collision"]
    assert [one.severity for one in found if one.change != "cleared"] == ["warning", "alarm"]
    meet = (150 - 4.0) / 8.0  # their middles are 4 m apart then
    assert 3.0 <= meet - (found[0].at - T0) <= 5.5


def test_a_car_that_passes_at_three_metres_is_no_collision_and_one_that_drives_at_somebody_is() -> None:
    def drive(off: float) -> list[tuple[str, str, str, str]]:
        fixes = [fix(n, "V1", 3.0 * n, 100.0, kind="vehicle") for n in range(30)]
        fixes += [fix(n, "P2", 60.0, 100.0 + off) for n in range(30)]
        return [one for one in told(fed(made(), fixes), "approach") if one[3] == "alarm"]

    assert drive(3.0) == []
    assert drive(0.2)[0][:2] == ("approach", "V1+P2")


def test_a_shearer_that_is_moved_while_off_is_told_and_one_that_works_is_not() -> None:
    def moved(amperes: float) -> list[tuple[str, str, str, str]]:
        power = [reading(n, "shearer", "current_a", amperes) for n in range(60)]
        fixes = [fix(n, "S1", 10.0 + max(0, n - 20) * 0.2, 300.0, kind="vehicle") for n in range(60)]
        return told(fed(made(), fixes, power), "displaced")

    assert moved(0.0) == [("displaced", "S1", "raised", "alarm")]
    assert moved(70.0) == []


def test_only_strangers_beside_a_running_machine_are_told() -> None:
    power = [reading(n, "shearer", "current_a", 70.0) for n in range(40)]
    fixes = [fix(n, "S1", 10.0, 300.0, kind="vehicle") for n in range(40)]
    fixes += [fix(n, tag, 11.5, 301.0) for n in range(40) for tag in ("P1", "P2")]
    found = told(fed(made(), fixes, power), "person_near_machine")
    assert {one[1] for one in found} == {"S1+P2"}
    assert found[-1][3] == "alarm"


def test_late_fixes_are_for_the_history_only() -> None:
    late = [replace(one, received_at=one.source_at + 60.0) for one in [fix(n, "P1", 60.0 + n, 20.0) for n in range(20)]]
    rules = made()
    assert told(fed(rules, late), "zone_entry") == []
    assert rules.tracks.late == 20


def test_what_is_fed_at_once_and_piece_by_piece_gives_the_same_findings() -> None:
    fixes = [fix(n, "P1", 40.0 + n, 20.0) for n in range(40)] + walking(range(1, 150), ["P2", "P3"], "road")
    whole = fed(made(), fixes)
    rules, pieces = made(), list[Finding]()
    for one in sorted(fixes, key=lambda one: (one.received_at, one.source_at, one.seq)):
        pieces += rules.feed([], [one])
    assert whole == pieces
    assert whole


def test_a_restart_goes_on_with_what_stands() -> None:
    rules = made()
    rules.take_up("zone_entry", "goaf:P1", "alarm", T0 - 60)
    found = fed(rules, [fix(n, "P1", 30.0 - n, 20.0) for n in range(10)])
    assert told(found, "zone_entry") == [
        ("zone_entry", "goaf:P1", "data_back", "alarm"), ("zone_entry", "goaf:P1", "cleared", "alarm")
    ]  # fmt: skip
