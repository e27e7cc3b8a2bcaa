"""Who may use which route. The table is written by hand: a new route is refused here until it has a line."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from config.settings import IngestSettings
from server.api.audit import AuditDoor
from server.api.cameras import CameraDoor
from server.api.camerasetup import CameraSetupDoor
from server.api.checks import CheckDoor
from server.api.consultation import ConsultationDoor
from server.api.context import Context
from server.api.drills import DrillDoor
from server.api.duty import DutyDoor
from server.api.handovers import HandoverDoor
from server.api.hazards import HazardDoor
from server.api.http import Access, Route, Routes
from server.api.incidents import IncidentDoor
from server.api.muster import MusterDoor
from server.api.onvif import OnvifDoor
from server.api.openapi import document
from server.api.phones import PhoneDoor
from server.api.plan import PlanDoor
from server.api.registry import RegistryDoor
from server.api.report import ReportDoor
from server.api.rota import RotaDoor
from server.api.rules import RulesDoor
from server.api.sessions import SessionDoor
from server.api.settings import SettingsDoor
from server.api.sources import SourceDoor
from server.api.spots import SpotDoor
from server.api.system import SystemDoor
from server.api.uplinks import UplinkDoor
from server.api.whip import WhipDoor
from server.identity.roles import ROLES, WITHOUT_LOGIN, Role
from tests.fakes.serving import ROUTES, Served, serve

PEOPLE = "admin supervisor dispatcher engineer viewer"
ANYBODY = "anonymous admin supervisor dispatcher engineer viewer device"
TOKEN = "device"
"""Only a room token opens it; here a device's. (People have room tokens too: `test_room_token_...`)"""

