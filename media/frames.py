"""A decoded picture, as detectors see it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture."""

    track_id: str
    pts_s: float
    """Presentation time, seconds on the source's clock."""
    captured_at: float
    """Wall clock at which the packet's last byte arrived, seconds since the Unix epoch (UTC)."""
    image: npt.NDArray[np.uint8]
    """Height x width x 3, RGB."""
    key: bool = False
    """Whether it was decoded from a key frame."""
