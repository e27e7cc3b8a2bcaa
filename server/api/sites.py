"""The tree, as far as the visitor may see it."""

from aiohttp import web

from server.api.context import Context
from server.api.http import Output, Routes, visitor
from server.api.login import Level

routes = Routes()


class SiteBody(Output):
    site: str
    parent: str | None
    level: Level
    name_zh: str
    name_en: str


@routes.route(
    "GET", "/api/sites", access="signed_in", summary="The own site and all below it, parents first",
    ok=list[SiteBody],
)  # fmt: skip
async def sites(context: Context, request: web.Request, _body: None) -> list[dict[str, object]]:
    return [context.tree[site].as_dict() for site in context.identity.visible_sites(visitor(request).user)]
