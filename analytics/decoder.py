"""Encoded access units in, pictures out; one decoder per track, one thread, no queue of its own.

Every unit has to be decoded, because the next one builds on it, but only the pictures that are analysed are turned
into RGB (which costs as much again). After a gap nothing is shown until the next key frame: what would come out is
grey mud that looks like a picture.
"""

import zlib
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.frame import VideoFrame

from analytics.errors import UndecodableTrack
from media.frames import Frame
from media.tap import AccessUnit

DECODERS = {"VP8": "vp8", "VP9": "vp9", "H264": "h264", "H265": "hevc", "AV1": "libdav1d"}
CLOCK_HZ = 90_000
MAX_PIXELS = 4096 * 2304
MIN_SIDE = 16
_ONE_THREAD = {"libdav1d": {"framethreads": "1", "tilethreads": "1", "max_frame_delay": "1"}}


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded picture, still in the decoder's own pixel format."""

    track: str
    pts_s: float
    """Presentation time, seconds on the source's clock."""
    arrived_at: float
    """Wall clock, seconds since the Unix epoch."""
    key: bool
    picture: VideoFrame
    before: tuple["Decoded", ...] = ()
    """Those that came right before it, where a burst was wanted."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.picture.width, self.picture.height

    def digest(self) -> int:
        """Equal pictures have equal digests; made of the luma plane alone."""
        plane = self.picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return zlib.crc32(rows[: self.picture.height, : self.picture.width].tobytes())

    def grey(self, width: int, height: int) -> npt.NDArray[np.uint8]:
        """Its brightness alone, scaled."""
        small = self.picture.reformat(width=width, height=height, format="gray", interpolation="AREA")
        return np.asarray(small.to_ndarray(), np.uint8)

    def frame(self) -> Frame:
        """The picture as detectors see it."""
        image = np.asarray(self.picture.to_ndarray(format="rgb24"), np.uint8)
        return Frame(self.track, self.pts_s, self.arrived_at, image, self.key)


class TrackDecoder:
    """One track's decoder. Broken input is counted and skipped up to the next key frame."""

    def __init__(self, track: str, codec: str) -> None:
        """Raises:
        UndecodableTrack: no decoder for this codec.
        """
        if codec not in DECODERS:
            raise UndecodableTrack(f"There is no decoder for {codec}.")
        self.track = track
        self.codec = codec
        self.decoded = 0
        self.dropped = 0
        """Units not decoded: after a gap, or broken."""
        self.broken = 0
        self._context = self._open()
        self._waits_for_key = True

    def feed(self, unit: AccessUnit) -> list[Decoded]:
        """Decode one access unit; mostly one picture comes out, sometimes none."""
        if unit.after_gap and not unit.key:
            self._waits_for_key = True
        if self._waits_for_key:
            if not unit.key:
                self.dropped += 1
                return []
            self._waits_for_key = False
        packet = av.Packet(unit.data)
        packet.pts = packet.dts = unit.timestamp
        try:
            pictures = self._context.decode(packet)
        except FFmpegError:
            self._restart()
            return []
        good = [picture for picture in pictures if self._usable(picture)]
        self.decoded += len(good)
        return [self._decoded(picture, unit) for picture in good]

    def _decoded(self, picture: VideoFrame, unit: AccessUnit) -> Decoded:
        pts = unit.timestamp if picture.pts is None else picture.pts
        return Decoded(self.track, pts / CLOCK_HZ, unit.arrived_at, bool(picture.key_frame), picture)

    def _usable(self, picture: VideoFrame) -> bool:
        if picture.is_corrupt or min(picture.width, picture.height) < MIN_SIDE:
            self.broken += 1
            return False
        return picture.width * picture.height <= MAX_PIXELS

    def _restart(self) -> None:
        """After an error: a fresh decoder, from the next key frame on."""
        self.broken += 1
        self.dropped += 1
        self._context = self._open()
        self._waits_for_key = True

    def _open(self) -> av.VideoCodecContext:
        name = DECODERS[self.codec]
        context = av.CodecContext.create(name, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.thread_count = 1
        if name in _ONE_THREAD:
            context.options = _ONE_THREAD[name]
        else:
            context.flags |= av.codec.context.Flags.low_delay
        return context
