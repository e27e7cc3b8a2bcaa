"""What a telemetry message may say, and nothing else. Bytes in, samples and counted rejects out; no I/O, no clock.

Three shapes are known:

- power, `{prefix}/{site}/power/{device}/{event|state}`:
  `{"ts", "seq", "values": {"current_a": 12.3, ...}, "simulated", "device"}`, the quantities of `QUANTITIES`;
- tags, `{prefix}/{site}/tag/{tag}/{event|state}`:
  `{"ts", "seq", "kind": "person" | "vehicle", "x", "y", "z", "zone", "label", "simulated", "tag", "presence": "in" |
  "out"}`, metres;
- power gateways as they are met in the field, `{prefix}/{site}/gateway/{device}/event`:
  `{"version", "location_code", "dynamic_location_code", "ts", "properties": [{"type", "key", "value", "unit",
  "timestamp"}]}` with Chinese keys.

Each may also be an array of records. `ts` is an ISO 8601 time or seconds (or milliseconds) since the Unix epoch; a time
without an offset is China Standard Time, as such devices keep it. A record that breaks a rule is counted with the
reason and left out; its neighbours are kept. A number is never guessed.
"""

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Literal, NamedTuple

from analytics.plugin import Position, Reading

MAX_PAYLOAD_BYTES = 256 * 1024
MAX_RECORDS = 1000
"""In one message."""
MAX_VALUES = 64
"""In one record."""
SUSPECT_CLOCK_S = 120.0
"""A device whose clock differs by more from ours is believed only in part."""
NO_VALUE = -9999
"""What measuring devices send for "no value". It is never a measurement."""
CHINA = timezone(timedelta(hours=8))

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}")
EARLIEST_S = 946_684_800.0
"""2000-01-01: a device that says less has no clock."""
LATEST_S = 4_102_444_800.0
"""2100-01-01: no sample is from after it."""
_MILLISECONDS_FROM = 1e11  # as seconds this is the year 5138; as milliseconds 1973
_MAX_SEQ = 2**53
_MAX_METRES = 1e6
_MAX_TEXT = 64


class Reason(StrEnum):
    """Why a record was refused."""

    TOPIC = "topic"
    SITE = "site"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    TOO_MANY = "too_many"
    NOT_JSON = "not_json"
    WRONG_SHAPE = "wrong_shape"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    BAD_TIME = "bad_time"
    BAD_NAME = "bad_name"
    UNKNOWN_QUANTITY = "unknown_quantity"
    BAD_UNIT = "bad_unit"
    NO_VALUE = "no_value"


