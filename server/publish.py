"""Publish a file, an RTSP camera or a test picture by WHIP: `./lamproom publish SOURCE --to URL --token-file F`.

Whatever the source holds is decoded and encoded anew as H264 and Opus (`server.outlet`).
"""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import av
import av.error
import numpy as np

from server.outlet import (
    SOUND_FRAME,
    SOUND_RATE,
    Certificate,
    Outlet,
    Pace,
    Picture,
    PublishError,
    SourceError,
    Target,
    end_on_signals,
    keep_alive,
    run_publisher,
    say,
    send,
)

LARGEST = (1280, 720)
SOURCE_TIMEOUT_S = 5.0


def test_picture(width: int, height: int) -> Callable[[float], Picture]:
    """Colour bars and a white bar that crosses them in four seconds."""
    colours = np.array(
        [(192, 192, 192), (192, 192, 0), (0, 192, 192), (0, 192, 0), (192, 0, 192), (192, 0, 0), (0, 0, 192)], np.uint8
    )
    bars = np.repeat(colours[np.arange(width) * len(colours) // width][None], height, axis=0)

    def draw(at_s: float) -> Picture:
        picture = bars.copy()
        x = int(at_s / 4.0 % 1.0 * width)
        picture[height // 4 : height * 3 // 4, x : x + 12] = 255
        return picture

    return draw


def _send_test(target: Target, certificate: Certificate, seconds: float) -> None:
    outlet = Outlet(target, certificate)
    try:
        t = np.arange(2 * SOUND_RATE) / SOUND_RATE
        tone = np.repeat((1000.0 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)[:, None], 2, axis=1)
        send(outlet, target, test_picture(target.width, target.height), tone, seconds)
    finally:
        outlet.close()


def masked(url: str) -> str:
    """A URL without its password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.hostname or ""
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{host}{f':{parts.port}' if parts.port else ''}"))


def open_source(source: str) -> av.container.InputContainer:
    """Open a file or an `rtsp://` address, and nothing else that FFmpeg could be talked into opening.

    Raises:
        SourceError: cannot be read, or has no picture.
    """
    live = source.startswith(("rtsp://", "rtsps://"))
    if not live and not Path(source).is_file():
        raise SourceError(f"{source} is no file, no rtsp:// address and not `test`.")
    options = {"protocol_whitelist": "rtsp,rtp,udp,tcp,tls,rtsps,crypto" if live else "file"}
    if live:
        options |= {"rtsp_transport": "tcp", "timeout": str(int(SOURCE_TIMEOUT_S * 1e6))}
    try:
        container = av.open(
            source if live else f"file:{Path(source).resolve()}",
            options=options,
            timeout=(SOURCE_TIMEOUT_S, SOURCE_TIMEOUT_S),
        )
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"{masked(source)} cannot be opened: {getattr(error, 'strerror', '') or error}.") from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{masked(source)} holds no picture.")
    return container


def _fitted(width: int, height: int) -> tuple[int, int]:
    """Not larger than `LARGEST`, even, same shape."""
    scale = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _send_container(source: str, target: Target, certificate: Certificate) -> None:
    """Decode a file (once, at its own speed) or a camera (as it comes), and send."""
    live = "://" in source
    with open_source(source) as container:
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        audio = container.streams.audio[0] if container.streams.audio else None
        width, height = _fitted(video.width, video.height)
        fps = min(30.0, float(video.average_rate or 25))
        target = replace(target, width=width, height=height, frames_per_s=fps, audio=audio is not None)
        outlet = Outlet(target, certificate)
        try:
            _relay(container, [video] if audio is None else [video, audio], outlet, target, live)
        except av.error.FFmpegError as error:
            raise SourceError(f"{masked(source)} broke off: {error}.") from error
        finally:
            outlet.close()


def _relay(
    container: av.container.InputContainer, streams: list[av.stream.Stream], outlet: Outlet, target: Target, live: bool
) -> None:
    resampler = av.AudioResampler(format="s16", layout="stereo", rate=SOUND_RATE, frame_size=SOUND_FRAME)
    pace, first, last = Pace(), None, -1.0
    for frame in container.decode(*streams):
        keep_alive()
        if not isinstance(frame, av.AudioFrame | av.VideoFrame) or frame.time is None:
            continue
        first = frame.time if first is None else first
        at_s = frame.time - first
        if not live:
            pace.until(at_s)
        if isinstance(frame, av.AudioFrame):
            for piece in resampler.resample(frame):
                outlet.sound(piece.to_ndarray().reshape(-1, 2).astype(np.int16, copy=False))
        elif at_s > last + 0.5 / target.frames_per_s:
            last = at_s
            picture = frame.to_ndarray(format="rgb24", width=target.width, height=target.height)
            outlet.picture(picture.astype(np.uint8, copy=False), at_s)


# --- the verb -------------------------------------------------------------------------------------------------------


def read_token(token: str | None, token_file: Path | None) -> str:
    """From the argument, the file or the environment; the last two are not shown by `ps`.

    Raises:
        PublishError: there is none.
    """
    found = token or (token_file.read_text("utf-8") if token_file else os.environ.get("LAMPROOM_TOKEN", ""))
    if not found.strip():
        raise PublishError("A token is needed: --token-file FILE, or LAMPROOM_TOKEN in the environment, or --token.")
    return found.strip()


def main(
    source: str,
    to: str,
    token: str | None = None,
    token_file: Path | None = None,
    *,
    repeat: bool = False,
    seconds: float = float("inf"),
    bit_rate: int = 1_500_000,
) -> int:
    """The verb `publish`. `source` is a file, an `rtsp://` address or `test`; `repeat` plays a file over and over.

    Returns:
        An exit status.
    """
    end_on_signals()
    try:
        target = Target(to, read_token(token, token_file), video_bit_s=bit_rate)
    except (PublishError, OSError) as error:
        say(state="failed", reason=str(error))
        return 2

    def once(certificate: Certificate) -> None:
        say(state="publishing", source=masked(source), to=to)
        if source == "test":
            _send_test(target, certificate, seconds)
        else:
            _send_container(source, target, certificate)

    return run_publisher(once, forever=repeat or source.startswith(("rtsp://", "rtsps://")))


if __name__ == "__main__":
    import argparse

    parser = argparse.ArgumentParser(description="Publish by WHIP.")
    parser.add_argument("source")
    parser.add_argument("--to", required=True)
    parser.add_argument("--token")
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--repeat", action="store_true")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    sys.exit(main(given.source, given.to, given.token, given.token_file, repeat=given.repeat, seconds=given.seconds))
