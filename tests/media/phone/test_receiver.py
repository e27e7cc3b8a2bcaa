"""One direction of a leg, packet by packet: what is heard, and what is counted and dropped."""

import numpy as np
import pytest

from media import rtp
from media.phone.audio import Samples
from media.phone.codecs import encoder
from media.phone.description import Agreement, Payload
from media.phone.messages import CodecName
from media.phone.receiver import Receiver
from media.phone.sender import Sender
from tests.fakes.sound import dominant, level, tone


def agreed(codec: CodecName = "PCMU", payload_type: int = 0, *further: Payload) -> Agreement:
    own = Payload(payload_type, codec)
    return Agreement(
        sending=own, payloads=(own, *further), events=(101, 8000), noise=True, address=("192.0.2.1", 4000),
        control=None, mux=False, secure=False, ours=None, theirs=None, direction="sendrecv",
    )  # fmt: skip


def hear(receiver: Receiver, packets: list[bytes], began: float = 0.0) -> Samples:
    parts = [np.zeros(0, np.float32)]
    for number, packet in enumerate(packets):
        now = began + number * 0.02
        receiver.packet(packet, now)
        frame = receiver.frame(now + 0.005)
        if frame is not None:
            parts.append(frame)
    return np.concatenate(parts)


def speech(frequency: float = 440, frames: int = 50, agreement: Agreement | None = None, ssrc: int = 0) -> list[bytes]:
    sender = Sender(agreement or agreed(), 20)
    if ssrc:
        sender.ssrc = ssrc
    sound = tone(frequency, frames * 0.02, sender.rate)
    size = sender.rate // 50
    return [packet for at in range(0, len(sound), size) for packet in sender.frame(sound[at : at + size])]


def test_what_is_sent_is_what_is_heard() -> None:
    receiver = Receiver(agreed())
    sound = hear(receiver, speech())
    assert dominant(sound[800:], 8000) == pytest.approx(440, abs=2)
    assert receiver.dropped.total() == 0


def test_ten_percent_of_loss_keeps_the_tone_and_its_level() -> None:
    receiver = Receiver(agreed())
    packets = [packet for number, packet in enumerate(speech(frames=200)) if number % 10 != 7]
    parts = []
    for number in range(200):
        now = number * 0.02
        if number % 10 != 7:
            receiver.packet(packets.pop(0), now)
        frame = receiver.frame(now + 0.005)
        if frame is not None:
            parts.append(frame)
    sound = np.concatenate(parts)[1600:]
    assert level(sound) == pytest.approx(level(tone(440, 1, 8000)), abs=1)
    assert dominant(sound, 8000) == pytest.approx(440, abs=2)
    assert receiver.jitter.missing == pytest.approx(20, abs=1)


@pytest.mark.parametrize("milliseconds", [10, 30, 40, 60])
def test_packets_of_other_lengths_are_played_whole(milliseconds: int) -> None:
    receiver, encode = Receiver(agreed()), encoder("PCMU")
    size = 8 * milliseconds
    sound = tone(500, 2.4, 8000)
    packets = [
        (at / 8000, rtp.pack(encode.encode(sound[at : at + size]), payload_type=0, sequence=n, timestamp=at, ssrc=5))
        for n, at in enumerate(range(0, len(sound), size))
    ]
    parts = []
    for tick in range(125):
        now = tick * 0.02
        while packets and packets[0][0] <= now:
            receiver.packet(packets.pop(0)[1], now)
        frame = receiver.frame(now)
        if frame is not None:
            assert len(frame) == 160
            parts.append(frame)
    heard = np.concatenate(parts)
    assert len(heard) >= 2.2 * 8000
    assert dominant(heard[1600:16000], 8000) == pytest.approx(500, abs=2)
    assert receiver.jitter.missing == 0


def test_another_codec_of_the_same_clock_may_come_between() -> None:
    both = agreed("PCMU", 0, Payload(8, "PCMA"))
    receiver = Receiver(both)
    first, second = encoder("PCMU"), encoder("PCMA")
    sound = tone(440, 1.0, 8000)
    packets = [
        rtp.pack(
            (second if n % 2 else first).encode(sound[n * 160 : n * 160 + 160]),
            payload_type=8 if n % 2 else 0, sequence=n, timestamp=n * 160, ssrc=5,
        )
        for n in range(50)
    ]  # fmt: skip
    heard = hear(receiver, packets)
    assert dominant(heard[800:], 8000) == pytest.approx(440, abs=2)
    assert level(heard[800:]) == pytest.approx(level(sound), abs=1)


