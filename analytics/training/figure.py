"""A person of 17 joints, clothed in capsules, in the postures that matter to a duty post.

A posture is a table of points in the figure's own metres: x to its right, y where it looks, z up, the floor under its
seat as origin. Breathing (6 mm at 0.25 Hz) and idle movement are sums of sines in time, so that the same figure at
successive times makes a clip. A sleeper breathes and does nothing else.
"""

from dataclasses import dataclass

import numpy as np

from analytics.training.scene import Array, Capsule, Colour, Frame, Person, unit

POSTURES = ("work", "write", "sleep_desk", "sleep_back", "stand")

JOINTS = (
    *("nose", "eye_l", "eye_r", "ear_l", "ear_r", "shoulder_l", "shoulder_r", "elbow_l", "elbow_r"),
    *("wrist_l", "wrist_r", "hip_l", "hip_r", "knee_l", "knee_r", "ankle_l", "ankle_r"),
)

_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")

_TABLE: dict[str, dict[str, tuple[float, float, float]]] = {
    "work": {
        "head": (0.0, 0.10, 1.26), "face": (0.0, 1.0, -0.25),
        "shoulder": (0.19, 0.02, 1.02), "elbow": (0.26, 0.12, 0.80), "wrist": (0.16, 0.38, 0.79),
        "hip": (0.12, -0.02, 0.52), "knee": (0.14, 0.42, 0.50), "ankle": (0.14, 0.44, 0.09),
    },
    "write": {
        "head": (0.02, 0.30, 1.12), "face": (0.05, 0.55, -0.85),
        "shoulder": (0.19, 0.14, 0.97), "elbow": (0.30, 0.26, 0.79), "wrist": (0.10, 0.46, 0.79),
        "hip": (0.12, -0.02, 0.52), "knee": (0.14, 0.42, 0.50), "ankle": (0.14, 0.40, 0.09),
    },
    "sleep_desk": {
        "head": (0.03, 0.46, 0.87), "face": (0.5, 0.5, -0.6),
        "shoulder": (0.19, 0.25, 0.89), "elbow": (0.34, 0.42, 0.79), "wrist": (-0.04, 0.55, 0.79),
        "hip": (0.12, -0.04, 0.52), "knee": (0.15, 0.40, 0.50), "ankle": (0.15, 0.36, 0.09),
    },
    "sleep_back": {
        "head": (0.0, -0.35, 1.15), "face": (0.1, 0.45, 0.85),
        "shoulder": (0.19, -0.22, 0.96), "elbow": (0.28, -0.10, 0.70), "wrist": (0.08, 0.12, 0.64),
        "hip": (0.12, 0.08, 0.50), "knee": (0.17, 0.50, 0.50), "ankle": (0.17, 0.62, 0.09),
    },
    "stand": {
        "head": (0.0, 0.03, 1.62), "face": (0.0, 1.0, -0.15),
        "shoulder": (0.19, 0.0, 1.40), "elbow": (0.25, -0.02, 1.12), "wrist": (0.23, 0.07, 0.87),
        "hip": (0.11, 0.0, 0.92), "knee": (0.11, 0.02, 0.50), "ankle": (0.11, 0.0, 0.09),
    },
}  # fmt: skip

_IDLE = {"work": 1.0, "write": 0.7, "sleep_desk": 0.0, "sleep_back": 0.0, "stand": 0.8}

_SKIN: tuple[Colour, ...] = ((0.86, 0.67, 0.54), (0.78, 0.58, 0.44), (0.66, 0.47, 0.34), (0.92, 0.76, 0.64))
_HAIR: tuple[Colour, ...] = ((0.06, 0.05, 0.05), (0.12, 0.09, 0.07), (0.35, 0.33, 0.32), (0.2, 0.14, 0.1))
_HELMETS: tuple[Colour, ...] = ((0.95, 0.8, 0.1), (0.92, 0.92, 0.9), (0.8, 0.12, 0.1), (0.12, 0.3, 0.75))


