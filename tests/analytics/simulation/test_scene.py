"""The simulated mine: equal seeds are equal, what is played is written down, and the rules find it."""

from itertools import islice

import pytest

from analytics.finding import Finding
from analytics.rules.site import SiteRules
from analytics.simulation.layout import layout
from analytics.simulation.power import PowerPlant, devices
from analytics.simulation.scene import Scene
from analytics.simulation.truth import Truth
from config.settings import RuleSettings


def played(seed: int, seconds: float, kinds: list[str]) -> tuple[list[Truth], list[Finding]]:
    scene = Scene(seed, seconds, kinds)
    rules = SiteRules(
        scene.layout.facts, devices(scene.layout.facts.site, 2.0), RuleSettings(sump_high_m=3.6), now=scene.start
    )
    found: list[Finding] = []
    for moment in scene.run():
        found += rules.feed(moment.readings, moment.positions) + rules.tick(moment.now)
    return scene.truth, found


def test_equal_seeds_give_equal_samples_and_others_others() -> None:
    one, same, other = (list(islice(Scene(seed, 60.0).run(), 30)) for seed in (7, 7, 8))
    assert one == same
    assert one != other


def test_a_mine_has_150_people_and_30_machines() -> None:
    facts = layout(1).facts
    assert (len(facts.people), len(facts.machines)) == (150, 30)
    assert {one.device for one in facts.machines.values() if one.device} <= {one.device for one in devices("hongqi", 2)}


@pytest.mark.parametrize(
    ("kinds", "seconds"),
    [
        (["zone_entry", "out_of_route", "under_voltage"], 420.0),
        (["sos", "displaced", "supply_loss"], 420.0),
        (["tag_lost", "collision", "main_fan_stop", "sump_high"], 560.0),
        (["zone_silent", "runaway", "phase_loss"], 560.0),
        (["station_down", "reverse_travel", "telemetry_gap"], 560.0),
    ],
)
def test_what_is_played_is_found(kinds: list[str], seconds: float) -> None:
    truth, found = played(11, seconds, kinds)
    truth = [one for one in truth if one.kind not in ("approach", "person_near_machine")]  # what chance brought
    assert truth
    raised = [one for one in found if one.change == "raised"]
    for one in truth:
        assert any(
            (finding.rule, finding.subject) == (one.kind, one.subject) and one.start - 10 <= finding.at <= one.end + 61
            for finding in raised
        ), one


def test_a_quiet_mine_rings_no_alarm() -> None:
    truth, found = played(12, 400.0, [])
    assert truth == []
    assert [one for one in found if one.severity in ("alarm", "critical")] == []


def test_a_sump_is_pumped_when_it_is_full_and_the_pump_stops_when_it_is_empty() -> None:
    plant, states = PowerPlant("hongqi", 1, producing=False, full=False), list[bool]()
    for minute in range(3 * 1440):
        plant.step(1_790_000_000.0 + minute * 60.0, 60.0)
        states.append(plant.shares["pump-1"] > 0.25)
    assert 0.2 < sum(states) / len(states) < 0.6
    assert 0.5 < plant.level_m < 3.5
