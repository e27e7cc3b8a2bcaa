"""Receiver statistics, repairs, key-frame requests and the uplink's bitrate, without packets or sleeping."""

from hypothesis import given
from hypothesis import strategies as st

from media.feedback import (
    NACK_FIRST_S,
    NACK_MAX_MISSING,
    NACK_REPEAT_S,
    NACK_TRIES,
    RESEND_PAUSE_S,
    RESEND_TRIES,
    Gaps,
    KeyframeRequests,
    Reception,
    Resends,
    UplinkBitrate,
)


def receive(reception: Reception, sequences: list[int], *, at: float = 0.0) -> list[int]:
    return [reception.arrived(sequence, 0, at) - 0x10000 for sequence in sequences]


def test_numbers_are_extended_over_the_wrap_and_backwards() -> None:
    reception = Reception(90000)
    assert receive(reception, [65534, 65535, 0, 2, 1, 65533]) == [65534, 65535, 65536, 65538, 65537, 65533]


def test_a_gap_is_asked_for_until_it_is_filled() -> None:
    reception = Reception(90000)
    receive(reception, [10, 13])
    assert reception.gaps.due(NACK_FIRST_S / 2) == []
    assert [number & 0xFFFF for number in reception.gaps.due(NACK_FIRST_S)] == [11, 12]
    assert reception.gaps.due(NACK_FIRST_S + 0.01) == []
    receive(reception, [12])
    assert [number & 0xFFFF for number in reception.gaps.due(NACK_FIRST_S + NACK_REPEAT_S)] == [11]


def test_a_repair_in_a_stream_of_its_own_fills_a_gap() -> None:
    reception = Reception(90000)
    assert reception.find(5) is None
    receive(reception, [10, 12])
    assert reception.find(13) is None
    number = reception.find(11)
    assert number == 0x1000B
    reception.repaired(number)
    assert len(reception.gaps) == 0
    assert reception.lost == 0


def test_what_never_comes_is_given_up() -> None:
    gaps = Gaps()
    gaps.opened(5, 6, now=0)
    asked = sum(len(gaps.due(step * 0.05)) for step in range(100))
    assert asked == NACK_TRIES
    assert len(gaps) == 0


def test_an_outage_is_not_asked_for() -> None:
    gaps = Gaps()
    gaps.opened(0, NACK_MAX_MISSING + 1, now=0)
    assert len(gaps) == 0
    assert gaps.outages == 1


def test_a_sender_that_begins_anew_is_followed() -> None:
    reception = Reception(90000)
    receive(reception, [30000, 30001])
    receive(reception, [100])
    assert reception.highest & 0xFFFF == 30001
    receive(reception, [101])
    assert reception.highest & 0xFFFF == 101
    assert receive(reception, [102]) == [reception.highest - 0x10000]
    assert len(reception.gaps) == 0


def test_report_counts_loss_since_the_last_report_and_in_all() -> None:
    reception = Reception(90000)
    receive(reception, [0, 1, 2, 3, 4, 5, 6, 8])
    first = reception.report(9, 0, 0.0)
    assert (first.ssrc, first.lost, first.fraction_lost, first.highest) == (9, 1, 256 // 9, 8)
    receive(reception, [9, 10])
    second = reception.report(9, 0xAABB, 0.5)
    assert (second.lost, second.fraction_lost, second.delay, second.last_report) == (1, 0, 32768, 0xAABB)


def test_jitter_is_zero_for_even_and_grows_for_uneven_arrival() -> None:
    even, uneven = Reception(1000), Reception(1000)
    for number in range(200):
        even.arrived(number, number * 20, number * 0.02)
        uneven.arrived(number, number * 20, number * 0.02 + 0.01 * (number % 2))
    assert even.jitter < 0.001
    assert 9 < uneven.jitter < 11


@given(st.lists(st.integers(0, 0xFFFF), max_size=200))
def test_any_order_of_numbers_keeps_the_counts_sane(sequences: list[int]) -> None:
    reception = Reception(90000)
    for sequence in sequences:
        assert reception.arrived(sequence, 0, 0.0) & 0xFFFF == sequence
        assert reception.highest & 0xFFFF in sequences
        reception.report(1, 0, 0.0).pack()
    assert len(reception.gaps) <= NACK_MAX_MISSING


def test_a_packet_is_sent_again_a_few_times_with_pauses() -> None:
    resends = Resends()
    assert resends.grants(7, now=0)
    assert not resends.grants(7, now=RESEND_PAUSE_S / 2)
    granted = sum(resends.grants(7, now=1 + step) for step in range(10))
    assert granted == RESEND_TRIES - 1
    assert resends.grants(8, now=1)
    # On a short way a repair that is lost too can be asked for again soon.
    assert not resends.grants(8, now=1.03, rtt_s=0.04)
    assert resends.grants(8, now=1.04, rtt_s=0.04)
    assert not resends.grants(8, now=1.05, rtt_s=0.0)


def test_many_wishes_make_one_request_per_interval() -> None:
    requests = KeyframeRequests(interval_s=0.5)
    sent = []
    for step in range(100):
        requests.wish()
        if requests.due(step * 0.01):
            sent.append(step)
    assert sent == [0, 50]


def test_a_wish_that_came_too_early_is_sent_later_unless_a_key_frame_came() -> None:
    requests = KeyframeRequests(interval_s=0.5)
    requests.wish()
    assert requests.due(0)
    requests.wish()
    assert not requests.due(0.3)
    assert requests.due(0.5)
    requests.wish()
    requests.arrived()
    assert not requests.due(2)


def test_insisting_repeats_each_second_until_the_key_frame() -> None:
    requests = KeyframeRequests(interval_s=0.5)
    requests.insist = True
    assert [step / 10 for step in range(35) if requests.due(step / 10)] == [0, 1, 2, 3]
    requests.arrived()
    assert not requests.due(9)


def test_loss_lowers_the_uplink_and_quiet_raises_it_within_bounds() -> None:
    uplink = UplinkBitrate()
    start = uplink.bitrate_bps
    assert uplink.update(0.3, 1_000_000) < start
    for _ in range(100):
        lowest = uplink.update(0.9, 0)
    assert lowest == UplinkBitrate.MINIMUM_BPS
    for _ in range(200):
        highest = uplink.update(0.0, 10_000_000)
    assert highest == UplinkBitrate.MAXIMUM_BPS


def test_an_idle_camera_is_not_allowed_ever_more() -> None:
    uplink = UplinkBitrate()
    for _ in range(200):
        allowed = uplink.update(0.0, 50_000)
    assert allowed <= UplinkBitrate.START_BPS + 2 * 50_000
