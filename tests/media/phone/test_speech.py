"""What phones are told in words: spoken by espeak-ng, and tones without it."""

from pathlib import Path

import numpy as np
import pytest

from media.phone import speech
from media.phone.audio import level
from media.phone.messages import Prompt, Tone
from media.phone.prompts import Prompts
from media.phone.tones import SIGNALS, samples_of
from tests.fakes.sound import share_at, tone

LANGUAGES = ("zh", "en")


def signal(name: str) -> int:
    """How long it is, in samples of 8 kHz."""
    return sum(len(samples_of(each, 8000)) for each in SIGNALS[name])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech")
    assert speech.render(folder, 60.0) is not None
    return folder


@pytest.mark.peer
@pytest.mark.parametrize("rate", [8000, 16000])
def test_every_prompt_is_spoken_in_both_languages(cache: Path, rate: int) -> None:
    prompts = Prompts(None, cache)
    prompts.preload()
    for name in speech.WORDS:
        both = [prompts.samples(Prompt.model_validate({"name": name, "language": each}), rate) for each in LANGUAGES]
        for sound in both:
            words = sound[: len(sound) - (3 * signal(name) * rate // 8000 if name in ("hold", "waiting") else 0)]
            assert 0.9 <= len(words) / rate <= 6.5, f"{name}: {len(words) / rate:.1f} s"
            assert -24 <= level(words) <= -18, f"{name}: {level(words):.1f} dBov"
            assert np.abs(words).max() <= 32767
            assert share_at(words, 450, rate) < 0.4, "speech, no call progress tone"
        assert not np.array_equal(both[0], both[1])


@pytest.mark.peer
def test_words_are_spoken_once_and_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path: path.stat().st_mtime_ns for path in cache.rglob("*.wav")}
    assert len(files) == len(LANGUAGES) * len(speech.WORDS)
    monkeypatch.setattr(speech, "PROGRAM", "no-such-program")
    folder = speech.render(cache)
    assert folder == speech.folder_of(cache), "what was spoken stays, without the program"
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.wav")} == files


@pytest.mark.peer
def test_whoever_waits_hears_words_and_then_the_signal(cache: Path) -> None:
    prompts = Prompts(None, cache)
    prompts.preload()
    sound = prompts.samples(Prompt(name="hold"), 8000)
    behind = sound[-3 * signal("hold") :]
    assert share_at(behind[: 8000 * 2 // 5], 450, 8000) > 0.9


def test_without_the_program_prompts_are_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "PROGRAM", "no-such-program")
    prompts = Prompts(None, tmp_path)
    prompts.preload()
    for name in speech.WORDS:
        assert len(prompts.samples(Prompt(name=name), 8000)) == signal(name)
    assert not list(tmp_path.rglob("*.wav"))


def test_a_program_that_fails_leaves_the_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "PROGRAM", "false")
    prompts = Prompts(None, tmp_path)
    prompts.preload()
    assert len(prompts.samples(Prompt(name="muted"), 8000)) == signal("muted")


def test_what_is_not_spoken_in_time_waits_for_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "available", lambda: True)
    speech.render(tmp_path, budget_s=-1.0)
    assert not list(tmp_path.rglob("*.wav"))


def test_a_cache_that_cannot_be_written_leaves_the_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "available", lambda: True)
    (tmp_path / "file").write_text("")
    assert speech.render(tmp_path / "file" / "speech") is None


def test_words_are_cut_to_what_is_said_and_brought_to_one_level() -> None:
    quiet = np.concatenate((np.zeros(8000), tone(300, 1.0, speech.RATE, 900), np.zeros(16000))).astype(np.float32)
    made = speech.levelled(quiet)
    assert len(made) == pytest.approx(speech.RATE * (1.0 + 2 * speech.PAD_S), abs=700)
    assert level(made[2000:-2000]) == pytest.approx(speech.SPOKEN_DBOV, abs=0.3)
    with pytest.raises(ValueError, match="nothing"):
        speech.levelled(np.zeros(16000, np.float32))


def test_every_prompt_has_a_signal_to_fall_back_to() -> None:
    assert set(speech.WORDS) <= set(SIGNALS)
    assert all(isinstance(each, Tone) for signals in SIGNALS.values() for each in signals)


def test_syllables_of_pinyin_are_as_many_as_the_characters() -> None:
    for name, words in speech.WORDS.items():
        characters = sum("\u4e00" <= each <= "\u9fff" for each in words.zh)
        assert sum(each.isdigit() for each in words.pinyin) == characters, name
