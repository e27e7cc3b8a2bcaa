"""Who is speaking, from the audio levels that packets carry (RFC 6464). Pure; `now` in monotonic seconds.

Dominant speaker as published by Volfin and Cohen, "Dominant speaker identification for multipoint videoconferencing"
(Computer Speech and Language 27, 2013): the activity of a voice is judged over three intervals, each of the next
shorter ones' counts:

| Interval | Of | Counts | Up to |
|---|---|---|---|
| immediate | one packet (20 ms) | steps of loudness above the voice's own quiet | N1 = 13 |
| medium | 5 packets (100 ms) | loud ones | N2 = 5 |
| long | 10 medium ones (1 s) | those that were loud throughout | N3 = 10 |

Each count becomes a score by its likelihood under speech (binomial) against silence (exponential); a voice takes over
from the present speaker where all three ratios of scores are high enough. So a cough does not, and a pause keeps it.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping

N1, N2, N3 = 13, 5, 10
C1, C2, C3 = 3.0, 2.0, 0.0
LOUDEST = 127
STEP = LOUDEST / N1
LOUD_STEPS = 7
"""An immediate count above this makes a loud packet."""
FULL = 4
"""A medium count above this makes a loud interval."""
PACKET_S = 0.02
QUIET_RISES = 0.02
"""By which the quiet of a voice is forgotten with each packet."""
SILENT_S = 2.0
"""A speaker who was silent for so long is none."""
AUDIBLE_S = 1.0
"""A voice stays among the loudest for so long after it was."""
_LEAST = 1e-10


def _scores(most: int, rate: float) -> tuple[float, ...]:
    """For each count: ln of its likelihood under speech, each part loud with 1/2, over that under silence."""
    return tuple(
        max(_LEAST, math.log(math.comb(most, count)) + most * math.log(0.5) - math.log(rate) + rate * count)
        for count in range(most + 1)
    )


_IMMEDIATE, _MEDIUM, _LONG = _scores(N1, 0.78), _scores(N2, 24.0), _scores(N3, 47.0)
_SILENCE = (_IMMEDIATE[0], _MEDIUM[0], _LONG[0])


class Voice:
    """The activity of one track."""

    def __init__(self) -> None:
        self._steps: deque[int] = deque([0] * (N2 * N3), maxlen=N2 * N3)
        self._quiet = float(LOUDEST)
        self._heard_at: float | None = None
        self.scores = _SILENCE
        self.loudness = 0.0
        """Smoothed over some 300 ms, 0 to 127."""
        self.active_at = float("-inf")
        """When it was last loud."""

    def heard(self, levels: Iterable[int], now: float) -> None:
        """Levels of packets since the last call as they came: dB below overload, 0 to 127. What did not come was
        silence."""
        came = [LOUDEST - (level & 0x7F) for level in levels]
        if self._heard_at is not None:
            missing = round((now - self._heard_at) / PACKET_S) - len(came)
            came += [0] * max(0, min(missing, N2 * N3)) if not came else []
        self._heard_at = now
        for level in came:
            self._quiet = min(self._quiet + QUIET_RISES, level) if level else self._quiet
            loud = level > self._quiet + STEP
            self._steps.append(min(N1, int(level / STEP)) if loud else 0)
            self.loudness += (level * loud - self.loudness) * 0.07
        steps = list(self._steps)
        mediums = [sum(step > LOUD_STEPS for step in steps[first : first + N2]) for first in range(0, N2 * N3, N2)]
        immediate = max(steps[-N2:])
        self.scores = (
            _IMMEDIATE[immediate],
            _MEDIUM[mediums[-1]],
            _LONG[sum(medium > FULL for medium in mediums)],
        )
        if mediums[-1] > FULL - 1:
            self.active_at = now


class Dominance:
    """Who dominates for one listener."""

    def __init__(self) -> None:
        self.speaker = ""

    def decide(self, voices: Mapping[str, Voice], heard: Iterable[str], now: float) -> bool:
        """Among these tracks; a few times a second. Gives whether `speaker` changed ("" = nobody)."""
        tracks = [track for track in heard if track in voices]
        present = voices[self.speaker] if self.speaker in tracks else None
        held = present.scores if present is not None else _SILENCE
        best, most = self.speaker if present is not None else "", C2
        for track in tracks:
            voice = voices[track]
            if track == self.speaker or now - voice.active_at > SILENT_S:
                continue
            immediate, medium, long = (math.log(score / was) for score, was in zip(voice.scores, held, strict=True))
            if immediate > C1 and medium > most and long >= C3:
                best, most = track, medium
        if best == self.speaker and present is not None and now - present.active_at > SILENT_S:
            best = ""
        changed, self.speaker = best != self.speaker, best
        return changed


def loudest(voices: Mapping[str, Voice], now: float) -> list[str]:
    """Tracks that are or were just now to be heard, the loudest first."""
    audible = [(voice.loudness, track) for track, voice in voices.items() if now - voice.active_at <= AUDIBLE_S]
    return [track for _, track in sorted(audible, reverse=True)]
