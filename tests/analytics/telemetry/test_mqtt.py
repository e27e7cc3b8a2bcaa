"""The MQTT source against a real broker: nothing is lost when we are killed, and nothing is acknowledged early."""

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiomqtt
import pytest

from analytics.plugin import Batch, TelemetrySource
from analytics.telemetry.mqtt import MqttSource
from analytics.telemetry.payload import Reason
from analytics.telemetry.quarantine import Gap
from config.settings import MqttSettings
from tests.fakes.broker import Mosquitto

pytestmark = pytest.mark.peer
FAN = "lamproom/v1/hongqi/power/fan/event"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    async with Mosquitto(folder) as running:
        yield running


def settings(broker: Mosquitto, **changes: object) -> MqttSettings:
    return MqttSettings.model_validate({"host": broker.host, "port": broker.port, "client_id": "test"} | changes)


def power(seq: int, **fields: object) -> str:
    return json.dumps({"ts": time.time(), "seq": seq, "values": {"current_a": float(seq)}} | fields)


async def publish(broker: Mosquitto, *messages: tuple[str, str | bytes], qos: int = 1, retain: bool = False) -> None:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=qos, retain=retain)


async def wait_until(condition: Callable[[], bool], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


async def connected(source: MqttSource) -> None:
    await wait_until(lambda: source.connected)


class Reader:
    """Reads a source in the background, and says when each batch is stored."""

    def __init__(self, source: MqttSource, store: bool = True) -> None:
        self.source = source
        self.store = store
        self.batches: list[Batch] = []
        self.stored = 0
        self._task: asyncio.Task[None] | None = None

    async def _run(self) -> None:
        async with contextlib.aclosing(self.source.batches()) as batches:
            async for batch in batches:
                self.batches.append(batch)
                if self.store:
                    await batch.stored()
                    self.stored += 1

    async def __aenter__(self) -> "Reader":
        self._task = asyncio.create_task(self._run())
        await connected(self.source)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})

    @property
    def values(self) -> list[float]:
        return [reading.value for batch in self.batches for reading in batch.readings]

    async def until(self, count: int) -> None:
        await wait_until(lambda: len(self.values) >= count and (not self.store or self.stored == len(self.batches)))


def test_source_fits_the_plugin_door() -> None:
    assert isinstance(MqttSource(MqttSettings(), ()), TelemetrySource)


async def test_source_without_a_broker_ends_at_once() -> None:
    assert [batch async for batch in MqttSource(MqttSettings(), ()).batches()] == []


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_samples_arrive_in_batches(broker: Mosquitto, version: str) -> None:
    source = MqttSource(settings(broker, version=version), {"hongqi"})
    async with Reader(source) as reader:
        await publish(broker, *((FAN, power(n)) for n in range(1, 101)))
        await reader.until(100)
    assert reader.values == [float(n) for n in range(1, 101)]
    assert len(reader.batches) < 100
    assert source.counters.gaps == 0


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_nothing_is_acknowledged_before_it_is_stored(broker: Mosquitto, version: str) -> None:
    """The trap: by default the library acknowledges on arrival. This fails when acknowledging by hand stops working."""
    first = MqttSource(settings(broker, version=version), {"hongqi"})
    async with Reader(first, store=False) as reader:
        await publish(broker, *((FAN, power(n)) for n in range(1, 11)))
        await reader.until(10)
    second = MqttSource(settings(broker, version=version), {"hongqi"})
    async with Reader(second) as reader:
        await reader.until(10)
        assert sorted(reader.values) == [float(n) for n in range(1, 11)]
    await asyncio.sleep(0.3)  # a broker that is asked anew before it has read our last words does not know them
    third = MqttSource(settings(broker, version=version), {"hongqi"})
    async with Reader(third) as reader:
        await publish(broker, (FAN, power(11)))
        await reader.until(1)
    assert reader.values == [11.0]


async def test_batch_stored_after_a_lost_connection_acknowledges_nothing_on_the_new_one(broker: Mosquitto) -> None:
    source = MqttSource(settings(broker), {"hongqi"})
    async with Reader(source, store=False) as reader:
        await publish(broker, (FAN, power(1)))
        await reader.until(1)
        await broker.stop()
        await wait_until(lambda: not source.connected)
        await broker.start()
        await connected(source)
        await reader.batches[0].stored()
        await reader.until(2)  # handed over again
        await publish(broker, (FAN, power(2)))
        await reader.until(3)
    again = MqttSource(settings(broker), {"hongqi"})
    async with Reader(again) as reader:
        await reader.until(2)  # neither of the two was acknowledged by the stale packet id
    assert sorted(reader.values) == [1.0, 2.0]


