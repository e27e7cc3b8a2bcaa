"""Heads of each kind, written by hand: what is in them must come out, and nothing else."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from analytics import decoders
from analytics.decoders import Candidates
from analytics.errors import BrokenOutput
from analytics.modelcard import InputCard, ModelCard

SIZE = (320, 160)
CAR, PERSON = 0, 1
Output = npt.NDArray[np.float32]


def card(decoder: str, **more: Any) -> ModelCard:
    return ModelCard.model_validate(
        {
            "name": "hand-made",
            "task": "objects",
            "input": InputCard(name="images", size=SIZE),
            "decoder": decoder,
            "classes": ("car", "person"),
            "threshold": 0.4,
            "sha256": "0" * 64,
        }
        | more
    )


def read(outputs: list[npt.NDArray[Any]], one: ModelCard) -> Candidates:
    return decoders.read(outputs, one, one.threshold)


def same(found: Candidates) -> None:
    """One person at 100..140 x 40..120 with 0.8, one car at 200..280 x 20..60 with 0.6."""
    assert found.classes.tolist() == [PERSON, CAR]
    assert found.scores.tolist() == pytest.approx([0.8, 0.6], abs=1e-3)
    assert found.boxes.tolist() == pytest.approx(np.array([[100, 40, 140, 120], [200, 20, 280, 60]]), abs=0.1)


CENTRES = [[120, 80, 40, 80], [240, 40, 80, 40]]


def test_rows_with_an_object_score() -> None:
    rows = np.zeros((1, 50, 7), np.float32)
    rows[0, 7] = [*CENTRES[0], 0.9, 0.0, 0.8 / 0.9]
    rows[0, 9] = [*CENTRES[1], 0.75, 0.8, 0.1]
    rows[0, 11] = [10, 10, 5, 5, 0.3, 1.0, 1.0]
    same(read([rows], card("yolov5")))


@pytest.mark.parametrize("turned", [False, True])
def test_columns_without_an_object_score_either_way_round(turned: bool) -> None:
    columns = np.zeros((1, 6, 50), np.float32)
    columns[0, :, 3] = [*CENTRES[0], 0.1, 0.8]
    columns[0, :, 8] = [*CENTRES[1], 0.6, 0.0]
    same(read([columns.transpose(0, 2, 1) if turned else columns], card("yolov8")))


def test_boxes_that_are_final_already() -> None:
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0], rows[0, 1] = [100, 40, 140, 120, 0.8, PERSON], [200, 20, 280, 60, 0.6, CAR]
    same(read([rows], card("yolov10")))


def test_grids_of_three_strides() -> None:
    count = sum((SIZE[0] // s) * (SIZE[1] // s) for s in (8, 16, 32))
    rows = np.zeros((1, count, 7), np.float32)
    fine = SIZE[0] // 8 * (SIZE[1] // 8)
    middle = fine + 5 * (SIZE[0] // 16) + 7  # row 5, column 7: 112, 80
    rows[0, middle] = [0.5, 0.0, np.log(40 / 16), np.log(80 / 16), 1.0, 0.0, 0.8]
    coarse = fine + SIZE[0] // 16 * (SIZE[1] // 16) + SIZE[0] // 32 + 7  # row 1, column 7: 224, 32
    rows[0, coarse] = [0.5, 0.25, np.log(80 / 32), np.log(40 / 32), 0.6, 1.0, 0.0]
    same(read([rows], card("yolox")))
    with pytest.raises(BrokenOutput, match="cells"):
        read([rows[:, :-1]], card("yolox"))


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


def test_queries_as_logits_and_shares() -> None:
    logits = np.full((1, 30, 2), -9.0, np.float32)
    shares = np.full((1, 30, 4), 0.5, np.float32)
    logits[0, 2, PERSON], logits[0, 5, CAR] = logit(0.8), logit(0.6)
    unit = np.array([320, 160, 320, 160], np.float32)
    shares[0, 2], shares[0, 5] = np.array(CENTRES[0]) / unit, np.array(CENTRES[1]) / unit
    same(read([logits, shares], card("detr")))
    scores = 1 / (1 + np.exp(-logits))
    same(read([np.concatenate([shares, scores], axis=2)], card("detr")))


def test_queries_after_their_own_post_processing() -> None:
    classes = np.array([[PERSON, CAR, CAR]], np.int64)
    boxes = np.array([[[100, 40, 140, 120], [200, 20, 280, 60], [0, 0, 9, 9]]], np.float32)
    same(read([classes, boxes, np.array([[0.8, 0.6, 0.1]], np.float32)], card("dfine")))


def test_key_points_come_with_their_person() -> None:
    one = card("yolov8", classes=("person",), keypoints=("nose", "left_hip"))
    columns = np.zeros((1, 11, 20), np.float32)
    columns[0, :, 4] = [*CENTRES[0], 0.9, 120, 50, 0.95, 110, 90, 0.2]
    found = read([columns], one)
    assert found.keypoints.tolist() == pytest.approx(np.array([[[120, 50, 0.95], [110, 90, 0.2]]]))


def test_the_better_of_two_that_overlap_is_kept_within_a_class_only() -> None:
    rows = np.zeros((1, 50, 7), np.float32)
    rows[0, 0] = [100, 80, 40, 80, 1.0, 0.0, 0.7]
    rows[0, 1] = [104, 82, 40, 80, 1.0, 0.0, 0.9]
    rows[0, 2] = [101, 80, 40, 80, 1.0, 0.8, 0.0]
    rows[0, 3] = [200, 80, 40, 80, 1.0, 0.0, 0.5]
    found = read([rows], card("yolov5"))
    assert [(int(c), round(float(s), 2)) for c, s in zip(found.classes, found.scores, strict=True)] == [
        (PERSON, 0.9), (CAR, 0.8), (PERSON, 0.5),
    ]  # fmt: skip


def test_a_flood_of_candidates_is_held_to_a_limit() -> None:
    rng = np.random.default_rng(1)
    rows = np.zeros((1, 25_000, 7), np.float32)
    rows[0, :, :2] = rng.uniform(0, 4000, (25_000, 2))
    rows[0, :, 2:4] = 4.0
    rows[0, :, 4:] = 1.0
    assert len(read([rows], card("yolov5")).scores) == decoders.MAX_FOUND


@pytest.mark.parametrize(
    ("decoder", "shapes"),
    [
        ("yolov5", [(1, 50, 8)]),
        ("yolov5", [(50, 7)]),
        ("yolov8", [(1, 7, 50)]),
        ("yolov8", [(1, 6, 50), (1, 6, 50)]),
        ("yolov10", [(1, 50, 7)]),
        ("detr", [(1, 30, 2), (1, 29, 4)]),
        ("detr", [(1, 30, 3), (1, 30, 4)]),
        ("dfine", [(1, 30), (1, 30, 4)]),
        ("dfine", [(1, 30), (1, 30, 4), (1, 29)]),
        ("yolov5", [(0, 50, 7)]),
        ("yolov8", []),
    ],
)
def test_other_shapes_are_no_answer(decoder: str, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(BrokenOutput):
        read([np.zeros(shape, np.float32) for shape in shapes], card(decoder))


@pytest.mark.parametrize("decoder", ["yolov5", "yolox", "detr"])
def test_no_candidates_are_nothing_seen(decoder: str) -> None:
    width = 6 if decoder == "detr" else 7
    if decoder == "yolox":
        return  # its grids are never empty
    assert len(read([np.zeros((1, 0, width), np.float32)], card(decoder)).scores) == 0


def test_figures_that_are_none_and_classes_that_there_are_not() -> None:
    rows = np.zeros((1, 5, 6), np.float32)
    rows[0, 2, 1] = np.nan
    with pytest.raises(BrokenOutput, match="finite"):
        read([rows], card("yolov10"))
    rows[0, 2] = [0, 0, 5, 5, 0.9, 2]
    with pytest.raises(BrokenOutput, match="class 2"):
        read([rows], card("yolov10"))
