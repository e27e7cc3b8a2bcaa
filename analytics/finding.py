"""What a rule concludes. The server turns findings into alerts, which have a life of their own."""

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["info", "warning", "alarm", "critical"]
Change = Literal["raised", "again", "no_data", "data_back", "cleared"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One step in the life of a condition. Equal `key`s are the same condition."""

    site: str
    key: str
    """`{site}/{rule}/{subject}`: at most one open alert per key."""
    rule: str
    """`absence`, `detector_blind`, `telemetry_gap`, ..."""
    subject: str
    """What it is about: a duty post, a device, a zone."""
    change: Change
    severity: Severity
    at: float
    """When it became true, on the source's clock: seconds since the Unix epoch."""
    title_zh: str
    title_en: str
    explain: dict[str, object] = field(default_factory=dict)
    """Inputs used, threshold, value, window, age of the data: enough to reproduce the finding."""
    simulated: bool = False
