"""The pages: who may see which, and the files they are made of."""

from aiohttp import web

from config import VERSION
from server.api.consultation import GUEST_COOKIE, cookie_life_s
from server.api.context import CONTEXT, Context
from server.api.http import LOGIN_COOKIE, csp_nonce
from server.api.login import me, set_guest_cookie, set_login_cookie
from server.api.problems import TEXTS
from server.api.security import allowed_origins, origin_allowed
from server.identity.errors import IdentityError, LoginError
from server.identity.service import Visitor
from web.pages import STATIC, render

HOME = {"dispatcher": "/dispatch", "supervisor": "/supervisor", "admin": "/supervisor"}
"""Where a role goes from `/`; the others go to the wall."""


MAX_FORM_BYTES = 4096


class Pages:
    """Handlers of everything that is not the API."""

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/", self.home)
        app.router.add_get("/login", self.login)
        app.router.add_get("/enter/{code}", self.enter)
        app.router.add_post("/enter/{code}", self.redeem)
        app.router.add_get("/join/{code}", self.join)
        app.router.add_post("/join/{code}", self.redeem_guest)
        app.router.add_get("/guest", self.guest)
        app.router.add_get("/dispatch", self.dispatch)
        app.router.add_get("/supervisor", self.supervisor)
        app.router.add_get("/alerts", self.alerts)
        app.router.add_get("/check", self.check)
        app.router.add_get("/review", self.review)
        app.router.add_get("/duty", self.duty)
        app.router.add_get("/plan", self.plan)
        app.router.add_get("/muster", self.muster)
        app.router.add_get("/registry", self.registry)
        app.router.add_get("/phones", self.phones)
        app.router.add_get("/users", self.users)
        app.router.add_get("/audit", self.audit)
        app.router.add_get("/system", self.system)
        app.router.add_get("/settings", self.settings)
        app.router.add_get("/cameras", self.cameras)
        app.router.add_static("/static", STATIC)

    async def home(self, request: web.Request) -> web.StreamResponse:
        who = await _visitor(request)
        raise web.HTTPFound("/login" if who is None else HOME.get(who.user.role, "/supervisor"))

    async def login(self, request: web.Request) -> web.StreamResponse:
        return self._page(request, "login", None)

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """The code is redeemed by the page's own POST, so that a preview of the link does not use it up."""
        return self._page(request, "enter", None, code=request.match_info["code"])

    async def redeem(self, request: web.Request) -> web.StreamResponse:
        """Log in, or say in words why the link does not."""
        context = request.app[CONTEXT]
        if not origin_allowed(request, allowed_origins(context.settings.server)):
            raise web.HTTPForbidden
        try:
            who, secret = await context.identity.redeem(request.match_info["code"], request.remote or "")
        except LoginError as error:
            return self._page(request, "enter", None, text=TEXTS[error.error].model_dump())
        response = web.HTTPSeeOther(HOME.get(who.user.role, "/supervisor"))
        set_login_cookie(context, request, response, secret)
        raise response

    async def join(self, request: web.Request) -> web.StreamResponse:
        """A guest's link: asks for a name, and is used up by the page's own POST."""
        context, code = request.app[CONTEXT], request.match_info["code"]
        guest = await context.identity.guests.peek(code)
        if guest is None:
            return self._page(request, "join", None, text=TEXTS["link_invalid"].model_dump())
        return self._page(request, "join", None, code=code, guest_name=guest.name, speaks=guest.speaks)

    async def redeem_guest(self, request: web.Request) -> web.StreamResponse:
        context = request.app[CONTEXT]
        if not origin_allowed(request, allowed_origins(context.settings.server)):
            raise web.HTTPForbidden
        if (
            request.content_type != "application/x-www-form-urlencoded"
            or (request.content_length or 0) > MAX_FORM_BYTES
        ):
            raise web.HTTPBadRequest
        name = str((await request.post()).get("name", ""))
        name = "".join(one for one in name if one.isprintable()).strip()[:60]
        try:
            guest, secret = await context.identity.guests.redeem(request.match_info["code"], name, request.remote or "")
        except LoginError as error:
            return self._page(request, "join", None, text=TEXTS[error.error].model_dump())
        response = web.HTTPSeeOther("/guest")
        set_guest_cookie(context, request, response, secret, cookie_life_s(guest))
        raise response

    async def guest(self, request: web.Request) -> web.StreamResponse:
        """The consultation, for the guest of this browser; somebody who is logged in as well is a guest here."""
        context = request.app[CONTEXT]
        guest = await context.identity.guests.of_cookie(request.cookies.get(GUEST_COOKIE, ""))
        if guest is None:
            return self._page(request, "join", None, text=TEXTS["link_invalid"].model_dump())
        me = {
            "user": guest.guest, "login": "", "name": guest.name, "role": "guest", "site": guest.site, "level": "guest",
            "sites": [], "verbs": [], "language": "", "must_change": False, "simulated": context.simulated,
        }  # fmt: skip
        names = sorted({guest.site, *(context.identity.sites_of_session(guest.session) or ())} & set(context.tree))
        sites = [
            {"site": one, "parent": None, "level": context.tree.level(one), "name_zh": context.tree[one].name_zh,
             "name_en": context.tree[one].name_en}
            for one in names
        ]  # fmt: skip
        return self._page(request, "guest", me, session=guest.session, speaks=guest.speaks, sites=sites)

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "dispatch")

    async def supervisor(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "supervisor")

    async def alerts(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "alerts")

    async def duty(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "duty")

    async def plan(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "plan")

    async def muster(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "muster")

    async def registry(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "registry")

    async def phones(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "phones")

    async def users(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "users")

    async def audit(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "audit")

    async def system(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "system")

    async def settings(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "settings")

    async def cameras(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "cameras")

    async def review(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "review")

    async def check(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "check")

    async def _for_people(self, request: web.Request, name: str) -> web.StreamResponse:
        who = await _visitor(request)
        if who is None:
            raise web.HTTPFound(f"/login?next=/{name}")
        return self._page(request, name, who)

    def _page(
        self, request: web.Request, name: str, who: Visitor | dict[str, object] | None, **more: object
    ) -> web.Response:
        context = request.app[CONTEXT]
        config = {
            "simulated": context.simulated,
            "version": VERSION,
            "accept_language": request.headers.get("Accept-Language", ""),
            **more,
        }
        visitor = me(context, who).model_dump(mode="json") if isinstance(who, Visitor) else who
        html = render(name, nonce=csp_nonce(request), language=request.query.get("lang"), me=visitor, config=config)
        return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


async def _visitor(request: web.Request) -> Visitor | None:
    context: Context = request.app[CONTEXT]
    try:
        return await context.identity.user_of_cookie(request.cookies.get(LOGIN_COOKIE, ""))
    except IdentityError:
        return None
