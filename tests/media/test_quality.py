"""The word for how a track does."""

import pytest

from media.quality import Measures, judge


@pytest.mark.parametrize(
    ("measures", "level", "reason"),
    [
        (Measures(100, 0, 0.001, 0.05), "excellent", ""),
        (Measures(100, 0.02, 0.001), "good", "loss"),
        (Measures(100, 0.2, 0.2), "poor", "loss"),
        (Measures(100, 0, 0.05), "good", "jitter"),
        (Measures(100, 0.02, 0.2), "poor", "jitter"),
        (Measures(100, 0, 0, 0.5), "poor", "rtt"),
        (Measures(0, 0, 0), "lost", "no_packets"),
        (Measures(0, 0, 0, waits_for_keyframe=True), "poor", "no_keyframe"),
    ],
)
def test_level_and_its_reason(measures: Measures, level: str, reason: str) -> None:
    assert judge(measures) == (level, reason)
