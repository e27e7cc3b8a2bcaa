"""What the server and a vision worker say to each other (framing: `media.link`).

Encoded pictures do not pass here: the media worker sends them straight to the vision worker's Unix socket
(`media.tap`). The worker says what it sees; durations and alerts are decided in the server, which goes on ticking its
rules when the worker is dead.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


PictureState = Literal["ok", "dark", "overexposed", "frozen", "blocked", "moved", "blurred", "shaking", "none"]
"""`none`: no picture could be decoded for a while. Anything but `ok` makes the duty rule say `unknown`."""


class Configure(Message):
    """First message."""

    type: Literal["configure"] = "configure"
    settings: dict[str, object]
    """A dumped `AnalyticsSettings`."""
    tap_address: str
    """Path of the Unix stream socket the worker listens on for access units."""


class Watch(Message):
    """Run a detector on a track. A second `Watch` for the same camera replaces the first."""

    type: Literal["watch"] = "watch"
    camera: str
    """`{site}/{camera name}`"""
    track: str
    detector: str
    zone: tuple[tuple[float, float], ...] = ()
    frames_per_s: float = 0.0
    """Pictures (or bursts) a second; 0 = as the detector wants, and the settings allow."""
    references: dict[Literal["day", "infrared"], str] = {}
    """What the view looks like (`analytics.vision.reference`): a grey PNG in base64 for each mode. A mode that is
    missing is learned and told in `Learned`."""


class Unwatch(Message):
    type: Literal["unwatch"] = "unwatch"
    camera: str


class TakePicture(Message):
    """Answered by `Picture` (empty `jpeg` when there is none)."""

    type: Literal["take_picture"] = "take_picture"
    request: int
    camera: str
    max_width: int = 960


AnyCommand = Annotated[Configure | Watch | Unwatch | TakePicture, Field(discriminator="type")]


class Seen(Message):
    """One detection, as sent on; mirrors `analytics.plugin.Detection`."""

    label: str
    score: float
    box: tuple[float, float, float, float]
    attributes: dict[str, float] = {}


class Ready(Message):
    """Answer to `Configure`."""

    type: Literal["ready"] = "ready"
    detectors: tuple[str, ...]
    model: str
    """Name and hash of the model in use."""
    trained_on: str
    """From the model card: `rendered`, `site`, `mixed`, `unknown`."""
    provider: str = ""
    """What carries the model out: `cpu`, `openvino`, `cuda`."""


class Observed(Message):
    """One analysed picture. Also sent once a second with `picture` other than `ok` while there is nothing to analyse:
    a picture with nobody in it and no picture are two different things."""

    type: Literal["observed"] = "observed"
    camera: str
    detector: str
    at: float
    """Wall clock of the picture, seconds since the Unix epoch."""
    picture: PictureState
    size: tuple[int, int] = (0, 0)
    """Width and height as decoded; 0 without a picture."""
    detections: tuple[Seen, ...] = ()
    inference_ms: float = 0.0
    decode_ms: float = 0.0
    """Spent on decoding since the last report."""
    skipped: int = 0
    """Frames decoded or dropped since the last report without being analysed."""


class Picture(Message):
    type: Literal["picture"] = "picture"
    request: int
    camera: str
    at: float = 0.0
    jpeg: str = ""
    """Base64."""
    width: int = 0
    height: int = 0
    detections: tuple[Seen, ...] = ()


class Blind(Message):
    """A detector cannot work on this camera (load failure, exception, model refused)."""

    type: Literal["blind"] = "blind"
    camera: str
    detector: str
    reason: str


class Learned(Message):
    """The first reference of a mode, or that the view has too few edges to be recognised by."""

    type: Literal["learned"] = "learned"
    camera: str
    mode: Literal["day", "infrared"]
    png: str
    """Base64."""
    judgeable: bool


class Beat(Message):
    """Once a second from the worker's main loop."""

    type: Literal["beat"] = "beat"
    rss_mb: float
    cpu_s: float
    cameras: int


AnyAnswer = Annotated[Ready | Observed | Picture | Blind | Learned | Beat, Field(discriminator="type")]

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)
ANSWERS: TypeAdapter[AnyAnswer] = TypeAdapter(AnyAnswer)
