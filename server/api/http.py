"""The frame that every handler stands in.

A handler is declared with `@routes.route(...)` and gets `(context, request, body)`. Before it runs, the frame has
checked who asks (`access`), where a cookie's request comes from, and the form of body and query; after it, the answer
has been checked against `ok` and written. What a handler raises from the trees of errors below becomes a problem
(RFC 9457). `openapi.py` describes the same declarations.

`access` says who may ask and has no default:

- a `Verb`: people whose role holds it. *Where* they hold it is the handler's question, put by `require`
- `"signed_in"`: every person with a log-in
- `"room_token"`: whoever bears a room token (WHIP, WHEP); `grant(request)` is what it says
- `None`: everybody
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from server.api import strictjson
from server.api.context import CONTEXT, Context
from server.api.problems import STATUS, TEXTS, ApiProblem, FieldProblem
from server.api.security import add_security_headers, allowed_origins, csp_nonce, origin_allowed
from server.identity.errors import AccountError, IdentityError, LoginError, TokenError
from server.identity.roles import VERBS, Verb, holds
from server.identity.service import Visitor
from server.identity.tokens import Grant
from server.observe import HostileLog, OncePerSecond
from server.sessions.errors import SessionError
from server.store import audit
from server.store.errors import NoSuchSite, StoreConflict, StoreError

__all__ = [
    "CONTEXT", "TEXTS", "Access", "ApiProblem", "Context", "Input", "Output", "Query", "Route", "Routes", "bearer",
    "csp_nonce", "frame", "grant", "install", "origin_allowed", "query", "require", "require_server", "visitor",
]  # fmt: skip

Access = Verb | Literal["signed_in", "room_token"] | None
Handler = Callable[[Context, web.Request, Any], Awaitable[object]]
H = TypeVar("H", bound=Handler)
Q = TypeVar("Q", bound=BaseModel)

LOGIN_COOKIE = "lamproom_login"
CSRF_HEADER = "X-Lamproom"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
BODY_TIMEOUT_S = 10.0
MAX_FIELD_PROBLEMS = 10

VISITOR = web.RequestKey("visitor", Visitor)
GRANT = web.RequestKey("grant", Grant)
QUERY: web.RequestKey[BaseModel] = web.RequestKey("query", BaseModel)
HOSTILE = web.AppKey("hostile", HostileLog)
DENIED = web.AppKey("denied", OncePerSecond)

log = structlog.get_logger()


class Input(BaseModel):
    """Base of all bodies: unknown members are refused, no value is bent to another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Query(BaseModel):
    """Base of all query strings: unknown names are refused; numbers are read from their digits."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Output(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Route:
    """One declared method and path."""

    method: str
    path: str
    handler: Handler
    access: Access
    summary: str
    body: type[BaseModel] | None
    query: type[BaseModel] | None
    ok: Any
    """What a good answer holds: a type for JSON, None for an empty 204, `web.StreamResponse` for anything else."""
    status: int
    content: str
    """Media type of a good answer."""
    errors: tuple[str, ...]
    """Stable ids of the refusals beyond those the frame itself gives."""
    adapter: TypeAdapter[Any] | None = field(default=None, repr=False)


class Routes:
    """A collection of routes, by method and path."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], Route] = {}

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def __len__(self) -> int:
        return len(self._routes)

    @classmethod
    def of(cls, *parts: "Routes") -> "Routes":
        """All routes of several collections."""
        whole = cls()
        for part in parts:
            for one in part:
                whole.add(one)
        return whole

    def add(self, route: Route) -> None:
        """
        Raises:
            ValueError: the route is declared already, or its declaration is not sound.
        """
        key = (route.method, route.path)
        if key in self._routes:
            raise ValueError(f"{route.method} {route.path} is declared twice")
        if route.access not in (*VERBS, "signed_in", "room_token", None):
            raise ValueError(f"{route.method} {route.path} declares no known access: {route.access!r}")
        if unknown := set(route.errors) - set(STATUS):
            raise ValueError(f"{route.method} {route.path} names unknown errors: {sorted(unknown)}")
        self._routes[key] = route

    def route(
        self,
        method: str,
        path: str,
        *,
        access: Access,
        summary: str,
        ok: Any,
        body: type[BaseModel] | None = None,
        query: type[BaseModel] | None = None,
        status: int | None = None,
        content: str = "application/json",
        errors: tuple[str, ...] = (),
    ) -> Callable[[H], H]:
        """Declare a handler: `async def handler(context, request, body) -> object of type ok`, or a response."""

        def declare(handler: H) -> H:
            typed = ok is not None and not (isinstance(ok, type) and issubclass(ok, web.StreamResponse))
            number = status or (204 if ok is None else 200)
            adapter = TypeAdapter(ok) if typed else None
            self.add(
                Route(method, path, handler, access, summary, body, query, ok, number, content, errors, adapter)
            )  # fmt: skip
            return handler

        return declare

    def mount(self, app: web.Application) -> None:
        """Add all routes to the application. `install(app, context)` is called once, too."""
        for route in self:
            app.router.add_route(route.method, route.path, _Framed(route).answer)


