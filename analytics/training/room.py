"""A dispatch room from a seed: `dispatch_room`.

What a seed decides is drawn from independent streams (room, camera, light, persons), so that the same seed with
another officer state is the same room, seen from the same place: that is how clips and empty reference pictures are
made. Two styles: `office`, which the model is trained on, and `hall` (two rows of desks, other furniture habits,
another camera), which it only ever meets in evaluation.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analytics.training import figure as fig
from analytics.training import furniture as fur
from analytics.training.scene import (
    FURNITURE_ID,
    PERSON_ID,
    PLAIN,
    PORTRAIT,
    POSTER_ID,
    ROOM_ID,
    SCREEN,
    SCREEN_ID,
    SPECKLE,
    TILES,
    Array,
    Box,
    Camera,
    Colour,
    Frame,
    Light,
    Person,
    Primitive,
    Scene,
    turn_z,
)

Officer = Literal["work", "write", "sleep_desk", "sleep_back", "stand", "absent"]
Style = Literal["office", "hall"]

DOOR = 6
"""Index of the door's opening among a room's primitives; floor and ceiling are 0 and 1."""

_ROOM, _DESKS, _CAMERA, _LIGHT, _FIGURES, _WALLS = range(6)


@dataclass(frozen=True, slots=True)
class Plan:
    """Measures and places that everything else refers to."""

    width: float
    depth: float
    height: float
    seat: Frame
    """Where the officer sits; looks along its +y."""
    beside: Array
    """A free place on the floor near the seat."""
    corner: Array
    """Where the way from the door to `beside` bends, so that nobody walks through the desk."""
    door: Array
    door_heading: float
    """Degrees; the door's own +y looks into the room."""


def dispatch_room(
    seed: int,
    *,
    t: float = 0.0,
    officer: Officer | None = None,
    blend: tuple[Officer, Officer, float] | None = None,
    walk: float | None = None,
    leaving: bool = False,
    coat: bool | None = None,
    others: int | None = None,
    infrared: bool | None = None,
    camera: Camera | None = None,
    style: Style = "office",
) -> Scene:
    """`officer`: what the officer does; None lets the seed decide. `walk` (0 at the door to 1 beside the seat) puts
    him on the way between, facing the door when `leaving`. `blend` mixes two postures instead of one. `coat`,
    `others` (further persons, 0 to 2) and `infrared` are the seed's own unless given. The primitives of persons come
    last, those of the room first and in the same order for every officer state."""
    streams = [np.random.default_rng([seed, k, 0 if style == "office" else 1]) for k in range(6)]
    plan = _plan(streams[_ROOM], style)
    mood = np.random.default_rng([seed, 99])
    state = officer or _some_officer(mood)
    hung = mood.random() < (0.5 if state == "absent" else 0.25) if coat is None else coat
    count = int(mood.choice(3, p=(0.62, 0.28, 0.10))) if others is None else others
    leaning = state == "sleep_back" or (blend is not None and blend[1] == "sleep_back")
    solid = _shell(plan, streams[_WALLS]) + _walls(plan, streams[_WALLS], style)
    desks, second = _desks(plan, streams[_DESKS], style, hung, leaning, away=state == "absent")
    solid += desks
    light, lamps = _light(plan, streams[_LIGHT], infrared)
    solid += lamps
    view = camera or _camera(plan, streams[_CAMERA], style, solid)
    moving, persons = _people(plan, streams[_FIGURES], seed, state, blend, walk, leaving, t, count, second)
    noise = float(streams[_LIGHT].uniform(0.004, 0.02) * (2.0 if light.infrared else 1.0))
    facts: dict[str, object] = {"officer": state, "coat": hung, "style": style, "infrared": light.infrared}
    return Scene(seed, tuple(solid + moving), view, light, tuple(persons), noise, facts)


def _some_officer(rng: np.random.Generator) -> Officer:
    states: tuple[Officer, ...] = ("work", "write", "sleep_desk", "sleep_back", "stand", "absent")
    return states[int(rng.choice(6, p=(0.20, 0.14, 0.18, 0.15, 0.07, 0.26)))]


