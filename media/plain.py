"""A publishing peer that has no transport of its own: its packets come through the door (`media.door`)."""

from collections.abc import Callable

from media.forwarder.interface import Forwarder
from media.messages import PlainTrack
from media.rtpparameters import Codec, PublishedMedia
from media.transport.peer import State


class PlainTransport:
    """Stands where a `PeerTransport` stands. Reports go nowhere: there are no keys; nor do requests for key
    frames, unless the other process says that it can pass them on."""

    def __init__(
        self,
        number: int,
        name: str,
        token: bytes,
        forwarder: Forwarder,
        now: float,
        ask_keyframe: Callable[[str], None] | None = None,
    ) -> None:
        """`ask_keyframe` takes the id of a track that needs one."""
        self.number = number
        self.name = name
        self.token = token
        self.state: State = "connected"
        self.last_heard = now
        self.ask_keyframe = ask_keyframe
        self._forwarder = forwarder
        forwarder.open_peer(number)

    def heard(self, now: float) -> None:
        self.last_heard = now

    def close(self) -> None:
        self.state = "closed"
        self._forwarder.close_peer(self.number)


def published(track: PlainTrack, stream: str) -> PublishedMedia:
    """What an agreement about this track would be."""
    codec = Codec(track.payload_type, track.codec, track.clock_rate, track.channels, track.parameters)
    return PublishedMedia(track.mid, track.kind, (codec,), {}, (track.ssrc,), stream=stream)