ALLOWED: dict[str, str] = {
    "POST /api/login": ANYBODY,
    "DELETE /api/login": PEOPLE,
    "POST /api/login/keep": PEOPLE,
    "POST /api/links/redeem": ANYBODY,
    "GET /api/me": PEOPLE,
    "GET /api/me/wall": PEOPLE,
    "PUT /api/me/wall": PEOPLE,
    "PUT /api/me/password": PEOPLE,
    "POST /api/token": PEOPLE,
    "POST /api/devices/token": "admin engineer",
    "POST /api/devices/revoke": "admin engineer",
    "GET /api/sites": PEOPLE,
    "GET /api/cameras": PEOPLE,
    "GET /api/cameras/diagnosis": PEOPLE,
    "GET /api/cameras/reference": PEOPLE,
    "GET /api/spots": PEOPLE,
    "GET /api/vision/precision": PEOPLE,
    "GET /api/vision/negatives": "admin engineer",
    "POST /api/cameras/reference": "admin engineer",
    "POST /api/cameras/discover": "admin engineer",
    "POST /api/cameras/probe": "admin engineer",
    "GET /api/posts": PEOPLE,
    "GET /api/alerts": PEOPLE,
    "GET /api/alerts/counts": PEOPLE,
    "POST /api/alerts/reviewed": PEOPLE,
    "POST /api/alerts/ack": "admin supervisor dispatcher",
    "GET /api/alerts/{id}": PEOPLE,
    "POST /api/alerts/{id}/ack": "admin supervisor dispatcher",
    "POST /api/alerts/{id}/close": "admin supervisor",
    "GET /api/alerts/{id}/evidence/{name}": PEOPLE,
    "POST /api/alerts/{id}/next": "admin supervisor dispatcher",
    "GET /api/escalations": PEOPLE,
    "POST /api/challenges/{id}/answer": "admin supervisor dispatcher",
    "GET /api/checks": PEOPLE,
    "POST /api/checks": "admin supervisor",
    "POST /api/checks/{id}/answer": "admin supervisor dispatcher",
    "POST /api/checks/{id}/confirm": "admin supervisor",
    "GET /api/checks/{id}/picture": PEOPLE,
    "GET /api/drills": PEOPLE,
    "POST /api/drills": "admin supervisor dispatcher",
    "POST /api/drills/{id}/end": "admin supervisor dispatcher",
    "GET /api/hazards": PEOPLE,
    "POST /api/hazards": "admin supervisor",
    "POST /api/hazards/pictures": "admin supervisor dispatcher",
    "GET /api/hazards/{id}": PEOPLE,
    "GET /api/hazards/{id}/pictures/{name}": PEOPLE,
    "POST /api/hazards/{id}/reply": "admin supervisor dispatcher",
    "POST /api/hazards/{id}/ask": "admin supervisor dispatcher",
    "POST /api/hazards/{id}/close": "admin supervisor",
    "POST /api/hazards/{id}/return": "admin supervisor",
    "POST /api/hazards/{id}/decide": "admin supervisor",
    "POST /api/hazards/{id}/extend": "admin supervisor",
    "POST /api/hazards/{id}/withdraw": "admin supervisor",
    "GET /api/handovers": PEOPLE,
    "POST /api/handovers": "admin supervisor dispatcher",
    "POST /api/handovers/{id}/sign": "admin supervisor dispatcher",
    "GET /api/log": PEOPLE,
    "POST /api/log": "admin supervisor dispatcher",
    "GET /api/rota": PEOPLE,
    "POST /api/rota/people": "admin supervisor dispatcher",
    "PATCH /api/rota/people/{id}": "admin supervisor dispatcher",
    "POST /api/rota/people/{id}/tested": "admin supervisor dispatcher",
    "POST /api/rota/plans": "admin supervisor dispatcher",
    "DELETE /api/rota/plans/{id}": "admin supervisor dispatcher",
    "POST /api/rota/overrides": "admin supervisor dispatcher",
    "DELETE /api/rota/overrides/{id}": "admin supervisor dispatcher",
    "POST /api/rota/drill": "admin supervisor dispatcher",
    "GET /api/recordings": PEOPLE,
    "GET /api/recordings/{id}/segments/{n}": PEOPLE,
    "GET /api/sessions/{session}/export": PEOPLE,
    "POST /api/sessions": "admin supervisor dispatcher",
    "GET /api/sessions/{session}": PEOPLE,
    "POST /api/sessions/{session}/answer": "admin supervisor dispatcher",
    "POST /api/sessions/{session}/decline": "admin supervisor dispatcher",
    "POST /api/sessions/{session}/end": "admin supervisor dispatcher",
    "POST /api/sessions/{session}/invite": "admin supervisor dispatcher",
    "GET /api/sessions": PEOPLE,
    "GET /api/sessions/{session}/report": PEOPLE,
    "GET /api/sessions/{session}/case": PEOPLE,
    "POST /api/sessions/{session}/hold": "admin",
    "POST /api/sessions/{session}/merge": "admin supervisor dispatcher",
    "POST /api/sessions/{session}/summary": "admin supervisor dispatcher",
    "GET /api/sessions/{session}/guests": "admin supervisor dispatcher",
    "POST /api/sessions/{session}/guests": "admin supervisor dispatcher",
    "POST /api/sessions/{session}/guests/{guest}/revoke": "admin supervisor dispatcher",
    "POST /api/guest/token": ANYBODY,  # the handler asks for the guest's own cookie: test_consultation.py
    "GET /api/consultation/templates": PEOPLE,
    "GET /api/rooms/{room}/timeline": PEOPLE,
    "GET /api/readings": PEOPLE,
    "GET /api/positions": PEOPLE,
    "GET /api/readings/minutes": PEOPLE,
    "GET /api/musters": PEOPLE,
    "POST /api/musters": "admin supervisor dispatcher",
    "GET /api/musters/{id}": PEOPLE,
    "GET /api/musters/{id}/people": PEOPLE,  # names need more: test_muster.py
    "POST /api/musters/{id}/people/{card}": "admin supervisor dispatcher",
    "POST /api/musters/{id}/end": "admin supervisor dispatcher",
    "GET /api/musters/{id}/lists/{n}": PEOPLE,
    "POST /api/musters/{id}/lists/{n}/sign": "admin supervisor dispatcher",
    "GET /api/plan": PEOPLE,
    "GET /api/plan/tags": PEOPLE,
    "GET /api/tracks": PEOPLE,
    "GET /api/registry": PEOPLE,
    "GET /api/registry/changes": PEOPLE,
    "GET /api/registry/forms": PEOPLE,
    "GET /api/registry/export": PEOPLE,  # people's names need more: test_registry.py
    "POST /api/registry/import": "admin engineer",
    "GET /api/registry/{kind}": PEOPLE,
    "PUT /api/registry/{kind}/{id}": "admin engineer",
    "DELETE /api/registry/{kind}/{id}": "admin engineer",
    "GET /api/registry/{kind}/{id}/history": PEOPLE,
    "POST /api/registry/people/{id}/unmask": "admin supervisor dispatcher",
    "GET /api/registry/plans/{id}/picture": PEOPLE,
    "PUT /api/registry/plans/{id}/picture": "admin engineer",
    "GET /api/incidents": PEOPLE,
    "GET /api/incidents/{id}": PEOPLE,
    "POST /api/incidents/{id}/merge": "admin supervisor dispatcher",
    "POST /api/incidents/{id}/split": "admin supervisor dispatcher",
    "POST /api/incidents/{id}/close": "admin supervisor",
    "GET /api/sources": "admin engineer",
    "POST /api/push/{site}/omlox": ANYBODY,  # the handler asks for the key of a sender: test_sources.py
    "POST /api/push/{site}/{kind}/{device}": ANYBODY,
    "GET /api/uplinks": PEOPLE,
    "GET /api/quality": PEOPLE,
    "GET /api/rules": PEOPLE,
    "PUT /api/rules": "admin engineer",
    "GET /api/users": "admin",
    "POST /api/users": "admin",
    "PATCH /api/users/{id}": "admin",
    "POST /api/users/{id}/password": "admin",
    "GET /api/users/{id}/logins": "admin",
    "POST /api/users/{id}/logins/{login}/revoke": "admin",
    "GET /api/roles": PEOPLE,
    "GET /api/audit": "admin",
    "POST /api/cameras/look": "admin engineer",
    "GET /api/cameras/settings": "admin engineer",
    "POST /api/cameras/settings": "admin engineer",
    "DELETE /api/cameras/settings/{site}/{name}": "admin engineer",
    "GET /api/settings": "admin",
    "POST /api/settings": "admin",
    "POST /api/settings/try": "admin",
    "GET /api/system": "admin engineer",
    "GET /api/system/findings": "admin engineer",
    "GET /api/system/bundle": "admin engineer",
    "GET /api/audit/kinds": "admin",
    "GET /api/audit/export": "admin",
    "GET /api/audit/check": "admin",
    "POST /api/audit/check": "admin",
    "POST /api/users/{id}/revoke": "admin",
    "POST /api/links": "admin",
    "GET /api/phones": "admin engineer",
    "POST /api/phones": "admin engineer",
    "PATCH /api/phones/{phone}": "admin engineer",
    "POST /api/phones/{phone}/secret": "admin engineer",
    "DELETE /api/phones/{phone}": "admin engineer",
    "GET /api/phones/trunks": "admin engineer",
    "GET /api/phones/calls": PEOPLE,
    "GET /api/phones/records": "admin engineer",
    "GET /api/phones/calls/{call}/trace": "admin engineer",
    "POST /api/phones/calls/{call}/hangup": "admin supervisor",
    "POST /api/phones/calls/{call}/hold": "admin supervisor",
    "POST /api/phones/calls/{call}/transfer": "admin supervisor",
    "POST /api/phones/calls/{call}/picture": "admin supervisor",
    "GET /api/phones/refused": "admin engineer",
    "DELETE /api/phones/bans/{address}": "admin engineer",
    "POST /api/phones/explain": "admin engineer",
    "GET /api/sessions/{session}/phone": PEOPLE,
    "POST /api/sessions/{session}/ring": "admin supervisor dispatcher",
    "POST /whip/{room}/{name}": TOKEN,
    "OPTIONS /whip/{room}/{name}": ANYBODY,
    "PATCH /whip-session/{session}": TOKEN,
    "DELETE /whip-session/{session}": TOKEN,
    "POST /whep/{room}/{site}/{name}": TOKEN,
    "OPTIONS /whep/{room}/{site}/{name}": ANYBODY,
    "PATCH /whep-session/{session}": TOKEN,
    "DELETE /whep-session/{session}": TOKEN,
    "GET /metrics": ANYBODY,  # the handler lets in this machine and engineers only: test_health.py
    "GET /-/healthy": ANYBODY,
    "GET /-/ready": ANYBODY,
    "GET /healthz": ANYBODY,
}

