"""Escalations as they run: each step is written with its entries in one transaction, then told and carried out.

An alert that is raised begins its escalation in the very transaction that writes the alert (`follow`), so a crash loses
neither or both. After a start, `load` goes on with every escalation where it stood and begins those of alerts that have
none. `able` says who can be rung now; ringing on screens is done by the entry itself, telephones by tasks of `run`,
everything else by rows that `outlets` sends.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from config.settings import EscalationChainSettings as Chain
from config.settings import Settings
from server.alerts.machine import STANDING, Alert, Change
from server.alerts.service import AlertService
from server.bus import Bus
from server.duty import rows
from server.duty.chains import Way, choose, way
from server.duty.contacts import CallList, Contact, NobodyListed
from server.duty.drill import MARK_EN, MARK_ZH, climbs, like_of
from server.duty.escalation import (
    Acted,
    Action,
    Answered,
    Call,
    Cancel,
    Declined,
    Due,
    Escalation,
    Event,
    Failed,
    Revert,
    Risen,
    State,
    Stopped,
    Tell,
)
from server.duty.outlets import Outlets
from server.duty.phones import Phones
from server.duty.rows import Message
from server.store import timeline
from server.store.crashpoints import crashpoint
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.store.sites import SiteTree
from server.supervise import apart

log = structlog.get_logger()

LOOK_S = 0.5
RETRY_S = 0.5
COME_BACK_S = 15.0
"""After a start, pages are taken to be there for this long: they are on their way back."""
OUTWARD = ("answered", "settled", "stopped", "reverted", "exhausted", "nobody")
"""Changes that programs are told of, besides `ringing`."""


@dataclass(slots=True)
class _After:
    """What is to be done once a step is on disk."""

    dial: list[Call] = field(default_factory=list)
    hang_up: list[str] = field(default_factory=list)
    posted: bool = False


class Escalations:
    """All escalations of this server."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        alerts: AlertService,
        *,
        rooms_about: Callable[[str], Iterable[str]] = lambda site: (),
    ) -> None:
        self._settings = settings
        self._duty = settings.duty
        self._database = database
        self._tree = tree
        self._bus = bus
        self._alerts = alerts
        self._rooms_about = rooms_about
        self._open: dict[str, Escalation] = {}
        self._wake = asyncio.Event()
        self._started = time.monotonic()
        self._calls: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._to_dial: list[Call] = []
        self._news: asyncio.Queue[tuple[str, Event]] = asyncio.Queue(10_000)
        self.outlets = Outlets(settings, database, self._not_delivered)
        self.call_list: CallList = NobodyListed()
        self.phones: Phones | None = None
        """Set by the part that has telephones."""
        self.on_drilled: Callable[[str, str, str], Awaitable[None]] = _not_noted
        """A telephone was rung in a drill: (site, target, result)."""
        self.screens: Callable[[str], frozenset[str]] = lambda site: frozenset()
        """Accounts of a site whose pages are open and may take an alert."""
        self.armed: Callable[[str], frozenset[str]] = lambda site: self.screens(site)
        """Those of them whose pages would be heard."""

    # --- start --------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Go on with what was going on; begin what stands and was never rung."""
        if not self._duty.escalate:
            return
        now, at = time.monotonic(), time.time()
        async with self._database.reading() as connection:
            states = await rows.open_states(connection)
        for state in states:
            made = Escalation.take_up(state, self._way(state), now, at, offset_h=self._duty.utc_offset_h)
            self._open[state.alert] = made
        roots = [site for site in self._tree if self._tree[site].parent is None]
        standing = [alert for root in roots for alert in await self._alerts.open_for(root) if alert.state == "open"]
        async with self._database.reading() as connection:
            known = await rows.known(connection, [alert.id for alert in standing])
        for alert in standing:
            if alert.id not in known:
                await self._database.finish(self._begin_late(alert, at))

    async def _begin_late(self, alert: Alert, at: float) -> None:
        async with self._database.transaction() as connection:
            entries, done = await self.follow(connection, alert, Change.RAISED, at)
        done()
        await self._publish(entries)

    def _way(self, state: State) -> Way:
        chain = choose(self._duty.chains, state.severity, state.like if state.drill else state.rule)
        if chain is None:  # the settings no longer ring for it: what began is ended by its last round
            chain = choose((), state.severity, state.rule) or choose((), "warning", "")
        assert chain is not None, "there is a built-in chain for warnings"
        return self._climb(chain, state.site, state.up_to, drill=state.drill)

    def _climb(self, chain: Chain, site: str, up_to: str, *, drill: bool) -> Way:
        """The stations of a chain from a site on. Who takes a drill has done enough: it does not ring again."""
        sites = climbs([site, *self._tree.ancestors(site)], up_to)
        if drill:
            chain = chain.model_copy(update={"revert_after_s": 0.0})
        return way(chain, sites, self._tree.level)

    # --- what alerts do -----------------------------------------------------------------------------------------------

    async def follow(
        self, connection: AsyncConnection, alert: Alert, change: Change, at: float
    ) -> tuple[Sequence[timeline.Entry], Callable[[], None]]:
        """A change of an alert, inside its transaction (`server.alerts.service.Follower`)."""
        known, now = self._open.get(alert.id), time.monotonic()
        if not self._duty.escalate:
            return (), _nothing
        if known is None:
            if alert.state not in STANDING or alert.acknowledged is not None:
                return (), _nothing
            if change not in (Change.RAISED, Change.AGAIN):
                return (), _nothing
            return await self._begin(connection, alert, now, at)
        event = self._event_of(known, alert, change)
        if event is None:
            return (), _nothing
        trial = known.copy()
        return await self._keep(connection, trial, trial.handle(event, now, at, self.able), at, alert)

    async def _begin(
        self, connection: AsyncConnection, alert: Alert, now: float, at: float
    ) -> tuple[Sequence[timeline.Entry], Callable[[], None]]:
        like, up_to = like_of(alert)
        chain = choose(self._duty.chains, alert.severity, like)
        if chain is None:
            return (), _nothing
        made, actions = Escalation.begin(
            alert.id, alert.site, alert.severity, alert.rule, self._climb(chain, alert.site, up_to, drill=alert.drill),
            now, at, self.able, offset_h=self._duty.utc_offset_h, simulated=alert.simulated,
            like=like if alert.drill else "", up_to=up_to,
        )  # fmt: skip
        return await self._keep(connection, made, actions, at, alert)

    def _event_of(self, known: Escalation, alert: Alert, change: Change) -> Event | None:
        if change is Change.ACKNOWLEDGED and alert.acknowledged is not None:
            return Answered(alert.acknowledged.name, alert.acknowledged.site)
        if change is Change.CLEARED:
            return Stopped("cleared")
        if change is Change.CLOSED:
            return Stopped("closed")
        if change is Change.AGAIN and alert.severity != known.state.severity:
            chain = choose(self._duty.chains, alert.severity, alert.rule)
            if chain is not None:
                return Risen(alert.severity, self._climb(chain, alert.site, "", drill=False))
        return None

    # --- what people and programs do ----------------------------------------------------------------------------------

    async def pass_on(self, alert: str, by: str) -> bool:
        """A person says: call the next level now. False when nothing rings for this alert.

        Raises:
            StoreError
        """
        known = self._open.get(alert)
        if known is None or not known.state.ring:
            return False
        await self.give(alert, Declined(known.state.ring, by))
        return True

    async def give(self, alert: str, event: Event) -> None:
        """An event for an escalation; one that is over takes none.

        Raises:
            StoreError: it could not be written, so it has not happened.
        """
        await self._database.finish(self._given(alert, event))

    async def _given(self, alert: str, event: Event) -> None:
        async with self._database.transaction() as connection:
            known, now, at = self._open.get(alert), time.monotonic(), time.time()
            if known is None or (isinstance(event, Due) and (known.due is None or known.due > now)):
                return
            trial = known.copy()
            actions = trial.handle(event, now, at, self.able)
            if not actions and trial.due == known.due:
                return
            entries, done = await self._keep(connection, trial, actions, at)
        done()
        await self._publish(entries)

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _keep(
        self,
        connection: AsyncConnection,
        made: Escalation,
        actions: Sequence[Action],
        at: float,
        alert: Alert | None = None,
    ) -> tuple[Sequence[timeline.Entry], Callable[[], None]]:
        """Write a step: the state, its entries, its messages. What it leads to is done after the transaction."""
        state, after = made.state, _After()
        entries: list[timeline.Entry] = []
        if any(isinstance(one, Revert) for one in actions):
            reason = next(one.reason for one in actions if isinstance(one, Revert))
            entries += await self._alerts.revert(connection, state.alert, reason, at)
        await rows.save(connection, state, at, open=not made.over)
        crashpoint("escalation.row")
        rooms = [*self._tree.rooms_of(state.site), *self._rooms_about(state.site)]
        told = [one for one in actions if isinstance(one, Tell)]
        news = [timeline.News(rooms, "escalation", self._body(made, one), at) for one in told]
        entries += await timeline.append_all(connection, news)
        await self._post(connection, made, actions, at, alert, after)
        crashpoint("escalation.entries")
        for one in actions:
            if isinstance(one, Cancel):
                after.hang_up.append(one.ring)
            elif isinstance(one, Call) and one.channel == "phone":
                after.dial.append(one)
        return entries, lambda: self._done(made, after)

    def _done(self, made: Escalation, after: _After) -> None:
        if made.over:
            self._open.pop(made.state.alert, None)
        else:
            self._open[made.state.alert] = made
        for ring, who in [key for key in self._calls if key[0] in after.hang_up]:
            self._calls[ring, who].cancel()
        self._to_dial = [call for call in self._to_dial if call.ring not in after.hang_up] + after.dial
        self._wake.set()
        if after.posted:
            self.outlets.wake()

    def _shown(self, made: Escalation) -> dict[str, object]:
        """The view, and whose pages sound: those on duty, where the rota names accounts that are there."""
        at, users = time.time(), dict[str, list[str]]()
        for site in made.state.reached:
            named = {one.user for who in ("on_duty", "deputy") for one in self.call_list.reach(site, who, at)}
            if there := sorted(named & self.screens(site)):
                users[site] = there
        return {**made.view(), "users": users}

    def _body(self, made: Escalation, told: Tell) -> dict[str, object]:
        body = {**self._shown(made), **told.more, "change": told.change}
        if made.state.simulated:
            body["simulated"] = True
        return body

    async def _publish(self, entries: Sequence[timeline.Entry]) -> None:
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())

    async def _post(
        self,
        connection: AsyncConnection,
        made: Escalation,
        actions: Sequence[Action],
        at: float,
        alert: Alert | None,
        after: _After,
    ) -> None:
        """Messages to programs and gateways."""
        calls = [one for one in actions if isinstance(one, Call) and one.channel in ("webhook", "sms", "mqtt")]
        ends = [one for one in actions if isinstance(one, Tell) and one.change in OUTWARD]
        if not calls and not ends:
            return
        title = await self._title(made.state.alert, alert)
        messages: list[Message] = []
        for call in calls:
            body = {**self._body(made, Tell("ringing")), "title": title, "at": at}
            for address, contact in self._addresses(call, at):
                text = self._words(made, call, title)
                name = contact.name if contact is not None else ""
                messages.append(_message(made, call.channel, address, call, {**body, "text": text, "name": name}, at))
        for told in ends:
            body = {**self._body(made, told), "title": title, "at": at}
            messages += [_message(made, channel, address, None, body, at) for channel, address in self._programs(made)]
        await rows.put(connection, messages)
        after.posted = bool(messages)

    async def _title(self, alert_id: str, alert: Alert | None) -> dict[str, str]:
        found = alert or await self._alerts.get(alert_id)
        return {"zh": found.title_zh, "en": found.title_en} if found is not None else {"zh": "", "en": ""}

    def _words(self, made: Escalation, call: Call, title: Mapping[str, str]) -> dict[str, str]:
        site = self._tree[made.state.site]
        if made.state.drill:  # the mark comes first: it must be read before anything else
            bare = {"zh": title["zh"].removeprefix(MARK_ZH), "en": title["en"].removeprefix(MARK_EN)}
            return {"zh": f"{MARK_ZH}【{site.name_zh}】{bare['zh']}", "en": f"{MARK_EN}[{site.name_en}] {bare['en']}"}
        return {"zh": f"【{site.name_zh}】{title['zh']}", "en": f"[{site.name_en}] {title['en']}"}

    def _addresses(self, call: Call, at: float) -> list[tuple[str, Contact | None]]:
        if call.channel == "sms":
            people = self.call_list.reach(call.site, call.who, at)
            return [(one.phone, one) for one in people if one.phone]
        if call.channel == "webhook":
            return [(name, None) for name in self._webhooks(call.site)]
        return [(self._topic(call.site), None)]

    def _programs(self, made: Escalation) -> list[tuple[str, str]]:
        """Programs that were told of this ring are told of its end."""
        named = {channel for step in made.way.chain.steps for channel in step.ring}
        found: list[tuple[str, str]] = []
        for site in made.state.reached or [made.state.site]:
            if "webhook" in named:
                found += [("webhook", name) for name in self._webhooks(site)]
            if "mqtt" in named and self._settings.mqtt.host is not None:
                found.append(("mqtt", self._topic(site)))
        return list(dict.fromkeys(found))

    def _webhooks(self, site: str) -> list[str]:
        return [one.name for one in self._duty.webhooks if one.site is None or self._tree.reaches(one.site, site)]

    def _topic(self, site: str) -> str:
        return f"{self._settings.mqtt.topic_prefix}/{site}/incident/escalation/event"

    # --- who can be rung ----------------------------------------------------------------------------------------------

    def able(self, site: str, who: str, channel: str) -> str:
        """Why somebody cannot be rung now; empty when he can."""
        match channel:
            case "browser":
                return self._able_by_page(site, who)
            case "phone":
                if self.phones is None or not self.phones.available:
                    return "no_phones"
                return "" if self._targets(site, who, time.time()) else "no_number"
            case "sms":
                if self._duty.sms.url is None:
                    return "no_gateway"
                return "" if any(one.phone for one in self.call_list.reach(site, who, time.time())) else "no_number"
            case "webhook":
                return "" if self._webhooks(site) else "no_webhook"
            case _:
                return "" if self._settings.mqtt.host is not None else "no_broker"

    def _able_by_page(self, site: str, who: str) -> str:
        if time.monotonic() - self._started < COME_BACK_S:
            return ""
        there = self.screens(site)
        if who != "on_duty":
            there &= {one.user for one in self.call_list.reach(site, who, time.time())}
        if not there:
            return "no_page"
        return "" if there & self.armed(site) else "silent"

    def _targets(self, site: str, who: str, at: float) -> list[str]:
        numbers = [f"tel:{one.phone}" for one in self.call_list.reach(site, who, at) if one.phone]
        if not numbers and who == "on_duty" and self.phones is not None and self.phones.reachable(site):
            return [f"site:{site}"]
        return numbers

    def _not_delivered(self, message: Message, reason: str) -> None:
        if message.ring:
            self._later(message.alert, Failed(message.ring, message.who, message.channel, reason))

    def _later(self, alert: str, event: Event) -> None:
        try:
            self._news.put_nowait((alert, event))
        except asyncio.QueueFull:  # the step's own time goes on all the same
            log.error("escalation_news_dropped", alert=alert)

    # --- tasks --------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Everything that goes on by itself."""
        self._calls.clear()
        self._redial()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick(group))
            group.create_task(self._take_news())
            group.create_task(self._hear_sessions())
            group.create_task(self.outlets.run())

    def _redial(self) -> None:
        """Calls of before a restart were cut: make them again."""
        now = time.monotonic()
        for one in self._open.values():
            s = one.state
            if s.ring and 0 <= s.place < len(one.way.stations) and one.due is not None:
                station = one.way.stations[s.place]
                self._to_dial += [
                    Call(s.ring, station.site, station.level, who, channel, max(1.0, one.due - now))
                    for who, channel in s.calls
                    if channel == "phone"
                ]

    async def _tick(self, group: asyncio.TaskGroup) -> None:
        while True:
            self._wake.clear()
            self._dial(group)
            now = time.monotonic()
            due = [alert for alert, one in self._open.items() if one.due is not None and one.due <= now]
            try:
                for alert in due:
                    await self.give(alert, Due())
            except StoreError as error:
                log.warning("escalation_waits", reason=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            next_due = min((one.due for one in self._open.values() if one.due is not None), default=now + LOOK_S)
            try:
                async with asyncio.timeout(max(0.0, min(LOOK_S, next_due - time.monotonic()))):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _take_news(self) -> None:
        while True:
            alert, event = await self._news.get()
            while True:
                try:
                    await self.give(alert, event)
                    break
                except StoreError as error:
                    log.warning("escalation_waits", reason=str(error))
                    await asyncio.sleep(RETRY_S)

    async def _hear_sessions(self) -> None:
        """A consultation about an alert is a deed: it stops the ringing, and what was taken is not taken back."""
        async with self._bus.subscribe("entry") as entries:
            async for entry in entries:
                body: Any = entry["body"]
                if entry["kind"] == "session" and body.get("change") == "started" and body.get("alert") in self._open:
                    self._later(str(body["alert"]), Acted(str(body.get("by", "")), str(body.get("by_site", ""))))

    # --- telephones ---------------------------------------------------------------------------------------------------

    def _dial(self, group: asyncio.TaskGroup) -> None:
        calls, self._to_dial = self._to_dial, []
        for call in calls:
            key = (call.ring, call.who)
            task = group.create_task(self._ring(call))
            self._calls[key] = task
            task.add_done_callback(lambda _, key=key: self._calls.pop(key, None))  # type: ignore[misc]

    async def _ring(self, call: Call) -> None:
        if not await apart(f"ring {call.ring}", lambda: self._ring_people(call)):
            self._later(call.ring.rsplit(".", 1)[0], Failed(call.ring, call.who, "phone", "error"))

    async def _ring_people(self, call: Call) -> None:
        """Ring one person after the other within the step's time, until somebody takes it or says: the next."""
        alert, phones = call.ring.rsplit(".", 1)[0], self.phones
        reason, deadline = "no_phones", time.monotonic() + call.seconds
        targets = self._targets(call.site, call.who, time.time()) if phones is not None else []
        for number, target in enumerate(targets):
            left = deadline - time.monotonic()
            if phones is None or left <= 0:
                break
            share = left / (len(targets) - number)
            known = self._open.get(alert)
            drill = known is not None and known.state.drill
            outcome = await phones.ring(target, alert=alert, by="escalation", timeout_s=share, drill=drill)
            if drill:
                await self.on_drilled(call.site, target, outcome.result)
            if outcome.result == "answered_by_person":
                await self._taken(alert, outcome.name or outcome.answered_by or target, call.site)
                return
            if outcome.result == "next":
                self._later(alert, Declined(call.ring, outcome.name or outcome.answered_by or target))
                return
            reason = outcome.result
        self._later(alert, Failed(call.ring, call.who, "phone", reason))

    async def _taken(self, alert: str, name: str, site: str) -> None:
        """Somebody pressed 'I have it' on a telephone."""
        by = _Caller(f"phone:{name}", name, site)
        while True:
            try:
                await self._alerts.acknowledge(alert, by=by, comment="", at=time.time())
                return
            except StoreError as error:
                log.warning("answer_waits", reason=str(error))
                await asyncio.sleep(RETRY_S)

    # --- questions ----------------------------------------------------------------------------------------------------

    def views(self, sites: Iterable[str]) -> list[dict[str, object]]:
        """What is going on about alerts of these sites, as on their cards."""
        wanted = set(sites)
        return [self._shown(one) for one in self._open.values() if one.state.site in wanted]

    def view(self, alert: str) -> dict[str, object] | None:
        known = self._open.get(alert)
        return known.view() if known is not None else None

    def __len__(self) -> int:
        return len(self._open)


@dataclass(frozen=True, slots=True)
class _Caller:
    """Who answered by telephone, as alerts remember people."""

    user: str
    name: str
    site: str


def _message(
    made: Escalation, channel: str, address: str, call: Call | None, body: Mapping[str, object], at: float
) -> Message:
    message = new_id(at)
    return Message(
        message,
        channel,
        address,
        made.red,
        made.state.alert,
        call.ring if call is not None else "",
        call.who if call is not None else "",
        {"id": message, **body},
        at,
    )


async def _not_noted(_site: str, _target: str, _result: str) -> None:
    return


def _nothing() -> None:
    return
