"""Is whoever mans a duty post asleep (睡岗)? Posture and stillness and time, never one of them alone.

From a corner of the room eyes are out of reach. What can be seen is that the head is down or the body reclined, that
the person hardly moves, and for how long both go on. One picture proves nothing: writing and reading look like it.

| state   | seated | empty | down   | up    | overdue | lost    |
|---------|--------|-------|--------|-------|---------|---------|
| unknown | awake  | away  | drowsy | awake | asleep  | -       |
| away    | awake  | -     | -      | -     | -       | unknown |
| awake   | -      | away  | drowsy | -     | -       | unknown |
| drowsy  | -      | away  | -      | awake | asleep  | unknown |
| asleep  | -      | away  | -      | awake | -       | unknown |

- *seated*, *empty*: as in the absence rule (share of pictures with enough persons >= 0.6, <= 0.2)
- *down*: over the window (12 s to 60 s) the share of pictures head-down or reclined >= 0.6 and of still ones >= 0.8
- *up*: over 5 s the share of those pictures < 0.3, or at least 0.8 of them show the person moving
- *overdue*: asleep for `sleep_alarm_after_s`, timed from the first picture of an unbroken run head-down; or the
  challenge at the desk was not answered
- *lost*: no usable picture for `lost_after_s`, or told so (`blind`)

Time runs on the absence rule's clock of usable pictures: `unknown` freezes it, ends no alert and adds nothing to a
sleep. Somebody who is no longer seen is no longer asleep: that is the absence rule's business. With several persons the
post sleeps when fewer than `minimum_persons` of them are awake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from analytics.finding import Change, Finding, Severity
from analytics.messages import PictureState
from analytics.rules.geometry import inside
from analytics.rules.postrule import REASSERT_S, PostRule, Sighting
from analytics.rules.presence import CONFIRM_SHARE, EMPTY_SHARE, Presence, Windows
from analytics.rules.stillness import (
    DOWN_SHARE,
    MOVING_SHARE,
    STILL_MOTION,
    STILL_SHARE,
    UP_SHARE,
    UP_WINDOW_S,
    Look,
    Stillness,
)
from analytics.rules.wording import sleep_title
from config.settings import DutyPostSettings


class SleepState(StrEnum):
    UNKNOWN = "unknown"
    AWAY = "away"
    AWAKE = "awake"
    DROWSY = "drowsy"
    ASLEEP = "asleep"


class Input(StrEnum):
    SEATED = "seated"
    EMPTY = "empty"
    DOWN = "down"
    UP = "up"
    OVERDUE = "overdue"
    LOST = "lost"


TRANSITIONS: Mapping[tuple[SleepState, Input], SleepState] = {
    (SleepState.UNKNOWN, Input.SEATED): SleepState.AWAKE,
    (SleepState.UNKNOWN, Input.EMPTY): SleepState.AWAY,
    (SleepState.UNKNOWN, Input.DOWN): SleepState.DROWSY,
    (SleepState.UNKNOWN, Input.UP): SleepState.AWAKE,
    (SleepState.UNKNOWN, Input.OVERDUE): SleepState.ASLEEP,
    (SleepState.AWAY, Input.SEATED): SleepState.AWAKE,
    (SleepState.AWAY, Input.LOST): SleepState.UNKNOWN,
    (SleepState.AWAKE, Input.EMPTY): SleepState.AWAY,
    (SleepState.AWAKE, Input.DOWN): SleepState.DROWSY,
    (SleepState.AWAKE, Input.LOST): SleepState.UNKNOWN,
    (SleepState.DROWSY, Input.EMPTY): SleepState.AWAY,
    (SleepState.DROWSY, Input.UP): SleepState.AWAKE,
    (SleepState.DROWSY, Input.OVERDUE): SleepState.ASLEEP,
    (SleepState.DROWSY, Input.LOST): SleepState.UNKNOWN,
    (SleepState.ASLEEP, Input.EMPTY): SleepState.AWAY,
    (SleepState.ASLEEP, Input.UP): SleepState.AWAKE,
    (SleepState.ASLEEP, Input.LOST): SleepState.UNKNOWN,
}


class PostureSighting(Sighting, Protocol):
    """With what tells whether a person sleeps."""

    @property
    def attributes(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class SleepChange:
    """A post's sleep state for the screens."""

    post: str
    site: str
    state: SleepState
    since: float
    """UTC seconds at which it began: for `drowsy` and `asleep` the first picture head-down."""
    at: float
    """UTC seconds at which it was concluded."""
    warned: bool = False
    """An alert of this post's sleep is open."""
    reason: str = ""
    """Why `unknown`: `starting`, a picture state, or what `blind` was told."""


SleepOutput = Finding | SleepChange


