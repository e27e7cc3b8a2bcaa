"""The text of mines' files, read and written."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.telemetry.minefile import FIELDS, BadFile, Record, file_name, is_whole, parse_name, read, seconds, write
from tests.fakes.minefiles import MINE, T0, person, ryss

WRITTEN = st.text(st.characters(exclude_characters=";~|", exclude_categories=["C", "Z"]), max_size=12)


@pytest.mark.parametrize("type", FIELDS)
def test_every_type_is_read_as_it_was_written(type: str) -> None:
    values = {"card": "1" * 17, "area": "1" * 16, "station": "1" * 22, "flag": "1", "run": "0", "point": "P1"}
    numbers = dict.fromkeys(("x", "y", "z", "quota", "distance_m", "value", "rated_v", "rated_a", "rated_kw"), "-1.5")
    times = dict.fromkeys(("in_time", "out_time", "area_in_time", "station_in_time", "time"), "2026-09-21 21:00:00")
    flags = {"is_leader": "0", "is_special": "1"}
    known: Record = {**values, **numbers, **times, **flags}
    record = {name: known.get(name, "字") for name in FIELDS[type]}
    file = read(type, write(type, MINE, "某矿", T0, [record, record]))
    assert (file.mine, file.type, file.at) == (MINE, type, T0)
    assert list(file.records) == [record, record]
    assert file.bad == []


@given(st.lists(st.tuples(WRITTEN, WRITTEN), max_size=5), st.booleans())
def test_any_text_that_can_be_written_is_read_the_same(pairs: list[tuple[str, str]], broken_lines: bool) -> None:
    records = [person(n, name=name, shift=shift) for n, (name, shift) in enumerate(pairs)]
    text = write("RYSS", MINE, "某矿", T0, records)
    file = read("RYSS", text.replace("~", "~\r\n") if broken_lines else text)
    assert [(one["name"], one["shift"]) for one in file.records] == [(a or None, b or None) for a, b in pairs]


@given(st.sampled_from(sorted(FIELDS)), st.text(st.sampled_from("0123456789;~|-: \n年a"), max_size=200))
def test_no_text_breaks_the_reader(type: str, text: str) -> None:
    for given_text in (
        text,
        f"{MINE};矿;2026-09-21 21:00:00~{text}||",
        f"{MINE};矿;30;风机;2026-09-21 21:00:00~{text}||",
    ):
        with contextlib.suppress(BadFile):
            file = read(type, given_text)
            assert all(set(record) == set(FIELDS[type]) for record in file.records)
            assert {one.number for one in file.bad} <= set(range(1, 201))


@given(st.text(max_size=60))
def test_no_name_breaks_the_reader(name: str) -> None:
    found = parse_name(name)
    assert found is None or name == file_name(found.mine, found.type, found.at)


def test_a_value_that_would_break_the_form_is_not_written() -> None:
    with pytest.raises(ValueError, match="may not hold"):
        ryss(T0, [person(1, name="a;b")])


def test_a_text_without_its_end_is_not_whole() -> None:
    _, text = ryss(T0, [person(1)])
    assert is_whole(text + "\r\n")
    assert not is_whole(text[:-1])


def test_times_are_those_of_china() -> None:
    assert seconds("2026-09-21 22:13:20") == T0
    assert file_name(MINE, "RYSS", T0).endswith("_RYSS_20260921221320.txt")
