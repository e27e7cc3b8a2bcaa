"""A whole server, killed while an alert climbs: rooms of all levels, a webhook and a broker hear of every ring once."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from server.duty import webhook
from tests.fakes.broker import mosquitto
from tests.fakes.instance import Instance
from tests.fakes.roomclient import RoomClient

SUBSCRIBER = shutil.which("mosquitto_sub")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = [pytest.mark.peer, pytest.mark.skipif(SUBSCRIBER is None, reason="mosquitto_sub is not installed")]


class Receiver:
    """Takes signed posts; by id, so that a repetition is one."""

    def __init__(self) -> None:
        self.got: dict[str, dict[str, Any]] = {}

    async def take(self, request: web.Request) -> web.Response:
        raw, headers = await request.read(), request.headers
        signed = webhook.headers(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), raw)
        if headers["webhook-signature"] != signed["webhook-signature"]:
            return web.Response(status=401)
        self.got[headers["webhook-id"]] = json.loads(raw)
        return web.Response()

    def rings(self) -> list[tuple[str, str]]:
        told = [one for body in self.got.values() for one in body["data"]["escalations"]]
        return sorted({(one["ring"], one["at_site"]) for one in told if one["change"] == "ringing"})


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    made, app = Receiver(), web.Application()
    app.router.add_post("/in", made.take)
    async with TestServer(app, host="127.0.0.1") as server:
        yield made, str(server.make_url("/in"))


async def raise_alert(http: ClientSession) -> None:
    """A number on the call list is found dead: the simplest alert that a person can cause."""
    async with http.post("/api/rota/people", json={"site": "hongqi", "name": "李", "phone": "13812345678"}) as answer:
        person = (await answer.json())["person"]
    async with http.post(f"/api/rota/people/{person}/tested", json={"result": "wrong_number"}) as answer:
        assert answer.status == 200


async def entry(http: ClientSession, change: str, at_site: str | None = None) -> dict[str, Any]:
    """The first entry about an escalation on the county's timeline that tells of this."""
    async with asyncio.timeout(30):
        while True:
            async with http.get("/api/rooms/site:county/timeline", params={"limit": "500"}) as answer:
                items = (await answer.json())["items"]
            for one in items:
                body: dict[str, Any] = one["body"]
                if one["kind"] == "escalation" and body["change"] == change and at_site in (None, body["at_site"]):
                    return body
            await asyncio.sleep(0.1)


async def test_an_alert_climbs_over_a_kill_and_a_person_ends_it(tmp_path: Path, receiver: tuple[Receiver, str]) -> None:
    got, url = receiver
    step = {"ring": ["browser", "webhook", "mqtt"], "seconds": 3.0}
    duty = {
        "chains": [{"chain": "x", "severities": ["warning"], "steps": [step]}],
        "webhooks": [{"name": "hook", "url": url, "secret": SECRET}],
        "group_wait_s": 0,
    }
    async with mosquitto(tmp_path) as broker:
        assert SUBSCRIBER is not None
        listening = await asyncio.create_subprocess_exec(
            SUBSCRIBER, "-h", "127.0.0.1", "-p", str(broker.port), "-q", "1",
            "-t", "lamproom/v1/+/incident/escalation/event", stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        async with Instance(tmp_path, mqtt=mqtt, duty=duty) as server, await server.session("county") as county:
            async with await server.session("dispatcher") as dispatcher:
                await raise_alert(dispatcher)
                page = RoomClient(county)
                await page.connect("site:county")
                async with county.get("/api/escalations", params={"site": "county"}) as answer:
                    (first,) = (await answer.json())["items"]
                assert (first["at_site"], first["next"]) == ("hongqi", {"site": "county", "level": "county"})
                await server.kill()
                await page.closed()
                await server.start()
                rung = await entry(county, "ringing", "county")
                assert rung["ring"] == f"{first['alert']}.2"
                async with county.post(f"/api/alerts/{first['alert']}/ack", json={"comment": "收到"}) as answer:
                    assert answer.status == 200
                stopped = await entry(county, "answered")
                assert (stopped["by"], stopped["by_site"]) == ("王县局", "county")
                async with asyncio.timeout(20):
                    while len(got.rings()) < 2:
                        await asyncio.sleep(0.05)
                assert got.rings() == [(f"{first['alert']}.1", "hongqi"), (f"{first['alert']}.2", "county")]
        assert listening.stdout is not None
        heard: set[str] = set()
        async with asyncio.timeout(20):
            while len(heard) < 2:
                body = json.loads(await listening.stdout.readline())
                if body["change"] == "ringing":
                    heard.add(body["ring"])
        assert heard == {f"{first['alert']}.1", f"{first['alert']}.2"}
        listening.terminate()
        await listening.wait()