@dataclass(frozen=True, slots=True)
class Looks:
    """What stays the same about one person."""

    scale: float
    build: float
    skin: Colour
    hair: Colour
    shirt: Colour
    sleeves: Colour
    trousers: Colour
    vest: Colour | None
    helmet: Colour | None
    side: float
    """+1 or -1: which way the asymmetric postures lean."""
    jitter: Array
    """(8, 3) standard normal: how far this one strays from the table."""
    phases: Array
    """(6,) of the idle movement."""


def looks(rng: np.random.Generator) -> Looks:
    shirt = _cloth(rng)
    return Looks(
        scale=float(rng.uniform(0.92, 1.08)),
        build=float(rng.uniform(0.85, 1.2)),
        skin=_SKIN[int(rng.integers(len(_SKIN)))],
        hair=_HAIR[int(rng.integers(len(_HAIR)))],
        shirt=shirt,
        sleeves=shirt if rng.random() < 0.8 else _cloth(rng),
        trousers=_cloth(rng, 0.4),
        vest=(0.95, 0.45, 0.1) if rng.random() < 0.12 else (0.75, 0.9, 0.2) if rng.random() < 0.08 else None,
        helmet=_HELMETS[int(rng.integers(len(_HELMETS)))] if rng.random() < 0.15 else None,
        side=1.0 if rng.random() < 0.5 else -1.0,
        jitter=rng.standard_normal((8, 3)),
        phases=rng.uniform(0, 2 * np.pi, 6),
    )


def _cloth(rng: np.random.Generator, top: float = 0.9) -> Colour:
    """Mostly the blues, greys and blacks that mines wear, sometimes anything."""
    if rng.random() < 0.5:
        v = rng.uniform(0.05, top)
        return (float(v * rng.uniform(0.7, 1)), float(v * rng.uniform(0.8, 1)), float(min(1, v * rng.uniform(1, 1.5))))
    r, g, b = rng.uniform(0.05, top, 3)
    return (float(r), float(g), float(b))


def joints(posture: str, who: Looks, t: float, stride: float = 0.0) -> tuple[Array, Array]:
    """The 17 joints and the centre of the head in the figure's own metres. `stride` is the phase of the walk in
    radians; 0 stands still."""
    table = _TABLE[posture]
    idle = _IDLE[posture]
    points: dict[str, Array] = {}
    for k, name in enumerate(_LIMBS):
        for sign, suffix in ((-1.0, "l"), (1.0, "r")):
            x, y, z = table[name]
            points[f"{name}_{suffix}"] = np.array([x * sign, y, z]) + 0.02 * who.jitter[k] * [sign, 1, 0.3]
    sway = 0.012 * idle * np.sin(0.7 * t + who.phases[0]) + 0.02 * idle * np.sin(0.13 * t + who.phases[1])
    breath = 0.006 * np.sin(2 * np.pi * 0.25 * t + who.phases[2])
    for suffix in "lr":
        points[f"shoulder_{suffix}"] += [sway, 0.0, breath]
    if posture in ("work", "write"):
        for suffix, at in (("l", 3), ("r", 4)):
            a, b = np.sin(2.1 * t + who.phases[at]), np.sin(0.9 * t + who.phases[at + 1])
            points[f"wrist_{suffix}"] += idle * np.array([0.03 * a, 0.04 * b, 0.0])
            points[f"elbow_{suffix}"] += idle * np.array([0.01 * a, 0.015 * b, 0.0])
    if stride:
        _walk(points, stride)
    face = np.array(table["face"]) * [who.side, 1, 1]
    face = unit(face + 0.12 * who.jitter[6] + idle * np.array([0.35 * np.sin(0.33 * t + who.phases[5]), 0, 0]))
    head = np.array(table["head"]) * [who.side, 1, 1] + 0.02 * who.jitter[7] * [1, 1, 0.3] + [sway * 1.3, 0, breath]
    side = unit(np.cross(face, [0.0, 0.0, 1.0]))
    over = np.cross(side, face)
    points["nose"] = head + 0.11 * face
    for sign, suffix in ((-1.0, "l"), (1.0, "r")):
        points[f"eye_{suffix}"] = head + 0.09 * face + sign * 0.035 * side + 0.03 * over
        points[f"ear_{suffix}"] = head + sign * 0.085 * side
    return np.stack([points[name] for name in JOINTS]) * who.scale, head * who.scale


