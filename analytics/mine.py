"""What is known of a mine before anything moves: levels, roadways, zones, quotas, people, machines, permits. Pure.

The registry of the server keeps these facts, versioned; rules, the plan and the muster read them. Places are metres in
a grid of the mine's own, `z` upwards (below zero underground). The annotations are the form that a fact must have: the
server checks imports and requests against these very classes.

A fact never names its site; `MineFacts` is all of one site. People stand there as `PersonCard`: what a rule may know of
a person, which is no name and no telephone number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$")]
"""Of a fact within its site and kind."""
Reference = Annotated[str, Field(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.:-]{0,62})?$")]
"""The id of another fact, or empty."""
Name = Annotated[str, Field(max_length=120)]
Metres = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Length = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Hour = Annotated[float, Field(ge=0, le=24)]
Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
"""UTC seconds since the Unix epoch."""
Count = Annotated[int, Field(ge=0, le=100_000)]
Point = tuple[Metres, Metres]
Place = tuple[Metres, Metres, Metres]

Hazard = Literal["outburst", "high_gas", "rock_burst", "complex_hydrogeology", "extremely_complex_hydrogeology", "fire"]
State = Literal["producing", "building", "stopped", "building_stopped", "maintenance", "closed"]
"""生产、建设、停产、停建、检修、关闭."""
ZoneKind = Literal[
    "gate",
    "shaft_mouth",
    "key",
    "restricted",
    "danger",
    "face",
    "heading",
    "roadway",
    "work",
    "refuge",
    "rest",
    "other",
]
"""检身、井口、重点、限制、危险、采煤面、掘进面、巷道、作业点、避难、休息、其它. People go in and out by a gate."""
DeviceKind = Literal[
    "main_fan", "aux_fan", "pump", "hoist", "aux_hoist", "belt", "substation", "face", "compressor", "winch", "other"
]
MachineKind = Literal[
    "mine_car", "locomotive", "shearer", "roadheader", "loader", "truck", "monorail", "cable_car", "cage", "other"
]

STRICT: ConfigDict = {"extra": "forbid", "coerce_numbers_to_str": True, "hide_input_in_errors": True}


@dataclass(frozen=True, slots=True)
class Mine:
    """The mine as a whole; there is one, with the id `mine`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    mine: Literal["mine"] = "mine"
    code: Annotated[str, Field(pattern=r"^(\d{12})?$")] = ""
    """煤矿编码."""
    hazards: tuple[Hazard, ...] = ()
    capacity_kt: Annotated[float, Field(ge=0, le=1e6)] | None = None
    """Approved capacity, thousand tonnes a year."""
    crs: Annotated[str, Field(max_length=40)] = "local"
    """What the metres are in: `local`, or e.g. `EPSG:4527`."""
    shift_hours: Annotated[float, Field(gt=0, le=24)] = 8.0
    positions: Literal["precise", "stations"] = "precise"
    """`stations`: a tag is known by the reader that heard it, from files every few minutes."""
    expected_period_s: Positive = 1.0
    """How often a tag is located."""
    parameters: Mapping[str, Annotated[float, Field(allow_inf_nan=False)]] = field(default_factory=dict)
    """Figures of rules, for this mine."""


@dataclass(frozen=True, slots=True)
class Shift:
    """班次: part of a working day, in seconds after midnight, China Standard Time."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    shift: Id
    begins_s: Annotated[float, Field(ge=0, lt=86400)]
    ends_s: Annotated[float, Field(ge=0, le=86400)]
    """Before `begins_s`: over midnight."""
    name_zh: Name = ""
    name_en: Name = ""


@dataclass(frozen=True, slots=True)
class Level:
    """水平: a storey of the mine, told by height."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    level: Id
    name_zh: Name = ""
    name_en: Name = ""
    z_low_m: Metres = -1e6
    z_high_m: Metres = 1e6


