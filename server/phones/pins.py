"""The six digits by which a telephone finds its consultation, and the lock against guessing. Pure.

A PIN is a keyed hash of the session's id: nothing is stored, it survives a restart, and each consultation has its own.
Two open ones with the same PIN open neither.
"""

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Iterable

DIGITS = 6
MAX_CALLERS = 10_000
WINDOW_S = 3600.0


def pin_of(key: bytes, session: str) -> str:
    data = hmac.digest(key, b"phone pin\0" + session.encode(), hashlib.sha256)
    return f"{int.from_bytes(data[:8], 'big') % 10**DIGITS:0{DIGITS}d}"


def session_of(key: bytes, pin: str, sessions: Iterable[str]) -> str | None:
    """The open consultation with this PIN; None when there is none, or more than one."""
    found = [one for one in sessions if hmac.compare_digest(pin_of(key, one), pin)]
    return found[0] if len(found) == 1 else None


class Lock:
    """Wrong PINs by caller and over all: a caller with `tries` wrong ones waits, and so do all when the whole world
    guesses. `now` in monotonic seconds."""

    def __init__(self, tries: int, lock_s: float, world: int = 60) -> None:
        self._tries = tries
        self._lock_s = lock_s
        self._world = world
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._all: tuple[int, float] = (0, float("-inf"))

    def locked(self, caller: str, now: float) -> bool:
        count, at = self._wrong.get(caller, (0, 0.0))
        if count >= self._tries and now < at + self._lock_s:
            return True
        return self._all[0] >= self._world and now < self._all[1] + self._lock_s

    def wrong(self, caller: str, now: float) -> None:
        count, at = self._wrong.get(caller, (0, now))
        fresh = now > at + (self._lock_s if count >= self._tries else WINDOW_S)
        self._wrong[caller] = (1 if fresh else count + 1, now)
        self._wrong.move_to_end(caller)
        if len(self._wrong) > MAX_CALLERS:
            self._wrong.popitem(last=False)
        total, began = self._all
        self._all = (1, now) if now > began + WINDOW_S else (total + 1, began if total + 1 < self._world else now)

    def right(self, caller: str) -> None:
        self._wrong.pop(caller, None)
