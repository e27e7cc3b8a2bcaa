"""Tones, and what is measured of them: level and frequency."""

import math

import numpy as np

from media.phone.audio import Samples, level

__all__ = ["dominant", "level", "share_at", "tone"]


def tone(frequency: float, seconds: float, rate: int, peak: float = 8000.0, phase: float = 0.0) -> Samples:
    at = np.arange(round(seconds * rate)) / rate
    return (peak * np.sin(2 * math.pi * frequency * at + phase)).astype(np.float32)


def dominant(samples: Samples, rate: int) -> float:
    """The strongest frequency, Hz, to a tenth of a bin."""
    window = np.hanning(len(samples))
    spectrum = np.abs(np.fft.rfft(samples * window))
    peak = int(np.argmax(spectrum[1:-1])) + 1
    left, middle, right = np.log(spectrum[peak - 1 : peak + 2] + 1e-9)
    offset = 0.5 * (left - right) / (left - 2 * middle + right) if left - 2 * middle + right else 0.0
    return float((peak + offset) * rate / len(samples))


def share_at(samples: Samples, frequency: float, rate: int, width: float = 40.0) -> float:
    """Share of the power that lies within `width` of a frequency."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate)
    return float(spectrum[np.abs(frequencies - frequency) <= width].sum() / (spectrum.sum() + 1e-9))
