"""Marks, the fairness list and the sheet of spot checks."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from server.duty.spotcheck import FAIR_S, Check, as_csv, check_of, draw, standings

NOW = 1_800_000_000.0


def check(site: str = "a", at: float = NOW - 100, took: float | None = 5.0, **more: object) -> Check:
    made = Check("k1", site, "", "王", "county", at, 60.0, **more)  # type: ignore[arg-type]
    return made if took is None else made.answered("李", "李", at + took)


def test_prompt_is_full_marks_late_is_fewer_and_silence_is_none() -> None:
    assert check(took=15.0).score() == 100.0
    assert check(took=37.5).score() == 80.0
    assert check(took=60.0).score() == 60.0
    assert check(took=None).late().score() == 0.0
    assert check(took=None).score() is None
    assert Check(**{**asdict(check()), "confirmed": False, "expected": ()}).score() == 0.0


def test_whoever_answers_is_compared_with_the_rota() -> None:
    assert check(expected=("李",)).as_planned is True
    assert check(expected=("赵",)).as_planned is False
    assert check().as_planned is None


def test_least_checked_first_then_longest_ago_and_old_checks_do_not_count() -> None:
    checks = [check("a"), check("a"), check("b", NOW - 50), check("c", NOW - 500), check("d", NOW - FAIR_S - 1)]
    listed = standings("abcd", checks, NOW)
    assert [(one.site, one.checks) for one in listed] == [("d", 0), ("c", 1), ("b", 1), ("a", 2)]


@given(st.lists(st.sampled_from("abc"), max_size=60), st.randoms())
def test_drawing_always_takes_one_of_those_checked_least(before: list[str], random: object) -> None:
    checks = [check(site) for site in before]
    for _ in range(9):
        drawn = draw(standings("abc", checks, NOW), lambda n: random.randrange(n))  # type: ignore[attr-defined]
        assert drawn is not None
        counts = {site: sum(one.site == site for one in checks) for site in "abc"}
        assert counts[drawn] == min(counts.values())
        checks.append(check(drawn))


def test_nobody_below_is_nobody_drawn() -> None:
    assert draw([], lambda n: 0) is None


def test_sheet_has_a_row_each_and_no_formula() -> None:
    text = as_csv([check(note='=HYPERLINK("x")'), check(note='with "quotes", and commas')], lambda at: "2026-11-25")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["note"] for row in rows] == ['\'=HYPERLINK("x")', 'with "quotes", and commas']
    assert (rows[0]["took_s"], rows[0]["score"], rows[0]["called_at"]) == ("5.0", "100.0", "2026-11-25")


def test_body_comes_back_as_it_was() -> None:
    made = check(expected=("李", "赵"))
    assert check_of(asdict(made)) == made


def test_the_checks_are_gone_through_once_however_many_sites_there_are() -> None:
    class Counted(list[Check]):
        times = 0

        def __iter__(self) -> Iterator[Check]:
            self.times += 1
            return super().__iter__()

    checks = Counted([check("a"), check("b"), check("b")])
    listed = standings("abcdefgh", checks, NOW)
    assert {one.site: one.checks for one in listed if one.checks} == {"a": 1, "b": 2}
    assert checks.times == 1
