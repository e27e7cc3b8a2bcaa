"""The power rules over what the simulated mine sends in a whole round of the story."""

from pathlib import Path

import pytest

from analytics.finding import Finding
from analytics.rules.power import PowerRules
from analytics.telemetry.payload import parse, parse_topic
from server.demo.mine import SimulatedMine
from server.demo.setting import settings_for
from server.demo.story import LENGTH_S, SCENES, Story

T0 = 1_790_000_000.0


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_the_main_fan_alert_and_no_other_comes_of_a_round_of_the_story(tmp_path: Path, speed: float) -> None:
    settings = settings_for(tmp_path, Story(speed), 1, 2, 3)
    rules = PowerRules(settings.devices, settings.rules, now=T0, simulated=True)
    mine, found, second = SimulatedMine(1), list[Finding](), 0
    scenes = list(SCENES)
    while second * speed < LENGTH_S:
        while scenes and scenes[0].at_s <= second * speed:
            for action in scenes.pop(0).actions:
                mine.take(action)
        for message in mine.tick(T0 + second, speed):
            topic = parse_topic("lamproom/v1", message.topic)
            found += rules.feed(parse(topic, message.payload, T0 + second + 0.1).readings)
        found += rules.tick(T0 + second + 0.5)
        second += 1
    assert [(one.rule, one.subject, one.change) for one in found] == [
        ("main_fan_stop", "fan-main", "raised"),
        ("main_fan_stop", "fan-main", "cleared"),
    ]
    assert 90 <= (found[0].at - T0) * speed <= 105
    assert all(one.simulated for one in found)
