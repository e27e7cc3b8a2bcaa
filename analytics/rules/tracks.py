"""Tags as they move: the newest fix of each, smoothed, with speed. A fix that nobody can have walked to is passed over
once; if the next says the same, it is believed.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field

from analytics.plugin import Position

MAX_TAGS = 20_000
"""Beyond it the one silent for longest is forgotten."""
SLACK_M = {"person": (2.0, 1.2), "vehicle": (2.0, 2.5)}
"""How far a fix may be from where its tag was expected: metres, and metres a second since the last."""
FORGET_S = 172_800.0
GAIN = {"person": (0.5, 0.15), "vehicle": (0.6, 0.4)}
"""Of the smoothing: place, speed."""
BREAK_S = 15.0
"""After so long without a fix smoothing begins anew."""


@dataclass(slots=True)
class Track:
    """One tag."""

    tag: str
    person: bool
    at: float
    received_at: float
    zone: str
    x: float
    y: float
    z: float
    raw: tuple[float, float, float]
    vx: float = 0.0
    vy: float = 0.0
    vz: float = 0.0
    zones: tuple[str, ...] = ()
    """All zones that hold it, by fence or by name."""
    since: float = 0.0
    """Underground without a break since."""
    zone_since: float = 0.0
    path_m: float = 0.0
    """Length of the way so far."""
    anchor: tuple[float, float] = (0.0, 0.0)
    anchor_at: float = 0.0
    """Within a small circle since."""
    lost: bool = False
    grouped: bool = False
    """Fell silent together with its zone."""
    out: bool = False
    """Left the mine by a gate."""
    doubted: tuple[float, float, float] | None = None
    memory: dict[str, float] = field(default_factory=dict)
    """Small things that rules remember of it."""

    @property
    def speed(self) -> float:
        return math.hypot(self.vx, self.vy)

    def ahead(self, at: float) -> tuple[float, float]:
        """Where it should be at a moment."""
        step = min(max(at - self.at, 0.0), 3.0)
        return self.x + self.vx * step, self.y + self.vy * step

    def distance(self, other: "Track") -> float:
        return math.dist((self.x, self.y, self.z), (other.x, other.y, other.z))


class Tracks:
    """All tags of one mine, newest last."""

    def __init__(self, watermark_s: float, gap_s: float) -> None:
        """`gap_s`: after so long without a fix a stay underground begins anew."""
        self.all: OrderedDict[str, Track] = OrderedDict()
        self.late = 0
        self.newest = float("-inf")
        """Arrival of the newest fix of any tag."""
        self._watermark_s, self._gap_s = watermark_s, gap_s

    def feed(self, fix: Position) -> tuple[Track, bool] | None:
        """The track after this fix, and whether its place changed (False: the fix is doubted). None: it is late."""
        known = self.all.get(fix.tag)
        if abs(fix.received_at - fix.source_at) > self._watermark_s or (known and fix.source_at <= known.at):
            self.late += 1
            return None
        self.newest = max(self.newest, fix.received_at)
        if known is None:
            known = self._new(fix)
            return known, True
        self.all.move_to_end(fix.tag)
        if fix.source_at - known.at > self._gap_s or known.out:
            known.since = fix.source_at
        believed = self._move(known, fix)
        known.at, known.received_at, known.out = fix.source_at, fix.received_at, False
        known.out = fix.presence == "out"
        if fix.zone != known.zone:
            known.zone, known.zone_since = fix.zone, fix.source_at
        return known, believed

    def _new(self, fix: Position) -> Track:
        place = (fix.x_m, fix.y_m, fix.z_m)
        track = Track(
            fix.tag, fix.kind == "person", fix.source_at, fix.received_at, fix.zone, *place, place,
            since=fix.source_at, zone_since=fix.source_at, anchor=place[:2], anchor_at=fix.source_at,
        )  # fmt: skip
        track.out = fix.presence == "out"
        self.all[fix.tag] = track
        while len(self.all) > MAX_TAGS:
            self.all.popitem(last=False)
        return track

    def _move(self, track: Track, fix: Position) -> bool:
        step = fix.source_at - track.at
        track.raw = place = (fix.x_m, fix.y_m, fix.z_m)
        expected = (track.x + track.vx * step, track.y + track.vy * step, track.z + track.vz * step)
        off = math.dist(place, expected)
        kind = "person" if track.person else "vehicle"
        slack, grows = SLACK_M[kind]
        if step < BREAK_S and off > slack + grows * step:
            before, track.doubted = track.doubted, place
            if before is None or math.dist(before, place) > 2 * (slack + grows * step):
                return False
            track.vx, track.vy, track.vz = ((b - a) / step for a, b in zip(before, place, strict=True))
            track.x, track.y, track.z = place
        elif step >= BREAK_S:
            track.vx = track.vy = track.vz = 0.0
            track.x, track.y, track.z = place
        else:
            gain, gain_v = GAIN[kind]
            x, y, z = expected
            dx, dy, dz = place[0] - x, place[1] - y, place[2] - z
            x, y, z = x + gain * dx, y + gain * dy, z + gain * dz
            moved = math.hypot(x - track.x, y - track.y)
            if moved > 0.3 * step:
                track.path_m += moved
            track.x, track.y, track.z = x, y, z
            gain_v /= step
            track.vx += gain_v * dx
            track.vy += gain_v * dy
            track.vz += gain_v * dz
        track.doubted = None
        return True

    def forget(self, now: float) -> None:
        """Drop what has been silent for days."""
        while self.all:
            first = next(iter(self.all.values()))
            if now - first.received_at < FORGET_S:
                return
            del self.all[first.tag]
