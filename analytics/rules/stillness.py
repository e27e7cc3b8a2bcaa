"""Head down, and hardly moving: the shares under the sleep rule, over the pictures of a window.

A picture *tells* when enough persons are in it and all of them come with posture and motion. A picture that does not
tell is left out: a person that the detector misses now and then neither wakes nor sleeps.

A sleep is timed from the first picture of the newest run in which every picture is head-down and 80 % are still: a
flicker of the posture makes an alert late by that much and never early.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

DOWN_SHARE = 0.6
STILL_SHARE = 0.8
UP_SHARE = 0.3
MOVING_SHARE = 0.8
WINDOW_S = 12.0
LONGEST_WINDOW_S = 60.0
UP_WINDOW_S = 5.0
STILL_MOTION = 0.005
"""Share of changed pixels. Rendered sleepers at 2 pictures a second: at most 0.0045; somebody who writes: 0.0066 and
more in 90 % of the pictures, somebody who works 0.024."""
STILL_NOISES = 3.0
"""... or this many times what noise alone changes, whichever is more."""
MOVING_TIMES = 2.0
"""Moving: more than this many times the most that is still."""
DOWN_POSTURES = ("posture.sleep_desk", "posture.sleep_back")


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture says of the post."""

    seen_s: float
    at: float
    """UTC seconds."""
    down: bool
    still: bool
    moving: bool


class Stillness:
    """Pictures in, shares out. `shortest_s`: the shorter of the post's sleep times."""

    def __init__(self, shortest_s: float) -> None:
        self.window_s = min(max(WINDOW_S, shortest_s / 10), LONGEST_WINDOW_S, shortest_s / 2)
        self.up_window_s = min(UP_WINDOW_S, shortest_s / 3)
        self.motion = self.noise = 0.0
        """Of the newest picture that told."""
        self._window: deque[Look] = deque()

    def forget(self) -> None:
        """Pictures before and after this do not belong together."""
        self._window.clear()

    def take(self, seen_s: float, at: float, persons: Sequence[Mapping[str, float]], minimum: int) -> None:
        """The attributes of all persons in the zone of one picture."""
        while self._window and self._window[0].seen_s <= seen_s - self.window_s:
            self._window.popleft()
        if len(persons) < minimum or not all(_tells(one) for one in persons):
            return
        # The post is as awake as its `minimum`-th most awake person.
        figures = sorted(((_down(one), -one["motion"], one) for one in persons), key=lambda figure: figure[:2])
        down, _, decisive = figures[minimum - 1]
        self.motion, self.noise = decisive["motion"], decisive.get("noise", 0.0)
        limit = max(STILL_MOTION, STILL_NOISES * self.noise)
        self._window.append(Look(seen_s, at, down, self.motion <= limit, self.motion > MOVING_TIMES * limit))

    @property
    def told(self) -> bool:
        """Whether the window says anything: it holds pictures of at least as long as waking takes."""
        return bool(self._window) and self._held_s >= min(self.up_window_s, self.window_s / 2)

    @property
    def pictures(self) -> int:
        return len(self._window)

    @property
    def down_share(self) -> float:
        return _share([look.down for look in self._window])

    @property
    def still_share(self) -> float:
        return _share([look.still for look in self._window])

    @property
    def newest_down(self) -> bool:
        return bool(self._window) and self._window[-1].down

    @property
    def down(self) -> bool:
        """Whether the window shows somebody who does not move, head down."""
        return self._covered and self.down_share >= DOWN_SHARE and self.still_share >= STILL_SHARE

    @property
    def began(self) -> Look | None:
        """Where the sleep that the window shows began; None when it shows none."""
        if not self.down:
            return None
        found, still = None, 0
        for count, look in enumerate(reversed(self._window), 1):
            if not look.down:
                break
            still += look.still
            if look.still and still >= STILL_SHARE * count:
                found = look
        return found

    @property
    def up(self) -> bool:
        """Whether the last seconds show somebody upright, or moving about."""
        recent = self._recent
        if not recent or self._held_s < self.up_window_s:
            return False
        down, moving = _share([look.down for look in recent]), _share([look.moving for look in recent])
        return down < UP_SHARE or moving >= MOVING_SHARE

    @property
    def up_since(self) -> tuple[float, float] | None:
        """When that began: (`seen_s`, UTC seconds) of the first picture of the last seconds."""
        recent = self._recent
        awake = [look for look in recent if not look.down or look.moving]
        return (awake[0].seen_s, awake[0].at) if awake else None

    @property
    def _recent(self) -> list[Look]:
        if not self._window:
            return []
        start = self._window[-1].seen_s - self.up_window_s
        return [look for look in self._window if look.seen_s >= start - 1e-6]

    @property
    def _held_s(self) -> float:
        return self._window[-1].seen_s - self._window[0].seen_s

    @property
    def _covered(self) -> bool:
        return bool(self._window) and self._held_s >= self.window_s / 2


def _tells(person: Mapping[str, float]) -> bool:
    return "motion" in person and any(name in person for name in DOWN_POSTURES)


def _down(person: Mapping[str, float]) -> bool:
    return sum(person.get(name, 0.0) for name in DOWN_POSTURES) >= 0.5


def _share(facts: Sequence[bool]) -> float:
    return sum(facts) / len(facts) if facts else 0.0
