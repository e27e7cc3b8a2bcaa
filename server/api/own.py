"""What belongs to the person who asks: settings of the own pages, and which alerts one has looked at."""

import time
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.alerts import reviews
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.store import preferences
from signaling.room.messages import Id

routes = Routes()

COLUMNS, ROWS = 24, 14
"""The grid that a wall is laid out on."""


class Cell(Input):
    """One picture of a wall."""

    camera: Annotated[str, Field(min_length=3, max_length=160, pattern=r"^[^/\s]+/[^\s]+$")]
    """`{site}/{source}`"""
    x: Annotated[int, Field(ge=0, lt=COLUMNS)]
    y: Annotated[int, Field(ge=0, lt=ROWS)]
    w: Annotated[int, Field(ge=2, le=COLUMNS)]
    h: Annotated[int, Field(ge=2, le=ROWS)]


class WallGroup(Input):
    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,24}$")]
    name: Annotated[str, Field(min_length=1, max_length=40)]
    cells: Annotated[tuple[Cell, ...], Field(max_length=48, strict=False)]


class Wall(Input):
    """Named groups of pictures, each laid out freely, and how long the tour stays at one."""

    groups: Annotated[tuple[WallGroup, ...], Field(max_length=24, strict=False)] = ()
    tour_s: Annotated[int, Field(ge=5, le=600)] = 20


class WallBody(Output):
    value: Wall
    version: int
    """For the next `PUT`; 0: nothing was kept yet."""


class KeepWall(Input):
    value: Wall
    version: Annotated[int, Field(ge=0)]


class AlertIds(Input):
    alerts: Annotated[tuple[Id, ...], Field(min_length=1, max_length=100, strict=False)]


class Reviewed(AlertIds):
    reviewed: bool = True


class AcknowledgeAll(AlertIds):
    comment: Annotated[str, Field(max_length=1000)] = ""


class Acknowledged(Output):
    acknowledged: tuple[str, ...]
    over: tuple[str, ...]
    """They had ended before."""


class CountQuery(Query):
    site: Id | None = None
    """Alerts of this site and below; default: of the own."""
    since: Annotated[float, Field(ge=0)] = 0.0
    """Those that opened at this time or later."""


class Count(Output):
    all: int
    new: int
    """Not yet looked at by you."""
    open: int


class Counts(Output):
    counts: dict[str, Count]
    """By severity; one without alerts is left out."""


@routes.route("GET", "/api/me/wall", access="signed_in", summary="The own wall: groups and their layout", ok=WallBody)
async def wall(context: Context, request: web.Request, _body: None) -> WallBody:
    kept = await preferences.read(context.database, visitor(request).user.user, "wall")
    if kept is None:
        return WallBody(value=Wall(), version=0)
    return WallBody(value=Wall.model_validate(kept.value), version=kept.version)


@routes.route(
    "PUT", "/api/me/wall", access="signed_in", body=KeepWall, ok=WallBody, errors=("stale",),
    summary="Keep the own wall; `stale` when another page has kept one meanwhile",
)  # fmt: skip
async def keep_wall(context: Context, request: web.Request, body: KeepWall) -> WallBody:
    user, value = visitor(request).user.user, body.value.model_dump(mode="json")
    version = await preferences.keep(context.database, user, "wall", value, body.version, time.time())
    if version is None:
        raise ApiProblem("stale", "Another page has kept another layout meanwhile.")
    return WallBody(value=body.value, version=version)


async def _sites_of(
    context: Context, request: web.Request, alerts: tuple[str, ...], verb: Literal["read", "acknowledge"]
) -> None:
    """Every one of them is known, and the visitor may do this with it."""
    sites = await reviews.sites_of(context.database, alerts)
    if len(sites) < len(set(alerts)):
        raise ApiProblem("not_found")
    for site in set(sites.values()):
        require(context, request, verb, site)


@routes.route(
    "POST", "/api/alerts/reviewed", access="read", body=Reviewed, ok=None, errors=("not_found",),
    summary="I have looked at these alerts, or not yet: for the own account only",
)  # fmt: skip
async def reviewed(context: Context, request: web.Request, body: Reviewed) -> None:
    await _sites_of(context, request, body.alerts, "read")
    await reviews.mark(context.database, visitor(request).user.user, body.alerts, body.reviewed, time.time())


@routes.route(
    "POST", "/api/alerts/ack", access="acknowledge", body=AcknowledgeAll, ok=Acknowledged, errors=("not_found",),
    summary="Take several alerts at once, all or, if one is not known, none",
)  # fmt: skip
async def acknowledge_all(context: Context, request: web.Request, body: AcknowledgeAll) -> Acknowledged:
    await _sites_of(context, request, body.alerts, "acknowledge")
    taken: list[str] = []
    over: list[str] = []
    for one in dict.fromkeys(body.alerts):
        changed = await context.alerts.acknowledge(
            one, by=visitor(request).user, comment=body.comment, at=time.time(), address=request.remote or ""
        )
        (taken if changed.state == "acknowledged" else over).append(one)
    return Acknowledged(acknowledged=tuple(taken), over=tuple(over))


@routes.route(
    "GET", "/api/alerts/counts", access="read", query=CountQuery, ok=Counts, errors=("not_found",),
    summary="How many alerts of each severity, how many of them you have not looked at, how many are open",
)  # fmt: skip
async def counts(context: Context, request: web.Request, _body: None) -> Counts:
    wish, user = query(request, CountQuery), visitor(request).user
    site = wish.site or user.site
    require(context, request, "read", site)
    found = await reviews.counts(context.database, context.tree[site].path, user.user, wish.since)
    return Counts(counts={severity: Count(**numbers) for severity, numbers in found.items()})
