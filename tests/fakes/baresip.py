"""Debian's baresip as a desk phone: registers, dials, holds, presses keys; plays a tone and records what it hears."""

import asyncio
import contextlib
import json
import wave
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from media.phone.audio import Samples
from tests.fakes.instance import free_port
from tests.fakes.sound import tone

MODULES = "g711 g722 opus aufile alsa srtp sndfile".split()
STARTS = 5
RATES = {"pcma": 8000, "pcmu": 8000, "g722": 16000, "opus": 48000}


class Baresip:
    """One program. `events` are those of its control port."""

    def __init__(self, folder: Path, rate: int, channels: int) -> None:
        self.folder = folder
        self.rate = rate
        self.channels = channels
        self.events: list[dict[str, Any]] = []
        self.log = folder / "log"
        self._news = asyncio.Event()
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, port: int, process: asyncio.subprocess.Process) -> "asyncio.Task[None] | None":
        """None: it has ended."""
        async with asyncio.timeout(30):
            while process.returncode is None:
                try:
                    reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.1)
            else:
                return None
        return asyncio.create_task(self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                body = json.loads((await reader.readexactly(length + 1))[:-1])
                self.events.append(body)
                self._news.set()

    async def command(self, command: str, params: str = "") -> None:
        body = json.dumps({"command": command, "params": params, "token": command}).encode()
        assert self._writer is not None
        self._writer.write(str(len(body)).encode() + b":" + body + b",")
        await self._writer.drain()

    async def event(self, kind: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """The first event of this type, past or to come."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    for event in self.events:
                        if event.get("type") == kind:
                            return event
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"no {kind}: {self.events[-5:]}\n{self.log.read_text(errors='replace')[-3000:]}"
            ) from None

    async def logged(self, words: str, timeout_s: float = 30.0) -> None:
        """Something that it writes down."""
        try:
            async with asyncio.timeout(timeout_s):
                while words not in self.log.read_text(errors="replace"):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"no {words}: {self.log.read_text(errors='replace')[-3000:]}") from None

    async def press(self, key: str) -> None:
        await self.command("sndcode", key)

    def heard(self) -> Samples:
        """Everything that it has written down of the other side so far, in its last call."""
        path = max(self.folder.glob("rec/*-dec.wav"), key=lambda one: one.stat().st_mtime)
        raw = path.read_bytes()[44:]  # its header is completed at the end of the call
        samples = np.frombuffer(raw[: len(raw) // (2 * self.channels) * 2 * self.channels], "<i2")
        return samples.reshape(-1, self.channels)[:, 0].astype(np.float32)


def _configure(
    folder: Path,
    codec: str,
    transport: str,
    encryption: str,
    account: Mapping[str, str],
    control: int,
    answers: bool,
) -> None:
    """`account`: user, secret, domain, server (host:port)."""
    folder.mkdir(exist_ok=True)
    name = codec.split("/")[0]
    rate, channels = RATES[name], 2 if name == "opus" else 1
    sound = np.repeat(np.rint(tone(440, 30.0, rate)).astype("<i2"), channels)
    with wave.open(str(folder / "tone.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(sound.tobytes())
    (folder / "rec").mkdir(exist_ok=True)
    lines = [
        "poll_method epoll", f"sip_listen 127.0.0.1:{free_port()}", "net_interface 127.0.0.1", "rtp_ports 30000-34000",
        "audio_player alsa,null", f"audio_source aufile,{folder / 'tone.wav'}", "audio_alert alsa,null",
        f"ausrc_srate {rate}", f"auplay_srate {rate}", f"ausrc_channels {channels}", f"auplay_channels {channels}",
        "ausrc_format s16", "auplay_format s16", "call_local_timeout 120", "module_path /usr/lib/baresip/modules",
        *(f"module {each}.so" for each in MODULES), f"snd_path {folder / 'rec'}", "module_tmp uuid.so",
        "module_tmp account.so", "module_app menu.so", "module_app ctrl_tcp.so", "module_app contact.so",
        f"ctrl_tcp_listen 127.0.0.1:{control}", "opus_bitrate 32000",
    ]  # fmt: skip
    (folder / "config").write_text("\n".join(lines) + "\n")
    parts = [
        f"<sip:{account['user']}@{account['domain']};transport={transport}>", f"auth_pass={account['secret']}",
        f"outbound=\"sip:{account['server']};transport={transport}\"", "regint=60",
        f"audio_codecs={codec}", "dtmfmode=rtpevent",
    ]  # fmt: skip
    if answers:
        parts.append("answermode=auto")
    if encryption:
        parts.append(f"mediaenc={encryption}")
    (folder / "accounts").write_text(";".join(parts) + "\n")
    (folder / "contacts").write_text("")


@contextlib.asynccontextmanager
async def baresip(
    folder: Path, account: Mapping[str, str], *, codec: str, transport: str = "udp", encryption: str = "",
    answers: bool = False,
) -> AsyncIterator[Baresip]:  # fmt: skip
    """Registered, until the block ends. `answers`: it picks up by itself."""
    name = codec.split("/")[0]
    made = Baresip(folder, RATES[name], 2 if name == "opus" else 1)
    for _ in range(STARTS):  # it ends at once where somebody took one of its ports meanwhile
        control = free_port()
        _configure(folder, codec, transport, encryption, account, control, answers)
        with made.log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                "baresip", "-f", str(folder), "-4", stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        if (reading := await made.connect(control, process)) is not None:
            break
    else:
        raise AssertionError(f"it does not start: {made.log.read_text(errors='replace')[-3000:]}")
    try:
        await made.logged("200 OK ()")
        yield made
    finally:
        reading.cancel()
        if made._writer is not None:
            made._writer.close()
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
