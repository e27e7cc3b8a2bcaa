"""What happens in the simulated mine, and when. A schedule, and nothing else: the story only changes what the
simulators send. What the server makes of it is the server's doing.

Times are for speed 1. The thresholds of the duty post are shortened for the demonstration, and the screens say so.
"""

from dataclasses import dataclass
from typing import Literal

LENGTH_S = 300.0
WARN_AFTER_S = 8.0
ALARM_AFTER_S = 15.0
SLEEP_WARN_AFTER_S = 6.0
SLEEP_ALARM_AFTER_S = 11.0
"""The shortened thresholds of the demonstration's duty post."""

Officer = Literal["work", "write", "sleep_desk", "absent"]


@dataclass(frozen=True, slots=True)
class SetOfficer:
    """The officer on duty does this from now on."""

    state: Officer


@dataclass(frozen=True, slots=True)
class SetLoad:
    """A machine draws this share of its rated current from now on; None: as usual."""

    site: str
    device: str
    share: float | None


@dataclass(frozen=True, slots=True)
class SetGathering:
    """People with a tag walk to this zone and stay there; None: they go about their work."""

    zone: str | None


@dataclass(frozen=True, slots=True)
class Tell:
    """What a narrator would say."""

    zh: str
    en: str


Action = SetOfficer | SetLoad | SetGathering | Tell


@dataclass(frozen=True, slots=True)
class Scene:
    """Something that begins at a time of the story."""

    at_s: float
    actions: tuple[Action, ...]


SCENES: tuple[Scene, ...] = (
    Scene(
        0.0,
        (
            SetOfficer("work"),
            SetLoad("hongqi", "fan-main", None),
            SetLoad("dongfeng", "belt", None),
            SetGathering(None),
            Tell(
                "一切正常：值班员在岗，主扇运转，人员在各自区域。",
                "All calm: the officer is at the desk, the main fan runs, people are at work.",
            ),
        ),
    ),
    Scene(
        20.0,
        (
            SetOfficer("absent"),
            Tell(
                "值班员离岗：{warn:g} 秒后预警，{alarm:g} 秒后告警（演示已缩短阈值）。",
                "The officer leaves: a warning after {warn:g} s, an alarm after {alarm:g} s (shortened for the demo).",
            ),
        ),
    ),
    Scene(45.0, (SetGathering("return-airway"),)),
    Scene(
        50.0,
        (
            SetOfficer("work"),
            Tell(
                "值班员返岗：系统记录离岗时长，值班员可签收告警。",
                "The officer is back: the time away is on record, and the alert can be acknowledged.",
            ),
        ),
    ),
    Scene(
        70.0,
        (
            SetOfficer("sleep_desk"),
            Tell(
                "值班员伏案睡着：{sleep_warn:g} 秒后预警，{sleep_alarm:g} 秒后告警睡岗（演示已缩短阈值）。",
                "The officer falls asleep at the desk: a warning after {sleep_warn:g} s, an alarm after"
                " {sleep_alarm:g} s (shortened for the demo).",
            ),
        ),
    ),
    Scene(
        88.0,
        (
            SetOfficer("work"),
            Tell(
                "值班员惊醒：睡岗告警自动结束，并记录时长。",
                "The officer wakes: the alert of the sleep ends by itself, with its length.",
            ),
        ),
    ),
    Scene(
        90.0,
        (
            SetLoad("hongqi", "fan-main", 0.05),
            Tell(
                "主扇电流骤降，而多名人员正聚集在回风巷。",
                "The main fan's current drops while people gather in the return airway.",
            ),
        ),
    ),
    Scene(
        100.0,
        (
            Tell(
                "请在调度台点击“一键会商”：市、县、省三级同时振铃。",
                "Press 一键会商 (one-click consultation) at the dispatch desk: county, city and province ring.",
            ),
        ),
    ),
    Scene(
        150.0,
        (
            SetLoad("hongqi", "fan-main", None),
            SetGathering(None),
            SetLoad("dongfeng", "belt", 0.68),
            Tell(
                "东风煤矿已公告停产，其皮带电机却在带负荷运行，摄像头看到皮带上有煤：一分钟内形成“疑似明停暗开”事件。",
                "Dongfeng Mine is officially stopped, yet its belt motor draws load and a camera sees coal on the belt:"
                " within a minute this is an incident of suspected covert production.",
            ),
        ),
    ),
    Scene(
        200.0,
        (
            SetOfficer("absent"),
            SetLoad("dongfeng", "belt", None),
            Tell("值班员再次离岗。", "The officer leaves again."),
        ),
    ),
    Scene(
        240.0, (SetOfficer("write"), Tell("值班员返岗，填写交接班记录。", "The officer is back and writes the log."))
    ),
    Scene(285.0, (Tell("演示即将从头开始。", "The story is about to begin anew."),)),
)


class Story:
    """Where the story stands. It goes round.

    Args:
        speed: how many seconds of the story pass in one.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if not 0.1 <= speed <= 20:
            raise ValueError("The speed must be 0.1 to 20.")
        self.speed = speed
        self._told_s = -1.0

    @property
    def warn_after_s(self) -> float:
        """After how many real seconds an empty post is a warning."""
        return WARN_AFTER_S / self.speed

    @property
    def alarm_after_s(self) -> float:
        """After how many real seconds an empty post is an alarm."""
        return ALARM_AFTER_S / self.speed

    @property
    def sleep_warn_after_s(self) -> float:
        """After how many real seconds a sleep is a warning."""
        return SLEEP_WARN_AFTER_S / self.speed

    @property
    def sleep_alarm_after_s(self) -> float:
        """After how many real seconds a sleep is an alarm."""
        return SLEEP_ALARM_AFTER_S / self.speed

    def until(self, elapsed_s: float) -> list[Action]:
        """Everything that has become due, `elapsed_s` real seconds after the start and since the last call."""
        now_s = elapsed_s * self.speed
        due: list[Action] = []
        round_ = int(max(self._told_s, 0.0) // LENGTH_S)
        while round_ * LENGTH_S <= now_s:
            for scene in SCENES:
                if self._told_s < round_ * LENGTH_S + scene.at_s <= now_s:
                    due += (self._filled(action) for action in scene.actions)
            round_ += 1
        self._told_s = max(self._told_s, now_s)
        return due

    def next_in_s(self, elapsed_s: float) -> float:
        """Real seconds until something is due again."""
        now_s = elapsed_s * self.speed
        begin = now_s // LENGTH_S * LENGTH_S
        times = [begin + scene.at_s for scene in SCENES] + [begin + LENGTH_S]
        return min(time for time in times if time > now_s) / self.speed - elapsed_s

    def _filled(self, action: Action) -> Action:
        if not isinstance(action, Tell):
            return action
        numbers = {
            "warn": round(self.warn_after_s, 1),
            "alarm": round(self.alarm_after_s, 1),
            "sleep_warn": round(self.sleep_warn_after_s, 1),
            "sleep_alarm": round(self.sleep_alarm_after_s, 1),
        }
        return Tell(action.zh.format(**numbers), action.en.format(**numbers))
