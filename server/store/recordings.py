"""Rows of recordings and of their segments, which are files."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import recording_segments as segments
from server.store.tables import recordings


@dataclass(frozen=True, slots=True)
class Begin:
    """A recording that is about to begin."""

    recording: str
    kind_of: str
    """`session` or `routine`."""
    session: str | None
    site: str
    track: str
    client: str
    person: str
    name: str
    kind: str
    codec: str
    held: bool
    simulated: bool
    started_at: float


async def begin(connection: AsyncConnection, new: Begin) -> None:
    """The row, and that of its first segment: before the first byte."""
    await connection.execute(
        insert(recordings).values({
            "recording": new.recording, "class": new.kind_of, "session": new.session, "site": new.site,
            "track": new.track, "client": new.client, "person": new.person, "name": new.name, "kind": new.kind,
            "codec": new.codec, "state": "recording", "reason": "", "held": new.held, "simulated": new.simulated,
            "started_at": new.started_at, "ended_at": None,
        })
    )  # fmt: skip
    await allow(connection, new.recording, 0)


async def allow(connection: AsyncConnection, recording: str, segment: int) -> None:
    await connection.execute(
        insert(segments).values({"recording": recording, "segment": segment, "state": "allowed"})
    )  # fmt: skip


async def segment_begun(connection: AsyncConnection, recording: str, segment: int, started_at: float) -> None:
    await _set(connection, recording, segment, state="recording", started_at=started_at)


async def segment_done(
    connection: AsyncConnection, recording: str, segment: int, state: str, duration_s: float, size: int, sha256: str
) -> None:
    await _set(connection, recording, segment, state=state, duration_s=duration_s, bytes=size, sha256=sha256)


async def _set(connection: AsyncConnection, recording: str, segment: int, **values: object) -> None:
    where = (segments.c.recording == recording, segments.c.segment == segment)
    await connection.execute(update(segments).where(*where).values(values))


async def end(connection: AsyncConnection, recording: str, state: str, reason: str, at: float) -> None:
    """Over. Segments that were allowed and never begun leave no trace."""
    await connection.execute(
        update(recordings).where(recordings.c.recording == recording).values(state=state, reason=reason, ended_at=at)
    )
    unused = (segments.c.recording == recording, segments.c.sha256.is_(None))
    await connection.execute(delete(segments).where(*unused))


async def get(connection: AsyncConnection, recording: str) -> dict[str, Any] | None:
    """With its segments."""
    row = (await connection.execute(select(recordings).where(recordings.c.recording == recording))).one_or_none()
    return None if row is None else (await _with_segments(connection, [dict(row._mapping)]))[0]


async def under_way(connection: AsyncConnection) -> list[dict[str, Any]]:
    """Those that nobody has ended, with their segments."""
    rows = await connection.execute(select(recordings).where(recordings.c.state == "recording"))
    return await _with_segments(connection, [dict(row._mapping) for row in rows])


async def of_session(connection: AsyncConnection, session: str) -> list[dict[str, Any]]:
    """All of a consultation, oldest first."""
    found = select(recordings).where(recordings.c.session == session).order_by(recordings.c.recording)
    return await _with_segments(connection, [dict(row._mapping) for row in await connection.execute(found)])


async def of_sites(
    connection: AsyncConnection,
    sites: Iterable[str],
    before: str | None,
    limit: int,
    start: float | None = None,
    end: float | None = None,
) -> list[dict[str, Any]]:
    """Of sites, newest first; `before` is the id of the last one seen. With times: those that go on between them."""
    query = select(recordings).where(recordings.c.site.in_(list(sites)))
    if before is not None:
        query = query.where(recordings.c.recording < before)
    if start is not None:
        query = query.where(recordings.c.ended_at.is_(None) | (recordings.c.ended_at >= start))
    if end is not None:
        query = query.where(recordings.c.started_at <= end)
    rows = await connection.execute(query.order_by(recordings.c.recording.desc()).limit(limit))
    return await _with_segments(connection, [dict(row._mapping) for row in rows])


async def _with_segments(connection: AsyncConnection, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_recording: dict[str, list[dict[str, Any]]] = {row["recording"]: [] for row in found}
    query = select(segments).where(segments.c.recording.in_(list(by_recording))).order_by(segments.c.segment)
    for row in await connection.execute(query):
        by_recording[row.recording].append(dict(row._mapping))
    return [{**row, "segments": by_recording[row["recording"]]} for row in found]


async def outdated(connection: AsyncConnection, kind_of: str, before: float, limit: int = 100) -> list[dict[str, Any]]:
    """Recordings of a class that ended before then and are not held."""
    query = select(recordings).where(
        recordings.c.state != "recording", recordings.c.held.is_(False), recordings.c.ended_at < before,
        recordings.c["class"] == kind_of,
    )  # fmt: skip
    return await _with_segments(
        connection, [dict(row._mapping) for row in await connection.execute(query.limit(limit))]
    )


async def hold(connection: AsyncConnection, session: str, held: bool) -> None:
    """All recordings of a consultation."""
    await connection.execute(update(recordings).where(recordings.c.session == session).values(held=held))


async def forget(connection: AsyncConnection, recording: str) -> None:
    """Its files are gone."""
    await connection.execute(delete(segments).where(segments.c.recording == recording))
    await connection.execute(delete(recordings).where(recordings.c.recording == recording))
