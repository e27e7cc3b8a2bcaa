"""Reads what the report of a consultation is made of; bounded, and from one consistent view where it matters."""

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.alerts import rows as alert_rows
from server.report.after import Facts
from server.sessions.machine import State
from server.store import guests, timeline
from server.store import recordings as recording_rows
from server.store.database import Database
from server.store.tables import entries, muster_members, musters

MAX_ENTRIES = 20_000
"""Of the consultation's room; more than this many is a machine that chatters. The case folder has them all."""
BEFORE_S = 3600.0
"""Before the incident began, alerts and links of the site are looked at from here."""
MAX_INCIDENTS = 2000


async def gather(database: Database, state: State, clocks_s: tuple[float, ...]) -> Facts:
    """Everything that was written down about a consultation.

    Raises:
        StoreError: the database is away.
    """
    at = time.time()
    async with database.reading() as connection:
        room = await timeline.since(connection, state.room, 0, MAX_ENTRIES)
        last = await timeline.last_seq(connection, state.room)
        alert = await alert_rows.get(connection, state.alert) if state.alert else None
        recordings = await recording_rows.of_session(connection, state.session)
        known_guests = await guests.of_session(connection, state.session)
        began = min(state.started_at, alert.opened_at if alert else state.started_at)
        before = await _incidents(connection, f"site:{state.site}", began - BEFORE_S, state.started_at)
        found = await _musters(connection, state, began, at)
    shown = max((one.seq for one in room), default=0)
    return Facts(
        session=state.as_dict(),
        entries=[{"seq": one.seq, "at": one.at, "kind": one.kind, "body": one.body} for one in room],
        at=at,
        alert=alert.as_dict() if alert is not None else None,
        recordings=recordings,
        guests=[
            {"name": one.name, "speaks": one.speaks, "made_at": one.made_at, "used_at": one.used_at,
             "revoked_at": one.revoked_at}
            for one in known_guests
        ],
        musters=found,
        clocks_s=clocks_s,
        entries_removed=min(last, shown) - len(room) if room else last,
        incidents=before,
    )  # fmt: skip


async def _incidents(connection: AsyncConnection, room: str, start: float, end: float) -> list[Mapping[str, Any]]:
    """Alerts and links of the site shortly before the call."""
    query = (
        select(entries)
        .where(entries.c.room == room, entries.c.at >= start, entries.c.at < end)
        .where(entries.c.kind.in_(("alert", "link")))
        .order_by(entries.c.seq)
        .limit(MAX_INCIDENTS)
    )
    return [
        {"seq": one.seq, "at": one.at, "kind": one.kind, "body": one.body} for one in await connection.execute(query)
    ]


async def _musters(connection: AsyncConnection, state: State, began: float, at: float) -> list[dict[str, Any]]:
    """Musters of the site that went on meanwhile."""
    until = state.ended_at or at
    query = select(musters).where(musters.c.site == state.site, musters.c.started_at <= until)
    found = []
    for row in (await connection.execute(query)).all():
        if row.ended_at is not None and row.ended_at < began:
            continue
        people = [
            data
            for (data,) in await connection.execute(
                select(muster_members.c.data).where(muster_members.c.muster == row.muster)
            )
        ]
        out = [one for one in people if one["state"] == "out"]
        found.append({
            "muster": row.muster, "started_at": row.started_at, "ended_at": row.ended_at, "total": len(people),
            "out": len(out), "last_out_at": max((one["out_at"] or one["since"] for one in out), default=None),
        })  # fmt: skip
    return found
