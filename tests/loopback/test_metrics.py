"""Metrics and health of a real server."""

from pathlib import Path

import aiohttp

from tests.fakes.instance import Instance


async def test_metrics_tell_of_workers_clients_and_samples(tmp_path: Path) -> None:
    async with Instance(tmp_path) as server, aiohttp.ClientSession(server.url) as http:
        async with http.get("/metrics") as answer:
            text = await answer.text()
        for name in ("lamproom_media_worker_up 1.0", "lamproom_vision_worker_up", "lamproom_telemetry_samples_total"):
            assert name in text
        for path in ("/-/healthy", "/-/ready", "/healthz"):
            async with http.get(path) as answer:
                assert answer.status == 200, path
        async with http.get("/api/openapi.json") as answer:
            document = await answer.json()
        assert document["openapi"] == "3.1.0"
        assert {"/whip/{room}/{name}", "/api/sessions", "/api/alerts/{id}/ack"} <= set(document["paths"])
