"""One room's sound, frame by frame: everybody hears all but themselves. Pure.

A mixer works at the rate of its best phone: 8000 while all have G.711, else 16,000. Each frame it is given what each
leg says and what the room's tracks say, and gives back what each leg hears: the sum of all, minus its own part, bent
where it would be too loud. With whole-number samples the difference is exact.
"""

from collections.abc import Iterable, Mapping

from media.phone.audio import Resampler, Samples, frame_samples, silence, soft_clip

NARROW, WIDE = 8000, 16000


class Mixer:
    """Of one room. `legs` says which leg speaks and hears at which rate."""

    def __init__(self) -> None:
        self.rate = NARROW
        self._rates: dict[str, int] = {}
        self._up: dict[str, Resampler] = {}
        self._down: dict[str, Resampler] = {}

    @property
    def legs(self) -> tuple[str, ...]:
        return tuple(self._rates)

    def add(self, leg: str, rate: int) -> None:
        """A leg came, or has another codec now."""
        self._rates[leg] = rate
        self._settle()

    def remove(self, leg: str) -> None:
        self._rates.pop(leg, None)
        self._settle()

    def _settle(self) -> None:
        rate = WIDE if any(rate > NARROW for rate in self._rates.values()) else NARROW
        if rate != self.rate:
            self._up.clear()
            self._down.clear()
            self.rate = rate
        for converters in (self._up, self._down):
            for leg in [leg for leg in converters if leg not in self._rates]:
                del converters[leg]
        for leg, own in self._rates.items():
            if leg not in self._up or self._up[leg].rates != (own, rate):
                self._up[leg], self._down[leg] = Resampler(own, rate), Resampler(rate, own)

    def mix(self, said: Mapping[str, Samples], tracks: Iterable[Samples] = ()) -> dict[str, Samples]:
        """What each leg hears, at its own rate. `said` is at each leg's rate and leaves out those that are silent;
        `tracks` are at the mixer's."""
        total = silence(frame_samples(self.rate))
        for track in tracks:
            total += track
        own: dict[str, Samples] = {}
        for leg, samples in said.items():
            if leg in self._rates:
                own[leg] = self._up[leg](samples)
                total += own[leg]
        everything: Samples | None = None
        heard: dict[str, Samples] = {}
        for leg in self._rates:
            if leg in own:
                mine = soft_clip(total - own[leg])
            else:
                everything = soft_clip(total) if everything is None else everything
                mine = everything
            heard[leg] = self._down[leg](mine)
        return heard
