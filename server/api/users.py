"""Accounts and one-time links, by an admin of the site or above."""

import secrets
import time
from typing import Annotated, Literal, get_args

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.api.login import Language, Level, Password
from server.identity.roles import GRANTED, VERBS, Verb
from server.identity.service import LINK_LIFE_S, MAX_LINK_LIFE_S, User, Visitor
from server.store.identity import Seen
from signaling.room.messages import Id

routes = Routes()

PersonRole = Literal["admin", "supervisor", "dispatcher", "engineer", "viewer"]
LoginSpelling = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
PersonName = Annotated[str, Field(min_length=1, max_length=64)]


class UserBody(Output):
    user: str
    login: str
    name: str
    role: PersonRole
    site: str
    language: Language
    disabled: bool
    must_change: bool
    created_at: float

    level: Level
    """Of the site."""
    last_seen_at: float | None
    """When a browser of this account was last here; null: in the last months not at all."""
    logins: int
    """Log-ins that are good now."""


class UserPage(Output):
    items: list[UserBody]
    next: str | None
    """For `after`; null on the last page."""


class UserQuery(Query):
    site: Id | None = None
    """Accounts of this site and below; default: of the own."""
    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    q: Annotated[str, Field(max_length=64)] = ""
    """Stands in the login or in the name."""
    role: PersonRole | None = None


class NewUser(Input):
    login: LoginSpelling
    name: PersonName
    role: PersonRole
    site: Id
    language: Language = "zh"
    password: Password | None = None
    """To be changed at the first log-in. Without one the account is entered by a one-time link."""
    one_time_password: bool = False
    """Make a password, answer it this once, and have it changed at the first log-in."""


class UserChange(Input):
    name: PersonName | None = None
    role: PersonRole | None = None
    site: Id | None = None
    language: Language | None = None
    disabled: bool | None = None
    password: Password | None = None


class NewUserBody(UserBody):
    one_time_password: str | None = None
    """Shown this once."""


class PasswordBody(Output):
    password: str
    """Shown this once; to be changed at the first log-in."""


class LiveLogin(Output):
    login: str
    created_at: float
    expires_at: float
    last_seen_at: float
    address: str
    own: bool
    """The one that asks."""


class LiveLogins(Output):
    items: list[LiveLogin]


class RoleBody(Output):
    role: PersonRole
    verbs: list[Verb]


class RoleTable(Output):
    verbs: list[Verb]
    roles: list[RoleBody]


class LinkWish(Input):
    user: Id
    life_s: Annotated[int, Field(ge=60, le=int(MAX_LINK_LIFE_S))] = int(LINK_LIFE_S)


class LinkBody(Output):
    code: str
    url: str
    """To open in a browser; works once."""
    expires_at: float


def _body(context: Context, user: User, seen: Seen | None = None) -> dict[str, object]:
    known = {name: getattr(user, name) for name in UserBody.model_fields if hasattr(user, name)}
    found = seen or Seen()
    level = context.tree.level(user.site)
    return known | {"level": level, "last_seen_at": found.last_seen_at, "logins": found.live}


async def _seen_body(context: Context, user: User) -> dict[str, object]:
    return _body(context, user, (await context.identity.seen([user.user])).get(user.user))


async def _managed(context: Context, request: web.Request, user: str) -> tuple[Visitor, User]:
    """The account, if the visitor may administer it."""
    found = await context.identity.get_user(user)
    if found is None:
        raise ApiProblem("no_such_user")
    return require(context, request, "administer", found.site, missing="no_such_user"), found


@routes.route(
    "GET", "/api/users", access="administer", summary="Accounts of a site and all below it", query=UserQuery,
    ok=UserPage, errors=("not_found",),
)  # fmt: skip
async def users(context: Context, request: web.Request, _body_: None) -> dict[str, object]:
    wish = query(request, UserQuery)
    site = wish.site or visitor(request).user.site
    require(context, request, "administer", site)
    found = await context.identity.list_users(site, wish.after, wish.limit + 1, text=wish.q.strip(), role=wish.role)
    more = len(found) > wish.limit
    found = found[: wish.limit]
    seen = await context.identity.seen([user.user for user in found])
    items = [_body(context, user, seen.get(user.user)) for user in found]
    return {"items": items, "next": found[-1].user if more else None}


@routes.route("GET", "/api/roles", access="signed_in", summary="What each role may do", ok=RoleTable)
async def roles(_context: Context, _request: web.Request, _body_: None) -> RoleTable:
    """The table by which rights are decided, not a description of it."""
    table = [
        RoleBody(role=role, verbs=[verb for verb in VERBS if verb in GRANTED[role]]) for role in get_args(PersonRole)
    ]
    return RoleTable(verbs=list(VERBS), roles=table)


