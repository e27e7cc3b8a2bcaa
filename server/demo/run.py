"""`./lamproom demo`: a broker, a server, cameras and a mine that tells a story, until Ctrl+C; then nothing is left."""

import asyncio
import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import aiomqtt
from rich.console import Console
from rich.table import Table

from server.demo.cameras import CAMERAS
from server.demo.children import Child, Children
from server.demo.mine import SimulatedMine
from server.demo.setting import MINE, PERSONS, Stage, prepare
from server.demo.story import SetOfficer, Story, Tell

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".state" / "demo-cache"
READY_S = 60.0
TICK_S = 1.0

Narrator = Callable[[Tell], None]


class DemoError(Exception):
    """The demonstration cannot go on."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the person chose."""

    speed: float = 1.0
    seed: int = 1
    browser: bool = True
    seconds: float | None = None
    """End by itself after so long; None: on Ctrl+C."""


async def run_demo(
    options: Options,
    *,
    console: Console | None = None,
    on_tell: Narrator | None = None,
    on_ready: Callable[[Stage, Children], None] | None = None,
) -> None:
    """Run until Ctrl+C, SIGTERM or `options.seconds`; leave nothing.

    Args:
        on_tell: given what the narrator says, besides the console.
        on_ready: called once the server answers.

    Raises:
        DemoError: a part of it does not start, or the server ended.
    """
    console = console or Console()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(how, stop.set)
    folder = Path(tempfile.mkdtemp(prefix="lamproom-demo-"))
    children = Children(folder)
    try:
        await children.start_janitor()
        playing = asyncio.ensure_future(_play(options, folder, children, console, on_tell, on_ready))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({playing, stopping}, timeout=options.seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended_by_itself = playing.done()
            for task in (playing, stopping):
                task.cancel()
            await asyncio.wait({playing, stopping})
        if ended_by_itself:
            _raise_plainly(playing)
    finally:
        console.print("正在停止并清除演示数据… Stopping, and removing all demo data …")
        await children.stop(*(child for child in children.running if child.name != "broker"))
        await children.stop()
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        await children.dismiss_janitor()
        for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(how)


def _raise_plainly(playing: asyncio.Future[None]) -> None:
    try:
        playing.result()
    except ExceptionGroup as group:
        ours, others = group.split(DemoError)
        if ours is None or others is not None:
            raise
        raise ours.exceptions[0] from group


async def _play(
    options: Options,
    folder: Path,
    children: Children,
    console: Console,
    on_tell: Narrator | None,
    on_ready: Callable[[Stage, Children], None] | None,
) -> None:
    story = Story(options.speed)
    stage = await prepare(folder, story)
    broker = await children.start("broker", ["-m", "server.demo.broker", "--port", str(stage.mqtt_port)], ROOT)
    server = await children.start("server", ["-m", "server", "run", "-c", str(stage.config)], ROOT)
    await _until_ready(stage, server, broker)
    cameras = Cameras(children, stage, options.seed, console)
    await cameras.start()
    show(console, stage, story)
    if on_ready is not None:
        on_ready(stage, children)
    if options.browser:
        await _open_browser(stage.opening_link, console)

    def tell(words: Tell) -> None:
        console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim]  {words.zh}\n          [dim]{words.en}[/dim]")
        if on_tell is not None:
            on_tell(words)

    mine = SimulatedMine(options.seed)
    async with asyncio.TaskGroup() as group:
        group.create_task(_tell_story(story, mine, cameras, tell))
        group.create_task(_send_telemetry(stage, mine, options.speed))
        group.create_task(cameras.watch())
        group.create_task(_guard(server, broker))


