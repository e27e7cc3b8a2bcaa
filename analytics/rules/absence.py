"""Is a duty post manned (空岗)? From pictures, their detections and the absence of pictures.

Three things arrive and are kept apart: a good picture with so many persons in the post's zone, a picture that shows
nothing usable (dark, blocked, frozen, none), and no message at all (only `tick`). The first moves the duty, the other
two can only take the rule's knowledge away: time without a usable picture never counts as absence and never ends an
alert. How long a post was empty is counted by `presence`, whose clock stands still while nothing can be seen.

| state   | confirmed       | overdue | empty               | back    | lost, answered |
|---------|-----------------|---------|---------------------|---------|----------------|
| unknown | present         | absent  | leaving (if manned) | -       | -              |
| present | -               | -       | leaving             | -       | unknown        |
| leaving | -               | absent  | -                   | present | unknown        |
| absent  | present         | -       | -                   | -       | unknown        |

- *confirmed*: share of pictures with enough persons >= 0.6 for `confirm_s` (unknown), >= 0.5 for `back_s` (absent)
- *overdue*: empty for `alarm_after_s`, timed from the first picture without anybody; or empty under a standing alarm,
  or under a warning when the challenge at the desk was not answered
- *answered*: the challenge was answered though nobody is seen, and the two contradict each other: the alert ends, the
  post is `unknown` (the camera does not show it), and all times begin anew
- *empty*: share <= 0.2; *back*: share >= 0.5
- *lost*: no usable picture for `lost_after_s`, or told so (`blind`)

`unknown` after the post was known to be manned goes on to `leaving` with its clock where it stood; after a start it
waits the whole `alarm_after_s`. Decisions about persons fall with a picture, so that a stalled stream ages nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from analytics.finding import Change, Finding, Severity
from analytics.messages import PictureState
from analytics.rules.camera import CameraWatch
from analytics.rules.geometry import inside
from analytics.rules.postrule import REASSERT_S, PostRule, Sighting
from analytics.rules.presence import BACK_SHARE, CONFIRM_SHARE, EMPTY_SHARE, Presence, Sample, Windows
from analytics.rules.wording import post_title
from config.settings import DutyPostSettings

HANDOVER_S = 10.0
"""A post empty for less than this changed hands, or somebody stepped aside: nobody is identified to tell which."""


class State(StrEnum):
    UNKNOWN = "unknown"
    PRESENT = "present"
    LEAVING = "leaving"
    ABSENT = "absent"


class Input(StrEnum):
    CONFIRMED = "confirmed"
    OVERDUE = "overdue"
    EMPTY = "empty"
    BACK = "back"
    LOST = "lost"
    ANSWERED = "answered"


TRANSITIONS: Mapping[tuple[State, Input], State] = {
    (State.UNKNOWN, Input.CONFIRMED): State.PRESENT,
    (State.UNKNOWN, Input.OVERDUE): State.ABSENT,
    (State.UNKNOWN, Input.EMPTY): State.LEAVING,
    (State.PRESENT, Input.EMPTY): State.LEAVING,
    (State.PRESENT, Input.LOST): State.UNKNOWN,
    (State.LEAVING, Input.BACK): State.PRESENT,
    (State.LEAVING, Input.OVERDUE): State.ABSENT,
    (State.LEAVING, Input.LOST): State.UNKNOWN,
    (State.LEAVING, Input.ANSWERED): State.UNKNOWN,
    (State.ABSENT, Input.CONFIRMED): State.PRESENT,
    (State.ABSENT, Input.LOST): State.UNKNOWN,
    (State.ABSENT, Input.ANSWERED): State.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class DutyChange:
    """A post's state for the screens."""

    post: str
    site: str
    state: State
    since: float
    """UTC seconds at which it began: for `leaving` and `absent` the first picture without anybody."""
    at: float
    """UTC seconds at which it was concluded."""
    warned: bool = False
    """An alert of this post is open."""
    reason: str = ""
    """Why `unknown`: `starting`, a picture state, or what `blind` was told; `handover` after a short gap."""


Output = Finding | DutyChange


