"""What a consultation has beyond ringing: templates, guests, a summary, and going on in another one."""

import time
from dataclasses import dataclass
from typing import Annotated, Literal

import segno
from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Routes, visitor
from server.api.sessions import SessionDoor, actor_of
from server.api.tokens import TokenBody
from server.conductor import Conductor
from server.identity.roles import holds
from server.sessions.errors import SessionError
from server.sessions.machine import State, Summed
from server.sessions.service import SessionService
from server.store.guests import Guest
from signaling.room.messages import Id, Text

GUEST_COOKIE = "lamproom_guest"
MAX_GUEST_S = 24 * 3600


class FirstOrder(Output):
    to: str
    text: Text


class Template(Output):
    key: str
    title: Text
    rules: tuple[str, ...]
    levels: tuple[str, ...]
    clocks: bool
    orders: tuple[FirstOrder, ...]


class Templates(Output):
    clocks_s: tuple[float, ...]
    """Legal clocks, from the incident on."""
    items: tuple[Template, ...]


class Merge(Input):
    into: Id
    """The consultation in which this one goes on."""


class Summary(Input):
    text: Annotated[str, Field(max_length=4000)]


class NewGuest(Input):
    name: Annotated[str, Field(max_length=60)] = ""
    """Who it is for; whoever uses the link may write another."""
    role: Literal["viewer", "speaker"] = "viewer"
    lobby: bool = True
    """The chair lets them in; else they are in at once."""
    life_s: Annotated[int, Field(ge=60, le=MAX_GUEST_S)] = 3600


class GuestBody(Output):
    guest: str
    name: str
    role: Literal["viewer", "speaker"]
    lobby: bool
    made_by: str
    made_at: float
    expires_at: float
    used_at: float | None
    revoked_at: float | None


class GuestLink(GuestBody):
    url: str
    """Shown once; it works once."""
    qr: str
    """The same as a picture, `data:image/svg+xml`."""


class GuestList(Output):
    items: tuple[GuestBody, ...]


