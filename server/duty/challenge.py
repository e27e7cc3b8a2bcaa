"""The challenge at the desk: "are you there?", asked when a rule has warned and before it becomes an alarm.

It goes to the pages of the post's own site, and to nobody's mobile: it is to prove that somebody is *there*. A button
at a random place, or the key it names, answers it.

| what happens                        | then                                                              |
|-------------------------------------|-------------------------------------------------------------------|
| a rule warns                        | asked, if a page is open and the post was not asked in `pause_s`    |
| the post's other rule warns as well | the same challenge serves both                                    |
| answered in time                    | both warnings end, with who answered and after how long           |
| not answered in time                | confirmed: the alarm comes at once                                |
| no page is open                     | not asked; the alert says so, and the alarm comes at its own time |
| asked less than `pause_s` ago       | not asked; the alarm comes at its own time: one answer buys no hour |
| all warnings end by themselves      | called off                                                        |

Pure: events, `now` (monotonic) and `at` (UTC) in, actions out. Nothing is stored: after a restart nobody is asked about
a warning of before it, and the alarm comes at its own time.
"""

from dataclasses import dataclass, field
from typing import Literal

PLACES = 9
Outcome = Literal["asked", "answered", "unanswered", "no_page", "called_off"]
LAST_SHARE = 0.8
"""Nobody has longer to answer than this share of the time from the warning to the alarm."""


@dataclass(slots=True)
class Challenge:
    """One question to one post."""

    challenge: str
    post: str
    site: str
    rules: list[str]
    asked_at: float
    answer_s: float
    place: int
    """Where the button is, from 0: its key is one more."""
    outcome: Outcome = "asked"
    by: str = ""
    took_s: float | None = None
    due: float = field(default=0.0, compare=False)

    def as_dict(self) -> dict[str, object]:
        return {
            "challenge": self.challenge,
            "post": self.post,
            "site": self.site,
            "rules": list(self.rules),
            "asked_at": self.asked_at,
            "until": self.asked_at + self.answer_s,
            "place": self.place,
            "by": self.by,
            "took_s": self.took_s,
        }


def time_to_answer(wanted_s: float, warn_after_s: float, alarm_after_s: float) -> float:
    """How long there is; 0: do not ask, the alarm comes with the warning or not at all."""
    left = alarm_after_s - warn_after_s
    return min(wanted_s, LAST_SHARE * left) if warn_after_s > 0 and left > 0 else 0.0


class Challenges:
    """The challenges of all posts. Each method returns the challenges that changed, in their new state."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._pending: dict[str, Challenge] = {}
        self._asked: dict[str, float] = {}

    def warned(
        self,
        name: str,
        post: str,
        site: str,
        rule: str,
        answer_s: float,
        place: int,
        *,
        page: bool,
        now: float,
        at: float,
    ) -> list[Challenge]:
        """A rule has warned about a post. `name` and `place` are for a new challenge."""
        pending = self._pending.get(post)
        if pending is not None:
            pending.rules += [rule] if rule not in pending.rules else []
            return []
        if answer_s <= 0:
            return []
        if not page:
            return [Challenge(name, post, site, [rule], at, 0.0, place, "no_page")]
        if now - self._asked.get(post, float("-inf")) < self._pause_s:
            return []
        self._asked[post] = now
        asked = Challenge(name, post, site, [rule], at, answer_s, place % PLACES, due=now + answer_s)
        self._pending[post] = asked
        return [asked]

    def answered(self, challenge: str, by: str, now: float, at: float) -> list[Challenge]:
        """Somebody at the desk has answered; too late, or a second time, changes nothing."""
        found = self.find(challenge)
        if found is None:
            return []
        del self._pending[found.post]
        found.outcome, found.by, found.took_s = "answered", by, round(max(0.0, found.answer_s - (found.due - now)), 3)
        return [found]

    def over(self, post: str, rule: str) -> list[Challenge]:
        """What a rule had warned about has ended by itself."""
        found = self._pending.get(post)
        if found is None or rule not in found.rules:
            return []
        found.rules.remove(rule)
        if found.rules:
            return []
        del self._pending[post]
        found.outcome = "called_off"
        return [found]

    def tick(self, now: float) -> list[Challenge]:
        """Those that were not answered in time."""
        late = [one for one in self._pending.values() if one.due <= now]
        for one in late:
            del self._pending[one.post]
            one.outcome = "unanswered"
        return late

    def find(self, challenge: str) -> Challenge | None:
        """A pending one."""
        return next((one for one in self._pending.values() if one.challenge == challenge), None)

    def pending(self) -> list[Challenge]:
        return list(self._pending.values())
