"""The demonstration's broker, with the server's own telemetry source on the other side."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from analytics.plugin import Position, Reading
from analytics.telemetry.mqtt import MqttSource
from config.settings import MqttSettings
from server.demo.mine import SimulatedMine
from tests.fakes.broker import free_port

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def demo_broker() -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server.demo.broker",
        "--port",
        str(port),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        yield port, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_simulated_mine_reaches_the_source_through_the_broker() -> None:
    readings: list[Reading] = []
    positions: list[Position] = []
    async with demo_broker() as (port, process):
        source = MqttSource(MqttSettings(host="127.0.0.1", port=port), {"hongqi", "dongfeng"})

        async def read() -> None:
            async with contextlib.aclosing(source.batches()) as batches:
                async for batch in batches:
                    readings.extend(batch.readings)
                    positions.extend(batch.positions)
                    await batch.stored()

        reading = asyncio.create_task(read())
        async with asyncio.timeout(15):
            while not source.connected:
                await asyncio.sleep(0.02)
        mine = SimulatedMine(seed=1)
        async with aiomqtt.Client("127.0.0.1", port) as client:
            for _ in range(5):
                for message in mine.tick(time.time()):
                    await client.publish(message.topic, message.payload, qos=1)
        async with asyncio.timeout(15):
            while len(positions) < 5 * 42 or len(readings) < 5 * 9 * 6:
                await asyncio.sleep(0.02)
        reading.cancel()
        await asyncio.wait({reading})
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""
    assert {reading.simulated for reading in readings} | {position.simulated for position in positions} == {True}
    assert source.counters.gaps == 0
    assert not source.counters.rejected


async def test_broker_is_not_reachable_from_other_machines() -> None:
    async with demo_broker() as (port, _):
        with pytest.raises(OSError):  # noqa: PT011 - refused, or no such address
            await asyncio.wait_for(asyncio.open_connection("127.0.0.2", port), 5)
