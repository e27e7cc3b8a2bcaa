"""Incidents at work. An alert that was raised is put into an incident, opens one, or waits for others.

Alerts come by `changed`, after they are on disk; each change of an incident is one transaction with its entry in the
timelines of the mine and of every authority above, and an audit row. After a start the standing alerts that are in no
incident are looked at again in their order: a crash between the two loses nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import structlog
from sqlalchemy import ColumnElement, Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.finding import Severity
from analytics.mine import MineFacts
from analytics.rules.incidents import (
    SEVERITIES,
    TITLES,
    Correlator,
    Group,
    Member,
    kind_of,
    score_of,
    severity_of,
    zone_of,
)
from config.settings import RuleSettings
from server.alerts.machine import DRILL, STANDING, Alert, ByWhom, Change
from server.alerts.service import AlertService
from server.bus import Bus
from server.incidents.errors import IncidentOver, NoSuchIncident, NotTogether
from server.store import audit, timeline
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.store.sites import SiteTree, at_or_below
from server.store.tables import alerts as alerts_table
from server.store.tables import incident_alerts, incidents

log = structlog.get_logger()

State = Literal["open", "closed", "merged"]
Outcome = Literal["confirmed", "false_alarm", "explained", "drill"]
RETRY_S = 0.5
PAGE_LIMIT = 200
MAX_MEMBERS = 1000
"""Alerts shown of one incident."""


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident as it is now."""

    id: str
    site: str
    kind: str
    severity: Severity
    state: State
    title_zh: str
    title_en: str
    opened_at: float
    at: float
    sources: dict[str, int]
    """Votes by independent source."""
    zones: tuple[str, ...]
    merged_into: str | None = None
    closed: dict[str, Any] | None = None
    simulated: bool = False
    alerts: int = 0
    standing: int = 0
    """Alerts of it whose condition holds."""

    def as_dict(self) -> dict[str, object]:
        """As in the API and in entries."""
        return {
            "id": self.id, "site": self.site, "kind": self.kind, "severity": self.severity, "state": self.state,
            "title": {"zh": self.title_zh, "en": self.title_en}, "opened_at": self.opened_at, "at": self.at,
            "sources": self.sources, "zones": list(self.zones), "merged_into": self.merged_into,
            "closed": self.closed, "simulated": self.simulated, "alerts": self.alerts, "standing": self.standing,
        }  # fmt: skip


