"""A small server that shows the pages without the rest of Lamproom: canned facts, the real room messages, no media.

As a program it is for looking at pages: `python tests/web/devserver.py --port 8080`, then open
`/as/dispatcher` or `/as/supervisor`. In tests it is driven through `DevServer`.
"""

import argparse
import asyncio
import contextlib
import io
import json
import secrets
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from PIL import Image
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a program it is run from anywhere

from server.api.own import KeepWall
from server.identity.roles import GRANTED
from signaling.room import messages as m
from signaling.room.problems import text
from tests.web.mineanswers import MineAnswers
from web import pages

SITES = (
    ("province", None, "province", "北原省局", "Beiyuan province"),
    ("city", "province", "city", "临河市局", "Linhe city"),
    ("county", "city", "county", "红旗县局", "Hongqi county"),
    ("hongqi", "county", "mine", "红旗煤矿", "Hongqi mine"),
    ("dongshan", "county", "mine", "东山煤矿", "Dongshan mine"),
)
PEOPLE: dict[str, dict[str, Any]] = {
    "dispatcher": {"user": "u1", "name": "王建国", "role": "dispatcher", "site": "hongqi", "level": "mine"},
    "supervisor": {"user": "u2", "name": "李敏", "role": "supervisor", "site": "county", "level": "county"},
    "engineer": {"user": "u4", "name": "陈工", "role": "engineer", "site": "hongqi", "level": "mine"},
    "guest": {"user": "g1", "name": "刘专家", "role": "guest", "site": "hongqi", "level": "guest"},
    "city": {"user": "u3", "name": "赵强", "role": "supervisor", "site": "city", "level": "city"},
}
DEVICES = ("aux-fan", "belt", "hoist", "main-fan", "pump-1", "substation")
ZONES = ("face-1", "heading", "main-road", "pump-room", "refuge", "shaft-bottom")


def site_dict(row: tuple[str, str | None, str, str, str]) -> dict[str, object]:
    return dict(zip(("site", "parent", "level", "name_zh", "name_en"), row, strict=True))


def above(site: str) -> list[str]:
    parents = {row[0]: row[1] for row in SITES}
    found = []
    at: str | None = site
    while at is not None:
        found.append(at)
        at = parents[at]
    return found


def below(site: str) -> list[str]:
    return [row[0] for row in SITES if site in above(row[0])]


def make_alert(number: int, severity: str, zh: str, en: str, **more: object) -> dict[str, object]:
    """As in `GET /api/alerts/{id}`."""
    at = time.time() - 40 * number
    return {
        "id": f"a{number}", "site": "hongqi", "key": f"hongqi/absence/{number}", "rule": "absence",
        "subject": "dispatch", "severity": severity, "state": "open", "title": {"zh": zh, "en": en},
        "opened_at": at, "at": at,
        "acknowledged": None, "cleared_at": None, "duration_s": None, "occurrences": 1, "no_data": False,
        "evidence": [], "explain": {"threshold_s": 300, "empty_s": 301.5, "picture": "ok", "since": at - 300},
        "outcome": None, "closed": None, "simulated": True, **more,
    }  # fmt: skip


class Socket:
    """One connected page."""

    def __init__(self, socket: web.WebSocketResponse, person: m.Person, client: str) -> None:
        self.socket = socket
        self.person = person
        self.client = client
        self.rooms: set[str] = set()

    async def send(self, message: BaseModel) -> None:
        with contextlib.suppress(ConnectionError):
            await self.socket.send_str(message.model_dump_json())


