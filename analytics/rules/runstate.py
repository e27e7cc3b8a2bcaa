"""Rule P1: does a machine run? From its current, with a dead band and a debounce, so that noise changes nothing.

    r = current / rated current; ON when r >= 0.25, OFF when r <= 0.10, each for 5 s without a break

In between nothing is concluded. Without a rated current the running current is learned: the highest value that the last
three samples all reached. Until that is above the noise, only a current below the noise says something: off.

| state   | sample says on          | says off                | says neither |
|---------|-------------------------|-------------------------|--------------|
| unknown | wait, then ON           | wait, then OFF          | stop waiting |
| on      | stop waiting            | wait, then OFF          | stop waiting |
| off     | wait, then ON           | stop waiting            | stop waiting |
"""

import math
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Literal

from analytics.plugin import Reading

State = Literal["unknown", "on", "off"]
Band = Literal["on", "off", "between"]

ON_RATIO = 0.25
OFF_RATIO = 0.10
DEBOUNCE_S = 5.0
NOISE_A = 0.5
"""A learned running current below this is noise of the instrument."""
LEARN_SAMPLES = 3
MAX_MACHINES = 10_000
"""Machines that `RunStates` follows; beyond it the one silent for longest is forgotten."""
QUANTITY = "current_a"
"""The phase that the run state is read from."""

_TOWARDS: dict[tuple[State, Band], State | None] = {
    ("unknown", "on"): "on",
    ("unknown", "off"): "off",
    ("unknown", "between"): None,
    ("on", "on"): None,
    ("on", "off"): "off",
    ("on", "between"): None,
    ("off", "on"): "on",
    ("off", "off"): None,
    ("off", "between"): None,
}


@dataclass(frozen=True, slots=True)
class RunChange:
    """A machine started or stopped."""

    before: State
    state: State
    since: float
    """Source time of the first sample that said so."""
    ratio: float
    rated_a: float | None


class RunState:
    """One machine. Samples must come in order of source time; an older one is ignored."""

    def __init__(self, rated_a: float | None = None, debounce_s: float = DEBOUNCE_S) -> None:
        self.state: State = "unknown"
        self.since: float | None = None
        self._rated_a = rated_a
        self._learned_a = 0.0
        self._recent: deque[float] = deque(maxlen=LEARN_SAMPLES)
        self._debounce_s = debounce_s
        self._pending: tuple[State, float] | None = None
        self._newest = float("-inf")

    @property
    def rated_a(self) -> float | None:
        """The rated or learned running current, amperes; None while there is neither."""
        if self._rated_a is not None:
            return self._rated_a
        return self._learned_a if self._learned_a >= NOISE_A else None

    def feed(self, current_a: float, source_at: float) -> RunChange | None:
        """Take one sample (amperes, source time in seconds); the change it completes, if any."""
        if source_at <= self._newest:
            return None
        self._newest = source_at
        self._recent.append(current_a)
        if len(self._recent) == LEARN_SAMPLES:
            self._learned_a = max(self._learned_a, min(self._recent))
        rated = self.rated_a
        ratio = current_a / rated if rated is not None else 0.0 if current_a < NOISE_A else math.nan
        band: Band = "on" if ratio >= ON_RATIO else "off" if ratio <= OFF_RATIO else "between"
        towards = _TOWARDS[self.state, band]
        if towards is None:
            self._pending = None
            return None
        if self._pending is None or self._pending[0] != towards:
            self._pending = (towards, source_at)
        if source_at - self._pending[1] < self._debounce_s:
            return None
        before, (self.state, since) = self.state, self._pending
        self.since, self._pending = since, None
        return RunChange(before, self.state, since, ratio, rated)


class RunStates:
    """The run states of many machines, by their readings."""

    def __init__(self, rated_a: dict[tuple[str, str], float] | None = None, max_machines: int = MAX_MACHINES) -> None:
        """`rated_a`: rated current by (site, device), where it is known."""
        self._rated_a = rated_a or {}
        self._max_machines = max_machines
        self._machines: OrderedDict[tuple[str, str], RunState] = OrderedDict()

    def state(self, site: str, device: str) -> State:
        """What is known of a machine."""
        machine = self._machines.get((site, device))
        return machine.state if machine else "unknown"

    def notable(self, before: Reading | None, new: Reading) -> str | None:
        """`started` or `stopped` when this reading completes such a change, else None (`before` is not looked at).

        The first state of a machine is no change. Readings of bad quality, and of other quantities, say nothing.
        """
        if new.quantity != QUANTITY or new.quality == "bad":
            return None
        key = (new.site, new.device)
        machine = self._machines.get(key)
        if machine is None:
            machine = self._machines[key] = RunState(self._rated_a.get(key))
            if len(self._machines) > self._max_machines:
                self._machines.popitem(last=False)
        self._machines.move_to_end(key)
        change = machine.feed(new.value, new.source_at)
        if change is None or change.before == "unknown":
            return None
        return "started" if change.state == "on" else "stopped"
