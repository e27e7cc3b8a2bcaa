"""Diagnosis cards of the cameras that are fetched."""

from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import Output, Query, Routes, query, require
from server.diagnosis import Light, Step
from server.ingest import Card, Ingest


class SiteQuery(Query):
    site: Annotated[str, Field(min_length=1, max_length=63)]


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
    """The endpoint, over what fetches."""

    ingest: Ingest

    def routes(self) -> Routes:
        routes = Routes()
        routes.route("GET", "/api/cameras/diagnosis", access="read", summary="Why a camera's picture does not come",
                     query=SiteQuery, ok=Cards, errors=("not_found",))(self.diagnosis)  # fmt: skip
        return routes

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
