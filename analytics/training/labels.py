"""What the model is to say about a rendered picture, read off the id mask; and how its answer is turned back into boxes
for training and evaluation.

Pictures are 256×144; the output grid has 32×18 cells of 8 pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.training.figure import POSTURES
from analytics.training.scene import Scene

WIDTH, HEIGHT, CELL = 256, 144, 8
GRID_W, GRID_H = WIDTH // CELL, HEIGHT // CELL
CHANNELS = 9
MOST_PERSONS = 3
SEEN_PX = 60
"""From this many visible pixels on a person counts; with fewer, down to `IGNORED_PX`, he is neither asked for nor
counted as a false alarm."""
IGNORED_PX = 8

FIELDS = ("kind", "x0", "y0", "x1", "y1", "head_x", "head_y", "posture", "visible")
NONE, POSITIVE, IGNORED = 0, 1, 2

F32 = NDArray[np.float32]


def truth(scene: Scene, ids: NDArray[np.int32]) -> F32:
    """(3, 9) rows of `FIELDS`, in pixels of the 256×144 picture. `head_x` is -1 where the head is hidden."""
    out = np.zeros((MOST_PERSONS, len(FIELDS)), np.float32)
    for k, person in enumerate(scene.persons[:MOST_PERSONS]):
        ys, xs = np.nonzero(ids == person.id)
        if xs.size < IGNORED_PX:
            continue
        hx, hy, depth = scene.camera.project(person.head[None], (WIDTH, HEIGHT))[0]
        shown = depth > 0 and 0 <= hx < WIDTH and 0 <= hy < HEIGHT and ids[int(hy), int(hx)] == person.id
        kind = POSITIVE if xs.size >= SEEN_PX else IGNORED
        box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        head = (hx, hy) if shown else (-1, -1)
        out[k] = (kind, *box, *head, POSTURES.index(person.posture), xs.size)
    return out


@dataclass(frozen=True, slots=True)
class Found:
    """One decoded person; box in pixels of the 256×144 picture."""

    score: float
    box: tuple[float, float, float, float]
    posture: tuple[float, ...]
    """Probabilities in the order of `POSTURES`."""


def decode(heads: F32, threshold: float) -> list[Found]:
    """(9, 18, 32) model output to persons, best first: peaks of the person map in a 5×5 neighbourhood."""
    score = 1 / (1 + np.exp(-heads[0]))
    padded = np.pad(score, 2, constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    rows, cols = np.nonzero((score >= windows.max((2, 3))) & (score >= threshold))
    found: list[Found] = []
    for r, c in zip(rows, cols, strict=True):
        w, h = 16 * np.exp(np.clip(heads[2:4, r, c], -3, 3))
        x, y = (c + 0.5) * CELL, (r + 0.5) * CELL
        logits = heads[4:, r, c]
        share = np.exp(logits - logits.max())
        share /= share.sum()
        box = (float(x - w / 2), float(y - h / 2), float(x + w / 2), float(y + h / 2))
        found.append(Found(float(score[r, c]), box, tuple(float(s) for s in share)))
    return sorted(found, key=lambda f: -f.score)


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Intersection over union."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    shared = w * h
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@dataclass(slots=True)
class Tally:
    """Counts over pictures; matched one to one by overlap of at least 0.3."""

    pictures: int = 0
    hits: int = 0
    missed: int = 0
    false: int = 0
    posture_right: int = 0
    pictures_with_false: int = 0

    def add(self, found: list[Found], rows: F32) -> None:
        self.pictures += 1
        open_rows = [r for r in rows if r[0] == POSITIVE]
        ignored = [r for r in rows if r[0] == IGNORED]
        false_here = 0
        for f in found:
            best = max(open_rows, key=lambda r: overlap(f.box, tuple(r[1:5])), default=None)
            if best is not None and overlap(f.box, tuple(best[1:5])) >= 0.3:
                open_rows = [r for r in open_rows if r is not best]
                self.hits += 1
                self.posture_right += int(np.argmax(f.posture)) == int(best[7])
            elif not any(_within(f, r) for r in ignored):
                false_here += 1
        self.false += false_here
        self.pictures_with_false += false_here > 0
        self.missed += len(open_rows)

    def figures(self) -> dict[str, float | int]:
        """For the model card. Shares only where there was somebody to find."""
        persons = self.hits + self.missed
        shares: dict[str, float | int] = {}
        if persons:
            shares["precision"] = round(self.hits / max(1, self.hits + self.false), 4)
            shares["recall"] = round(self.hits / persons, 4)
        if self.hits:
            shares["posture_right"] = round(self.posture_right / self.hits, 4)
        seen: dict[str, float | int] = {"pictures": self.pictures, "persons": persons}
        return {**seen, **shares, "pictures_with_false": self.pictures_with_false}


def _within(f: Found, row: F32) -> bool:
    x, y = (f.box[0] + f.box[2]) / 2, (f.box[1] + f.box[3]) / 2
    return bool(row[1] - 12 <= x <= row[3] + 12 and row[2] - 12 <= y <= row[4] + 12)


def shrink(picture: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Mean of `by`×`by` blocks."""
    if by == 1:
        return picture
    h, w = picture.shape[0] // by, picture.shape[1] // by
    return np.asarray(picture[: h * by, : w * by].reshape(h, by, w, by, 3).mean((1, 3)) + 0.5).astype(np.uint8)
