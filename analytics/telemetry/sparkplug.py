"""Sparkplug B, read only: protobuf payloads and what the metrics of edge nodes measure. Bytes in, samples out; no I/O.

A node tells all names of its metrics once, in its birth (NBIRTH, and DBIRTH for each device behind it); later messages
may give an alias alone. `seq` counts 0 to 255 and around over all messages of a node: a gap, or data of a node whose
birth we missed, asks for a new birth (*rebirth*), and until it comes aliases are not believed: they may be others by
now. A metric marked historical fills the curve and moves nothing that is current; the store sees to that by its time. A
death says that values are stale; it has no samples.

The protobuf schema is small and closed, and read here by hand: the packages that know it need an MQTT library that is
too old (Sparkplug 3.0, §6.4).
"""

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from analytics.errors import SourceRefused
from analytics.plugin import Reading
from analytics.telemetry.payload import (
    EARLIEST_S,
    LATEST_S,
    MAX_PAYLOAD_BYTES,
    QUANTITIES,
    Parsed,
    Reason,
    Rejected,
    clock_quality,
    is_name,
    measured,
)
from config.settings import SparkplugMetricSettings, SparkplugNodeSettings

NAMESPACE = "spBv1.0"
MAX_METRICS = 2000
"""In one message, and in one birth."""
MAX_DEVICES = 200
"""Behind one node."""
MAX_NAME = 200
REBIRTH_METRIC = "Node Control/Rebirth"
REBIRTH_EVERY_S = 10.0
"""A node is asked again after this, if it goes on without a birth."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Datatypes Int8 to Int64: sent as unsigned numbers."""
_TEXT_TYPES = frozenset({12, 14, 15, 16, 17})


class Metric(NamedTuple):
    """One metric of a payload. `value` is None where it has no number."""

    name: str
    alias: int | None
    at: float | None
    """Seconds since the Unix epoch."""
    value: float | None
    null: bool
    historical: bool


class Payload(NamedTuple):
    """One message."""

    at: float | None
    seq: int | None
    metrics: tuple[Metric, ...]


class Topic(NamedTuple):
    """`spBv1.0/{group}/{verb}/{node}[/{device}]`."""

    group: str
    verb: str
    node: str
    device: str


# --- protobuf -------------------------------------------------------------------------------------------------------


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        if at >= len(data):
            raise Rejected(Reason.WRONG_SHAPE, "The payload ends within a number.")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise Rejected(Reason.WRONG_SHAPE, "A number of the payload is too long.")


def _fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Field number, wire type and raw value of each field."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, wire, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise Rejected(Reason.WRONG_SHAPE, f"The payload has a field of wire type {wire}.")
        if length > len(data) - at:
            raise Rejected(Reason.WRONG_SHAPE, "The payload ends within a field.")
        yield key >> 3, wire, data[at : at + length]
        at += length


def read(data: bytes) -> Payload:
    """A Sparkplug B payload.

    Raises:
        Rejected: it is none, or too large.
    """
    if len(data) > MAX_PAYLOAD_BYTES:
        raise Rejected(Reason.TOO_LARGE, f"A message of {len(data)} bytes is longer than {MAX_PAYLOAD_BYTES}.")
    at: float | None = None
    seq: int | None = None
    metrics: list[Metric] = []
    for number, _wire, value in _fields(data):
        if number == 1 and isinstance(value, int):
            at = value / 1000.0
        elif number == 2 and isinstance(value, bytes):
            metrics.append(_metric(value))
        elif number == 3 and isinstance(value, int):
            seq = value
        if len(metrics) > MAX_METRICS:
            raise Rejected(Reason.TOO_MANY, f"More than {MAX_METRICS} metrics in one message.")
    return Payload(at, seq, tuple(metrics))


def _metric(data: bytes) -> Metric:
    name, alias, at, datatype = "", None, None, 0
    null = historical = False
    raw: tuple[int, int | bytes] | None = None
    for number, _wire, value in _fields(data):
        match number, value:
            case 1, bytes():
                name = value[: MAX_NAME + 1].decode("utf-8", "replace")
            case 2, int():
                alias = value
            case 3, int():
                at = value / 1000.0
            case 4, int():
                datatype = value
            case 5, int():
                historical = bool(value)
            case 7, int():
                null = bool(value)
            case ((10 | 11 | 12 | 13 | 14), _):
                raw = number, value
            case _:
                pass
    return Metric(name, alias, at, _number(raw, datatype), null, historical)


def _number(raw: tuple[int, int | bytes] | None, datatype: int) -> float | None:
    if raw is None or datatype in _TEXT_TYPES:
        return None
    number, value = raw
    if isinstance(value, bytes):
        if number == 12 and len(value) == 4:
            return float(struct.unpack("<f", value)[0])
        if number == 13 and len(value) == 8:
            return float(struct.unpack("<d", value)[0])
        return None
    bits = _SIGNED_BITS.get(datatype)
    if bits is not None:
        value &= (1 << bits) - 1
        if value >> (bits - 1):
            value -= 1 << bits
    return float(value) if number in (10, 11, 14) else None


def rebirth(at: float) -> bytes:
    """The payload of an NCMD that asks a node for its births.

    Args:
        at: UTC seconds.
    """
    name = REBIRTH_METRIC.encode()
    metric = b"\x0a" + _packed(len(name)) + name + b"\x20\x0b" + b"\x70\x01"  # name, datatype Boolean, true
    return b"\x08" + _packed(int(at * 1000)) + b"\x12" + _packed(len(metric)) + metric


