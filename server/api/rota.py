"""Call lists and rotas of sites: who is on duty, who is called when, and whether the numbers work."""

import secrets
import time
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.alerts.machine import ByWhom
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.duty.rota import Override, Person, Plan, Span, TestResult, masked
from server.duty.rotaservice import RotaRefused, RotaService
from server.identity.roles import holds
from signaling.room.messages import Id

WhoName = Literal["on_duty", "deputy", "leader"]
WHO: tuple[WhoName, ...] = ("on_duty", "deputy", "leader")
Phone = Annotated[str, Field(pattern=r"^(\+?[0-9]{3,20})?$")]
Name = Annotated[str, Field(min_length=1, max_length=64)]
DAY_S = 86400.0
SHOWN_S = 7 * DAY_S
MAX_PEOPLE = 200


class RotaQuery(Query):
    site: Id


class PersonBody(Output):
    person: str
    name: str
    phone: str
    """Only its ends are shown, unless the viewer may change the list."""
    user: str
    active: bool
    tested_at: float | None
    test: str
    dead: bool
    untested: bool


class PlanBody(Output):
    plan: str
    who: WhoName
    name: str
    starts_at: float
    turn_s: float
    turns: tuple[tuple[str, ...], ...]


class OverrideBody(Output):
    override: str
    who: WhoName
    start: float
    end: float
    people: tuple[str, ...]
    reason: str
    by: str


class SpanBody(Output):
    who: WhoName
    start: float
    end: float
    people: tuple[str, ...]
    name: str
    override: str


class RotaBody(Output):
    site: str
    people: tuple[PersonBody, ...]
    plans: tuple[PlanBody, ...]
    overrides: tuple[OverrideBody, ...]
    now: dict[WhoName, tuple[str, ...]]
    """Persons, first the one to be called first."""
    spans: tuple[SpanBody, ...]
    """The next seven days."""
    drilling: bool
    phones: bool
    """Whether numbers can be tested by telephone."""


class NewPerson(Input):
    site: Id
    name: Name
    phone: Phone = ""
    user: Annotated[str, Field(max_length=64)] = ""


class PersonChange(Input):
    name: Name | None = None
    phone: Phone | None = None
    user: Annotated[str, Field(max_length=64)] | None = None
    active: bool | None = None


class NewPlan(Input):
    site: Id
    who: WhoName
    name: Annotated[str, Field(max_length=64)] = ""
    starts_at: Annotated[float, Field(ge=0, le=1e11)]
    turn_s: Annotated[float, Field(ge=3600, le=366 * DAY_S)]
    turns: Annotated[tuple[Annotated[tuple[Id, ...], Field(max_length=20)], ...], Field(min_length=1, max_length=64)]


class NewOverride(Input):
    site: Id
    who: WhoName
    start: Annotated[float, Field(ge=0, le=1e11)]
    end: Annotated[float, Field(ge=0, le=1e11)]
    people: Annotated[tuple[Id, ...], Field(max_length=20)]
    reason: Annotated[str, Field(max_length=200)] = ""


class DrillWish(Input):
    site: Id


class Tested(Input):
    result: Literal["answered", "no_answer", "wrong_number"]


