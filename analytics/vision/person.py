"""Persons in a picture, by the heat-map model."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from analytics.onnx import Model
from analytics.plugin import Detection
from analytics.vision.heatmap import Person, decode
from media.frames import Frame


class PersonModel:
    """A model and what must be done around it. Not for two threads at a time."""

    def __init__(self, model: Model, threshold: float | None = None) -> None:
        self._model = model
        self._threshold = model.card.threshold if threshold is None else threshold
        self._postures = tuple(f"posture.{name}" for name in model.card.postures)

    def detect(self, frame: Frame) -> Sequence[Detection]:
        """Persons, best first.

        Raises:
            BrokenOutput: the model gave nothing usable.
        """
        size = self._model.card.input.size
        image, placed = fit(frame.image, size)
        tensor = (image.transpose(2, 0, 1)[None] * np.float32(self._model.card.input.scale)).astype(np.float32)
        heads = self._model.run(np.ascontiguousarray(tensor))
        return [self._detection(person, placed) for person in decode(heads[0], self._threshold)]

    def _detection(self, person: Person, placed: tuple[int, int, int, int]) -> Detection:
        left, top, width, height = placed
        box = (
            _share(person.x - person.width / 2 - left, width),
            _share(person.y - person.height / 2 - top, height),
            _share(person.x + person.width / 2 - left, width),
            _share(person.y + person.height / 2 - top, height),
        )
        attributes = dict(zip(self._postures, person.postures, strict=True))
        if person.head is not None:
            x, y, score = person.head
            attributes |= {"head.x": _share(x - left, width), "head.y": _share(y - top, height), "head.score": score}
        return Detection("person", person.score, box, attributes)


def fit(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> tuple[npt.NDArray[np.uint8], tuple[int, int, int, int]]:
    """The picture scaled into `size` (width, height) in its own shape, the rest grey; and where it lies there (left,
    top, width, height)."""
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(image).resize(inner, method))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    if inner == size:
        return small, (0, 0, *inner)
    canvas = np.full((size[1], size[0], 3), 114, np.uint8)
    canvas[top : top + inner[1], left : left + inner[0]] = small
    return canvas, (left, top, *inner)


def _share(offset: float, length: int) -> float:
    return min(max(offset / length, 0.0), 1.0)
