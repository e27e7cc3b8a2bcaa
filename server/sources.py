"""Telemetry sources at work: each is a unit of its own, what it yields is stored and then told, its links are told to
the screens of the sites that they serve, and engineers see links, counts and what was refused."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from analytics.plugin import Batch, TelemetrySource
from analytics.telemetry.door import open_sources
from analytics.telemetry.links import Link, Links
from analytics.telemetry.quarantine import Counters, Gap
from config.settings import Settings
from server.conductor import Conductor
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest

FIGURES = ("messages", "readings", "positions", "suspect_clock", "gaps", "missing", "repeats", "connections", "pauses")


class Sources(Collector):
    """The sources of this server.

    Raises:
        SourceRefused: one cannot be built from its settings.
    """

    def __init__(self, settings: Settings, tree: SiteTree, ingest: TelemetryIngest, conductor: Conductor) -> None:
        self._ingest = ingest
        self._conductor = conductor
        self.pushed = Counters()
        """Of samples that are sent by HTTP."""
        self._sources = list(
            open_sources(
                settings, lambda: tree, on_link=lambda name: partial(self._told_link, name), on_gap=self._told_gap
            )
        )

    def units(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What runs, by name."""
        return {source.name: partial(self._take_in, source) for source in self._sources}

    async def _take_in(self, source: TelemetrySource) -> None:
        """Into the store; the source is told only then."""
        async with _closing(source.batches()) as batches:
            async for batch in batches:
                await self._ingest.store(batch)

    def _told_link(self, name: str, link: Link) -> None:
        body: dict[str, object] = {"what": name, "state": "up" if link.up else "down", "reason": link.reason}
        if name != "mqtt":
            body["link"] = link.name
        self._conductor.note([f"site:{site}" for site in sorted(link.sites)], "link", body)

    def _told_gap(self, found: Gap) -> None:
        body: dict[str, object] = {"what": "gap", "device": found.device, "missing": found.missing}
        self._conductor.note([f"site:{found.site}"], "link", body)

    # --- for engineers ---

    def counted(self) -> Iterator[tuple[str, Counters, Links | None]]:
        """Name, counts and links of each source that has counts."""
        for source in self._sources:
            counters, links = getattr(source, "counters", None), getattr(source, "links", None)
            if isinstance(counters, Counters):
                yield source.name, counters, links if isinstance(links, Links) else None
        yield "push", self.pushed, None

    def collect(self) -> Iterator[Metric]:
        """Measures of all sources (`prometheus_client` collector)."""
        up = GaugeMetricFamily(
            "lamproom_source_links_up", "Connections of telemetry sources that work", labels=["source"]
        )
        figures = CounterMetricFamily(
            "lamproom_source_events", "What telemetry sources counted", labels=["source", "what"]
        )
        refused = CounterMetricFamily(
            "lamproom_source_refused", "Records that telemetry sources refused", labels=["source", "reason"]
        )
        for name, counters, links in self.counted():
            up.add_metric([name], sum(link.up for link in links or ()))
            for figure in FIGURES:
                figures.add_metric([name, figure], getattr(counters, figure))
            for reason, count in counters.rejected.items():
                refused.add_metric([name, reason.value], count)
        yield from (up, figures, refused)


@contextlib.asynccontextmanager
async def _closing(batches: AsyncIterator[Batch]) -> AsyncIterator[AsyncIterator[Batch]]:
    """Close what can be closed: a plug-in's iterator need not be a generator."""
    try:
        yield batches
    finally:
        close = getattr(batches, "aclose", None)
        if close is not None:
            await close()