def install(app: web.Application, context: Context) -> None:
    """Give the application its context, the frame around all answers, and the security headers."""
    app[CONTEXT] = context
    app[HOSTILE] = HostileLog(context.metrics)
    app[DENIED] = OncePerSecond()
    app.middlewares.append(frame)
    app.on_response_prepare.append(add_security_headers)


# --- what handlers ask ----------------------------------------------------------------------------------------------


def visitor(request: web.Request) -> Visitor:
    """Who asks; only where `access` is a verb or `signed_in`."""
    return request[VISITOR]


def grant(request: web.Request) -> Grant:
    """What the room token says; only where `access` is `room_token`."""
    return request[GRANT]


def query(request: web.Request, kind: type[Q]) -> Q:
    """The query string, as the model that the route declares."""
    found = request[QUERY]
    if not isinstance(found, kind):
        raise TypeError(f"the route declares another query than {kind.__name__}")
    return found


def require(context: Context, request: web.Request, verb: Verb, site: str, *, missing: str = "not_found") -> Visitor:
    """The visitor, if he may do this at this site.

    Raises:
        ApiProblem: 404 `missing` when the site is outside of what he may see (or is not there); 403 otherwise.
    """
    who = visitor(request)
    if not context.identity.may(who.user, "read", site):
        raise ApiProblem(missing)
    if not context.identity.may(who.user, verb, site):
        raise ApiProblem("not_allowed")
    return who


def require_server(context: Context, request: web.Request, verb: Verb) -> Visitor:
    """The visitor, if he may do this for the server as a whole: what is about no site is for its uppermost one.

    Raises:
        ApiProblem: as `require`.
    """
    return require(context, request, verb, context.tree.top)


def bearer(request: web.BaseRequest) -> str | None:
    """The token of `Authorization: Bearer`; None if there is none."""
    sent = request.headers.getall("Authorization", [])
    if len(sent) != 1:
        return None
    scheme, _, token = sent[0].partition(" ")
    token = token.strip()
    return token if scheme.lower() == "bearer" and token else None


# --- the frame ------------------------------------------------------------------------------------------------------


