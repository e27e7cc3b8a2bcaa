"""X3: which alerts belong together. Pure: an alert, the open incidents and the alerts that are in none, in; what
becomes of the alert, out.

Two alerts of a mine belong together when

- one is a lost supply and the other something that a lost supply brings (fans, pumps, tags, gaps), within 60 s; or
- both are evidence of covert running, within an hour; or
- they began within ten minutes of each other in the same zone or in zones that touch.

An alert joins the incident that it belongs to. Alone, or with others that wait, it opens one when it is grave
(critical, or of a rule that never stands alone) or when alerts of two independent sources come together. Everything
else stays an alert. An empty desk joins what is open, whatever its zone, and opens nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analytics.finding import Severity
from analytics.mine import MineFacts
from config.settings import RuleSettings

SUPPLY = "supply_loss"
FOLLOWS_SUPPLY = frozenset(
    {
        "main_fan_stop", "under_voltage", "phase_loss", "voltage_unbalance", "current_unbalance", "telemetry_gap",
        "source_time_stuck", "drainage_flow", "drainage_level", "zone_silent", "tag_lost", "station_down",
        "count_mismatch", "mine_offline", "positioning_stale", "camera_fault",
    }
)  # fmt: skip
COVERT = frozenset({"covert_running", "camera_fault", "count_mismatch", "data_replayed", "energy_mismatch"})
DUTY = frozenset({"absence", "sleeping"})
GRAVE = frozenset({SUPPLY, "covert_running", "zone_silent", "sos", "runaway"})
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "alarm", "critical")
POSITIONS = frozenset(
    {
        "over_quota", "zone_entry", "dwell", "zone_dwell", "tag_lost", "zone_silent", "station_down", "still", "sos",
        "tag_carried", "gathering", "lone_worker", "no_leader", "displaced", "collision", "approach",
        "person_near_machine", "reverse_travel", "overspeed", "runaway", "out_of_route", "positioning_stale",
    }
)  # fmt: skip
VIDEO = frozenset(
    {
        "absence", "sleeping", "camera_fault", "detector_blind", "count_mismatch", "video_over_quota",
        "video_intrusion", "belt_disagrees",
    }
)  # fmt: skip
KINDS: tuple[tuple[str, frozenset[str]], ...] = (
    ("supply_loss", frozenset({SUPPLY})),
    ("covert_running", frozenset({"covert_running"})),
    ("ventilation", frozenset({"main_fan_stop"})),
    ("zone_silent", frozenset({"zone_silent"})),
    ("person_in_distress", frozenset({"sos", "still"})),
    ("runaway", frozenset({"runaway", "collision", "approach"})),
    ("drainage", frozenset({"drainage_flow", "drainage_level"})),
)
"""Kind of an incident by the rules in it; the first that fits."""
TITLES: Mapping[str, tuple[str, str]] = {
    "supply_loss": ("失电事件", "Loss of supply"),
    "covert_running": ("疑似明停暗开", "Suspected covert production"),
    "ventilation": ("通风中断", "Ventilation lost"),
    "zone_silent": ("区域失联", "A zone has fallen silent"),
    "person_in_distress": ("人员遇险", "Somebody in distress"),
    "runaway": ("车辆险情", "Danger from vehicles"),
    "drainage": ("排水险情", "Danger of flooding"),
    "combined": ("多源关联事件", "Several alerts together"),
}


@dataclass(frozen=True, slots=True)
class Member:
    """An alert, as far as it matters here."""

    alert: str
    rule: str
    zone: str
    """Empty: it is about no zone, or nobody knows which."""
    severity: Severity
    at: float
    """When it began, source time."""

    @property
    def source(self) -> str:
        return "video" if self.rule in VIDEO else "positions" if self.rule in POSITIONS else "power"


@dataclass(frozen=True, slots=True)
class Group:
    """An open incident."""

    incident: str
    members: tuple[Member, ...]
    kept_apart: frozenset[str] = frozenset()
    """Alerts that a person took out of it; they do not come back."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an alert."""

    join: str = ""
    """This incident."""
    opens: tuple[Member, ...] = ()
    """A new incident of these; empty: none."""


def zone_of(rule: str, subject: str, explain: Mapping[str, object], facts: MineFacts) -> str:
    """Where an alert is: its zone, the zone that its tag was in, or that of its machine."""
    for part in subject.replace("+", ":").split(":"):
        if part in facts.zones:
            return part
        if part in facts.devices and facts.devices[part].zone:
            return facts.devices[part].zone
    inputs = explain.get("inputs")
    zone = inputs.get("zone") if isinstance(inputs, Mapping) else None
    if isinstance(zone, str) and zone:
        return zone
    for one in facts.zones.values():
        if subject in one.stations:
            return one.zone
    return ""


@dataclass
class Correlator:
    """The rule, for one mine."""

    facts: MineFacts
    settings: RuleSettings
    _near: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        near: dict[str, set[str]] = {zone: {zone} for zone in self.facts.zones}
        for one in self.facts.zones.values():
            for other in one.neighbours:
                near[one.zone].add(other)
                near.setdefault(other, {other}).add(one.zone)
        self._near = {zone: frozenset(others) for zone, others in near.items()}

    def together(self, one: Member, other: Member) -> bool:
        """Whether two alerts belong together."""
        apart, rules = abs(one.at - other.at), {one.rule, other.rule}
        if SUPPLY in rules and rules <= FOLLOWS_SUPPLY | {SUPPLY}:
            return apart <= self.settings.supply_correlation_s
        if "covert_running" in rules and rules <= COVERT:
            return apart <= self.settings.covert_together_s
        if rules & DUTY or apart > self.settings.correlation_s or not one.zone or not other.zone:
            return False
        return other.zone in self._near.get(one.zone, frozenset({one.zone}))

    def decide(self, new: Member, incidents: Sequence[Group], loose: Sequence[Member]) -> Decision:
        """`incidents` from the oldest on; `loose`: standing alerts in no incident."""
        for group in incidents:
            if new.alert in group.kept_apart:
                continue
            duty = new.rule in DUTY and any(
                abs(new.at - one.at) <= self.settings.correlation_s for one in group.members
            )
            if duty or any(self.together(new, one) for one in group.members):
                return Decision(join=group.incident)
        if new.rule in DUTY:
            return Decision()
        found, rest = [new], [one for one in loose if one.alert != new.alert and one.rule not in DUTY]
        for one in found:  # grows while it is gone through: everything that hangs together
            linked = [other for other in rest if self.together(one, other)]
            found += linked
            rest = [other for other in rest if other not in linked]
        return Decision(opens=tuple(found)) if opens(found) else Decision()


def opens(members: Sequence[Member]) -> bool:
    """Whether these are an incident."""
    if any(one.severity == "critical" or one.rule in GRAVE for one in members):
        return True
    heavy = [one for one in members if SEVERITIES.index(one.severity) >= SEVERITIES.index("alarm")]
    return bool(heavy) and len({one.source for one in members if one.severity != "info"}) >= 2


def kind_of(members: Sequence[Member]) -> str:
    """What an incident is called after."""
    rules = {one.rule for one in members}
    return next((kind for kind, of in KINDS if of & rules), "combined")


def severity_of(members: Sequence[Member]) -> Severity:
    return max((one.severity for one in members), key=SEVERITIES.index)


def score_of(members: Sequence[Member]) -> dict[str, int]:
    """Votes by independent source: the gravest alert of each, 0 (info) to 3 (critical)."""
    votes: dict[str, int] = {}
    for one in members:
        votes[one.source] = max(votes.get(one.source, 0), SEVERITIES.index(one.severity))
    return votes
