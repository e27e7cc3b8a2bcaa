"""What becomes of each person: out only twice, lost only while others are heard, nobody home on silence."""

from dataclasses import dataclass, field

import pytest

from analytics.mine import MineFacts, Zone
from analytics.plugin import Position
from server.muster.machine import Member, Sight, board, due, judge
from server.positions import LivePositions, Tag

FACTS = MineFacts(
    "m", zones={"refuge": Zone("refuge", kind="refuge"), "gate": Zone("gate", kind="gate"), "face": Zone("face")}
)


@dataclass
class Walk:
    """One person whose tag is seen here and there."""

    live: LivePositions = field(default_factory=lambda: LivePositions(lambda site: FACTS))
    member: Member = field(default_factory=lambda: Member("P1"))
    kept: list[bool] = field(default_factory=list)

    def see(self, at: float, zone: str, x: float = 0.0, now: float | None = None, presence: str = "") -> str:
        self.live.take([Position("m", "P1", "person", x, 0.0, 0.0, zone, at, at, presence=presence)])  # type: ignore[arg-type]
        return self.tick(at if now is None else now)

    def tick(self, now: float, *, feed_live: bool = True) -> str:
        tag = self.live.tag("m", "P1")
        inside = tag is not None and self.live.underground(tag)
        self.kept.append(judge(self.member, tag, inside, Sight(FACTS, feed_live, 60.0, now)))
        return self.member.state


@pytest.fixture
def walk() -> Walk:
    return Walk()


def test_out_needs_two_readings_apart(walk: Walk) -> None:
    assert walk.see(100, "face") == "underground"
    assert walk.see(200, "gate") == "out_once"
    assert walk.see(201, "gate") == "out_once"
    assert walk.tick(300) == "out_once"
    assert walk.see(206, "gate") == "out"
    assert (walk.member.out_at, walk.member.since) == (200, 206)


def test_files_say_out_twice_as_well(walk: Walk) -> None:
    assert walk.see(100, "face", presence="in") == "underground"
    assert walk.see(400, "", presence="out") == "out_once"
    assert walk.see(700, "", presence="out") == "out"


def test_reading_from_inside_takes_the_way_out_back(walk: Walk) -> None:
    walk.see(100, "gate")
    assert walk.see(110, "face") == "underground"
    assert walk.see(120, "gate") == "out_once"
    assert walk.see(130, "gate") == "out"
    assert walk.member.came_back == 0
    assert walk.see(140, "face") == "underground"
    assert walk.member.came_back == 1


def test_silence_is_lost_only_while_others_are_heard(walk: Walk) -> None:
    walk.see(100, "face")
    assert walk.tick(161, feed_live=False) == "underground"
    assert walk.tick(161) == "lost"
    assert walk.member.since == 161
    assert walk.tick(400, feed_live=False) == "lost"
    assert walk.see(410, "face") == "underground"


def test_who_was_seen_out_once_and_falls_silent_is_not_lost(walk: Walk) -> None:
    walk.see(100, "gate")
    assert walk.tick(1000) == "out_once"


def test_moving_and_refuge(walk: Walk) -> None:
    walk.see(100, "face")
    assert walk.see(110, "face", x=5.0) == "moving"
    assert walk.see(169, "face", x=5.0) == "moving"
    assert walk.see(171, "face", x=5.0) == "underground"
    assert walk.see(180, "refuge", x=50.0) == "refuge"


def test_older_fix_changes_nothing(walk: Walk) -> None:
    walk.see(100, "gate")
    walk.see(110, "gate")
    assert walk.see(90, "face", now=111) == "out"


def test_only_what_must_outlive_a_restart_is_kept(walk: Walk) -> None:
    walk.see(100, "face")
    walk.kept.clear()
    walk.see(101, "face", x=5.0)
    walk.see(102, "face", x=10.0)
    assert walk.kept == [False, False]
    walk.see(103, "gate", x=15.0)
    assert walk.kept[-1]
    again = Member.of(walk.member.as_dict())
    assert again == walk.member


def test_who_is_called_out_by_hand_stays_out_until_seen_inside(walk: Walk) -> None:
    walk.see(100, "face")
    walk.member.by_hand, walk.member.state = "u1", "out"
    assert walk.tick(500) == "out"
    assert walk.see(510, "face") == "underground"
    assert (walk.member.by_hand, walk.member.came_back) == ("", 1)


def test_nobody_underground_is_never_said_without_a_live_feed() -> None:
    out = Member("P1", state="out", source_at=100.0)
    assert board([out], "live", 100.0, 110.0).left == 0
    assert board([out], "stale", 100.0, 900.0).left is None
    assert board([], "never", None, 900.0).left is None
    inside = Member("P2", state="underground", source_at=100.0, zone="face")
    stale = board([out, inside], "stale", 100.0, 900.0)
    assert (stale.left, stale.oldest_age_s, stale.zones) == (1, 800.0, {"face": 1})


def test_lists_are_due_once_each_and_late_ones_are_made_up() -> None:
    assert [one.number for one in due(1000.0, 1, 1299.0)] == []
    assert [(one.number, one.due_at) for one in due(1000.0, 1, 1300.0)] == [(1, 1300.0)]
    assert [one.number for one in due(1000.0, 2, 9999.0)] == [2, 3]
    assert due(1000.0, 4, 99999.0) == []


def test_tag_of_a_person_never_seen_leaves_the_member_as_it_is() -> None:
    member = Member("P1", source_at=10.0, zone="face")
    tag: Tag | None = None
    judge(member, tag, False, Sight(FACTS, True, 60.0, 20.0))
    assert (member.state, member.zone) == ("underground", "face")
