"""Shift handovers and the duty log."""

import time
from dataclasses import dataclass
from typing import Annotated

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.duty.handover import NotSigned
from server.duty.handovers import Handovers
from signaling.room.messages import Id

SHOWN = 50


class SiteQuery(Query):
    site: Id


class HandoverWish(Input):
    site: Id


class SignHandover(Input):
    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"\S")]
    notes: Annotated[str, Field(max_length=2000)] = ""


class HandoverList(Output):
    items: tuple[dict[str, object], ...]
    last_end: float | None
    """When the last turn with a change of people ended; null: no rota, or no change."""
    next_end: float | None


class LogQuery(Query):
    site: Id
    q: Annotated[str, Field(max_length=200)] = ""
    """All these words, in any value."""
    kinds: Annotated[str, Field(max_length=300)] = ""
    """Kinds of entries, with commas; default: all."""
    start: Annotated[float, Field(ge=0, le=1e11)] = 0.0
    end: Annotated[float, Field(ge=0, le=1e11)] = 1e11
    before: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class LogEntry(Output):
    seq: int
    at: float
    kind: str
    body: dict[str, object]


class LogPage(Output):
    items: tuple[LogEntry, ...]
    before: int | None
    """For the next page; null when that was all."""


class LogNote(Input):
    site: Id
    text: Annotated[str, Field(min_length=1, max_length=2000)]


@dataclass(slots=True)
class HandoverDoor:
    """The endpoints of handovers and of the log."""

    handovers: Handovers

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        state = dict[str, object]
        declare("GET", "/api/handovers", access="read", query=SiteQuery, ok=HandoverList, errors=("not_found",),
                summary="Handovers of a site, newest first")(self.show)  # fmt: skip
        declare("POST", "/api/handovers", access="roster", body=HandoverWish, ok=state, errors=("not_found",),
                summary="The handover being made at the own site, with what stands")(self.open)  # fmt: skip
        declare("POST", "/api/handovers/{id}/sign", access="roster", body=SignHandover, ok=state,
                errors=("not_found", "stale"), summary="Outgoing first, then incoming")(self.sign)  # fmt: skip
        declare("GET", "/api/log", access="read", query=LogQuery, ok=LogPage, errors=("not_found",),
                summary="Search the duty log of a site, newest first")(self.search)  # fmt: skip
        declare("POST", "/api/log", access="roster", body=LogNote, ok=None, errors=("not_found",),
                summary="Write into the duty log of the own site")(self.note)  # fmt: skip
        return routes

    async def show(self, context: Context, request: web.Request, _body: None) -> HandoverList:
        site = query(request, SiteQuery).site
        require(context, request, "read", site)
        found = await self.handovers.list(site, SHOWN)
        last, following = self.handovers.ends(site, time.time())
        return HandoverList(items=tuple(one.as_dict() for one in found), last_end=last, next_end=following)

    async def open(self, context: Context, request: web.Request, body: HandoverWish) -> dict[str, object]:
        self._own(context, request, body.site)
        return (await self.handovers.open(body.site, visitor(request).user)).as_dict()

    def _own(self, context: Context, request: web.Request, site: str) -> None:
        """Shifts are handed over by the people of the site, and by nobody above."""
        if require(context, request, "roster", site).user.site != site:
            raise ApiProblem("not_allowed", "Only people of the site hand over its shifts and write its log.")

    async def sign(self, context: Context, request: web.Request, body: SignHandover) -> dict[str, object]:
        who = visitor(request).user
        try:
            signed = await self.handovers.sign(request.match_info["id"], who, body.name.strip(), body.notes)
        except KeyError as error:
            raise ApiProblem("not_found") from error
        except NotSigned as error:
            raise ApiProblem("stale", str(error)) from error
        return signed.as_dict()

    async def search(self, context: Context, request: web.Request, _body: None) -> LogPage:
        wish = query(request, LogQuery)
        require(context, request, "read", wish.site)
        kinds = frozenset(kind for kind in wish.kinds.split(",") if kind)
        found = await self.handovers.search(wish.site, wish.q, kinds, wish.start, wish.end, wish.before, wish.limit)
        items = tuple(LogEntry(seq=one.seq, at=one.at, kind=one.kind, body=one.body) for one in found.items)
        return LogPage(items=items, before=found.before)

    async def note(self, context: Context, request: web.Request, body: LogNote) -> None:
        self._own(context, request, body.site)
        await self.handovers.write(body.site, visitor(request).user, body.text)
