"""A program that raises alerts and lets them climb, in steps of an instant, until somebody kills it."""

import asyncio
import os
from multiprocessing.connection import Connection

from analytics.finding import Finding
from config.settings import Settings
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.duty.service import Escalations
from server.store.crashpoints import VARIABLE
from server.store.database import Database
from server.store.sites import SiteTree

SITE = "mine-a"
STEP_S = 0.03


def settings(step_s: float = STEP_S) -> Settings:
    step = {"ring": ["browser"], "seconds": step_s}
    return Settings.model_validate({"duty": {"chains": [{"chain": "x", "severities": ["alarm"], "steps": [step]}]}})


async def climb(url: str, pipe: Connection, first: int) -> None:
    """One alert at a time, from `first` on; says `("alert", number, id)` of each and `("next", number)`."""
    async with Database.open(url) as database:
        tree, bus = await SiteTree.load(database), MemoryBus()
        alerts = AlertService(database, tree, bus)
        escalations = Escalations(settings(), database, tree, bus, alerts)
        alerts.follower = escalations
        await escalations.load()
        running = asyncio.ensure_future(escalations.run())
        number = first
        while not running.done():
            subject = f"p{number}"
            made = await alerts.apply(
                Finding(SITE, f"{SITE}/absence/{subject}", "absence", subject, "raised", "alarm", 1.0, "空岗", "Empty"),
                at=1000.0 + number,
            )
            if made is not None:
                pipe.send(("alert", number, made.id))
            number += 1
            pipe.send(("next", number))
            await asyncio.sleep(STEP_S)


def main(url: str, pipe: Connection, first: int, crash_at: str | None) -> None:
    """The program: runs until it is killed."""
    os.environ.pop(VARIABLE, None)
    if crash_at is not None:
        os.environ[VARIABLE] = crash_at
    asyncio.run(climb(url, pipe, first))
