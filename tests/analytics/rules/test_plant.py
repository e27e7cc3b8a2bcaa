"""Drainage, drifting loads, the hour of the day, and data that cannot be true."""

import random
from typing import Any

from analytics.finding import Finding
from analytics.plugin import Reading
from analytics.rules.plant import PlantRules
from config.settings import DeviceSettings, RuleSettings

T0 = 1_790_000_000.0
UNITS = {"current_a": "A", "flow": "m3/h", "level": "m", "active_power": "kW", "energy": "kWh"}


def made(kind: str = "pump", period: float = 10.0, **figures: Any) -> PlantRules:
    device = DeviceSettings.model_validate(
        {"site": "hongqi", "device": "m", "kind": kind, "rated_a": 100.0, "expected_period_s": period}
    )
    return PlantRules("hongqi", [device], RuleSettings.model_validate(figures))


def feed(rules: PlantRules, at: float, **values: float) -> list[Finding]:
    return rules.feed(
        [Reading("hongqi", "m", name, value, UNITS[name], T0 + at, T0 + at) for name, value in values.items()]
    )


def told(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.rule, one.change) for one in found]


def test_a_pump_that_moves_less_water_than_usual_is_told_and_one_without_a_meter_is_not_judged() -> None:
    rng, rules, found = random.Random(1), made(), list[Finding]()
    for n in range(200):
        flow = 280.0 if n < 120 else 130.0
        found += feed(rules, n * 10.0, current_a=88.0, flow=flow * rng.gauss(1, 0.02))
    assert told(found) == [("drainage_flow", "raised")]
    assert 0 <= found[0].at - T0 - 1200 <= 10
    blind = made()
    assert [one for n in range(200) for one in feed(blind, n * 10.0, current_a=88.0)] == []
    assert "drainage_flow" in blind.not_observable()["m"]


def test_a_sump_that_fills_while_the_pump_runs_is_told() -> None:
    rules, found = made(), list[Finding]()
    for n in range(150):
        found += feed(rules, n * 10.0, current_a=88.0, level=2.0 + n * 0.001)
    assert told(found) == [("drainage_flow", "raised")]
    rules, found = made(), []
    for n in range(150):
        found += feed(rules, n * 10.0, current_a=88.0, level=2.0 - n * 0.001)
    assert found == []


def test_high_water_with_all_pumps_off_is_told_after_two_minutes() -> None:
    rules, found = made(sump_high_m=3.5), list[Finding]()
    for n in range(30):
        found += feed(rules, n * 10.0, current_a=0.0, level=3.8)
    assert told(found) == [("drainage_level", "raised")]


def test_seven_starts_in_an_hour_are_too_many() -> None:
    rules, found = made(), list[Finding]()
    for n in range(600):
        found += feed(rules, n * 10.0, current_a=88.0 if n % 40 < 20 else 0.0)
    assert told(found)[0] == ("drainage_starts", "raised")


def test_a_fan_whose_load_drifts_is_advice_and_one_that_only_trembles_is_none() -> None:
    def minutes(drift: float) -> list[Finding]:
        rng, rules, found = random.Random(2), made("main_fan", 60.0), list[Finding]()
        for n in range(1500):
            amperes = 82.0 + rng.gauss(0, 0.5) + (drift if n > 1000 else 0.0)
            found += feed(rules, n * 60.0, current_a=amperes)
        return found

    assert minutes(0.0) == []
    assert told(minutes(3.0))[0] == ("load_drift", "raised")


def test_a_load_that_is_not_what_it_is_at_this_hour_is_advice_after_three_hours() -> None:
    rng, rules, found = random.Random(3), made("belt", 600.0), list[Finding]()
    for n in range(12 * 144):
        day, hour = divmod(n * 600.0, 86_400.0)
        usual = 70.0 if hour < 43_200 else 10.0
        if day == 10 and hour >= 43_200:
            usual = 60.0
        found += feed(rules, n * 600.0, current_a=usual + rng.gauss(0, 1))
    season = [one for one in found if one.rule == "season"]
    assert told(season)[0] == ("season", "raised")
    assert 10 * 86_400 < season[0].at - T0 < 10.8 * 86_400


def test_samples_that_were_sent_before_are_known_again() -> None:
    rng, rules, tape, found = random.Random(4), made("main_fan", 5.0), list[float](), list[Finding]()
    for n in range(600):
        tape.append(round(80 + rng.gauss(0, 1), 2) if n < 300 else tape[n - 250])
        found += feed(rules, n * 5.0, current_a=tape[-1], active_power=tape[-1] * 1.5)
    assert told(found)[0] == ("data_replayed", "raised")
    assert 300 * 5 + 590 <= found[0].at - T0 + 600 <= 300 * 5 + 1300


def test_a_meter_that_counts_less_than_is_drawn_is_told() -> None:
    def run(share: float) -> list[Finding]:
        rules, energy, found = made("belt", 10.0), 0.0, list[Finding]()
        for n in range(300):
            energy += 100.0 * 10 / 3600 * share
            found += feed(rules, n * 10.0, current_a=60.0, active_power=100.0, energy=energy)
        return found

    assert run(1.0) == []
    assert told(run(0.9))[0] == ("energy_mismatch", "raised")
