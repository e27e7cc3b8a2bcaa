"""Views of rendered rooms: as set up, and with everything that happens to cameras."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFilter

from analytics.training.clips import DispatchRoomCamera
from analytics.training.room import Officer
from analytics.vision.reference import (
    MAX_PNG_BYTES,
    Reference,
    ReferenceRefused,
    grey_of,
    mode_of,
    shake_of,
)

Picture = npt.NDArray[np.uint8]
CACHE = Path(__file__).parents[3] / ".state" / "demo-cache"
ROOMS = (1, 2)


@lru_cache
def picture(room: int, officer: Officer, at_s: float) -> Picture:
    return DispatchRoomCamera(room, CACHE).picture(at_s, officer)


@lru_cache
def reference(room: int) -> Reference:
    return Reference.of([grey_of(picture(room, "work", at_s)) for at_s in (20.0, 23.0, 26.0)])


def turned(image: Picture, px: int) -> Picture:
    """As if the camera looked further to the side; what comes in at the edge is new."""
    wide = np.concatenate([image[:, px:], image[:, ::-1][:, :px]], axis=1)
    return np.ascontiguousarray(wide)


def blurred(image: Picture, sigma: float) -> Picture:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma * image.shape[1] / 320)))


def covered(image: Picture, share: float) -> Picture:
    changed = image.copy()
    changed[:, : round(image.shape[1] * share)] = 90
    return changed


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("officer", ["work", "absent", "sleep_desk", "stand"])
def test_whatever_the_officer_does_the_view_is_the_same(room: int, officer: Officer) -> None:
    assert reference(room).judgeable
    for at_s in (30.0, 33.0):
        assert reference(room).judge(grey_of(picture(room, officer, at_s))) == "ok"


@pytest.mark.parametrize("room", ROOMS)
def test_dimmed_lamps_and_infrared_are_the_same_view(room: int) -> None:
    image = picture(room, "work", 30.0)
    dimmed = (image * 0.6).astype(np.uint8)
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    assert reference(room).judge(grey_of(dimmed)) == "ok"
    assert reference(room).judge(grey_of(grey)) == "ok"
    assert (mode_of(image), mode_of(grey)) == ("day", "infrared")


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("px", [10, 22, 54, 160])
def test_a_camera_that_was_turned_is_seen(room: int, px: int) -> None:
    assert reference(room).judge(grey_of(turned(picture(room, "work", 30.0), px))) == "moved"


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("sigma", [3.0, 4.0])
def test_a_picture_out_of_focus_is_seen(room: int, sigma: float) -> None:
    assert reference(room).judge(grey_of(blurred(picture(room, "work", 30.0), sigma))) in ("blurred", "blocked")


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("share", [0.5, 0.7, 0.95])
def test_a_lens_that_is_half_covered_is_seen(room: int, share: float) -> None:
    assert reference(room).judge(grey_of(covered(picture(room, "work", 30.0), share))) == "blocked"


def test_another_room_is_another_view() -> None:
    for one, other in ((1, 2), (2, 1)):
        assert reference(one).judge(grey_of(picture(other, "work", 30.0))) == "moved"


def test_a_blank_wall_cannot_be_judged_and_says_so() -> None:
    wall = np.random.default_rng(1).normal(120, 3, (360, 640, 3)).clip(0, 255).astype(np.uint8)
    assert not Reference.of([grey_of(wall)]).judgeable


def test_a_reference_survives_its_file() -> None:
    again = Reference.from_png(reference(1).png())
    assert len(reference(1).png()) < MAX_PNG_BYTES
    assert np.abs(again.grey - reference(1).grey).max() <= 0.51
    assert again.judge(grey_of(picture(1, "stand", 30.0))) == "ok"


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(99), bytes(MAX_PNG_BYTES + 1)])
def test_what_is_no_reference_is_refused(data: bytes) -> None:
    with pytest.raises(ReferenceRefused):
        Reference.from_png(data)


def test_the_whole_pictures_movement_is_measured() -> None:
    image = picture(1, "work", 30.0)
    across, down, peak = shake_of(grey_of(image), grey_of(np.roll(image, (4, -6), axis=(0, 1))))
    assert (across, down) == (-3.0, 2.0)
    assert peak > 0.5