async def test_source_is_back_within_five_seconds_of_the_broker(broker: Mosquitto) -> None:
    links: list[bool] = []
    source = MqttSource(settings(broker), {"hongqi"}, on_link=lambda up, _: links.append(up))
    async with Reader(source) as reader:
        await publish(broker, (FAN, power(1)))
        await reader.until(1)
        await broker.stop()
        await asyncio.sleep(3.0)
        await broker.start()
        back_at = time.monotonic()
        await publish(broker, (FAN, power(2)))
        await connected(source)
        assert time.monotonic() - back_at <= 5.0
        await reader.until(2)
    assert links == [True, False, True]
    assert reader.values == [1.0, 2.0]


@pytest.mark.parametrize("qos", [0, 1])
async def test_full_queue_stops_reading_and_loses_nothing(broker: Mosquitto, qos: int) -> None:
    source = MqttSource(settings(broker, queue_messages=100, batch_messages=10), {"hongqi"})
    async with Reader(source, store=False) as reader:
        await publish(broker, *((FAN, power(n)) for n in range(1, 601)), qos=qos)
        await asyncio.sleep(0.5)
        taken = len(reader.values)
        assert taken < 200
        done = 0
        async with asyncio.timeout(20):
            while done < 600:
                for batch in reader.batches[:]:
                    await batch.stored()
                done = len(reader.values)
                await asyncio.sleep(0.01)
    assert reader.values == [float(n) for n in range(1, 601)]
    if qos == 0:  # nothing but TCP holds a QoS 0 sender back
        assert source.counters.pauses > 0


async def test_what_is_no_sample_is_counted_and_acknowledged(broker: Mosquitto) -> None:
    source = MqttSource(settings(broker), {"hongqi"})
    bad: list[tuple[str, str | bytes]] = [
        (FAN, "no json"),
        (FAN, power(1, extra=1)),
        (FAN, b"x" * 300_000),
        ("lamproom/v1/elsewhere/power/fan/event", power(1)),
    ]
    async with Reader(source) as reader:
        await publish(broker, *bad, (FAN, power(7)))
        await reader.until(1)
        assert reader.values == [7.0]
        assert sum(batch.rejected for batch in reader.batches) == 4
        assert source.counters.rejected == {
            Reason.NOT_JSON: 1,
            Reason.UNKNOWN_FIELD: 1,
            Reason.TOO_LARGE: 1,
            Reason.SITE: 1,
        }
    await asyncio.sleep(0.3)
    again = MqttSource(settings(broker), {"hongqi"})
    async with Reader(again) as reader:
        await publish(broker, (FAN, power(8)))
        await reader.until(1)
    assert again.counters.messages == 1


async def test_retained_state_is_kept_apart_and_is_no_news(broker: Mosquitto) -> None:
    await publish(broker, ("lamproom/v1/hongqi/power/fan/state", power(1)), retain=True)
    source = MqttSource(settings(broker), {"hongqi"})
    async with Reader(source) as reader:
        await publish(broker, (FAN, power(2)))
        await reader.until(1)
    assert reader.values == [2.0]
    assert source.counters.retained == 1
    assert [(r.device, r.value, r.quality) for r in source.retained_readings] == [("fan", 1.0, "suspect")]


async def test_gap_in_the_count_is_told(broker: Mosquitto) -> None:
    gaps: list[Gap] = []
    source = MqttSource(settings(broker), {"hongqi"}, on_gap=gaps.append)
    async with Reader(source) as reader:
        await publish(broker, (FAN, power(1)), (FAN, power(2)), (FAN, power(6)))
        await reader.until(3)
    assert gaps == [Gap("hongqi", "fan", 2, 6)]
    assert (source.counters.gaps, source.counters.missing) == (1, 3)


