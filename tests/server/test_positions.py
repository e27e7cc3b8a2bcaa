"""Where everybody is: newest by the source's clock, zones by fence, counts by person, age that is never hidden."""

from dataclasses import replace

import pytest

from analytics.mine import Fence, Level, Machine, Mine, MineFacts, PersonCard, Quota, Zone
from analytics.plugin import Batch, Position
from server import plan, positions
from server.bus.memory import MemoryBus
from server.positions import LivePositions
from server.store.database import Database
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]

FACTS = MineFacts(
    "mine-a",
    1,
    levels={"l1": Level("l1", z_low_m=-450, z_high_m=-350)},
    zones={
        "face": Zone("face", Fence(((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)), "l1"), kind="face"),
        "gate": Zone("gate", Fence(((20.0, 0.0), (30.0, 0.0), (30.0, 10.0), (20.0, 10.0))), kind="gate"),
        "area": Zone("area", area_code="1" * 16),
    },
    quotas={"q": Quota("q", 2, "face")},
    people={"P1": PersonCard("P1", "瓦检员", person="zhang"), "P9": PersonCard("P9", person="zhang")},
    machines={"car": Machine("car", ("V1",), "mine_car", device="car-drive")},
)


def at(tag: str, x: float, source_at: float, zone: str = "", **more: object) -> Position:
    one = Position("mine-a", tag, "vehicle" if tag.startswith("V") else "person", x, 5.0, -400.0, zone, source_at, 0.0)
    return replace(one, **more)  # type: ignore[arg-type]


@pytest.fixture
def live() -> LivePositions:
    return LivePositions(lambda site: FACTS if site == "mine-a" else MineFacts(site))


def take(live: LivePositions, *samples: Position) -> None:
    live.take(live.located(samples))


def test_fence_gives_the_zone_and_the_source_only_where_there_is_none(live: LivePositions) -> None:
    found = live.located(
        [at("P1", 5, 1, "somewhere"), at("P1", 500, 2, "somewhere"), at("P1", 5, 3, "1" * 16), at("P1", 5, 4, z_m=0.0)]
    )
    assert [one.zone for one in found] == ["face", "somewhere", "area", ""]


def test_changed_fences_count_from_the_next_fix(live: LivePositions) -> None:
    facts = FACTS
    live = LivePositions(lambda site: facts)
    assert live.located([at("P1", 25, 1)])[0].zone == "gate"
    facts = replace(FACTS, version=2, zones={})
    live.changed(facts)
    assert live.located([at("P1", 25, 2)])[0].zone == ""


def test_older_fix_never_replaces_a_newer_one(live: LivePositions) -> None:
    take(live, at("P1", 1, 100, seq=2), at("P1", 2, 99, seq=9), at("P1", 3, 100, seq=1), at("P1", 4, 100, seq=3))
    tag = live.tag("mine-a", "P1")
    assert tag is not None
    assert tag.position.x_m == 4


def test_speed_comes_from_fixes_and_not_across_silence(live: LivePositions) -> None:
    take(live, at("V1", 0, 100), at("V1", 3, 101), at("V1", 6, 102))
    tag = live.tag("mine-a", "V1")
    assert tag is not None
    assert tag.speed_mps == pytest.approx(3.0)
    assert tag.moved_at == 102
    take(live, at("V1", 6.5, 103), at("V1", 600, 200))
    assert tag.speed_mps is None


def test_persons_count_once_and_the_silent_apart(live: LivePositions) -> None:
    take(
        live, at("P1", 5, 1000), at("P9", 6, 1000), at("P2", 6, 1000), at("V1", 6, 1000), at("P3", 6, 800),
        at("P4", 5, 1000, presence="out"),
    )  # fmt: skip
    face = next(one for one in live.counts("mine-a", 1001.0) if one.zone == "face")
    assert (face.people, face.vehicles, face.silent, face.quota) == (2, 1, 1, 2)
    later = next(one for one in live.counts("mine-a", 1200.0) if one.zone == "face")
    assert (later.people, later.silent) == (0, 4 + 1)


def test_tags_without_end_are_not_kept_in_memory(live: LivePositions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "MAX_TAGS", 3)
    take(live, *(at(f"P{n}", 5, 1000) for n in range(9)), at("P1", 6, 1001))
    assert {tag.position.tag: tag.position.x_m for tag in live.tags("mine-a")} == {"P0": 5, "P1": 6, "P2": 5}


def test_feed_that_stops_is_stale_and_one_that_never_came_is_never(live: LivePositions) -> None:
    assert live.feed("mine-a", 0.0).state == "never"
    take(live, at("P1", 5, 1000))
    assert live.feed("mine-a", 1090.0).state == "live"
    assert (live.feed("mine-a", 1091.0).state, live.feed("mine-a", 1091.0).age_s) == ("stale", 91.0)


