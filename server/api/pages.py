"""The pages: who may see which, and the files they are made of."""

from aiohttp import web

from config import VERSION
from server.api.context import CONTEXT, Context
from server.api.http import LOGIN_COOKIE, csp_nonce
from server.api.login import me, set_login_cookie
from server.api.problems import TEXTS
from server.api.security import allowed_origins, origin_allowed
from server.identity.errors import IdentityError, LoginError
from server.identity.service import Visitor
from web.pages import STATIC, render

HOME = {"dispatcher": "/dispatch", "supervisor": "/supervisor", "admin": "/supervisor"}
"""Where a role goes from `/`; the others go to the wall."""


class Pages:
    """Handlers of everything that is not the API."""

    def mount(self, app: web.Application) -> None:
        app.router.add_get("/", self.home)
        app.router.add_get("/login", self.login)
        app.router.add_get("/enter/{code}", self.enter)
        app.router.add_post("/enter/{code}", self.redeem)
        app.router.add_get("/dispatch", self.dispatch)
        app.router.add_get("/supervisor", self.supervisor)
        app.router.add_get("/check", self.check)
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

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "dispatch")

    async def supervisor(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "supervisor")

    async def check(self, request: web.Request) -> web.StreamResponse:
        return await self._for_people(request, "check")

    async def _for_people(self, request: web.Request, name: str) -> web.StreamResponse:
        who = await _visitor(request)
        if who is None:
            raise web.HTTPFound(f"/login?next=/{name}")
        return self._page(request, name, who)

    def _page(self, request: web.Request, name: str, who: Visitor | None, **more: object) -> web.Response:
        context = request.app[CONTEXT]
        config = {
            "simulated": context.simulated,
            "version": VERSION,
            "accept_language": request.headers.get("Accept-Language", ""),
            **more,
        }
        visitor = me(context, who).model_dump(mode="json") if who is not None else None
        html = render(name, nonce=csp_nonce(request), language=request.query.get("lang"), me=visitor, config=config)
        return web.Response(text=html, content_type="text/html", headers={"Cache-Control": "no-store"})


async def _visitor(request: web.Request) -> Visitor | None:
    context: Context = request.app[CONTEXT]
    try:
        return await context.identity.user_of_cookie(request.cookies.get(LOGIN_COOKIE, ""))
    except IdentityError:
        return None
