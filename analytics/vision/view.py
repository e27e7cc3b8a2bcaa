"""One camera's view over time: learned once by day and once by infrared light, then compared every few seconds.

What is found must be found several times running before it counts, and gone several times before it is over. The first
reference of each mode is learned from healthy pictures of about a minute; after that only a person renews it: a fault
that renewed its own reference would become normal. The reference of a second mode is learned only while the first one
still fits.

A blurred or covered picture at the time of learning cannot be told from a dull one. So: look at the picture when a
camera is set up.
"""

import itertools
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.messages import PictureState
from analytics.vision.reference import Grey, Mode, Reference, View, grey_of, mode_of, shake_of

CHECK_S = 3.0
CHECKS = 3
"""So many running for a fault to begin, and to end."""
LEARN_EVERY_S = 10.0
LEARN_PICTURES = 5
LONGEST_GAP_S = 30.0
SHAKE_EVERY_S = 5.0
SHAKE_FRAMES = 9
SHAKE_LONGEST_STEP_S = 0.35
"""Frames further apart are no burst."""
SHAKE_PX, SHAKE_PEAK, SHAKE_SHARE = 1.0, 0.3, 0.5
SHAKE_BURSTS = 2


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learned of a mode."""

    mode: Mode
    png: bytes
    judgeable: bool
    """False: too few edges to recognise the view by; it is not watched then."""


class ViewWatch:
    """Give it every usable picture, in order."""

    def __init__(self, references: Mapping[Mode, Reference]) -> None:
        self._references = dict(references)
        self._learning: dict[Mode, list[Grey]] = {}
        self._learned_s: float | None = None
        self._checked_s: float | None = None
        self._state: View = "ok"
        self._running: View = "ok"
        self._count = 0
        self.lessons: list[Lesson] = []
        """To be told and taken away."""

    def look(self, image: npt.NDArray[np.uint8], pts_s: float) -> View:
        """The state of the view. `pts_s`: the source's own time."""
        since = pts_s - self._checked_s if self._checked_s is not None else CHECK_S
        if 0 <= since < CHECK_S:
            return self._state
        if since < 0 or since > LONGEST_GAP_S:
            self._count = 0
            self._learning.clear()
        self._checked_s = pts_s
        mode, grey = mode_of(image), grey_of(image)
        reference = self._references.get(mode) or next(iter(self._references.values()), None)
        seen: View = reference.judge(grey) if reference is not None and reference.judgeable else "ok"
        if mode not in self._references and seen == "ok":
            self._learn(mode, grey, pts_s)
        self._settle(seen)
        return self._state

    def _settle(self, seen: View) -> None:
        """A change counts when it was seen `CHECKS` times running; from one fault to another as well."""
        self._count = self._count + 1 if seen == self._running else 1
        self._running = seen
        if self._count >= CHECKS:
            self._state = seen

    def _learn(self, mode: Mode, grey: Grey, pts_s: float) -> None:
        pictures = self._learning.setdefault(mode, [])
        if self._learned_s is not None and 0 <= pts_s - self._learned_s < LEARN_EVERY_S:
            return
        self._learned_s = pts_s
        pictures.append(grey)
        if len(pictures) < LEARN_PICTURES:
            return
        reference = Reference.of(pictures)
        del self._learning[mode]
        self._references[mode] = reference
        self.lessons.append(Lesson(mode, reference.png(), reference.judgeable))


class ShakeWatch:
    """Bursts of successive frames, now and then. `offer` and `shaking` may be called on two threads."""

    def __init__(self) -> None:
        self._burst: list[Grey] = []
        self._last_s: float | None = None
        self._next_s = 0.0
        self._found: deque[bool] = deque(maxlen=SHAKE_BURSTS)
        self._waiting: list[Grey] | None = None

    def wants(self, pts_s: float) -> bool:
        """Whether the frame at this time belongs to a burst; to be asked of each, before it is made grey."""
        if self._last_s is not None and not 0 <= pts_s - self._last_s <= SHAKE_LONGEST_STEP_S:
            self._burst.clear()
        self._last_s = pts_s
        return bool(self._burst) or not 0 < self._next_s - pts_s <= SHAKE_EVERY_S

    def offer(self, grey: Grey, pts_s: float) -> None:
        """A frame of a burst."""
        self._burst.append(grey)
        if len(self._burst) == SHAKE_FRAMES:
            self._waiting, self._burst = self._burst, []
            self._next_s = pts_s + SHAKE_EVERY_S

    def shaking(self) -> bool:
        """Whether the last bursts say so; judges a burst that waits."""
        burst, self._waiting = self._waiting, None
        if burst is not None:
            self._found.append(shakes(burst))
        return len(self._found) == SHAKE_BURSTS and all(self._found)


def shakes(burst: Sequence[Grey]) -> bool:
    """At least half of the steps move the whole picture by a pixel or more, and not all in one direction: a camera that
    is turned moves one way only."""
    moved = []
    for before, now in itertools.pairwise(burst):
        across, down, peak = shake_of(before, now)
        if peak >= SHAKE_PEAK and max(abs(across), abs(down)) >= SHAKE_PX:
            moved.append((across, down))
    if len(moved) < SHAKE_SHARE * (len(burst) - 1):
        return False
    return any(min(step[axis] for step in moved) < 0 < max(step[axis] for step in moved) for axis in (0, 1))


def state_of(judged: PictureState, view: View, shaking: bool) -> PictureState:
    """What is said of a picture: the plain faults first, then the view, then the shaking."""
    if judged != "ok" or view != "ok":
        return judged if judged != "ok" else view
    return "shaking" if shaking else "ok"
