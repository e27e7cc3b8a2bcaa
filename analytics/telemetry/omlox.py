"""Positions from a positioning hub that speaks omlox v2: its messages in, positions out; no I/O.

A hub tells `location_updates` over a WebSocket as `{"event": "message", "topic": "location_updates", "payload":
[Location, ...]}`; programs post the same Location objects by HTTP. A Location has a GeoJSON point in `position`, a
`crs` (`local`, or an EPSG code), times `timestamp_generated` and `timestamp_sent`, the `provider_id` of the tag and the
`trackables` that it marks. Only coordinate systems that the settings call metres of the mine's grid are taken: degrees
are refused, never converted by guess.
"""

import json
import math
from typing import Literal

from analytics.plugin import Position
from analytics.telemetry.payload import Parsed, Reason, Rejected, first_record, is_name, time_of
from config.settings import OmloxHubSettings

SUBSCRIBE = json.dumps({"event": "subscribe", "topic": "location_updates"})
MAX_METRES = 1e6
MAX_ZONE = 64


def subscribe(token: str | None) -> str:
    """What is sent first."""
    return SUBSCRIBE if token is None else json.dumps({**json.loads(SUBSCRIBE), "params": {"token": token}})


def updates(text: str) -> tuple[str, list[object]]:
    """A message of the hub: its event, and the Locations in it (of any other topic: none).

    Raises:
        Rejected: no message of a hub.
    """
    message = first_record(text.encode())
    if not isinstance(message.get("event"), str):
        raise Rejected(Reason.WRONG_SHAPE, "A hub's message must be an object with an event.")
    payload = message.get("payload", [])
    if message["event"] != "message" or message.get("topic") != "location_updates":
        return str(message["event"]), []
    if not isinstance(payload, list):
        raise Rejected(Reason.WRONG_SHAPE, "payload must be an array.")
    return "message", payload


def take(locations: list[object], hub: OmloxHubSettings, now: float) -> Parsed:
    """Positions of Locations; each that is none costs itself.

    Args:
        now: UTC seconds.
    """
    parsed = Parsed()
    for one in locations:
        try:
            parsed.positions.append(_position(one, hub, now))
        except Rejected as error:
            parsed.reject(error)
    return parsed


def _position(location: object, hub: OmloxHubSettings, now: float) -> Position:
    if not isinstance(location, dict):
        raise Rejected(Reason.WRONG_SHAPE, "A Location must be an object.")
    crs = location.get("crs", "local")
    if crs not in hub.crs:
        raise Rejected(Reason.BAD_UNIT, f"The coordinate system {str(crs)[:40]!r} is not one of the settings.")
    x, y, z = (value - origin for value, origin in zip(_point(location), hub.origin, strict=True))
    tag = _tag(location)
    stamp = location.get("timestamp_generated", location.get("timestamp_sent"))
    source_at = now if stamp is None else time_of(stamp)
    kind: Literal["person", "vehicle"] = "vehicle" if tag.startswith(hub.vehicles) else "person"
    zone = location.get("source", "")
    zone = zone[:MAX_ZONE] if isinstance(zone, str) and zone.isprintable() else ""
    return Position(hub.site, tag, kind, x, y, z, zone, source_at, now, 0, tag)


def _point(location: dict[str, object]) -> tuple[float, float, float]:
    position = location.get("position")
    if not isinstance(position, dict) or position.get("type") != "Point":
        raise Rejected(Reason.WRONG_SHAPE, "position must be a GeoJSON point.")
    numbers = position.get("coordinates")
    if not isinstance(numbers, list) or not 2 <= len(numbers) <= 3:
        raise Rejected(Reason.WRONG_SHAPE, "A point has two or three coordinates.")
    for one in numbers:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise Rejected(Reason.WRONG_TYPE, "A coordinate must be a number.")
        if isinstance(one, float) and not math.isfinite(one):  # an integer of JSON has no end, and no float
            raise Rejected(Reason.NOT_FINITE, "A coordinate is not finite.")
        if abs(one) > MAX_METRES * 100:  # projected coordinates have millions of metres before the origin is taken off
            raise Rejected(Reason.OUT_OF_RANGE, "A coordinate is out of range.")
    return float(numbers[0]), float(numbers[1]), float(numbers[2]) if len(numbers) == 3 else 0.0


def _tag(location: dict[str, object]) -> str:
    trackables = location.get("trackables")
    first = trackables[0] if isinstance(trackables, list) and trackables else None
    for name in (first, location.get("provider_id")):
        if isinstance(name, str) and is_name(name):
            return name
    raise Rejected(Reason.BAD_NAME, "A Location names no tag.")
