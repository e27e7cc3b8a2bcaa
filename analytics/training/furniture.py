"""Desks, screens, chairs and what lies about. Each takes a place (`Frame`) and returns primitives.

A workplace's own axes: the officer sits at the origin and looks along +y; the desk's front edge is at y = 0.25.
"""

import numpy as np

from analytics.training.scene import (
    CHAIR_ID,
    CLUTTER_ID,
    COAT_ID,
    FURNITURE_ID,
    SCREEN,
    SCREEN_ID,
    WOOD,
    Colour,
    Frame,
    Primitive,
    turn_x,
    turn_z,
)

DESK_FRONT = 0.25
DESK_DEPTH = 0.76
DESK_TOP = 0.74


def grey(rng: np.random.Generator, low: float, high: float, tint: float = 0.05) -> Colour:
    v = rng.uniform(low, high)
    r, g, b = np.clip(v + rng.uniform(-tint, tint, 3), 0.02, 0.98)
    return (float(r), float(g), float(b))


def any_colour(rng: np.random.Generator, low: float = 0.08, high: float = 0.9) -> Colour:
    """Anything from nearly grey to loud; most things in a control room are not loud."""
    c = rng.uniform(low, high, 3)
    r, g, b = c.mean() + (c - c.mean()) * rng.beta(1.2, 1.6)
    return (float(r), float(g), float(b))


def desk(place: Frame, rng: np.random.Generator, width: float) -> list[Primitive]:
    wood: Colour = (0.55, 0.4, 0.26) if rng.random() < 0.4 else grey(rng, 0.2, 0.85)
    y = DESK_FRONT + DESK_DEPTH / 2
    seed = int(rng.integers(1 << 16))
    f = FURNITURE_ID
    out: list[Primitive] = [
        place.box((0, y, DESK_TOP - 0.02), (width / 2, DESK_DEPTH / 2, 0.02), wood, f, texture=WOOD, seed=seed),
        place.box((-width / 2 + 0.02, y, 0.36), (0.02, DESK_DEPTH / 2 - 0.02, 0.36), wood, f),
        place.box((width / 2 - 0.02, y, 0.36), (0.02, DESK_DEPTH / 2 - 0.02, 0.36), wood, f),
        place.box((0, y + 0.3, 0.42), (width / 2 - 0.04, 0.015, 0.28), wood, f),
    ]
    return out


def monitors(place: Frame, rng: np.random.Generator, count: int, flicker: float) -> list[Primitive]:
    out: list[Primitive] = []
    half = float(rng.uniform(0.24, 0.31))
    tall = half * 0.58
    low = DESK_TOP + float(rng.uniform(0.10, 0.16))
    ground: Colour = (0.1, 0.15, 0.3) if rng.random() < 0.6 else any_colour(rng)
    black: Colour = (0.06, 0.06, 0.07)
    for k in range(count):
        x = (k - (count - 1) / 2) * (2 * half + 0.04)
        y = DESK_FRONT + 0.50 - 0.10 * abs(x)
        turn = turn_z(float(-28 * x + rng.normal(0, 3)))
        on = 0.85 * flicker if rng.random() < 0.92 else 0.05
        out.append(
            place.box((x, y, low + tall), (half, 0.018, tall), ground, SCREEN_ID, turn=turn, texture=SCREEN,
                      emissive=on, seed=int(rng.integers(1 << 16)))
        )  # fmt: skip
        out.append(place.box((x, y + 0.05, (DESK_TOP + low + tall) / 2), (0.03, 0.02, (low + tall - DESK_TOP) / 2),
                             black, SCREEN_ID))  # fmt: skip
        out.append(place.box((x, y + 0.05, DESK_TOP + 0.01), (0.12, 0.09, 0.01), black, SCREEN_ID))
    return out


