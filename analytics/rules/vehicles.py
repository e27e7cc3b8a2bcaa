"""Rules on machines that move: displacement, collisions, people beside them, direction, speed, route.

`fix` is called for every believed position of a machine's tag, `person` for one of a person near by.

| Rule | Subject | Told |
|---|---|---|
| M1 `displaced` | tag | moved while its power is off: alarm |
| M2 `collision` | `tag+tag` | on one track, by time: warning, alarm |
| M2 `approach` | `tag+tag` | machine and person, by nearest approach: info, alarm |
| M3 `person_near_machine` | `tag+tag` | within its rings while it runs: warning, alarm |
| M4 `reverse_travel` | tag | alarm |
| M5 `overspeed`, `runaway` | tag | warning, critical |
| M6 `out_of_route` | tag | warning |

On one track two machines are compared along it, for nobody can give way; a machine and a person by the nearest approach
of their relative motion, which tells somebody beside the track from somebody on it (distance alone cannot).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analytics.fences import FenceIndex
from analytics.finding import Finding
from analytics.mine import Drift, Machine, MineFacts
from analytics.plugin import Reading
from analytics.rules.board import Board, Spec, over
from analytics.rules.condition import Verdict
from analytics.rules.electric import Level
from analytics.rules.runstate import QUANTITY, RunState
from analytics.rules.tracks import Track, Tracks
from config.settings import RuleSettings

SPECS: Mapping[str, Spec] = {
    "displaced": Spec((("alarm", "displaced_s"),), 5.0, ("tag_sigma_m",)),
    "collision": Spec(
        (("warning", 0.5), ("alarm", 0.0)), 2.0, ("collision_warning_s", "collision_alarm_s", "closing_mps")
    ),
    "approach": Spec(
        (("info", "cpa_warning_hold_s"), ("alarm", "cpa_alarm_hold_s")), 3.0,
        ("cpa_warning_m", "cpa_warning_s", "cpa_alarm_m", "cpa_alarm_s"),
    ),
    "person_near_machine": Spec((("warning", "ring_s"), ("alarm", "ring_s")), 5.0),
    "reverse_travel": Spec((("alarm", "reverse_s"),), 5.0, ("reverse_mps", "reverse_m")),
    "overspeed": Spec((("warning", "overspeed_s"),), 3.0),
    "runaway": Spec((("critical", 0.0),), 5.0, ("runaway_mps2", "runaway_s")),
    "out_of_route": Spec((("warning", 3.0),), 10.0, ("route_m",)),
}  # fmt: skip
HEAVY = ("shearer", "roadheader", "loader")
"""Machines that people may not stand beside; for cars the nearest approach tells more than the distance."""
STEEP = 0.03
"""A roadway that falls by less is level."""
OFF_TRACK_M = 1.5
"""Further from the centre line than half the width and this: it is somewhere else."""
SIGHT_M = 40.0
FRESH_S = 5.0
PAIR_S = 6.0
"""A pair that was not looked at again is over after this."""


@dataclass(slots=True)
class OnTrack:
    """Where a machine is along a roadway."""

    drift: str
    chainage_m: float
    speed: float
    """Along the line, m/s."""
    at: float
    moved_m: float = 0.0
    """Against the direction without a break."""


class VehicleRules:
    """Of one mine."""

    def __init__(
        self, facts: MineFacts, index: FenceIndex, board: Board, tracks: Tracks, settings: RuleSettings
    ) -> None:
        self._facts, self._index, self._board, self._tracks, self._settings = facts, index, board, tracks, settings
        self._machines: dict[str, Machine] = {
            tag: one for one in facts.machines.values() for tag in (one.tags or (one.machine,))
        }
        self._unknown = Machine("unknown")
        self._devices = {one.device for one in facts.machines.values() if one.device}
        rated = {one.device: one.rated_a for one in facts.devices.values()}
        self._power = {device: RunState(rated.get(device)) for device in self._devices}
        self._on_track: dict[str, OnTrack] = {}
        self._parked: dict[str, tuple[float, float, float]] = {}
        self._speeds: dict[str, list[tuple[float, float]]] = {}
        self._pairs: dict[tuple[str, str], float] = {}

    def rated(self, device: str, rated_a: float | None) -> None:
        """Set a rated current that is known from elsewhere."""
        if device in self._power and rated_a is not None:
            self._power[device] = RunState(rated_a)

    def reading(self, one: Reading) -> None:
        """A machine's current."""
        if one.device in self._power and one.quantity == QUANTITY and one.quality != "bad":
            change = self._power[one.device].feed(one.value, one.source_at)
            if change is not None:
                for machine in self._facts.machines.values():
                    if machine.device == one.device:
                        for tag in machine.tags:
                            self._parked.pop(tag, None)

    def _machine(self, tag: str) -> Machine:
        return self._machines.get(tag, self._unknown)

    def _state(self, machine: Machine) -> str:
        power = self._power.get(machine.device)
        return power.state if power else "unknown"

    # --- one fix ---

    def fix(self, track: Track) -> list[Finding]:
        """A believed position of a machine's tag."""
        machine = self._machine(track.tag)
        found = self._displaced(track, machine)
        found += self._along(track, machine)
        found += self._route(track, machine)
        if track.speed > self._settings.closing_mps or machine.kind in HEAVY:
            for other in self._persons_near(track):
                found += self._with_person(track, machine, other)
        return found

    def person(self, track: Track) -> list[Finding]:
        """A believed position of a person."""
        found: list[Finding] = []
        for tag in self._near_machines(track):
            found += self._with_person(self._tracks.all[tag], self._machine(tag), track)
        return found

    def _near_machines(self, track: Track) -> list[str]:
        found: list[str] = []
        for tag in self._machines:
            other = self._tracks.all.get(tag)
            if other is None or abs(other.x - track.x) > SIGHT_M or abs(other.y - track.y) > SIGHT_M:
                continue
            if track.at - other.at <= FRESH_S:
                found.append(tag)
        return found

    def _persons_near(self, track: Track) -> Iterable[Track]:
        for other in self._tracks.all.values():
            if other.person and abs(other.x - track.x) < SIGHT_M and abs(other.y - track.y) < SIGHT_M:
                if track.at - other.at <= FRESH_S:
                    yield other

    def _displaced(self, track: Track, machine: Machine) -> list[Finding]:
        if not machine.device or self._state(machine) == "unknown":
            return []
        off = self._state(machine) == "off"
        x, y, samples = self._parked.get(track.tag, (0.0, 0.0, 0.0))
        limit = max(machine.still_limit_m, 3 * self._settings.tag_sigma_m)
        if not off:
            return self._board.judge("displaced", track.tag, [over(False, 0.0, limit)], track.at)
        if samples < 5:  # where it stands is the mean of the first fixes
            n = samples + 1
            rx, ry, _ = track.raw
            self._parked[track.tag] = (x + (rx - x) / n, y + (ry - y) / n, n)
            return []
        moved = math.hypot(track.x - x, track.y - y)
        inputs = {
            "parked_x_m": round(x, 2),
            "parked_y_m": round(y, 2),
            "x_m": round(track.x, 2),
            "y_m": round(track.y, 2),
        }
        verdict = Level("over" if moved > limit else "inside" if moved < 0.9 * limit else "between", moved, limit)
        return self._board.judge("displaced", track.tag, [verdict], track.at, inputs)

    def _along(self, track: Track, machine: Machine) -> list[Finding]:
        drift, place = self._drift_of(track)
        found = self._speed(track, machine, drift)
        if drift is None:
            self._on_track.pop(track.tag, None)
            return found + self._board.judge("reverse_travel", track.tag, [over(False, 0.0, 0.0)], track.at)
        before = self._on_track.get(track.tag)
        speed = self._speed_along(track, drift, before, place)
        now = self._on_track[track.tag] = OnTrack(drift.drift, place, speed, track.at)
        found += self._reverse(track, drift, before, now)
        for tag, other in list(self._on_track.items()):
            if tag != track.tag and other.drift == now.drift and track.at - other.at <= FRESH_S:
                found += self._meet(track, now, self._tracks.all[tag], other)
        return found

    def _speed_along(self, track: Track, drift: Drift, before: OnTrack | None, place: float) -> float:
        """m/s along the line. A straight roadway has one direction; on a bent one it is how the chainage changes."""
        if len(drift.line) == 2:
            (x0, y0, _), (x1, y1, _) = drift.line
            length = math.hypot(x1 - x0, y1 - y0) or 1.0
            return (track.vx * (x1 - x0) + track.vy * (y1 - y0)) / length
        if before is None or before.drift != drift.drift or not 0 < track.at - before.at <= FRESH_S:
            return 0.0
        return 0.5 * before.speed + 0.5 * (place - before.chainage_m) / (track.at - before.at)

    def _drift_of(self, track: Track) -> tuple[Drift | None, float]:
        known = self._on_track.get(track.tag)
        names = ([known.drift] if known else []) + [
            one for one in self._facts.drifts if known is None or one != known.drift
        ]
        best: tuple[float, Drift | None, float] = (math.inf, None, 0.0)
        for name in names:
            drift = self._facts.drifts.get(name)
            place = self._index.along(name, track.x, track.y, track.z) if drift else None
            if drift is None or place is None or place.off_m > drift.width_m / 2 + OFF_TRACK_M:
                continue
            if place.off_m < best[0] - 0.5:
                best = (place.off_m, drift, place.chainage_m)
            if known is not None and name == known.drift:
                break
        return best[1], best[2]

    def _reverse(self, track: Track, drift: Drift, before: OnTrack | None, now: OnTrack) -> list[Finding]:
        if drift.direction == "both":
            return []
        one = self._settings
        way = 1.0 if drift.direction == "forward" else -1.0
        against = now.speed * way < -one.reverse_mps
        if against and before is not None and before.drift == now.drift:
            now.moved_m = before.moved_m + max(0.0, (before.chainage_m - now.chainage_m) * way)
        wrong = against and now.moved_m > one.reverse_m
        inputs = {"drift": drift.drift, "speed_mps": round(now.speed, 2), "against_m": round(now.moved_m, 1)}
        return self._board.judge(
            "reverse_travel", track.tag, [over(wrong, -now.speed * way, one.reverse_mps)], track.at, inputs
        )

    def _speed(self, track: Track, machine: Machine, drift: Drift | None) -> list[Finding]:
        limits = [one for one in (machine.speed_limit_mps, drift.speed_limit_mps if drift else None) if one is not None]
        found: list[Finding] = []
        if limits:
            limit = min(limits)
            verdict: Verdict = "over" if track.speed > limit else "inside" if track.speed < 0.9 * limit else "between"
            found += self._board.judge(
                "overspeed",
                track.tag,
                [Level(verdict, track.speed, limit)],
                track.at,
                {"speed_mps": round(track.speed, 2)},
            )
        return found + self._runaway(track, machine, drift)

    def _runaway(self, track: Track, machine: Machine, drift: Drift | None) -> list[Finding]:
        one, speeds = self._settings, self._speeds.setdefault(track.tag, [])
        speeds.append((track.at, track.speed))
        while speeds and track.at - speeds[0][0] > one.runaway_s + 2.0:
            speeds.pop(0)
        falling = drift is not None and self._falls(drift, track) and self._state(machine) != "on"
        gained = 0.0
        if len(speeds) > 2 and speeds[-1][0] - speeds[0][0] >= one.runaway_s:
            gained = (speeds[-1][1] - speeds[0][1]) / (speeds[-1][0] - speeds[0][0])
        away = falling and gained > one.runaway_mps2 and track.speed > 2.0
        inputs = {"speed_mps": round(track.speed, 2), "acceleration_mps2": round(gained, 2)}
        level = Level(
            "over" if away else "between" if falling and track.speed > 1.0 else "inside", gained, one.runaway_mps2
        )
        return self._board.judge("runaway", track.tag, [level], track.at, inputs)

    def _falls(self, drift: Drift, track: Track) -> bool:
        """It moves downhill."""
        if len(drift.line) > 2:
            return track.vz < -STEEP * track.speed
        (x0, y0, z0), (x1, y1, z1) = drift.line[0], drift.line[-1]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        slope = (z1 - z0) / length
        along = (track.vx * (x1 - x0) + track.vy * (y1 - y0)) / length
        return abs(slope) > STEEP and along * slope < 0

    def _meet(self, track: Track, now: OnTrack, other_track: Track, other: OnTrack) -> list[Finding]:
        one = self._settings
        lengths = (self._machine(track.tag).length_m + self._machine(other_track.tag).length_m) / 2
        there = other.chainage_m + other.speed * (now.at - other.at)
        gap = abs(now.chainage_m - there) - lengths
        closing = (now.speed - other.speed) * (1.0 if there > now.chainage_m else -1.0)
        key = (min(track.tag, other_track.tag), max(track.tag, other_track.tag))
        seconds = gap / closing if closing > one.closing_mps and gap > 0 else math.inf
        if seconds > 2 * one.collision_warning_s and ("collision", "+".join(key)) not in self._board:
            return []
        self._pairs["collision", "+".join(key)] = now.at
        shown = min(seconds, 999.0)
        levels = [over(seconds < limit, shown, limit) for limit in (one.collision_warning_s, one.collision_alarm_s)]
        inputs = {"drift": now.drift, "gap_m": round(gap, 1), "closing_mps": round(closing, 2)}
        return self._board.judge("collision", "+".join(key), levels, now.at, inputs)

    def _with_person(self, track: Track, machine: Machine, person: Track) -> list[Finding]:
        found: list[Finding] = []
        subject, at = f"{track.tag}+{person.tag}", max(track.at, person.at)
        if machine.kind in HEAVY:
            found += self._ring(track, machine, person, subject, at)
        if track.speed > self._settings.closing_mps:
            found += self._approach(track, person, subject, at)
        elif ("approach", subject) in self._board:
            found += self._board.judge("approach", subject, [over(False, 0.0, 0.0)] * 2, at)
        return found

    def _ring(self, track: Track, machine: Machine, person: Track, subject: str, at: float) -> list[Finding]:
        card = self._facts.people.get(person.tag)
        if person.tag in machine.operators or (card is not None and card.job in machine.operators):
            return []
        state = self._state(machine)
        runs = state == "on" or (state == "unknown" and track.speed > 0.5)
        distance = math.dist(track.ahead(at), person.ahead(at))
        _, warning, alarm = machine.rings_m
        watched = ("person_near_machine", subject) in self._board
        if not watched and (not runs or distance > warning):
            return []
        levels = [
            Level("over" if runs and distance < ring else "inside" if not runs or distance > 1.1 * ring else "between",
                  distance, ring)
            for ring in (warning, alarm)
        ]  # fmt: skip
        self._pairs["person_near_machine", subject] = at
        inputs = {"distance_m": round(distance, 2), "power": state}
        return self._board.judge("person_near_machine", subject, levels, at, inputs)

    def _approach(self, track: Track, person: Track, subject: str, at: float) -> list[Finding]:
        one = self._settings
        (ax, ay), (bx, by) = track.ahead(at), person.ahead(at)
        rx, ry, vx, vy = bx - ax, by - ay, person.vx - track.vx, person.vy - track.vy
        square = vx * vx + vy * vy
        seconds = -(rx * vx + ry * vy) / square if square > one.closing_mps**2 else -1.0
        nearest = math.hypot(rx + vx * seconds, ry + vy * seconds)
        levels = [
            over(0 < seconds < limit_s and nearest < limit_m, nearest, limit_m)
            for limit_m, limit_s in ((one.cpa_warning_m, one.cpa_warning_s), (one.cpa_alarm_m, one.cpa_alarm_s))
        ]
        if ("approach", subject) in self._board:
            self._pairs["approach", subject] = at
        elif levels[0].verdict == "over":
            self._pairs["approach", subject] = at
        inputs = {"nearest_m": round(nearest, 2), "in_s": round(seconds, 2), "speed_mps": round(track.speed, 2)}
        return self._board.judge("approach", subject, levels, at, inputs)

    def _route(self, track: Track, machine: Machine) -> list[Finding]:
        if not machine.zones and not machine.drifts:
            return []
        on = self._on_track.get(track.tag)
        there = set(self._index.zones_at(track.x, track.y, track.z)) | {track.zone}
        fits = bool(there & set(machine.zones)) or (on is not None and on.drift in machine.drifts)
        if not fits:
            distances = [self._index.distance_to(zone, track.x, track.y, track.z) for zone in machine.zones]
            distances += [
                place.off_m for name in machine.drifts
                if (place := self._index.along(name, track.x, track.y, track.z)) is not None
            ]  # fmt: skip
            fits = any(one is not None and one <= self._settings.route_m for one in distances)
        inputs = {"zone": track.zone, "x_m": round(track.x, 1), "y_m": round(track.y, 1)}
        return self._board.judge(
            "out_of_route", track.tag, [over(not fits, 0.0, self._settings.route_m)], track.at, inputs
        )

    # --- every second ---

    def second(self, now: float) -> list[Finding]:
        """Pairs that have not been looked at again are over."""
        found: list[Finding] = []
        for (rule, subject), at in list(self._pairs.items()):
            if now - at > PAIR_S:
                del self._pairs[rule, subject]
                found += self._board.judge(rule, subject, [over(False, 0.0, 0.0)] * 2, at + PAIR_S)
                found += self._board.judge(rule, subject, [over(False, 0.0, 0.0)] * 2, now + 5.0)
        return found
