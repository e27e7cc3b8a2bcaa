"""What is played where packets are missing (in the manner of ITU-T G.711 Appendix I). Pure.

The last pitch period is repeated, fading to nothing within `FADE_S`; what comes back is blended in over `BLEND_S`, so
that neither end of the gap clicks.
"""

import numpy as np

from media.phone.audio import Samples, silence

HISTORY_S = 0.045
SHORTEST_PITCH_S, LONGEST_PITCH_S = 0.0025, 0.015
FADE_S = 0.08
BLEND_S = 0.004


class Concealer:
    """Of one stream. Give it each frame that is played."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._history = silence(round(HISTORY_S * rate))
        self._period: Samples | None = None
        """While something is missing."""
        self._made = 0

    def heard(self, frame: Samples) -> Samples:
        """A frame that is there; blended with what was made up before it."""
        if self._period is not None:
            blend = min(round(BLEND_S * self._rate), len(frame))
            rising = np.linspace(0, 1, blend, dtype=np.float32)
            made = self._make(blend)
            frame = frame.copy()
            frame[:blend] = frame[:blend] * rising + made * (1 - rising)
            self._period = None
        self._history = np.concatenate((self._history, frame))[-len(self._history) :]
        return frame

    def missing(self, samples: int) -> Samples:
        """A frame that is not there."""
        if self._period is None:
            self._period = self._history[-self._pitch() :]
            self._made = 0
        return self._make(samples)

    def _make(self, samples: int) -> Samples:
        assert self._period is not None
        at = self._made + np.arange(samples)
        self._made += samples
        if self._made - samples >= FADE_S * self._rate:
            return silence(samples)
        fade = np.maximum(0, 1 - at / (FADE_S * self._rate)).astype(np.float32)
        return self._period[at % len(self._period)] * fade

    def _pitch(self) -> int:
        """The lag, in samples, at which the newest sound is most like itself."""
        shortest, longest = round(SHORTEST_PITCH_S * self._rate), round(LONGEST_PITCH_S * self._rate)
        recent = self._history[-longest:]
        past = self._history[: len(self._history) - shortest]
        windows = np.lib.stride_tricks.sliding_window_view(past, longest)[-(longest - shortest + 1) :]
        power = np.sqrt(np.einsum("ij,ij->i", windows, windows)) + 1.0
        best = int(np.argmax((windows @ recent) / power))
        return longest - best


def merge(two: Samples, samples: int) -> Samples:
    """Two frames as one, in which the first fades into the second: how a frame is saved."""
    rising = np.linspace(0, 1, samples, dtype=np.float32)
    merged: Samples = two[:samples] * (1 - rising) + two[-samples:] * rising
    return merged
