"""The life of one alert, as a table. No clock, no store: an alert and an input in, the alert after it out.

    open ──acknowledge──► acknowledged
      │◄──────reverted───────┤  │       (taken, and nothing was done; or it became graver)
      │ ╲                    │  │
      │  ╲──────cleared──────┤  │
      │                      ▼  │
      │                  cleared│      (the condition ended by itself; a person may still take note and close)
      ▼                      ▼  ▼
    closed ◄─────────────────────      (by a person only: confirmed, false alarm or explained)

What the table means for people:

- *Again* counts up and is told anew, also when somebody has acknowledged: nobody sleeps through the second time. The
  severity may rise on the way and never falls.
- *No data* is a mark on the alert. It clears nothing; only the rule that sees the condition end does.
- A cleared or closed alert is never taken up again. The next time is a new alert.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Literal, Protocol

from analytics.finding import Finding, Severity

DRILL = "drill"
"""Rule of alerts that are drills (`server.duty.drill`)."""
Outcome = Literal["confirmed", "false_alarm", "explained"]
OUTCOMES: tuple[Outcome, ...] = ("confirmed", "false_alarm", "explained")
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "alarm", "critical")
"""From the least."""


class State(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"
    CLOSED = "closed"


STANDING = (State.OPEN, State.ACKNOWLEDGED)
"""The condition holds; at most one alert per key is in one of these."""


class Input(StrEnum):
    RAISED = "raised"
    AGAIN = "again"
    NO_DATA = "no_data"
    DATA_BACK = "data_back"
    CLEARED = "cleared"
    ACKNOWLEDGE = "acknowledge"
    REVERT = "revert"
    CLOSE = "close"


class Change(StrEnum):
    """What is told; `change` of an `alert` entry."""

    RAISED = "raised"
    AGAIN = "again"
    ACKNOWLEDGED = "acknowledged"
    NO_DATA = "no_data"
    DATA_BACK = "data_back"
    CLEARED = "cleared"
    CLOSED = "closed"
    REVERTED = "reverted"
    EVIDENCE = "evidence"


# Every legal move. What is not here changes nothing.
TRANSITIONS: Mapping[tuple[State, Input], tuple[State, Change]] = {
    (State.OPEN, Input.RAISED): (State.OPEN, Change.AGAIN),
    (State.OPEN, Input.AGAIN): (State.OPEN, Change.AGAIN),
    (State.OPEN, Input.NO_DATA): (State.OPEN, Change.NO_DATA),
    (State.OPEN, Input.DATA_BACK): (State.OPEN, Change.DATA_BACK),
    (State.OPEN, Input.CLEARED): (State.CLEARED, Change.CLEARED),
    (State.OPEN, Input.ACKNOWLEDGE): (State.ACKNOWLEDGED, Change.ACKNOWLEDGED),
    (State.OPEN, Input.CLOSE): (State.CLOSED, Change.CLOSED),
    (State.ACKNOWLEDGED, Input.RAISED): (State.ACKNOWLEDGED, Change.AGAIN),
    (State.ACKNOWLEDGED, Input.AGAIN): (State.ACKNOWLEDGED, Change.AGAIN),
    (State.ACKNOWLEDGED, Input.NO_DATA): (State.ACKNOWLEDGED, Change.NO_DATA),
    (State.ACKNOWLEDGED, Input.DATA_BACK): (State.ACKNOWLEDGED, Change.DATA_BACK),
    (State.ACKNOWLEDGED, Input.CLEARED): (State.CLEARED, Change.CLEARED),
    (State.ACKNOWLEDGED, Input.REVERT): (State.OPEN, Change.REVERTED),
    (State.ACKNOWLEDGED, Input.CLOSE): (State.CLOSED, Change.CLOSED),
    (State.CLEARED, Input.ACKNOWLEDGE): (State.CLEARED, Change.ACKNOWLEDGED),
    (State.CLEARED, Input.CLOSE): (State.CLOSED, Change.CLOSED),
}

OPENS = (Input.RAISED, Input.AGAIN)
"""Findings that open an alert when none stands. `again` too: the `raised` before it may have been lost."""


class ByWhom(Protocol):
    """A person, as far as an alert remembers one."""

    @property
    def user(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def site(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who took the alert first."""

    by: str
    name: str
    site: str
    at: float
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """Who ended it, and why."""

    by: str
    name: str
    site: str
    at: float
    reason: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A stored picture."""

    name: str
    path: str
    """Below the data folder; not told to browsers."""
    sha256: str
    width: int
    height: int
    at: float


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as it is now."""

    id: str
    site: str
    key: str
    rule: str
    subject: str
    severity: Severity
    title_zh: str
    title_en: str
    opened_at: float
    """When the condition became true, on the source's clock."""
    at: float
    """When the server last changed it."""
    state: State = State.OPEN
    acknowledged: Acknowledgement | None = None
    cleared_at: float | None = None
    """When the condition ended, on the source's clock."""
    duration_s: float | None = None
    """How long it lasted: until it was cleared, or closed while it still held."""
    occurrences: int = 1
    no_data: bool = False
    evidence: tuple[Evidence, ...] = ()
    explain: Mapping[str, object] | None = None
    outcome: Outcome | None = None
    closed: Closing | None = None
    simulated: bool = False

    @property
    def drill(self) -> bool:
        """Nothing has happened; it is only tried who comes."""
        return self.rule == DRILL

    def as_dict(self) -> dict[str, object]:
        """As in the API and in entries."""
        return {
            "id": self.id,
            "site": self.site,
            "key": self.key,
            "rule": self.rule,
            "subject": self.subject,
            "severity": self.severity,
            "state": self.state.value,
            "title": {"zh": self.title_zh, "en": self.title_en},
            "opened_at": self.opened_at,
            "at": self.at,
            "acknowledged": asdict(self.acknowledged) if self.acknowledged else None,
            "cleared_at": self.cleared_at,
            "duration_s": self.duration_s,
            "occurrences": self.occurrences,
            "no_data": self.no_data,
            "evidence": [
                {"name": one.name, "width": one.width, "height": one.height, "sha256": one.sha256, "at": one.at}
                for one in self.evidence
            ],
            "explain": dict(self.explain or {}),
            "outcome": self.outcome,
            "closed": asdict(self.closed) if self.closed else None,
            "simulated": self.simulated,
            **({"drill": True} if self.drill else {}),
        }


