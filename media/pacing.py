"""When the packets of one peer may leave, so that a key frame does not burst over a thin line. Pure; `now` in seconds.

A leaky bucket: at most `BURST_S` ahead of the rate. Of what waits, sound goes first, then repairs, then pictures, each
in its order. Nothing is dropped: where more waits than leaves within `LONGEST_S`, the rate is raised so that it does.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

BURST_S = 0.01
LONGEST_S = 0.5
SOUND, REPAIR, PICTURE = range(3)
T = TypeVar("T")


class Pacer(Generic[T]):
    """`T` is what waits; the pacer looks at its size only."""

    def __init__(self, rate_bps: float, now: float) -> None:
        self.rate_bps = rate_bps
        self.waiting_bytes = 0
        self._queues: tuple[deque[tuple[int, T]], ...] = (deque(), deque(), deque())
        self._free_at = now
        """When all that has left is through the bucket."""

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def push(self, priority: int, size: int, what: T) -> None:
        self._queues[priority].append((size, what))
        self.waiting_bytes += size

    def pop(self, now: float) -> T | None:
        """What may leave now, one at a time; None when it is too early or nothing waits."""
        if self._free_at > now + BURST_S:
            return None
        for queue in self._queues:
            if queue:
                rate = max(self.rate_bps, self.waiting_bytes * 8 / LONGEST_S)
                size, what = queue.popleft()
                self.waiting_bytes -= size
                self._free_at = max(self._free_at, now) + size * 8 / rate
                return what
        return None

    def drop(self, fits: Callable[[T], bool]) -> None:
        """What fits is not wanted any more."""
        for queue in self._queues:
            kept = [each for each in queue if not fits(each[1])]
            if len(kept) < len(queue):
                self.waiting_bytes -= sum(size for size, _ in queue) - sum(size for size, _ in kept)
                queue.clear()
                queue.extend(kept)

    def due(self) -> float | None:
        """When to ask again; None while nothing waits."""
        return self._free_at - BURST_S if any(self._queues) else None
