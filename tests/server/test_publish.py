"""`publish` against a WHIP server that is not ours."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from server.outlet import Outlet, OutletError, PublishError, SourceError, Target, make_certificate, room_noise
from server.publish import masked, open_source, read_token
from tests.fakes.whipreceiver import WhipReceiver

ROOT = Path(__file__).parents[2]
TOKEN = "a.b.c"


@asynccontextmanager
async def publishing(*arguments: str, token: str = TOKEN) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "server.publish",
        *arguments,
        cwd=ROOT,
        env=os.environ | {"LAMPROOM_TOKEN": token},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def write_film(path: Path, codec: str = "mpeg4", seconds: float = 2.0) -> None:
    """Grey pictures that brighten, with a loud tone."""
    with av.open(str(path), "w") as film:
        video = film.add_stream(codec, rate=20)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = film.add_stream("aac", rate=44_100, layout="mono")
        assert isinstance(audio, av.AudioStream)
        for n in range(int(seconds * 20)):
            picture = np.full((240, 320, 3), 100 + n, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = n, Fraction(1, 20)
            film.mux(video.encode(frame))
            t = np.arange(n * 2205, (n + 1) * 2205) / 44_100
            sound = av.AudioFrame.from_ndarray(
                (8000 * np.sin(2 * np.pi * 500 * t)).astype(np.int16)[None], format="s16", layout="mono"
            )
            sound.sample_rate, sound.pts, sound.time_base = 44_100, n * 2205, Fraction(1, 44_100)
            film.mux(audio.encode(sound))
        film.mux(video.encode(None))
        film.mux(audio.encode(None))


async def test_test_picture_arrives_with_sound_and_a_good_bye() -> None:
    async with WhipReceiver(TOKEN) as receiver, publishing("test", "--to", receiver.url(), "--seconds", "3") as process:
        session = await receiver.until_frames(20)
        assert session.picture is not None
        assert session.picture.shape == (360, 640, 3)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert session.ended
        assert session.frames["audio"] > 50
        assert session.loudest > 500
        assert session.path.endswith("?simulated=true")
        assert "H264/90000" in session.offer


async def test_file_is_played_once_at_its_own_speed(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    write_film(film)
    async with WhipReceiver(TOKEN) as receiver, publishing(str(film), "--to", receiver.url()) as process:
        session = await receiver.until_frames(10)
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert loop.time() - began > 0.5
        assert session.ended
        assert session.picture is not None
        assert session.picture.shape == (240, 320, 3)
        assert session.loudest > 4000


async def test_stream_is_taken_up_again_after_the_server_dropped_it() -> None:
    async with WhipReceiver(TOKEN) as receiver, publishing("test", "--to", receiver.url(), "--repeat"):
        first = await receiver.until_frames(5)
        await receiver.drop(first)
        await receiver.until_frames(5, session=1, within_s=45)


async def test_terminated_publisher_says_good_bye() -> None:
    async with WhipReceiver(TOKEN) as receiver, publishing("test", "--to", receiver.url()) as process:
        session = await receiver.until_frames(5)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 130
        assert session.ended


async def test_refused_token_is_told_and_tried_again() -> None:
    async with WhipReceiver("other") as receiver, publishing("test", "--to", receiver.url()) as process:
        assert process.stdout is not None
        lines = [json.loads(await asyncio.wait_for(process.stdout.readline(), 20)) for _ in range(2)]
        assert [line["state"] for line in lines] == ["publishing", "lost"]
        assert TOKEN not in json.dumps(lines)
        assert receiver.refused >= 1
        assert not receiver.sessions


async def test_missing_file_is_told_and_ends() -> None:
    async with publishing("/nonexistent/film.mp4", "--to", "http://127.0.0.1:1/whip/a/b") as process:
        assert await asyncio.wait_for(process.wait(), 20) == 1
        assert process.stdout is not None
        assert "is no file" in (await process.stdout.read()).decode()


def test_nobody_at_the_address_is_an_outlet_error(tmp_path: Path) -> None:
    with pytest.raises(OutletError, match="refused"):
        Outlet(Target("http://127.0.0.1:1/whip/a/b", TOKEN), make_certificate(tmp_path))


@pytest.mark.parametrize("source", ["http://127.0.0.1/x.mp4", "concat:a|b", "subfile:,,start,0,end,0,,:x", "pipe:0"])
def test_only_files_and_cameras_are_opened(source: str) -> None:
    with pytest.raises(SourceError):
        open_source(source)


def test_playlist_cannot_reach_out_to_the_network(tmp_path: Path) -> None:
    playlist = tmp_path / "a.m3u8"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(SourceError):
        open_source(str(playlist))


def test_password_of_a_camera_is_not_shown() -> None:
    assert masked("rtsp://root:secret@10.0.0.1:554/a?b=1") == "rtsp://root:***@10.0.0.1:554/a?b=1"
    assert masked("rtsp://10.0.0.1/a") == "rtsp://10.0.0.1/a"


def test_token_comes_from_argument_file_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAMPROOM_TOKEN", raising=False)
    file = tmp_path / "token"
    file.write_text("from.a.file\n")
    assert read_token("given", None) == "given"
    assert read_token(None, file) == "from.a.file"
    with pytest.raises(PublishError):
        read_token(None, None)
    monkeypatch.setenv("LAMPROOM_TOKEN", "from.environment")
    assert read_token(None, None) == "from.environment"


def test_key_of_the_certificate_is_ours_alone(tmp_path: Path) -> None:
    _, key = make_certificate(tmp_path)
    assert key.stat().st_mode & 0o077 == 0


def test_room_noise_is_quiet_and_seeded() -> None:
    noise = room_noise(3)
    assert noise.shape == (96_000, 2)
    assert 20 < np.abs(noise).max() < 2000
    assert np.array_equal(noise, room_noise(3))
    assert not np.array_equal(noise, room_noise(4))
