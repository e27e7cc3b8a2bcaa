"""What clients publish and watch: between their words (room protocol, WHIP, WHEP) and the media worker's.

Watching is declarative: a client names all it wants, and this module keeps the worker's list equal to what exists, is
shown in a room the client is in, and may be subscribed to. A track that ends, a room that is left or a grant that runs
out makes the client *dirty*; one task negotiates anew with dirty clients, and cuts off those with whom that fails.

A worker's answer is booked only if client, peer and worker are still those it was asked for: whatever happened in
between, a peer that nobody owns is closed, and the end of an old peer never touches a new one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import structlog

from media.messages import (
    Accept,
    Close,
    DoorPass,
    EncodingsWanted,
    Mute,
    PeerState,
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
    View,
)
from server.clients import Client, OwnTrack
from server.conductor import GONE, Conductor
from server.media import Media, MediaDown, MediaRefused
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
    simulated: bool = False
    device: bool = False
    """Published by a device of the site, not by somebody's page."""


class Streams:
    """Media of all clients."""

    def __init__(self, conductor: Conductor, media: Media) -> None:
        self._conductor = conductor
        self._media = media
        self._peers: dict[str, tuple[Client, Literal["publish", "watch"]]] = {}
        self._dirty: dict[str, Client] = {}
        self._wake = asyncio.Event()
        self._to_close: list[str] = []
        self._recheck = False
        self.on_camera: Callable[[Camera], None] = lambda camera: None
        """A camera of a site began."""
        self.on_camera_gone: Callable[[Camera], None] = lambda camera: None
        self.on_published: Callable[[Client], Awaitable[None]] = _nothing
        """A client has other tracks, or shows them elsewhere; awaited before anybody is told."""

    # --- publishing ---

    async def publish(self, client: Client, sdp: str, publications: Publications, *, fresh: bool) -> Reply:
        """Offer of a publishing peer.

        Raises:
            StreamError: not allowed, or the worker refused it.
        """
        self._check_publications(client, publications)
        sites = {mid: client.rooms[one.rooms[0]].grant.site for mid, one in publications.items()}
        async with client.media:
            if fresh and client.publish_peer is not None:
                self._drop_peer(client.publish_peer)
                self._forget_tracks(client)
                client.publish_peer = None
            peer = client.publish_peer or self._new_peer(client, "p", _first_room(publications))
            reply = await self._ask(client, "publish", Publish(peer=peer, sdp=sdp))
            client.publish_peer = peer
            self._take_tracks(client, reply, publications, sites)
            await self.on_published(client)
        return reply

    async def publish_plain(
        self, client: Client, tracks: tuple[PlainTrack, ...], publications: Publications, *, asks: bool = False
    ) -> DoorPass:
        """Tracks whose packets another process of this machine hands in: the whole list. Says where. `asks`: it can be
        asked for key frames.

        Raises:
            StreamError: not allowed, or the worker refused it.
        """
        self._check_publications(client, publications)
        sites = {mid: client.rooms[one.rooms[0]].grant.site for mid, one in publications.items()}
        async with client.media:
            peer = client.publish_peer or self._new_peer(client, "p", _first_room(publications))
            reply = await self._ask(client, "publish", PublishPlain(peer=peer, tracks=tracks, piped=asks))
            client.publish_peer = peer
            self._take_tracks(client, reply, publications, sites)
            await self.on_published(client)
        assert reply.door is not None
        return reply.door

    async def _ask(
        self, client: Client, direction: Literal["publish", "watch"], command: Publish | PublishPlain | Subscribe | Play
    ) -> Reply:
        """A command about a peer of a client, known or new. If it fails, a new peer is closed again; a peer that ended
        meanwhile is closed in any case."""
        peer, known = command.peer, command.peer in self._peers
        worker = self._media.generation(peer)
        self._peers[peer] = (client, direction)
        booked = known
        try:
            reply = await self._request(command)
            if peer not in self._peers:  # its end crossed the command: the worker has made another of this name
                booked = False
                raise StreamError("media_down", "The peer ended meanwhile.")
            if worker != self._media.generation(peer) or client.client not in self._conductor.clients:
                raise StreamError("media_down", "The media worker or the client went away meanwhile.")
            booked = True
        finally:
            if not booked:
                self._drop_peer(peer)
        return reply

    def _new_peer(self, client: Client, direction: str, room: str) -> str:
        """Where the room's others are."""
        peer = client.next_peer(direction)
        self._media.place(peer, room)
        return peer

    def _room_of(self, tracks: tuple[str, ...]) -> str:
        """The room where the first of these is shown."""
        found = self._conductor.find_track(tracks[0]) if tracks else None
        return found[1].publication.rooms[0] if found is not None else ""

    def _check_publications(self, client: Client, publications: Publications) -> None:
        for publication in publications.values():
            for name in publication.rooms:
                membership = client.rooms.get(name)
                if membership is None:
                    raise StreamError("not_in_room", f"The client is not in {name}.")
                grant = membership.grant
                if not grant.publish or publication.source not in grant.sources:
                    raise StreamError("not_allowed", f"The token for {name} does not allow {publication.source}.")

    def _take_tracks(self, client: Client, reply: Reply, publications: Publications, sites: Mapping[str, str]) -> None:
        present = {info.track for info in reply.tracks if info.mid in publications}
        for track in [one for one in client.tracks if one not in present]:
            self._end_track(client, track)
        for info in reply.tracks:
            publication = publications.get(info.mid)
            if publication is None:
                continue
            known = client.tracks.get(info.track)
            if known is not None:
                self._conductor.room_changed(*self._conductor.rooms_of(client, known))
                known.publication, known.codec = publication, info.codec
            else:
                known = OwnTrack(
                    info.track, info.mid, info.kind, info.codec, publication, sites[info.mid], client.simulated
                )
                known.silenced = info.muted
                client.tracks[info.track] = known
                self._tell_track(client, known, "published")
                if (camera := self._camera(client, known)) is not None:
                    self.on_camera(camera)
            self._conductor.room_changed(*self._conductor.rooms_of(client, known))
        self.recheck()  # rooms of a publication may have become fewer

    @staticmethod
    def _camera(client: Client, own: OwnTrack) -> Camera | None:
        """The track as a camera of its site; a shared screen or a precheck is none."""
        if own.kind != "video" or own.publication.source != "camera":
            return None
        if f"site:{own.site}" not in own.publication.rooms:
            return None
        return Camera(own.site, own.publication.name, own.track, own.simulated, client.kind == "whip")

    def _end_track(self, client: Client, track: str) -> None:
        own = client.tracks.pop(track, None)
        if own is None:
            return
        self._tell_track(client, own, "ended")
        self._conductor.room_changed(*self._conductor.rooms_of(client, own))
        if (camera := self._camera(client, own)) is not None:
            self.on_camera_gone(camera)
        for watcher in self._conductor.clients.values():
            if track in watcher.sending:
                self._mark(watcher)

    def cameras(self, site: str, name: str) -> list[Camera]:
        """The live cameras of a site under this name: devices before pages, the newest last."""
        found = [
            camera
            for client in self._conductor.clients.values()
            for own in client.tracks.values()
            if (camera := self._camera(client, own)) is not None and (camera.site, camera.name) == (site, name)
        ]
        return sorted(found, key=lambda camera: not camera.device)

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
        rooms = self._conductor.rooms_of(client, own)
        self._conductor.note(sorted(rooms), "track", body)

    # --- watching ---

    async def watch(self, client: Client, request: room.Watch) -> dict[str, room.Text]:
        """Take the whole list of wanted tracks; offers follow. Answers why some do not come."""
        client.wanted = request.tracks
        refused = {track: text("no_such_track") for track in request.tracks if not self._may_watch(client, track)}
        async with client.media:
            if request.fresh and client.watch_peer is not None:
                self._drop_peer(client.watch_peer)
                client.watch_peer = None
            refused |= await self._subscribe(client, ice_restart=request.ice_restart)
        return refused

    async def set_views(self, client: Client, views: Mapping[str, room.View]) -> None:
        """How the client shows what it watches: it gets no more than it can show."""
        client.views = dict(views)
        if client.watch_peer is not None:
            async with client.media:
                await self._tell_views(client)

    async def _tell_views(self, client: Client) -> None:
        """`client.media` is held. A peer that has just ended needs no views: the next one is told them."""
        if client.watch_peer is None:
            return
        views = {track: View(height=view.height, first=view.first) for track, view in client.views.items()}
        try:
            await self._request(SetViews(peer=client.watch_peer, views=views))
        except StreamError as error:
            log.debug("views_not_told", client=client.client, reason=error.error)

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
        peer = client.watch_peer or self._new_peer(client, "w", self._room_of(tracks))
        reply = await self._ask(client, "watch", Subscribe(peer=peer, tracks=tracks, ice_restart=ice_restart))
        known, client.watch_peer = client.watch_peer, peer
        if known is None and client.views:
            await self._tell_views(client)
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
        rooms = self._conductor.rooms_of(*found)
        return any(name in client.rooms and client.rooms[name].grant.subscribe for name in rooms)

    def recheck(self) -> None:
        """Rooms, grants or publications changed: what people watch may have to stop."""
        self._recheck = True
        self._wake.set()

    def _mark(self, client: Client) -> None:
        self._dirty[client.client] = client
        self._wake.set()

    # --- WHIP and WHEP ---

    async def play(self, client: Client, sdp: str, tracks: tuple[str, ...]) -> Reply:
        """WHEP: one offer, one answer."""
        peer = self._new_peer(client, "w", self._room_of(tracks))
        reply = await self._ask(client, "watch", Play(peer=peer, sdp=sdp, tracks=tracks))
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
        self._conductor.room_changed(*self._conductor.rooms_of(*found))

    def muted(self, client: Client, track: str, muted: bool) -> None:
        """The owner says so; everybody sees it."""
        if (own := client.tracks.get(track)) is None:
            raise StreamError("no_such_track", f"The client has no track {track}.")
        own.muted = muted
        self._conductor.room_changed(*self._conductor.rooms_of(client, own))

    async def tap(
        self, track: str, address: str | None, reader: Literal["vision", "record", "phone"] = "vision"
    ) -> None:
        """Send a track's access units to a reader, or stop."""
        await self._request(Tap(track=track, address=address, reader=reader))

    async def _request(
        self, command: Publish | PublishPlain | Subscribe | SetViews | Accept | Play | Mute | Tap
    ) -> Reply:
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
                self._drop_peer(peer)
        client.sending = frozenset()

    def _drop_peer(self, peer: str) -> None:
        """Nobody owns this peer any more: it is closed soon."""
        self._peers.pop(peer, None)
        self._to_close.append(peer)
        self._wake.set()

    async def _close_peer(self, peer: str) -> None:
        try:
            await self._media.request(Close(peer=peer, reason="removed"))
        except MediaRefused as error:
            log.debug("peer_not_closed", peer=peer, reason=str(error))
        except MediaDown:
            if self._media.serves:  # it is there and did not answer in time: ask again
                self._to_close.append(peer)

    async def run(self) -> None:
        """Negotiates with clients whose list changed under them, and closes peers that nobody owns."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            closing, self._to_close = self._to_close, []
            for peer in closing:
                await self._close_peer(peer)
            if self._recheck:
                self._recheck = False
                for client in self._conductor.clients.values():
                    if any(not self._may_watch(client, track) for track in client.sending):
                        self._mark(client)
            dirty, self._dirty = self._dirty, {}
            for client in dirty.values():
                await self._renew(client)

    async def _renew(self, client: Client) -> None:
        """Make what is sent equal to what may be; where that fails, nothing is sent."""
        if client.watch_peer is None or client.client not in self._conductor.clients:
            return
        if client.kind != "browser":
            client.lost_at = GONE  # a WHEP session cannot be offered anew: it ends
            return
        try:
            async with client.media:
                await self._subscribe(client)
        except StreamError as error:
            log.warning("watching_ended", client=client.client, reason=error.error)
            if client.watch_peer is not None:
                self._drop_peer(client.watch_peer)
            client.watch_peer, client.sending = None, frozenset()
            if client.connection is not None:
                client.connection.outbox.put(_closed("watch", error.error))
            self._conductor.room_changed(*client.rooms)

    # --- what the worker tells ---

    def peer_changed(self, event: PeerState) -> None:
        found = self._peers.get(event.peer)
        if found is None:
            return
        client, direction = found
        current = event.peer in (client.publish_peer, client.watch_peer)
        if client.connection is not None and (current or event.state != "closed"):
            words = text(event.reason) if event.reason else None
            state = room.MediaState(peer=direction, state=event.state, reason=event.reason, text=words)
            client.connection.outbox.put(state)
        if event.state != "closed":
            return
        log.info("peer_closed", peer=event.peer, reason=event.reason)
        del self._peers[event.peer]
        if event.peer == client.publish_peer:
            client.publish_peer = None
            self._forget_tracks(client)
        elif event.peer == client.watch_peer:
            client.watch_peer, client.sending = None, frozenset()
            self._conductor.room_changed(*client.rooms)
        if client.kind in ("whip", "whep"):
            client.lost_at = GONE

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
        self._conductor.room_changed(*self._conductor.rooms_of(client, own))

    def encodings_wanted(self, event: EncodingsWanted) -> None:
        """A page may stop the layers that nobody takes; a program that publishes is left alone."""
        found = self._conductor.find_track(event.track)
        if found is None:
            return
        client, own = found
        own.active = event.rids
        self._tell_encodings(client, own)

    @staticmethod
    def _tell_encodings(client: Client, own: OwnTrack) -> None:
        if own.active and client.kind == "browser" and client.connection is not None:
            message = room.Encodings(track=own.track, active=own.active)
            client.connection.outbox.put_state(f"encodings/{own.track}", message)

    def speaker_changed(self, event: SpeakerChanged) -> None:
        """Told to the page that hears it."""
        found = self._peers.get(event.peer)
        if found is None:
            return
        found[0].speaker = (time.monotonic(), event.track) if event.track else None
        if found[0].connection is not None:
            found[0].connection.outbox.put_state("speaker", room.Speaker(track=event.track))

    def quality(self, event: Quality) -> None:
        found = self._peers.get(event.peer)
        if found is None or found[0].connection is None:
            return
        tracks = {one.track: one.model_dump(exclude={"track"}) for one in event.tracks}
        found[0].connection.outbox.put_live(f"quality/{event.peer}", room.Quality(tracks=tracks))

    def media_restarted(self, gone: Collection[str] | None) -> None:
        """A worker died with these peers, or with all. Browsers are told to begin anew, programs are dropped and come
        back; a telephone's call goes on, and `server.phonemedia` publishes it anew."""
        lost = set(self._peers) if gone is None else self._peers.keys() & set(gone)
        for peer in lost:
            del self._peers[peer]
        self._to_close = [] if gone is None else [peer for peer in self._to_close if peer not in set(gone)]
        for client in list(self._conductor.clients.values()):
            had: list[Literal["publish", "watch"]] = []
            if client.publish_peer is not None and (gone is None or client.publish_peer in lost):
                self._forget_tracks(client)
                client.publish_peer = None
                had.append("publish")
            if client.watch_peer is not None and (gone is None or client.watch_peer in lost):
                client.watch_peer, client.sending = None, frozenset()
                self._dirty.pop(client.client, None)
                had.append("watch")
            for direction in had:
                if client.connection is not None:
                    client.connection.outbox.put(_closed(direction, "media_down"))
            if had and client.kind in ("whip", "whep"):
                client.lost_at = GONE

    def tell_peers(self, client: Client) -> None:
        """After a resume: which of the two peers did not live through it, and which layers are taken."""
        if client.connection is None:
            return
        for own in client.tracks.values():
            self._tell_encodings(client, own)
        for direction, peer in (("publish", client.publish_peer), ("watch", client.watch_peer)):
            if peer is None:
                client.connection.outbox.put(_closed("publish" if direction == "publish" else "watch", "closed"))


def _first_room(publications: Publications) -> str:
    return next((one.rooms[0] for one in publications.values()), "")


async def _nothing(_client: Client) -> None:
    """Nobody has to know."""


def _closed(peer: Literal["publish", "watch"], reason: str) -> room.MediaState:
    return room.MediaState(peer=peer, state="closed", reason=reason, text=text(reason))
