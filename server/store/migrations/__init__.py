"""Steps from an empty database to `server.store.tables`. Run at start; the set-up is here and needs no file beside it.

A new step is a module in `versions/` with `revision`, `down_revision` and `upgrade()`; it must run on SQLite and on
PostgreSQL, and the test that compares the result with the metadata must hold.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection


def configuration(connection: Connection) -> Config:
    """Alembic's settings for an open connection, whose transaction holds the whole upgrade."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(configuration(connection), "head")


async def upgrade_connection(connection: AsyncConnection) -> None:
    """Bring the database of this connection up to the newest step; nothing happens when it is there already."""
    await connection.run_sync(_upgrade)


def _is_newest(connection: Connection) -> bool:
    there = MigrationContext.configure(connection).get_current_revision()
    return there == ScriptDirectory.from_config(configuration(connection)).get_current_head()


async def is_newest(connection: AsyncConnection) -> bool:
    """Whether the database is at the newest step."""
    return await connection.run_sync(_is_newest)


async def upgrade(url: str) -> None:
    """Bring the database at `url` up to the newest step.

    Raises:
        StoreError: the database cannot be opened or a step failed; then nothing was changed.
    """
    from server.store.database import Database

    async with Database.open(url):
        pass
