"""What the two rules about a duty post have in common: how they tell of loss, change and time, and the challenge.

An alert of such a rule is raised once, then said again; told to be without data once, and back once; and ends once. The
challenge at the desk ("are you there?") is asked by the server when a rule has warned: its answer ends what was warned
about, no answer in time confirms it, and the alarm then comes with the next picture.
"""

from enum import StrEnum
from typing import Generic, Literal, Protocol, TypeVar

from analytics.finding import Change, Finding, Severity
from analytics.rules.geometry import Box
from analytics.rules.presence import Presence
from config.settings import DutyPostSettings

REASSERT_S = 60.0
"""What stands is said again this often, so that a lost message heals."""

Challenge = Literal["", "asked", "unanswered", "no_page"]
"""What became of asking at the desk, for the alert: nothing yet, asked, not answered in time, no page to ask."""

StateT = TypeVar("StateT", bound=StrEnum)
ChangeT = TypeVar("ChangeT")


class Sighting(Protocol):
    """What the rule needs of a detection: `analytics.plugin.Detection` and `analytics.messages.Seen` both have it."""

    @property
    def label(self) -> str: ...
    @property
    def box(self) -> Box: ...


class PostRule(Generic[StateT, ChangeT]):
    """Base of both. `state` begins as `unknown`."""

    _presence: Presence

    def __init__(self, settings: DutyPostSettings, key: str, unknown: StateT, *, now: float, at: float) -> None:
        self.settings = settings
        self.key = key
        self.state = unknown
        self.since = at
        self.reason = "starting"
        self.model = ""
        """Name and hash of the detector's model, for `explain`."""
        self.trained_on = "unknown"
        self.challenge: Challenge = ""
        self._unknown = unknown
        self._clock = (now, at)
        self._raised: Severity | None = None
        self._no_data_told = False
        self._again_due_s = 0.0
        self._confirmed = False

    @property
    def warned(self) -> bool:
        """Whether an alert of this rule is open."""
        return self._raised is not None

    def unanswered(self, why: Literal["unanswered", "no_page"] = "unanswered") -> None:
        """Nobody answered at the desk: what was warned about is confirmed, with the next picture. Where there was no
        page to ask, nothing is known, and the alert only says so."""
        if self._raised is not None:
            self.challenge = why
            self._confirmed = why == "unanswered" and self._may_confirm

    # --- for the rules ------------------------------------------------------------------------------------------------

    @property
    def _may_confirm(self) -> bool:
        return True

    @property
    def _alarmed(self) -> bool:
        return self._raised in ("alarm", "critical")

    def _raise(self, severity: Severity, now: float, **more: object) -> list[Finding | ChangeT]:
        change: Change = "raised" if self._raised is None else "again"
        self._raised = severity
        self._again_due_s = self._presence.seen_s + REASSERT_S
        return [self._finding(change, now, **more)]

    def _data_back(self, now: float) -> list[Finding | ChangeT]:
        if not self._no_data_told:
            return []
        self._no_data_told = False
        return [self._finding("data_back", now)]

    def _lost(self, now: float, reason: str) -> list[Finding | ChangeT]:
        """The state is `unknown` from here on; an open alert stays open, without data."""
        self.state = self._unknown
        self.since, self.reason = self._clock[1], reason
        found: list[Finding | ChangeT] = []
        if self._raised is not None:
            self._no_data_told = True
            found.append(self._finding("no_data", now, reason=reason))
        return [*found, self._change(now)]

    def _over(self) -> None:
        """Nothing stands any more."""
        self._raised, self._no_data_told, self._confirmed, self.challenge = None, False, False, ""

    def _at(self, now: float) -> float:
        """UTC of a monotonic instant, by the newest usable picture."""
        known_now, known_at = self._clock
        return known_at + (now - known_now)

    def _finding(self, change: Change, now: float, **more: object) -> Finding:
        raise NotImplementedError

    def _change(self, now: float) -> ChangeT:
        raise NotImplementedError