class Rejected(Exception):
    """A record, or a whole message, that is no valid sample."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Quantity(NamedTuple):
    """What a quantity is measured in, and what a real device can say."""

    unit: str
    low: float
    high: float


_CURRENT = Quantity("A", 0, 20_000)
_VOLTAGE = Quantity("V", 0, 1_000_000)

QUANTITIES: dict[str, Quantity] = {
    "current_a": _CURRENT,
    "current_b": _CURRENT,
    "current_c": _CURRENT,
    "voltage_a": _VOLTAGE,
    "voltage_b": _VOLTAGE,
    "voltage_c": _VOLTAGE,
    "voltage_ab": _VOLTAGE,
    "voltage_bc": _VOLTAGE,
    "voltage_ca": _VOLTAGE,
    "active_power": Quantity("kW", -100_000, 100_000),
    "reactive_power": Quantity("kvar", -100_000, 100_000),
    "power_factor": Quantity("1", -1, 1),
    "frequency": Quantity("Hz", 0, 400),
    "energy": Quantity("kWh", 0, 1e12),
    "load": Quantity("%", 0, 1_000),
    "temperature": Quantity("°C", -60, 500),
    "flow": Quantity("m3/h", 0, 100_000),
    "level": Quantity("m", -100, 1_000),
    "headcount_video": Quantity("1", 0, 9_999),
    "people_in": Quantity("1", 0, 1e9),
    "people_out": Quantity("1", 0, 1e9),
    "belt_loaded": Quantity("1", 0, 1),
    "belt_running": Quantity("1", 0, 1),
    "hoist_moving": Quantity("1", 0, 1),
    "trucks_out": Quantity("1", 0, 9_999),
    "sos": Quantity("1", 0, 1),
    "station_run": Quantity("1", 0, 9),
    "current_out_of_limit": Quantity("1", 0, 1),
    "voltage_out_of_limit": Quantity("1", 0, 1),
}
"""Every quantity that is taken."""

GATEWAY_KEYS: dict[str, str] = {
    "A相电流": "current_a",
    "B相电流": "current_b",
    "C相电流": "current_c",
    "A相电压": "voltage_a",
    "B相电压": "voltage_b",
    "C相电压": "voltage_c",
    "AB线电压": "voltage_ab",
    "BC线电压": "voltage_bc",
    "CA线电压": "voltage_ca",
    "有功功率": "active_power",
    "总有功功率": "active_power",
    "无功功率": "reactive_power",
    "总无功功率": "reactive_power",
    "功率因数": "power_factor",
    "频率": "frequency",
    "有功电度": "energy",
    "负载率": "load",
    "温度": "temperature",
    "电流越限": "current_out_of_limit",
    "电压越限": "voltage_out_of_limit",
}
"""What a gateway calls our quantities."""

UNIT_SCALE: dict[tuple[str, str], float] = {
    ("kA", "A"): 1e3,
    ("mA", "A"): 1e-3,
    ("kV", "V"): 1e3,
    ("W", "kW"): 1e-3,
    ("MW", "kW"): 1e3,
    ("var", "kvar"): 1e-3,
    ("Mvar", "kvar"): 1e3,
    ("Wh", "kWh"): 1e-3,
    ("MWh", "kWh"): 1e3,
    ("℃", "°C"): 1.0,
}
"""(unit of a gateway, our unit) → factor. The same unit needs no row; any other pair is refused."""

Kind = Literal["power", "tag", "gateway"]


@dataclass(frozen=True, slots=True)
class Topic:
    """Whose message this is, by the broker's word: the topic, which its access list guards."""

    site: str
    kind: Kind
    device: str
    verb: Literal["event", "state"]


@dataclass(frozen=True, slots=True)
class Step:
    """One record's place in its device's own count."""

    device: str
    seq: int
    source_at: float


@dataclass(slots=True)
class Parsed:
    """What one message held."""

    readings: list[Reading] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    rejected: Counter[Reason] = field(default_factory=Counter)
    details: list[str] = field(default_factory=list)
    """The first few reasons as sentences, for the log."""

    def reject(self, error: Rejected) -> None:
        self.rejected[error.reason] += 1
        if len(self.details) < 3:
            self.details.append(str(error))


def parse_topic(prefix: str, topic: str) -> Topic:
    """Take `{prefix}/{site}/{kind}/{device}/{verb}` apart.

    Raises:
        Rejected: not one of the topics that carry samples.
    """
    parts = topic.removeprefix(prefix + "/").split("/")
    if not topic.startswith(prefix + "/") or len(parts) != 4:
        raise Rejected(Reason.TOPIC, f"The topic {topic[:200]!r} carries no samples.")
    site, kind, device, verb = parts
    if not _NAME.fullmatch(site) or not _NAME.fullmatch(device):
        raise Rejected(Reason.BAD_NAME, f"The topic {topic[:200]!r} names no site or no device.")
    if kind in ("power", "tag") and verb in ("event", "state"):
        return Topic(site, "power" if kind == "power" else "tag", device, "event" if verb == "event" else "state")
    if kind == "gateway" and verb == "event":
        return Topic(site, "gateway", device, "event")
    raise Rejected(Reason.TOPIC, f"The topic {topic[:200]!r} carries no samples.")


