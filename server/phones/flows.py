"""What a call does from its beginning to its end: one coroutine for each, over `Leg.next`.

Inbound: ring, answer, then by rule the six digits or straight into the consultation. Outbound: ring, answer, the menu
("1: I have it, 2: call the next"), then into the consultation where there is one. In the consultation a phone is a
member like others; it stays until it hangs up, is removed, or the consultation ends.
"""

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import structlog

from server.clients import Client
from server.conductor import actor
from server.identity.tokens import Grant
from server.phones import pins
from server.phones.caller import Outcome, result_of
from server.phones.leg import Answered, Confirmed, DigitPressed, Leg, LegOver, Played, Progress
from server.phones.media import PhoneMediaDown, PhoneMediaRefused
from server.sessions.errors import SessionError
from server.sessions.machine import Knocked, State, Withdrew
from server.store.errors import StoreError
from signaling.room.messages import Person
from signaling.sip.callevents import Ended, Incoming

if TYPE_CHECKING:
    from server.phones.service import PhoneService

DIGIT_WAIT_S = 15.0
"""Without a further digit for this long the dialogue ends."""
MENU_REPEATS = 3
MENU_WAIT_S = 8.0
"""After each time the menu was said."""
GOODBYE_S = 6.0
GRANT_S = 12 * 3600.0
RENEW_S = 3600.0
ROOM_CHECK_S = 0.5
LOBBY_S = 180.0
"""At the door of a locked consultation."""

log = structlog.get_logger()
MediaErrors = (PhoneMediaDown, PhoneMediaRefused)


# --- inbound --------------------------------------------------------------------------------------------------------


async def inbound(service: "PhoneService", leg: Leg, event: Incoming, action: str, site: str) -> None:
    """A call that the rules let in. `action`: pin, home or site."""
    leg.step(lambda now: service.agent.ring(leg.call, now))
    try:
        if event.offer is None:
            sdp = await leg.media.make_offer(leg.id, leg.profile)
        else:
            sdp = await leg.media.answer_offer(leg.id, event.offer.decode("utf-8", "replace"), leg.profile)
    except PhoneMediaRefused as error:
        status = {"sdp_invalid": 400, "capacity": 503}.get(error.error, 488)
        leg.result, leg.reason = "media_refused", error.detail
        leg.step(lambda now: service.agent.reject(leg.call, status, now))
    except PhoneMediaDown as error:
        leg.result, leg.reason = "media_down", str(error)
        leg.step(lambda now: service.agent.reject(leg.call, 503, now))
    else:
        if event.replaces is not None and (old := service.leg_of(event.replaces)) is not None:
            leg.session, action = old.session, "session"
            old.hang_up("replaced")
        leg.step(lambda now: service.agent.answer(leg.call, sdp.encode(), now))
    while not isinstance(confirmed := await leg.next(), Confirmed):
        pass
    if confirmed.answer is not None:
        await leg.media.take_answer(leg.id, confirmed.answer.decode("utf-8", "replace"))
    leg.state, leg.answered_at = "answered", time.time()
    service.changed(leg, "answered")
    found = await _find(service, leg, action, site)
    if found is None:
        await goodbye(service, leg, "no_session")
    else:
        await stay(service, leg, found, "pin-ok")


async def _find(service: "PhoneService", leg: Leg, action: str, site: str) -> State | None:
    """The consultation that this call is for."""
    if action == "session":
        return service.sessions.get_open(leg.session)
    if action == "site":
        mine = service.sessions.about(site)
        return mine[-1] if mine else None
    if action == "home":
        mine = service.sessions.concerning(leg.site)
        if len(mine) == 1:
            return mine[0]
        if not mine:
            return None
    if leg.peer.startswith("phone:") and len(leg.called) == pins.DIGITS:
        return _by_pin(service, leg, leg.called)
    return await _ask_pin(service, leg)


def _by_pin(service: "PhoneService", leg: Leg, digits: str) -> State | None:
    """A desk phone comes only into what its site takes part in; a trunk's caller into what the digits say."""
    now = asyncio.get_running_loop().time()
    if service.lock.locked(leg.caller or leg.peer, now):
        leg.reason = "locked"
        return None
    desk = leg.peer.startswith("phone:")
    open_ones = [one for one in service.sessions.open_states() if not desk or leg.site in one.sites()]
    session = pins.session_of(service.key, digits, [one.session for one in open_ones])
    if session is None:
        service.lock.wrong(leg.caller or leg.peer, now)
        return None
    service.lock.right(leg.caller or leg.peer)
    return service.sessions.get_open(session)


