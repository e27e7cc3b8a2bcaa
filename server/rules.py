"""The power rules at work: fed with what is on disk, ticked for what is missing, their findings made into alerts.

Samples come from `TelemetryIngest` after its transaction, never in it: a rule that is slow or wrong costs no reading.
They wait here until the alerts of before a restart are taken up. A finding that cannot be written is tried again until
it is; the order of findings is kept.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence

import structlog
from sqlalchemy import select

from analytics.finding import Finding
from analytics.plugin import Reading
from analytics.rules.power import PowerRules
from config.settings import Settings
from server.alerts.service import AlertService
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.store.tables import readings as table

log = structlog.get_logger()

TICK_S = 1.0
START_GRACE_S = 15.0
"""Sources may take this long to connect after a start before silence is counted."""
RETRY_S = 0.5
MAX_WAITING = 200_000
"""Readings that wait for the rules; beyond it the oldest are dropped and counted. They are on disk all the same."""
PAGE = 20_000
"""Readings of a replay read at once."""


class Rules:
    """All rules over telemetry of this server."""

    def __init__(self, settings: Settings, tree: SiteTree, alerts: AlertService) -> None:
        known = [one for one in settings.devices if one.site in tree]
        for one in settings.devices:
            if one not in known:
                log.error("device_without_site", device=one.device, site=one.site)
        self._alerts = alerts
        self._sites = sorted({one.site for one in known})
        self._power = PowerRules(
            known, settings.rules, now=time.time() + START_GRACE_S, simulated=settings.server.simulated
        )
        self._judged = {(one.site, one.device) for one in known}
        self._waiting: deque[Reading] = deque()
        self._findings: deque[Finding] = deque()
        self._wake = asyncio.Event()
        self._taken_up = False
        self.dropped = 0
        """Readings that the rules never saw."""

    def stored(self, readings: Sequence[Reading]) -> None:
        """Readings that are on disk."""
        self._waiting.extend(one for one in readings if (one.site, one.device) in self._judged)
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._wake.set()

    async def run(self) -> None:
        """Judge until cancelled."""
        if not self._taken_up:
            await self._take_up()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._judge())

    async def _take_up(self) -> None:
        for site in self._sites:
            for alert in await self._alerts.open_for(site):
                self._power.take_up(alert.key, alert.severity, alert.opened_at)
        self._taken_up = True

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if not self._waiting:  # what has arrived is heard before anything is called missing
                self._findings.extend(self._power.tick(time.time()))
            self._wake.set()

    async def _judge(self) -> None:
        told = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._waiting:
                taken = list(self._waiting)
                self._waiting.clear()
                self._findings.extend(self._power.feed(taken))
            while self._findings:
                try:
                    await self._alerts.apply(self._findings[0], at=time.time())
                except StoreError as error:  # nothing is lost: the same finding is tried again
                    log.error("finding_waits", rule=self._findings[0].rule, reason=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                self._findings.popleft()
            if self.dropped > told:
                log.error("readings_not_judged", dropped=self.dropped - told)
                told = self.dropped


async def replay(
    settings: Settings, database: Database, site: str, start: float, end: float, *, as_measured: bool = False
) -> AsyncIterator[Finding]:
    """What the rules find in stored readings with `start <= source_at < end`; nothing is written.

    They are heard in the order of their arrival, so that what was late then is late now; `as_measured` hears each at
    its source time instead, as if nothing had been late.
    """
    devices = [one for one in settings.devices if one.site == site]
    clock = table.c.source_at if as_measured else table.c.received_at
    rules = PowerRules(devices, settings.rules, now=start, simulated=settings.server.simulated)
    order = (clock, table.c.device, table.c.source_at, table.c.seq, table.c.quantity)
    query = (
        select(table)
        .where(table.c.site == site, table.c.device.in_([one.device for one in devices]))
        .where(table.c.source_at >= start, table.c.source_at < end)
        .order_by(*order)
    )
    together: list[Reading] = []
    first = True
    async with database.reading() as connection:
        rows = await connection.stream(query.execution_options(yield_per=PAGE))
        async for row in rows:
            reading = Reading(**row._asdict())
            if as_measured:
                reading = Reading(**{**row._asdict(), "received_at": reading.source_at})
            if first:  # a device is missing from the first sample of any on, not from before the recording
                rules, first = PowerRules(devices, settings.rules, now=reading.received_at), False
            if together and together[0].received_at != reading.received_at:
                for finding in _heard(rules, together):
                    yield finding
                together = []
            together.append(reading)
    for finding in _heard(rules, together):
        yield finding


def _heard(rules: PowerRules, together: list[Reading]) -> list[Finding]:
    missing = rules.tick(together[0].received_at) if together else []
    return missing + rules.feed(together)
