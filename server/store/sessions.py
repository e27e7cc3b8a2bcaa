"""Rows of consultations. The state is plain data made by `server.sessions.machine`; nothing here looks deep into it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import sessions
from server.store.upsert import insert_into


async def save(
    connection: AsyncConnection,
    session: str,
    state: Mapping[str, Any],
    *,
    open: bool,
    site: str,
    started_at: float,
    ended_at: float | None,
) -> None:
    """Write a session, new or known, within the caller's transaction."""
    values = {
        "session": session,
        "state": dict(state),
        "open": open,
        "site": site,
        "started_at": started_at,
        "ended_at": ended_at,
        "released_at": released(state),
        "alerts": alerts_of(state),
    }
    upsert = insert_into(connection, sessions).values(values)
    await connection.execute(upsert.on_conflict_do_update(index_elements=[sessions.c.session], set_=values))


def released(state: Mapping[str, Any]) -> float | None:
    """From when on nothing of a consultation is held: its end, or the release after it. None: it is open or held."""
    if state.get("ended_at") is None or state.get("held", True):
        return None
    return max(float(state["ended_at"]), float(state.get("released_at") or 0.0))


def alerts_of(state: Mapping[str, Any]) -> list[str]:
    """The alerts that it names."""
    return sorted({*(state.get("alerts") or {}), *([state["alert"]] if state.get("alert") else [])})


async def get(connection: AsyncConnection, session: str) -> dict[str, Any] | None:
    """The state of a session, open or ended."""
    state = await connection.scalar(select(sessions.c.state).where(sessions.c.session == session))
    return None if state is None else dict(state)


async def open_sessions(connection: AsyncConnection) -> list[dict[str, Any]]:
    """The states of all that are open, oldest first."""
    result = await connection.execute(
        select(sessions.c.state).where(sessions.c.open).order_by(sessions.c.started_at, sessions.c.session)
    )
    return [dict(state) for state in result.scalars()]


async def open_concerning(connection: AsyncConnection, site: str) -> list[dict[str, Any]]:
    """The open ones that are about this site, were called by it, or to which it was called."""
    return [
        state
        for state in await open_sessions(connection)
        if site in (state.get("site"), state.get("started_by_site")) or site in (state.get("invitations") or {})
    ]


async def about(
    connection: AsyncConnection, site: str, *, before: float | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Sessions about a site, open or ended, newest first; `before` is the `started_at` of the last one seen."""
    query = select(sessions.c.state).where(sessions.c.site == site)
    if before is not None:
        query = query.where(sessions.c.started_at < before)
    result = await connection.execute(query.order_by(sessions.c.started_at.desc()).limit(limit))
    return [dict(state) for state in result.scalars()]
