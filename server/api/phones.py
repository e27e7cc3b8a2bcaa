"""Phones, trunks, calls and what was refused. Secrets are shown once, when they are made; numbers only to engineers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, dataclass
from typing import Annotated, Literal, TypeVar

from aiohttp import web
from pydantic import Field

from server.api.context import CONTEXT, Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, require_server, visitor
from server.api.security import allowed_origins, origin_allowed
from server.phones.devices import Phone
from server.phones.errors import PhoneError
from server.phones.leg import Command, HangUp, Hold, Leg, Picture
from server.phones.service import PhoneService
from server.sessions.machine import State
from server.store import audit
from server.store import phones as rows
from signaling.room.messages import Id

Name = Annotated[str, Field(min_length=1, max_length=64)]
PhoneName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
NetworkText = Annotated[str, Field(min_length=2, max_length=64)]
Networks = Annotated[list[NetworkText], Field(max_length=16)]
TARGET = r"^(site|phone):[a-z0-9][a-z0-9._-]{0,62}$|^tel:[+0-9*#() .-]{1,40}$"
Target = Annotated[str, Field(pattern=TARGET)]


T = TypeVar("T")


class BindingBody(Output):
    address: str
    transport: str
    expires_s: int


class PhoneBody(Output):
    phone: str
    site: str
    name: str
    networks: list[str]
    disabled: bool
    created_at: float
    needs_secret: bool
    """The domain of the settings has changed since its secret was made."""
    registered: list[BindingBody]
    agent: str
    """What it calls itself."""


class PhoneList(Output):
    available: bool
    domain: str
    address: str
    port: int
    tls_port: int
    items: list[PhoneBody]


class SiteQuery(Query):
    site: Id | None = None
    """This site and below; default: the own."""


class NewPhone(Input):
    phone: PhoneName
    site: Id
    name: Name
    networks: Networks = Field(default_factory=list)


class PhoneChange(Input):
    name: Name | None = None
    networks: Networks | None = None
    disabled: bool | None = None


class SecretBody(Output):
    phone: str
    domain: str
    secret: str
    """Shown this once."""


class TrunkBody(Output):
    name: str
    host: str
    port: int
    transport: str
    networks: list[str]
    inbound: bool
    outbound: bool
    prefixes: list[str]
    calls: int
    max_calls: int
    dialled_today: int
    max_dialled_per_day: int
    up: bool | None
    registration: str
    reason: str
    srtp: str


class TrunkList(Output):
    items: list[TrunkBody]


class CallBody(Output):
    call: str
    direction: str
    peer: str
    name: str
    site: str
    session: str
    alert: str
    rule: str
    state: str
    at: float
    answered_at: float | None
    ended_at: float | None
    result: str
    reason: str
    status: int
    held: bool
    muted: bool
    level: float | None
    picture: str
    client: str
    """In the roster of its consultation; "" outside."""
    by: str


class CallList(Output):
    items: list[CallBody]


class RecordQuery(Query):
    site: Id | None = None
    before: float | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class RecordBody(Output):
    call: str
    at: float
    direction: str
    peer: str
    caller: str
    called: str
    name: str
    site: str
    session: str
    alert: str
    rule: str
    by: str
    answered_at: float | None
    ended_at: float | None
    result: str
    reason: str
    status: int


class RecordList(Output):
    items: list[RecordBody]
    next: float | None
    """For `before`."""


class StepBody(Output):
    at: float
    sent: bool
    peer: str
    transport: str
    line: str
    text: str


class LadderBody(Output):
    call: str
    total: int
    """Messages in all; the middle of very many is not kept."""
    steps: list[StepBody]


class RefusedBody(Output):
    at: float
    rule: str
    why: str
    status: int
    method: str
    address: str
    transport: str
    caller: str
    called: str
    count: int


class BanBody(Output):
    address: str
    left_s: float
    why: str


class RefusedList(Output):
    items: list[RefusedBody]
    rules: dict[str, int]
    """How many each rule refused since the start."""
    bans: list[BanBody]


class Explain(Input):
    source: Name
    called: Annotated[str, Field(max_length=64)]
    caller: Annotated[str, Field(max_length=64)] = ""


class Explained(Output):
    rule: str
    why: str
    status: int
    action: str
    site: str


class HoldWish(Input):
    held: bool


class TransferWish(Input):
    target: Annotated[str, Field(pattern=TARGET + r"|^call:[0-9a-f]{24}$")]
    """Beside those that can be rung: `call:{call}`, another desk phone that is on a call here: the two then talk with
    each other, and both have left (attended transfer)."""


class PictureWish(Input):
    track: Annotated[str, Field(max_length=100)] = ""
    """Of pictures, in the room that the phone is in; "": whoever speaks."""


class RingWish(Input):
    target: Target | None = None
    targets: Annotated[list[Target], Field(max_length=8)] = Field(default_factory=list)
    """Several, instead of one: in this order until a person has it, or all at once."""
    mode: Literal["sequential", "parallel"] = "sequential"
    timeout_s: Annotated[float, Field(ge=5, le=170)] | None = None
    """How long each is rung; default: the settings'."""
    menu: bool = True


