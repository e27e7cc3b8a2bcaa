"""Persons, and whatever else a model knows, in a picture."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from analytics import decoders
from analytics.modelcard import PERSON, InputCard
from analytics.onnx import Model
from analytics.plugin import Detection
from analytics.vision.heatmap import Person, decode
from media.frames import Frame

HEAD_POINTS = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
SEEN_POINT = 0.3
"""Key points that are less sure are not counted towards the head."""

Placed = tuple[int, int, int, int]
"""Where the picture lies in the model's input: left, top, width, height."""


class PersonModel:
    """A model and what must be done around it. Not for two threads at a time."""

    def __init__(self, model: Model, threshold: float | None = None) -> None:
        self._model = model
        self._threshold = model.card.threshold if threshold is None else threshold
        self._postures = tuple(f"posture.{name}" for name in model.card.postures)

    def detect(self, frame: Frame) -> Sequence[Detection]:
        """What is seen, best first.

        Raises:
            BrokenOutput: the model gave nothing usable.
        """
        card = self._model.card
        tensor, placed = prepared(frame.image, card.input)
        if card.decoder == "heatmap":
            heads = self._model.run(tensor)
            return [self._person(person, placed) for person in decode(heads[0], self._threshold)]
        found = decoders.read(self._model.outputs(tensor), card, self._threshold)
        return [
            self._thing(label, float(score), box, points, placed)
            for box, score, number, points in zip(
                found.boxes, found.scores, found.classes, found.keypoints, strict=True
            )
            if (label := card.label_of(int(number))) is not None
        ]

    def _person(self, person: Person, placed: Placed) -> Detection:
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
        return Detection(PERSON, person.score, box, attributes)

    def _thing(
        self, label: str, score: float, box: npt.NDArray[np.float32], points: npt.NDArray[np.float32], placed: Placed
    ) -> Detection:
        left, top, width, height = placed
        x0, y0, x1, y1 = (float(v) for v in box)
        placed_box = (
            _share(x0 - left, width), _share(y0 - top, height), _share(x1 - left, width), _share(y1 - top, height)
        )  # fmt: skip
        names = self._model.card.keypoints
        seen = {
            name: (_share(float(x) - left, width), _share(float(y) - top, height), min(max(float(sure), 0.0), 1.0))
            for name, (x, y, sure) in zip(names, points, strict=True)
        }
        attributes: dict[str, float] = {}
        for name, (x, y, sure) in seen.items():
            attributes |= {f"point.{name}.x": x, f"point.{name}.y": y, f"point.{name}.score": sure}
        heads = [seen[name] for name in HEAD_POINTS if name in seen and seen[name][2] >= SEEN_POINT]
        if heads:
            x, y, sure = (sum(values) / len(heads) for values in zip(*heads, strict=True))
            attributes |= {"head.x": x, "head.y": y, "head.score": sure}
        return Detection(label, score, placed_box, attributes)


def prepared(image: npt.NDArray[np.uint8], card: InputCard) -> tuple[npt.NDArray[np.float32], Placed]:
    """The picture as a model takes it, a batch of one, and where it lies there."""
    small, placed = fit(image, card.size, card.fit, card.pad)
    values = small[..., ::-1] if card.channels == "BGR" else small
    tensor: npt.NDArray[np.float32] = values.astype(np.float32)
    if card.dtype != "uint8":
        tensor *= np.float32(card.scale)
        if any(card.mean) or card.std != (1.0, 1.0, 1.0):
            tensor -= np.array(card.mean, np.float32)
            tensor /= np.array(card.std, np.float32)
    if card.layout == "NCHW":
        tensor = tensor.transpose(2, 0, 1)
    return np.ascontiguousarray(tensor[None], np.float32), placed


def fit(
    image: npt.NDArray[np.uint8], size: tuple[int, int], how: str = "centre", pad: int = 114
) -> tuple[npt.NDArray[np.uint8], Placed]:
    """The picture scaled into `size` (width, height) in its own shape, the rest grey, unless it is to be stretched; and
    where it lies there (left, top, width, height)."""
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = size if how == "stretch" else (max(1, round(width * scale)), max(1, round(height * scale)))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(image).resize(inner, method))
    if inner == size:
        return small, (0, 0, *inner)
    left, top = (0, 0) if how == "corner" else ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    canvas = np.full((size[1], size[0], 3), pad, np.uint8)
    canvas[top : top + inner[1], left : left + inner[0]] = small
    return canvas, (left, top, *inner)


def _share(offset: float, length: int) -> float:
    return min(max(offset / length, 0.0), 1.0)