NOTHING = object()
SESSIONS = SessionDoor(NOTHING, NOTHING, NOTHING)  # type: ignore[arg-type]
DECLARED = Routes.of(
    ROUTES,
    SESSIONS.routes(),
    ConsultationDoor(NOTHING, NOTHING, SESSIONS).routes(),  # type: ignore[arg-type]
    ReportDoor(NOTHING, SESSIONS).routes(),  # type: ignore[arg-type]
    WhipDoor(NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    PhoneDoor(None).routes(),
    SpotDoor(NOTHING).routes(),  # type: ignore[arg-type]
    RegistryDoor(NOTHING).routes(),  # type: ignore[arg-type]
    RulesDoor(NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    IncidentDoor(NOTHING).routes(),  # type: ignore[arg-type]
    UplinkDoor(NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    SourceDoor(NOTHING, (), ()).routes(),  # type: ignore[arg-type]
    DutyDoor(NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    PlanDoor(NOTHING, NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    CameraDoor(NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    OnvifDoor(IngestSettings()).routes(),
    RotaDoor(NOTHING).routes(),  # type: ignore[arg-type]
    CheckDoor(NOTHING).routes(),  # type: ignore[arg-type]
    HandoverDoor(NOTHING).routes(),  # type: ignore[arg-type]
    DrillDoor(NOTHING).routes(),  # type: ignore[arg-type]
    HazardDoor(NOTHING, NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    MusterDoor(NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
    AuditDoor(NOTHING).routes(),  # type: ignore[arg-type]
    SystemDoor(NOTHING).routes(),  # type: ignore[arg-type]
    SettingsDoor(NOTHING).routes(),  # type: ignore[arg-type]
    CameraSetupDoor(NOTHING, NOTHING, NOTHING).routes(),  # type: ignore[arg-type]
)


OPEN_TO_CHANGE = {
    "POST /api/login",
    "POST /api/links/redeem",
    "POST /api/guest/token",
    "POST /api/push/{site}/omlox",
    "POST /api/push/{site}/{kind}/{device}",
}


def key(route: Route) -> str:
    return f"{route.method} {route.path}"


async def reached(_context: Context, _request: web.Request, _body: None) -> None:
    """Stands in for every handler: the frame let the request through."""


def bare(route: Route) -> Route:
    """The route under another path, with its access and nothing else."""
    return replace(
        route, path=f"/api/bare{route.path}", handler=reached, body=None, query=None, ok=None, adapter=None, status=204
    )


def bare_routes() -> Routes:
    routes = Routes()
    for route in DECLARED:
        routes.add(bare(route))
    return routes


def test_table_names_every_route_and_no_other() -> None:
    assert {key(route) for route in DECLARED} == set(ALLOWED)


def test_all_routes_together_can_be_described() -> None:
    assert len(document(DECLARED, "0")["paths"]) > 50


@pytest.mark.parametrize("route", list(DECLARED), ids=key)
def test_nothing_that_changes_is_open_by_accident(route: Route) -> None:
    if route.access is None and route.method not in ("GET", "OPTIONS"):
        assert key(route) in OPEN_TO_CHANGE


async def _visit(session: ClientSession, route: Route) -> int:
    path = re.sub(r"\{\w+\}", "x", bare(route).path)
    async with session.request(route.method, path) as response:
        return response.status


def expected(route: Route, who: str) -> int:
    if who in ALLOWED[key(route)].split():
        return 204
    return 401 if who in ("anonymous", "device") or route.access == "room_token" else 403


async def check_all(served: Served, session: ClientSession, who: str) -> None:
    wrong = {}
    for route in DECLARED:
        status = await _visit(session, route)
        if status != expected(route, who):
            wrong[key(route)] = (status, expected(route, who))
    assert not wrong, f"{who}: (got, expected) {wrong}"


@pytest.fixture
async def served(tmp_path: Path):  # type: ignore[no-untyped-def]
    async with serve(tmp_path, further=bare_routes()) as one:
        yield one


@pytest.mark.parametrize("role", [role for role in ROLES if role not in WITHOUT_LOGIN])
async def test_role_reaches_exactly_its_routes(served: Served, role: Role) -> None:
    await served.add_user("somebody", role, "mine-a")
    async with served.browser("somebody") as session:
        await check_all(served, session, role)


async def test_nobody_reaches_only_what_is_public(served: Served) -> None:
    async with served.browser() as session:
        await check_all(served, session, "anonymous")


async def test_device_reaches_only_whip(served: Served) -> None:
    token = served.context.identity.issue_device("site:mine-a", "gate").token
    async with ClientSession(served.url, headers={"Authorization": f"Bearer {token}"}) as session:
        await check_all(served, session, "device")


async def test_room_token_of_a_person_opens_whip_and_no_other_route(served: Served) -> None:
    user = await served.add_user("wang", "admin", "nation")
    token = (await served.context.identity.issue(user, "site:nation")).token
    async with ClientSession(served.url, headers={"Authorization": f"Bearer {token}"}) as session:
        for route in DECLARED:
            open_to_it: tuple[Access, ...] = (None, "room_token")
            assert await _visit(session, route) == (204 if route.access in open_to_it else 401), key(route)


async def test_log_in_opens_no_route_for_room_tokens(served: Served) -> None:
    await served.add_user("wang", "admin", "nation")
    async with served.browser("wang") as session:
        for route in DECLARED:
            if route.access == "room_token":
                assert await _visit(session, route) == 401


async def test_disabled_user_reaches_nothing(served: Served) -> None:
    await served.add_user("other", "admin", "nation")  # the last one cannot be disabled
    user = await served.add_user("wang", "admin", "nation")
    async with served.browser("wang") as session:
        await served.context.identity.disable(user.user)
        for route in DECLARED:
            if route.access not in (None, "room_token"):
                assert await _visit(session, route) == 401
