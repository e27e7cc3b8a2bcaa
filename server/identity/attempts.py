"""At most so many failed log-ins a minute, per address and per user name. Pure: `now` is an argument."""

from collections import OrderedDict, deque

WINDOW_S = 60.0
MAX_KEYS = 20_000
"""Keys remembered; the one not touched for longest is forgotten first."""


class Attempts:
    """A sliding window per key.

    An attempt is counted before the password is looked at, so that many at once gain nothing, and taken back when it
    was right: a room full of people behind one address does not lock itself out.
    """

    def __init__(self, limit: int, window_s: float = WINDOW_S, max_keys: int = MAX_KEYS) -> None:
        self._limit = limit
        self._window_s = window_s
        self._max_keys = max_keys
        self._taken: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, keys: tuple[str, ...], now: float) -> float | None:
        """Count one attempt for all `keys`. If any is used up nothing is counted and the wait in seconds returned."""
        wait = max((self._wait(key, now) for key in keys), default=0.0)
        if wait > 0:
            return wait
        for key in keys:
            self._taken.setdefault(key, deque()).append(now)
            self._taken.move_to_end(key)
        while len(self._taken) > self._max_keys:
            self._taken.popitem(last=False)
        return None

    def give_back(self, keys: tuple[str, ...]) -> None:
        """The newest attempt of `keys` was right: it does not count."""
        for key in keys:
            if times := self._taken.get(key):
                times.pop()
                if not times:
                    del self._taken[key]

    def _wait(self, key: str, now: float) -> float:
        times = self._taken.get(key)
        if times is None:
            return 0.0
        while times and times[0] <= now - self._window_s:
            times.popleft()
        if not times:
            del self._taken[key]
            return 0.0
        return times[0] + self._window_s - now if len(times) >= self._limit else 0.0
