"""A source's own times as one RTP timeline without seams.

Cameras restart their clocks, jump by hours when they learn the time, and leave times out. Receivers take a jump for a
freeze or a flood. So small steps are taken as they are, and at any other the timeline goes on by the time that passed
here. A source may run ahead of the time here a little; what it gained that way is forgotten slowly, so that many small
steps forward are a jump as well.
"""

MAX_STEP_S = 5.0
"""Gained more than this against the time here: a jump."""
FORGOTTEN = 0.1
"""Of what was gained, seconds forgotten in each second: clocks drift, and are right all the same."""
MAX_BACK_S = 1.0
"""Pictures may come in another order than they are shown (B-frames)."""


class Timeline:
    """RTP timestamps (RFC 3550 5.1) of one track."""

    def __init__(self, clock_rate: int, start: int) -> None:
        """`start` should be random (RFC 3550 5.1)."""
        self._rate = clock_rate
        self._start = start
        self._shift_s: float | None = None
        self._last_s = 0.0
        self._last_now = 0.0
        self._gained_s = 0.0
        self.jumps = 0

    def timestamp(self, time_s: float | None, now: float) -> int:
        """RTP timestamp of a unit.

        Args:
            time_s: its time on the source's clock; None where it has none.
            now: monotonic seconds at its arrival.
        """
        ours = self._ours(time_s, now)
        self._last_s, self._last_now = max(self._last_s, ours), now
        return (self._start + round(ours * self._rate)) & 0xFFFFFFFF

    def reconnected(self) -> None:
        """The source's next time says nothing about those before."""
        if self._shift_s is not None:
            self._shift_s = float("nan")

    def _ours(self, time_s: float | None, now: float) -> float:
        elapsed = max(0.0, now - self._last_now)
        passed = self._last_s + elapsed
        if self._shift_s is None:
            self._shift_s = -time_s if time_s is not None else 0.0
            return 0.0
        if time_s is None:
            return passed
        ours = time_s + self._shift_s
        kept = max(0.0, self._gained_s - FORGOTTEN * elapsed)
        gained = kept + max(0.0, ours - self._last_s) - elapsed
        if ours - self._last_s >= -MAX_BACK_S and gained <= MAX_STEP_S:
            self._gained_s = max(0.0, gained)
            return ours
        # Also where the shift is not known (NaN): then neither comparison holds.
        self._gained_s = kept
        self.jumps += 1
        self._shift_s = passed - time_s
        return passed
