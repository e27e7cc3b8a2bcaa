"""Two more places a demonstration camera looks at: a shaft mouth with its cage, and a belt in a gallery.

The moving parts come last, so that the rest is cast once. Both repeat: `PERIOD` seconds.
"""

from typing import Literal

import numpy as np

from analytics.training.scene import (
    CLUTTER_ID,
    FURNITURE_ID,
    ROOM_ID,
    SPECKLE,
    TILES,
    WOOD,
    Camera,
    Colour,
    Frame,
    Light,
    Primitive,
    Scene,
    turn_x,
)

MineKind = Literal["shaft", "belt"]

PERIOD: dict[MineKind, float] = {"shaft": 32.0, "belt": 0.8}

_STEEL: Colour = (0.32, 0.34, 0.36)
_RUST: Colour = (0.42, 0.27, 0.18)
_BELT_PITCH = 1.6
"""Metres between two seams of the belt, which runs at 2 m/s: one pitch a period."""


def mine_solids(kind: MineKind, t: float) -> Scene:
    """The place at time `t` (seconds)."""
    return _belt(t) if kind == "belt" else _shaft(t)


def still_count(kind: MineKind) -> int:
    """How many of the first primitives never move."""
    return len(_gallery() if kind == "belt" else _shaft_house())


def _gallery() -> list[Primitive]:
    world = Frame(np.zeros(3), np.eye(3))
    rock: Colour = (0.38, 0.36, 0.34)
    out: list[Primitive] = [
        world.box((0, 10, -0.05), (2.2, 12, 0.05), (0.25, 0.23, 0.21), ROOM_ID, texture=SPECKLE, casts=False),
        world.box((-2.2, 10, 1.2), (0.1, 12, 1.3), rock, ROOM_ID, texture=SPECKLE, casts=False, seed=3),
        world.box((2.2, 10, 1.2), (0.1, 12, 1.3), rock, ROOM_ID, texture=SPECKLE, casts=False, seed=4),
        world.box((0, 10, 2.75), (2.2, 12, 0.1), rock, ROOM_ID, texture=SPECKLE, casts=False, seed=5),
        world.box((0, 22, 1.2), (2.2, 0.1, 1.4), (0.03, 0.03, 0.03), ROOM_ID, casts=False),
        world.box((0.3, 10, 0.80), (0.52, 11, 0.02), (0.07, 0.07, 0.08), FURNITURE_ID),
        world.box((0.3, 10, 0.35), (0.45, 11, 0.02), (0.06, 0.06, 0.07), FURNITURE_ID),
    ]
    for k in range(14):
        y = 0.5 + 1.5 * k
        for x in (-2.05, 2.05):
            out.append(world.capsule((x, y, 0), (x, y, 2.3), 0.06, _RUST, FURNITURE_ID))
        out.append(world.capsule((-2.05, y, 2.3), (2.05, y, 2.5), 0.06, _RUST, FURNITURE_ID))
        for x in (-0.3, 0.9):
            out.append(world.box((x, y, 0.4), (0.03, 0.03, 0.4), (0.6, 0.5, 0.12), FURNITURE_ID))
        out.append(world.capsule((-0.25, y, 0.74), (0.85, y, 0.74), 0.05, _STEEL, FURNITURE_ID))
    for x in (-0.32, 0.92):
        out.append(world.box((x, 10, 0.82), (0.03, 11, 0.05), (0.6, 0.5, 0.12), FURNITURE_ID))
    for y in (2.0, 6.0, 10.0, 14.0):
        glow: Colour = (1.0, 0.95, 0.8)
        out.append(world.box((-0.9, y, 2.6), (0.08, 0.4, 0.03), glow, ROOM_ID, emissive=1.3, casts=False))
    out.append(world.box((-2.09, 3.2, 1.5), (0.02, 0.35, 0.25), (0.75, 0.65, 0.1), CLUTTER_ID, casts=False))
    return out


def _belt(t: float) -> Scene:
    world = Frame(np.zeros(3), np.eye(3))
    moved = (t % PERIOD["belt"]) / PERIOD["belt"] * _BELT_PITCH
    parts: list[Primitive] = []
    rng = np.random.default_rng(20)
    lumps = [(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(0, _BELT_PITCH)), float(rng.uniform(0.05, 0.14)))
             for _ in range(9)]  # fmt: skip
    for k in range(-1, 13):
        base = k * _BELT_PITCH + moved
        if 0 < base < 20:
            parts.append(world.box((0.3, base, 0.822), (0.5, 0.03, 0.004), (0.25, 0.25, 0.26), CLUTTER_ID))
        for x, y, r in lumps:
            at = base + y
            if 0 < at < 20.5:
                tone = 0.05 + 0.04 * (r > 0.1)
                parts.append(
                    world.capsule((0.3 + x, at, 0.82), (0.3 + x + r / 2, at, 0.83), r, (tone,) * 3, CLUTTER_ID)
                )
    camera = Camera(np.array([-1.2, -0.6, 2.1]), np.array([0.3, 4.5, 0.7]), 62.0)
    light = Light(np.array([-0.9, 3.0, 2.5]), 0.8, 0.35, (1.05, 1.0, 0.92))
    return Scene(0, tuple(_gallery() + parts), camera, light, noise=0.018)


