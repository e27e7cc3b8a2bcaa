"""What handlers need of the server, in one place; `server/app.py` fills it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from config.settings import Settings
from server.alerts.service import AlertService
from server.identity.service import Identity
from server.observe import Metrics
from server.store.database import Database
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest

Check = Callable[[], Awaitable[str | None]]
"""One thing that must work for the server to be ready: None, or what is wrong in a sentence."""


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of one running server."""

    settings: Settings
    database: Database
    tree: SiteTree
    identity: Identity
    alerts: AlertService
    telemetry: TelemetryIngest
    metrics: Metrics
    checks: Mapping[str, Check] = field(default_factory=dict)
    """By name, for `/-/ready`."""

    @property
    def simulated(self) -> bool:
        """Whether this server shows simulated data."""
        return self.settings.server.simulated


CONTEXT = web.AppKey("context", Context)
