"""What goes to a phone: a frame of sound each 20 ms in, RTP packets out. Pure, but for codecs.

The timestamp runs with the mixer's clock, whether something is sent or not.
"""

import secrets

import numpy as np

from media import rtp
from media.phone import dtmf
from media.phone.audio import Samples
from media.phone.codecs import SPECS, encoder, frame_ticks
from media.phone.description import Agreement
from media.phone.messages import Tone
from media.phone.tones import samples_of

_PACKET = rtp.HEADER


class Sender:
    """One direction of a leg. Its SSRC and numbers stay while agreements change."""

    def __init__(self, agreement: Agreement, ptime_ms: int) -> None:
        self.ssrc = secrets.randbits(32) | 1
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        self.packets = self.octets = 0
        self._marker = True
        self._agreement = agreement
        self._frames = max(1, ptime_ms // 20)
        self._begin(agreement)

    def _begin(self, agreement: Agreement) -> None:
        name = agreement.sending.codec
        self.codec = name
        self.rate = SPECS[name].rate
        self._encoder = encoder(name)
        self._ticks = frame_ticks(name)
        self._waiting: list[bytes] = []
        rate = agreement.events[1] if agreement.events is not None else 0
        self._events = dtmf.EventSender(rate) if rate else None
        self._tones: list[Samples] = []

    def agree(self, agreement: Agreement) -> None:
        """Another agreement; with another codec the stream goes on, marked."""
        changed = (agreement.sending.codec, agreement.events) != (self.codec, self._agreement.events)
        self._agreement = agreement
        if changed:
            self._begin(agreement)
            self._marker = True

    @property
    def timestamp(self) -> int:
        return self._timestamp & 0xFFFFFFFF

    def press(self, digits: str, tone_s: float, gap_s: float) -> None:
        """Send digits, as events where they were agreed, else as tones in place of the sound."""
        if self._events is not None:
            self._events.send(digits, tone_s, gap_s)
            return
        for digit in digits[: 64 - len(self._tones) // 2]:
            low, high = dtmf.FREQUENCIES[digit]
            tone = Tone(frequencies=(low, high), duration_ms=round(tone_s * 1000), level_dbm0=-9)
            self._tones += [samples_of(tone, self.rate), samples_of(Tone(duration_ms=round(gap_s * 1000)), self.rate)]

    def skip(self, frames: int) -> None:
        """Time passes and nothing is sent."""
        self._timestamp += frames * self._ticks
        self._waiting.clear()
        self._marker = True

    def frame(self, sound: Samples) -> list[bytes]:
        """Packets of this frame."""
        if self._events is not None and (packets := self._event_packets(self._events)):
            self._timestamp += self._ticks
            self._waiting.clear()
            return packets
        if self._tones:
            sound = self._toned(sound)
        self._waiting.append(self._encoder.encode(sound))
        self._timestamp += self._ticks
        if len(self._waiting) < (1 if self.codec == "opus" else self._frames):
            return []
        payload = b"".join(self._waiting)
        at = self._timestamp - len(self._waiting) * self._ticks
        self._waiting.clear()
        packet = self._pack(payload, self._agreement.sending.payload_type, at, self._marker)
        self._marker = False
        return [packet]

    def _event_packets(self, events: dtmf.EventSender) -> list[bytes]:
        assert self._agreement.events is not None
        payload_type, rate = self._agreement.events
        scale = SPECS[self.codec].clock_rate / rate
        packets = [
            self._pack(each.payload, payload_type, self._timestamp - round(each.offset * scale), each.marker)
            for each in events.frame()
        ]
        if packets:
            self._marker = True
        return packets

    def _toned(self, sound: Samples) -> Samples:
        """The next piece of the tones that wait."""
        pieces, missing = [], len(sound)
        while missing and self._tones:
            piece, rest = self._tones[0][:missing], self._tones[0][missing:]
            pieces.append(piece)
            missing -= len(piece)
            self._tones[0] = rest
            if not len(rest):
                self._tones.pop(0)
        return np.concatenate([*pieces, sound[len(sound) - missing :]])

    def _pack(self, payload: bytes, payload_type: int, timestamp: int, marker: bool) -> bytes:
        self._sequence = self._sequence + 1 & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        second = payload_type | (0x80 if marker else 0)
        return _PACKET.pack(0x80, second, self._sequence, timestamp & 0xFFFFFFFF, self.ssrc) + payload
