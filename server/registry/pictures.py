"""Pictures of plans as files named by their content: whole or not there at all. Blocks: call it in a thread."""

import hashlib
from pathlib import Path

from server.store.errors import StoreError
from server.store.pictureformat import ending
from server.store.wholefile import write_whole

FOLDER = "plans"


def store_picture(directory: Path, raw: bytes) -> str:
    """Write a picture below the data folder and return its name, `<sha256>.png|jpg|webp`.

    Raises:
        PictureRefused: it is no picture that we take.
        StoreError: it cannot be written.
    """
    name = f"{hashlib.sha256(raw).hexdigest()}.{ending(raw)}"
    target = directory / FOLDER / name
    try:
        if not target.exists():
            write_whole(target, raw, directory)
    except OSError as error:
        raise StoreError(f"The picture {name} was not written: {error.strerror}.") from error
    return name


def load_picture(directory: Path, name: str) -> bytes | None:
    """None: it is gone."""
    try:
        return (directory / FOLDER / name).read_bytes()
    except OSError:
        return None