def test_who_is_underground(live: LivePositions) -> None:
    take(live, at("P1", 5, 1), at("P2", 25, 1), at("P3", 25, 1, presence="in"), at("P4", 5, 1, presence="out"))
    assert [live.underground(tag) for tag in live.tags("mine-a")] == [True, False, True, False]
    stations = LivePositions(lambda site: MineFacts(site, mine=Mine(positions="stations")))
    stations.take([at("P5", 0, 1)])
    assert not stations.underground(stations.tags("mine-a")[0])


async def stored(ingest: TelemetryIngest, *samples: Position) -> None:
    async def done() -> None:
        pass

    await ingest.store(Batch((), samples, done))


async def test_newest_positions_outlive_a_restart(database: Database, tree: SiteTree, live: LivePositions) -> None:
    ingest = TelemetryIngest(database, tree, MemoryBus(), live=live)
    await stored(ingest, at("P1", 5, 1000), at("P2", 6, 1001, presence="out"))
    await stored(ingest, at("P1", 25, 1002), at("P1", 7, 900))
    again = LivePositions(lambda site: FACTS)
    await again.load(database)
    found = {tag.position.tag: tag.position for tag in again.tags("mine-a")}
    assert (found["P1"].x_m, found["P1"].zone, found["P2"].presence) == (25, "gate", "out")
    unloaded = TelemetryIngest(database, tree, MemoryBus(), live=LivePositions())
    await stored(unloaded, at("P1", 1, 950))
    assert unloaded.counts.late == 1


async def test_many_new_positions_go_out_together(database: Database, tree: SiteTree, live: LivePositions) -> None:
    told: list[tuple[str, int]] = []

    class Bus(MemoryBus):
        async def publish(self, topic: str, body: object) -> None:
            if topic == "live":
                assert isinstance(body, dict)
                told.append((body["kind"], len(body["body"].get("items", ()))))

    ingest = TelemetryIngest(database, tree, Bus(), live=live)
    await stored(ingest, *(at(f"P{n}", 5, 1000) for n in range(40)))
    await stored(ingest, at("P1", 5, 1001))
    assert told == [("positions", 40), ("position", 0)]


async def test_tracks_are_thinned_but_keep_changes_of_zone(
    database: Database, tree: SiteTree, live: LivePositions
) -> None:
    ingest = TelemetryIngest(database, tree, MemoryBus(), live=live)
    await stored(ingest, *(at("P1", 9.0 if n < 5 else 25.0, 1000.0 + n) for n in range(20)), at("P2", 1, 1003))
    found, whole = await plan.tracks(database, "mine-a", ["P1", "P2", "P3"], 1000.0, 1018.0, 10.0)
    assert whole
    one, two = found["features"]
    assert one["properties"]["times"] == [1000.0, 1005.0, 1015.0]
    assert one["properties"]["zones"] == [(1000.0, "face"), (1005.0, "gate")]
    assert len(two["geometry"]["coordinates"]) == 2


async def test_track_longer_than_an_answer_says_so(
    database: Database, tree: SiteTree, live: LivePositions, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = TelemetryIngest(database, tree, MemoryBus(), live=live)
    await stored(ingest, *(at("P1", 9.0, 1000.0 + n) for n in range(20)))
    monkeypatch.setattr(plan, "MAX_POINTS", 5)
    found, whole = await plan.tracks(database, "mine-a", ["P1"], 0.0, 2000.0, 0.0)
    assert not whole
    assert len(found["features"][0]["properties"]["times"]) == 5


def test_plan_shows_what_stands_still_and_who_moves(live: LivePositions) -> None:
    drawn = plan.still(FACTS)
    zones = {one["properties"]["id"]: one for one in drawn["features"] if one["properties"]["what"] == "zone"}
    assert zones["face"]["geometry"]["coordinates"][0][0] == zones["face"]["geometry"]["coordinates"][0][-1]
    assert (zones["face"]["properties"]["quota"], zones["area"]["geometry"]) == (2, None)
    take(live, at("P1", 5, 1000), at("V1", 5, 1000), at("V1", 9, 1002), at("P2", 5, 500))
    shown = plan.moving(FACTS, live, 1002.0, {"car-drive": "on"})
    tags = {one["properties"]["tag"]: one["properties"] for one in shown["features"]}
    assert (tags["V1"]["state"], tags["V1"]["power"], tags["V1"]["speed_mps"]) == ("moving", "on", 2.0)
    assert (tags["P1"]["job"], tags["P1"]["stale"], tags["P1"]["level"]) == ("瓦检员", False, "l1")
    assert (tags["P2"]["stale"], tags["P2"]["age_s"]) == (True, 502.0)
    assert shown["properties"]["feed"]["state"] == "live"
