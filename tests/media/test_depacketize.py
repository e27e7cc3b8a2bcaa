"""What comes out of the depacketizer is what a decoder takes, also after loss, reordering and resending."""

import random
from collections.abc import Iterable
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.depacketize import Depacketizer
from media.reorder import MAX_WAITING
from media.tap import MAX_UNIT_BYTES, AccessUnit
from tests.fakes.encoded import Sent, block_position, encode

CODECS = ("VP8", "VP9", "H264", "AV1")
DECODERS = {"VP8": "vp8", "VP9": "vp9", "H264": "h264", "AV1": "libdav1d"}


def units_of(codec: str, packets: Iterable[Sent]) -> list[AccessUnit]:
    """Each packet arrives when its picture is due."""
    depacketizer = Depacketizer(codec, "camera/1")
    units: list[AccessUnit] = []
    first: int | None = None
    for packet in packets:
        first = packet.timestamp if first is None else first
        arrived_at = 1000.0 + ((packet.timestamp - first) & 0xFFFFFFFF) / 90_000
        unit = depacketizer.push(packet.payload, packet.marker, packet.timestamp, packet.seq, arrived_at)
        while unit is not None:
            units.append(unit)
            unit = depacketizer.pop()
    return units


def decoded(codec: str, units: Iterable[AccessUnit]) -> list[int]:
    """Numbers of the pictures, as drawn in them."""
    decoder = av.CodecContext.create(DECODERS[codec], "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))] + decoder.decode(None)
    return [block_position(np.asarray(frame.to_ndarray(format="rgb24"))) for frame in frames]


@pytest.mark.parametrize("codec", CODECS)
def test_a_real_stream_decodes_to_the_pictures_that_were_encoded(codec: str) -> None:
    units = units_of(codec, encode(codec, pictures=20, keyframe_every=10))
    assert decoded(codec, units) == list(range(20))
    assert [index for index, unit in enumerate(units) if unit.key] == [0, 10]
    assert not any(unit.after_gap for unit in units)
    assert {unit.codec for unit in units} == {codec}
    assert {unit.track for unit in units} == {"camera/1"}
    steps = {later.timestamp - earlier.timestamp for earlier, later in pairwise(units)}
    assert steps == {3000}


@pytest.mark.parametrize("codec", CODECS)
def test_pictures_of_many_packets_are_put_together(codec: str) -> None:
    packets = encode(codec, pictures=6, keyframe_every=6, width=640, height=480, noise=120)
    assert len(packets) > 24
    assert len(decoded(codec, units_of(codec, packets))) == 6


@pytest.mark.parametrize("codec", CODECS)
def test_packets_out_of_order_and_twice_change_nothing(codec: str) -> None:
    packets = encode(codec, pictures=12, width=640, height=480, noise=120)
    dice = random.Random(codec)
    places = sorted(range(1, len(packets)), key=lambda place: place + dice.uniform(0, 12))
    shuffled = [packets[0], *(packets[place] for place in places for _ in range(dice.choice((1, 1, 2))))]
    assert shuffled != packets
    as_sent, as_shuffled = units_of(codec, packets), units_of(codec, shuffled)
    assert [unit.data for unit in as_shuffled] == [unit.data for unit in as_sent]
    assert not any(unit.after_gap for unit in as_shuffled)


@pytest.mark.parametrize("codec", CODECS)
def test_a_picture_with_a_hole_is_left_out_and_the_next_says_so(codec: str) -> None:
    packets = encode(codec, pictures=40, width=640, height=480, noise=120, keyframe_every=40)
    whole = units_of(codec, packets)
    timestamps = sorted({packet.timestamp for packet in packets})
    for position in (0, 1, -1):
        parts = [packet for packet in packets if packet.timestamp == timestamps[10]]
        hurt = parts[position % len(parts)]
        units = units_of(codec, [packet for packet in packets if packet != hurt])
        expected = [unit for unit in whole if unit.timestamp - whole[0].timestamp != 30_000]
        assert [unit.data for unit in units] == [unit.data for unit in expected]
        assert [index for index, unit in enumerate(units) if unit.after_gap] == [10]


@pytest.mark.parametrize("codec", CODECS)
def test_random_loss_never_yields_a_picture_that_was_not_sent(codec: str) -> None:
    packets = encode(codec, pictures=60, noise=60)
    whole = {unit.data for unit in units_of(codec, packets)}
    for seed in range(5):
        dice = random.Random(seed)
        units = units_of(codec, [packet for packet in packets if dice.random() > 0.1])
        assert {unit.data for unit in units} <= whole
        assert len(units) > 5
        assert any(unit.after_gap for unit in units)


def test_a_hole_is_waited_for_and_then_given_up() -> None:
    depacketizer = Depacketizer("opus", "a")
    assert depacketizer.push(b"0", False, 0, 65534, 1.0) is not None
    for number in range(MAX_WAITING):
        assert depacketizer.push(b"x", False, number, number, 1.0) is None
    first = depacketizer.push(b"y", False, 0, MAX_WAITING, 1.0)
    assert first is not None
    assert first.after_gap
    assert depacketizer.lost_packets == 1
    rest = [unit for unit in iter(depacketizer.pop, None)]
    assert len(rest) == MAX_WAITING
    assert not any(unit.after_gap for unit in rest)
    assert depacketizer.push(b"late", False, 0, 65535, 1.0) is None


def test_a_hole_is_given_up_after_half_a_second() -> None:
    depacketizer = Depacketizer("opus", "a")
    depacketizer.push(b"0", False, 0, 10, 1.0)
    assert depacketizer.push(b"2", False, 960, 12, 1.02) is None
    assert depacketizer.push(b"3", False, 1920, 13, 1.3) is None
    unit = depacketizer.push(b"4", False, 2880, 14, 1.6)
    assert unit is not None
    assert (unit.data, unit.after_gap) == (b"2", True)


def test_a_far_jump_of_the_sequence_is_a_new_beginning() -> None:
    depacketizer = Depacketizer("opus", "a")
    depacketizer.push(b"0", False, 0, 10, 1.0)
    unit = depacketizer.push(b"1", False, 0, 40_000, 1.0)
    assert unit is not None
    assert unit.after_gap


def test_timestamps_go_on_beyond_32_bits() -> None:
    depacketizer = Depacketizer("opus", "a")
    units = [depacketizer.push(b"x", True, (0xFFFFFF00 + 960 * n) & 0xFFFFFFFF, n, 1.0) for n in range(3)]
    assert [unit.timestamp for unit in units if unit] == [0xFFFFFF00 + 960 * n for n in range(3)]


def test_a_sender_without_marker_bits_is_cut_by_timestamps() -> None:
    packets = encode("H264", pictures=10)
    bare = [Sent(packet.payload, False, packet.timestamp, packet.seq) for packet in packets]
    assert decoded("H264", units_of("H264", bare)) == list(range(9))


def test_of_vp9_layers_the_lowest_is_kept() -> None:
    depacketizer = Depacketizer("VP9", "a")
    assert depacketizer.push(bytes.fromhex("ac 8001 00 00 aa"), False, 0, 0, 1.0) is None
    unit = depacketizer.push(bytes.fromhex("ac 8001 03 00 bb"), True, 0, 1, 1.0)
    assert unit is not None
    assert unit.data == b"\xaa"


def test_vp9_scalability_structure_and_references_are_skipped() -> None:
    depacketizer = Depacketizer("VP9", "a")
    structure = "8a 8001 18 0140 00f0 01 04 01"  # one layer with a size, one picture of one reference
    unit = depacketizer.push(bytes.fromhex(structure + "cc"), True, 0, 0, 1.0)
    assert unit is not None
    assert (unit.data, unit.key) == (b"\xcc", True)
    unit = depacketizer.push(bytes.fromhex("d8 8002 03 04 dd"), True, 3000, 1, 1.0)
    assert unit is not None
    assert (unit.data, unit.key) == (b"\xdd", False)


def test_a_picture_larger_than_any_real_one_is_dropped() -> None:
    depacketizer = Depacketizer("VP8", "a")
    piece = bytes(60_000)
    for seq in range(MAX_UNIT_BYTES // len(piece) + 2):
        first = b"\x10" if seq == 0 else b"\x00"
        assert depacketizer.push(first + piece, False, 0, seq, 1.0) is None
    assert depacketizer.push(b"\x00end", True, 0, MAX_UNIT_BYTES // len(piece) + 2, 1.0) is None
    assert depacketizer.broken_pictures == 1


def test_an_unknown_codec_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="H265"):
        Depacketizer("H265", "a")


PACKETS = st.lists(st.tuples(st.binary(max_size=60), st.booleans(), st.integers(0, 5), st.integers(0, 30)), max_size=60)


@given(st.sampled_from((*CODECS, "opus")), PACKETS)
def test_no_payload_raises(codec: str, packets: list[tuple[bytes, bool, int, int]]) -> None:
    units_of(codec, [Sent(*packet) for packet in packets])


@pytest.mark.parametrize("codec", CODECS)
def test_damaged_real_payloads_do_not_raise(codec: str) -> None:
    packets = encode(codec, pictures=10, noise=120)
    dice = random.Random(codec)
    for _ in range(20):
        damaged = []
        for packet in packets:
            payload = bytearray(packet.payload)
            payload[dice.randrange(min(len(payload), 8))] = dice.randrange(256)
            damaged.append(Sent(bytes(payload[: dice.choice((len(payload), 1, 3))]), packet.marker, 0, packet.seq))
        units_of(codec, damaged)
