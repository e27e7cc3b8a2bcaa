"""In which zones is a point? Pure, and made for tens of thousands of points a second.

The fences lie in a grid of square cells; a point looks only at the fences whose box touches its cell. A cell that lies
wholly inside a fence (the common case: zones are larger than cells) needs no look at its outline at all. A zone is a
polygon, or a span of a roadway: all points no further from the centre line than half its width.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from analytics.mine import Drift, Level, MineFacts, Place, Point, Zone

CELLS_A_SIDE = 256
"""Of the grid over everything that is fenced."""
BLOCK = 16
"""Cells a side of a block."""
Segment = tuple[float, float, float, float, float, float, float, float]
"""x0, y0, z0, dx, dy, dz, length seen from above, chainage at its start."""


@dataclass(frozen=True, slots=True)
class Along:
    """Where a point is relative to a roadway."""

    chainage_m: float
    off_m: float
    """Distance to the centre line, seen from above."""
    drop_m: float
    """How far above the centre line."""


def contains(outline: Sequence[Point], x: float, y: float) -> bool:
    """Even-odd rule; a point on a left or lower edge counts as inside, one on a right or upper edge does not."""
    inside = False
    x0, y0 = outline[-1]
    for x1, y1 in outline:
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
        x0, y0 = x1, y1
    return inside


def area(outline: Sequence[Point]) -> float:
    """Square metres, whichever way round."""
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in _edges(outline))) / 2


def crosses_itself(outline: Sequence[Point]) -> bool:
    """Whether two edges that are no neighbours meet. Quadratic: outlines are short."""
    edges = list(_edges(outline))
    last = len(edges) - 1
    for i, one in enumerate(edges):
        for j in range(i + 2, len(edges)):
            if not (i == 0 and j == last) and _meet(*one, *edges[j]):
                return True
    return False


def distance_to_outline(outline: Sequence[Point], x: float, y: float) -> float:
    """Metres to the nearest edge, whether the point is inside or not."""
    return min(_to_segment(x, y, *one, *two) for one, two in _edges(outline))


def segments(line: Sequence[Place]) -> tuple[Segment, ...]:
    """A centre line prepared for `along`. Chainage counts along the slope."""
    made: list[Segment] = []
    chainage = 0.0
    for (x0, y0, z0), (x1, y1, z1) in pairwise(line):
        dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
        made.append((x0, y0, z0, dx, dy, dz, math.hypot(dx, dy), chainage))
        chainage += math.sqrt(dx * dx + dy * dy + dz * dz)
    return tuple(made)


def along(line: Sequence[Segment], x: float, y: float, z: float) -> Along:
    """The nearest point of a centre line."""
    best = Along(0.0, math.inf, 0.0)
    for x0, y0, z0, dx, dy, dz, flat, start in line:
        share = ((x - x0) * dx + (y - y0) * dy) / (flat * flat) if flat else 0.0
        share = 0.0 if share < 0.0 else 1.0 if share > 1.0 else share
        off = math.hypot(x - x0 - share * dx, y - y0 - share * dy)
        if off < best.off_m:
            slope = math.sqrt(flat * flat + dz * dz)
            best = Along(start + share * slope, off, z - z0 - share * dz)
    return best


def span_outline(line: Sequence[Place], from_m: float, to_m: float, half_m: float) -> tuple[Point, ...]:
    """A span of a roadway as an outline, for drawing; its corners are mitred only roughly."""
    middle: list[Point] = []
    for x0, y0, _z0, dx, dy, dz, flat, start in segments(line):
        length = math.sqrt(flat * flat + dz * dz)
        first, last = max(0.0, from_m - start), min(length, to_m - start)
        if length and first <= last:
            middle += [(x0 + dx * at / length, y0 + dy * at / length) for at in (first, last)]
    middle = [one for n, one in enumerate(middle) if n == 0 or one != middle[n - 1]]
    if len(middle) < 2:
        return ()
    left: list[Point] = []
    right: list[Point] = []
    for n, (x, y) in enumerate(middle):
        (ax, ay), (bx, by) = middle[max(0, n - 1)], middle[min(len(middle) - 1, n + 1)]
        length = math.hypot(bx - ax, by - ay) or 1.0
        ox, oy = -(by - ay) / length * half_m, (bx - ax) / length * half_m
        left.append((x + ox, y + oy))
        right.append((x - ox, y - oy))
    return (*left, *reversed(right))


def _edges(outline: Sequence[Point]) -> Iterable[tuple[Point, Point]]:
    return zip(outline, (*outline[1:], outline[0]), strict=True)


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    one, two, three, four = _side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)
    if one * two < 0 and three * four < 0:
        return True
    touching = ((one, a, b, c), (two, a, b, d), (three, c, d, a), (four, c, d, b))
    return any(side == 0 and _between(p, q, r) for side, p, q, r in touching)


def _between(a: Point, b: Point, c: Point) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def _to_segment(x: float, y: float, x0: float, y0: float, x1: float, y1: float) -> float:
    dx, dy = x1 - x0, y1 - y0
    square = dx * dx + dy * dy
    share = max(0.0, min(1.0, ((x - x0) * dx + (y - y0) * dy) / square)) if square else 0.0
    return math.hypot(x - x0 - share * dx, y - y0 - share * dy)


class _Shape:
    """One fence, ready to be asked."""

    __slots__ = ("box", "from_m", "half_m", "high", "line", "low", "outline", "size", "to_m", "zone")

    def __init__(self, zone: Zone, levels: Mapping[str, Level], drifts: Mapping[str, Drift]) -> None:
        fence = zone.fence
        level = levels.get(fence.level)
        self.zone = zone.zone
        self.low = max(level.z_low_m if level else -math.inf, -math.inf if fence.z_low_m is None else fence.z_low_m)
        self.high = min(level.z_high_m if level else math.inf, math.inf if fence.z_high_m is None else fence.z_high_m)
        self.outline: tuple[Point, ...] = fence.outline
        self.line: tuple[Segment, ...] = ()
        self.half_m = 0.0
        self.from_m, self.to_m = fence.from_m or 0.0, math.inf if fence.to_m is None else fence.to_m
        drift = drifts.get(fence.drift)
        if not self.outline and drift is not None:
            self.line, self.half_m = segments(drift.line), drift.width_m / 2
            self.size = self._span_length() * drift.width_m
            places = [(x, y) for x, y, _ in drift.line]
        else:
            self.size = area(self.outline) if self.outline else math.inf
            places = list(self.outline)
        xs, ys = [x for x, _ in places] or [0.0], [y for _, y in places] or [0.0]
        m = self.half_m
        self.box = (min(xs) - m, min(ys) - m, max(xs) + m, max(ys) + m)

    def _span_length(self) -> float:
        dx, dy, dz, _, start = self.line[-1][3:]
        return min(self.to_m, start + math.sqrt(dx * dx + dy * dy + dz * dz)) - self.from_m

    def holds(self, x: float, y: float) -> bool:
        if self.outline:
            return contains(self.outline, x, y)
        if not self.line:
            return False
        found = along(self.line, x, y, 0.0)
        return found.off_m <= self.half_m and self.from_m <= found.chainage_m <= self.to_m

    def cell(self, x0: float, y0: float, x1: float, y1: float) -> bool | None:
        """The rectangle lies wholly inside (True), wholly outside (None), or must be looked at (False)."""
        if not self.outline:
            return False
        edges = list(_edges(self.outline))
        corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        crossed = any(x0 <= x <= x1 and y0 <= y <= y1 for x, y in self.outline) or any(
            _meet(*edge, *side) for edge in edges for side in _edges(corners)
            if min(edge[0][0], edge[1][0]) <= x1 and max(edge[0][0], edge[1][0]) >= x0
            and min(edge[0][1], edge[1][1]) <= y1 and max(edge[0][1], edge[1][1]) >= y0
        )  # fmt: skip
        if crossed:
            return False
        return True if contains(self.outline, (x0 + x1) / 2, (y0 + y1) / 2) else None


class FenceIndex:
    """The fences of one mine. Made anew when the facts change (`FenceIndex.of`).

    A cell is worked out when a point first falls into it: a mine may have tens of thousands of cells, of which people
    and machines visit a few thousand, and a change of the facts must not hold up the server.
    """

    def __init__(self, facts: MineFacts) -> None:
        self.version = facts.version
        self._lines = {drift.drift: segments(drift.line) for drift in facts.drifts.values()}
        self._levels = sorted(facts.levels.values(), key=lambda one: one.z_high_m - one.z_low_m)
        shapes = [_Shape(zone, facts.levels, facts.drifts) for zone in facts.zones.values()]
        self._shapes = {one.zone: one for one in shapes}
        drawn = sorted((one for one in shapes if one.outline or one.line), key=lambda one: (one.size, one.zone))
        self._cells: dict[tuple[int, int], tuple[tuple[bool, _Shape], ...]] = {}
        self._blocks: dict[tuple[int, int], list[_Shape]] = {}
        """Shapes whose box touches a square of `BLOCK` x `BLOCK` cells, the smallest first."""
        self._cell_m = 1.0
        if drawn:
            self._spread(drawn)

    @classmethod
    def of(cls, facts: MineFacts) -> "FenceIndex":
        """The index of these very facts: one for all who ask (positions, rules, plans)."""
        known = _newest.get(facts.site)
        if known is None or known[0] is not facts:
            known = _newest[facts.site] = (facts, cls(facts))
        return known[1]

    def _spread(self, drawn: Sequence[_Shape]) -> None:
        width = max(one.box[2] for one in drawn) - min(one.box[0] for one in drawn)
        height = max(one.box[3] for one in drawn) - min(one.box[1] for one in drawn)
        self._cell_m = max(width, height, 1.0) / CELLS_A_SIDE
        m = self._cell_m * BLOCK
        for shape in drawn:
            x0, y0, x1, y1 = (math.floor(v / m) for v in shape.box)
            for i in range(x0, x1 + 1):
                for j in range(y0, y1 + 1):
                    self._blocks.setdefault((i, j), []).append(shape)

    def _at(self, x: float, y: float) -> tuple[tuple[bool, _Shape], ...]:
        """The shapes that may hold a point, the smallest first, and whether they surely do."""
        m = self._cell_m
        key = (math.floor(x / m), math.floor(y / m))
        found = self._cells.get(key)
        return self._worked_out(*key) if found is None else found

    def _worked_out(self, i: int, j: int) -> tuple[tuple[bool, _Shape], ...]:
        shapes = self._blocks.get((i // BLOCK, j // BLOCK))
        if shapes is None:
            return ()  # not remembered: outside there is no end of cells
        m = self._cell_m
        x0, y0, x1, y1 = i * m, j * m, (i + 1) * m, (j + 1) * m
        cell: list[tuple[bool, _Shape]] = []
        for shape in shapes:
            left, low, right, high = shape.box
            if left <= x1 and right >= x0 and low <= y1 and high >= y0:
                whole = shape.cell(x0, y0, x1, y1)
                if whole is not None:
                    cell.append((whole, shape))
        self._cells[i, j] = made = tuple(cell)
        return made

    def zones_at(self, x: float, y: float, z: float) -> tuple[str, ...]:
        """All zones that hold the point, the smallest first."""
        return tuple(
            [shape.zone for whole, shape in self._at(x, y)
             if shape.low <= z < shape.high and (whole or shape.holds(x, y))]
        )  # fmt: skip

    def zone_at(self, x: float, y: float, z: float) -> str:
        """The smallest zone that holds the point; empty for none."""
        for whole, shape in self._at(x, y):
            if shape.low <= z < shape.high and (whole or shape.holds(x, y)):
                return shape.zone
        return ""

    def level_at(self, z: float) -> str:
        """The thinnest level that holds the height; empty for none."""
        for level in self._levels:
            if level.z_low_m <= z < level.z_high_m:
                return level.level
        return ""

    def along(self, drift: str, x: float, y: float, z: float) -> Along | None:
        """Where a point is along a roadway; None: there is no such roadway."""
        line = self._lines.get(drift)
        return along(line, x, y, z) if line else None

    def distance_to(self, zone: str, x: float, y: float, z: float) -> float | None:
        """Metres to the boundary of a zone seen from above, 0 inside; None: no such fence, or another level."""
        shape = self._shapes.get(zone)
        if shape is None or not (shape.outline or shape.line) or not shape.low <= z < shape.high:
            return None
        if shape.holds(x, y):
            return 0.0
        if shape.outline:
            return distance_to_outline(shape.outline, x, y)
        found = along(shape.line, x, y, z)
        beyond = max(shape.from_m - found.chainage_m, found.chainage_m - shape.to_m, 0.0)
        return math.hypot(max(0.0, found.off_m - shape.half_m), beyond)

    def depth_in(self, zone: str, x: float, y: float) -> float:
        """How far inside the boundary, metres; 0 outside."""
        shape = self._shapes.get(zone)
        if shape is None or not shape.holds(x, y):
            return 0.0
        if shape.outline:
            return distance_to_outline(shape.outline, x, y)
        found = along(shape.line, x, y, 0.0)
        return min(shape.half_m - found.off_m, found.chainage_m - shape.from_m, shape.to_m - found.chainage_m)


_newest: dict[str, tuple[MineFacts, FenceIndex]] = {}
"""By site."""
