"""Log-in, links, users and tokens as a browser sees them."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession
from sqlalchemy import select

from server.identity.errors import AccountError
from server.identity.roles import GRANTED
from server.identity.service import Revocation
from server.store.errors import StoreUnavailable
from server.store.tables import audit as audit_table
from tests.fakes.serving import PASSWORD, Served, enter, serve


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as one:
        await one.add_user("wang", "dispatcher", "mine-a")
        await one.add_user("zhao", "supervisor", "county")
        await one.add_user("chief", "admin", "county")
        yield one


# --- log-in ---


async def test_me_says_who_and_where(served: Served) -> None:
    async with served.browser() as session:
        async with session.get("/api/me") as response:
            assert response.status == 401
        entered = await enter(session, "zhao")
        async with session.get("/api/me") as response:
            me = await response.json()
    assert me == entered
    assert (me["login"], me["role"], me["site"], me["level"]) == ("zhao", "supervisor", "county", "county")
    assert me["sites"] == ["county", "mine-a", "mine-b"]
    assert "close" in me["verbs"]
    assert me["simulated"] is False
    assert "password" not in str(me)


async def test_wrong_name_and_wrong_password_look_the_same(served: Served) -> None:
    answers = []
    async with served.browser() as session:
        for login, password in (("wang", "wrong"), ("nobody", "wrong")):
            async with session.post("/api/login", json={"login": login, "password": password}) as response:
                answers.append((response.status, await response.json(content_type=None), dict(response.cookies)))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401
    assert answers[0][1]["error"] == "wrong_login"


async def test_brute_force_is_told_to_wait(served: Served) -> None:
    statuses = []
    async with served.browser() as session:
        for number in range(7):
            async with session.post("/api/login", json={"login": "wang", "password": f"guess {number}"}) as response:
                statuses.append(response.status)
                waits = response.headers.get("Retry-After")
        assert statuses == [401] * 5 + [429] * 2
        assert waits is not None
        assert 1 <= int(waits) <= 60
        async with session.post("/api/login", json={"login": "wang", "password": PASSWORD}) as response:
            assert response.status == 429


async def test_log_out_ends_the_cookie_everywhere(served: Served) -> None:
    told: list[Revocation] = []
    served.context.identity.on_revoked(told.append)
    async with served.browser("wang") as session, ClientSession(served.url) as copy:
        cookies = session.cookie_jar.filter_cookies(session._base_url)  # type: ignore[arg-type]
        copied = {"Cookie": f"lamproom_login={cookies['lamproom_login'].value}"}
        async with session.delete("/api/login") as response:
            assert response.status == 204
        async with copy.get("/api/me", headers=copied) as response:
            assert response.status == 401
        async with session.get("/api/me") as response:
            assert response.status == 401
    assert [one.login is not None for one in told] == [True]


# --- links ---


async def test_link_of_an_admin_lets_its_user_in_once(served: Served) -> None:
    async with served.browser("chief") as admin:
        async with admin.post("/api/links", json={"user": served.users["wang"].user}) as response:
            assert response.status == 201
            link = await response.json()
    assert link["url"].endswith(f"/enter/{link['code']}")
    assert link["expires_at"] > time.time()
    async with served.browser() as session:
        async with session.post("/api/links/redeem", json={"code": link["code"]}) as response:
            assert (await response.json())["login"] == "wang"
        async with session.get("/api/me") as response:
            assert response.status == 200
    async with (
        served.browser() as session,
        session.post("/api/links/redeem", json={"code": link["code"]}) as response,
    ):
        assert response.status == 404
        assert (await response.json(content_type=None))["error"] == "link_invalid"


# --- tokens ---


@pytest.mark.parametrize(
    ("login", "room", "status"),
    [
        ("wang", "site:mine-a", 200),
        ("wang", "site:mine-b", 404),
        ("wang", "site:county", 404),
        ("wang", "session:none", 404),
        ("wang", "nonsense", 404),
        ("zhao", "site:mine-b", 200),
        ("zhao", "site:mine-c", 404),
        ("zhao", "site:nation", 404),
    ],
)
async def test_token_is_for_rooms_within_reach(served: Served, login: str, room: str, status: int) -> None:
    async with served.browser(login) as session, session.post("/api/token", json={"room": room}) as response:
        assert response.status == status
        body = await response.json(content_type=None)
        if status == 200:
            assert body["room"] == room
            assert body["grants"]["hidden"] is False
            grant = await served.context.identity.verify(body["token"])
            assert grant.user == served.users[login].user
        else:
            assert body["error"] == "no_such_room"


async def test_token_falls_with_the_log_out(served: Served) -> None:
    async with served.browser("wang") as session:
        async with session.post("/api/token", json={"room": "site:mine-a"}) as response:
            token = (await response.json())["token"]
        await served.context.identity.verify(token)
        async with session.delete("/api/login"):
            pass
    with pytest.raises(Exception, match="log-in") as refused:
        await served.context.identity.verify(token)
    assert getattr(refused.value, "kind", None) == "revoked"


async def test_device_token_of_an_admin_is_good_until_revoked(served: Served) -> None:
    wish = {"site": "mine-a", "name": "dispatch-room"}
    async with served.browser("chief") as session:
        async with session.post("/api/devices/token", json=wish) as response:
            token = (await response.json())["token"]
        assert (await served.context.identity.verify(token)).role == "device"
        async with session.post("/api/devices/revoke", json=wish) as response:
            assert response.status == 204
        for site in ("mine-c", "nowhere", "nation"):
            async with session.post("/api/devices/token", json=wish | {"site": site}) as response:
                assert response.status == 404
    with pytest.raises(Exception, match="revoked"):
        await served.context.identity.verify(token)


# --- users ---


async def test_admin_sees_accounts_below_and_no_others(served: Served) -> None:
    await served.add_user("far", "viewer", "mine-c")
    await served.add_user("top", "admin", "nation")
    async with served.browser("chief") as session:
        found: list[str] = []
        after = ""
        while True:
            async with session.get(f"/api/users?limit=2{after}") as response:
                page = await response.json()
            found += [user["login"] for user in page["items"]]
            assert "$argon2" not in str(page)
            if page["next"] is None:
                break
            after = f"&after={page['next']}"
        async with session.get("/api/users?site=nation") as response:
            assert response.status == 404
    assert sorted(found) == ["chief", "wang", "zhao"]


async def test_admin_makes_an_account_that_can_log_in(served: Served) -> None:
    new = {"login": "li", "name": "Li", "role": "viewer", "site": "mine-b", "password": PASSWORD}
    async with served.browser("chief") as session:
        async with session.post("/api/users", json=new) as response:
            assert response.status == 201
            body = await response.json()
            assert body["must_change"] is True
            assert "password" not in body
        async with session.post("/api/users", json=new) as response:
            assert response.status == 409
            assert (await response.json(content_type=None))["error"] == "login_taken"
    async with served.browser("li") as session, session.get("/api/me") as response:
        assert (await response.json())["role"] == "viewer"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"login": "Li"}, 422),
        ({"login": "li li"}, 422),
        ({"login": "../li"}, 422),
        ({"role": "root"}, 422),
        ({"role": "device"}, 422),
        ({"site": "mine-c"}, 422),
        ({"site": "nation"}, 422),
        ({"site": "nowhere"}, 422),
        ({"password": "short"}, 422),
        ({"valid_after": 0}, 422),
        ({"user": "u1"}, 422),
        ({"disabled": False}, 422),
        ({"password_hash": "x"}, 422),
        ({"name": ""}, 422),
        ({"name": ["x"]}, 422),
    ],
    ids=str,
)
async def test_account_that_is_not_for_this_admin_is_refused(
    served: Served, change: dict[str, object], status: int
) -> None:
    new = {"login": "li", "name": "Li", "role": "viewer", "site": "mine-b", "password": PASSWORD} | change
    async with served.browser("chief") as session, session.post("/api/users", json=new) as response:
        assert response.status == status


async def test_nobody_changes_an_account_out_of_reach(served: Served) -> None:
    far = await served.add_user("far", "viewer", "mine-c")
    async with served.browser("chief") as session:
        for user in (far.user, "nobody", "..", "%2e%2e"):
            async with session.patch(f"/api/users/{user}", json={"name": "x"}) as response:
                assert response.status == 404
            async with session.post(f"/api/users/{user}/revoke") as response:
                assert response.status == 404
            async with session.post("/api/links", json={"user": user}) as response:
                assert response.status == 404
        wang = served.users["wang"].user
        async with session.patch(f"/api/users/{wang}", json={"site": "mine-c"}) as response:
            assert response.status == 422


async def test_admin_cannot_lock_himself_out_or_raise_himself(served: Served) -> None:
    chief = served.users["chief"].user
    async with served.browser("chief") as session:
        for change in ({"disabled": True}, {"role": "viewer"}, {"site": "mine-a"}):
            async with session.patch(f"/api/users/{chief}", json=change) as response:
                assert response.status == 409
        async with session.patch(f"/api/users/{chief}", json={"name": "Chief"}) as response:
            assert (await response.json())["name"] == "Chief"


async def test_revoked_user_is_out_within_the_same_second(served: Served) -> None:
    heard = asyncio.Event()
    served.context.identity.on_revoked(lambda _: heard.set())
    async with served.browser("wang") as dispatcher, served.browser("chief") as admin:
        async with admin.post(f"/api/users/{served.users['wang'].user}/revoke") as response:
            assert response.status == 204
        async with asyncio.timeout(1):
            await heard.wait()
        async with dispatcher.get("/api/me") as response:
            assert response.status == 401
        await enter(dispatcher, "wang")


async def test_role_taken_away_counts_at_once(served: Served) -> None:
    async with served.browser("zhao") as session, served.browser("chief") as admin:
        zhao = served.users["zhao"].user
        async with admin.patch(f"/api/users/{zhao}", json={"role": "viewer"}) as response:
            assert (await response.json())["role"] == "viewer"
        async with session.get("/api/me") as response:
            assert response.status == 401
        me = await enter(session, "zhao")
        assert me["role"] == "viewer"
        async with session.post("/api/alerts/x/close", json={"outcome": "confirmed"}) as response:
            assert response.status == 403


async def test_own_password_is_changed_with_the_old_one(served: Served) -> None:
    async with served.browser("wang") as session:
        change = {"old": PASSWORD, "new": "another long password"}
        async with session.put("/api/me/password", json=change | {"old": "wrong"}) as response:
            assert response.status == 401
        async with session.put("/api/me/password", json=change | {"new": "short"}) as response:
            assert response.status == 422
        async with session.put("/api/me/password", json=change) as response:
            assert response.status == 200
        async with session.get("/api/me") as response:
            assert response.status == 200


async def test_what_was_denied_stands_in_the_audit_once(served: Served) -> None:
    async with served.browser("wang") as session:
        for _ in range(5):
            async with session.get("/api/users") as response:
                assert response.status == 403
    async with served.context.database.reading() as connection:
        rows = (await connection.execute(select(audit_table).where(audit_table.c.action == "denied"))).all()
    assert [(row.actor, row.object, row.result) for row in rows] == [
        (served.users["wang"].user, "/api/users", "refused")
    ]


async def test_denied_stays_denied_when_the_store_is_away(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served.browser("wang") as session:

        def away() -> None:
            raise StoreUnavailable("no connection")

        monkeypatch.setattr(served.context.database, "transaction", away)
        async with session.get("/api/users") as response:
            assert response.status == 403


# --- accounts, as the page needs them ---


async def test_the_last_administrator_of_the_server_stays_one(served: Served) -> None:
    top = await served.add_user("top", "admin", "nation")
    identity = served.context.identity
    for change in ({"disabled": True}, {"role": "viewer"}, {"site": "mine-a"}):
        with pytest.raises(AccountError, match="last administrator"):
            await identity.change_user(top, **change, by="someone")
    assert await identity.change_user(top, name="Other name") == replace(top, name="Other name")
    await served.context.tree.add("zeta", None, "nation", "另一棵树", "Another tree")
    await served.add_user("elsewhere", "admin", "zeta")  # answers for the own tree only
    with pytest.raises(AccountError, match="last administrator"):
        await identity.disable(top.user)
    second = await served.add_user("second", "admin", "nation")
    await identity.disable(top.user)
    with pytest.raises(AccountError, match="last administrator"):
        await identity.disable(second.user)


async def test_a_one_time_password_logs_in_and_is_to_be_changed(served: Served) -> None:
    new = {"login": "li", "name": "Li", "role": "viewer", "site": "mine-b", "one_time_password": True}
    async with served.browser("chief") as session:
        async with session.post("/api/users", json=new | {"password": PASSWORD}) as response:
            assert response.status == 422
        async with session.post("/api/users", json=new) as response:
            made = await response.json()
        async with session.post(f"/api/users/{made['user']}/password") as response:
            second = (await response.json())["password"]
    assert second != made["one_time_password"]
    async with served.browser() as session:
        assert (await enter(session, "li", second))["must_change"] is True
        async with session.post("/api/login", json={"login": "li", "password": made["one_time_password"]}) as response:
            assert response.status == 401


async def test_nobody_resets_the_own_password_without_the_old_one(served: Served) -> None:
    chief = served.users["chief"].user
    async with served.browser("chief") as session:
        async with session.patch(f"/api/users/{chief}", json={"password": "a new long password"}) as response:
            assert response.status == 409
        async with session.post(f"/api/users/{chief}/password") as response:
            assert response.status == 409


async def test_log_ins_are_listed_and_ended_one_by_one(served: Served) -> None:
    wang = served.users["wang"].user
    async with served.browser("chief") as chief, served.browser("wang") as one, served.browser("wang") as two:
        async with chief.get(f"/api/users/{wang}/logins") as response:
            logins = (await response.json())["items"]
        assert len(logins) == 2
        async with chief.get("/api/users?q=WANG&role=dispatcher") as response:
            found = (await response.json())["items"]
        assert [(user["login"], user["logins"]) for user in found] == [("wang", 2)]
        assert found[0]["last_seen_at"] == pytest.approx(max(login["last_seen_at"] for login in logins))
        async with chief.post(f"/api/users/{wang}/logins/{logins[0]['login']}/revoke") as response:
            assert response.status == 204
        async with chief.post(f"/api/users/{wang}/logins/{logins[0]['login']}/revoke") as response:
            assert response.status == 404
        statuses = []
        for session in (one, two):
            async with session.get("/api/me") as response:
                statuses.append(response.status)
    assert sorted(statuses) == [200, 401]


async def test_a_log_in_of_somebody_else_is_not_ended_under_a_wrong_name(served: Served) -> None:
    async with served.browser("chief") as chief, served.browser("zhao") as zhao:
        async with chief.get(f"/api/users/{served.users['zhao'].user}/logins") as response:
            login = (await response.json())["items"][0]["login"]
        async with chief.post(f"/api/users/{served.users['wang'].user}/logins/{login}/revoke") as response:
            assert response.status == 404
        async with zhao.get("/api/me") as response:
            assert response.status == 200


async def test_the_table_of_roles_is_the_one_that_decides(served: Served) -> None:
    async with served.browser("wang") as session, session.get("/api/roles") as response:
        table = await response.json()
    shown = {one["role"]: set(one["verbs"]) for one in table["roles"]}
    assert shown == {role: GRANTED[role] for role in ("admin", "supervisor", "dispatcher", "engineer", "viewer")}