@routes.route(
    "POST", "/api/users", access="administer", summary="A new account", body=NewUser, ok=NewUserBody, status=201,
    errors=("login_taken", "password_too_short", "no_such_site", "capacity"),
)  # fmt: skip
async def add_user(context: Context, request: web.Request, body: NewUser) -> dict[str, object]:
    who = require(context, request, "administer", body.site, missing="no_such_site")
    if body.one_time_password and body.password is not None:
        raise ApiProblem("invalid", "Either a password is given, or one is made.")
    made = context.identity.one_time_password() if body.one_time_password else None
    user = await context.identity.add_user(
        body.login,
        made or (body.password if body.password is not None else secrets.token_urlsafe(32)),
        name=body.name,
        role=body.role,
        site=body.site,
        language=body.language,
        must_change=True,
        by=who.user.user,
    )
    return _body(context, user) | {"one_time_password": made}


@routes.route(
    "PATCH", "/api/users/{id}", access="administer", body=UserChange, ok=UserBody,
    summary="Change an account; a new role, site or password ends its access",
    errors=("no_such_user", "no_such_site", "password_too_short", "own_account", "last_admin", "capacity"),
)  # fmt: skip
async def change_user(context: Context, request: web.Request, body: UserChange) -> dict[str, object]:
    who, user = await _managed(context, request, request.match_info["id"])
    if user.user == who.user.user and (body.role, body.site, body.disabled, body.password) != (None,) * 4:
        raise ApiProblem("own_account")
    if body.site is not None:
        require(context, request, "administer", body.site, missing="no_such_site")
    changed = await context.identity.change_user(user, **body.model_dump(exclude_none=True), by=who.user.user)
    return await _seen_body(context, changed)


@routes.route(
    "POST", "/api/users/{id}/password", access="administer", ok=PasswordBody,
    summary="A new one-time password; all access of the account ends",
    errors=("no_such_user", "own_account", "capacity"),
)  # fmt: skip
async def reset_password(context: Context, request: web.Request, _body_: None) -> PasswordBody:
    who, user = await _managed(context, request, request.match_info["id"])
    if user.user == who.user.user:
        raise ApiProblem("own_account")
    return PasswordBody(password=await context.identity.reset_password(user, by=who.user.user))


@routes.route(
    "GET", "/api/users/{id}/logins", access="administer", ok=LiveLogins, errors=("no_such_user",),
    summary="Log-ins of an account that are good now: since when, from where",
)  # fmt: skip
async def logins(context: Context, request: web.Request, _body_: None) -> LiveLogins:
    who, user = await _managed(context, request, request.match_info["id"])
    found = await context.identity.logins_of(user.user)
    return LiveLogins(items=[
        LiveLogin(
            login=one.login_id, created_at=one.created_at, expires_at=one.expires_at, last_seen_at=one.last_seen_at,
            address=one.address, own=one.login_id == who.login,
        )
        for one in found
    ])  # fmt: skip


@routes.route(
    "POST", "/api/users/{id}/logins/{login}/revoke", access="administer", ok=None, errors=("no_such_user", "not_found"),
    summary="End one log-in and the tokens fetched with it",
)  # fmt: skip
async def revoke_login(context: Context, request: web.Request, _body_: None) -> None:
    who, user = await _managed(context, request, request.match_info["id"])
    login = request.match_info["login"]
    if all(one.login_id != login for one in await context.identity.logins_of(user.user)):
        raise ApiProblem("not_found")
    await context.identity.revoke_login(login, by=who.user.user, site=user.site)


@routes.route(
    "POST", "/api/users/{id}/revoke", access="administer", ok=None, errors=("no_such_user",),
    summary="End all log-ins, links and tokens of an account; it may log in again",
)  # fmt: skip
async def revoke_user(context: Context, request: web.Request, _body_: None) -> None:
    who, user = await _managed(context, request, request.match_info["id"])
    await context.identity.revoke_user(user.user, by=who.user.user)


@routes.route(
    "POST", "/api/links", access="administer", summary="A link that logs a user in, once", body=LinkWish, ok=LinkBody,
    status=201, errors=("no_such_user",),
)  # fmt: skip
async def make_link(context: Context, request: web.Request, body: LinkWish) -> LinkBody:
    who, user = await _managed(context, request, body.user)
    code = await context.identity.make_link(user.user, by=who.user.user, ttl=body.life_s)
    base = context.settings.server.public_url or f"{request.scheme}://{request.host}"
    return LinkBody(code=code, url=f"{base.rstrip('/')}/enter/{code}", expires_at=time.time() + body.life_s)
