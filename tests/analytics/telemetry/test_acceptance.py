"""What real deployments needed of files, each rule with a test of its own. I17 and I18 are in `test_files.py`."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.rules.staleness import Staleness
from analytics.telemetry.acceptance import Found, Judged, Known, Register, judge
from analytics.telemetry.minefile import FIELDS, Record, china, file_name, write
from tests.fakes.minefiles import AREA, MINE, OTHER, STATION, T0, card, person, ryss, sample

SITES = {MINE: "hongqi", OTHER: "dongfeng"}


class Desk:
    """Judges files as they come, and remembers."""

    def __init__(self) -> None:
        self.register: dict[str, Register] = defaultdict(Register)

    def take(self, file: tuple[str, str], *, folder: str = MINE, known: Known | None = None, **given: Any) -> Judged:
        name, text = file
        found = Found(name, folder, text, "", given.pop("unchanged_s", 0.0))
        fixed: dict[str, Any] = {"sites": SITES, "register": self.register, "devices": {"1号主扇": "fan-main"}}
        return judge(found, known or Known(), **{"now": T0 + 10, **fixed, **given})


@pytest.fixture
def desk() -> Desk:
    return Desk()


def file_of(type: str, records: list[Record], at: float = T0) -> tuple[str, str]:
    return file_name(MINE, type, at), write(type, MINE, "某矿", at, records)


def test_i1_a_file_without_its_end_waits_and_fails_after_ten_minutes(desk: Desk) -> None:
    name, text = ryss(T0, [person(1)])
    assert desk.take((name, text[:-2]), unchanged_s=599.0).status == "WAIT"
    judged = desk.take((name, text[:-2]), unchanged_s=600.0)
    assert (judged.status, judged.reason, judged.positions) == ("FAILED", "no_end", ())


def test_i2_too_many_bad_records_fail_the_whole_file(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [*(person(n) for n in range(7)), *(person(n, card="7") for n in range(2))]))
    assert (judged.status, judged.reason) == ("FAILED", "too_many_bad_records")
    assert [one.number for one in judged.bad] == [8, 9]
    assert judged.positions == ()


def test_i3_few_bad_records_leave_the_good_ones(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [*(person(n) for n in range(8)), person(8, flag="7"), person(9, card=None)]))
    assert judged.status == "PARTIAL"
    assert [(one.number, one.reason) for one in judged.bad] == [(9, "bad:flag"), (10, "missing:card")]
    assert len(judged.positions) == 8


def test_i3_at_most_500_bad_records_are_listed(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [person(n, flag="7") for n in range(600)]))
    assert (judged.status, len(judged.bad), judged.records) == ("FAILED", 500, 600)


def test_i4_a_header_from_the_future_is_not_believed(desk: Desk) -> None:
    assert desk.take(ryss(T0, [person(1)]), now=T0 - 299).status == "DONE"
    assert desk.take(ryss(T0, [person(1)]), now=T0 - 301).reason == "in_the_future"


def test_i5_the_same_file_again_is_a_duplicate(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [person(1)]), known=Known(duplicate=True))
    assert (judged.status, judged.positions) == ("DUPLICATE", ())


def test_i6_an_older_file_fills_the_history_only(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [person(1)]), known=Known(newest_at=T0 + 5))
    assert judged.status == "STALE"
    assert [one.source_at for one in judged.positions] == [T0]
    assert [one.source_at for one in judged.readings] == [T0, T0]


@pytest.mark.parametrize(
    ("mine", "folder", "reason"),
    [
        (OTHER, MINE, "folder_of_another_mine"),
        (MINE, OTHER, "folder_of_another_mine"),
        (MINE, "", "in_the_root"),
        (MINE, "999999999999", "folder_of_no_mine"),
        ("999999999999", MINE, "unknown_mine"),
    ],
)
def test_i7_a_file_in_the_wrong_place_is_refused(desk: Desk, mine: str, folder: str, reason: str) -> None:
    judged = desk.take(ryss(T0, [person(1)], mine), folder=folder)
    assert (judged.status, judged.reason) == ("FAILED", reason)


def test_i7_a_header_of_another_mine_is_refused(desk: Desk) -> None:
    name, _ = ryss(T0, [])
    _, text = ryss(T0, [person(1)], OTHER)
    assert desk.take((name, text)).reason == "header_of_another_mine"


def test_i8_empty_fields_stay_empty_and_move_nothing(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [person(1, name=None, in_time=None, station=None, distance_m=None)]))
    (position,) = judged.positions
    assert (judged.status, position.zone) == ("DONE", AREA)


def test_i8_no_value_is_no_reading(desk: Desk) -> None:
    at = china(T0)
    records = [sample("P1", "A相电流", "-9999", at), {**sample("P2", "B相电流", "1", at), "value": None}]
    judged = desk.take(file_of("TFSS", [*records, sample("P3", "C相电流", "41.5", at)]))
    assert (judged.status, judged.no_value) == ("DONE", 2)
    assert [(one.quantity, one.value) for one in judged.readings] == [("current_c", 41.5)]


def test_i9_the_last_record_of_a_card_wins(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [person(1, "1"), person(1, "2")]))
    assert (judged.status, list(judged.warnings)) == ("DONE", [f"duplicate_card:{card(1)}"])
    assert [one.zone for one in judged.positions] == [""]


def test_i10_a_card_with_a_new_name_is_a_warning_without_the_name(desk: Desk) -> None:
    desk.take(ryss(T0, [person(1)]))
    judged = desk.take(ryss(T0 + 1, [person(1, name="别人")]))
    assert (judged.status, list(judged.warnings)) == ("DONE", [f"person_changed:{card(1)}"])
    assert "别人" not in repr(judged)
    assert "别人" not in repr(desk.register)


def test_i11_people_of_a_snapshot_are_completed_by_an_older_list(desk: Desk) -> None:
    desk.take(ryss(T0, [person(1)]))
    before = desk.register[MINE].persons[card(1)]
    old: list[Record] = [{"card": card(1), "name": "旧名", "job": "电工"}, {"card": card(2), "name": "人员2"}]
    judged = desk.take(file_of("RYXX", old, T0 - 15_000_000))
    assert (judged.status, list(judged.warnings)) == ("DONE", [])
    persons = desk.register[MINE].persons
    assert persons[card(1)] == (before[0], before[1], True)
    assert set(persons) == {card(1), card(2)}


def test_i12_a_station_that_nobody_named_is_kept(desk: Desk) -> None:
    desk.take(file_of("JZSS", [{"station": STATION, "run": "1", "power": "0", "time": china(T0)}]))
    station = desk.register[MINE].stations[STATION]
    assert (station.name, station.run, station.run_at, station.named_at) == (None, "1", T0, None)
    named: Record = {"station": STATION, "station_name": "井底", "x": "10", "y": "-5", "z": "-420", "place": "井底"}
    desk.take(file_of("RYJZ", [named], T0 - 1000))
    assert (station.name, station.named_at, station.run_at) == ("井底", T0 - 1000, T0)
    (position,) = desk.take(ryss(T0, [person(1)])).positions
    assert (position.x_m, position.y_m, position.z_m) == (10.0, -5.0, -420.0)


def test_i13_a_night_shift_is_present_on_both_days(desk: Desk) -> None:
    midnight = T0 + 6400  # 2026-09-22 00:00 in China
    taken = [desk.take(ryss(at, [person(1)]), now=at) for at in (midnight - 300, midnight + 300, midnight + 600)]
    days = [(one.tag, china(one.source_at, "%Y-%m-%d")) for judged in taken for one in judged.positions]
    assert sorted(set(days)) == [(card(1), "2026-09-21"), (card(1), "2026-09-22")]


def test_i14_the_same_snapshot_time_again_is_merged(desk: Desk) -> None:
    first, again = (
        desk.take(ryss(T0, [person(1)])),
        desk.take(ryss(T0, [person(1), person(2)]), known=Known(newest_at=T0)),
    )
    assert again.status == "DONE"
    same = {(one.tag, one.source_at, one.seq) for one in first.positions}
    assert same < {(one.tag, one.source_at, one.seq) for one in again.positions}


def test_i15_the_time_of_a_list_of_people_is_the_eighth_part(desk: Desk) -> None:
    header = f"{MINE};某矿;2026-01-01 00:00:00;KJ1;系统;厂商;2030-01-01;2026-09-21 22:13:20~"
    judged = desk.take((file_name(MINE, "RYXX", T0), f"{header}{card(1)};甲;电工;;;;;0;1~||"))
    assert (judged.status, judged.at) == ("DONE", T0)


def test_i16_an_unknown_type_is_archived_only(desk: Desk) -> None:
    judged = desk.take((file_name(MINE, "RYQJ", T0), "whatever||"))
    assert (judged.status, judged.readings, judged.positions) == ("UNKNOWN", (), ())


def test_i19_silence_is_told_after_a_quarter_of_an_hour_and_never_before_a_first_file() -> None:
    watched = Staleness("hongqi", MINE, 900.0, None, standing=False)
    assert watched.tick(T0 + 1e6) == ()
    watched.file(T0)
    assert watched.tick(T0 + 900) == ()
    (raised,) = watched.tick(T0 + 901)
    assert (raised.change, raised.at, raised.rule) == ("raised", T0 + 900, "positioning_stale")
    assert watched.tick(T0 + 2000) == ()
    watched.file(T0 + 2000)
    assert [one.change for one in watched.tick(T0 + 2001)] == ["cleared"]


def test_i19_no_file_is_no_count(desk: Desk) -> None:
    judged = desk.take(file_of("RYXX", [{"card": card(1)}]))
    assert list(judged.readings) == []


def test_i20_the_headcount_is_those_with_flag_1(desk: Desk) -> None:
    judged = desk.take(ryss(T0, [person(1, "0"), person(2), person(3), person(4, "2"), person(5, status="求救")]))
    counts = {one.quantity: one.value for one in judged.readings if one.device == "positioning"}
    assert counts == {"headcount_underground": 3.0, "persons_calling_for_help": 1.0}
    assert {one.tag: one.zone for one in judged.positions} == {
        card(1): "", card(2): AREA, card(3): AREA, card(4): "", card(5): AREA,
    }  # fmt: skip
    assert all(one.label == one.tag for one in judged.positions)


def test_a_call_for_help_is_told_of_its_card_until_a_newer_file_ends_it(desk: Desk) -> None:
    calls = [
        one for one in desk.take(ryss(T0, [person(1), person(2, status="求救")])).readings if one.quantity == "sos"
    ]
    assert [(one.device[-1], one.value) for one in calls] == [("2", 1.0)]
    older = desk.take(ryss(T0 - 600, [person(2)]))
    assert [one for one in older.readings if one.quantity == "sos"] == []
    ended = desk.take(ryss(T0 + 300, [person(1), person(2)]))
    assert [(one.device[-1], one.value) for one in ended.readings if one.quantity == "sos"] == [("2", 0.0)]


# --- equipment ---


def test_equipment_values_are_readings_of_our_devices(desk: Desk) -> None:
    at = china(T0 - 5)
    judged = desk.take(
        file_of(
            "TFSS",
            [
                sample("P1", "A相电流", "41.5", at),
                sample("P2", "AB线电压", "10.02", at, "kV"),
                sample("P3", "风量", "88", at, "m3/s", "2号主扇"),
                sample("P4", "B相电流", "3", at, "Pa"),
            ],
        )
    )
    assert [(one.device, one.quantity, one.value, one.unit, one.source_at) for one in judged.readings] == [
        ("fan-main", "current_a", 41.5, "A", T0 - 5),
        ("fan-main", "voltage_ab", 10020.0, "V", T0 - 5),
        ("P3", "code_a05", 88.0, "m3/s", T0 - 5),
    ]
    assert (judged.status, judged.no_value) == ("DONE", 1)


@pytest.mark.parametrize("type", ["TFJC", "JCJC", "JCYC", "JBSJ"])
def test_definitions_and_exceptions_give_no_samples(desk: Desk, type: str) -> None:
    record: Record = {"point": "P1", "device": "1号主扇", "rated_a": "52"}
    judged = desk.take(file_of(type, [record]))
    assert (judged.status, list(judged.readings)) == ("DONE", [])


def test_a_value_of_the_future_is_no_reading(desk: Desk) -> None:
    judged = desk.take(file_of("TFSS", [sample("P1", "A相电流", "41.5", "2099-01-01 00:00:00")]))
    assert (judged.status, list(judged.readings), judged.no_value) == ("DONE", [], 1)


def test_control_characters_are_no_text(desk: Desk) -> None:
    name, text = ryss(T0, [person(1)])
    assert desk.take((name, text.replace("正常", "\x00"))).reason == "control_characters"


@given(
    st.sampled_from(sorted(FIELDS)),
    st.lists(
        st.lists(st.sampled_from(["", "1", "-9999", card(1), AREA, STATION, "2026-09-21 21:00:00", "A相电流", "字"]))
    ),
)
def test_no_file_breaks_the_desk_and_all_samples_are_of_this_mine(type: str, records: list[list[str]]) -> None:
    filled = [(record * 15)[: len(FIELDS[type])] if record else [""] for record in records]
    header = write(type, MINE, "某矿", T0, []).removesuffix("||")
    text = header + "".join(";".join(fields) + "~" for fields in filled) + "||"
    judged = Desk().take((file_name(MINE, type, T0), text))
    assert judged.status in ("DONE", "PARTIAL", "FAILED")
    assert {one.site for one in judged.readings} | {one.site for one in judged.positions} <= {"hongqi"}
    assert not (judged.status == "FAILED" and (judged.readings or judged.positions))
