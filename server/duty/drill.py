"""Drills (演练): an alert that runs the whole chain and is marked as a drill wherever it is heard, read or seen.

A drill is an alert of the rule `drill`. So every part that has an alert has its mark, and no real rule, statistic or
report of another rule ever counts one. It borrows the chain of the rule that it stands for (`like`), and never climbs
above the site of whoever began it (`up_to`).

A real red alert on the way of a drill ends it. Pure: no clock, no store.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from analytics.finding import Change, Finding, Severity
from server.alerts.machine import DRILL, Alert

MARK_ZH, MARK_EN = "【演练】", "[DRILL] "
PREEMPTED = "preempted"
"""Reason of the closing of a drill that a real alert ended."""
Outcome = Literal["running", "answered", "unanswered", "ended", "preempted"]


def marked(zh: str, en: str) -> tuple[str, str]:
    """A title, with the mark once."""
    return (
        zh if zh.startswith(MARK_ZH) else f"{MARK_ZH}{zh}",
        en if en.startswith(MARK_EN) else f"{MARK_EN}{en}",
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """What a drill is to be."""

    site: str
    severity: Severity
    like: str
    """Rule whose chain is run; empty: the first that fits the severity."""
    up_to: str
    by: str
    by_site: str
    words: str = ""


def finding(wish: Wish, drill: str, at: float, *, simulated: bool) -> Finding:
    """What begins the drill."""
    zh, en = marked(wish.words or "应急呼叫演练", wish.words or "Call-out drill")
    explain: dict[str, object] = {
        "drill": drill, "like": wish.like, "up_to": wish.up_to, "by": wish.by, "by_site": wish.by_site,
    }  # fmt: skip
    return _of(wish.site, "raised", wish.severity, at, zh, en, explain, simulated=simulated)


def over(alert: Alert, at: float) -> Finding:
    """What ends it when its time is up."""
    return _of(alert.site, "cleared", alert.severity, at, alert.title_zh, alert.title_en, {}, simulated=alert.simulated)


def _of(
    site: str, change: Change, severity: Severity, at: float, zh: str, en: str, explain: dict[str, object],
    *, simulated: bool,
) -> Finding:  # fmt: skip
    return Finding(site, f"{site}/{DRILL}/{site}", DRILL, site, change, severity, at, zh, en, explain, simulated)


def like_of(alert: Alert) -> tuple[str, str]:
    """Of a drill: the rule whose chain is run, and the site that it climbs to. Of any other alert: its own rule."""
    explain: Mapping[str, Any] = alert.explain or {}
    if not alert.drill:
        return alert.rule, ""
    return str(explain.get("like") or ""), str(explain.get("up_to") or "")


def climbs(sites: Sequence[str], up_to: str) -> list[str]:
    """Those of a site and the ones above it, nearest first, that lie up to `up_to`; all when that is empty."""
    if not up_to:
        return list(sites)
    return list(sites[: sites.index(up_to) + 1]) if up_to in sites else list(sites[:1])


def preempts(real: Iterable[str], drill: Iterable[str]) -> bool:
    """Whether a real alert, told at these sites, ends a drill that takes place at those."""
    return not set(real).isdisjoint(drill)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a drill."""

    alert: str
    site: str
    title: dict[str, str]
    severity: str
    like: str
    up_to: str
    by: str
    by_site: str
    began_at: float
    outcome: Outcome
    answered_by: str
    answered_site: str
    took_s: float | None
    reached: tuple[str, ...]
    rings: int
    ended_at: float | None
    real: str
    """The alert that ended it, if one did."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def result(alert: Alert, reached: Sequence[str], rings: int) -> Result:
    """From the alert as it is, and how far its ringing has come."""
    explain: Mapping[str, Any] = alert.explain or {}
    taken, closed = alert.acknowledged, alert.closed
    was_preempted = closed is not None and closed.reason == PREEMPTED
    ended = closed.at if closed is not None else alert.cleared_at
    outcome: Outcome = "running"
    if taken is not None:
        outcome = "answered"
    elif was_preempted:
        outcome = "preempted"
    elif ended is not None:
        outcome = "unanswered" if closed is None else "ended"
    return Result(
        alert.id, alert.site, {"zh": alert.title_zh, "en": alert.title_en}, alert.severity,
        str(explain.get("like") or ""), str(explain.get("up_to") or ""), str(explain.get("by") or ""),
        str(explain.get("by_site") or ""), alert.opened_at, outcome, taken.name if taken else "",
        taken.site if taken else "", round(taken.at - alert.opened_at, 1) if taken else None, tuple(reached), rings,
        ended, closed.comment if closed is not None and was_preempted else "",
    )  # fmt: skip
