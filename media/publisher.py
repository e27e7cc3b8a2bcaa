"""A peer that sends us tracks: which packet belongs to which track, and what we tell the sender.

The forwarder moves the packets. Here sits what happens a few times a second: binding an SSRC that the SDP did not
name, receiver reports, requests for repairs and key frames, the bitrate allowed, `live` and `stalled`.
"""

import random
from collections.abc import Callable, Iterator

from media import rtp
from media.codecmatch import AUDIO_LEVEL
from media.feedback import UplinkBitrate
from media.forwarder.interface import Forwarder, SourceCounters, SourceSpec
from media.incoming import Encoding, IncomingTrack, TrackStateId, lag, ordered
from media.messages import TrackInfo, TrackQuality
from media.plain import PlainTransport
from media.quality import Measures, judge
from media.rtcp import Fir, Nack, Packet, Pli, ReceiverReport, Remb, SenderReport, TransportFeedback, compound
from media.rtpparameters import Codec, PublishedMedia
from media.transport.peer import PeerTransport
from media.transportcc import Arrivals


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
        ended = [track for mid, track in self.tracks.items() if mid not in active or not _same(active[mid], track)]
        for track in ended:
            del self.tracks[track.info.mid]
            for encoding in track.encodings:
                self._forwarder.close_source(encoding.source)
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
            rids=ordered(media) if media.rids else (),
        )
        encodings = [
            Encoding(next(self._numbers), rid, codec.clock_rate, self._keyframe_interval_s) for rid in ordered(media)
        ]
        track = IncomingTrack(info, media, encodings, now)
        spec = SourceSpec(
            codec=codec.name,
            video=media.kind == "video",
            clock_rate=codec.clock_rate,
            payload_type=codec.payload_type,
            rtx_payload_type=codec.rtx_payload_type,
            extensions=media.extensions,
        )
        for encoding in encodings:
            self._forwarder.open_source(encoding.source, self.transport.number, spec)
            if media.kind == "audio":
                self._forwarder.note_levels(encoding.source, media.extensions.get(AUDIO_LEVEL, 0))
        self.tracks[media.mid] = track
        return track

    def _bind_declared(self, track: IncomingTrack) -> None:
        """SSRCs that the offer names. With several that are no simulcast, the first is the one that we take."""
        media = track.media
        if media.rids or not media.ssrcs:
            return
        for encoding, ssrc in zip(track.encodings, media.simulcast or media.ssrcs[:1], strict=True):
            encoding.ssrc = ssrc
            self._forwarder.bind(self.transport.number, ssrc, encoding.source, rtx=False)
            for repair, original in media.rtx.items():
                if original == ssrc:
                    self._forwarder.bind(self.transport.number, repair, encoding.source, rtx=True)

    # --- packets ----------------------------------------------------------------------------------------------------

    def bind(self, packet: bytes) -> bool:
        """Find the track of a packet with an unknown SSRC (RFC 8843 9.2) and bind it; False when there is none.

        Raises:
            RtpError: the packet's header extensions are broken.
        """
        payload_type = packet[1] & 0x7F
        fitting = [track for track in self.tracks.values() if payload_type in _payload_types(track.codec)]
        found = self._by_mid(fitting, packet)
        if found is None:
            return False
        track, encoding = found
        ssrc = int.from_bytes(packet[8:12], "big")
        rtx = payload_type == track.codec.rtx_payload_type
        if not rtx:
            encoding.ssrc = ssrc
        self._forwarder.bind(self.transport.number, ssrc, encoding.source, rtx=rtx)
        return True

    def _by_mid(self, fitting: list[IncomingTrack], packet: bytes) -> tuple[IncomingTrack, Encoding] | None:
        elements = dict(rtp.extensions(packet))
        for track in fitting:
            told = track.media.extensions
            mid = elements.get(told.get(rtp.MID, 0))
            if mid is None or mid.decode("ascii", "replace") != track.info.mid:
                continue
            encoding = _by_rid(track, elements)
            return (track, encoding) if encoding is not None else None
        # Without a MID the payload type decides, where it can be only one m-line's and that one named no SSRC.
        unnamed = [track for track in fitting if not track.media.ssrcs]
        mid_told = any(told in elements for told in (track.media.extensions.get(rtp.MID, 0) for track in fitting))
        if len(fitting) != 1 or not unnamed or mid_told:
            return None
        encoding = _by_rid(unnamed[0], elements)
        return (unnamed[0], encoding) if encoding is not None else None

    def rtcp(self, packets: list[Packet], now: float) -> None:
        """What the publisher reports of its own streams."""
        for packet in packets:
            if isinstance(packet, SenderReport):
                for _, encoding in self.encodings():
                    if encoding.ssrc == packet.ssrc:
                        encoding.time.reported(packet.ntp, packet.timestamp, now)

    def encodings(self) -> Iterator[tuple[IncomingTrack, Encoding]]:
        for track in self.tracks.values():
            for encoding in track.encodings:
                yield track, encoding

    # --- what we tell it --------------------------------------------------------------------------------------------

    def report(self, now: float) -> None:
        """Receiver reports of all tracks, and the bitrate allowed where that was agreed upon. Once a second."""
        blocks = []
        fractions = []
        octets = 0
        for track, encoding in self.encodings():
            counters = self._forwarder.source(encoding.source)
            octets += counters.octets
            if not counters.packets or not encoding.ssrc:
                continue
            last, came = encoding.time.last_report
            block = self._forwarder.report(encoding.source, encoding.ssrc, last, now - came)
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
            each.ssrc for track, each in self.encodings() if each.ssrc and "goog-remb" in track.codec.feedback
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
        ssrc = next((encoding.ssrc for _, encoding in self.encodings() if encoding.ssrc), 0)
        if not packets or not ssrc:
            return
        self._arrivals.arrived(packets)
        for statuses in self._arrivals.reports(now):
            feedback = TransportFeedback(self._ssrc, ssrc, statuses)
            self._forwarder.send_rtcp(self.transport.number, compound([ReceiverReport(self._ssrc), feedback]))

    def repair(self, track: IncomingTrack, encoding: Encoding, now: float) -> None:
        """Ask for what is missing of one encoding."""
        missing = self._forwarder.missing(encoding.source, now)
        if missing and "nack" in track.codec.feedback:
            nack = Nack(self._ssrc, encoding.ssrc, tuple(missing))
            self._forwarder.send_rtcp(self.transport.number, compound([ReceiverReport(self._ssrc), nack]))

    def request_keyframe(self, track: IncomingTrack, encoding: Encoding, now: float) -> None:
        """Send a key-frame request if one is due. What is wished before anybody can be asked stays wished."""
        connected = isinstance(self.transport, PlainTransport) or self.transport.state == "connected"
        if not encoding.ssrc or not connected or not encoding.keyframes.due(now):
            return
        self._forwarder.counters.keyframe_requests += 1
        if isinstance(self.transport, PlainTransport):
            if self.transport.ask_keyframe is not None:
                self.transport.ask_keyframe(track.info.track)
            return
        request: Packet = Pli(self._ssrc, encoding.ssrc)
        if "nack pli" not in track.codec.feedback and "ccm fir" in track.codec.feedback:
            encoding.firs += 1
            request = Fir(self._ssrc, ((encoding.ssrc, encoding.firs & 0xFF),))
        self._forwarder.send_rtcp(self.transport.number, compound([ReceiverReport(self._ssrc), request]))

    def look(self, now: float, stalled_after_s: float, changed: Callable[[IncomingTrack], None]) -> None:
        """Notice key frames, first packets and stalls. About ten times a second."""
        for track in self.tracks.values():
            counters = [self._forwarder.source(encoding.source) for encoding in track.encodings]
            last = max((each.last_arrival for each in counters if each.packets), default=0.0)
            if last:
                state: TrackStateId = "stalled" if now - last >= stalled_after_s else "live"
                if state != track.state:
                    track.state = state
                    changed(track)
            for encoding, counted in zip(track.encodings, counters, strict=True):
                encoding.look(counted, last, now)
                if track.video:
                    self._look_for_keyframes(track, encoding, counted, now)
            track.taps.look(self._forwarder, lambda new, old: lag(self._forwarder, new, old))

    def _look_for_keyframes(
        self, track: IncomingTrack, encoding: Encoding, counters: SourceCounters, now: float
    ) -> None:
        if counters.keyframes != encoding.keyframes_seen:
            encoding.keyframes_seen = counters.keyframes
            encoding.needs_keyframe = False
            encoding.keyframes.arrived()
        needed = encoding.needs_keyframe or counters.waiting > 0 or track.taps.asks_for_keyframe(encoding)
        flows = encoding.flows if track.simulcast else track.state == "live"
        encoding.keyframes.insist = needed and flows
        self.request_keyframe(track, encoding, now)
        if counters.waiting:
            self._forwarder.start_impatient(encoding.source, now)

    def heard_at(self) -> float:
        """When the last packet came, on any track."""
        return max((self._forwarder.source(each.source).last_arrival for _, each in self.encodings()), default=0.0)

    def quality(self, now: float) -> tuple[TrackQuality, ...]:
        """Of each track since the last call."""
        return tuple(self._track_quality(track, now) for track in self.tracks.values())

    def _counters(self, track: IncomingTrack) -> SourceCounters:
        """Of all encodings of a track together; the jitter of the worst one that is being sent."""
        if not track.simulcast:
            return self._forwarder.source(track.source)
        total = SourceCounters()
        for encoding in track.encodings:
            one = self._forwarder.source(encoding.source)
            total.octets += one.octets
            total.received += one.received
            total.expected += one.expected
            if encoding.flows:
                total.jitter_s = max(total.jitter_s, one.jitter_s)
        return total

    def _track_quality(self, track: IncomingTrack, now: float) -> TrackQuality:
        counters, before = self._counters(track), track.reported
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


def _same(media: PublishedMedia, track: IncomingTrack) -> bool:
    """Whether a new agreement goes on with this track."""
    before = track.media
    return (
        media.codecs[0] == track.codec
        and media.kind == before.kind
        and media.rids == before.rids
        and len(media.simulcast) == len(before.simulcast)
    )


def _by_rid(track: IncomingTrack, elements: dict[int, bytes]) -> Encoding | None:
    """The encoding that a packet's header extensions name; of a track that is no simulcast the only one."""
    if not track.media.rids:
        return None if track.simulcast else track.encodings[0]
    told = track.media.extensions
    rid = elements.get(told.get(rtp.RID, 0)) or elements.get(told.get(rtp.REPAIRED_RID, 0)) or b""
    name = rid.decode("ascii", "replace")
    return next((encoding for encoding in track.encodings if encoding.rid == name), None)


def _payload_types(codec: Codec) -> tuple[int, ...]:
    return (codec.payload_type,) if codec.rtx_payload_type is None else (codec.payload_type, codec.rtx_payload_type)
