"""The one owner of who is connected, in which rooms, and what each of them is told.

Clients (browser pages, WHIP and WHEP sessions) live here from `hello` until `resume_s` after their socket was lost.
Durable news arrive from the bus as `entry` and are handed to every client in the room in the order of their `seq`: the
store is the truth, so a gap is filled by reading, and a repeat is dropped. Live values arrive as `live`.

Who enters a room is written into its timeline and into the audit before anything is shown: nobody watches unseen. What
clients publish and watch is `server.streams`; what a room looks like now is `server.snapshot`.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from server.bus import Bus
from server.clients import Client, Connection, Membership, OwnTrack
from server.identity.service import Revocation
from server.identity.tokens import Grant
from server.sessions.errors import SessionError
from server.sessions.machine import Actor, Joined, Left
from server.sessions.service import SessionService
from server.store import audit, timeline
from server.store.database import Database
from server.store.errors import StoreError
from signaling.room.messages import (
    Closing,
    Event,
    Expiring,
    Hello,
    Live,
    Member,
    Person,
    Problem,
    RecordingState,
    Roster,
    TrackNotice,
)
from signaling.room.problems import text

log = structlog.get_logger()

CATCH_UP_ENTRIES = 500
"""A client that missed more than this gets a snapshot."""
EXPIRING_S = 60.0
ROSTER_DELAY_S = 0.05
ROSTER_PAIR_S = 2e-6
"""A roster of n members goes to n members: so much later for each pair, or a full room talks of itself only."""
ROSTER_LONGEST_S = 3.0
HOUSEKEEPING_S = 0.5
NOTES_LIMIT = 1000
RETRY_S = 0.5
"""A store that is away is asked again after this."""
REVOKED_KEPT_S = 30.0
"""A revocation is held against grants that were verified just before it."""
GONE = float("-inf")
"""`lost_at` of a client that is not to come back."""


class Conductor:
    """Connected clients, by id. Read `epoch` from the store before the first client comes: `prepare`."""

    def __init__(self, database: Database, bus: Bus, sessions: SessionService, *, resume_s: float) -> None:
        self._database = database
        self._bus = bus
        self._sessions = sessions
        self._resume_s = resume_s
        self._changed_rooms: set[str] = set()
        self._room_changed = asyncio.Event()
        self._notes: asyncio.Queue[tuple[tuple[str, ...], str, dict[str, object]]] = asyncio.Queue(NOTES_LIMIT)
        self._revoked: deque[tuple[float, Revocation]] = deque(maxlen=1000)
        self.clients: dict[str, Client] = {}
        self.dropped_notes = 0
        self.epoch = ""
        self.draining = False
        self.on_removed: Callable[[Client], None] = lambda client: None
        """A client is gone for good: its media is to be ended."""
        self.recording_of: Callable[[str], RecordingState] = lambda room: "off"
        """Whether what a room shows is being recorded."""
        self.on_rooms_changed: Callable[[], None] = lambda: None
        """Somebody left a room or lost a grant: what people watch may have to stop."""

    async def prepare(self) -> None:
        """Read what must be known before the first client comes."""
        async with self._database.reading() as connection:
            self.epoch = await timeline.epoch(connection)

    # --- coming and going ---

    def connect(self, person: Person, connection: Connection, hello: Hello) -> tuple[Client, bool]:
        """A client for a socket that said hello: the lost one it names, or a new one. Says whether it was resumed."""
        known = self.clients.get(hello.client) if hello.client else None
        if known is not None and known.lost_at != GONE and known.person.user == person.user:
            if secrets.compare_digest(known.key, hello.key or ""):
                if known.connection is not None:
                    known.connection.close(4409, Closing(error="replaced", text=text("replaced"), final=True))
                known.connection, known.lost_at, known.person = connection, None, person
                for membership in known.rooms.values():
                    membership.delivered, membership.behind = None, False
                return known, True
        client = Client(secrets.token_hex(6), secrets.token_urlsafe(24), person, lang=hello.lang)
        client.connection = connection
        self.clients[client.client] = client
        return client, False

    def add_without_socket(self, client: Client) -> None:
        """A WHIP or WHEP session."""
        self.clients[client.client] = client

    def disconnect(self, client: Client, connection: Connection) -> None:
        """The socket is gone; the client is kept for a while."""
        if client.connection is connection:
            client.connection = None
            if client.lost_at is None:
                client.lost_at = time.monotonic()

    async def enter(self, client: Client, grant: Grant) -> Membership:
        """Put a client into a room (or give it a newer grant there).

        Raises:
            SessionError: the consultation has ended, or access was revoked or the person removed meanwhile.
            StoreError: it could not be written down, so nobody has entered.
        """
        if self._is_revoked(grant):
            raise SessionError("revoked", "Access was revoked.")
        known = client.rooms.get(grant.room)
        if known is not None:
            known.grant, known.warned = grant, False
            return known
        if grant.room.startswith("session:"):
            await self._sessions.handle(grant.room.removeprefix("session:"), _joined(client, grant))
        await self._database.finish(self._write_entry_of(client, grant))
        if (why := self._shut_meanwhile(grant)) is not None:
            self.note([grant.room], "member", _member(client, "left"))
            await self._note_left(client, grant.room)
            raise why
        membership = client.rooms.setdefault(grant.room, Membership(grant, time.time()))
        self.room_changed(grant.room)
        return membership

    def _is_revoked(self, grant: Grant) -> bool:
        return any(revocation.covers(grant) for _, revocation in self._revoked)

    def _shut_meanwhile(self, grant: Grant) -> SessionError | None:
        """Whoever closed the room while the entry was being written did not find the client in it."""
        if self._is_revoked(grant):
            return SessionError("revoked", "Access was revoked.")
        if grant.room.startswith("session:"):
            state = self._sessions.get_open(grant.room.removeprefix("session:"))
            if state is None:
                return SessionError("session_over", "It has ended.")
            if grant.user in state.floor.barred:
                return SessionError("removed", f"{grant.name} was removed.")
        return None

    async def _write_entry_of(self, client: Client, grant: Grant) -> None:
        """Who comes in stands in the timeline and in the audit, in one transaction."""
        at = time.time()
        async with self._database.transaction() as connection:
            entries = await timeline.append(connection, [grant.room], "member", _member(client, "joined"), at)
            await audit.append(
                connection, actor=f"user:{grant.user}", action="room.enter", object=grant.room, site=grant.site,
                result="ok", address="", detail={"client": client.client, "kind": client.kind}, at=at,
            )  # fmt: skip
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())

    async def leave(self, client: Client, room: str) -> None:
        """Take a client out of a room."""
        if client.rooms.pop(room, None) is None:
            return
        self.room_changed(room)
        self.on_rooms_changed()
        self.note([room], "member", _member(client, "left"))
        await self._note_left(client, room)

    async def _note_left(self, client: Client, room: str) -> None:
        if room.startswith("session:"):
            try:
                await self._sessions.handle(room.removeprefix("session:"), Left(client.client))
            except (SessionError, StoreError) as error:
                log.info("leaving_not_noted", room=room, reason=str(error))

    async def remove(self, client: Client) -> None:
        """End a client for good."""
        if self.clients.pop(client.client, None) is None:
            return
        self.on_removed(client)
        for room in list(client.rooms):
            await self.leave(client, room)

    # --- what a room holds ---

    def in_room(self, room: str) -> list[Client]:
        return [client for client in self.clients.values() if room in client.rooms]

    def rooms_of(self, owner: Client, own: OwnTrack) -> set[str]:
        """Where a track is shown: in the rooms where it was published and its owner is, and with the site's room in
        every open consultation about the site."""
        rooms = {room for room in own.publication.rooms if room in owner.rooms}
        if f"site:{own.site}" in rooms:
            rooms |= {state.room for state in self._sessions.about(own.site)}
        return rooms

    def tracks_in(self, room: str) -> list[tuple[Client, OwnTrack]]:
        return [
            (client, own)
            for client in self.clients.values()
            for own in client.tracks.values()
            if room in self.rooms_of(client, own)
        ]

    def find_track(self, track: str) -> tuple[Client, OwnTrack] | None:
        for client in self.clients.values():
            if (own := client.tracks.get(track)) is not None:
                return client, own
        return None

    def roster(self, room: str) -> tuple[tuple[Member, ...], tuple[TrackNotice, ...]]:
        members = tuple(client.member(room) for client in self.in_room(room) if client.kind != "whip")
        tracks = tuple(client.notice(own) for client, own in self.tracks_in(room))
        return members, tracks

    def roster_message(self, room: str) -> Roster:
        """The roster as clients are told it."""
        members, tracks = self.roster(room)
        return Roster(room=room, members=members, tracks=tracks, recording=self.recording_of(room))

    def room_changed(self, *rooms: str) -> None:
        """The roster of these rooms is to be sent again, soon."""
        self._changed_rooms |= set(rooms)
        self._room_changed.set()

    def note(self, rooms: Iterable[str], kind: str, body: dict[str, object]) -> None:
        """Write something into the timeline of rooms, soon and in order. When the store lags by more than
        `NOTES_LIMIT` notes, the newest are dropped and counted: alerts do not pass here."""
        try:
            self._notes.put_nowait((tuple(rooms), kind, body))
        except asyncio.QueueFull:
            self.dropped_notes += 1

    # --- tasks ---

    async def run(self) -> None:
        """Everything that goes on by itself."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver_entries())
            group.create_task(self._deliver_live())
            group.create_task(self._send_rosters())
            group.create_task(self._write_notes())
            group.create_task(self._keep_house())

    async def _deliver_entries(self) -> None:
        async with self._bus.subscribe("entry") as entries:
            await self._catch_up_all()
            async for body in entries:
                event = Event.model_validate(body)
                await self.deliver(event)
                if (event.kind, event.body.get("change")) == ("session", "ended"):
                    await self._empty(f"session:{event.body.get('session')}")
                if entries.lagged:
                    entries.lagged = False
                    await self._catch_up_all()

    async def deliver(self, event: Event) -> None:
        """Hand an entry to everybody in its room, each in order."""
        written: str | None = None
        for client in self.in_room(event.room):
            membership = client.rooms.get(event.room)
            if membership is None or membership.delivered is None or client.connection is None:
                continue
            if event.seq == membership.delivered + 1 and not membership.behind:
                membership.delivered = event.seq
                shown = for_eyes_of(membership.grant, event)
                if shown is event:
                    written = written or event.model_dump_json()
                    client.connection.outbox.put_written(written)
                else:
                    client.connection.outbox.put(shown)
            elif event.seq > membership.delivered:
                await self.catch_up(client, event.room)

    async def catch_up(self, client: Client, room: str) -> None:
        """Read from the store what a client has not been given yet, as much as its outbox takes; the rest follows."""
        membership = client.rooms.get(room)
        if membership is None or membership.delivered is None or client.connection is None:
            return
        fits = client.connection.outbox.free
        membership.behind = True
        if fits == 0:
            return
        try:
            async with self._database.reading() as connection:
                entries = await timeline.since(connection, room, membership.delivered, fits)
        except StoreError as error:
            log.warning("catching_up_later", room=room, reason=str(error))
            return
        if client.rooms.get(room) is not membership or client.connection is None:
            return
        for entry in entries:
            if entry.seq == membership.delivered + 1:
                membership.delivered = entry.seq
                client.connection.outbox.put(for_eyes_of(membership.grant, event_of(entry)))
        membership.behind = len(entries) == fits

    async def _catch_up_all(self, *, only_behind: bool = False) -> None:
        for client in list(self.clients.values()):
            for room, membership in list(client.rooms.items()):
                if membership.behind or not only_behind:
                    await self.catch_up(client, room)

    async def _empty(self, room: str) -> None:
        """A consultation has ended: everybody is out of its room."""
        for client in self.in_room(room):
            await self.leave(client, room)

    async def _deliver_live(self) -> None:
        async with self._bus.subscribe("live") as lives:
            async for body in lives:
                self.send_live(Live.model_validate(body))

    def send_live(self, live: Live) -> None:
        for client in self.in_room(live.room):
            if client.connection is not None and client.person.role != "guest":
                client.connection.outbox.put_live(f"{live.room}/{live.kind}/{live.key}", live)

    async def _send_rosters(self) -> None:
        while True:
            await self._room_changed.wait()
            largest = max((len(self.in_room(room)) for room in self._changed_rooms), default=0)
            await asyncio.sleep(min(ROSTER_DELAY_S + largest**2 * ROSTER_PAIR_S, ROSTER_LONGEST_S))
            self._room_changed.clear()
            rooms, self._changed_rooms = self._changed_rooms, set()
            for room in rooms:
                written = self.roster_message(room).model_dump_json()  # once, however many hear it
                for client in self.in_room(room):
                    if client.connection is not None:
                        client.connection.outbox.put_state_written(f"roster/{room}", written)

    async def _write_notes(self) -> None:
        while True:
            note = await self._notes.get()
            while True:
                try:
                    await self.write(*note)
                    break
                except StoreError as error:
                    log.warning("note_waits", kind=note[1], reason=str(error))
                    await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Write the notes that wait; for the end."""
        while not self._notes.empty():
            await self.write(*self._notes.get_nowait())

    async def write(self, rooms: Iterable[str], kind: str, body: dict[str, object]) -> None:
        """Write something into the timeline of rooms; it is durable, and told, when this returns."""
        await self._database.finish(self._write(list(rooms), kind, body))

    async def _write(self, rooms: list[str], kind: str, body: dict[str, object]) -> None:
        async with self._database.transaction() as connection:
            entries = await timeline.append(connection, rooms, kind, body, time.time())
        await self.tell(entries)

    async def tell(self, entries: Iterable[timeline.Entry]) -> None:
        """Hand out entries that somebody has written in a transaction of his own."""
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            now, at = time.monotonic(), time.time()
            while self._revoked and self._revoked[0][0] < now - REVOKED_KEPT_S:
                self._revoked.popleft()
            for client in list(self.clients.values()):
                if client.lost_at is not None and now - client.lost_at > self._resume_s:
                    await self.remove(client)
                else:
                    await self._check_grants(client, at)
            await self._catch_up_all(only_behind=True)

    async def _check_grants(self, client: Client, at: float) -> None:
        for room, membership in list(client.rooms.items()):
            left = membership.grant.expires_at - at
            if left <= 0:
                await self.leave(client, room)
                self.tell_out(client, room, "token_expired")
                if client.kind != "browser":
                    client.lost_at = GONE
            elif left <= EXPIRING_S and not membership.warned and client.connection is not None:
                membership.warned = True
                client.connection.outbox.put(Expiring(room=room, expires_at=membership.grant.expires_at))

    def tell_out(self, client: Client, room: str, error: str) -> None:
        """Tell a client that it is out of a room, and why."""
        if client.connection is not None:
            client.connection.outbox.put(Problem(error=error, room=room, text=text(error), detail=room))

    # --- ends ---

    def revoke(self, revocation: Revocation) -> None:
        """Access has ended: sockets that came in by it are closed at once, their clients soon after."""
        self._revoked.append((time.monotonic(), revocation))
        for client in self.clients.values():
            if any(revocation.covers(membership.grant) for membership in client.rooms.values()):
                if client.connection is not None:
                    client.connection.close(4403, Closing(error="revoked", text=text("revoked"), final=True))
                client.connection, client.lost_at = None, GONE

    def say_goodbye(self, after_s: Callable[[], float]) -> None:
        """The server is going down: tell every socket to come back, spread over a while."""
        self.draining = True
        for client in self.clients.values():
            if client.connection is not None:
                closing = Closing(error="shutting_down", text=text("shutting_down"), after_s=after_s())
                client.connection.close(1012, closing)


GUESTS_SEE = frozenset({"session", "track", "chat", "member"})
"""Kinds of entries for guests; of the others they are told that there is one."""


def for_eyes_of(grant: Grant, event: Event) -> Event:
    """An entry as this person may read it."""
    if grant.role != "guest" or event.kind in GUESTS_SEE:
        return event
    return event.model_copy(update={"kind": "withheld", "body": {}})


def _joined(client: Client, grant: Grant) -> Joined:
    return Joined(client.client, actor(grant), needs_leave=grant.role == "guest" and not grant.unasked)


def actor(grant: Grant) -> Actor:
    return Actor(grant.user, grant.name, grant.site, grant.level, grant.role)


def event_of(entry: timeline.Entry) -> Event:
    return Event(room=entry.room, seq=entry.seq, at=entry.at, kind=entry.kind, body=dict(entry.body))


def _member(client: Client, change: str) -> dict[str, object]:
    body: dict[str, object] = {"change": change, "client": client.client, "person": client.person.model_dump()}
    return body if client.kind == "browser" else {**body, "by": client.kind}
