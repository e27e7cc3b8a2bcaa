"""Typed settings: the only description of what may be configured.

Every section is frozen and refuses unknown keys. Names carry their unit. `config.load` reads a YAML file and the
environment (`LAMPROOM__SECTION__KEY`) into `Settings`; `docs/settings.md` lists every key (a test holds it complete).
"""

from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    field_validator,
    model_validator,
)


class Section(BaseModel):
    """A frozen block of settings; an unknown key is an error, not a silence."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _address(value: str) -> str:
    ip_address(value)
    return value


IpAddress = Annotated[str, AfterValidator(_address)]
Level = Literal["nation", "province", "city", "county", "mine"]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""A name that may stand in a URL, a topic and a file name."""
DeviceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$")]
"""What a device or tag of a mine is called."""


class ServerSettings(Section):
    """The HTTP door and where data lives."""

    listen_host: IpAddress = Field(default="127.0.0.1", description="address the HTTP(S) door listens on")
    listen_port: int = Field(
        default=8443, ge=0, le=65535, description="TCP port of the HTTP(S) door; 0 = any free port"
    )
    tls: Literal["auto", "off", "files"] = Field(
        default="auto",
        description="auto = plain on a loopback address, self-signed elsewhere; files = tls_certificate and tls_key",
    )
    tls_certificate: Path | None = Field(default=None, description="PEM file, with tls: files")
    tls_key: Path | None = Field(default=None, description="PEM file, with tls: files")
    public_url: str | None = Field(default=None, description="address printed in links; default from listen_*")
    allowed_origins: tuple[str, ...] = Field(default=(), description="further origins allowed to open the WebSocket")
    data_dir: Path = Field(default=Path("data"), description="database, secrets, evidence pictures")
    simulated: bool = Field(default=False, description="say on every page that this server shows simulated data")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = Field(default="auto", description="auto = console on a terminal")


class StoreSettings(Section):
    """Where rows are kept."""

    url: str | None = Field(
        default=None, description="SQLAlchemy URL; default SQLite in data_dir. PostgreSQL: postgresql+psycopg://..."
    )
    reading_retention_days: int = Field(default=90, ge=1, description="power readings older than this go")
    position_retention_days: int = Field(default=90, ge=1, description="positions older than this go")
    minute_retention_days: int = Field(default=730, ge=1, description="readings by the minute older than this go")


class BusSettings(Section):
    """How parts of one level tell each other that something is new. The store stays the truth."""

    url: str | None = Field(default=None, description="redis://host:port/0; default: in this process")
    prefix: Slug = Field(default="lamproom", description="first part of every Redis key")


class AuthSettings(Section):
    """Log-in, tokens, limits."""

    access_token_s: int = Field(default=600, ge=30, le=3600, description="life of a room token, seconds")
    login_days: int = Field(default=7, ge=1, le=90, description="how long a browser stays logged in, days")
    login_attempts_per_minute: int = Field(default=5, ge=1, le=60, description="per address and per user name")
    minimum_password_length: int = Field(default=12, ge=8, le=128)


class MediaSettings(Section):
    """The media worker: one UDP port for all browser media."""

    listen_host: IpAddress = Field(default="127.0.0.1", description="address the UDP port is bound to")
    udp_port: int = Field(default=8443, ge=0, le=65535, description="one port for all; 0 = any free port")
    workers: int = Field(
        default=1, ge=1, le=16, description="media workers: a core for each, on `udp_port` and those behind it"
    )
    tcp: bool = Field(default=True, description="ICE over TCP on the same number, for networks that block UDP")
    advertise: tuple[IpAddress, ...] = Field(
        default=(), description="addresses told to browsers; default listen_host, or every local address for 0.0.0.0"
    )
    packet_cache_packets: int = Field(default=1024, ge=64, le=8192, description="per track, for repair and fast start")
    keyframe_interval_s: float = Field(
        default=0.5, gt=0, description="at most one key-frame request per source in this"
    )
    stalled_after_s: float = Field(default=3.0, gt=0, description="no packet for this long = stream.stalled")
    peer_grace_s: float = Field(default=30.0, gt=0, description="media kept after the WebSocket is lost")
    max_peers: int = Field(default=1000, ge=2, description="further peers are refused with `capacity`")
    stranger_packets_per_s: int = Field(default=200, ge=10, description="STUN packets taken per unknown address")
    gso: bool = Field(default=True, description="send runs of equal packets with UDP_SEGMENT where the kernel can")
    forwarder: Literal["auto", "native", "python"] = Field(
        default="auto",
        description="what moves packets: the accelerator in C, the code in Python, or the first that works",
    )

    @model_validator(mode="after")
    def _ports(self) -> "MediaSettings":
        if self.udp_ports[-1] > 65535:
            raise ValueError("udp_port leaves no room for a port for each of the workers")
        return self

    @property
    def udp_ports(self) -> tuple[int, ...]:
        """One for each worker; 0 = any free port."""
        return tuple(self.udp_port + number if self.udp_port else 0 for number in range(self.workers))


class PhoneMediaSettings(Section):
    """Sound of telephones: the phone worker and its UDP ports. It runs where `phones` are enabled."""

    listen_host: IpAddress = Field(default="127.0.0.1", description="address the RTP ports are bound to")
    advertise: IpAddress | None = Field(
        default=None, description="address told to phones; default listen_host, or this machine's for 0.0.0.0"
    )
    rtp_port_min: int = Field(default=20000, ge=1024, le=65534, description="first UDP port; each call takes two")
    rtp_port_max: int = Field(default=21999, ge=1025, le=65535, description="last UDP port")
    learn_s: float = Field(
        default=3.0, ge=0.5, le=30, description="after an answer, for how long another source port may be learned"
    )
    first_packet_s: float = Field(default=30.0, gt=0, description="no packet at all for this long = media time-out")
    silent_s: float = Field(default=15.0, gt=0, description="no packet any more for this long = media time-out")
    prompts: Path | None = Field(
        default=None, description="folder of own recordings, `zh/enter-pin.wav`, which go before what is spoken"
    )
    speech: bool = Field(
        default=True, description="speak prompts where the program espeak-ng is installed, else signals of tones"
    )

    @model_validator(mode="after")
    def _range(self) -> "PhoneMediaSettings":
        if self.rtp_port_max - self.rtp_port_min < 3:
            raise ValueError("rtp_port_max must be at least 3 above rtp_port_min")
        return self


