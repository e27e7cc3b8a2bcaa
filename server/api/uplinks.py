"""What goes upwards, and how good the data of a mine are."""

from aiohttp import web

from server.api.context import Context
from server.api.http import Output, Query, Routes, query, require
from server.uplink.quality import DataQuality
from server.uplink.service import Uplinks
from signaling.room.messages import Id


class UplinkQuery(Query):
    site: Id


class UplinkBody(Output):
    name: str
    kind: str
    site: str
    waiting: int
    sent: int
    """Of the last seven days."""
    refused: int
    waiting_since: float | None
    last_taken_at: float | None
    """Since the start of this server."""
    last_answer: str
    dropped: int


class UplinkPage(Output):
    items: list[UplinkBody]
    next: None


class QualityBody(Output):
    completeness: float
    lateness: float
    plausibility: float
    score: float
    """0 to 100."""
    samples: int


class QualityPage(Output):
    site: str
    since: float
    mine: QualityBody | None
    """None while nothing is owed."""
    devices: dict[str, QualityBody]


class UplinkDoor:
    """Handlers over uplinks and data quality."""

    def __init__(self, uplinks: Uplinks, quality: DataQuality) -> None:
        self._uplinks, self._quality = uplinks, quality

    def routes(self) -> Routes:
        routes = Routes()
        routes.route(
            "GET", "/api/uplinks", access="read", query=UplinkQuery, ok=UplinkPage, errors=("not_found",),
            summary="The platforms that a mine reports to: what waits, was sent and refused",
        )(self.uplinks)  # fmt: skip
        routes.route(
            "GET", "/api/quality", access="read", query=UplinkQuery, ok=QualityPage, errors=("not_found",),
            summary="How complete, timely and plausible the data of a mine are",
        )(self.quality)  # fmt: skip
        return routes

    async def uplinks(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        site = query(request, UplinkQuery).site
        require(context, request, "read", site)
        found: list[dict[str, object]] = []
        for one in self._uplinks.all:
            if one.settings.site == site:
                found.append(
                    {
                        "name": one.settings.name, "kind": one.settings.kind, "site": site,
                        **await one.outbox.ledger(), "last_taken_at": one.last_taken_at,
                        "last_answer": one.last_answer, "dropped": one.dropped,
                    }
                )  # fmt: skip
        return {"items": found, "next": None}

    async def quality(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        site = query(request, UplinkQuery).site
        require(context, request, "read", site)
        return self._quality.of(site)
