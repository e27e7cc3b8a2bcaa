"""Rules on machines that need memory: drainage, drifting loads, the hour of the day, and data that cannot be true.

| Rule | Subject | Told |
|---|---|---|
| P3 `drainage_flow` | pump | on, and much less flows than usual; or the sump fills while it is on: alarm |
| P3 `drainage_level` | first pump | level too high and no pump of the mine on: alarm |
| P3 `drainage_starts` | pump | too many starts in an hour: warning |
| P8 `load_drift` | device | CUSUM of the load in minutes of running: info |
| P9 `season` | device | hourly means far from the same hour of earlier days: info |
| P10 `data_replayed` | device | a long block of samples was sent before, number by number: warning |
| P10 `energy_mismatch` | device | meter and integral of the power differ: warning |

Electrical values alone do not show a throttled pump: without flow or level drainage cannot be judged, and
`not_observable` says so. P8 and P9 are advice for the mine; alone they are never told upwards.
"""

import math
import statistics
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from analytics.finding import Finding, Severity
from analytics.plugin import Reading
from analytics.rules import electric
from analytics.rules.board import Board, Spec, over
from analytics.rules.electric import Frame, Level
from analytics.rules.runstate import RunState
from config.settings import DeviceSettings, RuleSettings

SPECS: Mapping[str, Spec] = {
    "drainage_flow": Spec((("alarm", 30.0),), 30.0, ("pump_flow_share", "pump_flow_z", "pump_fill_s")),
    "drainage_level": Spec((("alarm", "pumps_off_s"),), 10.0, ("sump_high_m", "pumps_off_s")),
    "drainage_starts": Spec((("warning", 0.0),), 0.0, ("pump_starts_per_hour",)),
    "load_drift": Spec((("info", 0.0),), 0.0, ("drift_k", "drift_h")),
    "season": Spec((("info", "season_s"),), 0.0, ("season_z", "season_s")),
    "data_replayed": Spec((("warning", 0.0),), 60.0, ("replayed_block_s",)),
    "energy_mismatch": Spec((("warning", 0.0),), 0.0, ("energy_share", "energy_window_s")),
}
FLOW_SAMPLES = 30
"""Of the moving mean of the flow."""
SPIN_UP_S = 30.0
SLOPE_M_H = 0.02
"""A sump that rises by more is filling."""
MINUTE_S, HOUR_S, DAY_S, CHINA_S = 60.0, 3600.0, 86_400.0, 28_800.0
LEARN_MINUTES, KEEP_MINUTES = 240, 10_080
SEASON_DAYS, LEARN_DAYS = 28, 7
PRINTS = 50_000
"""Samples of a device that are remembered to know them again."""
SHINGLE = 3
"""Samples in one fingerprint: two that are equal by chance are no repeat."""
SKIP = 200
"""A repeat goes through what was sent before in order, and skips so many samples at most (what stood still then)."""
STEADY = ("main_fan", "aux_fan", "belt", "substation", "other")
"""Machines whose load belongs to the hour of the day; pumps and hoists go by need."""
LEAST_KWH = 2.0


@dataclass(slots=True)
class Pump:
    """What is known of one pump."""

    flow: float = math.nan
    variance: float = 0.0
    samples: int = 0
    on_since: float | None = None
    levels: deque[tuple[float, float]] = field(default_factory=deque)
    starts: deque[float] = field(default_factory=deque)


@dataclass(slots=True)
class Load:
    """Minutes and hours of one machine."""

    minute: int = -1
    sums: tuple[float, int] = (0.0, 0)
    minutes: deque[float] = field(default_factory=lambda: deque(maxlen=KEEP_MINUTES))
    middle: tuple[float, float] | None = None
    """Median and spread that the CUSUM goes by."""
    up: float = 0.0
    down: float = 0.0
    hour: int = -1
    hour_sums: tuple[float, int] = (0.0, 0)
    hours: list[deque[float]] = field(default_factory=lambda: [deque(maxlen=SEASON_DAYS) for _ in range(24)])


@dataclass(slots=True)
class Prints:
    """Fingerprints of the newest runs of samples: when each came first."""

    known: OrderedDict[int, int] = field(default_factory=OrderedDict)
    number: int = 0
    at: int = -1
    run: int = 0
    on: int = 0
    """Of the run, samples in which the machine was on."""
    run_since: float = 0.0
    distinct: set[int] = field(default_factory=set)
    last: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=SHINGLE))


@dataclass(slots=True)
class Energy:
    """The window of one meter."""

    since: float = math.nan
    meter: float = 0.0
    integral_kwh: float = 0.0
    last: tuple[float, float] | None = None
    """Time and power of the newest sample."""


