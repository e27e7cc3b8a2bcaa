"""Every telemetry source that the settings name, ours and other people's (entry point group `lamproom.telemetry`).

An entry point names a factory: something that is called with `SourceOptions` and gives a `TelemetrySource`. A source
may have `counters` (`analytics.telemetry.quarantine.Counters`) and `links` (`analytics.telemetry.links.Links`);
engineers see both, and the metrics have them.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from analytics.errors import SourceRefused
from analytics.plugin import TelemetrySource
from analytics.telemetry.links import Links, Told
from analytics.telemetry.modbus import ModbusSource
from analytics.telemetry.mqtt import MqttSource
from analytics.telemetry.omloxhub import OmloxSource
from analytics.telemetry.opcua import OpcUaSource
from analytics.telemetry.quarantine import Gap
from config.settings import Settings

GROUP = "lamproom.telemetry"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a source of somebody else's is built with."""

    options: Mapping[str, object]
    """Of `analytics.sources` in the settings."""
    sites: Callable[[], Collection[str]]
    """The sites that are known here; samples of any other are refused by the store."""
    links: Links
    """Where it says which of its connections are up."""


def open_sources(
    settings: Settings,
    sites: Callable[[], Collection[str]],
    *,
    on_link: Callable[[str], Told],
    on_gap: Callable[[Gap], None],
) -> Iterator[TelemetrySource]:
    """The sources that have something to fetch.

    Args:
        on_link: given a source's name, who is told of its links.

    Raises:
        SourceRefused: one cannot be built from its settings.
    """
    allowed = settings.analytics.telemetry
    if settings.mqtt.host is not None and MqttSource.name in allowed:
        yield _mqtt(settings, sites, on_link(MqttSource.name), on_gap)
    if settings.modbus.meters and ModbusSource.name in allowed:
        yield ModbusSource(settings.modbus, on_link=on_link(ModbusSource.name))
    if settings.omlox and OmloxSource.name in allowed:
        yield OmloxSource(settings.omlox, on_link=on_link(OmloxSource.name))
    if settings.opcua and OpcUaSource.name in allowed:
        yield OpcUaSource(settings.opcua, on_link=on_link(OpcUaSource.name))
    known = {point.name: point for point in entry_points(group=GROUP)} if settings.analytics.sources else {}
    for one in settings.analytics.sources:
        if one.name not in known:
            raise SourceRefused(
                f"no telemetry source named {one.name!r} is installed; known: {', '.join(known) or 'none'}"
            )
        source = known[one.name].load()(SourceOptions(one.options, sites, Links(time.time, on_link(one.name))))
        if not isinstance(source, TelemetrySource):
            raise SourceRefused(f"what {one.name!r} made is no telemetry source but {type(source).__name__}")
        yield source


def _mqtt(
    settings: Settings, sites: Callable[[], Collection[str]], told: Told, on_gap: Callable[[Gap], None]
) -> MqttSource:
    links = Links(time.time, told)
    link = links.add(f"{settings.mqtt.host}:{settings.mqtt.port}", sites())

    def turned(up: bool, reason: str) -> None:
        link.sites = frozenset(sites())  # the tree grows
        if up:
            links.up(link)
        else:
            links.down(link, reason)

    source = MqttSource(settings.mqtt, sites, on_gap=on_gap, on_link=turned)
    source.links = links
    return source
