"""Takes ONNX models in, warily, and runs them on one thread.

A model is two files: `name.onnx` and its card `name.json` beside it (`analytics.modelcard`; `docs/plugins.md` tells how
to bring your own). It is read into memory once, held to a size, checked against the SHA-256 of its card, looked into
(`modelfile`), loaded from bytes (so that nothing outside the file can be reached), and run once on an empty picture,
whose output must be what its decoder reads, with finite numbers. All of it happens in a vision worker process; before
that, a model that is not the shipped one is tried in a process that may break (`modeltrial`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from analytics import decoders
from analytics.errors import BrokenOutput, ModelRefused
from analytics.modelcard import CELL, InputCard, ModelCard, read_card, read_file
from analytics.modelfile import inspect
from analytics.modeltrial import try_apart
from analytics.providers import CPU, Wish, called, choose

SHIPPED = Path(__file__).parent / "models" / "person.onnx"
MAX_MODEL_BYTES = 256 << 20

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


@dataclass(frozen=True, slots=True)
class Model:
    """A model that passed. Sessions may be used from one thread at a time."""

    card: ModelCard
    session: Any

    @property
    def described(self) -> str:
        """Name and the first digits of the hash."""
        return f"{self.card.name} {self.card.sha256[:12]}"

    @property
    def provider(self) -> str:
        """What carries it out: `cpu`, `openvino`, `cuda`."""
        return called(self.session.get_providers()[0])

    def outputs(self, images: Float) -> Sequence[npt.NDArray[Any]]:
        """What comes out for pictures n x 3 x height x width (or as the card's layout says).

        Raises:
            BrokenOutput: the session failed.
        """
        card = self.card.input
        feed: dict[str, npt.NDArray[Any]] = {card.name: images.astype(card.dtype, copy=False)}
        if card.size_name:
            feed[card.size_name] = np.tile(np.array([card.size], np.int64), (len(images), 1))
        try:
            return self.session.run(list(self.card.outputs) or None, feed)  # type: ignore[no-any-return]
        except _ORT_ERRORS as error:
            raise BrokenOutput(f"The model failed: {error}.") from error

    def run(self, images: Float) -> Float:
        """The heads of a heat-map model for pictures n x 3 x height x width.

        Raises:
            BrokenOutput: the session failed, or its figures are not finite or of the wrong shape.
        """
        found = self.outputs(images)
        width, height = self.card.input.size
        expected = (len(images), self.card.channels_out, height // CELL, width // CELL)
        heads = found[0]
        if len(found) != 1 or heads.shape != expected or heads.dtype != np.float32:
            raise BrokenOutput(f"The model gave {heads.dtype} {heads.shape}, not float32 {expected}.")
        if not np.isfinite(heads).all():
            raise BrokenOutput("The model gave numbers that are not finite.")
        return heads


def load(path: Path, max_bytes: int = MAX_MODEL_BYTES, wish: Wish = "cpu") -> Model:
    """Read, check and try a model in this process.

    Raises:
        ModelRefused: `missing`, `no_card`, `bad_card`, `too_large`, `hash_mismatch`, `malformed`,
            `operator_not_allowed`, `external_data`, `unusable` or `bad_output`.
    """
    card, data = _looked_into(path, max_bytes)
    model = Model(card, _session(data, wish))
    _check_interface(model)
    try:
        _try(model)
    except BrokenOutput as error:
        raise ModelRefused("bad_output", str(error)) from error
    return model


def load_tried(path: Path, wish: Wish = "cpu") -> Model:
    """The same, but first in a process that may break.

    Raises:
        ModelRefused: see `load` and `modeltrial.try_apart`.
    """
    _looked_into(path, MAX_MODEL_BYTES)
    digest = try_apart(path)
    model = load(path, wish=wish)
    if model.card.sha256 != digest:
        raise ModelRefused("hash_mismatch", "the file changed while it was tried")
    return model


def _looked_into(path: Path, max_bytes: int) -> tuple[ModelCard, bytes]:
    """What can be said of a model without running anything."""
    card = read_card(path)
    data = read_file(path, max_bytes, "missing")
    digest = hashlib.sha256(data).hexdigest()
    if digest != card.sha256:
        raise ModelRefused("hash_mismatch", f"the file's SHA-256 is {digest}, its card says {card.sha256}")
    inspect(data)
    return card, data


def _try(model: Model) -> None:
    card = model.card
    width, height = card.input.size
    picture = empty_input(card.input, width, height)
    if card.decoder == "heatmap":
        model.run(picture)
    else:
        decoders.read(model.outputs(picture), card, card.threshold)


def empty_input(card: InputCard, width: int, height: int) -> Float:
    """One grey picture as the model takes it."""
    shape = (1, 3, height, width) if card.layout == "NCHW" else (1, height, width, 3)
    return np.full(shape, 128 if card.dtype == "uint8" else 0.5, np.float32)


def _session(data: bytes, wish: Wish) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    providers = [CPU] if wish == "cpu" else choose(onnxruntime.get_available_providers(), wish)
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except _ORT_ERRORS as error:
        raise ModelRefused("unusable", " ".join(str(error).split())[:300] or type(error).__name__) from error


_TENSORS = {"float32": "tensor(float)", "float16": "tensor(float16)", "uint8": "tensor(uint8)"}


def _check_interface(model: Model) -> None:
    card = model.card
    inputs, outputs = model.session.get_inputs(), model.session.get_outputs()
    names = {one.name: one.type for one in inputs}
    wanted = {card.input.name: _TENSORS[card.input.dtype]} | (
        {card.input.size_name: "tensor(int64)"} if card.input.size_name else {}
    )
    if names != wanted:
        said = ", ".join(f"{name} {kind}" for name, kind in names.items())
        raise ModelRefused("unusable", f"inputs {said[:200]!r} do not fit the card's {', '.join(wanted)[:200]!r}")
    there = [one.name for one in outputs]
    if missing := [name for name in card.outputs if name not in there]:
        raise ModelRefused("unusable", f"it has no outputs {', '.join(missing)[:200]!r}")
    if card.decoder == "heatmap" and len(there) != 1:
        raise ModelRefused("unusable", f"{len(there)} outputs do not fit the card")


class ModelStore:
    """Models of one worker process, each loaded once however many cameras use it."""

    def __init__(self, wish: Wish = "cpu") -> None:
        self._models: dict[Path, Model] = {}
        self._refused: dict[Path, tuple[tuple[int, ...], str, str]] = {}
        """What its files were, reason and detail."""
        self._wish: Wish = wish

    def get(self, path: Path) -> Model:
        """A model; one that is not shipped with the program is tried apart first, which takes some seconds at most.

        Raises:
            ModelRefused: see `load_tried`. It is tried again when one of its two files has changed.
        """
        if path in self._models:
            return self._models[path]
        state = _state(path)
        if path in self._refused and self._refused[path][0] == state:
            _, reason, detail = self._refused[path]
            raise ModelRefused(reason, detail)
        try:
            model = load(path, wish=self._wish) if path == SHIPPED else load_tried(path, self._wish)
        except ModelRefused as error:
            self._refused[path] = state, error.reason, str(error).partition(": ")[2]
            raise
        self._models[path] = model
        return model


def _state(path: Path) -> tuple[int, ...]:
    """Size and time of change of a model and its card; changes with them."""
    found: list[int] = []
    for one in (path, path.with_suffix(".json")):
        try:
            status = one.stat()
        except OSError:
            found += [0, 0]
        else:
            found += [status.st_size, status.st_mtime_ns]
    return tuple(found)
