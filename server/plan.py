"""What a plan shows, as GeoJSON: zones, roadways, cameras, pictures; tags where they are; the ways they went.

Coordinates are metres in the mine's own grid. RFC 7946 knows no such grid, so `crs` stands among the properties of the
collection, and a reader that takes the numbers for degrees has been told.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from analytics.fences import span_outline
from analytics.mine import MineFacts, Zone
from server.positions import STILL_MPS, LivePositions, Tag
from server.store.database import Database
from server.store.tables import positions

MAX_POINTS = 50_000
"""Of all tracks of one answer; beyond it the later part is left out and `next` says where to go on."""
MAX_READ = 1_000_000
"""Rows that one answer may cost, thinned or not."""
MAX_TRACKS = 2000
PIECE = 5000


def outline(zone: Zone, facts: MineFacts) -> tuple[tuple[float, float], ...]:
    """Of a zone as it is drawn; empty: it has no place."""
    fence = zone.fence
    if fence.outline:
        return fence.outline
    drift = facts.drifts.get(fence.drift)
    if drift is None:
        return ()
    return span_outline(drift.line, fence.from_m or 0.0, 1e9 if fence.to_m is None else fence.to_m, drift.width_m / 2)


def still(facts: MineFacts) -> dict[str, Any]:
    """Everything that stands still, drawn in this order: plans, roadways, zones, cameras."""
    features = [
        _feature("plan", one.plan, one, None, level=one.level, origin=one.origin, width_m=one.width_m,
                 height_m=one.height_m, picture=bool(one.picture), content=one.picture[:16])
        for one in facts.plans.values()
    ]  # fmt: skip
    features += [
        _feature("drift", one.drift, one, {"type": "LineString", "coordinates": one.line}, level=one.level,
                 width_m=one.width_m, direction=one.direction, closed=one.closed)
        for one in facts.drifts.values()
    ]  # fmt: skip
    for zone in facts.zones.values():
        ring = outline(zone, facts)
        shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]} if ring else None
        quota = facts.quota_of(zone.zone)
        level = zone.fence.level or (drift.level if (drift := facts.drifts.get(zone.fence.drift)) else "")
        features.append(
            _feature("zone", zone.zone, zone, shape, zone_kind=zone.kind, level=level,
                     quota=quota.people if quota else None)
        )  # fmt: skip
    features += [
        _feature("camera", one.camera, one, _point(one.place) if one.place else None, zone=one.zone)
        for one in facts.cameras.values()
    ]  # fmt: skip
    levels = [{"level": one.level, "name_zh": one.name_zh, "name_en": one.name_en} for one in facts.levels.values()]
    quota = facts.quota_of("")
    return {
        "type": "FeatureCollection",
        "properties": {
            "site": facts.site, "version": facts.version, "crs": facts.mine.crs, "levels": levels,
            "quota": quota.people if quota else None,
        },
        "features": features,
    }  # fmt: skip


def _feature(what: str, id: str, named: Any, geometry: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    properties = {"what": what, "id": id, "name_zh": named.name_zh, "name_en": named.name_en, **more}
    return {"type": "Feature", "id": f"{what}/{id}", "geometry": geometry, "properties": properties}


def _point(place: tuple[float, float, float]) -> dict[str, Any]:
    return {"type": "Point", "coordinates": place}


def moving(facts: MineFacts, live: LivePositions, now: float, power: Mapping[str, str] | None = None) -> dict[str, Any]:
    """All tags, the counts of zones, and whether positions come in at all.

    Args:
        power: device → `on`, `off` or `unknown`, for machines with a power terminal.
    """
    fresh_s = live.fresh_s(facts.site)
    features = []
    for tag in live.tags(facts.site):
        if tag.position.presence == "out":
            continue
        features.append(_tag(tag, facts, live, now, fresh_s, power or {}))
    feed = live.feed(facts.site, now)
    return {
        "type": "FeatureCollection",
        "properties": {
            "site": facts.site, "crs": facts.mine.crs, "at": now, "fresh_s": fresh_s,
            "feed": {"state": feed.state, "newest_at": feed.newest_at, "age_s": feed.age_s},
            "zones": [
                {"zone": one.zone, "people": one.people, "vehicles": one.vehicles, "silent": one.silent,
                 "quota": one.quota}
                for one in live.counts(facts.site, now)
            ],
        },
        "features": features,
    }  # fmt: skip


def _tag(
    tag: Tag, facts: MineFacts, live: LivePositions, now: float, fresh_s: float, power: Mapping[str, str]
) -> dict[str, Any]:
    one, age = tag.position, tag.age_s(now)
    properties: dict[str, Any] = {
        "what": "tag", "tag": one.tag, "kind": one.kind, "label": one.label, "zone": one.zone,
        "level": live.level_of(one), "source_at": one.source_at, "age_s": round(age, 1), "stale": age > fresh_s,
        "speed_mps": None if tag.speed_mps is None else round(tag.speed_mps, 2), "simulated": one.simulated,
    }  # fmt: skip
    card = facts.people.get(one.tag)
    if card is not None:
        properties |= {"job": card.job, "leader": card.leader, "special": card.special}
    machine = facts.machine_of(one.tag) if one.kind == "vehicle" else None
    if machine is not None:
        state = "silent" if age > fresh_s else "moving" if (tag.speed_mps or 0.0) > STILL_MPS else "still"
        properties |= {
            "machine": machine.machine, "machine_kind": machine.kind, "state": state,
            "name_zh": machine.name_zh, "name_en": machine.name_en, "power": power.get(machine.device, "unknown"),
        }  # fmt: skip
    return {
        "type": "Feature", "id": f"tag/{one.tag}", "geometry": _point((one.x_m, one.y_m, one.z_m)),
        "properties": properties,
    }  # fmt: skip


async def tracks(
    database: Database, site: str, tags: Sequence[str], start: float, end: float, step_s: float
) -> tuple[dict[str, Any], bool]:
    """The ways of these tags with `start <= source_at < end`, and whether all of it is here.

    Of fixes closer than `step_s` only the first is given, but every change of zone is.
    """
    table = positions.c
    columns = (
        table.source_at, table.x_m, table.y_m, table.z_m, table.zone, table.kind, table.label, table.simulated
    )  # fmt: skip
    features: list[dict[str, Any]] = []
    left, unread, whole = MAX_POINTS, MAX_READ, True
    async with database.reading() as connection:
        for tag in tags[:MAX_TRACKS]:
            query = (
                select(*columns)
                .where(table.site == site, table.tag == tag, table.source_at >= start, table.source_at < end)
                .order_by(table.source_at, table.seq)
            )
            track = _Track(tag, step_s)
            async with connection.stream(query.execution_options(yield_per=PIECE)) as rows:
                async for piece in rows.partitions(PIECE):
                    left -= track.add(piece, left)
                    unread -= len(piece)
                    if left <= 0 or unread <= 0:
                        whole = False
                        break
            if track.times:
                features.append(track.feature())
            if not whole:
                break
    return {"type": "FeatureCollection", "properties": {"site": site, "crs": "local"}, "features": features}, whole


class _Track:
    def __init__(self, tag: str, step_s: float) -> None:
        self.tag, self.step_s = tag, step_s
        self.places: list[tuple[float, float, float]] = []
        self.times: list[float] = []
        self.zones: list[tuple[float, str]] = []
        self.kind, self.label, self.simulated = "person", "", False

    def add(self, rows: Sequence[Any], most: int) -> int:
        """Take rows in; returns how many points they became, at most `most`."""
        before = len(self.times)
        step_s, zone_now = self.step_s, self.zones[-1][1] if self.zones else None
        last = self.times[-1] if self.times else -1e18
        for at, x, y, z, zone, kind, label, simulated in rows:
            if zone == zone_now and at - last < step_s:
                continue
            if len(self.times) - before >= most:
                break
            self.places.append((x, y, z))
            self.times.append(at)
            last = at
            if zone != zone_now:
                self.zones.append((at, zone))
                zone_now = zone
            self.kind, self.label, self.simulated = kind, label, simulated
        return len(self.times) - before

    def feature(self) -> dict[str, Any]:
        places = self.places if len(self.places) > 1 else self.places * 2  # a line has two points
        return {
            "type": "Feature", "id": f"track/{self.tag}",
            "geometry": {"type": "LineString", "coordinates": places},
            "properties": {
                "what": "track", "tag": self.tag, "kind": self.kind, "label": self.label, "times": self.times,
                "zones": self.zones, "simulated": self.simulated,
            },
        }  # fmt: skip