class DevServer:
    """State and handlers. `heard` keeps every message that pages sent."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.heartbeat_s = 5.0
        self.entries: dict[str, list[m.Event]] = defaultdict(list)
        self.tracks: dict[str, list[m.TrackNotice]] = defaultdict(list)
        self.guests: dict[str, list[m.Member]] = defaultdict(list)
        self.sockets: list[Socket] = []
        self.heard: list[dict[str, Any]] = []
        self.csp_reports: list[str] = []
        self.alerts: dict[str, dict[str, Any]] = {}
        self.sessions: dict[str, dict[str, Any]] = {}
        self.mine = MineAnswers()
        self.duty: list[dict[str, object]] = []
        self.rota: dict[str, Any] = {}
        self.handovers: dict[str, Any] = {"items": [], "last_end": None, "next_end": None}
        self.checks: dict[str, Any] = {"items": [], "standings": []}
        self.phones: dict[str, Any] = {}
        """What GET below /api/phones answers, by path."""
        self.posted: list[tuple[str, Any]] = []
        """Bodies of requests that this server only remembers."""
        self.answered: list[str] = []
        """Challenges."""
        self.passed_on: list[str] = []
        """Alerts whose ring was cut short."""
        self.cards: list[dict[str, Any]] = []
        self.incidents: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.wall: dict[str, Any] = {"value": {"groups": [], "tour_s": 20}, "version": 0}
        self.kept_logins = 0
        self.reviewed: set[str] = set()
        self.recordings: list[dict[str, Any]] = []
        self.password = "correct horse"
        self.token_life_s = 600.0
        self._tokens: dict[str, tuple[str, str]] = {}
        self._clients: dict[str, str] = {}
        self.canned()

    def canned(self) -> None:
        """A mine on an ordinary night."""
        self.add_duty("hongqi", "dispatch", "present", "调度台", "Dispatch desk", 1874)
        self.add_duty("dongshan", "dispatch", "unknown", "调度台", "Dispatch desk", 66)
        taken = {"by": "u1", "name": "王建国", "site": "hongqi", "at": time.time(), "comment": "已派人查看"}
        alert = make_alert(9, "warning", "局部通风机电流偏低", "Auxiliary fan current is low", rule="telemetry_gap")
        self.alerts["a9"] = alert | {"state": "acknowledged", "acknowledged": taken}
        for row in SITES:
            room = f"site:{row[0]}"
            self.note(room, "member", {"change": "joined", "person": PEOPLE["dispatcher"], "client": "c0"})
        self.note_alert("a9", "raised")
        self.note_alert("a9", "acknowledged")

    # --- what tests do ---

    def add_duty(
        self,
        site: str,
        post: str,
        state: str,
        zh: str,
        en: str,
        seconds: float,
        sleep: str = "awake",
    ) -> dict[str, object]:
        body: dict[str, object] = {
            "post": post, "site": site, "camera": "dispatch-room", "track": None, "name": {"zh": zh, "en": en},
            "minimum_persons": 1, "warn_after_s": 180.0, "alarm_after_s": 300.0, "state": state,
            "since": time.time() - seconds, "picture": "ok" if state != "unknown" else "none",
            "sleep": {"state": sleep, "since": time.time() - seconds, "warned": False},
            "sleep_warn_after_s": 120.0, "sleep_alarm_after_s": 300.0,
        }  # fmt: skip
        self.duty = [one for one in self.duty if (one["site"], one["post"]) != (site, post)] + [body]
        return body

    def note(self, room: str, kind: str, body: dict[str, object]) -> m.Event:
        entries = self.entries[room]
        seq = entries[-1].seq + 1 if entries else 1
        event = m.Event(room=room, seq=seq, at=time.time(), kind=kind, body=body)
        entries.append(event)
        return event

    def note_alert(self, alert: str, change: str) -> list[m.Event]:
        body = {**self.alerts[alert], "change": change}
        return [self.note(f"site:{site}", "alert", body) for site in above(str(body["site"]))]

    async def tell(self, events: list[m.Event]) -> None:
        for event in events:
            for one in list(self.sockets):
                if event.room in one.rooms:
                    await one.send(event)

    async def raise_alert(self, alert: dict[str, Any]) -> None:
        self.alerts[alert["id"]] = alert
        await self.tell(self.note_alert(alert["id"], "raised"))

    async def drop_sockets(self) -> None:
        """As when a cable is pulled."""
        for one in list(self.sockets):
            transport = one.socket._req.transport if one.socket._req is not None else None
            if transport is not None:
                transport.abort()

    async def expire(self, room: str) -> None:
        for one in list(self.sockets):
            if room in one.rooms:
                await one.send(m.Expiring(room=room, expires_at=time.time() + 30))

    def heard_of(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.heard if one.get("type") == kind]

    async def ring(self, site: str = "county") -> str:
        """Somebody calls `site`."""
        caller = PEOPLE["dispatcher"] if site != "hongqi" else PEOPLE["supervisor"]
        return await self._start_session("hongqi", caller, [site], None)

    # --- application ---

    def application(self) -> web.Application:
        app = web.Application()
        add = app.router.add_route
        add("GET", "/", self._home)
        add("GET", "/as/{person}", self._become)
        for name in sorted(pages.PAGES):
            add("GET", f"/{name}", self._page)
        add("POST", "/csp", self._csp)
        add("POST", "/api/login", self._login)
        add("DELETE", "/api/login", self._logout)
        add("POST", "/api/token", self._token)
        add("POST", "/api/guest/token", self._guest_token)
        add("GET", "/api/me/wall", self._wall)
        add("PUT", "/api/me/wall", self._keep_wall)
        add("POST", "/api/login/keep", self._keep_login)
        add("GET", "/api/sites", self._sites)
        add("GET", "/api/recordings", self._recordings)
        add("GET", "/api/rooms/{room}/timeline", self._timeline)
        add("GET", "/api/consultation/templates", self._templates)
        add("GET", "/api/readings", self._readings)
        add("GET", "/api/cameras/diagnosis", self._diagnosis)
        add("GET", "/api/incidents", self._incidents)
        add("GET", "/api/incidents/{id}", self._incident)
        add("POST", "/api/incidents/{id}/{verb}", self._incident_verb)
        add("GET", "/api/alerts", self._alerts)
        add("GET", "/api/alerts/counts", self._counts)
        add("POST", "/api/alerts/reviewed", self._reviewed)
        add("POST", "/api/alerts/ack", self._acknowledge_all)
        add("GET", "/api/alerts/{id}", self._alert)
        add("GET", "/api/alerts/{id}/evidence/{name}", self._evidence)
        add("POST", "/api/alerts/{id}/ack", self._acknowledge)
        add("POST", "/api/alerts/{id}/close", self._close)
        add("POST", "/api/alerts/{id}/next", self._next)
        add("POST", "/api/challenges/{id}/answer", self._answer_challenge)
        add("GET", "/api/checks", self._checks)
        add("POST", "/api/checks", self._remember)
        add("POST", "/api/checks/{rest:.+}", self._remember)
        add("GET", "/api/handovers", self._handovers)
        add("POST", "/api/handovers/{rest:.+}", self._remember)
        add("GET", "/api/log", self._log)
        add("GET", "/api/rota", self._rota)
        self.mine.mount(app)
        add("POST", "/api/rota/{rest:.+}", self._remember)
        add("GET", "/api/phones{rest:.*}", self._phones)
        add("POST", "/api/phones{rest:.*}", self._phone_posted)
        add("GET", "/api/sessions/{id}/phone", self._session_phone)
        add("POST", "/api/sessions/{id}/ring", self._remember)
        add("POST", "/api/sessions", self._session_start)
        add("GET", "/api/sessions", self._sessions)
        add("GET", "/api/sessions/{id}", self._session)
        add("POST", "/api/sessions/{id}/{verb}", self._session_verb)
        add("GET", "/api/ws", self._socket)
        app.router.add_static("/static", pages.STATIC)
        return app

    async def _templates(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": [], "clocks_s": []})

    async def _diagnosis(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": self.cards})

    async def _incidents(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": self.incidents, "next": None})

    async def _incident(self, request: web.Request) -> web.Response:
        one = next(one for one in self.incidents if one["id"] == request.match_info["id"])
        return web.json_response({"incident": one, "alerts": list(self.alerts.values())})

    async def _incident_verb(self, request: web.Request) -> web.Response:
        one = next(one for one in self.incidents if one["id"] == request.match_info["id"])
        self.asked.append((request.match_info["verb"], one["id"], await request.json()))
        if request.match_info["verb"] != "split":
            self.incidents.remove(one)
        return web.json_response(one)

    def _who(self, request: web.Request) -> dict[str, Any] | None:
        return PEOPLE.get(request.cookies.get("dev_user", ""))

    async def _home(self, request: web.Request) -> web.Response:
        who = self._who(request)
        where = "/login" if who is None else "/dispatch" if who["role"] == "dispatcher" else "/supervisor"
        raise web.HTTPFound(where)

    async def _become(self, request: web.Request) -> web.Response:
        answer = web.HTTPFound(request.query.get("to", "/"))
        answer.set_cookie("dev_user", request.match_info["person"], httponly=True, samesite="Strict")
        raise answer

    async def _page(self, request: web.Request) -> web.Response:
        name = request.path.strip("/")
        who = self._who(request)
        me = None
        if who is not None:
            verbs = sorted(GRANTED[who["role"]])
            me = {**who, "login": who["user"], "sites": below(who["site"]), "verbs": verbs, "simulated": True}
        nonce = secrets.token_urlsafe(12)
        more: dict[str, Any] = {
            "error": {"status": 404, "text": text("no_such_room").model_dump()},
            "join": {"guest_name": "", "speaks": True},
            "guest": {
                "session": "s1",
                "speaks": False,
                "sites": [site_dict(row) for row in SITES if row[0] == "hongqi"],
            },
        }.get(name, {})
        config = {"simulated": True, "version": "0.1.0", "code": "abc", **more}
        config["accept_language"] = request.headers.get("Accept-Language", "")
        html = pages.render(name, nonce=nonce, language=request.query.get("lang"), me=me, config=config)
        policy = f"{pages.csp(nonce)}; report-uri /csp"
        return web.Response(text=html, content_type="text/html", headers={"Content-Security-Policy": policy})

    async def _csp(self, request: web.Request) -> web.Response:
        self.csp_reports.append(await request.text())
        return web.Response(status=204)

    async def _login(self, request: web.Request) -> web.Response:
        sent = await request.json()
        if sent.get("login") not in PEOPLE or sent.get("password") != self.password:
            words = {"zh": "用户名或密码不正确。", "en": "The user name or password is not correct."}
            body = {"status": 401, "error": "wrong_login", "text": words}
            return web.json_response(body, status=401, content_type="application/problem+json")
        answer = web.json_response(PEOPLE[sent["login"]])
        answer.set_cookie("dev_user", sent["login"], httponly=True)
        return answer

    async def _logout(self, _request: web.Request) -> web.Response:
        answer = web.Response(status=204)
        answer.del_cookie("dev_user")
        return answer

    async def _guest_token(self, request: web.Request) -> web.Response:
        return self._give_token(request, "session:s1")

    async def _token(self, request: web.Request) -> web.Response:
        return self._give_token(request, (await request.json())["room"])

    def _give_token(self, request: web.Request, room: str) -> web.Response:
        if self._who(request) is None or request.headers.get("X-Lamproom") != "1":
            raise web.HTTPUnauthorized
        token = secrets.token_urlsafe(8)
        self._tokens[token] = (room, request.cookies["dev_user"])
        answer = {"token": token, "room": room, "expires_at": time.time() + self.token_life_s, "grants": {}}
        return web.json_response(answer)

    async def _sites(self, request: web.Request) -> web.Response:
        who = self._who(request)
        seen = set(below(who["site"]) + above(who["site"])) if who else set()
        return web.json_response({"items": [site_dict(row) for row in SITES if row[0] in seen], "next": None})

    async def _readings(self, request: web.Request) -> web.Response:
        if "device" not in request.query:
            found = [one for device in DEVICES for one in readings_of(device)]
            return web.json_response({"items": found, "next": None})
        now = float(request.query.get("end", time.time()))
        seed = sum(map(ord, request.query["device"]))
        rows = [{"source_at": now - 900 + 5 * n, "value": wave(seed, now - 900 + 5 * n)} for n in range(180)]
        return web.json_response({"items": [row for n, row in enumerate(rows) if not 90 < n < 102], "next": None})

    async def _alerts(self, request: web.Request) -> web.Response:
        found = [
            one
            for one in sorted(self.alerts.values(), key=lambda one: -float(one["opened_at"]))
            if one["site"] in below(request.query["site"])
            and one["state"] == request.query.get("state", one["state"])
            and one["severity"] == request.query.get("severity", one["severity"])
            and not ("unreviewed" in request.query and one["id"] in self.reviewed)
        ]
        looked = [one["id"] for one in found if one["id"] in self.reviewed]
        return web.json_response({"items": found, "next": None, "reviewed": looked})

    async def _counts(self, _request: web.Request) -> web.Response:
        counts: dict[str, dict[str, int]] = {}
        for one in self.alerts.values():
            numbers = counts.setdefault(str(one["severity"]), {"all": 0, "new": 0, "open": 0})
            numbers["all"] += 1
            numbers["new"] += one["id"] not in self.reviewed
            numbers["open"] += one["state"] == "open"
        return web.json_response({"counts": counts})

    async def _reviewed(self, request: web.Request) -> web.Response:
        sent = await request.json()
        self.reviewed = self.reviewed | set(sent["alerts"]) if sent["reviewed"] else self.reviewed - set(sent["alerts"])
        return web.Response(status=204)

    async def _acknowledge_all(self, request: web.Request) -> web.Response:
        sent = (await request.json())["alerts"]
        for one in sent:
            await self._take(self.alerts[one], request, "")
        return web.json_response({"acknowledged": sent, "over": []})

    async def _alert(self, request: web.Request) -> web.Response:
        return web.json_response(self.alerts[request.match_info["id"]])

    async def _evidence(self, request: web.Request) -> web.Response:
        raw = io.BytesIO()
        Image.new("RGB", (64, 36), (30, 60, 20 * len(request.match_info["name"]))).save(raw, "JPEG")
        return web.Response(body=raw.getvalue(), content_type="image/jpeg")

    async def _acknowledge(self, request: web.Request) -> web.Response:
        alert = self.alerts[request.match_info["id"]]
        return await self._take(alert, request, (await request.json()).get("comment", ""))

    async def _take(self, alert: dict[str, Any], request: web.Request, comment: str) -> web.Response:
        who = self._who(request)
        assert who is not None
        taken = {"by": who["user"], "name": who["name"], "site": who["site"], "at": time.time(), "comment": comment}
        alert.update(state="acknowledged", acknowledged=taken)
        await self.tell(self.note_alert(alert["id"], "acknowledged"))
        return web.json_response(alert)

    async def _session_phone(self, _request: web.Request) -> web.Response:
        return web.json_response(self.phones.get("session", {"available": False, "pin": ""}))

    async def _phones(self, request: web.Request) -> web.Response:
        if request.path in self.phones:
            return web.json_response(self.phones[request.path])
        return web.json_response({"error": "phones_off", "text": {"zh": "未启用", "en": "off"}}, status=503)

    async def _phone_posted(self, request: web.Request) -> web.Response:
        self.posted.append((request.path, await request.json() if request.can_read_body else {}))
        answer = self.phones.get(f"POST {request.path}", {})
        return web.json_response(answer, status=201)

    async def _rota(self, _request: web.Request) -> web.Response:
        return web.json_response(self.rota)

    async def _handovers(self, _request: web.Request) -> web.Response:
        return web.json_response(self.handovers)

    async def _log(self, _request: web.Request) -> web.Response:
        body = {"from": {"name": "李"}, "text": "巡检"}
        item = {"seq": 1, "at": time.time(), "kind": "note", "body": body}
        return web.json_response({"items": [item], "before": None})

    async def _checks(self, _request: web.Request) -> web.Response:
        return web.json_response(self.checks)

    async def _remember(self, request: web.Request) -> web.Response:
        self.posted.append((request.path, await request.json()))
        return web.json_response({})

    async def _answer_challenge(self, request: web.Request) -> web.Response:
        self.answered.append(request.match_info["id"])
        return web.Response(status=204)

    async def _next(self, request: web.Request) -> web.Response:
        self.passed_on.append(request.match_info["id"])
        return web.Response(status=204)

    async def _close(self, request: web.Request) -> web.Response:
        alert = self.alerts[request.match_info["id"]]
        alert.update(state="closed", outcome=(await request.json())["outcome"])
        await self.tell(self.note_alert(alert["id"], "closed"))
        return web.json_response(alert)

    async def _wall(self, _request: web.Request) -> web.Response:
        return web.json_response(self.wall)

    async def _keep_wall(self, request: web.Request) -> web.Response:
        sent = KeepWall.model_validate(await request.json())
        if sent.version != self.wall["version"]:
            body = {"status": 409, "error": "stale", "text": {"zh": "已更改", "en": "Changed meanwhile"}}
            return web.json_response(body, status=409, content_type="application/problem+json")
        self.wall = {"value": sent.value.model_dump(mode="json"), "version": sent.version + 1}
        return web.json_response(self.wall)

    async def _keep_login(self, _request: web.Request) -> web.Response:
        self.kept_logins += 1
        return web.Response(status=204)

    def add_cameras(self, site: str, *names: str) -> None:
        """Cameras of a mine that publish nothing anybody could see here."""
        for name in names:
            facts = {"track": f"{site}-{name}/0", "client": f"{site}-{name}", "kind": "video", "source": "camera"}
            track = m.TrackNotice.model_validate(
                {**facts, "name": name, "codec": "H264", "site": site, "state": "live"}
            )
            self.tracks[f"site:{site}"].append(track)

    # --- consultations ---

    async def _sessions(self, request: web.Request) -> web.Response:
        found = [one for one in self.sessions.values() if one["site"] in below(request.query["site"])]
        return web.json_response({"items": found, "next": None})

    async def _session(self, request: web.Request) -> web.Response:
        return web.json_response(self.sessions[request.match_info["id"]])

    async def _recordings(self, _request: web.Request) -> web.Response:
        return web.json_response({"items": self.recordings})

    async def _timeline(self, request: web.Request) -> web.Response:
        entries = self.entries[request.match_info["room"]]
        found = [json.loads(one.model_dump_json()) for one in entries if one.seq > int(request.query.get("after", 0))]
        return web.json_response({"items": found, "next": None})

    async def _start_session(self, site: str, by: dict[str, Any], invite: list[str], alert: str | None) -> str:
        session = f"s{len(self.sessions) + 1}"
        now = time.time()
        levels = {row[0]: row[2] for row in SITES}
        invitations = {
            one: {"site": one, "level": levels[one], "state": "ringing", "invited_at": now, "invited_by": by["name"],
                  "changed_at": now, "answered_by": "", "answer_s": None}
            for one in invite
        }  # fmt: skip
        state = {
            "session": session, "site": site, "title": "红旗煤矿", "started_by": by["name"],
            "started_by_site": by["site"], "started_at": now, "alert": alert, "simulated": True, "ended_at": None,
            "ended_by": "", "invitations": invitations, "participants": {}, "orders": {}, "alerts": {}, "tracks": {},
            "room": f"session:{session}", "open": True,
        }  # fmt: skip
        self.sessions[session] = state
        await self._tell_session(state, "started", by=by["name"], by_site=by["site"])
        for one in invitations.values():
            await self._tell_session(state, "ringing", invitation=one)
        return session

    async def _tell_session(self, state: dict[str, Any], change: str, **more: object) -> None:
        facts = {key: state[key] for key in ("session", "room", "site", "title", "alert")}
        body = {**facts, "change": change, "simulated": True, **more}
        sites = {state["site"], state["started_by_site"], *state["invitations"]}
        rooms = [state["room"], *(f"site:{site}" for site in sorted(sites))]
        await self.tell([self.note(room, "session", body) for room in rooms])

    async def _session_start(self, request: web.Request) -> web.Response:
        who = self._who(request)
        sent = await request.json()
        assert who is not None
        levels = {row[0]: row[2] for row in SITES}
        wanted = [one for one in above(sent["site"]) if levels[one] in sent["levels"] or one == sent["site"]]
        invite = [one for one in wanted if one != who["site"]]
        session = await self._start_session(sent["site"], who, invite, sent.get("alert"))
        return web.json_response(self.sessions[session], status=201)

    async def _session_verb(self, request: web.Request) -> web.Response:
        who = self._who(request)
        state = self.sessions[request.match_info["id"]]
        verb = request.match_info["verb"]
        assert who is not None
        if verb == "end":
            state.update(ended_at=time.time(), ended_by=who["name"], open=False)
            await self._tell_session(state, "ended", by=who["name"], by_site=who["site"])
        elif who["site"] in state["invitations"]:
            ring = state["invitations"][who["site"]]
            change = {"answer": "answered", "decline": "declined"}[verb]
            ring.update(state=change, answered_by=who["name"], answer_s=4.2, changed_at=time.time())
            await self._tell_session(state, change, invitation=ring)
        return web.json_response(state)

    # --- the room protocol ---

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        hello = m.REQUESTS.validate_json(await socket.receive_str())
        assert isinstance(hello, m.Hello)
        self.heard.append(json.loads(hello.model_dump_json()))
        _, name = self._tokens[hello.joins[0].token]
        resumed = hello.client is not None and self._clients.get(hello.client) == hello.key
        client = hello.client if resumed and hello.client else f"c{secrets.token_hex(4)}"
        key = secrets.token_urlsafe(8)
        self._clients[client] = key
        one = Socket(socket, m.Person(**PEOPLE[name]), client)
        self.sockets.append(one)
        welcome = m.Welcome(
            client=client, key=key, resumed=resumed, you=one.person, heartbeat_s=self.heartbeat_s, resume_s=30,
            simulated=True,
        )  # fmt: skip
        await one.send(welcome)
        try:
            for join in hello.joins:
                await self._join(one, join)
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(one, m.REQUESTS.validate_json(message.data))
        finally:
            self.sockets.remove(one)
        return socket

    async def _join(self, one: Socket, join: m.Join) -> None:
        room, _ = self._tokens[join.token]
        entries = self.entries[room]
        seq = entries[-1].seq if entries else 0
        one.rooms.add(room)
        facts: dict[str, Any] = {"id": join.id, "room": room, "epoch": self.epoch, "seq": seq, "grants": {}}
        facts["expires_at"] = time.time() + self.token_life_s
        if join.since is not None and join.epoch == self.epoch and join.since <= seq:
            missed = tuple(entry for entry in entries if entry.seq > join.since)
            await one.send(m.Joined(**facts, events=missed))
        else:
            await one.send(m.Joined(**facts, snapshot=self._snapshot(room)))
        await self.roster(room)

    def _snapshot(self, room: str) -> m.Snapshot:
        kind, _, name = room.partition(":")
        site = name if kind == "site" else str(self.sessions[name]["site"])
        seen = below(site)
        standing = [a for a in self.alerts.values() if a["site"] in seen and a["state"] in ("open", "acknowledged")]
        sessions = list(self.sessions.values()) if kind == "site" else [self.sessions[name]]
        mine = site == "hongqi"
        return m.Snapshot(
            members=self._members(room),
            tracks=tuple(self.tracks[room]),
            alerts=tuple(standing),
            sessions=tuple(s for s in sessions if not s["ended_at"]),
            duty=tuple(one for one in self.duty if one["site"] in seen),
            readings=tuple(reading for device in DEVICES for reading in readings_of(device)) if mine else (),
            positions=tuple(positions()) if mine else (),
            recent=tuple(self.entries[room][-100:]),
        )

    def _members(self, room: str) -> tuple[m.Member, ...]:
        own = [m.Member(client=s.client, person=s.person, since=0) for s in self.sockets if room in s.rooms]
        return (*own, *self.guests[room])

    async def roster(self, room: str) -> None:
        roster = m.Roster(room=room, members=self._members(room), tracks=tuple(self.tracks[room]))
        for one in list(self.sockets):
            if room in one.rooms:
                await one.send(roster)

    async def _answer(self, one: Socket, request: m.AnyRequest) -> None:
        self.heard.append(json.loads(request.model_dump_json()))
        match request:
            case m.Ping(t=t):
                await one.send(m.Pong(t=t, at=time.time()))
            case m.Join():
                await self._join(one, request)
            case m.Leave(room=room):
                one.rooms.discard(room)
            case m.Refresh(id=id_):
                await one.send(m.Done(id=id_))
            case m.Chat(id=id_, room=room, text=words):
                await self.tell([self.note(room, "chat", {"from": one.person.model_dump(), "text": words})])
                await one.send(m.Done(id=id_))
            case m.GiveOrder() | m.AnswerOrder():
                await self._order(one, request)
            case m.Watch(id=id_, tracks=tracks):
                refused = dict.fromkeys(tracks, text("media_down"))
                await one.send(m.Watched(id=id_, refused=refused))
            case m.Publish(id=id_):
                await one.send(m.Problem(id=id_, error="media_down", text=text("media_down")))
            case _:
                pass

    async def _order(self, one: Socket, request: m.GiveOrder | m.AnswerOrder) -> None:
        orders = self.sessions[request.room.partition(":")[2]]["orders"]
        if isinstance(request, m.GiveOrder):
            body = {
                "order": f"o{len(orders) + 1}", "to_site": request.to_site, "text": request.text, "state": "given",
                "given_by": one.person.name, "given_at": time.time(), "confirmed_by": "", "confirmed_at": None,
                "done_by": "", "done_at": None,
            }  # fmt: skip
        else:
            body = {**orders[request.order], "state": request.state, f"{request.state}_by": one.person.name}
        orders[body["order"]] = body
        await self.tell([self.note(request.room, "order", {**body, "change": body["state"]})])
        await one.send(m.Done(id=request.id))

    async def live(self) -> None:
        """A reading of each device every second, for a page that somebody looks at."""
        while True:
            await asyncio.sleep(1)
            for device in DEVICES:
                for body in readings_of(device):
                    key = f"{device}/{body['quantity']}"
                    message = m.Live(room="site:hongqi", kind="reading", key=key, body=body)
                    for one in list(self.sockets):
                        if message.room in one.rooms:
                            await one.send(message)


def wave(seed: int, at: float) -> float:
    """Something like a current, different for each device and the same each time."""
    phase = (at * (1 + seed % 7) / 90) % 2
    return round(40 + seed % 60 + 8 * abs(phase - 1) + (at * 7919 % 3), 1)


def readings_of(device: str) -> list[dict[str, object]]:
    now = time.time()
    current = wave(sum(map(ord, device)), now)
    old = 95 if device == "pump-1" else 1
    facts = {"site": "hongqi", "device": device, "source_at": now - old, "quality": "good", "simulated": True}
    return [
        {**facts, "quantity": "current_a", "value": current, "unit": "A"},
        {**facts, "quantity": "active_power", "value": round(current * 0.62, 1), "unit": "kW"},
    ]


def positions() -> list[dict[str, object]]:
    now = time.time()
    people = [(f"p{n:02}", "person", ZONES[n * n % len(ZONES)]) for n in range(36)]
    cars = [(f"v{n}", "vehicle", "main-road") for n in range(4)]
    return [
        {"site": "hongqi", "tag": tag, "kind": kind, "zone": zone, "x_m": 0, "y_m": 0, "z_m": 0, "label": "",
         "source_at": now - (190 if tag in ("p07", "p11") else 2), "simulated": True}
        for tag, kind, zone in (*people, *cars)
    ]  # fmt: skip


async def main(port: int) -> None:
    server = DevServer()
    runner = web.AppRunner(server.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await server.live()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=8080)
    asyncio.run(main(arguments.parse_args().port))