class DutyPost(PostRule[State, DutyChange]):
    """The rule for one post. Feed `observe` with every report about its camera and call `tick` twice a second.

    `open_alerts` names alerts of this post that were open before a restart (key to severity and UTC of raising): the
    rule goes on with them, so that a return to the post, or a good picture, ends them.
    """

    def __init__(
        self,
        settings: DutyPostSettings,
        *,
        now: float,
        at: float,
        open_alerts: Mapping[str, tuple[Severity, float]] | None = None,
        simulated: bool = False,
    ) -> None:
        opened = open_alerts or {}
        super().__init__(settings, f"{settings.site}/absence/{settings.post}", State.UNKNOWN, now=now, at=at)
        self.camera = CameraWatch(settings, now=now, open_alerts=opened, simulated=simulated)
        self._presence = Presence(Windows.of(settings))
        self._started_now = now
        self._persons = 0
        self._manned_before = False
        self._absence: Sample | None = None
        """Where the absence began that an alert is, or may become, about."""
        if self.key in opened:
            self._take_up(*opened[self.key])

    def _take_up(self, severity: Severity, raised_at: float) -> None:
        """Go on with an absence from before a restart, timed no further than it had certainly got."""
        self._raised = severity
        self._no_data_told = True
        gone = self.settings.alarm_after_s if self._alarmed else self.settings.warn_after_s
        self._absence = self._presence.empty = Sample(-gone, raised_at - gone, False)
        self._manned_before = not self._alarmed

    # --- what comes in ------------------------------------------------------------------------------------------------

    def observe(self, at: float, now: float, picture: PictureState, detections: Sequence[Sighting]) -> list[Output]:
        """A report about the camera: a picture taken at `at` (UTC seconds), received at `now` (monotonic seconds)."""
        if picture != "ok":
            self.camera.bad(picture)
            self._presence.interrupt()
            # A frozen picture was watched for long before it was called so; the others may be gone in a moment.
            lost = self._lose(now, picture) if picture == "frozen" else []
            return lost + self.tick(now)
        found = self.tick(now)
        zone = self.settings.zone
        persons = sum(1 for seen in detections if seen.label == "person" and inside(zone, seen.box))
        if not self._presence.take(at, now, persons >= self.settings.minimum_persons):
            return found
        self._persons = persons
        self._clock = (now, at)
        found += self.camera.good(now, at)
        while (target := self._target(now)) is not None:  # unknown -> leaving -> absent may follow from one picture
            found += self._enter(target, now)
        return found + self._standing(now)

    def tick(self, now: float) -> list[Output]:
        """Call twice a second, picture or no picture."""
        lost: list[Output] = []
        if now - self.camera.last_good_now >= self._presence.windows.lost_after_s:
            self._presence.interrupt()
            lost = self._lose(now, self.camera.trouble)
        return [*lost, *self.camera.tick(now, self._at(now))]

    def blind(self, now: float, reason: str) -> list[Output]:
        """The detector or its worker cannot look at this camera: what is known ends at once."""
        self._presence.interrupt()
        return [*self._lose(now, reason), *self.camera.blind(now, self._at(now), reason)]

    def answered(self, now: float) -> list[Output]:
        """The challenge at the desk was answered: somebody is there whom the camera does not show."""
        if (self.state, Input.ANSWERED) not in TRANSITIONS:
            return []
        found: list[Output] = []
        if self._raised is not None:
            found.append(self._finding("cleared", now, duration_s=round(self.absent_s, 3), ended="answered"))
        self.state = TRANSITIONS[self.state, Input.ANSWERED]
        self.since, self.reason = self._at(now), "answered"
        self._over()
        self._absence = None
        self._presence.begin_anew()
        return [*found, self._change(now)]

    @property
    def simulated(self) -> bool:
        """Whether what is seen is simulated: every finding says so."""
        return self.camera.simulated

    @simulated.setter
    def simulated(self, simulated: bool) -> None:
        self.camera.simulated = simulated

    @property
    def absent_s(self) -> float:
        """How long the post has been empty by usable pictures, seconds; 0 while nobody is missing."""
        return max(0.0, self._presence.since(self._absence))

    # --- what follows from it -----------------------------------------------------------------------------------------

    def _inputs(self, now: float) -> list[Input]:
        """What has become true with this picture, the most telling first."""
        p, inputs = self._presence, list[Input]()
        if p.newest.manned:  # nobody arrives with a picture that shows nobody, whatever those before it showed
            inputs += self._arrivals()
        if p.empty is None or not (p.shown_empty or self.state is State.LEAVING):
            return inputs
        overdue = self._alarmed or self._confirmed or p.empty_s >= self.settings.alarm_after_s
        if self._may_raise(now) and overdue:
            inputs.append(Input.OVERDUE)
        if self.state is State.PRESENT or self._manned_before:
            inputs.append(Input.EMPTY)
        return inputs

    def _arrivals(self) -> list[Input]:
        p = self._presence
        if self.state is State.UNKNOWN and p.since(p.confirming) >= p.windows.confirm_s:
            return [Input.CONFIRMED]
        if self.state is State.ABSENT and p.since(p.returning) >= p.windows.back_s:
            return [Input.CONFIRMED]
        return [Input.BACK] if self.state is State.LEAVING and p.returning is not None else []

    def _target(self, now: float) -> State | None:
        pairs = ((self.state, became) for became in self._inputs(now))
        return next((TRANSITIONS[pair] for pair in pairs if pair in TRANSITIONS), None)

    def _may_raise(self, now: float) -> bool:
        """Nothing is raised in the first `alarm_after_s`, nor just after somebody was seen; an open alarm goes on."""
        standing = self._alarmed or self._confirmed
        return self._presence.settled and (standing or now - self._started_now >= self.settings.alarm_after_s)

    def _enter(self, target: State, now: float) -> list[Output]:
        before, self.state, self.reason = self.state, target, ""
        self._manned_before = True
        if target is State.PRESENT:
            return self._arrive(before, now)
        if self._absence is None or self._raised is None:
            self._absence = self._presence.empty
        self.since = self._absence.at if self._absence is not None else self._clock[1]
        self._again_due_s = self._presence.seen_s + REASSERT_S
        found = self._data_back(now)
        if target is State.ABSENT and not self._alarmed:
            found += self._raise("alarm", now)
        return [*found, self._change(now)]

    def _arrive(self, before: State, now: float) -> list[Output]:
        p = self._presence
        began = p.returning or p.confirming or p.newest
        self.since = began.at
        found: list[Output] = []
        if self._absence is not None:
            duration_s = max(0.0, began.seen_s - self._absence.seen_s)
            if self._raised is not None:
                found.append(self._finding("cleared", now, duration_s=round(duration_s, 3)))
            elif before is State.LEAVING and duration_s < HANDOVER_S:
                self.reason = "handover"
        self._over()
        self._absence = p.empty = None
        return [*found, self._change(now)]

    def _standing(self, now: float) -> list[Output]:
        """Warn while somebody is away; say a standing absence again from time to time."""
        if self.state is State.LEAVING and self._raised is None:
            due = self._may_raise(now) and self.absent_s >= self.settings.warn_after_s
            return [*self._raise("warning", now), self._change(now)] if due else []
        if self.state is State.ABSENT and self._presence.seen_s >= self._again_due_s:
            return self._raise(self._raised or "alarm", now, reasserted=True)
        return []

    def _lose(self, now: float, reason: str) -> list[Output]:
        if self.state is State.UNKNOWN:
            if not self.camera.blind_open:
                self.reason = reason
            return []
        return self._lost(now, reason)

    # --- how it is told -----------------------------------------------------------------------------------------------

    def _change(self, now: float) -> DutyChange:
        s = self.settings
        return DutyChange(s.post, s.site, self.state, self.since, self._at(now), self._raised is not None, self.reason)

    def _finding(self, change: Change, now: float, **more: object) -> Finding:
        s, p = self.settings, self._presence
        zh, en = post_title(s, change, self.absent_s, more.get("duration_s"), more.get("ended"), self.challenge)
        explain: dict[str, object] = {
            "persons": self._persons,
            "minimum_persons": s.minimum_persons,
            "share": round(p.share, 3),
            "pictures_in_window": p.pictures,
            "window_s": p.windows.window_s,
            "absent_s": round(self.absent_s, 3),
            "since": self._absence.at if self._absence is not None else self.since,
            "state": str(self.state),
            "picture": self.camera.picture,
            "data_age_s": round(now - self.camera.last_good_now, 3),
            "thresholds": {
                "warn_after_s": s.warn_after_s,
                "alarm_after_s": s.alarm_after_s,
                "confirm_share": CONFIRM_SHARE,
                "back_share": BACK_SHARE,
                "empty_share": EMPTY_SHARE,
            },
            "zone": [list(point) for point in s.zone],
            "detector": s.detector,
            "model": self.model,
            "trained_on": self.trained_on,
            **({"challenge": self.challenge} if self.challenge else {}),
            **more,
        }
        severity, at = self._raised or "alarm", self._at(now)
        return Finding(s.site, self.key, "absence", s.post, change, severity, at, zh, en, explain, self.simulated)
