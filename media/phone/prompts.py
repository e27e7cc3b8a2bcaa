"""Recordings of the user's that are played in place of signals: `{folder}/{language}/{name}.wav`.

16-bit PCM of any of our rates, one channel or the mean of all, at most `MAX_S`. A name without a file is played as the
signal of `media.phone.tones`; one without either cannot be played.
"""

import logging
import re
import wave
from pathlib import Path

import numpy as np

from media.phone.audio import Resampler, Samples
from media.phone.messages import Prompt, Tone
from media.phone.tones import SIGNALS, samples_of

log = logging.getLogger(__name__)

MAX_S = 60.0
RATES = (8000, 16000, 48000)
MAX_KEPT = 128
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class NoPrompt(Exception):
    """There is neither a recording nor a signal of this name."""


class Prompts:
    """Reads files when they are first asked for, and again when they have changed."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[tuple[Path, int], tuple[float, Samples]] = {}

    def preload(self) -> None:
        """Read every recording at the rates of phones, before the first one is asked for. Blocks."""
        if self._folder is None:
            return
        for path in sorted(self._folder.glob("*/*.wav"))[: MAX_KEPT // 2]:
            if path.parent.name in ("zh", "en") and NAME.fullmatch(path.stem):
                for rate in (8000, 16000):
                    self._recorded(Prompt.model_validate({"name": path.stem, "language": path.parent.name}), rate)

    def samples(self, sound: Tone | Prompt, rate: int) -> Samples:
        """The whole sound.

        Raises:
            NoPrompt: see there.
        """
        if isinstance(sound, Tone):
            return samples_of(sound, rate)
        recorded = self._recorded(sound, rate)
        if recorded is not None:
            return recorded
        if sound.name not in SIGNALS:
            raise NoPrompt(f"There is no prompt {sound.name}.")
        return np.concatenate([samples_of(tone, rate) for tone in SIGNALS[sound.name]])

    def _recorded(self, prompt: Prompt, rate: int) -> Samples | None:
        if self._folder is None:
            return None
        path = self._folder / prompt.language / f"{prompt.name}.wav"
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
