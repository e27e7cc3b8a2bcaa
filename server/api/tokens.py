"""Room tokens, for people and for devices that publish by WHIP."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from config.settings import Slug
from server.api.context import Context
from server.api.http import Input, Output, Routes, require, visitor
from server.identity.tokens import MAX_DEVICE_LIFE_S, Grants, RoomToken
from signaling.room.messages import Id

routes = Routes()


class Room(Input):
    room: Id


class Device(Input):
    site: Id
    name: Slug
    """What it publishes as, e.g. `dispatch-room`."""


class DeviceTokenWish(Device):
    life_s: Annotated[int, Field(ge=60, le=int(MAX_DEVICE_LIFE_S))] = int(MAX_DEVICE_LIFE_S)


class TokenBody(Output):
    token: str
    room: str
    expires_at: float
    """Seconds since the Unix epoch."""
    grants: Grants


def _body(context: Context, token: RoomToken, role: str) -> TokenBody:
    context.metrics.tokens.labels(role).inc()
    return TokenBody(token=token.token, room=token.room, expires_at=token.expires_at, grants=token.grants)


@routes.route(
    "POST", "/api/token", access="signed_in", summary="A token to enter a room", body=Room, ok=TokenBody,
    errors=("no_such_room",),
)  # fmt: skip
async def token(context: Context, request: web.Request, body: Room) -> TokenBody:
    who = visitor(request)
    return _body(context, await context.identity.issue(who.user, body.room, login=who.login), who.user.role)


@routes.route(
    "POST", "/api/devices/token", access="configure", summary="A token with which a camera publishes by WHIP",
    body=DeviceTokenWish, ok=TokenBody, errors=("no_such_room", "not_allowed"),
)  # fmt: skip
async def device_token(context: Context, request: web.Request, body: DeviceTokenWish) -> TokenBody:
    require(context, request, "configure", body.site, missing="no_such_room")
    return _body(context, context.identity.issue_device(f"site:{body.site}", body.name, body.life_s), "device")


@routes.route(
    "POST", "/api/devices/revoke", access="configure", summary="Void all tokens of a device issued up to now",
    body=Device, ok=None, errors=("no_such_room", "not_allowed"),
)  # fmt: skip
async def revoke_device(context: Context, request: web.Request, body: Device) -> None:
    who = require(context, request, "configure", body.site, missing="no_such_room")
    await context.identity.revoke_device(body.site, body.name, by=who.user.user)
