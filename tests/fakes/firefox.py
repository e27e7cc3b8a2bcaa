"""Real Firefox processes with fake devices, driven by WebDriver BiDi over the browser's own WebSocket.

async with firefox() as browser:
    page = await browser.open("http://127.0.0.1:1234/")
    await page.evaluate("() => document.title")

`Page` has the few methods that tests call on pages of Playwright, which itself drives only a Firefox of its own making.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.fakes.browser import KEEP, Receiver
from tests.fakes.instance import Instance

FIREFOX = "/usr/bin/firefox-esr"
START_TIMEOUT_S = 90.0
CALL_TIMEOUT_S = 90.0
_LISTENING = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")
_PREFERENCES: dict[str, Any] = {
    # Devices and playing.
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-provider.enabled": False,
    # No word to anybody outside, no page of its own.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.tabs.unloadOnLowMemory": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.min_background_timeout_value": 10,
    "dom.timeout.enable_budget_timer_throttling": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


# Whatever camera a page asks for, it gets a small one: a busy machine has no time to encode large pictures.
SMALL = """
const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) =>
    open(wanted.video ? {...wanted, video: {width: 640, height: 360, frameRate: 15}} : wanted);
"""


class Failed(Exception):
    """The browser refused a command, or a script threw."""


def _javascript(value: Any) -> Any:
    """What BiDi says of a value, as Python would have it."""
    kind = value.get("type")
    if kind in ("undefined", "null"):
        return None
    if kind in ("string", "boolean", "number", "bigint"):
        return value["value"]
    if kind in ("array", "set"):
        return [_javascript(each) for each in value.get("value", [])]
    if kind in ("object", "map"):
        return {key if isinstance(key, str) else _javascript(key): _javascript(each) for key, each in value["value"]}
    return f"<{kind}>"


class Page:
    """One tab in a context (cookies, storage) of its own."""

    def __init__(self, browser: "Firefox", context: str) -> None:
        self._browser = browser
        self._context = context
        self.errors: list[str] = []

    async def evaluate(self, script: str, argument: Any = None) -> Any:
        """Call a function, or work an expression out; promises are waited for.

        Raises:
            Failed: the script threw.
        """
        is_function = re.match(r"\s*(async\b\s*)?(\(|function\b|[A-Za-z_]\w*\s*=>)", script) is not None
        body = f"({script})" if is_function else f"() => ({script})"
        # The result goes as JSON: BiDi would cut objects off at a depth.
        wrapped = f"async given => JSON.stringify((await ({body})(...JSON.parse(given))) ?? null)"
        answer = await self._browser.call(
            "script.callFunction",
            functionDeclaration=wrapped,
            arguments=[{"type": "string", "value": json.dumps([] if argument is None else [argument])}],
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if answer["type"] != "success":
            raise Failed(answer["exceptionDetails"]["text"])
        return json.loads(_javascript(answer["result"]))

    async def goto(self, address: str) -> None:
        await self._browser.call("browsingContext.navigate", context=self._context, url=address, wait="complete")

    async def click(self, selector: str) -> None:
        """The element's own click, as soon as it is there."""
        await self.evaluate(
            """async selector => {
                while (!document.querySelector(selector)) await new Promise(done => setTimeout(done, 50));
                document.querySelector(selector).click();
            }""",
            selector,
        )

    async def wait_for_path(self, path: str, timeout_s: float = CALL_TIMEOUT_S) -> None:
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(Failed):  # between two documents there is nothing to ask
                    if await self.evaluate("location.pathname + document.readyState") == f"{path}complete":
                        return
                await asyncio.sleep(0.1)

    async def wait_for_timeout(self, timeout_ms: float) -> None:
        await asyncio.sleep(timeout_ms / 1000)

    async def screenshot(self) -> str:
        """A picture of the tab: PNG in base64."""
        answer = await self._browser.call("browsingContext.captureScreenshot", context=self._context)
        return str(answer["data"])


class Firefox:
    """One browser process."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}

    async def listen(self) -> None:
        """Hand out answers until the browser ends."""
        async for message in self._socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            said = json.loads(message.data)
            waiting = self._waiting.pop(said.get("id"), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(said)
            elif said.get("method") == "log.entryAdded" and said["params"]["level"] == "error":
                page = self._pages.get(said["params"]["source"].get("context"))
                if page is not None and len(page.errors) < 100:
                    page.errors.append(said["params"]["text"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Failed("Firefox has ended."))

    async def call(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        """One command of BiDi and its result.

        Raises:
            Failed: the browser refused it.
        """
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                said = await answer
        finally:
            self._waiting.pop(number, None)
        if said.get("type") == "error":
            raise Failed(f"{method}: {said['error']}: {said['message']}")
        result: dict[str, Any] = said["result"]
        return result

    async def new_page(self, before: str = "", *, width: int = 1440, height: int = 900) -> Page:
        """A fresh tab. `before` runs in each of its documents ahead of the document's own scripts."""
        made = await self.call("browser.createUserContext")
        tab = await self.call("browsingContext.create", type="window", userContext=made["userContext"])
        page = self._pages[tab["context"]] = Page(self, tab["context"])
        if before:
            await self.call(
                "script.addPreloadScript", functionDeclaration=f"() => {{ {before} }}", contexts=[tab["context"]]
            )
        with contextlib.suppress(Failed):
            await self.call(
                "browsingContext.setViewport", context=tab["context"], viewport={"width": width, "height": height}
            )
        return page


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said: list[bytes] = []
    async with asyncio.timeout(START_TIMEOUT_S):
        while line := await process.stderr.readline():
            said.append(line)
            if found := _LISTENING.search(line):
                return found[1].decode()
    raise AssertionError(f"Firefox ended: {b''.join(said)[-2000:]!r}")


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


@contextlib.asynccontextmanager
async def firefox(**preferences: Any) -> AsyncIterator[Firefox]:
    """A browser process of its own, with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True) as folder:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in
                 {**_PREFERENCES, **preferences}.items()]  # fmt: skip
        (Path(folder) / "user.js").write_text("\n".join(lines) + "\n", "utf-8")
        process = await asyncio.create_subprocess_exec(
            FIREFOX, "--headless", "--no-remote", "--profile", folder, "--remote-debugging-port", "0", "about:blank",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "HOME": folder, "MOZ_CRASHREPORTER_DISABLE": "1", "LANG": "zh_CN.UTF-8"},
            start_new_session=True,
        )  # fmt: skip
        tasks: list[asyncio.Task[None]] = []
        try:
            address = await _address(process)
            assert process.stderr is not None
            tasks.append(asyncio.create_task(_drain(process.stderr)))
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"{address}/session", max_msg_size=0, heartbeat=None) as socket,
            ):
                browser = Firefox(socket)
                tasks.append(asyncio.create_task(browser.listen()))
                await browser.call("session.new", capabilities={})
                await browser.call("session.subscribe", events=["log.entryAdded"])
                yield browser
        finally:
            _end(process, signal.SIGTERM)
            try:
                async with asyncio.timeout(10.0):
                    await process.wait()
            except TimeoutError:
                _end(process, signal.SIGKILL)
                await process.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _end(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """The whole group: content processes are children of the browser's own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


async def visit_by_firefox(browser: Firefox, server: Instance, login: str) -> Receiver:
    """A fresh tab, logged in by a one-time link."""
    page = await browser.new_page(KEEP + SMALL)
    await page.goto(await server.link(login))
    await page.click("button[type=submit]")
    await page.wait_for_path("/dispatch" if login == "dispatcher" else "/supervisor")
    return Receiver(page, page.errors)
