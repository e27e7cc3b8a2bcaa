"""The mixer's clock: a tick each 20 ms, on time in the long run. Pure; `now` in seconds.

Tick n is due at the start plus n times 20 ms, however late the ones before it were. Behind by up to `CATCH_UP` ticks,
they are made up for at once; behind by more, the rest is skipped and counted, and senders leave a gap of that length.
"""

from media.phone.audio import FRAME_S

CATCH_UP = 5
LATE_S = 0.01


class TickClock:
    def __init__(self, now: float) -> None:
        self._start = now
        self._done = 0
        self.late = 0
        self.skipped = 0

    def next_at(self) -> float:
        """When the next tick is due."""
        return self._start + self._done * FRAME_S

    def due(self, now: float) -> tuple[int, int]:
        """Ticks to skip, and then ticks to run, now."""
        behind = int((now - self._start) / FRAME_S + 1e-6) + 1 - self._done
        if behind <= 0:
            return 0, 0
        self.late += now - self.next_at() > LATE_S
        skip = max(0, behind - CATCH_UP)
        self._done += behind
        self.skipped += skip
        return skip, behind - skip
