"""Drills: begin one, end it, and what came of those that were."""

from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.alerts.errors import AlertOver
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require
from server.duty.drill import Wish
from server.duty.drills import DrillRefused, Drills
from signaling.room.messages import Id

MAX_SHOWN = 100


class DrillQuery(Query):
    site: Id


class DrillBegin(Input):
    site: Id
    severity: Literal["warning", "alarm", "critical"] = "alarm"
    like: Annotated[str, Field(max_length=63)] = ""
    """Run the chain that alerts of this rule follow."""
    words: Annotated[str, Field(max_length=120)] = ""
    numbers: bool = False
    """Also test every number of the site's call list."""


class DrillList(Output):
    items: tuple[dict[str, object], ...]


@dataclass(slots=True)
class DrillDoor:
    """The endpoints of drills."""

    drills: Drills

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        declare("GET", "/api/drills", access="read", query=DrillQuery, ok=DrillList, errors=("not_found",),
                summary="Drills of a site and below, newest first, and what came of them")(self.show)  # fmt: skip
        declare("POST", "/api/drills", access="roster", body=DrillBegin, ok=dict[str, object], status=201,
                errors=("not_found", "stale"),
                summary="Run the chain of a site as a drill, up to the own site")(self.start)  # fmt: skip
        declare("POST", "/api/drills/{id}/end", access="roster", ok=None, errors=("not_found", "stale"),
                summary="End a drill")(self.end)  # fmt: skip
        return routes

    async def show(self, context: Context, request: web.Request, _body: None) -> DrillList:
        site = query(request, DrillQuery).site
        require(context, request, "read", site)
        return DrillList(items=tuple(one.as_dict() for one in await self.drills.listed(site, MAX_SHOWN)))

    async def start(self, context: Context, request: web.Request, body: DrillBegin) -> dict[str, object]:
        who = require(context, request, "roster", body.site).user
        wish = Wish(body.site, body.severity, body.like, who.site, who.name, who.site, body.words.strip())
        try:
            return (await self.drills.start(wish, numbers=body.numbers)).as_dict()
        except DrillRefused as error:
            raise ApiProblem("stale", str(error)) from error

    async def end(self, context: Context, request: web.Request, _body: None) -> None:
        alert = await context.alerts.get(request.match_info["id"])
        if alert is None or not alert.drill:
            raise ApiProblem("not_found")
        who = require(context, request, "roster", alert.site)
        try:
            await self.drills.end(alert, who.user, request.remote or "")
        except AlertOver as error:
            raise ApiProblem("stale", "The drill is over.") from error
