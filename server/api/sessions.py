"""Consultations, timelines, cameras and duty posts over HTTP."""

from dataclasses import dataclass
from typing import Annotated, Literal

from aiohttp import web
from pydantic import Field

from server.alerts.machine import Alert
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.conductor import Conductor
from server.duty.drill import MARK_ZH
from server.identity.roles import holds
from server.identity.service import Visitor
from server.posts import DutyPosts
from server.sessions.errors import SessionError
from server.sessions.machine import Actor, Answered, Declined, Ended, Invited, State
from server.sessions.service import SessionService
from server.store import timeline
from signaling.room.messages import TrackNotice

Level = Literal["nation", "province", "city", "county"]
SiteId = Annotated[str, Field(min_length=1, max_length=63)]
MAX_KEY = 128
MAX_TITLE = 120


class Start(Input):
    """One click: about which site, and whom to call."""

    site: SiteId
    levels: Annotated[tuple[Level, ...], Field(max_length=4)] = ("county",)
    """Authorities above the site that are rung; the site's own dispatcher is rung when the caller is another."""
    alert: Annotated[str, Field(max_length=64)] | None = None
    title: Annotated[str, Field(max_length=120)] = ""
    template: Annotated[str, Field(max_length=63)] = ""
    """Key of `GET /api/consultation/templates`."""
    drill: bool = False
    """A drill; one about the alert of a drill always is."""


class Invite(Input):
    """A site, or the authority of a level above the site it is about; there everybody, or people of one role."""

    site: SiteId | None = None
    level: Level | None = None
    role: Literal["supervisor", "dispatcher", "admin"] | None = None


class SiteQuery(Query):
    site: SiteId


class TimelineQuery(Query):
    after: int = Field(default=0, ge=0)
    limit: int = Field(default=100, ge=1, le=500)


class TimelineEntry(Output):
    room: str
    seq: int
    at: float
    kind: str
    body: dict[str, object]


class TimelinePage(Output):
    items: tuple[TimelineEntry, ...]
    next: int | None


class Cameras(Output):
    items: tuple[TrackNotice, ...]


class Posts(Output):
    items: tuple[dict[str, object], ...]


