"""From alert to screens, and from level to level: python tests/bench/escalation.py --json

A real server (its own HTTP and WebSocket doors, SQLite with `synchronous=FULL`) in this process, and pages in another
one that only read their sockets, so that neither waits for the other's loop. Both read the same monotonic clock.
Measured is the time from the moment at which a rule's finding is handed in (or the request is sent) to the moment at
which a page has the entry in hand. Every level is taken to have somebody who can be rung. The many screens stand in the
rooms of the four levels, a quarter in each, and are all of one person of the province.

- *alert to screen*: one page of the county, alerts at the mine, one after the other
- *click to first ring*: a dispatcher's `POST /api/sessions`, until the county's page has the ring
- *level to level*: a chain whose steps last `--step` seconds; the time between the rings of two levels, less that
- *red to all*: `--screens` pages in the county's room get one red alert; the last of them has it
"""

import argparse
import asyncio
import itertools
import json
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a program it is run from anywhere

from analytics.finding import Finding
from config.settings import Settings
from server.app import Running, running
from server.identity.roles import Role
from signaling.room import messages as m
from tests.fakes.instance import SITES

PASSWORD = "correct horse battery"
PEOPLE: tuple[tuple[str, Role, str], ...] = (
    ("dispatcher", "dispatcher", "hongqi"),
    ("province", "supervisor", "province"),
)
ROOMS = ("site:hongqi", "site:county", "site:city", "site:province")
GOALS = (
    ("alert to screen, p95", "alert_p95_s", "s", 0.5),
    ("click to first ring, p95", "ring_p95_s", "s", 1.0),
    ("level to level, beyond its time, largest", "level_max_off_s", "s", 1.0),
    ("red alert on all screens", "all_s", "s", 1.0),
)
OPEN_AT_ONCE = 50
SETTLE_S = 15.0
"""Between the opening of the many pages and the alert: rosters go out."""
BETWEEN_S = 2.0


# --- the pages, in a process of their own -----------------------------------------------------------------------------


