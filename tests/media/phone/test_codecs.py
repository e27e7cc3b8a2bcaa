"""Each codec there and back, measured, and its tables against FFmpeg's."""

import os
from typing import Any

import av
import numpy as np
import pytest

from media.phone import codecs, g711, libopus
from media.phone.audio import Resampler, frame_samples, level
from media.phone.codecs import SPECS, PayloadError, decoder, duration, encoder, frame_ticks
from media.phone.messages import CodecName
from tests.fakes.sound import dominant, share_at, tone

ALL: list[CodecName] = ["opus", "G722", "PCMA", "PCMU"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("frequency", [440.0, 1000.0, 2500.0])
def test_a_tone_survives(name: CodecName, frequency: float) -> None:
    rate = SPECS[name].rate
    encode, (decode, decoded_rate) = encoder(name), decoder(name)
    sound = tone(frequency, 1.0, rate)
    frames = []
    for at in range(0, len(sound), frame_samples(rate)):
        payload = encode.encode(sound[at : at + frame_samples(rate)])
        assert duration(name, payload) == frame_ticks(name)
        frames.append(decode.decode(payload))
    assert {len(frame) for frame in frames} == {frame_samples(decoded_rate)}
    result = np.concatenate(frames)[decoded_rate // 4 :]
    assert level(result) == pytest.approx(level(sound), abs=1.0)
    assert dominant(result, decoded_rate) == pytest.approx(frequency, abs=2)
    assert share_at(result, frequency, decoded_rate) > 0.97


@pytest.mark.parametrize(("name", "expand"), [("pcm_mulaw", g711.ULAW_TO_LINEAR), ("pcm_alaw", g711.ALAW_TO_LINEAR)])
def test_g711_values_are_ffmpegs(name: str, expand: Any) -> None:
    context: Any = av.CodecContext.create(name, "r")
    context.sample_rate, context.layout = 8000, "mono"
    (frame,) = context.decode(av.Packet(bytes(range(256))))
    assert frame.to_ndarray().reshape(-1).tolist() == expand.tolist()


@pytest.mark.parametrize(
    ("expand", "compress"),
    [(g711.ULAW_TO_LINEAR, g711.LINEAR_TO_ULAW), (g711.ALAW_TO_LINEAR, g711.LINEAR_TO_ALAW)],
)
def test_each_g711_value_is_written_as_itself(expand: Any, compress: Any) -> None:
    codes = compress[expand.astype(np.int16).view(np.uint16)]
    assert expand[codes].tolist() == expand.tolist()


def test_an_opus_packet_says_how_long_it_is() -> None:
    assert duration("opus", bytes([1 << 3])) == 960
    assert duration("opus", bytes([3 << 3])) == 2880
    assert duration("opus", bytes([16 << 3])) == 120
    assert duration("opus", bytes([1 << 3 | 1])) == 1920
    assert duration("opus", bytes([1 << 3 | 3, 3])) == 2880


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("PCMU", b""),
        ("opus", b""),
        ("opus", bytes([1 << 3 | 3])),
        ("PCMU", bytes(961)),
        ("opus", b"\x0b\x3f"),
        ("opus", b"\xfb\x00"),
    ],
)
def test_payloads_that_cannot_be_are_refused(name: CodecName, payload: bytes) -> None:
    with pytest.raises(PayloadError):
        duration(name, payload)


@pytest.mark.parametrize("direct", [True, False])
def test_rubbish_is_refused_and_does_no_harm(direct: bool) -> None:
    decode, rate = codecs.opus_decoder(direct=direct)
    with pytest.raises(PayloadError):
        decode.decode(b"\xff\xff\xff")
    assert len(decode.decode(encoder("opus").encode(tone(440, 0.02, 16000)))) == rate // 50


def test_libopus_is_found_beside_ffmpeg() -> None:
    assert libopus.load() is not None


@pytest.mark.parametrize("name", ["opus", "G722"])
def test_no_codec_has_threads(name: CodecName) -> None:
    before = len(os.listdir("/proc/self/task"))
    kept = [encoder(name) for _ in range(4)]
    for each in kept:
        each.encode(tone(440, 0.02, SPECS[name].rate))
    assert len(os.listdir("/proc/self/task")) == before


@pytest.mark.parametrize("encodes", [True, False])
@pytest.mark.parametrize("decodes", [True, False])
def test_opus_of_a_narrow_phone_is_encoded_at_its_own_rate(encodes: bool, decodes: bool) -> None:
    encode, (decode, rate) = codecs.opus_encoder(8000, direct=encodes), codecs.opus_decoder(direct=decodes)
    sound = tone(1000, 1.0, 8000)
    parts = [decode.decode(encode.encode(sound[at : at + 160])) for at in range(0, 8000, 160)]
    result = Resampler(rate, 8000)(np.concatenate(parts))[2000:]
    assert dominant(result, 8000) == pytest.approx(1000, abs=1)
    assert level(result) == pytest.approx(level(sound), abs=1.0)
