"""How much moves inside a person's box: the share of its pixels that changed from one analysed picture to the next.

A pixel changed when its grey level differs by more than 14 after a 3 x 3 blur, at about 320 x 180. What noise alone
changes is told beside it: the lower quartile, over the last half minute or so, of the share that changed *outside* all
persons. A cleaner who walks by does not raise it; a night camera's gain does, within a minute of the switch. Screens
in the picture are not masked.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analytics.messages import Seen
from analytics.vision.picture import Grey, Mask, shrink

CHANGED_LEVELS = 14.0
LONGEST_GAP_S = 5.0
"""Pictures further apart are not compared."""
NOISE_PICTURES = 64
NOISE_QUANTILE = 0.25
PERSON = "person"

Box = tuple[float, float, float, float]


class MotionMeter:
    """One camera's motion. Give it every usable picture, in order."""

    def __init__(self) -> None:
        self._before: Grey | None = None
        self._before_s = 0.0
        self._outside: deque[float] = deque(maxlen=NOISE_PICTURES)

    def forget(self) -> None:
        """What comes next does not belong to what was: nothing is compared over a picture that cannot be used."""
        self._before = None

    @property
    def noise(self) -> float:
        """Share of changed pixels that is put down to noise, 0 to 1."""
        return float(np.quantile(self._outside, NOISE_QUANTILE)) if self._outside else 0.0

    def measure(self, image: npt.NDArray[np.uint8], pts_s: float, boxes: Sequence[Box]) -> list[float] | None:
        """Share of changed pixels in each box (x0, y0, x1, y1, each 0 to 1) of an RGB picture; None when there is
        nothing to compare it with."""
        now, before, gap_s = _blurred(shrink(image)), self._before, pts_s - self._before_s
        self._before, self._before_s = now, pts_s
        if before is None or before.shape != now.shape or not 0 < gap_s <= LONGEST_GAP_S:
            return None
        changed: Mask = np.abs(now - before) > CHANGED_LEVELS
        parts = [_part(box, changed.shape) for box in boxes]
        shares = [float(changed[part].mean()) for part in parts]
        outside = changed.size
        left = int(np.count_nonzero(changed))
        for part in parts:  # boxes that overlap are counted out once: what was counted is blanked
            outside -= int(changed[part].size)
            left -= int(np.count_nonzero(changed[part]))
            changed[part] = False
        if outside > changed.size // 4:
            self._outside.append(max(left, 0) / outside)
        return shares


def with_motion(seen: Sequence[Seen], shares: Sequence[float] | None, noise: float) -> tuple[Seen, ...]:
    """Detections with the attributes `motion` and `noise` on every person, where there is anything to tell."""
    if shares is None:
        return tuple(seen)
    left = iter(shares)
    return tuple(_told(one, next(left), noise) if one.label == PERSON else one for one in seen)


def _told(one: Seen, motion: float, noise: float) -> Seen:
    return one.model_copy(update={"attributes": {**one.attributes, "motion": motion, "noise": noise}})


def _blurred(grey: Grey) -> Grey:
    rows = grey[:-2] + grey[1:-1] + grey[2:]
    blurred: Grey = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) * np.float32(1 / 9)
    return blurred


def _part(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The pixels of a box; at least one."""
    height, width = shape
    top, left = min(int(box[1] * height), height - 1), min(int(box[0] * width), width - 1)
    bottom, right = max(top + 1, round(box[3] * height)), max(left + 1, round(box[2] * width))
    return slice(top, bottom), slice(left, right)
