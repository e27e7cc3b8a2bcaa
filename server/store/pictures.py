"""Evidence pictures as files: whole or not there at all, and on disk before any row names them."""

import errno
import hashlib
import re
from pathlib import Path

from server.store.errors import StoreError, StoreFull
from server.store.pictureformat import ENDINGS
from server.store.wholefile import write_whole

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
ENDING = ".jpg"


def _plain(word: str) -> str:
    """A word that can be no path."""
    if not NAME.fullmatch(word):
        raise StoreError(f"{word!r} cannot be part of a file name.")
    return word


def picture_path(alert: str, name: str) -> str:
    """Where a picture is, below the data folder."""
    return f"evidence/{_plain(alert)}/{_plain(name)}{ENDING}"


def store_picture(directory: Path, alert: str, name: str, jpeg: bytes) -> tuple[str, str]:
    """Write a picture below `directory` (the data folder) under a temporary name, flush it to disk, rename it.

    Returns its path below `directory` and its SHA-256. Blocks: call it in a thread. Writing the same name again
    replaces the file whole.

    Raises:
        StoreFull: the disk is full.
        StoreError: the name is not a plain word, or the file cannot be written.
    """
    relative = picture_path(alert, name)
    try:
        write_whole(directory / relative, jpeg, directory)
    except OSError as error:
        kind = StoreFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(f"The picture {relative} was not written: {error.strerror}.") from error
    return relative, hashlib.sha256(jpeg).hexdigest()


def open_picture(directory: Path, alert: str, name: str) -> Path:
    """The file of a stored picture; made of checked words only, never of a path that came in.

    Raises:
        StoreError: the words cannot be names of ours.
    """
    return directory / picture_path(alert, name)


def hazard_picture(directory: Path, picture: str, kind: str) -> Path:
    """The file of a picture of a hazard; `kind` is its media type.

    Raises:
        StoreError: the words cannot be names of ours.
    """
    return directory / "hazards" / f"{_plain(picture)}.{ENDINGS[kind]}"
