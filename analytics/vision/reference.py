"""Is this still the view that the camera was set up with? Covered in part, moved, out of focus.

A camera has a reference picture for each mode (by day, and by infrared light). The present picture is compared with it
by edges, not by grey levels, so that lamps, people and the time of day matter little.

| Feature | Is |
|---|---|
| `edr` | share of the reference's edges without an edge within 1 px now (Lee et al., Sensors 2015) |
| `new` | share of present edges that are farther than 2 px from any edge of the reference |
| `cells` | share of the reference's edge-bearing cells that kept less than 15 % of their edges and went flat |
| `shift`, `peak` | offset of both gradient pictures by phase correlation, px, and the energy of its peak (1: equal) |
| `grad` | ratio of the steepest gradients, divided by the ratio of contrasts: dimmed lamps do not read as blur |
| `ncc` | correlation of both as 20 x 11 thumbnails |

The order of decisions, the first that holds:

| Holds | Then |
|---|---|
| `shift` >= 3 and `peak` >= 0.2 | moved |
| `cells` >= 0.4, `new` >= 0.5 and at least 15 % as many edges as the reference | moved |
| `cells` >= 0.4 | blocked |
| `grad` < 0.65 and `ncc` >= 0.8 | blurred |
| `edr` >= 0.55 and `new` >= 0.4 | moved |
| `peak` < 0.15, `ncc` < 0.4 and `edr` >= 0.35: another room | moved |
| otherwise | ok |

All on grey of 320 x 180. A view with next to no edges (a blank wall) cannot be judged, and says so.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

WIDTH, HEIGHT = 320, 180
EDGE_LEVEL = 14.0
JUDGEABLE_EDGE_SHARE = 0.03
CELL_WIDTH, CELL_HEIGHT = 40, 36
CELL_EDGES = 30
CELL_KEPT = 0.15
CELL_FLAT = 8.0
THUMBNAIL = 16
INFRARED_CHROMA = 2.0
"""Mean distance of the colours from grey below this: an infrared picture."""
MAX_PNG_BYTES = 256 * 1024

Grey = npt.NDArray[np.float32]
Edges = npt.NDArray[np.bool_]
Mode = Literal["day", "infrared"]
View = Literal["ok", "moved", "blocked", "blurred"]


class ReferenceRefused(Exception):
    """These bytes are no reference picture."""


@dataclass(frozen=True, slots=True)
class Features:
    """How a picture differs from the reference."""

    edr: float
    new: float
    cells: float
    shift: float
    peak: float
    grad: float
    ncc: float
    edges: float
    """Present edges, as a share of the reference's number."""


def grey_of(image: npt.NDArray[np.uint8]) -> Grey:
    """RGB (height x width x 3) to grey of `HEIGHT` x `WIDTH`, blurred 3 x 3."""
    small = Image.fromarray(image).convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    return smoothed(np.asarray(small))


def smoothed(grey: npt.NDArray[np.uint8]) -> Grey:
    """Brightness of `HEIGHT` x `WIDTH`, blurred 3 x 3."""
    return _blurred(grey.astype(np.float32))


def mode_of(image: npt.NDArray[np.uint8]) -> Mode:
    """By day or by infrared light, told by the colours."""
    part = image[::8, ::8].astype(np.int16)
    chroma = np.abs(part - part.mean(axis=2, keepdims=True)).mean()
    return "infrared" if chroma < INFRARED_CHROMA else "day"