Step = tuple[Alert, Change]


def find(standing: Alert | None, finding: Finding, *, new_id: str, at: float) -> Step | None:
    """What a finding does: to the alert that stands for its key, or (none stands) by opening one with `new_id`.

    Returns the alert after it and what to tell, or None when nothing changes.
    """
    given = Input(finding.change)
    if standing is None:
        return (_opened(finding, new_id, at), Change.RAISED) if given in OPENS else None
    move = TRANSITIONS.get((standing.state, given))
    if move is None:
        return None
    state, change = move
    moved = replace(standing, state=state, at=at)
    match given:
        case Input.RAISED | Input.AGAIN:
            return _repeated(moved, finding), change
        case Input.NO_DATA | Input.DATA_BACK:
            no_data = given is Input.NO_DATA
            return None if standing.no_data == no_data else (replace(moved, no_data=no_data), change)
        case _:
            lasted = max(0.0, finding.at - standing.opened_at)
            return replace(moved, cleared_at=finding.at, duration_s=lasted, no_data=False), change


def acknowledge(alert: Alert, by: ByWhom, comment: str, at: float) -> Step | None:
    """A person takes the alert. The first one counts; None when nothing changes."""
    move = TRANSITIONS.get((alert.state, Input.ACKNOWLEDGE))
    if move is None or alert.acknowledged is not None:
        return None
    taken = Acknowledgement(by.user, by.name, by.site, at, comment)
    return replace(alert, state=move[0], at=at, acknowledged=taken), move[1]


def revert(alert: Alert, at: float) -> Step | None:
    """Nobody has it any more; None when nobody had."""
    move = TRANSITIONS.get((alert.state, Input.REVERT))
    return None if move is None else (replace(alert, state=move[0], at=at, acknowledged=None), move[1])


def close(alert: Alert, by: ByWhom, outcome: Outcome, reason: str, comment: str, at: float) -> Step | None:
    """A person ends the alert; None when it is closed already."""
    move = TRANSITIONS.get((alert.state, Input.CLOSE))
    if move is None:
        return None
    lasted = alert.duration_s if alert.duration_s is not None else max(0.0, at - alert.opened_at)
    ended = Closing(by.user, by.name, by.site, at, reason, comment)
    return replace(alert, state=move[0], at=at, outcome=outcome, closed=ended, duration_s=lasted), move[1]


def _opened(finding: Finding, alert: str, at: float) -> Alert:
    return Alert(
        id=alert,
        site=finding.site,
        key=finding.key,
        rule=finding.rule,
        subject=finding.subject,
        severity=finding.severity,
        title_zh=finding.title_zh,
        title_en=finding.title_en,
        opened_at=finding.at,
        at=at,
        explain=dict(finding.explain),
        simulated=finding.simulated,
    )


def _repeated(alert: Alert, finding: Finding) -> Alert:
    """Counted; the words and reasons are the newest ones unless they are of a lesser severity."""
    counted = replace(alert, occurrences=alert.occurrences + 1, no_data=False)
    if SEVERITIES.index(finding.severity) < SEVERITIES.index(alert.severity):
        return counted
    return replace(
        counted,
        severity=finding.severity,
        title_zh=finding.title_zh,
        title_en=finding.title_en,
        explain=dict(finding.explain) or alert.explain,
    )
