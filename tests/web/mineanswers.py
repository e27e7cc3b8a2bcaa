"""Canned answers for the pages about one mine: a plan with two zones, three tags, a muster, a registry of zones."""

import json
import time
from typing import Any

from aiohttp import web

BOARD_STATES = {"lost": 1, "underground": 1, "moving": 0, "refuge": 0, "out_once": 0, "out": 1}


class MineAnswers:
    """What was sent stands in `sent`."""

    def __init__(self) -> None:
        self.feed: str = "live"
        self.muster: dict[str, Any] | None = None
        self.sent: list[tuple[str, str, Any]] = []
        self.outcome: dict[str, Any] = {
            "done": False, "version": 3, "added": 0, "changed": 0, "removed": 0, "unchanged": 0, "examples": [],
            "mistakes": [
                {"line": 3, "kind": "zones", "id": "", "key": "kind", "text": {"zh": "只能是", "en": "must be"}}
            ],
        }  # fmt: skip

    def mount(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/api/plan", self._plan)
        add("GET", "/api/plan/tags", self._tags)
        add("GET", "/api/tracks", self._tracks)
        add("GET", "/api/musters", self._musters)
        add("POST", "/api/musters", self._start)
        add("GET", "/api/musters/{id}", self._muster)
        add("GET", "/api/musters/{id}/people", self._people)
        add("POST", "/api/musters/{id}/{rest:.+}", self._remember)
        add("GET", "/api/registry", self._registry)
        add("GET", "/api/registry/forms", self._forms)
        add("GET", "/api/registry/changes", self._changes)
        add("POST", "/api/registry/import", self._import)
        add("GET", "/api/registry/{kind}", self._facts)
        add("GET", "/api/registry/{kind}/{id}/history", self._history)
        add("PUT", "/api/registry/{kind}/{id}", self._remember)

    async def _remember(self, request: web.Request) -> web.Response:
        self.sent.append((request.method, request.path, await request.json()))
        return web.json_response({})

    # --- plan ---

    async def _plan(self, _request: web.Request) -> web.Response:
        def zone(name: str, x: float, kind: str, quota: int | None) -> dict[str, Any]:
            ring = [[x, 0], [x + 40, 0], [x + 40, 30], [x, 30], [x, 0]]
            properties = {
                "what": "zone", "id": name, "name_zh": f"区域{name}", "name_en": f"Zone {name}", "zone_kind": kind,
                "level": "", "quota": quota,
            }  # fmt: skip
            geometry = {"type": "Polygon", "coordinates": [ring]}
            return {"type": "Feature", "id": f"zone/{name}", "geometry": geometry, "properties": properties}

        properties = {"site": "hongqi", "version": 3, "crs": "local", "levels": [], "quota": 60}
        features = [zone("face", 0, "face", 1), zone("refuge", 80, "refuge", None)]
        return web.json_response({"type": "FeatureCollection", "properties": properties, "features": features})

    async def _tags(self, _request: web.Request) -> web.Response:
        now = time.time()

        def tag(name: str, x: float, zone: str, age: float, **more: Any) -> dict[str, Any]:
            properties = {
                "what": "tag", "tag": name, "kind": "vehicle" if name[0] == "V" else "person", "label": "电工",
                "zone": zone, "level": "", "source_at": now - age, "age_s": age, "stale": age > 90, "speed_mps": 1.2,
                "simulated": True, **more,
            }  # fmt: skip
            return {
                "type": "Feature", "id": f"tag/{name}", "properties": properties,
                "geometry": {"type": "Point", "coordinates": [x, 15, -400]},
            }  # fmt: skip

        features = [
            tag("P1", 10, "face", 2), tag("P2", 20, "face", 300),
            tag("V1", 60, "", 1, state="moving", power="on", machine="car", name_zh="1号车", name_en="Car 1"),
        ]  # fmt: skip
        zones = [{"zone": "face", "people": 2, "vehicles": 0, "silent": 1, "quota": 1}]
        feed = {"state": self.feed, "newest_at": now - 2, "age_s": 2}
        properties = {"site": "hongqi", "crs": "local", "at": now, "fresh_s": 90, "feed": feed, "zones": zones}
        return web.json_response({"type": "FeatureCollection", "properties": properties, "features": features})

    async def _tracks(self, request: web.Request) -> web.Response:
        start = float(request.query["start"])
        feature = {
            "type": "Feature", "id": "track/P1",
            "geometry": {"type": "LineString", "coordinates": [[0, 0, 0], [30, 20, 0]]},
            "properties": {"what": "track", "tag": "P1", "kind": "person", "label": "", "times": [start, start + 60],
                           "zones": [[start, "face"]], "simulated": True},
        }  # fmt: skip
        return web.json_response({"type": "FeatureCollection", "properties": {"whole": True}, "features": [feature]})

    # --- muster ---

    def begin(self, left: int | None = 2, feed: str = "live") -> dict[str, Any]:
        """A muster that is going on."""
        now = time.time()
        board = {
            "at": now, "feed": feed, "feed_at": now - 700, "total": 3, "frozen": 3, "states": BOARD_STATES,
            "zones": {"face": 2}, "left": left, "oldest_age_s": 640.0, "going": {"wrong_way": 1, "no_progress": 2},
            "crowds": [{"drift": "main", "from_m": 120.0, "people": 45, "per_m2": 2.25}],
        }  # fmt: skip
        a_list = {
            "number": 0, "due_at": now - 100, "at": now - 100, "sha256": "ab" * 32, "total": 3, "left": 3,
            "signed_by": None, "signed_at": None,
        }  # fmt: skip
        self.muster = {
            "muster": "m1", "site": "hongqi", "started_at": now - 100, "by": "王建国", "reason": "瓦斯超限",
            "session": None, "alert": None, "drill": False, "simulated": True, "ended_at": None, "left_out": 1,
            "board": board, "progress": [[now - 90, 3, BOARD_STATES], [now, 2, BOARD_STATES]], "lists": [a_list],
        }  # fmt: skip
        return self.muster

    async def _musters(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": [self.muster] if self.muster else [], "next": None})

    async def _start(self, request: web.Request) -> web.Response:
        self.sent.append(("POST", "/api/musters", await request.json()))
        return web.json_response(self.begin(), status=201)

    async def _muster(self, _request: web.Request) -> web.Response:
        return web.json_response(self.muster)

    async def _people(self, request: web.Request) -> web.Response:
        named = request.query.get("names") == "true"
        now = time.time()

        def person(card: str, state: str, age: float, name: str) -> dict[str, Any]:
            return {
                "card": card, "name": name if named else f"{name[:1]}**", "phone": "", "job": "采煤工", "shift": "",
                "leader": card == "P1", "special": False, "visitor": False, "known": True, "state": state, "since": now,
                "zone": "face", "place": [1, 2, 3], "seen_at": now - age, "frozen": True, "came_back": 0, "note": "",
                "by_hand": "", "going": "wrong_way" if card == "P1" else "unknown",
                "to_exit_m": 612.4 if card == "P1" else None,
            }  # fmt: skip

        people = [
            person("P1", "underground", 3, "张三丰"),
            person("P2", "lost", 640, "李四光"),
            person("P3", "out", 5, "王五一"),
        ]
        return web.json_response({"items": people, "next": None})

    # --- registry ---

    async def _registry(self, _request: web.Request) -> web.Response:
        state = {"period": "p", "state": "producing"}
        return web.json_response({"site": "hongqi", "version": 3, "counts": {"zones": 1}, "state": state})

    async def _forms(self, _request: web.Request) -> web.Response:
        fields: dict[str, Any] = {"zone": None, "name_zh": "", "kind": "other", "dwell_limit_s": None}
        fields |= {"gathering_ok": False, "allow_cards": [], "fence": {"outline": []}}
        return web.json_response({"kinds": {"zones": {"id": "zone", "fields": fields}}})

    async def _changes(self, _request: web.Request) -> web.Response:
        counts = {"zones": {"added": 1, "changed": 0, "removed": 0}}
        item = {"version": 3, "at": time.time(), "by": "陈工", "source": "person", "counts": counts}
        return web.json_response({"items": [item], "next": None})

    async def _facts(self, _request: web.Request) -> web.Response:
        data = {"zone": "face", "name_zh": "工作面", "kind": "face", "dwell_limit_s": None, "gathering_ok": False,
                "allow_cards": ["P1"], "fence": {"outline": [[0, 0], [1, 0], [1, 1]]}}  # fmt: skip
        return web.json_response(
            {"version": 3, "items": [{"id": "face", "data": data, "manual": ["kind"]}], "next": None}
        )

    async def _history(self, _request: web.Request) -> web.Response:
        item = {"version": 3, "valid_from": time.time(), "valid_to": None, "data": {"zone": "face"}}
        return web.json_response({"items": [item], "next": None})

    async def _import(self, request: web.Request) -> web.Response:
        self.sent.append(("POST", request.path_qs, (await request.read()).decode()))
        return web.Response(text=json.dumps(self.outcome), content_type="application/json")
