"""The registry over a real store: versions, history, restart, what is refused, what files may change."""

import pytest
from sqlalchemy import select

from analytics.mine import (
    Drift,
    Fence,
    Level,
    Machine,
    Mine,
    MineFacts,
    MineState,
    Permit,
    Person,
    PersonCard,
    Plan,
    Quota,
    Zone,
)  # fmt: skip
from analytics.telemetry.minefile import MineFile
from server.bus.memory import MemoryBus
from server.registry.errors import RegistryRefused, RegistryStale
from server.registry.feed import from_file
from server.registry.forms import Fact
from server.registry.service import Registry
from server.store import audit, timeline
from server.store.database import Database
from server.store.errors import NoSuchSite
from server.store.sites import SiteTree
from server.store.tables import audit as audit_table
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]

SQUARE = Fence(((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)))
FACE = Zone("face", SQUARE, "工作面", "Face", "face")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def registry(database: Database, tree: SiteTree, clock: Clock) -> Registry:
    return await Registry.load(database, tree, MemoryBus(), clock)


async def put(registry: Registry, kind: str, *facts: Fact, **more: object) -> None:
    await registry.change("mine-a", {kind: facts}, by="u1", **more)  # type: ignore[arg-type]


async def test_facts_outlive_a_restart(registry: Registry, database: Database, tree: SiteTree) -> None:
    seen: list[MineFacts] = []
    registry.on_change.append(seen.append)
    await put(registry, "zones", FACE)
    await put(registry, "quotas", Quota("q", 16, "face"))
    await put(registry, "people", Person("P1", "瓦检员", name="张三", phone="13800000000"))
    again = await Registry.load(database, tree, MemoryBus())
    for one in (registry.facts("mine-a"), again.facts("mine-a"), seen[-1]):
        assert one.version == 3
        assert one.zones == {"face": FACE}
        assert one.people == {"P1": PersonCard("P1", "瓦检员")}
        quota = one.quota_of("face")
        assert quota is not None
        assert quota.people == 16
    person = again.person("mine-a", "P1")
    assert person is not None
    assert person.name == "张三"
    assert again.facts("mine-b") == MineFacts("mine-b")


async def test_what_was_valid_at_a_moment_can_be_read(registry: Registry, clock: Clock) -> None:
    await put(registry, "quotas", Quota("mine", 600))
    clock.now = 2000.0
    await put(registry, "quotas", Quota("mine", 400))
    clock.now = 3000.0
    await registry.change("mine-a", {}, [("quotas", "mine")], by="u1")
    found = {at: await registry.as_of("mine-a", "quotas", at) for at in (999.0, 1500.0, 2000.0, 3500.0)}
    assert {at: [one.data["people"] for one in ones] for at, ones in found.items()} == {
        999.0: [], 1500.0: [600], 2000.0: [400], 3500.0: [],
    }  # fmt: skip
    history = await registry.history("mine-a", "quotas", "mine")
    assert [(one.version, one.valid_from, one.valid_to) for one in history] == [
        (2, 2000.0, 3000.0),
        (1, 1000.0, 2000.0),
    ]
    changes = await registry.changes("mine-a")
    assert [(one.version, one.by, one.counts["quotas"]["removed"]) for one in changes] == [
        (3, "u1", 1), (2, "u1", 0), (1, "u1", 0),
    ]  # fmt: skip


async def test_removed_fact_may_come_back(registry: Registry) -> None:
    await put(registry, "zones", FACE)
    await registry.change("mine-a", {}, [("zones", "face")], by="u1")
    await put(registry, "zones", FACE)
    assert registry.facts("mine-a").zones == {"face": FACE}
    assert len(await registry.history("mine-a", "zones", "face")) == 2


async def test_clock_that_stands_still_gives_no_two_versions_one_beginning(registry: Registry) -> None:
    for people in (1, 2, 3):
        await put(registry, "quotas", Quota("mine", people))
    history = await registry.history("mine-a", "quotas", "mine")
    assert len({one.valid_from for one in history}) == 3
    assert len(await registry.as_of("mine-a", "quotas", history[1].valid_from)) == 1


async def test_equal_facts_make_no_version(registry: Registry) -> None:
    await put(registry, "zones", FACE)
    outcome = await registry.change("mine-a", {"zones": [FACE]}, by="u1")
    assert outcome.empty
    assert (outcome.version, outcome.unchanged) == (1, 1)
    assert len(await registry.changes("mine-a")) == 1


