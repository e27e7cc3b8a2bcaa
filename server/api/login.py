"""Log in and out, who am I, the own password, and the one-time link."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import LOGIN_COOKIE, ApiProblem, Input, Output, Routes, visitor
from server.identity.errors import LoginError
from server.identity.passwords import MAX_PASSWORD_LENGTH
from server.identity.roles import GRANTED, VERBS, Role, Verb
from server.identity.service import Visitor

routes = Routes()

Password = Annotated[str, Field(min_length=1, max_length=MAX_PASSWORD_LENGTH)]
LoginName = Annotated[str, Field(min_length=1, max_length=64)]
Level = Literal["nation", "province", "city", "county", "mine"]
Language = Literal["zh", "en"]


class Me(Output):
    """Who is logged in, and what they may do and see."""

    user: str
    login: str
    name: str
    role: Role
    site: str
    level: Level
    sites: tuple[str, ...]
    """The own site and all below it."""
    verbs: tuple[Verb, ...]
    """What the role may do at these sites."""
    language: Language
    must_change: bool
    """The password was given by somebody else and is to be changed."""
    simulated: bool
    """This server shows simulated data."""


class LoginBody(Input):
    login: LoginName
    password: Password


class LinkCode(Input):
    code: Annotated[str, Field(min_length=1, max_length=128)]


class PasswordChange(Input):
    old: Password
    new: Password


def me(context: Context, who: Visitor) -> Me:
    """What a page needs to know of its user."""
    user = who.user
    return Me(
        user=user.user, login=user.login, name=user.name, role=user.role, site=user.site,
        level=context.tree.level(user.site),  # type: ignore[arg-type]
        sites=context.identity.visible_sites(user), verbs=tuple(verb for verb in VERBS if verb in GRANTED[user.role]),
        language=user.language, must_change=user.must_change, simulated=context.simulated,
    )  # fmt: skip


def set_login_cookie(context: Context, request: web.Request, response: web.StreamResponse, secret: str) -> None:
    """Give the browser its log-in: out of reach of scripts and of other sites' requests."""
    response.set_cookie(
        LOGIN_COOKIE,
        secret,
        max_age=context.settings.auth.login_days * 86400,
        path="/",
        httponly=True,
        samesite="Strict",
        secure=_over_tls(context, request),
    )


def set_guest_cookie(
    context: Context, request: web.Request, response: web.StreamResponse, secret: str, life_s: int
) -> None:
    """As the log-in's, for somebody without an account."""
    response.set_cookie(
        "lamproom_guest", secret, max_age=life_s, path="/", httponly=True, samesite="Strict",
        secure=_over_tls(context, request),
    )  # fmt: skip


def clear_login_cookie(context: Context, request: web.Request, response: web.StreamResponse) -> None:
    response.del_cookie(LOGIN_COOKIE, path="/", httponly=True, samesite="Strict", secure=_over_tls(context, request))


def _over_tls(context: Context, request: web.Request) -> bool:
    return request.secure or (context.settings.server.public_url or "").startswith("https://")


def _entered(context: Context, request: web.Request, who: Visitor, secret: str) -> web.Response:
    response = web.Response(text=me(context, who).model_dump_json(), content_type="application/json")
    set_login_cookie(context, request, response, secret)
    return response


@routes.route(
    "POST", "/api/login", access=None, summary="Log in with name and password", body=LoginBody, ok=Me,
    errors=("wrong_login", "too_many_attempts", "capacity"),
)  # fmt: skip
async def login(context: Context, request: web.Request, body: LoginBody) -> web.Response:
    """Sets the cookie `lamproom_login`."""
    try:
        who, secret = await context.identity.login(body.login, body.password, request.remote or "")
    except LoginError as error:
        context.metrics.logins.labels(error.error).inc()
        raise
    context.metrics.logins.labels("ok").inc()
    return _entered(context, request, who, secret)


@routes.route(
    "POST", "/api/login/keep", access="signed_in", ok=None, errors=("not_signed_in",),
    summary="Let this log-in live on: for a screen on a wall, that nobody sits at",
)  # fmt: skip
async def keep(context: Context, request: web.Request, _body: None) -> web.Response:
    """The cookie, which no script can read, lives on from now; a log-in of more than a year ends all the same."""
    cookie = request.cookies.get(LOGIN_COOKIE)
    if cookie is None:
        raise ApiProblem("not_signed_in", "Only the log-in of a browser lives on.")
    if not await context.identity.keep_login(visitor(request).login):
        raise ApiProblem("not_signed_in", "This log-in is a year old: somebody has to log in again.")
    response = web.Response(status=204)
    set_login_cookie(context, request, response, cookie)
    return response


@routes.route("DELETE", "/api/login", access="signed_in", summary="Log out, everywhere this log-in is in use", ok=None)
async def logout(context: Context, request: web.Request, _body: None) -> web.Response:
    who = visitor(request)
    await context.identity.revoke_login(who.login, by=who.user.user)
    response = web.Response(status=204)
    clear_login_cookie(context, request, response)
    return response


@routes.route(
    "POST", "/api/links/redeem", access=None, summary="Log in with a one-time link, which is used up by it",
    body=LinkCode, ok=Me, errors=("link_invalid", "too_many_attempts"),
)  # fmt: skip
async def redeem(context: Context, request: web.Request, body: LinkCode) -> web.Response:
    """A POST, because programs that preview links fetch them with GET."""
    who, secret = await context.identity.redeem(body.code, request.remote or "")
    context.metrics.logins.labels("link").inc()
    return _entered(context, request, who, secret)


@routes.route("GET", "/api/me", access="signed_in", summary="Who is logged in", ok=Me)
async def who_am_i(context: Context, request: web.Request, _body: None) -> Me:
    return me(context, visitor(request))


@routes.route(
    "PUT", "/api/me/password", access="signed_in", summary="Change the own password; every other log-in ends",
    body=PasswordChange, ok=Me, errors=("wrong_login", "too_many_attempts", "password_too_short", "capacity"),
)  # fmt: skip
async def change_password(context: Context, request: web.Request, body: PasswordChange) -> web.Response:
    who, secret = await context.identity.change_own_password(visitor(request), body.old, body.new, request.remote or "")
    return _entered(context, request, who, secret)
