"""Reads persons out of a heat-map model's output (arrays in, detections out).

Channels: person heat-map, head heat-map, log(width / 16 px), log(height / 16 px), then one logit per posture. A person
is a cell whose score is the highest in the 5 x 5 cells around it. Boxes are in pixels of the model's own input.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]

CELL_PX = 8
SIZE_UNIT_PX = 16.0
MAX_PERSONS = 64
_REACH = 2


@dataclass(frozen=True, slots=True)
class Person:
    """One person, in pixels of the model's input."""

    score: float
    x: float
    y: float
    width: float
    height: float
    postures: tuple[float, ...]
    """Probabilities, adding up to 1; empty where the model gives none."""
    head: tuple[float, float, float] | None
    """x, y and score of the best head in the box's upper two thirds, where there is one."""


def decode(heads: Float, threshold: float) -> list[Person]:
    """The persons of one picture, best first. `heads`: channels x rows x columns of logits."""
    scores = _sigmoid(heads[0])
    rows, columns = np.nonzero(_peaks(scores) & (scores >= threshold))
    order = np.argsort(-scores[rows, columns], kind="stable")[:MAX_PERSONS]
    head_scores = _sigmoid(heads[1])
    head_peaks = _peaks(head_scores) & (head_scores >= threshold)
    persons = [_person(heads, scores, int(rows[i]), int(columns[i])) for i in order]
    return [_with_head(person, head_scores, head_peaks) for person in persons]


def _person(heads: Float, scores: Float, row: int, column: int) -> Person:
    width, height = np.exp(np.clip(heads[2:4, row, column], -4.0, 6.0)) * SIZE_UNIT_PX
    logits = heads[4:, row, column]
    odds = np.exp(logits - logits.max()) if len(logits) else logits
    postures = tuple(float(p) for p in odds / odds.sum()) if len(logits) else ()
    x, y = (column + 0.5) * CELL_PX, (row + 0.5) * CELL_PX
    return Person(float(scores[row, column]), x, y, float(width), float(height), postures, None)


def _with_head(person: Person, scores: Float, peaks: npt.NDArray[np.bool_]) -> Person:
    top, bottom = person.y - person.height / 2, person.y + person.height / 6
    left, right = person.x - person.width / 2, person.x + person.width / 2
    rows = _cells(top, bottom, scores.shape[0])
    columns = _cells(left, right, scores.shape[1])
    part = np.where(peaks[rows, columns], scores[rows, columns], 0.0)
    if not part.any():
        return person
    row, column = np.unravel_index(int(part.argmax()), part.shape)
    y, x = (row + rows.start + 0.5) * CELL_PX, (column + columns.start + 0.5) * CELL_PX
    head = (float(x), float(y), float(part[row, column]))
    return Person(person.score, person.x, person.y, person.width, person.height, person.postures, head)


def _cells(first_px: float, last_px: float, count: int) -> slice:
    """The cells whose middle may lie between two places; at least one."""
    start = min(max(int(first_px // CELL_PX), 0), count - 1)
    return slice(start, min(max(int(last_px // CELL_PX) + 1, start + 1), count))


def _peaks(scores: Float) -> npt.NDArray[np.bool_]:
    padded = np.pad(scores, _REACH, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * _REACH + 1, 2 * _REACH + 1))
    peak: npt.NDArray[np.bool_] = scores >= windows.max(axis=(2, 3))
    return peak


def _sigmoid(logits: Float) -> Float:
    result: Float = (1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))).astype(np.float32)
    return result
