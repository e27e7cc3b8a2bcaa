"""A mine underground: nodes that roads join, and what the rules know of it. Metres; +z is up."""

import heapq
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from analytics.mine import (
    Drift,
    Fence,
    Machine,
    MachineKind,
    Mine,
    MineFacts,
    PersonCard,
    Place,
    Point,
    Quota,
    Shift,
    Zone,
    ZoneKind,
)

NODES: Mapping[str, tuple[ZoneKind, Place]] = {
    "shaft": ("gate", (0, 0, -420)),
    "waiting": ("rest", (25, 40, -420)),
    "pump-room": ("work", (60, -45, -421)),
    "substation": ("work", (70, 50, -421)),
    "haulage-1": ("roadway", (250, 0, -423)),
    "haulage-2": ("roadway", (500, 0, -427)),
    "haulage-3": ("roadway", (750, 0, -432)),
    "belt-1": ("roadway", (250, 60, -424)),
    "belt-2": ("roadway", (500, 60, -428)),
    "refuge": ("refuge", (520, 25, -427)),
    "rest-2": ("rest", (730, 30, -432)),
    "heading-1": ("heading", (760, 240, -438)),
    "heading-2": ("heading", (500, 290, -436)),
    "face-1": ("face", (900, -160, -446)),
    "face-2": ("face", (640, -230, -444)),
    "return-1": ("roadway", (520, -140, -433)),
    "return-2": ("roadway", (250, -130, -427)),
    "incline": ("roadway", (880, 20, -462)),
}
"""Node, which is a zone too → kind and place."""

ROADS: tuple[tuple[str, str], ...] = (
    ("shaft", "waiting"), ("shaft", "pump-room"), ("shaft", "substation"), ("shaft", "haulage-1"),
    ("haulage-1", "haulage-2"), ("haulage-2", "haulage-3"), ("haulage-1", "belt-1"), ("belt-1", "belt-2"),
    ("belt-2", "heading-2"), ("haulage-2", "refuge"), ("haulage-3", "rest-2"), ("rest-2", "heading-1"),
    ("haulage-3", "face-1"), ("haulage-2", "face-2"), ("face-2", "return-1"), ("face-1", "return-1"),
    ("return-1", "return-2"), ("return-2", "haulage-1"), ("haulage-3", "incline"),
)  # fmt: skip
RAILS = ("haulage-1", "haulage-2", "haulage-3", "shaft")
"""Where cars run."""
BESIDE_RAILS = ("pump-room", "substation", "waiting", "refuge", "rest-2")
"""Readers that may hear a car on the rails too."""
ONE_WAY = ("return-1", "return-2")
"""Machines go from the first to the second."""
CHECKER = "瓦检员"
CREWS: Mapping[str, int] = {
    "face-1": 22, "face-2": 20, "heading-1": 14, "heading-2": 13, "pump-room": 2, "substation": 2, "haulage-1": 10,
    "haulage-2": 12, "haulage-3": 10, "belt-1": 8, "belt-2": 8, "return-1": 8, "return-2": 5, "incline": 6,
    "waiting": 10,
}  # fmt: skip
"""Where 150 people work."""
QUOTAS: Mapping[str, int] = {"face-1": 25, "face-2": 25, "heading-1": 18, "heading-2": 18}
MACHINES: tuple[tuple[str, MachineKind, str, str], ...] = (
    *((f"V{n:02d}", "mine_car", ("haulage-1", "haulage-2", "haulage-3", "shaft")[n % 4], "") for n in range(1, 23)),
    ("S01", "shearer", "face-1", "shearer-1"), ("S02", "shearer", "face-2", "shearer-2"),
    ("H01", "roadheader", "heading-1", "roadheader-1"), ("H02", "roadheader", "heading-2", "roadheader-2"),
    ("L01", "loader", "heading-1", "loader-1"), ("L02", "loader", "heading-2", "loader-2"),
    ("M01", "monorail", "return-1", ""), ("M02", "monorail", "return-2", ""),
)  # fmt: skip
"""Tag, kind, where it begins, its power terminal: 30 of them."""
LIMIT_M_S = 5.0
RUN_M_S = 3.2
"""What a car usually drives."""
GOAF: Mapping[str, tuple[str, tuple[Point, ...]]] = {
    "goaf-1": ("face-1", ((912, -190), (950, -190), (950, -135), (912, -135))),
    "goaf-2": ("face-2", ((655, -260), (690, -260), (690, -210), (655, -210))),
}
"""Danger zone → the face that it lies beside, outline."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One mine: what everybody knows, and where its nodes are."""

    facts: MineFacts
    nodes: Mapping[str, Place]
    work: Mapping[str, str]
    """Tag of a person → where the person works."""

    def neighbours(self, node: str) -> tuple[str, ...]:
        return self.facts.zones[node].neighbours

    def route(self, start: str, goal: str, allowed: frozenset[str] | None = None) -> list[str]:
        """The nodes of the shortest way, without the first; empty when there is none or start is goal."""
        best: list[tuple[float, str, list[str]]] = [(0.0, start, [])]
        seen: set[str] = set()
        while best:
            length, node, way = heapq.heappop(best)
            if node == goal:
                return way
            if node in seen:
                continue
            seen.add(node)
            for other in self.neighbours(node):
                if allowed is None or other in allowed:
                    step = math.dist(self.nodes[node], self.nodes[other])
                    heapq.heappush(best, (length + step, other, [*way, other]))
        return []


