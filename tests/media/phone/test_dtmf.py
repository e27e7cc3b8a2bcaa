"""Digits as events, as tones, and by INFO."""

import random

import pytest

from media.phone.audio import silence
from media.phone.dtmf import EVENTS, FREQUENCIES, EventError, EventReceiver, EventSender, Pressed, ToneDetector, Twins
from tests.fakes.sound import tone


def packets(digits: str, tone_s: float = 0.16, gap_s: float = 0.08, rate: int = 8000) -> list[tuple[int, bytes, bool]]:
    """Timestamp, payload and marker of all that is sent for these digits."""
    sender = EventSender(rate)
    sender.send(digits, tone_s, gap_s)
    sent, now = [], 16_000
    for _ in range(50 * len(digits)):
        sent += [(now - packet.offset, packet.payload, packet.marker) for packet in sender.frame()]
        now += rate // 50
    return sent


def hear(sent: list[tuple[int, bytes, bool]], rate: int = 8000) -> list[Pressed]:
    receiver = EventReceiver(rate)
    heard: list[Pressed] = []
    for number, (timestamp, payload, _) in enumerate(sent):
        heard += receiver.packet(timestamp, payload, number * 0.02)
    return heard + receiver.tick(1e9)


@pytest.mark.parametrize("rate", [8000, 48000])
def test_every_digit_is_told_once_with_its_length(rate: int) -> None:
    heard = hear(packets(EVENTS, rate=rate), rate)
    assert "".join(each.digit for each in heard) == EVENTS
    assert {each.duration_s for each in heard} == {0.16}


def test_the_end_is_sent_three_times_and_the_first_is_marked() -> None:
    sent = packets("5")
    assert [marker for _, _, marker in sent] == [True] + [False] * 9
    assert len({timestamp for timestamp, _, _ in sent}) == 1
    assert [payload[1] >> 7 for _, payload, _ in sent] == [0] * 7 + [1] * 3
    durations = [int.from_bytes(payload[2:]) for _, payload, _ in sent]
    assert durations == [160 * (number + 1) for number in range(8)] + [1280, 1280]


def test_the_same_digit_twice_is_two() -> None:
    assert [each.digit for each in hear(packets("77"))] == ["7", "7"]


def test_loss_and_repeats_of_packets_change_nothing() -> None:
    choose = random.Random(1)
    for _ in range(100):
        sent = [each for each in packets("159#") for _ in range(choose.choice((1, 1, 2)))]
        kept = [each for each in sent if choose.random() > 0.3]
        digits = "".join(each.digit for each in hear(kept))
        assert digits == "159#"


def test_old_packets_that_come_late_press_nothing_again() -> None:
    sent = packets("12")
    assert [each.digit for each in hear(sent + sent[:12])] == ["1", "2"]


def test_a_digit_without_an_end_is_told_after_a_moment() -> None:
    receiver = EventReceiver(8000)
    timestamp, payload, _ = packets("3")[0]
    assert receiver.packet(timestamp, payload, 1.0) == []
    assert receiver.tick(1.05) == []
    assert [each.digit for each in receiver.tick(1.11)] == ["3"]
    assert receiver.tick(2) == []


def test_other_events_and_rubbish() -> None:
    receiver = EventReceiver(8000)
    assert receiver.packet(1, bytes([16, 0x80, 0, 160]), 0) == []
    with pytest.raises(EventError):
        receiver.packet(2, b"\x01\x80\x00", 0)


def test_the_queue_of_digits_is_bounded() -> None:
    sender = EventSender(8000)
    for _ in range(10):
        sender.send("0123456789", 0.1, 0.1)
    assert len(sender._queue) == 64


def dial(digits: str, tone_s: float = 0.1, gap_s: float = 0.1, peak: float = 5000) -> list[Pressed]:
    detector = ToneDetector(8000)
    heard: list[Pressed] = []
    for digit in digits:
        low, high = FREQUENCIES[digit]
        sound = tone(low, tone_s, 8000, peak) + tone(high, tone_s, 8000, peak * 0.8)
        for at in range(0, len(sound), 160):
            heard += detector.frame(sound[at : at + 160])
        for _ in range(round(gap_s / 0.02)):
            heard += detector.frame(silence(160))
    return heard


@pytest.mark.parametrize("peak", [300.0, 5000.0, 15000.0])
def test_every_digit_is_heard_in_the_sound(peak: float) -> None:
    assert "".join(each.digit for each in dial("0123456789*#ABCD", peak=peak)) == "0123456789*#ABCD"


def test_speech_like_sound_presses_nothing() -> None:
    """Gliding harmonics with noise, loud and long."""
    choose = random.Random(1)
    detector = ToneDetector(8000)
    heard: list[Pressed] = []
    for _ in range(300):
        pitch = choose.uniform(90, 300)
        sound = sum((tone(pitch * n, 0.1, 8000, 6000 / n, choose.uniform(0, 6)) for n in range(1, 12)), silence(800))
        for at in range(0, 800, 160):
            heard += detector.frame(sound[at : at + 160])
    assert heard == []


def test_a_press_by_both_ways_is_one() -> None:
    twins = Twins()
    assert twins.fresh("1", "rtp", 0.0)
    assert not twins.fresh("1", "info", 0.3)
    assert twins.fresh("1", "rtp", 0.6)
    assert twins.fresh("1", "info", 2.0)
    assert twins.fresh("2", "info", 2.1)
    assert twins.fresh("2", "info", 2.3)


def test_a_sender_that_begins_anew_is_heard_again() -> None:
    receiver = EventReceiver(8000)
    sent = packets("1")
    for timestamp, payload, _ in sent:
        receiver.packet(timestamp + 1_000_000, payload, 0)
    heard = [each.digit for timestamp, payload, _ in sent for each in receiver.packet(timestamp, payload, 1)]
    assert heard == ["1"]