async def _ask_pin(service: "PhoneService", leg: Leg) -> State | None:
    prompts: tuple[str, ...] = ("enter-pin",)
    for _ in range(service.settings.pin_tries):
        if service.lock.locked(leg.caller or leg.peer, asyncio.get_running_loop().time()):
            leg.result, leg.reason = "pin_locked", "Too many wrong numbers came from this caller."
            return None
        await leg.play(*prompts)
        digits = await _digits(leg)
        if digits is None:
            leg.result, leg.reason = "no_pin", "No number was entered."
            return None
        found = _by_pin(service, leg, digits)
        if found is not None:
            return found
        service.changed(leg, "wrong_pin")
        prompts = "wrong-pin", "enter-pin"
    leg.result, leg.reason = "wrong_pin", "No consultation has the number that was entered."
    return None


async def _digits(leg: Leg) -> str | None:
    """Six digits, or fewer and #; * begins again. None after a silence. The first one ends what is being said."""
    digits, stopped = "", False
    while len(digits) < pins.DIGITS:
        event = await leg.next(DIGIT_WAIT_S)
        if event is None:
            return None
        if not isinstance(event, DigitPressed):
            continue
        if event.digit == "#" and not digits:  # behind the digits of the last time
            continue
        if not stopped:
            await leg.media.stop(leg.id)
            stopped = True
        if event.digit == "#":
            break
        digits = "" if event.digit == "*" else digits + event.digit
    return digits


async def _played(leg: Leg, prompt: str, timeout_s: float = GOODBYE_S) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        event = await leg.next(left)
        if event is None or (isinstance(event, Played) and event.prompt == prompt):
            return


async def goodbye(service: "PhoneService", leg: Leg, reason: str) -> None:
    """Say that it ends, and end it."""
    leg.result = leg.result or reason
    first = {"wrong_pin": ("wrong-pin",), "next": ("next",)}.get(leg.result, ())
    await leg.play(*first, "goodbye")
    await _played(leg, "goodbye")
    leg.hang_up(leg.result, leg.reason)
    while True:
        await leg.next()


# --- in a consultation ----------------------------------------------------------------------------------------------


async def stay(service: "PhoneService", leg: Leg, state: State, welcome: str) -> None:
    """A member of the consultation until the call, the membership or the consultation ends. `welcome`: a prompt."""
    leg.session, leg.drill = state.session, state.drill
    leg.site = leg.site or state.site  # whose moderators and engineers the call is for
    try:
        await _enter_or_wait(service, leg, state)
    except SessionError as error:
        leg.reason = error.detail
        await goodbye(service, leg, error.error)
    except StoreError as error:
        log.warning("phone_not_in", call=leg.id, reason=str(error))
        leg.reason = "It could not be written down who comes in."
        await goodbye(service, leg, "store")
    leg.state = "talking"
    service.changed(leg, "joined")
    client, room = leg.client, state.room
    assert client is not None
    alone = not any(one.client != client.client and one.kind != "whip" for one in service.conductor.in_room(room))
    await leg.play(welcome, *(("alone",) if alone else ()))
    while True:
        await leg.next(ROOM_CHECK_S)
        membership = client.rooms.get(room)
        if membership is None or client.client not in service.conductor.clients:
            over = service.sessions.get_open(state.session) is None
            await goodbye(service, leg, "session_over" if over else "removed")
        elif membership.grant.expires_at - time.time() < RENEW_S:
            await _renew(service, leg, client, room)


async def _renew(service: "PhoneService", leg: Leg, client: Client, room: str) -> None:
    try:
        await service.conductor.enter(client, _grant(leg, client.person, room))
    except (SessionError, StoreError) as error:
        log.warning("phone_not_renewed", call=leg.id, reason=str(error))


async def _enter_or_wait(service: "PhoneService", leg: Leg, state: State) -> None:
    """In, or at the door of a locked consultation until somebody lets it in.

    Raises:
        SessionError: not let in, or over.
        StoreError: it could not be written down.
    """
    client = _client(service, leg, state)
    grant = _grant(leg, client.person, state.room)
    try:
        await _enter(service, leg, client, grant)
        return
    except SessionError as error:
        if error.error != "locked":
            raise
    await service.sessions.handle(state.session, Knocked(actor(grant)))
    try:
        service.changed(leg, "waiting")
        await leg.play("waiting", repeat=0)
        deadline = asyncio.get_running_loop().time() + LOBBY_S
        while asyncio.get_running_loop().time() < deadline:
            await leg.next(ROOM_CHECK_S)
            now = service.sessions.get_open(state.session)
            if now is None:
                raise SessionError("session_over", "It ended while the phone was waiting at its door.")
            if client.person.user not in now.floor.lobby:
                await leg.media.stop(leg.id)
                await _enter(service, leg, client, _grant(leg, client.person, state.room))
                return
        raise SessionError("locked", "Nobody let the phone in.")
    finally:  # it hung up, or gave up: nobody of that name waits any more
        with contextlib.suppress(SessionError, StoreError):
            await service.sessions.handle(state.session, Withdrew(client.person.user))


