"""A ledger of every sample and every alert, through all that happens to a mine's telemetry: the server is killed while
it takes in, the broker is restarted, messages come twice and out of order, a device's clock jumps by an hour, and a
link of a day is made up for. Every sample is stored exactly once, every condition alerted exactly once, nothing of the
past rung as if it were now - and what lay in the past is told as that."""

import asyncio
import json
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from tests.fakes.broker import Mosquitto
from tests.fakes.instance import Instance

pytestmark = [pytest.mark.peer, pytest.mark.timeout(240)]

SEED = 20261
DEVICES = [
    {"site": "hongqi", "device": name, "kind": "pump", "rated_a": 61, "expected_period_s": 3600}
    for name in ("pump-1", "pump-2", "pump-3")
]
NORMAL, OVER = 40.0, 95.0
Message = tuple[str, dict[str, Any]]


class Ledger:
    """What the devices measured, and what the server must know of it."""

    def __init__(self) -> None:
        self.measured: Counter[tuple[str, float, int]] = Counter()

    def sample(self, device: str, at: float, seq: int, amperes: float) -> Message:
        at = round(at, 3)
        self.measured[device, at, seq] = 1
        amperes += seq % 7 * 0.1  # a value that never moves is a fault of its own
        values = {"current_a": amperes, "current_b": amperes, "current_c": amperes}
        return device, {"ts": at, "seq": seq, "values": values}

    def curve(self, device: str, start: float, first: int, amperes: list[float]) -> list[Message]:
        return [self.sample(device, start + n, first + n, value) for n, value in enumerate(amperes)]


def rows(server: Instance, query: str) -> list[tuple[Any, ...]]:
    path = server.settings.server.data_dir / "lamproom.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20) as database:
        return database.execute(query).fetchall()


def stored(server: Instance) -> Counter[tuple[str, float, int]]:
    found = rows(server, "SELECT device, source_at, seq FROM readings WHERE quantity = 'current_a'")
    return Counter((device, round(at, 3), seq) for device, at, seq in found)


async def publish(port: int, messages: list[Message]) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for device, body in messages:
            await client.publish(f"lamproom/v1/hongqi/power/{device}/event", json.dumps(body), qos=1)


async def until(what: Any, within_s: float = 90) -> None:
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.1)


async def test_every_sample_and_every_alert_is_accounted_for(tmp_path: Path) -> None:
    draw, ledger, now = random.Random(SEED), Ledger(), time.time()
    folder = tmp_path / "broker"
    folder.mkdir()
    async with Mosquitto(folder) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port, "batch_messages": 20}
        rules = {"late_after_s": 2.0}
        async with Instance(tmp_path, mqtt=mqtt, devices=DEVICES, analytics=rules) as server:
            # Killed while it takes in, twice; the broker is restarted while nobody listens.
            live = ledger.curve("pump-1", now - 60, 1000, [OVER] * 55)
            sending = asyncio.ensure_future(publish(broker.port, live))
            await until(lambda: stored(server).total() >= 5)
            await server.kill()
            await sending
            await broker.stop()
            await broker.start()
            await server.start()
            await until(lambda: stored(server) == ledger.measured)

            # Twice and out of order.
            for seq, message in enumerate(draw.sample(live, len(live))):
                await publish(broker.port, [message] if seq % 5 else [message, message])
            # A clock that jumps an hour ahead and an hour back, overloaded all the time.
            await publish(broker.port, ledger.curve("pump-2", time.time() + 3600, 1, [OVER] * 40))
            await publish(broker.port, ledger.curve("pump-2", time.time() - 3600, 41, [OVER] * 40))
            await server.kill()
            # A day without a link, made up for at once, in pieces out of order: overload for a minute in the middle.
            yesterday = ledger.curve("pump-3", now - 86_400, 1, [NORMAL] * 60 + [OVER] * 60 + [NORMAL] * 60)
            pieces = [yesterday[n : n + 30] for n in range(0, len(yesterday), 30)]
            draw.shuffle(pieces)
            sending = asyncio.ensure_future(publish(broker.port, [one for piece in pieces for one in piece]))
            await server.start()
            await sending
            await until(lambda: stored(server) == ledger.measured)

            assert set(stored(server).values()) == {1}
            raised = "SELECT subject, COUNT(*) FROM alerts WHERE rule = 'overload' GROUP BY subject"
            assert rows(server, raised) == [("pump-1", 1)]
            told = (
                "SELECT json_extract(body, '$.subject'), json_extract(body, '$.rule'), json_extract(body, '$.since') "
                "FROM entries WHERE room = 'site:hongqi' AND kind = 'retrospective'"
            )
            await until(lambda: any(row[0] == "pump-3" for row in rows(server, told)))
            past = [row for row in rows(server, told) if row[0] == "pump-3"]
            assert [row[1] for row in past] == ["overload"]
            assert now - 86_400 + 60 <= past[0][2] <= now - 86_400 + 121
            assert rows(server, raised) == [("pump-1", 1)]  # and still rings for nothing else
