"""How one subscriber's bandwidth is shared among what it watches. Pure.

Voice first, whatever it costs; then, in the order of their priorities, every picture in its smallest encoding as long
as it fits (those that do not fit are paused: this is last-N); then larger encodings, to a picture of a higher priority
up to its ceiling before one of a lower gets its next step, among equals one step in turn.

What is sent now may go on when it just fits; what is new needs some room to spare, so that nothing flaps.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SPARE = 1.15
TOLERANCE = 0.95
VOICE, FIRST, REST = range(3)
"""Priorities: sound; screens, pinned and speaking people; all others."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One track that a subscriber would like to get."""

    track: str
    priority: int
    costs: tuple[float, ...]
    """Bitrate of each encoding, the smallest first."""
    ceiling: int
    """The best encoding (index) that is of use."""
    now: int | None
    """What is sent now; None = nothing."""
    must: bool = False
    """Gets its smallest encoding even where that does not fit."""


def allocate(demands: Sequence[Demand], budget_bps: float | None) -> dict[str, int | None]:
    """Encoding for each track, None where it is to be paused. Without a budget everything gets its ceiling."""
    if budget_bps is None:
        return {demand.track: demand.ceiling for demand in demands}
    given: dict[str, int | None] = {}
    left = budget_bps
    ordered = sorted(demands, key=lambda demand: demand.priority)
    for demand in ordered:
        cost = demand.costs[0]
        fits = demand.must or demand.priority == VOICE or cost * _margin(demand, 0) <= left
        given[demand.track] = 0 if fits else None
        left -= cost if fits else 0.0
    for priority in sorted({demand.priority for demand in ordered}):
        left = _raise([demand for demand in ordered if demand.priority == priority], given, left)
    return given


def _raise(demands: Iterable[Demand], given: dict[str, int | None], left: float) -> float:
    """One step each in turn, while any fits."""
    open_ = [demand for demand in demands if given[demand.track] is not None]
    while open_:
        going: list[Demand] = []
        for demand in open_:
            index = given[demand.track]
            if index is None or index >= min(demand.ceiling, len(demand.costs) - 1):
                continue
            step = max(0.0, demand.costs[index + 1] - demand.costs[index])
            if step * _margin(demand, index + 1) <= left:
                given[demand.track] = index + 1
                left -= step
                going.append(demand)
        open_ = going
    return left


def _margin(demand: Demand, index: int) -> float:
    return TOLERANCE if demand.now is not None and index <= demand.now else SPARE


def missing(demands: Sequence[Demand], given: dict[str, int | None]) -> float:
    """What the next step of the first track that got less than its ceiling would cost, 0 where all have theirs."""
    for demand in sorted(demands, key=lambda demand: demand.priority):
        index = given[demand.track]
        if index is None:
            return demand.costs[0]
        if index < min(demand.ceiling, len(demand.costs) - 1):
            return max(0.0, demand.costs[index + 1] - demand.costs[index])
    return 0.0
