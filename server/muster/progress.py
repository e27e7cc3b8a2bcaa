"""Whether people get on: who has stopped, who goes away from the way out, where it is crowded. Pure (rule X2).

Each tick tells how far everybody is from the nearest way out along the roadways (`analytics.ways`). Over the last
`WINDOW_S` that distance shrinks (`advancing`), grows (`wrong_way`) or does neither (`no_progress`). It is never said of
somebody who is out, in a refuge or lost, nor where the roadways or the feed do not tell it.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from analytics.mine import Drift
from analytics.ways import Ways
from server.muster.machine import Member

Going = Literal["advancing", "no_progress", "wrong_way", "unknown"]

WINDOW_S = 60.0
SLOW_MPS = 0.1
"""Less in either direction is no progress."""
WRONG_M = 15.0
"""Further away by less is the noise of positions and the size of a junction."""
CROWD_M = 10.0
"""Roadways are looked at in pieces of this length."""
CROWD_PER_M2 = 2.0
FOLLOWED = frozenset({"underground", "moving"})


class Crowd(NamedTuple):
    """A piece of a roadway with more people than can move."""

    drift: str
    from_m: float
    people: int
    per_m2: float


@dataclass(slots=True)
class _Follow:
    """One person's distances to the way out, newest last."""

    points: deque[tuple[float, float]] = field(default_factory=deque)
    going: Going = "unknown"


class Evacuation:
    """Of one muster; in memory only, and begun anew by a restart."""

    def __init__(self) -> None:
        self._people: dict[str, _Follow] = {}
        self.crowds: tuple[Crowd, ...] = ()
        self.to_exit: dict[str, float] = {}
        """Card → metres to the way out."""

    def tick(self, members: Iterable[Member], ways: Ways, drifts: Mapping[str, Drift], now: float) -> None:
        """Bring it up to date with where everybody is now."""
        people, pieces = dict[str, _Follow](), Counter[tuple[str, int]]()
        self.to_exit = {}
        for member in members:
            if member.state not in FOLLOWED:
                continue
            stand = ways.stand(*member.place)
            if stand is None:
                continue
            pieces[stand.drift, int(stand.chainage_m // CROWD_M)] += 1
            if stand.to_exit_m is not None:
                self.to_exit[member.card] = stand.to_exit_m
                one = people[member.card] = self._people.get(member.card) or _Follow()
                _step(one, member.source_at, stand.to_exit_m, now)
        self._people = people
        self.crowds = tuple(_crowds(pieces, drifts))

    def going(self, card: str) -> Going:
        """How a person gets on."""
        one = self._people.get(card)
        return "unknown" if one is None else one.going

    def counts(self) -> dict[str, int]:
        """People by how they get on; those of whom it is unknown are left out."""
        return {str(going): n for going, n in Counter(one.going for one in self._people.values()).items()
                if going != "unknown"}  # fmt: skip


def _step(one: _Follow, at: float, metres: float, now: float) -> None:
    if now - at > WINDOW_S:
        one.going = "unknown"  # nobody has seen the card for longer than is looked back
        return
    if one.points and at <= one.points[-1][0]:
        return
    one.points.append((at, metres))
    while len(one.points) > 2 and at - one.points[1][0] >= WINDOW_S:
        one.points.popleft()
    then, before = one.points[0]
    if at - then < WINDOW_S:
        one.going = "unknown"
        return
    nearer = before - metres
    if nearer >= SLOW_MPS * (at - then):
        one.going = "advancing"
    else:
        one.going = "wrong_way" if -nearer >= max(WRONG_M, SLOW_MPS * (at - then)) else "no_progress"


def _crowds(pieces: Mapping[tuple[str, int], int], drifts: Mapping[str, Drift]) -> Iterable[Crowd]:
    for (drift, number), people in pieces.items():
        width = drifts[drift].width_m if drift in drifts else 4.0
        per_m2 = people / (CROWD_M * width)
        if per_m2 > CROWD_PER_M2:
            yield Crowd(drift, number * CROWD_M, people, round(per_m2, 2))
