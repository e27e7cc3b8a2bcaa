"""The board on which publishers and subscribers are plugged together: commands in, events out.

Owns the peers of one socket. `media.worker` gives it commands, readable sockets and ticks; it never waits.
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from media import rtcp, rtp
from media.codecmatch import AUDIO_LEVEL
from media.door import Gate
from media.errors import CommandRefused, PacketError, RefusalId
from media.forwarder.interface import Forwarder, Handed, Kind
from media.incoming import Encoding, IncomingTrack
from media.messages import (
    DoorPass,
    EncodingsWanted,
    KeyframeNeeded,
    Message,
    Outlet,
    PeerState,
    PlainTrack,
    Quality,
    Reply,
    SpeakerChanged,
    TrackInfo,
    TrackState,
    View,
)
from media.negotiation import PublisherAnswer, SdpError, SubscriberNegotiation, answer_player, answer_publisher
from media.plain import PlainTransport, published
from media.publisher import Publisher
from media.router import Change, Connect, Disconnect, Router
from media.rtpparameters import Kind as TrackKind
from media.rtpparameters import LocalTransport, PublishedMedia
from media.speaker import Voice, loudest
from media.subscriber import LARGE_ROOM, LOUDEST, Subscriber
from media.subscription import new_wanted
from media.tapping import Reader
from media.transport.icelite import Credentials, new_credentials
from media.transport.mux import Mux
from media.transport.peer import PeerTransport, State

log = logging.getLogger(__name__)

TICKS_PER_S = 10
_QUALITY_TICKS = 2 * TICKS_PER_S
_ARRANGE_TICKS = TICKS_PER_S
_SPEAKER_TICKS = 3
MANY_WATCHERS = 50
"""Sender reports to more than these are spread over the ticks of a second."""
_STEP_S = 0.005
MAX_SSRCS = 512
"""Of one peer, as long as it lasts: a client takes new ones for each thing that it begins to show, not for packets."""
"""Between the parts of a probe."""

Emit = Callable[[Message], None]


class Exchange:
    """See the module's head."""

    def __init__(
        self,
        forwarder: Forwarder,
        make_mux: Callable[[Callable[[PeerTransport, State, str, str], None]], Mux],
        emit: Emit,
        *,
        keyframe_interval_s: float,
        stalled_after_s: float,
        max_peers: int,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        place: str = "",
    ) -> None:
        """`place`: what our ufrags begin with."""
        self._forwarder = forwarder
        self._mux = make_mux(self._state_changed)
        self._emit = emit
        self._keyframe_interval_s = keyframe_interval_s
        self._stalled_after_s = stalled_after_s
        self._max_peers = max_peers
        self._clock = clock
        self._wall_clock = wall_clock
        self._place = place
        self._numbers = itertools.count(1)
        self._router = Router()
        self._publishers: dict[str, Publisher] = {}
        self._subscribers: dict[str, Subscriber] = {}
        self._by_number: dict[int, Publisher | Subscriber] = {}
        self._tracks: dict[str, tuple[Publisher, IncomingTrack]] = {}
        self._by_source: dict[int, tuple[Publisher, IncomingTrack, Encoding]] = {}
        self._ssrcs: dict[int, set[int]] = {}
        """By number of the peer: those under which it ever sent what no track was waiting for, or reports."""
        self._tick = 0
        self._voices: dict[str, Voice] = {}
        """By track; of those whose packets carry levels."""
        self._audible: list[str] = []
        self._hurried: set[Subscriber] = set()
        """Those that are paced or probed."""
        self.gate = Gate()
        self.door_address = ""
        """Where the gate's door is; "" = there is none."""

    # --- commands ---------------------------------------------------------------------------------------------------

    def publish(self, request: int, peer: str, sdp: str, allow: Sequence[TrackKind]) -> Reply:
        """Raises:
        CommandRefused: see `Refused`.
        """
        now = self._clock()
        publisher = self._publishers.get(peer)
        if publisher is None:
            publisher, answer = self._new_publisher(peer, sdp, allow, now)
            transport = publisher.transport
        else:
            transport = publisher.transport
            if isinstance(transport, PlainTransport):
                raise CommandRefused("invalid", f"Peer {peer} hands in its packets at the door.")
            local = self._mux.local(transport.ice.credentials)
            answer = _translated(lambda: answer_publisher(sdp, local, allow))
            if transport.restarts(answer.remote):
                self._mux.restart(transport, new_credentials(self._place))
                answer = answer_publisher(sdp, self._mux.local(transport.ice.credentials), allow)
        tracks = self._agree(publisher, answer.media, now)
        assert isinstance(transport, PeerTransport)
        described = transport
        self._mux.guarded(described, lambda: described.describe(answer.remote, now))
        return Reply(request=request, sdp=answer.sdp, tracks=tracks)

    def publish_plain(
        self, request: int, peer: str, tracks: Sequence[PlainTrack], stream: str, *, piped: bool = False
    ) -> Reply:
        """Raises:
        CommandRefused: there is no door, or this peer is another one.
        """
        now = self._clock()
        media = tuple(published(track, stream) for track in tracks)
        ssrcs = [track.ssrc for track in tracks]
        if len({each.mid for each in media}) < len(media) or len(set(ssrcs)) < len(ssrcs):
            raise CommandRefused("invalid", f"Two tracks of peer {peer} have the same name or SSRC.")
        publisher = self._publishers.get(peer)
        if publisher is None:
            if not self.door_address:
                raise CommandRefused("invalid", "This media worker has no door.")
            self._check_new(peer)
            number = self._mux.number()
            token = self.gate.admit(number, ssrcs)
            ask = partial(self._ask_beyond, peer) if piped else None
            transport = PlainTransport(number, peer, token, self._forwarder, now, ask)
            publisher = Publisher(transport, self._forwarder, self._numbers, self._keyframe_interval_s)
            self._publishers[peer] = self._by_number[number] = publisher
            self._emit(PeerState(peer=peer, state="connected"))
        elif isinstance(publisher.transport, PlainTransport):
            transport = publisher.transport
            self.gate.announce(transport.token, ssrcs)
        else:
            raise CommandRefused("invalid", f"Peer {peer} has another transport.")
        infos = self._agree(publisher, media, now)
        door = DoorPass(address=self.door_address, token=transport.token.hex())
        return Reply(request=request, tracks=infos, door=door)

    def _agree(self, publisher: Publisher, media: tuple[PublishedMedia, ...], now: float) -> tuple[TrackInfo, ...]:
        begun, ended = publisher.agree(media, now)
        muted = {track.info.track for track in ended if track.muted}
        for track in ended:
            self._end_track(track)
        for track in begun:
            track.muted = track.info.track in muted
            self._tracks[track.info.track] = (publisher, track)
            for encoding in track.encodings:
                self._by_source[encoding.source] = (publisher, track, encoding)
                if track.muted:
                    self._forwarder.mute(encoding.source, True)
            self._apply(self._router.publish(track.info.track))
        return tuple(track.info.model_copy(update={"muted": track.muted}) for track in publisher.tracks.values())

    def _new_publisher(
        self, peer: str, sdp: str, allow: Sequence[TrackKind], now: float
    ) -> tuple[Publisher, PublisherAnswer]:
        self._check_new(peer)
        credentials = new_credentials(self._place)
        answer = _translated(lambda: answer_publisher(sdp, self._mux.local(credentials), allow))
        transport = self._mux.open(peer, credentials, now)
        publisher = Publisher(transport, self._forwarder, self._numbers, self._keyframe_interval_s)
        self._publishers[peer] = self._by_number[transport.number] = publisher
        self._emit(PeerState(peer=peer, state="connecting"))
        return publisher, answer

    def subscribe(self, request: int, peer: str, tracks: Sequence[str], ice_restart: bool) -> Reply:
        """Raises:
        CommandRefused: see `Refused`.
        """
        subscriber = self._subscribers.get(peer)
        if subscriber is None:
            self._check_new(peer)
            credentials = new_credentials(self._place)
            negotiation = SubscriberNegotiation(self._mux.local(credentials))
            subscriber = self._new_subscriber(peer, credentials, negotiation)
        if subscriber.negotiation is None:
            raise CommandRefused("invalid", f"Peer {peer} is a player; it offers itself.")
        here, gone, changes = self._router.want(peer, tracks)
        self._apply(changes)
        restart = None
        if ice_restart:
            self._mux.restart(subscriber.transport, new_credentials(self._place))
            restart = self._local(subscriber)
        wanted = subscriber.wanted([self._tracks[track][1] for track in here])
        offer = subscriber.negotiation.offer(wanted, restart)
        refused = dict.fromkeys(gone, "unknown_track")
        if offer is not None:
            subscriber.generation, subscriber.mids = offer.generation, offer.mids
        refused.update(subscriber.negotiation.refused)
        return Reply(
            request=request,
            sdp=offer.sdp if offer else "",
            generation=subscriber.generation,
            mids=subscriber.mids,
            refused_tracks=refused,
        )

    def set_views(self, request: int, peer: str, views: Mapping[str, View]) -> Reply:
        """Raises:
        CommandRefused: `unknown_peer`.
        """
        subscriber = self._subscribers.get(peer)
        if subscriber is None:
            raise CommandRefused("unknown_peer", f"There is no subscriber {peer}.")
        subscriber.arrangement.views = views
        self._arrange(subscriber, self._clock())
        return Reply(request=request)

    def accept(self, request: int, peer: str, generation: int, sdp: str) -> Reply:
        """Raises:
        CommandRefused: see `Refused`.
        """
        subscriber = self._subscribers.get(peer)
        if subscriber is None or subscriber.negotiation is None:
            raise CommandRefused("unknown_peer", f"No subscriber {peer} waits for an answer.")
        negotiation = subscriber.negotiation
        accepted = _translated(lambda: negotiation.accept(generation, sdp))
        now = self._clock()
        self._mux.guarded(subscriber.transport, lambda: subscriber.transport.describe(accepted.remote, now))
        if subscriber.transport.state != "closed":
            self._apply(self._router.agree(peer, accepted.sending))
        return Reply(request=request, generation=generation, mids=subscriber.mids, refused_tracks=accepted.refused)

    def play(self, request: int, peer: str, sdp: str, tracks: Sequence[str]) -> Reply:
        """Raises:
        CommandRefused: see `Refused`.
        """
        player, now = self._subscribers.get(peer), self._clock()
        if player is None:
            self._check_new(peer)
            credentials = new_credentials(self._place)
            known = [self._tracks[track][1] for track in tracks if track in self._tracks]
            # Answered once only to learn whether it can be: nothing is opened for an offer that is refused.
            probe = [new_wanted(track, "") for track in known]
            _translated(lambda: answer_player(sdp, self._mux.local(credentials), probe))
            player = self._new_subscriber(peer, credentials, None)
        elif player.negotiation is not None:
            raise CommandRefused("invalid", f"Peer {peer} is a subscriber; it gets offers.")
        here, gone, changes = self._router.want(peer, tracks)
        wanted = player.wanted([self._tracks[track][1] for track in here])
        answer = _translated(lambda: answer_player(sdp, self._local(player), wanted))
        if player.transport.restarts(answer.remote):
            self._mux.restart(player.transport, new_credentials(self._place))
            answer = answer_player(sdp, self._local(player), wanted)
        self._apply(changes)
        player.mids = {media.mid: media.track for media in answer.sending}
        self._mux.guarded(player.transport, lambda: player.transport.describe(answer.remote, now))
        if player.transport.state != "closed":
            self._apply(self._router.agree(peer, answer.sending))
        refused = dict.fromkeys(gone, "unknown_track") | answer.refused
        return Reply(request=request, sdp=answer.sdp, mids=player.mids, refused_tracks=refused)

    def close(self, request: int, peer: str, reason: str) -> Reply:
        """Unknown peers are no error."""
        owner = self._publishers.get(peer) or self._subscribers.get(peer)
        if owner is not None:
            transport = owner.transport
            if isinstance(transport, PlainTransport):
                self._close_plain(transport, reason)
            else:
                self._mux.close(transport, "closed", reason)
        return Reply(request=request)

    def _close_plain(self, transport: PlainTransport, detail: str) -> None:
        self.gate.dismiss(transport.token)
        transport.close()
        self._forget(transport)
        self._emit(PeerState(peer=transport.name, state="closed", reason="closed", detail=detail))

    def mute(self, request: int, track: str, muted: bool) -> Reply:
        """Raises:
        CommandRefused: `unknown_track`.
        """
        _, muted_track = self._track(track)
        for encoding in muted_track.encodings:
            if muted_track.muted and not muted:
                self._need_keyframe(muted_track, encoding)
            self._forwarder.mute(encoding.source, muted)
        muted_track.muted = muted
        return Reply(request=request)

    def tap(self, request: int, track: str, address: str | None, reader: Reader) -> Reply:
        """Raises:
        CommandRefused: `unknown_track`, or `invalid` for a codec whose packets cannot be put together.
        """
        _, tapped = self._track(track)
        tapped.taps.remove(reader)
        if address is not None:
            try:
                encoding = tapped.taps.add(reader, address)
            except ValueError as error:
                raise CommandRefused("invalid", f"Track {track} cannot be tapped: {error}") from error
            self._need_keyframe(tapped, encoding)
        tapped.taps.attach(self._forwarder)
        return Reply(request=request)

    def pipe(self, request: int, track: str, outlets: Sequence[Outlet]) -> Reply:
        """Raises:
        CommandRefused: `unknown_track`.
        """
        _, piped = self._track(track)
        codec = piped.media.codecs[0]
        encoding = piped.taps.pipe(codec.payload_type, outlets)
        if encoding is not None:
            self._need_keyframe(piped, encoding)
        piped.taps.attach(self._forwarder)
        plain = PlainTrack(
            mid=piped.info.mid,
            kind=piped.info.kind,
            codec=codec.name,
            clock_rate=codec.clock_rate,
            channels=codec.channels,
            payload_type=codec.payload_type,
            ssrc=1,
            parameters=tuple(codec.parameters),
        )
        return Reply(request=request, plain=plain)

    def need_keyframe(self, request: int, track: str) -> Reply:
        """Raises:
        CommandRefused: `unknown_track`.
        """
        _, needed = self._track(track)
        for encoding in needed.taps.piped():
            self._need_keyframe(needed, encoding)
        return Reply(request=request)

    def _ask_beyond(self, peer: str, track: str) -> None:
        self._emit(KeyframeNeeded(track=track, peer=peer))

    def statistics(self, request: int, tcp: dict[str, str]) -> Reply:
        """What is connected, for people who look for a fault. `tcp`: clients behind loopback addresses."""
        peers: dict[str, object] = {}
        for transport in self._mux:
            subscriber = self._subscribers.get(transport.name)
            peers[transport.name] = {
                "state": transport.state,
                "address": list(transport.ice.selected or ()),
                "tracks": self._track_names(transport.name),
                **(subscriber.statistics() if subscriber is not None else {}),
            }
        for publisher in self._publishers.values():
            if isinstance(publisher.transport, PlainTransport):
                name = publisher.transport.name
                peers[name] = {"state": "connected", "address": ["door"], "tracks": self._track_names(name)}
        return Reply(request=request, statistics={"peers": peers, "forwarder": self._forwarder.name, "tcp": tcp})

    def _track_names(self, peer: str) -> list[str]:
        publisher, subscriber = self._publishers.get(peer), self._subscribers.get(peer)
        if publisher is not None:
            return [track.info.track for track in publisher.tracks.values()]
        return list(subscriber.subscriptions) if subscriber is not None else []

    def _track(self, track: str) -> tuple[Publisher, IncomingTrack]:
        found = self._tracks.get(track)
        if found is None:
            raise CommandRefused("unknown_track", f"No track {track} is published.")
        return found

    def _check_new(self, peer: str) -> None:
        if peer in self._publishers or peer in self._subscribers:
            raise CommandRefused("invalid", f"Peer {peer} has another part already.")
        if len(self._by_number) >= self._max_peers:
            raise CommandRefused("capacity", f"This worker has all of its {self._max_peers} peers.")

    def _new_subscriber(
        self, peer: str, credentials: Credentials, negotiation: SubscriberNegotiation | None
    ) -> Subscriber:
        transport = self._mux.open(peer, credentials, self._clock())
        subscriber = Subscriber(transport, self._forwarder, negotiation, self._wish_keyframe)
        self._subscribers[peer] = self._by_number[transport.number] = subscriber
        self._emit(PeerState(peer=peer, state="connecting"))
        return subscriber

    def _local(self, owner: Subscriber) -> LocalTransport:
        return self._mux.local(owner.transport.ice.credentials)

    # --- packets and time -------------------------------------------------------------------------------------------

    def pump(self) -> bool:
        """Handle what the socket holds; True when some track misses packets and `repair` should be called soon."""
        for handed in self._forwarder.pump():
            if handed.kind is Kind.RTCP:
                self._rtcp(handed)
            elif handed.kind is Kind.NEWS:
                self._news(handed.peer)
            elif handed.kind is Kind.UNBOUND:
                self._unbound(handed)
            else:
                self._mux.handle(handed, self._clock())
        return bool(self._forwarder.gapped())

    @property
    def holds(self) -> bool:
        """Whether `settle` is to be called soon."""
        return self._forwarder.holds

    def settle(self) -> None:
        """Send packets that waited for the rest of their picture."""
        self._forwarder.settle()

    def _rtcp(self, handed: Handed) -> None:
        owner = self._by_number.get(handed.peer)
        if owner is None:
            return
        now = self._clock()
        if self._names_too_many(owner.transport, handed.data[4:8]):
            return
        try:
            packets = rtcp.parse(handed.data)
        except PacketError as error:
            self._forwarder.counters.dropped_rtcp += 1
            log.debug("An RTCP packet of peer %s was dropped: %s", owner.transport.name, error)
            return
        owner.transport.heard(now)
        owner.rtcp(packets, now)
        if isinstance(owner, Subscriber) and owner.unsettled:
            self._arrange(owner, now)

    def _news(self, number: int) -> None:
        owner = self._by_number.get(number)
        if isinstance(owner, Subscriber):
            now = self._clock()
            owner.unsettled |= owner.downlink.news(now)
            if owner.unsettled:
                self._arrange(owner, now)

    def _names_too_many(self, transport: PeerTransport | PlainTransport, ssrc: bytes) -> bool:
        """Whether this is one SSRC too many: the keys' context keeps a state for each, and looks through all of them
        for each packet. The peer is closed then; a client that is right comes back with new keys."""
        known = self._ssrcs.setdefault(transport.number, set())
        known.add(int.from_bytes(ssrc, "big"))
        if len(known) <= MAX_SSRCS or isinstance(transport, PlainTransport):
            return False
        log.warning("Peer %s has sent under more than %d SSRCs and is closed.", transport.name, MAX_SSRCS)
        self._mux.close(transport, "closed", f"It has sent under more than {MAX_SSRCS} SSRCs.")
        return True

    def hand_in(self, number: int, packet: bytes) -> None:
        """A plain packet that came through the door."""
        if not rtp.is_rtcp(packet):
            self._forwarder.inject(number, packet)
            return
        owner = self._by_number.get(number)
        try:
            packets = rtcp.parse(packet)
        except PacketError as error:
            self._forwarder.counters.dropped_rtcp += 1
            log.debug("An RTCP packet at the door was dropped: %s", error)
            return
        if isinstance(owner, Publisher):
            owner.rtcp(packets, self._clock())

    def _unbound(self, handed: Handed) -> None:
        owner = self._by_number.get(handed.peer)
        if owner is not None and self._names_too_many(owner.transport, handed.data[8:12]):
            return
        try:
            if isinstance(owner, Publisher) and owner.bind(handed.data):
                self._forwarder.inject(handed.peer, handed.data)
                return
        except PacketError as error:
            log.debug("An RTP packet of peer %s was dropped: %s", owner.transport.name if owner else "?", error)
        self._forwarder.counters.dropped_unbound += 1

    def repair(self) -> bool:
        """Ask publishers for what is missing; True when some is still missing afterwards."""
        now = self._clock()
        for source in self._forwarder.gapped():
            publisher, track, encoding = self._by_source[source]
            publisher.repair(track, encoding, now)
        return bool(self._forwarder.gapped())

    def tick(self) -> None:
        """Call `TICKS_PER_S` times a second. What is due once a second is spread over the ticks."""
        self._tick += 1
        now, wall = self._clock(), self._wall_clock()
        for transport in self._mux:
            if transport.state == "connecting" or (transport.number + self._tick) % TICKS_PER_S == 0:
                heard = self._forwarder.heard(transport.number)
                if heard > transport.last_heard:
                    transport.heard(heard)
                self._mux.guarded(transport, partial(transport.tick, now))
        for publisher in tuple(self._publishers.values()):
            publisher.acknowledge(now)
            publisher.look(now, self._stalled_after_s, self._track_changed)
            self._follow_encodings(publisher, now)
            if publisher.heard_at() > publisher.transport.last_heard:
                publisher.transport.heard(publisher.heard_at())
        self._listen(now)
        for subscriber in self._subscribers.values():
            turn = (subscriber.transport.number + self._tick) % _ARRANGE_TICKS == 0
            if turn or subscriber.restless:
                subscriber.look(now)
                if subscriber.downlink.hurries:
                    self._hurried.add(subscriber)
            if turn or subscriber.unsettled:
                self._arrange(subscriber, now)
        self._report_sources(now, wall)
        for number, owner in tuple(self._by_number.items()):
            if (number + self._tick) % TICKS_PER_S == 0:
                self._report(number, owner, now)

    def _report_sources(self, now: float, wall: float) -> None:
        """Sender reports to whom they are due; those of a source with few watchers in one tick."""
        for source, (_, track, encoding) in self._by_source.items():
            watchers = self._router.watched(track.info.track)
            many = watchers > MANY_WATCHERS
            if not watchers or not (many or (source + self._tick) % TICKS_PER_S == 0):
                continue
            newest = None
            if encoding.time.reported_ntp is None:
                counters = self._forwarder.source(source)
                newest = (counters.last_timestamp - counters.timestamp_shift & 0xFFFFFFFF, counters.last_arrival)
            time = encoding.time.at(now, wall, newest or (0, 0.0))
            if time is not None:
                turn, turns = (self._tick % TICKS_PER_S, TICKS_PER_S) if many else (0, 1)
                self._forwarder.send_reports(source, *time, turn, turns)

    def _report(self, number: int, owner: Publisher | Subscriber, now: float) -> None:
        """Once a second."""
        if owner.transport.state not in ("connected", "disconnected"):
            return
        if isinstance(owner, Publisher):
            owner.report(now)
        if (number + self._tick) % _QUALITY_TICKS == 0:
            tracks = owner.quality(now)
            if tracks:
                self._emit(Quality(peer=owner.transport.name, tracks=tracks))

    def _follow_encodings(self, publisher: Publisher, now: float) -> None:
        """Tell subscribers which encodings are being sent, and the publisher which of them somebody takes."""
        for track in publisher.tracks.values():
            if not track.simulcast:
                continue
            watchers = [self._subscribers[peer] for peer in self._router.watchers(track.info.track)]
            flows = tuple(encoding.flows for encoding in track.encodings)
            if flows != track.flows:
                track.flows = flows
                for watcher in watchers:
                    watcher.unsettled = True
            demand = {track.encodings.index(encoding) for encoding in track.taps.demand()}
            for watcher in watchers:
                target = watcher.subscriptions[track.info.track].target
                if target is not None:
                    demand.add(target)
            if track.wanted.update(demand, now) and track.media.rids:
                rids = tuple(track.encodings[index].rid for index in sorted(track.wanted.indices))
                self._emit(EncodingsWanted(track=track.info.track, peer=track.info.peer, rids=rids))

    def _listen(self, now: float) -> None:
        """Follow the voices: who speaks, and who is loud enough to be heard in a large room."""
        for publisher in self._publishers.values():
            for track in publisher.tracks.values():
                if track.video or AUDIO_LEVEL not in track.media.extensions:
                    continue
                levels = self._forwarder.levels(track.source)
                voice = self._voices.get(track.info.track)
                if voice is None and levels:
                    voice = self._voices[track.info.track] = Voice()
                if voice is not None:
                    voice.heard(levels, now)
        audible = loudest(self._voices, now)
        changed = set(audible[:LOUDEST]) != set(self._audible[:LOUDEST]) or set(audible) != set(self._audible)
        self._audible = audible
        for subscriber in self._subscribers.values():
            subscriber.unsettled |= changed and len(subscriber.subscriptions) > LARGE_ROOM
            if self._tick % _SPEAKER_TICKS or not (self._voices or subscriber.dominance.speaker):
                continue
            if subscriber.dominance.decide(self._voices, subscriber.sounds, now):
                self._emit(SpeakerChanged(peer=subscriber.transport.name, track=subscriber.dominance.speaker))

    def _arrange(self, subscriber: Subscriber, now: float) -> None:
        if subscriber.transport.state in ("connected", "disconnected"):
            subscriber.arrange(now, self._audible, self._voices)

    @property
    def hurries(self) -> bool:
        """Whether `release` is to be called."""
        return bool(self._hurried)

    def release(self) -> float | None:
        """Send what paced subscribers may get by now, and what probes are due; when to call again (monotonic), None
        while there is nothing of the kind."""
        if not self._hurried:
            return None
        now = self._clock()
        probing = False
        for subscriber in tuple(self._hurried):
            probing |= subscriber.downlink.step(now)
            if not subscriber.downlink.hurries:
                self._hurried.discard(subscriber)
        due = self._forwarder.release(now)
        return min(due or now + _STEP_S, now + _STEP_S) if probing else due

    def close_all(self) -> None:
        """The worker ends."""
        for transport in self._mux:
            self._mux.close(transport, "closed", "The media worker ends.")
        for publisher in tuple(self._publishers.values()):
            if isinstance(publisher.transport, PlainTransport):
                self._close_plain(publisher.transport, "The media worker ends.")

    # --- what follows from what -------------------------------------------------------------------------------------

    def _wish_keyframe(self, source: int) -> None:
        """Somebody lost a picture."""
        found = self._by_source.get(source)
        if found is not None:
            publisher, track, encoding = found
            # One that came a moment ago, and that no look has noticed yet, is not the one that is wished for.
            encoding.keyframes_seen = self._forwarder.source(source).keyframes
            encoding.keyframes.wish()
            publisher.request_keyframe(track, encoding, self._clock())

    def _need_keyframe(self, track: IncomingTrack, encoding: Encoding) -> None:
        """Somebody cannot begin without a key frame: asked for until one comes."""
        if track.video:
            encoding.needs_keyframe = True
            self._wish_keyframe(encoding.source)

    def _apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            subscriber = self._subscribers.get(change.peer)
            if subscriber is None:
                continue
            if isinstance(change, Connect):
                track = self._tracks[change.media.track][1]
                subscriber.connect(track, change.media, next(self._numbers), self._clock())
                if subscriber.transport.state == "connected":
                    self._wake(subscriber)
            elif isinstance(change, Disconnect):
                subscriber.disconnect(change.track)
            else:
                subscriber.update(change.media)

    def _wake(self, subscriber: Subscriber) -> None:
        """Ask for key frames of what this subscriber cannot show yet."""
        for subscription in subscriber.subscriptions.values():
            route = self._forwarder.route(subscription.route)
            if subscription.track.video and not route.started:
                self._wish_keyframe(route.source)

    def _track_changed(self, track: IncomingTrack) -> None:
        if track.state != "new":
            self._emit(TrackState(track=track.info.track, peer=track.info.peer, state=track.state))

    def _end_track(self, track: IncomingTrack) -> None:
        self._tracks.pop(track.info.track, None)
        for encoding in track.encodings:
            self._by_source.pop(encoding.source, None)
        track.taps.clear()
        self._voices.pop(track.info.track, None)
        track.state = "ended"
        self._apply(self._router.unpublish(track.info.track))
        self._track_changed(track)

    def _state_changed(self, transport: PeerTransport, state: State, reason: str, detail: str) -> None:
        owner = self._by_number.get(transport.number)
        if state == "connected" and isinstance(owner, Subscriber):
            self._wake(owner)
        if state == "closed":
            self._forget(transport)
        self._emit(PeerState(peer=transport.name, state=state, reason=reason, detail=detail))

    def _forget(self, transport: PeerTransport | PlainTransport) -> None:
        self._by_number.pop(transport.number, None)
        self._ssrcs.pop(transport.number, None)
        publisher = self._publishers.pop(transport.name, None)
        if publisher is not None:
            for track in publisher.tracks.values():
                self._end_track(track)
        if self._subscribers.get(transport.name) is not None:
            self._apply(self._router.leave(transport.name))
            self._hurried.discard(self._subscribers.pop(transport.name))


_REFUSALS: dict[str, RefusalId] = {
    "sdp_invalid": "sdp_invalid",
    "no_common_codec": "no_common_codec",
    "stale": "stale",
}
T = TypeVar("T")


def _translated(step: Callable[[], T]) -> T:
    """An SDP that is refused becomes a command that is refused."""
    try:
        return step()
    except SdpError as error:
        raise CommandRefused(_REFUSALS.get(error.kind, "invalid"), error.detail) from error