def layout(seed: int, site: str = "hongqi") -> Layout:
    """A mine; seeds differ in distances, and in who works where."""
    rng = random.Random(f"layout {seed}")
    stretch = rng.uniform(0.9, 1.15)
    nodes = {name: (x * stretch, y * stretch, z) for name, (_, (x, y, z)) in NODES.items()}
    around: dict[str, list[str]] = {name: [] for name in NODES}
    for one, two in ROADS:
        around[one].append(two)
        around[two].append(one)
    zones = {
        name: Zone(name, Fence(), name, name, kind, neighbours=tuple(around[name]), stations=(f"station-{name}",))
        for name, (kind, _) in NODES.items()
    }
    for name, (beside, outline) in GOAF.items():
        fence = Fence(tuple((x * stretch, y * stretch) for x, y in outline))
        zones[name] = Zone(name, fence, name, name, "danger", allow_jobs=(CHECKER,), neighbours=(beside,))
    people, work = _people(rng)
    facts = MineFacts(
        site,
        1,
        Mine(expected_period_s=2.0),
        shifts={
            name: Shift(name, begins, ends)
            for name, begins, ends in (
                ("night", 0.0, 28_800.0),
                ("day", 28_800.0, 57_600.0),
                ("evening", 57_600.0, 0.0),
            )
        },
        drifts=_drifts(nodes),
        zones=zones,
        quotas={name or "all": Quota(name or "all", count, name) for name, count in {**QUOTAS, "": 175}.items()},
        people=people,
        machines={tag: _machine(tag, kind, device) for tag, kind, _, device in MACHINES},
    )
    return Layout(facts, nodes, work)


_JOBS: Mapping[ZoneKind, tuple[str, ...]] = {
    "face": ("采煤工", "采煤工", "采煤机司机", "支护工"),
    "heading": ("掘进工", "掘进工", "掘进机司机", "支护工"),
}


def _people(rng: random.Random) -> tuple[dict[str, PersonCard], dict[str, str]]:
    people: dict[str, PersonCard] = {}
    work: dict[str, str] = {}
    for place, count in CREWS.items():
        for number in range(count):
            tag = f"P{len(people) + 1:03d}"
            kind = NODES[place][0]
            jobs = _JOBS.get(kind, ("机电工", "运输工", "皮带工"))
            job = CHECKER if number == 1 and kind in ("face", "heading") else rng.choice(jobs)
            leader = number == 0 and kind in ("face", "heading")
            people[tag] = PersonCard(tag, job, shift="day", leader=leader, special=job == CHECKER)
            work[tag] = place
    return people, work


def _machine(tag: str, kind: MachineKind, device: str) -> Machine:
    operators: dict[str, tuple[str, ...]] = {
        "shearer": ("采煤机司机", "采煤工", "支护工", CHECKER),
        "roadheader": ("掘进机司机", "掘进工", "支护工", CHECKER),
        "loader": ("掘进机司机", "掘进工", "支护工", CHECKER),
    }
    car = kind == "mine_car"
    return Machine(
        tag, (tag,), kind, device=device, speed_limit_mps=LIMIT_M_S if car else 3.0,
        zones=(*RAILS, "incline", *BESIDE_RAILS) if car else (), operators=operators.get(kind, ()),
    )  # fmt: skip


def _drifts(nodes: Mapping[str, Place]) -> dict[str, Drift]:
    return {
        f"{one}.{two}": Drift(
            f"{one}.{two}", (nodes[one], nodes[two]), speed_limit_mps=LIMIT_M_S,
            direction="forward" if (one, two) == ONE_WAY else "both", out="start",
        )
        for one, two in ROADS
    }  # fmt: skip
