"""What is played: tones, signals, recordings of the user's."""

import wave
from pathlib import Path

import numpy as np
import pytest

from media.phone.audio import FULL_SCALE, level
from media.phone.messages import Prompt, Tone
from media.phone.player import Player
from media.phone.prompts import NoPrompt, Prompts
from media.phone.tones import SIGNALS
from tests.fakes.sound import dominant, share_at, tone


def record(path: Path, rate: int = 8000, seconds: float = 0.5, width: int = 2, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        samples = np.repeat(tone(500, seconds, rate).astype("<i2"), channels)
        file.writeframes(samples.tobytes() if width == 2 else bytes(len(samples) * width))


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_tone_has_the_level_and_frequency_asked_for(rate: int) -> None:
    made = Prompts(None).samples(Tone(frequencies=(941.0,), duration_ms=1000, level_dbm0=-10), rate)
    assert len(made) == rate
    assert dominant(made, rate) == pytest.approx(941, abs=1)
    assert level(made) == pytest.approx(-16.15, abs=0.2)
    assert abs(float(made[0])) < 1e-3 * FULL_SCALE


def test_two_frequencies_sound_together() -> None:
    made = Prompts(None).samples(Tone(frequencies=(697.0, 1209.0), duration_ms=500), 8000)
    assert share_at(made, 697, 8000) == pytest.approx(0.5, abs=0.02)
    assert share_at(made, 1209, 8000) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_can_be_played(name: str) -> None:
    made = Prompts(None).samples(Prompt(name=name), 8000)
    assert len(made) >= 800
    assert level(made) > -40


def test_a_recording_takes_the_place_of_a_signal_in_its_language(tmp_path: Path) -> None:
    record(tmp_path / "zh" / "enter-pin.wav", rate=16000)
    prompts = Prompts(tmp_path)
    made = prompts.samples(Prompt(name="enter-pin", language="zh"), 8000)
    assert len(made) == 4000
    assert dominant(made[400:], 8000) == pytest.approx(500, abs=2)
    signal = Prompts(None).samples(Prompt(name="enter-pin"), 8000)
    assert np.array_equal(prompts.samples(Prompt(name="enter-pin", language="en"), 8000), signal)


def test_a_recording_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "zh" / "own-words.wav"
    prompts = Prompts(tmp_path)
    with pytest.raises(NoPrompt):
        prompts.samples(Prompt(name="own-words"), 8000)
    record(path, seconds=0.5)
    assert len(prompts.samples(Prompt(name="own-words"), 8000)) == 4000
    record(path, seconds=0.25, channels=2)
    import os

    os.utime(path, (1, 1))
    assert len(prompts.samples(Prompt(name="own-words"), 8000)) == 2000


@pytest.mark.parametrize("how", [{"width": 1}, {"rate": 44100}, {"seconds": 61.0}])
def test_a_recording_that_cannot_be_played_is_passed_over(tmp_path: Path, how: dict[str, float]) -> None:
    record(tmp_path / "zh" / "busy.wav", **how)  # type: ignore[arg-type]
    (tmp_path / "zh" / "dial.wav").write_bytes(b"RIFF no wave at all")
    prompts = Prompts(tmp_path)
    for name in ("busy", "dial"):
        signal = Prompts(None).samples(Prompt(name=name), 8000)
        assert np.array_equal(prompts.samples(Prompt(name=name), 8000), signal)


def test_a_player_gives_whole_frames_and_ends_in_silence() -> None:
    sound = np.arange(1, 401, dtype=np.float32)
    player = Player("p", [sound], 1, False, 8000)
    frames = [player.frame(160) for _ in range(3)]
    assert player.over
    assert np.array_equal(np.concatenate(frames)[:400], sound)
    assert not np.concatenate(frames)[400:].any()


def test_a_player_repeats_as_often_as_it_is_told() -> None:
    sound = np.arange(1, 101, dtype=np.float32)
    twice = Player("p", [sound], 2, False, 8000)
    assert np.array_equal(twice.frame(200), np.concatenate((sound, sound)))
    assert twice.over
    forever = Player("p", [sound], 0, False, 8000)
    for _ in range(1000):
        forever.frame(160)
    assert not forever.over
