"""Rule P1: does a machine run? From its current, with a dead band and a debounce, so that noise changes nothing.

    r = current / rated current; ON when r >= 0.25, OFF when r <= 0.10, each for 5 s without a break

In between nothing is concluded. Without a rated current the running current is learned: the highest value that the last
three samples all reached. Until one was seen that is above the noise, the state stays `unknown`.

| state   | sample says on          | says off                | says neither |
|---------|-------------------------|-------------------------|--------------|
| unknown | wait, then ON           | wait, then OFF          | stop waiting |
| on      | stop waiting            | wait, then OFF          | stop waiting |
| off     | wait, then ON           | stop waiting            | stop waiting |
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

State = Literal["unknown", "on", "off"]
Band = Literal["on", "off", "between"]

ON_RATIO = 0.25
OFF_RATIO = 0.10
DEBOUNCE_S = 5.0
NOISE_A = 0.5
"""A learned running current below this is noise of the instrument."""
LEARN_SAMPLES = 3

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

    state: State
    since: float
    """Source time of the first sample that said so."""
    ratio: float
    rated_a: float


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
        if rated is None:
            return None
        ratio = current_a / rated
        band: Band = "on" if ratio >= ON_RATIO else "off" if ratio <= OFF_RATIO else "between"
        towards = _TOWARDS[self.state, band]
        if towards is None:
            self._pending = None
            return None
        if self._pending is None or self._pending[0] != towards:
            self._pending = (towards, source_at)
        if source_at - self._pending[1] < self._debounce_s:
            return None
        self.state, since = self._pending
        self.since, self._pending = since, None
        return RunChange(self.state, since, ratio, rated)
