"""A camera as a piece of equipment: no usable picture for a minute, a detector that cannot look, another resolution.

All are findings of their own. The first two make a duty `unknown` (see `absence`); another resolution does not.
"""

from collections.abc import Container

from analytics.finding import Change, Finding
from analytics.messages import PictureState
from analytics.rules.wording import camera_fault_title, detector_blind_title, resolution_title
from config.settings import DutyPostSettings

FAULT_AFTER_S = 60.0
FAULT_CLEARED_AFTER_S = 30.0


class CameraWatch:
    """`now` is monotonic seconds, `at` the same instant in UTC seconds."""

    def __init__(
        self, settings: DutyPostSettings, *, now: float, open_alerts: Container[str] = (), simulated: bool = False
    ) -> None:
        self.fault_key = f"{settings.site}/camera_fault/{settings.camera}"
        self.blind_key = f"{settings.site}/detector_blind/{settings.camera}"
        self.fault_open = self.fault_key in open_alerts
        self.blind_open = self.blind_key in open_alerts
        self.picture: PictureState = "none"
        self.last_good_now = now
        self._good_since_now: float | None = None
        self._settings = settings
        self._started_now = now
        self.simulated = simulated

    def good(self, now: float, at: float) -> list[Finding]:
        """A usable picture was analysed."""
        self.picture = "ok"
        self.last_good_now = now
        if self._good_since_now is None:
            self._good_since_now = now
        if not self.blind_open:
            return []
        self.blind_open = False
        return [self._finding("detector_blind", "cleared", now, at, "")]

    def bad(self, picture: PictureState) -> None:
        """A report without a usable picture."""
        self.picture = picture
        self._good_since_now = None

    def blind(self, now: float, at: float, reason: str) -> list[Finding]:
        """The detector or its worker cannot look at this camera."""
        self._good_since_now = None
        if self.blind_open:
            return []
        self.blind_open = True
        return [self._finding("detector_blind", "raised", now, at, reason)]

    def tick(self, now: float, at: float) -> list[Finding]:
        """A fault that is due, or its end. None is raised in the first `alarm_after_s` after a start."""
        if not self.fault_open:
            held = now - self._started_now >= self._settings.alarm_after_s
            if not held or now - self.last_good_now < FAULT_AFTER_S:
                return []
            self.fault_open = True
            return [self._finding("camera_fault", "raised", now, at, self.trouble)]
        if self._good_since_now is None or now - self._good_since_now < FAULT_CLEARED_AFTER_S:
            return []
        self.fault_open = False
        return [self._finding("camera_fault", "cleared", now, at, "")]

    @property
    def trouble(self) -> PictureState:
        """What is wrong with the picture, given that something is."""
        return "none" if self.picture == "ok" else self.picture

    def _finding(self, rule: str, change: Change, now: float, at: float, reason: str) -> Finding:
        s, cleared = self._settings, change == "cleared"
        if rule == "camera_fault":
            key, (zh, en) = self.fault_key, camera_fault_title(s, reason, cleared=cleared)
        else:
            key, (zh, en) = self.blind_key, detector_blind_title(s, cleared=cleared)
        explain: dict[str, object] = {
            "camera": s.camera,
            "post": s.post,
            "detector": s.detector,
            "reason": reason,
            "picture": self.picture,
            "data_age_s": round(now - self.last_good_now, 3),
            "thresholds": {"fault_after_s": FAULT_AFTER_S, "fault_cleared_after_s": FAULT_CLEARED_AFTER_S},
        }
        return Finding(s.site, key, rule, s.camera, change, "warning", at, zh, en, explain, self.simulated)


class SizeWatch:
    """Whether a camera sends pictures of the size that it is registered with; told at once, and over at once."""

    def __init__(
        self,
        site: str,
        camera: str,
        wanted: tuple[int, int],
        *,
        open_alerts: Container[str] = (),
        simulated: bool = False,
    ) -> None:
        self.key = f"{site}/camera_resolution/{camera}"
        self._site, self._camera, self._wanted = site, camera, wanted
        self._open = self.key in open_alerts
        self._simulated = simulated

    def look(self, size: tuple[int, int], at: float) -> list[Finding]:
        """A picture was decoded. `at`: UTC seconds."""
        wrong = size != self._wanted
        if wrong == self._open or size == (0, 0):
            return []
        self._open = wrong
        zh, en = resolution_title(self._camera, size, self._wanted, cleared=not wrong)
        explain: dict[str, object] = {
            "camera": self._camera, "reason": "resolution", "size": list(size), "registered": list(self._wanted),
        }  # fmt: skip
        change: Change = "raised" if wrong else "cleared"
        return [
            Finding(
                self._site, self.key, "camera_resolution", self._camera, change, "warning", at, zh, en, explain,
                self._simulated,
            )
        ]  # fmt: skip
