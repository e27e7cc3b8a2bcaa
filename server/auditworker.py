"""Walks all hash chains in a process of its own, so that nobody's picture waits for a million hashes.

`python -m server.auditworker`: the database's address as a line on stdin, the report as one JSON object on stdout.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

from server.store import chain
from server.store.database import Database

NICE = 10


async def verified(url: str) -> dict[str, Any]:
    """The report. Raises `StoreError`."""
    started = time.monotonic()
    async with Database.open(url, as_it_is=True) as database, database.reading() as connection:
        report = await chain.verify(connection)
    return {
        "holds": report.holds,
        "audit_rows": report.audit_rows,
        "rooms": report.rooms,
        "entries": report.entries,
        "removed": report.removed,
        "head_seq": report.head[0],
        "head_sha256": report.head[1],
        "faults": [{"chain": one.chain, "seq": one.seq, "reason": one.reason} for one in report.faults],
        "took_s": round(time.monotonic() - started, 3),
    }


if __name__ == "__main__":
    os.nice(NICE)
    sys.stdout.write(json.dumps(asyncio.run(verified(sys.stdin.readline().strip()))))
