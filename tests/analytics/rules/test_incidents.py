"""Which alerts belong together."""

from analytics.finding import Severity
from analytics.mine import DeviceRating, MineFacts, Zone
from analytics.rules.incidents import Correlator, Decision, Group, Member, kind_of, score_of, zone_of
from config.settings import RuleSettings

ZONES = {
    "a": Zone("a", neighbours=("b",)), "b": Zone("b", neighbours=("c",)), "c": Zone("c", stations=("r1",)),
    "far": Zone("far"),
}  # fmt: skip
FACTS = MineFacts("m", 1, zones=ZONES, devices={"fan": DeviceRating("fan", zone="a")})
RULE = Correlator(FACTS, RuleSettings())


def alert(number: int, rule: str, zone: str = "", severity: Severity = "alarm", at: float = 0.0) -> Member:
    return Member(f"alert{number}", rule, zone, severity, at)


def test_a_lost_supply_and_what_it_brings_are_one_incident() -> None:
    lost = alert(1, "supply_loss", severity="critical")
    assert RULE.decide(lost, [], []) == Decision(opens=(lost,))
    group = [Group("i", (lost,))]
    for number, rule in enumerate(("main_fan_stop", "zone_silent", "telemetry_gap", "drainage_level"), 2):
        assert RULE.decide(alert(number, rule, at=50.0), group, []).join == "i"
    assert RULE.decide(alert(9, "telemetry_gap", at=70.0), group, []) == Decision()
    assert RULE.decide(alert(9, "overload", at=5.0), group, []) == Decision()


def test_what_came_before_the_supply_was_lost_is_taken_in() -> None:
    before = [alert(n, "telemetry_gap", severity="warning", at=float(n)) for n in range(3)]
    lost = alert(7, "supply_loss", severity="critical", at=5.0)
    assert set(RULE.decide(lost, [], before).opens) == {lost, *before}


def test_two_sources_in_touching_zones_open_one_and_one_source_does_not() -> None:
    people = alert(1, "zone_entry", "a")
    assert RULE.decide(people, [], []) == Decision()
    power = alert(2, "overload", "b", "warning", 300.0)
    assert set(RULE.decide(power, [], [people]).opens) == {people, power}
    assert RULE.decide(alert(2, "over_quota", "b", "warning", 300.0), [], [people]) == Decision()
    assert RULE.decide(alert(2, "overload", "far", "warning", 300.0), [], [people]) == Decision()
    assert RULE.decide(alert(2, "overload", "b", "warning", 700.0), [], [people]) == Decision()


def test_an_empty_desk_joins_and_opens_nothing() -> None:
    desk = alert(3, "absence", at=100.0)
    assert RULE.decide(desk, [], [alert(1, "zone_entry", "a")]) == Decision()
    assert RULE.decide(desk, [Group("i", (alert(1, "sos", "a", "critical"),))], []).join == "i"


def test_what_a_person_took_out_does_not_come_back() -> None:
    group = Group("i", (alert(1, "supply_loss", severity="critical"),), frozenset({"alert2"}))
    assert RULE.decide(alert(2, "main_fan_stop", at=3.0), [group], []) == Decision()


def test_everything_that_hangs_together_comes_along() -> None:
    chain = [alert(1, "zone_entry", "a"), alert(2, "over_quota", "b", at=100.0), alert(3, "still", "c", at=200.0)]
    new = alert(4, "sos", "c", "critical", 300.0)
    assert len(RULE.decide(new, [], chain).opens) == 4
    assert kind_of([*chain, new]) == "person_in_distress"
    assert score_of([new, alert(5, "overload")]) == {"positions": 3, "power": 2}


def test_the_zone_of_an_alert_is_that_of_its_subject() -> None:
    assert zone_of("over_quota", "b", {}, FACTS) == "b"
    assert zone_of("zone_entry", "a:P1", {}, FACTS) == "a"
    assert zone_of("main_fan_stop", "fan", {}, FACTS) == "a"
    assert zone_of("station_down", "r1", {}, FACTS) == "c"
    assert zone_of("tag_lost", "P1", {"inputs": {"zone": "b"}}, FACTS) == "b"
    assert zone_of("overload", "belt", {}, FACTS) == ""
