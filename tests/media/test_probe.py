"""One look at a camera: what is told of it, and when it is enough."""

import base64
import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from media.ingest.messages import Stream
from media.ingest.probe import KEYFRAME_PATIENCE_S, LOOK_S, Wish, jpeg_of, probed
from media.ingest.rtsp import CameraFailed, Described, Unit
from media.packetize import parameter_sets, split_annex_b
from tests.fakes.clips import scene

WISH = Wish(url="rtsp://10.0.0.1/1")


def encoded(frames: int = 60, key_every: int = 15) -> list[bytes]:
    """H.264 access units, Annex B."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 320, 180, "yuv420p", Fraction(1, 15)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "g": str(key_every), "sc_threshold": "0"}
    found = []
    for number in range(frames):
        frame = av.VideoFrame.from_ndarray(scene(number / 15, size=(320, 180)), format="rgb24").reformat(
            format="yuv420p"
        )
        frame.pts = number
        found += [bytes(packet) for packet in encoder.encode(frame)]
    return found


class Camera:
    """Stands in for an opened camera; each unit comes a fifteenth of a second after the one before."""

    def __init__(self, units: list[bytes], error: CameraFailed | None = None) -> None:
        self.described = Described(Stream(codec="H264", clock_rate=90000), None, 320, 180, ())
        self.now = 0.0
        self.closed = False
        self._units, self._error = units, error

    def open(self, *_: Any, **__: Any) -> "Camera":
        return self

    def units(self) -> Iterator[Unit]:
        for number, data in enumerate(self._units):
            self.now += 1 / 15
            yield Unit("video", data, number / 15, number / 15)
        raise self._error or CameraFailed("ended", "It ended.")

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def units() -> list[bytes]:
    return encoded()


def test_a_good_camera_gives_facts_and_a_picture(units: list[bytes]) -> None:
    camera = Camera(units)
    found = probed(WISH, clock=lambda: camera.now, opener=camera.open)
    assert (found.reason, camera.closed) == ("", True)
    assert found.opened is not None
    assert (found.opened.width, found.opened.height) == (320, 180)
    assert found.facts is not None
    assert found.facts.frames_per_s == pytest.approx(15, abs=1)
    assert found.facts.keyframe_interval_s == pytest.approx(1.0, abs=0.01)
    assert camera.now <= LOOK_S + 0.2
    with Image.open(io.BytesIO(base64.b64decode(found.picture))) as picture:
        assert picture.size == (320, 180)


def test_a_camera_that_fails_on_the_way_says_so(units: list[bytes]) -> None:
    camera = Camera(units[:10], CameraFailed("no_data", "It was silent."))
    found = probed(WISH, clock=lambda: camera.now, opener=camera.open)
    assert (found.reason, found.picture, camera.closed) == ("no_data", "", True)
    assert found.opened is not None


def test_one_that_cannot_be_opened_says_why() -> None:
    def refused(*_: Any, **__: Any) -> Camera:
        raise CameraFailed("unauthorized", "It refuses this name.")

    found = probed(WISH, opener=refused)
    assert (found.reason, found.opened) == ("unauthorized", None)


def test_without_a_key_frame_it_is_not_waited_for_ever(units: list[bytes]) -> None:
    camera = Camera(units[1:15] * 30)
    found = probed(WISH, clock=lambda: camera.now, opener=camera.open)
    assert found.reason == "no_keyframe"
    assert camera.now < KEYFRAME_PATIENCE_S + 1


def test_parameter_sets_of_the_description_help_a_camera_that_sends_none(units: list[bytes]) -> None:
    parts = split_annex_b(units[0])
    sets = parameter_sets(parts)
    bare = b"".join(b"\x00\x00\x00\x01" + one for one in parts if one not in sets)
    assert jpeg_of(bare, sets)[:2] == b"\xff\xd8"
    assert jpeg_of(b"\x00\x00\x00\x01\x65garbage", ()) == b""


@pytest.mark.parametrize("url", ["rtsp://127.0.0.1:1/x", "http://10.0.0.1/", "rtsp://169.254.169.254/"])
def test_what_may_not_be_fetched_is_not_looked_at(url: str, tmp_path: Path) -> None:
    assert probed(Wish(url=url)).reason == "address_refused"
