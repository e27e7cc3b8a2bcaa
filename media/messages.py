"""What the server and a media worker say to each other.

The worker can be killed at any moment: the server starts it again and clients offer anew. Commands carry a
`request` number and each is answered by exactly one `Reply` or `Refused` with the same number. Events carry none.
Everything is declarative where it can be: `Subscribe` names the *whole* list of tracks a peer is to get.

A *peer* is one ICE/DTLS transport of one client and either publishes or subscribes. Its id is chosen by the server.
A *track* id is `{peer}/{mid}` and is chosen by the worker.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TrackInfo(Message):
    """One incoming track, as negotiated."""

    track: str
    peer: str
    mid: str
    kind: Literal["audio", "video"]
    codec: str
    """As in SDP: VP8, H264, VP9, AV1, opus, ..."""
    stream: str = ""
    """The msid's stream part, where the publisher gave one."""
    rids: tuple[str, ...] = ()
    """Layers of a simulcast by RID, the smallest picture first."""
    muted: bool = False
    """By `Mute`: it stays so when a new agreement begins the track anew."""


# --- commands, server to worker -------------------------------------------------------------------------------------


class Command(Message):
    request: int = 0


class Configure(Command):
    """First message. Answered by `Reply.started`."""

    type: Literal["configure"] = "configure"
    settings: dict[str, object]
    """A dumped `MediaSettings`."""
    door: str = ""
    """Where other processes of this machine hand in packets: a socket in a folder of the server's; "" = nowhere."""
    tcp_intake: str = ""
    """Where the server hands in TCP connections, because it takes HTTP on the same port number; "" = listen oneself."""
    tcp_port: int = 0
    """The number on which the server takes them; 0 = that of the UDP port."""
    place: str = ""
    """What ufrags begin with, so that the server can tell whose a connection is: a letter where there are several."""


class Publish(Command):
    """An SDP offer of a publishing peer: new, changed (same peer id, same ICE credentials) or ICE restart (new ones).

    Answered by `Reply.sdp` (the answer) and `Reply.tracks` (every live track of the peer).
    """

    type: Literal["publish"] = "publish"
    peer: str
    sdp: str
    allow: tuple[Literal["audio", "video"], ...] = ("audio", "video")
    """Kinds this peer may send; other m-lines are answered with port 0."""


class PlainTrack(Message):
    """A track that comes through the door."""

    mid: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    kind: Literal["audio", "video"]
    codec: str
    """As in SDP: opus, H264, ..."""
    clock_rate: int = Field(gt=0)
    channels: int = Field(default=1, ge=1, le=8)
    payload_type: int = Field(ge=0, le=127)
    ssrc: int = Field(gt=0, lt=1 << 32)
    parameters: tuple[tuple[str, str], ...] = ()
    """fmtp; H264 needs `profile-level-id` and `packetization-mode`."""


class PublishPlain(Command):
    """The whole list of tracks of a peer that is another process of this machine: it hands in plain packets at the door
    (`media.door`). Answered by `Reply.door` and `Reply.tracks`; the door of a peer stays the same."""

    type: Literal["publish_plain"] = "publish_plain"
    peer: str
    tracks: Annotated[tuple[PlainTrack, ...], Field(max_length=16)]
    stream: str = ""
    piped: bool = False
    """Whoever sends them can be asked for a key frame: `KeyframeNeeded` tells when one is needed. So it is with tracks
    of another media worker, and with pictures of telephones."""


class Subscribe(Command):
    """The whole list of tracks a subscribing peer is to get; the worker offers. Answered by `Reply.sdp` (an offer, or
    empty when nothing changed), `Reply.generation` and `Reply.mids`. A second `Subscribe` may come before the first
    offer is accepted: only the answer to the newest generation counts."""

    type: Literal["subscribe"] = "subscribe"
    peer: str
    tracks: tuple[str, ...]
    ice_restart: bool = False


class View(Message):
    """How a subscriber shows one track."""

    height: int | None = None
    """Lines of its tile, in pixels of the screen; 0 = not visible, so that it is paused; None = not known."""
    first: bool = False
    """A screen, or somebody who is pinned or speaks: gets bandwidth before the others."""


class SetViews(Command):
    """How a subscribing peer shows its tracks: the whole list. A track that is not in it is taken to fill a screen."""

    type: Literal["set_views"] = "set_views"
    peer: str
    views: dict[str, View]


class Accept(Command):
    """The client's SDP answer to the offer of this generation."""

    type: Literal["accept"] = "accept"
    peer: str
    generation: int
    sdp: str


class Play(Command):
    """WHEP: the client offers recvonly m-lines, the worker answers with these tracks. Answered by `Reply.sdp`."""

    type: Literal["play"] = "play"
    peer: str
    sdp: str
    tracks: tuple[str, ...]


class Close(Command):
    """Ends a peer and all that hangs on it. Unknown peers are no error."""

    type: Literal["close"] = "close"
    peer: str
    reason: str = ""


class Mute(Command):
    """Stops or resumes forwarding of a track to everybody (by a moderator)."""

    type: Literal["mute"] = "mute"
    track: str
    muted: bool


class Tap(Command):
    """Sends a track's encoded access units to a Unix stream socket (format: `media.tap`), or stops doing so.

    A track may have several readers; each has at most one tap, which a new one replaces.
    """

    type: Literal["tap"] = "tap"
    track: str
    address: str | None
    reader: Literal["vision", "record", "phone"] = "vision"


