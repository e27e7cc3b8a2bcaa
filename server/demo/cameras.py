"""A camera of the simulated mine: draws pictures and publishes them by WHIP, as a camera's encoder would.

    python -m server.demo.cameras --name dispatch-room --url http://127.0.0.1:8443/whip/site:hongqi/dispatch-room \\
        --token-file F --seed 1 --control -

`--control` names a file, or `-` for standard input, from which lines are read: `officer absent`, `officer work`. When
standard input ends, so does the camera: its owner is gone.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from analytics.training.clips import OFFICERS, DispatchRoomCamera, MineCamera
from server.demo.stamp import Stamp
from server.outlet import (
    Certificate,
    Outlet,
    Picture,
    PublishError,
    Target,
    end_on_signals,
    room_noise,
    run_publisher,
    say,
    send,
)
from server.publish import read_token

SIZE = (640, 360)
_OFFICER = "LAMPROOM_CAMERA_OFFICER"
"""Where the officer's state outlives a new start of this process (`server.outlet.run_publisher`)."""


@dataclass(frozen=True, slots=True)
class CameraKind:
    """What a camera sees and how often."""

    place_zh: str
    place_en: str
    frames_per_s: float
    bit_s: int


CAMERAS: dict[str, CameraKind] = {
    "dispatch-room": CameraKind("调度室", "Dispatch room", 12.0, 600_000),
    "shaft-mouth": CameraKind("井口", "Shaft mouth", 8.0, 350_000),
    "belt-head": CameraKind("皮带机头", "Belt head", 8.0, 350_000),
}


class Drawing(Protocol):
    """What draws a camera's pictures (`analytics.training.clips`)."""

    def picture(self, t: float, officer: str) -> Picture: ...

    def warm_up(self, progress: Callable[[int, int], None] | None = None) -> None: ...


def drawing(name: str, seed: int, cache: Path | None) -> Drawing:
    """The pictures of one of `CAMERAS`."""
    if name == "dispatch-room":
        return DispatchRoomCamera(seed, cache, SIZE)
    return MineCamera("shaft" if name == "shaft-mouth" else "belt", cache, SIZE)


class Control:
    """What the story tells this camera. Written by one thread, read by another; only whole values are exchanged."""

    def __init__(self) -> None:
        self.officer = os.environ.get(_OFFICER, "work")

    def take(self, line: str) -> None:
        """One line of `--control`. What is not understood is said and left out."""
        words = line.split()
        if len(words) == 2 and words[0] == "officer" and words[1] in OFFICERS:
            self.officer = os.environ[_OFFICER] = words[1]
        elif words:
            say(state="ignored", line=line.strip()[:100])

    def follow_standard_input(self) -> None:
        """Read standard input in a thread; end the process when it ends, even while FFmpeg keeps this one busy."""

        def read() -> None:
            for line in sys.stdin:
                self.take(line)
            os._exit(0)

        threading.Thread(target=read, name="control", daemon=True).start()

    def follow_file(self, path: Path) -> None:
        """Read a file's last line whenever the file changes."""

        def read() -> None:
            seen = ""
            while True:
                lines = path.read_text("utf-8").splitlines() if path.exists() else []
                if lines and lines[-1] != seen:
                    seen = lines[-1]
                    self.take(seen)
                time.sleep(0.2)

        threading.Thread(target=read, name="control", daemon=True).start()


def run_camera(
    name: str, target: Target, seed: int, source: Drawing, stamp: Stamp, control: Control, seconds: float
) -> int:
    """Draw and publish until interrupted, or for `seconds`. Returns an exit status."""
    say(state="drawing", camera=name)
    source.warm_up()
    sound = room_noise(seed)
    began = time.monotonic()

    def picture_at(_: float) -> Picture:
        return stamp.lay_on(source.picture(time.monotonic() - began, control.officer), time.time())

    def once(certificate: Certificate) -> None:
        outlet = Outlet(target, certificate)
        say(state="publishing", camera=name)
        try:
            send(outlet, target, picture_at, sound, seconds)
        finally:
            outlet.close()

    return run_publisher(once, forever=seconds == float("inf"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A camera of the simulated mine.")
    parser.add_argument("--name", required=True, choices=sorted(CAMERAS))
    parser.add_argument("--url", required=True)
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--control", help="a file, or - for standard input")
    parser.add_argument("--site-zh", default="红旗煤矿")
    parser.add_argument("--site-en", default="Hongqi Mine")
    parser.add_argument("--note", default="", help="a word more to burn in")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    return parser.parse_args()


def main() -> int:
    """Returns an exit status."""
    given = _arguments()
    end_on_signals()
    try:
        token = read_token(None, given.token_file)
    except (PublishError, OSError) as error:
        say(state="failed", reason=str(error))
        return 2
    kind = CAMERAS[given.name]
    target = Target(given.url, token, SIZE[0], SIZE[1], kind.frames_per_s, kind.bit_s)
    control = Control()
    if given.control == "-":
        control.follow_standard_input()
    elif given.control:
        control.follow_file(Path(given.control))
    source = drawing(given.name, given.seed, given.cache)
    stamp = Stamp(SIZE, given.site_zh, given.site_en, kind.place_zh, kind.place_en, given.note)
    return run_camera(given.name, target, given.seed, source, stamp, control, given.seconds)


if __name__ == "__main__":
    sys.exit(main())
