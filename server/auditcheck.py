"""Whether the audit and all timelines still are as they were written: looked at once a day, and when somebody asks.

The newest report is kept in memory, for the pages; that somebody asked, and what was found, stands in the audit.
"""

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from config.settings import Settings
from server.store import audit
from server.store.database import Database, sqlite_url

log = structlog.get_logger()

FIRST_AFTER_S = 900.0
EVERY_S = 86400.0
LONGEST_S = 3600.0
ROOT = Path(__file__).parent.parent


class CheckFailed(Exception):
    """The chains could not be walked: no database, no memory, no time."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A report of `server.auditworker`, and when it was made."""

    at: float
    """UTC; when it began."""
    by: str
    """Account that asked; `server` for the daily one."""
    report: dict[str, Any]


class AuditCheck:
    """One check at a time; whoever asks while one is under way gets that one."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._url = settings.store.url or sqlite_url(settings.server.data_dir)
        self._database = database
        self._asked = asyncio.Event()
        self._by = "server"
        self.running = False
        self.newest: Checked | None = None
        self.failed = ""
        """Why the newest attempt gave no report."""

    def ask(self, by: str) -> None:
        """Check soon."""
        if not self.running:
            self._by = by
            self.running = True
            self._asked.set()

    async def run(self) -> None:
        """Check whenever somebody asks, and once a day by itself."""
        wait_s = FIRST_AFTER_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._asked.wait()
            wait_s, self.running = EVERY_S, True
            by, self._by = self._by, "server"
            try:
                await self._check(by)
            finally:
                self.running = False
                self._asked.clear()

    async def _check(self, by: str) -> None:
        at = time.time()
        try:
            report = await self._walked()
        except CheckFailed as error:
            self.failed = str(error)
            log.error("audit_check_failed", reason=self.failed)
            return
        self.failed, self.newest = "", Checked(at, by, report)
        if not report["holds"]:
            log.error("audit_broken", chains=[one["chain"] for one in report["faults"]])
        async with self._database.transaction() as connection:
            await audit.append(
                connection, at=time.time(), actor=by, action="audit.verify", object="chains", site="",
                result="ok" if report["holds"] else "broken",
                detail={"rows": report["audit_rows"], "entries": report["entries"], "faults": len(report["faults"])},
            )  # fmt: skip

    async def _walked(self) -> dict[str, Any]:
        """
        Raises:
            CheckFailed: no report came.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "server.auditworker", cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LONGEST_S):
                out, wrong = await process.communicate(self._url.encode() + b"\n")
        except TimeoutError:
            raise CheckFailed(f"It took longer than {LONGEST_S:.0f} s.") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            last = wrong.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise CheckFailed(last[0][:300] if last else f"It ended with status {process.returncode}.")
        found: dict[str, Any] = json.loads(out)
        return found