def clutter(place: Frame, rng: np.random.Generator, width: float) -> list[Primitive]:
    """Keyboard and up to six small things: cup, telephone, papers, files, bottle, a helmet left behind."""
    tone = grey(rng, 0.05, 0.8)
    out: list[Primitive] = [
        place.box((0, DESK_FRONT + 0.17, DESK_TOP + 0.012), (0.22, 0.07, 0.012), tone, CLUTTER_ID),
        place.box((0.3, DESK_FRONT + 0.17, DESK_TOP + 0.015), (0.03, 0.05, 0.015), tone, CLUTTER_ID),
    ]
    for _ in range(int(rng.integers(1, 7))):
        x = float(rng.uniform(0.36, width / 2 - 0.12)) * (1 if rng.random() < 0.5 else -1)
        y = DESK_FRONT + float(rng.uniform(0.1, 0.55))
        turn = turn_z(float(rng.uniform(-40, 40)))
        kind = int(rng.integers(6))
        colour = any_colour(rng)
        z = DESK_TOP
        if kind == 0:
            out.append(place.capsule((x, y, z + 0.03), (x, y, z + 0.08), 0.035, colour, CLUTTER_ID))
        elif kind == 1:
            out.append(place.box((x, y, z + 0.03), (0.09, 0.11, 0.03), colour, CLUTTER_ID, turn=turn))
            out.append(place.capsule((x - 0.08, y, z + 0.08), (x + 0.08, y, z + 0.08), 0.022, colour, CLUTTER_ID))
        elif kind == 2:
            out.append(place.box((x, y, z + 0.004), (0.105, 0.148, 0.004), (0.9, 0.9, 0.88), CLUTTER_ID, turn=turn))
        elif kind == 3:
            tall = float(rng.uniform(0.03, 0.15))
            out.append(place.box((x, y, z + tall), (0.12, 0.15, tall), colour, CLUTTER_ID, turn=turn))
        elif kind == 4:
            out.append(place.capsule((x, y, z + 0.03), (x, y, z + 0.2), 0.032, colour, CLUTTER_ID))
        else:
            out.append(place.capsule((x, y - 0.02, z + 0.05), (x, y + 0.03, z + 0.05), 0.115, colour, CLUTTER_ID))
    return out


def chair(
    place: Frame, rng: np.random.Generator, *, leaning: bool, turned: float = 0.0
) -> tuple[list[Primitive], Frame]:
    """A chair on a five-point star, and the frame of its back for whatever hangs there."""
    here = Frame(place.origin, place.rotation @ turn_z(turned))
    cover = grey(rng, 0.03, 0.35, 0.08) if rng.random() < 0.7 else any_colour(rng)
    black: Colour = (0.07, 0.07, 0.07)
    out: list[Primitive] = [
        here.box((0, 0.02, 0.44), (0.24, 0.23, 0.045), cover, CHAIR_ID),
        here.capsule((0, 0, 0.12), (0, 0, 0.42), 0.03, black, CHAIR_ID),
    ]
    for k in range(5):
        a = 2 * np.pi * k / 5 + 0.3
        out.append(here.capsule((0, 0, 0.12), (0.3 * np.cos(a), 0.3 * np.sin(a), 0.05), 0.025, black, CHAIR_ID))
    tilt = turn_x(24 if leaning else 7)
    back = Frame(here.point((0, -0.22, 0.50)), here.rotation @ tilt)
    tall = float(rng.uniform(0.24, 0.33))
    out.append(back.box((0, -0.05, tall), (0.22, 0.03, tall), cover, CHAIR_ID))
    if rng.random() < 0.35:
        out.append(back.box((0, -0.05, 2 * tall + 0.11), (0.12, 0.03, 0.08), cover, CHAIR_ID))
    if rng.random() < 0.7:
        for x in (-0.27, 0.27):
            out.append(here.capsule((x, -0.12, 0.66), (x, 0.14, 0.66), 0.025, black, CHAIR_ID))
            out.append(here.capsule((x, 0.0, 0.46), (x, 0.0, 0.66), 0.02, black, CHAIR_ID))
    return out, Frame(back.point((0, -0.05, 2 * tall)), back.rotation)


