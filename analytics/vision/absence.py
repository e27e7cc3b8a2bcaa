"""Detector `absence`: who is in the picture. Whether that means that a post is manned is `analytics.rules.absence`."""

from collections.abc import Sequence
from typing import ClassVar

from analytics.options import DetectorOptions
from analytics.plugin import Detection
from analytics.vision.person import PersonModel
from media.frames import Frame


class AbsenceDetector:
    """Label `person`; attributes `posture.*` (probabilities) and, where a head is seen, `head.x`, `head.y`,
    `head.score`."""

    name: ClassVar[str] = "absence"
    frames_per_s: ClassVar[float] = 2.0

    def __init__(self, options: DetectorOptions) -> None:
        """Raises:
        ModelRefused: the model file cannot be used.
        """
        self._persons = PersonModel(options.models.get(options.model), options.threshold)

    def detect(self, frame: Frame) -> Sequence[Detection]:
        return self._persons.detect(frame)
