"""Encodings that are of use."""

import pytest

from media.layers import UNWANTED_S, Wanted, ceiling, costs


@pytest.mark.parametrize(
    ("encodings", "height", "index"),
    [(3, 120, 0), (3, 250, 0), (3, 300, 1), (3, 720, 2), (3, 2000, 2), (3, None, 2), (2, 200, 0), (1, 90, 0)],
)
def test_a_tile_gets_the_smallest_encoding_that_fills_it(encodings: int, height: int | None, index: int) -> None:
    assert ceiling(encodings, height) == index


def test_costs_are_measured_or_usual_and_never_fall() -> None:
    assert costs((0.0, 0.0, 0.0)) == (150_000.0, 500_000.0, 1_800_000.0)
    assert costs((700_000.0, 0.0)) == (700_000.0, 1_800_000.0)
    assert costs((300_000.0, 200_000.0, 0.0)) == (300_000.0, 300_000.0, 1_800_000.0)


def test_what_nobody_takes_stops_after_a_while_and_comes_back_at_once() -> None:
    wanted = Wanted(3)
    assert not wanted.update([1], 100.0)
    assert not wanted.update([1], 100.0 + UNWANTED_S - 0.1)
    assert wanted.update([1], 100.0 + UNWANTED_S)
    assert wanted.indices == {0, 1}
    assert wanted.update([2], 107.0)
    assert wanted.indices == {0, 1, 2}
    assert wanted.update([2], 100.0 + 2 * UNWANTED_S + 0.1)
    assert wanted.indices == {0, 2}
    assert wanted.update([], 200.0)
    assert wanted.indices == {0}
