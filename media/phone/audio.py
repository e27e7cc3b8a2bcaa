"""Sound as arrays: sample-rate conversion, levels, clipping. Pure.

Samples are `float32` with the values of 16-bit PCM, so that sums of what phones send are exact: `float32` holds every
whole number up to 2²⁴, which is 512 times full scale. A *frame* is 20 ms.
"""

import math
from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[np.float32]

FRAME_S = 0.02
FULL_SCALE = 32768.0
SILENCE_DBOV = -127.0
_KNEE = 0.8 * FULL_SCALE
_ROOM = FULL_SCALE - 1 - _KNEE
_TAPS_PER_PHASE = 24


def frame_samples(rate: int) -> int:
    """Samples of one frame."""
    return rate // 50


def silence(samples: int) -> Samples:
    return np.zeros(samples, np.float32)


def level(samples: Samples) -> float:
    """dBov: 0 is a square wave at full scale, a sine wave at full scale is -3 (RFC 6465); -127 for nothing."""
    if not len(samples):
        return SILENCE_DBOV
    power = float(np.dot(samples, samples)) / len(samples)
    return max(SILENCE_DBOV, 10 * math.log10(power / FULL_SCALE**2)) if power > 0 else SILENCE_DBOV


def soft_clip(samples: Samples) -> Samples:
    """The same below 80 % of full scale; above, bent so that it never goes beyond."""
    size = np.abs(samples)
    if not len(size) or float(size.max()) <= _KNEE:
        return samples
    over = size - np.float32(_KNEE)
    bent = np.float32(_KNEE) + np.float32(_ROOM) * np.tanh(over / np.float32(_ROOM))
    clipped: Samples = np.where(over > 0, np.copysign(bent, samples), samples).astype(np.float32)
    return clipped


def to_int16(samples: Samples) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


@cache
def _low_pass(up: int, down: int) -> Samples:
    """A windowed sinc whose cut-off is just below the lower of both Nyquist frequencies, one row for each phase."""
    taps = _TAPS_PER_PHASE * max(up, down)
    length = taps + (-taps % up)
    at = np.arange(length) - (length - 1) / 2
    cutoff = 0.92 / max(up, down)
    shape = cutoff * np.sinc(cutoff * at) * np.kaiser(length, 7.0) * up
    phases = shape.reshape(-1, up).T[:, ::-1]
    return np.ascontiguousarray(phases, dtype=np.float32)


class Resampler:
    """From one rate to another by a whole factor up, a whole factor down, or both; delays by half its filter.

    Rates are multiples of 8000 up to 48000. Each call takes whole frames (any multiple of 20 ms, or of 10).
    """

    def __init__(self, source: int, target: int) -> None:
        divisor = math.gcd(source, target)
        self._up, self._down = target // divisor, source // divisor
        self._taps = _low_pass(self._up, self._down)
        self._past = silence(self._taps.shape[1] - 1)
        self.rates = (source, target)
        self._same = source == target

    def __call__(self, samples: Samples) -> Samples:
        if self._same:
            return samples
        joined = np.concatenate((self._past, samples))
        self._past = joined[len(samples) :]
        windows = np.lib.stride_tricks.sliding_window_view(joined, self._taps.shape[1])
        if self._up == 1:
            fewer: Samples = windows[:: self._down] @ self._taps[0]
            return fewer
        # Output n stands at n * down / up input samples; its phase says which row of the filter gives it.
        count = len(samples) * self._up // self._down
        position = np.arange(count) * self._down
        if self._down == 1:
            more: Samples = (windows @ self._taps.T).reshape(-1)
            return more
        rows: Samples = np.einsum("ij,ij->i", windows[position // self._up], self._taps[position % self._up])
        return rows


class Delay:
    """Samples in as they come, whole frames out."""

    def __init__(self) -> None:
        self._waiting = silence(0)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, samples: Samples) -> None:
        self._waiting = np.concatenate((self._waiting, samples)) if len(self._waiting) else samples

    def take(self, samples: int) -> Samples:
        taken, self._waiting = self._waiting[:samples], self._waiting[samples:]
        return taken

    def clear(self) -> None:
        self._waiting = silence(0)