async def test_sites_may_be_told_later(broker: Mosquitto) -> None:
    sites: set[str] = set()
    source = MqttSource(settings(broker), lambda: sites)
    async with Reader(source) as reader:
        await publish(broker, (FAN, power(1)))
        await wait_until(lambda: source.counters.rejected.total() > 0)
        sites.add("hongqi")
        await publish(broker, (FAN, power(2)))
        await reader.until(1)
    assert reader.values == [2.0]


STORE = """
import asyncio, contextlib, sqlite3, sys
from analytics.telemetry.mqtt import MqttSource
from config.settings import MqttSettings

async def main() -> None:
    rows = sqlite3.connect(sys.argv[2], isolation_level=None)
    rows.execute("pragma journal_mode=wal")
    rows.execute("create table if not exists arrived (seq integer)")
    rows.execute("create table if not exists reading (site, device, quantity, source_at, seq, value,"
                 " unique (site, device, quantity, source_at, seq))")
    source = MqttSource(MqttSettings(host="127.0.0.1", port=int(sys.argv[1]), client_id="killed",
                                     batch_messages=10), {"hongqi"})
    async with contextlib.aclosing(source.batches()) as batches:
        async for batch in batches:
            rows.execute("begin")
            for r in batch.readings:
                rows.execute("insert into arrived values (?)", (r.seq,))
                rows.execute("insert or ignore into reading values (?, ?, ?, ?, ?, ?)",
                             (r.site, r.device, r.quantity, r.source_at, r.seq, r.value))
            rows.execute("commit")
            await asyncio.sleep(0.02)
            await batch.stored()

asyncio.run(main())
"""


async def test_killed_consumer_loses_nothing_and_stores_each_sample_once(broker: Mosquitto, tmp_path: Path) -> None:
    database = tmp_path / "store.sqlite"
    root = Path(__file__).parents[3]

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", STORE, str(broker.port), str(database), cwd=root, env=os.environ
        )

    def stored() -> list[int]:
        with contextlib.closing(sqlite3.connect(database)) as rows:
            try:
                return sorted(seq for (seq,) in rows.execute("select seq from reading"))
            except sqlite3.OperationalError:
                return []

    async def wait_for(count: int) -> None:
        await wait_until(lambda: database.exists() and len(stored()) >= count)

    consumer = await start()
    try:
        await wait_until(database.exists)
        await asyncio.sleep(0.5)  # the subscription stands
        messages = [(FAN, power(n)) for n in range(1, 201)]
        await publish(broker, *messages)
        for share in (30, 80, 130):
            await wait_for(share)
            consumer.kill()
            await consumer.wait()
            consumer = await start()
        await wait_for(200)
    finally:
        consumer.kill()
        await consumer.wait()
    assert stored() == list(range(1, 201))
    with contextlib.closing(sqlite3.connect(database)) as rows:
        (arrived,) = rows.execute("select count(*) from arrived").fetchone()
    assert arrived >= 200


async def test_gateways_of_the_field_are_told_once_their_upload_is_stored(broker: Mosquitto) -> None:
    given = settings(
        broker, gateway_topic="CET/NX/upload", gateway_ack_topic="CET/NX/ack",
        gateways=[{"location": "L7", "site": "hongqi", "device": "belt"}],
    )  # fmt: skip
    source = MqttSource(given, {"hongqi"})

    def upload(location: str, value: float = 12.5) -> str:
        one = {"type": "AI", "key": "A相电流", "value": value, "unit": "A", "timestamp": time.time()}
        return json.dumps({"version": "1", "location_code": location, "ts": "2026-09-23 10:00:00", "properties": [one]})

    async with aiomqtt.Client(broker.host, broker.port) as gateway:
        await gateway.subscribe("CET/NX/ack", qos=1)
        async with Reader(source, store=False) as reader:
            await publish(broker, ("CET/NX/upload", upload("L7")), ("CET/NX/upload", upload("unknown")))
            await wait_until(lambda: sum(len(batch.readings) for batch in reader.batches) == 1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await anext(gateway.messages)
            for batch in reader.batches:
                await batch.stored()
            async with asyncio.timeout(10):
                told = await anext(gateway.messages)
    assert json.loads(bytes(told.payload)) == {"location_code": "L7", "ts": "2026-09-23 10:00:00", "result": 1}
    reading = reader.batches[0].readings[0]
    assert (reading.site, reading.device, reading.quantity, reading.value) == ("hongqi", "belt", "current_a", 12.5)
    assert source.counters.rejected[Reason.SITE] == 1