class DutyPostSettings(Section):
    """One duty post and the camera that watches it."""

    post: Slug
    site: Slug
    camera: Slug = Field(description="name of the camera as published, e.g. dispatch-room")
    name_zh: str = "值班岗位"
    name_en: str = "Duty post"
    zone: tuple[tuple[float, float], ...] = Field(
        default=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)),
        min_length=3,
        max_length=32,
        description="polygon, 0 to 1 of the picture's width and height",
    )
    minimum_persons: int = Field(default=1, ge=1, le=20)
    warn_after_s: float = Field(default=180.0, gt=0, description="empty for this long = warning")
    alarm_after_s: float = Field(default=300.0, gt=0, description="empty for this long = alarm")
    sleep_warn_after_s: float = Field(
        default=120.0, ge=0, description="head down and still for this long = warning; 0 = none"
    )
    sleep_alarm_after_s: float = Field(
        default=300.0, ge=0, description="head down and still for this long = alarm; 0 = none"
    )
    detector: Slug = "absence"


class PluginSourceSettings(Section):
    """A telemetry source that an installed package provides."""

    name: str = Field(min_length=1, max_length=63, description="of its entry point in the group lamproom.telemetry")
    options: dict[str, JsonValue] = Field(default={}, description="handed to it as they are")


_WHOLE: Final = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
_DETECTORS: Final = {"belt": ("flow", 0.5), "hoist": ("flow", 0.5), "headcount": ("absence", 2.0)}
_DETECTOR: Final = ("absence", 5.0)
_LABELS: Final = {"flow": "flow", "motion": "moving"}


class SpotSettings(Section):
    """One key spot and the camera that watches it."""

    spot: Slug
    site: Slug
    camera: Slug = Field(description="name of the camera as published, e.g. shaft-mouth")
    kind: Literal["crossing", "headcount", "danger", "belt", "hoist"]
    name_zh: str = "重点部位"
    name_en: str = "Key spot"
    zone: tuple[tuple[float, float], ...] = Field(
        default=_WHOLE, min_length=3, max_length=32, description="polygon, 0 to 1 of the picture's width and height"
    )
    line: tuple[tuple[float, float], tuple[float, float]] | None = Field(
        default=None, description="crossing: from one end to the other"
    )
    inward: Literal["left", "right"] = Field(
        default="left", description="crossing: the side that is in, seen from the line's first end to its second"
    )
    gap: float = Field(default=0.08, gt=0, lt=0.5, description="crossing: a pass is complete so far beyond, both sides")
    counts: Literal["people", "trucks"] = Field(default="people", description="crossing: what passes")
    labels: tuple[str, ...] = Field(
        default=(), description="what of a detector is looked at; default: flow, moving or person, by detector"
    )
    most: int = Field(default=0, ge=0, description="headcount: more in the zone is over quota; 0 = counted only")
    direction_deg: float | None = Field(
        default=None, ge=0, lt=360, description="danger: only who moves this way, 0 = to the right, 90 = down"
    )
    shifts: tuple[str, ...] = Field(default=(), description="watched in these shifts of the registry; empty = always")
    device: str = Field(default="", description="belt, hoist: its motor, to be compared with the picture")
    detector: Slug | None = Field(default=None, description="default: flow for belt and hoist, else absence")
    frames_per_s: float | None = Field(default=None, gt=0, le=25, description="default: 0.5 bursts, 2, 5 by kind")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "crossing" and (self.line is None or self.line[0] == self.line[1]):
            raise ValueError(f"the crossing {self.spot} needs a line")
        return self

    @property
    def looks_by(self) -> tuple[str, float]:
        """Detector and pictures a second."""
        detector, rate = _DETECTORS.get(self.kind, _DETECTOR)
        return self.detector or detector, self.frames_per_s or rate

    @property
    def looks_for(self) -> tuple[str, ...]:
        """Labels of detections."""
        return self.labels or (_LABELS.get(self.looks_by[0], "person"),)


class AnalyticsSettings(Section):
    """Vision and telemetry plug-ins."""

    detectors: tuple[str, ...] = Field(
        default=("absence", "flow", "motion"), description="names of detectors that may run"
    )
    telemetry: tuple[str, ...] = Field(
        default=("mqtt", "files", "modbus", "opcua", "omlox", "push"),
        description="names of telemetry sources that may run",
    )
    sources: tuple[PluginSourceSettings, ...] = Field(default=(), description="telemetry sources of other people")
    late_after_s: float = Field(
        default=60.0, ge=0.5, description="samples that came late are judged when no more have come for this long"
    )
    posts: tuple[DutyPostSettings, ...] = ()
    spots: tuple[SpotSettings, ...] = ()
    sizes: dict[str, tuple[int, int]] = Field(
        default={}, description="width and height that cameras are set to send, by `site/name`; others are told"
    )
    frames_per_s: float = Field(default=2.0, gt=0, le=25, description="pictures analysed per camera")
    worker_memory_mb: int = Field(default=1500, ge=256, description="address space of a vision worker beyond its start")
    heartbeat_timeout_s: float = Field(default=5.0, gt=0, description="a silent vision worker is killed after this")
    model: Path | None = Field(default=None, description="ONNX file with its card beside it; default: the one shipped")
    provider: Literal["auto", "cpu", "openvino", "cuda"] = Field(
        default="auto", description="what carries out models, where it is installed; else the processor"
    )


def _network(value: str) -> str:
    ip_network(value)
    return value


Network = Annotated[str, AfterValidator(_network)]
"""An IP network in CIDR notation."""


class IngestSettings(Section):
    """Where cameras may be fetched from. Loopback, link-local, multicast and metadata addresses are refused unless they
    are allowed here."""

    allow_networks: tuple[Network, ...] = Field(default=(), description="allowed although the built-in rule refuses")
    deny_networks: tuple[Network, ...] = Field(default=(), description="never, whatever else allows them")


class CameraSettings(Section):
    """A camera or recorder channel that is fetched by RTSP."""

    site: Slug
    name: Slug = Field(description="as duty posts and pages name it, e.g. dispatch-room")
    url: str = Field(
        pattern=r"^rtsps?://", max_length=1024, description="rtsp://user:password@address/path; H.264 pictures"
    )
    sub_url: str | None = Field(
        default=None,
        pattern=r"^rtsps?://",
        max_length=1024,
        description="the camera's smaller stream, published as `{name}-sub`: enough for analysis, far cheaper",
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="udp for cameras that cannot do tcp")
    audio: bool = Field(default=True, description="carry its sound, where it is G.711 or Opus")


