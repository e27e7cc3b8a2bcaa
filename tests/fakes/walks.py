"""People (or carts) that walk through a picture, as a detector would see them: boxes that tremble, and now and then one
that is missed or split. Equal seeds, equal walks."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analytics.plugin import Detection

RATE = 5.0


@dataclass(frozen=True, slots=True)
class Walk:
    """From one foot point to another, in shares of the picture."""

    begins_s: float
    ends_s: float
    start: tuple[float, float]
    end: tuple[float, float]
    height: float = 0.3
    label: str = "person"

    def box(self, at: float) -> tuple[float, float, float, float] | None:
        if not self.begins_s <= at <= self.ends_s:
            return None
        share = (at - self.begins_s) / (self.ends_s - self.begins_s)
        x = self.start[0] + share * (self.end[0] - self.start[0])
        y = self.start[1] + share * (self.end[1] - self.start[1])
        width = 0.35 * self.height
        return x - width / 2, y - self.height, x + width / 2, y


def seen(
    walks: list[Walk], seconds: float, *, seed: int = 0, missed: float = 0.05, tremble: float = 0.004,
    rate: float = RATE, ghosts: float = 0.0,
) -> Iterator[tuple[float, list[Detection]]]:  # fmt: skip
    """Time and detections of every picture; `ghosts`: share of pictures with something where nobody is."""
    rng = np.random.default_rng(seed)
    for number in range(int(seconds * rate)):
        at = number / rate
        found = []
        for walk in walks:
            box = walk.box(at)
            if box is None or rng.random() < missed:
                continue
            x0, y0, x1, y1 = (float(np.clip(v + rng.normal(0, tremble), 0, 1)) for v in box)
            if x1 > x0 and y1 > y0:
                found.append(Detection(walk.label, 0.8, (x0, y0, x1, y1)))
        if rng.random() < ghosts:
            x, y = rng.uniform(0.1, 0.8, 2)
            found.append(Detection("person", 0.5, (float(x), float(y), float(x) + 0.1, float(y) + 0.2)))
        yield at, found


def gate_walks(seed: int, people: int, *, abreast: int = 3) -> tuple[list[Walk], int, int]:
    """Groups of up to three that go up (in) or down (out) through a gate at the height 0.6, and some who turn back or
    only walk along; the walks, and how many go in and out."""
    rng = np.random.default_rng(seed)
    walks: list[Walk] = []
    entered = left = 0
    at = 1.0
    while entered + left < people:
        group = min(int(rng.integers(1, abreast + 1)), people - entered - left)
        inward = bool(rng.random() < 0.5)
        places = rng.permutation([0.25, 0.5, 0.75])[:group]
        for place in places:
            begins = at + float(rng.uniform(0, 0.5))
            takes = float(rng.uniform(2.5, 5.0))
            low, high = (float(place), 0.9), (float(place + rng.uniform(-0.05, 0.05)), 0.35)
            start, end = (low, high) if inward else (high, low)
            walks.append(Walk(begins, begins + takes, start, end))
        entered, left = entered + group * inward, left + group * (not inward)
        at += float(rng.uniform(4.0, 6.0))
        if rng.random() < 0.2:
            x = float(rng.uniform(0.3, 0.7))
            walks.append(Walk(at, at + 1.5, (x, 0.9), (x, 0.61)))
            walks.append(Walk(at + 1.6, at + 3.0, (x, 0.61), (x, 0.9)))
            at += 5.0
        if rng.random() < 0.2:
            y = float(rng.choice([0.45, 0.8]))
            walks.append(Walk(at, at + 3.0, (0.1, y), (0.9, y)))
            at += 5.0
    return walks, entered, left
