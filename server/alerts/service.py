"""Writes each change of an alert in one transaction, then tells it.

In the transaction: the alert, an entry in the timeline of its mine and of every authority above (and of the open
consultations about the mine), an audit row. Only when all that is on disk is anything published, so nobody has ever
heard of an alert that a crash could take away. The bus may lose a body; the numbers of the entries show it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, get_args

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.finding import Finding
from server.alerts import machine, rows
from server.alerts.errors import AlertOver, NoSuchAlert
from server.alerts.machine import STANDING, Alert, ByWhom, Change, Evidence, Outcome
from server.bus import Bus
from server.store import audit, timeline
from server.store.crashpoints import crashpoint
from server.store.database import Database
from server.store.errors import NoSuchSite
from server.store.ids import new_id
from server.store.sites import SiteTree, at_or_below
from server.store.tables import alert_reviews, alerts

PAGE_LIMIT = 200
"""Most alerts on one page."""
OPEN_LIMIT = 2000
"""Most standing alerts in a snapshot; the newest ones."""


class Follower(Protocol):
    """What goes on because of alerts, written with them in one transaction."""

    async def follow(
        self, connection: AsyncConnection, alert: Alert, change: Change, at: float
    ) -> tuple[Sequence[timeline.Entry], Callable[[], None]]:
        """The entries that it has written, and what is to be called once all is on disk."""
        ...


def _no_further_rooms(_site: str) -> Iterable[str]:
    return ()


class AlertService:
    """The alerts of this server."""

    def __init__(
        self,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        *,
        further_rooms: Callable[[str], Iterable[str]] = _no_further_rooms,
    ) -> None:
        """`further_rooms(site)`: rooms beside the standing ones in which news of a site is told (open sessions)."""
        self._database = database
        self._tree = tree
        self._bus = bus
        self._further_rooms = further_rooms
        self.follower: Follower | None = None
        self.on_change: list[Callable[[Alert, Change], None]] = []
        """Told of every change once it is on disk. They may not raise and not wait."""

    # --- what rules and people do ---

    async def apply(self, finding: Finding, *, at: float) -> Alert | None:
        """A finding opens, repeats, marks or clears the alert of its key.

        Returns the alert after it; None when the finding is about nothing that stands. It is on disk when this returns.

        Raises:
            NoSuchSite: the finding's site is not in the tree.
            StoreError: it could not be written; nobody was told, and giving the finding again is safe.
        """
        if finding.site not in self._tree:
            raise NoSuchSite(finding.site)
        return await self._database.finish(self._apply(finding, at))

    async def _apply(self, finding: Finding, at: float) -> Alert | None:
        async with self._database.transaction() as connection:
            standing = await rows.standing(connection, finding.key)
            step = machine.find(standing, finding, new_id=new_id(at), at=at)
            if step is None:
                return standing
            alert, change = step
            await (rows.add if standing is None else rows.save)(connection, alert)
            detail = {"key": alert.key, "severity": alert.severity, "at": finding.at, "explain": finding.explain}
            entries = await self._record(connection, alert, change, f"rule:{finding.rule}", at, detail)
            followed, done = await self._follow(connection, alert, change, at)
            if any(entry.kind == "alert" for entry in followed):  # taken back from whoever had it
                alert = await self._known(connection, alert.id)
        done()
        self._changed(alert, change)
        await self._tell([*entries, *followed])
        return alert

    async def acknowledge(self, alert_id: str, *, by: ByWhom, comment: str = "", at: float, address: str = "") -> Alert:
        """A person takes the alert. The first one counts; doing it again changes nothing and is no error.

        Raises:
            NoSuchAlert, StoreError
        """

        def step(alert: Alert) -> machine.Step | None:
            return machine.acknowledge(alert, by, comment, at)

        return await self._database.finish(self._by_person(alert_id, step, by, at, address, {"comment": comment}))

    async def close(
        self,
        alert_id: str,
        *,
        by: ByWhom,
        outcome: Outcome,
        reason: str = "",
        comment: str = "",
        at: float,
        address: str = "",
    ) -> Alert:
        """A person ends the alert. The same person with the same outcome may do so again without effect.

        Raises:
            NoSuchAlert, StoreError
            AlertOver: it was closed before, by somebody else or with another outcome.
            ValueError: there is no such outcome.
        """
        if outcome not in get_args(Outcome):
            raise ValueError(f"There is no outcome {outcome}.")

        def step(alert: Alert) -> machine.Step | None:
            if alert.closed is not None and (alert.closed.by, alert.outcome) != (by.user, outcome):
                raise AlertOver(alert.id)
            return machine.close(alert, by, outcome, reason, comment, at)

        detail: dict[str, object] = {"outcome": outcome, "reason": reason, "comment": comment}
        return await self._database.finish(self._by_person(alert_id, step, by, at, address, detail))

    async def _by_person(
        self,
        alert_id: str,
        step: Callable[[Alert], machine.Step | None],
        by: ByWhom,
        at: float,
        address: str,
        detail: dict[str, object],
    ) -> Alert:
        async with self._database.transaction() as connection:
            before = await self._known(connection, alert_id)
            if (stepped := step(before)) is None:
                return before
            alert, change = stepped
            await rows.save(connection, alert)
            entries = await self._record(connection, alert, change, f"user:{by.user}", at, detail, address)
            followed, done = await self._follow(connection, alert, change, at)
        done()
        self._changed(alert, change)
        await self._tell([*entries, *followed])
        return alert

    async def attach(
        self, alert_id: str, name: str, path: str, sha256: str, width: int, height: int, at: float
    ) -> Alert:
        """Add a picture that is already on disk (`server.store.pictures.store_picture`). A second one of the same name
        changes nothing: evidence is not replaced.

        Raises:
            NoSuchAlert, StoreError
        """
        picture = Evidence(name, path, sha256, width, height, at)
        return await self._database.finish(self._attach(alert_id, picture))

    async def _attach(self, alert_id: str, picture: Evidence) -> Alert:
        async with self._database.transaction() as connection:
            before = await self._known(connection, alert_id)
            if any(one.name == picture.name for one in before.evidence):
                return before
            await rows.add_evidence(connection, alert_id, picture)
            alert = await self._known(connection, alert_id)
            detail: dict[str, object] = {"name": picture.name, "sha256": picture.sha256}
            entries = await self._record(connection, alert, Change.EVIDENCE, f"rule:{alert.rule}", picture.at, detail)
        await self._tell(entries)
        return alert

    async def revert(
        self, connection: AsyncConnection, alert_id: str, reason: str, at: float
    ) -> Sequence[timeline.Entry]:
        """Open again what somebody had taken, within the caller's transaction. Tell the entries after it."""
        alert = await rows.get(connection, alert_id)
        if alert is None or (stepped := machine.revert(alert, at)) is None:
            return ()
        by = alert.acknowledged.by if alert.acknowledged is not None else ""
        opened, change = stepped
        await rows.save(connection, opened)
        return await self._record(connection, opened, change, "escalation", at, {"reason": reason, "by": by})

    async def _follow(
        self, connection: AsyncConnection, alert: Alert, change: Change, at: float
    ) -> tuple[Sequence[timeline.Entry], Callable[[], None]]:
        if self.follower is None:
            return (), lambda: None
        return await self.follower.follow(connection, alert, change, at)

    def _changed(self, alert: Alert, change: Change) -> None:
        for listener in self.on_change:
            listener(alert, change)

    async def _known(self, connection: AsyncConnection, alert_id: str) -> Alert:
        alert = await rows.get(connection, alert_id)
        if alert is None:
            raise NoSuchAlert(alert_id)
        return alert

    async def _record(
        self,
        connection: AsyncConnection,
        alert: Alert,
        change: Change,
        actor: str,
        at: float,
        detail: dict[str, object],
        address: str = "",
    ) -> Sequence[timeline.Entry]:
        crashpoint("alert.row")
        rooms = [*self._tree.rooms_of(alert.site), *self._further_rooms(alert.site)]
        body = {**alert.as_dict(), "change": change.value}
        entries = await timeline.append(connection, rooms, "alert", body, at)
        crashpoint("alert.timeline")
        await audit.append(
            connection,
            at=at,
            actor=actor,
            action=f"alert.{change.value}",
            object=f"alert:{alert.id}",
            site=alert.site,
            address=address,
            detail=detail,
        )
        crashpoint("alert.audit")
        return entries

    async def _tell(self, entries: Sequence[timeline.Entry]) -> None:
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())
        crashpoint("alert.published")

    # --- questions ---

    async def get(self, alert_id: str) -> Alert | None:
        """One alert, whatever its state."""
        async with self._database.reading() as connection:
            return await rows.get(connection, alert_id)

    async def newest(self, site: str, key: str) -> Alert | None:
        """The last alert of this key that a site had, whatever its state."""
        async with self._database.reading() as connection:
            found = await rows.page(connection, alerts.c.site == site, alerts.c.key == key, after=None, limit=1)
        return found[0] if found else None

    async def open_for(self, site: str) -> Sequence[Alert]:
        """Open and acknowledged alerts of a site and all below it, newest first, at most `OPEN_LIMIT`."""
        path = self._tree[site].path
        async with self._database.reading() as connection:
            return await rows.page(
                connection,
                at_or_below(alerts.c.site, path),
                alerts.c.state.in_(STANDING),
                after=None,
                limit=OPEN_LIMIT,
            )

    async def list(
        self,
        site: str,
        state: str | None = None,
        after: str | None = None,
        limit: int = 50,
        *,
        severity: str | None = None,
        not_seen_by: str = "",
    ) -> Sequence[Alert]:
        """A page of alerts of a site and all below it, newest first; `after`: the last one of the page before.

        `not_seen_by`: only those that this person has not marked as looked at.
        """
        conditions = [at_or_below(alerts.c.site, self._tree[site].path)]
        if state is not None:
            conditions.append(alerts.c.state == state)
        if severity is not None:
            conditions.append(alerts.c.severity == severity)
        if not_seen_by:
            seen = select(alert_reviews.c.alert).where(alert_reviews.c.user == not_seen_by)
            conditions.append(alerts.c.alert.not_in(seen))
        async with self._database.reading() as connection:
            return await rows.page(connection, *conditions, after=after, limit=min(max(limit, 1), PAGE_LIMIT))
