"""Sparkplug B: payloads written by another library, nodes that lose messages, hostile bytes."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.errors import SourceRefused
from analytics.telemetry.mqtt import MqttSource
from analytics.telemetry.payload import Reason, Rejected
from analytics.telemetry.quarantine import Gap
from analytics.telemetry.sparkplug import REBIRTH_EVERY_S, Sparkplug, read, rebirth
from config.settings import MqttSettings, SparkplugNodeSettings
from tests.fakes import sparkplug as theirs
from tests.fakes.broker import Mosquitto
from tests.fakes.telemetryreader import TelemetryReader, until

AT = 1_800_000_000.0
NODE = {
    "group": "Hongqi", "node": "Sub 1", "site": "hongqi",
    "metrics": [
        {"metric": "Electrical/Ia", "unit_of": "Belt", "device": "belt", "quantity": "current_a"},
        {"metric": "P", "device": "substation", "quantity": "active_power", "scale": 0.001},
    ],
}  # fmt: skip


def nodes(**changes: object) -> tuple[SparkplugNodeSettings, ...]:
    return (SparkplugNodeSettings.model_validate(NODE | changes),)


def topic(verb: str, device: str = "") -> str:
    return f"spBv1.0/Hongqi/{verb}/Sub 1" + (f"/{device}" if device else "")


def births(plant: Sparkplug, at: float = AT) -> None:
    plant.take(topic("NBIRTH"), theirs.payload(at, 0, {"name": "P", "alias": 1, "datatype": 10, "double_value": 0}), at)
    first = {"name": "Electrical/Ia", "alias": 2, "datatype": 9, "float_value": 1.0}
    plant.take(topic("DBIRTH", "Belt"), theirs.payload(at, 1, first), at)


def test_births_tell_names_and_data_come_by_alias() -> None:
    plant = Sparkplug(nodes())
    births(plant)
    data = theirs.payload(
        AT + 5,
        2,
        {"alias": 2, "float_value": 41.5},
        {"name": "Other", "float_value": 1.0},
        {"alias": 77, "int_value": 1},
    )
    outcome = plant.take(topic("DDATA", "Belt"), data, AT + 5)
    found = [(one.device, one.quantity, one.value, one.unit, one.source_at) for one in outcome.parsed.readings]
    assert found == [("belt", "current_a", 41.5, "A", AT + 5)]
    assert outcome.parsed.rejected == {Reason.UNKNOWN_FIELD: 1}  # nobody ever named alias 77
    assert (outcome.rebirth, outcome.missing) == (None, 0)
    of_node = plant.take(topic("NDATA"), theirs.payload(AT + 6, 3, {"alias": 1, "double_value": 2500.0}), AT + 6)
    assert [(one.device, one.value, one.unit) for one in of_node.parsed.readings] == [("substation", 2.5, "kW")]


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ({"datatype": 3, "int_value": 2**32 - 5}, None),
        ({"datatype": 2, "int_value": 0xFFFF}, None),
        ({"datatype": 4, "long_value": 30}, 30.0),
        ({"datatype": 7, "int_value": 30}, 30.0),
        ({"datatype": 9, "float_value": 0.5}, 0.5),
        ({"datatype": 10, "double_value": 0.5}, 0.5),
        ({"datatype": 11, "boolean_value": True}, 1.0),
    ],
)
def test_numbers_of_every_type_are_read(metric: dict[str, object], value: float | None) -> None:
    """Signed ones are sent as unsigned: -5 A and -1 A are no currents, and refused as what they are."""
    plant = Sparkplug(nodes())
    outcome = plant.take(topic("DDATA", "Belt"), theirs.payload(AT, None, {"name": "Electrical/Ia"} | metric), AT)
    if value is None:
        assert outcome.parsed.rejected == {Reason.OUT_OF_RANGE: 1}
    else:
        assert [one.value for one in outcome.parsed.readings] == [value]


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ({"is_null": True}, Reason.NO_VALUE),
        ({"string_value": "12", "datatype": 12}, Reason.NO_VALUE),
        ({"float_value": float("nan")}, Reason.NOT_FINITE),
        ({"float_value": -9999.0}, Reason.NO_VALUE),
        ({"float_value": 1e9}, Reason.OUT_OF_RANGE),
        ({"float_value": 1.0, "timestamp": 2**62}, Reason.BAD_TIME),
        ({"float_value": 1.0, "timestamp": 86_400_000}, Reason.BAD_TIME),
    ],
)
def test_no_value_is_made_up(metric: dict[str, object], reason: Reason) -> None:
    data = theirs.payload(AT, None, {"name": "Electrical/Ia"} | metric)
    assert Sparkplug(nodes()).take(topic("DDATA", "Belt"), data, AT).parsed.rejected == {reason: 1}


def test_metric_that_is_called_like_a_quantity_needs_no_row() -> None:
    data = theirs.payload(AT, None, {"name": "temperature", "float_value": 40.0}, {"name": "nonsense", "int_value": 1})
    outcome = Sparkplug(nodes(metrics=[])).take(topic("DDATA", "Fan-1"), data, AT)
    assert [(one.device, one.quantity, one.value) for one in outcome.parsed.readings] == [
        ("Fan-1", "temperature", 40.0)
    ]


def test_back_fill_is_believed_however_old_and_live_data_with_a_wrong_clock_is_not() -> None:
    plant, old = Sparkplug(nodes()), AT - 86_400
    one = {"name": "Electrical/Ia", "float_value": 1.0, "timestamp": int(old * 1000)}
    back_fill = plant.take(topic("DDATA", "Belt"), theirs.payload(AT, None, one | {"is_historical": True}), AT)
    live = plant.take(topic("DDATA", "Belt"), theirs.payload(AT, None, one), AT)
    assert [found.quality for found in (*back_fill.parsed.readings, *live.parsed.readings)] == ["good", "suspect"]


def test_gap_in_the_count_is_told_and_asks_for_a_birth_now_and_then() -> None:
    plant = Sparkplug(nodes())
    births(plant)
    lost = plant.take(topic("NDATA"), theirs.payload(AT, 5), AT)
    assert (lost.missing, lost.rebirth) == (3, "spBv1.0/Hongqi/NCMD/Sub 1")
    again = plant.take(topic("NDATA"), theirs.payload(AT, 9), AT + 1)
    assert (again.missing, again.rebirth) == (3, None)
    later = plant.take(topic("NDATA"), theirs.payload(AT, 12), AT + REBIRTH_EVERY_S)
    assert later.rebirth is not None


@pytest.mark.parametrize("way", ["death", "gap", "device death"])
def test_aliases_are_not_believed_when_a_birth_may_have_been_missed(way: str) -> None:
    plant = Sparkplug(nodes())
    data: dict[str, object] = {"alias": 2, "float_value": 400.0}
    births(plant)
    seq = 2
    if way == "death":
        plant.take(topic("NDEATH"), theirs.payload(AT, None), AT)
    elif way == "device death":
        plant.take(topic("DDEATH", "Belt"), theirs.payload(AT, 2), AT)
    else:
        seq = 9
    outcome = plant.take(topic("DDATA", "Belt"), theirs.payload(AT, seq, data), AT)
    assert (outcome.parsed.readings, outcome.parsed.rejected) == ([], {Reason.UNKNOWN_FIELD: 1})
    births(plant, AT + 1)
    known = plant.take(topic("DDATA", "Belt"), theirs.payload(AT + 2, 2, data), AT + 2)
    assert [one.value for one in known.parsed.readings] == [400.0]


def test_new_birth_of_a_device_names_its_metrics_anew() -> None:
    plant = Sparkplug(nodes())
    births(plant)
    again = theirs.payload(AT, 2, {"name": "Voltage", "alias": 2, "datatype": 9, "float_value": 10_000.0})
    plant.take(topic("DBIRTH", "Belt"), again, AT)
    outcome = plant.take(topic("DDATA", "Belt"), theirs.payload(AT, 3, {"alias": 2, "float_value": 10_000.0}), AT)
    assert (outcome.parsed.readings, outcome.parsed.rejected) == ([], {})  # it is no current any more


def test_count_goes_around_and_a_birth_begins_it_anew() -> None:
    plant = Sparkplug(nodes())
    plant.take(topic("NBIRTH"), theirs.payload(AT, 254), AT)
    steps = [plant.take(topic("NDATA"), theirs.payload(AT, seq), AT).missing for seq in (255, 0, 1)]
    plant.take(topic("NBIRTH"), theirs.payload(AT, 0), AT)
    assert [*steps, plant.take(topic("NDATA"), theirs.payload(AT, 1), AT).missing] == [0, 0, 0, 0]


def test_node_that_died_or_was_never_born_is_asked_for_its_birth() -> None:
    plant = Sparkplug(nodes())
    assert plant.take(topic("NDATA"), theirs.payload(AT, 7), AT).rebirth is not None
    births(plant, AT + 100)
    assert plant.take(topic("NDATA"), theirs.payload(AT, 2), AT + 100).rebirth is None
    plant.take(topic("NDEATH"), theirs.payload(AT, None, {"name": "bdSeq", "long_value": 1}), AT + 101)
    assert plant.take(topic("NDATA"), theirs.payload(AT, 90), AT + 200).rebirth is not None


def test_request_for_a_birth_is_what_the_schema_wants() -> None:
    message = theirs.read(rebirth(AT))
    assert (message.timestamp, len(message.metrics)) == (int(AT * 1000), 1)
    assert (message.metrics[0].name, message.metrics[0].datatype) == ("Node Control/Rebirth", 11)
    assert message.metrics[0].boolean_value is True


@pytest.mark.parametrize("where", ["spBv1.0/Hongqi/NDATA", "spBv1.0/a/b/c/d/e", "lamproom/v1/x/y/z"])
def test_topic_of_no_node_is_refused(where: str) -> None:
    with pytest.raises(Rejected):
        Sparkplug(nodes()).take(where, b"", AT)


def test_mapping_to_no_quantity_is_refused_at_the_start() -> None:
    with pytest.raises(SourceRefused, match="speed"):
        Sparkplug(nodes(metrics=[{"metric": "v", "device": "belt", "quantity": "speed"}]))


@given(st.binary(max_size=300), st.integers(0, 300))
def test_hostile_bytes_are_refused_and_raise_nothing_else(noise: bytes, cut: int) -> None:
    good = theirs.payload(AT, 3, {"name": "Electrical/Ia", "alias": 2, "float_value": 41.5, "is_historical": True})
    for data in (noise, good[:cut] + noise, noise + good):
        with contextlib.suppress(Rejected):
            read(data)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path) as running:
        yield running


@pytest.mark.peer
async def test_edge_node_on_a_real_broker_is_read_and_asked_for_its_birth(broker: Mosquitto) -> None:
    gaps: list[Gap] = []
    settings = MqttSettings.model_validate({"host": broker.host, "port": broker.port, "sparkplug": [NODE]})
    source = MqttSource(settings, {"hongqi"}, on_gap=gaps.append)
    async with TelemetryReader(source) as reader, aiomqtt.Client(broker.host, broker.port) as node:
        await until(lambda: source.connected)
        await node.subscribe("spBv1.0/Hongqi/NCMD/Sub 1")
        await node.publish(topic("DDATA", "Belt"), theirs.payload(AT, 7, {"alias": 2, "float_value": 9.0}), qos=1)
        asked = await anext(aiter(node.messages))
        assert isinstance(asked.payload, bytes)
        assert theirs.read(asked.payload).metrics[0].name == "Node Control/Rebirth"
        birth = {"name": "Electrical/Ia", "alias": 2, "datatype": 9, "float_value": 40.0}
        await node.publish(topic("NBIRTH"), theirs.payload(AT, 0), qos=1)
        await node.publish(topic("DBIRTH", "Belt"), theirs.payload(AT, 1, birth), qos=1)
        await node.publish(topic("DDATA", "Belt"), theirs.payload(AT + 1, 2, {"alias": 2, "float_value": 41.5}), qos=1)
        await node.publish(topic("DDATA", "Belt"), theirs.payload(AT + 2, 6, {"alias": 2, "float_value": 42.0}), qos=1)
        await until(lambda: source.counters.rejected.total() == 2)
    assert reader.values("current_a") == [40.0, 41.5]  # after the gap an alias is not believed
    assert [(gap.device, gap.missing) for gap in gaps] == [("Sub 1", 3)]
    assert source.counters.rejected == {Reason.UNKNOWN_FIELD: 2}
