"""Looks at one camera once: `python -m media.ingest.probe`, the wish as a line of JSON on stdin, the answer on stdout.

A process of its own that ends by itself: it decodes one picture of a camera that nobody knows yet. What it says is what
the ingest process would say of that camera (`Opened`, `Facts`, a reason), and a picture of the first key frame.
"""

import base64
import io
import json
import resource
import sys
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any, Literal

import av
import av.error
import av.logging
from PIL import Image
from pydantic import BaseModel, ConfigDict

from media.ingest.address import Policy
from media.ingest.messages import Facts, Opened, Reason
from media.ingest.rtsp import CameraFailed, Opening, Unit
from media.packetize import is_h264_key, parameter_sets, split_annex_b

LOOK_S = 3.0
"""Looked at for so long after the first key frame."""
KEYFRAME_PATIENCE_S = 12.0
MEMORY_BYTES = 2 << 30
PROCESSOR_S = 20
PICTURE_WIDTH = 640
START = b"\x00\x00\x00\x01"


class Wish(BaseModel):
    """What to look at."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    transport: Literal["tcp", "udp"] = "tcp"
    audio: bool = True
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


class Found(BaseModel):
    """What was seen."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    reason: Reason = ""
    detail: str = ""
    opened: Opened | None = None
    facts: Facts | None = None
    picture: str = ""
    """JPEG of the first key frame, base64."""


class Look:
    """What one camera sends, from its units. `now`: monotonic seconds."""

    def __init__(self, now: float) -> None:
        self.since = now
        self.frames = self.octets = 0
        self.keys: list[float] = []
        self.key: bytes = b""
        self.reordered = False

    def take(self, unit: Unit, now: float) -> bool:
        """Whether enough is known.

        Raises:
            CameraFailed: no key frame for too long.
        """
        if unit.kind == "video":
            self.frames += 1
            self.octets += len(unit.data)
            if unit.time_s is not None and unit.decode_s is not None and unit.time_s > unit.decode_s:
                self.reordered = True
            if is_h264_key(split_annex_b(unit.data)):
                self.keys.append(now)
                self.key = self.key or unit.data
        if not self.keys and now - self.since > KEYFRAME_PATIENCE_S:
            raise CameraFailed("no_keyframe", f"No key frame in {KEYFRAME_PATIENCE_S:.0f} s.")
        return bool(self.keys) and now - self.keys[0] >= LOOK_S

    def facts(self, now: float) -> Facts:
        elapsed = max(now - self.since, 0.001)
        interval = self.keys[-1] - self.keys[-2] if len(self.keys) > 1 else None
        return Facts(
            camera="probe", frames_per_s=round(self.frames / elapsed, 1), bitrate_bps=round(self.octets * 8 / elapsed),
            keyframe_interval_s=round(interval, 2) if interval is not None else None, reordered=self.reordered,
        )  # fmt: skip


def probed(wish: Wish, *, clock: Callable[[], float] = time.monotonic, opener: Callable[..., Any] = Opening) -> Found:
    """Opens, looks and closes; never raises for what a camera does."""
    policy = Policy(tuple(map(ip_network, wish.allow)), tuple(map(ip_network, wish.deny)))
    try:
        opening = opener(wish.url, wish.transport, policy, audio=wish.audio)
    except CameraFailed as failed:
        return Found(reason=failed.reason, detail=failed.detail)
    described = opening.described
    opened = Opened(
        camera="probe", opening=1, video=described.video, audio=described.audio, width=described.width,
        height=described.height, audio_left_out=described.audio_left_out,
    )  # fmt: skip
    look = Look(clock())
    try:
        for unit in opening.units():
            if look.take(unit, clock()):
                break
    except CameraFailed as failed:
        return Found(reason=failed.reason, detail=failed.detail, opened=opened)
    finally:
        opening.close()
    picture = jpeg_of(look.key, described.parameter_sets)
    return Found(opened=opened, facts=look.facts(clock()), picture=base64.b64encode(picture).decode())


def jpeg_of(key: bytes, sets: tuple[bytes, ...]) -> bytes:
    """The picture of a key frame; empty where it cannot be decoded."""
    data = key
    if not parameter_sets(split_annex_b(key)):
        data = b"".join(START + one for one in sets) + key
    decoder = av.CodecContext.create("h264", "r")
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.error.FFmpegError:
        return b""
    if not frames or not isinstance(frames[0], av.VideoFrame):
        return b""
    image: Image.Image = frames[0].to_image()  # type: ignore[no-untyped-call]
    image.thumbnail((PICTURE_WIDTH, PICTURE_WIDTH))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80)
    return out.getvalue()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S))
    av.logging.set_level(None)  # its messages would show addresses with passwords
    wish = Wish.model_validate(json.loads(sys.stdin.readline()))
    sys.stdout.write(probed(wish).model_dump_json())


if __name__ == "__main__":
    main()
