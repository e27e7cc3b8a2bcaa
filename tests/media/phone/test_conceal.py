"""What is played where something is missing."""

import numpy as np
import pytest

from media.phone.audio import level, silence
from media.phone.conceal import FADE_S, Concealer, merge
from tests.fakes.sound import dominant, tone


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_missing_frame_sounds_like_what_was_before(rate: int) -> None:
    conceal, size = Concealer(rate), rate // 50
    sound = tone(200, 0.2, rate)
    for at in range(0, len(sound), size):
        conceal.heard(sound[at : at + size])
    made = conceal.missing(size)
    expected = tone(200, 0.22, rate)[-size:]
    assert level(made) > level(expected) - 3
    assert float(np.corrcoef(made, expected)[0, 1]) > 0.95


def test_it_fades_to_nothing_and_stays_there() -> None:
    conceal = Concealer(8000)
    for _ in range(10):
        conceal.heard(tone(300, 0.02, 8000))
    levels = [level(conceal.missing(160)) for _ in range(round(FADE_S / 0.02) + 3)]
    assert levels == sorted(levels, reverse=True)
    assert levels[-1] == -127


def test_what_comes_back_is_blended_in() -> None:
    conceal = Concealer(8000)
    sound = tone(250, 0.4, 8000)
    for at in range(0, 1600, 160):
        last = conceal.heard(sound[at : at + 160])
    made = conceal.missing(160)
    back = conceal.heard(sound[1760:1920])
    steps = np.abs(np.diff(np.concatenate((last, made, back))))
    assert float(steps.max()) < 2 * float(np.abs(np.diff(sound)).max())
    assert np.array_equal(back[40:], sound[1800:1920])


def test_before_anything_was_heard_there_is_silence() -> None:
    assert np.array_equal(Concealer(8000).missing(160), silence(160))


def test_two_frames_become_one_of_the_same_pitch() -> None:
    sound = tone(400, 0.04, 8000)
    merged = merge(sound, 160)
    assert len(merged) == 160
    assert dominant(merged, 8000) == pytest.approx(400, abs=25)
    assert merged[0] == sound[0]
    assert merged[-1] == sound[-1]
