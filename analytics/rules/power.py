"""The power rules: readings of machines in, findings out. Equal samples in equal order give equal findings.

- **Order.** A machine's time never goes back. A sample that is older than the newest one, or that was older than
  `watermark_s` when it arrived (or further ahead than that), is for the history only: it rings no bell as live.
- **No data** is told after `gap_periods` periods without a newer sample. It ends nothing and is never taken for normal.
- **Time** of a finding is the source's, but for gaps, where only the server's is left. Nothing here reads a clock:
  `received_at` of the samples and `now` of `tick` are the only clock.

| Rule | Key | Told |
|---|---|---|
| P2 | `main_fan_stop` | a required main fan stands still: warning; no other main fan on either: critical |
| P4 | `phase_loss` | alarm |
| P5 | `voltage_unbalance`, `current_unbalance` | warning, alarm |
| P6 | `under_voltage`, `over_voltage` | warning, alarm |
| P7 | `overload` | warning, alarm by the integral |
| P10 | `stuck_data`, `source_time_stuck` | warning (the rest of P10 is in `plant`) |
| P11 | `supply_loss` | critical, substations |
| | `telemetry_gap` | warning |
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from analytics.finding import Change, Finding, Severity
from analytics.plugin import Reading
from analytics.rules import electric
from analytics.rules.electric import Frame, Level, Overload, Stuck
from analytics.rules.powerwords import device_title
from analytics.rules.watch import Turn, Watch
from config.settings import DeviceSettings, RuleSettings

RULE_VERSION = 1
"""Of the formulas; the figures have `parameter_version`."""
STUCK_ARRIVALS = 3
"""So many samples that bring no newer time are no silence but a clock that stands still."""
GAPS = ("telemetry_gap", "source_time_stuck")

Judge = Callable[[Frame], Sequence[Level | None]]


@dataclass(slots=True)
class Counts:
    """Samples since the start."""

    judged: int = 0
    late: int = 0
    """For the history only: out of order, repeated, or beyond the watermark."""
    unknown: int = 0
    """Of devices that no setting names."""


class Machine:
    """The rules on one device."""

    def __init__(self, settings: DeviceSettings, rules: RuleSettings, now: float, simulated: bool) -> None:
        """`now`: silence is counted from here until the first sample."""
        self.settings = settings
        self.rules = RuleSettings.model_validate({**rules.model_dump(), **settings.parameters})
        self.rated_a = electric.rated_current(settings)
        self.simulated = simulated
        self.version = _version(settings, self.rules)
        self.ratio: float | None = None
        self.advanced_at = now
        """When the newest sample arrived, server's time."""
        self.standby_on: Callable[[float], bool] = lambda received_at: False
        self._received_at = now
        self._newest = float("-inf")
        self._values: dict[str, tuple[float, float]] = {}
        self._arrivals = 0
        self._gap: str | None = None
        self._overload, self._stuck = Overload(), Stuck()
        self._watches = list(self._rules())

    # --- the rules ---

    def _rules(self) -> Iterable[tuple[Watch, Judge]]:
        one, off = self.rules, self.rules.clear_s
        if self.settings.kind == "main_fan" and self.settings.required:
            levels: list[tuple[Severity, float]] = [("warning", one.fan_stop_s), ("critical", one.fan_critical_s)]
            yield Watch("main_fan_stop", levels, off, ("off_ratio", "on_ratio"), one_limit=True), self._fan
        if self.settings.kind == "substation":
            lost: Judge = lambda frame: [electric.supply_loss(frame, one)]  # noqa: E731
            yield Watch("supply_loss", [("critical", one.supply_loss_s)], off, ("supply_loss_share",)), lost
        phase: Judge = lambda frame: [electric.phase_loss(frame, one)]  # noqa: E731
        yield Watch("phase_loss", [("alarm", one.phase_loss_s)], off, ("phase_loss_share", "loaded_ratio")), phase
        for name, formula, low, high, on_s in (
            ("voltage_unbalance", electric.voltage_unbalance, "voltage_unbalance_warning", "voltage_unbalance_alarm",
             (one.unbalance_s, one.unbalance_s)),
            ("current_unbalance", electric.current_unbalance, "current_unbalance_warning", "current_unbalance_alarm",
             (one.unbalance_s, one.unbalance_s)),
            ("under_voltage", electric.under_voltage, "voltage_warning", "voltage_alarm",
             (one.voltage_warning_s, one.voltage_alarm_s)),
            ("over_voltage", electric.over_voltage, "voltage_warning", "voltage_alarm",
             (one.voltage_warning_s, one.voltage_alarm_s)),
        ):  # fmt: skip
            watch = Watch(name, [("warning", on_s[0]), ("alarm", on_s[1])], off, (low, high))
            yield watch, _two_limits(formula, one, getattr(one, low), getattr(one, high))
        overload = Watch(
            "overload", [("warning", one.overload_s), ("alarm", 0.0)], off, ("overload_ratio", "overload_integral_s")
        )
        yield overload, lambda frame: self._overload.feed(frame, one, self.silent_after_s) or (None, None)
        stuck = Watch("stuck_data", [("warning", 0.0)], 0.0, ("stuck_samples", "on_ratio"))
        yield stuck, lambda frame: [self._stuck.feed(frame, one)]

    def _fan(self, frame: Frame) -> Sequence[Level | None]:
        level = electric.standstill(frame, self.rules)
        if level is not None and level.verdict != "inside" and self.standby_on(self._received_at):
            level = Level("inside", level.value, level.threshold)
        return level, level

    @property
    def silent_after_s(self) -> float:
        return self.rules.gap_periods * self.settings.expected_period_s

    # --- samples ---

    def take_up(self, rule: str, severity: Severity, opened_at: float) -> None:
        """An alert of before a restart."""
        if rule in GAPS:
            self._gap = rule
        for watch, _ in self._watches:
            if watch.rule == rule:
                watch.restore(severity, opened_at)

    def feed(self, readings: Sequence[Reading], counts: Counts) -> list[Finding]:
        """Samples of one moment of the source that arrived together."""
        at, received_at = readings[0].source_at, readings[0].received_at
        self.simulated = self.simulated or any(one.simulated for one in readings)
        findings = self.tick(received_at)
        self._received_at = received_at
        new = [one for one in readings if one.quality != "bad" and self._is_new(one)]
        counts.late += len(readings) - len(new)
        counts.judged += len(new)
        if not new:
            self._arrivals += 1
            return findings
        if at - self._newest > self.silent_after_s and self._newest > float("-inf"):
            findings += self._silent(self._newest + self.silent_after_s)
        if self._gap is not None:
            findings.append(self._gap_finding("cleared", at))
            self._gap = None
        self._newest, self.advanced_at, self._arrivals = at, received_at, 0
        self._values |= {one.quantity: (one.value, at) for one in new}
        oldest = at - self.settings.expected_period_s
        values = {name: value for name, (value, since) in self._values.items() if since >= oldest}
        frame = Frame(at, values, self.rated_a, self.settings.rated_v)
        self.ratio = frame.ratio
        for watch, judge in self._watches:
            turns = watch.feed(judge(frame), at, self.silent_after_s)
            findings += [self._finding(watch, turn, frame) for turn in turns]
        return findings

    def _is_new(self, one: Reading) -> bool:
        lag = one.received_at - one.source_at
        if abs(lag) > self.rules.watermark_s or one.source_at < self._newest:
            return False
        known = self._values.get(one.quantity)
        return known is None or known[1] < one.source_at

    def tick(self, now: float) -> list[Finding]:
        """Nothing may have come. `now` is the server's time, UTC seconds."""
        due = self.advanced_at + self.silent_after_s
        if now <= due:
            return []
        findings = self._silent(due)
        if self._gap is None:
            self._gap = GAPS[1] if self._arrivals >= STUCK_ARRIVALS else GAPS[0]
            findings.insert(0, self._gap_finding("raised", due))
        return findings

    def _silent(self, at: float) -> list[Finding]:
        self.ratio = None
        return [self._finding(watch, turn, None) for watch, _ in self._watches for turn in watch.silent(at)]

    # --- words ---

    def _finding(self, watch: Watch, turn: Turn, frame: Frame | None) -> Finding:
        explain: dict[str, object] = {
            "window_s": watch.windows[turn.severity],
            "parameters": {name: getattr(self.rules, name) for name in (*watch.uses, "hysteresis", "clear_s")},
            "rated": {"current_a": self.rated_a, "voltage_v": self.settings.rated_v},
        }
        if frame is not None:
            explain |= {"inputs": dict(frame.values), "age_s": round(self._received_at - frame.at, 3)}
        if turn.level is not None:
            explain |= {"value": turn.level.value, "threshold": turn.level.threshold}
        return self._told(watch.rule, turn.change, turn.severity, turn.at, explain)

    def _gap_finding(self, change: Change, at: float) -> Finding:
        last = self._newest if self._newest > float("-inf") else None
        explain: dict[str, object] = {
            "last_source_at": last,
            "last_received_at": self.advanced_at if last is not None else None,
            "threshold": self.silent_after_s,
            "value": round(self._received_at - self.advanced_at, 3) if change == "cleared" else self.silent_after_s,
            "window_s": self.silent_after_s,
            "samples_without_newer_time": self._arrivals,
        }
        return self._told(self._gap or GAPS[0], change, "warning", at, explain)

    def _told(self, rule: str, change: Change, severity: Severity, at: float, explain: dict[str, object]) -> Finding:
        one = self.settings
        title_zh, title_en = device_title(one, rule, change, severity)
        explain |= {"rule_version": RULE_VERSION, "parameter_version": self.version}
        key = f"{one.site}/{rule}/{one.device}"
        return Finding(
            one.site, key, rule, one.device, change, severity, at, title_zh, title_en, explain, self.simulated
        )


