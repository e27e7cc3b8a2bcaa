"""Whether recordings and pictures are still the files whose hashes were written down.

A recording's hash stands in its row, and for a consultation on its timeline as well; a picture's stands in its row, and
on the timelines with its alert. The rows can be changed by whoever may write the database; the timelines are chained.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from media.record.files import open_segment
from server.store.chain import MAX_FAULTS, Fault
from server.store.database import Database
from server.store.errors import StoreError
from server.store.pictures import hazard_picture, open_picture
from server.store.tables import alert_evidence, entries, hazard_pictures, recording_segments, recordings

PIECE_BYTES = 1 << 20


async def verify(database: Database, folder: Path, data_dir: Path) -> tuple[int, list[Fault]]:
    """Reads every file once, a piece at a time. Returns how many, and what does not fit (at most `MAX_FAULTS`).

    What retention removes meanwhile is no fault: a file that is gone is looked up again.
    """
    looked_at, faults = 0, []
    async with database.reading() as connection:
        found = await connection.execute(
            select(recordings.c.recording, recordings.c.session)
            .where(recordings.c.state != "recording")
            .order_by(recordings.c.recording)
        )
        rows = found.all()
        pictures = (await connection.execute(select(alert_evidence).order_by(alert_evidence.c.alert))).all()
    for row in rows:
        async with database.reading() as connection:
            written = await _on_the_timeline(connection, row.session, row.recording)
            query = select(recording_segments).where(recording_segments.c.recording == row.recording)
            parts = (await connection.execute(query.order_by(recording_segments.c.segment))).all()
        for part in parts:
            if part.sha256 is None:
                continue
            looked_at += 1
            reason = await asyncio.to_thread(
                _recording, folder, row.recording, part.segment, part.sha256, written.get(part.segment)
            )  # fmt: skip
            if reason and await _is_still_kept(database, row.recording):
                faults.append(Fault(f"recording {row.recording}", part.segment, reason))
    of_hazards, found_there = await _hazards(database, data_dir)
    looked_at, faults = looked_at + of_hazards, faults + found_there
    for number, row in enumerate(pictures, start=1):
        looked_at += 1
        reason = await asyncio.to_thread(_file, partial(open_picture, data_dir, row.alert, row.name), row.sha256)
        if reason and await _is_still_there(database, row.alert, row.name):
            faults.append(Fault(f"picture {row.alert}/{row.name}", number, reason))
    return looked_at, faults[:MAX_FAULTS]


async def _hazards(database: Database, data_dir: Path) -> tuple[int, list[Fault]]:
    query = select(hazard_pictures).where(hazard_pictures.c.hazard.is_not(None)).order_by(hazard_pictures.c.picture)
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    faults = []
    for number, row in enumerate(rows, start=1):
        path = partial(hazard_picture, data_dir, row.picture, row.type)
        reason = await asyncio.to_thread(_file, path, row.sha256)
        if not reason:
            continue
        async with database.reading() as connection:
            still = select(hazard_pictures.c.picture).where(hazard_pictures.c.picture == row.picture)
            if await connection.scalar(still) is not None:
                faults.append(Fault(f"picture of hazard {row.hazard}", number, reason))
    return len(rows), faults


async def _is_still_kept(database: Database, recording: str) -> bool:
    async with database.reading() as connection:
        query = select(recordings.c.recording).where(recordings.c.recording == recording)
        return await connection.scalar(query) is not None


async def _is_still_there(database: Database, alert: str, name: str) -> bool:
    where = (alert_evidence.c.alert == alert, alert_evidence.c.name == name)
    async with database.reading() as connection:
        return await connection.scalar(select(alert_evidence.c.name).where(*where)) is not None


async def _on_the_timeline(connection: AsyncConnection, session: str | None, recording: str) -> dict[int, str]:
    """Hashes of the segments of a recording that its consultation's timeline names."""
    if session is None:
        return {}
    query = select(entries.c.body).where(entries.c.room == f"session:{session}", entries.c.kind == "recording")
    bodies = [body for (body,) in await connection.execute(query)]
    return {int(body["segment"]): str(body["sha256"]) for body in bodies if body["recording"] == recording}


def _recording(folder: Path, recording: str, segment: int, sha256: str, written: str | None) -> str:
    if written is not None and written != sha256:
        return f"The row of file {segment} names another hash than the timeline."
    try:
        descriptor = open_segment(folder, recording, segment)
    except OSError:
        return f"File {segment} is gone."
    with os.fdopen(descriptor, "rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return "" if digest.hexdigest() == sha256 else f"File {segment} was changed after it was written."


def _file(path: Callable[[], Path], sha256: str) -> str:
    try:
        data = path().read_bytes()
    except (OSError, StoreError):
        return "The picture is gone."
    return "" if hashlib.sha256(data).hexdigest() == sha256 else "The picture was changed after it was written."
