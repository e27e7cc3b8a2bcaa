"""Removes what is older than it is kept, a bounded piece at a time, and never what is held or still open.

| what | kept for | not while |
|---|---|---|
| log-ins and links that have ended | `login_days` | |
| pictures of alerts that are over | `picture_days` | a held or open consultation names the alert |
| recordings, timeline and guests of a consultation | `released_days` from its end and its release on | held, or open |
| timelines of sites | `timeline_days` | within a held or open consultation there or below, or an alert that stands |
| the audit, oldest first | `audit_days` | younger than the oldest held or open consultation |

Timelines and audit are chains: what goes leaves a span that keeps them provable (`server.store.chain`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy import and_, delete, exists, func, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from config.settings import RetentionSettings
from server.store import audit, chain
from server.store import identity as people
from server.store.database import Database
from server.store.errors import StoreError
from server.store.pictures import open_picture
from server.store.sites import SiteTree
from server.store.tables import alert_evidence, alerts, entries, guests, recordings, sessions
from server.store.tables import audit as audit_rows

log = structlog.get_logger()

DAY_S = 86400.0
BEFORE_INCIDENT_S = 3600.0
"""A held consultation keeps what the site's timeline says of so long before it."""
PAUSE_S = 0.05
"""Between two pieces, so that others can write."""
STANDING = ("open", "acknowledged")


@dataclass(frozen=True, slots=True)
class Kept:
    """Something held or open: nothing of its site (or those above it) from `start` to `end` is removed."""

    site: str
    start: float
    end: float
    session: str = ""
    alerts: frozenset[str] = frozenset()


