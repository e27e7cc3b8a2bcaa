"""What phones hear that nobody says: call progress tones and the signals that stand for prompts. Pure.

Call progress tones are those of the Chinese network (GB/T 3380: 450 Hz). Where the machine can speak, words stand in
place of a signal, and a recording of the user's goes before both (`media.phone.prompts`). Signals are short rising,
falling or level figures, so that they can be told apart by ear:

| name | signal |
|---|---|
| `enter-pin` | two rising notes, then a long one |
| `wrong-pin`, `error` | three low notes |
| `pin-ok`, `accepted` | three rising notes |
| `next`, `goodbye` | two and three falling notes |
| `menu-alert` | five quick high-low changes |
| `drill` | two long high beeps |
| `join`, `leave` | a rising and a falling pair |
| `muted`, `unmuted` | two notes down to a low one, and up from it |
| `alone` | one long low note |
| `waiting` | as `hold` |
"""

from collections.abc import Mapping, Sequence

import numpy as np

from media.phone.audio import FULL_SCALE, Samples, silence
from media.phone.messages import Tone

RAMP_S = 0.004
DBM0_TO_DBOV = -3.14 - 3.01
"""0 dBm0 is a sine wave 3.14 dB below the loudest that G.711 has; that one is -3.01 dBov."""


def _note(duration_ms: int, *frequencies: float) -> Tone:
    return Tone(frequencies=frequencies, duration_ms=duration_ms)


def _pause(duration_ms: int) -> Tone:
    return Tone(duration_ms=duration_ms)


_C, _E, _G, _HIGH = 523.0, 659.0, 784.0, 1047.0

SIGNALS: Mapping[str, Sequence[Tone]] = {
    "ringback": (_note(1000, 450), _pause(4000)),
    "busy": (_note(350, 450), _pause(350)),
    "congestion": (_note(700, 450), _pause(700)),
    "dial": (_note(1000, 450),),
    "hold": (_note(400, 450), _pause(4600)),
    "enter-pin": (_note(150, _C), _note(150, _E), _note(450, _G), _pause(100)),
    "wrong-pin": (_note(200, 300), _pause(80), _note(200, 300), _pause(80), _note(200, 300)),
    "pin-ok": (_note(120, _C), _note(120, _E), _note(200, _G)),
    "join": (_note(120, _C), _note(180, _G)),
    "leave": (_note(120, _G), _note(180, _C)),
    "goodbye": (_note(150, _G), _note(150, _E), _note(300, _C)),
    "menu-alert": tuple(_note(120, frequency) for frequency in (_HIGH, _G) * 5),
    "drill": tuple(sound for _ in range(2) for sound in (_note(400, 1400), _pause(200))),
    "accepted": (_note(120, _C), _note(120, _E), _note(200, _G)),
    "next": (_note(150, _E), _note(250, _C)),
    "muted": (_note(150, _E), _note(250, 330)),
    "unmuted": (_note(150, 330), _note(250, _E)),
    "alone": (_note(600, 330),),
    "waiting": (_note(400, 450), _pause(4600)),
    "error": (_note(200, 300), _pause(80), _note(200, 300), _pause(80), _note(200, 300)),
}


COMFORT_DBOV = -65.0
"""What a phone hears while nobody says anything: a line that is quite silent sounds dead."""
_NOISE = np.random.default_rng(1).normal(0.0, FULL_SCALE * 10 ** (COMFORT_DBOV / 20), 1 << 16).astype(np.float32)


def comfort_noise(samples: int, at: int) -> Samples:
    """Faint white noise; `at` is where it goes on, in samples."""
    start = at % (len(_NOISE) - samples)
    return _NOISE[start : start + samples]


def samples_of(tone: Tone, rate: int) -> Samples:
    """The whole tone, with its ends rounded so that they do not click."""
    count = round(tone.duration_ms * rate / 1000)
    if not tone.frequencies:
        return silence(count)
    at = np.arange(count) / rate
    # The level of a sine wave is that of its mean power: its peak is the square root of two higher.
    peak = FULL_SCALE * 10 ** ((tone.level_dbm0 + DBM0_TO_DBOV) / 20) * 2**0.5
    wave = sum(np.sin(2 * np.pi * frequency * at) for frequency in tone.frequencies if frequency < rate / 2)
    ramp = min(round(RAMP_S * rate), count // 2)
    shape = np.ones(count)
    if ramp:
        shape[:ramp] = np.linspace(0, 1, ramp)
        shape[-ramp:] = np.linspace(1, 0, ramp)
    return np.asarray(peak * wave * shape, np.float32)
