"""Demonstration cameras: the same pictures every time, drawn once, and an officer who can be seen to leave."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from analytics.training.clips import OFFICERS, DispatchRoomCamera, MineCamera, clear_view, mine_scene
from analytics.training.room import dispatch_room

SIZE = (160, 90)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips")
    DispatchRoomCamera(2, path, SIZE).warm_up()
    return path


def apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Share of pixels that differ by more than noise does."""
    return float((np.abs(a.astype(int) - b.astype(int)).max(2) > 40).mean())


def test_pictures_have_the_size_asked_for(folder: Path) -> None:
    picture = DispatchRoomCamera(2, folder, SIZE).picture(0.0, "work")
    assert picture.shape == (90, 160, 3)
    assert picture.dtype == np.uint8


def test_a_warm_cache_draws_nothing(folder: Path) -> None:
    camera = DispatchRoomCamera(2, folder, SIZE)
    calls: list[tuple[int, int]] = []
    camera.warm_up(lambda done, of: calls.append((done, of)))
    for k in range(200):
        camera.picture(k / 10, OFFICERS[k // 40 % len(OFFICERS)])
    assert camera.drawn == 0
    assert calls[-1][0] == calls[-1][1] == len(calls) <= 90


def test_two_cameras_show_the_same_pictures(folder: Path) -> None:
    one, two = DispatchRoomCamera(2, folder, SIZE), DispatchRoomCamera(2, None, SIZE)
    for t, officer in ((0.0, "work"), (1.3, "work"), (2.0, "absent"), (4.0, "absent"), (9.0, "sleep_desk")):
        assert np.array_equal(one.picture(t, officer), two.picture(t, officer))


def test_noise_differs_from_picture_to_picture_and_nothing_else_in_an_empty_room(folder: Path) -> None:
    camera = DispatchRoomCamera(2, folder, SIZE)
    a, b = camera.picture(10.0, "absent"), camera.picture(10.1, "absent")
    assert not np.array_equal(a, b)
    assert apart(a, b) < 0.001


def test_the_officer_is_seen_to_leave_and_to_return(folder: Path) -> None:
    camera = DispatchRoomCamera(2, folder, SIZE)
    empty = camera.frame(0.0, "absent")
    assert apart(camera.picture(0.0, "work"), empty) > 0.01
    on_the_way = [apart(camera.picture(t, "absent"), empty) for t in (1.0, 1.5, 2.0, 2.5)]
    assert max(on_the_way) > 0.01
    assert apart(camera.picture(20.0, "absent"), empty) < 0.001
    camera.picture(30.0, "work")
    assert apart(camera.picture(30.0 + 2.0, "work"), camera.frame(32.0, "work")) > 0.005
    assert apart(camera.picture(40.0, "work"), camera.frame(40.0, "work")) == 0


def test_an_officer_who_works_moves_and_a_sleeper_hardly_does(folder: Path) -> None:
    camera = DispatchRoomCamera(2, folder, SIZE)

    def movement(officer: str) -> float:
        frames = [camera.frame(t, officer).astype(int) for t in np.arange(0, 4, 0.5)]  # type: ignore[arg-type]
        return float(np.mean([np.abs(a - b).mean() for a, b in pairwise(frames)]))

    still = movement("absent")
    assert movement("work") - still > 3 * max(0.0, movement("sleep_desk") - still)


def test_an_unknown_state_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="officer must be one of"):
        DispatchRoomCamera(2, folder, SIZE).picture(0.0, "dancing")


def test_the_view_is_found_anew_each_time_alike() -> None:
    first = clear_view(3)
    clear_view.cache_clear()
    assert np.array_equal(first.position, clear_view(3).position)
    assert dispatch_room(3, camera=first).camera is first


def test_the_belt_runs_and_the_cage_leaves(tmp_path: Path) -> None:
    belt = MineCamera("belt", tmp_path, SIZE)
    assert apart(belt.picture(0.0), belt.picture(0.25)) > 0.002
    cage = MineCamera("shaft", tmp_path, SIZE)
    assert apart(cage.picture(0.0), cage.picture(20.0)) > 0.05
    assert np.array_equal(mine_scene("shaft", 1.0, SIZE), mine_scene("shaft", 1.0, SIZE))
