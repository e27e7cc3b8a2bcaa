"""The WebSocket of the room protocol: `/api/ws`.

One task reads and answers in order, one writes from the bounded outbox, one waits for the word to close; the first
that ends ends the others. Refusals are `Problem`s and the socket stays. What cannot go on closes it: 4400 bad hello,
4401 token, 4403 revoked, 4408 silent, 4409 replaced, 1009 too large, 1008 too fast, 1013 too slow, 1012 restart.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, ValidationError

from config.settings import ServerSettings
from server.api.security import allowed_origins, origin_allowed
from server.clients import Client, Connection
from server.conductor import CATCH_UP_ENTRIES, Conductor, actor, for_eyes_of
from server.identity.errors import TokenError
from server.identity.roles import Verb, holds
from server.identity.service import Identity
from server.identity.tokens import Grant
from server.moderation import Moderation
from server.outbox import LIMIT, TooSlow
from server.sessions.errors import SessionError
from server.sessions.machine import Acted, Chatted, Knocked, OrderAnswered, OrderGiven, OrderState, Withdrew
from server.sessions.service import SessionService
from server.snapshot import Rooms
from server.store.errors import StoreError
from server.store.sites import SiteTree
from server.streams import StreamError, Streams
from signaling.room import messages as m
from signaling.room.problems import text

log = structlog.get_logger()

HELLO_TIMEOUT_S = 5.0
HEARTBEAT_S = 5.0
SEND_TIMEOUT_S = 5.0
MESSAGES_PER_S = 30.0
BURST = 120.0
MAX_ROOMS = 64


@dataclass(slots=True)
class RoomDoor:
    """What the socket needs of the server."""

    conductor: Conductor
    streams: Streams
    moderation: Moderation
    sessions: SessionService
    rooms: Rooms
    identity: Identity
    tree: SiteTree
    settings: ServerSettings
    resume_s: float
    waiting: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Sockets at the door of a room, by room and user."""

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """`GET /api/ws`."""
        if not origin_allowed(request, allowed_origins(self.settings)):
            raise web.HTTPForbidden(text="This origin may not open the WebSocket.")
        socket = web.WebSocketResponse(max_msg_size=m.MAX_MESSAGE_BYTES, compress=False, timeout=2.0)
        await socket.prepare(request)
        await _Socket(self, request, socket).serve()
        return socket


class _Refused(Exception):
    """The socket is closed with this code and word."""

    def __init__(self, code: int, error: str, *, final: bool = True, after_s: float = 0.0) -> None:
        self.code = code
        self.error = error
        self.final = final
        self.after_s = after_s
        super().__init__(error)


def _word(error: str, *, final: bool = False, after_s: float = 0.0) -> m.Closing:
    return m.Closing(error=error, text=text(error), final=final, after_s=after_s)


