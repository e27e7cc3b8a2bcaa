"""Is a person in a zone? Points and polygons in 0 to 1 of the picture's width and height."""

from collections.abc import Sequence

Point = tuple[float, float]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1."""


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Even-odd rule: a point is inside when a ray from it crosses the outline an odd number of times.

    A point on the left or upper edge counts as inside, one on the right or lower edge does not, except on the border of
    the whole picture (a box that touches the picture's edge belongs to a zone that does).
    """
    x, y = (min(max(v, 1e-6), 1 - 1e-6) for v in point)
    crossed = False
    for (x0, y0), (x1, y1) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) * (x1 - x0) / (y1 - y0):
            crossed = not crossed
    return crossed


def inside(zone: Sequence[Point], box: Box) -> bool:
    """Whether the middle of the box or the middle of its lower edge lies in the zone.

    Two points, because a person at a desk is cut off by it: then the lower edge is the desk's and the middle is what
    lies over the seat; somebody who walks past behind the zone has neither in it.
    """
    x0, y0, x1, y1 = box
    x = (x0 + x1) / 2
    return contains(zone, (x, (y0 + y1) / 2)) or contains(zone, (x, y1))
