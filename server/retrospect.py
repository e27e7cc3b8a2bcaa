"""What came late is judged after the fact: a link was down, the mine's buffer is sent, and what happened meanwhile must
be known though nobody may be rung for it as if it were now (rule X5).

Samples older than the watermark when they arrive widen the *window* of their site, which is on disk. When nothing late
has come for `analytics.late_after_s`, the stored samples of the window are heard again in the order of their
measurement, in a process of its own (`server/retrospection.py`). What the rules find there, and no alert told at the
time, becomes an entry `retrospective` in the timelines of the mine and of those above it.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
        self._late_at: dict[str, float] = {}
        """When something late came last."""

    def stored(self, samples: Sequence[Reading] | Sequence[Position]) -> None:
        """Samples that are on disk."""
        watermark = self._settings.rules.watermark_s
        for one in samples:
            if one.received_at - one.source_at > watermark:
                since, until = self._windows.get(one.site, (one.source_at, one.source_at))
                until = max(until, one.source_at)
                self._windows[one.site] = (max(min(since, one.source_at), until - LONGEST_S), until)
                self._unsaved.add(one.site)
                self._late_at[one.site] = self._clock()

    async def load(self) -> None:
        """Take up what was not judged before a restart."""
        async with self._database.reading() as connection:
            for site, since, until in await connection.execute(select(late_windows)):
                self._windows[site] = (since, until)
                self._late_at[site] = self._clock()

    async def run(self) -> None:
        """Until cancelled."""
        await self.load()
        while True:
            await asyncio.sleep(min(TICK_S, self._settle_s))
            try:
                await self._save()
                for site in [one for one, at in self._late_at.items() if self._clock() - at >= self._settle_s]:
                    await self.judge(site)
            except StoreError as error:  # the window is still known; the next round tries again
                log.error("retrospect_waits", reason=str(error))

    async def _save(self) -> None:
        if not self._unsaved:
            return
        sites = sorted(self._unsaved)
        async with self._database.transaction() as connection:
            for site in sites:
                since, until = self._windows[site]
                upsert = insert_into(connection, late_windows).values(site=site, since=since, until=until)
                await connection.execute(
                    upsert.on_conflict_do_update(index_elements=["site"], set_={"since": since, "until": until})
                )
        self._unsaved.difference_update(sites)

    async def judge(self, site: str) -> list[Episode]:
        """Hear a window again and write down what it tells.

        Raises:
            StoreError: nothing was written; the window is kept.
        """
        window = self._windows[site]
        findings = await _replayed(self._settings, site, window)
        if findings is None:
            self._late_at[site] = self._clock()  # tried again after another wait
            return []
        found = [one for one in episodes(findings, window) if site in self._tree]
        async with self._database.transaction() as connection:
            told = {
                one.key: [at for (at,) in await connection.execute(
                    select(alerts.c.opened_at).where(alerts.c.site == site, alerts.c.key == one.key)
                )]
                for one in found
            }  # fmt: skip
            news = [one for one in found if not any(abs(at - one.since) <= SAME_S for at in told[one.key])]
            rooms = self._tree.rooms_of(site) if site in self._tree else []
            entries = await timeline.append_all(
                connection, [timeline.News(rooms, "retrospective", _body(site, one), self._clock()) for one in news]
            )
            if self._windows[site] == window:
                await connection.execute(delete(late_windows).where(late_windows.c.site == site))
        if self._windows[site] == window:  # nothing more came meanwhile
            del self._windows[site], self._late_at[site]
            self._unsaved.discard(site)
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())
        log.info("judged_after_the_fact", site=site, since=window[0], until=window[1], found=len(news))
        return news


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
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=os.environ,
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
    return [json.loads(line) for line in out.splitlines()]
