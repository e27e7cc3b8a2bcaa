"""Hazards as they are kept, told and reminded of: each step one transaction, its entry and its row in the audit.

A late hazard is an alert. Which stage of lateness has been told stands beside the hazard, so that a server that stops
between the two tells it after its start. What time changes is found by `next_at`, by an index.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.finding import Change, Finding
from config.settings import Settings
from server.alerts.machine import ByWhom
from server.alerts.service import AlertService
from server.bus import Bus
from server.hazards import machine
from server.hazards.machine import Actor, Grade, Hazard, Input, Origin, StepRefused, hazard_of
from server.hazards.pictures import Pictures, take
from server.store import audit, timeline
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.store.sites import SiteTree, at_or_below
from server.store.tables import hazards

log = structlog.get_logger()

TICK_S = 2.0
AT_ONCE = 100
"""Handled in one look."""


class NoSuchHazard(Exception):
    """There is none of this id."""


class Hazards:
    """The hazards of this server."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        alerts: AlertService,
        rooms_about: Callable[[str], Iterable[str]],
    ) -> None:
        """`rooms_about(site)`: of open consultations, in which its news is told as well."""
        self._rise_s = settings.duty.hazard_rise_s
        self._picture_s = settings.retention.picture_days * 86400.0
        self._simulated = settings.server.simulated
        self._database = database
        self._tree = tree
        self._bus = bus
        self._alerts = alerts
        self._rooms_about = rooms_about
        self._wake = asyncio.Event()
        self.pictures = Pictures(database, settings.server.data_dir)

    # --- what people do -----------------------------------------------------------------------------------------------

    async def record(
        self, site: str, by: ByWhom, *, place: str, text: str, severity: Grade, deadline: float,
        pictures: Sequence[str] = (), origin: Origin = "manual", origin_id: str = "", address: str = "",
    ) -> Hazard:  # fmt: skip
        """A new hazard of this site.

        Raises:
            StepRefused, StoreError
        """

        async def work() -> Hazard:
            at = time.time()
            actor, hazard = _actor(by), new_id(at)
            bare = machine.record(
                hazard, site, actor, at, place=place, text=text, severity=severity, deadline=deadline, origin=origin,
                origin_id=origin_id, simulated=self._simulated,
            )  # fmt: skip
            async with self._database.transaction() as connection:
                await connection.execute(insert(hazards).values(hazard=hazard, told="", **self._columns(bare)))
                taken = await take(connection, hazard, pictures, actor.user)
                made = machine.with_pictures(bare, taken)
                entries = await self._keep(connection, made, at, address)
            await self._publish(entries)
            return made

        return await self._database.finish(work())

    async def step(
        self, hazard: str, given: Input, by: ByWhom, *, text: str = "", pictures: Sequence[str] = (),
        deadline: float | None = None, address: str = "",
    ) -> Hazard:  # fmt: skip
        """What somebody does with a hazard as it is at that moment.

        Raises:
            NoSuchHazard, StepRefused, StoreError
        """
        actor = _actor(by)

        async def change(connection: AsyncConnection, known: Hazard, at: float) -> Hazard:
            taken = await take(connection, hazard, pictures, actor.user)
            return machine.step(known, given, actor, at, text=text, pictures=taken, deadline=deadline)

        return await self._database.finish(self._change(hazard, change, address))

    async def _change(self, hazard: str, change: Any, address: str = "") -> Hazard:
        at = time.time()
        async with self._database.transaction() as connection:
            body = await connection.scalar(select(hazards.c.body).where(hazards.c.hazard == hazard))
            if body is None:
                raise NoSuchHazard(hazard)
            known = hazard_of(body)
            after: Hazard = await change(connection, known, at)
            entries = await self._keep(connection, after, at, address) if after is not known else []
        await self._publish(entries)
        self._wake.set()
        return after

    # --- keeping ------------------------------------------------------------------------------------------------------

    def _columns(self, hazard: Hazard) -> dict[str, object]:
        return {
            "site": hazard.site,
            "state": hazard.state.value,
            "severity": hazard.severity,
            "late": hazard.late,
            "next_at": hazard.next_at(self._rise_s),
            "closed_at": hazard.closed_at,
            "words": f"{hazard.place}\n{hazard.text}".lower(),
            "body": hazard.as_dict(),
        }

    async def _keep(
        self, connection: AsyncConnection, hazard: Hazard, at: float, address: str = ""
    ) -> list[timeline.Entry]:
        """Write it with its newest step."""
        last = hazard.steps[-1]
        await connection.execute(
            hazards.update().where(hazards.c.hazard == hazard.hazard).values(self._columns(hazard))
        )
        actor = f"user:{last.by.user}" if last.by.user != "server" else "server"
        await audit.append(
            connection, at=at, actor=actor, action=f"hazard.{last.change}", object=f"hazard:{hazard.hazard}",
            site=hazard.site, address=address,
            detail={"deadline": hazard.deadline, "text": last.text, "pictures": [one.sha256 for one in last.pictures]},
        )  # fmt: skip
        rooms = [*self._tree.rooms_of(hazard.site), *self._rooms_about(hazard.site)]
        return await timeline.append(connection, rooms, "hazard", entry_of(hazard), at)

    async def _publish(self, entries: Iterable[timeline.Entry]) -> None:
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())

    # --- time ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Notes what is late, and tells it."""
        while True:
            self._wake.clear()
            try:
                if await self._lapse() + await self._tell() >= AT_ONCE:
                    continue
            except StoreError as error:
                log.warning("hazards_wait", reason=str(error))
            try:
                async with asyncio.timeout(TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _lapse(self) -> int:
        query = select(hazards.c.hazard).where(hazards.c.next_at <= time.time()).order_by(hazards.c.next_at)
        async with self._database.reading() as connection:
            due = (await connection.execute(query.limit(AT_ONCE))).scalars().all()
        for hazard in due:
            await self._database.finish(self._change(hazard, self._lapsed))
        return len(due)

    async def _lapsed(self, connection: AsyncConnection, known: Hazard, at: float) -> Hazard:
        after = machine.lapse(known, at, self._rise_s)
        if after is None:  # another setting, or a person was quicker
            await connection.execute(
                hazards.update().where(hazards.c.hazard == known.hazard).values(next_at=known.next_at(self._rise_s))
            )
            return known
        return after

    async def _tell(self) -> int:
        """Raise and clear the alerts of those whose lateness is not told yet."""
        query = select(hazards.c.body).where(hazards.c.late != hazards.c.told).order_by(hazards.c.hazard)
        async with self._database.reading() as connection:
            bodies = (await connection.execute(query.limit(AT_ONCE))).scalars().all()
        for hazard in map(hazard_of, bodies):
            await self._alerts.apply(_finding(hazard), at=time.time())
            async with self._database.transaction() as connection:
                await connection.execute(
                    hazards.update().where(hazards.c.hazard == hazard.hazard).values(told=hazard.late)
                )
        return len(bodies)

    async def forget(self, at: float) -> None:
        """Remove pictures that are not kept any longer (raises `StoreError`)."""
        await self.pictures.forget(at, at - self._picture_s)

    # --- questions ----------------------------------------------------------------------------------------------------

    async def get(self, hazard: str) -> Hazard | None:
        async with self._database.reading() as connection:
            body = await connection.scalar(select(hazards.c.body).where(hazards.c.hazard == hazard))
        return hazard_of(body) if body is not None else None

    async def listed(
        self, site: str, *, states: Sequence[str] = (), severity: str = "", late: bool = False, words: str = "",
        after: str = "", limit: int = 50,
    ) -> list[Hazard]:  # fmt: skip
        """Hazards of a site and below, newest first, `after` that id."""
        query = select(hazards.c.body).where(at_or_below(hazards.c.site, self._tree[site].path))
        if states:
            query = query.where(hazards.c.state.in_(states))
        if severity:
            query = query.where(hazards.c.severity == severity)
        if late:
            query = query.where(hazards.c.late != "")
        if words:
            query = query.where(hazards.c.words.contains(words.lower(), autoescape=True))
        if after:
            query = query.where(hazards.c.hazard < after)
        async with self._database.reading() as connection:
            bodies = (await connection.execute(query.order_by(hazards.c.hazard.desc()).limit(limit))).scalars().all()
        return await asyncio.to_thread(lambda: [hazard_of(body) for body in bodies])

    async def counts(self, site: str) -> list[dict[str, object]]:
        """Of each site at and below that has any: how many in which state, and how many are late; the latest first."""
        query = (
            select(hazards.c.site, hazards.c.state, hazards.c.late, func.count().label("n"))
            .where(at_or_below(hazards.c.site, self._tree[site].path))
            .group_by(hazards.c.site, hazards.c.state, hazards.c.late)
        )
        found: dict[str, dict[str, int]] = {}
        async with self._database.reading() as connection:
            for row in await connection.execute(query):
                of = found.setdefault(row.site, dict.fromkeys((*machine.State, "late"), 0))
                of[row.state] += row.n
                of["late"] += row.n if row.late else 0
        listed: list[dict[str, object]] = [{"site": name, **numbers} for name, numbers in sorted(found.items())]
        return sorted(listed, key=lambda one: -found[str(one["site"])]["late"])


def summary(hazard: Hazard) -> dict[str, object]:
    """A hazard without its history."""
    body = hazard.as_dict()
    body["steps"] = len(hazard.steps)
    return body


def entry_of(hazard: Hazard) -> dict[str, object]:
    """As on a timeline: what it is now, and its newest step, with the hashes of its pictures."""
    detail = hazard.as_dict()
    steps: Any = detail.pop("steps")
    return {**detail, "step": steps[-1], "change": hazard.steps[-1].change}


def _actor(by: ByWhom) -> Actor:
    return Actor(by.user, by.name, by.site)


def _finding(hazard: Hazard) -> Finding:
    """What the alert of its lateness is now."""
    change: Change = "raised" if hazard.late else "cleared"
    what = f"{hazard.place}：{hazard.text}"[:60]
    zh, en = (f"隐患整改逾期 {what}", f"Hazard overdue: {what}") if hazard.late else ("隐患整改", "Hazard")
    explain: dict[str, object] = {"hazard": hazard.hazard, "deadline": hazard.deadline, "severity": hazard.severity}
    return Finding(
        hazard.site, f"{hazard.site}/hazard_overdue/{hazard.hazard}", "hazard_overdue", hazard.hazard, change,
        machine.alarm(hazard), time.time(), zh, en, explain, hazard.simulated,
    )  # fmt: skip


__all__ = ["Hazards", "NoSuchHazard", "StepRefused", "entry_of", "summary"]
