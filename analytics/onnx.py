"""Takes ONNX models in, warily, and runs them on one thread.

A model is two files: `name.onnx` and its card `name.json` beside it (fields: `ModelCard`; `docs/plugins.md` tells how
to bring your own). It is read into memory once, held to a size, checked against the SHA-256 of its card, looked into
(`modelfile`), loaded from bytes (so that nothing outside the file can be reached), and run once on an empty picture,
whose output must have the right shape and only finite numbers. All of it happens in a vision worker process.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analytics.errors import BrokenOutput, ModelRefused
from analytics.modelfile import inspect

SHIPPED = Path(__file__).parent / "models" / "person.onnx"
MAX_MODEL_BYTES = 256 << 20
MAX_CARD_BYTES = 1 << 20
CELL = 8
"""The heat-map decoder's outputs are this many times smaller than the picture."""

Float = npt.NDArray[np.float32]

_ORT_ERRORS: tuple[type[Exception], ...] = (
    *(
        kind
        for kind in vars(ort_errors).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    ),
    RuntimeError,
    ValueError,
)  # fmt: skip


class InputCard(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str
    size: tuple[int, int]
    """Width and height, pixels."""
    channels: Literal["RGB"] = "RGB"
    scale: float = 1 / 255


class ModelCard(BaseModel):
    """What a model says about itself. Fields that are not listed are kept out of the way."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    task: Literal["person"]
    input: InputCard
    decoder: Literal["heatmap"]
    classes: tuple[str, ...]
    postures: tuple[str, ...] = ()
    threshold: float = Field(gt=0, lt=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    trained_on: Literal["rendered", "site", "mixed", "unknown"] = "unknown"
    licence: str = ""
    measured: dict[str, object] = {}
    note_zh: str = ""
    note_en: str = ""

    @property
    def channels_out(self) -> int:
        """Person and head heat-maps, two sizes, and the postures."""
        return 4 + len(self.postures)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that passed. Sessions may be used from one thread at a time."""

    card: ModelCard
    session: Any

    @property
    def described(self) -> str:
        """Name and the first digits of the hash."""
        return f"{self.card.name} {self.card.sha256[:12]}"

    def run(self, images: Float) -> Float:
        """Heads for pictures n x 3 x height x width.

        Raises:
            BrokenOutput: the session failed, or its figures are not finite or of the wrong shape.
        """
        try:
            (heads,) = self.session.run(None, {self.card.input.name: images})
        except _ORT_ERRORS as error:
            raise BrokenOutput(f"The model failed: {error}.") from error
        width, height = self.card.input.size
        expected = (len(images), self.card.channels_out, height // CELL, width // CELL)
        if heads.shape != expected or heads.dtype != np.float32:
            raise BrokenOutput(f"The model gave {heads.dtype} {heads.shape}, not float32 {expected}.")
        if not np.isfinite(heads).all():
            raise BrokenOutput("The model gave numbers that are not finite.")
        return heads  # type: ignore[no-any-return]


def load(path: Path, max_bytes: int = MAX_MODEL_BYTES) -> Model:
    """Read, check and try a model.

    Raises:
        ModelRefused: `missing`, `no_card`, `bad_card`, `too_large`, `hash_mismatch`, `malformed`,
            `operator_not_allowed`, `external_data`, `unusable` or `bad_output`.
    """
    card = read_card(path)
    data = _read(path, max_bytes, "missing")
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256:
        raise ModelRefused("hash_mismatch", f"the file's SHA-256 is {digest}, its card says {card.sha256}")
    inspect(data)
    model = Model(card, _session(data))
    _check_interface(model)
    width, height = card.input.size
    try:
        model.run(np.full((1, 3, height, width), 0.5, np.float32))
    except BrokenOutput as error:
        raise ModelRefused("bad_output", str(error)) from error
    return model


def read_card(path: Path) -> ModelCard:
    """The card beside a model file.

    Raises:
        ModelRefused: `no_card` or `bad_card`.
    """
    raw = _read(path.with_suffix(".json"), MAX_CARD_BYTES, "no_card")
    try:
        card = ModelCard.model_validate(json.loads(raw))
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelRefused("bad_card", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise ModelRefused("bad_card", f"the card is no JSON: {error}") from error
    width, height = card.input.size
    if width % 32 or height % CELL or not (32 <= width <= 2048 and 32 <= height <= 2048):
        raise ModelRefused("bad_card", f"an input of {width}x{height} is not taken")
    return card


def _read(path: Path, max_bytes: int, missing: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise ModelRefused(missing, f"{path.name}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise ModelRefused("too_large", f"{path.name} is longer than {max_bytes} bytes")
    return data


def _session(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as error:
        raise ModelRefused("unusable", " ".join(str(error).split())[:300] or type(error).__name__) from error


def _check_interface(model: Model) -> None:
    inputs, outputs = model.session.get_inputs(), model.session.get_outputs()
    if [i.name for i in inputs] != [model.card.input.name] or len(outputs) != 1:
        names = ", ".join(i.name for i in inputs)
        raise ModelRefused("unusable", f"inputs {names[:100]!r} and {len(outputs)} outputs do not fit the card")
    if inputs[0].type != "tensor(float)":
        raise ModelRefused("unusable", f"its input is {inputs[0].type}, not tensor(float)")


class ModelStore:
    """Models of one worker process, each loaded once however many cameras use it."""

    def __init__(self) -> None:
        self._models: dict[Path, Model] = {}

    def get(self, path: Path) -> Model:
        """Raises:
        ModelRefused: see `load`. The next call tries again.
        """
        if path not in self._models:
            self._models[path] = load(path)
        return self._models[path]
