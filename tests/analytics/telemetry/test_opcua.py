"""Variables of a real OPC UA server: changes, statuses, clocks, and a server that goes away."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.server import Server

from analytics.errors import SourceRefused
from analytics.plugin import TelemetrySource
from analytics.telemetry.opcua import Change, OpcUaSource, reading_of
from analytics.telemetry.payload import Reason, Rejected
from config.settings import OpcUaNodeSettings, OpcUaServerSettings
from tests.fakes.broker import free_port
from tests.fakes.relay import Relay
from tests.fakes.telemetryreader import TelemetryReader, until

AT = 1_800_000_000.0
BAD_SENSOR = 0x808C0000
BELT = OpcUaNodeSettings(node="ns=2;s=Belt.Ia", device="belt", quantity="current_a")


def settings(port: int, **fields: object) -> OpcUaServerSettings:
    return OpcUaServerSettings.model_validate(
        {"site": "hongqi", "url": f"opc.tcp://127.0.0.1:{port}/mine", "publish_ms": 50, "repeat_s": 0.2, "nodes": [
            {"node": "ns=2;s=Belt.Ia", "device": "belt", "quantity": "current_a"},
            {"node": "ns=2;s=Belt.P", "device": "belt", "quantity": "active_power", "scale": 0.001},
        ]} | fields
    )  # fmt: skip


@contextlib.asynccontextmanager
async def plant(port: int) -> AsyncIterator[Server]:
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/mine")
    await server.register_namespace("urn:mine")
    for name, value in (("Belt.Ia", 10.0), ("Belt.P", 2500.0)):
        await server.nodes.objects.add_variable(ua.NodeId.from_string(f"ns=2;s={name}"), name, value)
    async with server:
        yield server


async def write(server: Server, value: float, **fields: Any) -> None:
    told = ua.DataValue(ua.Variant(value, ua.VariantType.Double), **fields)
    await server.get_node("ns=2;s=Belt.Ia").write_value(told)


async def test_changes_are_told_with_the_time_and_status_of_the_server_also_after_a_cut() -> None:
    port, told = free_port(), list[bool]()
    hour_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)
    async with plant(port) as server, Relay(port) as way:
        strange = {"node": "ns=2;s=Nobody", "device": "belt", "quantity": "current_b"}
        refused = OpcUaSource((settings(port, nodes=[strange]),), jitter=lambda low, high: 0.1)
        async with TelemetryReader(refused):
            await until(lambda: "Nobody" in next(iter(refused.links)).reason)
        source = OpcUaSource(
            (settings(way.port),), on_link=lambda link: told.append(link.up), jitter=lambda low, high: 0.1
        )
        assert isinstance(source, TelemetrySource)
        async with TelemetryReader(source) as reader:
            await until(lambda: len(reader.readings) >= 2)
            await until(lambda: reader.values("active_power").count(2.5) >= 3)  # nothing changes: it is repeated
            await write(server, 41.5)
            await until(lambda: reader.values("current_a")[-1] == 41.5)
            await write(server, 42.5, SourceTimestamp=hour_ago)
            await until(lambda: reader.values("current_a")[-1] == 42.5)
            old = next(one for one in reader.readings if one.value == 42.5)
            await write(server, 43.5, StatusCode=ua.StatusCode(ua.UInt32(BAD_SENSOR)))
            await until(lambda: source.counters.rejected[Reason.NO_VALUE] == 1)
            before = len(reader.values("current_a"))
            power = len(reader.values("active_power"))
            await until(lambda: len(reader.values("active_power")) >= power + 3)
            assert len(reader.values("current_a")) == before  # what is bad is not repeated as it was before
            await way.cut()
            await until(lambda: told == [True, False])
            await write(server, 44.5)
            await way.mend()
            await until(lambda: reader.values("current_a")[-1] == 44.5)
    assert list(dict.fromkeys(reader.values("current_a"))) == [10.0, 41.5, 42.5, 44.5]
    assert set(reader.values("active_power")) == {2.5}
    assert (old.unit, old.quality) == ("A", "suspect")
    assert abs(old.source_at - hour_ago.replace(tzinfo=UTC).timestamp()) < 0.01
    assert (told, source.counters.connections) == ([True, False, True], 2)


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        (1.0, BAD_SENSOR, Reason.NO_VALUE),
        ("12", 0, Reason.WRONG_TYPE),
        (None, 0, Reason.WRONG_TYPE),
        (float("inf"), 0, Reason.NOT_FINITE),
        (-9999.0, 0, Reason.NO_VALUE),
        (1e9, 0, Reason.OUT_OF_RANGE),
    ],
)
def test_no_value_is_made_up(value: object, status: int, reason: Reason) -> None:
    with pytest.raises(Rejected) as refused:
        reading_of(Change(BELT, value, status, AT), "hongqi", AT)
    assert refused.value.reason is reason


def test_uncertain_value_is_suspect_and_one_without_time_is_of_now() -> None:
    found = reading_of(Change(BELT, True, 0x40000000, None), "hongqi", AT)
    assert (found.value, found.quality, found.source_at) == (1.0, "suspect", AT)


def test_quantity_that_is_not_known_is_refused_at_the_start() -> None:
    with pytest.raises(SourceRefused, match="speed"):
        OpcUaSource((settings(1, nodes=[{"node": "i=1", "device": "belt", "quantity": "speed"}]),))
