"""Makes the media worker keep to who may be heard: a muted microphone is not forwarded, whatever its page does.

`server.sessions.floor` says who may be heard in a consultation; this module stops the sound of everybody else at the
media worker, and lets it go on. A microphone that is shown in several consultations must be allowed in all of them.
Single tracks that a moderator stopped by hand stay stopped beside that, in every room, and also when their client
publishes them anew.

A track is judged when it is published, before anybody is told that it is there; and whenever the consultation changes.
What is stopped reaches nobody: not browsers, phones or the recorder.

Whoever holds the talk key, or has priority, and has been without a connection for `LOST_S`, has let go.
"""

import asyncio

import structlog

from server.clients import Client, OwnTrack
from server.conductor import Conductor
from server.sessions.errors import SessionError
from server.sessions.machine import FloorLost, State
from server.sessions.service import SessionService
from server.store.errors import StoreError
from server.streams import StreamError, Streams

log = structlog.get_logger()

RETRY_S = 0.5
LOST_S = 3.0
LOOK_S = 1.0


_Stop = tuple[str, str, str]
"""Client, source and, of a camera, its name: a track that is published anew has another id."""


class Moderation:
    """Who is heard, at the media worker."""

    def __init__(self, conductor: Conductor, streams: Streams, sessions: SessionService) -> None:
        self._conductor = conductor
        self._streams = streams
        self._sessions = sessions
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._stopped: set[_Stop] = set()
        """What a moderator stopped by hand."""

    def changed(self, state: State) -> None:
        """A consultation has another state."""
        self._dirty.add(state.room)
        self._wake.set()

    async def run(self) -> None:
        """Everything that goes on by itself."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._apply_changes())
            group.create_task(self._free_floors())

    async def _free_floors(self) -> None:
        """Takes the floor back from those who are gone without a word, which would leave everybody else silent."""
        lost: dict[tuple[str, str], int] = {}
        while True:
            await asyncio.sleep(LOOK_S)
            held = {
                (state.session, state.floor.holder.user)
                for state in self._sessions.open_states()
                if state.floor.holder is not None and (state.floor.priority or state.floor.mode == "talk")
            }
            lost = {key: lost.get(key, 0) + 1 for key in held if not self._is_connected(*key)}
            for (session, user), looks in list(lost.items()):
                if looks * LOOK_S > LOST_S:
                    del lost[session, user]
                    try:
                        await self._sessions.handle(session, FloorLost(user))
                    except (SessionError, StoreError) as error:
                        log.info("floor_not_freed", session=session, reason=str(error))

    def _is_connected(self, session: str, user: str) -> bool:
        """Whether some page or phone of this user is there; a phone has no socket."""
        return any(
            client.person.user == user and (client.kind != "browser" or client.connection is not None)
            for client in self._conductor.in_room(f"session:{session}")
        )

    async def _apply_changes(self) -> None:
        """Applies what changed; what failed is tried again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            rooms, self._dirty = self._dirty, set()
            for room in rooms:
                await self.apply(room)
            if self._dirty:
                await asyncio.sleep(RETRY_S)

    async def apply(self, room: str) -> None:
        """Stop and let go on what is shown in a room. When this returns it is so, or will be tried again."""
        async with self._lock:
            for client, own in self._conductor.tracks_in(room):
                await self._judge(client, own, room)
            self._forget_gone()

    async def published(self, client: Client) -> None:
        """A client has published: nobody hears what may not be heard, not even for a moment."""
        async with self._lock:
            for own in list(client.tracks.values()):
                for room in self._conductor.rooms_of(client, own):
                    await self._judge(client, own, room)

    async def stop(self, track: str, stopped: bool) -> None:
        """By a moderator, one track.

        Raises:
            StreamError: it is not there, or the worker did not do it.
        """
        found = self._conductor.find_track(track)
        if found is None:
            raise StreamError("no_such_track", f"There is no track {track}.")
        stop = {_stop_of(*found)}
        async with self._lock:
            self._forget_gone()
            before = self._stopped & stop
            self._stopped = self._stopped | stop if stopped else self._stopped - stop
            try:
                await self._streams.silence(track, stopped or not self._heard(*found))
            except StreamError:
                self._stopped = self._stopped - stop | before
                raise

    def _forget_gone(self) -> None:
        self._stopped = {stop for stop in self._stopped if stop[0] in self._conductor.clients}

    def _heard(self, client: Client, own: OwnTrack) -> bool:
        if own.kind != "audio" or own.publication.source != "microphone":
            return True
        floors = [
            state.floor
            for room in self._conductor.rooms_of(client, own)
            if (state := self._sessions.get_open(room.removeprefix("session:"))) is not None and room in client.rooms
        ]
        return all(floor.heard(client.person.user) for floor in floors)

    async def _judge(self, client: Client, own: OwnTrack, room: str) -> None:
        wanted = _stop_of(client, own) in self._stopped or not self._heard(client, own)
        if wanted == own.silenced:
            return
        try:
            await self._streams.silence(own.track, wanted)
        except StreamError as error:
            if error.error != "no_such_track":
                log.warning("track_not_silenced", track=own.track, reason=error.error)
                self._dirty.add(room)
                self._wake.set()


def _stop_of(client: Client, own: OwnTrack) -> _Stop:
    publication = own.publication
    return client.client, publication.source, publication.name if publication.source == "camera" else ""
