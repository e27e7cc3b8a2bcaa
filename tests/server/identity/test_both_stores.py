"""The queries on people mean the same in SQLite and in PostgreSQL."""

import pytest
from argon2 import PasswordHasher

from config.settings import AuthSettings
from server.identity.errors import TokenError
from server.identity.passwords import Passwords
from server.identity.service import Identity
from server.store.database import Database
from server.store.sites import SiteTree
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]

PASSWORD = "correct horse battery"


async def test_life_of_an_account(database: Database, tree: SiteTree) -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    who = Identity(database, tree, AuthSettings(), b"0123456789abcdefghijklmnopqrstuvwxyz", passwords=Passwords(hasher))
    assert await who.ensure_first_admin() is not None
    assert await who.ensure_first_admin() is None
    user = await who.add_user("wang", PASSWORD, name="王伟", role="dispatcher", site="mine-a")
    visitor, cookie = await who.login("wang", PASSWORD, "192.0.2.1")
    assert visitor.user == user
    assert await who.user_of_cookie(cookie) == visitor
    assert [one.login for one in await who.list_users("cn", None, 10)] == ["admin", "wang"]
    assert [one.login for one in await who.list_users("liulin", None, 10)] == ["wang"]
    assert await who.list_users("zhongyang", None, 10) == []

    code = await who.make_link(user.user)
    assert (await who.redeem(code, "192.0.2.1"))[0].user == user
    token = await who.issue(user, "site:mine-a", login=visitor.login)
    assert (await who.verify(token.token)).user == user.user

    camera = who.issue_device("site:mine-a", "gate")
    await who.revoke_device("mine-a", "gate")
    await who.revoke_device("mine-a", "gate")
    await who.revoke_user(user.user)
    assert await who.user_of_cookie(cookie) is None
    for gone in (token, camera):
        with pytest.raises(TokenError, match="revoked"):
            await who.verify(gone.token)
