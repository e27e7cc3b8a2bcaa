"""What comes from a phone: RTP packets in, a frame of sound each 20 ms out, digits besides. Pure, but for codecs.

Packets were let in by `SourceLock` and are plain. One with which something is wrong is counted and dropped.
"""

from collections import Counter
from collections.abc import Mapping

from media import rtp
from media.errors import RtpError
from media.feedback import Reception
from media.phone import dtmf
from media.phone.audio import Resampler, Samples
from media.phone.codecs import SPECS, Decoder, PayloadError, decoder, duration
from media.phone.description import COMFORT_NOISE, Agreement
from media.phone.jitter import Packet
from media.phone.messages import CodecName
from media.phone.playout import Playout
from media.rtcp import ReportBlock


class Receiver:
    """One direction of a leg, for as long as its codec stays the same."""

    def __init__(self, agreement: Agreement) -> None:
        spec = SPECS[agreement.sending.codec]
        self.codec = agreement.sending.codec
        self.rate = spec.rate
        self.clock_rate = spec.clock_rate
        self._playout = Playout(spec.clock_rate, spec.rate, self._decode)
        self.jitter = self._playout.jitter
        self.reception = Reception(spec.clock_rate)
        self.dropped: Counter[str] = Counter()
        self.packets = 0
        self._payloads: Mapping[int, CodecName] = {}
        self._events: int | None = None
        self._event_rate = spec.clock_rate
        self._receiver = dtmf.EventReceiver(spec.clock_rate)
        self._decoders: dict[CodecName, tuple[Decoder, Resampler]] = {}
        self._names: dict[int, CodecName] = {}
        """Codec of a packet that waits, where it is not `codec`; by sequence number."""
        self.ssrc: int | None = None
        self._sequence = self._timestamp = 0
        self._event_time = 0
        self.agree(agreement)

    def agree(self, agreement: Agreement) -> None:
        """Payload types, anew; the codec that is sent is the same."""
        self._payloads = {each.payload_type: each.codec for each in agreement.payloads}
        before = self._events
        self._events = agreement.events[0] if agreement.events is not None else None
        if agreement.events is not None and (before is None or self._event_rate != agreement.events[1]):
            self._event_rate = agreement.events[1]
            self._receiver = dtmf.EventReceiver(self._event_rate)
        self._noise = agreement.noise

    def knows(self, payload_type: int) -> bool:
        """Whether packets of this payload type were agreed."""
        return (
            payload_type in self._payloads
            or payload_type == self._events
            or (payload_type == COMFORT_NOISE and self._noise)
        )

    # --- packets ------------------------------------------------------------------------------------------------------

    def packet(self, packet: bytes, now: float) -> list[dtmf.Pressed]:
        """One RTP packet that was let in; digits that ended with it."""
        try:
            start, end = rtp.payload_range(packet)
        except RtpError:
            self.dropped["malformed"] += 1
            return []
        _, second, sequence, timestamp, ssrc = rtp.HEADER.unpack_from(packet)
        if ssrc != self.ssrc:
            self._begin(ssrc, sequence, timestamp)
        self.packets += 1
        number = self.reception.arrived(sequence, timestamp, now)
        payload_type, payload = second & 0x7F, packet[start:end]
        if payload_type == self._events:
            self.jitter.other(number)
            return self._event(timestamp, payload, now)
        if payload_type == COMFORT_NOISE and self._noise:
            self.jitter.other(number)
            return []
        self._sound(payload_type, number, timestamp, payload, now)
        return []

    def _begin(self, ssrc: int, sequence: int, timestamp: int) -> None:
        """A sender, the first or another one."""
        self.ssrc = ssrc
        self.jitter.reset()
        self._names.clear()
        self._timestamp = self._event_time = timestamp + (1 << 32)
        self.reception = Reception(self.clock_rate)
        self._receiver = dtmf.EventReceiver(self._event_rate)

    def _event(self, timestamp: int, payload: bytes, now: float) -> list[dtmf.Pressed]:
        self._event_time = rtp.nearest(timestamp, self._event_time, 32)
        try:
            return self._receiver.packet(self._event_time, payload, now)
        except dtmf.EventError:
            self.dropped["malformed"] += 1
            return []

    def _sound(self, payload_type: int, number: int, timestamp: int, payload: bytes, now: float) -> None:
        name = self._payloads.get(payload_type)
        if name is None or SPECS[name].clock_rate != self.clock_rate:
            self.dropped["payload_type"] += 1
            self.jitter.other(number)
            return
        try:
            ticks = duration(name, payload)
        except PayloadError:
            self.dropped["malformed"] += 1
            self.jitter.other(number)
            return
        self._timestamp = rtp.nearest(timestamp, self._timestamp, 32)
        if name != self.codec:
            self._names[number] = name
            if len(self._names) > 256:
                self._names.pop(next(iter(self._names)))
        self.jitter.put(Packet(number, self._timestamp, ticks, payload, now))

    # --- sound --------------------------------------------------------------------------------------------------------

    def frame(self, now: float) -> Samples | None:
        """The next 20 ms; None when the phone says nothing."""
        return self._playout.frame(now)

    def _decode(self, packet: Packet) -> Samples:
        name = self._names.pop(packet.sequence, self.codec)
        if name not in self._decoders:
            made, rate = decoder(name)
            self._decoders[name] = made, Resampler(rate, self.rate)
        decode, resample = self._decoders[name]
        return resample(decode.decode(packet.payload))

    @property
    def concealed(self) -> int:
        return self._playout.concealed

    def tick(self, now: float) -> list[dtmf.Pressed]:
        """Digits whose end was lost."""
        return self._receiver.tick(now)

    def report(self, last_report: int, delay_s: float) -> ReportBlock | None:
        """For our sender reports."""
        return None if self.ssrc is None else self.reception.report(self.ssrc, last_report, delay_s)
