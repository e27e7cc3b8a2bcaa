"""A track as it comes in: one encoding, or the several of a simulcast, and what each is asked for.

The forwarder holds a source for each encoding. Encodings are ordered from the smallest picture to the largest.
"""

from collections.abc import Sequence
from typing import Literal

from media.feedback import KeyframeRequests
from media.forwarder.interface import Forwarder, SourceCounters
from media.layers import Wanted
from media.messages import TrackInfo
from media.rtpparameters import Codec, PublishedMedia
from media.sourcetime import SourceTime
from media.tapping import Taps

TrackStateId = Literal["new", "live", "stalled", "ended"]

FLOWS_S = 0.5
"""An encoding of a simulcast that is so much behind the others is not being sent now."""
_SMALLEST_FIRST = ("qhf", "lmh")
"""Usual names of layers."""


class Encoding:
    """One stream of a track."""

    def __init__(self, source: int, rid: str, clock_rate: int, keyframe_interval_s: float) -> None:
        self.source = source
        self.rid = rid
        self.ssrc = 0
        self.time = SourceTime(clock_rate)
        self.keyframes = KeyframeRequests(keyframe_interval_s)
        self.needs_keyframe = False
        """A mute ended or a tap began; until the next key frame."""
        self.keyframes_seen = 0
        self.firs = 0
        self.flows = False
        """It is being sent; when a whole track stands still, as it was."""
        self.bitrate_bps = 0.0
        """Smoothed over some two seconds; of an encoding that does not flow, as it was."""
        self._measured: tuple[int, float] | None = None

    def look(self, counters: SourceCounters, newest: float, now: float) -> None:
        """About ten times a second; `newest` is when the last packet of any encoding of the track came."""
        self.flows = counters.packets > 0 and newest - counters.last_arrival < FLOWS_S
        octets, since = self._measured or (counters.octets, now)
        if now - since >= 0.5 or self._measured is None:
            rate = (counters.octets - octets) * 8 / (now - since) if now > since else 0.0
            if rate:
                self.bitrate_bps = rate if not self.bitrate_bps else self.bitrate_bps * 0.6 + rate * 0.4
            self._measured = counters.octets, now


class IncomingTrack:
    """One m-line of a publisher."""

    def __init__(self, info: TrackInfo, media: PublishedMedia, encodings: Sequence[Encoding], now: float) -> None:
        self.info = info
        self.media = media
        self.codec: Codec = media.codecs[0]
        self.encodings = tuple(encodings)
        self.state: TrackStateId = "new"
        self.muted = False
        self.taps = Taps(info.track, self.codec.name, self.codec.clock_rate, self.encodings)
        self.wanted = Wanted(len(self.encodings))
        self.flows: tuple[bool, ...] = ()
        self.reported = SourceCounters()
        """As of the last quality report, which was then (or the track's beginning):"""
        self.reported_at = now

    @property
    def video(self) -> bool:
        return self.media.kind == "video"

    @property
    def simulcast(self) -> bool:
        return len(self.encodings) > 1

    @property
    def source(self) -> int:
        """Of the first encoding: the only one of a track that is no simulcast."""
        return self.encodings[0].source

    def of_source(self, source: int) -> Encoding | None:
        return next((encoding for encoding in self.encodings if encoding.source == source), None)

    def flowing(self, at_most: int) -> Encoding:
        """The best encoding up to this one (by index) that is being sent; the smallest that is, where none of those;
        the smallest, where nothing is."""
        flowing = [index for index, encoding in enumerate(self.encodings) if encoding.flows]
        fitting = [index for index in flowing if index <= at_most]
        return self.encodings[fitting[-1] if fitting else flowing[0] if flowing else 0]


def ordered(media: PublishedMedia) -> tuple[str, ...]:
    """The layers of a simulcast, the smallest picture first; one layer without a name for any other track.

    Usual names say it. Else the order of the offer does, which begins with the best (RFC 8853 section 5.2).
    """
    if media.rids:
        for names in _SMALLEST_FIRST:
            if set(media.rids) <= set(names):
                return tuple(sorted(media.rids, key=names.index))
        return media.rids[::-1]
    return tuple(f"ssrc{index}" for index in range(len(media.simulcast))) or ("",)


def lag(forwarder: Forwarder, new: Encoding, old: Encoding) -> int | None:
    """A timestamp of `new` minus one of `old` for the same moment, in the forwarder's time; None while unknown."""
    if new is old:
        return 0
    moment = new.time.reported_ntp
    if moment is None:
        return None
    theirs, ours = new.time.timestamp_at(moment), old.time.timestamp_at(moment)
    if theirs is None or ours is None:
        return None
    shift = forwarder.source(new.source).timestamp_shift - forwarder.source(old.source).timestamp_shift
    return theirs - ours + shift & 0xFFFFFFFF
