"""A whole server in the test's process with a phone worker beside it, and no SIP: legs are opened by hand."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path

import aiohttp
import numpy as np
from aiortc.mediastreams import AudioStreamTrack
from av import AudioFrame

from config.settings import MediaSettings, PhoneMediaSettings, ServerSettings, Settings
from media.phone.audio import Samples
from server.app import Parts, running
from server.clients import Client
from server.identity.tokens import Grant
from server.phonemedia import PhoneMedia
from signaling.room.messages import Person
from tests.fakes.instance import ACCOUNTS, PASSWORD, SITES
from tests.fakes.people import Screen
from tests.fakes.sound import tone


class PhoneServer:
    """Looks like an `Instance` to `People`."""

    def __init__(self, url: str, parts: Parts, phones: PhoneMedia) -> None:
        self.url = url
        self.parts = parts
        self.phones = phones

    async def session(self, login: str) -> aiohttp.ClientSession:
        name, role, site = ACCOUNTS[login]
        await self.parts.identity.add_user(login, PASSWORD, name=name, role=role, site=site)
        made = aiohttp.ClientSession(
            self.url, cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"X-Lamproom": "1"}
        )  # fmt: skip
        async with made.post("/api/login", json={"login": login, "password": PASSWORD}) as answer:
            assert answer.status == 200, await answer.text()
        return made

    async def telephone(self, room: str, name: str = "一号井电话") -> Client:
        """A client that stands for a phone, in this room."""
        now = time.time()
        grant = Grant(
            user="phone:hongqi:one", name=name, role="dispatcher", site="hongqi", level="mine", room=room, publish=True,
            subscribe=True, sources=("microphone",), moderate=False, jti=secrets.token_hex(4), login=None,
            issued_at=now, expires_at=now + 3600,
        )  # fmt: skip
        person = Person(user=grant.user, name=name, role="dispatcher", site="hongqi", level="mine")
        client = Client(secrets.token_hex(6), secrets.token_urlsafe(24), person, kind="phone")
        self.parts.conductor.add_without_socket(client)
        await self.parts.conductor.enter(client, grant)
        return client


@contextlib.asynccontextmanager
async def phone_server(folder: Path, **phone_media: object) -> AsyncIterator[PhoneServer]:
    """`phone_media`: of the settings' section."""
    settings = Settings.model_validate(
        {
            "server": ServerSettings(listen_port=0, data_dir=folder / "data").model_dump(),
            "media": MediaSettings(udp_port=0).model_dump(),
            "sites": SITES,
        }
    )
    async with running(settings) as server:
        parts = server.parts
        own = PhoneMediaSettings.model_validate({"rtp_port_min": 24000, "rtp_port_max": 29999} | phone_media)
        phones = PhoneMedia(own, parts.conductor, parts.streams)
        parts.media.on_keyframe_needed = phones.keyframe_needed
        task = asyncio.create_task(phones.run())
        try:
            async with asyncio.timeout(90):
                await phones.ready.wait()
                await parts.media.ready.wait()
            yield PhoneServer(server.url, parts, phones)
        finally:
            task.cancel()
            await asyncio.wait([task])


@contextlib.asynccontextmanager
async def sip_server(folder: Path, prompts: Path | None = None, **phones: object) -> AsyncIterator[PhoneServer]:
    """The same with call control; `phones`: of the settings' section. Prompts are signals, which are short, or those of
    the folder `prompts`."""
    own = {"rtp_port_min": 24000, "rtp_port_max": 29999, "speech": False, "prompts": prompts}
    settings = Settings.model_validate(
        {
            "server": ServerSettings(listen_port=0, data_dir=folder / "data").model_dump(),
            "media": MediaSettings(udp_port=0).model_dump(),
            "sites": SITES,
            "phone_media": own,
            "phones": {"enabled": True, "port": 0, "tls_port": 0} | phones,
        }
    )
    async with running(settings) as server:
        parts = server.parts
        async with asyncio.timeout(90):
            await parts.phone_media.ready.wait()
            await parts.media.ready.wait()
            while parts.phones.endpoint is None:
                await asyncio.sleep(0.05)
        yield PhoneServer(server.url, parts, parts.phone_media)


class ToneTrack(AudioStreamTrack):
    """A browser's microphone: one tone, 48 kHz, 20 ms frames."""

    def __init__(self, frequency: float, peak: float = 8000.0) -> None:
        super().__init__()
        self._tone = tone(frequency, 1.0, 48000, peak)  # whole periods: it may be repeated
        self._at = 0
        self._began: float | None = None

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time()
        await asyncio.sleep(max(0.0, self._began + self._at / 48000 - loop.time()))
        start = self._at % 48000
        samples = np.rint(self._tone[start : start + 960]).astype(np.int16)
        frame = AudioFrame.from_ndarray(np.repeat(samples, 2).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, self._at, Fraction(1, 48000)
        self._at += 960
        return frame


async def listen(screen: Screen, seconds: float) -> Samples:
    """What a browser hears of its newest sound, one channel at 48 kHz."""
    frames = await screen.frames("audio", round(seconds * 50))
    parts = [frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0] for frame in frames]
    return np.concatenate(parts).astype(np.float32)
