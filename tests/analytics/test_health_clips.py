"""The nine cases of a camera's picture (0001 to 0009), each in a clip that went through H.264 and back."""

import base64
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from analytics.messages import Watch
from analytics.plugin import Detection
from analytics.rules.camera import SizeWatch
from analytics.runner import CameraRunner
from media.frames import Frame
from tests.analytics.vision.test_reference import Picture, blurred, covered, picture, reference, turned
from tests.fakes.clips import encode

RATE = 4
SECONDS = 20


class Nobody:
    """A detector that counts how often it is asked."""

    name: ClassVar[str] = "absence"
    frames_per_s: ClassVar[float] = 2.0

    def __init__(self) -> None:
        self.asked = 0

    def detect(self, frame: Frame) -> list[Detection]:
        self.asked += 1
        return []


def usual() -> Picture:
    """320 x 180."""
    return np.asarray(Image.fromarray(picture(1, "work", 30.0)).resize((320, 180), Image.Resampling.BOX))


def noisy(image: Picture, number: int) -> Picture:
    return np.clip(image + np.random.default_rng(number).normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def gained(gain: float) -> Callable[[Picture, int], Picture]:
    return lambda image, number: noisy(np.clip(image * gain, 0, 255).astype(np.uint8), number)


FAULTS: dict[str, tuple[str, Callable[[Picture, int], Picture]]] = {
    "0001": ("blocked", lambda image, number: noisy(covered(image, 0.6), number)),
    "0002": ("moved", lambda image, number: noisy(turned(image, 54), number)),
    "0003": ("dark", gained(0.06)),
    "0004": ("overexposed", gained(6.0)),
    "0005": ("blurred", lambda image, number: noisy(blurred(image, 3.0), number)),
    "0006": ("frozen", lambda image, number: image),
    "0008": ("shaking", lambda image, number: noisy(np.roll(image, (number % 3 * 4, number % 2 * 6), (0, 1)), number)),
}


def states(change: Callable[[Picture, int], Picture], rate: int = RATE, key_every: int = 0) -> tuple[list[str], Nobody]:
    png = base64.b64encode(reference(1).png()).decode()
    watch = Watch(camera="mine-1/room", track="p1/0", detector="absence", references={"day": png})
    camera = CameraRunner(watch, 2.0)
    camera.detector = detector = Nobody()
    pictures = [change(usual(), number) for number in range(rate * SECONDS)]
    found: list[str] = []
    for unit in encode(pictures, "H264", rate=rate, key_every=key_every or rate * 3):
        camera.decode([unit])
        if (waiting := camera.take_waiting()) is not None:
            found.append(camera.look(*waiting)[0])
    return found, detector


@pytest.mark.parametrize("case", sorted(FAULTS))
def test_a_fault_of_the_picture_is_told_by_its_name_and_no_detector_is_asked(case: str) -> None:
    name, change = FAULTS[case]
    found, detector = states(change, 8 if name == "shaking" else RATE, 1000 if name == "frozen" else 0)
    assert found[-8:] == [name] * 8
    assert detector.asked == found.count("ok")


def test_a_healthy_picture_is_ok_from_the_first_to_the_last() -> None:
    found, detector = states(noisy)
    assert set(found) == {"ok"}
    assert detector.asked == len(found)


def test_0007_no_picture_is_decoded_from_what_is_none() -> None:
    camera = CameraRunner(Watch(camera="mine-1/room", track="p1/0", detector="absence"), 2.0)
    for unit in list(encode([usual()] * 20, "H264", rate=RATE, key_every=20))[1:]:
        assert camera.decode([unit]) == 0
    assert camera.take_waiting() is None
    assert camera.starving_s > 4


def test_0009_another_size_is_told_once_and_over_when_it_is_right_again() -> None:
    watch = SizeWatch("mine-1", "room", (320, 180))
    camera = CameraRunner(Watch(camera="mine-1/room", track="p1/0", detector="absence"), 2.0)
    told = []
    for start_s, step in ((100.0, 1), (200.0, 2), (300.0, 1)):
        clip = [noisy(np.ascontiguousarray(usual()[::step, ::step]), n) for n in range(8)]
        for unit in encode(clip, "H264", rate=RATE, start_s=start_s):
            camera.decode([unit])
            if (waiting := camera.take_waiting()) is not None:
                told += watch.look(waiting[0].size, start_s)
    assert [(one.rule, one.change) for one in told] == [
        ("camera_resolution", "raised"), ("camera_resolution", "cleared"),
    ]  # fmt: skip
    assert told[0].explain["registered"] == [320, 180]
    assert told[0].title_en == "room: sends 160×90, registered is 320×180"


def test_0009_goes_on_with_an_alert_of_before_a_restart() -> None:
    watch = SizeWatch("mine-1", "room", (320, 180), open_alerts={"mine-1/camera_resolution/room"})
    assert watch.look((80, 45), 1.0) == []
    assert watch.look((0, 0), 2.0) == []
    assert [one.change for one in watch.look((320, 180), 3.0)] == ["cleared"]