async def _until_ready(stage: Stage, *needed: Child) -> None:
    deadline = asyncio.get_running_loop().time() + READY_S
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http:
        while asyncio.get_running_loop().time() < deadline:
            for child in needed:
                if child.process.returncode is not None:
                    raise DemoError(f"The {child.name} ended while starting:\n{child.tail()}")
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(f"{stage.url}/-/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise DemoError(f"The server was not ready within {READY_S:.0f} s:\n{needed[0].tail()}")


async def _guard(*needed: Child) -> None:
    """Raises when one of the indispensable processes ends."""
    waits = {asyncio.ensure_future(child.process.wait()): child for child in needed}
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    child = waits[done.pop()]
    raise DemoError(f"The {child.name} has ended:\n{child.tail()}")


class Cameras:
    """The camera processes; one that ends is started again and told where the officer is."""

    def __init__(self, children: Children, stage: Stage, seed: int, console: Console) -> None:
        self._children = children
        self._stage = stage
        self._seed = seed
        self._console = console
        self._officer = "work"
        self._running: dict[str, Child] = {}

    async def start(self) -> None:
        """Start those that do not run."""
        for name in CAMERAS:
            child = self._running.get(name)
            if child is not None and child.process.returncode is None:
                continue
            if child is not None:
                await self._children.stop(child)
            self._running[name] = child = await self._children.start(f"camera-{name}", self._arguments(name), ROOT)
            await child.say(f"officer {self._officer}")

    async def officer(self, state: str) -> None:
        """Tell the dispatch room's camera what the officer does."""
        self._officer = state
        if child := self._running.get("dispatch-room"):
            await child.say(f"officer {state}")

    async def watch(self) -> None:
        """Start again whatever ends."""
        while True:
            await asyncio.sleep(2.0)
            await self.start()

    def _arguments(self, name: str) -> list[str]:
        url = f"{self._stage.url}/whip/site:{MINE}/{name}?simulated=true"
        token = str(self._stage.token_files[name])
        note = self._stage.note if name == "dispatch-room" else ""
        return [
            "-m", "server.demo.cameras", "--name", name, "--url", url, "--token-file", token,
            "--seed", str(self._seed), "--cache", str(CACHE), "--control", "-", "--note", note,
        ]  # fmt: skip


async def _tell_story(story: Story, mine: SimulatedMine, cameras: Cameras, tell: Narrator) -> None:
    began = time.monotonic()
    while True:
        elapsed = time.monotonic() - began
        for action in story.until(elapsed):
            if isinstance(action, Tell):
                tell(action)
            elif isinstance(action, SetOfficer):
                await cameras.officer(action.state)
            else:
                mine.take(action)
        await asyncio.sleep(min(1.0, max(0.02, story.next_in_s(elapsed))))


async def _send_telemetry(stage: Stage, mine: SimulatedMine, speed: float) -> None:
    """Publish the mine's messages once a second; connect again when the broker is away."""
    while True:
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client("127.0.0.1", stage.mqtt_port, identifier="lamproom-demo-mine") as client:
                due = asyncio.get_running_loop().time()
                while True:
                    for message in mine.tick(time.time(), TICK_S * speed):
                        await client.publish(message.topic, message.payload, qos=1)
                    due += TICK_S
                    await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        await asyncio.sleep(1.0)


async def _open_browser(link: str, console: Console) -> None:
    opener = shutil.which("xdg-open") or shutil.which("open")
    if opener is None:
        return
    process = await asyncio.create_subprocess_exec(
        opener,
        link,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3.0):
            if await process.wait() != 0:
                console.print("[dim]没有可用的浏览器 No browser could be opened.[/dim]")


def show(console: Console, stage: Stage, story: Story) -> None:
    """What stands on the console: links, ports, how to end it. Links are on lines of their own, whole, to be copied."""
    console.rule("[bold yellow]Lamproom 演示 · 全部为模拟数据 All data is simulated", style="yellow")
    for person in PERSONS:
        console.print(f"[bold]{person.title_zh}[/bold] {person.title_en}")
        console.print(f"  {stage.links[person.login]}", style="cyan", soft_wrap=True)
    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_row(
        "一次性链接\nOne-time links",
        "每个链接只能打开一次；主机名各不相同，可在同一浏览器中并排登录。\n"
        "Each opens once; host names differ so that one browser can be all of them side by side.",
    )
    table.add_row(
        "空岗阈值\nEmpty post",
        f"演示已缩短：{story.warn_after_s:g} 秒预警，{story.alarm_after_s:g} 秒告警\n"
        f"Shortened for the demo: warning {story.warn_after_s:g} s, alarm {story.alarm_after_s:g} s",
    )
    table.add_row(
        "睡岗阈值\nSleep",
        f"演示已缩短：{story.sleep_warn_after_s:g} 秒预警，{story.sleep_alarm_after_s:g} 秒告警\n"
        f"Shortened for the demo: warning {story.sleep_warn_after_s:g} s, alarm {story.sleep_alarm_after_s:g} s",
    )
    table.add_row(
        "端口\nPorts",
        f"TCP {stage.http_port} HTTP · UDP {stage.media_port} media · TCP {stage.mqtt_port} MQTT (127.0.0.1)",
    )
    console.print(table)
    console.rule("Ctrl+C 停止并清除全部演示数据 · Ctrl+C stops and removes all demo data", style="yellow")


def main(no_browser: bool = False, speed: float = 1.0, seed: int = 1, headless_seconds: float | None = None) -> int:
    """The verb `demo`. Returns an exit status."""
    console = Console()
    options = Options(speed, seed, not no_browser and headless_seconds is None, headless_seconds)
    try:
        asyncio.run(run_demo(options, console=console))
    except DemoError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    return 0
