"""Writes small ONNX files by hand (no `onnx` package): one convolution that takes red things for persons.

The figure is 40 x 40 pixels of a 256 x 144 picture; the more of it is red, the higher the score, so that a red square
of that size gives one peak, at its middle.
"""

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

POSTURES = ("work", "write", "sleep_desk", "sleep_back", "stand")
SQUARE_PX = 40


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def blob(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def tensor(name: str, values: npt.NDArray[np.float32], *more: bytes) -> bytes:
    dims = b"".join(number(1, d) for d in values.shape)
    return dims + number(2, 1) + blob(8, name) + blob(9, values.astype("<f4").tobytes()) + b"".join(more)


def int64s(name: str, *values: int) -> bytes:
    """A tensor of one dimension."""
    return number(1, len(values)) + number(2, 7) + blob(8, name) + blob(9, struct.pack(f"<{len(values)}q", *values))


def value_info(name: str, dims: tuple[int | str, ...]) -> bytes:
    shape = b"".join(blob(1, number(1, d) if isinstance(d, int) else blob(2, d)) for d in dims)
    return blob(1, name) + blob(2, blob(1, number(1, 1) + blob(2, shape)))


def ints(name: str, *values: int) -> bytes:
    return blob(1, name) + b"".join(number(8, v) for v in values) + number(20, 7)


def node(operator: str, inputs: list[str], outputs: list[str], *attributes: bytes, domain: str = "") -> bytes:
    parts = [blob(1, i) for i in inputs] + [blob(2, o) for o in outputs] + [blob(4, operator)]
    return b"".join(parts) + b"".join(blob(5, a) for a in attributes) + (blob(7, domain) if domain else b"")


def model(nodes: list[bytes], tensors: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    graph = b"".join(
        [
            *(blob(1, n) for n in nodes),
            blob(2, "graph"),
            *(blob(5, t) for t in tensors),
            *(blob(11, i) for i in inputs),
            *(blob(12, o) for o in outputs),
        ]
    )
    return number(1, 8) + blob(7, graph) + blob(8, blob(1, "") + number(2, 17))


def red_squares(
    *, bias: float = -4.0, nodes: list[bytes] | None = None, more_tensors: list[bytes] | None = None
) -> bytes:
    """A person model: score sigmoid(8 (red - (green + blue) / 2) + bias) over the square."""
    weights = np.zeros((9, 3, SQUARE_PX, SQUARE_PX), np.float32)
    weights[0] = weights[1] = np.array([8.0, -4.0, -4.0], np.float32)[:, None, None] / SQUARE_PX**2
    size = math.log(SQUARE_PX / 16)
    biases = np.array([bias, bias - 1.0, size, size, 3.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    convolution = node(
        "Conv",
        ["image", "w", "b"],
        ["heads"],
        ints("kernel_shape", SQUARE_PX, SQUARE_PX),
        ints("strides", 8, 8),
        ints("pads", 16, 16, 16, 16),
    )
    return model(
        nodes if nodes is not None else [convolution],
        [tensor("w", weights), tensor("b", biases), *(more_tensors or [])],
        [value_info("image", ("n", 3, 144, 256))],
        [value_info("heads", ("n", 9, 18, 32))],
    )


def card(data: bytes, **more: object) -> dict[str, object]:
    return {
        "name": "red-squares",
        "task": "person",
        "input": {"name": "image", "size": [256, 144], "channels": "RGB", "scale": 1 / 255},
        "decoder": "heatmap",
        "classes": ["person"],
        "postures": list(POSTURES),
        "threshold": 0.5,
        "sha256": hashlib.sha256(data).hexdigest(),
        "trained_on": "rendered",
        "licence": "Apache-2.0",
        "measured": {},
    } | more


def write(folder: Path, data: bytes | None = None, **more: Any) -> Path:
    """A model and its card; the model's path."""
    data = red_squares() if data is None else data
    path = folder / "person.onnx"
    path.write_bytes(data)
    path.with_suffix(".json").write_text(json.dumps(card(data, **more)), "utf-8")
    return path


def nan_bias() -> bytes:
    return red_squares(bias=struct.unpack("<f", b"\x00\x00\xc0\x7f")[0])


GRID_PX, GRID_SIDE = 16, 10
"""Of `red_cells`: a picture of 160 x 160 in cells of 16 pixels."""


def red_cells(classes: int = 1) -> bytes:
    """A detector in the manner of YOLO v8: a box of 32 pixels around the middle of each cell, with the score
    sigmoid(12 red - 6 green - 6 blue - 6) of the cell for the first class and next to none for the others."""
    side, count = GRID_SIDE, GRID_SIDE * GRID_SIDE
    weights = np.zeros((classes, 3, GRID_PX, GRID_PX), np.float32)
    weights[0] = np.array([12.0, -6.0, -6.0], np.float32)[:, None, None] / GRID_PX**2
    biases = np.array([-6.0] + [-12.0] * (classes - 1), np.float32)
    rows, columns = np.mgrid[:side, :side]
    boxes = np.full((1, 4, count), 32.0, np.float32)
    boxes[0, 0], boxes[0, 1] = (columns.ravel() + 0.5) * GRID_PX, (rows.ravel() + 0.5) * GRID_PX
    nodes = [
        node(
            "Conv", ["images", "w", "b"], ["cells"],
            ints("kernel_shape", GRID_PX, GRID_PX), ints("strides", GRID_PX, GRID_PX),
        ),
        node("Reshape", ["cells", "shape"], ["rows"]),
        node("Sigmoid", ["rows"], ["scores"]),
        node("Concat", ["boxes", "scores"], ["output0"], blob(1, "axis") + number(3, 1) + number(20, 2)),
    ]  # fmt: skip
    return model(
        nodes,
        [tensor("w", weights), tensor("b", biases), tensor("boxes", boxes), int64s("shape", 1, classes, count)],
        [value_info("images", (1, 3, side * GRID_PX, side * GRID_PX))],
        [value_info("output0", (1, 4 + classes, count))],
    )


def cells_card(**more: object) -> dict[str, object]:
    """What `red_cells` needs in its card beside the usual."""
    side = GRID_SIDE * GRID_PX
    return {
        "task": "objects",
        "input": {"name": "images", "size": [side, side]},
        "decoder": "yolov8",
        "classes": ["lamp"],
        "postures": [],
    } | more
