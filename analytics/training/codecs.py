"""Puts rendered pictures through what real ones have been through: H.264, VP8, JPEG."""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def jpeg(picture: Picture, quality: int) -> Picture:
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(BytesIO(buffer.getvalue())).convert("RGB"))


def intra(pictures: Sequence[Picture], crf: int) -> list[Picture]:
    """Each picture as an H.264 key frame of its own at this constant rate factor."""
    return list(_through(pictures, "libx264", {"preset": "ultrafast", "tune": "zerolatency", "crf": str(crf)}, 0, 1))


def clip(pictures: Sequence[Picture], codec: str, bit_rate: int, fps: int = 15) -> list[Picture]:
    """A moving sequence at a bit rate (bits per second), as a camera (`h264`) or a browser (`vp8`) would send it."""
    if codec == "h264":
        options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline"}
        return list(_through(pictures, "libx264", options, bit_rate, 4 * fps, fps))
    options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}
    return list(_through(pictures, "libvpx", options, bit_rate, 20 * fps, fps))


def _through(
    pictures: Sequence[Picture], name: str, options: dict[str, str], bit_rate: int, gop: int, fps: int = 15
) -> Iterator[Picture]:
    h, w = pictures[0].shape[:2]
    encoder = av.CodecContext.create(name, "w")
    encoder.width, encoder.height, encoder.pix_fmt = w, h, "yuv420p"  # type: ignore[attr-defined]
    encoder.time_base = Fraction(1, fps)
    encoder.gop_size = gop  # type: ignore[attr-defined]
    encoder.thread_count = 1
    encoder.options = options
    if bit_rate:
        encoder.bit_rate = bit_rate
    decoder = av.CodecContext.create("h264" if name == "libx264" else "vp8", "r")
    decoder.thread_count = 1

    def decoded(packets: Iterable[Any]) -> Iterator[Picture]:
        for packet in packets:
            for frame in decoder.decode(packet):
                yield _rgb(frame)

    for k, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame.pts = k
        yield from decoded(encoder.encode(frame))  # type: ignore[attr-defined]
    yield from decoded(encoder.encode(None))  # type: ignore[attr-defined]
    yield from (_rgb(f) for f in decoder.decode(None))


def _rgb(frame: av.VideoFrame) -> Picture:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
