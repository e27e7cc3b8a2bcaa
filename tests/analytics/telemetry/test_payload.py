"""Messages of devices: what is taken, what is refused and why, and that nothing whatever breaks the parser."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.telemetry.payload import (
    MAX_PAYLOAD_BYTES,
    QUANTITIES,
    Parsed,
    Reason,
    Rejected,
    Topic,
    parse,
    parse_topic,
)

NOW = 1_790_000_000.0
POWER = Topic("hongqi", "power", "fan", "event")
TAG = Topic("hongqi", "tag", "all", "event")
GATEWAY = Topic("hongqi", "gateway", "box-1", "event")


def power(**fields: object) -> bytes:
    return json.dumps({"ts": NOW, "seq": 1, "values": {"current_a": 12.5}} | fields).encode()


def tag(**fields: object) -> bytes:
    return json.dumps(
        {"ts": NOW, "seq": 1, "kind": "person", "x": 1, "y": 2, "z": -300, "zone": "face"} | fields
    ).encode()


def reasons(parsed: Parsed) -> dict[str, int]:
    return {str(reason): count for reason, count in parsed.rejected.items()}


def test_power_record_gives_a_reading_per_value_with_its_unit() -> None:
    parsed = parse(POWER, power(values={"current_a": 12.5, "voltage_ab": 10_000, "load": 61}, simulated=True), NOW + 1)
    assert [(r.quantity, r.value, r.unit) for r in parsed.readings] == [
        ("current_a", 12.5, "A"),
        ("voltage_ab", 10_000.0, "V"),
        ("load", 61.0, "%"),
    ]
    first = parsed.readings[0]
    assert (first.site, first.device, first.source_at, first.received_at) == ("hongqi", "fan", NOW, NOW + 1)
    assert first.seq == 1
    assert first.quality == "good"
    assert first.simulated
    assert not parsed.rejected


def test_tag_records_in_an_array_give_positions() -> None:
    body = [json.loads(tag(tag="P-1", label="综采一队")), json.loads(tag(tag="V-1", kind="vehicle"))]
    parsed = parse(TAG, json.dumps(body).encode(), NOW)
    assert [(p.tag, p.kind, p.zone, p.label) for p in parsed.positions] == [
        ("P-1", "person", "face", "综采一队"),
        ("V-1", "vehicle", "face", ""),
    ]
    assert (parsed.positions[0].x_m, parsed.positions[0].y_m, parsed.positions[0].z_m) == (1.0, 2.0, -300.0)


def test_record_without_a_device_of_its_own_is_the_topics() -> None:
    assert parse(POWER, power(), NOW).readings[0].device == "fan"
    assert parse(POWER, power(device="pump-2"), NOW).readings[0].device == "pump-2"


def test_gateway_message_is_read_by_its_chinese_keys_and_units() -> None:
    body = {
        "version": "1.0",
        "location_code": "640100",
        "dynamic_location_code": "",
        "ts": "2026-09-21 22:13:20",
        "properties": [
            {"type": "AI", "key": "A相电流", "value": 0.25, "unit": "A", "timestamp": "2026-09-21 22:13:19"},
            {"type": "AI", "key": "AB线电压", "value": 10.1, "unit": "kV"},
            {"type": "SOE", "key": "电压越限", "value": 1, "timestamp": "2026-09-21 22:13:19"},
            {"type": "AI", "key": "瓦斯", "value": 0.2},
            {"type": "AI", "key": "B相电流", "value": 3, "unit": "V"},
        ],
    }
    parsed = parse(GATEWAY, json.dumps(body).encode(), NOW)
    assert [(r.quantity, r.value, r.unit) for r in parsed.readings] == [
        ("current_a", 0.25, "A"),
        ("voltage_ab", 10_100.0, "V"),
        ("voltage_out_of_limit", 1.0, "1"),
    ]
    assert [r.source_at for r in parsed.readings] == [NOW - 1, NOW, NOW - 1]
    assert reasons(parsed) == {"unknown_quantity": 1, "bad_unit": 1}


@pytest.mark.parametrize(
    "ts",
    [NOW, int(NOW * 1000), "2026-09-21T14:13:20Z", "2026-09-21T22:13:20+08:00", "2026-09-21 22:13:20"],
)
def test_time_may_be_epoch_seconds_milliseconds_or_iso(ts: object) -> None:
    assert parse(POWER, power(ts=ts), NOW).readings[0].source_at == NOW


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (power(values={"current_a": "12"}), Reason.WRONG_TYPE),
        (power(values={"current_a": True}), Reason.WRONG_TYPE),
        (power(values={"current_a": None}), Reason.WRONG_TYPE),
        (power(values={"current_a": [1]}), Reason.WRONG_TYPE),
        (power(values={"current_a": math.nan}), Reason.NOT_FINITE),
        (power(values={"current_a": math.inf}), Reason.NOT_FINITE),
        (power().replace(b"12.5", b"1e999"), Reason.NOT_FINITE),
        (power(values={"current_a": 1e308}), Reason.OUT_OF_RANGE),
        (power().replace(b"12.5", b"9" * 400), Reason.OUT_OF_RANGE),
        (power().replace(b"12.5", b"9" * 5000), Reason.NOT_JSON),
        (power(values={"current_a": -3}), Reason.OUT_OF_RANGE),
        (power(values={"current_a": -9999}), Reason.NO_VALUE),
        (power(values={"gas": 1}), Reason.UNKNOWN_QUANTITY),
        (power(values=[1]), Reason.WRONG_SHAPE),
        (power(values={f"q{n}": 1 for n in range(65)}), Reason.WRONG_SHAPE),
        (power(seq="1"), Reason.WRONG_TYPE),
        (power(seq=-1), Reason.OUT_OF_RANGE),
        (power(ts="yesterday"), Reason.BAD_TIME),
        (power(ts=-9999), Reason.BAD_TIME),
        (power(ts=None), Reason.BAD_TIME),
        (power(ts="0001-01-01T00:00:00+23:59"), Reason.BAD_TIME),
        (power(extra=1), Reason.UNKNOWN_FIELD),
        (power(device="a/b"), Reason.BAD_NAME),
        (power(simulated="yes"), Reason.WRONG_TYPE),
        (b'{"ts": 1790000000}', Reason.MISSING_FIELD),
        (b'{"ts": 1, "ts": 1790000000, "values": {}}', Reason.WRONG_SHAPE),
        (b"", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        (b"3", Reason.WRONG_SHAPE),
        (b"[[]]", Reason.WRONG_SHAPE),
        (b"[" * 100_000, Reason.TOO_DEEP),
        (b" " * (MAX_PAYLOAD_BYTES + 1), Reason.TOO_LARGE),
        (b"[" + b"1," * 1000 + b"1]", Reason.TOO_MANY),
    ],
)
def test_bad_power_message_is_refused_with_the_reason(body: bytes, reason: Reason) -> None:
    parsed = parse(POWER, body, NOW)
    assert not parsed.readings
    assert reasons(parsed) == {str(reason): 1}
    assert len(parsed.details) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (tag(kind="ghost"), Reason.OUT_OF_RANGE),
        (tag(kind=["person"]), Reason.OUT_OF_RANGE),
        (tag(x="1"), Reason.WRONG_TYPE),
        (tag(x=1e308), Reason.OUT_OF_RANGE),
        (tag(zone="z" * 65), Reason.OUT_OF_RANGE),
        (tag(label="a\u0000b"), Reason.OUT_OF_RANGE),
        (tag(label="\ud800"), Reason.OUT_OF_RANGE),
        (tag(zone=3), Reason.WRONG_TYPE),
        (tag(name="Li"), Reason.UNKNOWN_FIELD),
    ],
)
def test_bad_tag_message_is_refused_with_the_reason(body: bytes, reason: Reason) -> None:
    parsed = parse(TAG, body, NOW)
    assert not parsed.positions
    assert reasons(parsed) == {str(reason): 1}


def test_bad_value_does_not_cost_its_neighbours() -> None:
    parsed = parse(POWER, power(values={"current_a": -9999, "current_b": 4.0, "current_c": "x"}), NOW)
    assert [r.quantity for r in parsed.readings] == ["current_b"]
    assert reasons(parsed) == {"no_value": 1, "wrong_type": 1}


@pytest.mark.parametrize(("off_s", "quality"), [(0, "good"), (119, "good"), (121, "suspect"), (-121, "suspect")])
def test_clock_that_is_off_by_two_minutes_makes_a_reading_suspect(off_s: float, quality: str) -> None:
    assert parse(POWER, power(ts=NOW + off_s), NOW).readings[0].quality == quality


@pytest.mark.parametrize(
    "topic",
    [
        "lamproom/v1/hongqi/power/fan",
        "lamproom/v1/hongqi/power/fan/set",
        "lamproom/v1/hongqi/camera/fan/event",
        "lamproom/v1/hongqi/gateway/fan/state",
        "other/v1/hongqi/power/fan/event",
        "lamproom/v1//power/fan/event",
        "lamproom/v1/hongqi/power/../event",
        "lamproom/v1/hongqi/power/a/b/event",
    ],
)
def test_topic_that_carries_no_samples_is_refused(topic: str) -> None:
    with pytest.raises(Rejected):
        parse_topic("lamproom/v1", topic)


def test_topic_names_site_kind_device_and_verb() -> None:
    assert parse_topic("lamproom/v1", "lamproom/v1/hongqi/power/fan/event") == POWER
    assert parse_topic("lamproom/v1", "lamproom/v1/hongqi/tag/P-1/state") == Topic("hongqi", "tag", "P-1", "state")


topics = st.sampled_from([POWER, TAG, GATEWAY])
names = st.sampled_from(
    ["ts", "seq", "values", "kind", "x", "y", "z", "zone", "label", "simulated", "device", "tag", "properties", "key",
     "value", "unit", "timestamp", "current_a", "load", "A相电流"]
)  # fmt: skip
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([NOW, -9999, "person", "2026-09-21T14:13:20Z", "A", "A相电流", 10**400])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=5), inner, max_size=8)
)


def check(parsed: Parsed, topic: Topic) -> None:
    for reading in parsed.readings:
        quantity = QUANTITIES[reading.quantity]
        assert reading.site == topic.site
        assert math.isfinite(reading.source_at)
        assert quantity.low <= reading.value <= quantity.high
        assert reading.value != -9999
        assert reading.unit == quantity.unit
    for position in parsed.positions:
        assert all(map(math.isfinite, (position.x_m, position.y_m, position.z_m, position.source_at)))
        (position.zone + position.label).encode()


@given(topics, st.binary(max_size=200))
def test_any_bytes_are_parsed_or_counted(topic: Topic, body: bytes) -> None:
    check(parse(topic, body, NOW), topic)


@given(topics, values)
def test_any_json_is_parsed_or_counted(topic: Topic, body: object) -> None:
    parsed = parse(topic, json.dumps(body).encode(), NOW)
    check(parsed, topic)
    if not isinstance(body, list | dict):
        assert parsed.rejected.total() == 1


@given(topics, st.dictionaries(names, values, max_size=9))
def test_any_record_of_known_fields_is_parsed_or_counted(topic: Topic, fields: dict[str, object]) -> None:
    start: dict[str, object] = {"ts": NOW}
    if topic is TAG:
        start |= {"kind": "person", "x": 0, "y": 0}
    check(parse(topic, json.dumps(start | fields).encode(), NOW), topic)
