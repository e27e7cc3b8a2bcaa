"""A peer that sends us tracks: which packet belongs to which track, and what we tell the sender.

The forwarder moves the packets. Here sits what happens a few times a second: binding an SSRC that the SDP did not
name, receiver reports, requests for repairs and key frames, the bitrate allowed, `live` and `stalled`.
"""

import random
from collections.abc import Callable, Iterator
from typing import Literal

from media import rtp
from media.feedback import KeyframeRequests, UplinkBitrate
from media.forwarder.interface import Forwarder, SourceCounters, SourceSpec
from media.keyframes import Payload
from media.messages import TrackInfo, TrackQuality
from media.plain import PlainTransport
from media.quality import Measures, judge
from media.rtcp import Fir, Nack, Packet, Pli, ReceiverReport, Remb, SenderReport, TransportFeedback, compound
from media.rtpparameters import Codec, PublishedMedia
from media.sourcetime import SourceTime
from media.tapsender import TapSender
from media.transport.peer import PeerTransport
from media.transportcc import Arrivals

TrackStateId = Literal["new", "live", "stalled", "ended"]


class IncomingTrack:
    """One m-line of a publisher."""

    def __init__(
        self, info: TrackInfo, media: PublishedMedia, source: int, keyframe_interval_s: float, now: float
    ) -> None:
        self.info = info
        self.media = media
        self.codec: Codec = media.codecs[0]
        self.source = source
        self.state: TrackStateId = "new"
        self.muted = False
        self.time = SourceTime(self.codec.clock_rate)
        self.keyframes = KeyframeRequests(keyframe_interval_s)
        self.needs_keyframe = False
        """A mute ended or a tap began; until the next key frame."""
        self.taps: dict[str, TapSender] = {}
        """By reader."""
        self.ssrc = media.ssrcs[0] if media.ssrcs else 0
        self.keyframes_seen = 0
        self.firs = 0
        self.reported = SourceCounters()
        """As of the last quality report, which was then (or the track's beginning):"""
        self.reported_at = now

    @property
    def video(self) -> bool:
        return self.media.kind == "video"

    def tapped(self, payload: Payload, marker: bool, timestamp: int, seq: int, arrived_at: float) -> None:
        """One packet for every tap; arguments as in `TapSender.packet`."""
        for tap in self.taps.values():
            tap.packet(payload, marker, timestamp, seq, arrived_at)


