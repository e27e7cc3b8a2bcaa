"""Is the picture of who is underground still true? A mine's people's files must keep coming.

Before the first file nothing is known and nothing is claimed: no count, no alert. After it, silence of `stale_after_s`
is an alert; the last count stays what it was, with its age, and is never taken for 0.
"""

from collections.abc import Sequence

from analytics.finding import Change, Finding

RULE = "positioning_stale"


class Staleness:
    """One mine.

    Args:
        last_at: header time of its newest file, None before any.
        standing: the alert stands since before a restart.
    """

    def __init__(self, site: str, mine: str, stale_after_s: float, last_at: float | None, *, standing: bool) -> None:
        self._site, self._mine, self._stale_after_s = site, mine, stale_after_s
        self._last_at, self._standing = last_at, standing

    def file(self, at: float) -> None:
        """A file with this header time was taken."""
        self._last_at = at if self._last_at is None else max(at, self._last_at)

    def tick(self, now: float) -> Sequence[Finding]:
        """`now`: UTC seconds."""
        if self._last_at is None:
            return ()
        stale = now - self._last_at > self._stale_after_s
        if stale == self._standing:
            return ()
        self._standing = stale
        return (self._finding("raised" if stale else "cleared", self._last_at, now),)

    def _finding(self, change: Change, last_at: float, now: float) -> Finding:
        zh, en = "人员定位数据中断，井下人数可能已变", "no positioning data, the headcount may be out of date"
        if change == "cleared":
            zh, en = "人员定位数据已恢复", "positioning data is back"
        explain: dict[str, object] = {
            "last_source_at": last_at,
            "age_s": round(now - last_at, 3),
            "threshold": self._stale_after_s,
            "rule_version": 1,
        }
        at = last_at if change == "cleared" else last_at + self._stale_after_s
        key = f"{self._site}/{RULE}/{self._mine}"
        return Finding(self._site, key, RULE, self._mine, change, "warning", at, zh, en, explain)
