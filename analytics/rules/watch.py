"""One rule on one machine: its levels of severity, and one alert for all of them.

The severity of an alert rises with the highest level that stands and never falls; it is cleared when none stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.finding import Change, Severity
from analytics.rules.condition import Condition, State, Step
from analytics.rules.electric import Level


@dataclass(frozen=True, slots=True)
class Turn:
    """A change of the alert of this rule."""

    change: Change
    severity: Severity
    at: float
    level: Level | None


class Watch:
    """Levels from the least severe on: (severity, on_s). `one_limit`: all have the same, and differ by time only."""

    def __init__(
        self,
        rule: str,
        levels: Sequence[tuple[Severity, float]],
        off_s: float,
        uses: Sequence[str],
        *,
        one_limit: bool = False,
    ) -> None:
        self.rule = rule
        self._one_limit = one_limit
        self.uses = tuple(uses)
        """The parameters that the rule goes by."""
        self.windows = {severity: on_s for severity, on_s in levels}
        self._levels = [(severity, Condition(on_s, off_s)) for severity, on_s in levels]
        self._judged_at = float("-inf")
        self._told_no_data = False

    @property
    def states(self) -> list[State]:
        """Of its levels."""
        return [one.state for _, one in self._levels]

    @property
    def standing(self) -> int:
        """Index of the most severe level that stands, -1 for none."""
        return max((n for n, (_, one) in enumerate(self._levels) if one.standing), default=-1)

    @property
    def since(self) -> float:
        """From when what stands was exceeded."""
        return min((one.since for _, one in self._levels if one.standing), default=0.0)

    def restore(self, severity: Severity, since: float) -> None:
        """An alert of before a restart. With one limit, the time to a more severe level goes on from when it began."""
        reached = [one for one, _ in self._levels].index(severity) if severity in self.windows else 0
        for number, (_, condition) in enumerate(self._levels):
            if number <= reached or self._one_limit:
                condition.restore(since, standing=number <= reached)

    def feed(self, levels: Sequence[Level | None], at: float, silent_after_s: float) -> list[Turn]:
        """What the levels say at a moment; None where the values are not there."""
        if all(level is None for level in levels):
            return self.silent(at) if at - self._judged_at > silent_after_s else []
        self._judged_at = at
        before, severity_before = self.standing, self._severity()
        steps: list[Step] = []
        ended_at = at
        for (_, condition), level in zip(self._levels, levels, strict=True):
            if level is not None:
                taken = condition.feed(level.verdict, at)
                ended_at = condition.over_at if "cleared" in taken else ended_at
                steps += taken
        turns: list[Turn] = []
        self._told_no_data = False
        if "data_back" in steps:
            turns.append(Turn("data_back", severity_before, at, levels[max(before, 0)]))
        after = self.standing
        if before < 0 <= after:
            turns.append(Turn("raised", self._severity(), self.since, levels[after]))
        elif 0 <= before < after:
            turns.append(Turn("again", self._severity(), self._levels[after][1].since, levels[after]))
        elif after < 0 <= before:
            turns.append(Turn("cleared", severity_before, ended_at, levels[before]))
        return turns

    def silent(self, at: float) -> list[Turn]:
        """No data: nothing pending goes on, nothing standing ends."""
        for _, condition in self._levels:
            condition.silent()
        if self.standing < 0 or self._told_no_data:
            return []
        self._told_no_data = True
        return [Turn("no_data", self._severity(), at, None)]

    def _severity(self) -> Severity:
        return self._levels[max(self.standing, 0)][0]