def _packed(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# --- nodes ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    settings: SparkplugNodeSettings
    wanted: Mapping[tuple[str, str], SparkplugMetricSettings]
    born: bool = False
    seq: int | None = None
    asked_at: float = -math.inf
    names: dict[str, dict[int, str]] = field(default_factory=dict)
    """Device → alias → name."""


@dataclass(slots=True)
class Outcome:
    """What one message gave. `rebirth`: the topic on which the node must be asked for a birth."""

    site: str
    parsed: Parsed
    rebirth: str | None = None
    missing: int = 0
    """Messages that were not received before this one."""


def parse_topic(topic: str) -> Topic:
    """
    Raises:
        Rejected: no topic of a node's messages.
    """
    parts = topic.split("/")
    if parts[0] != NAMESPACE or not 4 <= len(parts) <= 5:
        raise Rejected(Reason.TOPIC, f"The topic {topic[:200]!r} carries no samples.")
    return Topic(parts[1], parts[2], parts[3], parts[4] if len(parts) == 5 else "")


class Sparkplug:
    """Follows the edge nodes of the settings.

    Raises:
        SourceRefused: a metric is mapped to a quantity that is not known.
    """

    def __init__(self, settings: tuple[SparkplugNodeSettings, ...]) -> None:
        for node in settings:
            for one in node.metrics:
                if one.quantity not in QUANTITIES:
                    raise SourceRefused(f"sparkplug node {node.node}: the quantity {one.quantity!r} is not known")
        self._nodes = {
            (one.group, one.node): _Node(one, {(row.unit_of, row.metric): row for row in one.metrics})
            for one in settings
        }

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        return [f"{NAMESPACE}/{group}/+/{node}{rest}" for group, node in self._nodes for rest in ("", "/+")]

    def take(self, topic: str, data: bytes, now: float) -> Outcome:
        """One message of a node.

        Args:
            now: UTC seconds.

        Raises:
            Rejected: of no node that we know, or no payload.
        """
        of = parse_topic(topic)
        node = self._nodes.get((of.group, of.node))
        if node is None:
            raise Rejected(Reason.SITE, f"The node {of.group}/{of.node} is not known here.")
        if of.verb not in ("NBIRTH", "DBIRTH", "NDATA", "DDATA"):
            if of.verb == "NDEATH":
                node.born, node.seq = False, None
            elif of.verb == "DDEATH":
                node.names.pop(of.device, None)
            return Outcome(node.settings.site, Parsed())
        payload = read(data)
        if of.verb == "NBIRTH":
            node.born, node.seq = True, payload.seq
            node.names.clear()
            missing = 0
        else:
            missing = _step(node, payload.seq)
            if missing:
                node.born = False  # a birth may be among what is missing, and aliases other ones by now
        if of.verb.endswith("BIRTH"):
            _remember(node, of.device, payload)
        outcome = Outcome(node.settings.site, self._samples(node, of.device, payload, now), missing=missing)
        if (missing or not node.born) and now - node.asked_at >= REBIRTH_EVERY_S:
            node.asked_at = now
            outcome.rebirth = f"{NAMESPACE}/{of.group}/NCMD/{of.node}"
        return outcome

    def _samples(self, node: _Node, device: str, payload: Payload, now: float) -> Parsed:
        parsed = Parsed()
        for metric in payload.metrics:
            try:
                reading = _reading(node, device, metric, payload.at, now)
            except Rejected as error:
                parsed.reject(error)
                continue
            if reading is not None:
                parsed.readings.append(reading)
        return parsed


def _step(node: _Node, seq: int | None) -> int:
    """How many messages are missing before this one."""
    last, node.seq = node.seq, seq
    if last is None or seq is None:
        return 0
    return (seq - last - 1) % 256


def _remember(node: _Node, device: str, payload: Payload) -> None:
    """A birth names all metrics of its device: what the one before said counts no more."""
    node.names.pop(device, None)
    if len(node.names) < MAX_DEVICES:
        node.names[device] = {one.alias: one.name for one in payload.metrics if one.name and one.alias is not None}


def _reading(node: _Node, device: str, metric: Metric, at: float | None, now: float) -> Reading | None:
    """None: a metric that nobody asked for.

    Raises:
        Rejected: one that we want has no sound value or time.
    """
    name = metric.name
    if not name and metric.alias is not None:
        name = node.names.get(device, {}).get(metric.alias, "") if node.born else ""
        if not name:
            raise Rejected(Reason.UNKNOWN_FIELD, f"The alias {metric.alias} is known from no birth.")
    row = node.wanted.get((device, name))
    if row is not None:
        ours, quantity_name, scale = row.device, row.quantity, row.scale
    elif name in QUANTITIES and is_name(device):
        ours, quantity_name, scale = device, name, 1.0
    else:
        return None
    if metric.null or metric.value is None:
        raise Rejected(Reason.NO_VALUE, f"{name[:40]} has no value.")
    unit, value = QUANTITIES[quantity_name].unit, measured(quantity_name, metric.value, scale, name)
    source_at = metric.at if metric.at is not None else at
    if source_at is None or not EARLIEST_S <= source_at < LATEST_S:
        raise Rejected(Reason.BAD_TIME, f"{name[:40]} has no time of this century.")
    believed = "good" if metric.historical else clock_quality(source_at, now)
    return Reading(node.settings.site, ours, quantity_name, value, unit, source_at, now, 0, believed)
