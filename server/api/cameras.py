"""Diagnosis cards of the cameras that are fetched, and what the views of cameras look like."""

import time
from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require
from server.diagnosis import Light, Step
from server.ingest import Card, Ingest
from server.posts import DutyPosts
from server.store import audit

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class SiteQuery(Query):
    site: Annotated[str, Field(min_length=1, max_length=63)]


class ReferenceQuery(SiteQuery):
    name: Slug
    mode: Literal["day", "infrared"] = "day"


class Renewal(Input):
    site: Slug
    name: Slug


class Words(Output):
    zh: str
    en: str


class StepOut(Output):
    step: Step
    light: Light
    name: Words
    text: Words


class CardOut(Output):
    site: str
    name: str
    state: str
    since: float
    retry_at: float | None
    """UTC; when it is tried again."""
    summary: Words
    detail: str
    """What exactly was seen, in English, for whoever repairs it."""
    steps: tuple[StepOut, ...]


class Cards(Output):
    items: tuple[CardOut, ...]


@dataclass(slots=True)
class CameraDoor:
    """The endpoints, over what fetches and what looks."""

    ingest: Ingest
    posts: DutyPosts

    def routes(self) -> Routes:
        routes = Routes()
        routes.route("GET", "/api/cameras/diagnosis", access="read", summary="Why a camera's picture does not come",
                     query=SiteQuery, ok=Cards, errors=("not_found",))(self.diagnosis)  # fmt: skip
        target = "/api/cameras/reference"
        routes.route("GET", target, access="read", summary="What the view of a camera should look like",
                     query=ReferenceQuery, ok=web.Response, content="image/png",
                     errors=("not_found",))(self.reference)  # fmt: skip
        routes.route("POST", target, access="configure", summary="The view of a camera is right as it is now",
                     body=Renewal, ok=None, status=204, errors=("not_found", "not_allowed"))(self.renew)  # fmt: skip
        return routes

    async def reference(self, context: Context, request: web.Request, _body: None) -> web.Response:
        """A grey PNG."""
        wanted = query(request, ReferenceQuery)
        require(context, request, "read", wanted.site)
        found = (await self.posts.reference(wanted.site, wanted.name)).get(wanted.mode)
        if found is None:
            raise ApiProblem("not_found", "There is no reference picture of this camera and mode.")
        return web.Response(body=found, content_type="image/png", headers={"Cache-Control": "no-store"})

    async def renew(self, context: Context, request: web.Request, body: Renewal) -> None:
        """Learned anew from the next minute's pictures; who said so stands in the audit."""
        who = require(context, request, "configure", body.site)
        if not self.posts.looks_through(body.site, body.name):
            raise ApiProblem("not_found", "No duty post looks through this camera.")
        async with context.database.transaction() as connection:
            await audit.append(
                connection, at=time.time(), actor=f"user:{who.user.user}", action="camera.reference",
                object=f"{body.site}/{body.name}", site=body.site,
            )  # fmt: skip
        await self.posts.renew_reference(body.site, body.name)

    async def diagnosis(self, context: Context, request: web.Request, _body: None) -> Cards:
        """Of the site and all below it."""
        site = query(request, SiteQuery).site
        require(context, request, "read", site)
        sites = [site, *context.tree.descendants(site)]
        return Cards(items=tuple(_out(card) for card in self.ingest.cards(sites)))


def _out(card: Card) -> CardOut:
    steps = tuple(
        StepOut(step=one.step, light=one.light, name=Words(**one.name), text=Words(**one.text)) for one in card.steps
    )
    return CardOut(
        site=card.site, name=card.name, state=card.state, since=card.since, retry_at=card.retry_at,
        summary=Words(**card.summary), detail=card.detail, steps=steps,
    )  # fmt: skip
