"""Truth rows, and the way back from the model's maps to boxes."""

import numpy as np
import pytest

from analytics.training.caster import draw
from analytics.training.labels import (
    CHANNELS,
    GRID_H,
    GRID_W,
    HEIGHT,
    NONE,
    POSITIVE,
    WIDTH,
    Tally,
    decode,
    overlap,
    shrink,
    truth,
)
from analytics.training.room import dispatch_room


def maps(*people: tuple[int, int, float, float, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Model output with a person (column, row, width, height, posture) each."""
    out = np.full((CHANNELS, GRID_H, GRID_W), -6, np.float32)
    for column, row, width, height, posture in people:
        out[0, row, column] = 3
        out[2, row, column], out[3, row, column] = np.log(width / 16), np.log(height / 16)
        out[4 + posture, row, column] = 4
    return out


def row(box: tuple[float, float, float, float], posture: int) -> list[float]:
    return [POSITIVE, *box, -1, -1, posture, 500]


def test_truth_is_read_off_the_id_mask() -> None:
    scene = dispatch_room(2, officer="work", others=0)
    ids = draw(scene, (WIDTH, HEIGHT)).ids
    first = truth(scene, ids)[0]
    ys, xs = np.nonzero(ids >= 10)
    assert tuple(first[1:5]) == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert first[8] == xs.size
    assert first[7] == 0


def test_nobody_leaves_empty_rows() -> None:
    scene = dispatch_room(2, officer="absent", others=0)
    assert (truth(scene, draw(scene, (WIDTH, HEIGHT)).ids)[:, 0] == NONE).all()


def test_maps_decode_to_boxes_and_postures() -> None:
    out = maps((10, 8, 32, 48, 2), (25, 4, 20, 60, 4))
    out[0, 8, 10] = 4
    found = decode(out, 0.5)
    assert [int(np.argmax(f.posture)) for f in found] == [2, 4]
    assert found[0].box == pytest.approx((84 - 16, 68 - 24, 84 + 16, 68 + 24))
    assert sum(found[0].posture) == pytest.approx(1)


def test_neighbouring_cells_give_one_person() -> None:
    out = maps((10, 8, 32, 48, 0))
    out[0, 8, 11] = 2.5
    assert len(decode(out, 0.5)) == 1


def test_scores_below_the_threshold_are_dropped() -> None:
    assert decode(maps((10, 8, 32, 48, 0)), 0.99) == []


def test_tally_counts_hits_misses_and_false_alarms() -> None:
    tally = Tally()
    box = (68.0, 44.0, 100.0, 92.0)
    tally.add(decode(maps((10, 8, 32, 48, 2)), 0.5), np.array([row(box, 2)], np.float32))
    tally.add(decode(maps((25, 4, 20, 60, 4)), 0.5), np.array([row(box, 2)], np.float32))
    tally.add([], np.zeros((0, 9), np.float32))
    assert (tally.hits, tally.missed, tally.false, tally.posture_right) == (1, 1, 1, 1)
    assert tally.figures()["precision"] == tally.figures()["recall"] == 0.5
    assert tally.figures()["pictures_with_false"] == 1


def test_overlap_of_half_shifted_boxes() -> None:
    assert overlap((0, 0, 2, 1), (1, 0, 3, 1)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_shrinking_takes_means() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2, :2] = 100
    picture[0, 0] = 0
    assert shrink(picture, 2)[0, 0, 0] == 75
