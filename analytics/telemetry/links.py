"""What sources say of their connections: each is up or down, since when and why. And how long to wait before the next
try, so that a hundred meters do not come back in step."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0


@dataclass(slots=True)
class Link:
    """A connection of a source."""

    name: str
    """What people call it: the address, the meter."""
    sites: frozenset[str]
    up: bool = False
    reason: str = "not yet connected"
    since: float = 0.0
    """UTC seconds."""
    connections: int = 0


Told = Callable[[Link], None]


class Links:
    """The connections of one source."""

    def __init__(self, wall: Callable[[], float], on_change: Told | None = None) -> None:
        self._links: dict[str, Link] = {}
        self._wall = wall
        self._on_change = on_change

    def __iter__(self) -> Iterator[Link]:
        return iter(self._links.values())

    def add(self, name: str, sites: Iterable[str]) -> Link:
        """One that will be tried."""
        link = self._links[name] = Link(name, frozenset(sites), since=self._wall())
        return link

    def up(self, link: Link) -> None:
        """It answers."""
        self._turn(link, True, "")

    def down(self, link: Link, reason: str) -> None:
        """It does not; `reason` is a sentence or an error's name."""
        self._turn(link, False, reason[:200] or "no reason given")

    def _turn(self, link: Link, up: bool, reason: str) -> None:
        first = link.connections == 0 and not up and link.reason == "not yet connected"
        changed = link.up != up
        link.up, link.reason = up, reason
        if not changed and not first:
            return
        link.since = self._wall()
        link.connections += up
        if self._on_change is not None:
            self._on_change(link)


class Patience:
    """Waits between tries: from `first_s`, doubled up to `longest_s`, each drawn between its half and its whole."""

    def __init__(
        self,
        longest_s: float = LONGEST_WAIT_S,
        jitter: Callable[[float, float], float] = random.uniform,
        first_s: float = FIRST_WAIT_S,
    ) -> None:
        self._longest_s, self._first_s = longest_s, first_s
        self._jitter = jitter
        self._next_s = first_s

    def well(self) -> None:
        """It went well: the next failure waits shortly."""
        self._next_s = self._first_s

    def wait_s(self) -> float:
        """How long to wait now."""
        wait_s = self._jitter(self._next_s / 2, self._next_s)
        self._next_s = min(self._next_s * 2, self._longest_s)
        return wait_s
