"""What a picture is made of: boxes and capsules in metres, z up, a camera and one lamp.

Both renderers (`render`, OpenGL; `caster`, NumPy) draw this description and nothing else, so that a test can hold
their object ids equal. A primitive's `id` says what it belongs to: see the `..._ID` constants; persons are numbered
from `PERSON_ID`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Colour = tuple[float, float, float]

NOTHING_ID = 0
ROOM_ID = 1
FURNITURE_ID = 2
SCREEN_ID = 3
CHAIR_ID = 4
COAT_ID = 5
POSTER_ID = 6
CLUTTER_ID = 7
PERSON_ID = 10

PLAIN = 0
SPECKLE = 1
TILES = 2
SCREEN = 3
PORTRAIT = 4
WOOD = 5


@dataclass(frozen=True, slots=True)
class Box:
    """`rotation`'s columns are the box's own axes in the world."""

    centre: Array
    half: Array
    rotation: Array
    colour: Colour
    id: int
    texture: int = PLAIN
    emissive: float = 0.0
    """0: lit by the lamp. Above 0: shines by itself with this strength."""
    casts: bool = True
    """Whether it throws a shadow; the room's shell does not."""
    seed: int = 0
    """Of its texture."""


@dataclass(frozen=True, slots=True)
class Capsule:
    p0: Array
    p1: Array
    radius: float
    colour: Colour
    id: int
    texture: int = PLAIN
    emissive: float = 0.0
    casts: bool = True
    seed: int = 0


Primitive = Box | Capsule


@dataclass(frozen=True, slots=True)
class Camera:
    """Pinhole. `fov` is the horizontal field of view in degrees, `roll` in degrees about the line of sight."""

    position: Array
    target: Array
    fov: float = 55.0
    roll: float = 0.0

    def basis(self) -> tuple[Array, Array, Array]:
        """Forward, right and up, unit vectors."""
        forward = unit(self.target - self.position)
        right = unit(np.cross(forward, [0.0, 0.0, 1.0]))
        up = np.cross(right, forward)
        a = np.radians(self.roll)
        return forward, right * np.cos(a) + up * np.sin(a), up * np.cos(a) - right * np.sin(a)

    def tangents(self, size: tuple[int, int]) -> tuple[float, float]:
        """Half width and half height of the picture at distance 1."""
        tan = float(np.tan(np.radians(self.fov) / 2))
        return tan, tan * size[1] / size[0]

    def project(self, points: Array, size: tuple[int, int]) -> Array:
        """(n, 3) world points to (n, 3): x and y in pixels, depth along the line of sight in metres."""
        forward, right, up = self.basis()
        tx, ty = self.tangents(size)
        rel = np.asarray(points, float) - self.position
        depth = rel @ forward
        safe = np.where(depth > 1e-6, depth, 1e-6)
        x = (rel @ right / safe / tx + 1) * size[0] / 2
        y = (1 - rel @ up / safe / ty) * size[1] / 2
        return np.stack([x, y, depth], 1)


@dataclass(frozen=True, slots=True)
class Light:
    position: Array
    strength: float = 0.9
    ambient: float = 0.4
    tint: Colour = (1.0, 1.0, 1.0)
    infrared: bool = False
    """Night mode: a grey picture, lit from the camera itself."""


@dataclass(frozen=True, slots=True)
class Person:
    """The truth about one figure. `joints` are 17 world points in COCO order."""

    id: int
    posture: str
    joints: Array
    head: Array


@dataclass(frozen=True, slots=True)
class Scene:
    seed: int
    primitives: tuple[Primitive, ...]
    camera: Camera
    light: Light
    persons: tuple[Person, ...] = ()
    noise: float = 0.01
    """Standard deviation of the sensor's noise, of full scale. The renderers leave it to their callers."""
    facts: dict[str, object] = field(default_factory=dict)
    """What is in it, for evaluation: `coat`, `style`, ..."""


def unit(v: Array) -> Array:
    v = np.asarray(v, float)
    return v / max(float(np.linalg.norm(v)), 1e-9)


def turn_z(degrees: float) -> Array:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a), 0.0], [np.sin(a), np.cos(a), 0.0], [0.0, 0.0, 1.0]])


def turn_x(degrees: float) -> Array:
    a = np.radians(degrees)
    return np.array([[1.0, 0.0, 0.0], [0.0, np.cos(a), -np.sin(a)], [0.0, np.sin(a), np.cos(a)]])


@dataclass(frozen=True, slots=True)
class Frame:
    """A place to build at: things given in its own metres land in the world turned by `rotation` about its origin."""

    origin: Array
    rotation: Array

    def point(self, p: Sequence[float] | Array) -> Array:
        return np.asarray(self.origin + self.rotation @ np.asarray(p, float))

    def box(
        self,
        centre: Sequence[float],
        half: Sequence[float],
        colour: Colour,
        id: int,
        *,
        turn: Array | None = None,
        texture: int = PLAIN,
        emissive: float = 0.0,
        casts: bool = True,
        seed: int = 0,
    ) -> Box:
        rotation = self.rotation if turn is None else self.rotation @ turn
        size = np.asarray(half, float)
        return Box(self.point(centre), size, rotation, colour, id, texture, emissive, casts, seed)

    def capsule(
        self, p0: Sequence[float] | Array, p1: Sequence[float] | Array, radius: float, colour: Colour, id: int
    ) -> Capsule:
        return Capsule(self.point(p0), self.point(p1), radius, colour, id)
