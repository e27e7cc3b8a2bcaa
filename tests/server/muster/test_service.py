"""Musters over a real store: frozen, kept over a restart, lists by the clock, signatures, nobody forgotten."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from analytics.mine import Fence, Mine, MineFacts, PersonCard, Zone
from analytics.plugin import Position
from server.bus import Body
from server.bus.memory import MemoryBus
from server.muster.errors import MusterError
from server.muster.service import PREEMPTED, Musters
from server.positions import LivePositions
from server.store import audit, timeline
from server.store.audit import canonical
from server.store.database import Database
from server.store.errors import StoreUnavailable
from server.store.sites import SiteTree
from server.store.tables import audit as audit_table
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]


def box(x: float) -> Fence:
    return Fence(((x, 0.0), (x + 10, 0.0), (x + 10, 10.0), (x, 10.0)))


FACTS = MineFacts(
    "mine-a", 1,
    zones={"gate": Zone("gate", box(0), kind="gate"), "face": Zone("face", box(100)),
           "refuge": Zone("refuge", box(200), kind="refuge")},
    people={"P1": PersonCard("P1", "瓦检员")},
)  # fmt: skip


class Bus(MemoryBus):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, Body]] = []

    async def publish(self, topic: str, body: Body) -> None:
        self.told.append((topic, body))


class Stand:
    """A mine, its clock and its musters."""

    def __init__(self, database: Database, tree: SiteTree) -> None:
        self.database, self.tree = database, tree
        self.now = 10_000.0
        self.bus = Bus()
        self.facts = FACTS
        self.live = LivePositions(lambda site: self.facts)
        self.musters = self.made()

    def made(self) -> Musters:
        return Musters(
            self.database, self.tree, self.bus, self.live, lambda site: self.facts, clock=lambda: self.now,
            further_rooms=lambda site: ["session:s1"],
        )  # fmt: skip

    def see(self, *cards: str, x: float = 105.0, ago: float = 0.0, **more: Any) -> None:
        self.live.take(
            self.live.located(
                [
                    replace(Position("mine-a", card, "person", x, 5.0, 0.0, "", self.now - ago, self.now), **more)
                    for card in cards
                ]
            )
        )

    async def pass_(self, seconds: float, *cards: str, x: float = 105.0) -> None:
        self.now += seconds
        self.see(*cards, x=x)
        one = self.musters.open_at("mine-a")
        assert one is not None
        await self.musters.tick(one)

    def states(self) -> dict[str, str]:
        one = self.musters.open_at("mine-a")
        assert one is not None
        return {card: member.state for card, member in one.members.items()}


@pytest.fixture
def stand(database: Database, tree: SiteTree) -> Stand:
    return Stand(database, tree)


async def test_list_is_who_is_underground_also_the_silent(stand: Stand) -> None:
    stand.see("P1", "P2")
    stand.see("P3", ago=3600.0)
    stand.see("P4", ago=48 * 3600.0)
    stand.see("P5", x=5.0)
    stand.see("V1", kind="vehicle")
    one = await stand.musters.start("mine-a", "u1")
    assert stand.states() == {"P1": "underground", "P2": "underground", "P3": "lost"}
    assert one.left_out == 1
    figures = stand.musters.board(one)
    assert (figures.total, figures.left, figures.zones) == (3, 3, {"face": 3})


async def test_second_start_answers_the_first(stand: Stand) -> None:
    stand.see("P1")
    one = await stand.musters.start("mine-a", "u1")
    again = await stand.musters.start("mine-a", "u2", reason="again")
    assert again is one


async def test_real_muster_ends_a_drill_and_begins_anew_and_a_drill_never_replaces_a_real_one(stand: Stand) -> None:
    stand.see("P1")
    drill = await stand.musters.start("mine-a", "u1", drill=True)
    assert await stand.musters.start("mine-a", "u2", drill=True) is drill
    stand.see("P2")
    real = await stand.musters.start("mine-a", "u2", reason="gas")
    assert (real.drill, real.muster != drill.muster, sorted(real.members)) == (False, True, ["P1", "P2"])
    assert (drill.ended_by, drill.end_reason) == ("u2", PREEMPTED)
    assert (await stand.musters.lists(real.muster))[0].body["drill"] is False
    with pytest.raises(MusterError, match="real muster"):
        await stand.musters.start("mine-a", "u1", drill=True)
    assert stand.musters.open_at("mine-a") is real


async def test_muster_outlives_a_restart(stand: Stand) -> None:
    stand.see("P1", "P2")
    one = await stand.musters.start("mine-a", "u1", reason="瓦斯", session="s1")
    await stand.pass_(10, "P2", x=5.0)
    await stand.pass_(10, "P2", x=5.0)
    assert stand.states() == {"P1": "underground", "P2": "out"}
    stand.musters = stand.made()
    await stand.musters.load()
    again = stand.musters.open_at("mine-a")
    assert again is not None
    assert (again.muster, again.reason, again.session) == (one.muster, "瓦斯", "s1")
    assert stand.states() == {"P1": "underground", "P2": "out"}
    await stand.pass_(1, "P1")
    assert stand.states()["P2"] == "out"


async def test_lists_come_by_the_clock_and_after_an_outage(stand: Stand) -> None:
    stand.see("P1")
    one = await stand.musters.start("mine-a", "u1")
    assert [drawn.number for drawn in await stand.musters.lists(one.muster)] == [0]
    await stand.pass_(299, "P1")
    await stand.pass_(1, "P1")
    assert [drawn.number for drawn in await stand.musters.lists(one.muster)] == [0, 1]
    stand.musters = stand.made()
    await stand.musters.load()
    await stand.pass_(2000, "P1")
    lists = await stand.musters.lists(one.muster)
    assert [drawn.number for drawn in lists] == [0, 1, 2, 3]
    assert lists[3].at - lists[3].due_at == 500.0
    await stand.pass_(2000, "P1")
    assert len(await stand.musters.lists(one.muster)) == 4


async def test_list_is_what_its_hash_says_and_is_signed_once(stand: Stand) -> None:
    stand.see("P1")
    one = await stand.musters.start("mine-a", "u1")
    (drawn,) = await stand.musters.lists(one.muster)
    assert hashlib.sha256(canonical(drawn.body).encode()).hexdigest() == drawn.sha256
    assert drawn.body["people"][0] | {"card": "P1", "job": "瓦检员", "zone": "face"} == drawn.body["people"][0]
    with pytest.raises(MusterError):
        await stand.musters.sign(one.muster, 0, "u1", sha256="0" * 64)
    await stand.musters.sign(one.muster, 0, "u1", sha256=drawn.sha256)
    with pytest.raises(MusterError):
        await stand.musters.sign(one.muster, 0, "u2", sha256=drawn.sha256)
    (signed,) = await stand.musters.lists(one.muster)
    assert (signed.signed_by, signed.signed_at) == ("u1", stand.now)


async def test_who_appears_later_is_added_and_told_apart(stand: Stand) -> None:
    stand.see("P1")
    one = await stand.musters.start("mine-a", "u1")
    await stand.pass_(5, "P1", "P9")
    assert {card: member.frozen for card, member in one.members.items()} == {"P1": True, "P9": False}
    assert (stand.musters.board(one).total, stand.musters.board(one).frozen) == (2, 1)


async def test_whole_feed_silent_changes_nobody_and_hides_no_one(stand: Stand) -> None:
    stand.see("P1", "P2")
    one = await stand.musters.start("mine-a", "u1")
    await stand.pass_(500)
    figures = stand.musters.board(one)
    assert (figures.feed, figures.left, figures.oldest_age_s) == ("stale", 2, 500.0)
    assert set(stand.states().values()) == {"underground"}


async def test_muster_without_any_position_knows_that_it_knows_nothing(stand: Stand) -> None:
    one = await stand.musters.start("mine-a", "u1")
    figures = stand.musters.board(one)
    assert (figures.feed, figures.total, figures.left) == ("never", 0, None)
    (drawn,) = await stand.musters.lists(one.muster)
    assert drawn.body["left"] is None


async def test_one_who_falls_silent_is_lost_while_others_are_heard(stand: Stand) -> None:
    stand.see("P1", "P2")
    await stand.musters.start("mine-a", "u1")
    await stand.pass_(61, "P1")
    assert stand.states() == {"P1": "underground", "P2": "lost"}


async def test_files_every_few_minutes_lose_nobody_between_two(stand: Stand) -> None:
    stand.facts = replace(FACTS, mine=Mine(positions="stations"))
    stand.see("P1", "P2", presence="in")
    await stand.musters.start("mine-a", "u1")
    stand.now += 400
    stand.see("P1", presence="in")
    await stand.pass_(1)
    assert set(stand.states().values()) == {"underground"}
    stand.now += 400
    stand.see("P1", presence="in")
    await stand.pass_(1)
    assert stand.states() == {"P1": "underground", "P2": "lost"}


async def test_person_out_by_word_of_mouth(stand: Stand) -> None:
    stand.see("P1", "P2")
    one = await stand.musters.start("mine-a", "u1")
    await stand.musters.mark(one.muster, "P1", "u1", out=True, note="救护队带出")
    await stand.pass_(100, "P2")
    assert stand.states()["P1"] == "out"
    await stand.musters.mark(one.muster, "P1", "u1", out=False, note="误报")
    await stand.pass_(1, "P2")
    assert stand.states()["P1"] == "lost"
    with pytest.raises(MusterError):
        await stand.musters.mark(one.muster, "P7", "u1", out=True, note="")


async def test_ended_muster_keeps_its_last_list_and_makes_room(stand: Stand) -> None:
    stand.see("P1")
    one = await stand.musters.start("mine-a", "u1")
    await stand.musters.end(one.muster, "u1", reason="全部升井")
    with pytest.raises(MusterError):
        await stand.musters.end(one.muster, "u1", reason="again")
    assert [drawn.number for drawn in await stand.musters.lists(one.muster)] == [0, 1]
    found = await stand.musters.get(one.muster)
    assert found is not None
    assert (found.end_reason, set(found.members)) == ("全部升井", {"P1"})
    stand.now += 1000
    assert (await stand.musters.final(found)).feed == "live"
    other = await stand.musters.start("mine-a", "u1")
    assert other.muster != one.muster
    assert [item.muster for item in await stand.musters.listed(["mine-a"])] == [other.muster, one.muster]


async def test_it_is_told_here_above_and_in_the_consultation(stand: Stand, database: Database) -> None:
    stand.see("P1")
    one = await stand.musters.start("mine-a", "u1")
    await stand.pass_(1, "P1")
    async with database.reading() as connection:
        rooms = stand.tree.rooms_of("mine-a")
        assert len(rooms) > 2
        for room in (*rooms, "session:s1"):
            entries = await timeline.recent(connection, room, 5)
            assert [(entry.kind, entry.body["change"]) for entry in entries] == [("muster", "started")]
        assert await timeline.recent(connection, "site:mine-b", 5) == []
        rows = (await connection.execute(select(audit_table).where(audit_table.c.action == "muster.start"))).all()
        assert [row.actor for row in rows] == ["u1"]
        assert (await audit.verify(connection)).holds
    lives = [body for topic, body in stand.bus.told if topic == "live"]
    assert [body["room"] for body in lives] == ["site:mine-a", "session:s1"]
    assert lives[0]["body"]["muster"] == one.muster  # type: ignore[index]


async def test_store_that_is_away_loses_no_change(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.see("P1", "P2")
    one = await stand.musters.start("mine-a", "u1")
    await stand.pass_(10, "P1", x=5.0)

    async def away(*_args: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(stand.musters, "_write", away)
        with pytest.raises(StoreUnavailable):
            await stand.pass_(10, "P1", x=5.0)
    await stand.pass_(10, "P2")
    stand.musters = stand.made()
    await stand.musters.load()
    again = stand.musters.open_at("mine-a")
    assert again is not None
    assert again.muster == one.muster
    assert stand.states()["P1"] == "out"


async def test_muster_that_could_not_be_ended_loses_no_change(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.see("P1", "P2")
    one = await stand.musters.start("mine-a", "u1")
    await stand.pass_(10, "P1", x=5.0)

    async def away(*_args: object, **_more: object) -> None:
        raise StoreUnavailable("away")

    stand.now += 10
    stand.see("P1", x=5.0)
    with monkeypatch.context() as patched:
        patched.setattr(audit, "append", away)
        with pytest.raises(StoreUnavailable):
            await stand.musters.end(one.muster, "u1", reason="全部升井")
    assert stand.states()["P1"] == "out"
    await stand.pass_(1, "P2")
    stand.musters = stand.made()
    await stand.musters.load()
    assert stand.states()["P1"] == "out"
