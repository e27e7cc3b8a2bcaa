"""Alerts in Home Assistant, over a real broker."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from analytics.finding import Change, Finding, Severity
from config.settings import MqttSettings
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.homeassistant import HomeAssistant
from server.store.sites import SiteTree
from tests.fakes.broker import Mosquitto
from tests.fakes.relay import Relay
from tests.fakes.serving import identity
from tests.fakes.telemetryreader import until

pytestmark = pytest.mark.peer
AT = 1_800_000_000.0


@dataclass
class Screen:
    """What a Home Assistant would know."""

    client: aiomqtt.Client
    topics: dict[str, str] = field(default_factory=dict)
    arrivals: int = 0

    async def listen(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.topics[str(message.topic)] = message.payload.decode()
            self.arrivals += 1

    def state(self, site: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.topics.get(f"lamproom/v1/{site}/alerts/state", "{}"))
        return found


@contextlib.asynccontextmanager
async def watching(broker: Mosquitto) -> AsyncIterator[Screen]:
    async with aiomqtt.Client(broker.host, broker.port) as client:
        await client.subscribe(
            [("homeassistant/+/+/+/config", 1), ("lamproom/v1/+/alerts/state", 1), ("lamproom/v1/status", 1)]
        )
        screen = Screen(client)
        task = asyncio.create_task(screen.listen())
        try:
            yield screen
        finally:
            task.cancel()
            await asyncio.wait({task})


@dataclass
class Desk:
    alerts: AlertService
    tree: SiteTree
    home: HomeAssistant
    broker: Mosquitto

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.home.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def find(self, change: Change, severity: Severity = "critical", site: str = "mine-a") -> None:
        finding = Finding(
            site, f"{site}/absence/desk", "absence", "desk", change, severity, AT, title_zh="值班室空岗",
            title_en="Nobody on duty",
        )  # fmt: skip
        await self.alerts.apply(finding, at=AT)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    folder = tmp_path / "broker"
    folder.mkdir()
    async with Mosquitto(folder) as broker, identity(tmp_path) as (who, database):
        settings = MqttSettings(host=broker.host, port=broker.port, home_assistant="homeassistant")
        alerts = AlertService(database, who.tree, MemoryBus())
        yield Desk(alerts, who.tree, HomeAssistant(settings, who.tree, alerts), broker)


async def test_sites_show_up_unasked_and_follow_their_alerts(desk: Desk) -> None:
    await desk.find("raised", "warning", "mine-b")
    async with watching(desk.broker) as screen, desk.running():
        await until(lambda: screen.topics.get("lamproom/v1/status") == "online")
        config = json.loads(screen.topics["homeassistant/binary_sensor/lamproom_mine-a/alert/config"])
        assert config["unique_id"] == "lamproom_mine-a_alert"
        assert (config["device"]["name"], config["device_class"]) == ("mine-a 中文", "problem")
        assert config["state_topic"] == "lamproom/v1/mine-a/alerts/state"
        assert config["availability_topic"] == "lamproom/v1/status"
        assert sum("/lamproom_mine-a/" in topic for topic in screen.topics) == 4
        assert screen.state("mine-a") == {"alert": "OFF", "critical": "OFF", "open": 0, "newest": ""}
        assert (screen.state("mine-b")["alert"], screen.state("mine-b")["critical"]) == ("ON", "OFF")
        assert screen.state("county")["open"] == 0  # of its own, not of the mines below
        await desk.find("raised")
        await until(lambda: screen.state("mine-a")["alert"] == "ON")
        assert screen.state("mine-a") == {"alert": "ON", "critical": "ON", "open": 1, "newest": "值班室空岗"}
        await desk.find("cleared")
        await until(lambda: screen.state("mine-a")["alert"] == "OFF")


async def test_everything_is_told_again_when_home_assistant_starts(desk: Desk) -> None:
    async with watching(desk.broker) as screen, desk.running():
        await until(lambda: screen.topics.get("lamproom/v1/status") == "online")
        before = screen.arrivals
        await screen.client.publish("homeassistant/status", "online", qos=1)
        await until(lambda: screen.arrivals >= 2 * before)


async def test_cut_connection_is_offline_and_comes_back(desk: Desk) -> None:
    async with Relay(desk.broker.port) as way, watching(desk.broker) as screen:
        settings = MqttSettings(host="127.0.0.1", port=way.port, home_assistant="homeassistant")
        desk.home = HomeAssistant(settings, desk.tree, desk.alerts)
        async with desk.running() as task:
            await until(lambda: screen.topics.get("lamproom/v1/status") == "online")
            await way.cut()
            await until(lambda: screen.topics.get("lamproom/v1/status") == "offline")
            await desk.find("raised")
            await way.mend()
            await until(lambda: screen.topics.get("lamproom/v1/status") == "online")
            assert screen.state("mine-a")["alert"] == "ON"
            assert not task.done()
