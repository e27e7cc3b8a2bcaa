"""From a jitter buffer to frames of 20 ms: decoded, and made up where something is missing. Pure, but for codecs."""

from collections.abc import Callable

from media.phone.audio import Delay, Samples, frame_samples
from media.phone.codecs import PayloadError
from media.phone.conceal import Concealer, merge
from media.phone.jitter import JitterBuffer, Missing, Packet, Play

CONCEALED_WHEN_DRY = 4
"""Frames in a row that are made up when nothing comes; then there is silence."""
GETS_PER_FRAME = 8
"""Packets of 2.5 ms at least."""


class Playout:
    """Of one stream. `decode` gives samples at `rate`, or raises `PayloadError`."""

    def __init__(self, clock_rate: int, rate: int, decode: Callable[[Packet], Samples]) -> None:
        self.jitter = JitterBuffer(clock_rate)
        self._clock_rate = clock_rate
        self._rate = rate
        self._decode = decode
        self._conceal = Concealer(rate)
        self._ready = Delay()
        self._dry = 0
        self.concealed = 0
        """Pieces that were made up."""
        self.malformed = 0

    def frame(self, now: float) -> Samples | None:
        """The next 20 ms; None when nothing is said."""
        wanted = frame_samples(self._rate)
        for _ in range(GETS_PER_FRAME):
            if len(self._ready) >= wanted:
                break
            part = self._next(now)
            if part is None:
                return None
            self._ready.put(part)
        return self._ready.take(wanted) if len(self._ready) >= wanted else None

    def _next(self, now: float) -> Samples | None:
        answer = self.jitter.get(now)
        if isinstance(answer, Play):
            self._dry = 0
            sound = self._decoded(answer.packet)
            if answer.hurry and not len(self._ready):
                sound = self._shortened(sound, now)
            return self._conceal.heard(sound)
        if isinstance(answer, Missing):
            return self._make_up(answer.duration * self._rate // self._clock_rate)
        if answer.dry and self._dry < CONCEALED_WHEN_DRY:
            self._dry += 1
            return self._make_up(frame_samples(self._rate))
        return None

    def _shortened(self, sound: Samples, now: float) -> Samples:
        """With the packet behind it, as one."""
        further = self.jitter.get(now)
        if not isinstance(further, Play):
            return sound
        if not len(sound):
            return self._decoded(further.packet)
        both = Delay()
        both.put(sound)
        both.put(self._decoded(further.packet))
        return merge(both.take(len(both)), len(sound))

    def _make_up(self, samples: int) -> Samples:
        self.concealed += 1
        return self._conceal.missing(samples)

    def _decoded(self, packet: Packet) -> Samples:
        try:
            return self._decode(packet)
        except PayloadError:
            self.malformed += 1
            return self._make_up(packet.duration * self._rate // self._clock_rate)
