"""The scene description: the same seed gives the same room, whatever the officer does in it."""

import numpy as np
import pytest

from analytics.training.figure import POSTURES
from analytics.training.room import DOOR, dispatch_room
from analytics.training.scene import PERSON_ID, Box, Camera, Capsule, Primitive, Scene


def numbers(prim: Primitive) -> list[float]:
    if isinstance(prim, Box):
        return [*prim.centre, *prim.half, *prim.rotation.ravel(), *prim.colour, prim.id, prim.seed]
    return [*prim.p0, *prim.p1, prim.radius, *prim.colour, prim.id]


def flat(scene: Scene) -> list[list[float]]:
    return [numbers(p) for p in scene.primitives]


def room_of(scene: Scene) -> list[Primitive]:
    return [p for p in scene.primitives if p.id < PERSON_ID]


@pytest.mark.parametrize("seed", [0, 7, 1234])
def test_same_seed_gives_the_same_scene(seed: int) -> None:
    assert flat(dispatch_room(seed, t=3.5)) == flat(dispatch_room(seed, t=3.5))


def test_another_seed_gives_another_scene() -> None:
    assert flat(dispatch_room(1)) != flat(dispatch_room(2))


@pytest.mark.parametrize("officer", ["work", "write", "sleep_desk", "stand"])
def test_the_room_does_not_depend_on_the_officer(officer: str) -> None:
    one = dispatch_room(5, officer="work", coat=False, others=0)
    two = dispatch_room(5, officer=officer, coat=False, others=0)  # type: ignore[arg-type]
    assert [numbers(p) for p in room_of(one)] == [numbers(p) for p in room_of(two)]
    assert np.array_equal(one.camera.position, two.camera.position)


def test_time_moves_persons_only() -> None:
    one, two = dispatch_room(5, officer="work", t=0), dispatch_room(5, officer="work", t=1.7)
    assert [numbers(p) for p in room_of(one)] == [numbers(p) for p in room_of(two)]
    assert flat(one) != flat(two)


def test_a_sleeper_only_breathes() -> None:
    still = [dispatch_room(5, officer="sleep_desk", others=0, t=t).persons[0].joints for t in (0.0, 1.0, 2.0)]
    awake = [dispatch_room(5, officer="work", others=0, t=t).persons[0].joints for t in (0.0, 1.0, 2.0)]
    assert 0 < max(np.abs(still[0] - s).max() for s in still) < 0.015
    assert max(np.abs(awake[0] - a).max() for a in awake) > 0.02


@pytest.mark.parametrize("style", ["office", "hall"])
def test_the_camera_is_always_inside_the_room(style: str) -> None:
    for seed in range(60):
        scene = dispatch_room(seed, style=style)  # type: ignore[arg-type]
        floor, ceiling = scene.primitives[:2]
        assert isinstance(floor, Box)
        assert isinstance(ceiling, Box)
        p = scene.camera.position
        assert np.all(np.abs(p[:2] - floor.centre[:2]) < floor.half[:2] - 0.1)
        assert 1.8 < p[2] < ceiling.centre[2]


def test_persons_and_postures_are_told() -> None:
    seen = set()
    for seed in range(80):
        scene = dispatch_room(seed)
        assert len(scene.persons) == len({p.id for p in scene.primitives if p.id >= PERSON_ID}) <= 3
        seen |= {p.posture for p in scene.persons}
        assert all(p.joints.shape == (17, 3) for p in scene.persons)
    assert seen == set(POSTURES)


def test_walking_leads_from_the_door_to_the_seat() -> None:
    def place(walk: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        scene = dispatch_room(9, officer="stand", walk=walk, others=0)
        return np.asarray(scene.persons[0].joints.mean(0)[:2])

    room = dispatch_room(9, officer="work", others=0)
    door = room.primitives[DOOR]
    assert isinstance(door, Box)
    assert np.linalg.norm(place(0.0) - door.centre[:2]) < 0.8
    assert np.linalg.norm(place(1.0) - room.persons[0].joints.mean(0)[:2]) < 1.5


def test_a_point_on_the_line_of_sight_projects_to_the_middle() -> None:
    camera = Camera(np.array([1.0, 2.0, 2.5]), np.array([3.0, 3.0, 1.0]), 60, 5)
    x, y, depth = camera.project(camera.target[None], (320, 180))[0]
    assert (x, y) == pytest.approx((160, 90))
    assert depth == pytest.approx(np.linalg.norm(camera.target - camera.position))


def test_every_figure_is_made_of_capsules() -> None:
    for officer in POSTURES:
        scene = dispatch_room(3, officer=officer, others=0)  # type: ignore[arg-type]
        parts = [p for p in scene.primitives if p.id == PERSON_ID]
        assert len(parts) > 15
        assert all(isinstance(p, Capsule) for p in parts)
