"""Every rule over telemetry of one site. Equal samples in equal order, with equal facts and figures, equal findings."""

from collections.abc import Sequence

from analytics.finding import Finding, Severity
from analytics.mine import DeviceRating, MineFacts
from analytics.plugin import Position, Reading
from analytics.rules.covert import CovertRules
from analytics.rules.electric import rated_current
from analytics.rules.minerules import MineRules, settings_of
from analytics.rules.plant import PlantRules
from analytics.rules.power import PowerRules
from config.settings import DeviceSettings, RuleSettings


def devices_of(facts: MineFacts, settings: Sequence[DeviceSettings]) -> list[DeviceSettings]:
    """The machines of a site: those of the settings, and those that only the registry knows."""
    named = [one for one in settings if one.site == facts.site]
    known = {one.device for one in named}
    return named + [_device(facts.site, one) for one in facts.devices.values() if one.device not in known]


def _device(site: str, rating: DeviceRating) -> DeviceSettings:
    return DeviceSettings(
        site=site, device=rating.device, kind=rating.kind, name_zh=rating.name_zh or None,
        name_en=rating.name_en or None, rated_a=rating.rated_a, rated_v=rating.rated_v, rated_kw=rating.rated_kw,
        required=rating.required, expected_period_s=rating.expected_period_s,
    )  # fmt: skip


class SiteRules:
    """All rules of one site.

    Positions are judged only where the registry knows the mine: without zones and people every silent tag would be an
    alert.

    Args:
        devices: of this site, with the parameters of each.
        now: server's time, UTC seconds; silence is counted from here.
    """

    def __init__(
        self,
        facts: MineFacts,
        devices: Sequence[DeviceSettings],
        rules: RuleSettings,
        *,
        now: float,
        simulated: bool = False,
    ) -> None:
        self.facts = facts
        self._counted_at = float("-inf")
        rules = settings_of(facts, rules)
        rated = {one.device: current for one in devices if (current := rated_current(one)) is not None}
        self.power = PowerRules(devices, rules, now=now, simulated=simulated)
        self.covert = CovertRules(facts, devices, rules, simulated=simulated)
        self.plant = PlantRules(facts.site, devices, rules, simulated=simulated)
        self.mine = (
            MineRules(facts, rules, now=now, rated_a=rated, simulated=simulated) if facts.version else None
        )  # fmt: skip

    def adopt(self, before: "SiteRules") -> None:
        """Go on with what another set of rules on the same site had learned, under our figures."""
        self.plant.adopt(before.plant)
        self.covert.adopt(before.covert)
        if self.mine is not None and before.mine is not None:
            self.mine.adopt(before.mine)

    def take_up(self, key: str, severity: Severity, opened_at: float) -> None:
        """Go on with an alert that stands since before a restart; those of other rules are passed over."""
        self.power.take_up(key, severity, opened_at)
        _, _, rest = key.partition("/")
        rule, _, subject = rest.partition("/")
        self.plant.take_up(rule, subject, severity, opened_at)
        self.covert.take_up(rule, subject, severity, opened_at)
        if self.mine is not None:
            self.mine.take_up(rule, subject, severity, opened_at)

    def feed(self, readings: Sequence[Reading], positions: Sequence[Position]) -> list[Finding]:
        """Samples as they arrived."""
        found = self.power.feed(readings) + self.plant.feed(readings)
        if self.mine is not None:
            found += self.mine.feed(readings, positions)
            last = self.mine.last_at
            if positions and last is not None and last - self._counted_at >= COUNT_S:
                self._counted_at = last
                self.covert.count(self.mine.people.headcount(last), last)
        return found + self.covert.feed(sorted(readings, key=lambda one: (one.received_at, one.source_at)))

    def tick(self, now: float) -> list[Finding]:
        """What is missing now, and what only time tells. `now` is the server's time, UTC seconds."""
        found = self.power.tick(now) + (self.mine.tick(now - LAG_S) if self.mine is not None else [])
        return found + self.covert.tick(now - LAG_S)


COUNT_S = 30.0
"""People are counted for the rule on covert running so often."""
LAG_S = 2.0
"""Whole seconds are looked at this much later, when what arrived in them has been heard."""
