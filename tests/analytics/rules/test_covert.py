"""Covert running: simulated months of stopped mines, and single pieces of evidence."""

from typing import Any

import pytest

from analytics.finding import Finding
from analytics.mine import MineFacts, MineState, Permit
from analytics.plugin import Reading
from analytics.rules.covert import CovertRules
from analytics.simulation.days import Days
from analytics.simulation.power import devices
from config.settings import DeviceSettings, RuleSettings

T0 = 1_790_006_400.0  # midnight in China


def found_in(days: Days) -> list[Finding]:
    rules = CovertRules(days.facts, devices("dongfeng", 60.0), RuleSettings())
    return [finding for _, readings in days.run() for finding in rules.feed(readings)]


def test_a_mine_that_keeps_its_stop_is_no_incident() -> None:
    assert found_in(Days(21, producing_days=4, stopped_days=14)) == []


def test_the_published_pattern_is_found_soon_after_its_second_source() -> None:
    days = Days(22, "published", producing_days=4, stopped_days=7, begins_day=4)
    found = found_in(days)
    second = days.runs[0].second_source_at
    assert second is not None
    alarm = next(one for one in found if one.severity in ("alarm", "critical"))
    assert second <= alarm.at <= second + 7200
    assert [one.change for one in found].count("raised") == 1  # every night of it is one incident
    inputs: Any = found[-1].explain["inputs"]
    assert set(inputs["votes"]) >= {"power", "positions"}


def test_power_alone_is_only_a_matter_to_check() -> None:
    found = found_in(Days(23, "power_only", producing_days=4, stopped_days=6, begins_day=4))
    assert {one.severity for one in found} == {"warning"}


def stop(**given: Any) -> MineFacts:
    return MineFacts("m", 1, states={"s": MineState("s", "stopped", T0 - 1e6, None, **given)})


def run(facts: MineFacts, minutes: int, device: dict[str, float], others: dict[str, float]) -> list[Finding]:
    belt = DeviceSettings.model_validate({"site": "m", "device": "belt", "kind": "belt", "rated_a": 100.0})
    rules = CovertRules(facts, [belt], RuleSettings())
    rules.tick(T0 - 60)
    found: list[Finding] = []
    for minute in range(minutes):
        at = T0 + minute * 60
        samples = [Reading("m", "belt", name, value, "A", at, at, minute) for name, value in device.items()]
        samples += [Reading("m", "x", name, value, "1", at, at, minute) for name, value in others.items()]
        found += rules.feed(samples)
    return found


def test_a_belt_that_runs_is_told_by_two_sources_and_a_permit_explains_it() -> None:
    running, crowd = {"current_a": 60.0}, {"headcount_underground": 45.0}
    crew = Permit(max_people=30)
    assert run(stop(permits=(crew,)), 40, running, crowd)[-1].severity == "alarm"
    permits = (crew, Permit("belt", 0.0, 6.0, 3.0))
    found = run(stop(permits=permits), 40, running, crowd)
    assert {one.severity for one in found} <= {"warning"}  # the crowd alone
    explained = [item for one in found for item in one.explain["inputs"]["evidence"] if item["item"] == "E1"]  # type: ignore[index]
    assert all(item["explained"] for item in explained)


def test_more_hours_than_permitted_are_evidence() -> None:
    permits = (Permit("belt", 0.0, 24.0, 1.0),)
    found = run(stop(permits=permits), 120, {"current_a": 60.0}, {"belt_loaded": 1.0})
    assert found[-1].severity == "alarm"
    votes: Any = found[-1].explain["inputs"]
    assert votes["votes"] == {"power": 2, "video": 2}


@pytest.mark.parametrize("state", ["producing", "building"])
def test_a_mine_that_may_produce_is_not_judged(state: Any) -> None:
    facts = MineFacts("m", 1, states={"s": MineState("s", state, T0 - 1e6)})
    assert run(facts, 200, {"current_a": 60.0}, {"belt_loaded": 1.0, "headcount_underground": 200.0}) == []


def test_fans_and_pumps_are_no_evidence() -> None:
    fan = DeviceSettings.model_validate({"site": "m", "device": "fan", "kind": "main_fan", "rated_a": 50.0})
    rules = CovertRules(stop(), [fan], RuleSettings())
    samples = [Reading("m", "fan", "current_a", 45.0, "A", T0 + n * 60, T0 + n * 60, n) for n in range(600)]
    assert rules.feed(samples) == []
    assert rules.evidence == {}
