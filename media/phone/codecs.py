"""The codecs of phones: G.711 by tables, G.722 and Opus by FFmpeg.

G.711 is a table of 256 values one way and of 65,536 the other; `media/phone/g711.py` makes them by the formulas of the
recommendation. What FFmpeg refuses becomes `PayloadError`.
"""

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import av
import numpy as np

from media.errors import PacketError
from media.phone import g711, libopus
from media.phone.audio import Samples, frame_samples, to_int16
from media.phone.messages import CodecName

OPUS_CLOCK_RATE = 48000
OPUS_RATE = 16000
"""Phones speak and hear Opus wideband: what the mixer has."""
OPUS_BITRATE = 24000
MAX_PACKET_MS = 120


class PayloadError(PacketError):
    """A payload that its codec cannot read."""


@dataclass(frozen=True, slots=True)
class CodecSpec:
    """What RTP says of a codec, and what it sounds like."""

    name: CodecName
    clock_rate: int
    """Of RTP timestamps; 8000 for G.722 by an old mistake (RFC 3551 4.5.2)."""
    rate: int
    """Of samples, ours."""
    payload_type: int
    """The static one, or the one that our offers use."""
    channels: int = 1
    """As SDP says."""


SPECS: dict[CodecName, CodecSpec] = {
    "opus": CodecSpec("opus", 48000, OPUS_RATE, 111, 2),
    "G722": CodecSpec("G722", 8000, 16000, 9),
    "PCMA": CodecSpec("PCMA", 8000, 8000, 8),
    "PCMU": CodecSpec("PCMU", 8000, 8000, 0),
}


def duration(name: CodecName, payload: bytes) -> int:
    """How long a payload is, in ticks of its RTP clock.

    Raises:
        PayloadError: empty, without a frame, or longer than a packet may be.
    """
    if not payload:
        raise PayloadError("The payload is empty.")
    ticks = _opus_duration(payload) if name == "opus" else len(payload)
    if not ticks:
        raise PayloadError("The payload has no frame.")
    if ticks > MAX_PACKET_MS * SPECS[name].clock_rate // 1000:
        raise PayloadError(f"A payload of {ticks} ticks is longer than {MAX_PACKET_MS} ms.")
    return ticks


