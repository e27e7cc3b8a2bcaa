"""The watches of the rules of one mine, by rule and subject, and the findings that come of them.

A watch is made when something is first over a limit and forgotten when nothing is left of it, so that 150 tags under
ten rules cost nothing while all is well.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analytics.finding import Change, Finding, Severity
from analytics.rules.condition import State
from analytics.rules.electric import Level
from analytics.rules.minewords import title
from analytics.rules.watch import Turn, Watch
from config.settings import RuleSettings

RULE_VERSION = 1
"""Of the formulas; the figures have `parameter_version`."""
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Spec:
    """One rule: its levels from the least severe on, and the parameters that it goes by."""

    levels: tuple[tuple[Severity, str | float], ...]
    """Severity, and how long: a parameter or seconds."""
    off: str | float
    uses: tuple[str, ...] = ()
    one_limit: bool = False


def seconds(settings: RuleSettings, name: str | float) -> float:
    return float(getattr(settings, name)) if isinstance(name, str) else name


def parameter_version(settings: RuleSettings, facts_version: int) -> str:
    """Equal figures and facts, equal version."""
    figures = {"rules": settings.model_dump(), "facts": facts_version}
    return hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()[:12]


class Board:
    """Of one mine.

    Args:
        specs: every rule that may be judged here.
        name_of: what people call a subject: (Chinese, English).
    """

    def __init__(
        self,
        site: str,
        specs: Mapping[str, Spec],
        settings: RuleSettings,
        *,
        facts_version: int = 0,
        simulated: bool = False,
        name_of: Callable[[str, str], tuple[str, str]] = lambda rule, subject: (subject, subject),
    ) -> None:
        self.site, self.settings, self.simulated = site, settings, simulated
        self.specs = specs
        self.version = parameter_version(settings, facts_version)
        self._name_of = name_of
        self._watches: dict[tuple[str, str], Watch] = {}

    def __contains__(self, key: tuple[str, str]) -> bool:
        return key in self._watches

    def standing(self, rule: str, subject: str) -> bool:
        """An alert of it stands."""
        watch = self._watches.get((rule, subject))
        return watch is not None and watch.standing >= 0

    def subjects(self, rule: str) -> list[str]:
        """Those that are watched under a rule now."""
        return [subject for name, subject in self._watches if name == rule]

    def take_up(self, rule: str, subject: str, severity: Severity, opened_at: float) -> None:
        """Go on with an alert of before a restart; one of another rule is passed over."""
        if rule in self.specs:
            self._made(rule, subject).restore(severity, opened_at)

    def judge(
        self,
        rule: str,
        subject: str,
        levels: Sequence[Level | None],
        at: float,
        inputs: Mapping[str, object] | None = None,
        *,
        age_s: float = 0.0,
    ) -> list[Finding]:
        """What the levels of a rule say at a moment, source time."""
        watch = self._watches.get((rule, subject))
        if watch is None:
            if not any(level is not None and level.verdict == "over" for level in levels):
                return []
            watch = self._made(rule, subject)
        turns = watch.feed(levels, at, NEVER)
        self._forget(rule, subject, watch)
        return [self._finding(watch, subject, turn, inputs or {}, age_s) for turn in turns]

    def silent(self, rule: str, subject: str, at: float, inputs: Mapping[str, object] | None = None) -> list[Finding]:
        """Nothing is known of it any more."""
        watch = self._watches.get((rule, subject))
        if watch is None:
            return []
        turns = watch.silent(at)
        if watch.standing < 0:
            del self._watches[rule, subject]
        return [self._finding(watch, subject, turn, inputs or {}, 0.0) for turn in turns]

    def _made(self, rule: str, subject: str) -> Watch:
        spec = self.specs[rule]
        levels = [(severity, seconds(self.settings, on)) for severity, on in spec.levels]
        watch = Watch(rule, levels, seconds(self.settings, spec.off), spec.uses, one_limit=spec.one_limit)
        self._watches[rule, subject] = watch
        return watch

    def _forget(self, rule: str, subject: str, watch: Watch) -> None:
        if watch.standing < 0 and all(state in (State.IDLE, State.CLEARED) for state in watch.states):
            del self._watches[rule, subject]

    def _finding(
        self, watch: Watch, subject: str, turn: Turn, inputs: Mapping[str, object], age_s: float
    ) -> Finding:  # fmt: skip
        explain: dict[str, Any] = {
            "inputs": dict(inputs),
            "window_s": watch.windows[turn.severity],
            "parameters": {name: getattr(self.settings, name) for name in watch.uses},
            "age_s": round(age_s, 3),
            "rule_version": RULE_VERSION,
            "parameter_version": self.version,
        }
        if turn.level is not None:
            explain |= {"value": turn.level.value, "threshold": turn.level.threshold}
        return self.tell(watch.rule, subject, turn.change, turn.severity, turn.at, explain)

    def tell(
        self, rule: str, subject: str, change: Change, severity: Severity, at: float, explain: dict[str, Any]
    ) -> Finding:
        """A finding in words."""
        zh, en = title(rule, change, severity, self._name_of(rule, subject))
        key = f"{self.site}/{rule}/{subject}"
        return Finding(self.site, key, rule, subject, change, severity, at, zh, en, explain, self.simulated)


def over(condition: bool, value: float, threshold: float) -> Level:
    """A limit without a band: over or inside."""
    return Level("over" if condition else "inside", value, threshold)