class IncidentService:
    """All incidents of this server.

    Args:
        figures: the rules' figures of a site.
        further_rooms: rooms beside the standing ones in which news of a site is told (open sessions).
    """

    def __init__(
        self,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        alerts: AlertService,
        *,
        facts: Callable[[str], MineFacts] = MineFacts,
        figures: Callable[[str], RuleSettings] = lambda site: RuleSettings(),
        further_rooms: Callable[[str], Iterable[str]] = lambda site: (),
    ) -> None:
        self._database, self._tree, self._bus, self._alerts = database, tree, bus, alerts
        self._facts, self._figures, self._further_rooms = facts, figures, further_rooms
        self._waiting: deque[tuple[Alert, Change]] = deque()
        self._wake = asyncio.Event()
        self._changing = asyncio.Lock()

    # --- what comes in ---

    def changed(self, alert: Alert, change: Change) -> None:
        """An alert changed and is on disk."""
        if not alert.drill and change in (Change.RAISED, Change.AGAIN, Change.CLEARED, Change.CLOSED):
            self._waiting.append((alert, change))
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._catch_up()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                alert, change = self._waiting[0]
                try:
                    await self._take(alert, change)
                except StoreError as error:
                    log.error("incident_waits", alert=alert.id, reason=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                self._waiting.popleft()

    async def _catch_up(self) -> None:
        """Standing alerts that are in no incident, from the oldest on."""
        loose = alerts_table.c.alert.not_in(select(incident_alerts.c.alert))
        async with self._database.reading() as connection:
            query = select(alerts_table.c.alert).where(
                alerts_table.c.state.in_(STANDING), alerts_table.c.rule != DRILL, loose
            )
            ids = [row.alert for row in await connection.execute(query.order_by(alerts_table.c.alert))]
        for one in ids:
            if (alert := await self._alerts.get(one)) is not None:
                self._waiting.append((alert, Change.RAISED))
        self._wake.set()

    async def _take(self, alert: Alert, change: Change) -> None:
        async with self._changing:
            await self._database.finish(self._took(alert, change))

    async def _took(self, alert: Alert, change: Change) -> None:
        at = time.time()
        async with self._database.transaction() as connection:
            found = await _incident_of(connection, alert.id)
            if found is not None:
                entries = await self._member_changed(connection, found, alert, change, at)
            elif change in (Change.RAISED, Change.AGAIN):
                entries = await self._place(connection, alert, at)
            else:
                return
        await self._tell(entries)

    async def _place(self, connection: AsyncConnection, alert: Alert, at: float) -> Sequence[timeline.Entry]:
        facts = self._facts(alert.site)
        correlator = Correlator(facts, self._figures(alert.site))
        new = _member_of(alert, facts)
        groups, apart = await self._groups(connection, new, alert.site, facts)
        loose = [
            _member(row, facts)
            for row in await connection.execute(
                select(alerts_table).where(
                    alerts_table.c.site == alert.site, alerts_table.c.state.in_(STANDING),
                    alerts_table.c.alert.not_in(select(incident_alerts.c.alert)),
                )
            )
        ]  # fmt: skip
        decision = correlator.decide(new, groups, [one for one in loose if one.alert not in apart])
        if decision.join:
            incident = await _get(connection, decision.join)
            assert incident is not None
            return await self._join(connection, incident, [new], facts, at, "joined")
        if decision.opens:
            return await self._open(connection, alert, decision.opens, at)
        return ()

    async def _groups(
        self, connection: AsyncConnection, new: Member, site: str, facts: MineFacts
    ) -> tuple[list[Group], set[str]]:
        """Open incidents of a mine that an alert may join, from the oldest on, and alerts taken out of one by a person.

        Incidents stay open until a person closes them. An alert joins by what began near it only, so no more than
        that is read.
        """
        figures = self._figures(site)
        window = 1.0 + max(figures.supply_correlation_s, figures.covert_together_s, figures.correlation_s)
        query = (
            select(
                incidents.c.incident, incidents.c.kept_apart, alerts_table.c.alert, alerts_table.c.rule,
                alerts_table.c.subject, alerts_table.c.explain, alerts_table.c.severity, alerts_table.c.opened_at,
            )
            .join(incident_alerts, incident_alerts.c.incident == incidents.c.incident)
            .join(alerts_table, alerts_table.c.alert == incident_alerts.c.alert)
            .where(
                incidents.c.site == site, incidents.c.state == "open",
                alerts_table.c.opened_at.between(new.at - window, new.at + window),
            )
            .order_by(incidents.c.incident, alerts_table.c.alert)
        )  # fmt: skip
        members: dict[str, list[Member]] = {}
        kept_apart: dict[str, frozenset[str]] = {}
        for row in (await connection.execute(query)).all():
            members.setdefault(row.incident, []).append(_member(cast(AnyRow, row), facts))
            kept_apart[row.incident] = frozenset(row.kept_apart or ())
        groups = [Group(incident, tuple(found), kept_apart[incident]) for incident, found in members.items()]
        apart: set[str] = set()
        return groups, apart.union(*kept_apart.values())

    async def _open(
        self, connection: AsyncConnection, alert: Alert, members: Sequence[Member], at: float
    ) -> Sequence[timeline.Entry]:
        kind = kind_of(members)
        title_zh, title_en = TITLES[kind]
        opened_at = min(one.at for one in members)
        made = Incident(
            new_id(at), alert.site, kind, severity_of(members), "open", title_zh, title_en, opened_at, at,
            score_of(members), _zones(members), simulated=alert.simulated,
        )  # fmt: skip
        await connection.execute(insert(incidents).values(_row(made)))
        return await self._add(connection, made, members, at, "opened", "rule:correlation")

    async def _join(
        self,
        connection: AsyncConnection,
        incident: Incident,
        members: Sequence[Member],
        facts: MineFacts,
        at: float,
        change: str,
    ) -> Sequence[timeline.Entry]:
        whole = [*(_member(one, facts) for one in await _members(connection, incident.id)), *members]
        grown = _weighed(incident, whole, at)
        await connection.execute(update(incidents).where(incidents.c.incident == incident.id).values(_row(grown)))
        return await self._add(connection, grown, members, at, change, "rule:correlation")

    async def _add(
        self,
        connection: AsyncConnection,
        incident: Incident,
        members: Sequence[Member],
        at: float,
        change: str,
        actor: str,
        address: str = "",
    ) -> Sequence[timeline.Entry]:
        rows = [{"alert": one.alert, "incident": incident.id, "at": at} for one in members]
        if rows:
            await connection.execute(insert(incident_alerts), rows)
        detail: dict[str, object] = {"alerts": [one.alert for one in members], "kind": incident.kind}
        return await self._record(connection, incident.id, change, actor, at, detail, address)

    async def _member_changed(
        self, connection: AsyncConnection, incident: Incident, alert: Alert, change: Change, at: float
    ) -> Sequence[timeline.Entry]:
        if incident.state != "open":
            return ()
        facts = self._facts(alert.site)
        whole = [_member(one, facts) for one in await _members(connection, incident.id)]
        grown = _weighed(incident, whole, at)
        over = change in (Change.CLEARED, Change.CLOSED)
        if not over and grown.severity == incident.severity and grown.sources == incident.sources:
            return ()
        await connection.execute(update(incidents).where(incidents.c.incident == incident.id).values(_row(grown)))
        if over and grown.standing:
            return ()
        word = "over" if over else "changed"
        return await self._record(connection, incident.id, word, f"rule:{alert.rule}", at, {"alert": alert.id})

    # --- what people do ---

    async def merge(self, incident: str, into: str, *, by: ByWhom, address: str = "") -> Incident:
        """All alerts of one into another of the same mine; the one is `merged`.

        Raises:
            NoSuchIncident, IncidentOver, NotTogether, StoreError
        """
        async with self._changing:
            return await self._database.finish(self._merge(incident, into, by, address))

    async def _merge(self, one_id: str, into_id: str, by: ByWhom, address: str) -> Incident:
        at = time.time()
        async with self._database.transaction() as connection:
            one, into = await self._open_one(connection, one_id), await self._open_one(connection, into_id)
            if one.id == into.id or one.site != into.site:
                raise NotTogether("Only two incidents of one mine can be merged.")
            moved = [row.alert for row in await _members(connection, one.id)]
            await connection.execute(
                update(incident_alerts).where(incident_alerts.c.incident == one.id).values(incident=into.id, at=at)
            )
            ended = replace(one, state="merged", merged_into=into.id, at=at)
            await connection.execute(update(incidents).where(incidents.c.incident == one.id).values(_row(ended)))
            facts = self._facts(one.site)
            grown = _weighed(into, [_member(row, facts) for row in await _members(connection, into.id)], at)
            await connection.execute(update(incidents).where(incidents.c.incident == into.id).values(_row(grown)))
            detail: dict[str, object] = {"from": one.id, "into": into.id, "alerts": moved}
            actor = f"user:{by.user}"
            entries = [
                *await self._record(connection, one.id, "merged", actor, at, detail, address),
                *await self._record(connection, into.id, "joined", actor, at, detail, address),
            ]
        await self._tell(entries)
        return await self._known(into_id)

    async def split(self, incident: str, alerts: Sequence[str], *, by: ByWhom, address: str = "") -> Incident:
        """Take alerts out of an incident into one of their own. They do not come back by rule.

        Raises:
            NoSuchIncident, IncidentOver, NotTogether, StoreError
        """
        async with self._changing:
            return await self._database.finish(self._split(incident, tuple(dict.fromkeys(alerts)), by, address))

    async def _split(self, one_id: str, alerts: Sequence[str], by: ByWhom, address: str) -> Incident:
        at = time.time()
        async with self._database.transaction() as connection:
            one = await self._open_one(connection, one_id)
            facts = self._facts(one.site)
            members = [_member(row, facts) for row in await _members(connection, one.id)]
            out = [member for member in members if member.alert in alerts]
            left = [member for member in members if member.alert not in alerts]
            if len(out) != len(alerts) or not out or not left:
                raise NotTogether("Some of its alerts, and not all, can be taken out of an incident.")
            shrunk = _weighed(one, left, at, anew=True)
            kept_apart = (await connection.execute(
                select(incidents.c.kept_apart).where(incidents.c.incident == one.id)
            )).scalar() or []  # fmt: skip
            await connection.execute(
                update(incidents).where(incidents.c.incident == one.id)
                .values(_row(shrunk) | {"kept_apart": [*kept_apart, *alerts]})
            )  # fmt: skip
            kind = kind_of(out)
            made = Incident(
                new_id(at), one.site, kind, severity_of(out), "open", *TITLES[kind], min(m.at for m in out), at,
                score_of(out), _zones(out), simulated=one.simulated,
            )  # fmt: skip
            await connection.execute(insert(incidents).values(_row(made) | {"kept_apart": [m.alert for m in left]}))
            await connection.execute(
                update(incident_alerts).where(incident_alerts.c.alert.in_(alerts)).values(incident=made.id, at=at)
            )
            detail: dict[str, object] = {"from": one.id, "into": made.id, "alerts": list(alerts)}
            actor = f"user:{by.user}"
            entries = [
                *await self._record(connection, one.id, "split", actor, at, detail, address),
                *await self._record(connection, made.id, "opened", actor, at, detail, address),
            ]
        await self._tell(entries)
        return await self._known(made.id)

    async def close(
        self, incident: str, outcome: Outcome, comment: str, *, by: ByWhom, address: str = ""
    ) -> Incident:  # fmt: skip
        """End an incident. Its alerts stay what they are.

        Raises:
            NoSuchIncident, IncidentOver, StoreError
        """
        async with self._changing:
            return await self._database.finish(self._close(incident, outcome, comment, by, address))

    async def _close(self, one_id: str, outcome: Outcome, comment: str, by: ByWhom, address: str) -> Incident:
        at = time.time()
        async with self._database.transaction() as connection:
            one = await self._open_one(connection, one_id)
            said = {"by": by.user, "name": by.name, "site": by.site, "at": at, "outcome": outcome, "comment": comment}
            ended = replace(one, state="closed", closed=said, at=at)
            await connection.execute(update(incidents).where(incidents.c.incident == one.id).values(_row(ended)))
            detail: dict[str, object] = {"outcome": outcome, "comment": comment}
            entries = await self._record(connection, one.id, "closed", f"user:{by.user}", at, detail, address)
        await self._tell(entries)
        return await self._known(one_id)

    async def _open_one(self, connection: AsyncConnection, incident: str) -> Incident:
        found = await _get(connection, incident)
        if found is None:
            raise NoSuchIncident(incident)
        if found.state != "open":
            raise IncidentOver(incident)
        return found

    async def _known(self, incident: str) -> Incident:
        found = await self.get(incident)
        if found is None:
            raise NoSuchIncident(incident)
        return found

    # --- told ---

    async def _record(
        self,
        connection: AsyncConnection,
        incident: str,
        change: str,
        actor: str,
        at: float,
        detail: dict[str, object],
        address: str = "",
    ) -> Sequence[timeline.Entry]:
        now = await _get(connection, incident)
        assert now is not None
        rooms = [*self._tree.rooms_of(now.site), *self._further_rooms(now.site)]
        entries = await timeline.append(connection, rooms, "incident", {**now.as_dict(), "change": change}, at)
        await audit.append(
            connection, at=at, actor=actor, action=f"incident.{change}", object=f"incident:{incident}", site=now.site,
            address=address, detail=detail,
        )  # fmt: skip
        return entries

    async def _tell(self, entries: Iterable[timeline.Entry]) -> None:
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())

    # --- questions ---

    async def get(self, incident: str) -> Incident | None:
        async with self._database.reading() as connection:
            return await _get(connection, incident)

    async def alerts_of(self, incident: str) -> list[Alert]:
        """The alerts of an incident, from the oldest on."""
        async with self._database.reading() as connection:
            ids = [row.alert for row in await _members(connection, incident)]
        found = [await self._alerts.get(one) for one in ids[:MAX_MEMBERS]]
        return [one for one in found if one is not None]

    async def list(
        self, site: str, state: State | None = None, after: str | None = None, limit: int = 50
    ) -> Sequence[Incident]:  # fmt: skip
        """A page of incidents of a site and all below it, newest first."""
        conditions: list[ColumnElement[bool]] = [at_or_below(incidents.c.site, self._tree[site].path)]
        if state is not None:
            conditions.append(incidents.c.state == state)
        if after is not None:
            conditions.append(incidents.c.incident < after)
        async with self._database.reading() as connection:
            query = select(incidents).where(*conditions).order_by(incidents.c.incident.desc())
            rows = (await connection.execute(query.limit(min(max(limit, 1), PAGE_LIMIT)))).all()
            return [await _counted(connection, row) for row in rows]


