"""Reads boxes out of what object detectors put out (arrays in, detections out; NumPy alone).

n = pictures, A = candidates, C = classes, K = key points. Boxes in pixels of the model's own input.

| decoder   | outputs                                                | heads that do so                              |
|-----------|--------------------------------------------------------|-----------------------------------------------|
| `yolov5`  | n x A x (5 + C): cx, cy, w, h, object, classes         | YOLO v5, v6, v7; YOLOX that decodes by itself |
| `yolov8`  | n x (4 + C + 3 K) x A, or the last two exchanged:      | YOLO v8, v9, v11, v12, and their pose heads   |
|           | cx, cy, w, h, classes, key points (x, y, score)        |                                               |
| `yolov10` | n x A x (6 + 3 K): x0, y0, x1, y1, score, class, ...   | YOLO v10, and exports with suppression inside |
| `yolox`   | n x A x (5 + C) in units of grid cells                 | YOLOX as it is exported                       |
| `detr`    | n x A x C logits and n x A x 4 (cx, cy, w, h, 0 to 1), | RT-DETR, D-FINE, DETR as trained;             |
|           | or one n x A x (4 + C) with scores 0 to 1              | RT-DETR with one output                       |
| `dfine`   | n x A classes, n x A x 4 (x0, y0, x1, y1), n x A scores| D-FINE, RT-DETR exported with post-processing |

Whatever else comes out is `BrokenOutput`, never a guess.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.errors import BrokenOutput
from analytics.modelcard import ModelCard

MAX_CANDIDATES = 1000
"""The best so many are compared with each other."""
MAX_FOUND = 100
_WITHOUT_OVERLAP = ("yolov10", "detr", "dfine")
"""Their heads give each thing once."""

Float = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one picture may hold: A boxes."""

    boxes: Float
    """A x 4: x0, y0, x1, y1."""
    scores: Float
    classes: Integers
    keypoints: Float
    """A x K x 3: x, y, score."""

    def some(self, which: npt.NDArray[Any]) -> "Candidates":
        return Candidates(self.boxes[which], self.scores[which], self.classes[which], self.keypoints[which])


def read(outputs: Sequence[npt.NDArray[Any]], card: ModelCard, threshold: float) -> Candidates:
    """What is in the first picture of a batch, best first.

    Raises:
        BrokenOutput: these outputs are not what the card's decoder reads.
    """
    for output in outputs:
        if output.dtype.kind == "f" and not np.isfinite(output).all():
            raise BrokenOutput("The model gave numbers that are not finite.")
    found = _READERS[card.decoder](outputs, card)
    found = found.some(found.scores >= threshold)
    found = found.some(np.argsort(-found.scores, kind="stable")[:MAX_CANDIDATES])
    if card.decoder not in _WITHOUT_OVERLAP:
        found = found.some(_kept(found, card.overlap))
    return found.some(np.arange(min(len(found.scores), MAX_FOUND)))


def _kept(found: Candidates, overlap: float) -> Integers:
    """Which are not hidden by a better one of the same class; candidates come best first."""
    left = np.arange(len(found.scores))
    kept: list[int] = []
    while len(left) and len(kept) < MAX_FOUND:
        best, left = int(left[0]), left[1:]
        kept.append(best)
        same = found.classes[left] == found.classes[best]
        left = left[~(same & (overlaps(found.boxes[best], found.boxes[left]) > overlap))]
    return np.array(kept, np.int64)


