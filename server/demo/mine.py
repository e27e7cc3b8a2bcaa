"""What the simulated mine's power terminals and tag readers send: MQTT messages, each marked as simulated."""

import json
import math
import random
from dataclasses import dataclass

from server.demo.story import Action, SetGathering, SetLoad
from server.demo.world import People

SETTLE_S = 1.5
"""Time constant with which a machine's current follows its load."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """A power terminal at one machine."""

    site: str
    device: str
    rated_a: float
    volts: float
    usual: float
    """Share of the rated current that it usually draws; 0: it stands still."""
    power_factor: float = 0.86
    cycle_s: float = 0.0
    """A hoist draws its current in strokes of this length."""


TERMINALS: tuple[Terminal, ...] = (
    Terminal("hongqi", "fan-main", 52.0, 10_000.0, 0.82, 0.9),
    Terminal("hongqi", "fan-aux", 44.0, 660.0, 0.78),
    Terminal("hongqi", "hoist", 96.0, 6_000.0, 0.7, 0.84, 60.0),
    Terminal("hongqi", "belt", 130.0, 1_140.0, 0.66),
    Terminal("hongqi", "pump-1", 61.0, 6_000.0, 0.88, 0.87),
    Terminal("hongqi", "pump-2", 61.0, 6_000.0, 0.0, 0.87),
    Terminal("hongqi", "substation", 240.0, 10_000.0, 0.55, 0.92),
    Terminal("hongqi", "heading", 150.0, 1_140.0, 0.5, 0.8, 240.0),
    Terminal("dongfeng", "belt", 110.0, 1_140.0, 0.0),
)


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message."""

    topic: str
    payload: bytes


class SimulatedMine:
    """Call `tick` once a second.

    Args:
        prefix: first part of every topic.
    """

    def __init__(self, seed: int, prefix: str = "lamproom/v1") -> None:
        self.people = People(seed)
        self._prefix = prefix
        self._random = random.Random(f"power {seed}")
        self._seq = 0
        self._loads: dict[tuple[str, str], float] = {}
        self._shares = {(terminal.site, terminal.device): terminal.usual for terminal in TERMINALS}

    def take(self, action: Action) -> None:
        """Let the story change what is sent."""
        if isinstance(action, SetLoad):
            key = (action.site, action.device)
            if action.share is None:
                self._loads.pop(key, None)
            else:
                self._loads[key] = action.share
        elif isinstance(action, SetGathering):
            self.people.gather(action.zone)

    def tick(self, at: float, seconds: float = 1.0) -> list[Message]:
        """Everything that is sent now.

        Args:
            at: seconds since the Unix epoch.
            seconds: how long the last tick is ago, in the mine's own time.
        """
        self._seq += 1
        self.people.step(seconds)
        messages = [self._power(terminal, at, seconds) for terminal in TERMINALS]
        messages.append(self._tags(at))
        if self._shares["dongfeng", "belt"] > 0.3:
            messages.append(self._look(at))
        return messages

    def _look(self, at: float) -> Message:
        """A camera at a belt that moves sees coal on it."""
        body = {"ts": round(at, 3), "seq": self._seq, "values": {"belt_loaded": 1}, "simulated": True}
        return Message(f"{self._prefix}/dongfeng/power/belt-camera/event", json.dumps(body).encode())

    def _power(self, terminal: Terminal, at: float, seconds: float) -> Message:
        share = self._share(terminal, at, seconds)
        noise = self._random.gauss
        if share < 0.01:
            phases = [abs(noise(0.0, 0.02)) for _ in range(3)]
        else:
            phases = [terminal.rated_a * share * noise(unbalance, 0.008) for unbalance in (1.0, 0.985, 1.01)]
        volts = [terminal.volts * noise(1.0, 0.003) for _ in range(3)]
        mean_a, mean_v = sum(phases) / 3, sum(volts) / 3
        values = {
            "current_a": round(phases[0], 2),
            "current_b": round(phases[1], 2),
            "current_c": round(phases[2], 2),
            "voltage_ab": round(volts[0], 1),
            "active_power": round(math.sqrt(3) * mean_v * mean_a * terminal.power_factor / 1000, 2),
            "load": round(100 * mean_a / terminal.rated_a, 1),
        }
        body = {"ts": round(at, 3), "seq": self._seq, "values": values, "simulated": True}
        return Message(f"{self._prefix}/{terminal.site}/power/{terminal.device}/event", json.dumps(body).encode())

    def _share(self, terminal: Terminal, at: float, seconds: float) -> float:
        key = (terminal.site, terminal.device)
        goal = self._loads.get(key, terminal.usual)
        if terminal.cycle_s and key not in self._loads:
            goal *= 1.0 if at % terminal.cycle_s < terminal.cycle_s * 0.7 else 0.02
        share = self._shares[key]
        share += (goal - share) * (1.0 - math.exp(-seconds / SETTLE_S))
        self._shares[key] = share
        return share

    def _tags(self, at: float) -> Message:
        records = [
            {
                "ts": round(at, 3),
                "seq": self._seq,
                "tag": walker.tag,
                "kind": walker.kind,
                "x": round(walker.place[0], 1),
                "y": round(walker.place[1] + walker.side_m, 1),
                "z": round(walker.place[2], 1),
                "zone": walker.near,
                "label": walker.label,
                "simulated": True,
            }
            for walker in self.people.walkers
        ]
        return Message(f"{self._prefix}/hongqi/tag/all/event", json.dumps(records, ensure_ascii=False).encode())
