"""When a disk will be full, from how its free space has gone. Pure."""

from collections.abc import Sequence

LEAST_S = 3600.0
"""Nothing is said of a shorter time."""
LONGEST_S = 365 * 86400.0
"""Further ahead nobody knows."""

Sample = tuple[float, float]
"""UTC seconds, free bytes."""


def slope(samples: Sequence[Sample]) -> float | None:
    """Bytes a second by which the free space changes (least squares); None when too little is known."""
    if len(samples) < 3 or samples[-1][0] - samples[0][0] < LEAST_S:
        return None
    mean_at = sum(at for at, _ in samples) / len(samples)
    mean_free = sum(free for _, free in samples) / len(samples)
    spread = sum((at - mean_at) ** 2 for at, _ in samples)
    return sum((at - mean_at) * (free - mean_free) for at, free in samples) / spread


def full_in_s(samples: Sequence[Sample], free: float) -> float | None:
    """Seconds until nothing is free if it goes on so; None when it does not shrink, or too slowly to say."""
    change = slope(samples)
    if change is None or change >= 0:
        return None
    left = free / -change
    return left if left < LONGEST_S else None


def taken(samples: Sequence[Sample], sample: Sample, keep_s: float, most: int) -> list[Sample]:
    """With a new one; the old ones go, and those of a clock that was set back."""
    at = sample[0]
    return [*(one for one in samples if at - keep_s <= one[0] < at), sample][-most:]
