"""Can this picture be used at all? Too dark, too bright, covered, or the same one for too long.

All from single pictures, without a reference picture of the camera: so a lens that is covered in part, moved or out of
focus is not found here. Thresholds are for grey 320 x 180.

**Frozen.** Live pictures of a quiet room at a low bit rate can be bit for bit the same for seconds: an encoder skips
what it deems noise until the next key frame (up to 7.5 s measured with a key frame every 10 s). Key frames are coded
afresh, and of a live camera no two were ever equal. So a picture is called frozen when three successive key frames are
equal and at least 6 s apart, or when nothing at all has changed for 10 s. Two limits follow. A source that is frozen
before a constant-bit-rate encoder may go on changing by the quantiser's drift, and is not found. And a live camera that
sends key frames more than 10 s apart, at a rate so low that nothing in between is coded, is called frozen although it
is only still: that is to be cured at the camera (a key frame every 2 s to 3 s).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analytics.messages import PictureState

DARK_LEVEL = 30.0
"""75th percentile of the grey levels below this, in the picture or in the zone: screens left on do not light a room."""
BRIGHT_LEVEL = 250
BRIGHT_SHARE = 0.5
EDGE_LEVEL = 14.0
EDGE_SHARE = 0.005
"""A scene has at least 3 % of edge pixels; a covered lens next to none."""
FROZEN_S = 10.0
FROZEN_PICTURES = 5
FROZEN_KEYS = 3
FROZEN_KEYS_S = 6.0
BREAK_S = 5.0
"""After a longer gap the comparison starts again."""
_SIZE = (320, 180)

Grey = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class PictureJudge:
    """One camera's picture rules, with the post's zone."""

    def __init__(self, zone: Sequence[tuple[float, float]]) -> None:
        self._zone = tuple(zone)
        self._mask: Mask | None = None

    def judge(self, image: npt.NDArray[np.uint8]) -> PictureState:
        """`ok`, `dark`, `overexposed` or `blocked` for an RGB picture (height x width x 3)."""
        grey = shrink(image)
        if self._mask is None or self._mask.shape != grey.shape:
            self._mask = zone_mask(self._zone, grey.shape)
        zone = grey[self._mask]
        if _dark(grey) or (zone.size and _dark(zone)):
            return "dark"
        if _bright(grey) or (zone.size and _bright(zone)):
            return "overexposed"
        return "blocked" if edge_share(grey) < EDGE_SHARE else "ok"


class FreezeWatch:
    """Looks for pictures that do not change. `pts_s` is the source's own time."""

    def __init__(self) -> None:
        self._all = _Run()
        self._keys = _Run()

    def take(self, digest: int, pts_s: float, key: bool) -> None:
        """A decoded picture's digest: every key frame, and of the others as many as are analysed."""
        self._all.take(digest, pts_s)
        if key:
            self._keys.take(digest, pts_s, longest_gap_s=float("inf"))

    @property
    def frozen(self) -> bool:
        every = self._all.count >= FROZEN_PICTURES and self._all.length_s >= FROZEN_S
        return every or (self._keys.count >= FROZEN_KEYS and self._keys.length_s >= FROZEN_KEYS_S)


class _Run:
    """How often, and for how long, the same digest has come."""

    def __init__(self) -> None:
        self.count = 0
        self._digest = 0
        self._first_s = self._last_s = 0.0

    def take(self, digest: int, pts_s: float, longest_gap_s: float = BREAK_S) -> None:
        goes_on = self.count and digest == self._digest and 0 <= pts_s - self._last_s <= longest_gap_s
        if goes_on:
            self.count += 1
        else:
            self.count, self._digest, self._first_s = 1, digest, pts_s
        self._last_s = pts_s

    @property
    def length_s(self) -> float:
        return self._last_s - self._first_s


def shrink(image: npt.NDArray[np.uint8]) -> Grey:
    """Grey, about 320 x 180: every n-th pixel, whose noise the blur before each measure takes out again."""
    down = max(1, image.shape[0] // _SIZE[1])
    across = max(1, image.shape[1] // _SIZE[0])
    part = image[::down, ::across].astype(np.float32)
    grey: Grey = part @ np.array([0.299, 0.587, 0.114], np.float32)
    return grey


def edge_share(grey: Grey) -> float:
    """Share of pixels whose gradient |Gx| + |Gy| after a 3 x 3 box blur is above `EDGE_LEVEL`."""
    if min(grey.shape) < 5:
        return 0.0
    rows = grey[:-2] + grey[1:-1] + grey[2:]
    blurred = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9.0
    across = np.abs(blurred[1:-1, 2:] - blurred[1:-1, :-2])
    down = np.abs(blurred[2:, 1:-1] - blurred[:-2, 1:-1])
    return float(((across + down) > EDGE_LEVEL).mean())


def zone_mask(zone: Sequence[tuple[float, float]], shape: tuple[int, ...]) -> Mask:
    """Pixels whose middle lies in the polygon (even-odd rule)."""
    rows, columns = shape
    y = ((np.arange(rows) + 0.5) / rows)[:, None]
    x = ((np.arange(columns) + 0.5) / columns)[None, :]
    crossed: Mask = np.zeros((rows, columns), np.bool_)
    for (x0, y0), (x1, y1) in zip(zone, (*zone[1:], *zone[:1]), strict=True):
        if y0 != y1:
            spans = (y0 > y) != (y1 > y)
            crossed ^= spans & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return crossed


def _dark(grey: Grey) -> bool:
    return bool(np.percentile(grey, 75) < DARK_LEVEL)


def _bright(grey: Grey) -> bool:
    return bool((grey > BRIGHT_LEVEL).mean() > BRIGHT_SHARE)
