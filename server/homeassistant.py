"""Alerts in Home Assistant, unasked: what each site has open is published with MQTT discovery on the mine's broker.

Each site is a device with four entities: an alert is open, a critical one is open, how many are open, and the newest
one's title. Everything is retained, and sent again when Home Assistant says that it has started. Only titles, counts
and times leave: no names, no pictures. When the server or its connection ends, the broker says `offline` (MQTT will).
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import aiomqtt
import structlog

from analytics.telemetry.gathering import keep_connected
from analytics.telemetry.links import Patience
from config import VERSION
from config.settings import MqttSettings
from server.alerts.machine import Alert, Change
from server.alerts.service import AlertService
from server.broker import broker_client
from server.store.sites import SiteTree

log = structlog.get_logger()

TIMEOUT_S = 5.0
LONGEST_WAIT_S = 30.0
MAX_TITLE = 200
"""Home Assistant takes states of up to 255 characters."""

ENTITIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "alert": (
        "binary_sensor",
        {"name": "Alert", "device_class": "problem", "value_template": "{{ value_json.alert }}"},
    ),
    "critical": (
        "binary_sensor",
        {"name": "Critical alert", "device_class": "safety", "value_template": "{{ value_json.critical }}"},
    ),
    "open": (
        "sensor",
        {"name": "Open alerts", "state_class": "measurement", "value_template": "{{ value_json.open }}"},
    ),
    "newest": ("sensor", {"name": "Newest alert", "value_template": "{{ value_json.newest }}"}),
}
"""Entity → component, and what is said of it beside topics and device."""


def discovery(prefix: str, topic_prefix: str, site: str, name: str) -> dict[str, dict[str, Any]]:
    """Topic → configuration of each entity of a site (Home Assistant, MQTT discovery)."""
    device = {
        "identifiers": [f"lamproom_{site}"], "name": name, "manufacturer": "Lamproom", "sw_version": VERSION,
    }  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for entity, (component, said) in ENTITIES.items():
        found[f"{prefix}/{component}/lamproom_{site}/{entity}/config"] = {
            **said,
            "unique_id": f"lamproom_{site}_{entity}",
            "state_topic": state_topic(topic_prefix, site),
            "availability_topic": availability_topic(topic_prefix),
            "device": device,
            "origin": {"name": "Lamproom", "sw_version": VERSION},
        }
    return found


def state_topic(topic_prefix: str, site: str) -> str:
    """Where the state of a site is."""
    return f"{topic_prefix}/{site}/alerts/state"


def availability_topic(topic_prefix: str) -> str:
    """`online` or `offline`."""
    return f"{topic_prefix}/status"


def state(alerts: list[Alert]) -> dict[str, Any]:
    """What is told of the open alerts of a site."""
    newest = max(alerts, key=lambda one: one.opened_at, default=None)
    return {
        "alert": "ON" if alerts else "OFF",
        "critical": "ON" if any(one.severity == "critical" for one in alerts) else "OFF",
        "open": len(alerts),
        "newest": "" if newest is None else newest.title_zh[:MAX_TITLE],
    }


def _unreachable(reason: str) -> None:
    log.info("home_assistant_unreachable", reason=reason)


class HomeAssistant:
    """Keeps Home Assistant told. `run` is a unit; without it nothing is published."""

    def __init__(self, settings: MqttSettings, tree: SiteTree, alerts: AlertService) -> None:
        self._settings = settings
        self._tree = tree
        self._alerts = alerts
        self._changed: set[str] = set()
        self._news = asyncio.Event()
        alerts.on_change.append(self.alert_changed)

    def alert_changed(self, alert: Alert, _change: Change) -> None:
        """The site of this alert is told anew."""
        self._changed.add(alert.site)
        self._news.set()

    async def run(self) -> None:
        """Connect, tell everything, then every change, until cancelled."""
        patience = Patience(LONGEST_WAIT_S, first_s=1.0)

        async def connect() -> NoReturn:
            async with self._client() as client:
                patience.well()
                await self._serve(client)

        await keep_connected(connect, (aiomqtt.MqttError, OSError), _unreachable, patience)

    def _client(self) -> aiomqtt.Client:
        will = aiomqtt.Will(availability_topic(self._settings.topic_prefix), b"offline", qos=1, retain=True)
        return broker_client(self._settings, "ha", TIMEOUT_S, will)

    async def _serve(self, client: aiomqtt.Client) -> NoReturn:
        """Ends only by the loss of the connection, which raises."""
        await client.subscribe(f"{self._settings.home_assistant}/status", qos=1)
        listening = asyncio.create_task(self._listen(client))
        listening.add_done_callback(lambda _: self._news.set())
        self._all_anew()
        try:
            described: set[str] = set()
            while True:
                await self._news.wait()
                self._news.clear()
                if listening.done():
                    listening.result()
                changed, self._changed = self._changed, set()
                await self._tell(client, changed, described)
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    async def _listen(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            if message.payload == b"online":
                self._all_anew()

    def _all_anew(self) -> None:
        self._changed.update(self._tree)
        self._news.set()

    async def _tell(self, client: aiomqtt.Client, sites: set[str], described: set[str]) -> None:
        settings = self._settings
        everything = sites >= set(self._tree)
        if everything:
            described.clear()
        for site in sorted(sites):
            if site not in described:
                name = self._tree[site].name_zh
                for topic, said in discovery(settings.home_assistant or "", settings.topic_prefix, site, name).items():
                    await client.publish(topic, json.dumps(said, ensure_ascii=False), qos=1, retain=True)
                described.add(site)
            standing = [one for one in await self._alerts.open_for(site) if one.site == site and not one.drill]
            told = json.dumps(state(standing), ensure_ascii=False)
            await client.publish(state_topic(settings.topic_prefix, site), told, qos=1, retain=True)
        if everything:
            await client.publish(availability_topic(settings.topic_prefix), b"online", qos=1, retain=True)
