"""A duty post in front of an invented camera: pictures at a steady rate, ticks twice a second, no clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from analytics.finding import Finding
from analytics.messages import PictureState
from analytics.plugin import Detection
from analytics.rules.absence import DutyChange, DutyPost, Output
from config.settings import DutyPostSettings

EPOCH = 1_800_000_000.0
AT_DESK = Detection("person", 0.9, (0.4, 0.3, 0.6, 0.8))


def settings(**more: Any) -> DutyPostSettings:
    base: dict[str, Any] = {"post": "desk", "site": "mine-1", "camera": "dispatch-room"}
    return DutyPostSettings.model_validate(base | more)


@dataclass
class Log:
    """Runs a rule on invented time that starts at 0; `outputs` holds (seconds, output)."""

    post: DutyPost
    rate: float = 2.0
    now: float = 0.0
    wall_offset: float = EPOCH
    outputs: list[tuple[float, Output]] = field(default_factory=list)

    @classmethod
    def of(cls, rate: float = 2.0, **more: Any) -> "Log":
        return cls(DutyPost(settings(**more), now=0.0, at=EPOCH), rate)

    def take(self, outputs: Sequence[Output]) -> None:
        self.outputs += [(self.now, output) for output in outputs]

    def pictures(self, seconds: float, persons: int | Callable[[float], int], picture: PictureState = "ok") -> "Log":
        """Report pictures for a while; `persons` may depend on the seconds since the start of the log."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            count = persons(self.now) if callable(persons) else persons
            self.take(self.post.observe(self.wall_offset + self.now, self.now, picture, [AT_DESK] * count))
            self.take(self.post.tick(self.now))
            self.now = round(self.now + 1 / self.rate, 6)
        return self

    def silence(self, seconds: float) -> "Log":
        """Nothing arrives; only ticks."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = round(self.now + 0.5, 6)
            self.take(self.post.tick(self.now))
        return self

    def findings(self, rule: str = "absence") -> list[tuple[float, str, str]]:
        """(seconds, change, severity)"""
        return [(t, o.change, o.severity) for t, o in self.outputs if isinstance(o, Finding) and o.rule == rule]

    def last_finding(self, rule: str = "absence") -> Finding:
        return [o for _, o in self.outputs if isinstance(o, Finding) and o.rule == rule][-1]

    def states(self) -> list[tuple[float, str]]:
        return [(t, str(o.state)) for t, o in self.outputs if isinstance(o, DutyChange)]

    def changes(self) -> list[DutyChange]:
        return [o for _, o in self.outputs if isinstance(o, DutyChange)]
