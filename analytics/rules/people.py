"""Rules on people underground: quotas, forbidden zones, stays, silent tags, stillness, calls for help, company.

`fix` is called for every believed position of a person, `second` on every whole second of the server's time.

| Rule | Subject | Told |
|---|---|---|
| L1 `over_quota` | zone or `mine` | N > Q: alarm; close to it: info |
| L3 `zone_entry` | `zone:tag` | inside: alarm; coming close: info |
| L4 `dwell`, `zone_dwell` | tag, `zone:tag` | warning, alarm |
| L5 `tag_lost`, `zone_silent`, `station_down` | tag, zone, reader | warning, critical, warning |
| L6 `still` | tag | warning, critical |
| L7 `sos` | tag | critical |
| L8 `tag_carried` | `tag+tag` | alarm |
| L9 `gathering` | zone | warning |
| L10 `lone_worker`, `no_leader` | tag, `mine` | warning |
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from analytics.fences import FenceIndex
from analytics.finding import Finding
from analytics.mine import MineFacts, Zone
from analytics.plugin import Reading
from analytics.rules.board import Board, Spec, over
from analytics.rules.condition import Verdict
from analytics.rules.electric import Level
from analytics.rules.tracks import Track, Tracks
from config.settings import RuleSettings

SPECS: Mapping[str, Spec] = {
    "over_quota": Spec((("info", "quota_s"), ("alarm", "quota_s")), "quota_s", ("quota_near_share", "fix_fresh_s")),
    "zone_entry": Spec((("info", 2.0), ("alarm", 0.0)), "exit_s", ("entry_depth_m", "exit_tolerance_m", "near_m")),
    "dwell": Spec((("warning", 0.0), ("alarm", 0.0)), 0.0, ("dwell_warning_s", "dwell_alarm_s")),
    "zone_dwell": Spec((("warning", 0.0),), 0.0),
    "tag_lost": Spec((("warning", 0.0),), 0.0, ("tag_lost_s",)),
    "zone_silent": Spec((("critical", 0.0),), 0.0, ("group_lost_tags", "group_lost_s", "tag_lost_s")),
    "station_down": Spec((("warning", 0.0),), 0.0),
    "still": Spec((("warning", 0.0), ("critical", 0.0)), 10.0, ("still_m", "still_warning_s", "still_critical_s")),
    "sos": Spec((("critical", 0.0),), 0.0),
    "tag_carried": Spec((("alarm", 0.0),), 60.0, ("carried_m", "carried_s", "carried_travel_m")),
    "gathering": Spec((("warning", "gathering_s"),), 60.0, ("gathering_people", "gathering_m")),
    "lone_worker": Spec((("warning", "lone_s"),), 30.0, ("lone_m",)),
    "no_leader": Spec((("warning", "leader_s"),), 30.0),
}
RESTING = ("rest", "refuge", "gate", "shaft_mouth")
WORKING = ("face", "heading")
GATES = ("gate", "shaft_mouth")
DECIDE_S = 5.0
"""A tag that falls silent alone is told this much later, when it is clear that its zone has not."""
CHINA_S = 8 * 3600.0
DAY_S = 86_400.0
PAIR_GONE_S = 60.0
PAIR_SHARE = 0.8
"""Of the looks at two tags, so many must find them together."""
RIDING_M_S = 2.0
SLOW_M_S = 0.4
"""Nobody who comes nearer more slowly is on the way there."""
EVERY = {"gathering": 5, "carried": 5, "lone": 10, "dwell": 30}
"""Seconds between looks that cost more."""


@dataclass(slots=True)
class Pair:
    """Two tags that were found close to each other."""

    since: float
    last: float
    paths: tuple[float, float]
    looks: int = 0
    close: int = 1


class PeopleRules:
    """Of one mine."""

    def __init__(
        self, facts: MineFacts, index: FenceIndex, board: Board, tracks: Tracks, settings: RuleSettings
    ) -> None:
        self._facts, self._index, self._board, self._tracks, self._settings = facts, index, board, tracks, settings
        zones = facts.zones.values()
        self._forbidden = [one for one in zones if one.kind in ("danger", "restricted")]
        self._by_name = {one.zone for one in zones if not (one.fence.outline or one.fence.drift)}
        self._quotas = {zone: quota for zone in ("", *facts.zones) if (quota := facts.quota_of(zone)) is not None}
        self._has_leaders = any(one.leader for one in facts.people.values())
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._stations_down: set[str] = set()
        self._stations_back: dict[str, float] = {}
        """Reader → when it came back; its tags have time from then on."""
        self._silent_zones: dict[str, set[str]] = {}
        precise = facts.mine.positions == "precise"
        self.lost_s = settings.tag_lost_s if precise else settings.tag_lost_periods * facts.mine.expected_period_s
        self.fresh_s = max(settings.fix_fresh_s, 0.0 if precise else self.lost_s)

    def adopt(self, before: "PeopleRules") -> None:
        """What another set of rules on the same mine remembered."""
        self._pairs, self._silent_zones = before._pairs, before._silent_zones
        self._stations_down, self._stations_back = before._stations_down, before._stations_back

    # --- one fix ---

    def fix(self, track: Track) -> list[Finding]:
        """A believed position of a person."""
        if track.out:  # its source says that it has left
            track.zones, track.grouped, track.lost = (), False, False
            return self._board.judge("tag_lost", track.tag, [over(False, 0.0, self.lost_s)], track.at)
        fenced = self._index.zones_at(track.x, track.y, track.z)
        track.zones = (*fenced, track.zone) if track.zone in self._by_name else fenced
        found: list[Finding] = []
        for zone in self._forbidden:
            found += self._entry(zone, track)
        found += self._still(track)
        if track.lost:
            track.lost = False
            found += self._board.judge("tag_lost", track.tag, [over(False, 0.0, self.lost_s)], track.at)
        track.grouped = False
        return found

    def _entry(self, zone: Zone, track: Track) -> list[Finding]:
        subject, one = f"{zone.zone}:{track.tag}", self._settings
        if self._may_enter(zone, track):
            return []
        distance = self._index.distance_to(zone.zone, track.x, track.y, track.z)
        if distance is None:
            if zone.zone not in self._by_name:
                return []
            depth, distance = (1e3, 0.0) if track.zone == zone.zone else (0.0, 1e3)
        else:
            depth = self._index.depth_in(zone.zone, track.x, track.y) if distance == 0.0 else 0.0
        watched = ("zone_entry", subject) in self._board
        if distance > one.near_m + one.exit_tolerance_m and not watched:
            return []
        deep = depth > one.entry_depth_m
        fixes = track.memory.get(subject, 0.0) + 1 if deep else 0.0
        began = track.memory.get(f"{subject}@", track.at) if deep else track.at
        if deep or subject in track.memory:
            track.memory[subject], track.memory[f"{subject}@"] = fixes, began
        entered = fixes >= 2 or (deep and track.at - began >= one.entry_s)
        inside: Verdict = "over" if entered else "inside" if distance > one.exit_tolerance_m else "between"
        before = track.memory.get(f"{subject}~")
        step = max(track.at - track.memory.get(f"{subject}t", track.at), 0.5)
        rate = ((before if before is not None else distance) - distance) / step  # towards it, m/s
        rate = track.memory[f"{subject}v"] = 0.5 * track.memory.get(f"{subject}v", 0.0) + 0.5 * rate
        track.memory[f"{subject}~"], track.memory[f"{subject}t"] = distance, track.at
        near = distance <= one.near_m and rate > SLOW_M_S and distance <= one.near_s * rate
        levels = [
            Level("over" if near or deep else "inside" if distance > one.near_m else "between", distance, one.near_m),
            Level(inside, depth, one.entry_depth_m),
        ]
        if distance > one.near_m + one.exit_tolerance_m:
            for name in (subject, *(f"{subject}{mark}" for mark in "@~tv")):
                track.memory.pop(name, None)
        inputs = {
            "x_m": round(track.x, 2),
            "y_m": round(track.y, 2),
            "distance_m": round(distance, 2),
            "tag": track.tag,
        }
        return self._board.judge("zone_entry", subject, levels, track.at, inputs, age_s=track.received_at - track.at)

    def _may_enter(self, zone: Zone, track: Track) -> bool:
        card = self._facts.people.get(track.tag)
        named = track.tag in zone.allow_cards or (card is not None and card.job in zone.allow_jobs and card.job != "")
        if not named:
            return False
        hour = (track.at + CHINA_S) % DAY_S / 3600.0
        return not zone.allow_hours or any(_during(hour, start, end) for start, end in zone.allow_hours)

    def _still(self, track: Track) -> list[Finding]:
        one = self._settings
        radius = max(one.still_m, 3 * one.tag_sigma_m)
        kind = self._kind(track.zone)
        if math.hypot(track.x - track.anchor[0], track.y - track.anchor[1]) > radius or kind in RESTING:
            track.anchor, track.anchor_at = (track.x, track.y), track.at
        still_s = track.at - track.anchor_at
        if still_s < one.still_warning_s and ("still", track.tag) not in self._board:
            return []
        levels = [over(still_s >= limit, still_s, limit) for limit in (one.still_warning_s, one.still_critical_s)]
        inputs = {"x_m": round(track.x, 2), "y_m": round(track.y, 2), "radius_m": radius, "zone": track.zone}
        return self._board.judge("still", track.tag, levels, track.at, inputs, age_s=track.received_at - track.at)

    def _kind(self, zone: str) -> str:
        known = self._facts.zones.get(zone)
        return known.kind if known else ""

    # --- readings about people and readers ---

    def reading(self, one: Reading) -> list[Finding]:
        """A call for help, or the state of a reader; others say nothing here."""
        if one.quantity == "sos":
            inputs: dict[str, object] = {"value": one.value}
            if (track := self._tracks.all.get(one.device)) is not None:
                inputs |= {"zone": track.zone, "x_m": track.x, "y_m": track.y, "position_at": track.at}
            return self._board.judge("sos", one.device, [over(one.value > 0, one.value, 0.0)], one.source_at, inputs)
        if one.quantity == "station_run":
            down = one.value in (1.0, 2.0)
            if down:
                self._stations_down.add(one.device)
            elif one.device in self._stations_down:
                self._stations_down.discard(one.device)
                self._stations_back[one.device] = one.received_at
            return self._board.judge("station_down", one.device, [over(down, one.value, 0.0)], one.source_at)
        return []

    # --- every second ---

    def second(self, now: float) -> list[Finding]:
        """A whole second of the server's time, UTC."""
        found = self._lost(now)
        present = [
            one for one in self._tracks.all.values() if one.person and not one.out and now - one.at <= self.fresh_s
        ]
        found += self._quota(present, now)
        number = int(now)
        if number % EVERY["gathering"] == 0:
            found += self._gathering(present, now)
        if number % EVERY["carried"] == 2:
            found += self._carried(present, now)
        if number % EVERY["lone"] == 3:
            found += self._company(present, now) + self.silent_entries(now)
        if number % EVERY["dwell"] == 4:
            found += self._dwell(present, now)
            self._tracks.forget(now)
        return found

    def _quota(self, present: Iterable[Track], now: float) -> list[Finding]:
        if not self._quotas:
            return []
        people: dict[str, set[str]] = {zone: set() for zone in self._quotas}
        for one in present:
            card = self._facts.people.get(one.tag)
            person = (card.person if card else "") or one.tag
            for zone in ("", *one.zones):
                if zone in people:
                    people[zone].add(person)
        grace = self._in_grace(now)
        found: list[Finding] = []
        for zone, quota in self._quotas.items():
            count, limit = len(people[zone]), quota.people
            near = max(1.0, self._settings.quota_near_share * limit)
            levels = [over(count >= near, count, near), over(count > limit, count, limit)]
            if grace:
                levels = [Level("between", count, limit)] * 2
            inputs = {"people": count, "quota": limit, "basis": quota.basis}
            found += self._board.judge("over_quota", zone or "mine", levels, now, inputs)
        return found

    def _in_grace(self, now: float) -> bool:
        half, of_day = self._settings.shift_grace_s / 2, (now + CHINA_S) % DAY_S
        return any(
            min((of_day - shift.begins_s) % DAY_S, (shift.begins_s - of_day) % DAY_S) < half
            for shift in self._facts.shifts.values()
        )

    def _lost(self, now: float) -> list[Finding]:
        if now - self._tracks.newest > min(30.0, self.lost_s):
            return []  # nothing is heard of anybody: that is the link, not the tags
        one, found = self._settings, list[Finding]()
        for zone, tracks in self._fallen_silent(now).items():
            if self._unheard(zone, now):
                continue
            newest = max(track.at for track in tracks)
            together = [track for track in tracks if newest - track.at <= one.group_lost_s]
            if len(together) >= one.group_lost_tags:
                for track in together:
                    track.grouped = True
                self._silent_zones.setdefault(zone, set()).update(track.tag for track in together)
                inputs = {"tags": sorted(track.tag for track in together), "last_heard_at": newest}
                level = over(True, len(together), one.group_lost_tags)
                found += self._board.judge("zone_silent", zone, [level], newest + self.lost_s, inputs)
                continue
            for track in tracks:
                if now - track.at > self.lost_s + DECIDE_S and zone not in self._silent_zones:
                    track.lost = True
                    inputs = {"zone": zone, "x_m": track.x, "y_m": track.y, "last_heard_at": track.at}
                    level = over(True, now - track.at, self.lost_s)
                    found += self._board.judge("tag_lost", track.tag, [level], track.at + self.lost_s, inputs)
        return found + self._heard_again(now)

    def _fallen_silent(self, now: float) -> dict[str, list[Track]]:
        """Tags of which nothing has been said yet, by zone; those that left by a gate are marked as out."""
        fresh: dict[str, list[Track]] = {}
        for track in self._tracks.all.values():
            if now - track.at <= self.lost_s:
                break  # tags are in the order of their arrival: the rest is fresher
            if not track.person or track.lost or track.out or track.grouped:
                continue
            if self._kind(track.zone) in GATES or not track.zone:
                track.out = True
                continue
            fresh.setdefault(track.zone, []).append(track)
        return fresh

    def _unheard(self, zone: str, now: float) -> bool:
        """Its reader is down, or has been back only shortly."""
        known = self._facts.zones.get(zone)
        return known is not None and any(
            one in self._stations_down or now - self._stations_back.get(one, -1e9) <= self.lost_s
            for one in known.stations
        )

    def _heard_again(self, now: float) -> list[Finding]:
        found: list[Finding] = []
        for zone, tags in list(self._silent_zones.items()):
            heard = [tag for tag in tags if (track := self._tracks.all.get(tag)) is None or not track.grouped]
            if len(heard) * 2 > len(tags):
                del self._silent_zones[zone]
                level = over(False, len(tags) - len(heard), self._settings.group_lost_tags)
                found += self._board.judge("zone_silent", zone, [level], now)
        return found

    def _gathering(self, present: Iterable[Track], now: float) -> list[Finding]:
        one = self._settings
        there: dict[str, list[Track]] = {}
        for track in present:
            there.setdefault(track.zone, []).append(track)
        found: list[Finding] = []
        for zone in {*there, *self._board.subjects("gathering")}:
            known = self._facts.zones.get(zone)
            if known is not None and (known.gathering_ok or known.kind in (*RESTING, *WORKING)):
                continue
            tracks = there.get(zone, [])
            most = 0
            if len(tracks) >= one.gathering_people:
                places = [track.ahead(now) for track in tracks]
                most = max(sum(math.dist(a, b) <= one.gathering_m for b in places) for a in places)
            level = over(most >= one.gathering_people, most, one.gathering_people)
            found += self._board.judge("gathering", zone, [level], now, {"people": most})
        return found

    def _carried(self, present: Iterable[Track], now: float) -> list[Finding]:
        one = self._settings
        cells: dict[tuple[int, int], list[Track]] = {}
        for track in present:
            x, y = track.ahead(now)
            cells.setdefault((int(x // 2), int(y // 2)), []).append(track)
        close: set[tuple[str, str]] = set()
        for (i, j), tracks in cells.items():
            around = [other for di in (0, 1) for dj in (-1, 0, 1) for other in cells.get((i + di, j + dj), ())]
            for track in tracks:
                for other in around:
                    if track.tag != other.tag and math.dist(track.ahead(now), other.ahead(now)) < one.carried_m:
                        first, second = sorted((track.tag, other.tag))
                        close.add((first, second))
        found: list[Finding] = []
        for key in close:
            pair, a, b = self._pairs.get(key), self._tracks.all[key[0]], self._tracks.all[key[1]]
            if a.speed > RIDING_M_S:
                continue
            if pair is None:
                self._pairs[key] = Pair(now, now, (a.path_m, b.path_m))
            else:
                pair.last, pair.close = now, pair.close + 1
        for key, pair in list(self._pairs.items()):
            pair.looks += 1
            if now - pair.last > PAIR_GONE_S or key[0] not in self._tracks.all or key[1] not in self._tracks.all:
                del self._pairs[key]
                found += self._board.judge("tag_carried", "+".join(key), [over(False, 0.0, one.carried_s)], now)
                continue
            a, b = self._tracks.all[key[0]], self._tracks.all[key[1]]
            way = min(a.path_m - pair.paths[0], b.path_m - pair.paths[1])
            lasted, share = now - pair.since, pair.close / pair.looks
            if lasted >= one.carried_s and way >= one.carried_travel_m and share >= PAIR_SHARE:
                inputs = {"together_s": lasted, "travel_m": round(way, 1), "share": round(share, 2)}
                found += self._board.judge(
                    "tag_carried", "+".join(key), [over(True, lasted, one.carried_s)], now, inputs
                )
        return found

    def _company(self, present: list[Track], now: float) -> list[Finding]:
        one, found = self._settings, list[Finding]()
        working = [track for track in present if self._kind(track.zone) in WORKING]
        for track in working:
            nearest = min((track.distance(other) for other in present if other is not track), default=1e6)
            level = over(nearest > one.lone_m, nearest, one.lone_m)
            found += self._board.judge("lone_worker", track.tag, [level], now, {"nearest_m": round(nearest, 1)})
        here = {track.tag for track in working}
        for tag in self._board.subjects("lone_worker"):
            if tag not in here:
                found += self._board.judge("lone_worker", tag, [over(False, 0.0, one.lone_m)], now)
        if self._has_leaders:
            people = self._facts.people
            leaders = sum(track.tag in people and people[track.tag].leader for track in present)
            level = over(bool(present) and leaders == 0, leaders, 1.0)
            found += self._board.judge("no_leader", "mine", [level], now, {"people": len(present), "leaders": leaders})
        return found

    def _dwell(self, present: Iterable[Track], now: float) -> list[Finding]:
        one, found = self._settings, list[Finding]()
        here: set[str] = set()
        for track in present:
            here.add(track.tag)
            lasted = track.at - track.since
            if lasted >= one.dwell_warning_s or ("dwell", track.tag) in self._board:
                levels = [over(lasted >= limit, lasted, limit) for limit in (one.dwell_warning_s, one.dwell_alarm_s)]
                found += self._board.judge("dwell", track.tag, levels, now, {"since": track.since, "zone": track.zone})
            zone = self._facts.zones.get(track.zone)
            if zone is not None and zone.dwell_limit_s is not None:
                stayed, limit = track.at - track.zone_since, zone.dwell_limit_s
                subject = f"{zone.zone}:{track.tag}"
                if stayed > limit or ("zone_dwell", subject) in self._board:
                    found += self._board.judge("zone_dwell", subject, [over(stayed > limit, stayed, limit)], now)
        for subject in self._board.subjects("zone_dwell"):
            zone_name, _, tag = subject.partition(":")
            track_now = self._tracks.all.get(tag)
            if track_now is None or track_now.zone != zone_name:
                found += self._board.judge("zone_dwell", subject, [over(False, 0.0, 0.0)], now)
        for tag in self._board.subjects("dwell"):
            gone = self._tracks.all.get(tag)
            if tag not in here and (gone is None or gone.out):
                found += self._board.judge("dwell", tag, [over(False, 0.0, one.dwell_warning_s)] * 2, now)
        return found

    def headcount(self, now: float) -> int:
        """Distinct persons with a fresh fix."""
        people = self._facts.people
        return len(
            {
                (people[one.tag].person if one.tag in people else "") or one.tag
                for one in self._tracks.all.values()
                if one.person and not one.out and now - one.at <= self.fresh_s
            }
        )

    def silent_entries(self, now: float) -> list[Finding]:
        """Somebody in a forbidden zone of whom nothing is heard is not out of it."""
        found: list[Finding] = []
        for subject in self._board.subjects("zone_entry"):
            track = self._tracks.all.get(subject.partition(":")[2])
            if track is None or now - track.at > self._settings.fence_timeout_s:
                found += self._board.silent("zone_entry", subject, now)
        return found


def _during(hour: float, start: float, end: float) -> bool:
    return start <= hour < end if start <= end else hour >= start or hour < end
