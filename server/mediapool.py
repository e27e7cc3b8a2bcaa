"""Several media workers behind the face of one: rooms are pinned to workers, and tracks are piped where else they go.

| What | Where |
|---|---|
| a room | the worker with the fewest peers when the room first had one; it stays there while it has any |
| a peer | where its room is; later commands about it, its tracks, their taps and mutes go there |
| a track that a peer of another worker wants | is piped there (`media.pipe`): published there under the same name |
| what a worker says of a piped track | is not passed on: its own worker tells |
| a worker that dies | its peers are gone, and pipes to and from it; peers of the others go on |

Two tables say all: where each peer is, and which tracks are piped where and for whom. A track is piped to a worker once
for all who are there, and no longer than somebody wants it. Pipes are made and unmade one after the other under one
lock, so that a door's list of tracks is always the whole truth.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from config.settings import MediaSettings
from media.messages import (
    Accept,
    AnyCommand,
    Beat,
    Close,
    EncodingsWanted,
    GetStatistics,
    KeyframeNeeded,
    Mute,
    NeedKeyframe,
    Outlet,
    PeerState,
    Pipe,
    PlainTrack,
    Play,
    Publish,
    PublishPlain,
    Quality,
    Reply,
    SetViews,
    SpeakerChanged,
    Subscribe,
    Tap,
    TrackState,
)
from server.media import MediaClient, MediaDown, MediaListener, MediaRefused

log = structlog.get_logger()

_OF_PEERS = Publish | PublishPlain | SetViews | Accept
_OF_TRACKS = Mute | Tap | Pipe | NeedKeyframe


@dataclass(slots=True)
class _Piped:
    """A track at a worker that is not its own."""

    announced: PlainTrack
    outlet: Outlet | None = None
    leads: bool = False
    """Its own worker has been told of the outlet."""
    users: set[str] = field(default_factory=set)
    """Peers that subscribe to it there."""


class _Ear:
    """Hears one worker."""

    def __init__(self, pool: "MediaPool", index: int) -> None:
        self._pool = pool
        self._index = index

    def _is_home(self, peer: str) -> bool:
        return self._pool.is_at(peer, self._index)

    def peer_changed(self, event: PeerState) -> None:
        if self._is_home(event.peer):
            if event.state == "closed":
                self._pool.forget(event.peer)
            if self._pool.listener is not None:
                self._pool.listener.peer_changed(event)

    def track_changed(self, event: TrackState) -> None:
        if self._is_home(event.peer):
            if event.state == "ended":
                self._pool.ended(event.track)
            if self._pool.listener is not None:
                self._pool.listener.track_changed(event)

    def encodings_wanted(self, event: EncodingsWanted) -> None:
        if self._is_home(event.peer) and self._pool.listener is not None:
            self._pool.listener.encodings_wanted(event)

    def speaker_changed(self, event: SpeakerChanged) -> None:
        if self._is_home(event.peer) and self._pool.listener is not None:
            self._pool.listener.speaker_changed(event)

    def quality(self, event: Quality) -> None:
        if self._is_home(event.peer) and self._pool.listener is not None:
            self._pool.listener.quality(event)

    def media_restarted(self, gone: Collection[str] | None) -> None:
        self._pool.died(self._index)


PLACES = "0123456789abcdef"
"""By number of the worker: what its ufrags begin with."""


class Ready:
    """All workers serve."""

    def __init__(self, workers: Sequence[MediaClient]) -> None:
        self._workers = workers

    def is_set(self) -> bool:
        return all(worker.ready.is_set() for worker in self._workers)

    async def wait(self) -> None:
        for worker in self._workers:
            await worker.ready.wait()


class MediaPool:
    """See the module's head. `run` does what follows from events; each of `workers` is run by whoever supervises it."""

    def __init__(self, settings: MediaSettings, *, shares_port: bool = False) -> None:
        self.listener: MediaListener | None = None
        self.workers: list[MediaClient] = []
        for index, port in enumerate(settings.udp_ports):
            changed: dict[str, object] = {"udp_port": port, "workers": 1}
            worker = MediaClient(
                settings.model_copy(update=changed),
                shares_port=shares_port,
                tcp_port=settings.udp_port if shares_port else 0,
                place=PLACES[index],
            )
            worker.listener = _Ear(self, index)
            worker.on_keyframe_needed = partial(self._keyframe_needed, index)
            self.workers.append(worker)
        self.ready = Ready(self.workers)
        self.on_keyframe_needed: Callable[[KeyframeNeeded], None] = lambda event: None
        """A track needs a key frame of the process that hands it in at the door."""
        self._homes: dict[str, int] = {}
        self._rooms: dict[str, str] = {}
        """Peer to the room for which it was placed."""
        self._pins: dict[str, int] = {}
        self._piped: dict[tuple[str, int], _Piped] = {}
        """By track and worker."""
        self._lock = asyncio.Lock()
        self._changed: set[str] = set()
        """Tracks whose pipes are to be looked at."""
        self._keyframes: set[str] = set()
        self._strays: set[tuple[str, int]] = set()
        """Peers that ended while a command for them was under way, and the workers that may have made them again."""
        self._wake = asyncio.Event()

    @property
    def serves(self) -> bool:
        return self.ready.is_set()

    @property
    def tcp_intakes(self) -> tuple[str, ...]:
        return tuple(intake for worker in self.workers for intake in worker.tcp_intakes)

    @property
    def beat(self) -> Beat | None:
        """Of all together: the worst lag, the sum of the rest."""
        beats = [worker.beat for worker in self.workers if worker.beat is not None]
        if not beats:
            return None
        totals: Counter[str] = Counter()
        for beat in beats:
            totals.update(beat.counters)
        lag, cpu = max(beat.loop_lag_s for beat in beats), sum(beat.cpu_s for beat in beats)
        return Beat(loop_lag_s=lag, cpu_s=cpu, counters=dict(totals))

    # --- where ---

    def place(self, peer: str, room: str) -> None:
        if peer in self._homes:
            return
        if room not in self._pins:
            load = Counter(self._homes.values())
            self._pins[room] = min(range(len(self.workers)), key=lambda index: (load[index], index))
        self._homes[peer] = self._pins[room]
        self._rooms[peer] = room

    def home(self, peer: str) -> int:
        return self._homes.get(peer, 0)

    def is_at(self, peer: str, index: int) -> bool:
        """A peer that is piped to a worker is not at it."""
        return self._homes.get(peer) == index

    def generation(self, peer: str) -> int:
        return self.workers[self._homes[peer]].generation(peer) if peer in self._homes else -1

    def _home_of(self, track: str) -> int:
        return self.home(track.rpartition("/")[0])

    def forget(self, peer: str) -> None:
        """It is closed. What it subscribed to is piped no longer for it."""
        self._homes.pop(peer, None)
        room = self._rooms.pop(peer, None)
        if room is not None and room not in self._rooms.values():
            del self._pins[room]
        for (track, _), piped in self._piped.items():
            if track.rpartition("/")[0] == peer:
                piped.users.clear()
                self._look_at(track)
            elif peer in piped.users:
                piped.users.discard(peer)
                self._look_at(track)

    def ended(self, track: str) -> None:
        for (piped, _), one in self._piped.items():
            if piped == track:
                one.users.clear()
        self._look_at(track)

    def _look_at(self, track: str) -> None:
        self._changed.add(track)
        self._wake.set()

    def _keyframe_needed(self, index: int, event: KeyframeNeeded) -> None:
        if self._homes.get(event.peer) == index:
            self.on_keyframe_needed(event)
            return
        self._keyframes.add(event.track)
        self._wake.set()

    def died(self, index: int) -> None:
        """A worker is gone, with its peers, with what was piped to it and what it piped."""
        gone = {peer for peer, home in self._homes.items() if home == index}
        for (track, where), piped in list(self._piped.items()):
            if where == index:
                del self._piped[track, where]
                self._look_at(track)
            elif track.rpartition("/")[0] in gone:
                piped.users.clear()
                self._look_at(track)
        for peer in gone:
            self.forget(peer)
        if self.listener is not None:
            self.listener.media_restarted(gone)

    # --- commands ---

    async def request(self, command: AnyCommand) -> Reply:
        """Raises:
        MediaRefused: the worker refused it.
        MediaDown: the worker is not there or did not answer in time.
        """
        match command:
            case Subscribe() | Play():
                return await self._subscribe(command)
            case Publish() | PublishPlain():
                return await self._at_home(command, self.home(command.peer))
            case Close():
                reply = await self.workers[self.home(command.peer)].request(command)
                self.forget(command.peer)
                return reply
            case _ if isinstance(command, _OF_PEERS):
                return await self.workers[self.home(command.peer)].request(command)
            case _ if isinstance(command, _OF_TRACKS):
                return await self.workers[self._home_of(command.track)].request(command)
            case GetStatistics():
                return await self._statistics(command)
            case _:
                raise MediaRefused("invalid", f"No media worker is meant by {command.type}.")

    async def _subscribe(self, command: Subscribe | Play) -> Reply:
        index = self.home(command.peer)
        for track in command.tracks:
            if self._home_of(track) != index:
                await self._bridge(track, index, command.peer)
        if not self.is_at(command.peer, index):
            raise MediaDown(f"Peer {command.peer} ended meanwhile.")
        reply = await self._at_home(command, index)
        for (track, where), piped in self._piped.items():
            if where == index and command.peer in piped.users and track not in command.tracks:
                piped.users.discard(command.peer)
                self._look_at(track)
        return reply

    async def _at_home(self, command: Publish | PublishPlain | Subscribe | Play, index: int) -> Reply:
        """A command that makes the peer where it is not. One that ended meanwhile would stay there for nobody."""
        try:
            reply = await self.workers[index].request(command)
            if not self.is_at(command.peer, index):
                raise MediaDown(f"Peer {command.peer} ended meanwhile.")
        finally:
            if not self.is_at(command.peer, index):
                self._strays.add((command.peer, index))
                self._wake.set()
        return reply

    async def _statistics(self, command: GetStatistics) -> Reply:
        replies = [await worker.request(command) for worker in self.workers]
        told = {f"worker{index}": reply.statistics for index, reply in enumerate(replies, 1)}
        return replies[0].model_copy(update={"statistics": told})

    # --- pipes ---

    async def _bridge(self, track: str, index: int, peer: str) -> None:
        """Have a track at this worker for this peer. Where that fails, the worker will say that there is no such."""
        async with self._lock:
            if not self.is_at(peer, index):
                return
            piped = self._piped.get((track, index))
            if piped is not None and piped.leads:
                piped.users.add(peer)
                return
            try:
                await self._open(track, index, peer)
            except (MediaRefused, MediaDown) as error:
                log.warning("pipe_failed", track=track, worker=index + 1, reason=str(error))
            finally:
                piped = self._piped.get((track, index))
                if piped is not None and not piped.leads:  # refused, or whoever asked has gone away meanwhile
                    piped.users.clear()
                    self._look_at(track)
                elif piped is not None and not self.is_at(peer, index):
                    piped.users.discard(peer)
                    self._look_at(track)

    async def _open(self, track: str, index: int, peer: str) -> None:
        home = self.workers[self._home_of(track)]
        plain = (await home.request(Pipe(track=track, outlets=self._outlets(track)))).plain
        if plain is None:
            return
        piped = _Piped(plain.model_copy(update={"ssrc": secrets.randbits(31) + 1}), users={peer})
        self._piped[track, index] = piped
        door = (await self._announce(track, index)).door
        if door is None or self._piped.get((track, index)) is not piped:
            return  # one of the two workers died meanwhile
        piped.outlet = Outlet(door=door, ssrc=piped.announced.ssrc)
        await home.request(Pipe(track=track, outlets=self._outlets(track)))
        piped.leads = True

    def _outlets(self, track: str) -> tuple[Outlet, ...]:
        return tuple(
            piped.outlet for (name, _), piped in self._piped.items() if name == track and piped.outlet is not None
        )

    async def _announce(self, track: str, index: int) -> Reply:
        """Tell a worker all that is piped to it of the peer of this track."""
        peer = track.rpartition("/")[0]
        tracks = [
            piped.announced
            for (name, where), piped in self._piped.items()
            if where == index and name.rpartition("/")[0] == peer
        ]
        command = PublishPlain(peer=peer, tracks=tuple(tracks), piped=True) if tracks else Close(peer=peer)
        return await self.workers[index].request(command)

    async def run(self) -> None:
        """Takes down pipes and peers that nobody needs any more, and passes requests for key frames on."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            keyframes, self._keyframes = self._keyframes, set()
            for track in keyframes:
                await self._try(self._home_of(track), NeedKeyframe(track=track))
            strays, self._strays = self._strays, set()
            for peer, index in strays:
                await self._try(index, Close(peer=peer, reason="removed"))
            changed, self._changed = self._changed, set()
            for track in changed:
                await self._tidy(track)

    async def _tidy(self, track: str) -> None:
        async with self._lock:
            unused = [index for (name, index), piped in self._piped.items() if name == track and not piped.users]
            for index in unused:
                del self._piped[track, index]
            await self._try(self._home_of(track), Pipe(track=track, outlets=self._outlets(track)))
            for index in unused:
                try:
                    await self._announce(track, index)
                except (MediaRefused, MediaDown) as error:
                    log.debug("pipe_not_closed", track=track, worker=index + 1, reason=str(error))

    async def _try(self, index: int, command: Pipe | NeedKeyframe | Close) -> None:
        """It may have ended meanwhile."""
        try:
            await self.workers[index].request(command)
        except (MediaRefused, MediaDown) as error:
            log.debug("worker_not_told", command=command.type, worker=index + 1, reason=str(error))
