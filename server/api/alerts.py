"""Alerts: list, look at, take, end; and their pictures."""

import asyncio
import hashlib
import os
import stat
import time
from pathlib import Path
from typing import Annotated, Literal

import structlog
from aiohttp import web
from pydantic import Field

from analytics.finding import Severity
from server.alerts import reviews
from server.alerts.errors import AlertOver, NoSuchAlert
from server.alerts.machine import Alert
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.identity.roles import Verb
from server.identity.service import Visitor
from server.store.errors import StoreError
from server.store.pictures import open_picture
from signaling.room.messages import Id, Text

routes = Routes()
log = structlog.get_logger()

MAX_PICTURE_BYTES = 16 * 1024 * 1024

StateName = Literal["open", "acknowledged", "cleared", "closed"]
Outcome = Literal["confirmed", "false_alarm", "explained"]
Comment = Annotated[str, Field(max_length=1000)]


class AcknowledgedBody(Output):
    by: str
    name: str
    site: str
    at: float
    comment: str


class ClosedBody(AcknowledgedBody):
    reason: str


class EvidenceBody(Output):
    name: str
    width: int
    height: int
    sha256: str
    at: float


class AlertBody(Output):
    id: str
    site: str
    key: str
    """`{site}/{rule}/{subject}`: at most one open alert per key."""
    rule: str
    subject: str
    severity: Severity
    state: StateName
    title: Text
    opened_at: float
    """When the condition became true, on the source's clock. All times: seconds since the Unix epoch, UTC."""
    at: float
    """When the server last changed it."""
    acknowledged: AcknowledgedBody | None
    cleared_at: float | None
    duration_s: float | None
    occurrences: int
    no_data: bool
    """The data of this alert are missing; it stays as it was."""
    evidence: list[EvidenceBody]
    explain: dict[str, object]
    """Inputs, threshold, value, window: enough to reproduce it."""
    outcome: Outcome | None
    closed: ClosedBody | None
    simulated: bool


class AlertPage(Output):
    items: list[AlertBody]
    next: str | None
    """For `after`; null on the last page."""
    reviewed: tuple[str, ...]
    """Those of them that you have looked at."""


class AlertQuery(Query):
    site: Id | None = None
    """Alerts of this site and below; default: of the own."""
    state: StateName | None = None
    severity: Severity | None = None
    unreviewed: bool = False
    """Only those that you have not looked at."""
    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Acknowledge(Input):
    comment: Comment = ""


class Close(Input):
    outcome: Outcome
    reason: Annotated[str, Field(max_length=200)] = ""
    comment: Comment = ""


async def _known(context: Context, request: web.Request, verb: Verb) -> tuple[Visitor, Alert]:
    """The alert of the path, if the visitor may do this with it."""
    alert = await context.alerts.get(request.match_info["id"])
    if alert is None:
        raise ApiProblem("not_found")
    return require(context, request, verb, alert.site), alert


@routes.route(
    "GET", "/api/alerts", access="read", summary="Alerts of a site and all below it, newest first", query=AlertQuery,
    ok=AlertPage, errors=("not_found",),
)  # fmt: skip
async def alerts(context: Context, request: web.Request, _body: None) -> dict[str, object]:
    wish = query(request, AlertQuery)
    site = wish.site or visitor(request).user.site
    require(context, request, "read", site)
    user = visitor(request).user.user
    found = list(
        await context.alerts.list(
            site, wish.state, wish.after, wish.limit, severity=wish.severity, not_seen_by=user * wish.unreviewed
        )
    )
    return {
        "items": [alert.as_dict() for alert in found],
        "next": found[-1].id if len(found) == wish.limit else None,
        "reviewed": await reviews.of_user(context.database, user, [one.id for one in found]),
    }


@routes.route(
    "GET", "/api/alerts/{id}", access="read", summary="One alert", ok=AlertBody, errors=("not_found",)
)  # fmt: skip
async def alert(context: Context, request: web.Request, _body: None) -> dict[str, object]:
    _, found = await _known(context, request, "read")
    return found.as_dict()


@routes.route(
    "POST", "/api/alerts/{id}/ack", access="acknowledge", body=Acknowledge, ok=AlertBody, errors=("not_found",),
    summary="Take an alert; the first one counts, doing it again is no error",
)  # fmt: skip
async def acknowledge(context: Context, request: web.Request, body: Acknowledge) -> dict[str, object]:
    who, found = await _known(context, request, "acknowledge")
    changed = await context.alerts.acknowledge(
        found.id, by=who.user, comment=body.comment, at=time.time(), address=request.remote or ""
    )
    return changed.as_dict()


@routes.route(
    "POST", "/api/alerts/{id}/close", access="close", body=Close, ok=AlertBody, errors=("not_found", "stale"),
    summary="End an alert, and say what it was",
)  # fmt: skip
async def close(context: Context, request: web.Request, body: Close) -> dict[str, object]:
    who, found = await _known(context, request, "close")
    try:
        changed = await context.alerts.close(
            found.id,
            by=who.user,
            outcome=body.outcome,
            reason=body.reason,
            comment=body.comment,
            at=time.time(),
            address=request.remote or "",
        )
    except AlertOver as error:
        raise ApiProblem("stale", "Somebody else has closed this alert.") from error
    except NoSuchAlert as error:
        raise ApiProblem("not_found") from error
    return changed.as_dict()


@routes.route(
    "GET", "/api/alerts/{id}/evidence/{name}", access="read", summary="A picture of an alert", ok=web.Response,
    content="image/jpeg", errors=("not_found", "conflict"),
)  # fmt: skip
async def evidence(context: Context, request: web.Request, _body: None) -> web.Response:
    """Served only if the alert has a picture of this name and the file is still the one that was stored."""
    _, found = await _known(context, request, "read")
    picture = next((one for one in found.evidence if one.name == request.match_info["name"]), None)
    if picture is None:
        raise ApiProblem("not_found")
    try:
        path = open_picture(context.settings.server.data_dir, found.id, picture.name)
        raw = await asyncio.to_thread(_read, path)
    except (StoreError, OSError) as error:
        log.error("picture_lost", alert=found.id, picture=picture.name, reason=type(error).__name__)
        raise ApiProblem("not_found", "The picture is no longer there.") from error
    if hashlib.sha256(raw).hexdigest() != picture.sha256:
        log.error("picture_changed", alert=found.id, picture=picture.name)
        raise ApiProblem("conflict", "The picture on disk is not the one that was stored.")
    headers = {"Cache-Control": "private, max-age=86400, immutable", "ETag": f'"{picture.sha256}"'}
    return web.Response(body=raw, content_type="image/jpeg", headers=headers)


def _read(path: Path) -> bytes:
    """A plain file below a folder that is no link either."""
    if path.parent.is_symlink():
        raise OSError("a folder of pictures is a link")
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_PICTURE_BYTES:
            raise OSError("not a picture file")
        return file.read()