@dataclass(slots=True)
class SessionDoor:
    """The endpoints, over the services that they speak to."""

    sessions: SessionService
    conductor: Conductor
    posts: DutyPosts

    def routes(self) -> Routes:
        routes = Routes()
        one = "/api/sessions/{session}"
        state = dict[str, object]
        declare = routes.route
        declare("POST", "/api/sessions", access="consult", summary="Call a consultation", body=Start, ok=state,
                status=201, errors=("not_found", "not_allowed"))(self.start)  # fmt: skip
        declare("GET", one, access="read", summary="A consultation", ok=state, errors=("not_found",))(self.get)
        declare("POST", f"{one}/answer", access="answer", summary="Answer the ring", ok=state,
                errors=("not_found", "session_over"))(self.answer)  # fmt: skip
        declare("POST", f"{one}/decline", access="answer", summary="Decline the ring", ok=state,
                errors=("not_found", "session_over"))(self.decline)  # fmt: skip
        declare("POST", f"{one}/invite", access="consult", summary="Ring a further site, or ring again", body=Invite,
                ok=state, errors=("not_found", "not_allowed", "session_over"))(self.invite)  # fmt: skip
        declare("POST", f"{one}/end", access="consult", summary="End the consultation for everybody", ok=state,
                errors=("not_found", "session_over"))(self.end)  # fmt: skip
        declare("GET", "/api/rooms/{room}/timeline", access="read", summary="Entries of a room", query=TimelineQuery,
                ok=TimelinePage, errors=("not_found",))(self.timeline)  # fmt: skip
        declare("GET", "/api/cameras", access="read", summary="Cameras that are on", query=SiteQuery, ok=Cameras,
                errors=("not_found",))(self.cameras)  # fmt: skip
        declare("GET", "/api/posts", access="read", summary="Duty posts of a site and below", query=SiteQuery, ok=Posts,
                errors=("not_found",))(self.duty_posts)  # fmt: skip
        return routes

    # --- consultations ---

    async def start(self, context: Context, request: web.Request, body: Start) -> dict[str, object]:
        """Ring the chosen levels. The same alert has one consultation: calling again rings those who are missing."""
        who = require(context, request, "consult", body.site)
        by = actor_of(context, who)
        about = await self._alert_of(context, body)
        drill = about.drill if about is not None else body.drill
        if body.drill and not drill:
            raise ApiProblem("not_allowed", "A consultation about a real alert is no drill.")
        wanted = [one for one in context.tree.ancestors(body.site) if context.tree.level(one) in body.levels]
        invite = [site for site in (body.site, *wanted) if site != by.site]
        for state in self.sessions.about(body.site):
            if body.alert is not None and state.alert == body.alert:
                return await self._again(context, state, by, invite)
        key = request.headers.get("Idempotency-Key", "")
        if len(key) > MAX_KEY:
            raise ApiProblem("bad_request", f"An Idempotency-Key has at most {MAX_KEY} characters.")
        template = {one.key: one for one in context.settings.consultation.templates}.get(body.template)
        if body.template and template is None:
            raise ApiProblem("not_found", "There is no such template.")
        title = body.title or (template.title_zh if template else context.tree[body.site].name_zh)
        title = f"{MARK_ZH}{title}"[:MAX_TITLE] if drill and not title.startswith(MARK_ZH) else title
        once = (key, by.user) if key else None
        try:
            return await self.sessions.start(
                body.site,
                by,
                invite,
                title=title,
                alert=body.alert,
                once=once,
                template=body.template,
                drill=drill,
            )
        except SessionError as error:
            raced = [one for one in self.sessions.about(body.site) if one.alert == body.alert]
            if error.error != "stale" or not raced:
                raise
            return await self._again(context, raced[0], by, invite)

    async def _alert_of(self, context: Context, body: Start) -> Alert | None:
        if body.alert is None:
            return None
        alert = await context.alerts.get(body.alert)
        if alert is None or not context.tree.reaches(body.site, alert.site):
            raise ApiProblem("not_found", "There is no such alert at this site.")
        return alert

    async def _again(self, context: Context, state: State, by: Actor, invite: list[str]) -> dict[str, object]:
        if by.site not in state.sites():  # whoever calls takes part
            await self.sessions.handle(state.session, Invited(by.site, by.level, by))
            state = await self.sessions.handle(state.session, Answered(by))
        for site in invite:
            known = state.invitations.get(site)
            if known is None or known.state not in ("ringing", "answered"):
                state = await self.sessions.handle(state.session, Invited(site, context.tree.level(site), by))
        return state.as_dict()

    async def get(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        return (await self.visible(context, request)).as_dict()

    async def answer(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        state = await self.of_mine(context, request)
        return (await self.sessions.handle(state.session, Answered(actor_of(context, visitor(request))))).as_dict()

    async def decline(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        state = await self.of_mine(context, request)
        return (await self.sessions.handle(state.session, Declined(actor_of(context, visitor(request))))).as_dict()

    async def invite(self, context: Context, request: web.Request, body: Invite) -> dict[str, object]:
        """A site above or below the one it is about; nobody else's business."""
        state = await self.of_mine(context, request)
        tree = context.tree
        site = body.site
        if visitor(request).user.user in state.floor.barred:
            raise ApiProblem("not_allowed", "Who was put out of a consultation invites nobody.")
        if site is None and body.level is not None:
            site = next((one for one in tree.ancestors(state.site) if tree.level(one) == body.level), None)
        if site is None or not (tree.reaches(site, state.site) or tree.reaches(state.site, site)):
            raise ApiProblem("not_found", "That site is neither above nor below.")
        event = Invited(site, tree.level(site), actor_of(context, visitor(request)), body.role or "")
        return (await self.sessions.handle(state.session, event)).as_dict()

    async def end(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        state = await self.of_mine(context, request)
        by, moderates = actor_of(context, visitor(request)), holds(visitor(request).user.role, "moderate")
        if not state.floor.may_end(by.standing, state.people(), moderates=moderates):
            raise ApiProblem("not_allowed", "The chair, or who moderates from the same level or above, ends it.")
        return (await self.sessions.handle(state.session, Ended(by))).as_dict()

    async def visible(self, context: Context, request: web.Request) -> State:
        state = await self.sessions.get(request.match_info["session"])
        who = visitor(request).user
        if state is None or not (who.site in state.sites() or context.tree.reaches(who.site, state.site)):
            raise ApiProblem("not_found")
        return state

    async def of_mine(self, context: Context, request: web.Request) -> State:
        """A consultation in which the visitor's own site takes part."""
        state = await self.visible(context, request)
        if visitor(request).user.site not in state.sites():
            raise ApiProblem("not_found")
        return state

    # --- what happened, what is there ---

    async def timeline(self, context: Context, request: web.Request, _body: None) -> TimelinePage:
        asked = query(request, TimelineQuery)
        room = request.match_info["room"]
        await self._check_room(context, request, room)
        async with context.database.reading() as connection:
            found = await timeline.since(connection, room, asked.after, asked.limit)
        items = tuple(
            TimelineEntry(room=one.room, seq=one.seq, at=one.at, kind=one.kind, body=one.body) for one in found
        )
        return TimelinePage(items=items, next=found[-1].seq if len(found) == asked.limit else None)

    async def _check_room(self, context: Context, request: web.Request, room: str) -> None:
        if room.startswith("site:"):
            require(context, request, "read", room.removeprefix("site:"))
            return
        state = await self.sessions.get(room.removeprefix("session:")) if room.startswith("session:") else None
        who = visitor(request).user
        if state is None or not (who.site in state.sites() or context.tree.reaches(who.site, state.site)):
            raise ApiProblem("not_found")

    async def cameras(self, context: Context, request: web.Request, _body: None) -> Cameras:
        site = query(request, SiteQuery).site
        require(context, request, "read", site)
        found = self.conductor.tracks_in(f"site:{site}")
        return Cameras(items=tuple(client.notice(own) for client, own in found if own.kind == "video"))

    async def duty_posts(self, context: Context, request: web.Request, _body: None) -> Posts:
        site = query(request, SiteQuery).site
        require(context, request, "read", site)
        return Posts(items=tuple(self.posts.states([site, *context.tree.descendants(site)])))


def actor_of(context: Context, who: Visitor) -> Actor:
    user = who.user
    return Actor(user.user, user.name, user.site, context.tree.level(user.site), user.role)
