"""Queries on people, log-ins and one-time links. Secrets are here only as hashes."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, Row, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.sites import at_or_below
from server.store.tables import links, logins, meta, sites, users

REVOKED = "revoked/"
"""Keys of `meta` that say since when the tokens of a device, or one token, are void."""


@dataclass(frozen=True, slots=True)
class User:
    """An account."""

    user: str
    login: str
    name: str
    role: Literal["admin", "supervisor", "dispatcher", "engineer", "viewer", "device", "guest", "phone"]
    site: str
    language: Literal["zh", "en"]
    disabled: bool
    must_change: bool
    """The password was given by somebody else and is to be changed."""
    valid_after: float
    created_at: float


@dataclass(frozen=True, slots=True)
class LoginRow:
    """One browser's log-in, with its user."""

    login_id: str
    secret_hash: str
    created_at: float
    expires_at: float
    last_seen_at: float
    user: User


_USER = (
    users.c.user, users.c.login, users.c.name, users.c.role, users.c.site, users.c.language, users.c.disabled,
    users.c.must_change, users.c.valid_after, users.c.created_at,
)  # fmt: skip


def _user(row: Row[*tuple[Any, ...]]) -> User:
    values = row._mapping
    return User(**{column.name: values[column] for column in _USER})


# --- users ----------------------------------------------------------------------------------------------------------


async def count_users(connection: AsyncConnection) -> int:
    return int(await connection.scalar(select(func.count()).select_from(users)) or 0)


async def top_site(connection: AsyncConnection) -> str | None:
    """The first site without one above it."""
    query = select(sites.c.site).where(sites.c.parent.is_(None)).order_by(sites.c.site).limit(1)
    return await connection.scalar(query)


async def add_user(connection: AsyncConnection, user: User, password_hash: str) -> None:
    """
    Raises:
        StoreConflict: the login is taken, or the site is not there (when the transaction ends).
    """
    await connection.execute(
        insert(users).values(
            user=user.user,
            login=user.login,
            name=user.name,
            password_hash=password_hash,
            role=user.role,
            site=user.site,
            language=user.language,
            disabled=user.disabled,
            must_change=user.must_change,
            valid_after=user.valid_after,
            created_at=user.created_at,
        )
    )


async def get_user(connection: AsyncConnection, user: str) -> User | None:
    row = (await connection.execute(select(*_USER).where(users.c.user == user))).one_or_none()
    return None if row is None else _user(row)


async def find_login(connection: AsyncConnection, login: str) -> tuple[User, str] | None:
    """The account of a user name, with its password hash."""
    row = (await connection.execute(select(*_USER, users.c.password_hash).where(users.c.login == login))).one_or_none()
    return None if row is None else (_user(row), row.password_hash)


async def password_hash(connection: AsyncConnection, user: str) -> str | None:
    return await connection.scalar(select(users.c.password_hash).where(users.c.user == user))


async def list_users(
    connection: AsyncConnection, path: str, after: str | None, limit: int, *, text: str = "", role: str | None = None
) -> list[User]:
    """Accounts at or below a site (by its path), by user id; `text` stands in the login or in the name."""
    query = select(*_USER).where(at_or_below(users.c.site, path)).order_by(users.c.user).limit(limit)
    if text:
        query = query.where(
            users.c.login.icontains(text, autoescape=True) | users.c.name.icontains(text, autoescape=True)
        )
    if role is not None:
        query = query.where(users.c.role == role)
    if after is not None:
        query = query.where(users.c.user > after)
    return [_user(row) for row in await connection.execute(query)]


async def other_admins(connection: AsyncConnection, site: str, user: str) -> int:
    """How many enabled admins of this very site there are beside this account."""
    query = (
        select(func.count())
        .select_from(users)
        .where(users.c.role == "admin", users.c.disabled.is_(False), users.c.site == site, users.c.user != user)
    )
    return int(await connection.scalar(query) or 0)


async def change_user(connection: AsyncConnection, user: str, **values: object) -> bool:
    """Set columns of an account; whether it is there."""
    result = await connection.execute(update(users).where(users.c.user == user).values(**values))
    return result.rowcount == 1


# --- log-ins --------------------------------------------------------------------------------------------------------


async def add_login(
    connection: AsyncConnection, login_id: str, secret_hash: str, user: str, at: float, expires_at: float, address: str
) -> None:
    await connection.execute(
        insert(logins).values(
            login_id=login_id,
            secret_hash=secret_hash,
            user=user,
            created_at=at,
            expires_at=expires_at,
            last_seen_at=at,
            address=address,
        )
    )


