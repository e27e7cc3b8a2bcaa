"""Prompts by name: a recording of the user's, `{folder}/{language}/{name}.wav`, else our words, else a signal.

Recordings are 16-bit PCM of any of our rates, one channel or the mean of all, at most `MAX_S`. Words are spoken by this
machine (`media.phone.speech`), signals are those of `media.phone.tones`; a name without any of these cannot be played.
"""

import logging
import re
import wave
from pathlib import Path

import numpy as np

from media.phone import speech
from media.phone.audio import Resampler, Samples
from media.phone.messages import Prompt, Tone
from media.phone.tones import SIGNALS, samples_of

log = logging.getLogger(__name__)

MAX_S = 60.0
RATES = (8000, 16000, 48000)
MAX_KEPT = 128
BEHIND_WORDS = {"hold": 3, "waiting": 3}
"""Prompts that are repeated while somebody waits: how often their signal comes before the words come again."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class NoPrompt(Exception):
    """There is neither a recording nor a signal of this name."""


class Prompts:
    """Reads files when they are first asked for, and again when they have changed."""

    def __init__(self, folder: Path | None, cache: Path | None = None) -> None:
        """`cache`: where spoken words are kept; None: nothing is spoken."""
        self._folder = folder
        self._cache = cache
        self._spoken: Path | None = None
        self._kept: dict[tuple[Path, int], tuple[float, Samples]] = {}

    def preload(self) -> None:
        """Speak what is to be spoken, and read everything at the rates of phones, before it is asked for. Blocks."""
        if self._cache is not None:
            self._spoken = speech.render(self._cache)
        for folder in (self._folder, self._spoken):
            for path in sorted(folder.glob("*/*.wav"))[: MAX_KEPT // 4] if folder is not None else ():
                if path.parent.name in ("zh", "en") and NAME.fullmatch(path.stem):
                    for rate in (8000, 16000):
                        self._read(
                            folder, Prompt.model_validate({"name": path.stem, "language": path.parent.name}), rate
                        )

    def samples(self, sound: Tone | Prompt, rate: int) -> Samples:
        """The whole sound.

        Raises:
            NoPrompt: see there.
        """
        if isinstance(sound, Tone):
            return samples_of(sound, rate)
        recorded = self._read(self._folder, sound, rate)
        if recorded is not None:
            return recorded
        words = self._read(self._spoken, sound, rate)
        if sound.name not in SIGNALS and words is None:
            raise NoPrompt(f"There is no prompt {sound.name}.")
        times = 1 if words is None else BEHIND_WORDS.get(sound.name, 0)
        signal = [samples_of(tone, rate) for tone in SIGNALS.get(sound.name, ())] * times
        return np.concatenate(signal if words is None else [words, *signal])

    def _read(self, folder: Path | None, prompt: Prompt, rate: int) -> Samples | None:
        if folder is None:
            return None
        path = folder / prompt.language / f"{prompt.name}.wav"
        try:
            changed = path.stat().st_mtime
            known = self._kept.get((path, rate))
            if known is not None and known[0] == changed:
                return known[1]
            samples = read_wav(path, rate)
        except FileNotFoundError:
            return None
        except (OSError, EOFError, wave.Error, ValueError) as error:
            log.warning("The recording %s cannot be played: %s", path, error)
            return None
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[path, rate] = changed, samples
        return samples


def read_wav(path: Path, rate: int) -> Samples:
    """Raises:
    OSError, EOFError, wave.Error: it cannot be read.
    ValueError: not 16-bit PCM, another rate, or too long.
    """
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2 or file.getframerate() not in RATES:
            raise ValueError(
                f"it has {8 * file.getsampwidth()} bits at {file.getframerate()} Hz, not 16 bits at 8, 16 or 48 kHz"
            )
        if file.getnframes() > MAX_S * file.getframerate():
            raise ValueError(f"it is longer than {MAX_S:.0f} s")
        raw = file.readframes(file.getnframes())
        channels, source = file.getnchannels(), file.getframerate()
    samples = np.frombuffer(raw, "<i2").reshape(-1, channels).mean(axis=1).astype(np.float32)
    return Resampler(source, rate)(samples)
