"""A peer that we send tracks to: its negotiation, its reports, its requests.

The forwarder moves the packets. Here sit sender reports (the publisher's clock, our timestamps), what the subscriber
reports back, and its requests for repairs and key frames.
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
from media.rtcp import (
    Fir,
    Nack,
    Packet,
    Pli,
    ReceiverReport,
    Remb,
    ReportBlock,
    SenderReport,
    SourceDescription,
    TransportFeedback,
    compound,
)
from media.rtpparameters import SendingMedia, WantedTrack
from media.sourcetime import middle
from media.speaker import Dominance
from media.subscription import Subscription, new_wanted
from media.transport.peer import PeerTransport

REPORTS_REMEMBERED = 8
"""Sender reports whose echo still gives a round-trip time."""
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

    def rtcp(self, packets: Sequence[Packet], now: float) -> None:
        for packet in packets:
            if isinstance(packet, TransportFeedback):
                self.unsettled |= self.downlink.feedback(packet.statuses, now)
            elif isinstance(packet, Remb):
                self.unsettled |= self.downlink.remb(packet.bitrate_bps, now)
            elif isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.reports:
                    self._reported(block, now)
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

    def _reported(self, block: ReportBlock, now: float) -> None:
        subscription = self._by_ssrc(block.ssrc)
        if subscription is None:
            return
        if len(subscription.losses) < 16:
            subscription.losses.append(block.fraction_lost / 256)
        subscription.jitter_s = block.jitter / subscription.track.codec.clock_rate
        sent = subscription.echoes.get(block.last_report)
        if sent is not None:
            subscription.rtt_s = max(0.0, now - sent - block.delay / 65536)

    # --- what we tell it --------------------------------------------------------------------------------------------

    def report(self, now: float, wall: float) -> None:
        """Sender reports of all tracks that flow. Once a second."""
        for subscription in self.subscriptions.values():
            route = self._forwarder.route(subscription.route)
            encoding = subscription.track.of_source(route.source)
            if encoding is None or not route.started or not route.packets or route.paused:
                continue
            source = self._forwarder.source(encoding.source)
            raw = source.last_timestamp - source.timestamp_shift & 0xFFFFFFFF
            time = encoding.time.at(now, wall, (raw, source.last_arrival))
            if time is None:
                continue
            ssrc, timestamp = subscription.wanted.ssrc, time[1] + source.timestamp_shift + route.timestamp_shift
            report = SenderReport(ssrc, time[0], timestamp & 0xFFFFFFFF, route.packets, route.octets)
            subscription.echoes[middle(time[0])] = now
            if len(subscription.echoes) > REPORTS_REMEMBERED:
                subscription.echoes.popitem(last=False)
            description = SourceDescription(((ssrc, subscription.wanted.cname),))
            self._forwarder.send_rtcp(self.transport.number, compound([report, description]))

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
        losses = subscription.losses
        loss = sum(losses) / len(losses) if losses else 0.0
        bitrate = (counters.octets - before.octets) * 8 / elapsed if elapsed > 0 else 0.0
        subscription.losses = []
        subscription.reported, subscription.reported_at = counters, now
        waits = subscription.track.video and not counters.started and subscription.track.state == "live"
        level, reason = judge(Measures(packets, loss, subscription.jitter_s, subscription.rtt_s, waits))
        if counters.paused:
            hidden = self.arrangement.hides(subscription.media.track)
            level, reason = ("good", "hidden") if hidden else ("lost", "bandwidth")
        rtt = subscription.rtt_s
        return TrackQuality(
            track=subscription.media.track,
            packets=packets,
            bitrate_bps=round(bitrate),
            loss=round(loss, 4),
            jitter_ms=round(subscription.jitter_s * 1000, 2),
            rtt_ms=None if rtt is None else round(rtt * 1000, 2),
            level=level,
            reason=reason,
        )
