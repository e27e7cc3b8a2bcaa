"""Who chairs a consultation, who has the floor, who may speak, and who waits at the door: pure.

| mode | who is heard |
|---|---|
| `open` | everybody |
| `chaired` | the chair, and who has the floor |
| `talk` | who holds the talk key: one at a time |

Over each of them: who was muted is not heard; and while somebody has **priority** (强插), nobody else is.

Everything hangs on the *user*, not on a connection: a page that is loaded anew stays muted, and keeps the chair.
`heard` says who may be heard; the server makes the media worker keep to it (`server.moderation`).

The chair acts, and so does everybody who may moderate and whose level is not below the chair's: `ACTIONS` is the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.sessions.errors import SessionError

RANKS: Mapping[str, int] = {"mine": 1, "county": 2, "city": 3, "province": 4, "nation": 5}
"""What has no level (a guest, a phone) ranks lowest."""
MODES = ("open", "chaired", "talk")
MAX_LOBBY = 50
"""Who knocks when so many wait is not noted."""
MAX_BARRED = 500
TAKES_AN_EMPTY_CHAIR = frozenset({"admin", "supervisor", "dispatcher"})


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody in a consultation, or at its door."""

    user: str
    name: str
    site: str
    level: str
    role: str

    @property
    def rank(self) -> int:
        return RANKS.get(self.level, 0)


@dataclass(slots=True)
class Place:
    """Somebody in a list, since when."""

    user: str
    name: str
    site: str
    level: str
    role: str
    at: float

    @classmethod
    def of(cls, one: Standing, at: float) -> "Place":
        return cls(one.user, one.name, one.site, one.level, one.role, at)


@dataclass(slots=True)
class Floor:
    """All that is kept of it; plain data."""

    mode: str = "open"
    chair: Place | None = None
    holder: Place | None = None
    """Who has the floor."""
    priority: bool = False
    """The floor was taken by priority: nobody else is heard."""
    before: Place | None = None
    """Who had the floor before it was taken by priority, and has it again afterwards."""
    hands: dict[str, Place] = field(default_factory=dict)
    """By user, in the order in which they were raised."""
    muted: dict[str, str] = field(default_factory=dict)
    """User to the name of who muted them."""
    mute_new: bool = False
    """Whoever comes is muted."""
    locked: bool = False
    lobby: dict[str, Place] = field(default_factory=dict)
    admitted: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)
    spotlight: str = ""
    """A track or a client that all see large."""

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> "Floor":
        """Back from plain data."""
        known = dict(body)
        for name in ("chair", "holder", "before"):
            known[name] = Place(**known[name]) if known.get(name) is not None else None
        for name in ("hands", "lobby"):
            known[name] = {user: Place(**one) for user, one in known.get(name, {}).items()}
        return cls(**known)

    # --- questions ---

    def heard(self, user: str) -> bool:
        """Whether this person may be heard now."""
        if user in self.muted:
            return False
        has_it = self.holder is not None and self.holder.user == user
        if self.priority or self.mode == "talk":
            return has_it
        return self.mode == "open" or has_it or self.is_chair(user)

    def is_chair(self, user: str) -> bool:
        return self.chair is not None and self.chair.user == user

    def governs(self, by: Standing, *, moderates: bool) -> bool:
        """Whether this person acts as the chair does. `moderates`: their role holds that verb."""
        if self.is_chair(by.user):
            return True
        return moderates and by.rank >= (RANKS.get(self.chair.level, 0) if self.chair else 0)

    def refusal(self, by: Standing, *, known: bool, needs_leave: bool) -> str:
        """Why somebody may not come in now, or nothing. `known`: has been in; `needs_leave`: came by a link."""
        if by.user in self.barred:
            return "removed"
        if by.user in self.admitted or self.is_chair(by.user):
            return ""
        above = self.chair is not None and by.rank > RANKS.get(self.chair.level, 0)
        if needs_leave or (self.locked and not known and not above):
            return "locked"
        return ""

    def may_end(self, by: Standing, people: "People", *, moderates: bool) -> bool:
        """Whether this person may end it for everybody: who governs, or anybody who was not put out, when the chair is
        empty."""
        if by.user in self.barred:
            return False
        empty = self.chair is None or self.chair.user not in people
        return empty or self.governs(by, moderates=moderates)

    # --- people come and go ---

    def came(self, one: Standing) -> None:
        """Somebody is in."""
        self.lobby.pop(one.user, None)
        if self.mute_new and not self.is_chair(one.user) and one.user not in self.muted:
            self.muted[one.user] = ""

    def went(self, user: str) -> list[str]:
        """Nobody of this user is in any more; what changed by it."""
        changes = []
        if self.hands.pop(user, None) is not None:
            changes.append("hand_lowered")
        if self.before is not None and self.before.user == user:
            self.before = None
        if self.holder is not None and self.holder.user == user:
            self._give_back()
            changes.append("floor")
        return changes

    def lost(self, user: str) -> "Change | None":
        """Who has the floor is gone without a word, and may come back without it."""
        if self.holder is None or self.holder.user != user:
            return None
        gone = self.holder
        self._give_back()
        return Change("floor_released", gone)

    def _give_back(self) -> None:
        self.holder, self.before, self.priority = self.before, None, False


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody does about the floor."""

    action: str
    by: Standing
    moderates: bool
    """The role of `by` holds the verb `moderate`."""
    target: str = ""
    """A user."""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What came of it: the name of an entry's `change`, and whom it is about."""

    change: str
    about: Place | None = None


