import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analytics import onnx
from analytics.errors import BrokenOutput, ModelRefused
from analytics.modelfile import inspect
from analytics.providers import Wish
from tests.fakes import onnxfile
from tests.fakes.onnxfile import blob, node, number, red_squares


def refused(path: Path) -> str:
    with pytest.raises(ModelRefused) as caught:
        onnx.load(path)
    return caught.value.reason


def test_a_model_that_fits_its_card_is_taken(tmp_path: Path) -> None:
    model = onnx.load(onnxfile.write(tmp_path))
    assert model.described == f"red-squares {hashlib.sha256(red_squares()).hexdigest()[:12]}"
    heads = model.run(np.zeros((2, 3, 144, 256), np.float32))
    assert heads.shape == (2, 9, 18, 32)
    assert heads[:, 0] == pytest.approx(-4.0)


def test_a_model_is_loaded_once_for_all_cameras(tmp_path: Path) -> None:
    path, store = onnxfile.write(tmp_path), onnx.ModelStore()
    assert store.get(path) is store.get(path)


def test_a_refused_model_is_tried_again_only_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, store = onnxfile.write(tmp_path, onnxfile.nan_bias()), onnx.ModelStore()
    tried = []
    load_tried = onnx.load_tried

    def counted(path: Path, wish: Wish) -> onnx.Model:
        tried.append(path)
        return load_tried(path, wish)

    monkeypatch.setattr(onnx, "load_tried", counted)
    for _ in range(3):
        with pytest.raises(ModelRefused, match="bad_output"):
            store.get(path)
    assert len(tried) == 1
    onnxfile.write(tmp_path, red_squares(bias=-3.5))
    assert store.get(path).described.startswith("red-squares")
    assert len(tried) == 2


def test_a_missing_file_or_card_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "person.onnx") == "no_card"
    path = onnxfile.write(tmp_path)
    path.unlink()
    assert refused(path) == "missing"


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = onnxfile.write(tmp_path)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    assert refused(path) == "hash_mismatch"


def test_a_file_that_is_too_large_is_not_even_read_whole(tmp_path: Path) -> None:
    path = onnxfile.write(tmp_path)
    with path.open("r+b") as file:
        file.truncate(1 << 32)
    tracemalloc.start()
    with pytest.raises(ModelRefused, match="too_large"):
        onnx.load(path, max_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 0},
        {"decoder": "yolo"},
        {"sha256": "abc"},
        {"input": {"name": "image", "size": [250, 144]}},
        {"input": {"name": "image", "size": [256000, 144]}},
        {"task": "belt"},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    assert refused(onnxfile.write(tmp_path, **change)) == "bad_card"


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"name": 1}', "\x00"])
def test_a_card_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    path = onnxfile.write(tmp_path)
    path.with_suffix(".json").write_text(text, "utf-8")
    assert refused(path) == "bad_card"


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    assert refused(onnxfile.write(tmp_path, onnxfile.nan_bias())) == "bad_output"


def test_an_output_of_another_shape_is_refused(tmp_path: Path) -> None:
    assert refused(onnxfile.write(tmp_path, postures=["work"])) == "bad_output"


def test_an_input_of_another_name_is_refused(tmp_path: Path) -> None:
    card = {"name": "picture", "size": [256, 144]}
    assert refused(onnxfile.write(tmp_path, input=card)) == "unusable"


def test_loops_and_foreign_operators_are_refused(tmp_path: Path) -> None:
    loop = node("Loop", ["image"], ["heads"], blob(1, "body") + blob(6, b"") + number(20, 5))
    foreign = node("Conv", ["image", "w"], ["heads"], domain="com.example")
    unknown = node("RunProgram", ["image"], ["heads"])
    for one in (loop, foreign, unknown):
        assert refused(onnxfile.write(tmp_path, red_squares(nodes=[one]))) == "operator_not_allowed"


def test_data_in_another_file_is_refused(tmp_path: Path) -> None:
    outside = onnxfile.tensor(
        "x", np.zeros(1, np.float32), blob(13, blob(1, "location") + blob(2, "/etc/passwd")), number(14, 1)
    )
    assert refused(onnxfile.write(tmp_path, red_squares(more_tensors=[outside]))) == "external_data"


def test_every_mutant_is_refused_with_a_name_or_runs(tmp_path: Path) -> None:
    """Bit flips, cuts and junk, with a card that fits each: nothing but our own error comes out."""
    rng = np.random.default_rng(3)
    good = red_squares()
    header = 200  # where the structure is; the rest is weights
    taken = 0
    for _ in range(300):
        data = bytearray(good)
        for at in rng.integers(0, header, rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        if rng.random() < 0.2:
            del data[int(rng.integers(0, len(data))) :]
        try:
            onnx.load(onnxfile.write(tmp_path, bytes(data)))
            taken += 1
        except ModelRefused:
            pass
    assert taken < 150


def test_malformed_messages_are_named() -> None:
    for data in (b"", b"\xff" * 20, b"\x3a\x7f", b"\x3b", number(7, 1), blob(7, b"\x08"), blob(7, number(1, 5))):
        with pytest.raises(ModelRefused):
            inspect(data)


def test_a_session_that_fails_later_says_so(tmp_path: Path) -> None:
    model = onnx.load(onnxfile.write(tmp_path))
    with pytest.raises(BrokenOutput):
        model.run(np.zeros((1, 3, 100, 256), np.float32))


def test_the_shipped_card_fits_the_shipped_model() -> None:
    if not onnx.SHIPPED.exists():
        pytest.skip("no model in this tree")
    model = onnx.load(onnx.SHIPPED)
    assert model.card.trained_on == "rendered"
    assert model.card.note_zh
    assert model.card.note_en
    assert json.loads(onnx.SHIPPED.with_suffix(".json").read_text("utf-8"))["measured"]
