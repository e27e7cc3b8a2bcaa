"""The power rules over invented readings."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from analytics.finding import Finding
from analytics.plugin import Reading
from analytics.rules.power import PowerRules
from analytics.rules.powerwords import _WHAT
from config.settings import DeviceSettings, RuleSettings

T0 = 1_790_000_000.0
UNITS = {"c": "A", "v": "V", "l": "%"}


def device(**given: Any) -> DeviceSettings:
    defaults = {"site": "hongqi", "device": "m1", "rated_a": 100.0, "rated_v": 660.0, "expected_period_s": 1.0}
    return DeviceSettings.model_validate(defaults | given)


def rules(*devices: DeviceSettings, **given: Any) -> PowerRules:
    return PowerRules(devices, RuleSettings.model_validate(given), now=T0)


def readings(at: float, values: dict[str, float], name: str = "m1", delay: float = 0.0, seq: int = 0) -> list[Reading]:
    return [
        Reading("hongqi", name, quantity, value, UNITS[quantity[0]], T0 + at, T0 + at + delay, seq)
        for quantity, value in values.items()
    ]


def amperes(a: float, b: float | None = None, c: float | None = None) -> dict[str, float]:
    return {"current_a": a, "current_b": a if b is None else b, "current_c": a if c is None else c}


def volts(ab: float, bc: float | None = None, ca: float | None = None) -> dict[str, float]:
    return {"voltage_ab": ab, "voltage_bc": ab if bc is None else bc, "voltage_ca": ab if ca is None else ca}


def run(
    power: PowerRules, seconds: Iterable[int], values: Callable[[int], dict[str, float]], name: str = "m1"
) -> list[Finding]:
    return [one for second in seconds for one in power.feed(readings(second, values(second), name))]


def told(findings: Iterable[Finding]) -> list[tuple[str, str, str, float]]:
    return [(one.rule, one.change, one.severity, one.at - T0) for one in findings]


def shaky(mean: float) -> Callable[[int], dict[str, float]]:
    """A machine at this mean current; no two samples are equal."""
    return lambda second: amperes(mean + 0.01 * (second % 7))


# --- P2 ---


def fan(name: str = "m1", **given: Any) -> DeviceSettings:
    return device(**{"device": name, "kind": "main_fan", "required": True} | given)


def test_a_required_main_fan_that_stops_warns_and_without_standby_becomes_critical() -> None:
    power = rules(fan())
    assert run(power, range(1, 10), shaky(80)) == []
    found = run(power, range(10, 700), lambda second: amperes(0.01 * (second % 5)))
    assert told(found) == [("main_fan_stop", "raised", "warning", 10.0), ("main_fan_stop", "again", "critical", 10.0)]
    assert "主通风机停机" in found[0].title_zh
    assert told(run(power, range(700, 720), shaky(80))) == [("main_fan_stop", "cleared", "critical", 700.0)]


def test_a_fan_that_need_not_run_may_stand_still() -> None:
    power = rules(fan(required=False))
    assert run(power, range(1, 700), lambda second: amperes(0.0)) == []


def test_a_change_over_to_the_standby_fan_is_no_stop() -> None:
    power = rules(fan("f1"), device(device="f2", kind="main_fan"))
    found: list[Finding] = []
    for second in range(1, 700):
        first, other = (80.0, 0.0) if second < 20 else (0.0, 80.0) if second > 30 else (0.0, 0.0)
        found += power.feed(
            readings(second, amperes(first + second % 3 * 0.1), "f1")
            + readings(second, amperes(other + second % 3 * 0.1), "f2")
        )
    assert told(found) == [("main_fan_stop", "raised", "warning", 20.0), ("main_fan_stop", "cleared", "warning", 32.0)]


def test_a_restart_goes_on_with_the_stop_and_its_ten_minutes() -> None:
    power = rules(fan())
    power.take_up("hongqi/main_fan_stop/m1", "warning", T0 - 590)
    found = run(power, range(1, 12), lambda second: amperes(0.0))
    assert told(found) == [
        ("main_fan_stop", "data_back", "warning", 1.0),
        ("main_fan_stop", "again", "critical", -590.0),
    ]


# --- P4 to P7, P10, P11 ---


def test_a_lost_phase_is_an_alarm_after_three_seconds() -> None:
    power = rules(device())
    run(power, range(1, 5), shaky(60))
    found = run(power, range(5, 9), lambda second: amperes(80, 81 + second, 2))
    assert told(found) == [("phase_loss", "raised", "alarm", 5.0)]
    assert found[0].explain["value"] == pytest.approx(2 / ((80 + 89 + 2) / 3))


def test_a_machine_that_stands_still_has_lost_no_phase() -> None:
    power = rules(device())
    assert run(power, range(1, 60), lambda second: amperes(0.3, 0.2, 0.0)) == []


def test_unbalanced_currents_warn_then_alarm() -> None:
    power = rules(device(), stuck_samples=1000)
    warned = run(power, range(1, 70), lambda second: amperes(60, 60, 75))
    assert told(warned) == [("current_unbalance", "raised", "warning", 1.0)]
    alarmed = run(power, range(70, 140), lambda second: amperes(60, 60, 120))
    assert told(alarmed)[-1] == ("current_unbalance", "again", "alarm", 70.0)


def test_unbalanced_voltages_warn() -> None:
    power = rules(device())
    assert told(run(power, range(1, 70), lambda second: volts(660, 660, 630))) == [
        ("voltage_unbalance", "raised", "warning", 1.0)
    ]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.95, []),
        (0.92, [("under_voltage", "raised", "warning", 1.0)]),
        (0.80, [("under_voltage", "raised", "alarm", 1.0)]),
        (1.06, []),
        (1.08, [("over_voltage", "raised", "warning", 1.0)]),
        (1.20, [("over_voltage", "raised", "alarm", 1.0)]),
        (0.0, []),
    ],
)
def test_voltage_out_of_limits(level: float, expected: list[tuple[str, str, str, float]]) -> None:
    power = rules(device())
    assert told(run(power, range(1, 13), lambda second: volts(660 * level))) == expected


def test_a_voltage_at_the_edge_clears_only_with_hysteresis() -> None:
    power = rules(device())
    run(power, range(1, 13), lambda second: volts(660 * 0.92))
    assert run(power, range(13, 30), lambda second: volts(660 * 0.935)) == []
    assert told(run(power, range(30, 40), lambda second: volts(660 * 0.94))) == [
        ("under_voltage", "cleared", "warning", 30.0)
    ]


def test_a_light_overload_warns_after_a_minute() -> None:
    power = rules(device())
    assert told(run(power, range(1, 62), shaky(108))) == [("overload", "raised", "warning", 1.0)]


def test_a_heavy_overload_alarms_by_its_integral() -> None:
    power = rules(device())
    (found,) = run(power, range(1, 30), lambda second: amperes(150 + 0.01 * (second % 7)))
    assert (found.rule, found.change, found.severity) == ("overload", "raised", "alarm")
    assert found.at - T0 == 28.0  # 27 s at 1.5² - 1.05² = 1.1475 are the first above 30
    assert found.explain["threshold"] == 30.0
    assert found.explain["inputs"]


def test_the_current_of_a_start_is_no_overload() -> None:
    power = rules(device())
    run(power, range(1, 5), lambda second: amperes(0.0))
    assert run(power, range(5, 12), lambda second: amperes(600 + second)) == []
    assert run(power, range(12, 40), shaky(80)) == []


def test_the_integral_recovers() -> None:
    power = rules(device())
    run(power, range(1, 40), lambda second: amperes(300 + 0.1 * (second % 7)))
    found = run(power, range(40, 400), shaky(60))
    assert [one.change for one in found] == ["cleared"]


def test_values_of_a_running_machine_that_never_change_are_stuck() -> None:
    power = rules(device())
    assert told(run(power, range(1, 61), lambda second: amperes(80.0))) == [("stuck_data", "raised", "warning", 60.0)]
    assert told(run(power, range(61, 63), shaky(80))) == [("stuck_data", "cleared", "warning", 61.0)]


def test_a_machine_that_stands_still_may_show_the_same_zero() -> None:
    power = rules(device())
    assert run(power, range(1, 300), lambda second: amperes(0.0)) == []


def test_a_substation_without_voltage_is_critical() -> None:
    power = rules(device(kind="substation"))
    run(power, range(1, 5), lambda second: volts(655))
    assert told(run(power, range(5, 7), lambda second: volts(12))) == [("supply_loss", "raised", "critical", 5.0)]


def test_one_phase_left_is_no_supply_loss() -> None:
    power = rules(device(kind="substation"))
    found = run(power, range(1, 7), lambda second: volts(12, 12, 660))
    assert "supply_loss" not in {one.rule for one in found}


# --- no data, late data ---


def test_silence_is_told_and_ends_nothing() -> None:
    power = rules(device())
    run(power, range(1, 30), lambda second: amperes(150 + 0.01 * (second % 7)))
    assert power.tick(T0 + 32.0) == []
    found = power.tick(T0 + 32.1)
    assert told(found) == [("telemetry_gap", "raised", "warning", 32.0), ("overload", "no_data", "alarm", 32.0)]
    assert power.tick(T0 + 900) == []
    back = power.feed(readings(901, amperes(150.5)))
    assert [(one.rule, one.change) for one in back] == [("telemetry_gap", "cleared"), ("overload", "data_back")]


def test_a_device_that_was_never_heard_of_is_missing() -> None:
    power = rules(device())
    assert told(power.tick(T0 + 4)) == [("telemetry_gap", "raised", "warning", 3.0)]


def test_the_gap_is_the_same_whether_the_tick_or_the_next_sample_finds_it() -> None:
    ticked, fed = rules(device()), rules(device())
    for power in (ticked, fed):
        power.feed(readings(1, amperes(50)))
    first = ticked.tick(T0 + 4.7) + ticked.feed(readings(50, amperes(51)))
    assert first == fed.feed(readings(50, amperes(51)))


def test_values_that_no_longer_come_make_their_rule_silent() -> None:
    power = rules(device())
    run(power, range(1, 30), lambda second: amperes(150 + 0.01 * (second % 7)))
    found = run(power, range(30, 40), lambda second: volts(660))
    assert [(one.rule, one.change) for one in found] == [("overload", "no_data")]


def test_bad_values_are_no_values() -> None:
    power = rules(device())
    bad = [Reading("hongqi", "m1", "current_a", 0.0, "A", T0 + 1, T0 + 1, quality="bad")]
    power.feed(bad)
    assert power.counts.judged == 0


def test_late_samples_are_for_the_history_only() -> None:
    power = rules(device(kind="substation"))
    run(power, range(1, 10), lambda second: volts(660))
    assert power.feed(readings(3, volts(0.0), delay=7, seq=7)) == []
    old = [Reading("hongqi", "m1", "voltage_ab", 0.0, "V", T0 + 20, T0 + 150)]
    assert "supply_loss" not in {one.rule for one in power.feed(old)}
    assert power.counts.late == 4


def test_a_time_far_ahead_does_not_make_all_others_late() -> None:
    power = rules(device())
    power.feed([Reading("hongqi", "m1", "current_a", 1.0, "A", T0 + 9e6, T0 + 1)])
    assert power.counts.late == 1
    power.feed(readings(2, amperes(50)))
    assert power.counts.judged == 3


def test_a_source_whose_time_stands_still_is_told_as_such() -> None:
    power = rules(device())
    found = [
        one
        for n in range(10)
        for one in power.feed([Reading("hongqi", "m1", "current_a", 50.0, "A", T0 + 1, T0 + 1 + n, seq=n)])
    ]
    assert [(one.rule, one.change) for one in found] == [("source_time_stuck", "raised")]
    assert found[0].explain["samples_without_newer_time"] == 3


# --- parameters, explanations ---


def test_a_device_may_have_figures_of_its_own() -> None:
    power = rules(device(), device(device="m2", parameters={"overload_s": 2.0}))
    assert run(power, range(1, 10), shaky(108), "m1") == []
    assert [one.rule for one in run(power, range(1, 10), shaky(108), "m2")] == ["overload"]


@pytest.mark.parametrize("wrong", [{"overlaod_s": 2.0}, {"overload_s": -1.0}])
def test_a_parameter_that_no_rule_has_is_an_error(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        device(parameters=wrong)


def test_the_version_of_the_parameters_changes_with_them() -> None:
    found = [
        run(rules(one), range(1, 62), shaky(108))[0].explain["parameter_version"]
        for one in (device(), device(), device(rated_kw=90.0))
    ]
    assert found[0] == found[1] != found[2]


def test_the_rated_current_may_come_from_the_power() -> None:
    power = rules(device(rated_a=None, rated_kw=75.0))
    (found,) = run(power, range(1, 62), shaky(95))
    assert found.explain["rated"] == {"current_a": pytest.approx(77.2, abs=0.1), "voltage_v": 660.0}


def test_every_rule_has_words_in_both_languages() -> None:
    for zh, en in _WHAT.values():
        assert any("\u4e00" <= letter <= "\u9fff" for letter in zh)
        assert en.isascii()


VALUES = st.fixed_dictionaries(
    {},
    optional={name: st.floats(0, 400) for name in ("current_a", "current_b", "current_c")}
    | {name: st.floats(0, 900) for name in ("voltage_ab", "voltage_bc", "voltage_ca")},
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), VALUES, st.floats(0, 150)), max_size=60), st.integers())
def test_equal_samples_give_equal_findings_however_they_are_cut_into_batches(
    samples: list[tuple[int, dict[str, float], float]], seed: int
) -> None:
    arrived = [one for at, values, delay in samples for one in readings(at, values, delay=delay)]
    arrived.sort(key=lambda one: one.received_at)
    figures: dict[str, Any] = {"unbalance_s": 2, "overload_s": 2, "voltage_warning_s": 1, "clear_s": 1}
    whole = rules(fan(), **figures).feed(arrived)
    cut, power, left = [], rules(fan(), **figures), list(arrived)
    chance = random.Random(seed)
    while left:
        moments = sorted({one.received_at for one in left})
        until = moments[chance.randrange(len(moments))]
        cut += power.feed([one for one in left if one.received_at <= until])
        left = [one for one in left if one.received_at > until]
    assert cut == whole
    changes: dict[str, list[str]] = {}
    for finding in whole:
        if finding.change in ("raised", "cleared"):
            changes.setdefault(finding.key, []).append(finding.change)
    for told_ in changes.values():
        assert told_ == ["raised", "cleared"] * (len(told_) // 2) + ["raised"] * (len(told_) % 2)
