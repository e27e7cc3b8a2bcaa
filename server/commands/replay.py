"""`replay`: what the rules find in stored readings, one JSON object a line. Writes nothing."""

import asyncio
import dataclasses
import json
from datetime import datetime

import typer

from analytics.telemetry.payload import CHINA
from config.settings import Settings
from server.bus.memory import MemoryBus
from server.parameters import Parameters
from server.registry.service import Registry
from server.rules import replay
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree


def moment(text: str) -> float:
    """Seconds since the Unix epoch, from such a number or an ISO 8601 time (without an offset: China Standard Time).

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither an ISO 8601 time nor seconds since 1970.") from None
    return (at if at.tzinfo else at.replace(tzinfo=CHINA)).timestamp()


def print_findings(settings: Settings, site: str, start: float, end: float, as_measured: bool) -> None:
    """To standard output, in the order in which they come out of the rules."""

    async def work() -> None:
        url = settings.store.url or sqlite_url(settings.server.data_dir)
        async with Database.open(url) as database:
            tree = await SiteTree.load(database)
            known = site in tree
            facts = (await Registry.load(database, tree, MemoryBus())).facts(site)
            parameters = await Parameters.load(settings, database, tree) if known else None
            findings = replay(
                settings, database, site, start, end, as_measured=as_measured, facts=facts, parameters=parameters
            )
            async for finding in findings:
                typer.echo(json.dumps(dataclasses.asdict(finding), ensure_ascii=False))

    asyncio.run(work())
