"""Access units through payloads and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.depacketize import Depacketizer
from media.keyframes import is_keyframe_start
from media.packetize import (
    MAX_PAYLOAD_BYTES,
    h264_payloads,
    is_h264_key,
    parameter_sets,
    profile_level_id,
    split_annex_b,
)

SPS = bytes.fromhex("6764001facd9405005bb011000000300100000030320f183196000")[:-1]
PPS = bytes.fromhex("68ebe3cb22c0")
CODE = b"\x00\x00\x00\x01"


def units_of(data: bytes) -> list[bytes]:
    return split_annex_b(data)


def through(units: list[bytes]) -> bytes:
    """What a receiver puts together of the payloads."""
    depacketizer = Depacketizer("H264", "t")
    payloads = list(h264_payloads(units))
    unit = None
    for number, payload in enumerate(payloads):
        unit = depacketizer.push(payload, number == len(payloads) - 1, 1000, number, 0.0)
    assert unit is not None
    return unit.data


def test_both_lengths_of_start_codes_and_trailing_zeros_are_taken_off() -> None:
    data = CODE + SPS + b"\x00\x00\x01" + PPS + b"\x00" + CODE + b"\x65" + b"x" * 9 + b"\x00\x00"
    assert units_of(data) == [SPS, PPS, b"\x65" + b"x" * 9]


@pytest.mark.parametrize("data", [b"", b"\x00\x00", b"abc", b"\x00\x00\x01", CODE + CODE])
def test_what_holds_no_unit_gives_none(data: bytes) -> None:
    assert units_of(data) == []


def test_a_key_frame_begins_with_its_parameter_sets_in_one_packet() -> None:
    payloads = list(h264_payloads([b"\x09\xf0", SPS, PPS, b"\x65" + bytes(range(1, 200)) * 20]))
    assert payloads[0][0] & 0x1F == 24
    assert SPS in payloads[0]
    assert PPS in payloads[0]
    assert is_keyframe_start("H264", payloads[0])
    assert all(len(payload) <= MAX_PAYLOAD_BYTES for payload in payloads)


def test_fragments_of_a_large_slice_are_of_nearly_equal_size() -> None:
    sizes = [len(payload) for payload in h264_payloads([b"\x41" + b"\x55" * 10_000])]
    assert len(sizes) == 9
    assert max(sizes[:-1]) == min(sizes[:-1])
    assert sizes[-1] <= sizes[0]


def test_profile_and_key_are_read_from_the_units() -> None:
    assert profile_level_id(parameter_sets([PPS, SPS, b"\x65x"])) == "64001f"
    assert profile_level_id((PPS,)) is None
    assert is_h264_key([SPS, PPS, b"\x65x"])
    assert not is_h264_key([SPS, PPS, b"\x41x"])


@given(
    st.lists(
        st.tuples(st.sampled_from([0x41, 0x65, 0x67, 0x68, 0x06, 0x01]), st.integers(1, 5000)), min_size=1, max_size=12
    )
)
def test_whatever_the_units_a_receiver_gets_them_back_in_order(shape: list[tuple[int, int]]) -> None:
    units = [bytes([head]) + bytes([number + 1]) * size for number, (head, size) in enumerate(shape)]
    together = b"".join(CODE + unit for unit in units)
    assert through(units) == together
