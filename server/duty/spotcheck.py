"""Spot checks (抽查) and roll calls (点名) of the rooms below: is anybody there, how soon, and is it the one on duty?

A check is a call without notice to one site; a roll call is one to each of many, under one name. Its life:

| outcome     | answered              | late                    |
|-------------|-----------------------|-------------------------|
| calling     | answered (took_s)     | unanswered              |
| unreachable | answered (a page came)| stays                   |

`unreachable`: no page of the site was open when it was called; who opens one within the time may still answer. The
supervisor then says whether it was the officer on duty (`confirmed`), by the picture of the moment or by talking.

Pure: no clock, no store. Fairness: whoever was checked least in the last ninety days is drawn first, by lot among
equals.
"""

import csv
import io
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Outcome = Literal["calling", "unreachable", "answered", "unanswered"]
FAIR_S = 90 * 86400.0
MONTH_S = 30 * 86400.0
PROMPT_S = 15.0
"""Answered within this is full marks; at the end of the time it is `LATE_SCORE`."""
LATE_SCORE = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """One call to one site."""

    check: str
    site: str
    roll: str
    """Roll call it belongs to; empty for a spot check."""
    by: str
    by_site: str
    called_at: float
    answer_s: float
    outcome: Outcome = "calling"
    took_s: float | None = None
    answered_by: str = ""
    officer: str = ""
    """Who says to be on duty."""
    expected: tuple[str, ...] = ()
    """Names of those on duty by the rota; empty where there is none."""
    picture: str = ""
    """Name of a stored picture of the moment; empty where there was none."""
    confirmed: bool | None = None
    """By the supervisor: it was the officer on duty."""
    confirmed_by: str = ""
    note: str = ""
    simulated: bool = False

    @property
    def open(self) -> bool:
        return self.outcome in ("calling", "unreachable")

    @property
    def as_planned(self) -> bool | None:
        """Whether the one who answered is on duty by the rota; None: nobody can tell."""
        return None if not self.expected or not self.officer else self.officer in self.expected

    def answered(self, by: str, officer: str, at: float) -> "Check":
        took = round(max(0.0, at - self.called_at), 3)
        return replace(self, outcome="answered", took_s=took, answered_by=by, officer=officer)

    def late(self) -> "Check":
        return replace(self, outcome="unanswered") if self.outcome == "calling" else self

    def score(self) -> float | None:
        """0 to 100; None while it is open."""
        if self.outcome == "calling":
            return None
        if self.outcome != "answered" or self.took_s is None or self.confirmed is False:
            return 0.0
        over = max(0.0, self.took_s - PROMPT_S) / max(1.0, self.answer_s - PROMPT_S)
        return round(100.0 - min(1.0, over) * (100.0 - LATE_SCORE), 1)

    def as_dict(self) -> dict[str, object]:
        """As in the API and in entries."""
        return {
            **asdict(self),
            "until": self.called_at + self.answer_s,
            "as_planned": self.as_planned,
            "score": self.score(),
        }


def check_of(body: Mapping[str, Any]) -> Check:
    """Back from `asdict`."""
    return Check(**{**body, "expected": tuple(body["expected"])})


@dataclass(frozen=True, slots=True)
class Standing:
    """How a site has done, and how often it was asked."""

    site: str
    checks: int
    """In the last ninety days: what the fairness list goes by."""
    last_at: float | None
    answered: int
    median_s: float | None
    score: float | None
    month_score: float | None
    """Of the last thirty days."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def standings(sites: Iterable[str], checks: Sequence[Check], at: float) -> list[Standing]:
    """Of each site, the least checked first; among equals the one whose last check is longest ago."""
    by_site: dict[str, list[Check]] = {}
    for check in checks:
        if check.called_at > at - FAIR_S:
            by_site.setdefault(check.site, []).append(check)
    found = []
    for site in sites:
        own = by_site.get(site, [])
        times = [one.took_s for one in own if one.took_s is not None]
        scores = [score for one in own if (score := one.score()) is not None]
        recent = [score for one in own if one.called_at > at - MONTH_S and (score := one.score()) is not None]
        last = max((one.called_at for one in own), default=None)
        median = round(statistics.median(times), 1) if times else None
        found.append(Standing(site, len(own), last, len(times), median, _mean(scores), _mean(recent)))
    return sorted(found, key=lambda one: (one.checks, one.last_at or 0.0, one.site))


def _mean(scores: Sequence[float]) -> float | None:
    return round(statistics.fmean(scores), 1) if scores else None


def draw(listed: Sequence[Standing], lot: Callable[[int], int]) -> str | None:
    """One of those checked least. `lot(n)` is a number below n."""
    least = [one.site for one in listed if one.checks == listed[0].checks]
    return least[lot(len(least))] if least else None


COLUMNS = (
    "check", "roll", "site", "called_at", "by", "by_site", "outcome", "took_s", "answered_by", "officer", "expected",
    "as_planned", "confirmed", "confirmed_by", "score", "note", "simulated",
)  # fmt: skip


def as_csv(checks: Iterable[Check], when: Callable[[float], str]) -> str:
    """For spreadsheets: what would be read as a formula is made text. `when` writes a time."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for one in checks:
        body = {**one.as_dict(), "called_at": when(one.called_at), "expected": " ".join(one.expected)}
        writer.writerow([_cell(body[name]) for name in COLUMNS])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value
