"""What clients publish and watch: between their words (room protocol, WHIP, WHEP) and the media worker's.

Watching is declarative: a client names all it wants, and this module keeps the worker's list equal to what exists, is
shown in a room the client is in, and may be subscribed to. A track that ends, a room that is left or a grant that runs
out makes the client *dirty*; one task negotiates anew with dirty clients.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from media.messages import Accept, Close, Mute, PeerState, Play, Publish, Quality, Reply, Subscribe, Tap, TrackState
from server.clients import Client, OwnTrack
from server.conductor import Conductor
from server.media import MediaClient, MediaDown, MediaRefused
from signaling.room import messages as room
from signaling.room.problems import text

log = structlog.get_logger()

Publications = Mapping[str, room.Publication]
"""By mid."""


class StreamError(Exception):
    """A publish, watch or moderate request was refused; `error` is a stable id."""

    def __init__(self, error: str, detail: str) -> None:
        self.error = error
        self.detail = detail
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Camera:
    """A video track that belongs to a site, for the vision worker."""

    site: str
    name: str
    track: str


class Streams:
    """Media of all clients."""

    def __init__(self, conductor: Conductor, media: MediaClient) -> None:
        self._conductor = conductor
        self._media = media
        self._peers: dict[str, tuple[Client, Literal["publish", "watch"]]] = {}
        self._dirty: dict[str, Client] = {}
        self._wake = asyncio.Event()
        self._to_close: list[str] = []
        self.on_camera: Callable[[Camera], None] = lambda camera: None
        """A camera of a site began."""
        self.on_camera_gone: Callable[[Camera], None] = lambda camera: None

    # --- publishing ---

    async def publish(self, client: Client, sdp: str, publications: Publications, *, fresh: bool) -> Reply:
        """Offer of a publishing peer.

        Raises:
            StreamError: not allowed, or the worker refused it.
        """
        self._check_publications(client, publications)
        async with client.media:
            if fresh and client.publish_peer is not None:
                await self._close_peer(client.publish_peer, "fresh")
                self._forget_tracks(client)
                client.publish_peer = None
            peer = client.publish_peer or client.next_peer("p")
            self._peers[peer] = (client, "publish")
            try:
                reply = await self._request(Publish(peer=peer, sdp=sdp))
            except StreamError:
                if client.publish_peer is None:
                    self._peers.pop(peer, None)
                raise
            client.publish_peer = peer
            self._take_tracks(client, reply, publications)
        return reply

    def _check_publications(self, client: Client, publications: Publications) -> None:
        for publication in publications.values():
            for name in publication.rooms:
                membership = client.rooms.get(name)
                if membership is None:
                    raise StreamError("not_in_room", f"The client is not in {name}.")
                grant = membership.grant
                if not grant.publish or publication.source not in grant.sources:
                    raise StreamError("not_allowed", f"The token for {name} does not allow {publication.source}.")

    def _take_tracks(self, client: Client, reply: Reply, publications: Publications) -> None:
        present = {info.track for info in reply.tracks if info.mid in publications}
        for track in [one for one in client.tracks if one not in present]:
            self._end_track(client, track)
        for info in reply.tracks:
            publication = publications.get(info.mid)
            if publication is None:
                continue
            known = client.tracks.get(info.track)
            if known is not None:
                self._conductor.room_changed(*self._conductor.rooms_of(known))
                known.publication, known.codec = publication, info.codec
            else:
                grant = client.rooms[publication.rooms[0]].grant
                known = OwnTrack(info.track, info.mid, info.kind, info.codec, publication, grant.site,
                                 simulated=client.simulated)  # fmt: skip
                client.tracks[info.track] = known
                self._tell_track(client, known, "published")
                if known.kind == "video" and f"site:{known.site}" in publication.rooms:
                    self.on_camera(Camera(known.site, publication.name, known.track))
            self._conductor.room_changed(*self._conductor.rooms_of(known))

    def _end_track(self, client: Client, track: str) -> None:
        own = client.tracks.pop(track, None)
        if own is None:
            return
        self._tell_track(client, own, "ended")
        self._conductor.room_changed(*self._conductor.rooms_of(own))
        if own.kind == "video":
            self.on_camera_gone(Camera(own.site, own.publication.name, own.track))
        for watcher in self._conductor.clients.values():
            if track in watcher.sending:
                self._mark(watcher)

    def _forget_tracks(self, client: Client) -> None:
        for track in list(client.tracks):
            self._end_track(client, track)

    def _tell_track(self, client: Client, own: OwnTrack, change: str) -> None:
        """On the timelines. The precheck of a page is nobody's business."""
        if own.publication.name == "precheck":
            return
        body: dict[str, object] = {"change": change, "track": client.notice(own).model_dump()}
        if own.simulated:
            body["simulated"] = True
        rooms = self._conductor.rooms_of(own)
        self._conductor.note(sorted(rooms), "track", body)

    # --- watching ---

    async def watch(self, client: Client, request: room.Watch) -> dict[str, room.Text]:
        """Take the whole list of wanted tracks; offers follow. Answers why some do not come."""
        client.wanted = request.tracks
        refused = {track: text("no_such_track") for track in request.tracks if not self._may_watch(client, track)}
        async with client.media:
            if request.fresh and client.watch_peer is not None:
                await self._close_peer(client.watch_peer, "fresh")
                client.watch_peer = None
            refused |= await self._subscribe(client, ice_restart=request.ice_restart)
        return refused

    async def answer(self, client: Client, request: room.Answer) -> dict[str, room.Text]:
        """The client's answer to an offer; tells which tracks its browser cannot take."""
        if client.watch_peer is None:
            raise StreamError("stale", "There is no watching peer.")
        command = Accept(peer=client.watch_peer, generation=request.generation, sdp=request.sdp)
        async with client.media:
            reply = await self._request(command)
        return {track: text(reason) for track, reason in reply.refused_tracks.items()}

    async def _subscribe(self, client: Client, *, ice_restart: bool = False) -> dict[str, room.Text]:
        """Make the worker's list equal to what is wanted and allowed. `client.media` is held."""
        tracks = tuple(track for track in client.wanted if self._may_watch(client, track))
        if not tracks and client.watch_peer is None:
            return {}
        peer = client.watch_peer or client.next_peer("w")
        self._peers[peer] = (client, "watch")
        try:
            reply = await self._request(Subscribe(peer=peer, tracks=tracks, ice_restart=ice_restart))
        except StreamError:
            if client.watch_peer is None:
                self._peers.pop(peer, None)
            raise
        client.watch_peer = peer
        before, client.sending = client.sending, frozenset(tracks)
        if bool(before) != bool(tracks):
            self._conductor.room_changed(*client.rooms)
        if reply.sdp and client.connection is not None:
            offer = room.Offer(generation=reply.generation, sdp=reply.sdp, mids=reply.mids)
            client.connection.outbox.put(offer)
        return {track: text(reason) for track, reason in reply.refused_tracks.items()}

    def _may_watch(self, client: Client, track: str) -> bool:
        found = self._conductor.find_track(track)
        if found is None or found[0] is client:
            return False
        rooms = self._conductor.rooms_of(found[1])
        return any(name in client.rooms and client.rooms[name].grant.subscribe for name in rooms)

    def rooms_changed(self, client: Client) -> None:
        """The client's rooms or grants changed: what it watches may have to stop."""
        if any(not self._may_watch(client, track) for track in client.sending):
            self._mark(client)

    def _mark(self, client: Client) -> None:
        self._dirty[client.client] = client
        self._wake.set()

    # --- WHIP and WHEP ---

    async def play(self, client: Client, sdp: str, tracks: tuple[str, ...]) -> Reply:
        """WHEP: one offer, one answer."""
        peer = client.next_peer("w")
        self._peers[peer] = (client, "watch")
        try:
            reply = await self._request(Play(peer=peer, sdp=sdp, tracks=tracks))
        except StreamError:
            self._peers.pop(peer, None)
            raise
        client.watch_peer, client.sending = peer, frozenset(tracks)
        self._conductor.room_changed(*client.rooms)
        return reply

    # --- moderation, taps ---

    async def silence(self, track: str, silenced: bool) -> None:
        """A moderator stops a track for everybody, or lets it go on."""
        found = self._conductor.find_track(track)
        if found is None:
            raise StreamError("no_such_track", f"There is no track {track}.")
        await self._request(Mute(track=track, muted=silenced))
        found[1].silenced = silenced
        self._conductor.room_changed(*self._conductor.rooms_of(found[1]))

    def muted(self, client: Client, track: str, muted: bool) -> None:
        """The owner says so; everybody sees it."""
        if (own := client.tracks.get(track)) is None:
            raise StreamError("no_such_track", f"The client has no track {track}.")
        own.muted = muted
        self._conductor.room_changed(*self._conductor.rooms_of(own))

    async def tap(self, track: str, address: str | None) -> None:
        """Send a track's access units to a vision worker, or stop."""
        await self._request(Tap(track=track, address=address))

    async def _request(self, command: Publish | Subscribe | Accept | Play | Mute | Tap) -> Reply:
        try:
            return await self._media.request(command)
        except MediaRefused as error:
            raise StreamError(error.error, error.detail) from error
        except MediaDown as error:
            raise StreamError("media_down", str(error)) from error

    # --- ends ---

    def client_removed(self, client: Client) -> None:
        """The conductor let a client go."""
        self._forget_tracks(client)
        for peer, (owner, _) in list(self._peers.items()):
            if owner is client:
                del self._peers[peer]
                self._to_close.append(peer)
        client.sending = frozenset()
        self._wake.set()

    async def _close_peer(self, peer: str, reason: str) -> None:
        self._peers.pop(peer, None)
        try:
            await self._media.request(Close(peer=peer, reason=reason))
        except (MediaDown, MediaRefused) as error:
            log.debug("peer_not_closed", peer=peer, reason=str(error))

    async def run(self) -> None:
        """Negotiates with clients whose list changed under them, and closes peers that nobody owns."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            closing, self._to_close = self._to_close, []
            for peer in closing:
                await self._close_peer(peer, "removed")
            dirty, self._dirty = self._dirty, {}
            for client in dirty.values():
                if client.watch_peer is None or client.kind != "browser":
                    continue
                try:
                    async with client.media:
                        await self._subscribe(client)
                except StreamError as error:
                    log.info("watch_not_renewed", client=client.client, reason=error.error)

    # --- what the worker tells ---

    def peer_changed(self, event: PeerState) -> None:
        found = self._peers.get(event.peer)
        if found is None:
            return
        client, direction = found
        if client.connection is not None:
            words = text(event.reason) if event.reason else None
            state = room.MediaState(peer=direction, state=event.state, reason=event.reason, text=words)
            client.connection.outbox.put(state)
        if event.state != "closed":
            return
        log.info("peer_closed", peer=event.peer, reason=event.reason)
        del self._peers[event.peer]
        if direction == "publish":
            client.publish_peer = None
            self._forget_tracks(client)
        else:
            client.watch_peer, client.sending = None, frozenset()
            self._conductor.room_changed(*client.rooms)
        if client.kind != "browser":
            client.lost_at = float("-inf")  # the conductor takes it away

    def track_changed(self, event: TrackState) -> None:
        found = self._conductor.find_track(event.track)
        if found is None:
            return
        client, own = found
        if event.state == "ended":
            self._end_track(client, event.track)
            return
        before, own.state = own.state, event.state
        if before != event.state and not (before == "starting" and event.state == "live"):
            self._tell_track(client, own, event.state)
        self._conductor.room_changed(*self._conductor.rooms_of(own))

    def quality(self, event: Quality) -> None:
        found = self._peers.get(event.peer)
        if found is None or found[0].connection is None:
            return
        tracks = {one.track: one.model_dump(exclude={"track"}) for one in event.tracks}
        found[0].connection.outbox.put_live(f"quality/{event.peer}", room.Quality(tracks=tracks))

    def media_restarted(self) -> None:
        """The worker died: every peer is gone. Browsers are told to begin anew, programs are dropped and come back."""
        self._peers.clear()
        self._to_close.clear()
        for client in list(self._conductor.clients.values()):
            peers = ((client.publish_peer, "publish"), (client.watch_peer, "watch"))
            self._forget_tracks(client)
            client.publish_peer = client.watch_peer = None
            client.sending = frozenset()
            for peer, direction in peers:
                if peer is not None and client.connection is not None:
                    client.connection.outbox.put(_down("publish" if direction == "publish" else "watch"))
            if client.kind != "browser":
                client.lost_at = float("-inf")
        self._dirty.clear()


def _down(peer: Literal["publish", "watch"]) -> room.MediaState:
    return room.MediaState(peer=peer, state="closed", reason="media_down", text=text("media_down"))