class Pages:
    """Sockets of one person; says when each entry was in hand."""

    def __init__(self, http: aiohttp.ClientSession, pipe: Connection) -> None:
        self._http = http
        self._pipe = pipe
        self._readers: list[asyncio.Task[None]] = []
        self.arrivals: dict[str, list[float]] = {}
        """`kind:id:change` to the moments at which pages had it."""

    async def open(self, room: str, count: int) -> None:
        limit = asyncio.Semaphore(OPEN_AT_ONCE)

        async def one() -> None:
            async with limit:
                async with self._http.post("/api/token", json={"room": room}) as answer:
                    token = str((await answer.json())["token"])
                socket = await self._http.ws_connect("/api/ws", max_msg_size=0)
                hello = m.Hello(version=m.VERSION, joins=(m.Join(id=room, token=token),))
                await socket.send_str(hello.model_dump_json())
                while True:
                    message = await socket.receive()
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        raise ConnectionError(f"the server closed a page: {message}")
                    if json.loads(message.data)["type"] == "joined":
                        break
            self._readers.append(asyncio.ensure_future(self._read(socket)))

        await asyncio.gather(*(one() for _ in range(count)))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        beat = asyncio.ensure_future(self._beat(socket))
        try:
            async for message in socket:
                now = time.monotonic()
                if message.type is aiohttp.WSMsgType.TEXT and message.data.startswith('{"type":"event"'):
                    self._take(json.loads(message.data), now)
        finally:
            beat.cancel()

    async def _beat(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not socket.closed:
            await asyncio.sleep(5.0)
            await socket.send_str('{"type":"ping","t":0}')

    def _take(self, event: dict[str, Any], now: float) -> None:
        body = event["body"]
        name = {"alert": body.get("id"), "escalation": body.get("alert"), "session": body.get("session")}.get(
            event["kind"]
        )
        if name is not None:
            at = f":{body['at_site']}" if event["kind"] == "escalation" else ""
            self.arrivals.setdefault(f"{event['kind']}:{name}:{body['change']}{at}", []).append(now)

    @property
    def lost(self) -> int:
        return sum(reader.done() for reader in self._readers)


async def show(url: str, cookies: dict[str, str], pipe: Connection) -> None:
    """Opens as many pages as it is told; answers what has arrived under a name."""
    loop = asyncio.get_running_loop()
    headers, connector = {"X-Lamproom": "1"}, aiohttp.TCPConnector(limit=0)
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(
        url, headers=headers, connector=connector, cookie_jar=jar, cookies=cookies
    ) as http:
        pages = Pages(http, pipe)
        while True:
            word, value = await loop.run_in_executor(None, pipe.recv)
            if word == "open":
                await pages.open(*value)
                pipe.send("open")
            elif word == "arrivals":
                pipe.send((pages.arrivals.get(value, []), pages.lost))
            else:
                return


def pages_process(url: str, cookies: dict[str, str], pipe: Connection) -> None:
    asyncio.run(show(url, cookies, pipe))


# --- the server and the measuring -------------------------------------------------------------------------------------


class Bench:
    def __init__(self, server: Running, pipe: Connection) -> None:
        self._server, self._pipe = server, pipe

    async def open(self, room: str, count: int) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._ask, ("open", (room, count)))

    def _ask(self, words: tuple[str, object]) -> Any:
        self._pipe.send(words)
        return self._pipe.recv()

    async def arrivals(self, name: str, count: int = 1, timeout_s: float = 60.0) -> list[float]:
        """When `count` pages had this."""
        ends = time.monotonic() + timeout_s
        while True:
            found, lost = await asyncio.get_running_loop().run_in_executor(None, self._ask, ("arrivals", name))
            if len(found) >= count:
                return list(found)
            if lost:
                raise RuntimeError(f"{lost} pages were closed by the server")
            if time.monotonic() > ends:
                raise TimeoutError(f"{name} reached {len(found)} of {count} pages")
            await asyncio.sleep(0.05)

    async def raised(self, subject: str) -> tuple[str, float]:
        """A red alert at the mine; its id, and when the finding was handed in."""
        key = f"hongqi/bench/{subject}"
        finding = Finding("hongqi", key, "bench", subject, "raised", "alarm", time.time(), "测试", "Bench")
        began = time.monotonic()
        alert = await self._server.parts.alerts.apply(finding, at=time.time())
        assert alert is not None
        return alert.id, began

    async def over(self, subject: str) -> None:
        key = f"hongqi/bench/{subject}"
        finding = Finding("hongqi", key, "bench", subject, "cleared", "alarm", time.time(), "测试", "Bench")
        await self._server.parts.alerts.apply(finding, at=time.time())


