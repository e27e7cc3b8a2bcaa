"""Keeping a connection of ours alive, and noticing when nobody is at its other end (RFC 5626 section 4.4.1). Pure.

Every `KEEP_ALIVE_SECONDS` a double CRLF goes out. A peer that answers such pings with a CRLF is expected to go on doing
so: when it sends nothing at all for `PONG_SECONDS` after a ping, the flow has failed and the connection is to be cut
off. From a peer that never answered one nothing is expected: not everybody knows RFC 5626.
"""

KEEP_ALIVE_SECONDS = 25.0
"""Shorter than what NAT boxes forget a TCP connection after, and than the `Flow-Timer` of others."""
PONG_SECONDS = 10.0


class KeepAlive:
    """`timeout` is due at `next_timeout()`."""

    def __init__(self, now: float) -> None:
        self.dead = False
        self._answers = False
        self._ping_at = now + KEEP_ALIVE_SECONDS
        self._pong_by: float | None = None

    def next_timeout(self) -> float:
        return self._ping_at if self._pong_by is None else min(self._ping_at, self._pong_by)

    def heard(self, pong: bool = False) -> None:
        """Bytes came. `pong`: a CRLF and nothing else."""
        self._answers = self._answers or pong
        self._pong_by = None

    def timeout(self, now: float) -> bool:
        """Whether a ping is to be sent now; look at `dead` as well."""
        if self._pong_by is not None and now >= self._pong_by:
            self.dead = True
        if self.dead or now < self._ping_at:
            return False
        self._ping_at = now + KEEP_ALIVE_SECONDS
        if self._answers and self._pong_by is None:
            self._pong_by = now + PONG_SECONDS
        return True