class DoorPass(Message):
    """Where a peer hands in its packets, and what each datagram begins with."""

    address: str
    token: str
    """Hexadecimal."""


class Outlet(Message):
    """The door of another media worker, and what it calls a track there."""

    door: DoorPass
    ssrc: int = Field(gt=0, lt=1 << 32)


class Pipe(Command):
    """Sends a track's packets in at the doors of other media workers of this machine: the whole list of them.
    Answered by `Reply.plain`: what to announce there."""

    type: Literal["pipe"] = "pipe"
    track: str
    outlets: Annotated[tuple[Outlet, ...], Field(max_length=64)] = ()


class NeedKeyframe(Command):
    """Somebody beyond a pipe cannot go on without a key frame of this track."""

    type: Literal["need_keyframe"] = "need_keyframe"
    track: str


class GetStatistics(Command):
    """Answered by `Reply.statistics`."""

    type: Literal["get_statistics"] = "get_statistics"


AnyCommand = Annotated[
    Configure
    | Publish
    | PublishPlain
    | Subscribe
    | SetViews
    | Accept
    | Play
    | Close
    | Mute
    | Tap
    | Pipe
    | NeedKeyframe
    | GetStatistics,
    Field(discriminator="type"),
]

# --- answers and events, worker to server ---------------------------------------------------------------------------


class Started(Message):
    udp_port: int
    addresses: tuple[str, ...]
    fingerprint: str
    """`sha-256 AB:CD:...`"""
    tcp: bool = False
    """Whether ICE over TCP is taken on the same number."""
    forwarder: str
    """Which implementation moves the packets, in words for `doctor`."""


class Reply(Message):
    type: Literal["reply"] = "reply"
    request: int
    sdp: str = ""
    door: DoorPass | None = None
    tracks: tuple[TrackInfo, ...] = ()
    generation: int = 0
    mids: dict[str, str] = {}
    """mid of the offer to track id."""
    refused_tracks: dict[str, str] = {}
    """track id to the reason why this client cannot get it (no common codec, gone, ...)."""
    started: Started | None = None
    plain: PlainTrack | None = None
    statistics: dict[str, object] = {}


class Refused(Message):
    """The command did nothing."""

    type: Literal["refused"] = "refused"
    request: int
    error: Literal["sdp_invalid", "no_common_codec", "unknown_peer", "unknown_track", "capacity", "stale", "invalid"]
    detail: str
    """A full sentence for the log and the diagnosis card."""


class PeerState(Message):
    """A peer's transport changed. `reason` is a stable id (`ice_timeout`, `consent_lost`, `dtls_failed`,
    `fingerprint_mismatch`, `closed_by_peer`, `closed`), `detail` a sentence."""

    type: Literal["peer_state"] = "peer_state"
    peer: str
    state: Literal["connecting", "connected", "disconnected", "closed"]
    reason: str = ""
    detail: str = ""


class TrackState(Message):
    """`live` at the first packet and after a stall, `stalled` after `stalled_after_s` without one, `ended` once."""

    type: Literal["track_state"] = "track_state"
    track: str
    peer: str
    state: Literal["live", "stalled", "ended"]


class EncodingsWanted(Message):
    """Which layers of a simulcast (by RID) somebody takes: the publisher may stop the others until it is told anew."""

    type: Literal["encodings_wanted"] = "encodings_wanted"
    track: str
    peer: str
    rids: tuple[str, ...]


class SpeakerChanged(Message):
    """Of the sound that a subscribing peer gets, whose is the dominant voice now."""

    type: Literal["speaker_changed"] = "speaker_changed"
    peer: str
    track: str = ""
    """"" = nobody's."""


class KeyframeNeeded(Message):
    """A piped track needs a key frame of the media worker that it comes from."""

    type: Literal["keyframe_needed"] = "keyframe_needed"
    track: str
    peer: str


class TrackQuality(Message):
    track: str
    packets: int
    """Since the last report."""
    bitrate_bps: float
    loss: float
    """0 to 1, since the last report; upstream for a publisher's track, downstream for a subscriber's."""
    jitter_ms: float
    rtt_ms: float | None = None
    level: Literal["excellent", "good", "poor", "lost"]
    reason: str = ""
    """Stable id: `loss`, `jitter`, `rtt`, `no_packets`, `no_keyframe`, ..."""


class Quality(Message):
    """Every 2 s for each peer with tracks."""

    type: Literal["quality"] = "quality"
    peer: str
    tracks: tuple[TrackQuality, ...]


class Beat(Message):
    """Once a second; silence means that the worker is stuck."""

    type: Literal["beat"] = "beat"
    loop_lag_s: float
    cpu_s: float
    counters: dict[str, float]
    """Totals since start: packets_in, packets_out, bytes_in, bytes_out, dropped_*, nacks_*, keyframe_requests, ..."""


AnyAnswer = Annotated[
    Reply | Refused | PeerState | TrackState | EncodingsWanted | SpeakerChanged | KeyframeNeeded | Quality | Beat,
    Field(discriminator="type"),
]

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)
ANSWERS: TypeAdapter[AnyAnswer] = TypeAdapter(AnyAnswer)
