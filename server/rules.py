"""The rules at work: fed with what is on disk, ticked for what is missing, their findings made into alerts.

Samples come from `TelemetryIngest` after its transaction, never in it: a rule that is slow or wrong costs no reading.
They wait here until the alerts of before a restart are taken up. A finding that cannot be written is tried again until
it is; the order of findings is kept. When figures or facts of a mine change, its rules are made anew over what the old
ones had learned, and go on with the alerts that stand.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import chain

import structlog
from sqlalchemy import Table, select

from analytics.finding import Finding
from analytics.mine import MineFacts
from analytics.plugin import Position, Reading
from analytics.rules.covert import CAMERA_RULES
from analytics.rules.site import SiteRules, devices_of
from config.settings import RuleSettings, Settings
from server.alerts.machine import Alert, Change
from server.alerts.service import AlertService
from server.parameters import Parameters
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.store.tables import positions as positions_table
from server.store.tables import readings as readings_table

log = structlog.get_logger()

TICK_S = 1.0
START_GRACE_S = 15.0
"""Sources may take this long to connect after a start before silence is counted."""
RETRY_S = 0.5
MAX_WAITING = 200_000
"""Samples that wait for the rules; beyond it the oldest are dropped and counted. They are on disk all the same."""
PAGE = 20_000
"""Samples of a replay read at once."""
Sample = Reading | Position
OVER = (Change.CLEARED, Change.CLOSED)


class Rules:
    """All rules over telemetry of this server.

    Args:
        facts: what is known of a mine.
    """

    def __init__(
        self,
        settings: Settings,
        tree: SiteTree,
        alerts: AlertService,
        *,
        facts: Callable[[str], MineFacts] = MineFacts,
        parameters: Parameters | None = None,
    ) -> None:
        for one in settings.devices:
            if one.site not in tree:
                log.error("device_without_site", device=one.device, site=one.site)
        self._settings, self._tree, self._alerts = settings, tree, alerts
        self._facts, self._parameters = facts, parameters
        self._sites: dict[str, SiteRules] = {}
        self._anew: set[str] = {site for site in tree if self._concerns(site)}
        """Sites whose rules are to be made."""
        self._waiting: deque[Sample] = deque()
        self._findings: deque[Finding] = deque()
        self._wake = asyncio.Event()
        self.dropped = 0
        """Samples that the rules never saw."""

    def _concerns(self, site: str) -> bool:
        """There is something to judge by."""
        return any(one.site == site for one in self._settings.devices) or self._facts(site).version > 0

    def of(self, site: str) -> SiteRules | None:
        """The rules of a site, None when it has none (yet)."""
        return self._sites.get(site)

    # --- what comes in ---

    def stored(self, readings: Sequence[Reading]) -> None:
        """Readings that are on disk."""
        self._take(readings)

    def located(self, positions: Sequence[Position]) -> None:
        """Positions that are on disk."""
        self._take(positions)

    def _take(self, samples: Sequence[Sample]) -> None:
        self._waiting.extend(one for one in samples if one.site in self._sites or one.site in self._anew)
        while len(self._waiting) > MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._wake.set()

    def facts_changed(self, facts: MineFacts) -> None:
        """The registry has a new version of a mine."""
        self._anew.add(facts.site)
        self._wake.set()

    def parameters_changed(self, site: str) -> None:
        """The figures of a site changed, and with them those of all below it."""
        self._anew |= {one for one in (site, *self._tree.descendants(site)) if self._concerns(one)}
        self._wake.set()

    def alert_changed(self, alert: Alert, change: Change) -> None:
        """An alert of any rule: cameras that see nothing are evidence at a mine that is stopped."""
        if alert.rule in CAMERA_RULES and (rules := self._sites.get(alert.site)) is not None:
            rules.covert.camera(alert.subject, None if change in OVER else alert.opened_at)

    # --- at work ---

    async def run(self) -> None:
        """Judge until cancelled."""
        self._wake.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._judge())

    async def _make(self, site: str) -> None:
        """The rules of a site, over what was learned; standing alerts are gone on with."""
        standing = await self._alerts.open_for(site)
        before = self._sites.get(site)
        grace = 0.0 if before is not None else START_GRACE_S
        made = rules_of(
            self._settings, self._facts(site), self._parameters, now=time.time() + grace,
            simulated=self._settings.server.simulated,
        )  # fmt: skip
        if before is not None:
            made.adopt(before)
        for alert in standing:
            if alert.site == site:
                made.take_up(alert.key, alert.severity, alert.opened_at)
                if alert.rule in CAMERA_RULES:
                    made.covert.camera(alert.subject, alert.opened_at)
        self._sites[site] = made

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if not self._waiting and not self._anew:  # what has arrived is heard before anything is called missing
                now = time.time()
                self._findings.extend(chain.from_iterable(one.tick(now) for one in self._sites.values()))
            self._wake.set()

    async def _judge(self) -> None:
        told = 0
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._write()
            while self._anew:
                site = next(iter(self._anew))
                try:
                    await self._make(site)
                except StoreError as error:
                    log.error("rules_wait", site=site, reason=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                self._anew.discard(site)
            if self._waiting:
                taken = list(self._waiting)
                self._waiting.clear()
                self._feed(taken)
            await self._write()
            if self.dropped > told:
                log.error("readings_not_judged", dropped=self.dropped - told)
                told = self.dropped

    def _feed(self, samples: Sequence[Sample]) -> None:
        by_site: dict[str, tuple[list[Reading], list[Position]]] = {}
        for one in samples:
            readings, positions = by_site.setdefault(one.site, ([], []))
            if isinstance(one, Reading):
                readings.append(one)
            else:
                positions.append(one)
        for site, (readings, positions) in by_site.items():
            if (rules := self._sites.get(site)) is not None:
                self._findings.extend(rules.feed(readings, positions))

    async def _write(self) -> None:
        while self._findings:
            finding = self._findings[0]
            try:
                await self._alerts.apply(finding, at=time.time())
            except StoreError as error:  # nothing is lost: the same finding is tried again
                log.error("finding_waits", rule=finding.rule, reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            self._findings.popleft()


def rules_of(
    settings: Settings,
    facts: MineFacts,
    parameters: Parameters | None,
    *,
    now: float,
    simulated: bool = False,
    at: float = float("inf"),
) -> SiteRules:
    """The rules of a site, with the figures that were valid at a moment."""
    devices = devices_of(facts, settings.devices)
    figures: RuleSettings = settings.rules
    if parameters is not None:
        figures = parameters.of_site(facts.site, at)
        devices = [parameters.of_device(one, at) for one in devices]
    return SiteRules(facts, devices, figures, now=now, simulated=simulated)


# --- replay ---


async def replay(
    settings: Settings,
    database: Database,
    site: str,
    start: float,
    end: float,
    *,
    as_measured: bool = False,
    facts: MineFacts | None = None,
    parameters: Parameters | None = None,
) -> AsyncGenerator[Finding]:
    """What the rules find in stored samples with `start <= source_at < end`; nothing is written.

    They are heard in the order of their arrival, so that what was late then is late now; `as_measured` hears each at
    its source time instead, as if nothing had been late. Figures are those of `end`, facts are as given.
    """
    facts = facts or MineFacts(site)

    def made(now: float) -> SiteRules:
        return rules_of(settings, facts, parameters, now=now, at=end, simulated=settings.server.simulated)

    rules: SiteRules | None = None
    together: list[Sample] = []
    async with aclosing(_samples(database, site, start, end, as_measured)) as samples:
        async for one in samples:
            if rules is None:  # a device is missing from the first sample of any on, not from before the recording
                rules = made(one.received_at)
            if together and together[0].received_at != one.received_at:
                for finding in _heard(rules, together):
                    yield finding
                together = []
            together.append(one)
    if rules is not None and together:
        for finding in _heard(rules, together):
            yield finding


def _heard(rules: SiteRules, together: list[Sample]) -> list[Finding]:
    missing = rules.power.tick(together[0].received_at)
    readings = [one for one in together if isinstance(one, Reading)]
    return missing + rules.feed(readings, [one for one in together if isinstance(one, Position)])


async def _samples(
    database: Database, site: str, start: float, end: float, as_measured: bool
) -> AsyncGenerator[Sample]:  # fmt: skip
    """Readings and positions of a site, in the order of their arrival (or of their measurement)."""
    async with (
        aclosing(_rows(database, readings_table, Reading, site, start, end, as_measured)) as readings,
        aclosing(_rows(database, positions_table, Position, site, start, end, as_measured)) as positions,
    ):
        reading, position = await anext(readings, None), await anext(positions, None)
        while reading is not None or position is not None:
            if position is None or (reading is not None and reading.received_at <= position.received_at):
                assert reading is not None
                yield reading
                reading = await anext(readings, None)
            else:
                yield position
                position = await anext(positions, None)


async def _rows(
    database: Database,
    table: Table,
    kind: type[Reading] | type[Position],
    site: str,
    start: float,
    end: float,
    as_measured: bool,
) -> AsyncGenerator[Sample]:
    clock = table.c.source_at if as_measured else table.c.received_at
    names = ("device", "source_at", "seq", "quantity") if kind is Reading else ("source_at", "tag", "seq")
    query = (
        select(table)
        .where(table.c.site == site, table.c.source_at >= start, table.c.source_at < end)
        .order_by(clock, *(table.c[name] for name in names))
    )
    async with database.reading() as connection:
        rows = await connection.stream(query.execution_options(yield_per=PAGE))
        async for row in rows:
            values = row._asdict()
            if as_measured:
                values["received_at"] = values["source_at"]
            yield kind(**values)
