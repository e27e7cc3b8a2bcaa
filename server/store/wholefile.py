"""Files that are there whole or not at all, also after a power cut."""

import os
import secrets
from pathlib import Path


def write_whole(target: Path, data: bytes, top: Path) -> None:
    """Write under a temporary name, flush it to the disk, rename it, and flush the folders from `target`'s up to `top`.

    Missing folders are made, for this user alone. A file of that name is replaced. Blocks: call it in a thread.

    Raises:
        OSError: it was not written; nothing is left behind.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(target)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    for folder in target.parents:
        _flush_folder(folder)
        if folder == top:
            break


def _flush_folder(folder: Path) -> None:
    """Make a new name in a folder outlive the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
