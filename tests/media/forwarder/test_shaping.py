"""What one subscriber sees of a track of which it does not get everything."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import rtp
from media.forwarder.shaping import ALL_LAYERS, Prepared, Shaper
from media.scalability import vp8

LOW, HIGH = 1, 2
TEMPORAL = (0, 2, 1, 2)
"""Three layers, as libwebrtc has them."""
SYNC = (False, True, True, False)


class Vp8Source:
    """An encoding in three temporal layers, `packets` to a frame."""

    def __init__(self, number: int, packets: int = 2, picture: int = 0x7FF0, timestamp: int = 1000) -> None:
        self.number, self.packets = number, packets
        self.picture, self.base, self.timestamp = picture, 250, timestamp
        self.frames = 0

    def frame(self, *, key: bool = False) -> list[Prepared]:
        position = 0 if key else self.frames % 4
        self.frames = position + 1
        self.picture = self.picture + 1 & 0x7FFF
        self.timestamp += 3000
        temporal = TEMPORAL[position]
        self.base = self.base + (temporal == 0) & 0xFF
        made = []
        for index in range(self.packets):
            start = 0x10 if index == 0 else 0
            flags = temporal << 6 | SYNC[position] << 5
            head = bytes((0x80 | start, 0xE0, 0x80 | self.picture >> 8, self.picture & 0xFF, self.base, flags))
            payload = head + bytes((0 if key else 1, self.number, index)) + bytes(9)
            packet = rtp.pack(payload, payload_type=96, sequence=0, timestamp=0, ssrc=1)
            marker = 0x80 if index == self.packets - 1 else 0
            made.append((self.number * 1000, marker, self.timestamp, packet, len(packet)))
        self.number_from = 0
        return made


def numbered(frames: list[list[Prepared]], first: int) -> list[Prepared]:
    flat = [packet for frame in frames for packet in frame]
    return [(first + index, *packet[1:]) for index, packet in enumerate(flat)]


def described(packet: Prepared) -> tuple[int, int, int]:
    """Picture id, TL0PICIDX, temporal layer."""
    payload = packet[3][12:]
    layers = vp8(payload)
    picture = (payload[layers.picture] & 0x7F) << 8 | payload[layers.picture + 1]
    return picture, payload[layers.base], layers.temporal


def pictures(packets: list[Prepared]) -> list[int]:
    return list(dict.fromkeys(described(packet)[0] for packet in packets))


def continuous(values: list[int], modulus: int) -> bool:
    return all((after - before) % modulus == 1 for before, after in itertools.pairwise(values))


def test_another_encoding_goes_on_where_the_first_ended() -> None:
    low, high = Vp8Source(LOW, 1), Vp8Source(HIGH, 3, picture=77, timestamp=500_000)
    before = numbered([low.frame(key=True)] + [low.frame() for _ in range(5)], 10)
    after = numbered([high.frame(key=True)] + [high.frame() for _ in range(5)], 900)
    shaper = Shaper("VP8", 90000, LOW, 10)
    sent = shaper.shape(before, 1.0)
    assert sent == before
    lag = after[0][2] - before[-1][2] - 3000
    shaper.enter(HIGH, 900, after[0][2], after[0][3], lag, 1.033)
    sent += shaper.shape(after, 1.033)
    assert [packet[0] for packet in sent] == list(range(10, 10 + 6 + 18))
    times = list(dict.fromkeys(packet[2] for packet in sent))
    assert [second - first for first, second in itertools.pairwise(times)] == [3000] * 11
    assert continuous(pictures(sent), 1 << 15)
    bases = list(dict.fromkeys(described(packet)[1] for packet in sent))
    assert continuous(bases, 256)


def test_without_reports_time_goes_on_by_arrival() -> None:
    shaper = Shaper("H264", 90000, LOW, 10)
    shaper.shape([(10, 0x80, 5000, b"\x80" + bytes(20), 21)], 1.0)
    shaper.enter(HIGH, 70, 1_000_000, b"\x80" + bytes(20), None, 1.5)
    [packet] = shaper.shape([(70, 0x80, 1_000_000, b"\x80" + bytes(20), 21)], 1.5)
    assert packet[:3] == (11, 0x80, 5000 + 45000)


def test_a_report_that_is_far_off_is_not_believed() -> None:
    shaper = Shaper("H264", 90000, LOW, 10)
    shaper.shape([(10, 0x80, 5000, b"\x80" + bytes(20), 21)], 1.0)
    shaper.enter(HIGH, 70, 1_000_000, b"\x80" + bytes(20), 77_000_000, 1.5)
    [packet] = shaper.shape([(70, 0x80, 1_000_000, b"\x80" + bytes(20), 21)], 1.5)
    assert packet[2] == 5000 + 45000


def test_time_never_stands_still_or_goes_back() -> None:
    shaper = Shaper("H264", 90000, LOW, 10)
    shaper.shape([(10, 0x80, 5000, b"\x80" + bytes(20), 21)], 1.0)
    shaper.enter(HIGH, 70, 4000, b"\x80" + bytes(20), 0, 1.0)
    [packet] = shaper.shape([(70, 0x80, 4000, b"\x80" + bytes(20), 21)], 1.0)
    assert packet[2] == 5001


def test_a_pause_leaves_no_gap_in_numbers_and_its_length_in_time() -> None:
    shaper = Shaper("opus", 48000, LOW, 10)
    shaper.shape([(10, 0, 960, b"\x80" + bytes(20), 21)], 1.0)
    shaper.enter(LOW, 60, 960 * 51, b"\x80" + bytes(20), 0, 2.0)
    [packet] = shaper.shape([(60, 0, 960 * 51, b"\x80" + bytes(20), 21)], 2.0)
    assert packet[:3] == (11, 0, 960 * 51)
    assert shaper.shape([(40, 0, 960 * 31, b"\x80" + bytes(20), 21)], 2.0) == []  # from within the pause


@pytest.mark.parametrize("temporal", [0, 1])
def test_layers_left_out_close_up(temporal: int) -> None:
    source = Vp8Source(LOW)
    shaper = Shaper("VP8", 90000, LOW, 100)
    shaper.limit(temporal, ALL_LAYERS)
    sent = shaper.shape(numbered([source.frame(key=True)] + [source.frame() for _ in range(19)], 100), 1.0)
    assert {described(packet)[2] for packet in sent} == set(range(temporal + 1))
    assert [packet[0] for packet in sent] == list(range(100, 100 + len(sent)))
    assert continuous(pictures(sent), 1 << 15)
    assert [bool(packet[1]) for packet in sent] == [False, True] * (len(sent) // 2)


def test_layers_come_back_where_a_receiver_can_follow() -> None:
    source = Vp8Source(LOW, 1)
    shaper = Shaper("VP8", 90000, LOW, 0)
    shaper.limit(0, ALL_LAYERS)
    first = numbered([source.frame(key=True)] + [source.frame() for _ in range(6)], 0)
    shaper.shape(first, 1.0)
    shaper.limit(ALL_LAYERS, ALL_LAYERS)
    # Position 3 of the pattern (TID 2, no sync) must not be sent: it leans on frames that were left out.
    later = numbered([source.frame() for _ in range(5)], 7)
    sent = shaper.shape(later, 1.1)
    assert [described(packet)[2] for packet in sent] == [0, 2, 1, 2]
    plain = shaper.shape(numbered([source.frame() for _ in range(8)], 12), 1.2)
    assert len(plain) == 8


def test_vp9_spatial_layers_are_cut_and_the_marker_moves() -> None:
    def packet(number: int, spatial: int, *, key: bool) -> Prepared:
        flags = 0x80 | (0 if key else 0x40) | 0x20 | 0x08 | 0x04
        payload = bytes((flags, 5, spatial << 1, 3)) + bytes(10)
        raw = rtp.pack(payload, payload_type=98, sequence=0, timestamp=0, ssrc=1)
        return number, 0x80 if spatial == 2 else 0, 1000 + number // 3 * 3000, raw, len(raw)

    stream = [packet(number, number % 3, key=number < 3) for number in range(12)]
    shaper = Shaper("VP9", 90000, LOW, 0)
    shaper.limit(ALL_LAYERS, 1)
    sent = shaper.shape(stream, 1.0)
    assert [each[1] for each in sent] == [0, 0x80] * 4
    assert [each[0] for each in sent] == list(range(8))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 3))
def test_whatever_is_lost_late_limited_or_switched(seed: int, packets: int) -> None:  # noqa: C901, PLR0912
    """Outgoing numbers are unique, have gaps only where packets are missing, and a repair is what was sent or an empty
    packet in its place."""
    dice = random.Random(seed)
    sources = {LOW: Vp8Source(LOW, packets), HIGH: Vp8Source(HIGH, packets + 1, picture=9, timestamp=9_000_000)}
    ahead = {LOW: 50, HIGH: 5000}
    cache: dict[tuple[int, int], Prepared] = {}
    shaper = Shaper("VP8", 90000, LOW, 50)
    sent: dict[int, Prepared] = {}
    held: list[Prepared] = []
    current, now, missing = LOW, 1.0, 0

    def take(batch: list[Prepared]) -> None:
        for packet in shaper.shape(batch, now):
            assert packet[0] not in sent
            sent[packet[0]] = packet

    for step in range(60):
        now += 0.033
        for number, source in sources.items():
            entering = number != current and dice.random() < 0.1
            batch = numbered([source.frame(key=entering or step == 0)], ahead[number])
            ahead[number] += len(batch)
            cache |= {(number, packet[0]): packet for packet in batch}
            if entering:
                held.clear()
                shaper.enter(number, batch[0][0], batch[0][2], batch[0][3], None, now)
                current = number
            if number != current:
                continue
            kept = []
            for packet in batch:
                fate = dice.random()
                if step and fate < 0.1:
                    held.append(packet)
                elif step and fate < 0.15:
                    missing += 1
                else:
                    kept.append(packet)
            take(kept)
            if held and dice.random() < 0.3:
                take([held.pop(dice.randrange(len(held)))])
        if dice.random() < 0.15:
            shaper.limit(dice.choice((0, 1, 2, ALL_LAYERS)), ALL_LAYERS)
    for outgoing in range(50, shaper.sent + 1):
        found = shaper.find(outgoing)
        assert found is not None
        segment, number = found
        again = shaper.again(segment, *cache[segment.source, number][:4])
        if outgoing in sent:
            assert again == sent[outgoing]
        else:
            assert again[0] == outgoing
    times = [sent[outgoing][2] for outgoing in sorted(sent)]
    assert all((after - before) % (1 << 32) < 1 << 31 for before, after in itertools.pairwise(times))
    kept_pictures = pictures([sent[n] for n in sorted(sent) if len(sent[n][3]) > 13])
    assert len(kept_pictures) == len(set(kept_pictures))
