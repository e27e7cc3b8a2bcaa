"""Spot checks and roll calls: call, answer, confirm; the fairness list and the month's marks."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.api.alerts import _read
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.duty.checks import CheckRefused, Checks
from server.duty.spotcheck import Check, as_csv
from server.store.errors import StoreError
from server.store.pictures import open_picture
from signaling.room.messages import Id

MAX_SHOWN = 200
MAX_CSV = 100_000


class CheckQuery(Query):
    site: Id
    start: Annotated[float, Field(ge=0, le=1e11)] = 0.0
    end: Annotated[float, Field(ge=0, le=1e11)] = 1e11
    format: Literal["json", "csv"] = "json"


class CallWish(Input):
    site: Id
    """The site to call; with `roll` and `draw`: the authority whose sites are called or drawn from."""
    mode: Literal["one", "draw", "roll"] = "one"


class CheckAnswer(Input):
    officer: Annotated[str, Field(max_length=64)] = ""


class Confirmation(Input):
    confirmed: bool
    note: Annotated[str, Field(max_length=500)] = ""


class CheckList(Output):
    items: tuple[dict[str, object], ...]
    standings: tuple[dict[str, object], ...]
    """The fairness list: least checked first."""


class Called(Output):
    items: tuple[dict[str, object], ...]


@dataclass(slots=True)
class CheckDoor:
    """The endpoints of checks."""

    checks: Checks

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        state = dict[str, object]
        declare("GET", "/api/checks", access="read", query=CheckQuery, ok=web.Response, errors=("not_found",),
                summary="Checks of a site and below and the fairness list; or CSV")(self.show)  # fmt: skip
        declare("POST", "/api/checks", access="order", body=CallWish, ok=Called, status=201,
                errors=("not_found", "stale"),
                summary="Call one site, one drawn by lot, or all below")(self.call)  # fmt: skip
        declare("POST", "/api/checks/{id}/answer", access="answer", body=CheckAnswer, ok=state,
                errors=("not_found",), summary="Somebody at the called site is there")(self.answer)  # fmt: skip
        declare("POST", "/api/checks/{id}/confirm", access="order", body=Confirmation, ok=state,
                errors=("not_found", "stale"), summary="Was it the officer on duty?")(self.confirm)  # fmt: skip
        declare("GET", "/api/checks/{id}/picture", access="read", ok=web.Response, content="image/jpeg",
                errors=("not_found",), summary="The picture of the moment of the answer")(self.picture)  # fmt: skip
        return routes

    async def show(self, context: Context, request: web.Request, _body: None) -> web.Response:
        wish = query(request, CheckQuery)
        require(context, request, "read", wish.site)
        if wish.format == "csv":
            found = await self.checks.between(wish.site, wish.start, wish.end, MAX_CSV)
            offset = context.settings.duty.utc_offset_h * 3600
            text = await asyncio.to_thread(
                as_csv, found, lambda at: time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at + offset))
            )  # fmt: skip
            headers = {"Content-Disposition": 'attachment; filename="checks.csv"', "Cache-Control": "no-store"}
            return web.Response(body=b"\xef\xbb\xbf" + text.encode(), content_type="text/csv", headers=headers)
        found = await self.checks.between(wish.site, wish.start, wish.end, MAX_SHOWN)
        below = context.tree.descendants(wish.site) or (wish.site,)
        listed = await self.checks.standings(wish.site, below)
        body = CheckList(
            items=tuple(one.as_dict() for one in found), standings=tuple(one.as_dict() for one in listed)
        )  # fmt: skip
        return web.Response(body=body.model_dump_json().encode(), content_type="application/json")

    async def call(self, context: Context, request: web.Request, body: CallWish) -> Called:
        who = require(context, request, "order", body.site)
        below = context.tree.descendants(body.site)
        sites: tuple[str, ...] = ()
        if body.mode == "one":
            sites = (body.site,)
        elif body.mode == "roll":
            sites = tuple(site for site in below if context.tree.level(site) == "mine") or below
        else:
            mines = tuple(site for site in below if context.tree.level(site) == "mine") or below
            drawn = self.checks.drawn(await self.checks.standings(body.site, mines))
            sites = (drawn,) if drawn else ()
        sites = tuple(site for site in sites if site != who.user.site)
        if not sites:
            raise ApiProblem("stale", "There is no site below to call.")
        try:
            made = await self.checks.call(sites, who.user, roll=body.mode == "roll")
        except CheckRefused as error:
            raise ApiProblem("stale", str(error)) from error
        return Called(items=tuple(one.as_dict() for one in made))

    async def answer(self, context: Context, request: web.Request, body: CheckAnswer) -> dict[str, object]:
        try:
            check = await self.checks.answer(request.match_info["id"], visitor(request).user, body.officer)
        except CheckRefused as error:
            raise ApiProblem("not_found", str(error)) from error
        await self.checks.add_picture(check)
        return (await self.checks.get(check.check) or check).as_dict()

    async def confirm(self, context: Context, request: web.Request, body: Confirmation) -> dict[str, object]:
        check = await self._visible(context, request)
        who = require(context, request, "order", check.site)
        if who.user.site == check.site:
            raise ApiProblem("not_allowed", "Nobody confirms the own site.")
        try:
            return (await self.checks.confirm(check.check, who.user, body.confirmed, body.note)).as_dict()
        except CheckRefused as error:
            raise ApiProblem("stale", str(error)) from error

    async def picture(self, context: Context, request: web.Request, _body: None) -> web.Response:
        check = await self._visible(context, request)
        if not check.picture:
            raise ApiProblem("not_found")
        try:
            raw = await asyncio.to_thread(
                _read, open_picture(context.settings.server.data_dir, check.check, check.picture)
            )  # fmt: skip
        except (StoreError, OSError) as error:
            raise ApiProblem("not_found", "The picture is no longer there.") from error
        return web.Response(body=raw, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})

    async def _visible(self, context: Context, request: web.Request) -> Check:
        check = await self.checks.get(request.match_info["id"])
        if check is None:
            raise ApiProblem("not_found")
        require(context, request, "read", check.site)
        return check
