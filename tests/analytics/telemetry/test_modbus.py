"""Meters over Modbus TCP, against a real Modbus server."""

import contextlib
from collections.abc import AsyncIterator

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from analytics.errors import SourceRefused
from analytics.plugin import TelemetrySource
from analytics.telemetry.links import Link
from analytics.telemetry.modbus import ModbusSource
from analytics.telemetry.payload import Reason
from config.settings import ModbusSettings
from tests.fakes.broker import free_port
from tests.fakes.telemetryreader import TelemetryReader, until


def meter(unit: int, current: float) -> SimDevice:
    """Current in holding registers 0 and 1, energy (Wh) in 4 and 5, as a meter of nobody's make."""
    holding = [
        SimData(0, values=[current], datatype=DataType.FLOAT32),
        SimData(2, values=[0, 0], datatype=DataType.REGISTERS),
        SimData(4, values=[123_456], datatype=DataType.UINT32),
    ]
    return SimDevice(unit, holding)


@contextlib.asynccontextmanager
async def serving(port: int, *meters: SimDevice) -> AsyncIterator[None]:
    server = ModbusTcpServer(list(meters), address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


def settings(port: int, *units: int, **fields: object) -> ModbusSettings:
    return ModbusSettings.model_validate(
        {
            "meters": [
                {"site": "hongqi", "device": f"meter{unit}", "host": "127.0.0.1", "port": port, "unit": unit,
                 "profile": "ours", "interval_s": 0.1, "timeout_s": 0.5} | fields
                for unit in units
            ],
            "profiles": [
                {"name": "ours", "registers": [
                    {"quantity": "current_a", "address": 0},
                    {"quantity": "energy", "address": 4, "type": "uint32", "scale": 0.001},
                ]}
            ],
        }
    )  # fmt: skip


async def test_meters_behind_one_gateway_are_asked_again_and_again() -> None:
    port = free_port()
    async with serving(port, meter(1, 12.5), meter(2, 40.0)):
        source = ModbusSource(settings(port, 1, 2))
        assert isinstance(source, TelemetrySource)
        async with TelemetryReader(source) as reader:
            await until(lambda: len(reader.readings) >= 12)
    assert {(one.device, one.quantity): (one.value, one.unit) for one in reader.readings} == {
        ("meter1", "current_a"): (12.5, "A"),
        ("meter1", "energy"): (123.456, "kWh"),
        ("meter2", "current_a"): (40.0, "A"),
        ("meter2", "energy"): (123.456, "kWh"),
    }
    times = [one.source_at for one in reader.readings if (one.device, one.quantity) == ("meter1", "energy")]
    assert len(set(times)) == len(times)
    assert all(link.up for link in source.links)
    assert source.counters.connections == 1


async def test_meter_that_is_not_there_does_not_hide_its_neighbour() -> None:
    port = free_port()
    async with serving(port, meter(1, 12.5)):
        source = ModbusSource(settings(port, 1, 9))
        async with TelemetryReader(source) as reader:
            await until(lambda: len(reader.values("current_a")) >= 5 and source.counters.rejected.total() >= 1)
    assert {one.name: one.up for one in source.links} == {"hongqi/meter1": True, "hongqi/meter9": False}
    assert source.counters.rejected[Reason.NO_VALUE] >= 1


async def test_gateway_that_goes_and_comes_back_is_told_and_asked_again() -> None:
    port, told = free_port(), list[Link]()
    source = ModbusSource(settings(port, 1), on_link=told.append)
    async with TelemetryReader(source) as reader:
        await until(lambda: len(told) == 1)
        assert not told[0].up
        async with serving(port, meter(1, 12.5)):
            await until(lambda: len(reader.readings) >= 2)
        await until(lambda: not next(iter(source.links)).up)
        before = len(reader.readings)
        async with serving(port, meter(1, 13.5)):
            await until(lambda: len(reader.readings) >= before + 2)
    assert reader.values("current_a")[-1] == 13.5
    assert source.counters.connections == 2


def test_profile_that_nobody_wrote_is_refused() -> None:
    with pytest.raises(SourceRefused, match="no profile 'acme'"):
        ModbusSource(settings(502, 1, profile="acme"))