class RingBody(Output):
    targets: list[str]
    state: Literal["ringing"]


class SessionPhone(Output):
    available: bool
    pin: str
    """Six digits by which a telephone comes in."""


@dataclass(slots=True)
class PhoneDoor:
    """`service` None: phones are switched off."""

    service: PhoneService | None

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        one, call = "/api/phones/{phone}", "/api/phones/calls/{call}"
        off = ("not_found", "phones_off")
        declare("GET", "/api/phones", access="configure", summary="Desk phones of a site and below", query=SiteQuery,
                ok=PhoneList, errors=off)(self.phones)  # fmt: skip
        declare("POST", "/api/phones", access="configure", summary="A new desk phone; its secret, once", body=NewPhone,
                ok=SecretBody, status=201, errors=("phone_taken", "invalid", "capacity", "no_such_site", *off),
                )(self.add)  # fmt: skip
        declare("PATCH", one, access="configure", summary="Change a desk phone", body=PhoneChange, ok=PhoneBody,
                errors=("no_such_phone", "invalid", *off))(self.change)  # fmt: skip
        declare("POST", f"{one}/secret", access="configure", summary="Another secret for a desk phone", ok=SecretBody,
                errors=("no_such_phone", *off))(self.renew)  # fmt: skip
        declare("DELETE", one, access="configure", summary="Remove a desk phone", ok=None, status=204,
                errors=("no_such_phone", *off))(self.remove)  # fmt: skip
        declare("GET", "/api/phones/trunks", access="configure", summary="Trunks and how they are", ok=TrunkList,
                errors=off)(self.trunks)  # fmt: skip
        declare("GET", "/api/phones/calls", access="read", summary="Calls of now, and the last that ended",
                query=SiteQuery, ok=CallList, errors=off)(self.calls)  # fmt: skip
        declare("GET", "/api/phones/records", access="configure", summary="Calls on record, with numbers",
                query=RecordQuery, ok=RecordList, errors=off)(self.records)  # fmt: skip
        declare("GET", f"{call}/trace", access="configure", summary="SIP messages of a call, without secrets",
                ok=LadderBody, errors=("no_such_call", *off))(self.ladder)  # fmt: skip
        declare("POST", f"{call}/hangup", access="moderate", summary="End a call", ok=None, status=204,
                errors=("no_such_call", *off))(self.hang_up)  # fmt: skip
        declare("POST", f"{call}/hold", access="moderate", summary="Hold a call, or go on", body=HoldWish, ok=None,
                status=204,
                errors=("no_such_call", *off))(self.hold)  # fmt: skip
        declare("POST", f"{call}/transfer", access="moderate", summary="Have the phone call somebody else",
                body=TransferWish, ok=None, status=204, errors=("no_such_call", "not_allowed", *off),
                )(self.transfer)  # fmt: skip
        declare("POST", f"{call}/picture", access="moderate", summary="Which picture a phone with a screen sees",
                body=PictureWish, ok=None, status=204, errors=("no_such_call", "no_such_track", *off),
                )(self.picture)  # fmt: skip
        declare("GET", "/api/phones/refused", access="configure", summary="What was turned away, by which rule",
                ok=RefusedList, errors=off)(self.refused)  # fmt: skip
        declare("DELETE", "/api/phones/bans/{address}", access="configure", summary="Take a ban back", ok=None,
                status=204, errors=off)(self.unban)  # fmt: skip
        declare("POST", "/api/phones/explain", access="configure", summary="What would become of a call", body=Explain,
                ok=Explained, errors=off)(self.explain)  # fmt: skip
        declare("GET", "/api/sessions/{session}/phone", access="read", summary="How telephones come in",
                ok=SessionPhone, errors=("not_found",))(self.session_phone)  # fmt: skip
        declare("POST", "/api/sessions/{session}/ring", access="consult", summary="Ring phones or numbers",
                body=RingWish, ok=RingBody, status=202, errors=("too_fast", "invalid", *off))(self.ring)  # fmt: skip
        return routes

    # --- phones ---

    async def phones(self, context: Context, request: web.Request, _body: None) -> PhoneList:
        service, sites = self._on(), self._sites(context, request, query(request, SiteQuery).site)
        endpoint = service.endpoint
        return PhoneList(
            available=service.available,
            domain=service.settings.domain,
            address=service.settings.advertise or service.settings.listen_host,
            port=endpoint.port if endpoint is not None else 0,
            tls_port=endpoint.tls_port if endpoint is not None else 0,
            items=[self._phone(service, phone) for phone in service.phones.of(sites)],
        )

    async def add(self, context: Context, request: web.Request, body: NewPhone) -> SecretBody:
        service = self._on()
        who = require(context, request, "configure", body.site, missing="no_such_site")
        secret = await _said(service.phones.add(body.phone, body.site, body.name, body.networks, who.user.user))
        return SecretBody(phone=body.phone, domain=service.settings.domain, secret=secret)

    async def change(self, context: Context, request: web.Request, body: PhoneChange) -> PhoneBody:
        service, phone, by = self._managed(context, request)
        changed = await _said(
            service.phones.change(phone, by, name=body.name, networks=body.networks, disabled=body.disabled)
        )
        await service.changed_phones()
        return self._phone(service, changed)

    async def renew(self, context: Context, request: web.Request, _body: None) -> SecretBody:
        service, phone, by = self._managed(context, request)
        secret = await _said(service.phones.renew(phone, by))
        await service.unregister(phone)
        return SecretBody(phone=phone, domain=service.settings.domain, secret=secret)

    async def remove(self, context: Context, request: web.Request, _body: None) -> None:
        service, phone, by = self._managed(context, request)
        await _said(service.phones.remove(phone, by))
        await service.changed_phones()

    def _managed(self, context: Context, request: web.Request) -> tuple[PhoneService, str, str]:
        service, name = self._on(), request.match_info["phone"]
        known = service.phones.get(name)
        if known is None:
            raise ApiProblem("no_such_phone")
        who = require(context, request, "configure", known.site, missing="no_such_phone")
        return service, name, who.user.user

    def _phone(self, service: PhoneService, phone: Phone) -> PhoneBody:
        now = asyncio.get_running_loop().time()
        return PhoneBody(
            phone=phone.phone, site=phone.site, name=phone.name, networks=list(phone.networks),
            disabled=phone.disabled, created_at=phone.created_at, needs_secret=phone.realm != service.settings.domain,
            registered=[
                BindingBody(
                    address=f"{one.flow.host}:{one.flow.port}", transport=one.flow.transport,
                    expires_s=round(one.expires_at - now),
                )
                for one in service.bindings(phone.phone)
            ],
            agent=service.agent_of(phone.phone),
        )  # fmt: skip

    # --- trunks, calls ---

    async def trunks(self, context: Context, request: web.Request, _body: None) -> TrunkList:
        require_server(context, request, "configure")
        service = self._on()
        return TrunkList(items=[TrunkBody.model_validate(one) for one in service.trunk_states()])

    async def calls(self, context: Context, request: web.Request, _body: None) -> CallList:
        service, sites = self._on(), set(self._sites(context, request, query(request, SiteQuery).site))
        legs = [*service.legs.values(), *reversed(service.recent)]
        return CallList(items=[CallBody.model_validate(leg.shown()) for leg in legs if leg.site in sites])

    async def records(self, context: Context, request: web.Request, _body: None) -> RecordList:
        self._on()
        wish = query(request, RecordQuery)
        sites = self._sites(context, request, wish.site)
        async with context.database.reading() as connection:
            found = await rows.calls_of(connection, sites, wish.before, wish.limit)
        more = len(found) == wish.limit
        return RecordList(
            items=[RecordBody.model_validate(row) for row in found], next=found[-1]["at"] if more else None
        )

    async def ladder(self, context: Context, request: web.Request, _body: None) -> LadderBody:
        service = self._on()
        leg = self._leg(context, request, "configure", ended=True)
        found = service.trace.ladder(leg.call_id)
        if found is None:
            raise ApiProblem("no_such_call", "The messages of this call are not kept any more.")
        steps = [StepBody.model_validate(asdict(step)) for step in found.steps()]
        return LadderBody(call=leg.id, total=found.total, steps=steps)

    async def hang_up(self, context: Context, request: web.Request, _body: None) -> None:
        await self._command(context, request, HangUp("by_moderator"), "hangup")

    async def hold(self, context: Context, request: web.Request, body: HoldWish) -> None:
        await self._command(context, request, Hold(body.held), "hold" if body.held else "resume")

    async def transfer(self, context: Context, request: web.Request, body: TransferWish) -> None:
        service = self._on()
        leg = self._leg(context, request, "moderate")
        state = service.sessions.get_open(leg.session) if leg.session else None
        if body.target.startswith("call:"):
            other = service.legs.get(body.target.removeprefix("call:"))
            if other is None:
                raise ApiProblem("no_such_call")
            require(context, request, "moderate", other.site, missing="no_such_call")
        else:
            self._near(context, service, body.target, state.site if state else leg.site, state.sites() if state else ())
        _checked(lambda: service.transfer(leg.id, body.target))
        await self._audit(context, request, "transfer", leg)

    async def picture(self, context: Context, request: web.Request, body: PictureWish) -> None:
        service = self._on()
        leg = self._leg(context, request, "moderate")
        if body.track and not service.can_see(leg, body.track):
            raise ApiProblem("no_such_track")
        await self._audit(context, request, "picture", leg)
        _checked(lambda: service.command(leg.id, Picture(body.track)))

    async def _command(self, context: Context, request: web.Request, what: Command, word: str) -> None:
        service = self._on()
        leg = self._leg(context, request, "moderate")
        await self._audit(context, request, word, leg)
        _checked(lambda: service.command(leg.id, what))

    async def _audit(self, context: Context, request: web.Request, word: str, leg: Leg) -> None:
        async with context.database.transaction() as connection:
            await audit.append(
                connection, at=time.time(), actor=visitor(request).user.user, action=f"call.{word}", object=leg.id,
                site=leg.site, address=request.remote or "",
            )  # fmt: skip

    def _leg(
        self, context: Context, request: web.Request, verb: Literal["configure", "moderate"], *, ended: bool = False
    ) -> Leg:
        """The call, where the visitor reaches its site."""
        service, name = self._on(), request.match_info["call"]
        leg = service.legs.get(name)
        if leg is None and ended:
            leg = next((one for one in service.recent if one.id == name), None)
        if leg is None:
            raise ApiProblem("no_such_call")
        require(context, request, verb, leg.site, missing="no_such_call")
        return leg

    # --- refusals ---

    async def refused(self, context: Context, request: web.Request, _body: None) -> RefusedList:
        require_server(context, request, "configure")
        service, now = self._on(), asyncio.get_running_loop().time()
        return RefusedList(
            items=[RefusedBody.model_validate(asdict(one)) for one in reversed(service.refusals.items)],
            rules=dict(service.refusals.rules),
            bans=[BanBody(address=one.host, left_s=round(one.left_s), why=one.why) for one in service.rates.bans(now)],
        )

    async def unban(self, context: Context, request: web.Request, _body: None) -> None:
        require_server(context, request, "configure")
        service = self._on()
        if not service.rates.lift(request.match_info["address"]):
            raise ApiProblem("not_found")

    async def explain(self, context: Context, request: web.Request, body: Explain) -> Explained:
        require_server(context, request, "configure")
        found = self._on().explain(body.source, body.called, body.caller)
        return Explained(rule=found.rule, why=found.why, status=found.status, action=found.action, site=found.site)

    # --- consultations ---

    async def session_phone(self, context: Context, request: web.Request, _body: None) -> SessionPhone:
        session = request.match_info["session"]
        if self.service is None:
            return SessionPhone(available=False, pin="")
        self._session(self.service, request, session)
        return SessionPhone(available=self.service.available, pin=self.service.pin(session))

    async def ring(self, context: Context, request: web.Request, body: RingWish) -> RingBody:
        """Rings; what comes of it stands in the timeline. People of a consultation ring into it, nobody else."""
        service, session = self._on(), request.match_info["session"]
        state = self._session(service, request, session)
        targets = body.targets or ([body.target] if body.target is not None else [])
        if not targets or (body.targets and body.target is not None):
            raise ApiProblem("invalid", "There is one target, or a list of targets.")
        for target in targets:
            self._near(context, service, target, state.site, state.sites())
        who = visitor(request).user
        async with context.database.transaction() as connection:
            await audit.append(
                connection, at=time.time(), actor=who.user, action="call.ring", object=targets[0][:60],
                site=state.site, address=request.remote or "",
                detail={"session": session, "targets": targets, "mode": body.mode},
            )  # fmt: skip
        _checked(
            lambda: service.begin_ring(
                targets, mode=body.mode, timeout_s=body.timeout_s, session=state.session, alert=state.alert,
                by=who.name, menu=body.menu,
            )
        )  # fmt: skip
        return RingBody(targets=targets, state="ringing")

    def _session(self, service: PhoneService, request: web.Request, session: str) -> State:
        state = service.sessions.get_open(session)
        if state is None or visitor(request).user.site not in state.sites():
            raise ApiProblem("not_found")
        return state

    def _near(self, context: Context, service: PhoneService, target: str, about: str, sites: Collection[str]) -> None:
        """A phone of a site in the consultation, or of one above or below what it is about; nobody else's. What
        numbers may be dialled is for the rules to say."""
        kind, _, name = target.partition(":")
        if kind == "tel":
            return
        phone = service.phones.get(name) if kind == "phone" else None
        site = name if kind == "site" else phone.site if phone is not None else ""
        tree = context.tree
        if not (site in sites or tree.reaches(site, about) or tree.reaches(about, site)):
            raise ApiProblem("not_found", "That phone is neither above nor below.")

    # --- SIP over WebSocket ---

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """Who comes here proves itself by SIP digests; only pages of ours may open it."""
        context = request.app[CONTEXT]
        endpoint = self.service.endpoint if self.service is not None else None
        if endpoint is None or not context.settings.phones.websocket:
            raise web.HTTPNotFound
        if "Origin" in request.headers and not origin_allowed(request, allowed_origins(context.settings.server)):
            raise web.HTTPForbidden
        return await endpoint.websocket(request)

    # --- helpers ---

    def _on(self) -> PhoneService:
        if self.service is None:
            raise ApiProblem("phones_off")
        return self.service

    def _sites(self, context: Context, request: web.Request, wanted: str | None) -> list[str]:
        site = wanted or visitor(request).user.site
        require(context, request, "read", site)
        return [site, *context.tree.descendants(site)]


async def _said(work: Awaitable[T]) -> T:
    """What a change of phones gives; its refusals as problems."""
    try:
        return await work
    except PhoneError as error:
        raise ApiProblem(error.error, error.detail) from error


def _checked(do: Callable[[], None]) -> None:
    try:
        do()
    except PhoneError as error:
        raise ApiProblem(error.error, error.detail) from error
