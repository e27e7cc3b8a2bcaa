"""Figures of rules by scope: kept, audited, valid at once and known for any moment."""

from pathlib import Path
from typing import Any

import pytest

from config.settings import DeviceSettings, Settings
from server.parameters import BadParameters, Parameters
from server.store import audit
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from tests.fakes.databases import database, tree

__all__ = ["database", "tree"]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


async def loaded(database: Database, tree: SiteTree, **rules: Any) -> Parameters:
    return await Parameters.load(Settings.model_validate({"rules": rules}), database, tree)


async def test_the_nearest_scope_wins(database: Database, tree: SiteTree) -> None:
    parameters = await loaded(database, tree, quota_s=50.0)
    assert parameters.of_site("mine-a").quota_s == 50.0
    await parameters.put("shanxi", "", {"quota_s": 70.0, "lone_m": 40.0}, by="u")
    await parameters.put("mine-a", "", {"quota_s": 90.0}, by="u")
    assert (parameters.of_site("mine-a").quota_s, parameters.of_site("mine-a").lone_m) == (90.0, 40.0)
    assert parameters.of_site("mine-b").quota_s == 70.0
    assert parameters.sources("mine-a") == {"quota_s": "mine-a", "lone_m": "shanxi"}
    await parameters.put("mine-a", "", {}, by="u")
    assert parameters.of_site("mine-a").quota_s == 70.0


async def test_a_device_has_the_last_word_and_the_past_is_kept(database: Database, tree: SiteTree) -> None:
    parameters = await loaded(database, tree)
    device = DeviceSettings.model_validate({"site": "mine-a", "device": "belt", "parameters": {"overload_s": 30.0}})
    made = await parameters.put("mine-a", "belt", {"overload_s": 120.0}, by="u")
    assert parameters.of_device(device).parameters == {"overload_s": 120.0}
    assert parameters.of_device(device, made.at - 1).parameters == {"overload_s": 30.0}
    again = await loaded(database, tree)
    assert again.of_device(device).parameters == {"overload_s": 120.0}
    assert [one.id for one in again.history("mine-a")] == [made.id]


async def test_a_set_is_audited_and_told_and_a_wrong_one_changes_nothing(database: Database, tree: SiteTree) -> None:
    parameters, told = await loaded(database, tree), list[str]()
    parameters.on_change.append(told.append)
    with pytest.raises(BadParameters) as refused:
        await parameters.put("mine-a", "", {"quota_s": 1.0, "no_such": 2.0}, by="u")
    assert list(refused.value.mistakes) == ["no_such"]
    with pytest.raises(BadParameters):
        await parameters.put("mine-a", "", {"quota_s": -1.0}, by="u")
    assert (told, parameters.history("mine-a")) == ([], [])
    await parameters.put("mine-a", "", {"quota_s": 30.0}, by="u")
    assert told == ["mine-a"]
    async with database.reading() as connection:
        assert (await audit.head(connection))[0] == 1
