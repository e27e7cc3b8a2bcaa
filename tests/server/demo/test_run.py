"""The whole demonstration: it comes up by the public doors, tells its story, and leaves nothing."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from rich.console import Console

from config.load import load
from server.demo.children import Children
from server.demo.run import DemoError, Options, run_demo, show
from server.demo.setting import PERSONS, Stage, free_port, settings_for
from server.demo.story import Story, Tell


@asynccontextmanager
async def demonstration(speed: float) -> AsyncIterator[tuple[Stage, Children, list[Tell]]]:
    """A running demonstration; ended, and looked after, at the end."""
    told: list[Tell] = []
    ready: asyncio.Future[tuple[Stage, Children]] = asyncio.get_running_loop().create_future()
    running = asyncio.ensure_future(
        run_demo(
            Options(speed=speed, browser=False),
            console=Console(file=io.StringIO()),
            on_tell=told.append,
            on_ready=lambda stage, children: ready.set_result((stage, children)),
        )
    )
    try:
        either: set[asyncio.Future[Any]] = {running, ready}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=90)
        assert ready.done(), running.exception() if running.done() else "not ready in time"
        stage, children = ready.result()
        yield stage, children, told
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=30)


async def ask(http: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    async with http.get(url) as answer:
        assert answer.status == 200
        items: list[dict[str, Any]] = (await answer.json())["items"]
        return items


async def until(get: Callable[[], Awaitable[Any]], within_s: float = 40) -> Any:
    """The first answer that is true."""
    async with asyncio.timeout(within_s):
        while not (found := await get()):
            await asyncio.sleep(0.3)
    return found


@pytest.mark.timeout(240)
async def test_simulated_mine_is_on_every_door_is_seen_and_gone_afterwards() -> None:
    async with demonstration(speed=2.0) as (stage, children, told):
        pids = [child.pid for child in children.running]
        folder = children.folder
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            async with http.post(stage.opening_link, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (303, "/dispatch")

            async def cameras() -> Any:
                found = await ask(http, f"{stage.url}/api/cameras?site=hongqi")
                return found if len(found) == 3 and all(camera["state"] == "live" for camera in found) else None

            live = await until(cameras)
            assert {camera["name"] for camera in live} == {"dispatch-room", "shaft-mouth", "belt-head"}
            assert all(camera["simulated"] for camera in live)

            async def tags() -> Any:
                return await ask(http, f"{stage.url}/api/positions?site=hongqi")

            positions = await until(tags)
            assert len(positions) == 42
            assert all(position["simulated"] for position in positions)
            curve = f"{stage.url}/api/readings?site=hongqi&device=fan-main&quantity=current_a"
            readings = await until(lambda: ask(http, curve))
            assert all(reading["simulated"] for reading in readings)
            posts = await ask(http, f"{stage.url}/api/posts?site=hongqi")
            assert [post["post"] for post in posts] == ["dispatch-desk"]

            async def empty_desk() -> Any:
                alerts = await ask(http, f"{stage.url}/api/alerts?site=hongqi")
                return [alert for alert in alerts if alert["rule"] == "absence"]

            (alert,) = await until(empty_desk, within_s=90)  # seen by the detector, in pictures that came by WHIP
            assert alert["simulated"]
        assert "一切正常" in told[0].zh
    assert not folder.exists()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


@pytest.mark.timeout(240)
async def test_demonstration_ends_with_the_servers_last_words_when_the_server_dies() -> None:
    ready: asyncio.Future[Children] = asyncio.get_running_loop().create_future()
    running = asyncio.ensure_future(
        run_demo(
            Options(browser=False),
            console=Console(file=io.StringIO()),
            on_ready=lambda _, children: ready.set_result(children),
        )
    )
    children = await asyncio.wait_for(ready, 90)
    (server,) = (child for child in children.running if child.name == "server")
    server.process.kill()
    with pytest.raises(DemoError, match="The server has ended"):
        await asyncio.wait_for(running, 30)
    assert children.running == []


def test_settings_of_the_demonstration_are_valid_and_simulated(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, Story(2.0), 1, 2, 3)
    assert settings.server.simulated
    (post,) = settings.analytics.posts
    assert (post.warn_after_s, post.alarm_after_s) == (4.0, 7.5)
    assert (post.sleep_warn_after_s, post.sleep_alarm_after_s) == (3.0, 5.5)
    assert "演示" in post.name_zh
    assert "demo" in post.name_en
    assert load(None, {}).server.simulated is False


def test_taken_port_is_left_alone_and_the_next_is_chosen() -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as taken:
            taken.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                taken.listen()
            port = taken.getsockname()[1]
            chosen = free_port(port, kind)
            assert chosen != port
            assert chosen > 0


def test_console_shows_each_link_whole_and_how_to_end(tmp_path: Path) -> None:
    links = {person.login: f"http://{person.host}:8443/enter/{'x' * 43}" for person in PERSONS}
    stage = Stage(tmp_path, "http://127.0.0.1:8443", 8443, 8444, 1883, links, "", {}, "")
    written = io.StringIO()
    show(Console(file=written, width=80), stage, Story())
    lines = [line.strip() for line in written.getvalue().splitlines()]
    assert all(link in lines for link in links.values())
    assert "Ctrl+C" in lines[-1]
    assert any("8 秒预警" in line for line in lines)
    assert len({person.host for person in PERSONS}) == len(PERSONS)
