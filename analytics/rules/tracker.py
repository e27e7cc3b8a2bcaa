"""Follows things from picture to picture: overlap of boxes, constant speed, patience. Pure; times are the pictures'.

What is seen is matched to where each track should be by now, best overlap first; what overlaps nothing, but is near and
of like size, is matched after that. A track counts from its second sighting on, and is given up after `LOST_S`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from analytics.rules.geometry import Box, Point

LOST_S = 2.0
LEAST_OVERLAP = 0.2
NEAR = 0.8
"""Middles no further apart than this share of the larger box's longer side."""
LIKE_SIZE = 0.4
"""The smaller area is at least this share of the larger one."""
SMOOTHING = 0.5
SURE_HITS = 2
MAX_TRACKS = 200


class Thing(Protocol):
    """What is followed: `analytics.messages.Seen`, `analytics.plugin.Detection`."""

    @property
    def label(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def box(self) -> Box: ...


@dataclass(slots=True, eq=False)
class Track:
    """One thing."""

    number: int
    box: Box
    first_at: float
    last_at: float
    hits: int = 1
    speed: Point = (0.0, 0.0)
    """Of the box's middle, per second, in shares of the picture."""
    memory: dict[str, float] = field(default_factory=dict)
    """For whoever judges tracks."""

    @property
    def foot(self) -> Point:
        """Middle of the lower edge."""
        return (self.box[0] + self.box[2]) / 2, self.box[3]

    @property
    def sure(self) -> bool:
        return self.hits >= SURE_HITS

    def expected(self, at: float) -> Box:
        """Where it should be."""
        step = at - self.last_at
        dx, dy = self.speed[0] * step, self.speed[1] * step
        x0, y0, x1, y1 = self.box
        return x0 + dx, y0 + dy, x1 + dx, y1 + dy


class Tracker:
    """The things of one camera."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._last_number = 0

    def feed(self, things: Iterable[Thing], at: float) -> tuple[list[Track], list[Track]]:
        """The tracks that are seen in this picture, and those that are given up with it."""
        boxes = [one.box for one in things][:MAX_TRACKS]
        seen: list[Track] = []
        free = set(range(len(boxes)))
        for track, number in self._pairs(boxes, at):
            if number in free and track not in seen:
                free.discard(number)
                _move(track, boxes[number], at)
                seen.append(track)
        for number in sorted(free):
            self._last_number += 1
            seen.append(Track(self._last_number, boxes[number], at, at))
        lost = [one for one in self.tracks if one not in seen and at - one.last_at > LOST_S]
        self.tracks = [*(one for one in self.tracks if one not in seen and one not in lost), *seen][-MAX_TRACKS:]
        return seen, lost

    def forget(self) -> list[Track]:
        """Nothing is known of anybody any more; whom that concerns."""
        lost, self.tracks = self.tracks, []
        return lost

    def _pairs(self, boxes: Sequence[Box], at: float) -> list[tuple[Track, int]]:
        """Who may be who, the likeliest first."""
        found: list[tuple[float, Track, int]] = []
        for track in self.tracks:
            expected = track.expected(at)
            for number, box in enumerate(boxes):
                likeness = overlap(expected, box)
                if likeness >= LEAST_OVERLAP:
                    found.append((1 + likeness, track, number))
                elif (near := _nearness(expected, box)) > 0:
                    found.append((near, track, number))
        found.sort(key=lambda pair: (-pair[0], pair[1].number, pair[2]))
        return [(track, number) for _, track, number in found]


def overlap(one: Box, two: Box) -> float:
    """Intersection over union."""
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(one) + _area(two) - shared)


def _nearness(one: Box, two: Box) -> float:
    """0 to 1: how near two boxes of like size are; 0: they are no match."""
    small, large = sorted((_area(one), _area(two)))
    if large <= 0 or small / large < LIKE_SIZE:
        return 0.0
    reach = NEAR * max(one[2] - one[0], one[3] - one[1], two[2] - two[0], two[3] - two[1])
    (x0, y0), (x1, y1) = _middle(one), _middle(two)
    return max(0.0, 1 - math.hypot(x1 - x0, y1 - y0) / reach)


def _move(track: Track, box: Box, at: float) -> None:
    step = at - track.last_at
    if step > 0:
        (x0, y0), (x1, y1) = _middle(track.box), _middle(box)
        new = ((x1 - x0) / step, (y1 - y0) / step)
        share = 1.0 if track.hits == 1 else SMOOTHING
        track.speed = (
            track.speed[0] + share * (new[0] - track.speed[0]),
            track.speed[1] + share * (new[1] - track.speed[1]),
        )
    track.box, track.last_at, track.hits = box, at, track.hits + 1


def _middle(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
