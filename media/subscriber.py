"""A peer that we send tracks to: its negotiation, its reports, its requests.

The forwarder moves the packets, sends reports and takes most of what the subscriber reports back. Here sit the other
reports and its requests for repairs and key frames.
"""

import random
from collections.abc import Callable, Collection, Sequence

from media import rtp
from media.arrangement import Arrangement
from media.downlink import Downlink
from media.forwarder.interface import Forwarder
from media.incoming import IncomingTrack
from media.messages import TrackQuality
from media.negotiation import SubscriberNegotiation
from media.quality import Measures, judge
from media.rtcp import Fir, Nack, Packet, Pli, ReceiverReport, Remb, SenderReport, TransportFeedback
from media.rtpparameters import SendingMedia, WantedTrack
from media.speaker import Dominance
from media.subscription import Subscription, new_wanted
from media.transport.peer import PeerTransport

LARGE_ROOM, LOUDEST = 6, 3
"""Somebody who may hear more voices than this gets the loudest few."""
MAX_NACKED = 512
"""Packets of one NACK that are looked at."""


class Subscriber:
    """One subscribing peer; `negotiation` is None for a WHEP player, which offers itself."""

    def __init__(
        self,
        transport: PeerTransport,
        forwarder: Forwarder,
        negotiation: SubscriberNegotiation | None,
        wish_keyframe: Callable[[int], None],
    ) -> None:
        """`wish_keyframe` is told the source."""
        self.transport = transport
        self.negotiation = negotiation
        self.generation = 0
        self.mids: dict[str, str] = {}
        self.subscriptions: dict[str, Subscription] = {}
        """By track."""
        self._forwarder = forwarder
        self._wish_keyframe = wish_keyframe
        self._wanted: dict[str, WantedTrack] = {}
        self.arrangement = Arrangement(forwarder, wish_keyframe)
        self.downlink = Downlink(forwarder, transport.number)
        self.dominance = Dominance()
        self.unsettled = True
        """What it gets is to be arranged anew."""
        self._cname = f"{random.getrandbits(64):016x}"

    def wanted(self, tracks: Sequence[IncomingTrack]) -> tuple[WantedTrack, ...]:
        """What is put on offer. A track keeps its SSRCs as long as it stays on the list."""
        kept: dict[str, WantedTrack] = {}
        for track in tracks:
            known = self._wanted.get(track.info.track)
            if known is None or known.codec != track.codec:
                known = new_wanted(track, self._cname)
            kept[track.info.track] = known
        self._wanted = kept
        return tuple(kept.values())

    def connect(self, track: IncomingTrack, media: SendingMedia, route: int, now: float) -> None:
        """Begin to send."""
        wanted = self._wanted.get(media.track) or new_wanted(track, self._cname)
        subscription = Subscription(track, media, wanted, route, reported_at=now)
        self.subscriptions[media.track] = subscription
        if rtp.TRANSPORT_SEQUENCE in media.extensions:
            self.downlink.expect()
        subscription.target = self.arrangement.first(track, self.downlink.budget_bps(now))
        source = track.flowing(subscription.target).source
        self.unsettled = True
        self._forwarder.open_route(route, source, self.transport.number, subscription.spec())

    def update(self, media: SendingMedia) -> None:
        """Go on with other parameters."""
        subscription = self.subscriptions[media.track]
        subscription.media = media
        self._forwarder.set_route(subscription.route, subscription.spec())

    def disconnect(self, track: str) -> None:
        subscription = self.subscriptions.pop(track, None)
        if subscription is not None:
            self.downlink.forget(subscription.route)
            self._forwarder.close_route(subscription.route)

    # --- what the subscriber says -----------------------------------------------------------------------------------

    @property
    def sounds(self) -> list[str]:
        """Tracks that it may hear."""
        return [track for track, each in self.subscriptions.items() if not each.track.video]

    def arrange(self, now: float, audible: Sequence[str], levelled: Collection[str]) -> None:
        """Give each track what it is to get.

        Args:
            audible: tracks whose sound is to be heard now, the loudest first.
            levelled: tracks of whose loudness anything is known.
        """
        self.unsettled = False
        self.downlink.arranged()
        congested = self.downlink.congested(now)
        sounds = [track for track in self.sounds if track in levelled]
        self.arrangement.silent = frozenset()
        if len(sounds) > LARGE_ROOM:
            heard = [track for track in audible if track in sounds][:LOUDEST]
            self.arrangement.silent = frozenset(sounds).difference(heard)
        self.arrangement.arrange(self.subscriptions, self.downlink.budget_bps(now), congested=congested)

    @property
    def restless(self) -> bool:
        """Whether its line is to be looked at ten times a second."""
        return self.arrangement.missing_bps > 0 or self.downlink.restless

    def look(self, now: float) -> None:
        """See whether there is more room on its line."""
        routes = [each.route for each in self.subscriptions.values() if each.track.video]
        self.unsettled |= self.downlink.look(routes, self.arrangement.missing_bps, now)

    def rtcp(self, packets: Sequence[Packet], now: float) -> None:
        for packet in packets:
            if isinstance(packet, TransportFeedback):
                self.unsettled |= self.downlink.feedback(packet.statuses, now)
            elif isinstance(packet, Remb):
                self.unsettled |= self.downlink.remb(packet.bitrate_bps, now)
            elif isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.reports:
                    self._forwarder.reported(self.transport.number, block, now)
            elif isinstance(packet, Nack):
                subscription = self._by_ssrc(packet.media)
                if subscription is not None:
                    asked = packet.sequences[:MAX_NACKED]
                    # The newest first where not all can be had: they are of the picture that is being shown next.
                    granted = self.downlink.repairs(len(asked), now)
                    self._forwarder.resend(subscription.route, asked[len(asked) - granted :])
            elif isinstance(packet, Pli | Fir):
                ssrcs = (packet.media,) if isinstance(packet, Pli) else tuple(ssrc for ssrc, _ in packet.entries)
                for subscription in filter(None, map(self._by_ssrc, ssrcs)):
                    self._wish_keyframe(self._forwarder.route(subscription.route).source)

    def _by_ssrc(self, ssrc: int) -> Subscription | None:
        return next((each for each in self.subscriptions.values() if each.wanted.ssrc == ssrc), None)

    # --- what we tell it --------------------------------------------------------------------------------------------

    def statistics(self) -> dict[str, object]:
        """What its line is thought to carry, and which encoding of each track it is to get."""
        bandwidth = self.downlink.bandwidth
        return {
            "estimate_bps": round(bandwidth.estimate_bps) if bandwidth.known else None,
            "encodings": {track: each.target for track, each in self.subscriptions.items()},
        }

    def quality(self, now: float) -> tuple[TrackQuality, ...]:
        """Of each track since the last call."""
        return tuple(self._track_quality(each, now) for each in self.subscriptions.values())

    def _track_quality(self, subscription: Subscription, now: float) -> TrackQuality:
        counters, before = self._forwarder.route(subscription.route), subscription.reported
        elapsed = now - subscription.reported_at
        packets = counters.packets - before.packets
        told = self._forwarder.told(subscription.route)
        bitrate = (counters.octets - before.octets) * 8 / elapsed if elapsed > 0 else 0.0
        subscription.reported, subscription.reported_at = counters, now
        waits = subscription.track.video and not counters.started and subscription.track.state == "live"
        level, reason = judge(Measures(packets, told.loss, told.jitter_s, told.rtt_s, waits))
        if counters.paused:
            hidden = self.arrangement.hides(subscription.media.track)
            level, reason = ("good", "hidden") if hidden else ("lost", "bandwidth")
        return TrackQuality(
            track=subscription.media.track,
            packets=packets,
            bitrate_bps=round(bitrate),
            loss=round(told.loss, 4),
            jitter_ms=round(told.jitter_s * 1000, 2),
            rtt_ms=None if told.rtt_s is None else round(told.rtt_s * 1000, 2),
            level=level,
            reason=reason,
        )
