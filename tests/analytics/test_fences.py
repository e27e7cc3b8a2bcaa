"""Zones by point: polygons, spans of roadways, levels; the grid answers as the outlines do."""

import random

import pytest

from analytics.fences import FenceIndex, area, contains, crosses_itself
from analytics.mine import Drift, Fence, Level, MineFacts, MineState, Permit, Quota, Zone

SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))
BEND = Drift("haulage", ((0.0, 0.0, -400.0), (100.0, 0.0, -400.0), (100.0, 50.0, -400.0)), width_m=4.0)


def index(*zones: Zone, levels: tuple[Level, ...] = (), drifts: tuple[Drift, ...] = ()) -> FenceIndex:
    return FenceIndex(
        MineFacts(
            "m", 1, zones={one.zone: one for one in zones}, levels={one.level: one for one in levels},
            drifts={one.drift: one for one in drifts},
        )
    )  # fmt: skip


def square(name: str, x: float, y: float, side: float, **more: object) -> Zone:
    corners = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    return Zone(name, Fence(corners, **more))  # type: ignore[arg-type]


def test_smallest_zone_comes_first() -> None:
    fences = index(square("mine", 0, 0, 100), square("face", 20, 20, 10))
    assert fences.zones_at(25, 25, -400) == ("face", "mine")
    assert fences.zone_at(25, 25, -400) == "face"
    assert fences.zones_at(50, 50, -400) == ("mine",)
    assert fences.zones_at(500, 50, -400) == ()


def test_level_and_heights_part_zones_above_each_other() -> None:
    levels = (Level("l1", z_low_m=-450, z_high_m=-400), Level("l2", z_low_m=-550, z_high_m=-500))
    fences = index(square("upper", 0, 0, 10, level="l1"), square("lower", 0, 0, 10, level="l2"), levels=levels)
    assert fences.zones_at(5, 5, -420) == ("upper",)
    assert fences.zones_at(5, 5, -520) == ("lower",)
    assert fences.zones_at(5, 5, -480) == ()
    assert fences.level_at(-520) == "l2"
    assert fences.level_at(-480) == ""
    cut = index(square("cut", 0, 0, 10, z_low_m=-10.0, z_high_m=0.0))
    assert cut.zone_at(5, 5, -5) == "cut"
    assert cut.zone_at(5, 5, -10.1) == ""


def test_span_of_a_roadway_is_a_zone() -> None:
    fences = index(Zone("bend", Fence(drift="haulage", from_m=90, to_m=120)), drifts=(BEND,))
    assert fences.zone_at(95, 1.9, -400) == "bend"
    assert fences.zone_at(100, 19, -400) == "bend"
    assert fences.zone_at(89, 0, -400) == ""
    assert fences.zone_at(95, 2.1, -400) == ""


def test_chainage_runs_along_the_bends_and_the_slope() -> None:
    fences = index(drifts=(BEND, Drift("slope", ((0.0, 0.0, 0.0), (30.0, 0.0, -40.0)))))
    found = fences.along("haulage", 98, 20, -399)
    assert found is not None
    assert (found.chainage_m, found.off_m, found.drop_m) == (120.0, 2.0, 1.0)
    down = fences.along("slope", 15, 0, -20)
    assert down is not None
    assert down.chainage_m == pytest.approx(25.0)
    assert fences.along("nowhere", 0, 0, 0) is None


def test_distance_and_depth_count_from_the_boundary() -> None:
    fences = index(square("face", 0, 0, 10), Zone("span", Fence(drift="haulage", from_m=20, to_m=40)), drifts=(BEND,))
    assert fences.distance_to("face", 5, 5, 0) == 0.0
    assert fences.depth_in("face", 5, 8) == 2.0
    assert fences.distance_to("face", 13, 14, 0) == 5.0
    assert fences.depth_in("face", 13, 14) == 0.0
    assert fences.distance_to("span", 50, 2, -400) == pytest.approx(10.0)
    assert fences.distance_to("nowhere", 0, 0, 0) is None


def test_zone_without_a_fence_holds_nothing() -> None:
    fences = index(Zone("named-only"), Zone("lost", Fence(drift="no-such-drift")))
    assert fences.zones_at(0, 0, 0) == ()
    assert fences.distance_to("named-only", 0, 0, 0) is None


def test_grid_answers_as_the_outlines_do() -> None:
    draw = random.Random(7)
    zones = []
    for number in range(60):
        x, y = draw.uniform(0, 3000), draw.uniform(0, 1200)
        corners = tuple(
            (x + r * dx, y + r * dy)
            for r, (dx, dy) in (
                (draw.uniform(20, 300), way) for way in ((1, 0), (0.5, 0.8), (-0.4, 0.9), (-1, 0.1), (-0.3, -0.9))
            )
        )
        zones.append(Zone(f"z{number}", Fence(corners)))
    fences = index(*zones)
    inside = 0
    for _ in range(4000):
        x, y = draw.uniform(-50, 3050), draw.uniform(-50, 1250)
        expected = {one.zone for one in zones if contains(one.fence.outline, x, y)}
        inside += len(expected)
        assert set(fences.zones_at(x, y, 0)) == expected
    assert inside > 1000


def test_outline_that_crosses_itself_is_known() -> None:
    assert crosses_itself(((0, 0), (10, 10), (10, 0), (0, 10)))
    assert not crosses_itself(SQUARE)
    assert area(SQUARE) == 100.0
    assert not crosses_itself(((0, 0), (10, 0), (0, 10)))


def test_state_is_the_one_that_began_last_of_those_that_cover_the_moment() -> None:
    stopped = MineState("stop", "stopped", 100.0)
    repair = MineState("repair", "maintenance", 200.0, 300.0, (Permit("hoist", 8, 16, 4, 20),))
    facts = MineFacts("m", states={"stop": stopped, "repair": repair})
    assert [facts.state_at(at) for at in (99.0, 100.0, 200.0, 300.0)] == [None, stopped, repair, stopped]


def test_smallest_quota_counts() -> None:
    facts = MineFacts("m", quotas={"a": Quota("a", 30, "face"), "b": Quota("b", 16, "face"), "c": Quota("c", 600)})
    face, whole = facts.quota_of("face"), facts.quota_of("")
    assert face is not None
    assert face.people == 16
    assert whole is not None
    assert whole.people == 600
    assert facts.quota_of("heading") is None
