"""The simulated mine is known well enough: its facts fit each other, and its people walk through its zones."""

from pathlib import Path

from analytics.fences import FenceIndex
from analytics.mine import MineFacts
from server.bus.memory import MemoryBus
from server.demo.facts import facts, stopped
from server.demo.setting import MINE, SITES, devices
from server.demo.story import Story
from server.demo.world import PERSONS_UNDERGROUND, VEHICLES, ZONES, People
from server.registry.service import Registry
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree


async def registered(folder: Path) -> tuple[MineFacts, MineFacts]:
    async with Database.open(sqlite_url(folder)) as database:
        tree = await SiteTree.load(database)
        await tree.ensure(SITES)
        registry = await Registry.load(database, tree, MemoryBus())
        machines = devices(Story())
        await registry.change(MINE, facts(MINE, machines, PERSONS_UNDERGROUND, VEHICLES), by="")
        await registry.change("dongfeng", stopped("dongfeng", machines), by="")
        return registry.facts(MINE), registry.facts("dongfeng")


async def test_facts_of_both_mines_are_taken(tmp_path: Path) -> None:
    working, standing = await registered(tmp_path)
    assert len(working.people) == PERSONS_UNDERGROUND
    assert working.quota_of("face") is not None
    state = standing.state_at(4e9)
    assert state is not None
    assert state.state == "stopped"


async def test_every_zone_of_the_world_is_found_and_every_tag_is_known(tmp_path: Path) -> None:
    working, _ = await registered(tmp_path)
    fences = FenceIndex(working)
    assert {zone: fences.zone_at(*place) for zone, place in ZONES.items()} == {zone: zone for zone in ZONES}
    people = People(1)
    for walker in people.walkers:
        known = walker.tag in working.people if walker.kind == "person" else working.machine_of(walker.tag) is not None
        assert known, walker.tag
    found = set()
    for _ in range(300):
        people.step(2.0)
        found |= {fences.zone_at(*walker.place) for walker in people.walkers}
    assert len(found - {""}) >= 7
