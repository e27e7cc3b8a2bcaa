from dataclasses import replace

import numpy as np
import pytest

from analytics.decoder import TrackDecoder
from analytics.errors import UndecodableTrack
from media.tap import AccessUnit
from tests.fakes.clips import encode, scene


def clip(codec: str, count: int = 30, key_every: int = 10) -> list[AccessUnit]:
    return list(encode([scene(n / 10) for n in range(count)], codec, key_every=key_every))


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "H265", "AV1"])
def test_every_picture_of_every_codec_comes_out_at_once(codec: str) -> None:
    decoder = TrackDecoder("p1/0", codec)
    late = 0
    units = clip(codec)
    assert units[0].key
    for unit in units:
        out = decoder.feed(unit)
        late += not out
        for one in out:
            assert one.pts_s == pytest.approx(unit.timestamp / 90_000)
            assert one.arrived_at == unit.arrived_at
    assert decoder.decoded >= 28
    assert late <= 2


def test_a_picture_looks_like_what_was_encoded() -> None:
    decoder = TrackDecoder("p1/0", "H264")
    pictures = [scene(n / 10) for n in range(10)]
    out = [one for unit in encode(pictures, "H264") for one in decoder.feed(unit)]
    frame = out[-1].frame()
    assert frame.image.shape == (180, 320, 3)
    assert frame.track_id == "p1/0"
    assert np.abs(frame.image.astype(int) - pictures[9]).mean() < 8
    assert [one.key for one in out] == [True] + [False] * 9


def test_nothing_is_shown_between_a_gap_and_the_next_key_frame() -> None:
    decoder = TrackDecoder("p1/0", "VP8")
    units = clip("VP8")
    units[5] = replace(units[5], after_gap=True)
    keys = [n for n, unit in enumerate(units) if unit.key]
    shown = [n for n, unit in enumerate(units) if decoder.feed(unit)]
    assert keys[:2] == [0, 10]
    assert shown == [*range(5), *range(10, 30)]
    assert decoder.dropped == 5


def test_a_stream_that_is_joined_late_waits_for_a_key_frame() -> None:
    decoder = TrackDecoder("p1/0", "H264")
    shown = [n for n, unit in enumerate(clip("H264")[3:], start=3) if decoder.feed(unit)]
    assert shown[0] == 10


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "AV1"])
def test_broken_units_end_neither_the_decoder_nor_the_process(codec: str) -> None:
    decoder = TrackDecoder("p1/0", codec)
    rng = np.random.default_rng(7)
    for unit in clip(codec, 60):
        data = bytearray(unit.data)
        for at in rng.integers(0, len(data), 8):
            data[at] = rng.integers(0, 256)
        decoder.feed(replace(unit, data=bytes(data)))
    for junk in (b"", b"\x00", bytes(rng.integers(0, 256, 500, dtype=np.uint8))):
        decoder.feed(AccessUnit("p1/0", codec, True, False, 0, 0.0, junk))
    before = decoder.decoded
    for unit in clip(codec):
        decoder.feed(unit)
    assert decoder.decoded > before + 20


def test_equal_pictures_have_equal_digests_and_others_not() -> None:
    decoder = TrackDecoder("p1/0", "H264")
    same = scene(1.0)
    stills = [one.digest() for unit in encode([same] * 6, "H264", key_every=1) for one in decoder.feed(unit)]
    live = [one.digest() for unit in clip("H264", 10) for one in decoder.feed(unit)]
    assert len(set(stills[3:])) == 1
    assert len(set(live)) == 10


def test_a_new_size_in_the_stream_is_followed() -> None:
    decoder = TrackDecoder("p1/0", "VP8")
    small = encode([scene(n / 10, size=(160, 90)) for n in range(5)])
    large = encode([scene(n / 10, size=(640, 360)) for n in range(5)])
    sizes = [one.frame().image.shape for units in (small, large) for unit in units for one in decoder.feed(unit)]
    assert sizes == [(90, 160, 3)] * 5 + [(360, 640, 3)] * 5


def test_a_codec_without_a_decoder_is_refused() -> None:
    with pytest.raises(UndecodableTrack, match="opus"):
        TrackDecoder("p1/0", "opus")
