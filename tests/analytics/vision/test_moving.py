import numpy as np
import numpy.typing as npt

from analytics.options import DetectorOptions
from analytics.plugin import Detection
from analytics.vision.moving import MotionDetector
from media.frames import Frame

BACKGROUND = np.random.default_rng(3).integers(60, 140, (45, 80), np.uint8).repeat(4, axis=0).repeat(4, axis=1)


def scene(*places: tuple[int, int], gain: float = 1.0, seed: int = 0) -> npt.NDArray[np.uint8]:
    image = BACKGROUND.astype(np.float32) * gain
    for x, y in places:
        image[y - 60 : y, x - 12 : x + 12] = 230
    image += np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def watch(pictures: list[npt.NDArray[np.uint8]]) -> list[list[Detection]]:
    detector = MotionDetector(DetectorOptions("mine/tunnel"))
    return [list(detector.detect(Frame("p", n / 5, n / 5, image, False))) for n, image in enumerate(pictures)]


def test_nothing_moves_in_a_still_picture_with_noise() -> None:
    assert not any(watch([scene(seed=n) for n in range(20)]))


def test_who_walks_is_boxed_in_where_he_is() -> None:
    pictures = [scene(seed=n) for n in range(5)] + [scene((60 + 12 * n, 150), seed=n) for n in range(15)]
    found = watch(pictures)
    (one,) = found[-1]
    assert one.label == "moving"
    x0, _, x1, y1 = one.box
    assert abs((x0 + x1) / 2 - (60 + 12 * 14) / 320) < 0.05
    assert abs(y1 - 150 / 180) < 0.05


def test_two_are_two_and_a_lamp_is_none() -> None:
    pictures = [scene(seed=n) for n in range(5)] + [scene((60, 150), (240, 160), seed=9)]
    assert len(watch(pictures)[-1]) == 2
    assert watch([scene(seed=1), scene(seed=2), scene(gain=1.6, seed=3), scene(gain=1.6, seed=4)])[2:] == [[], []]
