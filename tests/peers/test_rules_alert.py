"""A whole server: samples by MQTT and files in the inbox become alerts and a headcount, seen by the API."""

import asyncio
import json
import shutil
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fakes.broker import mosquitto
from tests.fakes.instance import Instance
from tests.fakes.minefiles import MINE, person, ryss

PUBLISHER = shutil.which("mosquitto_pub")

pytestmark = [pytest.mark.peer, pytest.mark.skipif(PUBLISHER is None, reason="mosquitto_pub is not installed")]

DEVICES = [{"site": "hongqi", "device": "pump-1", "kind": "pump", "rated_a": 61, "expected_period_s": 600}]


async def publish(port: int, lines: list[dict[str, Any]]) -> None:
    """QoS 1, by a program that is not ours."""
    assert PUBLISHER is not None
    process = await asyncio.create_subprocess_exec(
        PUBLISHER, "-h", "127.0.0.1", "-p", str(port), "-q", "1", "-l", "-t", "lamproom/v1/hongqi/power/pump-1/event",
        stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    await process.communicate("".join(json.dumps(line) + "\n" for line in lines).encode())
    assert process.returncode == 0


async def items(http: aiohttp.ClientSession, path: str) -> list[dict[str, Any]]:
    async with http.get(path) as answer:
        assert answer.status == 200
        found: list[dict[str, Any]] = (await answer.json())["items"]
        return found


async def test_an_overload_and_a_stale_headcount_are_alerts_for_the_mine_and_the_county(tmp_path: Path) -> None:
    inbox, now = tmp_path / "inbox", float(int(time.time()))
    files = {"inbox": str(inbox), "scan_interval_s": 0.2, "mines": [{"mine": MINE, "site": "hongqi"}]}
    async with mosquitto(tmp_path) as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        async with Instance(tmp_path, mqtt=mqtt, files=files, devices=DEVICES) as server:
            name, text = ryss(now - 1000, [person(1), person(2), person(3, "2")])
            (inbox / MINE).mkdir(parents=True, exist_ok=True)
            (inbox / MINE / name).write_text(text, "utf-8")
            start = time.time() - 60
            values = [{"current_a": 95 + n % 5 * 0.1, "current_b": 95.0, "current_c": 95.2} for n in range(50)]
            await publish(broker.port, [{"ts": start + n, "seq": n, "values": one} for n, one in enumerate(values)])
            async with await server.session("county") as http, asyncio.timeout(60):
                rules: dict[str, dict[str, Any]] = {}
                while set(rules) != {"overload", "positioning_stale"}:
                    await asyncio.sleep(0.2)
                    rules = {one["rule"]: one for one in await items(http, "/api/alerts?site=county")}
                assert rules["overload"]["severity"] == "alarm"
                assert rules["overload"]["subject"] == "pump-1"
                assert "过负荷" in rules["overload"]["title"]["zh"]
                assert rules["overload"]["explain"]["inputs"]["current_b"] == 95.0
            async with await server.session("dispatcher") as http:
                newest = await items(
                    http, "/api/readings?site=hongqi&device=positioning&quantity=headcount_underground"
                )
                assert newest[-1]["value"] == 2.0
                assert len(await items(http, "/api/positions?site=hongqi")) == 3
        assert "人员1" not in server.log.read_text("utf-8")