def parse(topic: Topic, payload: bytes, received_at: float) -> Parsed:
    """Every valid sample of one message, and a count of the rest by reason. Raises nothing.

    Args:
        received_at: our own clock, seconds since the Unix epoch.
    """
    parsed = Parsed()
    try:
        found = records(payload)
    except Rejected as error:
        parsed.reject(error)
        return parsed
    take = {"power": _power, "tag": _tag, "gateway": _gateway}[topic.kind]
    for record in found:
        try:
            take(topic, _fields(record), received_at, parsed)
        except Rejected as error:
            parsed.reject(error)
    return parsed


def gateway_locations(payload: bytes) -> tuple[str, ...]:
    """What a gateway's upload says of where it measures: the dynamic location before the fixed one.

    Raises:
        Rejected: it is no such upload.
    """
    record = first_record(payload)
    found = (record.get("dynamic_location_code"), record.get("location_code"))
    return tuple(one for one in found if isinstance(one, str) and one)


def gateway_ack(payload: bytes) -> bytes:
    """What a gateway is told when its upload is stored: its own location and time, and 1."""
    record = first_record(payload)
    told = {"location_code": record.get("location_code"), "ts": record.get("ts"), "result": 1}
    return json.dumps(told, ensure_ascii=False).encode()


# --- the message as a whole -----------------------------------------------------------------------------------------


