"""What the electrical values of one machine at one moment say: each rule a pure function from a frame to levels.

A level that is None says nothing at this moment: the values that it needs are not there. `between` also stands for "not
to be judged now": a machine that stands still shows no phase loss, and that clears none.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from analytics.rules.condition import Verdict
from config.settings import DeviceSettings, RuleSettings

CURRENTS = ("current_a", "current_b", "current_c")
PHASE_VOLTAGES = ("voltage_a", "voltage_b", "voltage_c")
LINE_VOLTAGES = ("voltage_ab", "voltage_bc", "voltage_ca")
ASSUMED_POWER_FACTOR = 0.85
"""For a rated current from the rated power."""
ENERGISED = 0.1
"""Below this share of the rated voltage a device is switched off: no under-voltage, whatever the limit says."""


@dataclass(frozen=True, slots=True)
class Level:
    """What one limit says at one moment."""

    verdict: Verdict
    value: float
    threshold: float


@dataclass(frozen=True, slots=True)
class Frame:
    """The values of one machine at one moment of its clock."""

    at: float
    values: Mapping[str, float]
    rated_a: float | None
    rated_v: float | None

    def all_of(self, names: tuple[str, ...]) -> list[float] | None:
        """These values, if all are there."""
        found = [self.values[name] for name in names if name in self.values]
        return found if len(found) == len(names) else None

    @property
    def ratio(self) -> float | None:
        """Load: mean of the phase currents over the rated current, else what the terminal says."""
        found = [self.values[name] for name in CURRENTS if name in self.values]
        if found and self.rated_a is not None:
            return sum(found) / len(found) / self.rated_a
        return self.values["load"] / 100 if "load" in self.values else None

    @property
    def volts(self) -> list[float]:
        """Shares of the rated voltage, line voltages before phase voltages; empty when neither is known."""
        if self.rated_v is None:
            return []
        lines = [self.values[name] / self.rated_v for name in LINE_VOLTAGES if name in self.values]
        scale = math.sqrt(3) / self.rated_v
        return lines or [self.values[name] * scale for name in PHASE_VOLTAGES if name in self.values]


def rated_current(device: DeviceSettings) -> float | None:
    """As given, or from rated power and voltage of a three-phase machine."""
    if device.rated_a is not None or device.rated_kw is None or device.rated_v is None:
        return device.rated_a
    return device.rated_kw * 1000 / (math.sqrt(3) * device.rated_v * ASSUMED_POWER_FACTOR)


def above(value: float, limit: float, hysteresis: float) -> Level:
    """Over when more than the limit, inside when at most `1 - hysteresis` of it."""
    verdict: Verdict = "over" if value > limit else "inside" if value <= limit * (1 - hysteresis) else "between"
    return Level(verdict, value, limit)


def below(value: float, limit: float, hysteresis: float) -> Level:
    """Over when less than the limit, inside when at least `1 + hysteresis` of it."""
    verdict: Verdict = "over" if value < limit else "inside" if value >= limit * (1 + hysteresis) else "between"
    return Level(verdict, value, limit)


def held(level: Level) -> Level:
    """The same, not to be judged now."""
    return Level("between", level.value, level.threshold)


def phase_loss(frame: Frame, rules: RuleSettings) -> Level | None:
    """P4: one phase carries next to nothing while the machine draws current."""
    phases = frame.all_of(CURRENTS)
    if phases is None or frame.rated_a is None:
        return None
    mean = sum(phases) / 3
    if mean <= rules.loaded_ratio * frame.rated_a:
        return Level("between", 1.0, rules.phase_loss_share)
    return below(min(phases) / mean, rules.phase_loss_share, rules.hysteresis)


def unbalance(values: list[float]) -> float:
    """P5: the largest deviation from the mean, as a share of it; 0 when all are 0."""
    mean = sum(values) / len(values)
    return max(abs(value - mean) for value in values) / mean if mean > 0 else 0.0


def voltage_unbalance(frame: Frame, rules: RuleSettings, limit: float) -> Level | None:
    values = frame.all_of(LINE_VOLTAGES) or frame.all_of(PHASE_VOLTAGES)
    if values is None:
        return None
    level = above(unbalance(values), limit, rules.hysteresis)
    return held(level) if frame.volts and max(frame.volts) < ENERGISED else level


def current_unbalance(frame: Frame, rules: RuleSettings, limit: float) -> Level | None:
    values = frame.all_of(CURRENTS)
    if values is None or frame.rated_a is None:
        return None
    level = above(unbalance(values), limit, rules.hysteresis)
    return held(level) if sum(values) / 3 <= rules.loaded_ratio * frame.rated_a else level


def under_voltage(frame: Frame, rules: RuleSettings, limit: float) -> Level | None:
    """P6, as a deviation downwards."""
    if not frame.volts:
        return None
    level = above(1 - min(frame.volts), limit, rules.hysteresis)
    return held(level) if max(frame.volts) < ENERGISED else level


def over_voltage(frame: Frame, rules: RuleSettings, limit: float) -> Level | None:
    """P6, as a deviation upwards."""
    return above(max(frame.volts) - 1, limit, rules.hysteresis) if frame.volts else None


def supply_loss(frame: Frame, rules: RuleSettings) -> Level | None:
    """P11: no phase of a substation is energised."""
    if not frame.volts:
        return None
    return below(max(frame.volts), rules.supply_loss_share, rules.hysteresis)


def standstill(frame: Frame, rules: RuleSettings) -> Level | None:
    """P2, one fan: over when it stands still, inside when it runs."""
    ratio = frame.ratio
    if ratio is None:
        return None
    verdict: Verdict = "over" if ratio <= rules.off_ratio else "inside" if ratio >= rules.on_ratio else "between"
    return Level(verdict, ratio, rules.off_ratio)


class Overload:
    """P7's integral of `r² - limit²` over time, seconds. Falls as the machine cools, is never below 0 and at most twice
    the alarm's limit, so that it recovers. A start draws several times the rated current; `overload_start_s` of it are
    not counted. Over a gap in the data nothing is counted."""

    def __init__(self) -> None:
        self.integral = 0.0
        self._last: float | None = None
        self._started_at = float("-inf")
        self._stood = False

    def feed(self, frame: Frame, rules: RuleSettings, longest_step_s: float) -> tuple[Level, Level] | None:
        """The warning's level and the alarm's."""
        ratio = frame.ratio
        if ratio is None:
            return None
        if ratio <= rules.off_ratio:
            self._stood = True
        elif self._stood:
            self._stood, self._started_at = False, frame.at
        step = frame.at - self._last if self._last is not None else 0.0
        self._last = frame.at
        starting = frame.at - self._started_at <= rules.overload_start_s
        if 0 < step <= longest_step_s and not (starting and ratio > rules.overload_ratio):
            grown = self.integral + (ratio**2 - rules.overload_ratio**2) * step
            self.integral = min(max(grown, 0.0), 2 * rules.overload_integral_s)
        warning = above(ratio, rules.overload_ratio, rules.hysteresis)
        alarm = above(self.integral, rules.overload_integral_s, rules.hysteresis)
        return (held(warning) if starting and warning.verdict == "over" else warning), alarm


class Stuck:
    """P10: how many samples of a running machine in a row were all the same."""

    def __init__(self) -> None:
        self.count = 0
        self._values: tuple[float, ...] = ()
        self._at = float("-inf")

    def feed(self, frame: Frame, rules: RuleSettings) -> Level | None:
        values = tuple(frame.values[name] for name in CURRENTS if name in frame.values)
        ratio = frame.ratio
        if not values or ratio is None:
            return None
        running = ratio >= rules.on_ratio
        if frame.at > self._at:
            self.count = self.count + 1 if values == self._values and running else 1
        elif values != self._values:
            self.count = 1
        self._values, self._at = values, frame.at
        level = Level("over" if self.count >= rules.stuck_samples else "inside", self.count, rules.stuck_samples)
        return level if running else held(level)