# --- rows ---

AnyRow = Row[tuple[Any, ...]]


def _row(one: Incident) -> dict[str, object]:
    return {
        "incident": one.id, "site": one.site, "kind": one.kind, "severity": one.severity, "state": one.state,
        "title_zh": one.title_zh, "title_en": one.title_en, "opened_at": one.opened_at, "at": one.at,
        "sources": one.sources, "zones": list(one.zones), "merged_into": one.merged_into, "closed": one.closed,
        "simulated": one.simulated,
    }  # fmt: skip


async def _counted(connection: AsyncConnection, row: AnyRow) -> Incident:
    of = select(func.count()).select_from(incident_alerts.join(alerts_table)).where(
        incident_alerts.c.incident == row.incident
    )  # fmt: skip
    count = (await connection.execute(of)).scalar_one()
    standing = (await connection.execute(of.where(alerts_table.c.state.in_(STANDING)))).scalar_one()
    return Incident(
        row.incident, row.site, row.kind, row.severity, row.state, row.title_zh, row.title_en, row.opened_at, row.at,
        row.sources, tuple(row.zones), row.merged_into, row.closed, row.simulated, count, standing,
    )  # fmt: skip


async def _get(connection: AsyncConnection, incident: str) -> Incident | None:
    row = (await connection.execute(select(incidents).where(incidents.c.incident == incident))).first()
    return await _counted(connection, row) if row is not None else None


