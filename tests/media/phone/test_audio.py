"""Sample rates, levels and clipping, measured."""

import numpy as np
import pytest

from media.phone.audio import FULL_SCALE, Resampler, frame_samples, level, silence, soft_clip, to_int16
from tests.fakes.sound import dominant, share_at, tone


@pytest.mark.parametrize(
    ("source", "target"), [(8000, 16000), (16000, 8000), (48000, 16000), (48000, 8000), (8000, 48000)]
)
@pytest.mark.parametrize("frequency", [300.0, 1000.0, 3000.0])
def test_a_tone_keeps_its_level_and_frequency(source: int, target: int, frequency: float) -> None:
    resample = Resampler(source, target)
    sound = tone(frequency, 1.0, source)
    size = frame_samples(source)
    frames = [resample(sound[at : at + size]) for at in range(0, len(sound), size)]
    assert {len(frame) for frame in frames} == {frame_samples(target)}
    result = np.concatenate(frames)[target // 10 :]
    assert level(result) == pytest.approx(level(sound), abs=0.2)
    assert dominant(result, target) == pytest.approx(frequency, abs=1)
    assert share_at(result, frequency, target) > 0.999


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    resample = Resampler(48000, 8000)
    result = resample(tone(6000, 1.0, 48000))
    assert level(result[1000:]) < level(tone(6000, 1.0, 48000)) - 50


def test_frames_join_without_a_seam() -> None:
    sound = tone(440, 0.4, 8000)
    whole = Resampler(8000, 16000)(sound)
    resample = Resampler(8000, 16000)
    pieces = np.concatenate([resample(sound[at : at + 160]) for at in range(0, len(sound), 160)])
    assert np.allclose(whole, pieces, atol=1e-2)


def test_the_same_rate_changes_nothing() -> None:
    sound = tone(440, 0.02, 8000)
    assert Resampler(8000, 8000)(sound) is sound


def test_levels_are_those_of_the_recommendation() -> None:
    assert level(tone(1000, 1, 8000, FULL_SCALE)) == pytest.approx(-3.01, abs=0.01)
    assert level(np.full(160, FULL_SCALE, np.float32)) == pytest.approx(0, abs=0.01)
    assert level(silence(160)) == -127
    assert level(silence(0)) == -127


def test_what_is_not_loud_is_not_touched_and_what_is_too_loud_is_bent() -> None:
    quiet = tone(440, 0.02, 8000, 20000)
    assert soft_clip(quiet) is quiet
    loud = soft_clip(tone(440, 0.1, 8000, 90000))
    assert float(np.abs(loud).max()) < FULL_SCALE
    assert float(np.abs(loud).max()) > 0.95 * FULL_SCALE
    ramp = soft_clip(np.linspace(-80000, 80000, 2001, dtype=np.float32))
    assert bool((np.diff(ramp) >= 0).all())


def test_whole_numbers_stay_whole() -> None:
    assert to_int16(np.array([-40000, -1.4, 0.6, 40000], np.float32)).tolist() == [-32768, -1, 1, 32767]
