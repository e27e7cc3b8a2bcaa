"""What was refused and what was missed: counters for metrics, and the newest refusals for a person to look at."""

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from analytics.telemetry.payload import Parsed, Reason, Step

KEPT_REFUSALS = 100
MAX_DEVICES = 20_000
"""Devices whose count is followed; beyond it the one silent for longest is forgotten."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was refused. The payload itself is not kept: it may hold names."""

    at: float
    topic: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Gap:
    """A device counted on, and we did not get the records between."""

    site: str
    device: str
    after: int
    before: int

    @property
    def missing(self) -> int:
        """How many records."""
        return self.before - self.after - 1


@dataclass(slots=True)
class Counters:
    """Since the start of the source."""

    messages: int = 0
    readings: int = 0
    positions: int = 0
    retained: int = 0
    """Retained messages: an old state told again, not news."""
    suspect_clock: int = 0
    """Readings whose device clock is off."""
    gaps: int = 0
    missing: int = 0
    """Records that gaps swallowed."""
    repeats: int = 0
    """Records whose count was not above the one before: delivered twice, or late."""
    connections: int = 0
    pauses: int = 0
    """Times that reading from the broker stopped because the queue was full."""
    rejected: Counter[Reason] = field(default_factory=Counter)
    refusals: deque[Refusal] = field(default_factory=lambda: deque(maxlen=KEPT_REFUSALS))

    def take(self, topic: str, parsed: Parsed, at: float) -> None:
        """Count one parsed message."""
        self.readings += len(parsed.readings)
        self.positions += len(parsed.positions)
        self.suspect_clock += sum(reading.quality == "suspect" for reading in parsed.readings)
        self.rejected.update(parsed.rejected)
        for reason, detail in zip(parsed.rejected, parsed.details, strict=False):
            self.refusals.append(Refusal(at, topic[:200], reason, detail))


class Sequences:
    """Follows each device's own count."""

    def __init__(self, max_devices: int = MAX_DEVICES) -> None:
        self._last: OrderedDict[tuple[str, str, str], Step] = OrderedDict()
        self._max_devices = max_devices

    def step(self, site: str, kind: str, step: Step, counters: Counters) -> Gap | None:
        """Take one record's count; the gap before it, if there is one.

        A count that falls back while the device's time goes on is a restarted device: followed from there.
        """
        key = (site, kind, step.device)
        last = self._last.get(key)
        if last is not None and step.seq <= last.seq and step.source_at <= last.source_at:
            counters.repeats += 1
            return None
        self._last[key] = step
        self._last.move_to_end(key)
        if len(self._last) > self._max_devices:
            self._last.popitem(last=False)
        if last is None or step.seq <= last.seq + 1:
            return None
        gap = Gap(site, step.device, last.seq, step.seq)
        counters.gaps += 1
        counters.missing += gap.missing
        return gap