class _Socket:
    """One WebSocket."""

    def __init__(self, door: RoomDoor, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._door = door
        self._request = request
        self._socket = socket
        self._connection = Connection(LIMIT)
        self._client: Client | None = None
        self._knocked: dict[str, str] = {}
        """Rooms at whose doors this socket stands, to its user."""
        self._tokens = BURST
        self._refilled_at = time.monotonic()

    async def serve(self) -> None:
        """From the first message to the close."""
        parts = [asyncio.ensure_future(part) for part in (self._read(), self._write(), self._wait_for_end())]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for part in parts:
                part.cancel()
            for result in await asyncio.gather(*parts, return_exceptions=True):
                if isinstance(result, Exception):
                    log.error("socket_part_failed", exc_info=result)
            if self._client is not None:
                self._door.conductor.disconnect(self._client, self._connection)
            await self._withdraw(*self._knocked)
        if not self._socket.closed:
            code, closing = (
                self._connection.ended.result() if self._connection.ended.done() else (1011, _word("internal"))
            )
            await self._close(code, closing)

    # --- parts ---

    async def _read(self) -> None:
        """Hello, then everything else; ends with a word in `ended`, unless the other side has closed."""
        try:
            await self._first_message()
            await self._further_messages()
        except _Refused as refused:
            self._connection.close(refused.code, _word(refused.error, final=refused.final, after_s=refused.after_s))
        except StoreError as error:
            log.error("socket_without_store", reason=str(error))
            self._connection.close(WSCloseCode.TRY_AGAIN_LATER, _word("internal", after_s=1.0))

    async def _first_message(self) -> None:
        if self._door.conductor.draining:
            raise _Refused(1012, "shutting_down", final=False, after_s=1.0)
        try:
            message = await self._socket.receive(HELLO_TIMEOUT_S)
        except TimeoutError:
            raise _Refused(4400, "hello_first") from None
        hello = self._parse(message.data) if message.type is WSMsgType.TEXT else None
        if not isinstance(hello, m.Hello):
            raise _Refused(4400, "hello_first")
        await self._hello(hello)

    async def _further_messages(self) -> None:
        while True:
            try:
                message = await self._socket.receive(3 * HEARTBEAT_S)
            except TimeoutError:
                raise _Refused(4408, "silent", final=False) from None
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            if message.type is not WSMsgType.TEXT:
                self._problem(None, "bad_message", "Only text messages are understood.")
                continue
            if not self._allowance():
                raise _Refused(1008, "too_fast", final=False, after_s=5.0)
            request = self._parse(message.data)
            if request is not None:
                await self._answer(request)

    async def _write(self) -> None:
        outbox = self._connection.outbox
        try:
            while True:
                body = await outbox.get()
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._socket.send_str(body)
        except (TooSlow, TimeoutError):
            self._connection.close(WSCloseCode.TRY_AGAIN_LATER, _word("too_slow", after_s=1.0))
        except ConnectionError:
            return

    async def _wait_for_end(self) -> None:
        await asyncio.shield(self._connection.ended)

    async def _close(self, code: int, closing: m.Closing | None) -> None:
        """Say why, then close; a peer that does not take it is cut off."""
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2.0):
                if closing is not None:
                    await self._socket.send_str(closing.model_dump_json())
                await self._socket.close(code=code, message=(closing.error if closing else "").encode())
                return
        if self._request.transport is not None:
            self._request.transport.abort()

    # --- messages in ---

    def _parse(self, data: str) -> m.AnyRequest | None:
        try:
            raw = json.loads(data, parse_constant=_no_constant)
            return m.REQUESTS.validate_python(raw)
        except (ValueError, RecursionError, ValidationError) as error:
            detail = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else "It is not JSON."
            log.debug("bad_message", detail=detail)
            self._problem(None, "bad_message", detail)
            return None

    def _allowance(self) -> bool:
        now = time.monotonic()
        self._tokens = min(BURST, self._tokens + (now - self._refilled_at) * MESSAGES_PER_S) - 1
        self._refilled_at = now
        return self._tokens >= 0

    def _problem(self, request_id: str | None, error: str, detail: str) -> None:
        self._connection.outbox.put(m.Problem(id=request_id, error=error, text=text(error), detail=detail))

    def _send(self, message: BaseModel) -> None:
        self._connection.outbox.put(message)

    async def _answer(self, request: m.AnyRequest) -> None:
        request_id = getattr(request, "id", None)
        try:
            await HANDLERS[type(request)](self, request)
        except (StreamError, SessionError) as error:
            self._problem(request_id, error.error, error.detail)
        except TokenError as error:
            self._problem(request_id, error.kind, error.detail)
        except StoreError as error:
            log.error("request_not_stored", request=request.type, reason=str(error))
            self._problem(request_id, "internal", "It could not be stored; please try again.")

    # --- hello, rooms ---

    async def _hello(self, hello: m.Hello) -> None:
        if hello.version != m.VERSION:
            raise _Refused(4400, "bad_version")
        grants, refused = await self._verify(hello)
        conductor = self._door.conductor
        first = next(iter(grants.values()))
        client, resumed = conductor.connect(first.person(), self._connection, hello)
        self._client = client
        self._send(
            m.Welcome(
                client=client.client,
                key=client.key,
                resumed=resumed,
                you=client.person,
                heartbeat_s=HEARTBEAT_S,
                resume_s=self._door.resume_s,
                simulated=self._door.settings.simulated,
            )
        )
        for error, join in refused:
            self._problem(join.id, error.kind, error.detail)
        if resumed:
            named = {grant.room for grant in grants.values()}
            for room in [one for one in client.rooms if one not in named]:
                await conductor.leave(client, room)
            self._door.streams.tell_peers(client)
        for join in hello.joins:
            if join in grants:
                await self._enter(client, join, grants[join])

    async def _verify(self, hello: m.Hello) -> tuple[dict[m.Join, Grant], list[tuple[TokenError, m.Join]]]:
        """Joins whose tokens are good, of one user; a room that is over does not keep the others away."""
        grants: dict[m.Join, Grant] = {}
        refused: list[tuple[TokenError, m.Join]] = []
        for join in hello.joins:
            try:
                grants[join] = await self._door.identity.verify(join.token)
            except TokenError as error:
                refused.append((error, join))
        if not grants:
            raise _Refused(4401, refused[0][0].kind)
        if len({grant.user for grant in grants.values()}) != 1 or any(one.role == "device" for one in grants.values()):
            raise _Refused(4401, "token_invalid")
        return grants, refused

    async def _enter(self, client: Client, join: m.Join, grant: Grant) -> None:
        try:
            membership = await self._door.conductor.enter(client, grant)
        except SessionError as error:
            if error.error == "locked":
                await self._knock(grant)
            else:
                await self._withdraw(grant.room)
            self._problem(join.id, error.error, error.detail)
            return
        self._stop_waiting(grant.room)
        rooms, conductor = self._door.rooms, self._door.conductor
        membership.delivered, membership.behind = None, False
        events = await rooms.missed(grant.room, join.since, join.epoch, CATCH_UP_ENTRIES)
        snapshot = None
        if events is None:
            guest = grant.role == "guest"
            snapshot, seq = await (rooms.guest_snapshot(grant.room) if guest else rooms.snapshot(grant.room))
            events = ()
        else:
            events = tuple(for_eyes_of(grant, event) for event in events)
            seq = events[-1].seq if events else join.since or 0
        if client.rooms.get(grant.room) is not membership:
            return  # out again meanwhile
        self._send(
            m.Joined(
                id=join.id,
                room=grant.room,
                epoch=conductor.epoch,
                seq=seq,
                grants=grant.grants(),
                expires_at=grant.expires_at,
                snapshot=snapshot,
                events=events,
            )
        )
        self._connection.outbox.put_state(f"roster/{grant.room}", conductor.roster_message(grant.room))
        membership.delivered = seq
        await conductor.catch_up(client, grant.room)

    async def _knock(self, grant: Grant) -> None:
        if grant.room not in self._knocked:
            self._knocked[grant.room] = grant.user
            self._door.waiting[grant.room, grant.user] += 1
        with contextlib.suppress(SessionError):  # it has ended meanwhile
            await self._door.sessions.handle(grant.room.removeprefix("session:"), Knocked(actor(grant)))

    def _stop_waiting(self, room: str) -> str | None:
        """Who stands at this door no more, by the last of the pages."""
        user = self._knocked.pop(room, None)
        if user is None:
            return None
        waiting = self._door.waiting
        waiting[room, user] -= 1
        if waiting[room, user] > 0:
            return None
        del waiting[room, user]
        return user

    async def _withdraw(self, *rooms: str) -> None:
        """Leave the doors of these rooms; a page of the same user that is still there keeps the place."""
        for room in rooms:
            if (user := self._stop_waiting(room)) is not None:
                try:
                    await self._door.sessions.handle(room.removeprefix("session:"), Withdrew(user))
                except SessionError:
                    continue  # it has ended meanwhile
                except StoreError as error:
                    log.warning("stays_at_the_door", room=room, reason=str(error))

    def _member(self, room: str) -> Grant:
        client = self._known()
        if room not in client.rooms:
            raise StreamError("not_in_room", f"The client is not in {room}.")
        return client.rooms[room].grant

    def _member_who_may(self, verb: Verb, room: str) -> Grant:
        grant = self._member(room)
        if not holds(grant.role, verb):
            raise StreamError("not_allowed", f"A {grant.role} may not {verb}.")
        return grant

    def _known(self) -> Client:
        assert self._client is not None, "set by the hello"
        return self._client

    async def _join(self, request: m.Join) -> None:
        client = self._known()
        grant = await self._door.identity.verify(request.token)
        if grant.user != client.person.user:
            raise StreamError("token_invalid", "The token is of another user.")
        if grant.room not in client.rooms and len(client.rooms) >= MAX_ROOMS:
            raise StreamError("capacity", f"A client may be in {MAX_ROOMS} rooms.")
        await self._enter(client, request, grant)

    async def _leave(self, request: m.Leave) -> None:
        client = self._known()
        await self._withdraw(request.room)
        await self._door.conductor.leave(client, request.room)

    async def _refresh(self, request: m.Refresh) -> None:
        client = self._known()
        grant = await self._door.identity.verify(request.token)
        if grant.user != client.person.user or grant.room not in client.rooms:
            raise StreamError("not_in_room", "The token is of another user or room.")
        await self._door.conductor.enter(client, grant)
        self._door.streams.recheck()
        self._send(m.Done(id=request.id))

    # --- media ---

    async def _publish(self, request: m.Publish) -> None:
        reply = await self._door.streams.publish(self._known(), request.sdp, request.publications, fresh=request.fresh)
        tracks = {info.mid: info.track for info in reply.tracks}
        self._send(m.Published(id=request.id, sdp=reply.sdp, tracks=tracks))

    async def _watch(self, request: m.Watch) -> None:
        refused = await self._door.streams.watch(self._known(), request)
        self._send(m.Watched(id=request.id, refused=refused))

    async def _views(self, request: m.Views) -> None:
        await self._door.streams.set_views(self._known(), request.views)

    async def _sdp_answer(self, request: m.Answer) -> None:
        try:
            refused = await self._door.streams.answer(self._known(), request)
        except StreamError as error:
            if error.error == "stale":  # a newer offer is on its way
                return
            raise
        if refused:
            self._send(m.Watched(id="answer", refused=refused))

    async def _muted(self, request: m.Muted) -> None:
        self._door.streams.muted(self._known(), request.track, request.muted)

    async def _moderate(self, request: m.Moderate) -> None:
        grant = self._member(request.room)
        self._check_moderates(grant, request.room)
        conductor = self._door.conductor
        if request.action == "remove":
            other = conductor.clients.get(request.client or "")
            if other is None or request.room not in other.rooms:
                raise StreamError("not_in_room", "That client is not in this room.")
            if request.room.startswith("session:"):
                await self._remove(grant, request.room, other.person.user)
            else:
                await conductor.leave(other, request.room)
                conductor.tell_out(other, request.room, "removed")
        else:
            found = conductor.find_track(request.track or "")
            if found is None or request.room not in conductor.rooms_of(*found):
                raise StreamError("no_such_track", "That track is not shown in this room.")
            await self._door.moderation.stop(found[1].track, request.action == "mute")
        self._send(m.Done(id=request.id))

    def _check_moderates(self, grant: Grant, room: str) -> None:
        """The chair of a consultation may, whatever his role; elsewhere the token says who."""
        state = self._door.sessions.get_open(room.removeprefix("session:")) if room.startswith("session:") else None
        if state is not None and state.floor.governs(actor(grant).standing, moderates=grant.moderate):
            return
        if state is not None or not grant.moderate:
            raise StreamError(
                "not_allowed", "Only the chair, or who moderates from the same level or above, may do that."
            )

    async def _floor(self, request: m.Floor) -> None:
        grant = self._member(request.room)
        if not request.room.startswith("session:"):
            raise StreamError("no_such_room", "Only a consultation has a floor.")
        if request.action in ("talk", "preempt") and not grant.publish:
            raise StreamError("not_allowed", "Who may not speak here does not take the floor.")
        if request.action == "remove":
            await self._remove(grant, request.room, request.target)
        else:
            event = Acted(request.action, actor(grant), grant.moderate, request.target, request.value)
            await self._door.sessions.handle(request.room.removeprefix("session:"), event)
        await self._door.moderation.apply(request.room)
        self._send(m.Done(id=request.id))

    async def _remove(self, grant: Grant, room: str, user: str) -> None:
        """Out with every page of this user, and not in again."""
        event = Acted("remove", actor(grant), grant.moderate, user)
        await self._door.sessions.handle(room.removeprefix("session:"), event)
        conductor = self._door.conductor
        for other in [one for one in conductor.in_room(room) if one.person.user == user]:
            await conductor.leave(other, room)
            conductor.tell_out(other, room, "removed")

    # --- words ---

    async def _chat(self, request: m.Chat) -> None:
        grant = self._member(request.room)
        if grant.role != "guest" or not grant.publish:
            grant = self._member_who_may("answer", request.room)  # a guest with a voice may write, too
        by = actor(grant)
        if request.room.startswith("session:"):
            await self._door.sessions.handle(request.room.removeprefix("session:"), Chatted(by, request.text))
        else:
            body: dict[str, object] = {"from": self._known().person.model_dump(), "text": request.text}
            await self._door.conductor.write([request.room], "chat", body)
        self._send(m.Done(id=request.id))

    async def _give_order(self, request: m.GiveOrder) -> None:
        grant = self._member_who_may("order", request.room)
        if not self._door.tree.reaches(grant.site, request.to_site):
            raise StreamError("not_allowed", "Orders go to the own site and to those below.")
        event = OrderGiven(actor(grant), f"o{time.time_ns():x}", request.to_site, request.text)
        await self._door.sessions.handle(request.room.removeprefix("session:"), event)
        self._send(m.Done(id=request.id))

    async def _answer_order(self, request: m.AnswerOrder) -> None:
        grant = self._member_who_may("answer", request.room)
        event = OrderAnswered(actor(grant), request.order, OrderState(request.state))
        await self._door.sessions.handle(request.room.removeprefix("session:"), event)
        self._send(m.Done(id=request.id))

    async def _ping(self, request: m.Ping) -> None:
        self._connection.outbox.put_state("pong", m.Pong(t=request.t, at=time.time()))

    async def _screen(self, request: m.Screen) -> None:
        self._known().armed = request.armed

    async def _reach(self, request: m.Reach) -> None:
        client = self._known()
        if client.reach != request.reach:
            client.reach = request.reach
            self._door.conductor.room_changed(*client.rooms)

    async def _second_hello(self, request: m.Hello) -> None:
        self._problem(None, "bad_message", "Hello was said already.")


HANDLERS: dict[type[BaseModel], Callable[[_Socket, Any], Awaitable[None]]] = {
    m.Hello: _Socket._second_hello,
    m.Join: _Socket._join,
    m.Leave: _Socket._leave,
    m.Refresh: _Socket._refresh,
    m.Publish: _Socket._publish,
    m.Watch: _Socket._watch,
    m.Views: _Socket._views,
    m.Answer: _Socket._sdp_answer,
    m.Muted: _Socket._muted,
    m.Moderate: _Socket._moderate,
    m.Floor: _Socket._floor,
    m.Chat: _Socket._chat,
    m.GiveOrder: _Socket._give_order,
    m.AnswerOrder: _Socket._answer_order,
    m.Screen: _Socket._screen,
    m.Reach: _Socket._reach,
    m.Ping: _Socket._ping,
}
"""One message, one function."""


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
