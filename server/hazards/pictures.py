"""Pictures of hazards: as they were sent, whole, with their hash, in a file before any row names them.

They are sent first and named by the step that needs them. What nobody names within a day goes; so do the pictures of
hazards that ended long ago.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.hazards.machine import Picture, StepRefused
from server.store import audit
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.store.pictureformat import TYPES, ending
from server.store.pictures import hazard_picture
from server.store.tables import hazard_pictures, hazards
from server.store.wholefile import write_whole

log = structlog.get_logger()

FOLDER = "hazards"
MAX_LOOSE = 40
"""Pictures of one person that no step names yet."""
LOOSE_S = 86400.0
AT_ONCE = 200
"""Removed in one pass at most."""


class Pictures:
    """The pictures of this server."""

    def __init__(self, database: Database, data_dir: Path) -> None:
        self._database = database
        self._data_dir = data_dir

    def path(self, picture: Picture) -> Path:
        """Its file."""
        return hazard_picture(self._data_dir, picture.picture, picture.type)

    async def keep(self, raw: bytes, user: str) -> Picture:
        """Store what somebody sent.

        Raises:
            PictureRefused: it is no picture.
            StepRefused: too many that no step names.
            StoreError
        """
        kind = TYPES[await asyncio.to_thread(ending, raw)]
        at = time.time()
        made = Picture(new_id(at), hashlib.sha256(raw).hexdigest(), len(raw), kind)
        await self._room_for(user)
        try:
            await asyncio.to_thread(write_whole, self.path(made), raw, self._data_dir)
        except OSError as error:
            raise StoreError(f"The picture was not written: {error.strerror}.") from error
        async with self._database.transaction() as connection:
            await connection.execute(
                insert(hazard_pictures).values(
                    picture=made.picture, hazard=None, by=user, at=at, sha256=made.sha256, bytes=made.bytes, type=kind
                )
            )
        return made

    async def _room_for(self, user: str) -> None:
        loose = select(func.count()).where(hazard_pictures.c.hazard.is_(None), hazard_pictures.c.by == user)
        async with self._database.reading() as connection:
            if (await connection.scalar(loose) or 0) >= MAX_LOOSE:
                raise StepRefused(f"{MAX_LOOSE} pictures wait to be used; use them first.")

    async def read(self, hazard: str, picture: str) -> tuple[bytes, str] | None:
        """Bytes and type of a picture of this hazard; None: there is none."""
        query = select(hazard_pictures).where(hazard_pictures.c.picture == picture, hazard_pictures.c.hazard == hazard)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return None
        try:
            raw = await asyncio.to_thread(self.path(Picture(picture, row.sha256, row.bytes, row.type)).read_bytes)
        except OSError:
            return None
        return raw, row.type

    async def forget(self, at: float, closed_before: float) -> int:
        """Remove what nobody named in a day, and pictures of hazards closed before `closed_before`. Returns how many.

        The file goes first, so that no file stays that no row names; what a crash left behind goes as well.

        Raises:
            StoreError
        """
        old = (hazards.c.closed_at < closed_before) | (
            hazard_pictures.c.hazard.is_(None) & (hazard_pictures.c.at < at - LOOSE_S)
        )
        query = (
            select(hazard_pictures)
            .join(hazards, hazards.c.hazard == hazard_pictures.c.hazard, isouter=True)
            .where(old)
            .limit(AT_ONCE)
        )
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).all()
        for row in rows:
            path = self.path(Picture(row.picture, row.sha256, row.bytes, row.type))
            try:
                await asyncio.to_thread(path.unlink, missing_ok=True)
            except OSError as error:
                log.warning("picture_not_removed", picture=row.picture, reason=error.strerror)
                continue
            async with self._database.transaction() as connection:
                await connection.execute(delete(hazard_pictures).where(hazard_pictures.c.picture == row.picture))
                await audit.append(
                    connection, at=at, actor="server", action="picture.forget", object=f"hazard:{row.hazard}",
                    site="", detail={"sha256": row.sha256},
                )  # fmt: skip
        return len(rows) + await self._sweep(at)

    async def _sweep(self, at: float) -> int:
        """Files that no row names: the server stopped between the file and the row."""
        found = await asyncio.to_thread(_old_files, self._data_dir / FOLDER, at - LOOSE_S)
        gone = 0
        for first in range(0, len(found), AT_ONCE):
            part = found[first : first + AT_ONCE]
            names = [path.stem for path in part]
            async with self._database.reading() as connection:
                query = select(hazard_pictures.c.picture).where(hazard_pictures.c.picture.in_(names))
                known = set((await connection.execute(query)).scalars())
            for path in part:
                if path.stem not in known:
                    await asyncio.to_thread(path.unlink, missing_ok=True)
                    gone += 1
        return gone


def _old_files(folder: Path, before: float) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in folder.iterdir() if path.is_file() and path.stat().st_mtime < before]


async def take(connection: AsyncConnection, hazard: str, names: Sequence[str], user: str) -> tuple[Picture, ...]:
    """Pictures that this person sent and nothing names yet, now of this hazard.

    Raises:
        StepRefused: one of them is not there, is somebody else's or used.
    """
    if not names:
        return ()
    query = select(hazard_pictures).where(
        hazard_pictures.c.picture.in_(names), hazard_pictures.c.by == user, hazard_pictures.c.hazard.is_(None)
    )
    rows = {row.picture: row for row in await connection.execute(query)}
    if missing := [name for name in names if name not in rows]:
        raise StepRefused(f"{len(missing)} of the pictures are not there.")
    await connection.execute(update(hazard_pictures).where(hazard_pictures.c.picture.in_(names)).values(hazard=hazard))
    return _in_order(rows[name] for name in dict.fromkeys(names))


def _in_order(rows: Iterable[object]) -> tuple[Picture, ...]:
    return tuple(Picture(row.picture, row.sha256, row.bytes, row.type) for row in rows)  # type: ignore[attr-defined]
