"""Detector `motion`: what moves, whatever it is, against a background that follows slowly. It needs no model.

For danger zones and gates where nothing should move but what is looked for. It cannot tell a person from a cart, and
sees nobody who stands still for some minutes.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from analytics.options import DetectorOptions
from analytics.plugin import Detection
from media.frames import Frame

SIZE = (160, 90)
CELL = 5
"""Cells of so many pixels a side; 32 x 18 of them."""
CHANGED_LEVELS = 20.0
CELL_SHARE = 0.3
LEAST_CELLS = 2
EVERYTHING = 0.6
"""More of the picture than this: the light changed, and the background begins anew."""
FOLLOW_S = 20.0
STAYS_S = 180.0
"""Where something has changed, the background follows so slowly: who stays is not taken for it soon, and leaves no
ghost behind."""
LONGEST_GAP_S = 5.0

Bits = npt.NDArray[np.bool_]


class MotionDetector:
    """Label `moving`; the score is the share of the box that changed."""

    name: ClassVar[str] = "motion"
    frames_per_s: ClassVar[float] = 5.0

    def __init__(self, options: DetectorOptions) -> None:
        self._threshold = 0.1 if options.threshold is None else options.threshold
        self._background: npt.NDArray[np.float32] | None = None
        self._last_s = 0.0

    def detect(self, frame: Frame) -> Sequence[Detection]:
        grey = np.asarray(
            Image.fromarray(frame.image).convert("L").resize(SIZE, Image.Resampling.BOX), np.float32
        )  # fmt: skip
        step = frame.pts_s - self._last_s
        self._last_s = frame.pts_s
        if self._background is None or not 0 < step <= LONGEST_GAP_S:
            self._background = grey.copy()
            return []
        changed: Bits = np.abs(grey - self._background) > CHANGED_LEVELS
        if changed.mean() > EVERYTHING:
            self._background = grey.copy()
            return []
        follow = np.where(changed, step / STAYS_S, step / FOLLOW_S).astype(np.float32)
        self._background += (grey - self._background) * np.minimum(follow, np.float32(1.0))
        return [one for one in _boxes(changed) if one.score >= self._threshold]


def _boxes(changed: Bits) -> list[Detection]:
    """Cells with enough changed pixels, those that touch together."""
    rows, columns = SIZE[1] // CELL, SIZE[0] // CELL
    share = changed[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).mean(axis=(1, 3))
    left = {(int(r), int(c)) for r, c in zip(*np.nonzero(share >= CELL_SHARE), strict=True)}
    found = []
    while left:
        group = _group(left)
        if len(group) >= LEAST_CELLS:
            found.append(_detection(group, changed))
    return sorted(found, key=lambda one: -one.score)[:100]


def _group(left: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Takes one cell and all that touch it, or those, out of the set."""
    waiting = [left.pop()]
    group = []
    while waiting:
        row, column = waiting.pop()
        group.append((row, column))
        for near in [(row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1)]:
            if near in left:
                left.discard(near)
                waiting.append(near)
    return group


def _detection(group: Sequence[tuple[int, int]], changed: Bits) -> Detection:
    """The changed pixels of these cells, boxed in."""
    rows, columns = [r for r, _ in group], [c for _, c in group]
    top, left = min(rows) * CELL, min(columns) * CELL
    part = changed[top : (max(rows) + 1) * CELL, left : (max(columns) + 1) * CELL]
    down, across = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    box = (
        (left + int(across[0])) / SIZE[0],
        (top + int(down[0])) / SIZE[1],
        (left + int(across[-1]) + 1) / SIZE[0],
        (top + int(down[-1]) + 1) / SIZE[1],
    )
    return Detection("moving", float(part.mean()), box)