class RecordingSettings(Section):
    """Recordings. Open consultations are always recorded; there is no switch for that."""

    folder: Path | None = Field(default=None, description="where files are; default `recordings` in data_dir")
    part_s: float = Field(default=0.8, ge=0.2, le=10, description="written in parts of this length: what a crash costs")
    segment_s: float = Field(default=300.0, ge=1, description="a new file after this")
    sync_parts: bool = Field(default=False, description="flush each part to the disk, for power cuts as well")
    routine: tuple[str, ...] = Field(default=(), description="cameras recorded all the time, as `site/name`")
    routine_days: int = Field(default=30, ge=1, description="routine recordings older than this go")
    routine_free_mb: int = Field(default=2048, ge=0, description="with less free space, no routine recording")
    session_free_mb: int = Field(default=128, ge=0, description="with less free space, no recording at all")


class RetentionSettings(Section):
    """How long what was written down is kept. What is held or still open is not touched, however old."""

    released_days: int = Field(
        default=30,
        ge=1,
        description="recordings and timeline of a consultation, from its end and its release from hold on",
    )
    picture_days: int = Field(default=730, ge=30, description="pictures of alerts that are over")
    timeline_days: int = Field(default=730, ge=30, description="entries of the rooms of sites")
    audit_days: int = Field(default=1825, ge=180, description="rows of the audit, oldest first")
    login_days: int = Field(default=90, ge=1, description="log-ins and links that have ended")
    rows_per_pass: int = Field(default=5000, ge=100, description="removed in one transaction at most")


class SparkplugMetricSettings(Section):
    """What a Sparkplug metric measures. One that is called like a quantity of ours needs no row."""

    metric: str = Field(min_length=1, max_length=200, description="its name in the birth message")
    unit_of: str = Field(default="", max_length=63, description="Sparkplug device that has it; empty = the node itself")
    device: DeviceName = Field(description="our device")
    quantity: str = Field(min_length=1, max_length=63)
    scale: float = Field(default=1.0, description="our value = theirs x scale", allow_inf_nan=False)


class SparkplugNodeSettings(Section):
    """An edge node that publishes Sparkplug B on the same broker."""

    group: str = Field(pattern=r"^[^/+#]{1,100}$")
    node: str = Field(pattern=r"^[^/+#]{1,100}$")
    site: Slug
    metrics: tuple[SparkplugMetricSettings, ...] = ()


class MqttGatewaySettings(Section):
    """A power terminal behind a gateway of the field, by the location that the gateway names."""

    location: str = Field(min_length=1, max_length=64, description="location_code or dynamic_location_code it sends")
    site: Slug
    device: DeviceName


class MqttSettings(Section):
    """The MQTT broker that telemetry comes from."""

    host: str | None = Field(default=None, description="broker; none = no MQTT")
    port: int = Field(default=1883, ge=1, le=65535)
    version: Literal["3.1.1", "5"] = "3.1.1"
    client_id: str = Field(default="lamproom", description="fixed, so that the broker keeps what we have not taken")
    username: str | None = None
    password: str | None = None
    tls: bool = False
    topic_prefix: str = Field(default="lamproom/v1", description="topics are {prefix}/{site}/{kind}/{device}/{verb}")
    batch_messages: int = Field(default=200, ge=1, le=5000, description="written in one transaction")
    batch_wait_s: float = Field(default=0.05, ge=0, le=5, description="longest wait for a batch to fill")
    queue_messages: int = Field(default=5000, ge=100, description="taken from the broker and not yet written")
    gateway_topic: str | None = Field(default=None, description="one topic of all gateways, e.g. CET/NX/upload")
    gateway_ack_topic: str | None = Field(default=None, description="where a stored upload is told to its gateway")
    gateways: tuple[MqttGatewaySettings, ...] = ()
    sparkplug: tuple[SparkplugNodeSettings, ...] = Field(default=(), description="edge nodes that speak Sparkplug B")
    home_assistant: Slug | None = Field(
        default=None,
        description="discovery prefix of Home Assistant, usually homeassistant; none = alerts not shown there",
    )


class ModbusRegisterSettings(Section):
    """Where a meter keeps a quantity."""

    quantity: str = Field(min_length=1, max_length=63, description="one of docs/telemetry.md")
    address: int = Field(ge=0, le=65535, description="counted from 0, as on the wire")
    table: Literal["holding", "input"] = Field(default="holding", description="read by function 3 or 4")
    type: Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"] = "float32"
    words: Literal["big", "little"] = Field(default="big", description="which word of several comes first")
    scale: float = Field(default=1.0, description="our value = register x scale", allow_inf_nan=False)


class ModbusProfileSettings(Section):
    """A kind of meter."""

    name: Slug
    registers: tuple[ModbusRegisterSettings, ...] = Field(min_length=1, max_length=100)


class ModbusMeterSettings(Section):
    """A power meter or terminal that is asked over Modbus TCP."""

    site: Slug
    device: DeviceName
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=502, ge=1, le=65535)
    unit: int = Field(default=1, ge=0, le=255, description="number of the meter behind its gateway")
    profile: Slug = Field(description="sdm630, or the name of one of modbus.profiles")
    interval_s: float = Field(default=1.0, ge=0.1, le=3600, description="asked so often")
    timeout_s: float = Field(default=2.0, ge=0.1, le=30, description="no answer after this")


class ModbusSettings(Section):
    """Meters that are asked over Modbus TCP."""

    meters: tuple[ModbusMeterSettings, ...] = Field(default=(), max_length=500)
    profiles: tuple[ModbusProfileSettings, ...] = ()


class OpcUaNodeSettings(Section):
    """A variable of an OPC UA server."""

    node: str = Field(min_length=1, max_length=256, description="NodeId, e.g. ns=2;s=Belt1.Ia")
    device: DeviceName
    quantity: str = Field(min_length=1, max_length=63)
    scale: float = Field(default=1.0, allow_inf_nan=False)