def _plan(rng: np.random.Generator, style: Style) -> Plan:
    big = style == "hall"
    width, depth = (float(v) for v in (rng.uniform(6.5, 9.5, 2) if big else rng.uniform(4.4, 7.2, 2)))
    height = float(rng.uniform(3.0, 3.8) if big else rng.uniform(2.6, 3.3))
    heading = 90.0 * int(rng.integers(4)) + float(rng.normal(0, 5))
    turn = turn_z(heading)
    # The desk reaches 1 m in front of the seat and its wings 1.3 m to the sides.
    x = float(rng.uniform(0.38, 0.62)) * width
    y = float(rng.uniform(0.38, 0.62)) * depth
    seat = Frame(np.array([x, y, 0.0]) - turn @ np.array([0.0, 0.45, 0.0]), turn)
    wall = int(rng.integers(4))
    share = float(rng.uniform(0.15, 0.85))
    at = [(share * width, 0), (width, share * depth), (share * width, depth), (0, share * depth)][wall]
    door = np.array([*at, 0.0])
    seen = turn.T @ (door - seat.origin)
    side = 1.0 if seen[0] > 0 else -1.0
    beside = _inside(seat.point((0.72 * side, -0.40, 0)), width, depth)
    corner = _inside(seat.point((1.7 * side, -0.2, 0)), width, depth) if seen[1] > -0.3 else (beside + door) / 2
    return Plan(width, depth, height, seat, beside, corner, door, 90.0 * wall)


def _inside(p: Array, width: float, depth: float, margin: float = 0.35) -> Array:
    return np.array([np.clip(p[0], margin, width - margin), np.clip(p[1], margin, depth - margin), p[2]])


def _shell(plan: Plan, rng: np.random.Generator) -> list[Primitive]:
    w, d, h = plan.width / 2, plan.depth / 2, plan.height / 2
    world = Frame(np.zeros(3), np.eye(3))
    wall = fur.grey(rng, 0.45, 0.92, 0.07)
    floor = fur.grey(rng, 0.15, 0.7, 0.08)
    seed = int(rng.integers(1 << 16))
    pattern = TILES if rng.random() < 0.6 else SPECKLE
    rough = PLAIN if rng.random() < 0.7 else SPECKLE
    out: list[Primitive] = [
        world.box((w, d, -0.05), (w + 0.1, d + 0.1, 0.05), floor, ROOM_ID, texture=pattern, casts=False, seed=seed),
        world.box((w, d, 2 * h + 0.05), (w + 0.1, d + 0.1, 0.05), (0.85, 0.85, 0.84), ROOM_ID, casts=False),
    ]
    for centre, half in (
        ((w, -0.05, h), (w + 0.1, 0.05, h)),
        ((w, 2 * d + 0.05, h), (w + 0.1, 0.05, h)),
        ((-0.05, d, h), (0.05, d, h)),
        ((2 * w + 0.05, d, h), (0.05, d, h)),
    ):
        out.append(world.box(centre, half, wall, ROOM_ID, texture=rough, casts=False, seed=seed + 1))
    here = Frame(plan.door, turn_z(plan.door_heading))
    leaf = (0.45, 0.32, 0.2) if rng.random() < 0.5 else fur.grey(rng, 0.2, 0.9)
    out.append(here.box((0, 0, 1.03), (0.46, 0.012, 1.03), (0.05, 0.05, 0.06), ROOM_ID, casts=False))
    turn = turn_z(float(rng.uniform(70, 110)))
    hinge = Frame(here.point((0.46, 0.02, 0)), here.rotation @ turn)
    out.append(hinge.box((0.43, 0, 1.02), (0.43, 0.02, 1.0), leaf, FURNITURE_ID))
    return out


def _wall_place(plan: Plan, wall: int, share: float) -> tuple[Frame, float]:
    """A frame on a wall, +y into the room, and the wall's length."""
    w, d = plan.width, plan.depth
    at = [(share * w, 0.0), (w, share * d), ((1 - share) * w, d), (0.0, (1 - share) * d)][wall]
    return Frame(np.array([*at, 0.0]), turn_z(90.0 * wall)), (w if wall % 2 == 0 else d)