def coat_on(back: Frame, rng: np.random.Generator) -> list[Primitive]:
    """A coat over a chair's back, sometimes with its hood up or a helmet on top: looks like somebody, is nobody."""
    cloth = any_colour(rng, 0.04, 0.7)
    wide, drop = float(rng.uniform(0.19, 0.25)), float(rng.uniform(0.32, 0.5))
    sag = float(rng.uniform(0.02, 0.08))
    out: list[Primitive] = [
        back.capsule((-wide, 0, -0.02 - sag), (0, 0, 0.02), 0.07, cloth, COAT_ID),
        back.capsule((wide, 0, -0.02 - sag), (0, 0, 0.02), 0.07, cloth, COAT_ID),
        back.box((0, -0.02, -drop / 2), (wide, 0.075, drop / 2), cloth, COAT_ID),
    ]
    for x in (-wide - 0.04, wide + 0.04):
        end = x * float(rng.uniform(0.9, 1.15))
        out.append(back.capsule((x, 0.0, -0.08), (end, float(rng.uniform(-0.06, 0.08)), -drop), 0.05, cloth, COAT_ID))
    top = rng.random()
    if top < 0.2:
        out.append(back.capsule((0, -0.02, 0.06), (0, -0.05, 0.10), 0.09, cloth, COAT_ID))
    elif top < 0.3:
        out.append(back.capsule((0, 0, 0.08), (0, 0.05, 0.08), 0.115, any_colour(rng), COAT_ID))
    return out


def bag_on(place: Frame, rng: np.random.Generator) -> list[Primitive]:
    """A rucksack on the seat."""
    cloth = any_colour(rng, 0.04, 0.7)
    return [
        place.capsule((0, -0.05, 0.62), (0, -0.05, 0.80), 0.15, cloth, COAT_ID),
        place.capsule((0, 0.09, 0.60), (0, 0.09, 0.66), 0.09, cloth, COAT_ID),
    ]


def coat_stand(place: Frame, rng: np.random.Generator) -> list[Primitive]:
    """A pole with a coat and perhaps a helmet on it, as high as a man."""
    cloth = any_colour(rng, 0.04, 0.7)
    out: list[Primitive] = [
        place.capsule((0, 0, 0.05), (0, 0, 1.75), 0.025, (0.2, 0.15, 0.1), FURNITURE_ID),
        place.capsule((-0.2, 0, 0.04), (0.2, 0, 0.04), 0.03, (0.2, 0.15, 0.1), FURNITURE_ID),
        place.capsule((-0.14, 0, 1.45), (0.14, 0, 1.47), 0.07, cloth, COAT_ID),
        place.box((0, 0, 1.05), (0.17, 0.08, 0.42), cloth, COAT_ID),
    ]
    if rng.random() < 0.4:
        out.append(place.capsule((0, -0.02, 1.72), (0, 0.03, 1.72), 0.115, any_colour(rng), COAT_ID))
    return out


def cabinet(place: Frame, rng: np.random.Generator) -> list[Primitive]:
    w, d, h = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.18, 0.28)), float(rng.uniform(0.4, 1.0))
    seed = int(rng.integers(1 << 16))
    paint = grey(rng, 0.25, 0.85)
    return [
        place.box((0, 0, h), (w, d, h), paint, FURNITURE_ID, texture=WOOD, seed=seed),
        place.box((0, d + 0.005, h), (0.006, 0.006, h * 0.95), (0.15, 0.15, 0.15), FURNITURE_ID, casts=False),
    ]


def plant(place: Frame, rng: np.random.Generator) -> list[Primitive]:
    green: Colour = (0.12, float(rng.uniform(0.25, 0.5)), 0.12)
    out: list[Primitive] = [place.capsule((0, 0, 0.14), (0, 0, 0.26), 0.14, any_colour(rng), CLUTTER_ID)]
    tall = float(rng.uniform(0.5, 1.4))
    for _ in range(7):
        x, y = rng.uniform(-0.28, 0.28, 2)
        end = (float(x), float(y), tall * float(rng.uniform(0.7, 1.1)))
        out.append(place.capsule((0, 0, 0.3), end, float(rng.uniform(0.03, 0.08)), green, CLUTTER_ID))
    return out
