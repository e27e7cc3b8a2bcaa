"""Spot checks and roll calls as they run: called, answered with a picture of the moment, kept, and told."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.finding import Change, Finding
from config.settings import Settings
from server.alerts.machine import STANDING, ByWhom
from server.alerts.service import AlertService
from server.bus import Bus
from server.duty.spotcheck import FAIR_S, Check, Standing, check_of, draw, standings
from server.store import audit, timeline
from server.store.database import Database
from server.store.errors import StoreError
from server.store.pictures import store_picture
from server.store.sites import SiteTree, at_or_below
from server.store.tables import spot_checks

log = structlog.get_logger()

TICK_S = 0.5
PICTURE_S = 2.0
MAX_ROLL = 1000
PICTURE = "answer"
TELL_BACK_S = 86400.0
"""After a start, alerts are made good for checks called within this time."""
OVER = ("answered", "unanswered", "unreachable")
"""Changes with which a call ends."""


class CheckRefused(ValueError):
    """What was asked does not fit; the sentence says why."""


class Checks:
    """The checks of this server."""

    def __init__(self, settings: Settings, database: Database, tree: SiteTree, bus: Bus, alerts: AlertService) -> None:
        self._duty = settings.duty
        self._simulated = settings.server.simulated
        self._data_dir: Path = settings.server.data_dir
        self._database = database
        self._tree = tree
        self._bus = bus
        self._alerts = alerts
        self._open: dict[str, tuple[Check, float]] = {}
        """Open checks, and until when (monotonic)."""
        self._to_tell: dict[str, Check] = {}
        """By site, the last check that is over and whose alert is not on disk yet."""
        self._telling = asyncio.Lock()
        self.screens: Callable[[str], frozenset[str]] = lambda site: frozenset()
        self.on_duty: Callable[[str], tuple[str, ...]] = lambda site: ()
        """Names of those on duty at a site now."""
        self.picture: Callable[[str, float], Awaitable[tuple[bytes, int, int] | None]] = _no_picture
        """A JPEG picture of a site's dispatch room, within so many seconds."""

    async def load(self) -> None:
        """Calls that were open go on; a clock that was set makes none longer."""
        now, at = time.monotonic(), time.time()
        async with self._database.reading() as connection:
            found = await connection.execute(select(spot_checks.c.body).where(spot_checks.c.open))
        for body in found.scalars():
            check = check_of(body)
            left = min(max(check.called_at + check.answer_s - at, 0.0), check.answer_s)
            self._open[check.check] = (check, now + left)
        await self._load_untold(at)

    async def _load_untold(self, at: float) -> None:
        """Checks whose end is on disk and whose alert is not: the server stopped between the two."""
        query = select(spot_checks.c.body).where(~spot_checks.c.open, spot_checks.c.called_at >= at - TELL_BACK_S)
        async with self._database.reading() as connection:
            bodies = (await connection.execute(query.order_by(spot_checks.c.called_at))).scalars().all()
        for check in {one.site: one for one in map(check_of, bodies)}.values():
            alert = await self._alerts.newest(check.site, _key(check.site))
            if check.outcome == "answered":
                told = alert is None or alert.state not in STANDING
            else:
                told = alert is not None and (alert.explain or {}).get("check") == check.check
            if not told:
                self._to_tell[check.site] = check

    # --- calling ------------------------------------------------------------------------------------------------------

    async def call(self, sites: Sequence[str], by: ByWhom, *, roll: bool) -> list[Check]:
        """Call these sites now. A site that is being called already is not called twice.

        Raises:
            CheckRefused, StoreError
        """
        busy = {check.site for check, _ in self._open.values()}
        free = [site for site in sites if site not in busy]
        if not free:
            raise CheckRefused("These sites are being called already.")
        if len(free) > MAX_ROLL:
            raise CheckRefused(f"A roll call has at most {MAX_ROLL} sites.")
        return await self._database.finish(self._call(free, by, f"r{secrets.token_hex(6)}" if roll else ""))

    async def _call(self, sites: Sequence[str], by: ByWhom, roll: str) -> list[Check]:
        at, now = time.time(), time.monotonic()
        made = [
            Check(
                f"k{secrets.token_hex(8)}", site, roll, by.name, by.site, at, self._duty.check_answer_s,
                outcome="calling" if self.screens(site) else "unreachable", expected=self.on_duty(site),
                simulated=self._simulated,
            )
            for site in sites
        ]  # fmt: skip
        entries: list[timeline.Entry] = []
        async with self._database.transaction() as connection:
            for check in made:
                entries += await self._keep(connection, check, f"user:{by.user}", "called", at, open=True, new=True)
        for check in made:
            self._open[check.check] = (check, now + check.answer_s)
        await self._publish(entries)
        return made

    def drawn(self, listed: Sequence[Standing]) -> str | None:
        """One of the sites checked least."""
        return draw(listed, secrets.randbelow)

    async def answer(self, check_id: str, by: ByWhom, officer: str) -> Check:
        """Somebody at the site answers. The picture of the moment follows.

        Raises:
            CheckRefused: it is over, or of another site.
        """
        known = self._open.get(check_id)
        if known is None or known[0].site != by.site:
            raise CheckRefused("There is no such call, or it is over.")
        at = time.time()
        answered = await self._edit(
            check_id,
            f"user:{by.user}",
            "answered",
            lambda one: one.answered(by.name, officer, at) if one.open else None,
        )
        if answered is None:
            raise CheckRefused("There is no such call, or it is over.")
        await self._tell(answered.site)
        return answered

    async def add_picture(self, check: Check) -> None:
        """Keep a picture of the moment with an answered check; none is no reason to lose the answer."""
        taken = await self.picture(check.site, PICTURE_S)
        if taken is None:
            return
        try:
            await asyncio.to_thread(store_picture, self._data_dir, check.check, PICTURE, taken[0])
            await self._edit(check.check, "server", "picture", lambda one: replace(one, picture=PICTURE))
        except StoreError as error:
            log.warning("check_picture_lost", check=check.check, reason=str(error))

    async def confirm(self, check_id: str, by: ByWhom, confirmed: bool, note: str) -> Check:
        """The supervisor says whether it was the officer on duty.

        Raises:
            CheckRefused: it was not answered.
        """

        def step(one: Check) -> Check | None:
            said = replace(one, confirmed=confirmed, confirmed_by=by.name, note=note)
            return said if one.outcome == "answered" else None

        after = await self._edit(check_id, f"user:{by.user}", "confirmed", step)
        if after is None:
            raise CheckRefused("Only a check that was answered can be confirmed.")
        return after

    # --- keeping ------------------------------------------------------------------------------------------------------

    async def _edit(
        self, check_id: str, actor: str, change: str, step: Callable[[Check], Check | None]
    ) -> Check | None:
        """Change what is stored, as it is at that moment; None when the step does not fit it any more."""
        return await self._database.finish(self._edited(check_id, actor, change, step))

    async def _edited(
        self, check_id: str, actor: str, change: str, step: Callable[[Check], Check | None]
    ) -> Check | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(spot_checks).where(spot_checks.c.check == check_id))).one_or_none()
            before = check_of(row.body) if row is not None else None
            waits = row is not None and row.open
            if before is None or (before.open and not waits) or (after := step(before)) is None:
                return None
            over = change in OVER
            entries = await self._keep(connection, after, actor, change, time.time(), open=waits and not over)
        if over:
            self._open.pop(check_id, None)
            self._to_tell[after.site] = after
        await self._publish(entries)
        return after

    async def _keep(
        self,
        connection: AsyncConnection,
        check: Check,
        actor: str,
        change: str,
        at: float,
        *,
        open: bool,
        new: bool = False,
    ) -> list[timeline.Entry]:
        values = {"site": check.site, "open": open, "called_at": check.called_at, "body": asdict(check)}
        if new:
            await connection.execute(insert(spot_checks).values(check=check.check, **values))
        else:
            await connection.execute(spot_checks.update().where(spot_checks.c.check == check.check).values(values))
        await audit.append(
            connection, at=at, actor=actor, action=f"check.{change}", object=f"check:{check.check}", site=check.site,
            detail={"outcome": check.outcome, "took_s": check.took_s},
        )  # fmt: skip
        body = {**check.as_dict(), "change": change}
        return await timeline.append(connection, self._tree.rooms_of(check.site), "check", body, at)

    async def _publish(self, entries: Iterable[timeline.Entry]) -> None:
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())

    async def _tell(self, site: str) -> None:
        """Write the alert of a check that is over; what cannot be written now is tried again by `run`."""
        async with self._telling:
            if (check := self._to_tell.get(site)) is None:
                return
            try:
                await self._note_alert(check)
            except StoreError as error:
                log.warning("check_alert_waits", check=check.check, reason=str(error))
                return
            if self._to_tell.get(site) is check:
                del self._to_tell[site]

    async def _note_alert(self, check: Check) -> None:
        """An unanswered check is an alert, until a later one is answered."""
        change: Change = "cleared" if check.outcome == "answered" else "raised"
        zh, en = ("抽查已应答", "Check answered") if change == "cleared" else ("抽查无人应答", "Check not answered")
        await self._alerts.apply(
            Finding(
                check.site, _key(check.site), "spot_check", check.site, change, "warning",
                time.time(), zh, en, {"check": check.check, "outcome": check.outcome}, check.simulated,
            ),
            at=time.time(),
        )  # fmt: skip

    # --- time ---------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for check, until in list(self._open.values()):
                if until <= now:
                    try:
                        await self._end(check)
                    except StoreError as error:
                        log.warning("check_end_waits", reason=str(error))
            for site in list(self._to_tell):
                await self._tell(site)

    async def _end(self, check: Check) -> None:
        """Nobody has answered in time; `unreachable` stays what it is."""
        late = check.late()
        await self._edit(
            check.check, "server", late.outcome, lambda one: one.late() if one.outcome != "answered" else None
        )
        self._open.pop(check.check, None)
        await self._tell(check.site)

    # --- questions ----------------------------------------------------------------------------------------------------

    async def get(self, check_id: str) -> Check | None:
        async with self._database.reading() as connection:
            body = await connection.scalar(select(spot_checks.c.body).where(spot_checks.c.check == check_id))
        return check_of(body) if body is not None else None

    async def between(self, site: str, since: float, until: float, limit: int) -> list[Check]:
        """Checks of a site and below, newest first."""
        query = (
            select(spot_checks.c.body)
            .where(
                at_or_below(spot_checks.c.site, self._tree[site].path),
                spot_checks.c.called_at >= since,
                spot_checks.c.called_at < until,
            )
            .order_by(spot_checks.c.called_at.desc(), spot_checks.c.check)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            bodies = (await connection.execute(query)).scalars().all()
        return await asyncio.to_thread(lambda: [check_of(body) for body in bodies])

    async def standings(self, site: str, sites: Iterable[str]) -> list[Standing]:
        """The fairness list of these sites (all below `site`)."""
        at = time.time()
        found = await self.between(site, at - FAIR_S, at + 1, 50_000)
        return await asyncio.to_thread(standings, sites, found, at)

    def pending(self, sites: Iterable[str]) -> list[dict[str, object]]:
        """Calls of these sites that wait for an answer."""
        wanted = set(sites)
        return [check.as_dict() for check, _ in self._open.values() if check.site in wanted]


def _key(site: str) -> str:
    """Of the alert about the checks of a site."""
    return f"{site}/spot_check/{site}"


async def _no_picture(site: str, within_s: float) -> tuple[bytes, int, int] | None:
    return None
