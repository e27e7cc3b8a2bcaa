"""Which UDP ports are free for a leg: even ones of a range, at random, and not again soon. Pure; `now` in seconds.

A port that was used is in *quarantine*: its socket stays open and what comes is thrown away, until nothing has come for
`QUIET_S`, at most `LONGEST_S`. Else the next call on it would hear the last one's other side.
"""

import random
from dataclasses import dataclass

QUIET_S = 30.0
LONGEST_S = 600.0


class NoPort(Exception):
    """Every port of the range is used or in quarantine."""


@dataclass(slots=True)
class _Quarantine:
    since: float
    heard_at: float


class PortPool:
    """Pairs of ports, named by the even one."""

    def __init__(self, first: int, last: int, choose: random.Random | None = None) -> None:
        self._all = [port for port in range(first + first % 2, last, 2)]
        self._choose = choose or random.SystemRandom()
        self._used: set[int] = set()
        self._quarantined: dict[int, _Quarantine] = {}

    @property
    def free(self) -> int:
        return len(self._all) - len(self._used) - len(self._quarantined)

    def take(self) -> int:
        """A port that is free as far as we know.

        Raises:
            NoPort: none is.
        """
        if self.free <= 0:
            raise NoPort(f"None of {len(self._all)} port pairs is free.")
        for _ in range(16):
            port = self._choose.choice(self._all)
            if port not in self._used and port not in self._quarantined:
                break
        else:
            port = self._choose.choice(
                [port for port in self._all if port not in self._used and port not in self._quarantined]
            )
        self._used.add(port)
        return port

    def give_up(self, port: int) -> None:
        """It was taken and never used: another program has it."""
        self._used.discard(port)

    def release(self, port: int, now: float) -> None:
        """A leg ended: into quarantine."""
        self._used.discard(port)
        self._quarantined[port] = _Quarantine(now, now)

    def heard(self, port: int, now: float) -> None:
        """Something came at a port in quarantine."""
        if port in self._quarantined:
            self._quarantined[port].heard_at = now

    def due(self, now: float) -> list[int]:
        """Ports whose quarantine is over; they are free from now on."""
        over = [
            port
            for port, each in self._quarantined.items()
            if now - each.heard_at >= QUIET_S or now - each.since >= LONGEST_S
        ]
        for port in over:
            del self._quarantined[port]
        return over