class Publisher:
    """One publishing peer."""

    def __init__(
        self,
        transport: PeerTransport | PlainTransport,
        forwarder: Forwarder,
        numbers: Iterator[int],
        keyframe_interval_s: float,
    ) -> None:
        self.transport = transport
        self._forwarder = forwarder
        self._numbers = numbers
        self._keyframe_interval_s = keyframe_interval_s
        self.tracks: dict[str, IncomingTrack] = {}
        """By mid."""
        self._ssrc = random.getrandbits(31) | 1
        self._uplink = UplinkBitrate()
        self._arrivals = Arrivals()
        self._octets = 0
        self._uplink_at: float | None = None

    # --- what the SDP says ------------------------------------------------------------------------------------------

    def agree(self, media: tuple[PublishedMedia, ...], now: float) -> tuple[list[IncomingTrack], list[IncomingTrack]]:
        """Take a new agreement: tracks that begin and tracks that end."""
        active = {each.mid: each for each in media if each.active}
        ended = [
            track
            for mid, track in self.tracks.items()
            if mid not in active or active[mid].codecs[0] != track.codec or active[mid].kind != track.media.kind
        ]
        for track in ended:
            del self.tracks[track.info.mid]
            self._forwarder.close_source(track.source)
        begun = []
        for mid, each in active.items():
            track = self.tracks.get(mid) or self._begin(each, now)
            if track.state == "new" and track.media is each:
                begun.append(track)
            track.media = each
            self._bind_declared(track)
        told = (each.extensions.get(rtp.TRANSPORT_SEQUENCE, 0) for each in active.values())
        self._forwarder.note_arrivals(self.transport.number, next(filter(None, told), 0))
        return begun, ended

    def _begin(self, media: PublishedMedia, now: float) -> IncomingTrack:
        codec = media.codecs[0]
        info = TrackInfo(
            track=f"{self.transport.name}/{media.mid}",
            peer=self.transport.name,
            mid=media.mid,
            kind=media.kind,
            codec=codec.name,
            stream=media.stream,
        )
        track = IncomingTrack(info, media, next(self._numbers), self._keyframe_interval_s, now)
        spec = SourceSpec(
            codec=codec.name,
            video=media.kind == "video",
            clock_rate=codec.clock_rate,
            payload_type=codec.payload_type,
            rtx_payload_type=codec.rtx_payload_type,
            extensions=media.extensions,
        )
        self._forwarder.open_source(track.source, self.transport.number, spec)
        self.tracks[media.mid] = track
        return track

    def _bind_declared(self, track: IncomingTrack) -> None:
        """SSRCs that the offer names. With several and no RID, the first is the one that we take."""
        media = track.media
        if media.rids or not media.ssrcs:
            return
        track.ssrc = media.ssrcs[0]
        self._forwarder.bind(self.transport.number, track.ssrc, track.source, rtx=False)
        for repair, original in media.rtx.items():
            if original == track.ssrc:
                self._forwarder.bind(self.transport.number, repair, track.source, rtx=True)

    # --- packets ----------------------------------------------------------------------------------------------------

    def bind(self, packet: bytes) -> bool:
        """Find the track of a packet with an unknown SSRC (RFC 8843 9.2) and bind it; False when there is none.

        Raises:
            RtpError: the packet's header extensions are broken.
        """
        payload_type = packet[1] & 0x7F
        fitting = [track for track in self.tracks.values() if payload_type in _payload_types(track.codec)]
        track = self._by_mid(fitting, packet)
        if track is None:
            return False
        ssrc = int.from_bytes(packet[8:12], "big")
        rtx = payload_type == track.codec.rtx_payload_type
        if not rtx:
            track.ssrc = ssrc
        self._forwarder.bind(self.transport.number, ssrc, track.source, rtx=rtx)
        return True

    def _by_mid(self, fitting: list[IncomingTrack], packet: bytes) -> IncomingTrack | None:
        elements = dict(rtp.extensions(packet))
        for track in fitting:
            told = track.media.extensions
            mid = elements.get(told.get(rtp.MID, 0))
            if mid is None or mid.decode("ascii", "replace") != track.info.mid:
                continue
            rid = elements.get(told.get(rtp.RID, 0)) or elements.get(told.get(rtp.REPAIRED_RID, 0))
            wanted = track.media.rids[:1]
            return track if not wanted or rid is None or rid.decode("ascii", "replace") == wanted[0] else None
        # Without a MID the payload type decides, where it can be only one m-line's and that one named no SSRC.
        unnamed = [track for track in fitting if not track.media.ssrcs]
        mid_told = any(told in elements for told in (track.media.extensions.get(rtp.MID, 0) for track in fitting))
        return unnamed[0] if len(fitting) == 1 and unnamed and not mid_told else None

    def rtcp(self, packets: list[Packet], now: float) -> None:
        """What the publisher reports of its own streams."""
        for packet in packets:
            if isinstance(packet, SenderReport):
                for track in self.tracks.values():
                    if track.ssrc == packet.ssrc:
                        track.time.reported(packet.ntp, packet.timestamp, now)

    # --- what we tell it --------------------------------------------------------------------------------------------

    def report(self, now: float) -> None:
        """Receiver reports of all tracks, and the bitrate allowed where that was agreed upon. Once a second."""
        blocks = []
        fractions = []
        octets = 0
        for track in self.tracks.values():
            counters = self._forwarder.source(track.source)
            octets += counters.octets
            if not counters.packets or not track.ssrc:
                continue
            last, came = track.time.last_report
            block = self._forwarder.report(track.source, track.ssrc, last, now - came)
            blocks.append(block)
            if track.video:
                fractions.append(block.fraction_lost / 256)
        packets: list[Packet] = [ReceiverReport(self._ssrc, tuple(blocks[:31]))]
        estimate = self._estimate(octets, fractions, now)
        if estimate is not None:
            packets.append(estimate)
        if blocks:
            self._forwarder.send_rtcp(self.transport.number, compound(packets))

    def _estimate(self, octets: int, fractions: list[float], now: float) -> Remb | None:
        ssrcs = tuple(
            track.ssrc for track in self.tracks.values() if track.ssrc and "goog-remb" in track.codec.feedback
        )
        before, since = self._octets, self._uplink_at
        self._octets, self._uplink_at = octets, now
        if not ssrcs or not fractions or since is None or now <= since:
            return None
        arriving = max(0, octets - before) * 8 / (now - since)
        return Remb(self._ssrc, self._uplink.update(max(fractions), arriving), ssrcs)

    def acknowledge(self, now: float) -> None:
        """Which packets came and when, where the sender numbers those of its whole transport. Ten times a second."""
        packets = self._forwarder.arrivals(self.transport.number)
        ssrc = next((track.ssrc for track in self.tracks.values() if track.ssrc), 0)
        if not packets or not ssrc:
            return
        self._arrivals.arrived(packets)
        for statuses in self._arrivals.reports(now):
            feedback = TransportFeedback(self._ssrc, ssrc, statuses)
            self._forwarder.send_rtcp(self.transport.number, compound([ReceiverReport(self._ssrc), feedback]))

    def repair(self, track: IncomingTrack, now: float) -> None:
        """Ask for what is missing of one track."""
        missing = self._forwarder.missing(track.source, now)
        if missing and "nack" in track.codec.feedback:
            nack = Nack(self._ssrc, track.ssrc, tuple(missing))
            self._forwarder.send_rtcp(self.transport.number, compound([ReceiverReport(self._ssrc), nack]))

    def request_keyframe(self, track: IncomingTrack, now: float) -> None:
        """Send a key-frame request if one is due."""
        if not track.ssrc or not track.keyframes.due(now):
            return
        self._forwarder.counters.keyframe_requests += 1
        request: Packet = Pli(self._ssrc, track.ssrc)
        if "nack pli" not in track.codec.feedback and "ccm fir" in track.codec.feedback:
            track.firs += 1
            request = Fir(self._ssrc, ((track.ssrc, track.firs & 0xFF),))
        self._forwarder.send_rtcp(self.transport.number, compound([ReceiverReport(self._ssrc), request]))

    def look(self, now: float, stalled_after_s: float, changed: Callable[[IncomingTrack], None]) -> None:
        """Notice key frames, first packets and stalls. About ten times a second."""
        for track in self.tracks.values():
            counters = self._forwarder.source(track.source)
            if counters.packets and counters.last_arrival:
                state: TrackStateId = "stalled" if now - counters.last_arrival >= stalled_after_s else "live"
                if state != track.state:
                    track.state = state
                    changed(track)
            for tap in track.taps.values():
                tap.flush()
                tap.hear()
            if track.video:
                self._look_for_keyframes(track, counters, now)

    def _look_for_keyframes(self, track: IncomingTrack, counters: SourceCounters, now: float) -> None:
        if counters.keyframes != track.keyframes_seen:
            track.keyframes_seen = counters.keyframes
            track.needs_keyframe = False
            track.keyframes.arrived()
        tapped = any(tap.wants_keyframe for tap in track.taps.values())
        needed = track.needs_keyframe or counters.waiting > 0 or tapped
        track.keyframes.insist = needed and track.state == "live"
        self.request_keyframe(track, now)
        if counters.waiting:
            self._forwarder.start_impatient(track.source, now)

    def heard_at(self) -> float:
        """When the last packet came, on any track."""
        return max((self._forwarder.source(track.source).last_arrival for track in self.tracks.values()), default=0.0)

    def quality(self, now: float) -> tuple[TrackQuality, ...]:
        """Of each track since the last call."""
        return tuple(self._track_quality(track, now) for track in self.tracks.values())

    def _track_quality(self, track: IncomingTrack, now: float) -> TrackQuality:
        counters, before = self._forwarder.source(track.source), track.reported
        elapsed = now - track.reported_at
        packets = counters.received - before.received
        expected = counters.expected - before.expected
        loss = min(1.0, max(0.0, 1 - packets / expected)) if expected > 0 else 0.0
        bitrate = (counters.octets - before.octets) * 8 / elapsed if elapsed > 0 else 0.0
        track.reported, track.reported_at = counters, now
        level, reason = judge(Measures(packets, loss, counters.jitter_s))
        return TrackQuality(
            track=track.info.track,
            packets=max(0, packets),
            bitrate_bps=round(bitrate),
            loss=round(loss, 4),
            jitter_ms=round(counters.jitter_s * 1000, 2),
            level=level,
            reason=reason,
        )


def _payload_types(codec: Codec) -> tuple[int, ...]:
    return (codec.payload_type,) if codec.rtx_payload_type is None else (codec.payload_type, codec.rtx_payload_type)
