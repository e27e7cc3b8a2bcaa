"""Who is being rung about which alert, and calling the next one."""

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Output, Query, Routes, query, require, visitor
from server.duty.challengedesk import ChallengeDesk
from server.duty.service import Escalations


class EscalationQuery(Query):
    site: Annotated[str, Field(min_length=1, max_length=63)]


class EscalationList(Output):
    items: tuple[dict[str, object], ...]
    """As the bodies of `escalation` entries."""


@dataclass(slots=True)
class DutyDoor:
    """The endpoints of escalation."""

    escalations: Escalations
    challenges: ChallengeDesk

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        declare(
            "GET", "/api/escalations", access="read", query=EscalationQuery, ok=EscalationList, errors=("not_found",),
            summary="Who is being rung about alerts of a site and below",
        )(self.escalating)  # fmt: skip
        declare(
            "POST", "/api/alerts/{id}/next", access="acknowledge", ok=None, errors=("not_found", "stale"),
            summary="Do not wait: ring the next station of this alert's way now",
        )(self.pass_on)  # fmt: skip
        declare(
            "POST", "/api/challenges/{id}/answer", access="answer", ok=None, errors=("not_found",),
            summary="Somebody at the desk says: I am here; only people of the post's own site",
        )(self.answer)  # fmt: skip
        return routes

    async def answer(self, context: Context, request: web.Request, _body: None) -> None:
        challenge, user = request.match_info["id"], visitor(request).user
        if self.challenges.site_of(challenge) != user.site or not self.challenges.answer(challenge, user.name):
            raise ApiProblem("not_found", "There is no such challenge, or it is over.")

    async def escalating(self, context: Context, request: web.Request, _body: None) -> EscalationList:
        site = query(request, EscalationQuery).site
        require(context, request, "read", site)
        return EscalationList(items=tuple(self.escalations.views([site, *context.tree.descendants(site)])))

    async def pass_on(self, context: Context, request: web.Request, _body: None) -> None:
        alert = await context.alerts.get(request.match_info["id"])
        if alert is None:
            raise ApiProblem("not_found")
        who = require(context, request, "acknowledge", alert.site)
        if not await self.escalations.pass_on(alert.id, who.user.name):
            raise ApiProblem("stale", "Nobody is being rung about this alert.")
