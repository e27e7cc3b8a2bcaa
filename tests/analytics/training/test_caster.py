"""The NumPy ray caster against geometry that can be worked out by hand."""

import numpy as np
import pytest

from analytics.training.caster import cast, draw
from analytics.training.room import dispatch_room
from analytics.training.scene import PERSON_ID, Box, Camera, Capsule, Light, Primitive, Scene

CAMERA = Camera(np.array([0.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), 60)
LIGHT = Light(np.array([0.0, 0.0, 5.0]))
GREY = (0.5, 0.5, 0.5)
MIDDLE = (45, 80)
SIZE = (160, 90)


def scene(*primitives: Primitive, light: Light = LIGHT) -> Scene:
    return Scene(0, primitives, CAMERA, light)


def box(y: float, half: float, id: int) -> Box:
    return Box(np.array([0.0, y, 0.0]), np.full(3, half), np.eye(3), GREY, id)


def test_depth_of_a_box_is_exact() -> None:
    drawn = draw(scene(box(4, 0.5, 7)), SIZE)
    assert drawn.depth[MIDDLE] == pytest.approx(3.5, abs=1e-4)
    assert drawn.ids[MIDDLE] == 7
    assert drawn.ids[0, 0] == 0


def test_depth_of_a_capsule_is_exact() -> None:
    lying = Capsule(np.array([-1.0, 3.0, 0.0]), np.array([1.0, 3.0, 0.0]), 0.25, GREY, 8)
    drawn = draw(scene(lying), SIZE)
    assert drawn.depth[MIDDLE] == pytest.approx(2.75, abs=2e-3)
    assert drawn.ids[MIDDLE] == 8


def test_a_sphere_covers_as_many_pixels_as_it_should() -> None:
    ball = Capsule(np.array([0.0, 4.0, 0.0]), np.array([0.0, 4.0, 0.0]), 0.5, GREY, 9)
    seen = (draw(scene(ball), SIZE).ids == 9).sum()
    focal = SIZE[0] / 2 / np.tan(np.radians(30))
    radius = focal * 0.5 / np.sqrt(16 - 0.25)
    assert seen == pytest.approx(np.pi * radius**2, rel=0.03)


def test_the_nearer_one_hides_the_other() -> None:
    for order in ((box(3, 0.3, 1), box(5, 1.0, 2)), (box(5, 1.0, 2), box(3, 0.3, 1))):
        drawn = draw(scene(*order), SIZE)
        assert drawn.ids[MIDDLE] == 1
        assert {1, 2} <= set(np.unique(drawn.ids))


def test_a_turned_box_is_hit_on_its_edge() -> None:
    half, turn = 0.5, np.radians(45)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    turned = Box(np.array([0.0, 4.0, 0.0]), np.full(3, half), rotation, GREY, 3)
    assert draw(scene(turned), SIZE).depth[MIDDLE] == pytest.approx(4 - half * np.sqrt(2), abs=0.02)


def test_what_stands_before_the_lamp_throws_a_shadow() -> None:
    floor = Box(np.array([0.0, 3.0, -1.0]), np.array([3.0, 3.0, 0.05]), np.eye(3), GREY, 1, casts=False)
    lid = Box(np.array([0.0, 3.0, 1.5]), np.array([0.5, 0.5, 0.02]), np.eye(3), GREY, 2)
    light = Light(np.array([0.0, 3.0, 4.0]))
    open_, covered = scene(floor, light=light), scene(floor, lid, light=light)
    bright, dark = draw(open_, SIZE).picture, draw(covered, SIZE).picture
    x, y, _ = (int(v) for v in CAMERA.project(np.array([[0.0, 3.0, -0.95]]), SIZE)[0])
    assert dark[y, x].mean() < 0.8 * bright[y, x].mean()
    assert cast(open_, SIZE, None).lit.min() == 1


def test_infrared_pictures_are_grey() -> None:
    picture = draw(dispatch_room(4, infrared=True), SIZE).picture
    assert int(np.ptp(picture.astype(int), axis=2).max()) <= 1
    assert int(np.ptp(draw(dispatch_room(4, infrared=False), SIZE).picture.astype(int), axis=2).max()) > 20


def test_figures_laid_over_a_cast_room_cover_the_same_pixels() -> None:
    full = dispatch_room(11, officer="work", others=0)
    still = tuple(p for p in full.primitives if p.id < PERSON_ID)
    base = cast(Scene(11, still, full.camera, full.light), SIZE)
    one, two = draw(full, SIZE), draw(full, SIZE, base)
    assert np.array_equal(one.ids, two.ids)
    assert np.array_equal(one.depth, two.depth)
    assert np.abs(one.picture.astype(int) - two.picture.astype(int)).mean() < 1.0


def test_a_dispatch_room_fills_the_picture() -> None:
    for seed in range(12):
        drawn = draw(dispatch_room(seed), SIZE)
        assert (drawn.ids > 0).mean() > 0.999
        assert drawn.picture.std() > 8