@dataclass(frozen=True, slots=True)
class Drift:
    """巷道: a roadway, by its centre line; chainage is the length along it from its first point."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    drift: Id
    line: Annotated[tuple[Place, ...], Field(min_length=2, max_length=2000)]
    name_zh: Name = ""
    name_en: Name = ""
    level: Reference = ""
    width_m: Annotated[float, Field(gt=0, le=100)] = 4.0
    direction: Literal["both", "forward", "backward"] = "both"
    """Which way machines may travel, along the line."""
    speed_limit_mps: Positive | None = None
    out: Literal["start", "end", ""] = ""
    """Which end leads out of the mine."""
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Fence:
    """A piece of the mine: an outline seen from above, or a span of a roadway; on one level, or between two heights."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    outline: Annotated[tuple[Point, ...], Field(max_length=2000)] = ()
    level: Reference = ""
    z_low_m: Metres | None = None
    z_high_m: Metres | None = None
    drift: Reference = ""
    from_m: Length | None = None
    """Chainage; missing: from the start of the roadway."""
    to_m: Length | None = None


@dataclass(frozen=True, slots=True)
class Zone:
    """区域: where people are counted, kept out, or safe."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    zone: Id
    fence: Fence = Fence()
    name_zh: Name = ""
    name_en: Name = ""
    kind: ZoneKind = "other"
    area_code: Annotated[str, Field(pattern=r"^(\d{16})?$")] = ""
    """区域编码 of the mine's positioning files."""
    allow_cards: Annotated[tuple[Id, ...], Field(max_length=2000)] = ()
    """Who may enter a danger or restricted zone; a card, or a job below, in the hours below."""
    allow_jobs: Annotated[tuple[Name, ...], Field(max_length=200)] = ()
    allow_hours: Annotated[tuple[tuple[Hour, Hour], ...], Field(max_length=24)] = ()
    """Local hours from-to (to < from: over midnight); none: at any hour."""
    dwell_limit_s: Positive | None = None
    gathering_ok: bool = False
    neighbours: Annotated[tuple[Id, ...], Field(max_length=200)] = ()
    """Zones that touch this one; for correlation and for the way out."""
    stations: Annotated[tuple[Id, ...], Field(max_length=200)] = ()
    """Readers that hear tags here."""


@dataclass(frozen=True, slots=True)
class Quota:
    """定员: how many may be there. Numbers are data; none is built in."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    quota: Id
    people: Count
    zone: Reference = ""
    """Empty: the whole mine."""
    basis: Name = ""
    """What the number rests on, e.g. the document."""


@dataclass(frozen=True, slots=True)
class PersonCard:
    """What rules know of a person."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    card: Id
    """The tag's number as in positions."""
    job: Name = ""
    dept: Name = ""
    shift: Name = ""
    leader: bool = False
    special: bool = False
    visitor: bool = False
    person: Reference = ""
    """Tells two cards of one person from two persons; empty: the card."""


@dataclass(frozen=True, slots=True)
class Person(PersonCard):
    """Somebody who carries a card, with what only few may see."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Name = ""
    phone: Annotated[str, Field(pattern=r"^[0-9+* ()-]{0,24}$")] = ""
    title: Name = ""

    def as_card(self) -> PersonCard:
        return PersonCard(
            self.card, self.job, self.dept, self.shift, self.leader, self.special, self.visitor, self.person
        )


@dataclass(frozen=True, slots=True)
class DeviceRating:
    """重要设备: a machine with a power terminal, and what it is rated for (JBSJ files fill this)."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    device: Id
    kind: DeviceKind = "other"
    name_zh: Name = ""
    name_en: Name = ""
    rated_a: Positive | None = None
    rated_v: Positive | None = None
    """Line to line."""
    rated_kw: Positive | None = None
    zone: Reference = ""
    required: bool = False
    """Must run: a main fan that stands still is told."""
    expected_period_s: Positive = 5.0
    model: Name = ""
    maker: Name = ""
    factory_no: Name = ""
    safety_mark: Name = ""
    explosion_no: Name = ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Something that moves and carries tags: a car, a shearer, a roadheader."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    machine: Id
    tags: Annotated[tuple[Id, ...], Field(max_length=16)] = ()
    kind: MachineKind = "other"
    name_zh: Name = ""
    name_en: Name = ""
    device: Reference = ""
    """The power terminal that says whether it is on."""
    length_m: Annotated[float, Field(gt=0, le=500)] = 4.0
    width_m: Annotated[float, Field(gt=0, le=50)] = 2.0
    speed_limit_mps: Positive | None = None
    rings_m: tuple[Positive, Positive, Positive] = (8.0, 5.0, 3.0)
    """Distances of people: notice, warning, alarm."""
    drifts: Annotated[tuple[Id, ...], Field(max_length=200)] = ()
    """Its route; none: anywhere."""
    zones: Annotated[tuple[Id, ...], Field(max_length=200)] = ()
    """Where it may be; none: anywhere."""
    operators: Annotated[tuple[Name, ...], Field(max_length=200)] = ()
    """Cards or jobs that belong at it while it runs."""
    still_limit_m: Positive = 1.0
    """It may move so far while it is off."""


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera and what it looks at."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    camera: Id
    """The name under which it publishes."""
    name_zh: Name = ""
    name_en: Name = ""
    zone: Reference = ""
    place_type: Annotated[str, Field(max_length=40)] = ""
    """`main_shaft`, `belt_head`, ... or a word of the mine's own."""
    place: Place | None = None
    code: Annotated[str, Field(pattern=r"^(\d{20})?$")] = ""


