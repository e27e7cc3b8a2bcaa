"""Readings and positions: curves, and the newest of each."""

import time
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Output, Query, Routes, query, require
from server.telemetry import position_body, reading_body
from signaling.room.messages import Id

routes = Routes()

DEFAULT_SPAN_S = 3600.0
Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]


class ReadingBody(Output):
    site: str
    device: str
    quantity: str
    value: float
    unit: str
    source_at: float
    """When the device says it measured: seconds since the Unix epoch."""
    received_at: float
    seq: int
    quality: Literal["good", "suspect", "bad"]
    simulated: bool


class ReadingPage(Output):
    items: list[ReadingBody]
    next: float | None
    """Of a curve: `start` for what did not fit; null when all is here."""


class PositionBody(Output):
    site: str
    tag: str
    kind: Literal["person", "vehicle"]
    x_m: float
    y_m: float
    z_m: float
    zone: str
    source_at: float
    received_at: float
    seq: int
    label: str
    simulated: bool
    presence: Literal["", "in", "out"]


class PositionPage(Output):
    items: list[PositionBody]
    next: None


class ReadingQuery(Query):
    site: Id
    device: Id | None = None
    """With `quantity`: a curve. Without: the newest of each device and quantity."""
    quantity: Id | None = None
    start: Time | None = None
    """Default: an hour before `end`."""
    end: Time | None = None
    """Default: now."""
    limit: Annotated[int, Field(ge=1, le=10_000)] = 5000


class PositionQuery(Query):
    site: Id


@routes.route(
    "GET", "/api/readings", access="read", query=ReadingQuery, ok=ReadingPage, errors=("not_found",),
    summary="A curve (start ≤ source_at < end, oldest first), or the newest readings of a site",
)  # fmt: skip
async def readings(context: Context, request: web.Request, _body: None) -> dict[str, object]:
    wish = query(request, ReadingQuery)
    require(context, request, "read", wish.site)
    if wish.device is None and wish.quantity is None:
        return {"items": [reading_body(one) for one in await context.telemetry.newest(wish.site)], "next": None}
    if wish.device is None or wish.quantity is None:
        raise ApiProblem("bad_request", "A curve needs both device and quantity.")
    end = wish.end if wish.end is not None else time.time() + 1.0
    start = wish.start if wish.start is not None else end - DEFAULT_SPAN_S
    found = await context.telemetry.readings(wish.site, wish.device, wish.quantity, start, end, wish.limit + 1)
    more = found[wish.limit].source_at if len(found) > wish.limit else None
    return {"items": [reading_body(one) for one in found[: wish.limit]], "next": more}


@routes.route(
    "GET", "/api/positions", access="read", query=PositionQuery, ok=PositionPage, errors=("not_found",),
    summary="The newest position of each tag of a site",
)  # fmt: skip
async def positions(context: Context, request: web.Request, _body: None) -> dict[str, object]:
    wish = query(request, PositionQuery)
    require(context, request, "read", wish.site)
    return {"items": [position_body(one) for one in await context.telemetry.positions(wish.site)], "next": None}
