"""Files of mines at work: the inbox is scanned, samples are stored, files are written down, silence is told."""

import asyncio
import contextlib
import time
from collections import deque

import structlog
from sqlalchemy import func, insert, select

from analytics.finding import Finding
from analytics.rules.staleness import RULE, Staleness
from analytics.telemetry.acceptance import Judged, Known
from analytics.telemetry.files import FileSource
from analytics.telemetry.minefile import MineFile
from config.settings import Settings
from server.alerts.service import AlertService
from server.registry.errors import RegistryRefused
from server.registry.feed import from_file
from server.registry.service import Registry
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.store.sites import SiteTree
from server.store.tables import mine_files as table
from server.telemetry import TelemetryIngest

log = structlog.get_logger()

TICK_S = 1.0
TAKEN = ("DONE", "PARTIAL")


class FileLedger:
    """What became of every file (`analytics.telemetry.files.Ledger`)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, name: str, sha256: str, mine: str, type: str) -> Known:
        same = select(table.c.id).where(
            table.c.name == name, table.c.sha256 == sha256, table.c.status.not_in(("FAILED", "DUPLICATE"))
        )
        async with self._database.reading() as connection:
            duplicate = (await connection.execute(same.limit(1))).first() is not None
        return Known(duplicate, await self.newest(mine, type))

    async def newest(self, mine: str, type: str) -> float | None:
        """Header time of the newest one that counts (the headcount is that of the newest RYSS)."""
        query = select(func.max(table.c.header_at)).where(
            table.c.mine == mine, table.c.type == type, table.c.status.in_(TAKEN)
        )
        async with self._database.reading() as connection:
            found: float | None = (await connection.execute(query)).scalar()
            return found

    async def add(self, name: str, sha256: str, judged: Judged) -> None:
        """Raises: StoreError."""
        now = time.time()
        row = {
            "id": new_id(now),
            "name": name[:200],
            "sha256": sha256,
            "mine": judged.mine,
            "type": judged.type,
            "status": judged.status,
            "reason": judged.reason,
            "header_at": judged.at,
            "received_at": now,
            "records": judged.records,
            "bad": [{"number": one.number, "reason": one.reason} for one in judged.bad],
            "warnings": list(judged.warnings)[:500],
        }
        async with self._database.transaction() as connection:
            await connection.execute(insert(table).values(row))


class MineFiles:
    """The inbox of this server."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        ingest: TelemetryIngest,
        alerts: AlertService,
        registry: Registry | None = None,
    ) -> None:
        self._settings = settings.files
        self._tree = tree
        self._ledger = FileLedger(database)
        self._ingest = ingest
        self._alerts = alerts
        self._registry = registry
        self._source = FileSource(settings.files, self._ledger, on_file=self._on_file, on_base=self._on_base)
        self._staleness: dict[str, Staleness] = {}
        self._findings: deque[Finding] = deque()

    def _on_file(self, name: str, judged: Judged) -> None:
        log.info("mine_file", mine=judged.mine, type=judged.type, status=judged.status, reason=judged.reason)
        if judged.status in TAKEN and judged.type == "RYSS" and judged.at is not None:
            if (watched := self._staleness.get(judged.mine)) is not None:
                watched.file(judged.at)

    async def _on_base(self, mine: str, file: MineFile) -> None:
        """What a file says of people, areas and machines goes into the registry, except what a person entered."""
        site = next((one.site for one in self._settings.mines if one.mine == mine), None)
        if self._registry is None or site is None or site not in self._tree:
            return
        names = {one.name: one.device for one in self._settings.machines}
        put = from_file(file, self._registry, site, names)
        if not any(put.values()):
            return
        try:
            done = await self._registry.change(site, put, by="", source=f"file:{file.type}")
        except RegistryRefused as error:
            log.error("file_not_in_registry", mine=mine, type=file.type, reason=str(error))
            return
        log.info("registry_from_file", mine=mine, type=file.type, added=len(done.added), changed=len(done.changed))

    async def run(self) -> None:
        """Until cancelled."""
        for one in self._settings.mines:
            if one.site not in self._tree:
                log.error("mine_without_site", mine=one.mine, site=one.site)
            elif one.mine not in self._staleness:
                await self._begin(one.mine, one.site)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_in())
            group.create_task(self._watch())

    async def _begin(self, mine: str, site: str) -> None:
        standing = {alert.key for alert in await self._alerts.open_for(site)}
        last_at = await self._ledger.newest(mine, "RYSS")
        stood = f"{site}/{RULE}/{mine}" in standing
        self._staleness[mine] = Staleness(site, mine, self._settings.stale_after_s, last_at, standing=stood)

    async def _take_in(self) -> None:
        async with contextlib.aclosing(self._source.batches()) as batches:
            async for batch in batches:
                await self._ingest.store(batch)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for watched in self._staleness.values():
                self._findings.extend(watched.tick(time.time()))
            while self._findings:
                try:
                    await self._alerts.apply(self._findings[0], at=time.time())
                except StoreError as error:  # tried again with the next tick
                    log.error("finding_waits", rule=RULE, reason=str(error))
                    break
                self._findings.popleft()
