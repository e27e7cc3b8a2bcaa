"""Ways out of a mine: how far it is along the roadways from any place to the nearest way out. Pure.

Roadways (`Drift`) are joined where an end of one lies near another. From every way out (a zone of kind `gate` or
`shaft_mouth`, or the end of a roadway that `out` names) the shortest distances spread over that net (Dijkstra). What is
nearer to a way out by this measure is on the way; straight-line distance says little in a mine.
"""

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from analytics.fences import Segment, along, segments
from analytics.mine import MineFacts, Place, Zone

JOIN_M = 15.0
"""An end of a roadway this near to another one leads into it."""
REACH_M = 30.0
"""A place further from every roadway is on none of them."""
EXIT_KINDS = frozenset({"gate", "shaft_mouth"})
EXIT_REACH_M = 100.0
"""A way out this near to a roadway belongs to it."""
CELL_M = 100.0


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a place is in the net."""

    drift: str
    chainage_m: float
    to_exit_m: float | None
    """Along the roadways; None: no way out is reached from there."""


@dataclass(slots=True)
class _Way:
    """One roadway: its centre line, and the nodes on it by chainage."""

    line: tuple[Segment, ...]
    length_m: float
    nodes: dict[int, float] = field(default_factory=dict)
    """Node → chainage."""


class Ways:
    """The net of one mine. Made anew when the facts change."""

    def __init__(self, facts: MineFacts) -> None:
        self._ways: dict[str, _Way] = {}
        self._links: list[list[tuple[int, float]]] = []
        self._grid: dict[tuple[int, int], list[tuple[str, Segment]]] = {}
        """Pieces of roadways that are within `EXIT_REACH_M` of a cell."""
        ends: list[tuple[str, Place]] = []
        for one in facts.drifts.values():
            if one.closed:
                continue
            line = segments(one.line)
            dx, dy, dz, _, start = line[-1][3:]
            self._ways[one.drift] = _Way(line, start + math.sqrt(dx * dx + dy * dy + dz * dz))
            ends += [(one.drift, one.line[0]), (one.drift, one.line[-1])]
            for piece in line:
                self._lay(one.drift, piece)
        self._join(ends)
        exits = [self._node(*found) for place in _exits(facts) if (found := self._nearest(place, EXIT_REACH_M))]
        for one in facts.drifts.values():
            if one.out and one.drift in self._ways:
                exits.append(self._node(one.drift, 0.0 if one.out == "start" else self._ways[one.drift].length_m))
        self._string()
        self._distances = self._spread(exits)

    def stand(self, x: float, y: float, z: float) -> Stand | None:
        """Where a place is, and how far it is to a way out; None: on no roadway."""
        found = self._nearest((x, y, z), REACH_M)
        if found is None:
            return None
        drift, chainage = found
        ways = [
            self._distances[node] + abs(at - chainage)
            for node, at in self._ways[drift].nodes.items()
            if self._distances[node] < math.inf
        ]
        return Stand(drift, chainage, min(ways, default=None))

    # --- the net ---

    def _lay(self, drift: str, piece: Segment) -> None:
        x0, y0, _, dx, dy = piece[:5]
        for i in range(*_cells(x0, x0 + dx)):
            for j in range(*_cells(y0, y0 + dy)):
                self._grid.setdefault((i, j), []).append((drift, piece))

    def _nearest(self, place: Place, reach_m: float) -> tuple[str, float] | None:
        """The nearest roadway and the chainage there; None: none within `reach_m` (at most `EXIT_REACH_M`)."""
        near = self._offs(place, reach_m)
        best = min(near, key=lambda drift: near[drift][0], default=None)
        return None if best is None else (best, near[best][1])

    def _near(self, place: Place, reach_m: float, but: str) -> dict[str, float]:
        """All roadways but one within `reach_m`, and the chainage of each there."""
        return {drift: chainage for drift, (_, chainage) in self._offs(place, reach_m).items() if drift != but}

    def _offs(self, place: Place, reach_m: float) -> dict[str, tuple[float, float]]:
        """Roadway → (metres off, chainage), at its nearest point."""
        near: dict[str, tuple[float, float]] = {}
        for drift, piece in self._grid.get((math.floor(place[0] / CELL_M), math.floor(place[1] / CELL_M)), ()):
            found = along((piece,), *place)
            off = math.hypot(found.off_m, found.drop_m)
            if off <= reach_m and (drift not in near or off < near[drift][0]):
                near[drift] = (off, found.chainage_m)
        return near

    def _node(self, drift: str, chainage: float) -> int:
        way = self._ways[drift]
        for node, at in way.nodes.items():
            if abs(at - chainage) < 0.5:
                return node
        way.nodes[len(self._links)] = chainage
        self._links.append([])
        return len(self._links) - 1

    def _join(self, ends: Iterable[tuple[str, Place]]) -> None:
        for drift, place in ends:
            here = self._node(drift, along(self._ways[drift].line, *place).chainage_m)
            for other in self._near(place, JOIN_M, but=drift).items():
                self._link(here, self._node(*other), 0.0)

    def _string(self) -> None:
        """Link the nodes of each roadway in their order."""
        for way in self._ways.values():
            row = sorted(way.nodes.items(), key=lambda one: one[1])
            for (one, at), (two, then) in pairwise(row):
                self._link(one, two, then - at)

    def _link(self, one: int, two: int, metres: float) -> None:
        self._links[one].append((two, metres))
        self._links[two].append((one, metres))

    def _spread(self, exits: Iterable[int]) -> list[float]:
        distances = [math.inf] * len(self._links)
        waiting = [(0.0, node) for node in exits]
        while waiting:
            metres, node = heapq.heappop(waiting)
            if metres >= distances[node]:
                continue
            distances[node] = metres
            for other, more in self._links[node]:
                if metres + more < distances[other]:
                    heapq.heappush(waiting, (metres + more, other))
        return distances


def _cells(one: float, two: float) -> tuple[int, int]:
    low, high = min(one, two) - EXIT_REACH_M, max(one, two) + EXIT_REACH_M
    return math.floor(low / CELL_M), math.floor(high / CELL_M) + 1


def _exits(facts: MineFacts) -> Iterable[Place]:
    for zone in facts.zones.values():
        if zone.kind in EXIT_KINDS and (place := _middle(zone, facts)) is not None:
            yield place


def _middle(zone: Zone, facts: MineFacts) -> Place | None:
    """About the middle of a zone."""
    fence = zone.fence
    if fence.outline:
        xs, ys = zip(*fence.outline, strict=True)
        low, high = _heights(zone, facts.levels)
        return sum(xs) / len(xs), sum(ys) / len(ys), (low + high) / 2
    drift = facts.drifts.get(fence.drift)
    if drift is None:
        return None
    line = segments(drift.line)
    whole = line[-1][7] + math.dist(drift.line[-1], drift.line[-2])
    first, last = fence.from_m or 0.0, whole if fence.to_m is None else min(fence.to_m, whole)
    return _at(line, (first + last) / 2)


def _heights(zone: Zone, levels: Mapping[str, object]) -> tuple[float, float]:
    level = levels.get(zone.fence.level)
    low = zone.fence.z_low_m if zone.fence.z_low_m is not None else getattr(level, "z_low_m", 0.0)
    high = zone.fence.z_high_m if zone.fence.z_high_m is not None else getattr(level, "z_high_m", 0.0)
    return float(low), float(high)


def _at(line: Iterable[Segment], chainage: float) -> Place:
    """The point of a centre line at a chainage."""
    place: Place = (0.0, 0.0, 0.0)
    for x0, y0, z0, dx, dy, dz, flat, start in line:
        length = math.sqrt(flat * flat + dz * dz)
        share = (chainage - start) / length if length else 0.0
        place = (x0 + share * dx, y0 + share * dy, z0 + share * dz)
        if share <= 1.0:
            break
    return place
