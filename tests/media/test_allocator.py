"""Sharing a subscriber's bandwidth."""

from hypothesis import given
from hypothesis import strategies as st

from media.allocator import FIRST, REST, VOICE, Demand, allocate, missing

COSTS = (150_000.0, 500_000.0, 1_800_000.0)


def picture(name: str, priority: int = REST, ceiling: int = 2, now: int | None = None, *, must: bool = False) -> Demand:
    return Demand(name, priority, COSTS, ceiling, now, must)


VOICE_ = Demand("voice", VOICE, (40_000.0,), 0, 0)


def test_without_a_budget_everything_gets_what_is_of_use() -> None:
    assert allocate([picture("a", ceiling=1), VOICE_], None) == {"a": 1, "voice": 0}


def test_voice_comes_first_even_where_nothing_else_fits() -> None:
    assert allocate([picture("a"), VOICE_], 30_000) == {"a": None, "voice": 0}


def test_what_is_pinned_grows_before_the_rest() -> None:
    demands = [picture("a"), picture("b", FIRST), VOICE_]
    assert allocate(demands, 2_200_000) == {"voice": 0, "b": 2, "a": 0}
    assert allocate(demands, 900_000) == {"voice": 0, "b": 1, "a": 0}


def test_equals_grow_in_turn() -> None:
    demands = [picture("a"), picture("b"), picture("c")]
    assert allocate(demands, 1_000_000) == {"a": 1, "b": 0, "c": 0}
    assert allocate(demands, 1_700_000) == {"a": 1, "b": 1, "c": 1}


def test_pictures_that_do_not_fit_are_paused_from_the_end() -> None:
    demands = [picture(name) for name in "abcd"]
    assert allocate(demands, 350_000) == {"a": 0, "b": 0, "c": None, "d": None}


def test_what_is_sent_may_stay_where_it_could_not_begin() -> None:
    budget = 500_000 * 1.05
    assert allocate([picture("a", now=0)], budget) == {"a": 0}
    assert allocate([picture("a", now=1)], budget) == {"a": 1}


def test_a_picture_that_must_come_comes() -> None:
    assert allocate([picture("a", must=True)], 1.0) == {"a": 0}


def test_what_is_missing_is_the_next_step_of_the_most_important() -> None:
    demands = [picture("a", now=0), picture("b", FIRST, now=1)]
    assert missing(demands, {"a": 0, "b": 1}) == 1_300_000
    assert missing(demands, {"a": None, "b": 2}) == 150_000
    assert missing(demands, {"a": 2, "b": 2}) == 0


@given(
    st.lists(
        st.builds(
            Demand,
            st.uuids().map(str),
            st.sampled_from((FIRST, REST)),
            st.lists(st.floats(1e4, 2e6), min_size=1, max_size=3).map(lambda costs: tuple(sorted(costs))),
            st.integers(0, 2),
            st.one_of(st.none(), st.integers(0, 2)),
        ),
        max_size=8,
    ),
    st.floats(0, 1e7),
)
def test_nothing_costs_more_than_there_is(demands: list[Demand], budget: float) -> None:
    shares = allocate(demands, budget)
    spent = sum(demand.costs[index] for demand in demands if (index := shares[demand.track]) is not None)
    assert spent <= budget / 0.95 + 1
    assert all((shares[demand.track] or 0) <= demand.ceiling for demand in demands)
