"""What is being played to a phone: sounds behind each other, cut into frames. Pure."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from media.phone.audio import Samples, silence

How = Literal["finished", "stopped", "replaced"]


class Player:
    """One prompt of one leg."""

    def __init__(self, prompt: str, sounds: Sequence[Samples], repeat: int, over_room: bool, rate: int) -> None:
        self.prompt = prompt
        self.over_room = over_room
        self.rate = rate
        self._sound = np.concatenate(list(sounds)) if sounds else silence(0)
        self._left = repeat
        self._forever = repeat == 0
        self._at = 0
        self.over = not len(self._sound)

    def frame(self, samples: int) -> Samples:
        """The next piece; the last one ends in silence."""
        pieces, missing = [], samples
        while missing and not self.over:
            piece = self._sound[self._at : self._at + missing]
            self._at += len(piece)
            missing -= len(piece)
            pieces.append(piece)
            if self._at >= len(self._sound):
                self._at = 0
                self._left -= 1
                self.over = not self._forever and self._left <= 0
        pieces.append(silence(missing))
        return np.concatenate(pieces)
