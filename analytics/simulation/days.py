"""Months of a mine that is stopped, or only says so: one sample a minute, and the truth of every covert run.

A stopped mine keeps its fan and its pumps on (the pumps by the cheap hours of the night), tries its hoist and now and
then its belt, sends a maintenance crew down, sells coal from its stock by day. Its cameras err now and then.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from analytics.mine import MineFacts, MineState, Permit
from analytics.plugin import Reading
from analytics.simulation.power import CHINA_S, DAY_S, HOUR_S, MACHINES, PowerPlant
from analytics.simulation.scene import T0

Shape = Literal["none", "published", "night", "day", "people_first", "blind", "power_only"]
CREW = 30
"""People permitted during the stop."""


@dataclass(frozen=True, slots=True)
class Run:
    """One covert run."""

    start: float
    end: float
    sources: dict[str, float] = field(default_factory=dict)
    """Source → when it could first be seen."""

    @property
    def second_source_at(self) -> float | None:
        """When the second source could be seen."""
        times = sorted(self.sources.values())
        return times[1] if len(times) > 1 else None


PLANS: dict[Shape, tuple[float, float, dict[str, float]]] = {
    "published": (20.0, 12.0, {"hoist": 0.85, "belt": 0.5, "shearer-1": 0.3}),
    "night": (22.0, 6.0, {"hoist": 0.8, "belt": 0.55, "shearer-1": 0.5}),
    "day": (8.5, 5.0, {"hoist": 0.7, "belt": 0.4, "roadheader-1": 0.45}),
    "people_first": (23.0, 5.0, {"hoist": 0.8, "belt": 0.5}),
    "blind": (21.0, 8.0, {"hoist": 0.8, "belt": 0.5}),
    "power_only": (22.0, 7.0, {"hoist": 0.85}),
}
"""Local hour of the beginning, hours, shares of the rated currents. `published`: the hoist's share of the energy goes
above 13 %, with peaks at night and twelve hours a day."""
SEEN: dict[Shape, tuple[str, ...]] = {
    "published": ("positions", "video", "gate"), "night": ("positions", "video"), "day": ("positions",),
    "people_first": ("positions", "video"), "blind": ("positions",), "power_only": (),
}  # fmt: skip


class Days:
    """`for now, readings in days.run(): ...`, then `days.runs`.

    Args:
        begins_day: day of the stop on which covert running begins.
        permits: whether the stop was declared with its permits.
    """

    def __init__(
        self,
        seed: int,
        shape: Shape = "none",
        *,
        producing_days: int = 10,
        stopped_days: int = 20,
        begins_day: int = 8,
        permits: bool = True,
        site: str = "dongfeng",
    ) -> None:
        self.shape = shape
        self.start = (T0 + seed % 500 * DAY_S) // DAY_S * DAY_S - CHINA_S
        self.stop_at = self.start + producing_days * DAY_S
        self.end = self.stop_at + stopped_days * DAY_S
        self.runs: list[Run] = []
        self._random = random.Random(f"days {seed} {shape}")
        self._plant = PowerPlant(site, seed, producing=True, full=False)
        self._begins = self.stop_at + begins_day * DAY_S
        self._site = site
        self._seq = 0
        allowed = (
            Permit("hoist", 7.0, 12.0, 1.5, CREW, "试车"),
            Permit("belt", 8.0, 18.0, 1.0, CREW, "试车"),
        )
        crew_only = (Permit(max_people=CREW),)
        state = MineState("stop", "stopped", self.stop_at, None, allowed if permits else crew_only)
        self.facts = MineFacts(site, 1, states={"stop": state})

    def run(self) -> Iterator[tuple[float, list[Reading]]]:
        """Minute by minute."""
        now = self.start
        while now < self.end:
            self._plant.producing = now < self.stop_at
            run = self._covert(now)
            self._plant.covert = PLANS[self.shape][2] if run is not None and self.shape in PLANS else {}
            self._seq += 1
            readings = self._plant.step(now, 60.0)
            if self._seq % 5 == 0:
                readings += self._others(now, run)
            yield now, readings
            now += 60.0

    def _covert(self, now: float) -> Run | None:
        """The run that is on now."""
        if self.shape == "none" or now < self._begins:
            return None
        hour, hours, _ = PLANS[self.shape]
        if not self.runs or now >= self.runs[-1].start + DAY_S - HOUR_S:
            local = (now + CHINA_S) % DAY_S / HOUR_S
            if abs(local - hour) < 1 / 120:
                start = now + self._random.uniform(0, 1800)
                seen = {"power": start} | {one: start + self._random.uniform(0, 2400) for one in SEEN[self.shape]}
                if self.shape == "people_first":
                    seen["positions"] = start - 2400.0
                self.runs.append(Run(start, start + hours * HOUR_S * self._random.uniform(0.8, 1.0), seen))
        if not self.runs:
            return None
        last = self.runs[-1]
        return last if last.start <= now < last.end else None

    def _others(self, now: float, run: Run | None) -> list[Reading]:
        rng, hour = self._random, (now + CHINA_S) % DAY_S / HOUR_S
        seen = {
            name for one in self.runs[-1:] for name, at in one.sources.items() if at <= now < one.end
        }  # fmt: skip
        if now < self.stop_at:
            people, loaded, trucks = rng.randint(110, 150), not 8 <= hour < 14, rng.random() < 0.3
        else:
            people = rng.randint(14, 26) if 8 <= hour < 16 else rng.randint(5, 9)
            loaded = rng.random() < 0.004  # a shadow, a wet belt
            trucks = 9 <= hour < 17 and int(now // DAY_S) % 9 == 0 and rng.random() < 0.15  # from the stock
        if "positions" in seen:
            people += rng.randint(32, 42)
        loaded = loaded or ("video" in seen and rng.random() < 0.85)
        trucks = trucks or ("gate" in seen and rng.random() < 0.35)
        values = (
            ("positioning", "headcount_underground", float(people)),
            ("belt-camera", "belt_loaded", float(loaded)),
            ("yard-camera", "trucks_out", float(trucks)),
        )
        return [
            Reading(self._site, device, quantity, value, "1", now, now + 0.3, self._seq, simulated=True)
            for device, quantity, value in values
        ]


def share_of_hoist(readings: list[Reading]) -> tuple[float, float]:
    """kW of the hoist and of everything in one moment."""
    power = {one.device: one.value for one in readings if one.quantity == "active_power"}
    return power.get("hoist", 0.0), power.get("substation", 0.0) or sum(power.get(one.device, 0.0) for one in MACHINES)
