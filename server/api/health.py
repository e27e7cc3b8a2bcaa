"""Alive, ready, metrics."""

import asyncio
from ipaddress import ip_address

import structlog
from aiohttp import web

from server.api.context import Check, Context
from server.api.http import LOGIN_COOKIE, ApiProblem, Output, Routes, bearer
from server.identity.roles import holds
from server.store.errors import StoreError

routes = Routes()
log = structlog.get_logger()

CHECK_TIMEOUT_S = 2.0
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")


class Ready(Output):
    ready: bool
    checks: dict[str, bool]
    """By name; what is wrong stands in the log."""


async def healthy(_context: Context, _request: web.Request, _body: None) -> web.Response:
    """The process answers; nothing else is looked at."""
    return web.Response(text="ok\n")


for path in ("/-/healthy", "/healthz"):
    routes.route("GET", path, access=None, summary="The process is alive", ok=web.Response, content="text/plain")(
        healthy
    )


async def run_checks(context: Context) -> dict[str, str | None]:
    """Every named check, side by side: None, or what is wrong."""
    names = list(context.checks)
    found = await asyncio.gather(*(_checked(context.checks[name]) for name in names))
    return dict(zip(names, found, strict=True))


async def _checked(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except TimeoutError:
        return f"There was no answer in {CHECK_TIMEOUT_S:.0f} s."
    except StoreError as error:
        return f"The store failed: {error}"


@routes.route("GET", "/-/ready", access=None, summary="The server can do its work", ok=Ready, errors=("not_ready",))
async def ready(context: Context, _request: web.Request, _body: None) -> web.Response:
    """503 with the same body when a check fails."""
    found = await run_checks(context)
    for name, wrong in found.items():
        context.metrics.ready.labels(name).set(wrong is None)
        if wrong is not None:
            log.warning("not_ready", check=name, reason=wrong)
    body = Ready(ready=not any(found.values()), checks={name: wrong is None for name, wrong in found.items()})
    return web.json_response(body.model_dump(), status=200 if body.ready else 503)


@routes.route(
    "GET", "/metrics", access=None, ok=web.Response, content="text/plain", errors=("not_allowed",),
    summary="Prometheus metrics: for programs on this machine, and for whoever may configure",
)  # fmt: skip
async def metrics(context: Context, request: web.Request, _body: None) -> web.Response:
    """How busy a dispatch room is concerns nobody outside; a scraper elsewhere bears the log-in of an engineer."""
    if not _from_this_machine(request):
        who = await context.identity.user_of_cookie(bearer(request) or request.cookies.get(LOGIN_COOKIE, ""))
        if who is None or not holds(who.user.role, "configure"):
            raise ApiProblem("not_allowed")
    return web.Response(body=context.metrics.text(), headers={"Content-Type": METRICS_TYPE})


def _from_this_machine(request: web.Request) -> bool:
    """Not through a proxy, which is on this machine itself."""
    if any(name in request.headers for name in FORWARDED):
        return False
    try:
        return ip_address(request.remote or "").is_loopback
    except ValueError:
        return False
