"""What a plug-in is. Read this file first when writing one.

A *detector* says what it sees in one frame; how long that must last, and who is told, is the business of
`analytics/rules` and of the server. A *telemetry source* yields batches of readings and positions and is told when a
batch is safely stored. Built-ins and strangers use the same door; `docs/plugins.md` shows how to write one.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol, runtime_checkable

from media.frames import Frame


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector saw in one frame."""

    label: str
    """`person`, ..."""
    score: float
    """0 to 1."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1, each 0 to 1 of the picture's width or height."""
    attributes: dict[str, float] = field(default_factory=dict)
    """Further figures of this detection, e.g. posture probabilities `posture.down`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One sample of one quantity of one device."""

    site: str
    device: str
    quantity: str
    """`current_a`, `voltage_ab`, `active_power`, ..."""
    value: float
    unit: str
    source_at: float
    """When the device says it measured: seconds since the Unix epoch."""
    received_at: float
    seq: int = 0
    """The device's own counter; with `source_at` it tells a repeat from a new sample."""
    quality: Literal["good", "suspect", "bad"] = "good"
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where one tag (person or vehicle) was."""

    site: str
    tag: str
    kind: Literal["person", "vehicle"]
    x_m: float
    y_m: float
    z_m: float
    zone: str
    source_at: float
    received_at: float
    seq: int = 0
    label: str = ""
    """What people call it; for a person only a card number or job, never more than the source gave."""
    simulated: bool = False
    presence: Literal["", "in", "out"] = ""
    """Whether the source says that it is in the mine or has left it; empty: it does not say."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that are written in one transaction. `stored` is awaited after the write, and only then: a source that
    holds messages back until then (MQTT QoS 1) loses nothing."""

    readings: Sequence[Reading]
    positions: Sequence[Position]
    stored: Callable[[], Awaitable[None]]
    rejected: int = 0
    """Records of this batch that were no valid samples; counted, never guessed at."""


@runtime_checkable
class Detector(Protocol):
    """Looks at frames of one camera. Built once per camera; called on a worker process's thread, no asyncio inside."""

    name: ClassVar[str]
    frames_per_s: ClassVar[float]
    """How many pictures a second it wants."""

    def detect(self, frame: Frame) -> Sequence[Detection]: ...


@runtime_checkable
class BurstDetector(Detector, Protocol):
    """Looks at successive pictures of the camera, `frames_per_s` times a second."""

    burst: ClassVar[int]
    """So many pictures, 2 to 8."""

    def detect_burst(self, frames: Sequence[Frame]) -> Sequence[Detection]: ...


@runtime_checkable
class TelemetrySource(Protocol):
    """Yields batches until cancelled. Runs in the server's event loop."""

    name: ClassVar[str]

    def batches(self) -> AsyncIterator[Batch]: ...
