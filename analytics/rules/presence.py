"""Who was there lately, and for how long nobody: the windows under the absence rule.

`seen_s` is a clock of its own: it runs on the source's time from one usable picture to the next that follows it, and
stands still over every break (no picture, or none that can be used). A step of the wall clock is noticed, because the
source's time and the monotonic time between two pictures disagree, and is bridged with the latter.

The post counts as *empty* once the share of pictures with enough persons falls to `EMPTY_SHARE`, and no longer once it
has risen to `BACK_SHARE`; the emptiness is then timed from the first picture after the last person.
"""

from collections import deque
from dataclasses import dataclass

from config.settings import DutyPostSettings

CONFIRM_SHARE = 0.6
BACK_SHARE = 0.5
EMPTY_SHARE = 0.2
WINDOW_S = 6.0
CONFIRM_S = 10.0
BACK_S = 5.0
LOST_AFTER_S = 9.5
"""With a tick every 0.5 s the state is `unknown` at most 10 s after the last usable picture."""
SETTLE_S = 1.5
"""Nothing is raised within this of the last person seen: somebody may just be coming back."""
CLOCK_STEP_S = 5.0
"""Source time and monotonic time between two pictures differ by no more than this, or the wall clock was set."""


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows for one post, seconds: those above, but none longer than a third of the time to the warning."""

    window_s: float
    confirm_s: float
    back_s: float
    lost_after_s: float
    settle_s: float

    @classmethod
    def of(cls, settings: DutyPostSettings) -> "Windows":
        return cls.within(min(settings.warn_after_s, settings.alarm_after_s))

    @classmethod
    def within(cls, shortest_s: float) -> "Windows":
        """The windows of a rule whose shortest time to a warning or an alarm is this."""
        third = shortest_s / 3
        window = min(WINDOW_S, third)
        return cls(
            window, min(CONFIRM_S, third), min(BACK_S, third), min(LOST_AFTER_S, third), min(SETTLE_S, window / 2)
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """One usable picture."""

    seen_s: float
    at: float
    """UTC seconds."""
    manned: bool


class Presence:
    """Usable pictures in, shares and durations out."""

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.seen_s = 0.0
        self.empty: Sample | None = None
        """First picture of the present emptiness; None while the post does not count as empty."""
        self.returning: Sample | None = None
        """First picture with somebody, while share >= `BACK_SHARE`."""
        self.confirming: Sample | None = None
        """First picture since share >= `CONFIRM_SHARE`."""
        self._window: deque[Sample] = deque()
        self._last_good: tuple[float, float] | None = None
        self._unbroken = False
        self._last_manned_s = float("-inf")
        self._first_empty: Sample | None = None

    def take(self, at: float, now: float, manned: bool) -> bool:
        """Count a usable picture; False (and nothing counted) for one older than the last."""
        if not self._advance(at, now):
            return False
        sample = Sample(self.seen_s, at, manned)
        self._window.append(sample)
        while self._window[0].seen_s <= self.seen_s - self.windows.window_s:
            self._window.popleft()
        if manned:
            self._last_manned_s = self.seen_s
            self._first_empty = None
        elif self._first_empty is None:
            self._first_empty = sample
        self.confirming = (self.confirming or sample) if self.share >= CONFIRM_SHARE else None
        if self.covered:
            self._judge()
        return True

    def interrupt(self) -> None:
        """Pictures before and after this do not belong together. An emptiness goes on afterwards, where it stood."""
        if self._unbroken:
            self._unbroken = False
            self._window.clear()
            self.confirming = self.returning = self._first_empty = None

    def begin_anew(self) -> None:
        """What was empty until now does not count: an emptiness begins with the next picture at the earliest."""
        self.empty = self._first_empty = None
        self._window.clear()
        self.confirming = self.returning = None

    @property
    def share(self) -> float:
        """Share of the pictures in the window with enough persons."""
        return sum(s.manned for s in self._window) / len(self._window) if self._window else 0.0

    @property
    def pictures(self) -> int:
        """Pictures in the window."""
        return len(self._window)

    @property
    def covered(self) -> bool:
        """Whether the window holds enough time, without a break, to say anything."""
        return bool(self._window) and self.seen_s - self._window[0].seen_s >= self.windows.window_s / 2

    @property
    def shown_empty(self) -> bool:
        """Whether the pictures since the last break say by themselves that nobody is there."""
        return self.covered and self.share <= EMPTY_SHARE

    @property
    def settled(self) -> bool:
        """Whether nobody was seen in the last `settle_s`."""
        return self.seen_s - self._last_manned_s >= self.windows.settle_s

    @property
    def empty_s(self) -> float:
        """How long the post has counted as empty."""
        return self.seen_s - self.empty.seen_s if self.empty is not None else 0.0

    @property
    def empty_since(self) -> tuple[float, float] | None:
        """Where the present emptiness began: (`seen_s`, UTC seconds)."""
        return (self.empty.seen_s, self.empty.at) if self.empty is not None else None

    @property
    def newest(self) -> Sample:
        return self._window[-1]

    def since(self, sample: Sample | None) -> float:
        """Seconds of usable pictures since that one; below zero for None."""
        return self.seen_s - sample.seen_s if sample is not None else -1.0

    def _advance(self, at: float, now: float) -> bool:
        step = 0.0
        if self._last_good is not None:
            last_at, last_now = self._last_good
            step, passed = at - last_at, now - last_now
            if abs(step - passed) > CLOCK_STEP_S:
                step = passed
            if step <= 0:
                return False
        if self._unbroken and step <= self.windows.lost_after_s:
            self.seen_s += step
        else:
            self.interrupt()
        self._unbroken = True
        self._last_good = (at, now)
        return True

    def _judge(self) -> None:
        if self.share >= BACK_SHARE:
            self.returning = self.returning or next(s for s in self._window if s.manned)
            self.empty = None
        else:
            self.returning = None
        if self.share <= EMPTY_SHARE and self.empty is None:
            self.empty = self._first_empty
