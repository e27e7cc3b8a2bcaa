"""A program that posts alerts and readings as fast as it can until somebody kills it; it says what it was told is safe.

What it sends through its pipe: `("alert", subject, id)` after `apply` returned, `("told", room, seq)` for each entry
that was published, `("stored", number)` when a batch of telemetry was reported as stored, `("next", number)` with what
comes after this.
"""

import asyncio
import os
from multiprocessing.connection import Connection

from analytics.finding import Change, Finding
from analytics.plugin import Batch, Reading
from server.alerts.service import AlertService
from server.bus import Body
from server.bus.memory import MemoryBus
from server.store.crashpoints import VARIABLE
from server.store.database import Database
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest

SITE = "mine-a"
CHANGES: tuple[Change, ...] = ("raised", "again")


class TellingBus(MemoryBus):
    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    async def publish(self, topic: str, body: Body) -> None:
        if topic == "entry":
            self._pipe.send(("told", body["room"], body["seq"]))


def finding(subject: str, change: Change, at: float) -> Finding:
    return Finding(SITE, f"{SITE}/absence/{subject}", "absence", subject, change, "alarm", at, "空岗", "Post empty")


async def post(url: str, pipe: Connection, first: int) -> None:
    """Subjects `p{n}` from `first` on, each raised and repeated; every third is cleared, when it is said to be done:
    raised again after that it would be a new alert."""
    async with Database.open(url) as database:
        tree = await SiteTree.load(database)
        bus = TellingBus(pipe)
        alerts, telemetry = AlertService(database, tree, bus), TelemetryIngest(database, tree, bus)
        number = first
        while True:
            subject, at = f"p{number}", 1000.0 + number
            await _batch(telemetry, number, pipe)
            for change in CHANGES:
                alert = await alerts.apply(finding(subject, change, at), at=at)
                if change == "raised" and alert is not None:
                    pipe.send(("alert", subject, alert.id))
            number += 1
            pipe.send(("next", number))
            if number % 3 == 0:
                await alerts.apply(finding(subject, "cleared", at), at=at)


async def _batch(telemetry: TelemetryIngest, number: int, pipe: Connection) -> None:
    async def stored() -> None:
        pipe.send(("stored", number))

    readings = [
        Reading(SITE, "fan", f"q{n}", float(number), "A", 1000.0 + number, 1000.0 + number, number) for n in range(5)
    ]
    await telemetry.store(Batch(readings, (), stored))


def main(url: str, pipe: Connection, first: int, crash_at: str | None) -> None:
    """The program: runs until it is killed."""
    os.environ.pop(VARIABLE, None)
    if crash_at is not None:
        os.environ[VARIABLE] = crash_at
    asyncio.run(post(url, pipe, first))
