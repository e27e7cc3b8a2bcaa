"""Fixtures: a fresh database of each kind. A `conftest.py` imports them."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from tests.fakes import postgres

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server."""
    if postgres.programs() is None:
        pytest.skip("PostgreSQL (initdb, postgres) is not installed on this machine")
    with postgres.running(tmp_path_factory.mktemp("postgresql")) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: str = request.getfixturevalue("postgresql")
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return server.rsplit("/", 1)[0] + f"/{name}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with its tables."""
    async with Database.open(database_url) as opened:
        yield opened


@pytest.fixture
async def tree(database: Database) -> SiteTree:
    """A nation with one mine on a straight line of authorities, and a second mine in another county."""
    tree = await SiteTree.load(database)
    await tree.add("cn", None, "nation", "国家", "Nation")
    await tree.add("shanxi", "cn", "province", "山西", "Shanxi")
    await tree.add("lvliang", "shanxi", "city", "吕梁", "Lvliang")
    await tree.add("liulin", "lvliang", "county", "柳林", "Liulin")
    await tree.add("zhongyang", "lvliang", "county", "中阳", "Zhongyang")
    await tree.add("mine-a", "liulin", "mine", "甲矿", "Mine A")
    await tree.add("mine-b", "zhongyang", "mine", "乙矿", "Mine B")
    return tree
