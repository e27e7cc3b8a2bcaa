"""Hazards: record, reply, close or send back, more time; lists, numbers per site and a sheet."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.api.upload import upload
from server.duty.checks import Checks
from server.hazards.machine import Grade, Hazard, Origin, StepRefused
from server.hazards.machine import Input as Given
from server.hazards.service import Hazards, NoSuchHazard, summary
from server.identity.roles import Verb
from server.identity.service import Visitor
from server.report.tables import BOM, as_csv
from server.sessions.service import SessionService
from server.store.pictureformat import PictureRefused
from signaling.room.messages import Id

MAX_PICTURE_BYTES = 8 << 20
MAX_PICTURES = 9
"""With one step."""
MAX_CSV = 50_000
FAR = 4e9
"""No deadline lies so far ahead."""

Moment = Annotated[float, Field(gt=0, le=FAR)]
Words = Annotated[str, Field(max_length=2000)]
Reason = Annotated[str, Field(min_length=2, max_length=2000)]
Names = Annotated[tuple[Id, ...], Field(max_length=MAX_PICTURES)]


class HazardQuery(Query):
    site: Id
    state: Literal["", "open", "returned", "replied", "closed", "withdrawn", "waiting", "standing"] = ""
    """`waiting`: for the site (open, returned); `standing`: not over."""
    severity: Literal["", "general", "major"] = ""
    late: Literal["", "1"] = ""
    q: Annotated[str, Field(max_length=100)] = ""
    after: Annotated[str, Field(max_length=64)] = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    format: Literal["json", "csv"] = "json"


class Recorded(Input):
    site: Id
    """The responsible one."""
    place: Annotated[str, Field(min_length=1, max_length=120)]
    text: Reason
    severity: Grade
    deadline: Moment
    pictures: Names = ()
    origin: Origin = "manual"
    origin_id: Annotated[str, Field(max_length=64)] = ""
    """Of the alert, consultation or spot check it comes from."""


class Reply(Input):
    text: Reason
    pictures: Annotated[tuple[Id, ...], Field(min_length=1, max_length=MAX_PICTURES)]


class Return(Input):
    text: Reason
    deadline: Moment | None = None
    """Needed when the present one is past."""


class Closing(Input):
    text: Words = ""


class Withdrawal(Input):
    text: Reason


class MoreTime(Input):
    text: Reason
    deadline: Moment


class Decision(Input):
    granted: bool
    text: Words = ""
    deadline: Moment | None = None
    """Another one than was asked for."""


class HazardList(Output):
    items: tuple[dict[str, object], ...]
    next: str | None
    """Goes on with `after`."""
    counts: tuple[dict[str, object], ...]
    """By site, whatever the filters: how many in which state, how many late."""


class Kept(Output):
    picture: str
    sha256: str
    bytes: int
    type: str


STATES = {"waiting": ("open", "returned"), "standing": ("open", "returned", "replied")}
COLUMNS = (
    "hazard", "site", "place", "text", "severity", "state", "late", "recorded_at", "recorded_by", "recorded_site",
    "deadline", "replied_at", "replied_by", "reply", "closed_at", "closed_by", "returned", "origin", "origin_id",
    "simulated",
)  # fmt: skip


@dataclass(slots=True)
class HazardDoor:
    """The endpoints of hazards."""

    hazards: Hazards
    sessions: SessionService
    checks: Checks

    def routes(self) -> Routes:
        routes = Routes()
        declare, state = routes.route, dict[str, object]
        base, one = "/api/hazards", "/api/hazards/{id}"
        no = ("not_found", "stale")
        declare("GET", base, access="read", query=HazardQuery, ok=web.Response, errors=("not_found",),
                summary="Hazards of a site and below, and numbers per site; or CSV")(self.show)  # fmt: skip
        declare("POST", base, access="close", body=Recorded, ok=state, status=201, errors=no,
                summary="Record a hazard of a site below")(self.record)  # fmt: skip
        declare("POST", f"{base}/pictures", access="answer", ok=Kept, status=201,
                errors=("invalid", "too_large", "timeout", "stale"),
                summary="Send a picture (PNG, JPEG or WebP) that a step then names")(self.keep_picture)  # fmt: skip
        declare("GET", one, access="read", ok=state, errors=("not_found",),
                summary="A hazard with its whole history")(self.one)  # fmt: skip
        declare("GET", f"{one}/pictures/{{name}}", access="read", ok=web.Response, content="image/jpeg",
                errors=("not_found",), summary="A picture of a hazard")(self.picture)  # fmt: skip
        declare("POST", f"{one}/reply", access="answer", body=Reply, ok=state, errors=no,
                summary="The responsible site says, with pictures, what was done")(self.reply)  # fmt: skip
        declare("POST", f"{one}/ask", access="answer", body=MoreTime, ok=state, errors=no,
                summary="The responsible site asks for more time")(self.ask)  # fmt: skip
        declare("POST", f"{one}/close", access="close", body=Closing, ok=state, errors=no,
                summary="Those above take the reply")(self.close)  # fmt: skip
        declare("POST", f"{one}/return", access="close", body=Return, ok=state, errors=no,
                summary="Those above send it back with a reason")(self.send_back)  # fmt: skip
        declare("POST", f"{one}/decide", access="close", body=Decision, ok=state, errors=no,
                summary="Those above grant or refuse more time")(self.decide)  # fmt: skip
        declare("POST", f"{one}/extend", access="close", body=MoreTime, ok=state, errors=no,
                summary="Those above give more time unasked")(self.extend)  # fmt: skip
        declare("POST", f"{one}/withdraw", access="close", body=Withdrawal, ok=state, errors=no,
                summary="Recorded by mistake")(self.withdraw)  # fmt: skip
        return routes

    # --- lists --------------------------------------------------------------------------------------------------------

    async def show(self, context: Context, request: web.Request, _body: None) -> web.Response:
        wish = query(request, HazardQuery)
        require(context, request, "read", wish.site)
        states = STATES.get(wish.state, (wish.state,) if wish.state else ())
        sheet = wish.format == "csv"
        found = await self.hazards.listed(
            wish.site, states=states, severity=wish.severity, late=bool(wish.late), words=wish.q, after=wish.after,
            limit=MAX_CSV if sheet else wish.limit + 1,
        )  # fmt: skip
        if sheet:
            text = await asyncio.to_thread(_sheet, found, _clock(context))
            headers = {"Content-Disposition": 'attachment; filename="hazards.csv"', "Cache-Control": "no-store"}
            return web.Response(body=text.encode(), content_type="text/csv", headers=headers)
        shown = found[: wish.limit]
        body = HazardList(
            items=tuple(summary(one) for one in shown),
            next=shown[-1].hazard if len(found) > len(shown) else None,
            counts=tuple(await self.hazards.counts(wish.site)),
        )
        return web.Response(body=body.model_dump_json().encode(), content_type="application/json")

    async def one(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        return (await self._visible(context, request)).as_dict()

    # --- pictures -----------------------------------------------------------------------------------------------------

    async def keep_picture(self, context: Context, request: web.Request, _body: None) -> Kept:
        raw = await upload(request, MAX_PICTURE_BYTES)
        try:
            made = await self.hazards.pictures.keep(raw, visitor(request).user.user)
        except PictureRefused as error:
            raise ApiProblem("invalid", str(error)) from error
        except StepRefused as error:
            raise ApiProblem("stale", str(error)) from error
        return Kept(picture=made.picture, sha256=made.sha256, bytes=made.bytes, type=made.type)

    async def picture(self, context: Context, request: web.Request, _body: None) -> web.Response:
        hazard = await self._visible(context, request)
        found = await self.hazards.pictures.read(hazard.hazard, request.match_info["name"])
        if found is None:
            raise ApiProblem("not_found", "The picture is not there any more.")
        headers = {"Cache-Control": "private, max-age=86400"}
        return web.Response(body=found[0], content_type=found[1], headers=headers)

    # --- steps --------------------------------------------------------------------------------------------------------

    async def record(self, context: Context, request: web.Request, body: Recorded) -> dict[str, object]:
        who = require(context, request, "close", body.site)
        self._from_above(context, who, body.site)
        await self._origin(context, who, body)
        try:
            made = await self.hazards.record(
                body.site, who.user, place=body.place, text=body.text, severity=body.severity, deadline=body.deadline,
                pictures=body.pictures, origin=body.origin, origin_id=body.origin_id, address=request.remote or "",
            )  # fmt: skip
        except StepRefused as error:
            raise ApiProblem("stale", str(error)) from error
        return made.as_dict()

    async def _origin(self, context: Context, who: Visitor, body: Recorded) -> None:
        """What it comes from is there, and this person may see it."""
        sites: set[str] | None = {body.site}
        match body.origin:
            case "alert":
                alert = await context.alerts.get(body.origin_id)
                sites = {alert.site} if alert is not None else None
            case "session":
                session = await self.sessions.get(body.origin_id)
                sites = session.sites() if session is not None else None
            case "check":
                check = await self.checks.get(body.origin_id)
                sites = {check.site} if check is not None else None
            case "manual":
                pass
        if sites is None or not any(context.identity.may(who.user, "read", site) for site in sites):
            raise ApiProblem("not_found", "What the hazard comes from is not there.")

    async def reply(self, context: Context, request: web.Request, body: Reply) -> dict[str, object]:
        return await self._own(context, request, Given.REPLY, text=body.text, pictures=body.pictures)

    async def ask(self, context: Context, request: web.Request, body: MoreTime) -> dict[str, object]:
        return await self._own(context, request, Given.ASK, text=body.text, deadline=body.deadline)

    async def close(self, context: Context, request: web.Request, body: Closing) -> dict[str, object]:
        return await self._above(context, request, Given.CLOSE, text=body.text)

    async def send_back(self, context: Context, request: web.Request, body: Return) -> dict[str, object]:
        return await self._above(context, request, Given.RETURN, text=body.text, deadline=body.deadline)

    async def decide(self, context: Context, request: web.Request, body: Decision) -> dict[str, object]:
        given = Given.GRANT if body.granted else Given.REFUSE
        deadline = body.deadline if body.granted else None
        return await self._above(context, request, given, text=body.text, deadline=deadline)

    async def extend(self, context: Context, request: web.Request, body: MoreTime) -> dict[str, object]:
        return await self._above(context, request, Given.EXTEND, text=body.text, deadline=body.deadline)

    async def withdraw(self, context: Context, request: web.Request, body: Withdrawal) -> dict[str, object]:
        return await self._above(context, request, Given.WITHDRAW, text=body.text)

    async def _own(
        self, context: Context, request: web.Request, given: Given, *, text: str, pictures: tuple[str, ...] = (),
        deadline: float | None = None,
    ) -> dict[str, object]:  # fmt: skip
        """By people of the responsible site only: nobody speaks for it."""
        hazard = await self._visible(context, request, "answer")
        if visitor(request).user.site != hazard.site:
            raise ApiProblem("not_allowed", "Only the responsible site answers.")
        return await self._step(request, hazard, given, text=text, pictures=pictures, deadline=deadline)

    async def _above(
        self, context: Context, request: web.Request, given: Given, *, text: str, deadline: float | None = None
    ) -> dict[str, object]:
        hazard = await self._visible(context, request, "close")
        self._from_above(context, visitor(request), hazard.site)
        return await self._step(request, hazard, given, text=text, pictures=(), deadline=deadline)

    async def _step(
        self, request: web.Request, hazard: Hazard, given: Given, *, text: str, pictures: tuple[str, ...],
        deadline: float | None,
    ) -> dict[str, object]:  # fmt: skip
        try:
            after = await self.hazards.step(
                hazard.hazard, given, visitor(request).user, text=text, pictures=pictures, deadline=deadline,
                address=request.remote or "",
            )  # fmt: skip
        except StepRefused as error:
            raise ApiProblem("stale", str(error)) from error
        except NoSuchHazard as error:
            raise ApiProblem("not_found") from error
        return after.as_dict()

    # --- who may ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _from_above(context: Context, who: Visitor, site: str) -> None:
        """Nobody supervises the own site, unless nobody is above it."""
        if who.user.site == site and context.tree.ancestors(site):
            raise ApiProblem("not_allowed", "Hazards are recorded and closed by those above the site.")

    async def _visible(self, context: Context, request: web.Request, verb: Verb = "read") -> Hazard:
        hazard = await self.hazards.get(request.match_info["id"])
        if hazard is None:
            raise ApiProblem("not_found")
        require(context, request, verb, hazard.site)
        return hazard


def _clock(context: Context) -> Callable[[float | None], str]:
    offset = context.settings.duty.utc_offset_h * 3600
    return lambda at: time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at + offset)) if at is not None else ""


def _sheet(found: list[Hazard], when: Callable[[float | None], str]) -> str:
    rows: list[tuple[object, ...]] = [COLUMNS]
    for one in found:
        first, named = one.steps[0], {step.change: step for step in one.steps}
        reply, end = named.get("replied"), named.get(one.state.value) if one.over else None
        rows.append((
            one.hazard, one.site, one.place, one.text, one.severity, one.state.value, one.late, when(one.recorded_at),
            first.by.name, first.by.site, when(one.deadline), when(reply.at if reply else None),
            reply.by.name if reply else "", reply.text if reply else "", when(one.closed_at),
            end.by.name if end else "", sum(step.change == "returned" for step in one.steps), one.origin,
            one.origin_id, one.simulated,
        ))  # fmt: skip
    return BOM + as_csv(rows)
