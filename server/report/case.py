"""The case folder: everything of a consultation as one ZIP file, put together while it is sent.

Files are stored, not compressed (pictures and sound are already), in ZIP64, each hashed as it passes. The last file,
`manifest.json`, names size and SHA-256 of every other one; `manifest.sha256` is the same for `sha256sum -c`. Memory is
bounded by one piece of a file, whatever the size of the folder.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import time
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from media.record.files import open_segment
from server.report.tables import BOM, as_csv, iso

PIECE_BYTES = 1 << 18
MANIFEST = "manifest.json"
SUMS = "manifest.sha256"

Chunks = AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the folder."""

    path: str
    at: float
    chunks: Callable[[], Chunks]
    expected: str = ""
    """SHA-256 that was written down when the file was made; another one is told in the manifest."""


class _Sink:
    """What the ZIP writer writes into; it is taken out after each piece. It cannot seek, so sizes follow the files."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def write(self, data: bytes) -> int:
        self._kept += data
        return len(data)

    def seekable(self) -> bool:
        return False

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        taken = bytes(self._kept)
        self._kept.clear()
        return taken


async def folder(items: AsyncIterator[Item], facts: dict[str, Any]) -> Chunks:
    """The ZIP file in pieces. `facts` go into the manifest."""
    sink = _Sink()
    listed: list[dict[str, Any]] = []
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        async for item in items:
            digest, size = hashlib.sha256(), 0
            with archive.open(_info(item.path, item.at), "w", force_zip64=True) as file:
                async with contextlib.aclosing(item.chunks()) as chunks:
                    async for chunk in chunks:
                        digest.update(chunk)
                        size += len(chunk)
                        file.write(chunk)
                        if piece := sink.take():
                            yield piece
            one: dict[str, Any] = {"path": item.path, "bytes": size, "sha256": digest.hexdigest()}
            if item.expected:
                one["as_recorded"] = item.expected == one["sha256"]
            listed.append(one)
        whole = {**facts, "made_at": time.time(), "files": listed}
        archive.writestr(_info(MANIFEST, time.time()), json.dumps(whole, ensure_ascii=False, indent=1))
        sums = "".join(f"{one['sha256']}  {one['path']}\n" for one in listed)
        archive.writestr(_info(SUMS, time.time()), sums)
    yield sink.take()


def _info(path: str, at: float) -> zipfile.ZipInfo:
    """Times in a ZIP have no zone; these are UTC."""
    moment = time.gmtime(max(at, 315_532_800))  # ZIP begins in 1980
    info = zipfile.ZipInfo(path, moment[:6])
    info.external_attr = 0o600 << 16
    return info


async def text(value: str | bytes) -> Chunks:
    """A file from memory."""
    yield value.encode() if isinstance(value, str) else value


async def segment(recordings: Path, recording: str, number: int) -> Chunks:
    """A finished segment; nothing when its file is gone (the manifest then says that it is not as recorded)."""
    try:
        descriptor = await asyncio.to_thread(open_segment, recordings, recording, number)
    except OSError:
        return
    try:
        while data := await asyncio.to_thread(os.read, descriptor, PIECE_BYTES):
            yield data
    finally:
        os.close(descriptor)


async def picture(path: Path) -> Chunks:
    """An evidence picture, which is small."""
    try:
        yield await asyncio.to_thread(path.read_bytes)
    except OSError:
        return


async def table(head: Iterable[str], pages: AsyncIterator[list[list[object]]]) -> Chunks:
    """A CSV table that is read page by page."""
    yield (BOM + as_csv([list(head)])).encode()
    async for page in pages:
        yield as_csv(page).encode()


def entry_row(entry: Any) -> list[object]:
    """An entry of a timeline as cells."""
    return [entry.seq, iso(entry.at), entry.kind, json.dumps(entry.body, ensure_ascii=False, sort_keys=True)]


def reading_row(one: Any) -> list[object]:
    return [iso(one.source_at), iso(one.received_at), one.value, one.unit, one.quality, one.seq]
