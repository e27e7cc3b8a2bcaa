"""Incidents over HTTP: list, look at, merge, split, close."""

from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from analytics.finding import Severity
from server.api.alerts import AlertBody
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.identity.roles import Verb
from server.identity.service import Visitor
from server.incidents.errors import IncidentOver, NoSuchIncident, NotTogether
from server.incidents.service import Incident, IncidentService
from signaling.room.messages import Id, Text

StateName = Literal["open", "closed", "merged"]


class IncidentEnd(Output):
    by: str
    name: str
    site: str
    at: float
    outcome: Literal["confirmed", "false_alarm", "explained", "drill"]
    comment: str


class IncidentBody(Output):
    id: str
    site: str
    kind: str
    severity: Severity
    state: StateName
    title: Text
    opened_at: float
    """When the first of its alerts began, on the source's clock."""
    at: float
    sources: dict[str, int]
    """Votes by independent source: the gravest alert of each, 0 (info) to 3 (critical)."""
    zones: list[str]
    merged_into: str | None
    closed: IncidentEnd | None
    simulated: bool
    alerts: int
    standing: int
    """Alerts of it whose condition holds."""


class IncidentPage(Output):
    items: list[IncidentBody]
    next: str | None


class IncidentDetail(Output):
    incident: IncidentBody
    alerts: list[AlertBody]
    """From the oldest on."""


class IncidentQuery(Query):
    site: Id | None = None
    """Incidents of this site and below; default: of the own."""
    state: StateName | None = None
    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class MergeIncident(Input):
    into: Id


class SplitIncident(Input):
    alerts: Annotated[list[Id], Field(min_length=1, max_length=500)]


class CloseIncident(Input):
    outcome: Literal["confirmed", "false_alarm", "explained", "drill"]
    comment: Annotated[str, Field(max_length=1000)] = ""


class IncidentDoor:
    """Handlers over incidents."""

    def __init__(self, incidents: IncidentService) -> None:
        self._incidents = incidents

    def routes(self) -> Routes:
        routes = Routes()
        one = "/api/incidents/{id}"
        routes.route(
            "GET", "/api/incidents", access="read", query=IncidentQuery, ok=IncidentPage, errors=("not_found",),
            summary="Incidents of a site and all below it, newest first",
        )(self.list)  # fmt: skip
        routes.route(
            "GET", one, access="read", ok=IncidentDetail, errors=("not_found",), summary="One incident, and its alerts"
        )(self.show)  # fmt: skip
        routes.route(
            "POST", f"{one}/merge", access="acknowledge", body=MergeIncident, ok=IncidentBody,
            errors=("not_found", "stale", "bad_request"), summary="All its alerts into another incident of the mine",
        )(self.merge)  # fmt: skip
        routes.route(
            "POST", f"{one}/split", access="acknowledge", body=SplitIncident, ok=IncidentBody,
            errors=("not_found", "stale", "bad_request"), summary="Some of its alerts into an incident of their own",
        )(self.split)  # fmt: skip
        routes.route(
            "POST", f"{one}/close", access="close", body=CloseIncident, ok=IncidentBody, errors=("not_found", "stale"),
            summary="End an incident, and say what it was",
        )(self.close)  # fmt: skip
        return routes

    async def _known(self, context: Context, request: web.Request, verb: Verb) -> tuple[Visitor, Incident]:
        found = await self._incidents.get(request.match_info["id"])
        if found is None:
            raise ApiProblem("not_found")
        return require(context, request, verb, found.site), found

    async def list(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        wish = query(request, IncidentQuery)
        site = wish.site or visitor(request).user.site
        require(context, request, "read", site)
        found = await self._incidents.list(site, wish.state, wish.after, wish.limit)
        return {
            "items": [one.as_dict() for one in found],
            "next": found[-1].id if len(found) == wish.limit else None,
        }

    async def show(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        _, found = await self._known(context, request, "read")
        alerts = await self._incidents.alerts_of(found.id)
        return {"incident": found.as_dict(), "alerts": [one.as_dict() for one in alerts]}

    async def merge(self, context: Context, request: web.Request, body: MergeIncident) -> dict[str, object]:
        who, found = await self._known(context, request, "acknowledge")
        into = await self._incidents.get(body.into)
        if into is None:
            raise ApiProblem("not_found")
        require(context, request, "acknowledge", into.site)
        try:
            changed = await self._incidents.merge(found.id, into.id, by=who.user, address=request.remote or "")
        except (IncidentOver, NoSuchIncident) as error:
            raise ApiProblem("stale", "One of the incidents is over.") from error
        except NotTogether as error:
            raise ApiProblem("bad_request", str(error)) from error
        return changed.as_dict()

    async def split(self, context: Context, request: web.Request, body: SplitIncident) -> dict[str, object]:
        who, found = await self._known(context, request, "acknowledge")
        try:
            made = await self._incidents.split(found.id, body.alerts, by=who.user, address=request.remote or "")
        except (IncidentOver, NoSuchIncident) as error:
            raise ApiProblem("stale", "The incident is over.") from error
        except NotTogether as error:
            raise ApiProblem("bad_request", str(error)) from error
        return made.as_dict()

    async def close(self, context: Context, request: web.Request, body: CloseIncident) -> dict[str, object]:
        who, found = await self._known(context, request, "close")
        try:
            ended = await self._incidents.close(
                found.id, body.outcome, body.comment, by=who.user, address=request.remote or ""
            )
        except (IncidentOver, NoSuchIncident) as error:
            raise ApiProblem("stale", "The incident is over already.") from error
        return ended.as_dict()