async def live_login(connection: AsyncConnection, login_id: str, at: float) -> LoginRow | None:
    """A log-in that has not expired and was not revoked, of an account that is not disabled."""
    query = (
        select(logins, *_USER)
        .join(users, users.c.user == logins.c.user)
        .where(
            logins.c.login_id == login_id,
            logins.c.revoked_at.is_(None),
            logins.c.expires_at > at,
            logins.c.created_at >= users.c.valid_after,
            users.c.disabled.is_(False),
        )
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        return None
    values = row._mapping
    return LoginRow(
        values[logins.c.login_id], values[logins.c.secret_hash], values[logins.c.created_at],
        values[logins.c.expires_at], values[logins.c.last_seen_at], _user(row),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """What the log-ins of an account say of it."""

    last_seen_at: float | None = None
    live: int = 0


@dataclass(frozen=True, slots=True)
class LiveLogin:
    """A log-in that is good now, without its secret."""

    login_id: str
    created_at: float
    expires_at: float
    last_seen_at: float
    address: str


def _live(at: float) -> ColumnElement[bool]:
    return (
        logins.c.revoked_at.is_(None) & (logins.c.expires_at > at) & (logins.c.created_at >= users.c.valid_after)
    ) & users.c.disabled.is_(False)


async def seen(connection: AsyncConnection, accounts: Collection[str], at: float) -> dict[str, Seen]:
    """When each account was last seen, and how many log-ins it has now; none for those without any log-in."""
    query = (
        select(
            logins.c.user,
            func.max(logins.c.last_seen_at).label("last"),
            func.sum(case((_live(at), 1), else_=0)).label("live"),
        )
        .join(users, users.c.user == logins.c.user)
        .where(logins.c.user.in_(accounts))
        .group_by(logins.c.user)
    )
    return {row.user: Seen(row.last, int(row.live)) for row in await connection.execute(query)}


async def live_logins_of(connection: AsyncConnection, user: str, at: float) -> list[LiveLogin]:
    """Newest first."""
    query = (
        select(logins.c.login_id, logins.c.created_at, logins.c.expires_at, logins.c.last_seen_at, logins.c.address)
        .join(users, users.c.user == logins.c.user)
        .where(logins.c.user == user, _live(at))
        .order_by(logins.c.last_seen_at.desc())
        .limit(100)
    )
    return [LiveLogin(*row) for row in await connection.execute(query)]


async def touch_login(connection: AsyncConnection, login_id: str, at: float) -> None:
    await connection.execute(update(logins).where(logins.c.login_id == login_id).values(last_seen_at=at))


async def extend_login(connection: AsyncConnection, login_id: str, expires_at: float, made_after: float) -> bool:
    """Whether it is live, and was made after this."""
    query = update(logins).where(
        logins.c.login_id == login_id, logins.c.revoked_at.is_(None), logins.c.created_at > made_after
    )
    return (await connection.execute(query.values(expires_at=expires_at))).rowcount == 1


async def revoke_login(connection: AsyncConnection, login_id: str, at: float) -> bool:
    """Whether it was live before."""
    query = update(logins).where(logins.c.login_id == login_id, logins.c.revoked_at.is_(None))
    return (await connection.execute(query.values(revoked_at=at))).rowcount == 1


async def revoke_logins_of(connection: AsyncConnection, user: str, at: float) -> None:
    query = update(logins).where(logins.c.user == user, logins.c.revoked_at.is_(None))
    await connection.execute(query.values(revoked_at=at))


async def forget_ended(connection: AsyncConnection, before: float) -> int:
    """Drop log-ins and links that ended before this; how many."""
    ended = (logins.c.expires_at < before) | (logins.c.revoked_at < before)
    gone = (await connection.execute(delete(logins).where(ended))).rowcount
    return gone + (await connection.execute(delete(links).where(links.c.expires_at < before))).rowcount


# --- one-time links -------------------------------------------------------------------------------------------------


async def add_link(connection: AsyncConnection, code_hash: str, user: str, purpose: str, expires_at: float) -> None:
    await connection.execute(
        insert(links).values(code_hash=code_hash, user=user, purpose=purpose, expires_at=expires_at)
    )


async def use_link(connection: AsyncConnection, code_hash: str, purpose: str, at: float) -> User | None:
    """Use up a link, within the caller's transaction: its account, or None if it is not (or no longer) good."""
    query = update(links).where(
        links.c.code_hash == code_hash, links.c.purpose == purpose, links.c.used_at.is_(None), links.c.expires_at > at
    )
    if (await connection.execute(query.values(used_at=at))).rowcount != 1:
        return None
    user = await connection.scalar(select(links.c.user).where(links.c.code_hash == code_hash))
    found = await get_user(connection, cast(str, user))
    return None if found is None or found.disabled else found


async def void_links_of(connection: AsyncConnection, user: str, at: float) -> None:
    """Links of this account are no longer good."""
    await connection.execute(update(links).where(links.c.user == user, links.c.used_at.is_(None)).values(used_at=at))


# --- tokens without an account --------------------------------------------------------------------------------------


async def void_tokens(connection: AsyncConnection, subject: str, at: float, keep_s: float) -> None:
    """Tokens of this device (or the one token of this `jti`) that were issued up to now are void.

    What is older than `keep_s`, the longest life of a token, has nothing left to forbid and goes.
    """
    known = await connection.execute(select(meta.c.key, meta.c.value).where(meta.c.key.startswith(REVOKED)))
    gone = [row.key for row in known if float(row.value) < at - keep_s]
    await connection.execute(delete(meta).where(meta.c.key.in_([*gone, REVOKED + subject])))
    await connection.execute(insert(meta).values(key=REVOKED + subject, value=repr(at)))


async def tokens_void_until(connection: AsyncConnection, *subjects: str) -> float:
    """The latest time up to which tokens of any of these are void; 0.0 if none are."""
    query = select(meta.c.value).where(meta.c.key.in_([REVOKED + subject for subject in subjects]))
    return max((float(value) for value in await connection.scalars(query)), default=0.0)
