"""A server of the API alone, on a free port, over a real SQLite file: no media, no plug-ins."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, CookieJar, web
from aiohttp.test_utils import TestServer
from argon2 import PasswordHasher

from config.settings import AuthSettings, ServerSettings, Settings
from server.alerts.service import AlertService
from server.api import alerts, health, learning, login, openapi, own, recordings, sites, telemetry, tokens, users
from server.api.context import Context
from server.api.http import Routes, install
from server.bus.memory import MemoryBus
from server.identity.passwords import Passwords
from server.identity.roles import Role
from server.identity.secret import load_or_make
from server.identity.service import Identity, User
from server.observe import Metrics
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest

PASSWORD = "correct horse battery"
TREE: tuple[tuple[str, str | None, str], ...] = (
    ("nation", None, "nation"),
    ("north", "nation", "province"),
    ("city", "north", "city"),
    ("county", "city", "county"),
    ("mine-a", "county", "mine"),
    ("mine-b", "county", "mine"),
    ("south", "nation", "province"),
    ("mine-c", "south", "mine"),
)
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)

ROUTES = Routes.of(
    login.routes, sites.routes, tokens.routes, users.routes, alerts.routes, recordings.routes, telemetry.routes,
    health.routes, own.routes, learning.routes,
)  # fmt: skip


@dataclass
class Served:
    """A running server, and what is inside."""

    context: Context
    routes: Routes
    url: str
    users: dict[str, User] = field(default_factory=dict)

    async def add_user(self, login: str, role: Role, site: str) -> User:
        user = await self.context.identity.add_user(login, PASSWORD, name=f"Name of {login}", role=role, site=site)
        self.users[login] = user
        return user

    @contextlib.asynccontextmanager
    async def browser(self, login: str | None = None) -> AsyncIterator[ClientSession]:
        """A client with the header that our pages send; logged in when `login` is given."""
        async with ClientSession(
            self.url, cookie_jar=CookieJar(unsafe=True), headers={"X-Lamproom": "1"}
        ) as session:  # fmt: skip
            if login is not None:
                await enter(session, login)
            yield session


async def enter(session: ClientSession, login: str, password: str = PASSWORD) -> dict[str, Any]:
    """Log in, which must succeed."""
    async with session.post("/api/login", json={"login": login, "password": password}) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == 200, body
        return body


@contextlib.asynccontextmanager
async def identity(data_dir: Path, auth: AuthSettings | None = None) -> AsyncIterator[tuple[Identity, Database]]:
    """The identity service alone, over the tree of above."""
    async with Database.open(sqlite_url(data_dir)) as database:
        tree = await SiteTree.load(database)
        for site, parent, level in TREE:
            await tree.add(site, parent, level, f"{site} 中文", f"{site} in English")
        key = load_or_make(data_dir / "secrets" / "token.key")
        yield Identity(database, tree, auth or AuthSettings(), key, passwords=Passwords(CHEAP)), database


@contextlib.asynccontextmanager
async def serve(
    data_dir: Path,
    *,
    auth: AuthSettings | None = None,
    server: ServerSettings | None = None,
    further: Routes | None = None,
    checks: Any = None,
) -> AsyncIterator[Served]:
    """The API, mounted and listening."""
    settings = Settings(
        auth=auth or AuthSettings(), server=(server or ServerSettings()).model_copy(update={"data_dir": data_dir})
    )
    async with identity(data_dir, settings.auth) as (who, database):
        bus = MemoryBus()
        context = Context(
            settings, database, who.tree, who, AlertService(database, who.tree, bus),
            TelemetryIngest(database, who.tree, bus), Metrics(), checks or {},
        )  # fmt: skip
        described = Routes.of(ROUTES, further or Routes())
        routes = Routes.of(described, openapi.routes_of(described, "0"))
        app = web.Application()
        install(app, context)
        routes.mount(app)
        async with TestServer(app, host="127.0.0.1") as listening:
            yield Served(context, routes, str(listening.make_url("/")))
