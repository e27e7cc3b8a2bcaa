"""What people said about alerts of what was seen: how often they were right, by camera, and where they were not.

The ZIP file of false alarms is for whoever trains the next model: hard negatives of this very site.
"""

import json
import time
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Annotated

from aiohttp import web
from pydantic import Field

from config.settings import AnalyticsSettings
from server.alerts import rows
from server.alerts.machine import OUTCOMES, Alert, State
from server.api.context import Context
from server.api.http import Output, Query, Routes, query, require
from server.api.report import send_folder
from server.report import case
from server.store import audit
from server.store.pictures import open_picture
from server.store.tables import alerts

routes = Routes()

RULES = ("absence", "sleeping", "video_over_quota", "video_intrusion", "belt_disagrees")
"""Of alerts that are made of what is seen."""
MAX_ALERTS = 5000
MAX_FALSE = 500
DAY_S = 86400.0


class LearningQuery(Query):
    site: Annotated[str, Field(min_length=1, max_length=63)]
    days: Annotated[int, Field(ge=1, le=3650)] = 90


class CameraFigures(Output):
    site: str
    camera: str
    rule: str
    closed: int
    """Alerts that somebody ended with an outcome."""
    confirmed: int
    false_alarms: int
    explained: int
    precision: float | None
    """Confirmed and explained, of all three; null while nothing was said."""
    reasons: dict[str, int]
    """What people gave as the reason of false alarms."""


class LearningPage(Output):
    items: tuple[CameraFigures, ...]


@routes.route(
    "GET", "/api/vision/precision", access="read", summary="How often alerts of each camera were right",
    query=LearningQuery, ok=LearningPage, errors=("not_found",),
)  # fmt: skip
async def precision(context: Context, request: web.Request, _body: None) -> LearningPage:
    """Of the site and all below it; simulated alerts are left out."""
    wish = query(request, LearningQuery)
    require(context, request, "read", wish.site)
    cameras = cameras_of(context.settings.analytics)
    figures: dict[tuple[str, str, str], list[Alert]] = {}
    for alert in await _closed(context, wish, MAX_ALERTS):
        if not alert.simulated:
            key = (alert.site, cameras.get((alert.site, alert.subject), alert.subject), alert.rule)
            figures.setdefault(key, []).append(alert)
    return LearningPage(items=tuple(_figures(*key, found) for key, found in sorted(figures.items())))


@routes.route(
    "GET", "/api/vision/negatives", access="configure", summary="Pictures of false alarms, with labels, as a ZIP file",
    query=LearningQuery, ok=web.StreamResponse, content="application/zip", errors=("not_found",),
)  # fmt: skip
async def negatives(context: Context, request: web.Request, _body: None) -> web.StreamResponse:
    """The newest 500 false alarms; who took them stands in the audit."""
    wish = query(request, LearningQuery)
    who = require(context, request, "configure", wish.site)
    found = [one for one in await _closed(context, wish, MAX_ALERTS) if one.outcome == "false_alarm"][:MAX_FALSE]
    async with context.database.transaction() as connection:
        await audit.append(
            connection, at=time.time(), actor=f"user:{who.user.user}", action="vision.negatives",
            object=f"site:{wish.site}", site=wish.site, detail={"alerts": len(found)},
        )  # fmt: skip
    facts: dict[str, object] = {"site": wish.site, "alerts": len(found), "by": who.user.user}
    return await send_folder(request, f"false-alarms-{wish.site}.zip", _items(context, found), facts)


async def _closed(context: Context, wish: LearningQuery, limit: int) -> list[Alert]:
    sites = [wish.site, *context.tree.descendants(wish.site)]
    conditions = (
        alerts.c.site.in_(sites), alerts.c.rule.in_(RULES), alerts.c.state == State.CLOSED.value,
        alerts.c.outcome.is_not(None), alerts.c.opened_at >= time.time() - wish.days * DAY_S,
    )  # fmt: skip
    async with context.database.reading() as connection:
        return await rows.page(connection, *conditions, after=None, limit=limit)


async def _items(context: Context, found: list[Alert]) -> AsyncGenerator[case.Item, None]:
    cameras = cameras_of(context.settings.analytics)
    labels = [_label(alert, cameras) for alert in found]
    text = json.dumps(labels, ensure_ascii=False, indent=1)
    yield case.Item("labels.json", time.time(), partial(case.text, text))
    for alert in found:
        for one in alert.evidence:
            path = open_picture(context.settings.server.data_dir, alert.id, one.name)
            yield case.Item(_name(alert, one.name), one.at, partial(case.picture, path), one.sha256)


def _label(alert: Alert, cameras: Mapping[tuple[str, str], str]) -> dict[str, object]:
    """What is known of the pictures of a false alarm."""
    return {
        "alert": alert.id, "site": alert.site, "camera": cameras.get((alert.site, alert.subject), alert.subject),
        "rule": alert.rule, "subject": alert.subject, "label": "false_alarm",
        "reason": alert.closed.reason if alert.closed else "", "comment": alert.closed.comment if alert.closed else "",
        "opened_at": alert.opened_at, "simulated": alert.simulated, "explain": dict(alert.explain or {}),
        "pictures": [
            {"file": _name(alert, one.name), "width": one.width, "height": one.height, "at": one.at}
            for one in alert.evidence
        ],
    }  # fmt: skip


def _name(alert: Alert, picture: str) -> str:
    return f"pictures/{alert.id}-{picture}.jpg"


def _figures(site: str, camera: str, rule: str, found: list[Alert]) -> CameraFigures:
    said = {outcome: sum(one.outcome == outcome for one in found) for outcome in OUTCOMES}
    reasons: dict[str, int] = {}
    for one in found:
        if one.outcome == "false_alarm" and one.closed is not None:
            reasons[one.closed.reason] = reasons.get(one.closed.reason, 0) + 1
    right = said["confirmed"] + said["explained"]
    return CameraFigures(
        site=site, camera=camera, rule=rule, closed=len(found), confirmed=said["confirmed"],
        false_alarms=said["false_alarm"], explained=said["explained"],
        precision=right / (right + said["false_alarm"]) if found else None, reasons=reasons,
    )  # fmt: skip


def cameras_of(settings: AnalyticsSettings) -> dict[tuple[str, str], str]:
    """Site and post or spot → its camera."""
    posts = {(one.site, one.post): one.camera for one in settings.posts}
    return posts | {(one.site, one.spot): one.camera for one in settings.spots}
