"""How fast the store is on this machine: telemetry rows, alerts and timeline entries a second, each one on disk.

    python tests/bench/store.py [--url URL] [--rows 20000] [--alerts 300] [--json]

Without a URL: SQLite in a temporary folder, `synchronous=FULL`. `--json` prints {run, figures, goals}.
"""

import argparse
import asyncio
import json
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.finding import Finding
from analytics.plugin import Batch, Position, Reading
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest

BATCH_ROWS = 200
LEVELS = ("nation", "province", "city", "county", "mine")
GOALS = {
    "telemetry_rows_per_s": {"at_least": 2000, "why": "4,000 terminals at one message in two seconds"},
    "alerts_per_s": {"at_least": 200, "why": "a minute of 200 alerts a second without a growing queue"},
    "alert_p99_ms": {"at_most": 1000, "why": "an emergency is told within a second"},
}


async def nothing() -> None:
    pass


def batch(number: int) -> Batch:
    """Half readings, half positions; all new, all live."""
    at = 1_700_000_000.0 + number
    half = BATCH_ROWS // 2
    return Batch(
        [Reading("site-mine", f"d{n % 20}", f"q{n // 20}", n * 1.5, "A", at, at + 0.1, number) for n in range(half)],
        [Position("site-mine", f"t{n}", "person", n, n, -300.0, "zone", at, at + 0.1, number) for n in range(half)],
        nothing,
    )


async def telemetry(ingest: TelemetryIngest, rows: int) -> dict[str, float]:
    batches = [batch(number) for number in range(max(1, rows // BATCH_ROWS))]
    await ingest.store(batches[0])  # compile the statements
    took: list[float] = []
    started = time.perf_counter()
    for one in batches[1:]:
        before = time.perf_counter()
        await ingest.store(one)
        took.append(time.perf_counter() - before)
    whole = time.perf_counter() - started
    return {
        "telemetry_rows_per_s": (len(batches) - 1) * BATCH_ROWS / whole,
        "telemetry_batch_p50_ms": statistics.median(took) * 1000,
        "telemetry_batch_p99_ms": sorted(took)[int(len(took) * 0.99)] * 1000,
    }


async def raise_alerts(service: AlertService, count: int) -> dict[str, float]:
    took: list[float] = []

    async def one(number: int) -> None:
        key = f"site-mine/absence/p{number}"
        before = time.perf_counter()
        await service.apply(
            Finding("site-mine", key, "absence", f"p{number}", "raised", "alarm", 1.0, "空岗", "Empty"), at=1.0
        )
        took.append(time.perf_counter() - before)

    await one(-1)
    took.clear()
    started = time.perf_counter()
    for number in range(count):
        await one(number)
    whole = time.perf_counter() - started
    ordered = sorted(took)
    return {
        "alerts_per_s": count / whole,
        "alert_p50_ms": statistics.median(took) * 1000,
        "alert_p99_ms": ordered[int(count * 0.99)] * 1000,
    }


async def measure(url: str, rows: int, alerts: int) -> tuple[str, dict[str, float]]:
    async with Database.open(url) as database:
        tree, parent = await SiteTree.load(database), None
        for level in LEVELS:
            await tree.add(f"site-{level}", parent, level, level, level)
            parent = f"site-{level}"
        bus = MemoryBus()
        figures = await telemetry(TelemetryIngest(database, tree, bus), rows)
        figures |= await raise_alerts(AlertService(database, tree, bus), alerts)
        return database.dialect, figures


def report(run: dict[str, object], figures: dict[str, float], *, as_json: bool) -> str:
    rounded = {name: round(value, 3) for name, value in figures.items()}
    if as_json:
        return json.dumps({"run": run, "figures": rounded, "goals": GOALS}, ensure_ascii=False, indent=2)
    return "\n".join(f"{name:26} {value:12,.2f}" for name, value in rounded.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--alerts", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = given.url or sqlite_url(Path(folder))
        dialect, figures = asyncio.run(measure(url, given.rows, given.alerts))
    run: dict[str, object] = {
        "bench": "store",
        "database": dialect,
        "sqlite": sqlite3.sqlite_version,
        "synchronous": "FULL",
        "batch_rows": BATCH_ROWS,
        "rows": given.rows,
        "alerts": given.alerts,
        "rooms_per_alert": len(LEVELS),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    print(report(run, figures, as_json=given.json))


if __name__ == "__main__":
    main()
