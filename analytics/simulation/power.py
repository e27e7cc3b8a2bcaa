"""Machines with power terminals: what they draw over the day, a sump that fills, a supply that all hang on.

`PowerPlant.step(at, seconds)` must be called with growing times; it gives the readings of one moment. What a machine is
to do comes from a regime (`producing`, `stopped`) by the hour of the day, and can be overridden by `hold`.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from analytics.plugin import Reading
from config.settings import DeviceSettings

HOUR_S = 3600.0
DAY_S = 86_400.0
CHINA_S = 8 * HOUR_S
"""China Standard Time is ahead of UTC by this."""
SUMP_M2 = 420.0
INFLOW_M3_H = 115.0
PUMP_M3_H = 280.0
LOW_M, HIGH_M, NIGHT_M = 1.0, 3.0, 2.0
"""The sump is pumped from HIGH to LOW; at night, when current is cheap, from NIGHT on."""
LEVEL_HIGH_M = 3.6


@dataclass(frozen=True, slots=True)
class Machine:
    """One terminal."""

    device: str
    kind: str
    rated_a: float
    rated_v: float
    power_factor: float = 0.86

    @property
    def rated_kw(self) -> float:
        return math.sqrt(3) * self.rated_a * self.rated_v * self.power_factor / 1000


MACHINES: tuple[Machine, ...] = (
    Machine("fan-main", "main_fan", 52, 10_000, 0.9), Machine("fan-standby", "main_fan", 52, 10_000, 0.9),
    Machine("hoist", "hoist", 78, 6_000, 0.84), Machine("aux-hoist", "aux_hoist", 40, 6_000, 0.84),
    Machine("belt", "belt", 150, 1_140), Machine("pump-1", "pump", 61, 6_000, 0.87),
    Machine("pump-2", "pump", 61, 6_000, 0.87), Machine("compressor", "other", 30, 6_000, 0.85),
    Machine("substation", "substation", 260, 10_000, 0.92), Machine("shearer-1", "face", 280, 3_300, 0.8),
    Machine("roadheader-1", "face", 190, 1_140, 0.8), Machine("loader-1", "face", 60, 1_140, 0.8),
    Machine("shearer-2", "face", 280, 3_300, 0.8), Machine("roadheader-2", "face", 190, 1_140, 0.8),
    Machine("loader-2", "face", 60, 1_140, 0.8),
)  # fmt: skip


def devices(site: str, period_s: float) -> list[DeviceSettings]:
    """As the rules know them."""
    return [
        DeviceSettings.model_validate(
            {
                "site": site, "device": one.device, "kind": one.kind, "rated_a": one.rated_a, "rated_v": one.rated_v,
                "required": one.device == "fan-main", "expected_period_s": period_s,
            }
        )
        for one in MACHINES
    ]  # fmt: skip


@dataclass(slots=True)
class Fault:
    """What is wrong with a terminal now; applied to its readings."""

    lost_phase: bool = False
    low_volts: float = 0.0
    unbalanced_a: float = 0.0
    unbalanced_v: float = 0.0
    frozen: bool = False
    clock_stuck: bool = False
    silent: bool = False
    flow_share: float = 1.0
    energy_share: float = 1.0
    """The meter counts this share of what is drawn."""
    replayed: bool = False
    """Sends again what it sent before."""


@dataclass(slots=True)
class Day:
    """What was drawn by lot for one day of a stopped mine."""

    number: int
    hoist: tuple[tuple[float, float], ...] = ()
    """Inspection runs: hour, length in hours."""
    belt: tuple[tuple[float, float], ...] = ()
    aux: tuple[tuple[float, float], ...] = ()


@dataclass
class PowerPlant:
    """All machines of a mine.

    Args:
        covert: device → share of rated current at a time that is run in spite of a stop; None: not now.
    """

    site: str
    seed: int
    producing: bool = True
    full: bool = True
    """All phases and voltages; else current_a and active_power only."""
    shares: dict[str, float] = field(default_factory=dict)
    hold: dict[str, float] = field(default_factory=dict)
    """Device → share of its rated current, whatever its day says."""
    faults: dict[str, Fault] = field(default_factory=dict)
    dead: bool = False
    """No supply."""
    level_m: float = 1.6
    covert: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(f"power {self.seed}")
        self._day = Day(-1)
        self._pumping = False
        self._energy = {one.device: 1000.0 for one in MACHINES}
        self._seq = 0
        self._last: dict[str, list[Reading]] = {}
        self._stuck_at: dict[str, float] = {}
        self._tape: dict[str, list[dict[str, float]]] = {}
        self._play: dict[str, int] = {}
        self._wave = self._random.uniform(0, 100)
        self._jobs: dict[str, tuple[float, bool]] = {}

    def taped(self, device: str) -> bool:
        """It has sent enough to send it again."""
        return len(self._tape.get(device, ())) >= 450

    # --- what machines do ---

    def _draw_day(self, number: int) -> Day:
        rng = random.Random(f"day {self.seed} {number}")
        weekday = number % 7 < 6
        hoist = ((rng.uniform(8.5, 10.5), rng.uniform(0.2, 0.45)),) if weekday else ()
        belt = ((rng.uniform(9, 15), rng.uniform(0.08, 0.14)),) if rng.random() < 0.1 else ()
        aux = tuple((rng.choice((7.6, 15.6, 23.4)) + rng.uniform(-0.2, 0.2), 0.4) for _ in range(3))
        return Day(number, hoist, belt, aux)

    def _wanted(self, one: Machine, at: float) -> float:
        """Share of the rated current."""
        local = at + CHINA_S
        hour, number = local % DAY_S / HOUR_S, int(local // DAY_S)
        if number != self._day.number:
            self._day = self._draw_day(number)
        if one.device in self.covert:
            return self._covert(one, at, self.covert[one.device])
        match one.kind:
            case "main_fan":
                return 0.82 if one.device == "fan-main" else 0.0
            case "pump":
                return 0.88 if self._pumping and one.device == "pump-1" else 0.0
            case "substation":
                return 0.0  # from the others
        return self._production(one, at, hour) if self.producing else self._stopped(one, at, hour)

    def _production(self, one: Machine, at: float, hour: float) -> float:
        working = not 8.0 <= hour < 14.0  # the day shift maintains
        match one.kind:
            case "hoist":
                return _stroke(at, 75.0, 0.62, 0.9) if working else 0.0
            case "aux_hoist":
                return _stroke(at, 180.0, 0.3, 0.6)
            case "belt":
                return 0.68 if working else 0.0
            case "face":
                return self._bursts(one.device, at, 900.0, 0.75, 0.58) if working else 0.0
        return self._bursts(one.device, at, 700.0, 0.6, 0.78)

    def _stopped(self, one: Machine, at: float, hour: float) -> float:
        day = self._day
        match one.kind:
            case "hoist":
                return _stroke(at, 90.0, 0.55, 0.8) if _within(day.hoist, hour) else 0.0
            case "belt":
                return 0.45 if _within(day.belt, hour) else 0.0
            case "aux_hoist":
                return _stroke(at, 200.0, 0.3, 0.6) if _within(day.aux, hour) else 0.0
            case "face":
                return 0.0
        return self._bursts(one.device, at, 1500.0, 0.3, 0.75)

    def _covert(self, one: Machine, at: float, share: float) -> float:
        return _stroke(at, 75.0, 0.62, share) if one.kind in ("hoist", "aux_hoist") else share

    def _bursts(self, device: str, at: float, about_s: float, duty: float, share: float) -> float:
        """On and off by lot."""
        until, on = self._jobs.get(device, (0.0, False))
        if at >= until:
            on = not on
            mean = about_s * 2 * (duty if on else 1 - duty)
            until = at + max(30.0, self._random.expovariate(1 / mean))
            self._jobs[device] = (until, on)
        return share if on else 0.0

    def _sump(self, at: float, seconds: float) -> float:
        """Levels; returns the flow of the running pump, m³/h."""
        hour = (at + CHINA_S) % DAY_S / HOUR_S
        start = NIGHT_M if hour >= 22 or hour < 6 else HIGH_M
        if self.level_m >= start:
            self._pumping = True
        elif self.level_m <= LOW_M:
            self._pumping = False
        fault = self.faults.get("pump-1")
        running = self.shares.get("pump-1", 0.0) > 0.25
        flow = PUMP_M3_H * (fault.flow_share if fault else 1.0) if running else 0.0
        inflow = INFLOW_M3_H * (1 + 0.15 * math.sin(at / 40_000 + self._wave))
        self.level_m = max(0.2, self.level_m + (inflow - flow) * seconds / HOUR_S / SUMP_M2)
        return flow

    # --- samples ---

    def step(self, at: float, seconds: float) -> list[Reading]:
        """All readings of this moment; `seconds` since the last."""
        self._seq += 1
        total = 0.0
        for one in MACHINES:
            if one.kind == "substation":
                continue
            goal = 0.0 if self.dead else self.hold.get(one.device, self._wanted(one, at))
            share = self.shares.get(one.device, goal)
            share += (goal - share) * (1.0 - math.exp(-seconds / 1.5))
            self.shares[one.device] = share if share > 1e-4 else 0.0
            total += self.shares[one.device] * one.rated_kw
        feeder = next(one for one in MACHINES if one.kind == "substation")
        self.shares[feeder.device] = self.hold.get(feeder.device, (total + (0 if self.dead else 90)) / feeder.rated_kw)
        flow = self._sump(at, seconds)
        found: list[Reading] = []
        for one in MACHINES:
            found += self._sent(one, at, seconds, flow)
        return found

    def _sent(self, one: Machine, at: float, seconds: float, flow: float) -> list[Reading]:
        fault = self.faults.get(one.device, _NO_FAULT)
        values = self._values(one, seconds, fault)
        if one.kind == "pump" and self.full:
            values["flow"] = max(0.0, flow * self._random.gauss(1, 0.015)) if one.device == "pump-1" else 0.0
            values["level"] = self.level_m + self._random.gauss(0, 0.004)
        tape = self._tape.setdefault(one.device, [])
        if fault.replayed and tape:
            values = tape[self._play.get(one.device, 0) % len(tape)]
            self._play[one.device] = self._play.get(one.device, 0) + 1
        elif self.full:
            tape.append(values)
            del tape[:-450]
            self._play.pop(one.device, None)
        source_at = at
        if fault.clock_stuck:
            source_at = self._stuck_at.setdefault(one.device, at)
        else:
            self._stuck_at.pop(one.device, None)
        if fault.silent:
            return []
        if fault.frozen and one.device in self._last:
            values = {reading.quantity: reading.value for reading in self._last[one.device]}
        readings = [
            Reading(self.site, one.device, name, round(value, 3), _UNITS[name], source_at, at + 0.3, self._seq,
                    simulated=True)
            for name, value in values.items()
        ]  # fmt: skip
        self._last[one.device] = readings
        return readings

    def _values(self, one: Machine, seconds: float, fault: Fault) -> dict[str, float]:
        noise, share = self._random.gauss, self.shares[one.device]
        amperes = one.rated_a * share * noise(1.0, 0.01) if share > 0.01 else abs(noise(0.0, 0.02))
        volts = one.rated_v * noise(1.0 - fault.low_volts, 0.003) * (0.01 if self.dead else 1.0)
        power = math.sqrt(3) * volts * amperes * one.power_factor / 1000
        self._energy[one.device] += power * seconds / HOUR_S * fault.energy_share
        if not self.full:
            return {"current_a": amperes, "active_power": power}
        phases = [amperes * noise(k, 0.006) for k in (1.0, 0.988 - fault.unbalanced_a, 1.008)]
        if fault.lost_phase:
            phases[2] = abs(noise(0, 0.01))
        lines = [volts * noise(k, 0.0015) for k in (1.0, 0.999 - fault.unbalanced_v, 1.001)]
        return {
            "current_a": max(0.0, phases[0]), "current_b": max(0.0, phases[1]), "current_c": max(0.0, phases[2]),
            "voltage_ab": lines[0], "voltage_bc": lines[1], "voltage_ca": lines[2],
            "active_power": power, "energy": self._energy[one.device],
        }  # fmt: skip


_NO_FAULT = Fault()
_UNITS = {
    "current_a": "A", "current_b": "A", "current_c": "A", "voltage_ab": "V", "voltage_bc": "V", "voltage_ca": "V",
    "active_power": "kW", "energy": "kWh", "flow": "m3/h", "level": "m",
}  # fmt: skip


def _stroke(at: float, cycle_s: float, duty: float, share: float) -> float:
    """A hoist: loaded strokes, and pauses between them."""
    return share if at % cycle_s < cycle_s * duty else 0.02


def _within(runs: tuple[tuple[float, float], ...], hour: float) -> bool:
    return any(start <= hour < start + length for start, length in runs)
