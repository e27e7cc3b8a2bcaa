"""HTTP and media on one TCP port."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from config.settings import ServerSettings, Settings
from media.transport import stun
from media.transport.listening import bind_tcp
from server import frontdoor, tls
from server.frontdoor import FrontDoor, media_tcp, place_of
from server.mediapool import PLACES

STUN = b"\x00\x14" + b"\x00\x01\x00\x00" + bytes(16)


@dataclass
class Open:
    port: int
    door: FrontDoor
    secure: bool
    media: list[socket.socket] = field(default_factory=list)

    async def get(self) -> str:
        scheme = "https" if self.secure else "http"
        async with aiohttp.ClientSession() as http, http.get(f"{scheme}://127.0.0.1:{self.port}/", ssl=False) as answer:
            return await answer.text()


@contextlib.asynccontextmanager
async def opened(folder: Path, *, secure: bool) -> AsyncIterator[Open]:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    assert runner.server is not None
    context = tls.context(ServerSettings(listen_host="0.0.0.0", data_dir=folder)) if secure else None
    assert secure == isinstance(context, ssl.SSLContext)
    listener = bind_tcp("127.0.0.1", 0)
    found: list[socket.socket] = []
    door = FrontDoor(listener, runner.server, context, [lambda one: found.append(one.dup())])
    door.open()
    try:
        yield Open(listener.getsockname()[1], door, secure, found)
    finally:
        await door.close()
        await runner.cleanup()
        for one in found:
            one.close()


@pytest.mark.parametrize("secure", [False, True])
async def test_requests_are_answered_and_media_is_passed_on_whole(tmp_path: Path, secure: bool) -> None:
    async with opened(tmp_path, secure=secure) as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(STUN)
        assert await one.get() == "hello"
        assert len(one.media) == 1
        assert one.media[0].recv(100) == STUN
        one.media[0].sendall(b"answer")
        assert await reader.readexactly(6) == b"answer"
        writer.close()


async def test_many_requests_at_once_and_one_connection_for_several(tmp_path: Path) -> None:
    async with opened(tmp_path, secure=False) as one:
        assert await asyncio.gather(*(one.get() for _ in range(100))) == ["hello"] * 100


async def test_who_says_nothing_is_closed_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontdoor, "FIRST_BYTE_S", 0.3)
    monkeypatch.setattr(frontdoor, "MAX_UNSORTED", 5)
    async with opened(tmp_path, secure=False) as one:
        silent = [await asyncio.open_connection("127.0.0.1", one.port) for _ in range(8)]
        ends = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in silent)), 5)
        assert ends == [b""] * 8
        assert one.door.refused == 3
        assert await one.get() == "hello"
        for _, writer in silent:
            writer.close()


async def test_a_broken_handshake_costs_its_own_connection_only(tmp_path: Path) -> None:
    async with opened(tmp_path, secure=True) as one:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writer.write(b"\x16\x03\x01\x00\x05hello-this-is-no-hello")
        await asyncio.wait_for(reader.read(), 5)
        writer.close()
        assert await one.get() == "hello"


async def test_a_closed_door_takes_nobody(tmp_path: Path) -> None:
    async with opened(tmp_path, secure=False) as one:
        waiting = await asyncio.open_connection("127.0.0.1", one.port)
        await one.door.close()
        assert await asyncio.wait_for(waiting[0].read(), 5) == b""
        waiting[1].close()
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", one.port)


@pytest.mark.parametrize(
    ("http", "media", "who"),
    [
        (("0.0.0.0", 8443), ("0.0.0.0", 8443), "shared"),
        (("127.0.0.1", 8443), ("127.0.0.1", 8443), "shared"),
        (("0.0.0.0", 8443), ("10.0.0.5", 8443), "shared"),
        (("127.0.0.1", 8443), ("0.0.0.0", 8443), "off"),
        (("127.0.0.1", 8443), ("10.0.0.5", 8443), "own"),
        (("0.0.0.0", 443), ("0.0.0.0", 8443), "own"),
        (("0.0.0.0", 0), ("0.0.0.0", 0), "own"),
    ],
)
def test_who_takes_media_by_tcp(http: tuple[str, int], media: tuple[str, int], who: str) -> None:
    settings = Settings.model_validate(
        {
            "server": {"listen_host": http[0], "listen_port": http[1]},
            "media": {"listen_host": media[0], "udp_port": media[1]},
        }
    )
    assert media_tcp(settings) == who
    off = settings.model_copy(update={"media": settings.media.model_copy(update={"tcp": False})})
    assert media_tcp(off) == "off"


def first_packet(ufrag: str) -> bytes:
    request = stun.build(stun.BINDING_REQUEST, bytes(12), [(stun.USERNAME, f"{ufrag}:theirs".encode())], "password")
    return len(request).to_bytes(2, "big") + request


def test_the_first_packet_says_which_worker_a_connection_is_for() -> None:
    assert [place_of(first_packet(f"{PLACES[index]}abcdef"), 16) for index in range(16)] == list(range(16))
    assert place_of(first_packet("2abcdef"), 1) == 0
    assert place_of(first_packet("9abcdef"), 3) == 0
    for strange in (b"", b"\0", b"\0\x05hello", first_packet("2a")[:-1], first_packet(""), first_packet("x")):
        assert place_of(strange, 3) == 0


async def test_a_first_packet_in_pieces_reaches_its_worker_whole(tmp_path: Path) -> None:
    async with opened(tmp_path, secure=False) as one:
        second: list[socket.socket] = []
        one.door._media = [*one.door._media, lambda each: second.append(each.dup())]
        packet = first_packet("1abcdef")
        _, writer = await asyncio.open_connection("127.0.0.1", one.port)
        for piece in (packet[:1], packet[1:20], packet[20:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            while not second:
                await asyncio.sleep(0.01)
        assert second[0].recv(1000) == packet
        second[0].close()
        writer.close()
        assert one.media == []
