"""Find detectors: ours by this table, other people's by entry point (group `lamproom.detectors`).

An entry point names a factory: something that is called with `DetectorOptions` and gives a `Detector`. A detector class
whose `__init__` takes the options is one.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import entry_points

from analytics.errors import BrokenPlugin, UnknownPlugin
from analytics.options import DetectorOptions
from analytics.plugin import BurstDetector, Detector
from analytics.vision.absence import AbsenceDetector
from analytics.vision.flow import FlowDetector
from analytics.vision.moving import MotionDetector

GROUP = "lamproom.detectors"
MAX_BURST = 8

DetectorFactory = Callable[[DetectorOptions], Detector]

BUILT_IN: Mapping[str, DetectorFactory] = {
    AbsenceDetector.name: AbsenceDetector,
    FlowDetector.name: FlowDetector,
    MotionDetector.name: MotionDetector,
}
"""Our own detectors, by the name the settings use."""


def known_detectors() -> list[str]:
    """Names that the settings may use: built in, or provided by an installed package."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def load_detector(name: str, options: DetectorOptions) -> Detector:
    """Build one detector for one camera.

    Raises:
        UnknownPlugin: the name is neither built in nor an installed entry point.
        BrokenPlugin: what the factory made is no detector.
        ModelRefused: a model it needs cannot be used.
        Exception: whatever a stranger's factory raises.
    """
    factory: Callable[[DetectorOptions], object]
    if name in BUILT_IN:
        factory = BUILT_IN[name]
    else:
        external = {point.name: point for point in entry_points(group=GROUP)}
        if name not in external:
            raise UnknownPlugin(name, known_detectors())
        factory = external[name].load()
    detector = factory(options)
    if not isinstance(detector, Detector):
        raise BrokenPlugin(f"The factory of {name!r} made {type(detector).__name__}, which is no Detector.")
    if not 0 < detector.frames_per_s <= 30:
        raise BrokenPlugin(f"Detector {name!r} wants {detector.frames_per_s} pictures a second; 30 at most.")
    if isinstance(detector, BurstDetector) and not 2 <= detector.burst <= MAX_BURST:
        raise BrokenPlugin(f"Detector {name!r} wants bursts of {detector.burst} pictures; 2 to {MAX_BURST} are given.")
    return detector