async def _incident_of(connection: AsyncConnection, alert: str) -> Incident | None:
    query = select(incident_alerts.c.incident).where(incident_alerts.c.alert == alert)
    found = (await connection.execute(query)).scalar()
    return await _get(connection, found) if found is not None else None


async def _members(connection: AsyncConnection, incident: str) -> Sequence[AnyRow]:
    query = (
        select(alerts_table)
        .join(incident_alerts, incident_alerts.c.alert == alerts_table.c.alert)
        .where(incident_alerts.c.incident == incident)
    )
    return (await connection.execute(query.order_by(alerts_table.c.alert))).all()


def _member(row: AnyRow, facts: MineFacts) -> Member:
    zone = zone_of(row.rule, row.subject, row.explain or {}, facts)
    return Member(row.alert, row.rule, zone, row.severity, row.opened_at)


def _member_of(alert: Alert, facts: MineFacts) -> Member:
    zone = zone_of(alert.rule, alert.subject, alert.explain or {}, facts)
    return Member(alert.id, alert.rule, zone, alert.severity, alert.opened_at)


def _zones(members: Sequence[Member]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.zone for one in members if one.zone))


def _weighed(incident: Incident, members: Sequence[Member], at: float, *, anew: bool = False) -> Incident:
    """The incident with these alerts. Its severity does not fall, but when alerts were taken out (`anew`)."""
    kind, severity = kind_of(members), severity_of(members)
    if not anew:
        severity = max(severity, incident.severity, key=SEVERITIES.index)
    title_zh, title_en = TITLES[kind]
    return replace(
        incident, kind=kind, severity=severity, title_zh=title_zh, title_en=title_en, sources=score_of(members),
        zones=_zones(members), at=at, opened_at=min(one.at for one in members),
    )  # fmt: skip
