"""Errors of the store.

- `StoreError`: a request to the store failed; nothing of its transaction was written.
    - `StoreConflict`: a row would break a unique or foreign key.
    - `StoreFull`: the disk is full.
    - `StoreUnavailable`: the database cannot be reached, is locked by another program for too long, or is broken.
    - `NoSuchSite`: a site that is not in the tree.
    - `SiteRefused`: a site that does not fit the tree (level, name, parent).
"""

import sqlite3

import sqlalchemy.exc

FULL = ("disk is full", "no space left", "disk quota exceeded")


class StoreError(Exception):
    """A request to the store failed; nothing of its transaction was written."""


class StoreConflict(StoreError):
    """A row would break a unique or foreign key."""


class StoreFull(StoreError):
    """The disk is full."""


class StoreUnavailable(StoreError):
    """The database cannot be reached, is locked for too long, or is broken."""


class NoSuchSite(StoreError):
    """A site that is not in the tree."""

    def __init__(self, site: str) -> None:
        self.site = site
        super().__init__(f"There is no site {site}.")


class SiteRefused(StoreError):
    """A site that does not fit the tree."""


def translate(error: sqlalchemy.exc.SQLAlchemyError) -> StoreError:
    """Ours for what the driver said; the original stays its cause."""
    if isinstance(error, sqlalchemy.exc.IntegrityError):
        return StoreConflict(str(error.orig))
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        said = str(error.orig)
        state = getattr(error.orig, "sqlstate", None)
        if state == "53100" or any(word in said.lower() for word in FULL):
            return StoreFull(said)
        code = getattr(error.orig, "sqlite_errorcode", None)
        if code is not None and code & 0xFF == sqlite3.SQLITE_FULL:
            return StoreFull(said)
        if isinstance(error, sqlalchemy.exc.OperationalError) or error.connection_invalidated:
            return StoreUnavailable(said)
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return StoreUnavailable("No database connection became free in time.")
    return StoreError(str(error))
