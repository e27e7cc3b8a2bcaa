"""Which encodings of a simulcast are of use: to a tile on a page, and to anybody at all. Pure; `now` in seconds.

The size of each encoding is taken to be the usual one (180, 360 and 720 lines); what it costs is measured.
"""

from collections.abc import Iterable, Sequence

HEIGHTS = (180, 360, 720)
ENOUGH = 0.7
"""A picture with this share of a tile's lines looks whole."""
USUAL_BPS = (150_000.0, 500_000.0, 1_800_000.0)
"""Of an encoding that was never seen."""
UNWANTED_S = 5.0
"""An encoding that nobody took for so long is asked to stop."""


def ceiling(encodings: int, height: int | None) -> int:
    """Index of the smallest encoding that fills a tile of so many lines; the best where the tile is not known."""
    if height is None:
        return encodings - 1
    heights = HEIGHTS[-encodings:]
    return next((index for index, lines in enumerate(heights) if lines >= height * ENOUGH), encodings - 1)


def costs(measured: Sequence[float]) -> tuple[float, ...]:
    """Bitrates of the encodings, the smallest first; 0 = never seen. Each is at least the one before."""
    usual = USUAL_BPS[-len(measured) :]
    found: list[float] = []
    for index, bitrate in enumerate(measured):
        found.append(max(bitrate or usual[index], found[-1] if found else 0.0))
    return tuple(found)


class Wanted:
    """The encodings of one track that somebody takes. What is newly wanted counts at once, what is no longer wanted
    only after `UNWANTED_S`. The smallest is always wanted: somebody who comes begins with it."""

    def __init__(self, encodings: int) -> None:
        self._last: list[float | None] = [None] * encodings
        self._began: float | None = None
        self.indices: frozenset[int] = frozenset(range(encodings))
        """As last told: a publisher begins with all."""

    def update(self, demand: Iterable[int], now: float) -> bool:
        """Whether `indices` changed."""
        if self._began is None:
            self._began = now
        for index in demand:
            self._last[index] = now
        recent = {
            index for index, last in enumerate(self._last) if now - (self._began if last is None else last) < UNWANTED_S
        }
        # One that was stopped comes back only when it is asked for.
        wanted = frozenset({0} | {index for index in recent if index in self.indices or self._last[index] == now})
        changed, self.indices = wanted != self.indices, wanted
        return changed
