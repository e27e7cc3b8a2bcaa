"""What the server and the ingest process say to each other.

A camera is added and removed as a whole. When it has been opened, the process tells what it sends (`Opened`); the
server opens a door for that in the media worker and says where the packets go (`Attach`). Everything else is states and
facts, for the diagnosis card.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

State = Literal["connecting", "waiting", "live", "backoff"]
"""`waiting`: opened, and no key frame yet."""
Reason = Literal[
    "",
    "address_refused",
    "name_unknown",
    "connection_refused",
    "unreachable",
    "timeout",
    "unauthorized",
    "not_found",
    "refused",
    "no_stream",
    "no_video",
    "codec_unsupported",
    "no_data",
    "no_keyframe",
    "broken",
    "ended",
]
"""Why a camera is in `backoff`; the words are in `server.diagnosis`."""


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# --- server to process ----------------------------------------------------------------------------------------------


class Configure(Message):
    """First message."""

    type: Literal["configure"] = "configure"
    allow: tuple[str, ...] = ()
    """Networks that the built-in rule would refuse (`media.ingest.address`)."""
    deny: tuple[str, ...] = ()


class Add(Message):
    """Fetch a camera until it is removed. An `id` that is known is fetched anew with these values."""

    type: Literal["add"] = "add"
    camera: str
    url: str
    transport: Literal["tcp", "udp"] = "tcp"
    audio: bool = True


class Remove(Message):
    type: Literal["remove"] = "remove"
    camera: str


class Target(Message):
    """One stream of RTP."""

    ssrc: int
    payload_type: int


class Attach(Message):
    """Hand in the packets of this opening at a media worker's door (`media.door`)."""

    type: Literal["attach"] = "attach"
    camera: str
    opening: int
    address: str
    token: str
    """Hexadecimal."""
    video: Target
    audio: Target | None = None


class Detach(Message):
    """Nobody takes the packets any more; go on fetching."""

    type: Literal["detach"] = "detach"
    camera: str


AnyCommand = Annotated[Configure | Add | Remove | Attach | Detach, Field(discriminator="type")]

# --- process to server ----------------------------------------------------------------------------------------------


class Ready(Message):
    type: Literal["ready"] = "ready"


class Stream(Message):
    """What one stream is, as SDP would say it."""

    codec: str
    clock_rate: int
    channels: int = 1
    parameters: tuple[tuple[str, str], ...] = ()


class Opened(Message):
    """A camera answers. `opening` counts its openings."""

    type: Literal["opened"] = "opened"
    camera: str
    opening: int
    video: Stream
    audio: Stream | None = None
    width: int
    height: int
    audio_left_out: str = ""
    """Name of a sound format that is not carried."""


class Changed(Message):
    """A camera is in another state."""

    type: Literal["changed"] = "changed"
    camera: str
    state: State
    reason: Reason = ""
    detail: str = ""
    """A sentence for logs and the card; never a password."""
    retry_in_s: float = 0.0


class Facts(Message):
    """What a camera sent since the last report, every two seconds while it is open."""

    type: Literal["facts"] = "facts"
    camera: str
    frames_per_s: float
    bitrate_bps: float
    keyframe_interval_s: float | None = None
    reordered: bool = False
    """It has B-frames: pictures come late, and some browsers stutter."""
    jumps: int = 0
    """Times that its clock jumped, in all."""
    dropped: int = 0
    """Packets that the media worker did not take, in all."""


class Beat(Message):
    """Once a second."""

    type: Literal["beat"] = "beat"
    cameras: int
    cpu_s: float


AnyAnswer = Annotated[Ready | Opened | Changed | Facts | Beat, Field(discriminator="type")]

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)
ANSWERS: TypeAdapter[AnyAnswer] = TypeAdapter(AnyAnswer)