def _client(service: "PhoneService", leg: Leg, state: State) -> Client:
    """A desk phone is a member of its site, and so is whoever we rang for one. A caller by a trunk stands for nobody:
    it answers no ring, has no level, and is known again by its number alone."""
    named = leg.peer.startswith("phone:")
    own = leg.site if named or leg.direction == "out" else ""
    site = own or state.started_by_site
    person = Person(
        user=leg.peer if named else f"phone:{service.mark_of(leg)}", name=leg.name, role="phone", site=site,
        level=service.tree.level(site) if own else "guest",
    )  # fmt: skip
    return Client(secrets.token_hex(6), secrets.token_urlsafe(24), person, kind="phone")


async def _enter(service: "PhoneService", leg: Leg, client: Client, grant: Grant) -> None:
    service.conductor.add_without_socket(client)
    leg.client = client
    try:
        await service.conductor.enter(client, grant)
    except (SessionError, StoreError):
        leg.client = None
        await service.conductor.remove(client)
        raise
    await leg.media.join(leg.id, client, grant.room, f"phone-{client.client}")


def _grant(leg: Leg, person: Person, room: str) -> Grant:
    now = time.time()
    return Grant(
        user=person.user, name=person.name, role="phone", site=person.site, level=person.level, room=room,
        publish=True, subscribe=True, sources=("microphone", "camera"), moderate=False, jti=f"phone:{leg.id}",
        login=None, issued_at=now, expires_at=now + GRANT_S,
    )  # fmt: skip


# --- outbound -------------------------------------------------------------------------------------------------------


async def outbound(service: "PhoneService", leg: Leg, told: "asyncio.Future[Outcome]", target: str, menu: bool) -> None:
    """A call of ours; `told` is given what came of it, as soon as that is known."""
    began = asyncio.get_running_loop().time()

    def tell(result: str, reason: str, status: int = 0) -> None:
        if not told.done():
            seconds = round(asyncio.get_running_loop().time() - began, 3)
            outcome = Outcome(target, result, reason, leg.peer, seconds, leg.id, status, leg.name)  # type: ignore[arg-type]
            told.set_result(outcome)

    try:
        await _until_answered(service, leg)
        pressed = await _menu(service, leg) if menu else "1"
        if pressed == "1":
            tell("answered_by_person", "pressed_1" if menu else "answered")
            service.changed(leg, "taken")
            await _taken(service, leg)
        elif pressed == "2":
            leg.result = "next"
            tell("next", "pressed_2")
            service.changed(leg, "next")
            await goodbye(service, leg, "next")
        else:
            leg.result = "no_key"
            tell("no_answer", "no_key")
            await goodbye(service, leg, "no_key")
    except LegOver as over:
        if not told.done():  # else somebody had it, and the call ended as calls do
            told_result = _unanswered(leg, over.ended)
            leg.result = leg.result or told_result[0]
            tell(*told_result)
        raise
    except MediaErrors as error:
        tell("unreachable", "media_failed")
        leg.hang_up("media_failed", str(error))
        while True:
            await leg.next()
    finally:
        tell("cancelled", "cancelled")


def _unanswered(leg: Leg, ended: Ended) -> tuple[str, str, int]:
    leaving = leg.leaving
    if leaving is not None and leaving.reason in ("ring_timeout", "cancelled"):
        return ("no_answer" if leaving.reason == "ring_timeout" else "cancelled"), leaving.reason, ended.status
    if leg.answered_at is not None:
        return "declined", "hung_up", ended.status
    result = result_of(ended.cause, ended.status)
    return result, {"busy": "busy", "declined": "rejected"}.get(result, ended.cause), ended.status


async def _until_answered(service: "PhoneService", leg: Leg) -> None:
    rang = False
    while True:
        event = await leg.next()
        if isinstance(event, Progress):
            if event.answer is not None:
                await leg.media.take_answer(leg.id, event.answer.decode("utf-8", "replace"))
            if not rang:
                rang = True
                service.changed(leg, "ringing")
        elif isinstance(event, Answered):
            await leg.media.take_answer(leg.id, event.answer.decode("utf-8", "replace"))
            leg.state, leg.answered_at = "answered", time.time()
            service.changed(leg, "answered")
            return


async def _menu(service: "PhoneService", leg: Leg) -> str:
    """ "1", "2", or "" when nobody pressed either: an answering machine does not have it."""
    for _ in range(MENU_REPEATS):
        await leg.play("menu-alert")
        while (event := await leg.next(MENU_WAIT_S)) is not None:
            if isinstance(event, DigitPressed) and event.digit in "12":
                await leg.media.stop(leg.id)
                return event.digit
    return ""


async def _taken(service: "PhoneService", leg: Leg) -> None:
    state = service.sessions.get_open(leg.session) if leg.session else None
    if state is None:
        leg.result = "taken"
        await leg.play("accepted")
        await _played(leg, "accepted")
        await goodbye(service, leg, "taken")
    else:
        await stay(service, leg, state, "accepted")
