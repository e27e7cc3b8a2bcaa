"""The plan of a mine over HTTP: what stands still, who is where, who went where."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from server import plan
from server.api.context import Context
from server.api.http import ApiProblem, Output, Query, Routes, query, require
from server.minutes import Minutes
from server.positions import LivePositions
from server.registry.service import Registry
from signaling.room.messages import Id

Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
MAX_SPAN_S = 32 * 86_400.0
GEOJSON = "application/geo+json"


class SiteOf(Query):
    site: Id


class TracksQuery(SiteOf):
    tags: Annotated[str, Field(max_length=4000)] = ""
    """By commas; none: all that are known now."""
    start: Time
    end: Time
    step_s: Annotated[float, Field(ge=0, le=3600)] = 1.0


class MinutesQuery(SiteOf):
    device: Id
    quantity: Id
    start: Time
    end: Time
    limit: Annotated[int, Field(ge=1, le=10_000)] = 5000


class Collection(Output):
    """GeoJSON (RFC 7946) in the mine's own grid; `properties.crs` says which."""

    type: str
    properties: dict[str, Any]
    features: list[dict[str, Any]]


class MinuteBody(Output):
    at: float
    """Its beginning."""
    count: int
    low: float
    mean: float
    high: float
    last: float
    unit: str
    simulated: bool


class MinutePage(Output):
    items: list[MinuteBody]
    next: float | None


def no_power(_site: str) -> Mapping[str, str]:
    """Where no machine's power is known."""
    return {}


@dataclass(slots=True)
class PlanDoor:
    """The endpoints, over what they show."""

    registry: Registry
    live: LivePositions
    minutes: Minutes
    power: Callable[[str], Mapping[str, str]] = no_power
    """site → device → `on`, `off`, `unknown`."""

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        declare("GET", "/api/plan", access="read", summary="Plans, roadways, zones and cameras of a mine (GeoJSON)",
                query=SiteOf, ok=Collection, content=GEOJSON, errors=("not_found",))(self.still)  # fmt: skip
        declare("GET", "/api/plan/tags", access="read", summary="Where every tag is now, with its age (GeoJSON)",
                query=SiteOf, ok=Collection, content=GEOJSON, errors=("not_found",))(self.moving)  # fmt: skip
        declare("GET", "/api/tracks", access="read", summary="Where tags went (GeoJSON)", query=TracksQuery,
                ok=Collection, content=GEOJSON, errors=("not_found", "bad_request"))(self.tracks)  # fmt: skip
        declare("GET", "/api/readings/minutes", access="read", summary="A curve by the minute, oldest first",
                query=MinutesQuery, ok=MinutePage, errors=("not_found",))(self.by_minute)  # fmt: skip
        return routes

    async def still(self, context: Context, request: web.Request, _body: None) -> dict[str, Any]:
        site = query(request, SiteOf).site
        require(context, request, "read", site)
        return plan.still(self.registry.facts(site))

    async def moving(self, context: Context, request: web.Request, _body: None) -> dict[str, Any]:
        site = query(request, SiteOf).site
        require(context, request, "read", site)
        return plan.moving(self.registry.facts(site), self.live, time.time(), self.power(site))

    async def tracks(self, context: Context, request: web.Request, _body: None) -> dict[str, Any]:
        wish = query(request, TracksQuery)
        require(context, request, "read", wish.site)
        if not wish.start < wish.end <= wish.start + MAX_SPAN_S:
            raise ApiProblem("bad_request", "start must be before end, by at most 32 days.")
        tags = sorted({tag for tag in wish.tags.split(",") if tag})
        if not tags:
            tags = sorted(tag.position.tag for tag in self.live.tags(wish.site))
        found, whole = await plan.tracks(context.database, wish.site, tags, wish.start, wish.end, wish.step_s)
        found["properties"] |= {"crs": self.registry.facts(wish.site).mine.crs, "whole": whole}
        return found

    async def by_minute(self, context: Context, request: web.Request, _body: None) -> MinutePage:
        wish = query(request, MinutesQuery)
        require(context, request, "read", wish.site)
        curve = (wish.site, wish.device, wish.quantity)
        found = await self.minutes.range(curve, wish.start, wish.end, wish.limit + 1)
        items = [
            MinuteBody(
                at=one.minute * 60.0, count=one.count, low=one.low, mean=one.mean, high=one.high, last=one.last,
                unit=one.unit, simulated=one.simulated,
            )
            for one in found[: wish.limit]
        ]  # fmt: skip
        more = found[wish.limit].minute * 60.0 if len(found) > wish.limit else None
        return MinutePage(items=items, next=more)
