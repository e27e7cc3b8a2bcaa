"""A phone as a track of the room: its frames as Opus packets. Pure, but for the codec."""

import secrets

import numpy as np

from media import rtp
from media.phone.audio import Samples
from media.phone.codecs import opus_encoder

TICKS = 960
"""20 ms at 48 kHz."""
SILENT_FRAMES = 15
"""After so many frames without sound the encoder rests."""
SILENCE = b"\xf8\xff\xfe"
"""An Opus packet of 20 ms of nothing."""


class OpusTrack:
    """Packets go on in silence, so that the track stays live."""

    def __init__(self, rate: int, ssrc: int, payload_type: int) -> None:
        self.rate = rate
        self.source = (ssrc, payload_type)
        self._encoder = opus_encoder(rate)
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        self._silent = 0

    def change(self, rate: int) -> None:
        """The phone has another codec."""
        if rate != self.rate:
            self.rate, self._encoder = rate, opus_encoder(rate)

    def skip(self, frames: int) -> None:
        self._timestamp += frames * TICKS

    def packet(self, sound: Samples | None) -> bytes:
        """This frame; None for nothing said."""
        quiet = sound is None or not sound.any()
        self._silent = self._silent + 1 if quiet else 0
        if self._silent > SILENT_FRAMES:
            payload = SILENCE
        else:
            payload = self._encoder.encode(np.zeros(self.rate // 50, np.float32) if sound is None else sound)
        self._sequence = self._sequence + 1 & 0xFFFF
        self._timestamp += TICKS
        ssrc, payload_type = self.source
        header = rtp.HEADER.pack(0x80, payload_type, self._sequence, self._timestamp & 0xFFFFFFFF, ssrc)
        return header + payload