async def test_dry_run_says_what_would_be_and_changes_nothing(registry: Registry) -> None:
    await put(registry, "zones", FACE, Zone("old"))
    outcome = await registry.change(
        "mine-a", {"zones": [FACE, Zone("new")]}, by="u1", dry_run=True, replace_kinds=True
    )  # fmt: skip
    assert (outcome.added, outcome.removed, outcome.unchanged) == ((("zones", "new"),), (("zones", "old"),), 1)
    assert set(registry.facts("mine-a").zones) == {"face", "old"}
    assert len(await registry.changes("mine-a")) == 1


async def test_other_version_than_expected_is_stale(registry: Registry) -> None:
    await put(registry, "zones", FACE, expect=0)
    with pytest.raises(RegistryStale):
        await put(registry, "zones", Zone("b"), expect=0)
    await put(registry, "zones", Zone("b"), expect=1)


async def test_site_that_is_not_there_is_refused(registry: Registry) -> None:
    with pytest.raises(NoSuchSite):
        await registry.change("nowhere", {"zones": [FACE]}, by="u1")


REFUSED: dict[str, tuple[dict[str, list[Fact]], tuple[str, str]]] = {
    "zone of a level that is not there": ({"zones": [Zone("a", Fence(level="l9"))]}, ("zones", "fence.level")),
    "outline without an area": ({"zones": [Zone("a", Fence(((0, 0), (1, 1))))]}, ("zones", "fence.outline")),
    "outline that crosses itself": (
        {"zones": [Zone("a", Fence(((0, 0), (9, 9), (9, 0), (0, 5))))]}, ("zones", "fence.outline"),
    ),
    "two fences at once": (
        {"drifts": [Drift("d", ((0, 0, 0), (1, 0, 0)))], "zones": [Zone("a", Fence(SQUARE.outline, drift="d"))]},
        ("zones", "fence"),
    ),
    "quota of no zone": ({"quotas": [Quota("q", 3, "nowhere")]}, ("quotas", "zone")),
    "level upside down": ({"levels": [Level("l", z_low_m=0, z_high_m=-1)]}, ("levels", "z_high_m")),
    "period that ends before it begins": ({"states": [MineState("s", "stopped", 9, 9)]}, ("states", "end")),
    "permit of no device": (
        {"states": [MineState("s", "stopped", 1, None, (Permit("hoist"),))]}, ("states", "permits"),
    ),
    "tag of two machines": ({"machines": [Machine("a", ("T",)), Machine("b", ("T",))]}, ("machines", "tags")),
    "tag of a person and a machine": (
        {"people": [Person("T")], "machines": [Machine("a", ("T",))]}, ("machines", "tags"),
    ),
    "roadway without length": ({"drifts": [Drift("d", ((1, 1, 1), (1, 1, 1)))]}, ("drifts", "line")),
    "plan of no level": ({"plans": [Plan("p", level="l9")]}, ("plans", "level")),
    "neighbour that is not there": ({"zones": [Zone("a", neighbours=("b",))]}, ("zones", "neighbours")),
    "area code of two zones": (
        {"zones": [Zone("a", area_code="1" * 16), Zone("b", area_code="1" * 16)]}, ("zones", "area_code"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
async def test_facts_that_do_not_fit_each_other_are_refused_whole(registry: Registry, case: str) -> None:
    facts, where = REFUSED[case]
    with pytest.raises(RegistryRefused) as caught:
        await registry.change("mine-a", {**facts, "shifts": []}, by="u1")
    assert [(one.kind, one.key) for one in caught.value.mistakes] == [where]
    assert all(one.zh and one.en for one in caught.value.mistakes)
    assert registry.facts("mine-a").version == 0


async def test_zone_that_a_quota_needs_is_not_removed(registry: Registry) -> None:
    await registry.change("mine-a", {"zones": [FACE], "quotas": [Quota("q", 1, "face")]}, by="u1")
    with pytest.raises(RegistryRefused):
        await registry.change("mine-a", {}, [("zones", "face")], by="u1")
    await registry.change("mine-a", {}, [("zones", "face"), ("quotas", "q")], by="u1")
    assert registry.facts("mine-a").zones == {}


async def test_change_is_audited_and_told_in_the_mines_room(registry: Registry, database: Database) -> None:
    await put(registry, "people", Person("P1", name="张三"), address="10.0.0.1")
    async with database.reading() as connection:
        row = (await connection.execute(select(audit_table).where(audit_table.c.action == "registry.change"))).one()
        assert (row.actor, row.site, row.address) == ("u1", "mine-a", "10.0.0.1")
        assert "people/P1" in row.detail
        assert "张三" not in row.detail
        assert (await audit.verify(connection)).holds
        entries = await timeline.recent(connection, "site:mine-a", 10)
    assert [(one.kind, one.body["version"]) for one in entries] == [("registry", 1)]
    assert "张三" not in str(entries[0].body)


# --- files of the mine ---


def ryxx(*people: dict[str, str | None]) -> MineFile:
    empty = dict.fromkeys(("name", "job", "title", "dept", "born", "blank", "is_leader", "is_special"))
    return MineFile("1" * 12, "RYXX", 1.0, [{**empty, **one} for one in people])


async def feed(registry: Registry, file: MineFile) -> None:
    facts = from_file(file, registry, "mine-a", {"主扇": "fan-main"})
    await registry.change("mine-a", facts, by="", source=f"file:{file.type}")


async def test_file_completes_people_and_leaves_what_a_person_entered(registry: Registry) -> None:
    await feed(registry, ryxx({"card": "1" * 17, "name": "张三", "job": "瓦检员", "dept": "未设置"}))
    before = registry.person("mine-a", "1" * 17)
    assert before == Person("1" * 17, job="瓦检员", name="张三")
    await put(registry, "people", Person("1" * 17, job="安全员", name="张三", phone="13800000000"))
    await feed(registry, ryxx({"card": "1" * 17, "name": "张三", "job": "瓦检员", "dept": "通风队", "is_leader": "1"}))
    after = registry.person("mine-a", "1" * 17)
    assert after == Person("1" * 17, job="安全员", dept="通风队", leader=True, name="张三", phone="13800000000")
    assert registry.manual("mine-a", "people", "1" * 17) == ("job", "phone")


async def test_card_given_to_another_person_loses_what_was_entered_for_the_first(registry: Registry) -> None:
    await put(registry, "people", Person("1" * 17, name="张三", phone="13800000000"))
    await feed(registry, ryxx({"card": "1" * 17, "name": "李四"}))
    assert registry.person("mine-a", "1" * 17) == Person("1" * 17, name="李四")
    assert registry.manual("mine-a", "people", "1" * 17) == ()


async def test_snapshot_brings_only_people_whom_nobody_named(registry: Registry) -> None:
    await put(registry, "people", Person("1" * 17, name="张三", leader=True))
    records: list[dict[str, str | None]] = [
        {"card": digit * 17, "name": name, "is_leader": "0", "is_special": "1"}
        for digit, name in (("1", "张三"), ("2", "李四"))
    ]
    await feed(registry, MineFile("1" * 12, "RYSS", 1.0, records))
    assert registry.person("mine-a", "1" * 17) == Person("1" * 17, name="张三", leader=True)
    assert registry.person("mine-a", "2" * 17) == Person("2" * 17, name="李四", special=True)


async def test_areas_and_readers_become_zones_and_quotas(registry: Registry) -> None:
    await put(registry, "zones", Zone("face", SQUARE, kind="face", area_code="1" * 16))
    areas: list[dict[str, str | None]] = [
        {"area_type": "重点区域", "area": digit * 16, "quota": quota, "area_name": name}
        for digit, quota, name in (("1", "16", "3201面"), ("2", "0", "井口"))
    ]
    await feed(registry, MineFile("1" * 12, "RYQY", 1.0, areas))
    await feed(registry, MineFile("1" * 12, "RYJZ", 1.0, [{"station": "1" * 22}, {"station": "9" * 22}]))
    facts = registry.facts("mine-a")
    assert (facts.zones["face"].kind, facts.zones["face"].name_zh) == ("face", "3201面")
    assert facts.zones["face"].stations == ("1" * 22,)
    assert facts.zones["2" * 16].kind == "key"
    quota = facts.quota_of("face")
    assert quota is not None
    assert quota.people == 16
    assert facts.quota_of("2" * 16) is None


async def test_base_data_of_machines_brings_their_ratings(registry: Registry) -> None:
    empty = dict.fromkeys(
        ("model", "maker", "safety_mark", "explosion_no", "factory_no", "rated_a", "rated_v", "rated_kw")
    )
    records: list[dict[str, str | None]] = [
        {**empty, "device": "主扇", "name": "主通风机", "rated_a": "52", "rated_v": "10000", "maker": "某厂"},
        {**empty, "device": "未知", "name": "没有编号"},
    ]
    await feed(registry, MineFile("1" * 12, "JBSJ", 1.0, records))
    facts = registry.facts("mine-a")
    assert set(facts.devices) == {"fan-main"}
    assert (facts.devices["fan-main"].rated_a, facts.devices["fan-main"].maker) == (52.0, "某厂")


async def test_mine_is_one(registry: Registry) -> None:
    await put(registry, "mine", Mine(code="140100000001", hazards=("high_gas",)))
    assert registry.facts("mine-a").mine.hazards == ("high_gas",)
