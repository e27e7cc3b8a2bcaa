"""The key that signs room tokens: one file in the data folder, made at first start."""

import os
import secrets
import stat
from pathlib import Path

from server.identity.errors import SecretError

MINIMUM_BYTES = 32
MINIMUM_DISTINCT_BYTES = 12
"""`changemechangemechangemechangeme` is long enough and no secret."""


def load_or_make(path: Path) -> bytes:
    """The key in `path`; a fresh one is written there (mode 0600) when the file is missing.

    Raises:
        SecretError: the file is a link, too short, too regular, or readable by others.
    """
    if not path.exists() and not path.is_symlink():
        _make(path)
    if path.is_symlink():
        raise SecretError(f"{path} is a symbolic link; the key must be a plain file.")
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise SecretError(f"{path} is not a plain file.")
    if mode & 0o077:
        raise SecretError(f"{path} can be read by others (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path}")
    key = path.read_bytes().strip()
    if len(key) < MINIMUM_BYTES:
        raise SecretError(f"{path} holds {len(key)} bytes; at least {MINIMUM_BYTES} are needed.")
    if len(set(key)) < MINIMUM_DISTINCT_BYTES:
        raise SecretError(f"{path} holds a key that is too regular to be a secret; delete it to have a new one made.")
    return key


def _make(path: Path) -> None:
    """Write a key that appears whole or not at all; if another process was faster, its key stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_urlsafe(48).encode())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()
