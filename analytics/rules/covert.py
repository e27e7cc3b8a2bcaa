"""明停暗开: a mine that is officially stopped and produces all the same. Evidence of several kinds, weighed by source.

| Item | Source | Evidence | Strength |
|---|---|---|---|
| E1 | power | belt on for 10 min; hoist's duty > 0.2 of an hour | 1; after an hour 2; after three hours 3 |
| E2 | power | hoist's share of 24 h of energy ≥ 0.9 of producing days, or ≥ 1.3 of stopped and half of producing | 2 |
| E3 | power | more hours a day than permitted | 2; by four hours 3 |
| E4 | power | hoist's load repeats by the day (autocorrelation > 0.5 over 5 days), > 0.4 of it by night | 2 |
| E5 | positions | more people than the permitted crew for 10 min | 1; half as many again, or for two hours: 2 |
| E6 | video | a loaded belt in most looks of half an hour | 2 |
| E6 | video | a belt or hoist that moves in most looks of half an hour | 1 |
| E6 | gate | loaded trucks leave at night | 2 |
| E7 | power | current of face equipment for 10 min | 2 |
| E8 | video | cameras of the mine dark, moved or gone | 1 |

What a permit covers (device, hours of the day, hours a day, people) is explained: it is listed and counted, and is no
evidence. Fans and pumps must run and are never evidence. Sources vote, not items: one source is a matter to check (and
only at strength 2), two within an hour go to the city, three to the province.
"""

import statistics
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from analytics.finding import Finding, Severity
from analytics.mine import MineFacts, MineState, Permit
from analytics.plugin import Reading
from analytics.rules.board import Board, Spec
from analytics.rules.electric import Level, rated_current
from config.settings import DeviceSettings, RuleSettings

Source = Literal["power", "positions", "video", "gate"]
SPECS: Mapping[str, Spec] = {
    "covert_running": Spec(
        (("warning", 0.0), ("alarm", 0.0), ("critical", 0.0)), 0.0, ("covert_together_s", "covert_hoist_duty")
    )
}
STOPPED = ("stopped", "building_stopped", "closed", "maintenance")
MINUTE_S, HOUR_S, DAY_S, CHINA_S = 60.0, 3600.0, 86_400.0, 28_800.0
STROKE_RATIO = 0.3
ON_RATIO = 0.25
WEIGHTS: Mapping[Source, float] = {"power": 1.0, "positions": 1.0, "video": 1.0, "gate": 0.8}
OVER_AFTER_S = 36 * HOUR_S
"""Without new evidence for so long it is over; a mine that works by night is one incident, not one a night."""
SLOW_S = DAY_S
"""Evidence that is looked at once an hour holds for so long."""
NIGHT = (22, 6)
LOOKS_S, LOOKS = 1800.0, 6
LOADED_SHARE = 0.6
TRUCKS, TRUCKS_S = 5.0, 7200.0
FACE_S = 600.0
CAMERA_RULES = ("camera_fault", "camera_tampered")
"""Rules whose alerts say that a camera sees nothing."""
LEAST_SHARE = 0.05
"""Of the energy; for the hoist where no producing days are known."""
LONG_S = (HOUR_S, 3 * HOUR_S)
REGULAR_H = 120


@dataclass(slots=True)
class Evidence:
    """One item that was seen."""

    item: str
    source: Source
    subject: str
    since: float
    at: float
    """Last seen."""
    strength: int
    explained: bool = False
    detail: dict[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """As in `explain`."""
        return {
            "item": self.item, "source": self.source, "subject": self.subject, "since": self.since, "at": self.at,
            "strength": self.strength, "explained": self.explained, **self.detail,
        }  # fmt: skip


@dataclass(slots=True)
class Motor:
    """One machine, minute by minute."""

    device: DeviceSettings
    rated_a: float | None
    minute: int = -1
    peak: float = 0.0
    newest: float = 0.0
    """Of its samples of the current."""
    bins: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=60))
    on_since: float | None = None
    day: int = -1
    day_s: float = 0.0
    """Seconds run on this local day."""
    hour: int = -1
    hours: deque[float] = field(default_factory=lambda: deque(maxlen=24 * 7))
    """kWh of each hour."""
    kwh: float = 0.0
    last: tuple[float, float] | None = None

    @property
    def duty(self) -> float:
        """Share of the minutes of an hour with a stroke."""
        return sum(on for _, on in self.bins) / 60 if self.bins else 0.0


