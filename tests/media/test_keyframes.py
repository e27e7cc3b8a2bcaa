"""Key frames are found in real streams and in hand-made headers, and no bytes whatever raise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.keyframes import is_keyframe_start, vp8_header_size
from tests.fakes.encoded import encode

CODECS = ("VP8", "VP9", "H264", "AV1")


@pytest.mark.parametrize("codec", CODECS)
def test_in_a_real_stream_exactly_the_key_frames_begin_one(codec: str) -> None:
    packets = encode(codec, pictures=30, keyframe_every=10, noise=120)
    starts = [packet.timestamp for packet in packets if is_keyframe_start(codec, packet.payload)]
    first = packets[0].timestamp
    assert sorted(set(starts)) == [first, first + 30_000, first + 60_000]
    if codec != "H264":
        assert len(starts) == 3, "one packet of each key frame begins it"


@pytest.mark.parametrize(
    ("codec", "payload", "key"),
    [
        ("VP8", "1000", True),
        ("VP8", "1001", False),
        ("VP8", "0000", False),
        ("VP8", "1100", False),
        ("VP8", "9080 0a 00", True),
        ("VP8", "9080 8a01 00", True),
        ("VP8", "90f0 8a01 05 40 00", True),
        ("VP8", "90f0 8a01 05 40 01", False),
        ("VP8", "90f0 8a01 05 40", False),
        ("VP9", "8c 8001 86", True),
        ("VP9", "cc 8001 86", False),
        ("VP9", "84 8001 86", False),
        ("VP9", "ac 8001 00 00", True),
        ("VP9", "ac 8001 02 00", False),
        ("H264", "67 42", True),
        ("H264", "65 88", True),
        ("H264", "61 88", False),
        ("H264", "68 ce", False),
        ("H264", "7c 85 88", True),
        ("H264", "7c 05 88", False),
        ("H264", "7c 81 88", False),
        ("H264", "78 0002 09f0 0002 6742", True),
        ("H264", "78 0002 09f0 0002 4188", False),
        ("H264", "78 ffff 67", True),
        ("H264", "78 ffff 09", False),
        ("AV1", "18 0a", True),
        ("AV1", "10 32", False),
        ("AV1", "98 0a", False),
        ("opus", "18 0a", False),
        ("H264", "", False),
    ],
)
def test_headers_by_hand(codec: str, payload: str, key: bool) -> None:
    data = bytes.fromhex(payload)
    assert is_keyframe_start(codec, data) is key
    assert is_keyframe_start(codec, memoryview(data)) is key


@given(st.sampled_from((*CODECS, "opus", "nonsense")), st.binary(max_size=40))
def test_no_bytes_raise(codec: str, payload: bytes) -> None:
    assert is_keyframe_start(codec, payload) in (True, False)
    assert 0 <= vp8_header_size(payload) <= max(len(payload) - 1, 0)