@dataclass(slots=True)
class ConsultationDoor:
    """The endpoints, over the services that they speak to."""

    sessions: SessionService
    conductor: Conductor
    door: SessionDoor

    def routes(self) -> Routes:
        routes = Routes()
        one, state = "/api/sessions/{session}", dict[str, object]
        over = ("not_found", "not_allowed", "session_over")
        declare = routes.route
        declare("GET", "/api/consultation/templates", access="read", summary="Templates by type of incident",
                ok=Templates)(self.templates)  # fmt: skip
        declare("POST", f"{one}/merge", access="consult", summary="End it and go on in another", body=Merge, ok=state,
                errors=over)(self.merge)  # fmt: skip
        declare("POST", f"{one}/summary", access="consult", summary="What came of it, in words", body=Summary, ok=state,
                errors=over)(self.summary)  # fmt: skip
        declare("POST", f"{one}/guests", access="consult", summary="A link for one guest", body=NewGuest, ok=GuestLink,
                status=201, errors=(*over, "capacity"))(self.make_guest)  # fmt: skip
        declare("GET", f"{one}/guests", access="consult", summary="Links for guests", ok=GuestList,
                errors=("not_found", "not_allowed"))(self.guests)  # fmt: skip
        declare("POST", f"{one}/guests/{{guest}}/revoke", access="consult", summary="End a guest's link, and the guest",
                ok=None, errors=("not_found", "not_allowed"))(self.revoke)  # fmt: skip
        declare("POST", "/api/guest/token", access=None, summary="A room token for the guest of this browser",
                ok=TokenBody, errors=("not_signed_in",))(self.guest_token)  # fmt: skip
        return routes

    async def templates(self, context: Context, request: web.Request, _body: None) -> Templates:
        return Templates(
            clocks_s=context.settings.consultation.report_within_s,
            items=tuple(
                Template(
                    key=one.key, title=Text(zh=one.title_zh, en=one.title_en), rules=one.rules, levels=one.levels,
                    clocks=one.clocks,
                    orders=tuple(
                        FirstOrder(to=order.to, text=Text(zh=order.text_zh, en=order.text_en)) for order in one.orders
                    ),
                )
                for one in context.settings.consultation.templates
            )
        )  # fmt: skip

    async def merge(self, context: Context, request: web.Request, body: Merge) -> dict[str, object]:
        """By somebody who governs both."""
        await self.door.of_mine(context, request)
        by = actor_of(context, visitor(request))
        other = self.sessions.get_open(body.into)
        if other is None or by.site not in other.sites():
            raise ApiProblem("not_found", "There is no such consultation to go on in.")
        moderates = holds(visitor(request).user.role, "moderate")
        state = await self.sessions.merge(request.match_info["session"], body.into, by, moderates=moderates)
        return state.as_dict()

    async def summary(self, context: Context, request: web.Request, body: Summary) -> dict[str, object]:
        state = await self._governed(context, request)
        by = actor_of(context, visitor(request))
        return (await self.sessions.handle(state.session, Summed(by, body.text))).as_dict()

    async def _governed(self, context: Context, request: web.Request) -> State:
        """An open consultation of the visitor's, in which he acts as the chair does."""
        state = await self.door.of_mine(context, request)
        who = visitor(request)
        standing = actor_of(context, who).standing
        if state.ended_at is not None:
            raise SessionError("session_over", "The consultation has ended.")
        if not state.floor.governs(standing, moderates=holds(who.user.role, "moderate")):
            raise ApiProblem(
                "not_allowed", "Only the chair, or who moderates from the same level or above, may do that."
            )
        return state

    # --- guests ---

    async def make_guest(self, context: Context, request: web.Request, body: NewGuest) -> GuestLink:
        state = await self._governed(context, request)
        made = await context.identity.guests.make(
            state.session, state.site, name=body.name, speaks=body.role == "speaker", waits=body.lobby,
            life_s=body.life_s, by=visitor(request).user.user,
        )  # fmt: skip
        if made is None:
            raise ApiProblem("capacity", "This consultation has too many links.")
        guest, code = made
        base = context.settings.server.public_url or str(request.url.origin())
        url = f"{base.rstrip('/')}/join/{code}"
        qr = segno.make(url, error="m").svg_data_uri(scale=6, border=3, light="white")
        return GuestLink(**_guest(guest).model_dump(), url=url, qr=qr)

    async def guests(self, context: Context, request: web.Request, _body: None) -> GuestList:
        state = await self.door.of_mine(context, request)
        return GuestList(items=tuple(map(_guest, await context.identity.guests.of_session(state.session))))

    async def revoke(self, context: Context, request: web.Request, _body: None) -> None:
        state = await self._governed(context, request)
        known = await context.identity.guests.of_session(state.session)
        found = [one for one in known if one.guest == request.match_info["guest"]]
        if not found:
            raise ApiProblem("not_found")
        await context.identity.guests.revoke(found[0], by=visitor(request).user.user)
        context.identity.end_access_of(found[0].guest)

    async def guest_token(self, context: Context, request: web.Request, _body: None) -> TokenBody:
        """By the guest's own cookie, which opens nothing else."""
        if request.headers.get("X-Lamproom") != "1":
            raise ApiProblem("foreign_origin", "A request made by cookie needs the header X-Lamproom: 1.")
        guest = await context.identity.guests.of_cookie(request.cookies.get(GUEST_COOKIE, ""))
        if guest is None:
            raise ApiProblem("not_signed_in")
        token = context.identity.guests.token(guest)
        context.metrics.tokens.labels("guest").inc()
        return TokenBody(token=token.token, room=token.room, expires_at=token.expires_at, grants=token.grants)


def _guest(guest: Guest) -> GuestBody:
    return GuestBody(
        guest=guest.guest, name=guest.name, role="speaker" if guest.speaks else "viewer", lobby=guest.waits,
        made_by=guest.made_by, made_at=guest.made_at, expires_at=guest.expires_at, used_at=guest.used_at,
        revoked_at=guest.revoked_at,
    )  # fmt: skip


def cookie_life_s(guest: Guest) -> int:
    """How long the browser keeps it."""
    return max(1, int(guest.expires_at - time.time()))
