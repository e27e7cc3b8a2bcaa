"""One track on its way to one subscriber."""

import random
from dataclasses import dataclass, field

from media.forwarder.interface import RouteCounters, RouteSpec
from media.incoming import IncomingTrack
from media.rtpparameters import SendingMedia, WantedTrack


@dataclass(slots=True)
class Subscription:
    """One track on its way to one subscriber."""

    track: IncomingTrack
    media: SendingMedia
    wanted: WantedTrack
    route: int
    target: int | None = None
    """The encoding (index) that it is to get; None = nothing."""
    reported: RouteCounters = field(default_factory=RouteCounters)
    reported_at: float = 0.0
    """When the last quality report was, or the beginning."""

    def spec(self) -> RouteSpec:
        return RouteSpec(
            ssrc=self.wanted.ssrc,
            payload_type=self.media.payload_type,
            rtx_ssrc=self.wanted.rtx_ssrc,
            rtx_payload_type=self.media.rtx_payload_type,
            extensions=self.media.extensions,
            cname=self.wanted.cname,
        )


def new_wanted(track: IncomingTrack, cname: str) -> WantedTrack:
    """A track as it is put on offer, with SSRCs of its own."""
    return WantedTrack(
        track=track.info.track,
        kind=track.media.kind,
        codec=track.codec,
        stream=track.info.stream or track.info.peer,
        ssrc=random.randrange(1, 1 << 32),
        rtx_ssrc=random.randrange(1, 1 << 32),
        cname=cname,
    )
