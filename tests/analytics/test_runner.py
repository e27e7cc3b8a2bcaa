import base64
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from analytics.errors import BrokenOutput
from analytics.messages import Watch
from analytics.plugin import Detection
from analytics.runner import MAX_DETECTIONS, MAX_QUEUED_UNITS, CameraRunner, checked
from analytics.vision.reference import Reference, grey_of
from media.frames import Frame
from media.tap import AccessUnit
from tests.analytics.vision.test_reference import Picture, picture, reference, turned
from tests.fakes.clips import encode, scene

BOX = (0.1, 0.1, 0.2, 0.2)


def runner(frames_per_s: float = 2.0) -> CameraRunner:
    return CameraRunner(Watch(camera="mine-1/room", track="p1/0", detector="absence"), frames_per_s)


def clip(seconds: int, rate: int = 10, key_every: int = 20) -> list[AccessUnit]:
    return list(encode([scene(n / rate) for n in range(seconds * rate)], "VP8", rate=rate, key_every=key_every))


@pytest.mark.parametrize("rate", [3, 7, 10, 15])
@pytest.mark.parametrize("wanted", [0.5, 1.0, 2.0])
def test_pictures_are_taken_at_the_wanted_rate_whatever_the_cameras(rate: int, wanted: float) -> None:
    camera = runner(wanted)
    taken = []
    for unit in clip(8, rate):
        camera.decode([unit])
        if (waiting := camera.take_waiting()) is not None:
            taken.append(waiting[0].pts_s)
    assert len(taken) == pytest.approx(8 * wanted, abs=1)
    assert camera.take_skipped() == 8 * rate - len(taken)


def test_the_newest_picture_wins() -> None:
    camera = runner()
    units = clip(4)
    camera.decode(units)
    waiting = camera.take_waiting()
    assert waiting is not None
    assert waiting[0].pts_s == pytest.approx(103.5, abs=0.11)
    assert camera.take_waiting() is None
    assert camera.take_skipped() == len(units) - 1
    assert camera.take_skipped() == 0


class _AtTheDesk:
    """A detector that sees a person in every picture."""

    name: ClassVar[str] = "absence"
    frames_per_s: ClassVar[float] = 2.0

    def detect(self, frame: Frame) -> list[Detection]:
        assert frame.image.size
        return [Detection("person", 0.9, (0.2, 0.2, 0.8, 0.8), {"posture.work": 1.0})]


class _Belt:
    """A detector that wants three pictures in a row."""

    name: ClassVar[str] = "belt"
    frames_per_s: ClassVar[float] = 2.0
    burst: ClassVar[int] = 3

    def detect(self, frame: Frame) -> list[Detection]:
        raise AssertionError("one picture was given")

    def detect_burst(self, frames: Sequence[Frame]) -> list[Detection]:
        steps = {f"step{n}": b.pts_s - a.pts_s for n, (a, b) in enumerate(pairwise(frames))}
        return [Detection("flow", 1.0, BOX, steps)]


def test_a_detector_of_bursts_is_given_successive_pictures_at_its_rate() -> None:
    camera = CameraRunner(Watch(camera="mine-1/belt", track="p1/0", detector="belt", frames_per_s=1.0), 25.0)
    camera.detector = _Belt()
    given = []
    for unit in clip(6):
        camera.decode([unit])
        if (waiting := camera.take_waiting()) is not None:
            _, (seen,) = camera.look(*waiting)
            given.append(seen.attributes)
    assert len(given) == pytest.approx(6, abs=1)
    assert all(list(steps.values()) == pytest.approx([0.1, 0.1]) for steps in given)
    assert camera.take_skipped() == pytest.approx(60 - 3 * len(given), abs=2)


def test_persons_are_told_with_their_motion_from_the_second_picture_on() -> None:
    camera = runner()
    camera.detector = _AtTheDesk()
    attributes = []
    for unit in clip(4):
        camera.decode([unit])
        if (waiting := camera.take_waiting()) is not None:
            _, (seen,) = camera.look(*waiting)
            attributes.append(seen.attributes)
    assert attributes[0] == {"posture.work": 1.0}
    assert all(set(one) == {"posture.work", "motion", "noise"} for one in attributes[1:])
    assert all(0 <= one["motion"] <= 1 for one in attributes[1:])


def test_a_queue_that_overflows_is_emptied_and_marks_the_gap() -> None:
    camera = runner()
    unit = AccessUnit("p1/0", "VP8", False, False, 0, 0.0, b"x" * 100)
    for _ in range(MAX_QUEUED_UNITS + 1):
        camera.queue(unit)
    [left] = camera.take_units(1000)
    assert left.after_gap
    assert camera.take_skipped() == MAX_QUEUED_UNITS