@web.middleware
async def frame(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Around every answer: refusals become problems, everything is counted."""
    started = time.monotonic()
    context = request.app[CONTEXT]
    status = 500
    try:
        response = await _answer(request, handler)
        status = response.status
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        resource = request.match_info.route.resource
        where = resource.canonical if resource is not None else "none"
        method = request.method if request.method in METHODS else "other"
        context.metrics.requests.labels(method, where, str(status)).inc()
        if status != HTTPStatus.SWITCHING_PROTOCOLS:
            took = time.monotonic() - started
            context.metrics.request_seconds.labels(method, where).observe(took)
            log.debug("request", method=method, route=where, status=status, seconds=round(took, 4))
    return response


METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def _answer(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except ApiProblem as problem:
        if problem.error == "not_allowed":
            await _audit_denied(request)
        return _refuse(request, problem)
    except (IdentityError, SessionError, StoreError) as error:
        return _refuse(request, _problem_of(error))
    except web.HTTPException as error:
        if error.status < 400 or _is_page(request):
            raise
        stable = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 403: "not_allowed"}
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        stable_id = stable.get(error.status, "bad_request")
        return _refuse(request, ApiProblem(stable_id, status=error.status, headers=headers))


async def _audit_denied(request: web.Request) -> None:
    """Who tried what he may not. At most one row a second and person: the audit cannot be flooded."""
    who, route = request.get(VISITOR), request.match_info.route.resource
    if who is None or request.app[DENIED].admit(who.user.user, "denied", time.monotonic()) is None:
        return
    try:
        async with request.app[CONTEXT].database.transaction() as connection:
            await audit.append(
                connection,
                at=time.time(),
                actor=who.user.user,
                action="denied",
                object=request.path[:200],
                site=who.user.site,
                result="refused",
                address=request.remote or "",
                detail={"method": request.method, "route": route.canonical if route else ""},
            )
    except StoreError as error:  # it stays refused, whether or not that can be written down
        log.error("audit_failed", error=type(error).__name__)


def _is_page(request: web.Request) -> bool:
    return not request.path.startswith(("/api/", "/whip", "/whep", "/-/", "/metrics"))


def _refuse(request: web.Request, problem: ApiProblem) -> web.Response:
    if problem.status in (400, 401, 403, 413, 415, 429):
        source = request.remote or "unknown"
        request.app[HOSTILE].refused(source, f"http_{problem.error}", problem.detail, method=request.method)
    elif problem.status >= 500:
        log.warning("refused", error=problem.error, reason=problem.detail)
    return problem.response()


def _problem_of(error: IdentityError | SessionError | StoreError) -> ApiProblem:
    """The problem for an error of ours. Details of log-ins, tokens and the database stay here."""
    if isinstance(error, LoginError):
        wait = error.retry_after_s
        headers = {"Retry-After": str(max(1, round(wait)))} if wait is not None else {}
        return ApiProblem(error.error, headers=headers)
    if isinstance(error, AccountError | SessionError):
        known = error.error if error.error in STATUS else "not_allowed"
        return ApiProblem(known, error.detail)
    if isinstance(error, IdentityError):  # TokenError, RoomRefused
        return ApiProblem(error.error)
    if isinstance(error, NoSuchSite):
        return ApiProblem("not_found")
    if isinstance(error, StoreConflict):
        return ApiProblem("conflict")
    log.error("store_failed", error=type(error).__name__, reason=str(error))
    return ApiProblem("store_unavailable", headers={"Retry-After": "2"})


class _Framed:
    """The aiohttp handler of a route."""

    def __init__(self, route: Route) -> None:
        self._route = route

    async def answer(self, request: web.Request) -> web.StreamResponse:
        route, context = self._route, request.app[CONTEXT]
        if any(not strictjson.storable(value) for value in request.match_info.values()):
            raise ApiProblem("not_found")
        await _admit(context, request, route.access)
        if route.query is not None:
            request[QUERY] = _read_query(request, route.query)
        body = await _read_body(request, route.body) if route.body is not None else None
        answer = await route.handler(context, request, body)
        if isinstance(answer, web.StreamResponse):
            return answer
        if route.adapter is None:
            return web.Response(status=route.status)
        raw = route.adapter.dump_json(route.adapter.validate_python(answer))
        return web.Response(body=raw, status=route.status, content_type=route.content, charset="utf-8")


async def _admit(context: Context, request: web.Request, access: Access) -> None:
    """Who asks, and may they at all.

    Raises:
        ApiProblem, TokenError: no.
    """
    changes = request.method not in SAFE_METHODS
    if changes and not origin_allowed(request, allowed_origins(context.settings.server)):
        raise ApiProblem("foreign_origin", "The Origin of the request is not allowed.")
    if access is None:
        return
    token = bearer(request)
    if access == "room_token":
        if token is None:
            raise TokenError("token_invalid", "There is no room token.")
        request[GRANT] = await context.identity.verify(token)
        return
    who = await context.identity.user_of_cookie(token or request.cookies.get(LOGIN_COOKIE, ""))
    if who is None:
        raise ApiProblem("not_signed_in")
    if changes and token is None and request.headers.get(CSRF_HEADER) != "1":
        raise ApiProblem("foreign_origin", f"A request made by cookie needs the header {CSRF_HEADER}: 1.")
    request[VISITOR] = who
    if access != "signed_in" and not holds(who.user.role, access):
        raise ApiProblem("not_allowed")


def _read_query(request: web.Request, kind: type[BaseModel]) -> BaseModel:
    pairs = request.query
    if len(set(pairs)) != len(pairs):
        raise ApiProblem("bad_request", "A name stands twice in the query.")
    if any(not strictjson.storable(text) for pair in pairs.items() for text in pair):
        raise ApiProblem("bad_request", "The query holds a NUL or half of a surrogate pair.")
    try:
        return kind.model_validate(dict(pairs))
    except ValidationError as error:
        raise _invalid(error) from error


async def raw_body(request: web.Request, limit: int, timeout_s: float | None = None) -> bytes:
    """The body as it was sent.

    Raises:
        ApiProblem: more than `limit` bytes, too slow, or broken.
    """
    if (request.content_length or 0) > limit:
        raise ApiProblem("too_large", f"The body may have {limit} bytes.")
    raw = bytearray()
    try:
        async with asyncio.timeout(timeout_s or BODY_TIMEOUT_S):
            while chunk := await request.content.read(1 << 16):
                raw += chunk
                if len(raw) > limit:
                    raise ApiProblem("too_large", f"The body may have {limit} bytes.")
    except TimeoutError:
        raise ApiProblem("timeout", "The body did not arrive in time.") from None
    except web.RequestPayloadError as error:
        raise ApiProblem("bad_request", "The body could not be read.") from error
    return bytes(raw)


async def _read_body(request: web.Request, kind: type[BaseModel]) -> BaseModel:
    if request.content_type != "application/json":
        raise ApiProblem("not_json", "The Content-Type must be application/json.")
    raw = await raw_body(request, strictjson.MAX_BODY_BYTES)
    try:
        value = strictjson.loads(raw)
        # Strict JSON mode: lists become tuples, nothing else is bent.
        return kind.model_validate_json(raw) if isinstance(value, dict) else kind.model_validate(value)
    except strictjson.JsonRefused as error:
        raise ApiProblem("bad_request", str(error)) from error
    except ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: ValidationError) -> ApiProblem:
    """Which values, and why; never what was sent."""
    fields = tuple(
        FieldProblem(where=".".join(str(step) for step in one["loc"])[:100], why=one["msg"][:200])
        for one in error.errors(include_url=False, include_input=False, include_context=False)[:MAX_FIELD_PROBLEMS]
    )
    return ApiProblem("invalid", fields=fields)
