"""The stopped mine of the demonstration is found out by two sources, and nothing else rings a false alarm."""

import time
from pathlib import Path

import pytest

from analytics.finding import Finding
from analytics.rules.site import SiteRules, devices_of
from analytics.telemetry.payload import parse, parse_topic
from server.demo.facts import stopped
from server.demo.mine import SimulatedMine
from server.demo.setting import settings_for
from server.demo.story import SetLoad, Story
from server.registry.forms import Fact, id_of
from server.registry.service import _facts


@pytest.mark.parametrize("second_of_minute", [0, 1, 13, 29, 47, 59])
def test_a_stopped_mine_whose_belt_carries_coal_is_found_out_soon(tmp_path: Path, second_of_minute: int) -> None:
    start = float(time.time() // 60 * 60 + second_of_minute)
    settings = settings_for(tmp_path, Story(1.0), 1, 2, 3)
    given: dict[tuple[str, str], Fact] = {
        (kind, id_of(kind, one)): one
        for kind, facts in stopped("dongfeng", list(settings.devices)).items()
        for one in facts
    }
    facts = _facts("dongfeng", 1, given)
    rules = SiteRules(facts, devices_of(facts, settings.devices), settings.rules, now=start)
    mine, found = SimulatedMine(1), list[tuple[Finding, int]]()
    for second in range(180):
        if second in (60, 110):
            mine.take(SetLoad("dongfeng", "belt", 0.68 if second == 60 else None))
        for message in mine.tick(start + second):
            topic = parse_topic("lamproom/v1", message.topic)
            if topic.site == "dongfeng":
                parsed = parse(topic, message.payload, start + second + 0.1)
                found += ((one, second) for one in rules.feed(parsed.readings, parsed.positions))
        found += ((one, second) for one in rules.tick(start + second + 0.5))
    covert = [(one, second) for one, second in found if one.rule == "covert_running"]
    alarm, at = next((one, second) for one, second in covert if one.severity == "alarm")
    assert 60 < at <= 125  # it is looked at once a minute
    inputs = alarm.explain["inputs"]
    assert isinstance(inputs, dict)
    assert set(inputs["votes"]) == {"power", "video"}
    assert {one.rule for one, _ in found} == {"covert_running"}
