"""How far it is to the way out, along the roadways."""

import random

import pytest

from analytics.mine import Drift, Fence, MineFacts, Zone
from analytics.ways import Ways

SHAFT = Zone("shaft", Fence(outline=((-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0))), kind="shaft_mouth")
MAIN = Drift("main", ((0.0, 0.0, 0.0), (400.0, 0.0, 0.0)))
SIDE = Drift("side", ((200.0, 5.0, 0.0), (200.0, 300.0, 0.0)))
"""Begins beside the middle of the main roadway."""


def mine(*drifts: Drift, zones: tuple[Zone, ...] = (SHAFT,)) -> Ways:
    return Ways(
        MineFacts("m", drifts={one.drift: one for one in drifts}, zones={one.zone: one for one in zones})
    )  # fmt: skip


@pytest.mark.parametrize(
    ("place", "metres"),
    [((0.0, 0.0, 0.0), 0.0), ((150.0, 2.0, 0.0), 150.0), ((400.0, 0.0, 0.0), 400.0), ((200.0, 105.0, 0.0), 300.0),
     ((203.0, 300.0, 1.0), 495.0)],
)  # fmt: skip
def test_distance_is_along_the_roadways(place: tuple[float, float, float], metres: float) -> None:
    stand = mine(MAIN, SIDE).stand(*place)
    assert stand is not None
    assert stand.to_exit_m == pytest.approx(metres, abs=1.0)


def test_slope_counts_along_the_slope() -> None:
    stand = mine(Drift("slope", ((0.0, 0.0, 0.0), (300.0, 0.0, -400.0)))).stand(300.0, 0.0, -400.0)
    assert stand is not None
    assert stand.to_exit_m == pytest.approx(500.0, abs=1.0)


def test_roadways_that_meet_a_few_metres_apart_are_one_net() -> None:
    at = ((200.0, 0.0, 0.0), (204.0, 2.0, 0.0), (203.0, -3.0, 0.0))
    into = Drift("main", ((0.0, 0.0, 0.0), at[0]))
    others = [Drift(f"d{n}", (at[n], (400.0, 100.0 * (n - 1.5), 0.0))) for n in (1, 2)]
    ways = mine(into, *others)
    for other in others:
        stand = ways.stand(*other.line[1])
        assert stand is not None
        assert stand.to_exit_m is not None


def test_shorter_of_two_ways_counts() -> None:
    ring = Drift("ring", ((200.0, 300.0, 0.0), (0.0, 300.0, 0.0), (0.0, 10.0, 0.0)))
    stand = mine(MAIN, SIDE, ring).stand(100.0, 300.0, 0.0)
    assert stand is not None
    assert stand.to_exit_m == pytest.approx(390.0, abs=2.0)


def test_end_that_leads_out_is_a_way_out_and_a_closed_roadway_is_none() -> None:
    out = mine(Drift("main", MAIN.line, out="end"), zones=()).stand(390.0, 0.0, 0.0)
    assert out is not None
    assert out.to_exit_m == pytest.approx(10.0, abs=1.0)
    assert mine(Drift("main", MAIN.line, closed=True)).stand(100.0, 0.0, 0.0) is None


def test_where_no_roadway_or_no_way_out_is_nothing_is_said() -> None:
    assert mine(MAIN).stand(150.0, 80.0, 0.0) is None
    assert mine(MAIN).stand(150.0, 0.0, -90.0) is None  # another level
    lonely = mine(MAIN, Drift("far", ((0.0, 500.0, 0.0), (300.0, 500.0, 0.0)))).stand(10.0, 500.0, 0.0)
    assert lonely is not None
    assert lonely.to_exit_m is None


def test_no_place_is_nearer_than_the_crow_flies() -> None:
    draw = random.Random(4)
    ways = mine(MAIN, SIDE)
    for _ in range(300):
        x, y = draw.uniform(-20, 420), draw.uniform(-20, 320)
        stand = ways.stand(x, y, 0.0)
        if stand is not None and stand.to_exit_m is not None:
            assert stand.to_exit_m >= (x * x + y * y) ** 0.5 - 45.0  # a roadway may be 30 m away, a junction 15 m
