"""How long to wait before a camera is tried again.

Waits double, with some jitter so that a hundred cameras behind one switch do not come back at once. A camera that
refused our name and password gets a long wait: many lock the account after a few wrong log-ins, for the people as well.
"""

from collections.abc import Callable

from media.ingest.messages import Reason

FIRST_S, LONGEST_S = 1.0, 60.0
LOGIN_FIRST_S, LOGIN_LONGEST_S = 60.0, 600.0
FORGIVEN_AFTER_S = 30.0
"""A camera that ran for so long begins with the first wait again."""
JITTER = 0.2
_LOGIN: tuple[Reason, ...] = ("unauthorized",)


class Patience:
    """The waits of one camera."""

    def __init__(self, random: Callable[[], float]) -> None:
        """`random` gives 0 to 1."""
        self._random = random
        self._failures = 0

    def ran(self, live_s: float) -> None:
        """The camera sent pictures for this long."""
        if live_s >= FORGIVEN_AFTER_S:
            self._failures = 0

    def wait_s(self, reason: Reason) -> float:
        """The wait after one more failure."""
        first, longest = (LOGIN_FIRST_S, LOGIN_LONGEST_S) if reason in _LOGIN else (FIRST_S, LONGEST_S)
        wait: float = min(longest, first * 2 ** min(self._failures, 16))
        self._failures += 1
        return wait * (1 + JITTER * (2 * self._random() - 1))
