"""The sound of browsers in a room: Opus access units in, frames at the mixer's rate out. Pure, but for the codec."""

from media.phone.audio import Resampler, Samples
from media.phone.codecs import OPUS_CLOCK_RATE, PayloadError, duration, opus_decoder
from media.phone.jitter import Packet
from media.phone.playout import Playout
from media.tap import AccessUnit


class RoomTrack:
    """One track, however many rooms it is heard in. Call `advance` once for each frame, then `frame` for each mixer."""

    def __init__(self) -> None:
        decoder, self._rate = opus_decoder()
        self._playout = Playout(OPUS_CLOCK_RATE, self._rate, lambda packet: decoder.decode(packet.payload))
        self.jitter = self._playout.jitter
        self._sequence = 0
        self._frame: Samples | None = None
        self._converters: dict[int, Resampler] = {}
        self._converted: dict[int, Samples] = {}
        self.units = 0
        self.malformed = 0

    def unit(self, unit: AccessUnit, now: float) -> None:
        """One packet of the track. `now` is when it came to the media worker, on our clock."""
        try:
            ticks = duration("opus", unit.data)
        except PayloadError:
            self.malformed += 1
            return
        self.units += 1
        self._sequence += 2 if unit.after_gap else 1
        self.jitter.put(Packet(self._sequence, unit.timestamp, ticks, unit.data, now))

    def advance(self, now: float) -> None:
        """To the next 20 ms."""
        self._converted.clear()
        self._frame = self._playout.frame(now)

    def frame(self, rate: int) -> Samples | None:
        """This frame at a mixer's rate; None when the track says nothing."""
        if self._frame is None:
            return None
        if rate not in self._converted:
            if rate not in self._converters:
                self._converters[rate] = Resampler(self._rate, rate)
            self._converted[rate] = self._converters[rate](self._frame)
        return self._converted[rate]