def records(payload: bytes) -> list[object]:
    """What a JSON message holds: the elements of its array, or itself.

    Raises:
        Rejected: too large, too deep, too many, no JSON, a number that is none, a field named twice.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"A message of {len(payload)} bytes is longer than {MAX_PAYLOAD_BYTES}.")
    try:
        body = json.loads(payload.decode(), parse_constant=_no_constant, object_pairs_hook=_no_repeats)
    except RecursionError:
        raise Rejected(Reason.TOO_DEEP, "The message is nested too deeply.") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of thousands of digits
        raise Rejected(Reason.NOT_JSON, f"The message is no JSON: {str(error)[:120]}.") from None
    found = body if isinstance(body, list) else [body]
    if len(found) > MAX_RECORDS:
        raise Rejected(Reason.TOO_MANY, f"{len(found)} records in one message are more than {MAX_RECORDS}.")
    return found


def first_record(payload: bytes) -> dict[str, object]:
    """The record of a message that holds one.

    Raises:
        Rejected: it holds none, or something else.
    """
    found = records(payload)
    if not found:
        raise Rejected(Reason.WRONG_SHAPE, "The message is an empty array.")
    return _fields(found[0])


def _no_constant(name: str) -> float:
    raise Rejected(Reason.NOT_FINITE, f"{name} is no number.")


def _no_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Rejected(Reason.WRONG_SHAPE, "A record names the same field twice.")
    return fields


def _fields(record: object) -> dict[str, object]:
    if not isinstance(record, dict):
        raise Rejected(Reason.WRONG_SHAPE, f"A record must be an object, not a {type(record).__name__}.")
    return record


# --- single fields --------------------------------------------------------------------------------------------------


def _only(fields: dict[str, object], known: frozenset[str], needed: tuple[str, ...]) -> None:
    for name in fields:
        if name not in known:
            raise Rejected(Reason.UNKNOWN_FIELD, f"The field {name[:40]!r} is not known.")
    for name in needed:
        if name not in fields:
            raise Rejected(Reason.MISSING_FIELD, f"The field {name!r} is missing.")


def _number(value: object, low: float, high: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected(Reason.WRONG_TYPE, f"{what} must be a number, not a {type(value).__name__}.")
    if isinstance(value, float) and not math.isfinite(value):  # 1e999 reads as infinity
        raise Rejected(Reason.NOT_FINITE, f"{what} is not finite.")
    if value == NO_VALUE:
        raise Rejected(Reason.NO_VALUE, f"{what} is {NO_VALUE}: the device had no value.")
    if not low <= value <= high:
        raise Rejected(Reason.OUT_OF_RANGE, f"{what} is outside {low:g} to {high:g}.")
    return float(value)


def is_name(text: str) -> bool:
    """Whether a device or tag may be called so."""
    return _NAME.fullmatch(text) is not None


def measured(quantity: str, raw: float, scale: float = 1.0, what: str = "") -> float:
    """`raw` x `scale` in the unit of a quantity of `QUANTITIES`, if a device can have measured it.

    Raises:
        Rejected: not finite, the "no value" of measuring devices, or outside of what can be.
    """
    what, (_, low, high) = what[:40] or quantity, QUANTITIES[quantity]
    return _number(_number(raw, -math.inf, math.inf, what) * scale, low, high, what)


def time_of(value: object) -> float:
    """Seconds since the Unix epoch, of a time as devices write it.

    Raises:
        Rejected: no time of this century.
    """
    if isinstance(value, str) and len(value) <= 40:
        try:
            moment = datetime.fromisoformat(value)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=CHINA)).timestamp()
        except (ValueError, OverflowError):
            raise Rejected(Reason.BAD_TIME, f"{value!r} is no ISO 8601 time.") from None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not -1e15 < value < 1e15:  # also NaN and infinity
            raise Rejected(Reason.BAD_TIME, "The time is no time of this century.")
        seconds = value / 1000.0 if value >= _MILLISECONDS_FROM else float(value)
    else:
        raise Rejected(Reason.BAD_TIME, f"A time must be a string or a number, not a {type(value).__name__}.")
    if not EARLIEST_S <= seconds <= LATEST_S:
        raise Rejected(Reason.BAD_TIME, "The time is no time of this century.")
    return seconds


def _seq(fields: dict[str, object]) -> int | None:
    seq = fields.get("seq")
    if seq is None:
        return None
    if isinstance(seq, bool) or not isinstance(seq, int):
        raise Rejected(Reason.WRONG_TYPE, f"seq must be a whole number, not a {type(seq).__name__}.")
    if not 0 <= seq <= _MAX_SEQ:
        raise Rejected(Reason.OUT_OF_RANGE, "seq is outside 0 to 2^53.")
    return seq


def _name(fields: dict[str, object], key: str, default: str) -> str:
    value = fields.get(key, default)
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Rejected(Reason.BAD_NAME, f"{key} is no name of up to 63 letters, digits and _.:-.")
    return value


def _text(fields: dict[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise Rejected(Reason.WRONG_TYPE, f"{key} must be a string, not a {type(value).__name__}.")
    if len(value) > _MAX_TEXT or not value.isprintable():
        raise Rejected(Reason.OUT_OF_RANGE, f"{key} is longer than {_MAX_TEXT} characters or not printable.")
    return value


def _simulated(fields: dict[str, object]) -> bool:
    value = fields.get("simulated", False)
    if not isinstance(value, bool):
        raise Rejected(Reason.WRONG_TYPE, f"simulated must be true or false, not a {type(value).__name__}.")
    return value


def clock_quality(source_at: float, received_at: float) -> Literal["good", "suspect"]:
    """Whether the clock of a device can be believed."""
    return "suspect" if abs(source_at - received_at) > SUSPECT_CLOCK_S else "good"


# --- the three shapes -----------------------------------------------------------------------------------------------

_POWER_FIELDS = frozenset({"ts", "seq", "values", "simulated", "device"})
_TAG_FIELDS = frozenset({"ts", "seq", "kind", "x", "y", "z", "zone", "label", "simulated", "tag", "presence"})
_GATEWAY_FIELDS = frozenset({"version", "location_code", "dynamic_location_code", "ts", "properties", "simulated"})
_PROPERTY_FIELDS = frozenset({"type", "key", "value", "unit", "timestamp"})


def _power(topic: Topic, fields: dict[str, object], received_at: float, into: Parsed) -> None:
    _only(fields, _POWER_FIELDS, ("ts", "values"))
    source_at, seq, simulated = time_of(fields["ts"]), _seq(fields), _simulated(fields)
    device = _name(fields, "device", topic.device)
    values = fields["values"]
    if not isinstance(values, dict) or len(values) > MAX_VALUES:
        raise Rejected(Reason.WRONG_SHAPE, f"values must be an object of at most {MAX_VALUES} quantities.")
    if seq is not None:
        into.steps.append(Step(device, seq, source_at))
    for name, value in values.items():
        try:
            quantity = QUANTITIES.get(name)
            if quantity is None:
                raise Rejected(Reason.UNKNOWN_QUANTITY, f"The quantity {name[:40]!r} is not known.")
            number = _number(value, quantity.low, quantity.high, name)
        except Rejected as error:
            into.reject(error)
            continue
        into.readings.append(
            Reading(
                topic.site,
                device,
                name,
                number,
                quantity.unit,
                source_at,
                received_at,
                seq or 0,
                clock_quality(source_at, received_at),
                simulated,
            )
        )


def _tag(topic: Topic, fields: dict[str, object], received_at: float, into: Parsed) -> None:
    _only(fields, _TAG_FIELDS, ("ts", "kind", "x", "y"))
    kind = fields["kind"]
    if kind not in ("person", "vehicle"):
        raise Rejected(Reason.OUT_OF_RANGE, "kind must be person or vehicle.")
    source_at, seq = time_of(fields["ts"]), _seq(fields)
    tag = _name(fields, "tag", topic.device)
    x, y, z = (_number(fields.get(axis, 0.0), -_MAX_METRES, _MAX_METRES, axis) for axis in ("x", "y", "z"))
    position = Position(
        topic.site,
        tag,
        "person" if kind == "person" else "vehicle",
        x,
        y,
        z,
        _text(fields, "zone"),
        source_at,
        received_at,
        seq or 0,
        _text(fields, "label"),
        _simulated(fields),
        _presence(fields),
    )
    into.positions.append(position)
    if seq is not None:
        into.steps.append(Step(tag, seq, source_at))


def _presence(fields: dict[str, object]) -> Literal["", "in", "out"]:
    found = fields.get("presence", "")
    if found == "in":
        return "in"
    if found == "out":
        return "out"
    if found == "":
        return ""
    raise Rejected(Reason.OUT_OF_RANGE, "presence must be in or out.")


def _gateway(topic: Topic, fields: dict[str, object], received_at: float, into: Parsed) -> None:
    _only(fields, _GATEWAY_FIELDS, ("ts", "properties"))
    sent_at, simulated = time_of(fields["ts"]), _simulated(fields)
    properties = fields["properties"]
    if not isinstance(properties, list) or len(properties) > MAX_RECORDS:
        raise Rejected(Reason.WRONG_SHAPE, f"properties must be an array of at most {MAX_RECORDS}.")
    for item in properties:
        try:
            name, number, source_at = _property(_fields(item), sent_at)
        except Rejected as error:
            into.reject(error)
            continue
        unit, quality = QUANTITIES[name].unit, clock_quality(source_at, received_at)
        into.readings.append(
            Reading(topic.site, topic.device, name, number, unit, source_at, received_at, 0, quality, simulated)
        )


def _property(fields: dict[str, object], sent_at: float) -> tuple[str, float, float]:
    _only(fields, _PROPERTY_FIELDS, ("key", "value"))
    key, unit = fields["key"], fields.get("unit", "")
    if not isinstance(key, str) or key not in GATEWAY_KEYS:
        raise Rejected(Reason.UNKNOWN_QUANTITY, f"The gateway's key {str(key)[:40]!r} is not known.")
    name = GATEWAY_KEYS[key]
    quantity = QUANTITIES[name]
    scale = 1.0 if unit in ("", None, quantity.unit) else UNIT_SCALE.get((str(unit), quantity.unit))
    if scale is None:
        raise Rejected(Reason.BAD_UNIT, f"{name} is measured in {quantity.unit}, not in {str(unit)[:20]!r}.")
    number = _number(fields["value"], quantity.low / scale, quantity.high / scale, name) * scale
    return name, number, time_of(fields["timestamp"]) if "timestamp" in fields else sent_at