def test_another_sender_is_heard_at_once_and_its_digits_too() -> None:
    receiver = Receiver(agreed())
    hear(receiver, speech(ssrc=5))
    sound = hear(receiver, speech(1000, ssrc=6), began=2.0)
    assert dominant(sound[800:], 8000) == pytest.approx(1000, abs=2)
    for ssrc, timestamp in ((6, 900_000), (7, 100)):
        packet = rtp.pack(bytes((5, 0x8A, 1, 0)), payload_type=101, sequence=9, timestamp=timestamp, ssrc=ssrc)
        assert [each.digit for each in receiver.packet(packet, 4.0)] == ["5"]


def test_a_repeated_agreement_does_not_press_a_digit_again() -> None:
    receiver = Receiver(agreed())
    packet = rtp.pack(bytes((5, 0x8A, 1, 0)), payload_type=101, sequence=9, timestamp=800, ssrc=5)
    assert receiver.packet(packet, 0.0)
    receiver.agree(agreed())
    assert not receiver.packet(packet, 0.1)


def test_what_is_wrong_is_counted_by_its_reason() -> None:
    receiver = Receiver(agreed())
    for payload, payload_type in ((b"", 0), (bytes(961), 0), (b"x", 55), (b"\x01", 101)):
        receiver.packet(rtp.pack(payload, payload_type=payload_type, sequence=1, timestamp=2, ssrc=3), 0.0)
    receiver.packet(b"\xbf\x00" + bytes(20), 0.0)
    assert receiver.dropped == {"malformed": 4, "payload_type": 1}
    assert receiver.frame(1.0) is None


def test_comfort_noise_is_silence() -> None:
    receiver = Receiver(agreed())
    packets = speech(frames=20)
    hear(receiver, packets)
    _, _, sequence, timestamp, ssrc = rtp.HEADER.unpack_from(packets[-1])
    receiver.packet(
        rtp.pack(b"\x40", payload_type=13, sequence=sequence + 1, timestamp=timestamp + 160, ssrc=ssrc), 0.4
    )
    assert receiver.dropped.total() == 0
    for tick in range(40):
        last = receiver.frame(0.42 + tick * 0.02)
    assert last is None


def test_digits_take_the_place_of_sound_and_time_goes_on() -> None:
    sender = Sender(agreed(), 20)
    silence = np.zeros(160, np.float32)
    (before,) = sender.frame(silence)
    sender.press("7", 0.1, 0.06)
    events = [packet for _ in range(5) for packet in sender.frame(silence)]
    (after,) = sender.frame(silence)
    numbers = [rtp.HEADER.unpack_from(packet) for packet in (before, *events, after)]
    assert {second & 0x7F for _, second, *_ in numbers[1:-1]} == {101}
    assert [one[2] - numbers[0][2] & 0xFFFF for one in numbers] == list(range(len(numbers)))
    assert {one[3] - numbers[0][3] & 0xFFFFFFFF for one in numbers[1:-1]} == {160}
    assert numbers[-1][3] - numbers[0][3] & 0xFFFFFFFF == 6 * 160
    assert numbers[-1][1] & 0x80
    assert sum(packet[13] >> 7 for packet in events) == 3


def test_packets_of_sixty_milliseconds_where_they_are_wanted() -> None:
    sender = Sender(agreed(), 60)
    packets = [sender.frame(np.zeros(160, np.float32)) for _ in range(6)]
    assert [len(each) for each in packets] == [0, 0, 1, 0, 0, 1]
    first, second = rtp.HEADER.unpack_from(packets[2][0]), rtp.HEADER.unpack_from(packets[5][0])
    assert (second[2] - first[2] & 0xFFFF, second[3] - first[3] & 0xFFFFFFFF) == (1, 480)
    assert len(packets[2][0]) == 12 + 480