def test_a_queue_holds_so_many_bytes_and_no_more() -> None:
    camera = runner()
    for _ in range(100):
        camera.queue(AccessUnit("p1/0", "VP8", False, False, 0, 0.0, bytes(1 << 20)))
        assert sum(len(u.data) for u in camera._units) <= 16 << 20


def test_a_jump_of_the_sources_clock_is_a_new_beginning() -> None:
    camera = runner()
    for start_s in (100.0, 5_000.0, 20.0):
        for unit in encode([scene(n / 10) for n in range(10)], "VP8", start_s=start_s):
            camera.decode([unit])
        waiting = camera.take_waiting()
        assert waiting is not None
        assert waiting[0].pts_s == pytest.approx(start_s + 0.5, abs=0.11)


def test_starving_is_told_and_ends_with_a_key_frame() -> None:
    camera = runner()
    units = clip(4, key_every=30)
    camera.decode(units[1:25])
    assert camera.starving_s == pytest.approx(2.3, abs=0.01)
    camera.decode(units[25:])
    assert camera.starving_s == 0


GOOD = Detection("person", 0.5, BOX, {"posture.work": 1.0})


def test_good_detections_pass_and_boxes_are_cut_to_the_picture() -> None:
    [seen] = checked([Detection("person", 0.5, (-0.01, 0.2, 1.02, 0.9), {"a": 1})])
    assert seen.box == (0.0, 0.2, 1.0, 0.9)
    assert seen.attributes == {"a": 1.0}
    [numpy_seen] = checked([Detection("person", np.float32(0.5), tuple(np.float32(v) for v in BOX))])  # type: ignore[arg-type]
    assert numpy_seen.score == 0.5


@pytest.mark.parametrize(
    "found",
    [
        None,
        7,
        [None],
        [{"label": "person"}],
        [GOOD] * (MAX_DETECTIONS + 1),
        [Detection("person", float("nan"), BOX)],
        [Detection("person", 2.0, BOX)],
        [Detection("person", 0.5, (0.2, 0.1, 0.1, 0.2))],
        [Detection("person", 0.5, (0.1, 0.1, float("inf"), 0.2))],
        [Detection("person", 0.5, (0.1, 0.1, 0.2))],  # type: ignore[arg-type]
        [Detection("person", 0.5, ("a", "b", "c", "d"))],  # type: ignore[arg-type]
        [Detection("x" * 65, 0.5, BOX)],
        [Detection("person", 0.5, BOX, {"a": float("nan")})],
        [Detection("person", 0.5, BOX, {f"a{n}": 0.0 for n in range(65)})],
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_no_detection_is_refused(found: object) -> None:
    with pytest.raises(BrokenOutput):
        checked(found)  # type: ignore[arg-type]


def noisy(image: Picture, number: int) -> Picture:
    """As a sensor sees it: no two pictures are equal."""
    noise = np.random.default_rng(number).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def told(camera: CameraRunner, units: list[AccessUnit]) -> list[str]:
    """The state of each picture that is looked at."""
    states: list[str] = []
    for unit in units:
        camera.decode([unit])
        if (waiting := camera.take_waiting()) is not None:
            states.append(camera.look(*waiting)[0])
    return states


def test_a_camera_that_was_turned_is_told_by_its_reference_and_asks_no_detector() -> None:
    usual, moved = picture(1, "work", 30.0), turned(picture(1, "work", 30.0), 54)
    png = base64.b64encode(reference(1).png()).decode()
    watch = Watch(camera="mine-1/room", track="p1/0", detector="absence", references={"day": png})
    camera = CameraRunner(watch, 2.0)
    camera.detector = _AtTheDesk()
    units = list(encode([noisy(usual if n < 15 else moved, n) for n in range(35)], "H264", rate=1, key_every=5))
    states = told(camera, units)
    assert set(states[:15]) == {"ok"}
    assert states[-1] == "moved"
    assert camera.take_lessons() == []


def test_the_first_view_is_learned_and_told() -> None:
    camera = CameraRunner(Watch(camera="mine-1/room", track="p1/0", detector="absence"), 2.0)
    units = list(encode([noisy(picture(1, "work", 30.0), n) for n in range(60)], "H264", rate=1, key_every=10))
    assert set(told(camera, units)) == {"ok"}
    (lesson,) = camera.take_lessons()
    assert (lesson.mode, lesson.judgeable) == ("day", True)
    assert Reference.from_png(lesson.png).judge(grey_of(picture(1, "stand", 30.0))) == "ok"


def test_a_camera_that_shakes_is_told() -> None:
    still = picture(1, "work", 30.0)
    shaken = [np.roll(still, (number % 3 * 4, number % 2 * 6), axis=(0, 1)) for number in range(6)]
    camera = CameraRunner(Watch(camera="mine-1/room", track="p1/0", detector="absence"), 2.0)
    units = list(encode([shaken[number % 6] for number in range(150)], "H264", rate=10))
    assert told(camera, units)[-1] == "shaking"
