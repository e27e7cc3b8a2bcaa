"""Telemetry from files that mines drop into an inbox folder.

    inbox/<mine code>/NAME.txt       or one folder deeper, inbox/<system>/<mine code>/NAME.txt
    inbox/done/<mine code>/          taken (DONE, PARTIAL, STALE, DUPLICATE, UNKNOWN)
    inbox/error/                     FAILED, and links, which are never followed

A file's samples are a batch. Only when they are stored is the file written down in the ledger and moved; killed in
between, it is read once more and its samples are dropped as repeats. Hidden files are left where they are.
"""

import asyncio
import hashlib
import logging
import os
import stat
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

from analytics.plugin import Batch
from analytics.telemetry.acceptance import Found, Judged, Known, Register, judge
from analytics.telemetry.minefile import MineFile
from config.settings import FilesSettings

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 32 * 1024 * 1024
BATCH_SAMPLES = 1000
"""Written in one transaction; a larger file is several batches, and settled after the last."""
MAX_FILES_A_SCAN = 1000
"""The rest is found by the next scan."""
DONE, ERROR = "done", "error"


class Ledger(Protocol):
    """What became of files; durable."""

    async def known(self, name: str, sha256: str, mine: str, type: str) -> Known: ...

    async def add(self, name: str, sha256: str, judged: Judged) -> None: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A path in the inbox."""

    path: Path
    folder: str
    link: bool
    size: int
    changed_at: float


class FileSource:
    """A telemetry source (`analytics.plugin.TelemetrySource`) over an inbox folder.

    Args:
        on_file: told of each file after it was written down and moved.
        on_base: awaited before that, with a file of the mine with this code that says what there is; may come twice.
        wall: seconds since the Unix epoch.
    """

    name: ClassVar[str] = "files"

    def __init__(
        self,
        settings: FilesSettings,
        ledger: Ledger,
        *,
        on_file: Callable[[str, Judged], None] = lambda name, judged: None,
        on_base: Callable[[str, MineFile], Awaitable[None]] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._on_file = on_file
        self._on_base = on_base
        self._wall = wall
        self._sites = {one.mine: one.site for one in settings.mines}
        self._devices = {one.name: one.device for one in settings.machines}
        self._register: dict[str, Register] = defaultdict(Register)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield batches until closed. Ends at once when no inbox is configured.

        Raises:
            OSError: the inbox cannot be read or files cannot be moved.
        """
        inbox = self._settings.inbox
        if inbox is None:
            return
        await asyncio.to_thread(_prepare, inbox)
        while True:
            for candidate in await asyncio.to_thread(_scan, inbox):
                for batch in await self._batches(inbox, candidate):
                    yield batch
            await asyncio.sleep(self._settings.scan_interval_s)

    async def _batches(self, inbox: Path, candidate: Candidate) -> list[Batch]:
        name = _shown(candidate.path)
        if candidate.link or candidate.size > MAX_FILE_BYTES:
            judged = Judged("FAILED", "symbolic_link" if candidate.link else "too_large")
            await self._settle(inbox, candidate, "", judged)
            return []
        try:
            raw = await asyncio.to_thread(_content, candidate.path)
        except OSError as error:  # gone, or not ours to read; the others are not kept waiting
            log.warning("File %s cannot be read: %s", name[:80], error.strerror)
            return []
        sha256 = hashlib.sha256(raw).hexdigest()
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            await self._settle(inbox, candidate, sha256, Judged("FAILED", "not_utf8"))
            return []
        parts = name.split("_")
        known = await self._ledger.known(name, sha256, parts[0], parts[1] if len(parts) > 1 else "")
        if known.duplicate and not (inbox / DONE / candidate.folder / name).exists():
            await asyncio.to_thread(
                _move, candidate.path, inbox / DONE / candidate.folder
            )  # written down, not yet moved
            return []
        found = Found(name, candidate.folder, text, sha256, self._wall() - candidate.changed_at)
        judged = await asyncio.to_thread(  # a large file takes seconds
            judge,
            found,
            known,
            sites=self._sites,
            register=self._register,
            devices=self._devices,
            now=self._wall(),
            incomplete_s=self._settings.incomplete_after_s,
        )
        if judged.status == "WAIT":
            return []
        if not judged.readings and not judged.positions:
            await self._settle(inbox, candidate, sha256, judged)
            return []

        async def stored() -> None:
            await self._settle(inbox, candidate, sha256, judged)

        return _pieces(judged, stored)

    async def _settle(self, inbox: Path, candidate: Candidate, sha256: str, judged: Judged) -> None:
        """Write it down, move it away, tell it."""
        name = _shown(candidate.path)
        if judged.base is not None and self._on_base is not None:
            await self._on_base(judged.mine, judged.base)
        await self._ledger.add(name, sha256, judged)
        folder = inbox / ERROR if judged.status == "FAILED" else inbox / DONE / candidate.folder
        await asyncio.to_thread(_move, candidate.path, folder)
        if judged.status in ("FAILED", "PARTIAL") or judged.warnings:
            log.warning(
                "File %s is %s (%s): %d bad records, %d warnings.",
                name[:80], judged.status, judged.reason or "-", len(judged.bad), len(judged.warnings),
            )  # fmt: skip
        self._on_file(name, judged)


async def _not_yet() -> None:
    """A piece that is not the last is stored."""


def _pieces(judged: Judged, stored: Callable[[], Awaitable[None]]) -> list[Batch]:
    longest = max(len(judged.readings), len(judged.positions))
    starts = range(0, longest, BATCH_SAMPLES)
    cuts = [slice(start, start + BATCH_SAMPLES) for start in starts]
    whole = [Batch(judged.readings[cut], judged.positions[cut], _not_yet) for cut in cuts]
    whole[-1] = replace(whole[-1], stored=stored, rejected=len(judged.bad))
    return whole


def _shown(path: Path) -> str:
    """Its name as text that can be stored, whatever its bytes are."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def _prepare(inbox: Path) -> None:
    for folder in (inbox, inbox / DONE, inbox / ERROR):
        folder.mkdir(parents=True, exist_ok=True)


def _scan(inbox: Path) -> list[Candidate]:
    """Files in the order of the times in their names. A folder that is a link is one to be moved, not entered."""
    found: list[Candidate] = []
    todo = [(inbox, 0)]
    while todo:
        folder, depth = todo.pop()
        for entry in os.scandir(folder):
            if entry.name.startswith(".") or (depth == 0 and entry.name in (DONE, ERROR)):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < 2:
                    todo.append((Path(entry.path), depth + 1))
                continue
            status = entry.stat(follow_symlinks=False)
            link = stat.S_ISLNK(status.st_mode)
            if link or stat.S_ISREG(status.st_mode):
                mine = folder.name if depth and folder.name.isdigit() and len(folder.name) == 12 else ""
                found.append(Candidate(Path(entry.path), mine, link, status.st_size, status.st_mtime))
    found.sort(key=lambda one: (one.path.name.rsplit("_", 1)[-1], str(one.path)))
    return found[:MAX_FILES_A_SCAN]


def _content(path: Path) -> bytes:
    """Its bytes; a link that took the file's place is an error (`O_NOFOLLOW`)."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _move(path: Path, folder: Path) -> None:
    """Into a folder, beside what lies there under the same name. A link is moved itself."""
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / path.name, 1
    while os.path.lexists(target):
        target, number = folder / f"{path.name}.{number}", number + 1
    path.rename(target)
