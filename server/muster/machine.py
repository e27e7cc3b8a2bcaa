"""What has become of each person of a frozen list. Pure: fixes, zones and `now` are arguments.

    underground ⇄ moving          by whether the tag moved within `MOVING_S`
    … → refuge                    by a fix in a refuge
    … → lost                      no fix for `lost_s` while those of others come in; a fix brings the person back
    … → out_once → out            by two readings that say out (a gate, or a file), `CONFIRM_S` apart

A reading from inside after one from outside takes the first back: somebody went in again, or a card lay at the gate.
When the whole feed is silent nobody changes state: what is shown is what was known, with its age.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from analytics.mine import MineFacts
from server.positions import Tag

PersonState = Literal["underground", "moving", "refuge", "lost", "out_once", "out"]
STATES: tuple[PersonState, ...] = ("lost", "underground", "moving", "refuge", "out_once", "out")
"""In the order of what has to be looked at first."""
MOVING_S = 60.0
CONFIRM_S = 5.0
LISTS_AT_S = (0.0, 300.0, 900.0, 1800.0)
"""A list is drawn up so long after the beginning, and signed by a person."""
LOST_PERIODS = 2.5
"""Missing for so many periods of a feed of files is lost."""
LOST_S = 60.0


@dataclass(slots=True)
class Member:
    """One person of the list."""

    card: str
    frozen: bool = True
    """Underground when the evacuation began; False: seen later."""
    added_at: float = 0.0
    state: PersonState = "underground"
    since: float = 0.0
    """When that began, by the clock of the positions."""
    zone: str = ""
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)
    source_at: float = 0.0
    """When the source last saw the card."""
    outs: int = 0
    """Readings in a row that say out; more than two count as two."""
    out_at: float | None = None
    """Of the first of them."""
    last_out_at: float = 0.0
    came_back: int = 0
    """How often somebody who was out was seen inside again."""
    note: str = ""
    """Written by a person: seen by the rescue team, ..."""
    by_hand: str = ""
    """Who said that the person is out, where no reader did."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Member":
        x, y, z = values["place"]
        return cls(**{**values, "place": (x, y, z)})


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known of the feed and the mine while people are judged."""

    facts: MineFacts
    feed_live: bool
    lost_s: float
    now: float


def judge(member: Member, tag: Tag | None, inside: bool, sight: Sight) -> bool:
    """Bring a member up to date; whether what must be kept over a restart has changed.

    Args:
        inside: what the tag's newest fix says (`LivePositions.underground`).
    """
    before = (member.state, member.outs, member.came_back, member.zone)
    if tag is not None and tag.position.source_at > member.source_at:
        _seen(member, tag, inside)
    if not member.by_hand:
        _state(member, tag, sight)
    after = (member.state, member.outs, member.came_back, member.zone)
    if before[0] != after[0]:
        member.since = sight.now if member.state == "lost" else member.source_at
    kept = {"underground": "in", "moving": "in"}
    return (kept.get(before[0], before[0]), *before[1:]) != (kept.get(after[0], after[0]), *after[1:])


def _seen(member: Member, tag: Tag, inside: bool) -> None:
    one = tag.position
    member.source_at, member.zone, member.place = one.source_at, one.zone, (one.x_m, one.y_m, one.z_m)
    if inside:
        member.came_back += member.outs >= 2 or bool(member.by_hand)
        member.outs, member.out_at, member.by_hand = 0, None, ""
    elif member.outs == 0:
        member.outs, member.out_at, member.last_out_at = 1, one.source_at, one.source_at
    elif one.source_at - member.last_out_at >= CONFIRM_S:
        member.outs, member.last_out_at = min(2, member.outs + 1), one.source_at


def _state(member: Member, tag: Tag | None, sight: Sight) -> None:
    if member.outs:
        member.state = "out" if member.outs >= 2 else "out_once"
    elif sight.now - member.source_at > sight.lost_s:
        if sight.feed_live:
            member.state = "lost"
    elif (zone := sight.facts.zones.get(member.zone)) is not None and zone.kind == "refuge":
        member.state = "refuge"
    else:
        moved = tag is not None and tag.moved_at is not None and member.source_at - tag.moved_at <= MOVING_S
        member.state = "moving" if moved else "underground"


@dataclass(frozen=True, slots=True)
class Board:
    """The figures of a muster at one moment."""

    at: float
    feed: Literal["live", "stale", "never"]
    feed_at: float | None
    """Of the newest position that came in; what is shown is as old as that."""
    total: int
    frozen: int
    states: Mapping[str, int]
    zones: Mapping[str, int]
    """Who is not out, by zone."""
    left: int | None
    """Not confirmed out. None: unknown, because no positions come in and the figure would be a false comfort."""
    oldest_age_s: float | None
    """Of the knowledge about those who are not out."""
    going: Mapping[str, int] = field(default_factory=dict)
    """People by whether they get on (`server.muster.progress`), where that is known."""
    crowds: Sequence[Mapping[str, Any]] = ()
    """Pieces of roadways with more people than can move."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def board(
    members: Iterable[Member], feed: Literal["live", "stale", "never"], feed_at: float | None, now: float
) -> Board:
    """Count. With a feed that is not live, `left` is a number only while it is more than none."""
    states: dict[str, int] = dict.fromkeys(STATES, 0)
    zones: dict[str, int] = {}
    total = frozen = 0
    oldest: float | None = None
    for one in members:
        total += 1
        frozen += one.frozen
        states[one.state] += 1
        if one.state == "out":
            continue
        zones[one.zone] = zones.get(one.zone, 0) + 1
        age = max(0.0, now - one.source_at)
        oldest = age if oldest is None else max(oldest, age)
    left: int | None = total - states["out"]
    if left == 0 and feed != "live":
        left = None
    return Board(now, feed, feed_at, total, frozen, states, zones, left, oldest)


@dataclass(frozen=True, slots=True)
class Due:
    """A list that is to be drawn up."""

    number: int
    due_at: float


def due(started_at: float, drawn: int, now: float) -> Sequence[Due]:
    """Lists of the schedule that are not drawn up yet and whose time has come."""
    return [
        Due(number, started_at + after)
        for number, after in enumerate(LISTS_AT_S) if number >= drawn and now >= started_at + after
    ]  # fmt: skip


@dataclass(slots=True)
class Muster:
    """One muster of one mine."""

    muster: str
    site: str
    started_at: float
    by: str
    reason: str = ""
    session: str | None = None
    alert: str | None = None
    drill: bool = False
    simulated: bool = False
    ended_at: float | None = None
    ended_by: str = ""
    end_reason: str = ""
    lists: int = 0
    """Drawn up by the clock so far."""
    left_out: int = 0
    """Cards underground by their last fix, but silent for longer than a shift; they are not on the list."""
    members: dict[str, Member] = field(default_factory=dict)
