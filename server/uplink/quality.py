"""Data quality of every mine of this server, from what is stored. Counted since the start, 24 hours at most."""

import time
from collections.abc import Callable, Iterable
from itertools import groupby

from analytics.mine import MineFacts
from analytics.plugin import Reading
from analytics.rules.site import devices_of
from analytics.telemetry.quality import QualityMeter
from config.settings import Settings


class DataQuality:
    """A meter for each mine that has devices."""

    def __init__(
        self, settings: Settings, facts: Callable[[str], MineFacts], clock: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._facts, self._clock = settings, facts, clock
        self._since = clock()
        self._meters: dict[str, tuple[int, QualityMeter]] = {}

    def _meter(self, site: str) -> QualityMeter:
        facts = self._facts(site)
        known = self._meters.get(site)
        if known is None or known[0] != facts.version:
            periods = {one.device: one.expected_period_s for one in devices_of(facts, self._settings.devices)}
            since = self._since if known is None else self._clock()
            known = (facts.version, QualityMeter(periods, self._settings.rules.watermark_s, since))
            self._meters[site] = known
        return known[1]

    def stored(self, readings: Iterable[Reading]) -> None:
        """Samples that are on disk."""
        for site, together in groupby(readings, key=lambda one: one.site):
            self._meter(site).feed(together)

    def of(self, site: str) -> dict[str, object]:
        """`{site, since, mine, devices}`; `mine` is None while nothing is owed."""
        now, meter = self._clock(), self._meter(site)
        devices = devices_of(self._facts(site), self._settings.devices)
        found = {one.device: meter.device(one.device, now) for one in devices}
        whole = meter.mine(now)
        return {
            "site": site,
            "since": self._since,
            "mine": whole.as_dict() if whole else None,
            "devices": {device: one.as_dict() for device, one in found.items() if one is not None},
        }
