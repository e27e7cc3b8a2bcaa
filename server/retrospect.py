"""What came late is judged after the fact: a link was down, the mine's buffer is sent, and what happened meanwhile must
be known though nobody may be rung for it as if it were now (rule X5).

Samples older than the watermark when they arrive widen the *window* of their site, which is on disk. When nothing late
has come for `analytics.late_after_s`, the stored samples of the window are heard again in the order of their
measurement, in a process of its own (`server/retrospection.py`). What the rules find there, and no alert told at the
time, becomes an entry `retrospective` in the timelines of the mine and of those above it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import delete, select

from analytics.plugin import Position, Reading
from config.settings import Settings
from server.bus import Bus
from server.store import timeline
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.store.tables import alerts, late_windows
from server.store.tables import entries as table
from server.store.upsert import insert_into

log = structlog.get_logger()

TICK_S = 5.0
LONGEST_S = 7 * 86_400.0
"""Of a window: its beginning moves up beyond it. Retention may have taken what is older."""
LEAD_S = 900.0
"""Heard before the window, so that rules know what went before."""
SAME_S = 300.0
"""An alert of the same condition so near told it at the time."""
ARRIVAL_RULES = frozenset({"telemetry_gap", "mine_offline", "data_replayed"})
"""They judge how samples arrive, which was judged when they did; a window spans what several links left out."""
MOST_FINDINGS = 500
MOST_TOLD = 2000
"""Entries of before that are looked through for the same one."""
LONGEST_OPEN_S = 900.0
"""A window that never comes to rest is judged after this."""
KIND = "retrospective"
ROOT = Path(__file__).parent.parent
REPLAY_LIMIT_S = 3600.0
Window = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Episode:
    """A condition that held in the window: from its raising to its end, if that lies in it."""

    key: str
    rule: str
    subject: str
    severity: str
    title: Mapping[str, str]
    since: float
    until: float | None
    explain: Mapping[str, object]
    simulated: bool


def episodes(findings: Iterable[Mapping[str, Any]], window: Window) -> list[Episode]:
    """Findings in their order, as conditions that began within the window."""
    standing: dict[str, Episode] = {}
    over: list[Episode] = []
    for one in findings:
        key, known = one["key"], standing.get(one["key"])
        if one["change"] == "raised" and known is None:
            title = {"zh": one["title_zh"], "en": one["title_en"]}
            standing[key] = Episode(
                key, one["rule"], one["subject"], one["severity"], title, one["at"], None, one["explain"],
                one["simulated"],
            )  # fmt: skip
        elif one["change"] == "cleared" and known is not None:
            ended = standing.pop(key)
            over.append(
                Episode(
                    key, ended.rule, ended.subject, ended.severity, ended.title, ended.since, one["at"], ended.explain,
                    ended.simulated,
                )
            )  # fmt: skip
    found = [
        one for one in (*over, *standing.values())
        if window[0] <= one.since <= window[1] and one.rule not in ARRIVAL_RULES
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.since, one.key))[:MOST_FINDINGS]


class Retrospect:
    """Windows of sites in which something came late, and their judging."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._database, self._tree, self._bus = settings, database, tree, bus
        self._settle_s = settings.analytics.late_after_s
        self._clock = clock
        self._windows: dict[str, Window] = {}
        self._unsaved: set[str] = set()
        self._opened_at: dict[str, float] = {}
        self._late_at: dict[str, float] = {}
        """When something late came last."""

    def stored(self, samples: Sequence[Reading] | Sequence[Position]) -> None:
        """Samples that are on disk."""
        watermark = self._settings.rules.watermark_s
        for one in samples:
            if one.received_at - one.source_at > watermark:
                self._widen(one.site, (one.source_at, one.source_at))
                self._unsaved.add(one.site)

    def _widen(self, site: str, by: Window) -> None:
        now = self._clock()
        known = self._windows.get(site, by)
        until = max(known[1], by[1])
        self._windows[site] = (max(min(known[0], by[0]), until - LONGEST_S), until)
        self._opened_at.setdefault(site, now)
        self._late_at[site] = now

    def _due(self) -> list[str]:
        """Nothing late has come for a while, or a window has been open for long: a device whose clock is slow, or a
        system that tells old fixes again, never comes to rest."""
        now = self._clock()
        return [
            site for site in self._windows
            if now - self._late_at[site] >= self._settle_s or now - self._opened_at[site] >= LONGEST_OPEN_S
        ]  # fmt: skip

    async def load(self) -> None:
        """Take up what was not judged before a restart."""
        async with self._database.reading() as connection:
            for site, since, until in await connection.execute(select(late_windows)):
                self._widen(site, (since, until))

    async def run(self) -> None:
        """Until cancelled."""
        await self.load()
        while True:
            await asyncio.sleep(min(TICK_S, self._settle_s))
            try:
                await self._save()
                for site in self._due():
                    await self.judge(site)
            except StoreError as error:  # the window is still known; the next round tries again
                log.error("retrospect_waits", reason=str(error))

    async def _save(self) -> None:
        sites = sorted(self._unsaved)
        if not sites:
            return
        async with self._database.transaction() as connection:
            for site in sites:
                since, until = self._windows[site]
                upsert = insert_into(connection, late_windows).values(site=site, since=since, until=until)
                await connection.execute(
                    upsert.on_conflict_do_update(index_elements=["site"], set_={"since": since, "until": until})
                )
        self._unsaved.difference_update(sites)

    async def judge(self, site: str) -> list[Episode]:
        """Hear a window again and write down what it tells. What comes late meanwhile opens the next one.

        Raises:
            StoreError: nothing was written; the window is kept.
        """
        window = self._windows.pop(site)
        del self._opened_at[site], self._late_at[site]
        self._unsaved.discard(site)
        try:
            findings = await _replayed(self._settings, site, window)
            found = None if findings is None else episodes(findings, window)
            news, entries = ([], []) if found is None else await self._write(site, found)
        except BaseException:
            self._take_back(site, window)
            raise
        if found is None:
            self._take_back(site, window)
            return []
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())
        log.info("judged_after_the_fact", site=site, since=window[0], until=window[1], found=len(news))
        return news

    def _take_back(self, site: str, window: Window) -> None:
        """It is judged another time."""
        self._widen(site, window)
        self._unsaved.add(site)

    async def _write(self, site: str, found: Sequence[Episode]) -> tuple[list[Episode], list[timeline.Entry]]:
        async with self._database.transaction() as connection:
            news = []
            for one in found:
                query = select(alerts.c.opened_at).where(alerts.c.site == site, alerts.c.key == one.key)
                alerted = (await connection.execute(query)).scalars()
                if not any(abs(at - one.since) <= SAME_S for at in alerted):
                    news.append(one)
            query = select(table.c.body).where(table.c.room == f"site:{site}", table.c.kind == KIND)
            told = {
                _same(body)
                for body in (await connection.execute(query.order_by(table.c.seq.desc()).limit(MOST_TOLD))).scalars()
            }  # the same samples may come again: a broker repeats, a buffer is sent twice
            news = [one for one in news if _same(_body(site, one)) not in told]
            rooms = self._tree.rooms_of(site) if site in self._tree else []
            entries = await timeline.append_all(
                connection, [timeline.News(rooms, KIND, _body(site, one), self._clock()) for one in news]
            )
            if site not in self._windows:
                await connection.execute(delete(late_windows).where(late_windows.c.site == site))
        return news, entries


