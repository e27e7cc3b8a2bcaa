"""Who is on duty when: rounds of turns, overrides, and the days on which numbers are tested."""

import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.duty.rota import (
    Override,
    Person,
    Plan,
    Rota,
    as_body,
    drill_moment,
    masked,
    override_of,
    person_of,
    plan_of,
)

H = 3600.0
START = 1_800_000_000.0


def rota(*more: Plan | Override) -> Rota:
    made = Rota(people={one: Person(one, "m", one.upper(), "13800000000") for one in "abcd"})
    plans = [Plan("p1", "m", "on_duty", "班", START, 8 * H, (("a",), ("b",), ("c", "d")))]
    for one in (*plans, *more):
        if isinstance(one, Plan):
            made.plans[one.plan] = one
        else:
            made.overrides[one.override] = one
    return made


def on(made: Rota, hours: float, who: str = "on_duty") -> list[str]:
    return [one.person for one in made.on("m", who, START + hours * H)]


def test_turns_go_round_for_ever_and_not_before_they_begin() -> None:
    made = rota()
    assert [on(made, hours) for hours in (-1, 0, 7.99, 8, 16, 24, 24 * 365)] == [
        [], ["a"], ["a"], ["b"], ["c", "d"], ["a"], ["a"],
    ]  # fmt: skip
    assert on(made, 1, "deputy") == []
    assert made.on("elsewhere", "on_duty", START) == ()


def test_override_replaces_everybody_for_its_time_and_the_newest_wins() -> None:
    first = Override("o1", "m", "on_duty", START + 2 * H, START + 6 * H, ("b",), made_at=1.0)
    second = Override("o2", "m", "on_duty", START + 3 * H, START + 4 * H, ("d",), made_at=2.0)
    made = rota(first, second)
    assert [on(made, hours) for hours in (1, 2, 3, 4, 6)] == [["a"], ["b"], ["d"], ["b"], ["a"]]


def test_two_plans_of_one_role_are_both_on_and_nobody_twice() -> None:
    made = rota(Plan("p2", "m", "on_duty", "", START, 24 * H, (("d", "a"),)))
    assert on(made, 0) == ["a", "d"]


def test_whoever_is_out_of_use_is_not_called() -> None:
    made = rota()
    made.people["c"] = Person("c", "m", "C", active=False)
    assert on(made, 16) == ["d"]


def test_week_has_no_hole_and_says_who_it_is() -> None:
    made = rota(Override("o1", "m", "on_duty", START + 2 * H, START + 6 * H, ("b",), made_at=1.0))
    spans = made.spans("m", "on_duty", START - 2 * H, START + 24 * H)
    assert [(one.start - START, one.people) for one in spans] == [
        (-2 * H, ()), (0.0, ("a",)), (2 * H, ("b",)), (6 * H, ("a",)), (8 * H, ("b",)), (16 * H, ("c", "d")),
    ]  # fmt: skip
    assert spans[2].override == "o1"


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0.5, 50)), max_size=5), st.floats(0, 100), st.floats(1, 100))
def test_spans_say_what_is_true_at_every_moment(
    overrides: list[tuple[float, float]], start: float, length: float
) -> None:
    made = rota(
        *(
            Override(f"o{n}", "m", "on_duty", START + at * H, START + (at + lasts) * H, ("d",), made_at=float(n))
            for n, (at, lasts) in enumerate(overrides)
        )
    )
    begin, end = START + start * H, START + (start + length) * H
    spans = made.spans("m", "on_duty", begin, end)
    assert (spans[0].start, spans[-1].end) == (begin, end)
    for before, after in itertools.pairwise(spans):
        assert before.end == after.start
    for one in spans:
        for at in (one.start, (one.start + one.end) / 2):
            assert tuple(p.person for p in made.on("m", "on_duty", at)) == one.people


def test_one_unanswered_call_is_no_dead_number_and_two_are() -> None:
    person = Person("a", "m", "A", "13800000000")
    once = person.tested("no_answer", 1.0)
    assert not once.dead
    assert once.tested("busy", 2.0).dead
    assert not once.tested("answered", 2.0).tested("no_answer", 3.0).dead
    assert person.tested("wrong_number", 1.0).dead


def test_bodies_come_back_as_they_were() -> None:
    made = rota(Override("o1", "m", "deputy", 1.0, 2.0, ("a",), "病假", "王"))
    assert plan_of(as_body(made.plans["p1"])) == made.plans["p1"]
    assert override_of(as_body(made.overrides["o1"])) == made.overrides["o1"]
    assert person_of(as_body(made.people["a"])) == made.people["a"]


@pytest.mark.parametrize(("phone", "shown"), [("13812345678", "138****5678"), ("110", "110"), ("", "")])
def test_masked_number_shows_its_ends(phone: str, shown: str) -> None:
    assert masked(phone) == shown


@given(
    st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2099, 12, 31)), st.integers(1, 28), st.integers(0, 16)
)
def test_numbers_are_tested_in_the_hours_of_every_day_from_the_day_on(
    local: datetime.datetime, day: int, hour: int
) -> None:
    at = local.replace(tzinfo=datetime.UTC).timestamp() - 8 * H
    moment = drill_moment(at, 8.0, day, hour)
    inside = local.day >= day and hour <= local.hour < hour + 8
    assert (moment is not None) == inside
    if moment is not None:
        began = datetime.datetime.fromtimestamp(moment + 8 * H, datetime.UTC)
        assert (began.year, began.month, began.day, began.hour) == (local.year, local.month, day, hour)