def _shaft_house() -> list[Primitive]:
    world = Frame(np.zeros(3), np.eye(3))
    concrete: Colour = (0.5, 0.5, 0.48)
    out: list[Primitive] = [
        world.box((0, 0, -0.1), (6, 6, 0.1), (0.4, 0.39, 0.37), ROOM_ID, texture=TILES, casts=False),
        world.box((0, 6, 3), (6, 0.1, 3.2), (0.55, 0.57, 0.6), ROOM_ID, texture=SPECKLE, casts=False),
        world.box((-6, 0, 3), (0.1, 6, 3.2), (0.5, 0.52, 0.55), ROOM_ID, casts=False),
        world.box((6, 0, 3), (0.1, 6, 3.2), (0.5, 0.52, 0.55), ROOM_ID, casts=False),
        world.box((0, 0, 6.1), (6, 6, 0.1), (0.4, 0.4, 0.42), ROOM_ID, casts=False),
        world.box((0, 2.2, 0.01), (1.5, 1.3, 0.012), (0.02, 0.02, 0.02), ROOM_ID, casts=False),
        world.box((0, 0.75, 0.1), (1.7, 0.15, 0.1), concrete, FURNITURE_ID),
        world.box((0, 3.65, 0.1), (1.7, 0.15, 0.1), concrete, FURNITURE_ID),
    ]
    for x in (-1.65, 1.65):
        out.append(world.box((x, 2.2, 0.1), (0.15, 1.4, 0.1), concrete, FURNITURE_ID))
        for y in (0.8, 3.6):
            out.append(world.box((x, y, 3.0), (0.12, 0.12, 3.0), (0.65, 0.5, 0.1), FURNITURE_ID))
        out.append(world.box((x, 2.2, 4.6), (0.08, 1.4, 0.12), _STEEL, FURNITURE_ID))
    out.append(world.box((0, 0.8, 3.4), (1.7, 0.1, 0.25), (0.65, 0.5, 0.1), FURNITURE_ID))
    for k in range(2):
        out.append(world.capsule((-0.4 + 0.8 * k, 2.2, 4.5), (-0.4 + 0.8 * k, 2.2, 6.0), 0.03, _STEEL, FURNITURE_ID))
    for y in (-1.2, 0.0):
        for x in (-3.2, -2.2, 2.2, 3.2):
            out.append(world.capsule((x, y, 0), (x, y, 1.1), 0.03, (0.75, 0.6, 0.1), FURNITURE_ID))
        for x in (-2.7, 2.7):
            out.append(world.capsule((x - 0.5, y, 1.1), (x + 0.5, y, 1.1), 0.03, (0.75, 0.6, 0.1), FURNITURE_ID))
    out.append(world.box((4.2, 4.0, 1.0), (0.6, 0.4, 1.0), (0.35, 0.45, 0.4), FURNITURE_ID, texture=WOOD))
    out.append(world.box((-4.2, 5.85, 1.8), (0.7, 0.03, 0.45), (0.75, 0.15, 0.12), CLUTTER_ID, casts=False))
    for x in (-2.5, 2.5):
        shine: Colour = (1, 1, 0.95)
        out.append(world.box((x, 0, 5.95), (0.7, 0.15, 0.04), shine, ROOM_ID, emissive=1.3, casts=False))
    for x in (-0.09, 0.09):
        colour: Colour = (0.9, 0.1, 0.1) if x < 0 else (0.1, 0.7, 0.2)
        out.append(world.capsule((x + 1.5, 0.6, 2.4), (x + 1.5, 0.6, 2.4), 0.06, colour, CLUTTER_ID))
    return out


def cage_height(t: float) -> float:
    """Metres of the cage's floor above the bank: 0 for 12 s, down, away, up again."""
    p = t % PERIOD["shaft"]
    if p < 12:
        return 0.0
    if p < 17:
        s = (p - 12) / 5
        return -3.2 * s * s
    if p < 27:
        return -3.2
    s = (32 - p) / 5
    return -3.2 * s * s


def _shaft(t: float) -> Scene:
    world = Frame(np.array([0.0, 2.2, cage_height(t)]), np.eye(3))
    paint: Colour = (0.2, 0.4, 0.55)
    cage: list[Primitive] = [
        world.box((0, 0, 0.05), (1.2, 1.0, 0.05), _STEEL, CLUTTER_ID, texture=TILES),
        world.box((0, 0, 2.5), (1.2, 1.0, 0.05), paint, CLUTTER_ID),
        world.box((0, 0.98, 1.25), (1.2, 0.02, 1.2), paint, CLUTTER_ID, texture=WOOD),
        world.capsule((0, 0, 2.5), (0, 0, 9.0), 0.03, _STEEL, CLUTTER_ID),
    ]
    for x in (-1.18, 1.18):
        cage.append(world.box((x, 0, 1.25), (0.02, 1.0, 1.2), paint, CLUTTER_ID))
    for k in range(9):
        x = -1.1 + 0.275 * k
        cage.append(world.box((x, -1.0, 1.0), (0.015, 0.015, 0.95), (0.7, 0.6, 0.2), CLUTTER_ID, turn=turn_x(0)))
    # What is below the bank is under the floor's box and hidden by it.
    camera = Camera(np.array([2.6, -4.6, 3.6]), np.array([0.0, 1.8, 1.3]), 64.0)
    light = Light(np.array([-2.0, -1.0, 5.8]), 1.1, 0.42)
    return Scene(0, tuple(_shaft_house() + cage), camera, light, noise=0.012)