class PowerRules:
    """The rules on all devices of the settings."""

    def __init__(
        self, devices: Sequence[DeviceSettings], rules: RuleSettings, *, now: float, simulated: bool = False
    ) -> None:
        """`now`: server's time, UTC seconds; a device that is never heard of is missing from here on."""
        self.counts = Counts()
        self._machines = {(one.site, one.device): Machine(one, rules, now, simulated) for one in devices}
        fans = [machine for machine in self._machines.values() if machine.settings.kind == "main_fan"]
        for fan in fans:
            others = [one for one in fans if one is not fan and one.settings.site == fan.settings.site]
            fan.standby_on = lambda received_at, others=others: any(_runs(one, received_at) for one in others)  # type: ignore[misc]

    def take_up(self, key: str, severity: Severity, opened_at: float) -> None:
        """Go on with an alert that stands since before a restart; alerts of other rules are passed over."""
        site, _, rest = key.partition("/")
        rule, _, device = rest.partition("/")
        if (machine := self._machines.get((site, device))) is not None:
            machine.take_up(rule, severity, opened_at)

    def feed(self, readings: Iterable[Reading]) -> list[Finding]:
        """Samples as they arrived. What arrived together is taken in the order of the source's time."""
        findings: list[Finding] = []
        for (_, site, device, _), together in groupby(
            sorted(readings, key=_arrival), key=lambda one: _arrival(one)[:4]
        ):
            machine, frame = self._machines.get((site, device)), list(together)
            if machine is None:
                self.counts.unknown += len(frame)
            else:
                findings += machine.feed(frame, self.counts)
        return findings

    def tick(self, now: float) -> list[Finding]:
        """What is missing now. `now` is the server's time, UTC seconds."""
        return [finding for machine in self._machines.values() for finding in machine.tick(now)]


def _arrival(one: Reading) -> tuple[float, str, str, float, int, str]:
    return one.received_at, one.site, one.device, one.source_at, one.seq, one.quantity


def _runs(fan: Machine, received_at: float) -> bool:
    fresh = received_at - fan.advanced_at <= fan.silent_after_s
    return fresh and fan.ratio is not None and fan.ratio >= fan.rules.on_ratio


def _two_limits(
    formula: Callable[[Frame, RuleSettings, float], Level | None], rules: RuleSettings, low: float, high: float
) -> Judge:
    return lambda frame: (formula(frame, rules, low), formula(frame, rules, high))


def _version(settings: DeviceSettings, rules: RuleSettings) -> str:
    """Equal figures, equal version."""
    figures: dict[str, Any] = {"rules": rules.model_dump(), "device": settings.model_dump()}
    return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()[:12]
