"""The shipped model against its own card, on pictures rendered here."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from analytics.training import clips, codecs, evaluate
from analytics.training.evaluate import PersonModel, Sample, measure, rooms, to_input
from analytics.training.figure import POSTURES
from analytics.training.labels import CHANNELS, GRID_H, GRID_W, HEIGHT, WIDTH

MODELS = Path(evaluate.__file__).parent.parent / "models"
SEATED = ("work", "write", "sleep_desk", "sleep_back")
FIRST = 3_000_000
"""Seeds that neither training nor the card's figures use."""


@pytest.fixture(scope="module")
def card() -> dict[str, object]:
    return dict(json.loads((MODELS / "person.json").read_text("utf-8")))


@pytest.fixture(scope="module")
def model(card: dict[str, object]) -> PersonModel:
    return PersonModel(MODELS / "person.onnx", float(str(card["threshold"])))


def stated(card: dict[str, object], name: str, figure: str) -> float:
    measured = card["measured"]
    assert isinstance(measured, dict)
    return float(measured[name][figure])


def chance(share: float, here: float, there: float) -> float:
    """Three standard deviations of the difference of two counts of the same thing, of so many pictures each."""
    return float(3 * np.sqrt(max(share * (1 - share), 0.02) * (1 / here + 1 / there)))


def test_card_names_this_very_file(card: dict[str, object]) -> None:
    assert card["sha256"] == hashlib.sha256((MODELS / "person.onnx").read_bytes()).hexdigest()
    assert card["trained_on"] == "rendered"
    assert card["postures"] == list(POSTURES)
    assert card["note_zh"]
    assert "rendered scenes only" in str(card["note_en"])


def test_inputs_and_outputs_are_as_agreed() -> None:
    session = onnxruntime.InferenceSession(str(MODELS / "person.onnx"), providers=["CPUExecutionProvider"])
    (image,), (heads,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.type, image.shape[1:]) == ("image", "tensor(float)", [3, HEIGHT, WIDTH])
    assert heads.name == "heads"
    for n in (1, 3):
        (out,) = session.run(None, {"image": np.zeros((n, 3, HEIGHT, WIDTH), np.float32)})
        assert out.shape == (n, CHANNELS, GRID_H, GRID_W)


@pytest.mark.parametrize(("style", "name"), [("office", "office_caster"), ("hall", "hall_caster")])
def test_officers_are_found_as_often_as_the_card_says(
    model: PersonModel, card: dict[str, object], style: str, name: str
) -> None:
    def samples() -> Iterator[Sample]:
        for k, officer in enumerate(SEATED):
            yield from rooms(8, FIRST + 100 * k, officer=officer, style=style)

    figures = measure(model, samples())
    for figure in ("recall", "precision"):
        share = stated(card, name, figure)
        allowed = chance(share, figures["persons"], stated(card, name, "persons"))
        assert figures[figure] >= share - allowed, (figure, figures)


@pytest.mark.parametrize(("coat", "name"), [(False, "office_empty"), (True, "office_coat")])
def test_false_alarms_are_as_rare_as_the_card_says(
    model: PersonModel, card: dict[str, object], coat: bool, name: str
) -> None:
    n = 24
    figures = measure(model, rooms(n, FIRST + 1000, officer="absent", coat=coat, others=0))
    share = stated(card, name, "pictures_with_false") / stated(card, name, "pictures")
    allowed = share + chance(share, n, stated(card, name, "pictures"))
    assert figures["pictures_with_false"] / n <= allowed, figures


@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_demonstration_camera_after_a_codec(model: PersonModel, codec: str) -> None:
    """The officer is there, the empty room and the coat are not taken for him."""
    camera = clips.DispatchRoomCamera(2, None, coat=True)
    for officer, there in (("work", True), ("sleep_desk", True), ("absent", False)):
        pictures = [camera.frame(k / 8, officer) for k in range(16)]  # type: ignore[arg-type]
        seen = [len(model(to_input(p))) for p in codecs.clip(pictures, codec, 500_000, 8)]
        assert np.mean([n > 0 for n in seen[4:]]) == (1.0 if there else 0.0), (officer, seen)
