"""OpenGL and the ray caster draw the same scene description. Skipped where moderngl or EGL is missing."""

from ctypes.util import find_library

import numpy as np
import pytest
from numpy.typing import NDArray

from analytics.training.caster import draw
from analytics.training.room import dispatch_room

moderngl = pytest.importorskip("moderngl", reason="moderngl (dependency group `train`) is not installed")

SIZE = (320, 180)


def away_from_edges(ids: NDArray[np.int32]) -> NDArray[np.bool_]:
    edge = np.zeros(ids.shape, bool)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            edge |= np.roll(ids, (dy, dx), (0, 1)) != ids
    return ~edge


@pytest.fixture(scope="module")
def renderer() -> object:
    if not (find_library("EGL") and find_library("GL")):
        pytest.skip("libEGL or libGL is not installed")
    from analytics.training.render import Renderer

    return Renderer(SIZE)


@pytest.mark.parametrize("seed", [0, 3, 8, 21])
@pytest.mark.parametrize("style", ["office", "hall"])
def test_ids_depth_and_colours_agree(renderer: object, seed: int, style: str) -> None:
    scene = dispatch_room(seed, style=style)  # type: ignore[arg-type]
    ours, gl = draw(scene, SIZE), renderer.draw(scene)  # type: ignore[attr-defined]
    inside = away_from_edges(ours.ids)
    assert (ours.ids == gl.ids)[inside].mean() >= 0.99
    assert np.median(np.abs(ours.depth - gl.depth)[inside]) < 0.01
    assert np.abs(ours.picture.astype(int) - gl.picture.astype(int)).mean() < 4
