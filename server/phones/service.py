"""The phones of this server: one SIP user agent, its sockets, and the calls over it.

`run` listens while it runs; everything of one run is made anew for the next. Each call is a task with its own flow.
What the net sends is judged by the gate (`gate.py`); whom this server rings is asked through `ring`, by people with a
log-in and by the escalation, never by a call that came in (but for transfers that the settings allow to desk phones).
"""

import asyncio
import hmac
import os
import random
import secrets
import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, Literal

import structlog

from config.settings import PhonesSettings
from media.phone.messages import (
    DigitPressed,
    LegEnded,
    LegStatistics,
    Levels,
    MediaBack,
    MediaTimeout,
    Played,
    Profile,
    Started,
)
from media.phone.ports import told as own_address
from server.conductor import Conductor
from server.phones import flows, ringing, rules
from server.phones.callbook import CallBook
from server.phones.caller import Outcome, masked
from server.phones.devices import Phones
from server.phones.errors import PhoneError
from server.phones.gate import PhoneGate, caller_of, profile_of
from server.phones.goals import (
    Goal,
    desk_profile,
    flow_of,
    goal_at_phone,
    goal_by_trunk,
    media_profile,
    port_of,
    secured,
)
from server.phones.leg import Command, HangUp, Item, Leg, LegOver, Silenced, Transfer
from server.phones.media import PhoneMediaDown, PhoneMediaPort, PhoneMediaRefused
from server.phones.pace import Pace
from server.phones.pins import Lock, pin_of
from server.phones.refusals import Refusals, RefusedCall
from server.phones.remembered import Remembered
from server.phones.trace import Trace, call_id_of
from server.sessions.service import SessionService
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.supervise import apart
from signaling.sip.address import Address
from signaling.sip.callcore import Place
from signaling.sip.callevents import CallEvent, Ended, Incoming, Referred, Refused, RegistrationChanged, Texted
from signaling.sip.digest import Algorithm, DigestServer
from signaling.sip.endpoint import SipEndpoint, serve
from signaling.sip.errors import LocalSipError
from signaling.sip.registrar import Binding, Registrar
from signaling.sip.registration import Probe, Registration
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri, host_of
from signaling.sip.useragent import UserAgent

REGISTERED_S = 120
"""Phones come back this often. Those over UDP and TCP are remembered across a restart, the others come back by then."""
RECENT_KEPT = 200
TEND_S = 0.5
REFRESH_S = 5.0
FORGET_S = 3600.0
MAX_BEGUN = 50
"""Rings of people that go on at once."""
TURNED_AWAY = {
    "media_refused": "Nothing in its offer could be agreed.",
    "media_down": "The phone worker was not running.",
    "no_session": "There is no consultation that it could be led into.",
    "no_pin": "No number was entered.",
    "wrong_pin": "No consultation has the number that was entered.",
    "pin_locked": "Too many wrong numbers came from this caller.",
    "locked": "Nobody let it into the locked consultation.",
    "removed": "It was put out of this consultation before.",
    "session_over": "The consultation ended while it was waiting.",
}
"""Results of calls that the gate let in and that came into no consultation all the same: rules as well."""
DIGESTS: dict[str, tuple[Algorithm, ...]] = {"sha256": ("SHA-256",), "both": ("SHA-256", "MD5"), "md5": ("MD5",)}

Mode = Literal["parallel", "sequential"]

log = structlog.get_logger()