def _walk(points: dict[str, Array], stride: float) -> None:
    for sign, suffix in ((1.0, "l"), (-1.0, "r")):
        swing = sign * np.sin(stride)
        lift = max(0.0, sign * np.cos(stride))
        points[f"ankle_{suffix}"] += [0.0, 0.28 * swing, 0.10 * lift]
        points[f"knee_{suffix}"] += [0.0, 0.18 * swing + 0.05 * lift, 0.05 * lift]
        points[f"wrist_{suffix}"] += [0.0, -0.20 * swing, 0.02]
        points[f"elbow_{suffix}"] += [0.0, -0.09 * swing, 0.0]


def mixed(a: tuple[Array, Array], b: tuple[Array, Array], share: float) -> tuple[Array, Array]:
    """Joints part of the way from one posture to another."""
    return a[0] * (1 - share) + b[0] * share, a[1] * (1 - share) + b[1] * share


def figure(place: Frame, id: int, posture: str, who: Looks, body: tuple[Array, Array]) -> tuple[list[Capsule], Person]:
    """Clothe `body` (from `joints`) and put it at `place`."""
    j = dict(zip(JOINTS, body[0], strict=True))
    head = body[1]
    s = who.scale
    parts: list[Capsule] = []

    def limb(a: Array, b: Array, radius: float, colour: Colour) -> None:
        parts.append(place.capsule(a, b, radius * s, colour, id))

    neck = (j["shoulder_l"] + j["shoulder_r"]) / 2
    pelvis = (j["hip_l"] + j["hip_r"]) / 2
    coat = who.vest or who.shirt
    face = unit(j["nose"] - head)
    side = unit(np.cross(face, [0.0, 0.0, 1.0]))
    over = np.cross(side, face)
    limb(head - 0.045 * s * over, head + 0.035 * s * over + 0.01 * s * face, 0.088, who.skin)
    if who.helmet:
        limb(head + 0.06 * s * over - 0.02 * s * face, head + 0.06 * s * over + 0.03 * s * face, 0.115, who.helmet)
    else:
        limb(head + 0.035 * s * over - 0.035 * s * face, head - 0.03 * s * over - 0.04 * s * face, 0.09, who.hair)
    limb(neck + np.array([0, 0, 0.02]), head - 0.06 * s * over, 0.055, who.skin)
    limb(j["shoulder_l"] * 0.9 + neck * 0.1, j["shoulder_r"] * 0.9 + neck * 0.1, 0.075, coat)
    for suffix in "lr":
        chest = j[f"shoulder_{suffix}"] * 0.5 + neck * 0.5 + unit(pelvis - neck) * 0.06
        limb(chest, j[f"hip_{suffix}"] * 0.7 + pelvis * 0.3, 0.105 * who.build, coat)
        limb(j[f"shoulder_{suffix}"], j[f"elbow_{suffix}"], 0.055, who.sleeves)
        limb(j[f"elbow_{suffix}"], j[f"wrist_{suffix}"], 0.045, who.sleeves)
        reach = unit(j[f"wrist_{suffix}"] - j[f"elbow_{suffix}"])
        limb(j[f"wrist_{suffix}"], j[f"wrist_{suffix}"] + 0.07 * s * reach, 0.04, who.skin)
        limb(j[f"hip_{suffix}"], j[f"knee_{suffix}"], 0.078 * who.build, who.trousers)
        limb(j[f"knee_{suffix}"], j[f"ankle_{suffix}"], 0.058, who.trousers)
        toe = j[f"ankle_{suffix}"] + np.array([0.0, 0.14, -0.03]) * s
        limb(j[f"ankle_{suffix}"] + [0, 0, -0.03], toe, 0.045, (0.08, 0.07, 0.07))
    limb(neck + unit(pelvis - neck) * 0.12, pelvis, 0.12 * who.build, coat)
    world = np.stack([place.point(p) for p in body[0]])
    return parts, Person(id, posture, world, place.point(head))
