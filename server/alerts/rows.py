"""Alerts as rows, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.alerts.machine import STANDING, Acknowledgement, Alert, Closing, Evidence, State
from server.store.tables import alert_evidence, alerts

AnyRow = Row[tuple[Any, ...]]


def _values(alert: Alert) -> dict[str, object]:
    return {
        "alert": alert.id,
        "site": alert.site,
        "key": alert.key,
        "rule": alert.rule,
        "subject": alert.subject,
        "severity": alert.severity,
        "state": alert.state.value,
        "title_zh": alert.title_zh,
        "title_en": alert.title_en,
        "opened_at": alert.opened_at,
        "at": alert.at,
        "acknowledged": asdict(alert.acknowledged) if alert.acknowledged else None,
        "cleared_at": alert.cleared_at,
        "duration_s": alert.duration_s,
        "occurrences": alert.occurrences,
        "no_data": alert.no_data,
        "explain": dict(alert.explain or {}),
        "outcome": alert.outcome,
        "closed": asdict(alert.closed) if alert.closed else None,
        "simulated": alert.simulated,
    }


def _alert(row: Mapping[str, Any], evidence: Sequence[Evidence]) -> Alert:
    known = {key: value for key, value in row.items() if key != "alert"}
    known["state"] = State(known["state"])
    known["acknowledged"] = Acknowledgement(**known["acknowledged"]) if known["acknowledged"] else None
    known["closed"] = Closing(**known["closed"]) if known["closed"] else None
    return Alert(id=row["alert"], evidence=tuple(evidence), **known)


async def _with_evidence(connection: AsyncConnection, rows: Sequence[AnyRow]) -> list[Alert]:
    if not rows:
        return []
    wanted = [row.alert for row in rows]
    pictures: dict[str, list[Evidence]] = {}
    query = select(alert_evidence).where(alert_evidence.c.alert.in_(wanted))
    for row in await connection.execute(query.order_by(alert_evidence.c.at, alert_evidence.c.name)):
        one = Evidence(row.name, row.path, row.sha256, row.width, row.height, row.at)
        pictures.setdefault(row.alert, []).append(one)
    return [_alert(row._asdict(), pictures.get(row.alert, ())) for row in rows]


async def add(connection: AsyncConnection, alert: Alert) -> None:
    await connection.execute(insert(alerts).values(_values(alert)))


async def save(connection: AsyncConnection, alert: Alert) -> None:
    await connection.execute(alerts.update().where(alerts.c.alert == alert.id).values(_values(alert)))


async def add_evidence(connection: AsyncConnection, alert: str, picture: Evidence) -> None:
    await connection.execute(insert(alert_evidence).values(alert=alert, **asdict(picture)))


async def get(connection: AsyncConnection, alert: str) -> Alert | None:
    rows = (await connection.execute(select(alerts).where(alerts.c.alert == alert))).all()
    found = await _with_evidence(connection, rows)
    return found[0] if found else None


async def standing(connection: AsyncConnection, key: str) -> Alert | None:
    """The one alert that stands for this key."""
    query = select(alerts).where(alerts.c.key == key, alerts.c.state.in_(STANDING))
    found = await _with_evidence(connection, (await connection.execute(query)).all())
    return found[0] if found else None


async def page(
    connection: AsyncConnection, *conditions: ColumnElement[bool], after: str | None, limit: int | None
) -> list[Alert]:
    """Newest first; `after` is the id of the last one seen."""
    query = select(alerts).where(*conditions).order_by(alerts.c.alert.desc())
    if after is not None:
        query = query.where(alerts.c.alert < after)
    if limit is not None:
        query = query.limit(limit)
    return await _with_evidence(connection, (await connection.execute(query)).all())
