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
    above: bool
    """An authority above the own site: its name is known, nothing else of it."""


@routes.route(
    "GET", "/api/sites", access="signed_in", summary="Authorities above by name, the own site, all below it",
    ok=list[SiteBody],
)  # fmt: skip
async def sites(context: Context, request: web.Request, _body: None) -> list[dict[str, object]]:
    own = visitor(request).user
    below = context.identity.visible_sites(own)
    above = context.tree.ancestors(own.site)[::-1] if below else ()
    return [{**context.tree[site].as_dict(), "above": site in above} for site in (*above, *below)]
