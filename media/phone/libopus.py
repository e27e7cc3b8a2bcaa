"""libopus itself, as FFmpeg has loaded it: cheaper for each packet than by way of PyAV, and without threads.

PyAV sends every frame that is to be encoded through a filter graph of two threads. Here the same library's functions
are called on memory of our own. Where it is not found among what the process has loaded, `load` says None and
`media.phone.codecs` goes the long way.
"""

from functools import cache
from pathlib import Path
from typing import Any

import av  # so that it is loaded
import numpy as np
from cffi import FFI

from media.phone.audio import FULL_SCALE, Samples

MAX_PACKET_BYTES = 1275
MAX_SAMPLES = 5760
"""120 ms at 48 kHz."""
_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_LOSS = 4002, 4010, 4012, 4014

_ffi = FFI()
_ffi.cdef("""
    typedef struct OpusEncoder OpusEncoder;
    typedef struct OpusDecoder OpusDecoder;
    OpusEncoder *opus_encoder_create(int32_t rate, int channels, int application, int *error);
    int opus_encoder_ctl(OpusEncoder *encoder, int request, ...);
    int32_t opus_encode_float(OpusEncoder *encoder, const float *pcm, int samples, unsigned char *data, int32_t size);
    void opus_encoder_destroy(OpusEncoder *encoder);
    OpusDecoder *opus_decoder_create(int32_t rate, int channels, int *error);
    int opus_decode_float(OpusDecoder *decoder, const unsigned char *data, int32_t size, float *pcm, int samples,
                          int fec);
    void opus_decoder_destroy(OpusDecoder *decoder);
""")


class LibOpusError(Exception):
    """libopus refused what it was given; its own number."""


@cache
def load() -> Any | None:
    """The library, or None."""
    assert av.codec is not None
    try:
        mapped = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    found = {line.split()[-1] for line in mapped.splitlines() if "/libopus" in line}
    for path in sorted(found):
        try:
            library = _ffi.dlopen(path)
            library.opus_encoder_create  # noqa: B018 - is it there?
        except (OSError, AttributeError):
            continue
        return library
    return None


class LibOpusEncoder:
    """Packets of whatever length the frames have that it is given: 20 ms here."""

    def __init__(self, library: Any, rate: int, bitrate: int) -> None:
        """Raises:
        LibOpusError: out of memory, or a rate that Opus does not have.
        """
        error = _ffi.new("int *")
        made = library.opus_encoder_create(rate, 1, _VOIP, error)
        if error[0]:
            raise LibOpusError(error[0])
        self._library = library
        self._encoder = _ffi.gc(made, library.opus_encoder_destroy)
        for request, value in ((_SET_BITRATE, bitrate), (_SET_COMPLEXITY, 1), (_SET_INBAND_FEC, 1), (_SET_LOSS, 5)):
            library.opus_encoder_ctl(self._encoder, request, _ffi.cast("int", value))
        self._packet = _ffi.new("unsigned char[]", MAX_PACKET_BYTES)

    def encode(self, frame: Samples) -> bytes:
        scaled = np.multiply(frame, np.float32(1 / FULL_SCALE), dtype=np.float32)
        pcm = _ffi.from_buffer("float[]", scaled)
        size = self._library.opus_encode_float(self._encoder, pcm, len(frame), self._packet, MAX_PACKET_BYTES)
        if size < 0:
            raise LibOpusError(size)
        return bytes(_ffi.buffer(self._packet, size))


class LibOpusDecoder:
    """One channel."""

    def __init__(self, library: Any, rate: int) -> None:
        """Raises:
        LibOpusError: out of memory, or a rate that Opus does not have.
        """
        error = _ffi.new("int *")
        made = library.opus_decoder_create(rate, 1, error)
        if error[0]:
            raise LibOpusError(error[0])
        self._library = library
        self._decoder = _ffi.gc(made, library.opus_decoder_destroy)
        self._pcm = np.zeros(MAX_SAMPLES, np.float32)
        self._at = _ffi.from_buffer("float[]", self._pcm, require_writable=True)

    def decode(self, payload: bytes) -> Samples:
        """Raises:
        LibOpusError: it is no Opus packet.
        """
        samples = self._library.opus_decode_float(self._decoder, payload, len(payload), self._at, MAX_SAMPLES, 0)
        if samples < 0:
            raise LibOpusError(samples)
        scaled: Samples = self._pcm[:samples] * np.float32(FULL_SCALE)
        return scaled
