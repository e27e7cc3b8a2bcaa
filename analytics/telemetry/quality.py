"""How good the data of a mine are: complete, in time, plausible. Pure; hours of the source's clock.

    completeness  samples that came, of those that the devices owe by their period
    lateness      share of samples that came later than the limit
    plausibility  share of samples that are of good quality and not stuck

The score is 0 to 100: half completeness, a quarter each of the others. What nobody owes is no part of it, and a mine of
which nothing is known has no score.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from analytics.plugin import Reading

HOUR_S = 3600.0
HOURS = 24
STUCK = 60
"""Equal values in a row of something that is not 0: not measured any more."""


@dataclass(slots=True)
class Hour:
    """Counts of one device in one hour."""

    moments: int = 0
    samples: int = 0
    late: int = 0
    doubtful: int = 0


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one mine, or of one device of it."""

    completeness: float
    lateness: float
    plausibility: float
    score: float
    samples: int

    def as_dict(self) -> dict[str, float]:
        return {
            "completeness": round(self.completeness, 4), "lateness": round(self.lateness, 4),
            "plausibility": round(self.plausibility, 4), "score": round(self.score, 1), "samples": self.samples,
        }  # fmt: skip


@dataclass(slots=True)
class _Device:
    hours: OrderedDict[int, Hour] = field(default_factory=OrderedDict)
    newest: float = float("-inf")
    values: dict[str, tuple[float, int]] = field(default_factory=dict)


class QualityMeter:
    """Of one mine.

    Args:
        periods: device → how often it sends, seconds.
        since: nothing is owed from before.
    """

    def __init__(self, periods: Mapping[str, float], late_s: float, since: float) -> None:
        self._periods, self._late_s, self._since = dict(periods), late_s, since
        self._devices: dict[str, _Device] = {}

    def feed(self, readings: Iterable[Reading]) -> None:
        """Samples as they came, late ones too."""
        for one in readings:
            if one.device not in self._periods:
                continue
            device = self._devices.setdefault(one.device, _Device())
            number = int(one.source_at // HOUR_S)
            hour = device.hours.get(number)
            if hour is None:
                hour = device.hours[number] = Hour()
                while len(device.hours) > HOURS + 2:
                    del device.hours[min(device.hours)]
            if one.source_at != device.newest:
                hour.moments += 1
                device.newest = one.source_at
            hour.samples += 1
            hour.late += one.received_at - one.source_at > self._late_s
            value, run = device.values.get(one.quantity, (one.value, 0))
            run = run + 1 if one.value == value and one.value != 0 else 0
            device.values[one.quantity] = (one.value, run)
            hour.doubtful += one.quality != "good" or run >= STUCK

    def device(self, name: str, now: float) -> Quality | None:
        """The last 24 hours of one device; None: it owes nothing yet."""
        begin = max(now - HOURS * HOUR_S, self._since)
        owed = (now - begin) / self._periods[name]
        if owed < 1:
            return None
        known = self._devices.get(name)
        hours = [
            hour for number, hour in (known.hours.items() if known else ()) if number >= int(begin // HOUR_S)
        ]  # fmt: skip
        samples = sum(hour.samples for hour in hours)
        complete = min(1.0, sum(hour.moments for hour in hours) / owed)
        late = sum(hour.late for hour in hours) / samples if samples else 0.0
        plausible = 1 - sum(hour.doubtful for hour in hours) / samples if samples else 0.0
        return _quality(complete, late, plausible, samples)

    def mine(self, now: float) -> Quality | None:
        """All devices, each counted alike."""
        found = [one for name in self._periods if (one := self.device(name, now)) is not None]
        if not found:
            return None
        n = len(found)
        return _quality(
            sum(one.completeness for one in found) / n, sum(one.lateness for one in found) / n,
            sum(one.plausibility for one in found) / n, sum(one.samples for one in found),
        )  # fmt: skip


def _quality(complete: float, late: float, plausible: float, samples: int) -> Quality:
    timely = (1 - late) if samples else 0.0
    return Quality(complete, late, plausible, 100 * (0.5 * complete + 0.25 * timely + 0.25 * plausible), samples)
