"""Models that break what runs them, tried apart."""

import signal
from pathlib import Path

import numpy as np
import pytest

from analytics import modeltrial, onnx
from analytics.errors import ModelRefused
from analytics.modelcard import read_card
from analytics.modeltrial import Ceilings, try_apart
from analytics.vision.person import PersonModel
from media.frames import Frame
from tests.bench.models import hurt
from tests.fakes import onnxfile
from tests.fakes.onnxfile import cells_card, int64s, model, node, red_cells, value_info


def refused(path: Path, ceilings: Ceilings) -> str:
    with pytest.raises(ModelRefused) as caught:
        try_apart(path, ceilings)
    return caught.value.reason


def huge(folder: Path, *shape: int) -> Path:
    """Asks for a tensor of this shape and adds it up."""
    nodes = [
        node("ConstantOfShape", ["shape"], ["zeros"]),
        node("MatMul", ["zeros", "zeros"], ["product"]),
        node("ReduceMax", ["product"], ["most"]),
        node("Add", ["images", "most"], ["output0"]),
    ]
    size = (1, 3, 160, 160)
    data = model(nodes, [int64s("shape", *shape)], [value_info("images", size)], [value_info("output0", size)])
    return onnxfile.write(folder, data, **cells_card())


def test_a_model_that_passes_is_named_by_its_hash(tmp_path: Path) -> None:
    path = onnxfile.write(tmp_path)
    assert try_apart(path) == read_card(path).sha256


def test_one_that_wants_all_memory_is_refused_for_that(tmp_path: Path) -> None:
    assert refused(huge(tmp_path, 60_000, 60_000), Ceilings()) == "too_much_memory"


def test_one_that_computes_for_ever_is_refused_for_that(tmp_path: Path) -> None:
    path = huge(tmp_path, 9000, 9000)
    assert refused(path, Ceilings(processor_s=1)) == "too_slow"
    assert refused(path, Ceilings(wall_s=0.3)) == "too_slow"


def test_a_process_that_breaks_is_a_reason_in_words(tmp_path: Path) -> None:
    path = onnxfile.write(tmp_path)
    assert refused(path, Ceilings(memory_mb=8)) == "crashed"
    with pytest.raises(ModelRefused, match="SIGSEGV"):
        modeltrial._verdict(-signal.SIGSEGV, b"", Ceilings())
    with pytest.raises(ModelRefused, match="no word"):
        modeltrial._verdict(0, b"{}", Ceilings())


def test_a_wrong_shape_is_told_by_the_trial(tmp_path: Path) -> None:
    path = onnxfile.write(tmp_path, red_cells(), **cells_card(classes=["lamp", "person"]))
    assert refused(path, Ceilings()) == "bad_output"


def test_twenty_hurt_models_are_refused_or_run_and_nothing_breaks(tmp_path: Path) -> None:
    reasons = [hurt(tmp_path, seed) for seed in range(20)]
    assert sum(reason != "" for reason in reasons) >= 10


def test_a_users_detector_sees_with_its_own_labels(tmp_path: Path) -> None:
    labels = cells_card(task="person", classes=["miner", "cart"], labels={"miner": "person"})
    path = onnxfile.write(tmp_path, red_cells(2), **labels)
    persons = PersonModel(onnx.ModelStore().get(path))
    image = np.full((240, 480, 3), 60, np.uint8)
    image[72:120, 240:288] = (255, 0, 0)
    (seen,) = persons.detect(Frame("p1/0", 0.0, 0.0, image, True))
    assert seen.label == "person"
    assert seen.score > 0.9
    x0, y0, x1, y1 = seen.box
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((264 / 480, 96 / 240), abs=0.03)
