"""Log-ins, links, tokens and the end of access, over a real store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from config.settings import AuthSettings
from server.identity.errors import AccountError, LoginError, RoomRefused, TokenError
from server.identity.service import Identity, Revocation, User
from server.store import audit
from server.store.database import Database
from server.store.tables import audit as audit_table
from server.store.tables import links, logins, users
from tests.fakes.serving import PASSWORD, identity

HERE = "192.0.2.1"


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Identity, Database]]:
    async with identity(tmp_path, AuthSettings(login_attempts_per_minute=5)) as both:
        yield both


@pytest.fixture
def who(opened: tuple[Identity, Database]) -> Identity:
    return opened[0]


@pytest.fixture
def database(opened: tuple[Identity, Database]) -> Database:
    return opened[1]


async def dispatcher(who: Identity, site: str = "mine-a", login: str = "wang") -> User:
    return await who.add_user(login, PASSWORD, name="Wang Wei", role="dispatcher", site=site)


async def refused_token(who: Identity, token: str) -> str:
    with pytest.raises(TokenError) as caught:
        await who.verify(token)
    return str(caught.value.kind)


# --- log-in ---


async def test_cookie_leads_back_to_its_user(who: Identity) -> None:
    user = await dispatcher(who)
    visitor, cookie = await who.login("Wang", PASSWORD, HERE)
    found = await who.user_of_cookie(cookie)
    assert found == visitor
    assert found is not None
    assert found.user == user


async def test_store_holds_no_secret(who: Identity, database: Database) -> None:
    user = await dispatcher(who)
    _, cookie = await who.login("wang", PASSWORD, HERE)
    code = await who.make_link(user.user)
    async with database.reading() as connection:
        held = [str(row) for table in (users, logins, links) for row in await connection.execute(select(table))]
    everything = "\n".join(held)
    assert cookie.partition(".")[2] not in everything
    assert code not in everything
    assert PASSWORD not in everything
    assert "$argon2id$" in everything


@pytest.mark.parametrize("spoil", ["", ".", "x.y", "é.y", "a" * 70 + ".b"])
async def test_cookie_that_is_none_is_nobody(who: Identity, spoil: str) -> None:
    assert await who.user_of_cookie(spoil) is None


async def test_cookie_with_another_secret_is_nobody(who: Identity) -> None:
    await dispatcher(who)
    _, first = await who.login("wang", PASSWORD, HERE)
    _, second = await who.login("wang", PASSWORD, HERE)
    assert await who.user_of_cookie(f"{first.partition('.')[0]}.{second.partition('.')[2]}") is None
    assert await who.user_of_cookie(first + "x") is None
    assert await who.user_of_cookie(first[:-1]) is None


async def test_log_in_ends_after_its_days(who: Identity) -> None:
    await dispatcher(who)
    _, cookie = await who.login("wang", PASSWORD, HERE)
    now = who._clock()
    who._clock = lambda: now + 6.9 * 86400
    assert await who.user_of_cookie(cookie) is not None
    who._clock = lambda: now + 7 * 86400 + 1
    assert await who.user_of_cookie(cookie) is None


@pytest.mark.parametrize("login", ["nobody", "", "wang'--", "%", "管理员", "\x00", "ﬀ"])
async def test_unknown_name_costs_the_same_work_as_a_wrong_password(who: Identity, login: str) -> None:
    await dispatcher(who)
    before = who.passwords.verifications
    with pytest.raises(LoginError) as wrong_password:
        await who.login("wang", "not the password", HERE)
    one = who.passwords.verifications - before
    with pytest.raises(LoginError) as wrong_name:
        await who.login(login, "not the password", HERE)
    assert one == 1
    assert who.passwords.verifications - before == 2
    assert (wrong_name.value.error, wrong_name.value.detail) == (
        wrong_password.value.error,
        wrong_password.value.detail,
    )


async def test_disabled_account_cannot_log_in_and_does_not_say_why(who: Identity) -> None:
    user = await dispatcher(who)
    await who.disable(user.user)
    before = who.passwords.verifications
    with pytest.raises(LoginError) as refused:
        await who.login("wang", PASSWORD, HERE)
    assert refused.value.error == "wrong_login"
    assert who.passwords.verifications - before == 1


async def test_sixth_attempt_is_refused_without_looking_at_the_password(who: Identity) -> None:
    await dispatcher(who)
    for number in range(5):
        with pytest.raises(LoginError, match="not correct"):
            await who.login("wang", "wrong", f"192.0.2.{number}")
    before = who.passwords.verifications
    with pytest.raises(LoginError) as refused:
        await who.login("wang", PASSWORD, "192.0.2.99")
    assert refused.value.error == "too_many_attempts"
    assert refused.value.retry_after_s is not None
    assert 0 < refused.value.retry_after_s <= 60
    assert who.passwords.verifications == before


async def test_many_attempts_at_once_gain_nothing(who: Identity) -> None:
    await dispatcher(who)
    outcomes = await asyncio.gather(
        *(who.login("wang", f"guess {number}", HERE) for number in range(30)), return_exceptions=True
    )
    errors = [outcome.error for outcome in outcomes if isinstance(outcome, LoginError)]
    assert len(errors) == 30
    assert errors.count("too_many_attempts") == 25


async def test_crowd_that_found_no_place_is_not_counted_as_wrong(
    who: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await dispatcher(who)
    monkeypatch.setattr("server.identity.passwords.MAX_WAITING", 0)
    for _ in range(6):
        with pytest.raises(LoginError) as refused:
            await who.login("wang", PASSWORD, HERE)
        assert refused.value.error == "capacity"
    monkeypatch.undo()
    await who.login("wang", PASSWORD, HERE)


async def test_room_full_of_people_does_not_lock_itself_out(who: Identity) -> None:
    await dispatcher(who)
    for _ in range(12):
        await who.login("wang", PASSWORD, HERE)


# --- one-time links ---


async def test_link_works_once(who: Identity) -> None:
    user = await dispatcher(who)
    code = await who.make_link(user.user)
    visitor, cookie = await who.redeem(code, HERE)
    assert visitor.user.user == user.user
    assert await who.user_of_cookie(cookie) is not None
    with pytest.raises(LoginError, match="not good"):
        await who.redeem(code, HERE)


async def test_link_used_by_many_at_once_lets_one_in(who: Identity) -> None:
    code = await who.make_link((await dispatcher(who)).user)
    outcomes = await asyncio.gather(*(who.redeem(code, f"192.0.2.{n}") for n in range(8)), return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1


async def test_link_expires(who: Identity) -> None:
    code = await who.make_link((await dispatcher(who)).user, ttl=60)
    now = who._clock()
    who._clock = lambda: now + 61
    with pytest.raises(LoginError):
        await who.redeem(code, HERE)


async def test_link_is_void_once_access_is_revoked(who: Identity) -> None:
    user = await dispatcher(who)
    code = await who.make_link(user.user)
    await who.revoke_user(user.user)
    with pytest.raises(LoginError):
        await who.redeem(code, HERE)


async def test_guessing_codes_is_slowed_down(who: Identity) -> None:
    for _ in range(5):
        with pytest.raises(LoginError, match="not good"):
            await who.redeem("guess", HERE)
    with pytest.raises(LoginError) as refused:
        await who.redeem("guess", HERE)
    assert refused.value.error == "too_many_attempts"


@pytest.mark.parametrize("code", ["", "\x00", "\ud800", "é", "x" * 100_000])
async def test_code_of_any_spelling_is_refused_in_the_same_way(who: Identity, code: str) -> None:
    with pytest.raises(LoginError, match="not good"):
        await who.redeem(code, HERE)


async def test_link_for_nobody_is_not_made(who: Identity) -> None:
    with pytest.raises(AccountError):
        await who.make_link("nobody")


# --- room tokens ---


async def test_token_of_the_own_room_says_what_may_be_done(who: Identity) -> None:
    user = await dispatcher(who)
    visitor, _ = await who.login("wang", PASSWORD, HERE)
    token = await who.issue(user, "site:mine-a", login=visitor.login)
    grant = await who.verify(token.token)
    assert (grant.user, grant.site, grant.level, grant.role, grant.room) == (
        user.user, "mine-a", "mine", "dispatcher", "site:mine-a",
    )  # fmt: skip
    assert grant.publish
    assert grant.expires_at == token.expires_at


@pytest.mark.parametrize(
    "room",
    ["site:mine-b", "site:county", "site:nowhere", "session:s1", "session:", "mine-a", "", "site:", "SITE:mine-a"],
)
async def test_room_that_is_not_theirs_looks_like_one_that_is_not_there(who: Identity, room: str) -> None:
    user = await dispatcher(who)
    with pytest.raises(RoomRefused):
        await who.issue(user, room)


async def test_session_room_follows_its_owner(who: Identity) -> None:
    user, outsider = await dispatcher(who), await dispatcher(who, "mine-b", "li")
    sites = {"s1": {"mine-a", "county"}}
    who.sites_of_session = sites.get
    token = await who.issue(user, "session:s1")
    assert (await who.verify(token.token)).publish
    with pytest.raises(RoomRefused):
        await who.issue(outsider, "session:s1")
    del sites["s1"]
    assert await refused_token(who, token.token) == "revoked"


async def test_token_dies_with_its_log_in(who: Identity) -> None:
    user = await dispatcher(who)
    first, _ = await who.login("wang", PASSWORD, HERE)
    second, _ = await who.login("wang", PASSWORD, HERE)
    ended = await who.issue(user, "site:mine-a", login=first.login)
    other = await who.issue(user, "site:mine-a", login=second.login)
    await who.revoke_login(first.login)
    assert await refused_token(who, ended.token) == "revoked"
    assert (await who.verify(other.token)).user == user.user


async def test_token_and_cookie_of_before_a_revocation_are_void_and_new_ones_good(who: Identity) -> None:
    user = await dispatcher(who)
    _, cookie = await who.login("wang", PASSWORD, HERE)
    old = await who.issue(user, "site:mine-a")
    await who.revoke_user(user.user)
    assert await refused_token(who, old.token) == "revoked"
    assert await who.user_of_cookie(cookie) is None
    visitor, cookie = await who.login("wang", PASSWORD, HERE)
    assert await who.user_of_cookie(cookie) is not None
    fresh = await who.issue(visitor.user, "site:mine-a", login=visitor.login)
    assert (await who.verify(fresh.token)).user == user.user


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"site": "mine-b"}, {"disabled": True}])
async def test_token_of_before_a_change_of_role_is_void(who: Identity, change: dict[str, object]) -> None:
    user = await dispatcher(who)
    old = await who.issue(user, "site:mine-a")
    await who.change_user(user, **change)  # type: ignore[arg-type]
    assert await refused_token(who, old.token) == "revoked"


async def test_change_of_name_ends_nothing(who: Identity) -> None:
    user = await dispatcher(who)
    token = await who.issue(user, "site:mine-a")
    changed = await who.change_user(user, name="Wang Li", language="en")
    assert (changed.name, changed.language) == ("Wang Li", "en")
    assert (await who.verify(token.token)).user == user.user


async def test_token_of_another_server_is_refused(who: Identity, tmp_path: Path) -> None:
    user = await dispatcher(who)
    async with identity(tmp_path / "other") as (other, _):
        token = await other.issue(user, "site:mine-a")
    assert await refused_token(who, token.token) == "token_invalid"


async def test_token_expires(who: Identity) -> None:
    user = await dispatcher(who)
    token = await who.issue(user, "site:mine-a")
    now = who._clock()
    who._clock = lambda: now + 700
    assert await refused_token(who, token.token) == "token_expired"


async def test_device_token_publishes_until_it_is_revoked(who: Identity) -> None:
    first, other = who.issue_device("site:mine-a", "gate"), who.issue_device("site:mine-a", "shaft")
    grant = await who.verify(first.token)
    assert (grant.user, grant.publish, grant.subscribe) == ("device:mine-a:gate", True, False)
    await who.revoke_device("mine-a", "gate")
    assert await refused_token(who, first.token) == "revoked"
    assert (await who.verify(other.token)).name == "shaft"
    assert (await who.verify(who.issue_device("site:mine-a", "gate").token)).name == "gate"


async def test_one_token_is_revoked_by_its_id(who: Identity) -> None:
    first, second = who.issue_device("site:mine-a", "gate"), who.issue_device("site:mine-a", "gate")
    await who.revoke_token((await who.verify(first.token)).jti)
    assert await refused_token(who, first.token) == "revoked"
    assert (await who.verify(second.token)).name == "gate"


@pytest.mark.parametrize("room", ["site:nowhere", "session:s1", "mine-a"])
async def test_device_token_is_for_the_room_of_a_site(who: Identity, room: str) -> None:
    with pytest.raises(RoomRefused):
        who.issue_device(room, "gate")


# --- who hears of the end ---


async def test_every_end_of_access_is_told_at_once_and_covers_its_grants(who: Identity) -> None:
    told: list[Revocation] = []
    user = await dispatcher(who)
    visitor, _ = await who.login("wang", PASSWORD, HERE)
    grant = await who.verify((await who.issue(user, "site:mine-a", login=visitor.login)).token)
    device = await who.verify(who.issue_device("site:mine-a", "gate").token)
    undo = who.on_revoked(told.append)
    await who.revoke_login(visitor.login)
    await who.revoke_user(user.user)
    await who.disable(user.user)
    await who.revoke_device("mine-a", "gate")
    await who.revoke_token(grant.jti)
    assert [one.covers(grant) for one in told] == [True, True, True, False, True]
    assert [one.covers(device) for one in told] == [False, False, False, True, False]
    undo()
    await who.revoke_user(user.user)
    assert len(told) == 5


async def test_callback_sees_the_revocation_in_force(who: Identity) -> None:
    user = await dispatcher(who)
    token = await who.issue(user, "site:mine-a")
    seen: list[asyncio.Task[str]] = []
    who.on_revoked(lambda _: seen.append(asyncio.ensure_future(refused_token(who, token.token))))
    await who.revoke_user(user.user)
    assert await seen[0] == "revoked"


# --- accounts ---


async def test_first_admin_is_made_once(who: Identity) -> None:
    password = await who.ensure_first_admin()
    assert password is not None
    assert len(password) >= 20
    visitor, _ = await who.login("admin", password, HERE)
    assert (visitor.user.role, visitor.user.site, visitor.user.must_change) == ("admin", "nation", True)
    assert await who.ensure_first_admin() is None


async def test_no_first_admin_where_there_are_people(who: Identity) -> None:
    await dispatcher(who)
    assert await who.ensure_first_admin() is None


async def test_two_accounts_cannot_share_a_login(who: Identity) -> None:
    await dispatcher(who)
    with pytest.raises(AccountError) as refused:
        await dispatcher(who, "mine-b")
    assert refused.value.error == "login_taken"


async def test_short_password_and_unknown_site_are_refused(who: Identity) -> None:
    with pytest.raises(AccountError) as short:
        await who.add_user("li", "11 characte", name="Li", role="viewer", site="mine-a")
    assert short.value.error == "password_too_short"
    with pytest.raises(AccountError) as nowhere:
        await who.add_user("li", PASSWORD, name="Li", role="viewer", site="nowhere")
    assert nowhere.value.error == "no_such_site"


async def test_device_has_no_account(who: Identity) -> None:
    with pytest.raises(AccountError, match="no log-in"):
        await who.add_user("cam", PASSWORD, name="Camera", role="device", site="mine-a")
    with pytest.raises(AccountError, match="no log-in"):
        await who.change_user(await dispatcher(who), role="device")


@pytest.mark.parametrize("login", ["", "Wang", "wang wei", "-wang", "王", "a" * 64, "wang\n", "../wang"])
async def test_login_is_spelled_as_one(who: Identity, login: str) -> None:
    with pytest.raises(AccountError, match="made of"):
        await dispatcher(who, login=login)


@pytest.mark.parametrize("name", ["", "gate:other", "Gate", "..", "a" * 64, "gate\n"])
async def test_camera_is_named_as_one(who: Identity, name: str) -> None:
    with pytest.raises(AccountError, match="made of"):
        who.issue_device("site:mine-a", name)


async def test_own_password_change_ends_every_other_log_in(who: Identity) -> None:
    await dispatcher(who)
    here, _ = await who.login("wang", PASSWORD, HERE)
    _, elsewhere = await who.login("wang", PASSWORD, HERE)
    _, cookie = await who.change_own_password(here, PASSWORD, "a new long password", HERE)
    assert await who.user_of_cookie(elsewhere) is None
    assert await who.user_of_cookie(cookie) is not None
    with pytest.raises(LoginError):
        await who.login("wang", PASSWORD, HERE)
    await who.login("wang", "a new long password", HERE)


async def test_own_password_change_needs_the_old_one_and_is_limited(who: Identity) -> None:
    await dispatcher(who)
    here, cookie = await who.login("wang", PASSWORD, HERE)
    errors = []
    for _ in range(6):
        with pytest.raises(LoginError) as refused:
            await who.change_own_password(here, "wrong", "a new long password", HERE)
        errors.append(refused.value.error)
    assert errors == ["wrong_login"] * 5 + ["too_many_attempts"]
    assert await who.user_of_cookie(cookie) is not None


async def test_audit_tells_who_came_in_and_who_did_not(who: Identity, database: Database) -> None:
    user = await dispatcher(who)
    await who.login("wang", PASSWORD, HERE)
    with pytest.raises(LoginError):
        await who.login("wang", "secret typed wrong", HERE)
    with pytest.raises(LoginError):
        await who.login("secret typed as name", "x", HERE)
    async with database.reading() as connection:
        assert (await audit.verify(connection)).holds
        rows = [
            (row.action, row.actor, row.result, row.address)
            for row in await connection.execute(select(audit_table).order_by(audit_table.c.seq))
        ]
        whole = str((await connection.execute(select(audit_table))).all())
    assert rows == [
        ("user.add", "", "ok", ""),
        ("login", user.user, "ok", HERE),
        ("login", user.user, "refused", HERE),
        ("login", "", "refused", HERE),
    ]
    assert "secret typed" not in whole
