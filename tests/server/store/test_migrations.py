"""From an empty database to the tables, on both engines."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection

from server.store import timeline
from server.store.database import Database
from server.store.migrations import configuration, upgrade, upgrade_connection
from server.store.tables import metadata


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata})
    return list(compare_metadata(context, metadata))


def schema(connection: Connection) -> dict[str, object]:
    """What a comparison by Alembic leaves out: keys, checks and conditions of indexes."""
    found: dict[str, object] = {}
    inspector = inspect(connection)
    for table in sorted(metadata.tables):
        found[table] = {
            "key": inspector.get_pk_constraint(table)["constrained_columns"],
            "foreign": sorted(
                (key["constrained_columns"], key["referred_table"]) for key in inspector.get_foreign_keys(table)
            ),
            "checks": sorted(check["sqltext"] for check in inspector.get_check_constraints(table)),
            "indexes": sorted(
                (str(index["name"]), index["column_names"], bool(index["unique"]), bool(index["dialect_options"]))
                for index in inspector.get_indexes(table)
            ),
            "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
        }
    return found


def made_from_metadata(connection: Connection) -> dict[str, object]:
    metadata.drop_all(connection)
    metadata.create_all(connection)
    return schema(connection)


async def test_migrations_make_what_the_tables_say(database: Database) -> None:
    async with database.transaction() as connection:
        assert await connection.run_sync(differences) == []
        migrated = await connection.run_sync(schema)
        assert migrated == await connection.run_sync(made_from_metadata)
        assert set(migrated) == set(metadata.tables)


async def test_a_second_run_changes_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        before = await timeline.epoch(connection)
        await upgrade_connection(connection)
        assert await timeline.epoch(connection) == before


async def test_upgrade_by_url(database_url: str) -> None:
    await upgrade(database_url)
    async with Database.open(database_url) as database, database.reading() as connection:
        version = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        head = await connection.run_sync(
            lambda sync: ScriptDirectory.from_config(configuration(sync)).get_current_head()
        )
    assert version == head


async def test_the_epoch_is_made_once_and_is_another_in_another_database(database_url: str) -> None:
    async with Database.open(database_url) as database, database.reading() as connection:
        first = await timeline.epoch(connection)
    async with Database.open(database_url) as database, database.reading() as connection:
        assert await timeline.epoch(connection) == first
    assert len(first) == 32
