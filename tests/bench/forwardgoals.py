"""What runs of the forwarding bench say of what was promised. Costs are medians of the runs that nothing disturbed."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

RATIOS = (
    ("native", "burst10", 100, "janus", 1 / 8),
    ("native", "burst10", 100, "janus event_loops=1", 1 / 4),
    ("native", "even", 100, "janus", 1 / 5),
    ("native", "even", 100, "janus event_loops=1", 1 / 3),
    ("native", "burst10", 10, "janus", 1 / 5),
    ("native", "burst10", 10, "janus event_loops=1", 1 / 3),
    ("python", "burst10", 100, "janus event_loops=1", 0.6),
    ("python", "burst10", 100, "janus", 1.0),
)
"""Ours, load, subscribers, theirs, and the goal for CPU per packet, ours through theirs."""
FLOOR_GOAL = 1.5
FLAT_SHAPE, FLAT_FROM, FLAT_TO, FLAT_WITHIN = "slow10", 50, 1000, 0.2
CPU_GOAL_US = 25.0
JOIN_GOAL_MS = 1.5
RSS_GOAL_KIB = 160.0
MANY = 50
"""Joins at once from which figures per subscriber mean something."""
HALF_LOAD = 0.5


class Run(Protocol):
    """What is read of a run."""

    @property
    def server(self) -> str: ...
    @property
    def shape(self) -> str: ...
    @property
    def subscribers(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def cpu_load(self) -> float: ...
    @property
    def cpu_us_per_packet(self) -> float: ...
    @property
    def disturbed(self) -> bool: ...


class Joins(Protocol):
    """What is read of joins."""

    @property
    def server(self) -> str: ...
    @property
    def joined(self) -> int: ...
    @property
    def cpu_ms_per_join(self) -> float: ...
    @property
    def rss_kib_per_subscriber(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Goal:
    name: str
    value: float
    unit: str
    goal: str
    ok: bool


def at_most(name: str, value: float, unit: str, bound: float) -> Goal:
    return Goal(name, value, unit, f"<= {bound:g}", value <= bound)


def is_ours(server: str) -> bool:
    return not server.startswith("janus")


def cost(runs: Iterable[Run], server: str, shape: str, subscribers: int) -> tuple[float, bool] | None:
    """µs per packet, and whether only disturbed runs say so."""
    found = [run for run in runs if (run.server, run.shape, run.subscribers) == (server, shape, subscribers)]
    calm = [run for run in found if not run.disturbed]
    values = [run.cpu_us_per_packet for run in calm or found]
    return (statistics.median(values), not calm) if values else None


def goals(runs: Sequence[Run], joins: Sequence[Joins] = (), floor_us: float | None = None) -> list[Goal]:
    """A goal without its runs is left out."""
    found = [*_loss(runs), *_absolute(runs), *_ratios(runs), *_beyond(runs, floor_us), *_flat(runs)]
    for join in joins:
        if is_ours(join.server) and join.joined >= MANY:
            cpu, rss = join.cpu_ms_per_join, join.rss_kib_per_subscriber
            found.append(
                Goal(
                    f"{join.server}: CPU per join of {join.joined}",
                    cpu,
                    "ms",
                    f"<= {JOIN_GOAL_MS}",
                    cpu <= JOIN_GOAL_MS,
                )
            )
            found.append(
                Goal(
                    f"{join.server}: RSS of {join.joined} each",
                    rss,
                    "KiB",
                    f"<= {RSS_GOAL_KIB:.0f}",
                    rss <= RSS_GOAL_KIB,
                )
            )
    return found


def _loss(runs: Sequence[Run]) -> list[Goal]:
    """A receiving process that had to wait for a core loses what its sockets do not hold; so calm runs count first."""
    ours = [run for run in runs if is_ours(run.server) and run.cpu_load <= HALF_LOAD]
    calm = [run for run in ours if not run.disturbed]
    if not ours:
        return []
    worst = max(run.loss for run in calm or ours)
    return [Goal(f"loss up to 50 % load{_mark(not calm)}", worst, "share", "= 0", worst <= 0)]


def _absolute(runs: Sequence[Run]) -> list[Goal]:
    found = []
    for server, shape, subscribers in sorted({(run.server, run.shape, run.subscribers) for run in runs}):
        told = cost(runs, server, shape, subscribers)
        if told and is_ours(server) and subscribers == 100:
            title = f"{server}, {shape}, 100 subscribers: CPU per packet{_mark(told[1])}"
            found.append(Goal(title, round(told[0], 2), "µs", f"<= {CPU_GOAL_US:.0f}", told[0] <= CPU_GOAL_US))
    return found


def _ratios(runs: Sequence[Run]) -> list[Goal]:
    found = []
    for ours, shape, subscribers, theirs, goal in RATIOS:
        told, other = cost(runs, ours, shape, subscribers), cost(runs, theirs, shape, subscribers)
        if told and other:
            ratio = told[0] / other[0]
            title = f"{ours}, {shape}, {subscribers} subscribers: of {theirs}{_mark(told[1] or other[1])}"
            found.append(Goal(title, round(ratio, 3), "share", f"<= {goal:.3f}", ratio <= goal))
    return found


def _beyond(runs: Sequence[Run], floor_us: float | None) -> list[Goal]:
    told = cost(runs, "native", "burst10", 100)
    if not told or not floor_us:
        return []
    ratio = told[0] / floor_us
    title = f"native, burst10, 100 subscribers: of the floor of {floor_us:.2f} µs{_mark(told[1])}"
    return [Goal(title, round(ratio, 2), "share", f"<= {FLOOR_GOAL} (goal beyond)", ratio <= FLOOR_GOAL)]


def _flat(runs: Sequence[Run]) -> list[Goal]:
    few, many = cost(runs, "native", FLAT_SHAPE, FLAT_FROM), cost(runs, "native", FLAT_SHAPE, FLAT_TO)
    if not few or not many:
        return []
    ratio = many[0] / few[0]
    title = f"native, {FLAT_SHAPE}: {FLAT_TO} subscribers through {FLAT_FROM}{_mark(few[1] or many[1])}"
    return [Goal(title, round(ratio, 3), "share", f"1 ± {FLAT_WITHIN}", abs(ratio - 1) <= FLAT_WITHIN)]


def _mark(disturbed: bool) -> str:
    return " (disturbed)" if disturbed else ""