class OpcUaServerSettings(Section):
    """An OPC UA server whose variables are subscribed to. Needs the optional package asyncua."""

    site: Slug
    url: str = Field(pattern=r"^opc\.tcp://", max_length=512)
    username: str | None = None
    password: str | None = None
    publish_ms: float = Field(default=500.0, ge=50, le=60_000, description="how often it tells what changed")
    repeat_s: float = Field(
        default=1.0, ge=0.1, le=60, description="what did not change is repeated so often while the server answers"
    )
    nodes: tuple[OpcUaNodeSettings, ...] = Field(min_length=1, max_length=1000)


class OmloxHubSettings(Section):
    """A positioning hub that speaks omlox v2: its location updates are positions of tags."""

    site: Slug
    url: str = Field(pattern=r"^wss?://", max_length=512, description="WebSocket, e.g. wss://hub:7081/v2/ws/socket")
    token: str | None = Field(default=None, description="bearer token, sent as header and as the params.token of omlox")
    crs: tuple[str, ...] = Field(
        default=("local",), description="coordinate systems that are metres of the mine's grid"
    )
    origin: tuple[float, float, float] = Field(default=(0.0, 0.0, 0.0), description="taken off x, y and z")
    vehicles: tuple[str, ...] = Field(
        default=(), description="beginnings of tag names that are vehicles; others: people"
    )


class PushKeySettings(Section):
    """A gateway or program that sends its samples by HTTP POST."""

    name: Slug
    site: Slug = Field(description="the only site that it may send for")
    key: str = Field(min_length=24, max_length=200, description="sent as Authorization: Bearer")


class FileMineSettings(Section):
    """A mine that sends files."""

    mine: str = Field(pattern=r"^\d{12}$", description="its 12-digit code, as in the names of its files and its folder")
    site: Slug


class FileMachineSettings(Section):
    """What a machine is called in equipment files; one that is not named here goes by its point."""

    name: str = Field(min_length=1, max_length=100, description="the device field of the files")
    device: DeviceName = Field(description="our device, as in `devices`")


class FilesSettings(Section):
    """Files of people underground and of equipment that mines drop into a folder."""

    inbox: Path | None = Field(default=None, description="folder with one folder per mine code; none = no files")
    scan_interval_s: float = Field(default=30.0, gt=0)
    incomplete_after_s: float = Field(default=600.0, gt=0, description="a file without its end fails after this")
    stale_after_s: float = Field(default=900.0, gt=0, description="no newer people's file for this long = alert")
    mines: tuple[FileMineSettings, ...] = ()
    machines: tuple[FileMachineSettings, ...] = ()


class SiteSettings(Section):
    """One node of the tree, made at start when it is missing."""

    site: Slug
    parent: Slug | None = None
    level: Level
    name_zh: str
    name_en: str


ClockTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""`HH:MM`, local time (`duty.utc_offset_h`)."""


class EscalationStepSettings(Section):
    """One step of a chain, at each of its levels: who is rung, by what, and for how long."""

    ring: tuple[Literal["browser", "phone", "sms", "webhook", "mqtt"], ...] = Field(
        default=("browser",), min_length=1, description="all at once"
    )
    who: tuple[Literal["on_duty", "deputy", "leader"], ...] = Field(
        default=("on_duty",), min_length=1, description="whom of the level's call list"
    )
    seconds: float = Field(default=20.0, gt=0, le=3600, description="then the next step")
    levels: tuple[Level, ...] = Field(default=(), description="only at these levels; none = at all")
    between: tuple[ClockTime, ClockTime] | None = Field(default=None, description="only between these times")


class EscalationChainSettings(Section):
    """How alerts of a class find a person. The first chain that fits an alert is its chain."""

    chain: Slug
    severities: tuple[Literal["info", "warning", "alarm", "critical"], ...] = Field(min_length=1)
    rules: tuple[str, ...] = Field(default=(), description="only alerts of these rules; none = of all")
    levels: tuple[Level, ...] = Field(default=(), description="levels it climbs; none = all, from the alert's site up")
    steps: tuple[EscalationStepSettings, ...] = Field(min_length=1)
    repeat: int = Field(
        default=3, ge=1, le=5, description="rounds; a red alert goes on after that, at longer intervals"
    )
    quiet: tuple[ClockTime, ClockTime] | None = Field(default=None, description="nothing rings between; never for red")
    revert_after_s: float = Field(
        default=300.0, ge=0, description="taken and nothing done for this long = rings again; 0 = never"
    )

    @field_validator("quiet")
    @classmethod
    def _never_red(cls, value: tuple[str, str] | None, info: ValidationInfo) -> tuple[str, str] | None:
        if value is not None and {"alarm", "critical"} & set(info.data.get("severities", ())):
            raise ValueError("quiet hours do not go with the severities alarm and critical")
        return value


class WebhookSettings(Section):
    """A program that is told of escalations, signed after Standard Webhooks."""

    name: Slug
    url: str = Field(pattern=r"^https?://")
    secret: str = Field(pattern=r"^whsec_[A-Za-z0-9+/]{32,}={0,2}$", description="whsec_ and base64 of 24 to 64 bytes")
    site: Slug | None = Field(default=None, description="for this site and those below; none = for all")


class SmsSettings(Section):
    """An SMS gateway that takes HTTP requests; the body is a template over `phone`, `name`, `text` and `alerts`."""

    url: str | None = Field(default=None, pattern=r"^https?://", description="none = no SMS")
    content_type: str = "application/json"
    body: str = Field(default='{"phone": {{ phone|tojson }}, "text": {{ text|tojson }}}', description="Jinja template")
    headers: dict[str, str] = Field(default_factory=dict, description="such as an API key")
    language: Literal["zh", "en"] = "zh"


class UplinkSettings(Section):
    """One platform above, and what one mine owes to it. Whatever is sent goes through a durable outbox, in order."""

    name: Slug
    kind: Literal["push", "files"] = Field(description="push: AI-video API by HTTP; files: into a folder for upload")
    site: Slug = Field(description="the mine")
    mine: str = Field(pattern=r"^\d{12}$", description="its 12-digit code")
    url: str | None = Field(default=None, description="push: everything before /camera, e.g. https://host/mine/ai")
    token: str | None = Field(default=None, description="push: bearer token, if it never changes")
    token_url: str | None = Field(default=None, description="push: where a token is fetched by POST")
    token_request: dict[str, str] = Field(default_factory=dict, description="push: JSON body of that request")
    token_field: str = Field(default="token", description="push: where the token is in the answer, e.g. data.token")
    timeout_s: float = Field(default=0.0, ge=0, description="push: 0 = 15 s, with pictures 30 s")
    status_interval_s: float = Field(default=300.0, gt=0, description="push: all cameras' states so often")
    cooldown_s: float = Field(default=60.0, ge=0, description="push: per camera and case, from a push that was taken")
    folder: Path | None = Field(default=None, description="files: where files are put, one folder per mine code in it")
    file_interval_s: float = Field(default=300.0, gt=0, description="files: a snapshot so often")
    file_types: tuple[Literal["RYSS", "JBSJ", "TFSS", "PSSS", "LJSS", "KYSS", "JCSS"], ...] = ("RYSS", "JBSJ")

    @model_validator(mode="after")
    def _whole(self) -> "UplinkSettings":
        needed = "url" if self.kind == "push" else "folder"
        if getattr(self, needed) is None:
            raise ValueError(f"an uplink of kind {self.kind} needs {needed}")
        return self


class DutySettings(Section):
    """Ringing and escalation. Without `chains`, red alerts climb to the top, and warnings ring at the mine."""

    ring_timeout_s: float = Field(
        default=20.0, gt=0, description="a level that has not answered in this is unreachable"
    )
    escalate: bool = Field(default=True, description="false: alerts are shown and ring nobody")
    chains: tuple[EscalationChainSettings, ...] = ()
    utc_offset_h: float = Field(default=8.0, ge=-14, le=14, description="local time of rotas, quiet hours and shifts")
    storm_messages: int = Field(default=20, ge=1, description="most messages to one address in storm_window_s, not red")
    storm_window_s: float = Field(default=600.0, gt=0)
    group_wait_s: float = Field(default=5.0, ge=0, description="messages to one address are gathered for this, not red")
    challenge_s: float = Field(
        default=60.0,
        ge=0,
        description="time to answer at the desk when a rule has warned; 0 = nobody is asked",
    )
    challenge_pause_s: float = Field(default=600.0, ge=0, description="a post is not asked again within this")
    check_answer_s: float = Field(default=60.0, ge=5, le=3600, description="time to answer a spot check or roll call")
    handover_grace_s: float = Field(default=900.0, ge=0, description="a shift not handed over by then = alarm")
    hazard_rise_s: float = Field(
        default=86400.0,
        ge=60,
        description="a general hazard that is so much overdue is red; a major one is at once",
    )
    drill_s: float = Field(default=1800.0, ge=30, description="a drill of a chain ends after this at the latest")
    drill_day: int = Field(default=1, ge=1, le=28, description="day of the month on which numbers are tested")
    drill_hour: int = Field(default=10, ge=0, le=23, description="from this hour on, local time")
    webhooks: tuple[WebhookSettings, ...] = ()
    sms: SmsSettings = SmsSettings()


class FirstOrderSettings(Section):
    """An order that is offered, ready to give, when a consultation begins."""

    to: Literal["mine", "county", "city", "province", "nation"] = "mine"
    text_zh: str = Field(min_length=1, max_length=500)
    text_en: str = Field(min_length=1, max_length=500)


class TemplateSettings(Section):
    """What a consultation about one type of incident begins with."""

    key: Slug
    title_zh: str = Field(min_length=1, max_length=120)
    title_en: str = Field(min_length=1, max_length=120)
    rules: tuple[str, ...] = Field(default=(), description="alerts of these rules call with it")
    levels: tuple[Literal["county", "city", "province", "nation"], ...] = Field(
        default=("county",), description="authorities that are chosen to be rung"
    )
    clocks: bool = Field(default=True, description="shows how much time is left to report upwards")
    orders: tuple[FirstOrderSettings, ...] = ()


def _template(
    key: str,
    title: tuple[str, str],
    levels: tuple[Literal["county", "city", "province", "nation"], ...],
    rules: tuple[str, ...],
    *orders: tuple[str, str],
    clocks: bool = True,
) -> TemplateSettings:
    first = tuple(FirstOrderSettings(text_zh=zh, text_en=en) for zh, en in orders)
    return TemplateSettings(
        key=key, title_zh=title[0], title_en=title[1], levels=levels, rules=rules, clocks=clocks, orders=first
    )


_WITHDRAW = (
    "立即撤出受威胁区域全部人员，清点人数并报告。",
    "Withdraw everybody from the threatened area, count heads, report.",
)
_POWER_OFF = ("切断受威胁区域电源，保持通风。", "Cut the power of the threatened area; keep the ventilation running.")
_MUSTER = ("核对井下人员名单，报告未升井人员位置。", "Check the muster list; report where those still below are.")
_TEAM = ("通知救护队待命，报告出动时间。", "Put the rescue team on call; report when it leaves.")

_ALL_THREE: tuple[Literal["county", "city", "province", "nation"], ...] = ("county", "city", "province")
_FAN = ("启动备用主要通风机，报告恢复时间。", "Start the stand-by main fan; report when air is back.")
_FEEDS = ("确认双回路状态，报告恢复供电时间。", "State of both feeders, and when power will be back.")
_PUMPS = ("启动全部排水泵，报告水位与涌水量。", "Start all pumps; report level and inflow.")
_MAN = ("立即派员到岗，回报到岗人员姓名。", "Man the post now; report who is there.")

TEMPLATES = (
    _template(
        "main-fan", ("主要通风机停风", "Main fan stopped"), _ALL_THREE, ("main_fan_stop",), _FAN, _WITHDRAW, _MUSTER
    ),
    _template(
        "power-loss", ("矿井失电", "Power lost"), ("county", "city"), ("supply_loss",), _FEEDS, _WITHDRAW, _MUSTER
    ),
    _template("gas", ("瓦斯超限", "Gas over the limit"), _ALL_THREE, (), _POWER_OFF, _WITHDRAW, _MUSTER),
    _template("water", ("突水透水", "Water inrush"), _ALL_THREE, (), _WITHDRAW, _PUMPS, _MUSTER, _TEAM),
    _template("fire", ("矿井火灾", "Mine fire"), _ALL_THREE, (), _WITHDRAW, _MUSTER, _TEAM),
    _template("roof", ("冒顶冲击地压", "Roof fall or rock burst"), ("county", "city"), (), _WITHDRAW, _MUSTER, _TEAM),
    _template("duty", ("值班岗位异常", "Duty post"), ("county",), ("absence", "sleeping"), _MAN, clocks=False),
)


class ConsultationSettings(Section):
    """Consultations."""

    report_within_s: tuple[float, ...] = Field(
        default=(3600.0, 7200.0), description="legal clocks: to be reported upwards within, from the incident on"
    )
    templates: tuple[TemplateSettings, ...] = Field(default=TEMPLATES, description="by type of incident; replaces ours")


class RuleSettings(Section):
    """Figures of the rules; `devices[].parameters` changes single ones for one device, and the API those of a site."""

    watermark_s: float = Field(default=120.0, gt=0, description="samples older than this on arrival are history only")
    gap_periods: float = Field(default=3.0, ge=1, description="no data for this many periods of the device = NO_DATA")
    hysteresis: float = Field(default=0.1, ge=0, lt=1, description="a limit is left only this share within it")
    clear_s: float = Field(default=5.0, ge=0, description="a condition must be over for this long to be cleared")
    on_ratio: float = Field(default=0.25, gt=0, description="runs at this share of the rated current")
    off_ratio: float = Field(default=0.10, gt=0, description="stands still at this share")
    fan_stop_s: float = Field(default=5.0, ge=0, description="main fan stopped for this long = warning")
    fan_critical_s: float = Field(default=600.0, ge=0, description="no main fan on for this long = critical")
    loaded_ratio: float = Field(default=0.15, gt=0, description="mean current below this share says nothing of phases")
    phase_loss_share: float = Field(default=0.1, gt=0, lt=1, description="smallest phase current, share of the mean")
    phase_loss_s: float = Field(default=3.0, ge=0)
    voltage_unbalance_warning: float = Field(default=0.02, gt=0, description="largest deviation, share of the mean")
    voltage_unbalance_alarm: float = Field(default=0.05, gt=0)
    current_unbalance_warning: float = Field(default=0.10, gt=0)
    current_unbalance_alarm: float = Field(default=0.30, gt=0)
    unbalance_s: float = Field(default=60.0, ge=0)
    voltage_warning: float = Field(default=0.07, gt=0, lt=1, description="deviation, share of the rated voltage")
    voltage_warning_s: float = Field(default=10.0, ge=0)
    voltage_alarm: float = Field(default=0.15, gt=0, lt=1)
    voltage_alarm_s: float = Field(default=3.0, ge=0)
    overload_ratio: float = Field(default=1.05, gt=0, description="share of the rated current")
    overload_s: float = Field(default=60.0, ge=0, description="overloaded for this long = warning")
    overload_integral_s: float = Field(default=30.0, gt=0, description="integral of r² - overload_ratio² for the alarm")
    overload_start_s: float = Field(default=10.0, ge=0, description="not counted after a machine starts")
    stuck_samples: int = Field(default=60, ge=2, description="equal samples of a running machine = stuck")
    supply_loss_share: float = Field(default=0.1, gt=0, lt=1, description="all phases below, share of rated voltage")
    supply_loss_s: float = Field(default=1.0, ge=0)
    pump_flow_share: float = Field(default=0.7, gt=0, lt=1, description="flow below this share of the usual = blocked")
    pump_flow_z: float = Field(default=4.0, gt=0, description="and this many deviations below it")
    pump_fill_s: float = Field(default=900.0, gt=0, description="pump on for this long, and the sump still fills")
    sump_high_m: float = Field(default=0.0, ge=0, description="level with all pumps off that is told; 0 = none known")
    pumps_off_s: float = Field(default=120.0, ge=0)
    pump_starts_per_hour: float = Field(default=6.0, ge=1)
    drift_k: float = Field(default=0.75, gt=0, description="CUSUM of the load: slack, in deviations")
    drift_h: float = Field(default=15.0, gt=0, description="CUSUM of the load: limit, in deviations")
    season_z: float = Field(default=5.0, gt=0, description="deviations from the hour's median of 28 days")
    season_s: float = Field(default=10800.0, ge=0, description="for this long")
    replayed_block_s: float = Field(default=600.0, gt=0, description="a block of this length that was sent before")
    energy_share: float = Field(default=0.05, gt=0, description="meter and integral of the power differ by more")
    energy_window_s: float = Field(default=900.0, gt=0)
    tag_watermark_s: float = Field(default=10.0, gt=0, description="fixes older than this on arrival are history only")
    fix_fresh_s: float = Field(default=90.0, gt=0, description="an older fix counts nobody")
    quota_s: float = Field(default=60.0, ge=0, description="too many people for this long")
    quota_near_share: float = Field(default=0.9, gt=0, le=1, description="of the quota: told as information")
    shift_grace_s: float = Field(default=1800.0, ge=0, description="around a change of shift no quota is judged")
    mismatch_people: float = Field(default=10.0, ge=0, description="cameras and tags may differ by so many")
    mismatch_share: float = Field(default=0.1, ge=0, lt=1, description="or by this share of the larger")
    mismatch_s: float = Field(default=300.0, ge=0)
    entry_depth_m: float = Field(default=0.5, ge=0, description="inside a forbidden zone by more than this")
    entry_s: float = Field(default=3.0, ge=0, description="for this long, or in two fixes")
    exit_tolerance_m: float = Field(default=2.0, ge=0)
    exit_s: float = Field(default=3.0, ge=0)
    fence_timeout_s: float = Field(default=30.0, gt=0, description="no fix for this long: nothing is known")
    near_m: float = Field(default=10.0, ge=0, description="so near to a forbidden zone, and coming nearer; 0 = no word")
    near_s: float = Field(default=10.0, ge=0, description="seconds to its boundary at the present speed")
    dwell_warning_s: float = Field(default=36000.0, gt=0, description="underground for this long")
    dwell_alarm_s: float = Field(default=43200.0, gt=0)
    tag_lost_s: float = Field(default=60.0, gt=0, description="no fix for this long, where tags are located precisely")
    tag_lost_periods: float = Field(default=2.0, ge=1, description="else for so many files")
    group_lost_tags: float = Field(default=5.0, ge=2, description="so many tags of a zone fall silent together")
    group_lost_s: float = Field(default=30.0, gt=0, description="within this time")
    still_m: float = Field(default=1.0, gt=0, description="all fixes within this of each other")
    still_warning_s: float = Field(default=300.0, gt=0)
    still_critical_s: float = Field(default=600.0, gt=0)
    tag_sigma_m: float = Field(default=0.3, ge=0, description="accuracy of the positions, one deviation")
    carried_m: float = Field(default=1.0, gt=0, description="two tags no further apart than this")
    carried_s: float = Field(default=1200.0, gt=0)
    carried_travel_m: float = Field(default=300.0, gt=0)
    gathering_people: float = Field(default=15.0, ge=2)
    gathering_m: float = Field(default=10.0, gt=0)
    gathering_s: float = Field(default=300.0, ge=0)
    lone_m: float = Field(default=50.0, gt=0, description="nobody else so near to somebody at a face or a heading")
    lone_s: float = Field(default=1800.0, ge=0)
    leader_s: float = Field(default=600.0, ge=0, description="people underground and no leader with them")
    displaced_s: float = Field(default=5.0, ge=0, description="moved while off, for this long")
    collision_warning_s: float = Field(default=5.0, gt=0, description="time to a collision on one track")
    collision_alarm_s: float = Field(default=2.5, gt=0)
    closing_mps: float = Field(default=1.0, gt=0, description="slower than this nobody collides")
    cpa_warning_m: float = Field(default=1.5, gt=0, description="nearest approach of a machine and a person")
    cpa_warning_s: float = Field(default=3.0, gt=0)
    cpa_warning_hold_s: float = Field(default=0.5, ge=0)
    cpa_alarm_m: float = Field(default=1.0, gt=0)
    cpa_alarm_s: float = Field(default=1.5, gt=0)
    cpa_alarm_hold_s: float = Field(default=0.3, ge=0)
    ring_s: float = Field(default=2.0, ge=0, description="within a running machine's ring for this long")
    reverse_mps: float = Field(default=0.3, gt=0, description="against the direction of a roadway, faster than this")
    reverse_s: float = Field(default=3.0, ge=0)
    reverse_m: float = Field(default=3.0, gt=0)
    overspeed_s: float = Field(default=3.0, ge=0)
    runaway_mps2: float = Field(default=0.5, gt=0, description="a machine gathers speed downhill")
    runaway_s: float = Field(default=2.0, gt=0)
    route_m: float = Field(default=5.0, ge=0, description="so far outside its route")
    link_s: float = Field(default=60.0, gt=0, description="nothing at all from a mine for this long")
    video_quota_window_s: float = Field(default=10.0, gt=0, description="people of a zone: median of this time")
    video_quota_s: float = Field(default=60.0, ge=0, description="more people in a picture's zone than its quota")
    intrusion_s: float = Field(default=2.0, ge=0, description="in a danger zone of a picture for this long")
    intrusion_clear_s: float = Field(default=3.0, ge=0)
    belt_window_s: float = Field(default=30.0, gt=0, description="bursts of a belt are judged over this time")
    belt_share: float = Field(default=0.8, gt=0.5, le=1, description="so many of them must agree")
    belt_peak: float = Field(default=0.45, gt=0, lt=2, description="a burst counts with a correlation of this")
    belt_px: float = Field(default=1.5, gt=0, description="moves by more than this from picture to picture")
    belt_disagree_s: float = Field(default=60.0, ge=0, description="belt and motor disagree for this long")
    covert_belt_s: float = Field(default=600.0, ge=0, description="a stopped mine's belt runs outside its permit")
    covert_hoist_duty: float = Field(default=0.2, gt=0, lt=1, description="share of an hour's minutes with a stroke")
    covert_share_producing: float = Field(default=0.9, gt=0, description="hoist's share of energy, to producing days")
    covert_share_stopped: float = Field(default=1.3, gt=1, description="hoist's share of energy, to stopped days")
    covert_autocorrelation: float = Field(default=0.5, gt=0, lt=1, description="of the hoist's load, at 24 hours")
    covert_night_share: float = Field(default=0.4, gt=0, lt=1, description="of its energy, from 22 to 6 o'clock")
    covert_people_s: float = Field(default=600.0, ge=0, description="more people than permitted, for this long")
    covert_together_s: float = Field(default=3600.0, gt=0, description="evidence of two sources within this")
    correlation_s: float = Field(default=600.0, gt=0, description="alerts of neighbouring zones within this are one")
    supply_correlation_s: float = Field(default=60.0, gt=0, description="what a lost supply brings comes within this")


class DeviceSettings(Section):
    """A machine with a power terminal, for the power rules. One that is not named here is shown and not judged."""

    site: Slug
    device: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$", description="as in its topic or file")
    kind: Literal[
        "main_fan",
        "aux_fan",
        "pump",
        "hoist",
        "aux_hoist",
        "belt",
        "substation",
        "face",
        "compressor",
        "winch",
        "other",
    ] = "other"
    name_zh: str | None = Field(default=None, description="default: the device's id")
    name_en: str | None = Field(default=None, description="default: the device's id")
    rated_a: float | None = Field(default=None, gt=0, description="rated current, A")
    rated_v: float | None = Field(default=None, gt=0, description="rated line-to-line voltage, V")
    rated_kw: float | None = Field(default=None, gt=0, description="rated power; rated_a from it where that is missing")
    required: bool = Field(default=False, description="must run: a main fan that stands still is told")
    expected_period_s: float = Field(default=5.0, gt=0, description="how often it sends")
    parameters: dict[str, float] = Field(default_factory=dict, description="keys of `rules`, for this device")

    @field_validator("parameters")
    @classmethod
    def _known(cls, value: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(value) - set(RuleSettings.model_fields)):
            raise ValueError(f"no rule has the parameter {', '.join(unknown)}")
        RuleSettings.model_validate(value)
        return value


PhonePrefix = Annotated[str, Field(pattern=r"^\+?[0-9*#]{0,32}$")]


class TrunkSettings(Section):
    """A telephone exchange or a provider that calls come from and go to. Nothing is dialled that `prefixes` does not
    begin, and nothing is taken from an address outside of `networks`."""

    name: Slug
    host: IpAddress = Field(description="where our calls go")
    port: int = Field(default=5060, ge=1, le=65535)
    transport: Literal["udp", "tcp", "tls"] = "udp"
    networks: tuple[Network, ...] = Field(default=(), description="where its calls come from; default: host alone")
    inbound: bool = True
    outbound: bool = False
    username: str = Field(default="", description="our account there; none = it knows us by address")
    password: str = Field(default="", description="of the account", repr=False)
    realm: str = Field(default="", description="realm of the account; default: host")
    register_every_s: int = Field(default=0, ge=0, le=86400, description="register there for this long each; 0 = never")
    caller: PhonePrefix = Field(default="", description="number shown to whom we call; default: username")
    hide_caller: bool = False
    prefixes: tuple[PhonePrefix, ...] = Field(default=(), description="beginnings of numbers that may be dialled")
    strip: PhonePrefix = Field(default="", description="taken from the front of a number that is dialled")
    prepend: PhonePrefix = Field(default="", description="put in front of it")
    max_calls: int = Field(default=4, ge=1, le=1000, description="at once, both ways")
    max_dialled_per_day: int = Field(default=100, ge=0, description="calls that we make, local day")
    reliable: Literal["no", "yes", "required"] = Field(default="yes", description="reliable 18x, RFC 3262")
    session_s: int = Field(default=1800, ge=0, le=86400, description="session timer, RFC 4028; 0 = none of ours")
    srtp: Literal["off", "allow", "require"] = "allow"
    symmetric: bool = Field(default=False, description="take media from where it comes, not from where it is announced")
    video: bool = Field(default=False, description="pictures (H.264) are offered and taken")


class PhoneRuleSettings(Section):
    """What happens to a call that comes in: the first rule that fits counts, and without one it is refused. Each rule
    names the trunk it is for, so that there is none for strangers."""

    name: Slug
    source: Slug = Field(description="name of a trunk, or `phones` for registered desk phones")
    number: PhonePrefix = Field(default="", description="number dialled; empty with prefix = every number")
    prefix: bool = Field(default=False, description="number is a beginning only")
    callers: tuple[PhonePrefix, ...] = Field(default=(), description="beginnings of numbers that may call; default all")
    action: Literal["pin", "site", "reject"] = Field(
        default="pin", description="pin = ask for the consultation's number; site = straight into the one about `site`"
    )
    site: Slug | None = None


class PhonesSettings(Section):
    """Desk phones of dispatch rooms and trunks, by SIP. Off unless `enabled`."""

    enabled: bool = False
    listen_host: IpAddress = Field(default="127.0.0.1", description="address of the SIP ports")
    port: int = Field(default=5060, ge=0, le=65535, description="UDP and TCP; 0 = any free port")
    tls_port: int | None = Field(default=None, ge=0, le=65535, description="TLS with the server's certificate")
    websocket: bool = Field(default=False, description="SIP over WebSocket at /api/sip, for phones in browsers")
    advertise: IpAddress | None = Field(default=None, description="address told to phones; default listen_host")
    domain: str = Field(
        default="lamproom", pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,200}$",
        description="domain and realm of registered phones; changing it makes all their secrets invalid",
    )  # fmt: skip
    digest: Literal["sha256", "both", "md5"] = Field(
        default="both", description="what phones are asked for; some older ones stumble over the very offer of SHA-256"
    )
    max_calls: int = Field(default=100, ge=1, le=2000, description="at once, all together")
    video: bool = Field(default=True, description="desk phones are offered pictures (H.264)")
    ring_timeout_s: float = Field(default=30.0, ge=3, le=170, description="how long a phone is rung")
    pin_tries: int = Field(
        default=3, ge=1, le=10, description="wrong numbers in one call; the caller is then locked out"
    )
    pin_lock_s: float = Field(default=600.0, ge=0, description="how long a caller with wrong numbers is locked out")
    requests_per_s: float = Field(default=8.0, gt=0, description="taken from an address that has not proved who it is")
    burst: int = Field(default=50, ge=1, description="as many at once")
    ban_s: float = Field(default=300.0, ge=0, description="for floods, scanners and malformed messages")
    wrong_digest_ban_s: float = Field(default=600.0, ge=0, description="after five wrong passwords")
    silent: bool = Field(default=True, description="strangers get no answer at all")
    transfers: tuple[PhonePrefix, ...] = Field(default=(), description="numbers that a phone may transfer a call to")
    trace_calls: int = Field(default=200, ge=0, le=5000, description="calls whose messages are kept for the page")
    language: Literal["zh", "en"] = Field(default="zh", description="of prompts")
    trunks: tuple[TrunkSettings, ...] = ()
    rules: tuple[PhoneRuleSettings, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> "PhonesSettings":
        names = [trunk.name for trunk in self.trunks]
        if len(set(names)) != len(names) or "phones" in names:
            raise ValueError("each trunk needs a name of its own, and not `phones`")
        for rule in self.rules:
            if rule.source not in (*names, "phones"):
                raise ValueError(f"the rule {rule.name} is for the trunk {rule.source}, which is not there")
            if not rule.number and not rule.prefix:
                raise ValueError(f"the rule {rule.name} names no number; every number is `prefix: true`")
            if (rule.action == "site") != (rule.site is not None):
                raise ValueError(f"the rule {rule.name}: `site` and `action: site` go together")
        for trunk in self.trunks:
            if trunk.outbound and not trunk.prefixes:
                raise ValueError(f"the trunk {trunk.name} dials out and has no prefixes that may be dialled")
        return self


class Settings(Section):
    """Everything."""

    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    bus: BusSettings = BusSettings()
    auth: AuthSettings = AuthSettings()
    media: MediaSettings = MediaSettings()
    phone_media: PhoneMediaSettings = PhoneMediaSettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    ingest: IngestSettings = IngestSettings()
    recording: RecordingSettings = RecordingSettings()
    retention: RetentionSettings = RetentionSettings()
    mqtt: MqttSettings = MqttSettings()
    modbus: ModbusSettings = ModbusSettings()
    opcua: tuple[OpcUaServerSettings, ...] = ()
    omlox: tuple[OmloxHubSettings, ...] = ()
    push: tuple[PushKeySettings, ...] = Field(default=(), description="who may send samples by HTTP")
    files: FilesSettings = FilesSettings()
    duty: DutySettings = DutySettings()
    consultation: ConsultationSettings = ConsultationSettings()
    phones: PhonesSettings = PhonesSettings()
    rules: RuleSettings = RuleSettings()
    cameras: tuple[CameraSettings, ...] = ()
    devices: tuple[DeviceSettings, ...] = ()
    uplinks: tuple[UplinkSettings, ...] = ()
    sites: tuple[SiteSettings, ...] = ()
