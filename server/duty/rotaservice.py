"""The rota of this server: kept in memory, written through, changed by people; and the monthly test of its numbers.

A number that is stored and never tried is found dead in the emergency. So once a month (or when somebody asks) each one
is rung; what came of it stands with the person, a dead number is an alert until a later test reaches somebody, and a
number that could not be tested (no telephones, no gateway) is said to be untested, not to be good.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from analytics.finding import Change, Finding
from config.settings import DutySettings
from server.alerts.machine import ByWhom
from server.alerts.service import AlertService
from server.duty.contacts import Contact
from server.duty.phones import Phones
from server.duty.rota import (
    Override,
    Person,
    Plan,
    Rota,
    TestResult,
    as_body,
    drill_moment,
    override_of,
    person_of,
    plan_of,
)
from server.store import audit
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.store.tables import rota as table

log = structlog.get_logger()

Kind = Literal["person", "plan", "override"]
LOOK_S = 60.0
DRILL_RING_S = 25.0
QUIET_S = 3600.0
"""The monthly test of numbers waits so long after something real."""
UNTESTED_AFTER_S = 40 * 86400.0
"""A number that was not tested for this long is said to be untested."""
_RESULTS: dict[str, TestResult] = {
    "answered_by_person": "answered",
    "next": "answered",
    "declined": "answered",
    "busy": "busy",
    "no_answer": "no_answer",
    "unreachable": "unreachable",
    "refused": "refused",
}


class RotaRefused(ValueError):
    """What was asked does not fit; the sentence says why."""


class RotaService:
    """Call lists of all sites."""

    def __init__(self, settings: DutySettings, database: Database, tree: SiteTree, alerts: AlertService) -> None:
        self._settings = settings
        self._database = database
        self._tree = tree
        self._alerts = alerts
        self._drilling: dict[str, float] = {}
        self._testing: tuple[str, asyncio.Task[None]] | None = None
        self._quiet_until: dict[str, float] = {}
        """Sites at which something real was under way: the monthly test waits."""
        """Site to when its drill was asked for."""
        self._wake = asyncio.Event()
        self.rota = Rota()
        self.phones: Callable[[], Phones | None] = lambda: None

    async def load(self) -> None:
        async with self._database.reading() as connection:
            found = (await connection.execute(select(table.c.kind, table.c.body))).all()
        for kind, body in found:
            self._put(kind, body)

    def _put(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "person":
            person = person_of(body)
            self.rota.people[person.person] = person
        elif kind == "plan":
            plan = plan_of(body)
            self.rota.plans[plan.plan] = plan
        else:
            override = override_of(body)
            self.rota.overrides[override.override] = override

    # --- questions ----------------------------------------------------------------------------------------------------

    def reach(self, site: str, who: str, at: float) -> tuple[Contact, ...]:
        """`server.duty.contacts.CallList`: dead numbers come last, not never."""
        people = sorted(self.rota.on(site, who, at), key=lambda one: one.dead)
        return tuple(Contact(one.name, one.phone, one.user) for one in people)

    def people(self, site: str) -> list[Person]:
        return sorted((one for one in self.rota.people.values() if one.site == site), key=lambda one: one.name)

    def untested(self, person: Person, at: float) -> bool:
        return bool(person.phone) and (person.tested_at is None or at - person.tested_at > UNTESTED_AFTER_S)

    # --- changes ------------------------------------------------------------------------------------------------------

    async def keep(self, one: Person | Plan | Override, by: ByWhom, at: float) -> None:
        """Write a person, plan or override, new or known.

        Raises:
            RotaRefused, StoreError
        """
        self._check(one)
        await self._database.finish(self._keep(one, f"user:{by.user}", at))

    async def _keep(self, one: Person | Plan | Override, actor: str, at: float) -> None:
        kind, key = _key(one)
        body = as_body(one)
        async with self._database.transaction() as connection:
            await connection.execute(table.delete().where(table.c.kind == kind, table.c.id == key))
            await connection.execute(insert(table).values(kind=kind, id=key, site=one.site, body=body))
            await self._audit(connection, actor, f"rota.{kind}", key, one.site, at, body)
        self._put(kind, body)

    async def remove(self, kind: Literal["plan", "override"], key: str, by: ByWhom, at: float) -> None:
        """Remove a plan or an override; people are only put out of use, their names stand in records."""
        await self._database.finish(self._remove(kind, key, by, at))

    async def _remove(self, kind: Literal["plan", "override"], key: str, by: ByWhom, at: float) -> None:
        known: dict[str, Any] = self.rota.plans if kind == "plan" else self.rota.overrides
        if key not in known:
            return
        async with self._database.transaction() as connection:
            await connection.execute(table.delete().where(table.c.kind == kind, table.c.id == key))
            await self._audit(connection, f"user:{by.user}", f"rota.{kind}.removed", key, known[key].site, at, {})
        known.pop(key, None)

    async def _audit(
        self, connection: AsyncConnection, actor: str, action: str, key: str, site: str, at: float, body: dict[str, Any]
    ) -> None:
        detail = {name: value for name, value in body.items() if name != "phone"}
        await audit.append(connection, at=at, actor=actor, action=action, object=key, site=site, detail=detail)

    def _check(self, one: Person | Plan | Override) -> None:
        if isinstance(one, Person):
            return
        named = [person for turn in one.turns for person in turn] if isinstance(one, Plan) else list(one.people)
        for person in named:
            known = self.rota.people.get(person)
            if known is None or known.site != one.site:
                raise RotaRefused(f"There is no person {person} at this site.")
        if isinstance(one, Override) and one.end <= one.start:
            raise RotaRefused("An override ends after it begins.")

    # --- testing of numbers -------------------------------------------------------------------------------------------

    def ask_drill(self, site: str) -> None:
        """Test the numbers of a site, soon."""
        self._drilling[site] = time.time()
        self._wake.set()

    def drilling(self, site: str) -> bool:
        return site in self._drilling

    async def tested(self, person: Person, result: TestResult, actor: str, at: float) -> Person:
        """What a test of a number came to, by telephone or by somebody's word; a dead number is told."""
        after = person.tested(result, at)
        await self._database.finish(self._keep(after, actor, at))
        await self._alerts.apply(_dead_number(after, at), at=at)
        return after

    async def rung_in_drill(self, site: str, target: str, result: str) -> None:
        """A number of the call list was rung in a drill of the whole chain: that was a test of it as well. Nobody who
        did not answer in his share of a step is called dead for it."""
        outcome = _RESULTS.get(result)
        if outcome is None or outcome == "no_answer":
            return
        for person in [one for one in self.people(site) if one.phone and f"tel:{one.phone}" == target]:
            try:
                await self.tested(person, outcome, "drill", time.time())
            except StoreError as error:
                log.warning("test_not_kept", person=person.person, reason=str(error))

    async def run(self) -> None:
        """The monthly test, and those that people ask for."""
        while True:
            self._monthly(time.time())
            for site in list(self._drilling):
                await self._test(site)
                self._drilling.pop(site, None)
            self._wake.clear()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def stop_drill(self, site: str) -> None:
        """Something real is under way there: the lines are needed. The numbers not yet rung wait for the next test."""
        self._drilling.pop(site, None)
        self._quiet_until[site] = time.time() + QUIET_S
        if self._testing is not None and self._testing[0] == site:
            self._testing[1].cancel()

    async def _test(self, site: str) -> None:
        if site not in self._drilling:
            return
        task = asyncio.create_task(self._drill(site))
        self._testing = (site, task)
        try:
            await asyncio.wait({task})
        finally:
            self._testing = None
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    def _monthly(self, at: float) -> None:
        duty, phones = self._settings, self.phones()
        moment = drill_moment(at, duty.utc_offset_h, duty.drill_day, duty.drill_hour)
        if moment is None or phones is None or not phones.available:
            return
        for person in self.rota.people.values():
            quiet = at < self._quiet_until.get(person.site, 0.0)
            if person.active and person.phone and person.known_since < moment and not quiet:
                self._drilling.setdefault(person.site, at)

    async def _drill(self, site: str) -> None:
        phones = self.phones()
        if phones is None or not phones.available:
            log.info("numbers_not_tested", site=site, reason="no_phones")
            return
        for person in [one for one in self.people(site) if one.active and one.phone]:
            outcome = await phones.ring(f"tel:{person.phone}", by="drill", timeout_s=DRILL_RING_S, drill=True)
            result = _RESULTS.get(outcome.result)
            if result is None:  # cancelled: nothing is known
                continue
            current = self.rota.people.get(person.person, person)
            try:
                await self.tested(current, result, "drill", time.time())
            except StoreError as error:
                log.warning("test_not_kept", person=person.person, reason=str(error))


def _key(one: Person | Plan | Override) -> tuple[Kind, str]:
    match one:
        case Person():
            return "person", one.person
        case Plan():
            return "plan", one.plan
        case Override():
            return "override", one.override


def _dead_number(person: Person, at: float) -> Finding:
    change: Change = "raised" if person.dead else "cleared"
    zh = f"呼叫名单：{person.name} 的电话打不通" if person.dead else f"呼叫名单：{person.name} 的电话已恢复"
    en = f"Call list: {person.name}'s number reaches nobody" if person.dead else f"Call list: {person.name} is reached"
    explain: dict[str, object] = {"result": person.test, "missed": person.missed, "tested_at": at}
    key = f"{person.site}/dead_number/{person.person}"
    return Finding(person.site, key, "dead_number", person.person, change, "warning", at, zh, en, explain)
