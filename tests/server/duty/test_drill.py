"""What a drill is and is not, without a store."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from server.alerts import machine
from server.alerts.machine import Alert
from server.duty.drill import PREEMPTED, Wish, climbs, finding, like_of, marked, over, preempts, result


@dataclass(frozen=True)
class Somebody:
    user: str = "u1"
    name: str = "王"
    site: str = "county"


BY = Somebody()


def alert(**more: object) -> Alert:
    wish = Wish("mine-a", "alarm", "gas", "county", "李", "county", "井口演练")
    step = machine.find(None, finding(wish, "d1", 100.0, simulated=False), new_id="a1", at=100.0)
    assert step is not None
    return replace(step[0], **more)  # type: ignore[arg-type]


def test_a_drill_is_marked_in_its_title_its_rule_and_its_body() -> None:
    one = alert()
    assert (one.title_zh, one.title_en) == ("【演练】井口演练", "[DRILL] 井口演练")
    assert (one.rule, one.drill, one.as_dict()["drill"]) == ("drill", True, True)
    assert "drill" not in replace(one, rule="gas").as_dict()
    assert marked(*marked("甲", "A")) == ("【演练】甲", "[DRILL] A")


def test_it_borrows_a_chain_and_climbs_no_higher_than_whoever_began_it() -> None:
    assert like_of(alert()) == ("gas", "county")
    assert like_of(replace(alert(), rule="gas")) == ("gas", "")
    way = ["mine-a", "county", "city", "nation"]
    assert climbs(way, "county") == ["mine-a", "county"]
    assert climbs(way, "") == way
    assert climbs(way, "elsewhere") == ["mine-a"]


def test_a_real_alert_on_its_way_ends_it_and_one_beside_it_does_not() -> None:
    way = ["mine-a", "county"]
    assert preempts(["mine-a", "county", "city"], way)
    assert preempts(["mine-b", "county", "city"], way)
    assert not preempts(["mine-c", "south", "nation"], way)


@pytest.mark.parametrize(
    ("end", "outcome", "real"),
    [("", "running", ""), ("ack", "answered", ""), ("cleared", "unanswered", ""), ("hand", "ended", ""),
     ("real", "preempted", "r1")],
)  # fmt: skip
def test_what_came_of_it(end: str, outcome: str, real: str) -> None:
    one = alert()
    steps: dict[str, Callable[[], machine.Step | None]] = {
        "": lambda: None,
        "ack": lambda: machine.acknowledge(one, BY, "", 112.34),
        "cleared": lambda: machine.find(one, over(one, 200.0), new_id="", at=200.0),
        "hand": lambda: machine.close(one, BY, "explained", "drill", "", 150.0),
        "real": lambda: machine.close(one, BY, "explained", PREEMPTED, "r1", 150.0),
    }
    step = steps[end]()
    found = result(step[0] if step is not None else one, ["mine-a", "county"], 3)
    assert (found.outcome, found.real, found.reached, found.rings) == (outcome, real, ("mine-a", "county"), 3)
    assert (found.ended_at is None) == (end in ("", "ack"))
    assert found.took_s == (12.3 if end == "ack" else None)
