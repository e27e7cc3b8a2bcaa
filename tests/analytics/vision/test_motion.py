import numpy as np
import numpy.typing as npt
import pytest

from analytics.messages import Seen
from analytics.vision.motion import MotionMeter, with_motion

DESK = (0.4, 0.3, 0.6, 0.8)


def room(rng: np.random.Generator | None = None, *, noise: float = 0.0, patch: int = 0) -> npt.NDArray[np.uint8]:
    """Grey 640 x 360, with noise, and a bright patch at the desk whose place is `patch` pixels to the right."""
    image = np.full((360, 640, 3), 100.0)
    if rng is not None:
        image += rng.normal(0, noise, image.shape)
    image[150:210, 280 + patch : 340 + patch] += 80
    picture: npt.NDArray[np.uint8] = np.clip(image, 0, 255).astype(np.uint8)
    return picture


def test_the_first_picture_has_nothing_to_be_compared_with() -> None:
    assert MotionMeter().measure(room(), 0.0, [DESK]) is None


def test_a_still_picture_has_no_motion() -> None:
    meter = MotionMeter()
    meter.measure(room(), 0.0, [DESK])
    assert meter.measure(room(), 0.5, [DESK]) == [0.0]


def test_motion_is_the_share_of_the_box_that_changed() -> None:
    meter = MotionMeter()
    meter.measure(room(), 0.0, [DESK])
    shares = meter.measure(room(patch=20), 0.5, [DESK, (0.0, 0.0, 0.2, 0.2)])
    assert shares is not None
    # Two strips of 20 x 60 pixels, a little wider for the blur, in a box of 128 x 180.
    assert shares[0] == pytest.approx(2 * 20 * 60 / (128 * 180), abs=0.04)
    assert shares[1] == 0.0


def test_ordinary_sensor_noise_is_no_motion() -> None:
    rng = np.random.default_rng(1)
    meter = MotionMeter()
    shares = [meter.measure(room(rng, noise=5), 0.5 * k, [DESK]) for k in range(10)]
    assert all(one == [0.0] for one in shares[1:])
    assert meter.noise == 0.0


def test_the_noise_of_a_night_camera_is_told_and_does_not_hide_a_move() -> None:
    rng = np.random.default_rng(2)
    meter = MotionMeter()
    still = [meter.measure(room(rng, noise=40), 0.5 * k, [DESK]) for k in range(40)][-1]
    moved = meter.measure(room(rng, noise=40, patch=20), 20.0, [DESK])
    assert still is not None
    assert moved is not None
    assert meter.noise > 0.01
    assert still[0] < 2 * meter.noise
    assert moved[0] > still[0] + 0.05


def test_somebody_walking_by_does_not_raise_the_noise() -> None:
    meter = MotionMeter()
    for k in range(60):
        meter.measure(room(patch=150 + 20 * (k % 2) if k % 3 == 0 else 150), 0.5 * k, [DESK])
    assert meter.noise == 0.0


@pytest.mark.parametrize("pts_s", [0.0, -3.0, 60.0])
def test_pictures_that_do_not_follow_each_other_are_not_compared(pts_s: float) -> None:
    meter = MotionMeter()
    meter.measure(room(), 0.0, [DESK])
    assert meter.measure(room(patch=20), pts_s, [DESK]) is None


def test_nothing_is_compared_over_an_unusable_picture_nor_with_another_size() -> None:
    meter = MotionMeter()
    meter.measure(room(), 0.0, [DESK])
    meter.forget()
    assert meter.measure(room(patch=20), 0.5, [DESK]) is None
    assert meter.measure(room()[::2, ::2][:100], 1.0, [DESK]) is None


def test_boxes_at_the_edge_and_empty_ones_are_measured() -> None:
    meter = MotionMeter()
    boxes = [(1.0, 1.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0), (0.5, 0.5, 0.5, 0.5)]
    meter.measure(room(), 0.0, boxes)
    shares = meter.measure(room(patch=20), 0.5, boxes)
    assert shares is not None
    assert all(0 <= share <= 1 for share in shares)


def test_only_persons_are_given_the_figures() -> None:
    seen = [Seen(label="lamp", score=0.9, box=DESK), Seen(label="person", score=0.9, box=DESK, attributes={"a": 1.0})]
    told = with_motion(seen, [0.25], 0.01)
    assert told[0].attributes == {}
    assert told[1].attributes == {"a": 1.0, "motion": 0.25, "noise": 0.01}
    assert with_motion(seen, None, 0.01) == tuple(seen)