class PhoneService:
    """`key`: secret of this server, for PINs. `media`: the phone worker."""

    def __init__(
        self,
        settings: PhonesSettings,
        database: Database,
        tree: SiteTree,
        conductor: Conductor,
        sessions: SessionService,
        media: PhoneMediaPort,
        key: bytes,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.settings = settings
        self.tree = tree
        self.conductor = conductor
        self.sessions = sessions
        self.key = key
        self.phones = Phones(database, tree, settings.domain)
        self.lock = Lock(settings.pin_tries, settings.pin_lock_s)
        self.rates = Pace(settings.requests_per_s, settings.burst, settings.ban_s, settings.wrong_digest_ban_s)
        self.trace = Trace(settings.trace_calls)
        self.refusals = Refusals()
        self.recent: deque[Leg] = deque(maxlen=RECENT_KEPT)
        self.legs: dict[str, Leg] = {}
        self.trunk_reasons: dict[str, str] = {}
        self._media = media
        self._tls = tls
        self._by_call: dict[str, Leg] = {}
        self._agents: dict[str, str] = {}
        """User-Agent of registered phones."""
        self._digest_key = os.urandom(32)
        self._registrations: dict[str, Registration] = {}
        self._probes: dict[str, Probe] = {}
        self.book = CallBook(database)
        self._remembered = Remembered(database)
        self._group: asyncio.TaskGroup | None = None
        """Of the calls of now; None from the moment that it ends."""
        self._begun = 0
        self._run_state: tuple[UserAgent, SipEndpoint, PhoneGate, Registrar] | None = None

    # --- what others ask ---

    @property
    def available(self) -> bool:
        return self._run_state is not None

    @property
    def endpoint(self) -> SipEndpoint | None:
        return self._run_state[1] if self._run_state is not None else None

    @property
    def agent(self) -> UserAgent:
        """While it runs."""
        assert self._run_state is not None
        return self._run_state[0]

    def bindings(self, phone: str) -> list[Binding]:
        if self._run_state is None:
            return []
        return self._run_state[3].bindings(phone, asyncio.get_running_loop().time())

    def reachable(self, site: str) -> bool:
        return any(not one.disabled and self.bindings(one.phone) for one in self.phones.of([site]))

    def pin(self, session: str) -> str:
        return pin_of(self.key, session)

    def mark_of(self, leg: Leg) -> str:
        """A caller's number as nobody can read it: so that whoever was put out does not come in again."""
        known = leg.caller if leg.direction == "in" else leg.called
        text = f"{leg.peer}\0{known}" if known else leg.id
        return hmac.digest(self.key, b"caller\0" + text.encode(), "sha256").hex()[:12]

    def explain(self, source: str, called: str, caller: str) -> rules.Outcome:
        """What the rules would say of a call."""
        if self._run_state is None:
            return rules.Outcome("phones_off", "Phones are switched off.", 503)
        return self._run_state[2].explain(source, rules.number(called), rules.number(caller) or caller)

    def agent_of(self, phone: str) -> str:
        return self._agents.get(phone, "")

    def leg_of(self, call: str) -> Leg | None:
        return self._by_call.get(call)

    def command(self, call: str, what: Command) -> None:
        """Raises PhoneError (`no_such_call`)."""
        leg = self.legs.get(call)
        if leg is None:
            raise PhoneError("no_such_call", f"There is no call {call}.")
        leg.put(what)

    def can_see(self, leg: Leg, track: str) -> bool:
        """Whether this is a track of pictures in the room that the phone is in."""
        rooms = leg.client.rooms if leg.client is not None else {}
        return any(
            own.track == track and own.kind == "video" for room in rooms for _, own in self.conductor.tracks_in(room)
        )

    def transfer(self, call: str, target: str) -> None:
        """Ask the phone to call somebody else: a registered phone, a number that may be dialled, or the desk phone of
        another call, in our place (`call:{call}`)."""
        if target.startswith("call:"):
            self._transfer_to_call(call, target.removeprefix("call:"))
            return
        goals = self._goals(target, "")
        if isinstance(goals, Outcome):
            raise PhoneError("not_allowed", f"The rule {goals.reason} refuses this target.", goals.status)
        if target.startswith("tel:"):
            leg = self.legs.get(call)
            within = self.agent.calls.get(leg.call) if leg is not None else None
            flow = within.flow if within is not None else Flow("", 0)
            self.command(call, Transfer(SipUri(self.agent.place.address(flow), goals[0].called)))
        else:
            self.command(call, Transfer(goals[0].uri))

    def _transfer_to_call(self, call: str, other: str) -> None:
        """Only desk phones: whoever came by a trunk is not told to call anybody, nor called."""
        legs = self.legs.get(call), self.legs.get(other)
        if call == other or not all(leg is not None and leg.peer.startswith("phone:") for leg in legs):
            raise PhoneError("not_allowed", "Only two desk phones can be joined.", 403)
        taken = self.legs[other]
        dialog = self.agent.calls[taken.call].dialog if taken.call in self.agent.calls else None
        if dialog is None or taken.answered_at is None or not isinstance(dialog.target, SipUri):
            raise PhoneError("not_allowed", "That call has not been answered.", 403)
        self.command(call, Transfer(dialog.target.bare(), taken.call))

    # --- ringing ---

    async def ring(
        self,
        target: str,
        *,
        session: str | None = None,
        alert: str | None = None,
        site: str = "",
        by: str = "",
        timeout_s: float | None = None,
        menu: bool = True,
        drill: bool = False,
    ) -> Outcome:
        """Ring until somebody answers, or not. What the net does raises nothing; cancelled, it stops ringing.

        Args:
            target: `site:{site}` (all registered phones of a site), `phone:{phone}`, or `tel:{number}` by a trunk.
            session: whoever answers is brought into it, as a member of its phone's site (for `tel:` of `site`, or of
                the site that called).
            menu: a person is who presses 1 ("I have it"); 2 is "call the next".
            drill: whoever answers is told first that this is a drill; for a session that is one, always.
        """
        goals = self._goals(target, site)
        if isinstance(goals, Outcome):
            self._not_rung(goals, session, by)
            return goals
        wait_s = min(timeout_s or self.settings.ring_timeout_s, 170.0)

        async def ring(goals: list[Goal]) -> Outcome:
            told = [self._ring(goal, target, session or "", alert or "", by, menu, drill=drill) for goal in goals]
            return await ringing.together(target, told, wait_s, lambda leg: leg.id in self.legs)

        outcome = await ring(goals)
        if outcome.status == 488 and self._group is not None and (stricter := secured(goals)):
            outcome = await ring(stricter)
        return outcome

    async def ring_group(
        self,
        targets: Sequence[str],
        *,
        mode: Mode = "sequential",
        session: str | None = None,
        alert: str | None = None,
        site: str = "",
        by: str = "",
        timeout_s: float | None = None,
        menu: bool = True,
    ) -> tuple[Outcome, ...]:
        """In a row until a person has it, or all at once, each as by `ring`; the outcomes of those that were rung."""

        async def one(target: str) -> Outcome:
            return await self.ring(
                target, session=session, alert=alert, site=site, by=by, timeout_s=timeout_s, menu=menu
            )

        return await (ringing.in_a_row(targets, one) if mode == "sequential" else ringing.at_once(targets, one))

    def _goals(self, target: str, site: str) -> list[Goal] | Outcome:
        if self._run_state is None or self._group is None:
            return Outcome(target, "unreachable", "phones_off")
        site = site if site in self.tree else ""
        kind, _, name = target.partition(":")
        if kind == "tel":
            return self._goal_by_trunk(target, name, site)
        if kind == "site":
            phones = [one for one in self.phones.of([name]) if not one.disabled]
        elif kind == "phone":
            phones = [one for one in (self.phones.get(name),) if one is not None and not one.disabled]
        else:
            return Outcome(target, "refused", "invalid", status=400)
        goals = [
            goal_at_phone(self.settings.domain, phone, binding, video=self.settings.video)
            for phone in phones
            for binding in self.bindings(phone.phone)
        ]
        return goals or Outcome(target, "unreachable", "not_registered", status=480)

    def _goal_by_trunk(self, target: str, wanted: str, site: str) -> list[Goal] | Outcome:
        busy = {trunk.name: self._calls_of(f"trunk:{trunk.name}") for trunk in self.settings.trunks}
        trunk, number, outcome = rules.dial(wanted, self.settings.trunks, busy, self.book.today())
        if trunk is None:
            return Outcome(target, "refused", outcome.rule, status=outcome.status)
        return [goal_by_trunk(trunk, number, site)]

    def _ring(
        self, goal: Goal, target: str, session: str, alert: str, by: str, menu: bool, *, drill: bool
    ) -> tuple[Leg, "asyncio.Future[Outcome]"]:
        assert self._run_state is not None
        assert self._group is not None
        agent, endpoint, _, _ = self._run_state
        state = self.sessions.get_open(session) if session else None
        site = goal.site or (state.started_by_site if state is not None else "")
        leg = Leg(
            secrets.token_hex(12), "out", goal.peer, "", goal.called, goal.name, site, goal.profile, agent, endpoint,
            self._media, self._note, self._referred, session=session, alert=alert, by=by,
            language=self.settings.language, drill=drill or (state is not None and state.drill),
        )  # fmt: skip
        self.legs[leg.id] = leg
        if goal.peer.startswith("trunk:"):
            self.book.dialled(goal.peer.removeprefix("trunk:"))
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._group.create_task(self._guard(leg, self._dial(leg, goal, target, menu, future)))
        return leg, future

    async def _dial(self, leg: Leg, goal: Goal, target: str, menu: bool, told: "asyncio.Future[Outcome]") -> None:
        """Get an offer, send the INVITE, then follow the call."""

        def fail(reason: str, detail: str) -> None:
            leg.result, leg.reason = reason, detail
            if not told.done():
                told.set_result(Outcome(target, "unreachable", reason, goal.peer, 0.0, leg.id))

        try:
            await self.book.began(leg)
            try:
                sdp = await leg.media.make_offer(leg.id, goal.profile)
            except (PhoneMediaRefused, PhoneMediaDown) as error:
                fail("media_down" if isinstance(error, PhoneMediaDown) else "media_failed", str(error))
                return

            def dial(now: float) -> list:  # type: ignore[type-arg]
                leg.call, sends = leg.agent.invite(
                    goal.uri, sdp.encode(), goal.flow, goal.sip, now, local=goal.local, fields=goal.fields
                )
                self._by_call[leg.call] = leg
                leg.call_id = call_id_of(sends[0].data) if sends else ""
                return sends

            try:
                leg.step(dial)
            except LocalSipError as error:
                fail("capacity", error.detail)
                return
            self.changed(leg, "dialling")
            await flows.outbound(self, leg, told, target, menu)
        finally:
            if not told.done():
                told.set_result(Outcome(target, "cancelled", "cancelled", goal.peer, 0.0, leg.id))

    def _not_rung(self, outcome: Outcome, session: str | None, by: str) -> None:
        log.info("ring_refused", target=_hidden(outcome.target), rule=outcome.reason, by=by)
        if outcome.result == "refused":
            self.refusals.remember(
                RefusedCall(
                    time.time(),
                    outcome.reason,
                    "A call that we were to make.",
                    outcome.status,
                    "INVITE",
                    "",
                    "",
                    by,
                    outcome.target,
                )
            )
        if session and (state := self.sessions.get_open(session)) is not None:
            body: dict[str, object] = {
                "change": outcome.result, "direction": "out", "session": session, "name": _hidden(outcome.target),
                "reason": outcome.reason, "by": by,
            }  # fmt: skip
            self.conductor.note([state.room], "call", body)

    def begin_ring(
        self, targets: Sequence[str], *, mode: Mode, timeout_s: float | None, session: str, alert: str | None, by: str,
        menu: bool,
    ) -> None:  # fmt: skip
        """Ring without waiting for what comes of it: that stands in the timeline. Raises PhoneError."""
        if self._group is None:
            raise PhoneError("phones_off", "Phones are not running.")
        if self._begun >= MAX_BEGUN:
            raise PhoneError("too_fast", f"{MAX_BEGUN} rings are going on.")
        self._begun += 1

        async def rung() -> None:
            await self.ring_group(
                targets, mode=mode, timeout_s=timeout_s, session=session, alert=alert, by=by, menu=menu
            )

        self._group.create_task(self._begin(rung))

    async def _begin(self, rung: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await apart("ring", rung)
        finally:
            self._begun -= 1

    # --- running ---

    async def run(self) -> None:
        await self.phones.refresh()
        await self.book.open()
        ports: dict[str, int] = {}
        host = self.settings.advertise or self.settings.listen_host
        token: Callable[[], str] = lambda: secrets.token_hex(12)  # noqa: E731
        algorithms = DIGESTS[self.settings.digest]
        digest = DigestServer(self.settings.domain, self._digest_key, os.urandom, algorithms)
        registrar = Registrar(self.settings.domain, digest, self.phones.secret, token, max_expires=REGISTERED_S)
        gate = PhoneGate(
            self.settings, registrar, digest, self.phones.secret, self.phones.get, self.rates, self._calls_of
        )
        wildcard = ip_address(host).is_unspecified
        place = Place(host, ports, toward=partial(own_address, host) if wildcard else None)
        agent = UserAgent(place, gate, token, random.random, registrar, self.settings.max_calls)
        await self._remember(agent)
        tls = self._tls() if self._tls is not None and self.settings.tls_port is not None else None
        async with serve(
            agent, self.settings.listen_host, self.settings.port, tls=tls, tls_port=self.settings.tls_port or 0,
            on_step=self._stepped,
        ) as endpoint:  # fmt: skip
            ports |= {"UDP": endpoint.port, "TCP": endpoint.port, "WS": endpoint.port, "WSS": endpoint.port}
            ports["TLS"] = endpoint.tls_port or endpoint.port
            endpoint.client_tls = ssl.create_default_context()
            endpoint.on_traffic = self._traffic
            self._run_state = (agent, endpoint, gate, registrar)
            self._set_up_trunks(agent)
            log.info("phones_listening", host=self.settings.listen_host, port=endpoint.port, tls=endpoint.tls_port)
            try:
                async with asyncio.TaskGroup() as group:
                    self._group = group
                    group.create_task(self._tend_group())
            finally:
                self._part(endpoint, agent)
                self._run_state = self._group = None

    async def _remember(self, agent: UserAgent) -> None:
        """Phones that were registered before a restart, and still may be. Raises StoreError."""
        now = asyncio.get_running_loop().time()
        for name, binding, called in await self._remembered.read(now, time.time(), REGISTERED_S):
            phone = self.phones.get(name)
            if phone is None or not self._may_register(name):
                continue
            if not phone.networks or rules.within(binding.flow.host, phone.networks):
                agent.restore(name, binding, now)
                self._agents[name] = called

    def _may_register(self, phone: str) -> bool:
        known = self.phones.get(phone)
        return known is not None and not known.disabled and self.phones.secret(phone, "MD5") is not None

    def _part(self, endpoint: SipEndpoint, agent: UserAgent) -> None:
        """Say goodbye to every call and every registrar; nobody waits for answers."""
        for call in list(agent.calls):
            endpoint.step(lambda now, call=call: agent.hang_up(call, now))  # type: ignore[misc]
        for registration in self._registrations.values():
            endpoint.step(registration.stop)
        self._registrations.clear()
        self._probes.clear()
        self._by_call.clear()
        self.legs.clear()

    def _set_up_trunks(self, agent: UserAgent) -> None:
        for trunk in self.settings.trunks:
            flow, registrar = flow_of(trunk), SipUri(host_of(trunk.host), None, port_of(trunk))
            if trunk.outbound or trunk.register_every_s:
                self._probes[trunk.name] = Probe(agent, registrar, flow)
            if trunk.register_every_s and trunk.username:
                address = Address(SipUri(host_of(trunk.realm or trunk.host), trunk.username))
                self._registrations[trunk.name] = Registration(
                    agent, registrar, address, flow, profile_of(trunk).account, random.random, secrets.token_hex(12),
                    trunk.register_every_s,
                )  # fmt: skip

    async def _tend_group(self) -> None:
        try:
            await self._tend()
        finally:
            self._group = None  # no call begins any more

    async def _tend(self) -> None:
        """Registrations of ours, probes, phones that another process changed, old records."""
        loop = asyncio.get_running_loop()
        refresh_at, forget_at = loop.time() + REFRESH_S, loop.time() + FORGET_S
        while True:
            assert self._run_state is not None
            endpoint = self._run_state[1]
            now = loop.time()
            tended: list[Registration | Probe] = [*self._registrations.values(), *self._probes.values()]
            for one in tended:
                at = one.next_timeout()
                if at is not None and at <= now:
                    endpoint.step(one.timeout)
            try:
                await self._remembered.write(self.bindings, self.agent_of, now, time.time())
                if now >= refresh_at:
                    refresh_at = now + REFRESH_S
                    if await self.phones.refresh():
                        self._forget_gone()
                if now >= forget_at:
                    forget_at = now + FORGET_S
                    await self.book.tidy()
            except StoreError as error:
                log.warning("phones_not_refreshed", reason=str(error))
            await asyncio.sleep(TEND_S)

    def _forget_gone(self) -> None:
        """A phone that was removed or disabled is not registered any more."""
        assert self._run_state is not None
        registrar = self._run_state[3]
        for phone in registrar.users():
            if not self._may_register(phone):
                registrar.forget(phone)
                self._remembered.changed(phone)
                for leg in list(self.legs.values()):
                    if leg.peer == f"phone:{phone}":
                        leg.put(HangUp("phone_removed"))

    async def unregister(self, phone: str) -> None:
        """Its secret is another one: it has to come again."""
        if self._run_state is not None:
            self._run_state[3].forget(phone)
            self._remembered.changed(phone)

    async def changed_phones(self) -> None:
        """Something was changed through the API."""
        await self.phones.refresh()
        if self._run_state is not None:
            self._forget_gone()

    def _traffic(self, sent: bool, data: bytes, flow: Flow) -> None:
        if sent or not self.rates.banned(flow.host, asyncio.get_running_loop().time()):
            self.trace.note(sent, data, f"{flow.host}:{flow.port}", flow.transport, time.time())

    def _stepped(self) -> None:
        if self._run_state is None:
            return
        for event in self._run_state[0].heard():
            self._heard(event)

    def _heard(self, event: CallEvent) -> None:
        if isinstance(event, Incoming):
            self._incoming(event)
        elif isinstance(event, Refused):
            self.refusals.remember(
                RefusedCall(
                    time.time(),
                    event.rule,
                    event.why,
                    event.status,
                    event.method,
                    event.flow.host,
                    event.flow.transport,
                    event.caller,
                    event.called,
                )
            )
        elif isinstance(event, RegistrationChanged):
            self._registered(event)
        elif isinstance(event, Texted):
            log.debug("sip_text", who=event.who)  # the gate lets none in
        elif (leg := self._by_call.get(event.call)) is not None:
            if isinstance(event, Ended):
                self._by_call.pop(event.call, None)
            leg.put(event)

    def _registered(self, event: RegistrationChanged) -> None:
        self._remembered.changed(event.user)
        if event.agent:
            self._agents[event.user] = event.agent
        if event.contacts and event.flow.host:
            self.rates.proved(event.flow.host, asyncio.get_running_loop().time())
        if not event.contacts:
            self._agents.pop(event.user, None)
        log.debug("phone_registered", phone=event.user, contacts=event.contacts, address=event.flow.host)

    def _incoming(self, event: Incoming) -> None:
        assert self._run_state is not None
        if self._group is None:  # the server is being stopped
            self._run_state[1].step(partial(self._run_state[0].reject, event.call, 503))
            return
        agent, endpoint, gate, _ = self._run_state
        found = gate.dispatch(event.who, event.request)
        phone = self.phones.get(event.who.removeprefix("phone:")) if event.who.startswith("phone:") else None
        caller = phone.phone if phone is not None else caller_of(event.request)
        trunk = next((one for one in self.settings.trunks if f"trunk:{one.name}" == event.who), None)
        if phone is not None:
            profile = desk_profile(event.flow.host, video=self.settings.video)
        else:
            profile = media_profile(trunk, event.flow.host) if trunk is not None else Profile()
        leg = Leg(
            secrets.token_hex(12), "in", event.who, caller, rules.number_of(event.request.uri),
            phone.name if phone is not None else f"☎ {masked(caller)}",
            phone.site if phone is not None else found.site, profile, agent, endpoint, self._media, self._note,
            self._referred, call=event.call, call_id=event.request.call_id, rule=found.rule,
            language=self.settings.language,
        )  # fmt: skip
        self.trace.keep(leg.call_id)
        self.legs[leg.id] = leg
        self._by_call[event.call] = leg
        self._group.create_task(self._guard(leg, self._take(leg, event, found)))

    async def _take(self, leg: Leg, event: Incoming, found: rules.Outcome) -> None:
        await self.book.began(leg)
        self.changed(leg, "ringing")
        await flows.inbound(self, leg, event, found.action, found.site)

    async def _guard(self, leg: Leg, flow: Coroutine[Any, Any, None]) -> None:
        """A call's task, and what is left to do when it is over."""
        try:
            if not await apart(f"call {leg.id}", partial(self._followed, leg, flow)):
                leg.result = leg.result or "error"
                await apart(f"call {leg.id}", partial(self._dropped, leg))
        finally:
            self.legs.pop(leg.id, None)
            self._by_call.pop(leg.call, None)
            if leg.state != "ended":
                leg.state, leg.ended_at = "ended", time.time()
            self.recent.append(leg)
            await self._cleared(leg)

    async def _followed(self, leg: Leg, flow: Coroutine[Any, Any, None]) -> None:
        try:
            try:
                await flow
            except (PhoneMediaRefused, PhoneMediaDown) as error:
                leg.hang_up("media_failed", str(error))
                while True:
                    await leg.next()
        except LegOver as over:
            leg.over(over.ended)

    async def _dropped(self, leg: Leg) -> None:
        """Nobody follows the call any more: the phone is told so."""
        if leg.call:
            leg.hang_up("error")

    async def _cleared(self, leg: Leg) -> None:
        """Each part, whatever becomes of the others."""
        await apart(f"call {leg.id}", partial(self._media.close, leg.id, leg.result))
        if leg.client is not None:
            await apart(f"call {leg.id}", partial(self.conductor.remove, leg.client))
        await apart(f"call {leg.id}", partial(self._written, leg))

    async def _written(self, leg: Leg) -> None:
        self.changed(leg, "ended")
        if leg.direction == "in" and leg.client is None and leg.result in TURNED_AWAY:
            self.refusals.remember(
                RefusedCall(
                    time.time(), leg.result, leg.reason or TURNED_AWAY[leg.result], leg.status, "INVITE",
                    leg.profile.signalled_ip, "", leg.caller, leg.called,
                )
            )  # fmt: skip
        await self.book.ended(leg)

    def changed(self, leg: Leg, change: str) -> None:
        """Tell the rooms that it concerns, and the log."""
        log.info("call", call=leg.id, change=change, direction=leg.direction, peer=leg.peer, reason=leg.result)
        self._note(leg, change)

    def _note(self, leg: Leg, change: str) -> None:
        found = [f"session:{leg.session}"] if leg.session and self.sessions.get_open(leg.session) is not None else []
        found += [f"site:{leg.site}"] if leg.site in self.tree else []
        body: dict[str, object] = {
            "change": change, "call": leg.id, "direction": leg.direction, "name": leg.name, "site": leg.site,
            "session": leg.session, "alert": leg.alert, "result": leg.result, "reason": leg.reason, "by": leg.by,
            "rule": leg.rule,
        }  # fmt: skip
        if leg.answered_at is not None:
            body["answer_s"] = round(leg.answered_at - leg.began_at, 1)
        if found:
            self.conductor.note(found, "call", body)

    # --- transfers that phones ask for ---

    async def _referred(self, leg: Leg, event: Referred) -> None:
        """Only desk phones, only to numbers that the settings allow, and only into the same consultation."""
        number = rules.number_of(event.target)
        desk = leg.peer.startswith("phone:")
        if not desk or not rules.transfer_allowed(number, self.settings.transfers):
            rule = "transfer_target" if desk else "transfer_unauthenticated"
            self.refusals.remember(
                RefusedCall(
                    time.time(), rule, "A transfer that is not allowed.", 403, "REFER", "", "", leg.peer, number
                )
            )
            leg.step(lambda now: leg.agent.refuse_transfer(leg.call, 403, now))
            return
        leg.step(lambda now: leg.agent.accept_transfer(leg.call, now))
        if self._group is not None:
            self._group.create_task(self._transferred(leg, number))

    async def _transferred(self, leg: Leg, number: str) -> None:
        await apart(f"call {leg.id}", partial(self._transfer, leg, number))

    async def _transfer(self, leg: Leg, number: str) -> None:
        outcome = await self.ring(f"tel:{number}", session=leg.session or None, by=leg.peer, site=leg.site, menu=False)
        status = 200 if outcome.result == "answered_by_person" else outcome.status or 480
        if leg.id in self.legs:
            try:
                leg.step(lambda now: leg.agent.notify_transfer(leg.call, status, now))
            except LocalSipError as error:
                log.debug("transfer_not_told", call=leg.id, reason=error.detail)

    # --- what the phone worker tells ---

    def media_started(self, event: Started) -> None:
        log.debug("phone_media_started", call=event.leg, codec=event.codec, encrypted=event.encrypted)

    def digit(self, event: DigitPressed) -> None:
        self._to_leg(event.leg, event)

    def played(self, event: Played) -> None:
        self._to_leg(event.leg, event)

    def media_timeout(self, event: MediaTimeout) -> None:
        self._to_leg(event.leg, event)

    def media_back(self, event: MediaBack) -> None:
        """It had been told silent; by then the call is being ended."""

    def levels(self, event: Levels) -> None:
        for name, (says, _) in event.legs.items():
            if (leg := self.legs.get(name)) is not None:
                leg.level = says

    def statistics(self, event: LegStatistics) -> None:
        log.debug("phone_media", call=event.leg, lost=event.lost, jitter_ms=event.jitter_ms)

    def leg_ended(self, event: LegEnded) -> None:
        self._to_leg(event.leg, event)

    def silenced(self, leg: str, silenced: bool) -> None:
        self._to_leg(leg, Silenced(silenced))

    def phone_media_restarted(self) -> None:
        """Every leg is gone."""
        for leg in list(self.legs.values()):
            leg.put(HangUp("media_down", "The phone worker was restarted."))

    def _to_leg(self, name: str, item: Item) -> None:
        if (leg := self.legs.get(name)) is not None:
            leg.put(item)

    # --- caps ---

    def _calls_of(self, peer: str) -> int:
        return sum(leg.peer == peer for leg in self.legs.values())

    def trunk_states(self) -> list[dict[str, object]]:
        """For the API: no password."""
        today = self.book.today()
        return [
            {
                "name": one.name, "host": one.host, "port": one.port, "transport": one.transport,
                "networks": list(rules.networks_of(one)), "inbound": one.inbound, "outbound": one.outbound,
                "prefixes": list(one.prefixes), "calls": self._calls_of(f"trunk:{one.name}"),
                "max_calls": one.max_calls,
                "dialled_today": today.get(one.name, 0), "max_dialled_per_day": one.max_dialled_per_day,
                "up": self._probes[one.name].up if one.name in self._probes else None,
                "registration": self._registrations[one.name].state if one.name in self._registrations else "",
                "reason": self._registrations[one.name].reason if one.name in self._registrations else "",
                "srtp": one.srtp,
            }
            for one in self.settings.trunks
        ]  # fmt: skip


def _hidden(target: str) -> str:
    return f"tel:{masked(target.removeprefix('tel:'))}" if target.startswith("tel:") else target