People = Mapping[str, Standing]
"""Who is in, by user."""


def apply(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """Do it. None: it is so already.

    Raises:
        SessionError: it may not be done, or does not fit.
    """
    if act.action not in ACTIONS:
        raise SessionError("bad_message", f"There is no action {act.action}.")
    governed, do = ACTIONS[act.action]
    if governed and not floor.governs(act.by, moderates=act.moderates):
        raise SessionError("not_allowed", "Only the chair, or who moderates from the same level or above, may do that.")
    return do(floor, act, people, at)


def _target(act: Act, people: People) -> Standing:
    if act.target not in people:
        raise SessionError("not_in_room", "That person is not in the consultation.")
    return people[act.target]


def _about(floor: Floor, act: Act, people: People, at: float) -> Place:
    return Place.of(_target(act, people), at)


# --- what everybody may do ------------------------------------------------------------------------------------------


def _raise_hand(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    if act.by.user in floor.hands:
        return None
    floor.hands[act.by.user] = Place.of(act.by, at)
    return Change("hand_raised", floor.hands[act.by.user])


def _lower_hand(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """The own; another's, if one governs."""
    user = act.target or act.by.user
    if user != act.by.user and not floor.governs(act.by, moderates=act.moderates):
        raise SessionError("not_allowed", "Only the chair lowers somebody else's hand.")
    lowered = floor.hands.pop(user, None)
    return None if lowered is None else Change("hand_lowered", lowered)


def _release(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """Give the floor up; whoever governs may end anybody's, unless it was taken by priority from further above."""
    if floor.holder is None:
        return None
    if floor.holder.user != act.by.user:
        if not floor.governs(act.by, moderates=act.moderates) or (
            floor.priority and act.by.rank < RANKS.get(floor.holder.level, 0)
        ):
            raise SessionError("not_allowed", "Somebody else has the floor.")
    gone = floor.holder
    floor._give_back()
    return Change("floor_released", gone)


def _talk(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """The talk key is pressed."""
    if floor.mode != "talk":
        raise SessionError("not_allowed", "There is no talk key in this mode.")
    if act.by.user in floor.muted:
        raise SessionError("not_allowed", "You have been muted.")
    if floor.holder is not None:
        if floor.holder.user == act.by.user:
            return None
        raise SessionError("floor_taken", "Somebody else is talking.")
    floor.holder = Place.of(act.by, at)
    return Change("floor", floor.holder)


def _preempt(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """强插: a higher level takes the floor from whoever has it."""
    if floor.holder is not None and floor.holder.user == act.by.user and floor.priority:
        return None
    over = floor.holder or floor.chair
    held = floor.holder is not None and floor.holder.user != act.by.user
    rank = RANKS.get(over.level, 0) if over is not None else 0
    if act.by.rank <= rank if held else act.by.rank < rank and not floor.is_chair(act.by.user):
        raise SessionError("not_allowed", "The floor is taken from a lower level only.")
    if not act.moderates and not floor.is_chair(act.by.user):
        raise SessionError("not_allowed", "This role does not take the floor by priority.")
    floor.muted.pop(act.by.user, None)
    if not floor.priority:
        floor.before = floor.holder if floor.mode != "talk" else None
    floor.holder, floor.priority = Place.of(act.by, at), True
    floor.hands.pop(act.by.user, None)
    return Change("preempted", floor.holder)


def _take_chair(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """An empty chair, or that of a lower level."""
    if floor.is_chair(act.by.user):
        return None
    empty = floor.chair is None or floor.chair.user not in people
    above = act.moderates and floor.chair is not None and act.by.rank > RANKS.get(floor.chair.level, 0)
    if not above and not (empty and act.by.role in TAKES_AN_EMPTY_CHAIR):
        raise SessionError("not_allowed", "The chair is taken from a lower level, or when it is empty.")
    floor.chair = Place.of(act.by, at)
    floor.muted.pop(act.by.user, None)
    return Change("chair", floor.chair)


# --- what the chair does --------------------------------------------------------------------------------------------


def _hand_over(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    about = _about(floor, act, people, at)
    if about.role == "guest":
        raise SessionError("not_allowed", "A guest cannot chair.")
    if floor.is_chair(about.user):
        return None
    floor.chair = about
    floor.muted.pop(about.user, None)
    return Change("chair", about)


def _pass(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """The floor to somebody, whose hand comes down and who is heard."""
    about = _about(floor, act, people, at)
    if floor.priority and floor.holder is not None and act.by.rank < RANKS.get(floor.holder.level, 0):
        raise SessionError("floor_taken", "A higher level has the floor.")
    floor.hands.pop(about.user, None)
    floor.muted.pop(about.user, None)
    floor.holder, floor.priority, floor.before = about, False, None
    return Change("floor", about)


def _mute(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    about = _about(floor, act, people, at)
    if about.user in floor.muted:
        return None
    if floor.is_chair(about.user) and act.by.user != about.user and act.by.rank <= RANKS.get(about.level, 0):
        raise SessionError("not_allowed", "The chair is muted by a higher level only.")
    floor.muted[about.user] = act.by.name
    if floor.holder is not None and floor.holder.user == about.user:
        floor._give_back()
    return Change("muted", about)


def _unmute(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    if act.target not in floor.muted:
        return None
    del floor.muted[act.target]
    return Change("unmuted", _about(floor, act, people, at) if act.target in people else None)


def _mute_all(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """All but the chair, oneself and who has the floor; and whoever comes later."""
    holder = floor.holder.user if floor.holder is not None else ""
    for user in people:
        if user not in (act.by.user, holder) and not floor.is_chair(user):
            floor.muted.setdefault(user, act.by.name)
    floor.mute_new = True
    return Change("muted_all")


def _unmute_all(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    floor.muted.clear()
    floor.mute_new = False
    return Change("unmuted_all")


def _mode(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    if act.value not in MODES:
        raise SessionError("bad_message", f"There is no mode {act.value}.")
    if act.value == floor.mode:
        return None
    floor.mode = act.value
    if not floor.priority:
        floor.holder = None
    floor.before = None
    return Change("mode")


def _lock(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    wanted = act.action == "lock"
    if floor.locked == wanted:
        return None
    floor.locked = wanted
    return Change("locked" if wanted else "unlocked")


def _admit(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    waiting = floor.lobby.pop(act.target, None)
    if waiting is None:
        raise SessionError("not_in_room", "Nobody of that name waits at the door.")
    floor.admitted.append(waiting.user)
    return Change("admitted", waiting)


def _refuse(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    waiting = floor.lobby.pop(act.target, None)
    if waiting is None:
        return None
    _bar(floor, waiting.user)
    return Change("turned_away", waiting)


def _remove(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    """Out, and not in again until let in."""
    about = _about(floor, act, people, at)
    if about.user == act.by.user:
        raise SessionError("not_allowed", "Nobody removes himself: leave instead.")
    if floor.is_chair(about.user) and act.by.rank <= RANKS.get(about.level, 0):
        raise SessionError("not_allowed", "The chair is removed by a higher level only.")
    _bar(floor, about.user)
    if about.user in floor.admitted:
        floor.admitted.remove(about.user)
    return Change("removed", about)


def _bar(floor: Floor, user: str) -> None:
    if user not in floor.barred:
        floor.barred.append(user)
        del floor.barred[:-MAX_BARRED]


def _let_back(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    if act.target not in floor.barred:
        return None
    floor.barred.remove(act.target)
    return Change("let_back")


def _spotlight(floor: Floor, act: Act, people: People, at: float) -> Change | None:
    if act.value == floor.spotlight:
        return None
    floor.spotlight = act.value
    return Change("spotlight")


Do = Callable[[Floor, Act, People, float], Change | None]

ACTIONS: Mapping[str, tuple[bool, Do]] = {
    # action: (only for who governs, what it does)
    "raise_hand": (False, _raise_hand),
    "lower_hand": (False, _lower_hand),
    "release": (False, _release),
    "talk": (False, _talk),
    "preempt": (False, _preempt),
    "take_chair": (False, _take_chair),
    "hand_over": (True, _hand_over),
    "pass": (True, _pass),
    "mute": (True, _mute),
    "unmute": (True, _unmute),
    "mute_all": (True, _mute_all),
    "unmute_all": (True, _unmute_all),
    "mode": (True, _mode),
    "lock": (True, _lock),
    "unlock": (True, _lock),
    "admit": (True, _admit),
    "refuse": (True, _refuse),
    "remove": (True, _remove),
    "let_back": (True, _let_back),
    "spotlight": (True, _spotlight),
}


def knock(floor: Floor, one: Standing, at: float) -> Change | None:
    """Somebody who may not come in stands at the door. None: they stood there, or too many do."""
    if one.user in floor.lobby or one.user in floor.barred or len(floor.lobby) >= MAX_LOBBY:
        return None
    floor.lobby[one.user] = Place.of(one, at)
    return Change("knocked", floor.lobby[one.user])


def withdraw(floor: Floor, user: str) -> Change | None:
    """Stands at the door no more, without having been answered."""
    gone = floor.lobby.pop(user, None)
    return None if gone is None else Change("withdrew", gone)
