"""Pictures between a phone and a room: numbers, times, and when something is shown."""

from media import rtp
from media.packetize import nal_type
from media.phone.pictures import Relay, Show
from media.rtp import HEADER
from media.tap import AccessUnit

SPS, PPS = bytes((0x67, 0x42, 0xE0, 0x1F)) + b"s" * 10, bytes((0x68,)) + b"p" * 4
IDR, SLICE = bytes((0x65,)) + b"i" * 4000, bytes((0x41,)) + b"d" * 300


def annex_b(*units: bytes) -> bytes:
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in units)


def unit(timestamp: int, *, key: bool = False, track: str = "t", gap: bool = False) -> AccessUnit:
    data = annex_b(SPS, PPS, IDR) if key else annex_b(SLICE)
    return AccessUnit(track, "H264", key, gap, timestamp, 0.0, data)


def shown(show: Show, one: AccessUnit, now: float = 0.0, *, fragments: bool = True) -> list[bytes]:
    return list(show.unit(one, now, 99, fragments=fragments))


def test_a_phones_packets_get_numbers_of_ours_and_keep_their_order() -> None:
    relay = Relay(7, 102)
    made = []
    for sequence, ssrc in ((65534, 1), (65535, 1), (0, 1), (2, 1), (1, 1), (500, 2), (501, 2)):
        packet = rtp.pack(b"\x41abc", payload_type=99, sequence=sequence, timestamp=90, ssrc=ssrc, marker=True)
        (found,) = relay.packets(packet)
        made.append(HEADER.unpack_from(found))
        assert found[12:] == b"\x41abc"
    first = made[0][2]
    assert [one[2] - first & 0xFFFF for one in made] == [0, 1, 2, 4, 3, 5, 6]
    assert {(one[1], one[3], one[4]) for one in made} == {(0x80 | 102, 90, 7)}
    assert relay.packets(b"\x80short") == []


def test_a_unit_too_large_for_the_door_goes_in_pieces_and_the_count_goes_on() -> None:
    relay = Relay(7, 102)

    def handed(sequence: int, payload: bytes) -> list[bytes]:
        packet = rtp.pack(payload, payload_type=99, sequence=sequence, timestamp=90, ssrc=1, marker=True)
        return relay.packets(packet)

    made = [packet for number, payload in ((10, SLICE), (11, IDR), (12, SLICE)) for packet in handed(number, payload)]
    first = HEADER.unpack_from(made[0])[2]
    assert [HEADER.unpack_from(one)[2] - first & 0xFFFF for one in made] == list(range(6))
    assert [one[1] >> 7 for one in made] == [1, 0, 0, 0, 1, 1]
    assert [nal_type(one[12:]) for one in made] == [1, 28, 28, 28, 28, 1]
    assert b"".join(one[14:] for one in made[1:5]) == IDR[1:]
    assert handed(9, SLICE) == [], "a late one would take the number of another"


def test_nothing_is_shown_before_a_key_frame() -> None:
    show = Show()
    show.show("t")
    assert show.needs_key
    assert shown(show, unit(0)) == []
    assert shown(show, unit(3000, key=True, track="other")) == []
    assert shown(show, unit(3000, key=True))
    assert not show.needs_key
    assert len(shown(show, unit(6000))) == 1


def test_after_a_gap_the_phone_waits_for_the_next_key_frame() -> None:
    show = Show()
    show.show("t")
    shown(show, unit(0, key=True))
    assert shown(show, unit(3000, gap=True)) == []
    assert show.needs_key
    assert shown(show, unit(6000)) == []
    assert shown(show, unit(9000, key=True, gap=True))


def test_a_wish_of_the_phones_stops_nothing_and_ends_with_a_key_frame() -> None:
    show = Show()
    show.show("t")
    shown(show, unit(0, key=True))
    show.wished = True
    assert show.needs_key
    assert shown(show, unit(3000))
    shown(show, unit(6000, key=True))
    assert not show.needs_key


def test_times_go_on_through_a_change_of_the_track() -> None:
    show = Show()
    show.show("t")
    times = [HEADER.unpack_from(shown(show, unit(at, key=True), now)[0])[3] for at, now in ((0, 0.0), (3000, 0.1))]
    show.show("u")
    times += [HEADER.unpack_from(shown(show, unit(10**9, key=True, track="u"), 1.1)[0])[3]]
    times += [HEADER.unpack_from(shown(show, unit(10**9 + 6000, track="u"), 9.0)[0])[3]]
    assert [one - times[0] & 0xFFFFFFFF for one in times] == [0, 3000, 93000, 99000]
    show.show("")
    assert not show.needs_key


def test_mode_1_cuts_units_and_mode_0_sends_them_whole() -> None:
    for fragments in (True, False):
        show = Show()
        show.show("t")
        packets = shown(show, unit(0, key=True), fragments=fragments)
        kinds = [nal_type(packet[12:]) for packet in packets]
        assert kinds == ([24, 28, 28, 28, 28] if fragments else [7, 8, 5])
        assert [packet[1] >> 7 for packet in packets] == [0] * (len(packets) - 1) + [1]
        assert [HEADER.unpack_from(packet)[2] for packet in packets] == sorted(
            HEADER.unpack_from(one)[2] for one in packets
        )
        assert (max(map(len, packets)) <= 1200) is fragments
        assert show.packets == len(packets)
