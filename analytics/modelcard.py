"""The card of a model: the manifest `name.json` beside `name.onnx`. `docs/plugins.md` tells how to write one."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analytics.errors import ModelRefused

MAX_CARD_BYTES = 1 << 20
CELL = 8
"""The heat-map decoder's outputs are this many times smaller than the picture."""
PERSON = "person"

Decoder = Literal["heatmap", "yolov5", "yolov8", "yolov10", "yolox", "detr", "dfine"]
"""How the figures that come out are to be read: see the table of `analytics.decoders`."""


class InputCard(BaseModel):
    """What goes in. A value is `(pixel * scale - mean) / std`."""

    model_config = ConfigDict(frozen=True)
    name: str
    size: tuple[int, int]
    """Width and height, pixels."""
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = Field(default=(1.0, 1.0, 1.0))
    fit: Literal["centre", "corner", "stretch"] = "centre"
    """The picture keeps its shape and lies in the middle, or in the upper left corner (YOLOX), or is drawn out of
    shape (RT-DETR)."""
    pad: int = Field(default=114, ge=0, le=255)
    """Grey level of what the picture leaves free."""
    size_name: str = ""
    """Name of a second input that is told width and height (int64, n x 2), as D-FINE wants it."""


class ModelCard(BaseModel):
    """What a model says about itself. Fields that are not listed are kept out of the way."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(max_length=100)
    task: Literal["person", "objects"]
    input: InputCard
    decoder: Decoder
    outputs: tuple[str, ...] = Field(default=(), max_length=8)
    """Their names in the order that the decoder reads them; empty = as the file has them."""
    classes: tuple[str, ...] = Field(min_length=1, max_length=1000)
    labels: dict[str, str] = {}
    """What classes are called for the rules, e.g. `{"worker": "person"}`; classes that are missing here are not
    reported. Empty: all are, by their own names."""
    postures: tuple[str, ...] = Field(default=(), max_length=16)
    keypoints: tuple[str, ...] = Field(default=(), max_length=17)
    strides: tuple[int, ...] = Field(default=(8, 16, 32), min_length=1, max_length=6)
    """Of `yolox`: pixels per cell of each of its grids."""
    threshold: float = Field(gt=0, lt=1)
    overlap: float = Field(default=0.5, gt=0, le=1)
    """Of two boxes of one class that share more than this (intersection over union), the better is kept."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    trained_on: Literal["rendered", "site", "mixed", "unknown"] = "unknown"
    licence: str = ""
    measured: dict[str, object] = {}
    note_zh: str = ""
    note_en: str = ""

    @property
    def channels_out(self) -> int:
        """Of the heat-map decoder: person and head heat-maps, two sizes, and the postures."""
        return 4 + len(self.postures)

    def label_of(self, number: int) -> str | None:
        """What a class is called for the rules; None: it is not reported."""
        name = self.classes[number]
        return self.labels.get(name) if self.labels else name


def read_card(path: Path) -> ModelCard:
    """The card beside a model file.

    Raises:
        ModelRefused: `no_card` or `bad_card`.
    """
    raw = read_file(path.with_suffix(".json"), MAX_CARD_BYTES, "no_card")
    try:
        card = ModelCard.model_validate(json.loads(raw))
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelRefused("bad_card", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise ModelRefused("bad_card", f"the card is no JSON: {error}") from error
    if (wrong := _wrong(card)) is not None:
        raise ModelRefused("bad_card", wrong)
    return card


def read_file(path: Path, max_bytes: int, missing: str) -> bytes:
    """A whole file.

    Raises:
        ModelRefused: `too_large`, or `missing` (the reason to give) when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ModelRefused(missing, f"{path.name}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise ModelRefused("too_large", f"{path.name} is longer than {max_bytes} bytes")
    return data


def _wrong(card: ModelCard) -> str | None:
    """What makes no sense although each field by itself does."""
    width, height = card.input.size
    steps = (32, CELL) if card.decoder == "heatmap" else (1, 1)
    if width % steps[0] or height % steps[1] or not (32 <= width <= 2048 and 32 <= height <= 2048):
        return f"an input of {width}x{height} is not taken"
    if min(card.input.std) <= 0 or min(card.strides) <= 0:
        return "std and strides must be more than 0"
    if unknown := set(card.labels) - set(card.classes):
        return f"labels name classes that there are not: {', '.join(sorted(unknown))[:200]}"
    if card.task == "person" and PERSON not in {card.label_of(n) for n in range(len(card.classes))}:
        return "a model of task person must report a class or label person"
    if card.decoder == "heatmap" and (card.classes != (PERSON,) or card.input.layout != "NCHW"):
        return "the heat-map decoder knows persons only, NCHW"
    if card.keypoints and card.decoder not in ("yolov8", "yolov10"):
        return f"the decoder {card.decoder} reads no key points"
    return None