def _near_door(plan: Plan, p: Array, room: float = 0.9) -> bool:
    return float(np.linalg.norm(p[:2] - plan.door[:2])) < room


def _walls(plan: Plan, rng: np.random.Generator, style: Style) -> list[Primitive]:
    """Video wall, windows, posters, cabinets, plants and a coat stand along the walls."""
    out: list[Primitive] = []
    facing = int(np.argmin([np.linalg.norm(_wall_place(plan, k, 0.5)[0].origin - plan.seat.point((0, 3, 0)))
                            for k in range(4)]))  # fmt: skip
    if rng.random() < (0.9 if style == "hall" else 0.4):
        out += _video_wall(plan, rng, facing)
    for wall in range(4):
        for _ in range(int(rng.integers(0, 4))):
            place, length = _wall_place(plan, wall, float(rng.uniform(0.1, 0.9)))
            if _near_door(plan, place.origin) or length < 2:
                continue
            kind = rng.random()
            if kind < 0.40:
                out += _poster(place, rng)
            elif kind < 0.55:
                glow = float(rng.uniform(0.1, 1.1))
                sky: Colour = (0.75, 0.85, 1.0)
                out.append(place.box((0, 0, 1.55), (0.62, 0.02, 0.52), (0.9, 0.9, 0.9), ROOM_ID, casts=False))
                out.append(place.box((0, 0.015, 1.55), (0.56, 0.02, 0.46), sky, ROOM_ID, emissive=glow, casts=False))
            elif _clear(plan, place.point((0, 0.4, 0))):
                stood = Frame(place.point((0, 0.32, 0)), place.rotation)
                pick = rng.random()
                made = fur.cabinet if pick < 0.55 else fur.plant if pick < 0.75 else fur.coat_stand
                out += made(stood, rng)
    return out


def _clear(plan: Plan, p: Array) -> bool:
    return float(np.linalg.norm(p[:2] - plan.seat.origin[:2])) > 1.5


def _poster(place: Frame, rng: np.random.Generator) -> list[Primitive]:
    ground = fur.any_colour(rng, 0.2, 0.95)
    half = float(rng.uniform(0.2, 0.5))
    person = rng.random() < 0.55
    tall = half * float(rng.uniform(1.0, 1.5)) if person else half * float(rng.uniform(0.6, 1.4))
    at = (0.0, 0.012, float(rng.uniform(1.2, 1.8)))
    flip = turn_z(180)  # pictures are painted on a box's -y face
    pattern = PORTRAIT if person else SCREEN if rng.random() < 0.5 else PLAIN
    seed = int(rng.integers(1 << 16))
    return [
        place.box(at, (half, 0.012, tall), ground, POSTER_ID, turn=flip, texture=pattern, casts=False, seed=seed),
    ]


def _video_wall(plan: Plan, rng: np.random.Generator, wall: int) -> list[Primitive]:
    place, length = _wall_place(plan, wall, 0.5)
    across = int(rng.integers(2, 5))
    half = min(0.6, (length - 1.0) / across / 2)
    out: list[Primitive] = []
    flip = turn_z(180)
    for k in range(across):
        for row in range(2):
            at = ((k - (across - 1) / 2) * 2 * half, 0.08, 1.15 + row * half * 1.14)
            shine, seed = float(rng.uniform(0.5, 1.0)), int(rng.integers(1 << 16))
            shape, ground = (half * 0.985, 0.05, half * 0.56), fur.any_colour(rng, 0.1, 0.7)
            out.append(
                place.box(at, shape, ground, SCREEN_ID, turn=flip, texture=SCREEN, emissive=shine, casts=False,
                          seed=seed)
            )  # fmt: skip
    return out


