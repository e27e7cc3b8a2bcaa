"""What a detector is told when it is built."""

from dataclasses import dataclass, field
from pathlib import Path

from analytics.onnx import SHIPPED, ModelStore

WHOLE_PICTURE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@dataclass(frozen=True, slots=True)
class DetectorOptions:
    """One detector on one camera."""

    camera: str
    """`{site}/{camera name}`"""
    zone: tuple[tuple[float, float], ...] = WHOLE_PICTURE
    """The duty post's polygon, 0 to 1. A hint: report what is outside as well, the rule looks at the zone itself."""
    model: Path = SHIPPED
    """The ONNX file that the settings name."""
    threshold: float | None = None
    """Lowest score to report; None = what the model's card says."""
    models: ModelStore = field(default_factory=ModelStore)
    """Loads models with all checks, once per worker."""