class Retention:
    """One pass at a time; `Recordings.forget` and `TelemetryIngest.forget` do theirs."""

    def __init__(
        self,
        settings: RetentionSettings,
        database: Database,
        tree: SiteTree,
        data_dir: Path,
        forget_recordings: Callable[[str, float], Awaitable[int]],
    ) -> None:
        """`forget_recordings`: of a consultation, `Recordings.forget_session`."""
        self._settings = settings
        self._database = database
        self._tree = tree
        self._data_dir = data_dir
        self._forget_recordings = forget_recordings

    async def run_once(self, at: float) -> dict[str, int]:
        """Remove what is due. Returns how many rows of each kind went.

        Raises:
            StoreError: the database is away; what went is gone, the rest goes next time.
        """
        kept = await self.kept(at)
        return {
            "logins": await self._logins(at),
            "pictures": await self._pictures(at, kept),
            "sessions": await self._sessions(at),
            "entries": await self._entries(at, kept),
            "audit": await self._audit(at, kept),
        }

    async def kept(self, at: float) -> list[Kept]:
        """Consultations that are held, open or released only lately, and alerts that stand."""
        found = []
        due = and_(sessions.c.open.is_(False), sessions.c.released_at < at - self._settings.released_days * DAY_S)
        query = select(
            sessions.c.session, sessions.c.site, sessions.c.started_at, sessions.c.ended_at, sessions.c.alerts,
        ).where(or_(sessions.c.released_at.is_(None), not_(due)))  # fmt: skip
        async with self._database.reading() as connection:
            for row in (await connection.execute(query)).all():
                named, start = frozenset(row.alerts), row.started_at - BEFORE_INCIDENT_S
                if named:
                    first = select(func.min(alerts.c.opened_at)).where(alerts.c.alert.in_(named))
                    opened = await connection.scalar(first)
                    start = min(start, float(opened) - BEFORE_INCIDENT_S) if opened is not None else start
                found.append(Kept(row.site, start, row.ended_at or at, row.session, named))
            standing = select(alerts.c.site, alerts.c.opened_at, alerts.c.alert).where(alerts.c.state.in_(STANDING))
            for one in await connection.execute(standing):
                found.append(Kept(one.site, one.opened_at - BEFORE_INCIDENT_S, at, alerts=frozenset({one.alert})))
        return found

    # --- log-ins, pictures ---

    async def _logins(self, at: float) -> int:
        async with self._database.transaction() as connection:
            return await people.forget_ended(connection, at - self._settings.login_days * DAY_S)

    async def _pictures(self, at: float, kept: Sequence[Kept]) -> int:
        """The row goes only when the file is gone, so that a row never points at nothing."""
        held = frozenset().union(*(one.alerts for one in kept))
        before = at - self._settings.picture_days * DAY_S
        query = (
            select(alert_evidence.c.alert, alert_evidence.c.name, alerts.c.site)
            .join(alerts, alerts.c.alert == alert_evidence.c.alert)
            .where(alert_evidence.c.at < before, alerts.c.state.not_in(STANDING))
            .order_by(alert_evidence.c.at)
        )
        async with self._database.reading() as connection:
            old = [row for row in await connection.execute(query) if row.alert not in held]
        old = old[: self._settings.rows_per_pass]
        for row in old:
            path = open_picture(self._data_dir, row.alert, row.name)
            try:
                await asyncio.to_thread(path.unlink, missing_ok=True)
            except OSError as error:
                log.warning("picture_not_removed", alert=row.alert, reason=error.strerror)
                continue
            async with self._database.transaction() as connection:
                where = (alert_evidence.c.alert == row.alert, alert_evidence.c.name == row.name)
                await connection.execute(delete(alert_evidence).where(*where))
                await audit.append(
                    connection, at=at, actor="server", action="picture.forget", object=f"{row.alert}/{row.name}",
                    site=row.site,
                )  # fmt: skip
        return len(old)

    # --- timelines ---

    async def _sessions(self, at: float) -> int:
        """Recordings, guests and the whole timeline of consultations that ended, and were released, long ago; once."""
        before = at - self._settings.released_days * DAY_S
        query = select(sessions.c.session).where(
            sessions.c.open.is_(False),
            sessions.c.released_at < before,
            or_(
                exists().where(entries.c.room == "session:" + sessions.c.session),
                exists().where(guests.c.session == sessions.c.session),
                exists().where(
                    recordings.c.session == sessions.c.session,
                    recordings.c.held.is_(False),
                    recordings.c.state != "recording",
                ),
            ),
        )
        async with self._database.reading() as connection:
            due = (await connection.execute(query)).scalars().all()
        gone = 0
        for session in due:
            gone += await self._forget_recordings(session, at)
            async with self._database.transaction() as connection:
                await connection.execute(delete(guests).where(guests.c.session == session))
            gone += await self._prune(f"session:{session}", at, before=at, kept=())
            await asyncio.sleep(PAUSE_S)
        return gone

    async def _entries(self, at: float, kept: Sequence[Kept]) -> int:
        before = at - self._settings.timeline_days * DAY_S
        gone = 0
        for site in list(self._tree):
            below = {site, *self._tree.descendants(site)}
            concerned = [one for one in kept if one.site in below]
            gone += await self._prune(f"site:{site}", at, before, concerned)
        return gone

    async def _prune(self, room: str, at: float, before: float, kept: Sequence[Kept]) -> int:
        """Entries of a room that are older than `before` and within nobody's time."""
        gone, after = 0, 0
        while True:
            async with self._database.reading() as connection:
                first, last, after = await self._next_run(connection, room, after, before, kept)
            if first == 0:
                return gone
            async with self._database.transaction() as connection:
                gone += await chain.prune_room(connection, room, first, last, at)
            await asyncio.sleep(PAUSE_S)

    async def _next_run(
        self, connection: AsyncConnection, room: str, after: int, before: float, kept: Sequence[Kept]
    ) -> tuple[int, int, int]:
        """The next run of numbers to be removed, at most a piece long, and where to look on; `(0, 0, ...)`: none."""
        limit = self._settings.rows_per_pass
        while True:
            query = select(entries.c.seq, entries.c.at).where(
                entries.c.room == room, entries.c.seq > after, entries.c.at < before
            )
            page = (await connection.execute(query.order_by(entries.c.seq).limit(limit))).all()
            first = last = 0
            for row in page:
                free = not any(one.start <= row.at <= one.end for one in kept)
                if first and (not free or row.seq != last + 1):
                    return first, last, last
                if free:
                    first, last = first or row.seq, row.seq
            if first or len(page) < limit:
                return first, last, last or after
            after = page[-1].seq

    # --- audit ---

    async def _audit(self, at: float, kept: Sequence[Kept]) -> int:
        before = min([at - self._settings.audit_days * DAY_S, *(one.start for one in kept)])
        gone = 0
        while True:
            async with self._database.transaction() as connection:
                oldest = (await connection.scalar(select(func.min(audit_rows.c.seq)))) or 0
                until = await connection.scalar(
                    select(func.min(audit_rows.c.seq)).where(audit_rows.c.at >= before)
                )  # fmt: skip
                last = min((until or oldest) - 1, oldest + self._settings.rows_per_pass - 1)
                removed = await chain.prune_audit(connection, last, at) if last >= oldest > 0 else 0
            gone += removed
            if removed < self._settings.rows_per_pass:
                return gone
            await asyncio.sleep(PAUSE_S)


async def forget_quietly(retention: Retention, at: float) -> None:
    """One pass; a database that is away is asked again next time."""
    try:
        gone = await retention.run_once(at)
    except StoreError as error:
        log.warning("retention_waits", reason=str(error))
        return
    if any(gone.values()):
        log.info("removed_by_retention", **gone)
