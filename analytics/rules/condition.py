"""The life of one condition that a rule watches, as a table. Times are the source's; no clock.

    IDLE ──over──► PENDING ──t_on──► ACTIVE ──inside──► RECOVERING ──t_off──► CLEARED (as IDLE)

`over` is beyond the limit, `inside` is within it by the hysteresis, `between` is neither. `silent` is no data, and no
data is a state of its own: it ends no condition that stood, and one that was pending starts anew, for what happened in
between nobody knows.

| state      | over       | between | inside     | silent  |
|------------|------------|---------|------------|---------|
| idle       | pending    | idle    | idle       | no_data |
| pending    | pending    | idle    | idle       | no_data |
| active     | active     | active  | recovering | no_data |
| recovering | active     | active  | recovering | no_data |
| cleared    | pending    | idle    | idle       | no_data |
| no_data    | pending or active | idle or active | idle or recovering | no_data |

From `no_data` the second word holds when the condition stood before.
"""

from enum import StrEnum
from typing import Literal

Verdict = Literal["over", "between", "inside"]
Step = Literal["raised", "no_data", "data_back", "cleared"]


class State(StrEnum):
    IDLE = "idle"
    PENDING = "pending"
    ACTIVE = "active"
    RECOVERING = "recovering"
    CLEARED = "cleared"
    NO_DATA = "no_data"


_NEXT: dict[tuple[State, Verdict], State] = {
    (State.IDLE, "over"): State.PENDING,
    (State.IDLE, "between"): State.IDLE,
    (State.IDLE, "inside"): State.IDLE,
    (State.PENDING, "over"): State.PENDING,
    (State.PENDING, "between"): State.IDLE,
    (State.PENDING, "inside"): State.IDLE,
    (State.ACTIVE, "over"): State.ACTIVE,
    (State.ACTIVE, "between"): State.ACTIVE,
    (State.ACTIVE, "inside"): State.RECOVERING,
    (State.RECOVERING, "over"): State.ACTIVE,
    (State.RECOVERING, "between"): State.ACTIVE,
    (State.RECOVERING, "inside"): State.RECOVERING,
    (State.CLEARED, "over"): State.PENDING,
    (State.CLEARED, "between"): State.IDLE,
    (State.CLEARED, "inside"): State.IDLE,
}
_BACK: dict[tuple[bool, Verdict], State] = {
    (False, "over"): State.PENDING,
    (False, "between"): State.IDLE,
    (False, "inside"): State.IDLE,
    (True, "over"): State.ACTIVE,
    (True, "between"): State.ACTIVE,
    (True, "inside"): State.RECOVERING,
}


class Condition:
    """One limit.

    Args:
        on_s: how long it must be exceeded without a break.
        off_s: how long it must be kept again.
    """

    def __init__(self, on_s: float, off_s: float) -> None:
        self.state = State.IDLE
        self.standing = False
        """It was raised and is not cleared."""
        self.since = 0.0
        """Source time from which it is (or was last) exceeded."""
        self._on_s = on_s
        self._off_s = off_s
        self._recovering_since = 0.0
        self._suspected_since: float | None = None

    def restore(self, since: float, *, standing: bool) -> None:
        """Go on with what was known before a restart. Not standing: it was exceeded since then, but not long enough."""
        self.state, self.standing, self.since = State.NO_DATA, standing, since
        self._suspected_since = None if standing else since

    def feed(self, verdict: Verdict, at: float) -> list[Step]:
        """A sample's verdict; what that changes, in order."""
        steps: list[Step] = []
        before = self.state
        if before is State.NO_DATA:
            self.state = _BACK[self.standing, verdict]
            if self.standing:
                steps.append("data_back")
        else:
            self.state = _NEXT[before, verdict]
        if self.state is State.PENDING and before is not State.PENDING:
            self.since = self._suspected_since if self._suspected_since is not None else at
        self._suspected_since = None
        if self.state is State.PENDING and at - self.since >= self._on_s:
            self.state, self.standing = State.ACTIVE, True
            steps.append("raised")
        if self.state is State.RECOVERING:
            if before is not State.RECOVERING:
                self._recovering_since = at
            if at - self._recovering_since >= self._off_s:
                self.state, self.standing = State.CLEARED, False
                steps.append("cleared")
        return steps

    @property
    def over_at(self) -> float:
        """Source time of the first sample within the limit again; for what was just cleared."""
        return self._recovering_since

    def silent(self) -> list[Step]:
        """No data."""
        if self.state is State.NO_DATA:
            return []
        self.state = State.NO_DATA
        return ["no_data"] if self.standing else []
