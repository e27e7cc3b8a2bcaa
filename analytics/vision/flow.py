"""Detector `flow`: how far the texture of a zone moves from one picture to the next, by phase correlation.

For belts, ropes, cages. It looks at bursts of successive pictures: at 2.5 m/s and 5 mm a pixel a belt moves 20 pixels
between two pictures of a camera at 25 a second, and 100 at 5 a second, where nothing can be told any more. The zone is
cut out and made small enough; what moves further than a fifth of it from picture to picture is no longer told apart.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from analytics.options import DetectorOptions
from analytics.plugin import Detection
from media.frames import Frame

SIDE_PX = 160
REST_SIZE = (160, 90)
LONGEST_STEP_S = 0.25
"""Pictures further apart are no burst."""

Grey = npt.NDArray[np.float32]


class FlowDetector:
    """Label `flow` around the zone; attributes `dx`, `dy` (pixels of the cut-out from picture to picture), `peak` (how
    sure, about 0 to 1), `shake` (how far the rest of the picture moved, in the same pixels), `texture` (contrast). The
    score is the peak, cut at 1."""

    name: ClassVar[str] = "flow"
    frames_per_s: ClassVar[float] = 0.5
    """Bursts a second."""
    burst: ClassVar[int] = 3

    def __init__(self, options: DetectorOptions) -> None:
        xs, ys = [x for x, _ in options.zone], [y for _, y in options.zone]
        self._box = (max(min(xs), 0.0), max(min(ys), 0.0), min(max(xs), 1.0), min(max(ys), 1.0))

    def detect(self, frame: Frame) -> Sequence[Detection]:
        """One picture alone says nothing."""
        return []

    def detect_burst(self, frames: Sequence[Frame]) -> Sequence[Detection]:
        pairs = [(one, two) for one, two in pairwise(frames) if 0 < two.pts_s - one.pts_s <= LONGEST_STEP_S]
        if not pairs:
            return []
        steps = [self._step(one.image, two.image) for one, two in pairs]
        dx, dy = float(np.mean([s[0] for s in steps])), float(np.mean([s[1] for s in steps]))
        peak, shake = float(min(s[2] for s in steps)), float(max(s[3] for s in steps))
        spread = max(float(np.hypot(s[0] - dx, s[1] - dy)) for s in steps)
        if spread > 2.0 + 0.2 * float(np.hypot(dx, dy)):
            peak = 0.0  # the steps of a burst disagree: noise
        texture = float(self._cut(pairs[-1][1].image).std())
        about = {"dx": dx, "dy": dy, "peak": peak, "shake": shake, "texture": texture}
        return [Detection("flow", min(max(peak, 0.0), 1.0), self._box, about)]

    def _step(self, one: npt.NDArray[np.uint8], two: npt.NDArray[np.uint8]) -> tuple[float, float, float, float]:
        before, now = self._cut(one), self._cut(two)
        dx, dy, peak = phase_shift(before, now)
        if max(abs(dx) / before.shape[1], abs(dy) / before.shape[0]) > 0.3:
            peak = 0.0
        rest_x, rest_y, rest_peak = phase_shift(self._rest(one), self._rest(two))
        per_px = before.shape[1] / ((self._box[2] - self._box[0]) * REST_SIZE[0])
        shake = float(np.hypot(rest_x, rest_y)) * per_px if rest_peak >= 0.2 else 0.0
        return dx, dy, peak, shake

    def _cut(self, image: npt.NDArray[np.uint8]) -> Grey:
        height, width = image.shape[:2]
        x0, x1 = int(self._box[0] * width), max(int(self._box[0] * width) + 16, int(self._box[2] * width))
        y0, y1 = int(self._box[1] * height), max(int(self._box[1] * height) + 16, int(self._box[3] * height))
        part = Image.fromarray(image[y0:y1, x0:x1]).convert("L")
        scale = min(1.0, SIDE_PX / max(part.size))
        size = (max(8, round(part.width * scale)), max(8, round(part.height * scale)))
        return np.asarray(part.resize(size, Image.Resampling.BOX), np.float32)

    def _rest(self, image: npt.NDArray[np.uint8]) -> Grey:
        """The picture without the zone."""
        grey = np.asarray(Image.fromarray(image).convert("L").resize(REST_SIZE, Image.Resampling.BOX), np.float32)
        rest = grey.copy()
        x0, x1 = int(self._box[0] * REST_SIZE[0]), int(np.ceil(self._box[2] * REST_SIZE[0]))
        y0, y1 = int(self._box[1] * REST_SIZE[1]), int(np.ceil(self._box[3] * REST_SIZE[1]))
        rest[y0:y1, x0:x1] = grey.mean()
        return rest


def phase_shift(before: Grey, now: Grey) -> tuple[float, float, float]:
    """How far a picture moved: to the right, down, in pixels, and how sure that is (energy of the 5 x 5 peak)."""
    height, width = before.shape
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)
    one = np.fft.rfft2((before - before.mean()) * window)
    two = np.fft.rfft2((now - now.mean()) * window)
    product = two * np.conj(one)
    surface = np.fft.irfft2(product / np.maximum(np.abs(product), 1e-6), s=(height, width))
    row, column = divmod(int(np.argmax(surface)), width)
    rows, columns = np.arange(row - 2, row + 3) % height, np.arange(column - 2, column + 3) % width
    part = np.clip(surface[np.ix_(rows, columns)], 0, None)
    total = float(part.sum())
    offsets = np.arange(-2, 3)
    down = row + (float((part.sum(axis=1) * offsets).sum()) / total if total > 0 else 0.0)
    across = column + (float((part.sum(axis=0) * offsets).sum()) / total if total > 0 else 0.0)
    down = down - height if down > height / 2 else down
    across = across - width if across > width / 2 else across
    return across, down, total