async def measure(server: Running, bench: Bench, dispatcher: aiohttp.ClientSession, given: argparse.Namespace) -> Any:
    await bench.open("site:county", 1)
    alerts: list[float] = []
    for number in range(given.alerts):
        alert, began = await bench.raised(f"a{number}")
        alerts.append((await bench.arrivals(f"alert:{alert}:raised"))[0] - began)
        await bench.over(f"a{number}")
    rings: list[float] = []
    for _ in range(given.rings):
        began = time.monotonic()
        async with dispatcher.post("/api/sessions", json={"site": "hongqi", "levels": ["county"]}) as answer:
            session = str((await answer.json())["session"])
        rings.append((await bench.arrivals(f"session:{session}:ringing"))[0] - began)
        async with dispatcher.post(f"/api/sessions/{session}/end", json={}) as answer:
            assert answer.status == 200
    off: list[float] = []
    climbing = [await bench.raised(f"l{number}") for number in range(given.climbs)]
    for alert, _ in climbing:
        told = [
            (await bench.arrivals(f"escalation:{alert}:ringing:{site}"))[0] for site in ("hongqi", "county", "city")
        ]
        off += [abs(after - before - given.step) for before, after in itertools.pairwise(told)]
    for number in range(given.climbs):
        await bench.over(f"l{number}")
    began = time.monotonic()
    for number, room in enumerate(ROOMS):
        await bench.open(room, given.screens // len(ROOMS) - (number == 1))
    opening = time.monotonic() - began
    await asyncio.sleep(SETTLE_S)
    screens = given.screens // len(ROOMS) * len(ROOMS)
    everywhere: list[list[float]] = []
    stored: list[float] = []
    for number in range(given.reds):
        alert, began = await bench.raised(f"red{number}")
        stored.append(time.monotonic() - began)
        everywhere.append([at - began for at in await bench.arrivals(f"alert:{alert}:raised", screens)])
        await bench.over(f"red{number}")
        await asyncio.sleep(BETWEEN_S)
    return alerts, rings, off, everywhere, stored, opening


async def bench(given: argparse.Namespace) -> dict[str, object]:
    """Everything, as plain data."""
    with tempfile.TemporaryDirectory() as folder:
        step = {"ring": ["browser"], "seconds": given.step}
        chain = {"chain": "bench", "severities": ["alarm", "critical"], "steps": [step]}
        settings = Settings.model_validate(
            {
                "server": {"listen_port": 0, "data_dir": folder, "tls": "off"},
                "media": {"listen_host": "127.0.0.1", "udp_port": 0},
                "duty": {"chains": [chain]},
                "sites": SITES,
            }
        )
        async with running(settings) as server:
            server.parts.duty.escalations.screens = lambda site: frozenset({"somebody"})
            for login, role, site in PEOPLE:
                await server.parts.identity.add_user(login, PASSWORD, name=login, role=role, site=site)
            async with (
                await signed_in(server.url, "province") as province,
                await signed_in(server.url, "dispatcher") as http,
            ):
                cookies = {one.key: one.value for one in province.cookie_jar}
                ours, theirs = multiprocessing.get_context("spawn").Pipe()
                process = multiprocessing.get_context("spawn").Process(
                    target=pages_process, args=(server.url, cookies, theirs)
                )
                process.start()
                try:
                    alerts, rings, off, everywhere, stored, opening = await measure(
                        server, Bench(server, ours), http, given
                    )
                finally:
                    process.kill()
                    process.join()
    figures = {
        "alert_p95_s": at(alerts, 95),
        "ring_p95_s": at(rings, 95),
        "level_max_off_s": max(off),
        "all_s": max(max(one) for one in everywhere),
    }
    return {
        "cpus": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "screens": given.screens,
        "step_s": given.step,
        "opening_s": round(opening, 3),
        "alert_s": rounded(alerts),
        "ring_s": rounded(rings),
        "level_off_s": rounded(off),
        "all_s": [{"p50": at(one, 50), "p95": at(one, 95), "max": max(one)} for one in everywhere],
        "all_stored_s": rounded(stored),
        "goals": [
            {"name": name, "value": round(figures[key], 4), "unit": unit, "goal": goal, "ok": figures[key] <= goal}
            for name, key, unit, goal in GOALS
        ],
    }  # fmt: skip


async def signed_in(url: str, login: str) -> aiohttp.ClientSession:
    http = aiohttp.ClientSession(url, headers={"X-Lamproom": "1"}, cookie_jar=aiohttp.CookieJar(unsafe=True))
    async with http.post("/api/login", json={"login": login, "password": PASSWORD}) as answer:
        assert answer.status == 200, await answer.text()
    return http


def at(values: Sequence[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def main() -> None:
    parser = argparse.ArgumentParser(description="From alert to screens, and from level to level.")
    parser.add_argument("--alerts", type=int, default=100)
    parser.add_argument("--rings", type=int, default=30)
    parser.add_argument("--climbs", type=int, default=10, help="alerts that climb three levels at the same time")
    parser.add_argument("--step", type=float, default=2.0, help="seconds of each level")
    parser.add_argument("--screens", type=int, default=2000)
    parser.add_argument("--reds", type=int, default=5, help="red alerts on all screens; the slowest counts")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    given = parser.parse_args()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    result = asyncio.run(bench(given))
    if given.json:
        print(json.dumps(result, indent=1))
        return
    for goal in result["goals"]:  # type: ignore[attr-defined]
        print(f"{'ok  ' if goal['ok'] else 'MISS'} {goal['name']}: {goal['value']} {goal['unit']} (<= {goal['goal']})")


if __name__ == "__main__":
    main()