@dataclass(frozen=True, slots=True)
class Permit:
    """Work that is allowed while a mine stands still."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    device: Reference = ""
    """Empty: about people only."""
    from_hour: Hour = 0.0
    to_hour: Hour = 24.0
    """Local; less than `from_hour`: over midnight."""
    hours_per_day: Annotated[float, Field(ge=0, le=24)] = 24.0
    max_people: Count | None = None
    purpose: Name = ""


@dataclass(frozen=True, slots=True)
class MineState:
    """What the mine is declared to be doing, from when to when, and what is permitted meanwhile."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    period: Id
    state: State
    start: Time
    end: Time | None = None
    """Not in it; None: until another begins."""
    permits: Annotated[tuple[Permit, ...], Field(max_length=100)] = ()
    basis: Name = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """图纸: a picture that lies under the drawn zones of one level."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    plan: Id
    name_zh: Name = ""
    name_en: Name = ""
    level: Reference = ""
    """Empty: shown for all levels."""
    origin: Point = (0.0, 0.0)
    """Of the picture's lower left corner."""
    width_m: Positive = 1000.0
    height_m: Positive = 1000.0
    picture: Annotated[str, Field(pattern=r"^([0-9a-f]{64}\.(png|jpg|webp))?$")] = ""
    """Set by an upload."""


@dataclass(frozen=True, slots=True)
class MineFacts:
    """All current facts of one site, by id."""

    site: str
    version: int = 0
    """Grows with every change."""
    mine: Mine = Mine()
    shifts: Mapping[str, Shift] = field(default_factory=dict)
    levels: Mapping[str, Level] = field(default_factory=dict)
    drifts: Mapping[str, Drift] = field(default_factory=dict)
    zones: Mapping[str, Zone] = field(default_factory=dict)
    quotas: Mapping[str, Quota] = field(default_factory=dict)
    people: Mapping[str, PersonCard] = field(default_factory=dict)
    devices: Mapping[str, DeviceRating] = field(default_factory=dict)
    machines: Mapping[str, Machine] = field(default_factory=dict)
    cameras: Mapping[str, Camera] = field(default_factory=dict)
    states: Mapping[str, MineState] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)

    def state_at(self, at: float) -> MineState | None:
        """What was declared for this moment: of those that cover it the one that began last."""
        covering = [one for one in self.states.values() if one.start <= at and (one.end is None or at < one.end)]
        return max(covering, key=lambda one: (one.start, one.period), default=None)

    def machine_of(self, tag: str) -> Machine | None:
        """The machine that carries a tag, or is called like it."""
        named = self.machines.get(tag)
        return named or next((one for one in self.machines.values() if tag in one.tags), None)

    def quota_of(self, zone: str) -> Quota | None:
        """Of a zone (`""`: of the whole mine): the smallest, if there are several."""
        return min(
            (one for one in self.quotas.values() if one.zone == zone),
            key=lambda one: (one.people, one.quota),
            default=None,
        )
