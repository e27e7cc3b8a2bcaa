"""Samples that are sent here by HTTP, and what telemetry sources say of themselves.

`POST /api/push/{site}/{kind}/{device}` takes what the MQTT topics take, `POST /api/push/{site}/omlox` the Locations of
a positioning program. The answer comes after the samples are stored; a sender that gets none, or 5xx, sends again, and
repeats are dropped.
"""

import hashlib
import hmac
import time

from aiohttp import web

from analytics.plugin import Batch
from analytics.telemetry import omlox
from analytics.telemetry.links import Links
from analytics.telemetry.payload import (
    MAX_PAYLOAD_BYTES,
    Kind,
    Parsed,
    Reason,
    Rejected,
    Topic,
    is_name,
    parse,
    records,
)
from analytics.telemetry.quarantine import Counters
from config.settings import OmloxHubSettings, PushKeySettings
from server.api.context import Context
from server.api.http import ApiProblem, Output, Query, Routes, bearer, query, raw_body, require
from server.identity.errors import TokenError
from server.sources import Sources
from signaling.room.messages import Id

KINDS: dict[str, Kind] = {"power": "power", "tag": "tag", "gateway": "gateway"}


class SourceLinkBody(Output):
    name: str
    up: bool
    reason: str
    since: float
    connections: int


class RefusalBody(Output):
    at: float
    topic: str
    reason: str
    detail: str


class SourceBody(Output):
    name: str
    messages: int
    readings: int
    positions: int
    gaps: int
    missing: int
    rejected: dict[str, int]
    links: list[SourceLinkBody]
    refusals: list[RefusalBody]
    """The newest last."""


class SourcePage(Output):
    items: list[SourceBody]
    next: None


class SourceQuery(Query):
    site: Id


class PushedBody(Output):
    readings: int
    positions: int
    rejected: dict[str, int]
    """Records that were not taken, by reason (docs/telemetry.md)."""
    details: list[str]
    """The first few, in words."""


class SourceDoor:
    """Handlers over telemetry sources."""

    def __init__(self, sources: Sources, keys: tuple[PushKeySettings, ...], hubs: tuple[OmloxHubSettings, ...]) -> None:
        self._sources = sources
        self._keys = [(hashlib.sha256(one.key.encode()).digest(), one) for one in keys]
        self._hubs = {one.site: one for one in hubs}

    def routes(self) -> Routes:
        routes = Routes()
        routes.route(
            "GET", "/api/sources", access="configure", query=SourceQuery, ok=SourcePage, errors=("not_found",),
            summary="Telemetry sources: links that are up or down, counts, and what was refused",
        )(self.sources)  # fmt: skip
        refusals = ("token_invalid", "not_allowed", "not_found", "too_large", "bad_request")
        routes.route(
            "POST", "/api/push/{site}/omlox", access=None, ok=PushedBody, errors=refusals,
            summary="Positions of tags, as omlox Locations; the key of a sender as Bearer",
        )(self.push_locations)  # fmt: skip
        routes.route(
            "POST", "/api/push/{site}/{kind}/{device}", access=None, ok=PushedBody, errors=refusals,
            summary="Samples of a device, as on its MQTT topic; the key of a sender as Bearer",
        )(self.push)  # fmt: skip
        return routes

    async def sources(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        site = query(request, SourceQuery).site
        require(context, request, "configure", site)
        seen = {site, *context.tree.descendants(site)}
        return {"items": [_source(*one, seen) for one in self._sources.counted()], "next": None}

    async def push(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        kind, device = KINDS.get(request.match_info["kind"]), request.match_info["device"]
        site = self._admit(context, request)
        if kind is None or not is_name(device):
            raise ApiProblem("not_found", "kind is power, tag or gateway; device a name of up to 63 characters.")
        body, now = await raw_body(request, MAX_PAYLOAD_BYTES), time.time()
        return await self._take(context, request, parse(Topic(site, kind, device, "event"), body, now), now)

    async def push_locations(self, context: Context, request: web.Request, _body: None) -> dict[str, object]:
        site = self._admit(context, request)
        hub = self._hubs.get(site) or OmloxHubSettings(site=site, url="ws://none")
        body, now = await raw_body(request, MAX_PAYLOAD_BYTES), time.time()
        try:
            parsed = omlox.take(records(body), hub, now)
        except Rejected as error:
            parsed = Parsed()
            parsed.reject(error)
        return await self._take(context, request, parsed, now)

    def _admit(self, context: Context, request: web.Request) -> str:
        """The site that the sender may send for.

        Raises:
            TokenError: no key, or none of ours.
            ApiProblem: not for this site.
        """
        shown = hashlib.sha256((bearer(request) or "").encode()).digest()
        found = [one for digest, one in self._keys if hmac.compare_digest(digest, shown)]
        if not found:
            raise TokenError("token_invalid", "There is no key of a sender.")
        if found[0].site != request.match_info["site"]:
            raise ApiProblem("not_allowed", "The key is for another site.")
        if found[0].site not in context.tree:
            raise ApiProblem("not_found", "There is no such site; nothing was stored.")
        return found[0].site

    async def _take(self, context: Context, request: web.Request, parsed: Parsed, now: float) -> dict[str, object]:
        counters: Counters = self._sources.pushed
        counters.messages += 1
        counters.take(request.path, parsed, now)
        if parsed.rejected[Reason.TOO_LARGE]:
            raise ApiProblem("too_large", "; ".join(parsed.details))
        if not parsed.readings and not parsed.positions and parsed.rejected:
            raise ApiProblem("bad_request", "; ".join(parsed.details))
        await context.telemetry.store(Batch(parsed.readings, parsed.positions, _nobody_waits, parsed.rejected.total()))
        return {
            "readings": len(parsed.readings),
            "positions": len(parsed.positions),
            "rejected": {reason.value: count for reason, count in parsed.rejected.items()},
            "details": parsed.details,
        }


async def _nobody_waits() -> None:
    """The sender is told by the answer."""


def _source(name: str, counters: Counters, links: Links | None, sites: set[str]) -> dict[str, object]:
    """What somebody who sees these sites may know of a source."""
    return {
        "name": name,
        **{figure: getattr(counters, figure) for figure in ("messages", "readings", "positions", "gaps", "missing")},
        "rejected": {reason.value: count for reason, count in counters.rejected.items()},
        "links": [
            {"name": one.name, "up": one.up, "reason": one.reason, "since": one.since, "connections": one.connections}
            for one in links or ()
            if one.sites & sites
        ],
        "refusals": [
            {"at": one.at, "topic": one.topic, "reason": one.reason.value, "detail": one.detail}
            for one in counters.refusals
            if sites.intersection(one.topic.split("/"))
        ],
    }
