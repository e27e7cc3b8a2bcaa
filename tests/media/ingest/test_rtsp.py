"""A real RTSP server, and servers that misbehave: what comes, and which reason is given."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from itertools import islice
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio

from media.ingest import rtsp
from media.ingest.address import Policy
from media.ingest.rtsp import CameraFailed, Opening, Unit
from media.packetize import is_h264_key, split_annex_b
from tests.fakes.rtspcamera import RtspServer, clip, free_port, rtsp_server, served

LOOPBACK = Policy(allow=(ip_network("127.0.0.0/8"),))


def opening(url: str, transport: Literal["tcp", "udp"] = "tcp", *, audio: bool = True) -> Opening:
    return Opening(url, transport, LOOPBACK, audio=audio)


def first_units(url: str, count: int, transport: Literal["tcp", "udp"] = "tcp") -> tuple[Opening, list[Unit]]:
    camera = opening(url, transport)
    try:
        return camera, list(islice(camera.units(), count))
    finally:
        camera.close()


def drain(url: str) -> None:
    camera = opening(url)
    try:
        for _ in camera.units():
            pass
    finally:
        camera.close()


def reason_of(url: str) -> str:
    with pytest.raises(CameraFailed) as failed:
        drain(url)
    assert failed.value.detail.endswith(".")
    assert "secret" not in failed.value.detail
    return failed.value.reason


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        "usual": clip(folder / "usual.mkv", seconds=10),
        "short": clip(folder / "short.mkv", seconds=1, sound=False),
        "h265": clip(folder / "h265.mkv", seconds=2, codec="libx265", sound=False),
    }


@pytest_asyncio.fixture
async def server(clips: dict[str, Path]) -> AsyncIterator[RtspServer]:
    mounts = {
        "/usual": served(clips["usual"]),
        "/short": served(clips["short"], sound=False),
        "/h265": served(clips["h265"], codec="h265", sound=False),
    }
    async with rtsp_server(mounts) as running:
        yield running


@pytest.mark.peer
@pytest.mark.parametrize("transport", ["tcp", "udp"])
async def test_pictures_and_sound_come_as_the_camera_encoded_them(
    server: RtspServer, transport: Literal["tcp", "udp"]
) -> None:
    camera, units = await asyncio.to_thread(first_units, server.url("/usual"), 60, transport)
    told = camera.described
    assert (told.video.codec, told.width, told.height) == ("H264", 320, 180)
    assert dict(told.video.parameters)["profile-level-id"].startswith("42c0")
    assert told.audio is not None
    assert (told.audio.codec, told.audio.clock_rate) == ("PCMA", 8000)
    video = [unit for unit in units if unit.kind == "video"]
    assert is_h264_key(split_annex_b(video[0].data))
    times = [unit.time_s for unit in video if unit.time_s is not None]
    assert times == sorted(times)
    assert any(unit.kind == "audio" for unit in units)


@pytest.mark.peer
async def test_a_stream_that_ends_says_so(server: RtspServer) -> None:
    assert await asyncio.to_thread(reason_of, server.url("/short")) in ("ended", "no_data")


@pytest.mark.peer
async def test_each_way_to_fail_has_its_reason(server: RtspServer) -> None:
    assert await asyncio.to_thread(reason_of, server.url("/nothing")) == "not_found"
    assert await asyncio.to_thread(reason_of, server.url("/h265")) == "codec_unsupported"
    assert await asyncio.to_thread(reason_of, f"rtsp://127.0.0.1:{free_port()}/x") == "connection_refused"
    assert await asyncio.to_thread(reason_of, "rtsp://camera.invalid/x") == "name_unknown"
    assert await asyncio.to_thread(reason_of, "rtsp://169.254.169.254/x") == "address_refused"


@pytest.mark.peer
@pytest.mark.parametrize("method", ["digest", "basic"])
async def test_a_password_is_used_and_never_shown(clips: dict[str, Path], method: str) -> None:
    mounts = {"/usual": served(clips["usual"])}
    async with rtsp_server(mounts, password="secret", method=method) as server:
        _, units = await asyncio.to_thread(first_units, server.url("/usual", "admin:secret"), 5)
        assert len(units) == 5
        assert await asyncio.to_thread(reason_of, server.url("/usual", "admin:wrongsecret")) == "unauthorized"
        assert await asyncio.to_thread(reason_of, server.url("/usual")) == "unauthorized"


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives every connection the same bytes and then says nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listener.accept()
                taken.append(one)
                one.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.close()
        for one in taken:
            one.close()


def test_a_silent_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "OPEN_TIMEOUT_S", 0.5)
    with answering(b"") as port:
        before = time.monotonic()
        assert reason_of(f"rtsp://127.0.0.1:{port}/x") == "timeout"
        assert time.monotonic() - before < 5


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\n<html>", b"\x00" * 500, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n", b"$" * 4096]
)
def test_what_speaks_no_rtsp_is_refused_in_time(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp, "OPEN_TIMEOUT_S", 0.5)
    monkeypatch.setattr(rtsp, "READ_TIMEOUT_S", 0.5)
    with answering(answer) as port:
        assert reason_of(f"rtsp://127.0.0.1:{port}/x") in ("no_stream", "timeout", "broken", "no_video", "refused")
