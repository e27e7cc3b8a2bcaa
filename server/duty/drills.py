"""Drills as they run: begun by people, ended by people, by time, or by a real alert, which is told where it is seen."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import select

from config.settings import Settings
from server.alerts import rows as alert_rows
from server.alerts.errors import AlertOver
from server.alerts.machine import DRILL, STANDING, Alert, ByWhom, Change
from server.alerts.service import AlertService
from server.duty import drill
from server.duty.chains import RED
from server.duty.drill import Result, Wish
from server.sessions.errors import SessionError
from server.sessions.machine import DrillInterrupted
from server.sessions.service import SessionService
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.store.sites import SiteTree, at_or_below
from server.store.tables import alerts as alert_table
from server.store.tables import escalations

log = structlog.get_logger()

LOOK_S = 5.0
MOST_REAL = 1000
"""Real alerts that wait to be looked at."""


class DrillRefused(ValueError):
    """What was asked does not fit; the sentence says why."""


@dataclass(frozen=True, slots=True)
class _Server:
    user: str = "server"
    name: str = ""
    site: str = ""


class Drills:
    """The drills of this server."""

    def __init__(
        self, settings: Settings, database: Database, tree: SiteTree, alerts: AlertService, sessions: SessionService
    ) -> None:
        self._drill_s = settings.duty.drill_s
        self._simulated = settings.server.simulated
        self._database = database
        self._tree = tree
        self._alerts = alerts
        self._sessions = sessions
        self._open: dict[str, Alert] = {}
        self._real: deque[Alert] = deque(maxlen=MOST_REAL)
        self._wake = asyncio.Event()
        self._numbers: set[str] = set()
        """Drills after which all numbers are to be tested."""
        self.test_numbers: Callable[[str], None] = lambda site: None
        """Rings every number of a site's call list, as each month."""
        self.stop_numbers: Callable[[str], None] = lambda site: None
        """Breaks that off: the lines are needed."""

    async def load(self) -> None:
        """Drills that were under way; what is real and stands ends them, if it came while the server was away."""
        self._alerts.on_change.append(self.changed)
        async with self._database.reading() as connection:
            found = await alert_rows.page(
                connection, alert_table.c.rule == DRILL, alert_table.c.state.in_(STANDING), after=None, limit=1000
            )
        self._open = {one.id: one for one in found}
        if self._open or any(one.drill and not one.interrupted for one in self._sessions.open_states()):
            self._wake.set()

    async def _standing_real(self) -> list[Alert]:
        roots = [site for site in self._tree if self._tree[site].parent is None]
        found = [alert for root in roots for alert in await self._alerts.open_for(root)]
        return [one for one in found if one.severity in RED and not one.drill]

    # --- what people do -----------------------------------------------------------------------------------------------

    async def start(self, wish: Wish, *, numbers: bool) -> Alert:
        """Begin one; it rings from now on. `numbers`: when it is over, also test every number of the site's call list
        (not at once: a line that the drill itself rings would be taken for a dead one).

        Raises:
            DrillRefused: one is under way there, or a real red alert is open on its way.
            StoreError
        """
        way = drill.climbs(self._sites_of(wish.site), wish.up_to)
        if any(one.site == wish.site for one in self._open.values()):
            raise DrillRefused("A drill is under way at this site.")
        if any(drill.preempts(self._sites_of(real.site), way) for real in await self._standing_real()):
            raise DrillRefused("A real alert stands.")
        at = time.time()
        made = await self._alerts.apply(drill.finding(wish, new_id(at), at, simulated=self._simulated), at=at)
        assert made is not None, "a finding that raises makes an alert"
        if numbers:
            self._numbers.add(made.id)
        return made

    async def end(self, alert: Alert, by: ByWhom, address: str = "") -> None:
        """A person ends it (raises `AlertOver`, `StoreError`)."""
        await self._alerts.close(alert.id, by=by, outcome="explained", reason=DRILL, at=time.time(), address=address)

    # --- what goes on -------------------------------------------------------------------------------------------------

    def changed(self, alert: Alert, change: Change) -> None:
        """An alert changed and is on disk."""
        if alert.drill:
            if alert.state in STANDING:
                self._open[alert.id] = alert
            else:
                self._over(alert)
        elif alert.severity in RED and change in (Change.RAISED, Change.AGAIN):
            self._real.append(alert)
            self._wake.set()

    def _over(self, alert: Alert) -> None:
        self._open.pop(alert.id, None)
        preempted = alert.closed is not None and alert.closed.reason == drill.PREEMPTED
        if alert.id in self._numbers and not preempted:
            self.test_numbers(alert.site)
        self._numbers.discard(alert.id)

    async def run(self) -> None:
        """Ends drills whose time is up, and those that a real alert meets."""
        while True:
            self._wake.clear()
            try:
                await self._look_for_real()
                await self._preempt()
                await self._end_late()
            except StoreError as error:
                log.warning("drills_wait", reason=str(error))
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _look_for_real(self) -> None:
        """While a drill goes on: an alert that was taken may be open again, which is told as no change of it."""
        if self._open or any(one.drill and not one.interrupted for one in self._sessions.open_states()):
            self._real.extend(one for one in await self._standing_real() if one.state == "open")

    async def _preempt(self) -> None:
        while self._real:
            real = self._real[0]
            told = self._sites_of(real.site)
            for site in told:
                self.stop_numbers(site)
            for one in list(self._open.values()):
                if drill.preempts(told, self._way_of(one)):
                    await self._end_by(one, real)
            for state in self._sessions.open_states():
                if state.drill and not state.interrupted and drill.preempts(told, state.sites()):
                    await self._interrupt(state.session, real)
            self._real.popleft()

    async def _end_by(self, one: Alert, real: Alert) -> None:
        try:
            await self._alerts.close(
                one.id, by=replace(_Server(), site=one.site), outcome="explained", reason=drill.PREEMPTED,
                comment=real.id, at=time.time(),
            )  # fmt: skip
        except AlertOver:
            self._open.pop(one.id, None)

    async def _interrupt(self, session: str, real: Alert) -> None:
        title = {"zh": real.title_zh, "en": real.title_en}
        try:
            await self._sessions.handle(session, DrillInterrupted(real.id, real.site, title))
        except SessionError:
            log.debug("drill_is_over", session=session)

    async def _end_late(self) -> None:
        at = time.time()
        for one in list(self._open.values()):
            if at - one.opened_at >= self._drill_s:
                await self._alerts.apply(drill.over(one, at), at=at)

    # --- questions ----------------------------------------------------------------------------------------------------

    def _sites_of(self, site: str) -> list[str]:
        return [site, *self._tree.ancestors(site)]

    def _way_of(self, alert: Alert) -> list[str]:
        return drill.climbs(self._sites_of(alert.site), drill.like_of(alert)[1])

    async def listed(self, site: str, limit: int) -> list[Result]:
        """Drills at a site and below, newest first."""
        where = (alert_table.c.rule == DRILL, at_or_below(alert_table.c.site, self._tree[site].path))
        async with self._database.reading() as connection:
            found = await alert_rows.page(connection, *where, after=None, limit=limit)
            query = select(escalations.c.alert, escalations.c.state)
            wanted = query.where(escalations.c.alert.in_([one.id for one in found]))
            rung = {row.alert: row.state for row in await connection.execute(wanted)}
        return [
            drill.result(one, rung.get(one.id, {}).get("reached", ()), int(rung.get(one.id, {}).get("rings", 0)))
            for one in found
        ]
