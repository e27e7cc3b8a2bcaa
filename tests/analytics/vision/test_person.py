from pathlib import Path

import numpy as np
import pytest

from analytics.onnx import SHIPPED
from analytics.options import DetectorOptions
from analytics.vision.absence import AbsenceDetector
from analytics.vision.person import fit
from media.frames import Frame
from tests.fakes import onnxfile


def picture(size: tuple[int, int], *squares: tuple[float, float]) -> Frame:
    """Grey, with red squares of the model's size around these places (0 to 1)."""
    width, height = size
    image = np.full((height, width, 3), 128, np.uint8)
    side = onnxfile.SQUARE_PX * max(width / 256, height / 144) / 2
    for x, y in squares:
        left, right = round(x * width - side), round(x * width + side)
        image[round(y * height - side) : round(y * height + side), left:right] = (255, 0, 0)
    return Frame("p1/0", 0.0, 0.0, image)


@pytest.fixture
def detector(tmp_path: Path) -> AbsenceDetector:
    return AbsenceDetector(DetectorOptions("mine-1/room", model=onnxfile.write(tmp_path)))


@pytest.mark.parametrize("size", [(256, 144), (1280, 720), (640, 480), (480, 640), (160, 90)])
def test_boxes_come_back_in_shares_of_the_picture_whatever_its_shape(
    detector: AbsenceDetector, size: tuple[int, int]
) -> None:
    [found] = detector.detect(picture(size, (0.5, 0.5)))
    x0, y0, x1, y1 = found.box
    scale = max(size[0] / 256, size[1] / 144)
    assert (x0 + x1) / 2 == pytest.approx(0.5, abs=0.04)
    assert (y0 + y1) / 2 == pytest.approx(0.5, abs=0.04)
    assert (x1 - x0) * size[0] == pytest.approx(40 * scale, rel=0.1)
    assert (y1 - y0) * size[1] == pytest.approx(40 * scale, rel=0.1)


def test_two_persons_are_two(detector: AbsenceDetector) -> None:
    assert len(detector.detect(picture((1280, 720), (0.25, 0.5), (0.75, 0.5)))) == 2


def test_an_empty_room_is_empty(detector: AbsenceDetector) -> None:
    assert list(detector.detect(picture((1280, 720)))) == []


def test_postures_and_head_are_told(detector: AbsenceDetector) -> None:
    [found] = detector.detect(picture((1280, 720), (0.5, 0.5)))
    assert found.label == "person"
    assert found.attributes["posture.work"] == pytest.approx(0.834, abs=0.01)
    assert found.attributes["head.x"] == pytest.approx(0.5, abs=0.05)


def test_the_cards_threshold_holds_unless_the_options_say_otherwise(tmp_path: Path) -> None:
    path = onnxfile.write(tmp_path, threshold=0.99)
    frame = picture((1280, 720), (0.5, 0.5))
    assert list(AbsenceDetector(DetectorOptions("mine-1/room", model=path)).detect(frame)) == []
    assert len(AbsenceDetector(DetectorOptions("mine-1/room", model=path, threshold=0.5)).detect(frame)) == 1


def test_a_picture_is_fitted_without_bending_it() -> None:
    image = np.full((480, 640, 3), 200, np.uint8)
    fitted, placed = fit(image, (256, 144))
    assert fitted.shape == (144, 256, 3)
    assert placed == (32, 0, 192, 144)
    assert (fitted[:, 32:224] == 200).all()
    assert (fitted[:, :32] == 114).all()


def test_the_shipped_model_says_nothing_about_plain_grey() -> None:
    if not SHIPPED.exists():
        pytest.skip("no model in this tree")
    detector = AbsenceDetector(DetectorOptions("mine-1/room"))
    assert list(detector.detect(picture((1280, 720)))) == []
