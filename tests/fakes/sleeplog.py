"""An officer in front of an invented camera, who works, writes, nods or sleeps; no clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from analytics.finding import Finding
from analytics.messages import PictureState
from analytics.plugin import Detection
from analytics.rules.sleeping import SleepChange, SleepOutput, SleepWatch
from tests.fakes.dutylog import EPOCH, settings

Doing = Literal["work", "write", "phone", "sleep_desk", "sleep_back", "absent"]

# Probability of a posture of sleep, and motion: what the shipped model and rendered rooms gave, or what is worst.
_FIGURES: dict[Doing, tuple[float, float]] = {
    "work": (0.01, 0.05),
    "write": (0.9, 0.02),  # head-down and moving: worse than the model, which gives at most 0.1
    "phone": (0.9, 0.015),
    "sleep_desk": (0.98, 0.001),
    "sleep_back": (0.98, 0.0045),
}


def officer(doing: Doing, noise: float = 0.0) -> list[Detection]:
    """What a detector says of one picture."""
    if doing == "absent":
        return []
    down, motion = _FIGURES[doing]
    attributes = {
        "posture.work": 1 - down,
        "posture.sleep_desk": down,
        "posture.sleep_back": 0.0,
        "motion": motion,
        "noise": noise,
    }
    return [Detection("person", 0.9, (0.4, 0.3, 0.6, 0.8), attributes)]


@dataclass
class SleepLog:
    """Runs the rule on invented time that starts at 0; `outputs` holds (seconds, output)."""

    watch: SleepWatch
    rate: float = 2.0
    now: float = 0.0
    outputs: list[tuple[float, SleepOutput]] = field(default_factory=list)

    @classmethod
    def of(cls, rate: float = 2.0, **more: Any) -> "SleepLog":
        return cls(SleepWatch(settings(**more), now=0.0, at=EPOCH), rate)

    def take(self, outputs: Sequence[SleepOutput]) -> None:
        self.outputs += [(self.now, output) for output in outputs]

    def pictures(
        self, seconds: float, seen: Doing | Callable[[float], list[Detection]], picture: PictureState = "ok"
    ) -> "SleepLog":
        """Report pictures for a while; `seen` may depend on the seconds since the start of the log."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            found = seen(self.now) if callable(seen) else officer(seen)
            self.take(self.watch.observe(EPOCH + self.now, self.now, picture, found))
            self.take(self.watch.tick(self.now))
            self.now = round(self.now + 1 / self.rate, 6)
        return self

    def silence(self, seconds: float) -> "SleepLog":
        """Nothing arrives; only ticks."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = round(self.now + 0.5, 6)
            self.take(self.watch.tick(self.now))
        return self

    def findings(self) -> list[tuple[float, str, str]]:
        """(seconds, change, severity)"""
        return [(t, o.change, o.severity) for t, o in self.outputs if isinstance(o, Finding)]

    def last_finding(self) -> Finding:
        return [o for _, o in self.outputs if isinstance(o, Finding)][-1]

    def states(self) -> list[tuple[float, str]]:
        return [(t, str(o.state)) for t, o in self.outputs if isinstance(o, SleepChange)]
