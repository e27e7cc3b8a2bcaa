"""Handovers as they run: opened, signed twice, kept, told; and the alert of one that is missing. The duty log."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import insert, select

from analytics.finding import Change, Finding
from config.settings import Settings
from server.alerts.machine import ByWhom
from server.alerts.service import AlertService
from server.bus import Bus
from server.duty.handover import EARLY_S, LOOK_BACK_S, Handover, Signature, due, handover_of, missing
from server.duty.rotaservice import RotaService
from server.store import audit, timeline
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.store.tables import entries as entry_table
from server.store.tables import handovers as table

log = structlog.get_logger()

LOOK_S = 5.0
SCAN = 20_000
"""Most entries of a room that one search reads."""
SCAN_PAGE = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A page of the duty log."""

    items: tuple[timeline.Entry, ...]
    before: int | None
    """Where to go on: entries before this number were not looked at yet; None: that was all."""


class Handovers:
    """The handovers of this server."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        alerts: AlertService,
        rota: RotaService,
    ) -> None:
        self._grace_s = settings.duty.handover_grace_s
        self._simulated = settings.server.simulated
        self._database = database
        self._tree = tree
        self._bus = bus
        self._alerts = alerts
        self._rota = rota
        self._missing: dict[str, float] = {}
        self.standing: Callable[[str], Awaitable[Mapping[str, Any]]] = _nothing_stands
        """What is open and silenced at a site now."""
        self.posts: Callable[[str], tuple[tuple[str, str], ...]] = lambda site: ()
        """What the cameras say of the duty posts of a site."""

    # --- signing ------------------------------------------------------------------------------------------------------

    async def open(self, site: str, by: ByWhom) -> Handover:
        """The handover that is being made at this site; begins one when there is none.

        Raises:
            StoreError
        """
        standing = dict(await self.standing(site))
        return await self._database.finish(self._open(site, by, standing))

    async def _open(self, site: str, by: ByWhom, standing: dict[str, Any]) -> Handover:
        at = time.time()
        async with self._database.transaction() as connection:
            query = select(table.c.body).where(table.c.site == site, table.c.completed_at.is_(None))
            body = await connection.scalar(query.order_by(table.c.opened_at.desc()).limit(1))
            if body is not None:
                return handover_of(body)
            made = Handover(f"h{secrets.token_hex(8)}", site, at, standing=standing, simulated=self._simulated)
            await connection.execute(
                insert(table).values(
                    handover=made.handover, site=site, opened_at=at, completed_at=None, body=made.as_dict()
                )
            )
            entries = await self._told(connection, made, "opened", by, at)
        await self._publish(entries)
        return made

    async def sign(self, handover_id: str, by: ByWhom, name: str, notes: str) -> Handover:
        """The first signature is the outgoing officer's, the second the incoming one's.

        Raises:
            NotSigned: it does not fit.
            KeyError: there is no such handover of this site.
            StoreError
        """
        standing = dict(await self.standing(by.site))
        signature = Signature(by.user, name, time.time(), notes, self.posts(by.site))
        signed = await self._database.finish(self._sign(handover_id, by, signature, standing))
        if signed.status == "complete":
            await self._alert(signed.site, signed.opened_at, found=True)
        return signed

    async def _sign(self, handover_id: str, by: ByWhom, signature: Signature, standing: dict[str, Any]) -> Handover:
        async with self._database.transaction() as connection:
            query = select(table.c.body).where(table.c.handover == handover_id, table.c.site == by.site)
            body = await connection.scalar(query)
            if body is None:
                raise KeyError(handover_id)
            signed = handover_of(body).sign(signature, standing)
            done = signature.at if signed.status == "complete" else None
            await connection.execute(
                table.update().where(table.c.handover == handover_id).values(completed_at=done, body=signed.as_dict())
            )
            entries = await self._told(connection, signed, signed.status, by, signature.at)
        await self._publish(entries)
        return signed

    async def _told(self, connection: Any, one: Handover, change: str, by: ByWhom, at: float) -> list[timeline.Entry]:
        names = {
            "outgoing": one.outgoing.name if one.outgoing else "",
            "incoming": one.incoming.name if one.incoming else "",
        }
        alerts = one.standing.get("alerts", ())
        body: dict[str, object] = {
            "handover": one.handover, "site": one.site, "change": change, **names,
            "notes": [s.notes for s in (one.outgoing, one.incoming) if s is not None and s.notes],
            "alerts": len(alerts), "same_account": one.same_account,
        }  # fmt: skip
        if one.simulated:
            body["simulated"] = True
        await audit.append(
            connection, at=at, actor=f"user:{by.user}", action=f"handover.{change}",
            object=f"handover:{one.handover}", site=one.site, detail={**names, "alerts": len(alerts)},
        )  # fmt: skip
        return await timeline.append(connection, self._tree.rooms_of(one.site), "handover", body, at)

    async def _publish(self, entries: Iterable[timeline.Entry]) -> None:
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())

    # --- what is missing ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Looks whether a handover is missing."""
        while True:
            try:
                await self.look(time.time())
            except StoreError as error:
                log.warning("handovers_not_looked_at", reason=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self, at: float) -> None:
        """Tell of every handover that should be complete by now and is not, once; also over a restart."""
        rota = self._rota.rota
        for site in {plan.site for plan in rota.plans.values() if plan.who == "on_duty"}:
            done = await self._done(site, at - self._grace_s - LOOK_BACK_S - EARLY_S)
            end = missing(rota, site, done, at, self._grace_s)
            if end is not None and self._missing.get(site) != end:
                if not await self._told_missing(site, end):
                    await self._alert(site, end, found=False)
                self._missing[site] = end

    async def _told_missing(self, site: str, end: float) -> bool:
        """Whether there was an alert for this end already, whatever became of it."""
        last = await self._alerts.newest(site, _key(site))
        due_at = (last.explain or {}).get("due_at") if last is not None else None
        return isinstance(due_at, int | float) and due_at >= end

    async def _done(self, site: str, since: float) -> list[float]:
        async with self._database.reading() as connection:
            query = select(table.c.completed_at).where(table.c.site == site, table.c.completed_at >= since)
            return list((await connection.execute(query)).scalars())

    async def _alert(self, site: str, at: float, *, found: bool) -> None:
        change: Change = "cleared" if found else "raised"
        zh, en = (
            ("交接班已完成", "Shift handed over") if found else ("交接班未按时完成", "Shift not handed over in time")
        )
        await self._alerts.apply(
            Finding(
                site, _key(site), "handover_missing", site, change, "alarm",
                time.time() if found else at, zh, en, {"due_at": at, "grace_s": self._grace_s}, self._simulated,
            ),
            at=time.time(),
        )  # fmt: skip

    # --- questions ----------------------------------------------------------------------------------------------------

    async def list(self, site: str, limit: int) -> tuple[Handover, ...]:
        """Newest first."""
        query = select(table.c.body).where(table.c.site == site).order_by(table.c.opened_at.desc()).limit(limit)
        async with self._database.reading() as connection:
            return tuple(handover_of(body) for body in (await connection.execute(query)).scalars())

    def ends(self, site: str, at: float) -> tuple[float | None, float | None]:
        """The last and the next end of a turn with a change of people."""
        ends = due(self._rota.rota, site, at)
        return (None, None) if ends is None else (ends[0] or None, ends[1] or None)

    # --- the duty log -------------------------------------------------------------------------------------------------

    async def write(self, site: str, by: ByWhom, text: str) -> None:
        """Somebody writes into the log of his site."""
        body: dict[str, object] = {"site": site, "from": {"name": by.name, "site": by.site}, "text": text}
        if self._simulated:
            body["simulated"] = True
        await self._database.finish(self._write(site, body, time.time()))

    async def _write(self, site: str, body: dict[str, object], at: float) -> None:
        async with self._database.transaction() as connection:
            entries = await timeline.append(connection, self._tree.rooms_of(site), "note", body, at)
        await self._publish(entries)

    async def search(
        self, site: str, words: str, kinds: frozenset[str], start: float, end: float, before: int | None, limit: int
    ) -> Found:
        """Entries of a site's room, newest first, that hold all the words (in any value) and are of these kinds."""
        wanted = [word.casefold() for word in words.split()]
        room, found, seen = f"site:{site}", list[timeline.Entry](), 0
        last = before
        async with self._database.reading() as connection:
            while seen < SCAN:
                query = select(entry_table).where(entry_table.c.room == room)
                query = query if last is None else query.where(entry_table.c.seq < last)
                rows = (await connection.execute(query.order_by(entry_table.c.seq.desc()).limit(SCAN_PAGE))).all()
                for row in rows:
                    seen, last = seen + 1, row.seq
                    if row.at < start:
                        return Found(tuple(found), None)
                    if row.at < end and (not kinds or row.kind in kinds) and _holds(row.body, wanted):
                        found.append(timeline.Entry(row.room, row.seq, row.at, row.kind, row.body))
                        if len(found) == limit:
                            return Found(tuple(found), last)
                if len(rows) < SCAN_PAGE:
                    return Found(tuple(found), None)
        return Found(tuple(found), last)


def _key(site: str) -> str:
    """Of the alert about a missing handover."""
    return f"{site}/handover_missing/{site}"


def _holds(body: object, words: Iterable[str]) -> bool:
    text = " ".join(_values(body)).casefold()
    return all(word in text for word in words)


def _values(body: object) -> Iterable[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, dict):
        for value in body.values():
            yield from _values(value)
    elif isinstance(body, list | tuple):
        for value in body:
            yield from _values(value)


async def _nothing_stands(site: str) -> Mapping[str, Any]:
    return {}
