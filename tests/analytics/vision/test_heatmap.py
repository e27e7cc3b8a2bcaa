import math

import numpy as np
import pytest

from analytics.vision.heatmap import MAX_PERSONS, Float, decode


def heads(*persons: tuple[int, int, float], postures: int = 5) -> Float:
    """Logits with persons at (row, column, logit), 48 pixels wide and 64 high, of the first posture."""
    out = np.full((4 + postures, 18, 32), -6.0, np.float32)
    for row, column, logit in persons:
        out[0, row, column] = logit
        out[2:4, row, column] = math.log(3), math.log(4)
        out[4:, row, column] = [4.0, *[0.0] * (postures - 1)][:postures]
    return out


def test_nobody_is_nobody() -> None:
    assert decode(heads(), 0.4) == []


def test_a_person_has_the_place_and_size_that_the_model_says() -> None:
    [person] = decode(heads((9, 16, 2.0)), 0.4)
    assert (person.x, person.y) == (132.0, 76.0)
    assert [person.width, person.height] == pytest.approx([48, 64])
    assert person.score == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert sum(person.postures) == pytest.approx(1)
    assert person.postures[0] == max(person.postures)
    assert person.head is None


def test_the_slope_of_a_peak_is_not_a_second_person() -> None:
    assert len(decode(heads((9, 16, 3.0), (9, 17, 2.0), (8, 15, 1.5)), 0.4)) == 1


def test_two_persons_apart_are_two_and_the_better_comes_first() -> None:
    found = decode(heads((9, 5, 1.0), (9, 25, 3.0)), 0.4)
    assert [round(p.x) for p in found] == [204, 44]


@pytest.mark.parametrize(("threshold", "count"), [(0.5, 1), (0.8, 1), (0.9, 0)])
def test_the_threshold_is_held(threshold: float, count: int) -> None:
    assert len(decode(heads((9, 16, 2.0)), threshold)) == count


def test_a_person_at_the_border_is_found() -> None:
    assert len(decode(heads((0, 0, 2.0), (17, 31, 2.0)), 0.4)) == 2


def test_the_head_inside_the_box_belongs_to_the_person() -> None:
    logits = heads((9, 16, 2.0))
    logits[1, 6, 16] = 3.0
    logits[1, 2, 3] = 5.0
    [person] = decode(logits, 0.4)
    assert person.head is not None
    assert person.head[:2] == (132.0, 52.0)


def test_a_model_without_postures_is_fine() -> None:
    [person] = decode(heads((9, 16, 2.0), postures=0), 0.4)
    assert person.postures == ()


def test_wild_figures_stay_finite_and_few() -> None:
    rng = np.random.default_rng(1)
    found = decode(rng.normal(0, 1e4, (9, 18, 32)).astype(np.float32), 0.4)
    assert len(found) <= MAX_PERSONS
    for person in found:
        assert math.isfinite(person.width)
        assert all(math.isfinite(p) for p in person.postures)
    assert decode(np.full((9, 18, 32), 9.0, np.float32), 0.4)
