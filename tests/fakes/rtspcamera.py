"""Cameras for tests: GStreamer's RTSP server, a real program, serving a rendered clip; and servers that misbehave."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.fakes.clips import scene

_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
port, password = sys.argv[1], sys.argv[2]
server = GstRtspServer.RTSPServer.new()
server.set_address("127.0.0.1")
server.set_service(port)
if password:
    auth = GstRtspServer.RTSPAuth.new()
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    auth.set_supported_methods(gi.repository.GstRtsp.RTSPAuthMethod.DIGEST) if sys.argv[3] == "digest" else None
    if sys.argv[3] == "digest":
        auth.add_digest("admin", password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic("admin", password), token)
    server.set_auth(auth)
for mount in sys.argv[4:]:
    path, _, launch = mount.partition("=")
    factory = GstRtspServer.RTSPMediaFactory.new()
    factory.set_launch(launch)
    factory.set_shared(False)
    if password:
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("user", "media.factory.access", True)
        permissions.add_permission_for_role("user", "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory(path, factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
"""
_PYTHON = "/usr/bin/python3"


def need_gstreamer() -> None:
    """Skip where the program is missing."""
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if not shutil.which(_PYTHON) or subprocess.run([_PYTHON, "-c", check], capture_output=True, check=False).returncode:
        pytest.skip("GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0, python3-gi) is not installed.")


def clip(
    path: Path, *, seconds: float = 30.0, rate: int = 15, key_every: int = 30, codec: str = "libx264",
    sound: bool = True, size: tuple[int, int] = (320, 180), b_frames: int = 0,
) -> Path:  # fmt: skip
    """A Matroska file with moving pictures and a 1-kHz tone."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=rate)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        video.gop_size = key_every
        if codec == "libx264":
            video.options = {"preset": "ultrafast", "bf": str(b_frames), "sc_threshold": "0"}
        else:
            video.options = {"preset": "ultrafast", "x265-params": "log-level=none"}
        audio = file.add_stream("pcm_s16le", rate=8000, layout="mono") if sound else None
        blocks = iter(range(int(seconds * 50)))  # of 20 ms
        for number in range(int(seconds * rate)):
            frame = av.VideoFrame.from_ndarray(scene(number / rate, size=size), format="rgb24")
            file.mux(video.encode(frame.reformat(format="yuv420p")))
            for block in blocks:
                if audio is None:
                    break
                _tone(file, audio, block)
                if block / 50 > number / rate:
                    break
        file.mux(video.encode(None))
    return path


def _tone(file: av.container.OutputContainer, audio: av.AudioStream, block: int) -> None:
    t = (np.arange(160) + block * 160) / 8000
    sound = av.AudioFrame.from_ndarray((8000 * np.sin(2 * np.pi * 1000 * t)).astype(np.int16)[None], "s16", "mono")
    sound.sample_rate, sound.pts, sound.time_base = 8000, block * 160, Fraction(1, 8000)
    file.mux(audio.encode(sound))


def served(path: Path, *, codec: str = "h264", sound: bool = True) -> str:
    """A pipeline that plays a clip as a camera would."""
    audio = " d. ! queue ! alawenc ! rtppcmapay name=pay1 pt=8" if sound else ""
    return f"( filesrc location={path} ! matroskademux name=d d. ! queue ! rtp{codec}pay name=pay0 pt=96{audio} )"


@dataclass(frozen=True, slots=True)
class RtspServer:
    port: int
    process: asyncio.subprocess.Process

    def url(self, path: str, user: str = "") -> str:
        return f"rtsp://{f'{user}@' if user else ''}127.0.0.1:{self.port}{path}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def rtsp_server(
    mounts: dict[str, str], *, port: int = 0, password: str = "", method: str = "digest"
) -> AsyncIterator[RtspServer]:
    """A real RTSP server on the loopback address; `mounts`: path to pipeline (see `served`)."""
    need_gstreamer()
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        _PYTHON, "-c", _SERVER, str(port), password, method, *(f"{path}={launch}" for path, launch in mounts.items()),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        yield RtspServer(port, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
