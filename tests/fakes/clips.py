"""Encoded pictures for tests: what a camera's track looks like at the tap."""

from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

from media.tap import AccessUnit
from tests.fakes.unprivileged import as_nobody

Image = npt.NDArray[np.uint8]

ENCODERS = {"VP8": "libvpx", "VP9": "libvpx-vp9", "H264": "libx264", "AV1": "libsvtav1", "H265": "libx265"}
_OPTIONS = {
    "VP8": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "VP9": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"},
    "H264": {"preset": "ultrafast", "tune": "zerolatency"},
    "AV1": {"preset": "12", "svtav1-params": "pred-struct=1:rc=2:lookahead=0"},
    "H265": {"preset": "ultrafast", "tune": "zerolatency", "x265-params": "log-level=none"},
}


def scene(seconds: float, *, noise: float = 3.0, size: tuple[int, int] = (320, 180)) -> Image:
    """A room of plain shapes with sensor noise; something moves slowly."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    grey = 110 + 40 * ((x // 40 + y // 36) % 2)
    grey = np.where((x > width * 0.6) & (y > height * 0.5), 60, grey)
    ball = (x - width * (0.3 + 0.2 * np.sin(seconds))) ** 2 + (y - height * 0.4) ** 2 < (height * 0.12) ** 2
    grey = np.where(ball, 200, grey).astype(np.float32)
    grey = grey + np.random.default_rng(int(seconds * 1000)).normal(0, noise, grey.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def encode(
    pictures: Iterator[Image] | list[Image],
    codec: str = "VP8",
    *,
    track: str = "p1/0",
    rate: int = 10,
    key_every: int = 20,
    start_s: float = 100.0,
    arrived_at: Callable[[float], float] = lambda s: 1_800_000_000.0 + s,
) -> Iterator[AccessUnit]:
    """Access units of a clip. `arrived_at` makes the wall clock of a unit out of its seconds since the first."""
    context: av.VideoCodecContext | None = None
    for number, picture in enumerate(pictures):
        if context is None:
            context = _encoder(codec, picture.shape[1], picture.shape[0], rate, key_every)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts = number
        frame.time_base = Fraction(1, rate)
        yield from (_unit(p, codec, track, rate, start_s, arrived_at) for p in context.encode(frame))
    if context is not None:
        yield from (_unit(p, codec, track, rate, start_s, arrived_at) for p in context.encode(None))


def _encoder(codec: str, width: int, height: int, rate: int, key_every: int) -> av.VideoCodecContext:
    context = av.CodecContext.create(ENCODERS[codec], "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, rate)
    context.framerate = Fraction(rate, 1)
    context.gop_size = key_every
    if codec in ("VP8", "VP9", "AV1"):  # the others at constant quality
        context.bit_rate = 600_000
    context.thread_count = 1
    context.options = _OPTIONS[codec]
    with as_nobody():
        context.open()
    return context


def _unit(
    packet: "av.Packet[av.VideoStream]",
    codec: str,
    track: str,
    rate: int,
    start_s: float,
    arrived_at: Callable[[float], float],
) -> AccessUnit:
    seconds = (packet.pts or 0) / rate
    timestamp = int((start_s + seconds) * 90_000)
    return AccessUnit(track, codec, packet.is_keyframe, False, timestamp, arrived_at(seconds), bytes(packet))
