"""A view over time."""

import numpy as np
import numpy.typing as npt
import pytest

from analytics.vision import view as module
from analytics.vision.reference import Grey, Mode, Reference, grey_of
from analytics.vision.view import (
    CHECK_S,
    CHECKS,
    LEARN_EVERY_S,
    LEARN_PICTURES,
    SHAKE_FRAMES,
    ShakeWatch,
    ViewWatch,
    shakes,
    state_of,
)
from tests.analytics.vision.test_reference import blurred, picture, reference, turned

Picture = npt.NDArray[np.uint8]
ROOM = 1


def looked(watch: ViewWatch, image: Picture, start_s: float, seconds: float, every_s: float = 0.5) -> list[str]:
    return [watch.look(image, start_s + number * every_s) for number in range(int(seconds / every_s))]


@pytest.fixture(scope="module")
def usual() -> Picture:
    return picture(ROOM, "work", 30.0)


def test_the_view_is_learned_once_and_told_once(usual: Picture) -> None:
    watch = ViewWatch({})
    seconds = LEARN_EVERY_S * LEARN_PICTURES + 2 * CHECK_S
    assert set(looked(watch, usual, 1000.0, seconds)) == {"ok"}
    assert [(one.mode, one.judgeable) for one in watch.lessons] == [("day", True)]
    looked(watch, usual, 1000.0 + seconds, 120)
    assert len(watch.lessons) == 1


def test_a_fault_counts_when_it_lasts_and_is_over_when_that_lasts(usual: Picture) -> None:
    watch = ViewWatch({"day": reference(ROOM)})
    moved = turned(usual, 54)
    assert looked(watch, usual, 0.0, 12)[-1] == "ok"
    states = looked(watch, moved, 12.0, 30)
    assert states[0] == "ok"
    assert states[-1] == "moved"
    assert 2 * CHECK_S <= states.index("moved") * 0.5 <= (CHECKS + 1) * CHECK_S
    assert looked(watch, usual, 42.0, 30)[-1] == "ok"


def test_one_odd_picture_is_no_fault(usual: Picture) -> None:
    watch = ViewWatch({"day": reference(ROOM)})
    moved = turned(usual, 54)
    for number in range(20):
        image = moved if number % 3 == 0 else usual
        assert watch.look(image, number * CHECK_S) == "ok"


def test_a_fault_is_never_learned(usual: Picture) -> None:
    watch = ViewWatch({"day": reference(ROOM)})
    assert looked(watch, turned(usual, 54), 0.0, 600, CHECK_S)[-1] == "moved"
    assert watch.lessons == []


def test_the_night_view_is_learned_only_while_the_day_view_fits(usual: Picture) -> None:
    night = np.repeat(usual.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    watch = ViewWatch({"day": reference(ROOM)})
    assert set(looked(watch, night, 0.0, 90, CHECK_S)) == {"ok"}
    assert [one.mode for one in watch.lessons] == ["infrared"]
    other = ViewWatch({"day": reference(ROOM)})
    assert looked(other, turned(night, 54), 0.0, 90, CHECK_S)[-1] == "moved"
    assert other.lessons == []


def test_a_view_with_no_edges_is_told_and_not_judged() -> None:
    wall = np.random.default_rng(1).normal(120, 3, (360, 640, 3)).clip(0, 255).astype(np.uint8)
    watch = ViewWatch({})
    looked(watch, wall, 0.0, 90, CHECK_S)
    assert [one.judgeable for one in watch.lessons] == [False]
    assert looked(watch, picture(ROOM, "work", 30.0), 100.0, 60, CHECK_S)[-1] == "ok"


def test_a_source_whose_clock_jumps_begins_anew(usual: Picture) -> None:
    watch = ViewWatch({"day": reference(ROOM)})
    moved = turned(usual, 54)
    watch.look(moved, 1000.0)
    watch.look(moved, 1003.0)
    assert watch.look(moved, 5.0) == "ok"
    assert watch.look(moved, 8.0) == "ok"
    assert watch.look(moved, 11.0) == "moved"


# --- shaking --------------------------------------------------------------------------------------------------------


def burst(steps: list[tuple[int, int]]) -> list[Grey]:
    image = picture(ROOM, "work", 30.0)
    return [grey_of(np.roll(image, (down * 2, across * 2), axis=(0, 1))) for across, down in steps]


STILL = [(0, 0)] * SHAKE_FRAMES
SHAKEN = [(number % 2 * 3, -(number % 3)) for number in range(SHAKE_FRAMES)]
PANNED = [(number * 2, 0) for number in range(SHAKE_FRAMES)]


def test_a_camera_that_shakes_is_told_from_one_that_is_turned() -> None:
    assert not shakes(burst(STILL))
    assert shakes(burst(SHAKEN))
    assert not shakes(burst(PANNED))


def test_people_who_move_do_not_shake_the_camera() -> None:
    walking = [grey_of(picture(ROOM, "work" if n % 2 else "stand", 30.0 + n)) for n in range(SHAKE_FRAMES)]
    assert not shakes(walking)


def test_two_bursts_running_are_shaking_and_one_still_one_ends_it() -> None:
    watch, taken = ShakeWatch(), 0
    frames = {True: burst(SHAKEN), False: burst(STILL)}
    found = []
    for number in range(500):
        pts_s = number * 0.1
        if watch.wants(pts_s):
            shaken = pts_s < 30
            watch.offer(frames[shaken][taken % SHAKE_FRAMES], pts_s)
            taken += 1
        found.append(watch.shaking())
    assert taken <= 500 * 0.1 / module.SHAKE_EVERY_S * SHAKE_FRAMES + SHAKE_FRAMES
    assert not any(found[:60])
    assert found[100]
    assert not found[-1]


def test_pictures_far_apart_are_no_burst() -> None:
    watch = ShakeWatch()
    for number in range(60):
        if watch.wants(number * 1.0):
            watch.offer(burst(SHAKEN)[number % SHAKE_FRAMES], number * 1.0)
    assert not watch.shaking()


def test_plain_faults_are_told_before_the_view_and_the_view_before_the_shaking() -> None:
    assert state_of("dark", "moved", True) == "dark"
    assert state_of("ok", "moved", True) == "moved"
    assert state_of("ok", "ok", True) == "shaking"
    assert state_of("ok", "ok", False) == "ok"


def test_a_soft_picture_is_blurred_for_as_long_as_it_lasts() -> None:
    references: dict[Mode, Reference] = {"day": reference(ROOM)}
    watch = ViewWatch(references)
    assert looked(watch, blurred(picture(ROOM, "work", 30.0), 3.0), 0.0, 30)[-1] in ("blurred", "blocked")
