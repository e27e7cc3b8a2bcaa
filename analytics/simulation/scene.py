"""Some hours of a mine in full detail, second by second, with faults and offences played and written down.

Tags are located every two seconds (cars: every second) with noise of 0.3 m, now and then several metres wrong, one in a
hundred missing. Acts are drawn by lot into lanes that run side by side; two acts of one lane never overlap.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from analytics.fences import contains
from analytics.plugin import Position, Reading
from analytics.simulation.layout import Layout, layout
from analytics.simulation.motion import Motion, Mover, nearest
from analytics.simulation.power import PowerPlant
from analytics.simulation.truth import Truth

T0 = 1_790_000_000.0
SIGMA_M = 0.3
OUTLIER_SHARE, OUTLIER_M = 0.001, 6.0
MISSING_SHARE = 0.01
DELAY_S = 0.4
"""From the source to the server."""
PERSON_PERIOD_S, POWER_PERIOD_S, CAMERA_PERIOD_S = 2, 2, 10
SETTLE_S = 120.0
"""Nothing is played before this."""


@dataclass
class Act:
    """Something that is played."""

    kind: str
    subject: str
    lasts_s: float
    begin: Callable[[], None] = lambda: None
    each: Callable[[float], None] = lambda elapsed: None
    """Called every second while it lasts."""
    end: Callable[[], None] = lambda: None
    visible: Callable[[], bool] | None = None
    """Whether it can be seen at this moment; None: from beginning to end."""
    also: tuple[str, ...] = ()
    begun_at: float = 0.0
    seen: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Moment:
    """What arrives in one second."""

    now: float
    readings: Sequence[Reading]
    positions: Sequence[Position]


class Scene:
    """`for moment in scene.run(): ...`, then `scene.truth`.

    Args:
        kinds: acts that may be played; None: all.
    """

    def __init__(self, seed: int, seconds: float = 3600.0, kinds: Sequence[str] | None = None) -> None:
        from analytics.simulation.acts import LANES  # they are written against this class

        self.seconds, self.start = seconds, T0 + seed % 10_000 * 86_400.0
        self.layout: Layout = layout(seed)
        self.motion = Motion(self.layout, seed)
        self.plant = PowerPlant(self.layout.facts.site, seed)
        self.random = random.Random(f"scene {seed}")
        self.now = self.start
        self.truth: list[Truth] = []
        self.extra: list[Reading] = []
        """Readings of this second that are no machine's: calls for help, states of readers."""
        self.carried: dict[str, str] = {}
        """Tag of a person → a second tag that the person has on."""
        self.video_extra = 0
        """People whom cameras see and tags do not."""
        self.used: set[str] = set()
        """Tags that have played in an act."""
        self._noise = random.Random(f"noise {seed}")
        self._near: dict[str, tuple[float, float, str]] = {}
        self._natural: dict[tuple[str, str], list[float]] = {}
        self._seq = 0
        self._wished = kinds
        self._lanes = [self._lane(names) for names in LANES]

    # --- who and where ---

    def movers(self, node: str, *, vehicle: bool = False) -> list[Mover]:
        """Those at a node who have played no part yet."""
        return [
            one for one in self.motion.movers.values()
            if one.vehicle == vehicle and one.node == node and not one.way and not (vehicle and one.aim)
            and one.tag not in self.used
            and not one.silent
        ]  # fmt: skip

    def at(self, node: str) -> list[Mover]:
        """Persons who are heard there."""
        return [one for one in self.motion.movers.values() if not one.vehicle and self.near(one) == node]

    def near(self, mover: Mover) -> str:
        x, y, _ = mover.place
        known = self._near.get(mover.tag)
        if known is None or abs(known[0] - x) + abs(known[1] - y) > 1.0:
            known = self._near[mover.tag] = (x, y, nearest(self.layout, mover.place))
        return known[2]

    def say(self, device: str, quantity: str, value: float) -> None:
        self.extra.append(self._reading(device, quantity, value))

    def _reading(self, device: str, quantity: str, value: float) -> Reading:
        site = self.layout.facts.site
        return Reading(site, device, quantity, value, "1", self.now, self.now + DELAY_S, self._seq, simulated=True)

    # --- time ---

    def _lane(self, names: Sequence[str]) -> Iterator[None]:
        """Plays acts one after the other; advanced once a second."""
        from analytics.simulation.acts import ACTS

        wished = [name for name in names if self._wished is None or name in self._wished]
        order: list[str] = []
        rest = SETTLE_S + self.random.uniform(0, 60)
        end = self.start + self.seconds
        while wished:
            while rest > 0:
                rest -= 1
                yield
            order = order or self.random.sample(wished, len(wished))
            act = ACTS[order.pop()](self)
            if act is None or self.now + act.lasts_s + 60 > end:
                rest = 5.0
                yield
                if self.now + 30 > end:
                    return
                continue
            act.begin()
            act.begun_at = self.now
            while self.now - act.begun_at < act.lasts_s:
                act.each(self.now - act.begun_at)
                self._see(act)
                yield
            act.end()
            self._write(act)
            rest = self.random.uniform(60, 150)

    def _see(self, act: Act) -> None:
        if act.visible is None or act.visible():
            first = act.seen[0][0] if act.seen else self.now
            act.seen = [(first, self.now)]

    def _write(self, act: Act) -> None:
        if act.seen:
            start, end = act.seen[0]
            self.truth.append(Truth(act.kind, act.subject, start, end + 1.0, act.also))

    def run(self) -> Iterator[Moment]:
        """Second by second."""
        lanes = list(self._lanes)
        for second in range(int(self.seconds)):
            self.now = self.start + second
            self._seq += 1
            self.extra = []
            lanes = [lane for lane in lanes if next(lane, lane) is None]
            self._machines_move_only_when_on()
            self.motion.step(1.0)
            for one, other in self.carried.items():
                x, y, z = self.motion.movers[one].place
                self.motion.movers[other].place = (x + 0.2, y + 0.1, z)
                self.motion.movers[other].node = self.motion.movers[one].node
            self._watch()
            readings = list(self.extra)
            if second % POWER_PERIOD_S == 0:
                readings += self.plant.step(self.now, float(POWER_PERIOD_S))
            if second % CAMERA_PERIOD_S == 0:
                readings.append(self._counted())
            yield Moment(self.now + DELAY_S, readings, self._positions(second))
        self._natural_truth()

    def _machines_move_only_when_on(self) -> None:
        for tag, machine in self.layout.facts.machines.items():
            if machine.device:
                self.motion.movers[tag].stopped = self.plant.shares.get(machine.device, 0.0) < 0.3

    def _counted(self) -> Reading:
        there = sum(not one.vehicle and not one.silent for one in self.motion.movers.values())
        return self._reading(
            "gate-camera", "headcount_video", there + self.video_extra + self._noise.choice((-1, 0, 0, 1))
        )

    def _positions(self, second: int) -> list[Position]:
        noise, found = self._noise, list[Position]()
        for number, one in enumerate(self.motion.movers.values()):
            if one.silent or (not one.vehicle and (second + number) % PERSON_PERIOD_S):
                continue
            if noise.random() < MISSING_SHARE:
                continue
            spread = OUTLIER_M if noise.random() < OUTLIER_SHARE else SIGMA_M
            x, y, z = one.place
            found.append(
                Position(
                    self.layout.facts.site, one.tag, "vehicle" if one.vehicle else "person",
                    round(x + noise.gauss(0, spread), 2), round(y + noise.gauss(0, spread), 2), round(z, 2),
                    self.near(one), self.now, self.now + DELAY_S, self._seq, simulated=True,
                )
            )  # fmt: skip
        return found

    # --- what happens without being played ---

    def _watch(self) -> None:
        """Offences that chance brings: too many people at a face, somebody beside a running machine."""
        persons = [one for one in self.motion.movers.values() if not one.vehicle]
        self._watch_counts(persons)
        for tag in self.motion.driving:
            self._watch_around(tag, 1.0, "approach", persons)
        for tag, machine in self.layout.facts.machines.items():
            if machine.device and self.plant.shares.get(machine.device, 0.0) >= 0.25:
                people = self.layout.facts.people
                strangers = [one for one in persons if people[one.tag].job not in machine.operators]
                self._watch_around(tag, 5.0, "person_near_machine", strangers)

    def _watch_counts(self, persons: Sequence[Mover]) -> None:
        facts = self.layout.facts
        counts: dict[str, int] = {}
        for one in persons:
            counts[self.near(one)] = counts.get(self.near(one), 0) + 1
        for quota in facts.quotas.values():
            if quota.zone and counts.get(quota.zone, 0) > quota.people:
                self._natural.setdefault(("over_quota", quota.zone), []).append(self.now)
        for node, count in counts.items():
            if count >= 15 and facts.zones[node].kind in ("roadway", "work"):
                place = self.layout.nodes[node]
                if sum(math.dist(one.place, place) < 9 for one in persons) >= 15:
                    self._natural.setdefault(("gathering", node), []).append(self.now)

    def _watch_around(self, tag: str, within_m: float, kind: str, persons: Sequence[Mover]) -> None:
        x, y, z = self.motion.movers[tag].place
        for one in persons:
            if not one.silent and abs(one.place[0] - x) < within_m and math.dist(one.place, (x, y, z)) < within_m:
                self._natural.setdefault((kind, f"{tag}+{one.tag}"), []).append(self.now)

    def _natural_truth(self) -> None:
        least = {"over_quota": 75.0, "person_near_machine": 3.0, "approach": 0.0, "gathering": 330.0}
        for (kind, subject), times in self._natural.items():
            start = before = times[0]
            for at in [*times[1:], math.inf]:
                if at - before > 15.0:
                    known = any(
                        one.kind == kind
                        and one.subject == subject
                        and one.start - 90 <= before
                        and start <= one.end + 90
                        for one in self.truth
                    )
                    if before - start >= least[kind] and not known:
                        self.truth.append(Truth(kind, subject, start, before + 1.0))
                    start = at
                before = at

    def inside(self, zone: str, mover: Mover) -> bool:
        outline = self.layout.facts.zones[zone].fence.outline
        return contains(outline, mover.place[0], mover.place[1])