class SleepWatch(PostRule[SleepState, SleepChange]):
    """The rule for one post. Feed `observe` with every report about its camera and call `tick` twice a second."""

    def __init__(
        self,
        settings: DutyPostSettings,
        *,
        now: float,
        at: float,
        open_alerts: Mapping[str, tuple[Severity, float]] | None = None,
        simulated: bool = False,
    ) -> None:
        """`open_alerts`: as in `analytics.rules.absence.DutyPost`.

        Raises:
            ValueError: both sleep times of the settings are 0, so that there is nothing to do (see `wanted`).
        """
        if not wanted(settings):
            raise ValueError("The post's sleep times are both 0.")
        super().__init__(settings, f"{settings.site}/sleeping/{settings.post}", SleepState.UNKNOWN, now=now, at=at)
        self.simulated = simulated
        times = [s for s in (settings.sleep_warn_after_s, settings.sleep_alarm_after_s) if s > 0]
        self._hold_s = max(times)
        self._presence = Presence(Windows.within(min(times)))
        self._looks = Stillness(min(times))
        self._started_now = self._last_good_now = now
        self._picture: PictureState = "none"
        self._began: Look | None = None
        """First picture of the sleep that an alert is, or may become, about."""
        self._ended: Look | None = None
        if self.key in (open_alerts or {}):
            self._take_up(*(open_alerts or {})[self.key])

    def _take_up(self, severity: Severity, raised_at: float) -> None:
        """Go on with a sleep from before a restart, timed no further than it had certainly got."""
        self._raised, self._no_data_told = severity, True
        slept = self.settings.sleep_alarm_after_s if self._alarmed else self.settings.sleep_warn_after_s
        self._began = Look(-slept, raised_at - slept, True, True, False)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def observe(
        self, at: float, now: float, picture: PictureState, detections: Sequence[PostureSighting]
    ) -> list[SleepOutput]:
        """A report about the camera: a picture taken at `at` (UTC seconds), received at `now` (monotonic seconds)."""
        if picture != "ok":
            self._picture = picture
            self._interrupt()
            lost = self._lose(now, picture) if picture == "frozen" else []
            return lost + self.tick(now)
        found = self.tick(now)
        zone = self.settings.zone
        persons = [seen for seen in detections if seen.label == "person" and inside(zone, seen.box)]
        if not self._presence.take(at, now, len(persons) >= self.settings.minimum_persons):
            return found
        self._picture, self._last_good_now, self._clock = "ok", now, (now, at)
        figures = [one.attributes for one in persons]
        self._looks.take(self._presence.seen_s, at, figures, self.settings.minimum_persons)
        if (target := self._target(now)) is not None:
            found += self._enter(target, now)
        return found + self._standing(now)

    def tick(self, now: float) -> list[SleepOutput]:
        """Call twice a second, picture or no picture."""
        if now - self._last_good_now < self._presence.windows.lost_after_s:
            return []
        self._interrupt()
        return self._lose(now, "none" if self._picture == "ok" else self._picture)

    def blind(self, now: float, reason: str) -> list[SleepOutput]:
        """The detector or its worker cannot look at this camera: what is known ends at once."""
        self._interrupt()
        return self._lose(now, reason)

    def answered(self, now: float) -> list[SleepOutput]:
        """The challenge at the desk was answered: the sleep is over, and all times begin anew."""
        self._looks.forget()
        self.challenge = ""
        if self.state not in (SleepState.DROWSY, SleepState.ASLEEP):
            return []
        return self._enter(SleepState.AWAKE, now, ended="answered")

    @property
    def asleep_s(self) -> float:
        """How long the present sleep has lasted by usable pictures, seconds; 0 while there is none."""
        return max(0.0, self._presence.seen_s - self._began.seen_s) if self._began is not None else 0.0

    # --- what follows from it -----------------------------------------------------------------------------------------

    def _inputs(self, now: float) -> list[Input]:
        """What has become true with this picture, the most telling first."""
        p, looks = self._presence, self._looks
        if p.shown_empty:
            return [Input.EMPTY]
        if not looks.told:
            return []
        if looks.up:
            return [Input.UP] if self._began is not None else self._seated()
        began = looks.began
        down = began is not None or (self._began is not None and looks.down)
        inputs = list[Input]()
        if down and self._overdue(now):
            inputs.append(Input.OVERDUE)
        if down:
            inputs.append(Input.DOWN)
        return [*inputs, *self._seated()]

    def _seated(self) -> list[Input]:
        """Somebody is there, and no sleep from before stands open."""
        p, known = self._presence, self.state is not SleepState.UNKNOWN
        long_enough = known or p.since(p.confirming) >= p.windows.confirm_s
        return [Input.SEATED] if p.share >= CONFIRM_SHARE and long_enough and self._began is None else []

    def _overdue(self, now: float) -> bool:
        if self._began is None or self.settings.sleep_alarm_after_s <= 0:
            return False
        if self._alarmed or self._confirmed:
            return True
        return self._may_raise(now) and self.asleep_s >= self.settings.sleep_alarm_after_s

    def _target(self, now: float) -> SleepState | None:
        pairs = ((self.state, became) for became in self._inputs(now))
        return next((TRANSITIONS[pair] for pair in pairs if pair in TRANSITIONS), None)

    @property
    def _may_confirm(self) -> bool:
        return self.settings.sleep_alarm_after_s > 0

    def _may_raise(self, now: float) -> bool:
        """Nothing is raised in the first of the longer sleep time, nor by a picture on which nobody is down."""
        return self._looks.newest_down and self._looks.down and now - self._started_now >= self._hold_s

    def _enter(self, target: SleepState, now: float, ended: str = "") -> list[SleepOutput]:
        self.state, self.reason = target, ""
        if target in (SleepState.AWAKE, SleepState.AWAY):
            return self._wake(target, now, ended or ("awake" if target is SleepState.AWAKE else "away"))
        self._began = self._began or self._looks.began
        self.since = self._began.at if self._began is not None else self._clock[1]
        found = self._data_back(now)
        if target is SleepState.ASLEEP and not self._alarmed:
            found += self._raise("alarm", now)
        elif self._raised is not None:
            self._again_due_s = self._presence.seen_s + REASSERT_S
        return [*found, self._change(now)]

    def _wake(self, target: SleepState, now: float, ended: str) -> list[SleepOutput]:
        """A sleep is over: it ended with the first picture of what ended it."""
        newest = (self._presence.seen_s, self._clock[1])
        over_s, over_at = newest
        if ended == "awake":
            over_s, over_at = self._looks.up_since or newest
        elif ended == "away":
            over_s, over_at = self._presence.empty_since or newest
        self.since = over_at
        found: list[SleepOutput] = []
        if self._raised is not None and self._began is not None:
            duration_s = round(max(0.0, over_s - self._began.seen_s), 3)
            found.append(self._finding("cleared", now, duration_s=duration_s, ended=ended))
        self._began = None
        self._over()
        return [*found, self._change(now)]

    def _standing(self, now: float) -> list[SleepOutput]:
        """Warn while somebody is drowsy; say a standing sleep again from time to time."""
        warn_s = self.settings.sleep_warn_after_s
        if self.state is SleepState.DROWSY and self._raised is None and warn_s > 0:
            due = self._may_raise(now) and self.asleep_s >= warn_s
            return [*self._raise("warning", now), self._change(now)] if due else []
        if self.state is SleepState.ASLEEP and self._presence.seen_s >= self._again_due_s:
            return self._raise(self._raised or "alarm", now, reasserted=True)
        return []

    def _interrupt(self) -> None:
        self._presence.interrupt()
        self._looks.forget()

    def _lose(self, now: float, reason: str) -> list[SleepOutput]:
        if self.state is SleepState.UNKNOWN:
            return []
        return self._lost(now, reason)

    # --- how it is told -----------------------------------------------------------------------------------------------

    def _change(self, now: float) -> SleepChange:
        s = self.settings
        return SleepChange(s.post, s.site, self.state, self.since, self._at(now), self._raised is not None, self.reason)

    def _finding(self, change: Change, now: float, **more: object) -> Finding:
        s, looks = self.settings, self._looks
        zh, en = sleep_title(s, change, self.asleep_s, more.get("duration_s"), more.get("ended"), self.challenge)
        explain: dict[str, object] = {
            "down_share": round(looks.down_share, 3),
            "still_share": round(looks.still_share, 3),
            "motion": round(looks.motion, 5),
            "noise": round(looks.noise, 5),
            "pictures_in_window": looks.pictures,
            "window_s": looks.window_s,
            "asleep_s": round(self.asleep_s, 3),
            "since": self._began.at if self._began is not None else self.since,
            "state": str(self.state),
            "picture": self._picture,
            "data_age_s": round(now - self._last_good_now, 3),
            "thresholds": {
                "sleep_warn_after_s": s.sleep_warn_after_s,
                "sleep_alarm_after_s": s.sleep_alarm_after_s,
                "down_share": DOWN_SHARE,
                "still_share": STILL_SHARE,
                "still_motion": STILL_MOTION,
                "up_share": UP_SHARE,
                "moving_share": MOVING_SHARE,
                "up_window_s": UP_WINDOW_S,
                "empty_share": EMPTY_SHARE,
            },
            "minimum_persons": s.minimum_persons,
            "zone": [list(point) for point in s.zone],
            "detector": s.detector,
            "model": self.model,
            "trained_on": self.trained_on,
            **({"challenge": self.challenge} if self.challenge else {}),
            **more,
        }
        severity, at = self._raised or "alarm", self._at(now)
        return Finding(s.site, self.key, "sleeping", s.post, change, severity, at, zh, en, explain, self.simulated)


def wanted(settings: DutyPostSettings) -> bool:
    """Whether the settings of a post ask for this rule at all."""
    return settings.sleep_warn_after_s > 0 or settings.sleep_alarm_after_s > 0
