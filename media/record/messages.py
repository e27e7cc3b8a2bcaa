"""What the server and the recorder say to each other.

The recorder begins no segment that the server has not let it begin: the server writes a row first. `Record` lets it
begin the first one, `Allow` each further. Until then the current segment goes on.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


RecordingId = Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")]
"""Made by the server; it is the name of a folder."""

# --- commands, server to recorder -----------------------------------------------------------------------------------


class Configure(Message):
    """First message."""

    type: Literal["configure"] = "configure"
    tap_address: str
    folder: str
    part_s: float
    segment_s: float
    sync_parts: bool


class Record(Message):
    """Write a track into `folder/recording/`, beginning with segment 0."""

    type: Literal["record"] = "record"
    recording: RecordingId
    track: str
    name: str = ""


class Allow(Message):
    """The recording may begin this segment."""

    type: Literal["allow"] = "allow"
    recording: RecordingId
    segment: int


class Stop(Message):
    """Complete the recording. Unknown ones are no error."""

    type: Literal["stop"] = "stop"
    recording: RecordingId


AnyCommand = Annotated[Configure | Record | Allow | Stop, Field(discriminator="type")]

# --- events, recorder to server -------------------------------------------------------------------------------------


class Ready(Message):
    type: Literal["ready"] = "ready"


class Begun(Message):
    """The first byte of a segment is about to be written."""

    type: Literal["begun"] = "begun"
    recording: RecordingId
    segment: int
    started_at: float
    """UTC of the segment's time 0."""
    codec: str


class Finished(Message):
    """A segment is complete, on disk and under its final name."""

    type: Literal["finished"] = "finished"
    recording: RecordingId
    segment: int
    duration_s: float
    bytes: int
    sha256: str


class Ended(Message):
    """Nothing more comes of this recording."""

    type: Literal["ended"] = "ended"
    recording: RecordingId
    reason: Literal["stopped", "disk_full", "failed"]
    detail: str = ""


class Beat(Message):
    """Once a second."""

    type: Literal["beat"] = "beat"
    recordings: int
    bytes: int
    units: int
    dropped: int
    """Totals since start."""


AnyAnswer = Annotated[Ready | Begun | Finished | Ended | Beat, Field(discriminator="type")]

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)
ANSWERS: TypeAdapter[AnyAnswer] = TypeAdapter(AnyAnswer)