class PlantDevice:
    """One machine."""

    def __init__(self, settings: DeviceSettings, rules: RuleSettings) -> None:
        self.settings = settings
        self.rules = RuleSettings.model_validate({**rules.model_dump(), **settings.parameters})
        self.rated_a = electric.rated_current(settings)
        self.run = RunState(self.rated_a)
        self.pump = Pump()
        self.load = Load()
        self.prints = Prints()
        self.energy = Energy()
        self.newest = float("-inf")
        self.seen: set[str] = set()
        self.level_m = math.nan


class PlantRules:
    """Of all devices of one site; needs the same samples as the power rules."""

    def __init__(
        self, site: str, devices: Sequence[DeviceSettings], rules: RuleSettings, *, simulated: bool = False
    ) -> None:
        self.board = Board(site, SPECS, rules, simulated=simulated, name_of=self._name_of)
        self._rules = rules
        self._devices = {one.device: PlantDevice(one, rules) for one in devices if one.site == site}

    def _name_of(self, _rule: str, subject: str) -> tuple[str, str]:
        known = self._devices.get(subject)
        one = known.settings if known else None
        return (one.name_zh if one else None) or subject, (one.name_en if one else None) or subject

    def take_up(self, rule: str, subject: str, severity: Severity, opened_at: float) -> None:
        """Go on with an alert of before a restart."""
        self.board.take_up(rule, subject, severity, opened_at)

    def adopt(self, before: "PlantRules") -> None:
        """What another set of rules had learned of the same machines."""
        for device, old in before._devices.items():
            if (new := self._devices.get(device)) is not None and new.rated_a == old.rated_a:
                new.run, new.pump, new.load, new.prints, new.energy = (
                    old.run,
                    old.pump,
                    old.load,
                    old.prints,
                    old.energy,
                )
                new.newest, new.seen, new.level_m = old.newest, old.seen, old.level_m

    def not_observable(self) -> dict[str, tuple[str, ...]]:
        """Device → rules that its samples cannot answer."""
        found: dict[str, tuple[str, ...]] = {}
        for device, one in self._devices.items():
            missing = [
                rule for rule, needs in (("drainage_flow", {"flow", "level"}), ("drainage_level", {"level"}))
                if one.settings.kind == "pump" and not needs & one.seen
            ]  # fmt: skip
            if not {"energy"} & one.seen:
                missing.append("energy_mismatch")
            found[device] = tuple(missing)
        return found

    def feed(self, readings: Iterable[Reading]) -> list[Finding]:
        """Samples of the site as they arrived."""
        found: list[Finding] = []
        for (_, device, _), together in groupby(sorted(readings, key=_arrival), key=lambda one: _arrival(one)[:3]):
            known = self._devices.get(device)
            if known is not None:
                found += self._frame(known, [one for one in together if one.quality != "bad"])
        return found

    def _frame(self, one: PlantDevice, readings: Sequence[Reading]) -> list[Finding]:
        if not readings:
            return []
        at, received_at = readings[0].source_at, readings[0].received_at
        if at <= one.newest or abs(received_at - at) > one.rules.watermark_s:
            return []
        gap = at - one.newest
        one.newest = at
        self.board.simulated = self.board.simulated or readings[0].simulated
        self.board.settings = one.rules
        values = {reading.quantity: reading.value for reading in readings}
        one.seen.update(values)
        frame = Frame(at, values, one.rated_a, one.settings.rated_v)
        change = one.run.feed(values["current_a"], at) if "current_a" in values else None
        if change is not None and change.state == "on" and change.before == "off":
            one.pump.starts.append(at)
        on = one.run.state == "on"
        one.pump.on_since = (one.pump.on_since or at) if on else None
        found = self._drainage(one, frame) if one.settings.kind == "pump" else []
        found += self._minutes(one, frame, on) + self._replayed(one, frame, on) + self._meter(one, frame, gap)
        return found

    # --- P3 ---

    def _drainage(self, one: PlantDevice, frame: Frame) -> list[Finding]:
        rules, pump, device, at = one.rules, one.pump, one.settings.device, frame.at
        running_s = at - pump.on_since if pump.on_since is not None else 0.0
        flow_low, inputs = self._flow(one, frame, running_s)
        filling = self._filling(one, frame, running_s, inputs)
        found: list[Finding] = []
        if flow_low is not None or filling is not None:
            level = next(x for x in (filling, flow_low) if x is not None)
            if flow_low is not None and flow_low.verdict == "over":
                level = flow_low
            found += self.board.judge("drainage_flow", device, [level], at, inputs)
        while pump.starts and pump.starts[0] < at - HOUR_S:
            pump.starts.popleft()
        many = len(pump.starts) > rules.pump_starts_per_hour
        level = over(many, len(pump.starts), rules.pump_starts_per_hour)
        found += self.board.judge("drainage_starts", device, [level], at, {"starts": len(pump.starts)})
        if "level" in frame.values:
            one.level_m = frame.values["level"]
        pumps = [other for other in self._devices.values() if other.settings.kind == "pump"]
        if rules.sump_high_m > 0 and not math.isnan(one.level_m) and one is pumps[0]:
            all_off = all(other.run.state == "off" for other in pumps)
            high = one.level_m > rules.sump_high_m and all_off
            level = over(high, one.level_m, rules.sump_high_m)
            found += self.board.judge("drainage_level", device, [level], at, {"level_m": round(one.level_m, 3)})
        return found

    def _flow(self, one: PlantDevice, frame: Frame, running_s: float) -> tuple[Level | None, dict[str, object]]:
        pump, rules, flow = one.pump, one.rules, frame.values.get("flow")
        if flow is None:
            return None, {}
        if running_s < SPIN_UP_S:
            return over(False, flow, 0.0), {"flow": flow}
        if pump.samples < FLOW_SAMPLES:
            pump.samples += 1
            before = flow if math.isnan(pump.flow) else pump.flow
            pump.flow = before + (flow - before) / pump.samples
            pump.variance += ((flow - before) ** 2 - pump.variance) / pump.samples
            return over(False, flow, 0.0), {"flow": flow}
        limit = rules.pump_flow_share * pump.flow
        z = (pump.flow - flow) / max(math.sqrt(pump.variance), 0.01 * pump.flow, 1e-9)
        low = flow < limit and z >= rules.pump_flow_z
        if not low:
            share = 2 / (FLOW_SAMPLES + 1)
            pump.variance = (1 - share) * (pump.variance + share * (flow - pump.flow) ** 2)
            pump.flow += share * (flow - pump.flow)
        return over(low, flow, limit), {"flow": flow, "usual_flow": round(pump.flow, 2), "z": round(z, 2)}

    def _filling(
        self, one: PlantDevice, frame: Frame, running_s: float, inputs: dict[str, object]
    ) -> Level | None:  # fmt: skip
        levels, height = one.pump.levels, frame.values.get("level")
        if height is None:
            return None
        if not levels or frame.at - levels[-1][0] >= 10.0:
            levels.append((frame.at, height))
        while levels and levels[0][0] < frame.at - one.rules.pump_fill_s:
            levels.popleft()
        if running_s < one.rules.pump_fill_s or len(levels) < 10:
            return over(False, 0.0, SLOPE_M_H)
        slope = _slope(levels) * HOUR_S
        inputs["slope_m_h"] = round(slope, 4)
        return over(slope > SLOPE_M_H, slope, SLOPE_M_H)

    # --- P8, P9 ---

    def _minutes(self, one: PlantDevice, frame: Frame, on: bool) -> list[Finding]:
        load, ratio = one.load, frame.ratio
        if ratio is None:
            return []
        minute, hour = int(frame.at // MINUTE_S), int((frame.at + CHINA_S) // HOUR_S)
        found: list[Finding] = []
        if minute != load.minute:
            if load.sums[1]:
                found += self._drift(one, load.sums[0] / load.sums[1], frame.at)
            load.minute, load.sums = minute, (0.0, 0)
        if on:
            load.sums = (load.sums[0] + ratio, load.sums[1] + 1)
        if hour != load.hour:
            if load.hour_sums[1] and one.settings.kind in STEADY:
                found += self._season(one, load.hour % 24, load.hour_sums[0] / load.hour_sums[1], frame.at)
            load.hour, load.hour_sums = hour, (0.0, 0)
        load.hour_sums = (load.hour_sums[0] + ratio, load.hour_sums[1] + 1)
        return found

    def _drift(self, one: PlantDevice, x: float, at: float) -> list[Finding]:
        load, rules = one.load, one.rules
        if one.settings.kind not in ("main_fan", "aux_fan", "pump"):
            return []  # others carry what the work asks of them
        load.minutes.append(x)
        if len(load.minutes) < LEARN_MINUTES:
            return []
        if load.middle is None or len(load.minutes) % 60 == 0:
            middle = statistics.median(load.minutes)
            spread = 1.4826 * statistics.median(abs(value - middle) for value in load.minutes)
            load.middle = (middle, max(spread, 0.1 * statistics.pstdev(load.minutes), 0.005 * middle, 1e-6))
        middle, spread = load.middle
        u = (x - middle) / spread
        cap = 4 * rules.drift_h
        load.up = min(cap, max(0.0, load.up + u - rules.drift_k))
        load.down = min(cap, max(0.0, load.down - u - rules.drift_k))
        value = max(load.up, load.down)
        verdict = over(value > rules.drift_h, value, rules.drift_h)
        if verdict.verdict == "inside" and value > 0.5 * rules.drift_h:
            verdict = Level("between", value, rules.drift_h)
        inputs = {"load": round(x, 4), "usual": round(middle, 4), "spread": round(spread, 5)}
        return self.board.judge("load_drift", one.settings.device, [verdict], at, inputs)

    def _season(self, one: PlantDevice, hour: int, mean: float, at: float) -> list[Finding]:
        past, rules = one.load.hours[hour], one.rules
        found: list[Finding] = []
        if len(past) >= LEARN_DAYS:
            middle = statistics.median(past)
            spread = max(1.4826 * statistics.median(abs(value - middle) for value in past), 0.05 * max(middle, 0.1))
            z = abs(mean - middle) / spread
            inputs = {"load": round(mean, 4), "usual": round(middle, 4), "hour": hour, "days": len(past)}
            level = over(z > rules.season_z, z, rules.season_z)
            found = self.board.judge("season", one.settings.device, [level], at, inputs)
        past.append(mean)
        return found

    # --- P10 ---

    def _replayed(self, one: PlantDevice, frame: Frame, on: bool) -> list[Finding]:
        prints, rules = one.prints, one.rules
        prints.last.append(tuple(value for name, value in sorted(frame.values.items()) if name != "energy"))
        print_ = hash(tuple(prints.last))
        seen_at = prints.known.get(print_, -1)
        prints.number += 1
        if seen_at >= 0 and (prints.run == 0 or 0 <= seen_at - prints.at <= SKIP):
            prints.run_since = frame.at if prints.run == 0 else prints.run_since
            prints.run += 1
            prints.on += on
            prints.distinct.add(print_)
        else:
            prints.run, prints.on, prints.distinct = 0, 0, set()
        prints.at = seen_at
        if seen_at < 0:
            prints.known[print_] = prints.number
            if len(prints.known) > PRINTS:
                prints.known.popitem(last=False)
        lasted = frame.at - prints.run_since if prints.run else 0.0
        moving = len(prints.distinct) * 2 > prints.run and prints.on * 2 > prints.run
        again = lasted >= rules.replayed_block_s and moving
        level = over(again, lasted, rules.replayed_block_s)
        return self.board.judge("data_replayed", one.settings.device, [level], frame.at, {"samples": prints.run})

    def _meter(self, one: PlantDevice, frame: Frame, gap: float) -> list[Finding]:
        energy, rules = one.energy, one.rules
        meter, power = frame.values.get("energy"), frame.values.get("active_power")
        if meter is None or power is None:
            return []
        whole = energy.last is not None and gap <= rules.gap_periods * one.settings.expected_period_s
        if not whole or meter < energy.meter:
            one.energy = Energy(frame.at, meter, 0.0, (frame.at, power))
            return []
        last = energy.last or (frame.at, power)
        energy.integral_kwh += (power + last[1]) / 2 * (frame.at - last[0]) / HOUR_S
        energy.last = (frame.at, power)
        if frame.at - energy.since < rules.energy_window_s:
            return []
        counted, drawn = meter - energy.meter, energy.integral_kwh
        one.energy = Energy(frame.at, meter, 0.0, (frame.at, power))
        larger = max(counted, drawn)
        if larger < LEAST_KWH:
            return []
        share = abs(counted - drawn) / larger
        inputs = {"counted_kwh": round(counted, 2), "drawn_kwh": round(drawn, 2)}
        level = over(share > rules.energy_share, share, rules.energy_share)
        return self.board.judge("energy_mismatch", one.settings.device, [level], frame.at, inputs)


def _slope(samples: Iterable[tuple[float, float]]) -> float:
    """Least squares, units a second."""
    points = list(samples)
    t0 = statistics.fmean(t for t, _ in points)
    mean = statistics.fmean(v for _, v in points)
    below = sum((t - t0) ** 2 for t, _ in points)
    return sum((t - t0) * (v - mean) for t, v in points) / below if below else 0.0


def _arrival(one: Reading) -> tuple[float, str, float, int]:
    return one.received_at, one.device, one.source_at, one.seq
