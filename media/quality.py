"""How well one track does, in a word and with the reason. Pure.

The bounds are our own choice, near those at which people begin to complain: 2 % loss is seen in video without repair,
5 % in any; 30 ms of jitter is hidden by every jitter buffer; beyond 400 ms people talk over each other (ITU-T G.114).
"""

from dataclasses import dataclass
from typing import Literal

Level = Literal["excellent", "good", "poor", "lost"]


@dataclass(frozen=True, slots=True)
class Measures:
    """Of one track since the last look."""

    packets: int
    loss: float
    """0 to 1."""
    jitter_s: float
    rtt_s: float | None = None
    waits_for_keyframe: bool = False


_BOUNDS: tuple[tuple[str, float, float], ...] = (("loss", 0.01, 0.05), ("jitter", 0.03, 0.1), ("rtt", 0.2, 0.4))
"""measure, good from, poor from"""


def judge(measures: Measures) -> tuple[Level, str]:
    """The level and the stable id of what is worst; empty when all is excellent."""
    if measures.waits_for_keyframe:
        return "poor", "no_keyframe"
    if not measures.packets:
        return "lost", "no_packets"
    values = {"loss": measures.loss, "jitter": measures.jitter_s, "rtt": measures.rtt_s or 0.0}
    for name, _, poor in _BOUNDS:
        if values[name] >= poor:
            return "poor", name
    for name, good, _ in _BOUNDS:
        if values[name] >= good:
            return "good", name
    return "excellent", ""
