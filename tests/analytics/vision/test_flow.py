"""Belts painted by hand: a texture that moves, a lamp that flickers, a camera that shakes."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from analytics.options import DetectorOptions
from analytics.plugin import BurstDetector, Detection
from analytics.vision.flow import FlowDetector, phase_shift
from media.frames import Frame

Image = npt.NDArray[np.uint8]
BELT = ((0.25, 0.5), (0.75, 0.5), (0.75, 0.9), (0.25, 0.9))
RNG = np.random.default_rng(7)
WALL = RNG.uniform(60, 180, (45, 80)).repeat(8, axis=0).repeat(8, axis=1)
COAL = np.clip(RNG.normal(90, 40, (36, 200)).repeat(4, axis=0).repeat(4, axis=1), 0, 255)


def picture(travelled: float, *, noise: float = 3.0, gain: float = 1.0, shake: int = 0, seed: int = 0) -> Image:
    """640 x 360, with the belt in its zone."""
    image = WALL.copy()
    left = round(travelled)
    image[180:324, 160:480] = COAL[:, left : left + 320]
    image = np.roll(image, shake, axis=1) * gain + np.random.default_rng(seed).normal(0, noise, image.shape)
    return np.clip(np.repeat(image[..., None], 3, axis=2), 0, 255).astype(np.uint8)


def burst(step: float, change: Callable[[int], dict[str, float]] = lambda n: {}) -> Detection:
    detector = FlowDetector(DetectorOptions("mine/belt", BELT))
    assert isinstance(detector, BurstDetector)
    frames = [
        Frame("p1/0", n / 25, n / 25, picture(100 + n * step, seed=n + 1, **change(n)), n == 0)  # type: ignore[arg-type]
        for n in range(detector.burst)
    ]
    (found,) = detector.detect_burst(frames)
    return found


@pytest.mark.parametrize("step", [4, 12, 24, -16])
def test_a_moving_belt_is_measured(step: float) -> None:
    found = burst(step)
    assert found.attributes["dx"] == pytest.approx(-step / 2, abs=1.0)
    assert found.attributes["peak"] >= 0.45
    assert found.attributes["shake"] < 0.5


def test_a_stopped_belt_under_a_flickering_lamp_stands_still() -> None:
    found = burst(0, lambda n: {"gain": 1.1 if n % 2 else 0.95})
    assert abs(found.attributes["dx"]) < 0.5
    assert found.attributes["peak"] >= 0.45


def test_a_camera_that_shakes_is_told_beside_it() -> None:
    found = burst(0, lambda n: {"shake": 8 * n})
    assert abs(found.attributes["dx"]) - found.attributes["shake"] < 1.5


def test_a_belt_without_texture_is_not_sure() -> None:
    frames = []
    for number in range(3):
        image = picture(0, seed=number + 1)
        image[180:324, 160:480] = 90 + np.random.default_rng(number).normal(0, 3, (144, 320, 3))
        frames.append(Frame("p1/0", number / 25, number / 25, image, False))
    (found,) = FlowDetector(DetectorOptions("mine/belt", BELT)).detect_burst(frames)
    assert found.attributes["peak"] < 0.45


def test_pictures_far_apart_are_no_burst() -> None:
    frames = [Frame("p1/0", n, n, picture(n * 10), False) for n in range(3)]
    assert list(FlowDetector(DetectorOptions("mine/belt", BELT)).detect_burst(frames)) == []


def test_a_shift_is_found_to_a_part_of_a_pixel() -> None:
    one = RNG.normal(0, 1, (64, 64)).astype(np.float32)
    across, down, sure = phase_shift(one, np.roll(one, (3, -5), axis=(0, 1)))
    assert (across, down) == pytest.approx((-5, 3), abs=0.3)
    assert sure > 0.4
