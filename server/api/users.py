"""Accounts and one-time links, by an admin of the site or above."""

import secrets
import time
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.api.login import Language, Password
from server.identity.service import LINK_LIFE_S, MAX_LINK_LIFE_S, User, Visitor
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


class UserPage(Output):
    items: list[UserBody]
    next: str | None
    """For `after`; null on the last page."""


class UserQuery(Query):
    site: Id | None = None
    """Accounts of this site and below; default: of the own."""
    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class NewUser(Input):
    login: LoginSpelling
    name: PersonName
    role: PersonRole
    site: Id
    language: Language = "zh"
    password: Password | None = None
    """To be changed at the first log-in. Without one the account is entered by a one-time link."""


class UserChange(Input):
    name: PersonName | None = None
    role: PersonRole | None = None
    site: Id | None = None
    language: Language | None = None
    disabled: bool | None = None
    password: Password | None = None


class LinkWish(Input):
    user: Id
    life_s: Annotated[int, Field(ge=60, le=int(MAX_LINK_LIFE_S))] = int(LINK_LIFE_S)


class LinkBody(Output):
    code: str
    url: str
    """To open in a browser; works once."""
    expires_at: float


def _body(user: User) -> dict[str, object]:
    return {name: getattr(user, name) for name in UserBody.model_fields}


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
    found = await context.identity.list_users(site, wish.after, wish.limit + 1)
    more = len(found) > wish.limit
    found = found[: wish.limit]
    return {"items": [_body(user) for user in found], "next": found[-1].user if more else None}


@routes.route(
    "POST", "/api/users", access="administer", summary="A new account", body=NewUser, ok=UserBody, status=201,
    errors=("login_taken", "password_too_short", "no_such_site", "capacity"),
)  # fmt: skip
async def add_user(context: Context, request: web.Request, body: NewUser) -> dict[str, object]:
    who = require(context, request, "administer", body.site, missing="no_such_site")
    user = await context.identity.add_user(
        body.login,
        body.password if body.password is not None else secrets.token_urlsafe(32),
        name=body.name,
        role=body.role,
        site=body.site,
        language=body.language,
        must_change=True,
        by=who.user.user,
    )
    return _body(user)


@routes.route(
    "PATCH", "/api/users/{id}", access="administer", body=UserChange, ok=UserBody,
    summary="Change an account; a new role, site or password ends its access",
    errors=("no_such_user", "no_such_site", "password_too_short", "conflict", "capacity"),
)  # fmt: skip
async def change_user(context: Context, request: web.Request, body: UserChange) -> dict[str, object]:
    who, user = await _managed(context, request, request.match_info["id"])
    if user.user == who.user.user and (body.role, body.site, body.disabled) != (None, None, None):
        raise ApiProblem("conflict", "Nobody changes the role or the site of the own account, or disables it.")
    if body.site is not None:
        require(context, request, "administer", body.site, missing="no_such_site")
    changed = await context.identity.change_user(user, **body.model_dump(exclude_none=True), by=who.user.user)
    return _body(changed)


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