def _desks(
    plan: Plan, rng: np.random.Generator, style: Style, coat: bool, leaning: bool, away: bool
) -> tuple[list[Primitive], Frame | None]:
    """The officer's workplace and, where there is room, a second one; returns the second one's seat."""
    width = float(rng.uniform(1.5, 2.4))
    count = int(rng.integers(1, 4 if width > 1.8 else 3))
    flicker = float(rng.uniform(0.6, 1.0))
    out = fur.desk(plan.seat, rng, width) + fur.monitors(plan.seat, rng, count, flicker)
    out += fur.clutter(plan.seat, rng, width)
    turned = float(rng.normal(0, 35))
    parts, back = fur.chair(plan.seat, rng, leaning=leaning, turned=turned if away else 0.0)
    out += parts
    own = np.random.default_rng(int(rng.integers(1 << 30)))
    bag = own.random() < 0.15
    if coat:
        out += fur.coat_on(back, own)
    elif away and bag:
        out += fur.bag_on(plan.seat, own)
    wish = rng.random() < (1.0 if style == "hall" else 0.5)
    offset = (width / 2 + 1.15) if style == "office" else 0.0
    ahead = 0.0 if style == "office" else -1.9
    second = Frame(plan.seat.point((offset, ahead, 0)), plan.seat.rotation)
    reach = [second.point((0, DESK_REACH, 0)), second.point((-0.8, 0, 0)), second.point((0.8, -0.6, 0))]
    if not wish or any(not _within(plan, p, 0.25) for p in reach):
        return out, None
    out += fur.desk(second, rng, 1.6) + fur.monitors(second, rng, int(rng.integers(1, 3)), flicker)
    out += fur.clutter(second, rng, 1.6)
    out += fur.chair(second, rng, leaning=False)[0]
    return out, second


DESK_REACH = fur.DESK_FRONT + fur.DESK_DEPTH


def _within(plan: Plan, p: Array, margin: float) -> bool:
    return bool(margin < p[0] < plan.width - margin and margin < p[1] < plan.depth - margin)


def _light(plan: Plan, rng: np.random.Generator, infrared: bool | None) -> tuple[Light, list[Primitive]]:
    night = bool(rng.random() < 0.25) if infrared is None else infrared
    x, y = plan.width * rng.uniform(0.25, 0.75), plan.depth * rng.uniform(0.25, 0.75)
    strength = float(rng.uniform(0.35, 1.1))
    warm = float(rng.uniform(-0.12, 0.12))
    tint: Colour = (1 + warm, 1.0, 1 - warm)
    light = Light(np.array([x, y, plan.height - 0.12]), strength, float(rng.uniform(0.22, 0.5)), tint, night)
    world = Frame(np.zeros(3), np.eye(3))
    lamps: list[Primitive] = []
    on = 0.1 if night else 1.3
    for k in range(int(rng.integers(1, 4))):
        px = x if k == 0 else plan.width * rng.uniform(0.15, 0.85)
        py = y if k == 0 else plan.depth * rng.uniform(0.15, 0.85)
        at, half = (float(px), float(py), plan.height - 0.02), (0.6, 0.15, 0.02)
        lamps.append(world.box(at, half, (1.0, 1.0, 0.98), ROOM_ID, emissive=on, casts=False))
    return light, lamps


def _camera(plan: Plan, rng: np.random.Generator, style: Style, solid: list[Primitive]) -> Camera:
    """Somewhere high inside the room, all around the seat. Views from within or right behind an object are refused."""
    centre = plan.seat.point((0, 0.25, 0))
    camera = Camera(np.array([0.3, 0.3, 2.3]), centre)
    for _ in range(60):
        azimuth, away = rng.uniform(0, 2 * np.pi), rng.uniform(2.0, 4.4 if style == "office" else 6.0)
        z = float(min(rng.uniform(1.9, 3.0), plan.height - 0.15))
        p = centre + np.array([away * np.cos(azimuth), away * np.sin(azimuth), 0])
        p[2] = z
        target = centre + np.array([0, 0, 0.85]) + rng.normal(0, 0.28, 3)
        camera = Camera(p, target, float(rng.uniform(42, 72)), float(rng.normal(0, 2)))
        if _within(plan, p, 0.15) and not _blocked(solid, camera):
            return camera
    corner = _inside(plan.seat.point((1.8, 2.4, 0)), plan.width, plan.depth, 0.2)
    corner[2] = min(2.4, plan.height - 0.15)
    return replace(camera, position=corner, target=centre + np.array([0, 0, 0.85]), fov=62.0)