def overlaps(one: Float, others: Float) -> Float:
    """Intersection over union of a box (4) with others (A x 4)."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union = (one[2:] - one[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    result: Float = np.where(union > 0, shared / np.maximum(union, 1e-9), 0.0).astype(np.float32)
    return result


# --- one for each decoder ---------------------------------------------------------------------------------------------


def _yolov5(outputs: Sequence[npt.NDArray[Any]], card: ModelCard) -> Candidates:
    rows = _table(outputs, 5 + len(card.classes))
    return _of_centres(rows[:, :4], rows[:, 5:] * rows[:, 4:5])


def _yolov8(outputs: Sequence[npt.NDArray[Any]], card: ModelCard) -> Candidates:
    count, points = len(card.classes), 3 * len(card.keypoints)
    (output,) = _outputs(outputs, 1)
    width = 4 + count + points
    if output.ndim == 3 and output.shape[1] == width:
        output = output.transpose(0, 2, 1)
    rows = _table((output,), width)
    return _of_centres(rows[:, :4], rows[:, 4 : 4 + count], rows[:, 4 + count :])


def _yolov10(outputs: Sequence[npt.NDArray[Any]], card: ModelCard) -> Candidates:
    rows = _table(outputs, 6 + 3 * len(card.keypoints))
    return _found(rows[:, :4], rows[:, 4], rows[:, 5], rows[:, 6:], card)


def _yolox(outputs: Sequence[npt.NDArray[Any]], card: ModelCard) -> Candidates:
    rows = _table(outputs, 5 + len(card.classes))
    places, steps = _grids(card)
    if len(places) != len(rows):
        raise BrokenOutput(f"The model gave {len(rows)} candidates; its grids have {len(places)} cells.")
    centres = (rows[:, :2] + places) * steps
    sizes = np.exp(np.clip(rows[:, 2:4], -10.0, 10.0)) * steps
    return _of_centres(np.hstack([centres, sizes]), rows[:, 5:] * rows[:, 4:5])


def _grids(card: ModelCard) -> tuple[Float, Float]:
    """Column and row of every cell, and the pixels of its side."""
    width, height = card.input.size
    places, steps = [], []
    for stride in card.strides:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        places.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        steps.append(np.full((rows.size, 1), stride))
    return np.vstack(places).astype(np.float32), np.vstack(steps).astype(np.float32)


def _detr(outputs: Sequence[npt.NDArray[Any]], card: ModelCard) -> Candidates:
    width, height = card.input.size
    if len(outputs) == 1:
        rows = _table(outputs, 4 + len(card.classes))
        boxes, scores = rows[:, :4], np.asarray(rows[:, 4:])
    else:
        logits, shares = _outputs(outputs, 2)
        boxes, found = _table((shares,), 4), _table((logits,), len(card.classes))
        if len(boxes) != len(found):
            raise BrokenOutput(f"The model gave {len(boxes)} boxes and {len(found)} scores.")
        scores = (1.0 / (1.0 + np.exp(-np.clip(found, -40.0, 40.0)))).astype(np.float32)
    return _of_centres(boxes * np.array([width, height, width, height], np.float32), scores)


def _dfine(outputs: Sequence[npt.NDArray[Any]], card: ModelCard) -> Candidates:
    classes, boxes, scores = _outputs(outputs, 3)
    rows = _table((boxes,), 4)
    if classes.shape != boxes.shape[:2] or scores.shape != boxes.shape[:2]:
        raise BrokenOutput(f"The model gave classes {classes.shape}, boxes {boxes.shape} and scores {scores.shape}.")
    return _found(rows, scores[0], classes[0], np.zeros((len(rows), 0), np.float32), card)


_READERS: dict[str, Callable[[Sequence[npt.NDArray[Any]], ModelCard], Candidates]] = {
    "yolov5": _yolov5,
    "yolov8": _yolov8,
    "yolov10": _yolov10,
    "yolox": _yolox,
    "detr": _detr,
    "dfine": _dfine,
}


# --- pieces -----------------------------------------------------------------------------------------------------------


def _outputs(outputs: Sequence[npt.NDArray[Any]], count: int) -> Sequence[npt.NDArray[Any]]:
    if len(outputs) != count:
        raise BrokenOutput(f"The model gave {len(outputs)} outputs; this decoder reads {count}.")
    return outputs


def _table(outputs: Sequence[npt.NDArray[Any]], width: int) -> Float:
    """The rows of the first picture of the only output."""
    (output,) = _outputs(outputs, 1)
    if output.ndim != 3 or output.shape[0] < 1 or output.shape[2] != width or output.dtype.kind != "f":
        raise BrokenOutput(f"The model gave {output.dtype} {output.shape}, not rows of {width} figures.")
    return np.asarray(output[0], np.float32)


def _of_centres(boxes: Float, scores: Float, keypoints: Float | None = None) -> Candidates:
    """Centre and size to corners; the best class of each."""
    half = np.abs(boxes[:, 2:4]) / 2
    corners = np.hstack([boxes[:, :2] - half, boxes[:, :2] + half]).astype(np.float32)
    best = scores.argmax(axis=1)
    points = np.zeros((len(boxes), 0), np.float32) if keypoints is None else keypoints
    return Candidates(
        corners,
        np.clip(scores[np.arange(len(scores)), best], 0.0, 1.0).astype(np.float32),
        best.astype(np.int64),
        points.reshape(len(boxes), points.shape[1] // 3, 3),
    )


def _found(
    boxes: Float, scores: npt.NDArray[Any], classes: npt.NDArray[Any], keypoints: Float, card: ModelCard
) -> Candidates:
    """Boxes whose class the model names by number."""
    numbers = classes.astype(np.int64)
    count = len(card.classes)
    if len(numbers) and not (0 <= int(numbers.min()) and int(numbers.max()) < count):
        raise BrokenOutput(f"The model gave class {int(numbers.max())}; its card has {count}.")
    points = keypoints.reshape(len(boxes), keypoints.shape[1] // 3, 3)
    return Candidates(boxes, np.clip(scores, 0.0, 1.0).astype(np.float32), numbers, points)
