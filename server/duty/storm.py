"""Which waiting messages go out now, and together: the guard against a storm of alerts. No clock, no wire.

Messages to one address that are not red are gathered for a while and sent as one; beyond so many in a time they wait,
and go together as soon as the time allows. Red ones go at once, whatever was sent before. What is real and what is a
drill never go together: who reads only the beginning must not take the one for the other. Nothing is ever dropped here:
each message is in one batch, some time.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BATCH = 50
"""Most messages in one."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that is to go out."""

    message: str
    address: str
    """Channel and addressee."""
    red: bool
    since: float
    """Monotonic seconds at which it was seen first."""
    drill: bool = False


class StormGuard:
    """What was sent lately, by address. `now` is monotonic seconds."""

    def __init__(self, most: int, window_s: float, gather_s: float) -> None:
        self._most = most
        self._window_s = window_s
        self._gather_s = gather_s
        self._sent: dict[str, deque[float]] = {}

    def batches(self, waiting: Iterable[Waiting], now: float) -> list[tuple[Waiting, ...]]:
        """The batches that are to go now, red ones first. Say `sent` of each that went."""
        by_address: dict[tuple[bool, bool, str], list[Waiting]] = {}
        for one in waiting:
            by_address.setdefault((not one.red, one.drill, one.address), []).append(one)
        return [
            tuple(messages[:BATCH])
            for (calm, _, address), messages in sorted(by_address.items(), key=lambda item: item[0])
            if not calm or self._may(address, messages, now)
        ]

    def sent(self, address: str, now: float) -> None:
        self._sent.setdefault(address, deque()).append(now)

    def forget(self, now: float) -> None:
        """Drop what is older than the window."""
        for address in list(self._sent):
            times = self._sent[address]
            while times and times[0] <= now - self._window_s:
                times.popleft()
            if not times:
                del self._sent[address]

    def _may(self, address: str, messages: Sequence[Waiting], now: float) -> bool:
        if now - min(one.since for one in messages) < self._gather_s:
            return False
        self.forget(now)
        return len(self._sent.get(address, ())) < self._most
