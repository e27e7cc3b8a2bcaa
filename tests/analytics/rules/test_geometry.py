import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.rules.geometry import contains, inside

WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
L_SHAPE = ((0.0, 0.0), (0.6, 0.0), (0.6, 0.4), (0.3, 0.4), (0.3, 1.0), (0.0, 1.0))


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_whole_picture_contains_every_point(x: float, y: float) -> None:
    assert contains(WHOLE, (x, y))


@pytest.mark.parametrize(("point", "expected"), [((0.1, 0.9), True), ((0.5, 0.2), True), ((0.5, 0.9), False)])
def test_a_hollow_polygon(point: tuple[float, float], expected: bool) -> None:
    assert contains(L_SHAPE, point) is expected


def test_the_direction_of_the_outline_does_not_matter() -> None:
    assert contains(tuple(reversed(L_SHAPE)), (0.1, 0.9))
    assert not contains(tuple(reversed(L_SHAPE)), (0.5, 0.9))


SEAT = ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7))


def test_a_person_cut_off_by_the_desk_is_in_by_the_middle() -> None:
    assert inside(SEAT, (0.4, 0.2, 0.6, 0.75))


def test_a_standing_person_is_in_by_the_feet() -> None:
    assert inside(((0.3, 0.8), (0.7, 0.8), (0.7, 1.0), (0.3, 1.0)), (0.4, 0.1, 0.6, 0.95))


def test_somebody_who_only_overlaps_the_zone_is_not_in_it() -> None:
    assert not inside(SEAT, (0.62, 0.3, 0.9, 0.7))
