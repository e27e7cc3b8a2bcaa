"""Finding cameras and asking them for their streams, for whoever sets one up."""

import asyncio
import time
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import Field

from config.settings import IngestSettings
from media.ingest.address import AddressRefused, Policy
from media.ingest.onvif import OnvifError
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Routes, require
from server.onvif import CameraUnreachable, Stream, discover, look
from server.store import audit
from signaling.room.messages import Id

SEARCH_S = 4.0
DEVICE_SERVICE = "/onvif/device_service"


class SearchBody(Input):
    site: Id
    """Whose camera it is to be: the right to set up its cameras is asked for."""


class FoundBody(Output):
    addresses: tuple[str, ...]
    name: str
    hardware: str
    location: str


class FoundPage(Output):
    items: list[FoundBody]


class AskBody(Input):
    site: Id
    address: Annotated[str, Field(min_length=1, max_length=512)]
    """A host, or the URL of the device service."""
    user: Annotated[str, Field(max_length=128)] = ""
    password: Annotated[str, Field(max_length=128)] = ""


class StreamBody(Output):
    profile: str
    name: str
    codec: str
    width: int
    height: int
    frames_per_s: float
    kbps: int
    url: str
    """RTSP, without a password; empty where it is refused."""
    refused: str
    use: Literal["main", "sub", ""]
    """What it is fit for; H.264 only."""


class CameraBody(Output):
    state: Literal["ok", "address_refused", "unreachable", "refused"]
    """`refused`: it answers, and says no, or speaks no ONVIF."""
    detail: str
    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    clock_off_s: float = 0.0
    streams: tuple[StreamBody, ...] = ()


@dataclass(slots=True)
class OnvifDoor:
    """One search and one question at a time: both knock at many doors of a network."""

    ingest: IngestSettings
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self) -> Routes:
        routes = Routes()
        routes.route("POST", "/api/cameras/discover", access="configure", body=SearchBody, ok=FoundPage,
                     errors=("not_found", "too_fast"),
                     summary="Cameras of this network that answer an ONVIF probe")(self.discover)  # fmt: skip
        routes.route("POST", "/api/cameras/probe", access="configure", body=AskBody, ok=CameraBody,
                     errors=("not_found", "too_fast"),
                     summary="Ask a camera for its streams by ONVIF")(self.probe)  # fmt: skip
        return routes

    @property
    def _policy(self) -> Policy:
        allow, deny = self.ingest.allow_networks, self.ingest.deny_networks
        return Policy(tuple(map(ip_network, allow)), tuple(map(ip_network, deny)))

    async def discover(self, context: Context, request: web.Request, body: SearchBody) -> FoundPage:
        await self._begin(context, request, body.site, "camera.discover", body.site)
        async with self._turn:
            found = await discover(self._policy, SEARCH_S)
        return FoundPage(
            items=[
                FoundBody(addresses=one.addresses, name=one.name, hardware=one.hardware, location=one.location)
                for one in found
            ]
        )

    async def probe(self, context: Context, request: web.Request, body: AskBody) -> CameraBody:
        url = body.address if "://" in body.address else f"http://{body.address}{DEVICE_SERVICE}"
        await self._begin(context, request, body.site, "camera.probe", _host(url))
        async with self._turn:
            try:
                found = await look(url, body.user, body.password, self._policy)
            except AddressRefused as error:
                return CameraBody(state="address_refused", detail=str(error))
            except CameraUnreachable as error:
                return CameraBody(state="unreachable", detail=str(error))
            except OnvifError as error:
                return CameraBody(state="refused", detail=str(error))
        streams = tuple(_stream(one, found.main, found.sub) for one in found.streams)
        return CameraBody(
            state="ok", detail="", manufacturer=found.manufacturer, model=found.model, firmware=found.firmware,
            clock_off_s=found.clock_off_s, streams=streams,
        )  # fmt: skip

    async def _begin(self, context: Context, request: web.Request, site: str, action: str, what: str) -> None:
        """Who may, and one at a time; who looks around in a network stands in the audit."""
        who = require(context, request, "configure", site)
        if self._turn.locked():
            raise ApiProblem("too_fast", "Another search is under way.")
        async with context.database.transaction() as connection:
            await audit.append(
                connection, at=time.time(), actor=f"user:{who.user.user}", action=action, object=what, site=site
            )


def _host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "")[:128]
    except ValueError:
        return ""


def _stream(one: Stream, main: Stream | None, sub: Stream | None) -> StreamBody:
    profile = one.profile
    return StreamBody(
        profile=profile.token, name=profile.name, codec=profile.codec, width=profile.width, height=profile.height,
        frames_per_s=profile.frames_per_s, kbps=profile.kbps, url=one.url, refused=one.refused,
        use="main" if one is main else "sub" if one is sub else "",
    )  # fmt: skip
