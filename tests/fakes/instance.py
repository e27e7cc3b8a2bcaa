"""A real server process on free loopback ports, with a small tree of sites and an account at each level.

async with Instance(tmp_path) as server:
    link = await server.link("dispatcher")
"""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from config.load import load
from config.settings import Settings
from server.commands.accounts import opened
from server.identity.roles import Role

ROOT = Path(__file__).parent.parent.parent

SITES: list[dict[str, Any]] = [
    {"site": "province", "level": "province", "name_zh": "某省局", "name_en": "Province"},
    {"site": "city", "parent": "province", "level": "city", "name_zh": "某市局", "name_en": "City"},
    {"site": "county", "parent": "city", "level": "county", "name_zh": "某县局", "name_en": "County"},
    {"site": "hongqi", "parent": "county", "level": "mine", "name_zh": "红旗煤矿", "name_en": "Hongqi mine"},
]
ACCOUNTS: dict[str, tuple[str, Role, str]] = {
    "dispatcher": ("李调度", "dispatcher", "hongqi"),
    "county": ("王县局", "supervisor", "county"),
    "city": ("赵市局", "supervisor", "city"),
    "province": ("陈省局", "supervisor", "province"),
    "admin": ("管理员", "admin", "province"),
}
PASSWORD = "correct horse battery"
READY = re.compile(rb"Lamproom is ready at (\S+)")
START_TIMEOUT_S = 90.0


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


class Instance:
    """One server; the same ports and data after `kill` and `start`."""

    def __init__(self, folder: Path, **sections: Mapping[str, Any] | list[Any]) -> None:
        self.folder = folder
        self.port = free_port()
        self.udp_port = free_port(socket.SOCK_DGRAM)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self._process: asyncio.subprocess.Process | None = None
        self._users: dict[str, str] = {}
        config: dict[str, Any] = {
            "server": {"listen_port": self.port, "data_dir": str(folder / "data"), "log_format": "json"},
            "media": {"udp_port": self.udp_port},
            "sites": SITES,
        }
        for name, section in sections.items():
            config[name] = {**config.get(name, {}), **section} if isinstance(section, Mapping) else section
        self.config = folder / "lamproom.yaml"
        self.config.write_text(json.dumps(config), "utf-8")  # JSON is YAML

    @property
    def settings(self) -> Settings:
        return load(self.config, {})

    @property
    def pid(self) -> int:
        assert self._process is not None, "started"
        return self._process.pid

    async def __aenter__(self) -> "Instance":
        async with opened(self.settings) as (identity, _):
            for login, (name, role, site) in ACCOUNTS.items():
                user = await identity.add_user(login, PASSWORD, name=name, role=role, site=site)
                self._users[login] = user.user
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server", "run", "-c", str(self.config), cwd=ROOT,
                stdout=asyncio.subprocess.PIPE, stderr=log, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        assert self._process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            while line := await self._process.stdout.readline():
                if READY.search(line):
                    break
            else:
                raise AssertionError(f"the server ended: {self.log.read_text()[-3000:]}")
            await self.until_ready()

    async def until_ready(self) -> None:
        """All units work."""
        async with aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"{self.url}/-/ready") as answer:
                    if answer.status == 200:
                        return
                await asyncio.sleep(0.1)

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
        try:
            async with asyncio.timeout(30.0):
                await self._process.communicate()
        except TimeoutError:
            os.kill(self._process.pid, signal.SIGKILL)
            await self._process.communicate()
            raise AssertionError("the server did not end in 30 s") from None

    # --- people and programs ---

    async def link(self, login: str) -> str:
        """A one-time log-in link."""
        async with opened(self.settings) as (identity, _):
            return f"{self.url}/enter/{await identity.make_link(self._users[login])}"

    async def device_token(self, name: str, site: str = "hongqi") -> str:
        """For WHIP."""
        async with opened(self.settings) as (identity, _):
            return identity.issue_device(f"site:{site}", name).token

    async def session(self, login: str) -> aiohttp.ClientSession:
        """Logged in by password; close it."""
        http = aiohttp.ClientSession(self.url, headers={"X-Lamproom": "1"}, cookie_jar=aiohttp.CookieJar(unsafe=True))
        async with http.post("/api/login", json={"login": login, "password": PASSWORD}) as answer:
            assert answer.status == 200, await answer.text()
        return http