def _same(body: Mapping[str, Any]) -> tuple[str, str, float]:
    """What an entry is about."""
    return body["rule"], body["subject"], round(body["since"], 1)


def _body(site: str, one: Episode) -> dict[str, object]:
    body: dict[str, object] = {
        "site": site, "rule": one.rule, "subject": one.subject, "severity": one.severity, "title": dict(one.title),
        "since": one.since, "until": one.until, "explain": dict(one.explain),
    }  # fmt: skip
    return body | {"simulated": True} if one.simulated else body


async def _replayed(settings: Settings, site: str, window: Window) -> list[dict[str, Any]] | None:
    """What `server.retrospection` finds, or None when it failed. Its time and its output are bounded."""
    wish = {
        "settings": settings.model_dump(mode="json"), "site": site, "start": window[0] - LEAD_S,
        "end": window[1] + 1.0,
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.retrospection",
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(REPLAY_LIMIT_S):
            out, _ = await process.communicate(json.dumps(wish).encode())
    except TimeoutError:
        log.error("retrospect_too_slow", site=site)
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        log.error("retrospect_failed", site=site, code=process.returncode)
        return None
    try:
        return [json.loads(line) for line in out.splitlines()]
    except ValueError as error:
        log.error("retrospect_failed", site=site, reason=str(error))
        return None
