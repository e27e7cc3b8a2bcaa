"""WHIP (RFC 9725) and WHEP: programs publish and play with one HTTP request.

`POST /whip/{room}/{name}` answers 201 with the SDP answer and a `Location` to PATCH (ICE restart; candidates are taken
and not needed) and DELETE. `?simulated=true` labels what is published. `POST /whep/{room}/{site}/{name}` plays what
that site publishes under that name. Both take a room token as Bearer.
"""

import secrets
import time
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from server.api.http import ApiProblem, Routes, grant
from server.api.security import origin_of
from server.clients import Client
from server.conductor import Conductor
from server.identity.tokens import Grant
from server.sessions.errors import SessionError
from server.store.errors import StoreError
from server.streams import StreamError, Streams
from signaling.room.messages import Publication, Source
from signaling.whip import offer as sdp_lines

NAME_LENGTH = 63
MAX_RESOURCES = 1000


@dataclass(slots=True)
class _Resource:
    """One WHIP or WHEP session: what its Location stands for."""

    client: Client
    user: str
    etag: str
    sdp: str
    publications: dict[str, Publication] = field(default_factory=dict)


@dataclass(slots=True)
class WhipDoor:
    """Sessions by the secret part of their Location."""

    conductor: Conductor
    streams: Streams
    _resources: dict[str, _Resource] = field(default_factory=dict)

    def routes(self) -> Routes:
        """The endpoints of both protocols."""
        routes = Routes()
        for kind, target in (("whip", "/whip/{room}/{name}"), ("whep", "/whep/{room}/{site}/{name}")):
            post = self.publish if kind == "whip" else self.play
            word = kind.upper()
            refusals = (
                "sdp_invalid",
                "no_common_codec",
                "capacity",
                "media_down",
                "not_allowed",
                "not_found",
                "too_large",
            )
            routes.route("POST", target, access="room_token", summary=f"Begin a {word} session", ok=web.Response,
                         status=201, content="application/sdp", errors=refusals)(post)  # fmt: skip
            routes.route("OPTIONS", target, access=None, summary=f"What {word} takes", ok=None)(self.options)
            one = f"/{kind}-session/{{session}}"
            routes.route("PATCH", one, access="room_token", summary=f"Trickle or restart ICE of a {word} session",
                         ok=web.Response, content=sdp_lines.FRAGMENT_TYPE,
                         errors=("sdp_invalid", "not_found", "stale", "media_down"))(self.patch)  # fmt: skip
            routes.route("DELETE", one, access="room_token", summary=f"End a {word} session", ok=web.Response,
                         content="text/plain", errors=("not_found",))(self.end)  # fmt: skip
        return routes

    # --- endpoints ---

    async def options(self, _context: object, _request: web.Request, _body: None) -> web.Response:
        return web.Response(status=204, headers={"Accept-Post": sdp_lines.CONTENT_TYPE})

    async def publish(self, _context: object, request: web.Request, _body: None) -> web.Response:
        """Begin to publish."""
        who = self._admit(request)
        if not who.publish:
            raise ApiProblem("not_allowed", "The token does not allow to publish.")
        name = request.match_info["name"]
        is_device = who.user.startswith("device:")
        if len(name) > NAME_LENGTH or (is_device and not who.user.endswith(f":{name}")):
            raise ApiProblem("not_allowed", "The token is for another name.")
        sdp = await _sdp(request)
        publications = {}
        for mid, kind in sdp_lines.offered(sdp).items():
            source: Source = "microphone" if kind == "audio" else "camera"
            try:
                publications[mid] = Publication(source=source, name=name, rooms=(who.room,))
            except ValueError as error:
                raise ApiProblem("sdp_invalid", f"{name!r} is no name for a source.") from error
        client = await self._client("whip", who, simulated=request.query.get("simulated") == "true")
        try:
            reply = await self.streams.publish(client, sdp, publications, fresh=False)
        except StreamError as error:
            await self.conductor.remove(client)
            raise ApiProblem(error.error, error.detail) from error
        await self._replace(who, name)
        return self._created(request, "whip", client, who, reply.sdp, sdp, publications)

    async def play(self, _context: object, request: web.Request, _body: None) -> web.Response:
        """Begin to play."""
        who = self._admit(request)
        if not who.subscribe:
            raise ApiProblem("not_allowed", "The token does not allow to watch.")
        site, name = request.match_info["site"], request.match_info["name"]
        found = [
            own.track
            for _, own in self.conductor.tracks_in(who.room)
            if (own.site, own.publication.name) == (site, name)
        ]
        if not found:
            raise ApiProblem("not_found", "Nothing is published under that name.")
        sdp = await _sdp(request)
        client = await self._client("whep", who, simulated=False)
        try:
            reply = await self.streams.play(client, sdp, tuple(found))
        except StreamError as error:
            await self.conductor.remove(client)
            raise ApiProblem(error.error, error.detail) from error
        return self._created(request, "whep", client, who, reply.sdp, sdp, {})

    async def patch(self, _context: object, request: web.Request, _body: None) -> web.Response:
        """Candidates are of no use to an ICE-lite end; new credentials restart ICE."""
        resource = self._resource(request)
        if request.content_type != sdp_lines.FRAGMENT_TYPE:
            raise ApiProblem("sdp_invalid", "The body must be a trickle-ice-sdpfrag.", status=415)
        try:
            fragment = sdp_lines.parse_fragment((await _body_of(request)).decode())
        except ValueError as error:
            raise ApiProblem("sdp_invalid", str(error)) from error
        if fragment is None or fragment == sdp_lines.credentials(resource.sdp):
            return web.Response(status=204)
        if request.headers.get("If-Match") not in (None, "*", resource.etag):
            raise ApiProblem("stale", "The ICE session of this ETag is over.", status=412)
        if not resource.publications:
            raise ApiProblem("sdp_invalid", "A WHEP session is restarted by a new POST.", status=405)
        sdp = sdp_lines.with_credentials(resource.sdp, fragment)
        try:
            reply = await self.streams.publish(resource.client, sdp, resource.publications, fresh=False)
        except StreamError as error:
            raise ApiProblem(error.error, error.detail) from error
        resource.sdp, resource.etag = sdp, _etag()
        body = sdp_lines.fragment_of(reply.sdp).encode()
        return web.Response(body=body, content_type=sdp_lines.FRAGMENT_TYPE, headers={"ETag": resource.etag})

    async def end(self, _context: object, request: web.Request, _body: None) -> web.Response:
        resource = self._resource(request)
        await self.conductor.remove(resource.client)
        self._resources.pop(request.match_info["session"], None)
        return web.Response(status=200)

    # --- inside ---

    def _admit(self, request: web.Request) -> Grant:
        who = grant(request)
        if who.room != request.match_info["room"]:
            raise ApiProblem("not_found", "The token is for another room.")
        return who

    async def _client(self, kind: Literal["whip", "whep"], who: Grant, *, simulated: bool) -> Client:
        """A client in its room; nothing is left of it when it cannot enter."""
        known = self.conductor.clients
        self._resources = {key: one for key, one in self._resources.items() if one.client.client in known}
        if len(self._resources) >= MAX_RESOURCES:
            raise ApiProblem("capacity")
        client = Client(secrets.token_hex(6), secrets.token_urlsafe(24), who.person(), kind=kind, simulated=simulated)
        self.conductor.add_without_socket(client)
        try:
            await self.conductor.enter(client, who)
        except (SessionError, StoreError):
            await self.conductor.remove(client)
            raise
        return client

    async def _replace(self, who: Grant, name: str) -> None:
        """A program that came back before its old session was given up has taken its place."""
        for key, one in list(self._resources.items()):
            names = {publication.name for publication in one.publications.values()}
            if one.user == who.user and name in names and who.room in one.client.rooms:
                self._resources.pop(key, None)
                await self.conductor.remove(one.client)

    def _created(
        self,
        request: web.Request,
        kind: str,
        client: Client,
        who: Grant,
        answer: str,
        sdp: str,
        publications: dict[str, Publication],
    ) -> web.Response:
        key = secrets.token_urlsafe(18)
        resource = _Resource(client, who.user, _etag(), sdp, publications)
        self._resources[key] = resource
        headers = {"Location": f"/{kind}-session/{key}", "ETag": resource.etag}
        if (origin := origin_of(f"{request.scheme}://{request.host}")) is not None:
            headers["Location"] = origin + headers["Location"]  # some players do not resolve a relative one
        return web.Response(body=answer.encode(), status=201, content_type=sdp_lines.CONTENT_TYPE, headers=headers)

    def _resource(self, request: web.Request) -> _Resource:
        resource = self._resources.get(request.match_info["session"])
        if resource is None or resource.user != grant(request).user:
            raise ApiProblem("not_found")
        if resource.client.client not in self.conductor.clients:
            raise ApiProblem("not_found", "The session has ended.")
        return resource


def _etag() -> str:
    return f'"{time.time_ns():x}"'


async def _sdp(request: web.Request) -> str:
    if request.content_type != sdp_lines.CONTENT_TYPE:
        raise ApiProblem("sdp_invalid", "The body must be application/sdp.", status=415)
    try:
        return (await _body_of(request)).decode()
    except UnicodeDecodeError as error:
        raise ApiProblem("sdp_invalid", "The SDP is not UTF-8.") from error


async def _body_of(request: web.Request) -> bytes:
    body = await request.content.read(sdp_lines.MAX_SDP_BYTES + 1)
    while len(body) <= sdp_lines.MAX_SDP_BYTES and (more := await request.content.read(sdp_lines.MAX_SDP_BYTES + 1)):
        body += more
    if len(body) > sdp_lines.MAX_SDP_BYTES:
        raise ApiProblem("too_large", f"An SDP may have {sdp_lines.MAX_SDP_BYTES} bytes.")
    return body
