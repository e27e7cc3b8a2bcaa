"""Musters over HTTP: begin, look, sign, print, end."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require
from server.identity.roles import Verb
from server.identity.service import Visitor
from server.muster import paper
from server.muster.errors import MusterError
from server.muster.machine import Member, Muster
from server.muster.service import DrawnList, Musters, summary
from server.registry import masking
from server.registry.service import Registry
from server.store import sessions as session_rows
from signaling.room.messages import Id

Words = Annotated[str, Field(max_length=200)]


class SiteOf(Query):
    site: Id


class PeopleQuery(Query):
    names: bool = False
    """Unmasked; who asks is written into the audit, once for each muster."""


class PaperQuery(Query):
    format: Literal["json", "csv", "pdf"] = "json"


class Begin(Input):
    site: Id
    reason: Words = ""
    session: Annotated[str, Field(max_length=64)] | None = None
    alert: Annotated[str, Field(max_length=64)] | None = None
    drill: bool = False


class End(Input):
    reason: Annotated[str, Field(min_length=2, max_length=200)]


class Mark(Input):
    out: bool
    """True: a person says that this one is out. False: takes that back, or only writes the note."""
    note: Words = ""


class Sign(Input):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ListBody(Output):
    number: int
    due_at: float
    at: float
    sha256: str
    total: int
    left: int | None
    signed_by: str | None
    signed_at: float | None


class MusterBody(Output):
    muster: str
    site: str
    started_at: float
    by: str
    reason: str
    session: str | None
    alert: str | None
    drill: bool
    simulated: bool
    ended_at: float | None
    left_out: int
    board: dict[str, Any]
    progress: list[tuple[float, int | None, dict[str, int]]]
    lists: list[ListBody]


class MusterPage(Output):
    items: list[dict[str, Any]]
    next: None


class Mustered(Output):
    card: str
    name: str
    phone: str
    job: str
    shift: str
    leader: bool
    special: bool
    visitor: bool
    known: bool
    """The registry knows the card."""
    state: str
    since: float
    zone: str
    place: tuple[float, float, float]
    seen_at: float
    frozen: bool
    came_back: int
    note: str
    by_hand: str
    going: Literal["advancing", "no_progress", "wrong_way", "unknown"]
    """Whether the distance to the way out shrank over the last minute."""
    to_exit_m: float | None


class PeoplePage(Output):
    items: list[Mustered]
    next: None


@dataclass(slots=True)
class MusterDoor:
    """The endpoints, over the musters."""

    musters: Musters
    registry: Registry
    _told: set[tuple[str, str]] = field(default_factory=set)
    """(log-in, muster) whose look at names is in the audit already."""

    def routes(self) -> Routes:
        routes = Routes()
        declare, one = routes.route, "/api/musters/{id}"
        a_list = f"{one}/lists/{{n}}"
        declare("GET", "/api/musters", access="read", summary="Musters of a site and below, newest first", query=SiteOf,
                ok=MusterPage, errors=("not_found",))(self.listed)  # fmt: skip
        declare("POST", "/api/musters", access="consult", body=Begin, ok=MusterBody, status=201,
                errors=("not_found", "stale"),
                summary="Freeze who is underground; one that is going on is answered instead")(self.begin)  # fmt: skip
        declare("GET", one, access="read", summary="The board of a muster", ok=MusterBody,
                errors=("not_found",))(self.board)  # fmt: skip
        declare("GET", f"{one}/people", access="read", summary="Everybody on the list, and since when what is known",
                query=PeopleQuery, ok=PeoplePage, errors=("not_found", "not_allowed"))(self.people)  # fmt: skip
        declare("POST", f"{one}/people/{{card}}", access="consult", summary="What a person knows and no reader does",
                body=Mark, ok=Mustered, errors=("not_found", "no_such_person", "muster_over"))(self.mark)  # fmt: skip
        declare("POST", f"{one}/end", access="consult", summary="End it; the last list is drawn up", body=End,
                ok=MusterBody, errors=("not_found", "muster_over"))(self.end)  # fmt: skip
        declare("GET", a_list, access="read", summary="A list as it was: JSON, CSV or PDF", query=PaperQuery,
                ok=web.Response, errors=("not_found", "no_such_list", "not_allowed"))(self.paper)  # fmt: skip
        declare("POST", f"{a_list}/sign", access="consult", summary="Stand by a list", body=Sign, ok=ListBody,
                errors=("not_found", "no_such_list", "stale"))(self.sign)  # fmt: skip
        return routes

    # --- reading ---

    async def listed(self, context: Context, request: web.Request, _body: None) -> MusterPage:
        site = query(request, SiteOf).site
        require(context, request, "read", site)
        items: list[dict[str, Any]] = []
        for one in await self.musters.listed([site, *context.tree.descendants(site)]):
            going_on = self.musters.open_at(one.site)
            if one.ended_at is None and going_on is not None:
                items.append(summary(going_on, self.musters.board(going_on)))
            else:
                names = ("muster", "site", "started_at", "reason", "drill", "simulated", "ended_at")
                items.append({name: getattr(one, name) for name in names} | {"board": None})
        return MusterPage(items=items, next=None)

    async def board(self, context: Context, request: web.Request, _body: None) -> MusterBody:
        _, one = await self._found(context, request, "read")
        return await self._body(context, one)

    async def people(self, context: Context, request: web.Request, _body: None) -> PeoplePage:
        named = query(request, PeopleQuery).names
        who, one = await self._found(context, request, "identify" if named else "read")
        if named:
            await self._log(who, one, request, "muster")
        return PeoplePage(items=[self._person(one, member, named) for member in one.members.values()], next=None)

    async def paper(self, context: Context, request: web.Request, _body: None) -> web.Response:
        """CSV and PDF hold names, so they need `identify` and are audited; JSON is what was hashed, without names."""
        form = query(request, PaperQuery).format
        who, one = await self._found(context, request, "read" if form == "json" else "identify")
        drawn = await self._list(one, request)
        headers = {"Cache-Control": "no-store"}
        if form == "json":
            return web.json_response(drawn.body | {"sha256": drawn.sha256}, headers=headers)
        await self._log(who, one, request, f"muster list {drawn.number}", once=False)
        people = {card: self.registry.person(one.site, card) for card in one.members}
        names = {card: person.name for card, person in people.items() if person is not None}
        zones = {zone.zone: zone.name_zh or zone.name_en for zone in self.registry.facts(one.site).zones.values()}
        headers["Content-Disposition"] = f'attachment; filename="muster-{one.site}-{drawn.number}.{form}"'
        if form == "csv":
            text = "\ufeff" + paper.as_csv(drawn.body, names, zones, drawn.sha256)
            return web.Response(body=text.encode(), content_type="text/csv", charset="utf-8", headers=headers)
        site = context.tree[one.site]
        signed = None
        if drawn.signed_by is not None and drawn.signed_at is not None:
            signed = paper.Signature(await _name(context, drawn.signed_by), drawn.signed_at)
        try:
            raw = await asyncio.to_thread(
                paper.as_pdf, drawn.body, names, zones, drawn.sha256, f"{site.name_zh} {site.name_en}", signed
            )
        except paper.NoFont:
            raise ApiProblem("not_ready", "There is no Chinese font on the server; the CSV has the same.") from None
        return web.Response(body=raw, content_type="application/pdf", headers=headers)

    # --- doing ---

    async def begin(self, context: Context, request: web.Request, body: Begin) -> MusterBody:
        who = require(context, request, "consult", body.site)
        drill = body.drill or await _within_a_drill(context, body)
        try:
            one = await self.musters.start(
                body.site, who.user.user, reason=body.reason, session=body.session, alert=body.alert, drill=drill,
                address=request.remote or "",
            )  # fmt: skip
        except MusterError as error:
            raise ApiProblem(error.error, error.detail) from error
        return await self._body(context, one)

    async def end(self, context: Context, request: web.Request, body: End) -> MusterBody:
        who, one = await self._found(context, request, "consult")
        try:
            ended = await self.musters.end(
                one.muster, who.user.user, reason=body.reason, address=request.remote or ""
            )  # fmt: skip
        except MusterError as error:
            raise ApiProblem(error.error, error.detail) from error
        return await self._body(context, ended)

    async def mark(self, context: Context, request: web.Request, body: Mark) -> Mustered:
        who, one = await self._found(context, request, "consult")
        try:
            member = await self.musters.mark(
                one.muster, request.match_info["card"], who.user.user, out=body.out, note=body.note,
                address=request.remote or "",
            )  # fmt: skip
        except MusterError as error:
            raise ApiProblem(error.error, error.detail) from error
        return self._person(one, member, named=False)

    async def sign(self, context: Context, request: web.Request, body: Sign) -> ListBody:
        who, one = await self._found(context, request, "consult")
        drawn = await self._list(one, request)
        try:
            signed = await self.musters.sign(
                one.muster, drawn.number, who.user.user, sha256=body.sha256, address=request.remote or ""
            )  # fmt: skip
        except MusterError as error:
            raise ApiProblem(error.error, error.detail) from error
        return _list_body(signed, who.user.name)

    # --- parts ---

    async def _found(self, context: Context, request: web.Request, verb: Verb) -> tuple[Visitor, Muster]:
        one = await self.musters.get(request.match_info["id"])
        if one is None:
            raise ApiProblem("not_found")
        return require(context, request, verb, one.site), one

    async def _list(self, one: Muster, request: web.Request) -> DrawnList:
        number = request.match_info["n"]
        for drawn in await self.musters.lists(one.muster):
            if str(drawn.number) == number:
                return drawn
        raise ApiProblem("no_such_list")

    async def _body(self, context: Context, one: Muster) -> MusterBody:
        figures = self.musters.board(one) if one.ended_at is None else await self.musters.final(one)
        lists = [
            _list_body(drawn, await _name(context, drawn.signed_by) if drawn.signed_by else None)
            for drawn in await self.musters.lists(one.muster)
        ]  # fmt: skip
        words: dict[str, Any] = summary(one, figures) | {"by": await _name(context, one.by)}
        return MusterBody(**words, progress=self.musters.progress(one), lists=lists)

    def _person(self, one: Muster, member: Member, named: bool) -> Mustered:
        person = self.registry.person(one.site, member.card)
        name, phone = (person.name, person.phone) if person is not None else ("", "")
        getting_on = self.musters.evacuation(one.muster)
        return Mustered(
            card=member.card,
            name=name if named else masking.name(name),
            phone=phone if named else masking.phone(phone),
            job=person.job if person else "",
            shift=person.shift if person else "",
            leader=bool(person and person.leader),
            special=bool(person and person.special),
            visitor=bool(person and person.visitor),
            known=person is not None,
            state=member.state,
            since=member.since,
            zone=member.zone,
            place=member.place,
            seen_at=member.source_at,
            frozen=member.frozen,
            came_back=member.came_back,
            note=member.note,
            by_hand=member.by_hand,
            going=getting_on.going(member.card) if getting_on else "unknown",
            to_exit_m=getting_on.to_exit.get(member.card) if getting_on else None,
        )

    async def _log(self, who: Visitor, one: Muster, request: web.Request, reason: str, *, once: bool = True) -> None:
        key = (who.login, one.muster)
        if once and key in self._told:
            return
        await self.registry.log_unmasking(
            one.site, sorted(one.members), by=who.user.user, address=request.remote or "",
            reason=f"{reason} {one.muster}",
        )  # fmt: skip
        if len(self._told) > 10_000:
            self._told.clear()
        self._told.add(key)


def _list_body(drawn: DrawnList, signed_by: str | None) -> ListBody:
    return ListBody(
        number=drawn.number, due_at=drawn.due_at, at=drawn.at, sha256=drawn.sha256, total=drawn.body["total"],
        left=drawn.body["left"], signed_by=signed_by, signed_at=drawn.signed_at,
    )  # fmt: skip


async def _name(context: Context, user: str) -> str:
    found = await context.identity.get_user(user)
    return found.name if found is not None else user


async def _within_a_drill(context: Context, body: Begin) -> bool:
    """What is begun from a drill is one."""
    alert = await context.alerts.get(body.alert) if body.alert else None
    if alert is not None and alert.drill:
        return True
    if not body.session:
        return False
    async with context.database.reading() as connection:
        state = await session_rows.get(connection, body.session)
    return state is not None and bool(state.get("drill"))