class Reference:
    """One view, as it should be."""

    def __init__(self, grey: Grey) -> None:
        """`grey` as from `grey_of`."""
        self.grey = grey

    @classmethod
    def of(cls, pictures: Sequence[Grey]) -> "Reference":
        """The median of some pictures: who walks through is not in it."""
        return cls(np.median(np.stack(pictures), axis=0).astype(np.float32))

    @classmethod
    def from_png(cls, data: bytes) -> "Reference":
        """Raises:
        ReferenceRefused: not a grey PNG of `WIDTH` x `HEIGHT`.
        """
        try:
            with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
                if len(data) > MAX_PNG_BYTES or (image.size, image.mode) != ((WIDTH, HEIGHT), "L"):
                    raise ReferenceRefused(f"A reference is a grey PNG of {WIDTH} x {HEIGHT}.")
                return cls(np.asarray(image, np.float32))
        except (OSError, SyntaxError, ValueError) as error:
            raise ReferenceRefused(f"These bytes are no PNG: {error}.") from error

    def png(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(np.clip(self.grey + 0.5, 0, 255).astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    @cached_property
    def gradient(self) -> Grey:
        return _gradient(self.grey)

    @cached_property
    def edges(self) -> Edges:
        return self.gradient > EDGE_LEVEL

    @property
    def judgeable(self) -> bool:
        """Whether the view has enough edges to be recognised by."""
        return float(self.edges.mean()) >= JUDGEABLE_EDGE_SHARE

    @cached_property
    def _near(self) -> Edges:
        return _grown(_grown(self.edges))

    @cached_property
    def _spectrum(self) -> npt.NDArray[np.complex64]:
        return np.fft.rfft2(self.gradient * _WINDOW).astype(np.complex64)

    def compare(self, grey: Grey) -> Features:
        """The features of a picture."""
        gradient = _gradient(grey)
        edges = gradient > EDGE_LEVEL
        kept = self.edges & _grown(edges)
        count, present = int(self.edges.sum()), int(edges.sum())
        shift, peak = _phase(self._spectrum, np.fft.rfft2(gradient * _WINDOW))
        return Features(
            edr=1.0 - int(kept.sum()) / count if count else 0.0,
            new=int((edges & ~self._near).sum()) / present if present else 0.0,
            cells=self._lost_cells(kept, grey),
            shift=shift,
            peak=peak,
            grad=self._sharpness(gradient, grey),
            ncc=_correlation(_thumbnail(self.grey), _thumbnail(grey)),
            edges=present / count if count else 0.0,
        )

    def judge(self, grey: Grey) -> View:
        """The table at the module's head."""
        return decide(self.compare(grey))

    def _lost_cells(self, kept: Edges, grey: Grey) -> float:
        """Share of edge-bearing cells that lost nearly all edges and went flat."""
        before = _cells(self.edges.astype(np.float32)).sum(axis=(1, 3))
        bearing = before >= CELL_EDGES
        if not bearing.any():
            return 0.0
        left = _cells(kept.astype(np.float32)).sum(axis=(1, 3))
        flat = _cells(grey).std(axis=(1, 3)) < CELL_FLAT
        lost = bearing & (left < CELL_KEPT * before) & flat
        return float(lost.sum() / bearing.sum())

    def _sharpness(self, gradient: Grey, grey: Grey) -> float:
        steep, before = float(np.percentile(gradient, 98)), float(np.percentile(self.gradient, 98))
        contrast, contrast_before = float(_thumbnail(grey).std()), float(_thumbnail(self.grey).std())
        if before <= 0 or contrast_before <= 0 or contrast <= 0:
            return 1.0
        return (steep / before) / (contrast / contrast_before)


def decide(f: Features) -> View:
    """See the table at the module's head."""
    if f.shift >= 3 and f.peak >= 0.2:
        return "moved"
    if f.cells >= 0.4:
        return "moved" if f.new >= 0.5 and f.edges >= 0.15 else "blocked"
    if f.grad < 0.65 and f.ncc >= 0.8:
        return "blurred"
    another = f.peak < 0.15 and f.ncc < 0.4 and f.edr >= 0.35
    return "moved" if another or (f.edr >= 0.55 and f.new >= 0.4) else "ok"


def shake_of(before: Grey, now: Grey) -> tuple[float, float, float]:
    """Movement of the whole picture from one frame to the next: dx, dy in px, and the energy of the peak."""
    one = np.fft.rfft2(_gradient(before) * _WINDOW)
    two = np.fft.rfft2(_gradient(now) * _WINDOW)
    return _offset(one, two)


# --- figures ----------------------------------------------------------------------------------------------------------

_WINDOW: Grey = np.outer(np.hanning(HEIGHT), np.hanning(WIDTH)).astype(np.float32)


def _blurred(grey: Grey) -> Grey:
    padded = np.pad(grey, 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    blurred: Grey = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) * np.float32(1 / 9)
    return blurred


def _gradient(grey: Grey) -> Grey:
    gradient: Grey = np.zeros_like(grey)
    gradient[:, 1:-1] = np.abs(grey[:, 2:] - grey[:, :-2])
    gradient[1:-1] += np.abs(grey[2:] - grey[:-2])
    return gradient


def _grown(edges: Edges) -> Edges:
    """With all pixels within 1 px."""
    padded = np.pad(edges, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    grown: Edges = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return grown


def _cells(values: Grey) -> Grey:
    """rows of cells x height x columns of cells x width"""
    return values.reshape(HEIGHT // CELL_HEIGHT, CELL_HEIGHT, WIDTH // CELL_WIDTH, CELL_WIDTH)


def _thumbnail(grey: Grey) -> Grey:
    rows, columns = HEIGHT // THUMBNAIL, WIDTH // THUMBNAIL
    part = grey[: rows * THUMBNAIL, : columns * THUMBNAIL]
    small: Grey = part.reshape(rows, THUMBNAIL, columns, THUMBNAIL).mean(axis=(1, 3))
    return small


def _correlation(one: Grey, two: Grey) -> float:
    a, b = one - one.mean(), two - two.mean()
    energy = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum() / energy) if energy > 0 else 0.0


def _phase(one: npt.NDArray[np.complexfloating], two: npt.NDArray[np.complexfloating]) -> tuple[float, float]:
    across, down, peak = _offset(one, two)
    return float(np.hypot(across, down)), peak


def _offset(one: npt.NDArray[np.complexfloating], two: npt.NDArray[np.complexfloating]) -> tuple[float, float, float]:
    product = two * np.conj(one)
    surface = np.fft.irfft2(product / np.maximum(np.abs(product), 1e-9), s=(HEIGHT, WIDTH))
    row, column = divmod(int(np.argmax(surface)), WIDTH)
    rows, columns = np.arange(row - 1, row + 2) % HEIGHT, np.arange(column - 1, column + 2) % WIDTH
    peak = float(surface[np.ix_(rows, columns)].sum())
    down = row - HEIGHT if row > HEIGHT // 2 else row
    across = column - WIDTH if column > WIDTH // 2 else column
    return float(across), float(down), peak