class CovertRules:
    """Of one mine. Needs every reading of it, and the findings about its cameras."""

    def __init__(
        self, facts: MineFacts, devices: Sequence[DeviceSettings], settings: RuleSettings, *, simulated: bool = False
    ) -> None:
        self.facts, self.settings = facts, settings
        self.board = Board(
            facts.site, SPECS, settings, facts_version=facts.version, simulated=simulated,
            name_of=lambda rule, subject: ("本矿", "The mine"),
        )  # fmt: skip
        self._motors = {one.device: Motor(one, rated_current(one)) for one in devices if one.site == facts.site}
        self.evidence: dict[tuple[str, str], Evidence] = {}
        self._crowd_since: float | None = None
        self._people: tuple[float, float] | None = None
        self._looks: deque[tuple[float, bool]] = deque()
        self._motion: deque[tuple[float, bool]] = deque()
        self._trucks: deque[tuple[float, float]] = deque()
        self._blind: dict[str, float] = {}
        self._shares: dict[str, deque[float]] = {"producing": deque(maxlen=28), "stopped": deque(maxlen=28)}
        self._minute = -1
        self._hour = -1
        self._last_at = float("-inf")
        self._stop: str | None = None
        self._taken_up = False

    def adopt(self, before: "CovertRules") -> None:
        """What another set of rules on the same mine had learned and seen."""
        for device, old in before._motors.items():
            if (new := self._motors.get(device)) is not None and new.rated_a == old.rated_a:
                old.device = new.device
                self._motors[device] = old
        self.evidence, self._shares, self._blind = before.evidence, before._shares, before._blind
        self._looks, self._trucks, self._people = before._looks, before._trucks, before._people
        self._motion = before._motion
        self._crowd_since, self._minute, self._hour = before._crowd_since, before._minute, before._hour
        self._stop, self._last_at = before._stop, before._last_at

    # --- what comes in ---

    def feed(self, readings: Iterable[Reading]) -> list[Finding]:
        """Samples of the mine as they arrived."""
        found: list[Finding] = []
        for one in readings:
            if one.quality == "bad" or abs(one.received_at - one.source_at) > self.settings.watermark_s:
                continue
            self.board.simulated = self.board.simulated or one.simulated
            found += self.tick(one.received_at)
            self._take(one)
        return found

    def camera(self, name: str, blind_since: float | None) -> None:
        """A camera went dark, was moved or is gone; None: it came back."""
        if blind_since is None:
            self._blind.pop(name, None)
        else:
            self._blind.setdefault(name, blind_since)

    def _take(self, one: Reading) -> None:
        motor = self._motors.get(one.device)
        if motor is not None:
            self._power(motor, one)
        elif one.quantity == "headcount_underground":
            self._people = (one.value, one.source_at)
        elif one.quantity == "belt_loaded":
            self._looks.append((one.source_at, one.value > 0))
            while self._looks[0][0] < one.source_at - LOOKS_S:
                self._looks.popleft()
        elif one.quantity in ("belt_running", "hoist_moving"):
            self._motion.append((one.source_at, one.value > 0))
            while self._motion[0][0] < one.source_at - LOOKS_S:
                self._motion.popleft()
        elif one.quantity == "trucks_out":
            self._trucks.append((one.source_at, one.value))
            while self._trucks[0][0] < one.source_at - TRUCKS_S:
                self._trucks.popleft()

    def count(self, people: int, at: float) -> None:
        """People underground, where tags are located one by one."""
        self._people = (float(people), at)

    def _power(self, motor: Motor, one: Reading) -> None:
        at = one.source_at
        if one.quantity == "current_a" and motor.rated_a:
            minute, ratio = int(at // MINUTE_S), one.value / motor.rated_a
            if minute != motor.minute:
                if motor.minute >= 0:
                    self._minute_over(motor, motor.minute * MINUTE_S)
                motor.minute, motor.peak = minute, 0.0
            motor.peak, motor.newest = max(motor.peak, ratio), at
        elif one.quantity == "active_power":
            hour = int((at + CHINA_S) // HOUR_S)
            if hour != motor.hour:
                if motor.hour >= 0:
                    motor.hours.append(motor.kwh)
                motor.hour, motor.kwh = hour, 0.0
            if motor.last is not None and 0 < at - motor.last[0] <= 600:
                motor.kwh += (one.value + motor.last[1]) / 2 * (at - motor.last[0]) / HOUR_S
            motor.last = (at, one.value)

    def _minute_over(self, motor: Motor, at: float) -> None:
        hoist = motor.device.kind in ("hoist", "aux_hoist")
        on = motor.peak > (STROKE_RATIO if hoist else ON_RATIO)
        day = int((at + CHINA_S) // DAY_S)
        if day != motor.day:
            motor.day, motor.day_s = day, 0.0
        motor.day_s += MINUTE_S * on
        motor.bins.append((at, on))
        while motor.bins and motor.bins[0][0] < at - HOUR_S:
            motor.bins.popleft()
        running = on if not hoist else motor.duty > self.settings.covert_hoist_duty
        motor.on_since = (motor.on_since if motor.on_since is not None else at) if running else None

    # --- what it says ---

    def tick(self, now: float) -> list[Finding]:
        """Look once a minute. `now`: server's time, UTC seconds."""
        minute = int(now // MINUTE_S)
        if minute <= self._minute:
            return []
        self._minute = minute
        for motor in self._motors.values():
            if 0 <= motor.minute < minute:  # the minute is over, whether or not a sample of the next one has come
                self._minute_over(motor, motor.minute * MINUTE_S)
                motor.minute = -1
        state = self.facts.state_at(now)
        hourly = int(now // HOUR_S) != self._hour
        if hourly:
            self._hour = int(now // HOUR_S)
            if (now + CHINA_S) % DAY_S < HOUR_S:
                self._learn(state, now)
        if state is None or state.state not in STOPPED:
            self._forget()
            return self._judge(now, None)
        if state.period != self._stop:
            self._stop = state.period
            self._forget()
            self._begin_stop()
        self._machines(state, now)
        self._slow(state, now) if hourly else None
        self._crew(state, now)
        self._video(now)
        for key in [key for key, one in self.evidence.items() if now - one.at > SLOW_S]:
            del self.evidence[key]
        return self._judge(now, state)

    def _forget(self) -> None:
        self.evidence = {}

    def _begin_stop(self) -> None:
        """What was run and seen before the stop is no evidence of what is done in it."""
        self._looks.clear()
        self._motion.clear()
        self._trucks.clear()
        self._crowd_since = self._people = None
        for motor in self._motors.values():
            motor.bins.clear()
            motor.hours.clear()
            motor.on_since, motor.day_s = None, 0.0

    def _seen(
        self, item: str, source: Source, subject: str, since: float, now: float, strength: int,
        detail: dict[str, object], *, explained: bool = False,
    ) -> None:  # fmt: skip
        known = self.evidence.get((item, subject))
        began = min(since, known.since) if known is not None and now - known.at <= HOUR_S else since
        self.evidence[item, subject] = Evidence(item, source, subject, began, now, strength, explained, detail)

    def _machines(self, state: MineState, now: float) -> None:
        """E1, E3, E7."""
        one = self.settings
        for device, motor in self._motors.items():
            kind = motor.device.kind
            if kind not in ("hoist", "belt", "face") or motor.on_since is None:
                continue
            if now - motor.newest > 10 * MINUTE_S:
                continue  # nothing is known of it any more
            lasted = now - motor.on_since
            permit = _permit(state.permits, device, now)
            hours = motor.day_s / HOUR_S
            explained = permit is not None and hours <= permit.hours_per_day
            detail: dict[str, object] = {"lasted_s": lasted, "hours_today": round(hours, 2)}
            if permit is not None:
                detail["permitted_hours"] = permit.hours_per_day
            least = {"belt": one.covert_belt_s, "face": FACE_S, "hoist": 0.0}[kind]
            if lasted >= least:
                strength = 1 + sum(lasted >= limit for limit in LONG_S)
                item = "E7" if kind == "face" else "E1"
                strength = max(2, strength) if kind == "face" else strength
                self._seen(item, "power", device, motor.on_since, now, strength, detail, explained=explained)
            own = [one for one in state.permits if one.device == device]
            allowed = max((one.hours_per_day for one in own), default=1.0)
            if hours > allowed:
                self._seen("E3", "power", device, now, now, 3 if hours > allowed + 4 else 2, detail)

    def _slow(self, state: MineState, now: float) -> None:
        """E2, E4."""
        one, share = self.settings, self._share()
        producing, stopped = (self._median(name) for name in ("producing", "stopped"))
        if share is not None:
            like = producing is not None and share >= one.covert_share_producing * producing
            least = 0.5 * producing if producing is not None else LEAST_SHARE
            more = stopped is not None and share >= one.covert_share_stopped * stopped and share >= least
            if like or more:
                detail: dict[str, object] = {"share": round(share, 4), "producing": producing, "stopped": stopped}
                self._seen("E2", "power", "hoist", now, now, 2, detail)
        for device, motor in self._motors.items():
            if motor.device.kind != "hoist" or len(motor.hours) < REGULAR_H:
                continue
            series = list(motor.hours)[-REGULAR_H:]
            regular, night = _autocorrelation(series, 24), _night_share(series, motor.hour)
            if regular > one.covert_autocorrelation and night > one.covert_night_share and sum(series) > REGULAR_H:
                self._seen(
                    "E4", "power", device, now, now, 2,
                    {"autocorrelation": round(regular, 3), "night_share": round(night, 3)},
                )  # fmt: skip

    def _share(self) -> float | None:
        """The main hoists' share of the last 24 hours' energy."""
        totals = {kind: 0.0 for kind in ("hoist", "substation", "all")}
        for motor in self._motors.values():
            if len(motor.hours) < 24:
                continue
            kwh = sum(list(motor.hours)[-24:])
            if motor.device.kind in ("hoist", "substation"):
                totals[motor.device.kind] += kwh
            totals["all"] += kwh if motor.device.kind != "substation" else 0.0
        total = totals["substation"] or totals["all"]
        return totals["hoist"] / total if total > 1.0 else None

    def _median(self, name: str) -> float | None:
        known = self._shares[name]
        return round(statistics.median(known), 5) if len(known) >= 3 else None

    def _learn(self, state: MineState | None, now: float) -> None:
        """At midnight: the share of the day that is over belongs to the state that held all of it."""
        share = self._share()
        if share is None:
            return
        before = self.facts.state_at(now - DAY_S)
        stops = [one is not None and one.state in STOPPED for one in (before, state)]
        clean = not any(not one.explained for one in self.evidence.values())
        if not any(stops):
            self._shares["producing"].append(share)
        elif all(stops) and clean:
            self._shares["stopped"].append(share)

    def _crew(self, state: MineState, now: float) -> None:
        """E5."""
        crews = [one.max_people for one in state.permits if one.max_people is not None]
        if not crews or self._people is None or now - self._people[1] > 1200.0:
            self._crowd_since = None
            return
        people, most = self._people[0], max(crews)
        if people <= most:
            self._crowd_since = None
            return
        self._crowd_since = self._crowd_since if self._crowd_since is not None else self._people[1]
        lasted = now - self._crowd_since
        if lasted >= self.settings.covert_people_s:
            strength = 2 if people >= 1.5 * most or lasted >= 7200 else 1
            self._seen(
                "E5", "positions", "mine", self._crowd_since, now, strength, {"people": people, "permitted": most}
            )  # fmt: skip

    def _video(self, now: float) -> None:
        """E6, E8."""
        looks = [loaded for at, loaded in self._looks if now - at <= LOOKS_S]
        if len(looks) >= LOOKS and sum(looks) / len(looks) >= LOADED_SHARE:
            self._seen("E6", "video", "belt", self._looks[0][0], now, 2, {"looks": len(looks), "loaded": sum(looks)})
        moving = [moves for at, moves in self._motion if now - at <= LOOKS_S]
        if len(moving) >= LOOKS and sum(moving) / len(moving) >= LOADED_SHARE:
            self._seen(
                "E6", "video", "moving", self._motion[0][0], now, 1, {"looks": len(moving), "moving": sum(moving)}
            )  # fmt: skip
        night = _is_night(now)
        trucks = sum(count for at, count in self._trucks if now - at <= TRUCKS_S and _is_night(at))
        if night and trucks >= TRUCKS:
            self._seen("E6", "gate", "trucks", self._trucks[0][0], now, 2, {"trucks": trucks})
        for camera, since in self._blind.items():
            if now - since >= 600:
                self._seen("E8", "video", camera, since, now, 1, {})

    def _judge(self, now: float, state: MineState | None) -> list[Finding]:
        one = self.settings
        fresh = [
            item for item in self.evidence.values()
            if now - item.at <= (SLOW_S if item.item in ("E2", "E4") else one.covert_together_s)
        ]  # fmt: skip
        votes: dict[Source, int] = {}
        for item in fresh:
            if not item.explained:
                votes[item.source] = max(votes.get(item.source, 0), item.strength)
        counted = len(votes) if len(votes) > 1 or max(votes.values(), default=0) >= 2 else 0
        score = sum(WEIGHTS[source] * strength for source, strength in votes.items())
        if counted:
            self._last_at = now
        if self._taken_up:
            self._last_at, self._taken_up = now, False
        held = now - self._last_at < OVER_AFTER_S and state is not None
        levels = [
            Level("over" if counted >= need else "between" if held else "inside", float(counted), float(need))
            for need in (1, 2, 3)
        ]
        inputs: dict[str, object] = {
            "state": state.state if state else "producing",
            "score": round(score, 2),
            "votes": dict(sorted(votes.items())),
            "evidence": [item.as_dict() for item in sorted(fresh, key=lambda item: (item.item, item.subject))],
        }
        return self.board.judge("covert_running", "mine", levels, now, inputs)

    def take_up(self, rule: str, subject: str, severity: Severity, opened_at: float) -> None:
        """Go on with an alert of before a restart. It is over when nothing new is seen for a while from then on."""
        self.board.take_up(rule, subject, severity, opened_at)
        self._taken_up = self._taken_up or rule in SPECS

    def hours_today(self) -> dict[str, float]:
        """Hours run on this day by each machine that could produce; explained or not."""
        kinds = ("hoist", "aux_hoist", "belt", "face")
        return {
            name: round(one.day_s / HOUR_S, 2) for name, one in self._motors.items() if one.device.kind in kinds
        }  # fmt: skip


def _permit(permits: Sequence[Permit], device: str, now: float) -> Permit | None:
    """The permit that covers a device at this hour."""
    hour = (now + CHINA_S) % DAY_S / HOUR_S
    for one in permits:
        whole = one.from_hour <= hour < one.to_hour
        over_midnight = one.to_hour < one.from_hour and (hour >= one.from_hour or hour < one.to_hour)
        if one.device == device and (whole or over_midnight):
            return one
    return None


def _is_night(at: float) -> bool:
    hour = (at + CHINA_S) % DAY_S / HOUR_S
    return hour >= NIGHT[0] or hour < NIGHT[1]


def _autocorrelation(series: Sequence[float], lag: int) -> float:
    mean = statistics.fmean(series)
    below = sum((x - mean) ** 2 for x in series)
    above = sum((a - mean) * (b - mean) for a, b in zip(series, series[lag:], strict=False))
    return above / below * len(series) / (len(series) - lag) if below > 1e-9 else 0.0


def _night_share(series: Sequence[float], hour: int) -> float:
    """`hour`: number of the hour after the last of the series, local."""
    total = sum(series)
    first = hour - len(series)
    night = sum(x for n, x in enumerate(series) if (first + n) % 24 >= NIGHT[0] or (first + n) % 24 < NIGHT[1])
    return night / total if total > 1e-9 else 0.0
