"""Who has stopped, who goes the wrong way, and where it is crowded."""

import pytest

from analytics.mine import Drift, Fence, MineFacts, Zone
from analytics.ways import Ways
from server.muster.machine import Member
from server.muster.progress import Crowd, Evacuation

FACTS = MineFacts(
    "m",
    drifts={"main": Drift("main", ((0.0, 0.0, 0.0), (1000.0, 0.0, 0.0)), width_m=2.0)},
    zones={"shaft": Zone("shaft", Fence(outline=((-5, -5), (5, -5), (5, 5), (-5, 5))), kind="shaft_mouth")},
)
WAYS = Ways(FACTS)


def walked(speed: float, *, for_s: int = 120, state: str = "moving", start: float = 500.0) -> tuple[Evacuation, Member]:
    """One person who walks along the roadway at a speed, away from the way out where it is positive."""
    evacuation, member = Evacuation(), Member("P1", state=state)  # type: ignore[arg-type]
    for second in range(0, for_s + 1, 2):
        member.place, member.source_at = (start + speed * second, 0.5, 0.0), 1000.0 + second
        evacuation.tick([member], WAYS, FACTS.drifts, member.source_at)
    return evacuation, member


@pytest.mark.parametrize(
    ("speed", "going"),
    [(-1.0, "advancing"), (-0.12, "advancing"), (-0.05, "no_progress"), (0.0, "no_progress"), (0.2, "no_progress"),
     (0.5, "wrong_way")],
)  # fmt: skip
def test_way_is_judged_by_the_distance_to_the_way_out(speed: float, going: str) -> None:
    evacuation, _ = walked(speed)
    assert evacuation.going("P1") == going
    assert evacuation.counts() == {going: 1}


def test_nothing_is_said_before_a_minute_has_passed() -> None:
    assert walked(0.0, for_s=58)[0].going("P1") == "unknown"
    assert walked(0.0, for_s=60)[0].going("P1") == "no_progress"


@pytest.mark.parametrize("state", ["refuge", "lost", "out_once", "out"])
def test_nothing_is_said_of_who_is_safe_or_lost(state: str) -> None:
    evacuation, _ = walked(0.0, state=state)
    assert (evacuation.going("P1"), evacuation.counts(), evacuation.to_exit) == ("unknown", {}, {})


def test_nothing_is_said_on_a_silent_feed() -> None:
    evacuation, member = walked(0.0)
    evacuation.tick([member], WAYS, FACTS.drifts, member.source_at + 61)
    assert evacuation.going("P1") == "unknown"


def test_who_turns_round_is_judged_by_the_last_minute() -> None:
    evacuation, member = walked(0.5)
    for second in range(0, 121, 2):
        member.place, member.source_at = (560.0 - second, 0.5, 0.0), 1122.0 + second
        evacuation.tick([member], WAYS, FACTS.drifts, member.source_at)
    assert evacuation.going("P1") == "advancing"
    assert evacuation.to_exit["P1"] == pytest.approx(440.0, abs=1.0)


def test_crowd_is_more_than_two_on_a_square_metre() -> None:
    evacuation = Evacuation()
    members = [Member(f"P{n}", place=(105.0, 0.0, 0.0), source_at=1000.0) for n in range(41)]
    evacuation.tick(members[:40], WAYS, FACTS.drifts, 1000.0)
    assert not evacuation.crowds
    evacuation.tick(members, WAYS, FACTS.drifts, 1000.0)
    assert list(evacuation.crowds) == [Crowd("main", 100.0, 41, 2.05)]


def test_who_left_the_list_is_forgotten() -> None:
    evacuation, _ = walked(0.0)
    evacuation.tick([], WAYS, FACTS.drifts, 2000.0)
    assert evacuation.counts() == {}
