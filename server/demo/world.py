"""The roadways of the simulated mine, and who walks them. Seeded: equal seeds give equal days.

Distances are metres in a grid of the mine's own; `z` is height, below zero underground.
"""

import heapq
import math
import random
from dataclasses import dataclass
from typing import Literal

Place = tuple[float, float, float]

ZONES: dict[str, Place] = {
    "shaft-bottom": (0.0, 0.0, -420.0),
    "pump-room": (30.0, -20.0, -420.5),
    "substation": (35.0, 18.0, -420.0),
    "main-haulage": (110.0, 0.0, -422.0),
    "belt-roadway": (115.0, 35.0, -423.0),
    "crossing": (215.0, 10.0, -425.0),
    "heading": (320.0, 65.0, -429.0),
    "face": (345.0, -30.0, -432.0),
    "return-airway": (240.0, -40.0, -427.0),
}
"""Name of a zone → its middle."""

ROADS: tuple[tuple[str, str], ...] = (
    ("shaft-bottom", "pump-room"),
    ("shaft-bottom", "substation"),
    ("shaft-bottom", "main-haulage"),
    ("shaft-bottom", "belt-roadway"),
    ("main-haulage", "crossing"),
    ("belt-roadway", "crossing"),
    ("crossing", "heading"),
    ("crossing", "face"),
    ("face", "return-airway"),
    ("crossing", "return-airway"),
)

WALK_M_S = 1.3
DRIVE_M_S = 3.5
LANE_M = 4.5
"""Vehicles keep so far from the footway."""
STAY_S = (20.0, 90.0)
GATHERING = 18
PERSONS_UNDERGROUND, VEHICLES = 36, 6
JOBS = ("采煤工", "掘进工", "机电工", "瓦检员", "水泵工", "皮带工")


def _neighbours() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {zone: [] for zone in ZONES}
    for one, two in ROADS:
        found[one].append(two)
        found[two].append(one)
    return found


NEIGHBOURS = _neighbours()


def route(start: str, goal: str) -> list[str]:
    """The zones of the shortest way, without the first."""
    best: list[tuple[float, str, list[str]]] = [(0.0, start, [])]
    seen: set[str] = set()
    while best:
        length, zone, way = heapq.heappop(best)
        if zone == goal:
            return way
        if zone in seen:
            continue
        seen.add(zone)
        for neighbour in NEIGHBOURS[zone]:
            step = math.dist(ZONES[zone], ZONES[neighbour])
            heapq.heappush(best, (length + step, neighbour, [*way, neighbour]))
    raise ValueError(f"No way leads from {start} to {goal}.")


@dataclass(slots=True)
class Walker:
    """One tag."""

    tag: str
    kind: Literal["person", "vehicle"]
    label: str
    zone: str
    place: Place
    way: list[str]
    stays_s: float
    side_m: float
    """How far beside the middle of the road; keeps people apart."""

    @property
    def near(self) -> str:
        """The zone whose reader hears the tag: the nearer end of the road."""
        ends = [self.zone, *self.way[:1]]
        return min(ends, key=lambda zone: math.dist(self.place, ZONES[zone]))

    def go(self, goal: str) -> None:
        way = route(self.zone, goal)
        on_the_road = self.place != ZONES[self.zone]
        if on_the_road and way[:1] != self.way[:1]:
            way = [self.zone, *way]  # turn round; nobody walks through rock
        self.way, self.stays_s = way, 0.0


class People:
    """Everybody underground.

    Args:
        persons, vehicles: how many tags of each kind.
    """

    def __init__(self, seed: int, persons: int = PERSONS_UNDERGROUND, vehicles: int = VEHICLES) -> None:
        self._random = random.Random(f"people {seed}")
        self._called: set[str] = set()
        self.walkers = [self._new(f"P{n:03d}", "person", JOBS[n % len(JOBS)]) for n in range(1, persons + 1)]
        self.walkers += [self._new(f"V{n:02d}", "vehicle", "无轨胶轮车") for n in range(1, vehicles + 1)]

    def gather(self, zone: str | None) -> None:
        """The `GATHERING` persons nearest to `zone` walk there and stay; None lets them go on with their work."""
        if zone is None:
            for walker in self.walkers:
                if walker.tag in self._called:
                    walker.stays_s = self._random.uniform(0.0, 15.0)
            self._called = set()
            return
        persons = [walker for walker in self.walkers if walker.kind == "person"]
        persons.sort(key=lambda walker: math.dist(walker.place, ZONES[zone]))
        self._called = {walker.tag for walker in persons[:GATHERING]}
        for walker in persons[:GATHERING]:
            walker.go(zone)

    def step(self, seconds: float) -> None:
        """Let time pass."""
        for walker in self.walkers:
            self._move(walker, seconds)

    def _new(self, tag: str, kind: Literal["person", "vehicle"], label: str) -> Walker:
        roads = ("main-haulage", "crossing", "belt-roadway") if kind == "vehicle" else tuple(ZONES)
        zone = self._random.choice(roads)
        stays_s = self._random.uniform(0.0, STAY_S[1])
        side_m = self._random.uniform(-2.0, 2.0)
        if kind == "vehicle":
            side_m += LANE_M
        return Walker(tag, kind, label, zone, ZONES[zone], [], stays_s, side_m)

    def _move(self, walker: Walker, seconds: float) -> None:
        if not walker.way:
            walker.stays_s -= seconds
            if walker.stays_s <= 0 and walker.tag not in self._called:
                goals = [zone for zone in ZONES if zone not in (walker.zone, "return-airway")]
                walker.go(self._random.choice(goals))
            return
        left = (WALK_M_S if walker.kind == "person" else DRIVE_M_S) * seconds
        while walker.way and left > 0:
            goal = ZONES[walker.way[0]]
            distance = math.dist(walker.place, goal)
            if distance > left:
                share = left / distance
                x, y, z = (here + (there - here) * share for here, there in zip(walker.place, goal, strict=True))
                walker.place = (x, y, z)
                return
            left -= distance
            walker.zone = walker.way.pop(0)
            walker.place = goal
        if not walker.way:
            walker.stays_s = self._random.uniform(*STAY_S)
