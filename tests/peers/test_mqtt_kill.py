"""Messages that a broker has taken are stored exactly once, though the server is killed in the middle."""

import asyncio
import json
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from tests.fakes.broker import mosquitto
from tests.fakes.instance import Instance

MESSAGES = 1000
PUBLISHER = shutil.which("mosquitto_pub")

pytestmark = [pytest.mark.peer, pytest.mark.skipif(PUBLISHER is None, reason="mosquitto_pub is not installed")]


def stored(server: Instance) -> list[tuple[int, int]]:
    """(seq, how often) of every stored sample."""
    path = server.settings.server.data_dir / "lamproom.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = database.execute("select seq, count(*) from readings where quantity = 'current_a' group by seq")
        return sorted((int(seq), int(count)) for seq, count in rows)


async def publish(port: int, numbers: range) -> None:
    """QoS 1, one message a line, by a program that is not ours."""
    assert PUBLISHER is not None
    process = await asyncio.create_subprocess_exec(
        PUBLISHER, "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-l", "-t", "lamproom/v1/hongqi/power/main_fan/event",
        stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    start = time.time() - 60
    for number in numbers:
        line = {"ts": start + number * 0.01, "seq": number, "values": {"current_a": 100 + number % 7}}
        process.stdin.write(json.dumps(line).encode() + b"\n")
        await process.stdin.drain()
        await asyncio.sleep(0.001)
    process.stdin.close()
    assert await process.wait() == 0


async def until(server: Instance, count: int, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while len(stored(server)) < count:
            await asyncio.sleep(0.1)


async def test_every_message_is_stored_exactly_once_though_the_server_is_killed_in_the_middle(tmp_path: Path) -> None:
    async with mosquitto(tmp_path) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port, "batch_messages": 20}
        async with Instance(tmp_path, mqtt=mqtt) as server:
            publishing = asyncio.ensure_future(publish(broker.port, range(1, MESSAGES + 1)))
            await until(server, MESSAGES // 5, 30)
            await server.kill()
            before = len(stored(server))
            await publishing
            await server.start()
            await until(server, MESSAGES, 60)
            await asyncio.sleep(1.0)
            assert MESSAGES // 5 <= before < MESSAGES
            assert stored(server) == [(number, 1) for number in range(1, MESSAGES + 1)]
