"""Debian's Janus as the yardstick: its VideoRoom over its WebSocket API, one publisher and many subscribers.

Janus takes no loopback interface for media, so it needs another address (`tests.bench.forward` makes a network
namespace with one); its WebSocket may well be on the loopback address.
"""

import asyncio
import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.bench.servers import WAIT_S, end
from tests.fakes.loadpeer import LoadPeer

JANUS = "/usr/bin/janus"
_FOLDERS = Path("/usr/lib/x86_64-linux-gnu/janus")


class Janus:
    """Janus' VideoRoom over its WebSocket API."""

    controls_subscribers = True

    def __init__(self, name: str, process: asyncio.subprocess.Process, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.name = name
        self.pid = process.pid
        self._ws = ws
        self._session = 0
        self._feed = 0

    async def _ask(self, wanted: str, request: dict[str, Any]) -> dict[str, Any]:
        """Send and wait for the answer of the wanted kind (`success`, `event`)."""
        transaction = secrets.token_hex(8)
        session = {"session_id": self._session} if self._session else {}
        await self._ws.send_json({"transaction": transaction, **session, **request})
        async with asyncio.timeout(WAIT_S):
            while True:
                answer: dict[str, Any] = json.loads(await self._ws.receive_str())
                if answer.get("transaction") != transaction or answer["janus"] not in (wanted, "error"):
                    continue
                data = answer.get("plugindata", {}).get("data", {})
                if answer["janus"] == "error" or "error" in data:
                    raise ConnectionError(f"Janus refused: {json.dumps(answer)}.")
                return answer

    async def start(self) -> None:
        self._session = (await self._ask("success", {"janus": "create"}))["data"]["id"]
        handle = await self._attach()
        room = {"request": "create", "room": 1, "publishers": 1, "videocodec": "vp8", "bitrate": 0}
        await self._ask("success", {"janus": "message", "handle_id": handle, "body": room})

    async def _attach(self) -> int:
        answer = await self._ask("success", {"janus": "attach", "plugin": "janus.plugin.videoroom"})
        handle: int = answer["data"]["id"]
        return handle

    async def publish(self, peer: LoadPeer, ssrc: int) -> None:
        handle = await self._attach()
        join = {"request": "join", "ptype": "publisher", "room": 1}
        answer = await self._ask("event", {"janus": "message", "handle_id": handle, "body": join})
        self._feed = answer["plugindata"]["data"]["id"]
        answer = await self._ask(
            "event",
            {
                "janus": "message",
                "handle_id": handle,
                "body": {"request": "publish", "audio": False, "video": True},
                "jsep": {"type": "offer", "sdp": peer.offer(ssrc), "trickle": False},
            },
        )
        peer.learn(answer["jsep"]["sdp"])

    async def subscribe(self, peer: LoadPeer) -> None:
        handle = await self._attach()
        join = {"request": "join", "ptype": "subscriber", "room": 1, "streams": [{"feed": self._feed}]}
        answer = await self._ask("event", {"janus": "message", "handle_id": handle, "body": join})
        sdp = peer.answer(answer["jsep"]["sdp"])
        await self._ask(
            "event",
            {
                "janus": "message",
                "handle_id": handle,
                "body": {"request": "start"},
                "jsep": {"type": "answer", "sdp": sdp, "trickle": False},
            },
        )

    async def refresh(self) -> None:
        await self._ask("ack", {"janus": "keepalive"})


@contextlib.asynccontextmanager
async def running_janus(name: str, port: int, event_loops: int) -> AsyncIterator[Janus]:
    """Debian's Janus with its own defaults, but for the plugins and transports that are not used.

    Args:
        event_loops: 0 = a thread per handle, as packaged.
    """
    with tempfile.TemporaryDirectory(prefix="bench-janus-") as folder:
        _settings(Path(folder), port, event_loops)
        process = await asyncio.create_subprocess_exec(
            *(JANUS, "--configs-folder", folder, "--disable-colors"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with aiohttp.ClientSession() as http:
                async with await _opened(http, port) as ws:
                    server = Janus(name, process, ws)
                    await server.start()
                    yield server
        finally:
            await end(process)


async def _opened(http: aiohttp.ClientSession, port: int) -> aiohttp.ClientWebSocketResponse:
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                return await http.ws_connect(f"ws://127.0.0.1:{port}/", protocols=["janus-protocol"], max_msg_size=0)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


def _settings(folder: Path, port: int, event_loops: int) -> None:
    unused_plugins = ",".join(path.name for path in (_FOLDERS / "plugins").glob("*.so") if "videoroom" not in path.name)
    unused_transports = ",".join(
        path.name for path in (_FOLDERS / "transports").glob("*.so") if "websockets" not in path.name
    )
    loops = f"event_loops = {event_loops}" if event_loops else ""
    (folder / "janus.jcfg").write_text(
        f"""general: {{
  configs_folder = "{folder}"
  plugins_folder = "{_FOLDERS}/plugins"
  transports_folder = "{_FOLDERS}/transports"
  events_folder = "{_FOLDERS}/events"
  loggers_folder = "{_FOLDERS}/loggers"
  debug_level = 4
  {loops}
}}
nat: {{ nice_debug = false  ice_ignore_list = "vmnet" }}
plugins: {{ disable = "{unused_plugins}" }}
transports: {{ disable = "{unused_transports}" }}
"""
    )
    (folder / "janus.plugin.videoroom.jcfg").write_text("general: { }\n")
    (folder / "janus.transport.websockets.jcfg").write_text(
        f'general: {{ json = "compact"  ws = true  ws_port = {port}  wss = false }}\n'
    )


def version() -> str:
    """As it tells: `1102 (1.1.2)`."""
    told = subprocess.run([JANUS, "--version"], capture_output=True, text=True, timeout=WAIT_S, check=False)
    return told.stdout.partition("\n")[0].removeprefix("Janus version: ")


def installed() -> bool:
    return shutil.which(JANUS) is not None and _FOLDERS.is_dir()
