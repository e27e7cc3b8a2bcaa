"""The process that hears a window of stored samples again (`server/retrospect.py`).

Reads one JSON object from its standard input: `settings`, `site`, `start`, `end` (UTC seconds). Writes each finding as
a JSON object a line, samples heard at their source time. It runs at a low priority and only reads the store.
"""

import asyncio
import dataclasses
import json
import os
import sys
from typing import Any

import structlog

from config.settings import Settings
from server.bus.memory import MemoryBus
from server.parameters import Parameters
from server.registry.service import Registry
from server.rules import replay
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree


async def _find(wish: dict[str, Any]) -> None:
    settings = Settings.model_validate(wish["settings"])
    site = wish["site"]
    url = settings.store.url or sqlite_url(settings.server.data_dir)
    async with Database.open(url, as_it_is=True) as database:
        tree = await SiteTree.load(database)
        facts = (await Registry.load(database, tree, MemoryBus())).facts(site)
        parameters = await Parameters.load(settings, database, tree) if site in tree else None
        async for finding in replay(
            settings, database, site, wish["start"], wish["end"], as_measured=True, facts=facts, parameters=parameters
        ):
            sys.stdout.write(json.dumps(dataclasses.asdict(finding), ensure_ascii=False) + "\n")


def main() -> None:
    """Run."""
    os.nice(10)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # findings have the other way
    asyncio.run(_find(json.load(sys.stdin)))


if __name__ == "__main__":
    main()