@dataclass(slots=True)
class RotaDoor:
    """The endpoints of call lists."""

    rota: RotaService

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        declare("GET", "/api/rota", access="read", query=RotaQuery, ok=RotaBody, errors=("not_found",),
                summary="Call list and rota of a site")(self.show)  # fmt: skip
        declare("POST", "/api/rota/people", access="roster", body=NewPerson, ok=PersonBody, status=201,
                errors=("not_found", "conflict"), summary="Put somebody on a call list")(self.add_person)  # fmt: skip
        declare("PATCH", "/api/rota/people/{id}", access="roster", body=PersonChange, ok=PersonBody,
                errors=("not_found",), summary="Change somebody on a call list")(self.change_person)  # fmt: skip
        declare("POST", "/api/rota/people/{id}/tested", access="roster", body=Tested, ok=PersonBody,
                errors=("not_found",), summary="Say what a call by hand came to")(self.tested)  # fmt: skip
        declare("POST", "/api/rota/plans", access="roster", body=NewPlan, ok=PlanBody, status=201,
                errors=("not_found", "invalid"), summary="Add a plan of turns")(self.add_plan)  # fmt: skip
        declare("DELETE", "/api/rota/plans/{id}", access="roster", ok=None, errors=("not_found",),
                summary="Remove a plan")(self.remove_plan)  # fmt: skip
        declare("POST", "/api/rota/overrides", access="roster", body=NewOverride, ok=OverrideBody, status=201,
                errors=("not_found", "invalid"), summary="Somebody else for a time")(self.add_override)  # fmt: skip
        declare("DELETE", "/api/rota/overrides/{id}", access="roster", ok=None, errors=("not_found",),
                summary="Remove an override")(self.remove_override)  # fmt: skip
        declare("POST", "/api/rota/drill", access="roster", body=DrillWish, ok=None, errors=("not_found", "stale"),
                summary="Ring every number of a site now, to see whether it works")(self.drill)  # fmt: skip
        return routes

    async def show(self, context: Context, request: web.Request, _body: None) -> RotaBody:
        site = query(request, RotaQuery).site
        who = require(context, request, "read", site)
        at, rota = time.time(), self.rota.rota
        plain = holds(who.user.role, "roster")
        phones = self.rota.phones()
        return RotaBody(
            site=site,
            people=tuple(self._person(one, plain=plain) for one in self.rota.people(site)),
            plans=tuple(_plan(one) for _, one in sorted(rota.plans.items()) if one.site == site),
            overrides=tuple(
                _override(one)
                for one in sorted(rota.overrides.values(), key=lambda one: one.start)
                if one.site == site and one.end > at - SHOWN_S
            ),
            now={name: tuple(one.person for one in rota.on(site, name, at)) for name in WHO},
            spans=tuple(_span(name, one) for name in WHO for one in rota.spans(site, name, at, at + SHOWN_S)),
            drilling=self.rota.drilling(site),
            phones=phones is not None and phones.available,
        )

    def _person(self, one: Person, *, plain: bool = True) -> PersonBody:
        return PersonBody(
            person=one.person, name=one.name, phone=one.phone if plain else masked(one.phone), user=one.user,
            active=one.active, tested_at=one.tested_at, test=one.test, dead=one.dead,
            untested=self.rota.untested(one, time.time()),
        )  # fmt: skip

    async def add_person(self, context: Context, request: web.Request, body: NewPerson) -> PersonBody:
        who = require(context, request, "roster", body.site)
        if len(self.rota.people(body.site)) >= MAX_PEOPLE:
            raise ApiProblem("conflict", f"A call list has at most {MAX_PEOPLE} people.")
        at = time.time()
        person = Person(f"p{secrets.token_hex(6)}", body.site, body.name, body.phone, body.user, added_at=at)
        await self.rota.keep(person, who.user, at)
        return self._person(person)

    async def change_person(self, context: Context, request: web.Request, body: PersonChange) -> PersonBody:
        person = self._known_person(context, request)
        at = time.time()
        given = {name: value for name, value in body.model_dump().items() if value is not None}
        if body.phone is not None and body.phone != person.phone:  # nobody has tried the new number
            given |= {"tested_at": None, "test": "", "missed": 0, "added_at": at}
        changed = replace(person, **given)
        await self.rota.keep(changed, visitor(request).user, at)
        return self._person(changed)

    async def tested(self, context: Context, request: web.Request, body: Tested) -> PersonBody:
        person = self._known_person(context, request)
        result: TestResult = body.result
        return self._person(await self.rota.tested(person, result, f"user:{visitor(request).user.user}", time.time()))

    def _known_person(self, context: Context, request: web.Request) -> Person:
        person = self.rota.rota.people.get(request.match_info["id"])
        if person is None:
            raise ApiProblem("not_found")
        require(context, request, "roster", person.site)
        return person

    async def add_plan(self, context: Context, request: web.Request, body: NewPlan) -> PlanBody:
        who = require(context, request, "roster", body.site)
        plan = Plan(
            f"l{secrets.token_hex(6)}", body.site, body.who, body.name, body.starts_at, body.turn_s, body.turns,
            time.time(),
        )  # fmt: skip
        await self._keep(plan, who.user)
        return _plan(plan)

    async def remove_plan(self, context: Context, request: web.Request, _body: None) -> None:
        plan = self.rota.rota.plans.get(request.match_info["id"])
        if plan is None:
            raise ApiProblem("not_found")
        who = require(context, request, "roster", plan.site)
        await self.rota.remove("plan", plan.plan, who.user, time.time())

    async def add_override(self, context: Context, request: web.Request, body: NewOverride) -> OverrideBody:
        who = require(context, request, "roster", body.site)
        override = Override(
            f"o{secrets.token_hex(6)}", body.site, body.who, body.start, body.end, body.people, body.reason,
            who.user.name, time.time(),
        )  # fmt: skip
        await self._keep(override, who.user)
        return _override(override)

    async def remove_override(self, context: Context, request: web.Request, _body: None) -> None:
        override = self.rota.rota.overrides.get(request.match_info["id"])
        if override is None:
            raise ApiProblem("not_found")
        who = require(context, request, "roster", override.site)
        await self.rota.remove("override", override.override, who.user, time.time())

    async def drill(self, context: Context, request: web.Request, body: DrillWish) -> None:
        require(context, request, "roster", body.site)
        phones = self.rota.phones()
        if phones is None or not phones.available:
            raise ApiProblem("stale", "There are no telephones to test the numbers with.")
        self.rota.ask_drill(body.site)

    async def _keep(self, one: Plan | Override, by: ByWhom) -> None:
        try:
            await self.rota.keep(one, by, time.time())
        except RotaRefused as error:
            raise ApiProblem("invalid", str(error)) from error


def _plan(one: Plan) -> PlanBody:
    return PlanBody(
        plan=one.plan, who=one.who, name=one.name, starts_at=one.starts_at, turn_s=one.turn_s, turns=one.turns
    )  # fmt: skip


def _override(one: Override) -> OverrideBody:
    return OverrideBody(
        override=one.override, who=one.who, start=one.start, end=one.end, people=one.people, reason=one.reason,
        by=one.by,
    )  # fmt: skip


def _span(who: WhoName, one: Span) -> SpanBody:
    return SpanBody(
        who=who, start=one.start, end=one.end, people=one.people, name=one.name, override=one.override
    )  # fmt: skip