def _blocked(solid: list[Primitive], camera: Camera) -> bool:
    """Whether the lens is inside something, or something stands within half a metre on the line of sight."""
    forward = camera.basis()[0]
    for prim in solid:
        if prim.id == ROOM_ID:
            continue
        for reach in (0.0, 0.25, 0.5):
            p = camera.position + reach * forward
            if isinstance(prim, Box):
                if np.all(np.abs(prim.rotation.T @ (p - prim.centre)) < prim.half + 0.08):
                    return True
            elif float(np.linalg.norm(p - (prim.p0 + prim.p1) / 2)) < prim.radius + 0.3:
                return True
    return False


def _people(
    plan: Plan,
    rng: np.random.Generator,
    seed: int,
    state: Officer,
    blend: tuple[Officer, Officer, float] | None,
    walk: float | None,
    leaving: bool,
    t: float,
    count: int,
    second: Frame | None,
) -> tuple[list[Primitive], list[Person]]:
    parts: list[Primitive] = []
    persons: list[Person] = []

    def add(place: Frame, posture: str, who: fig.Looks, body: tuple[Array, Array]) -> None:
        made, person = fig.figure(place, PERSON_ID + len(persons), posture, who, body)
        parts.extend(made)
        persons.append(person)

    officer = fig.looks(rng)
    if state != "absent" and walk is not None:
        place, stride = _on_the_way(plan, walk, leaving)
        add(place, "stand", officer, fig.joints("stand", officer, t, stride))
    elif state == "stand":
        toward = float(rng.uniform(-180, 180))
        add(Frame(plan.beside, plan.seat.rotation @ turn_z(toward)), "stand", officer, fig.joints("stand", officer, t))
    elif state != "absent":
        body = fig.joints(state, officer, t)
        if blend is not None:
            a, b, share = blend
            body = fig.mixed(fig.joints(a, officer, t), fig.joints(b, officer, t), share)
        add(plan.seat, state, officer, body)
    extra = np.random.default_rng([seed, 5, 5])
    for k in range(count):
        who = fig.looks(extra)
        if k == 0 and second is not None and extra.random() < 0.7:
            posture = str(extra.choice(fig.POSTURES[:4], p=(0.45, 0.25, 0.15, 0.15)))
            add(second, posture, who, fig.joints(posture, who, t))
            continue
        spot = _free_spot(plan, extra)
        stride = float(extra.uniform(0.3, 6)) if extra.random() < 0.5 else 0.0
        add(Frame(spot, turn_z(float(extra.uniform(0, 360)))), "stand", who, fig.joints("stand", who, t, stride))
    return parts, persons


def _free_spot(plan: Plan, rng: np.random.Generator) -> Array:
    spot = plan.beside
    for _ in range(20):
        spot = np.array([rng.uniform(0.4, plan.width - 0.4), rng.uniform(0.4, plan.depth - 0.4), 0.0])
        own = plan.seat.rotation.T @ (spot - plan.seat.origin)
        if not (-1.6 < own[0] < 1.6 and -0.5 < own[1] < 1.3):
            break
    return spot


def _on_the_way(plan: Plan, walk: float, leaving: bool) -> tuple[Frame, float]:
    """Place and stride of somebody between the door (0; just outside it) and the seat's side (1)."""
    start = plan.door - turn_z(plan.door_heading) @ np.array([0.0, 0.45, 0.0])
    first, second = plan.corner - start, plan.beside - plan.corner
    lengths = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    gone = float(np.clip(walk, 0.0, 1.0)) * sum(lengths)
    if gone < lengths[0] or lengths[1] < 0.05:
        way, at = first, start + first * gone / max(lengths[0], 0.05)
    else:
        way, at = second, plan.corner + second * (gone - lengths[0]) / lengths[1]
    heading = float(np.degrees(np.arctan2(way[1], way[0]))) - 90 + (180 if leaving else 0)
    return Frame(at, turn_z(heading)), 0.01 + gone / 0.7 * np.pi
