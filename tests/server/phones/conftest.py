"""A phone service on loopback, with a phone worker that moves no sound and a real store, conductor and sessions."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from config.settings import PhoneRuleSettings, PhonesSettings, SiteSettings, TrunkSettings
from server.bus.memory import MemoryBus
from server.conductor import Conductor
from server.phones.leg import Leg
from server.phones.service import PhoneService
from server.sessions.machine import Acted, Actor, Ended, State
from server.sessions.service import SessionService
from server.store import timeline
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from tests.fakes.phonemedia import FakePhoneMedia
from tests.fakes.softphone import Softphone, softphone, until

SITES = (
    SiteSettings(site="county", level="county", name_zh="县", name_en="County"),
    SiteSettings(site="mine", parent="county", level="mine", name_zh="矿", name_en="Mine"),
    SiteSettings(site="other", parent="county", level="mine", name_zh="另一矿", name_en="Other"),
)
TRUNK = TrunkSettings(
    name="pbx", host="127.0.0.3", networks=("127.0.0.3/32",), outbound=True, prefixes=("138", "0351"), max_calls=2,
    max_dialled_per_day=3, caller="88001234",
)  # fmt: skip
RULES = (
    PhoneRuleSettings(name="blocked", source="pbx", number="", prefix=True, callers=("400",), action="reject"),
    PhoneRuleSettings(name="county-line", source="pbx", number="5001", action="site", site="mine"),
    PhoneRuleSettings(name="pin-line", source="pbx", number="5000", action="pin"),
)
BY = Actor("u1", "张三", "county", "county", "supervisor")


@dataclass
class PhoneWorld:
    service: PhoneService
    media: FakePhoneMedia
    sessions: SessionService
    conductor: Conductor
    database: Database
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        assert self.service.endpoint is not None
        return self.service.endpoint.port

    async def add(self, phone: str, site: str = "mine", **more: Any) -> str:
        secret = await self.service.phones.add(phone, site, f"{phone} 电话", more.get("networks", ()), "admin")
        self.secrets[phone] = secret
        return secret

    @contextlib.asynccontextmanager
    async def phone(self, name: str, *, password: str = "", **more: Any) -> AsyncIterator[Softphone]:
        domain = self.service.settings.domain
        async with softphone(name, domain, self.port, password or self.secrets.get(name, "x"), **more) as one:
            yield one

    async def session(self, *invite: str) -> State:
        body = await self.sessions.start("mine", BY, invite, title="会商", alert=None)
        state = self.sessions.get_open(str(body["session"]))
        assert state is not None
        return state

    async def act(self, state: State, by: Actor, action: str, target: str = "") -> None:
        await self.sessions.handle(state.session, Acted(action, by, True, target, "on" if action == "lock" else ""))

    async def end(self, state: State) -> None:
        await self.sessions.handle(state.session, Ended(BY))

    async def entries(self, room: str, kind: str = "call") -> list[dict[str, Any]]:
        await self.conductor.flush()
        async with self.database.reading() as connection:
            found = await timeline.since(connection, room, 0)
        return [one.body for one in found if one.kind == kind]

    async def changes(self, room: str, *expected: str) -> list[str]:
        """What `call` entries say, as soon as there are as many as expected."""
        found: list[str] = []
        async with asyncio.timeout(10):
            while len(found) < len(expected):
                found = [one["change"] for one in await self.entries(room)]
                await asyncio.sleep(0.01)
        return found

    def leg(self) -> Leg:
        (one,) = self.service.legs.values()
        return one

    async def leg_with(self, played: str) -> Leg:
        """The only call, once this prompt was played to it."""
        await until(lambda: self.service.legs and self.media.did("play", self.leg().id, played))
        return self.leg()

    def rules(self) -> list[str]:
        return [one.rule for one in self.service.refusals.items]


Make = Callable[..., Awaitable[PhoneWorld]]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    async with contextlib.AsyncExitStack() as stack:

        async def build(**settings: Any) -> PhoneWorld:
            wanted = {
                "enabled": True, "port": 0, "ring_timeout_s": 20.0, "trunks": (TRUNK,), "rules": RULES, "burst": 200,
                "requests_per_s": 100.0,
            }  # fmt: skip
            chosen = PhonesSettings(**{**wanted, **settings})
            database = await stack.enter_async_context(Database.open(sqlite_url(tmp_path)))
            tree = await SiteTree.load(database)
            await tree.ensure(SITES)
            bus = MemoryBus()
            sessions = SessionService(database, tree, bus, 60.0)
            conductor = Conductor(database, bus, sessions, resume_s=1.0)
            await conductor.prepare()
            media = FakePhoneMedia()
            service = PhoneService(chosen, database, tree, conductor, sessions, media, b"k" * 32)
            media.listener = service
            group = await stack.enter_async_context(_running(conductor.run, sessions.run, service.run))
            assert group is not None
            await until(lambda: service.available)
            return PhoneWorld(service, media, sessions, conductor, database)

        yield build


@contextlib.asynccontextmanager
async def _running(*runs: Callable[[], Awaitable[None]]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.ensure_future(run()) for run in runs]
    try:
        yield tasks
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for one in ended:
            if isinstance(one, BaseException) and not isinstance(one, asyncio.CancelledError):
                raise one
