"""Who walks and drives where. `step` lets time pass; nothing here knows of rules."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from analytics.mine import Place
from analytics.simulation.layout import MACHINES, RAILS, RUN_M_S, Layout

WALK_M_S = (1.0, 1.5)
WANDER_M = 6.0
"""How far around the place of work people move."""
FIDGET_S = (4.0, 60.0)
"""A person at work takes some steps after this."""
CHANGE_S = (600.0, 2400.0)
"""After this somebody goes elsewhere."""
WALKWAY_M = 2.6
"""From the middle of a road to where people walk."""
BESIDE_M = (2.4, 7.0)
"""Where people work beside rails."""
YIELD_M, TRACK_M = 30.0, 1.9
"""Nobody steps on the track while a car that moves is so near."""
PICK_UP_M_S2 = 0.4
TRAFFIC_S = 600.0
"""Cars drive in the first half of every ten minutes; in the second they stand."""
HALT_S = (60.0, 400.0)
"""How long a car stands at an end."""


@dataclass(slots=True)
class Mover:
    """One tag."""

    tag: str
    vehicle: bool
    node: str
    place: Place
    home: str
    speed_m_s: float
    aim: list[Place] = field(default_factory=list)
    """Points still to be reached."""
    way: list[str] = field(default_factory=list)
    """Nodes still to be reached."""
    wait_s: float = 0.0
    now_m_s: float = 0.0
    change_s: float = 0.0
    held: bool = False
    """An injection moves it; nobody else does."""
    silent: bool = False
    """Its tag is not heard."""
    stopped: bool = False
    """It stands still whatever it had in mind."""

    def stand(self, seconds: float) -> None:
        self.way, self.aim, self.wait_s = [], [], seconds


def siding(node: Place, tag: str) -> Place:
    """Where a car halts, off the road."""
    return node[0] + 5.5 * int(tag[1:]), node[1] - 5.0, node[2]


def walkway(node: Place) -> Place:
    """Where people pass a node: beside the rails, not on them."""
    return node[0], node[1] + WALKWAY_M, node[2]


class Motion:
    """Everybody underground."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self.layout = layout
        self.random = rng = random.Random(f"motion {seed}")
        self.movers: dict[str, Mover] = {}
        self._taken: dict[str, frozenset[str]] = {}
        """Car → the piece of road that it drives on."""
        self._clock_s = 0.0
        self.acting: set[str] = set()
        for tag, home in layout.work.items():
            x, y, z = layout.nodes[home]
            place = (x + rng.uniform(-WANDER_M, WANDER_M), y + rng.uniform(-WANDER_M, WANDER_M), z)
            if home in RAILS:
                place = (place[0], y + rng.uniform(*BESIDE_M), z)
            self.movers[tag] = Mover(
                tag, False, home, place, home, rng.uniform(*WALK_M_S),
                wait_s=rng.uniform(*FIDGET_S), change_s=rng.uniform(*CHANGE_S),
            )  # fmt: skip
        for tag, kind, home, _ in MACHINES:
            if kind == "mine_car":
                home = rng.choice(RAILS)
            x, y, z = layout.nodes[home]
            place = siding((x, y, z), tag) if kind == "mine_car" else (x + 4.0, y - 4.0, z)
            speed = RUN_M_S if kind == "mine_car" else 1.5 if kind == "monorail" else 0.08
            self.movers[tag] = Mover(tag, True, home, place, home, speed, wait_s=rng.uniform(0.0, 900.0))

    def send(self, mover: Mover, goal: str, allowed: frozenset[str] | None = None) -> None:
        """On the shortest way."""
        mover.wait_s = 0.0
        mover.way = self.layout.route(mover.node, goal, allowed)
        mover.aim = []

    @property
    def driving(self) -> set[str]:
        """Cars that are under way, or are driven by an act."""
        return set(self._taken) | self.acting

    def step(self, seconds: float) -> None:
        """Let time pass."""
        self._clock_s += seconds
        for mover in self.movers.values():
            if mover.held or mover.stopped:
                continue
            if mover.aim or mover.way:
                self._go(mover, seconds)
                continue
            self._taken.pop(mover.tag, None)
            mover.now_m_s = 0.0
            mover.wait_s -= seconds
            mover.change_s -= seconds
            if mover.wait_s <= 0:
                (self._decide_car if mover.vehicle else self._decide)(mover)

    def _decide(self, mover: Mover) -> None:
        rng = self.random
        mover.wait_s = rng.uniform(*FIDGET_S)
        if mover.change_s <= 0:
            mover.change_s = rng.uniform(*CHANGE_S)
            goals = [mover.home] if mover.node != mover.home else [rng.choice(self.layout.neighbours(mover.node))]
            self.send(mover, goals[0])
            return
        x, y, z = self.layout.nodes[mover.node]
        if mover.node != mover.home and self.layout.facts.zones[mover.node].kind in ("face", "heading"):
            x -= 14.0  # visitors keep away from the machines
        low, high = BESIDE_M if mover.node in RAILS else (-WANDER_M, WANDER_M)
        mover.aim = [(x + rng.uniform(-WANDER_M, WANDER_M), y + rng.uniform(low, high), z)]

    def _decide_car(self, mover: Mover) -> None:
        """Drive to a neighbouring place on the rails, if nobody is on that piece of the road or one that joins it."""
        rng = self.random
        mover.wait_s = rng.uniform(*HALT_S)
        if self._clock_s % TRAFFIC_S > TRAFFIC_S / 2 and mover.node in RAILS:
            mover.wait_s = rng.uniform(5.0, TRAFFIC_S / 2)
            return
        if mover.node not in RAILS:
            if mover.tag.startswith("S"):  # a shearer creeps along its face
                x, y, z = self.layout.nodes[mover.node]
                mover.aim = [(x + 4.0, y - 4.0 + rng.uniform(-8.0, 8.0), z)]
            return
        goals = [one for one in self.layout.neighbours(mover.node) if one in RAILS]
        goal = rng.choice(goals)
        road = frozenset((mover.node, goal))
        if not self.acting and not any(road & taken for taken in self._taken.values()):
            self._taken[mover.tag] = road
            x, y, z = self.layout.nodes[goal]
            halt = siding((x, y, z), mover.tag)
            mover.aim = [(mover.place[0], mover.place[1] + 5.0, mover.place[2]), (halt[0], y, z), halt]
            mover.node = goal

    def _waits(self, mover: Mover) -> bool:
        """A person at the edge of the track lets a car pass."""
        x, y, _ = mover.place
        goal = mover.aim[0] if mover.aim else walkway(self.layout.nodes[mover.way[0]])
        if abs(y) < TRACK_M or abs(y) > TRACK_M + 2.0 or (abs(goal[1]) >= TRACK_M and goal[1] * y > 0):
            return False
        return any(abs(self.movers[tag].place[0] - x) < YIELD_M for tag in self.driving)

    def _go(self, mover: Mover, seconds: float) -> None:
        if not mover.vehicle and self.driving and self._waits(mover):
            return
        speed = mover.speed_m_s
        if mover.vehicle:
            mover.now_m_s = speed = min(speed, mover.now_m_s + PICK_UP_M_S2 * seconds)
        left = speed * seconds
        while left > 0 and (mover.aim or mover.way):
            if not mover.aim:
                node = mover.way.pop(0)
                goal = self.layout.nodes[node]
                mover.node = node
                mover.aim = [walkway(goal) if not mover.vehicle else goal]
            goal = mover.aim[0]
            distance = math.dist(mover.place, goal)
            if distance > left:
                x, y, z = (a + (b - a) * left / distance for a, b in zip(mover.place, goal, strict=True))
                mover.place = (x, y, z)
                return
            left -= distance
            mover.place = goal
            mover.aim.pop(0)

    def near(self, place: Place) -> str:
        """The node whose reader hears a tag there."""
        return nearest(self.layout, place)


def nearest(layout: Layout, place: Place) -> str:
    """The nearest node."""
    x, y, _ = place
    return min(layout.nodes, key=lambda name: (layout.nodes[name][0] - x) ** 2 + (layout.nodes[name][1] - y) ** 2)


def persons(movers: Sequence[Mover]) -> list[Mover]:
    return [one for one in movers if not one.vehicle]
