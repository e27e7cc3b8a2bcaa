"""Real encoded RTP: pictures from the encoders in PyAV, packets from ffmpeg's RTP muxer, which is none of ours."""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from tests.fakes.unprivileged import as_nobody

ENCODERS = {"H264": "libx264", "VP8": "libvpx", "VP9": "libvpx-vp9", "AV1": "libsvtav1", "opus": "libopus"}
_OPTIONS = {
    "H264": {"profile": "baseline", "preset": "ultrafast", "tune": "zerolatency"},
    "VP8": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "VP9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "AV1": {"preset": "12", "svtav1-params": "pred-struct=1:lookahead=0"},
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One RTP packet as it left the muxer."""

    payload: bytes
    marker: bool
    timestamp: int
    seq: int


def picture(index: int, width: int, height: int) -> npt.NDArray[np.uint8]:
    """A picture that tells its number: a bright block moves over a gradient."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 1] = np.linspace(0, 200, width, dtype=np.uint8)
    left = index * 8 % (width - 32)
    image[16:48, left : left + 32] = 255
    return image


def encode(
    codec: str,
    pictures: int = 30,
    width: int = 320,
    height: int = 240,
    keyframe_every: int = 15,
    noise: int = 0,
    bit_rate: int = 0,
) -> list[Sent]:
    """RTP packets of a short stream at 30 pictures/s.

    Args:
        noise: 0 to 255, random noise added to each picture, which makes packets many and of uneven size.
        bit_rate: in bits/s; 0 = the encoder's default.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        address = f"rtp://127.0.0.1:{receiver.getsockname()[1]}?pkt_size=1200"
        sent: list[Sent] = []
        options = {"strict": "experimental"}
        with av.open(address, "w", format="rtp", options=options) as container:
            stream: Any = container.add_stream(ENCODERS[codec], rate=30, options=_OPTIONS[codec])
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.gop_size = keyframe_every
            if bit_rate:
                stream.bit_rate = bit_rate
            stream.codec_context.time_base = Fraction(1, 30)
            with as_nobody():
                stream.codec_context.open()
            dice = np.random.default_rng(1)
            for index in range(pictures):
                image = picture(index, width, height)
                if noise:
                    image = image // 2 + dice.integers(0, noise, image.shape, np.uint8) // 2
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
                sent += _received(receiver)
            container.mux(stream.encode(None))
            sent += _received(receiver)
    return _with_prediction_bits(sent) if codec == "VP9" else sent


def block_position(image: npt.NDArray[np.uint8]) -> int:
    """Number of the picture, modulo what fits, as `picture` drew it."""
    row = image[20:44, :, 0].mean(axis=0)
    return round(float(np.convolve(row, np.ones(32), "valid").argmax()) / 8)


def _with_prediction_bits(packets: list[Sent]) -> list[Sent]:
    """The muxer leaves P (inter-picture predicted) out of the VP9 descriptor; the frame header knows it."""
    predicted = False
    done: list[Sent] = []
    for packet in packets:
        if packet.payload[0] & 0x08:
            predicted = packet.payload[1] & 0x04 != 0
        first = packet.payload[0] | (0x40 if predicted else 0)
        done.append(Sent(bytes([first]) + packet.payload[1:], packet.marker, packet.timestamp, packet.seq))
    return done


def _received(receiver: socket.socket) -> Iterator[Sent]:
    while True:
        try:
            data = receiver.recv(2048)
        except BlockingIOError:
            return
        first, second, seq, timestamp = struct.unpack_from("!BBHI", data)
        if 192 <= second <= 223:
            continue
        yield Sent(data[12 + 4 * (first & 15) :], bool(second & 0x80), timestamp, seq)