def _opus_duration(payload: bytes) -> int:
    """RFC 6716 3.1 and 3.2, at 48 kHz."""
    config, code = payload[0] >> 3, payload[0] & 3
    if config < 12:
        frame = (480, 960, 1920, 2880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = (120, 240, 480, 960)[config & 3]
    if code < 3:
        return frame * (1 if code == 0 else 2)
    if len(payload) < 2:
        raise PayloadError("An Opus packet with many frames does not say how many.")
    return frame * (payload[1] & 0x3F)


class Decoder(Protocol):
    def decode(self, payload: bytes) -> Samples:
        """Samples at `rate`.

        Raises:
            PayloadError: the codec refuses it.
        """


class Encoder(Protocol):
    def encode(self, frame: Samples) -> bytes:
        """One frame of 20 ms at `rate`."""


class _G711Decoder:
    def __init__(self, table: Samples) -> None:
        self._table = table

    def decode(self, payload: bytes) -> Samples:
        return self._table[np.frombuffer(payload, np.uint8)]


class _G711Encoder:
    def __init__(self, table: "np.ndarray[Any, np.dtype[np.uint8]]") -> None:
        self._table = table

    def encode(self, frame: Samples) -> bytes:
        return self._table[to_int16(frame).view(np.uint16)].tobytes()


class _FfmpegDecoder:
    def __init__(self, name: str, rate: int) -> None:
        context: Any = av.CodecContext.create(name, "r")
        context.sample_rate = rate
        context.layout = "mono"
        context.thread_count = 1
        self._context = context

    def decode(self, payload: bytes) -> Samples:
        try:
            frames = self._context.decode(av.Packet(payload))
        except av.FFmpegError as error:
            raise PayloadError(f"{self._context.name} refuses a payload of {len(payload)} bytes: {error}.") from error
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        if not parts:
            raise PayloadError(f"{self._context.name} makes nothing of a payload of {len(payload)} bytes.")
        return np.concatenate(parts).astype(np.float32)


class _FfmpegEncoder:
    def __init__(self, name: str, rate: int, options: dict[str, str]) -> None:
        context: Any = av.CodecContext.create(name, "w")
        context.sample_rate = rate
        context.layout = "mono"
        context.format = "s16"
        context.thread_count = 1  # else FFmpeg keeps two for each
        context.time_base = Fraction(1, rate)
        if name == "libopus":
            context.bit_rate = OPUS_BITRATE
        context.options = options
        context.open()
        self._context = context
        self._rate = rate
        self._at = 0
        self._warm_up()

    def _warm_up(self) -> None:
        """At the first frame PyAV makes a filter graph with a thread for each core, and waits for them at every frame:
        seen from one core it makes none."""
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            self.encode(np.zeros(frame_samples(self._rate), np.float32))
        finally:
            os.sched_setaffinity(0, allowed)

    def encode(self, frame: Samples) -> bytes:
        sound = av.AudioFrame.from_ndarray(to_int16(frame).reshape(1, -1), format="s16", layout="mono")
        sound.sample_rate = self._rate
        sound.pts = self._at
        self._at += len(frame)
        return b"".join(bytes(packet) for packet in self._context.encode(sound))


class _OpusDecoder:
    def __init__(self, inner: libopus.LibOpusDecoder) -> None:
        self._inner = inner

    def decode(self, payload: bytes) -> Samples:
        try:
            return self._inner.decode(payload)
        except libopus.LibOpusError as error:
            raise PayloadError(f"Opus refuses a payload of {len(payload)} bytes ({error}).") from error


def opus_decoder(*, direct: bool = True) -> tuple[Decoder, int]:
    """One channel, and its rate: that of the mixer by libopus itself, where it is found, else 48,000."""
    library = libopus.load() if direct else None
    if library is not None:
        return _OpusDecoder(libopus.LibOpusDecoder(library, OPUS_RATE)), OPUS_RATE
    return _FfmpegDecoder("libopus", OPUS_CLOCK_RATE), OPUS_CLOCK_RATE


def opus_encoder(rate: int, *, direct: bool = True) -> Encoder:
    """From 8000, 16000 or 48000 samples a second; packets of 20 ms."""
    library = libopus.load() if direct else None
    if library is not None:
        return libopus.LibOpusEncoder(library, rate, OPUS_BITRATE)
    options = {"application": "voip", "compression_level": "1", "frame_duration": "20", "fec": "1", "packet_loss": "5"}
    return _FfmpegEncoder("libopus", rate, options)


def decoder(name: CodecName) -> tuple[Decoder, int]:
    """And the rate of what it gives."""
    match name:
        case "PCMU":
            return _G711Decoder(g711.ULAW_TO_LINEAR), 8000
        case "PCMA":
            return _G711Decoder(g711.ALAW_TO_LINEAR), 8000
        case "G722":
            return _FfmpegDecoder("g722", 16000), 16000
        case "opus":
            return opus_decoder()


def encoder(name: CodecName) -> Encoder:
    """Of frames at the codec's `SPECS[name].rate`."""
    match name:
        case "PCMU":
            return _G711Encoder(g711.LINEAR_TO_ULAW)
        case "PCMA":
            return _G711Encoder(g711.LINEAR_TO_ALAW)
        case "G722":
            return _FfmpegEncoder("g722", 16000, {})
        case "opus":
            return opus_encoder(OPUS_RATE)


def frame_ticks(name: CodecName) -> int:
    """RTP ticks of 20 ms."""
    return frame_samples(SPECS[name].clock_rate)
