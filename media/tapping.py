"""The readers of one track's access units, each of which gets one encoding of it.

A recorder gets the best encoding that is being sent, the vision worker the second best: people are as well seen in half
the height. When that one ends, the reader goes on with another at its next key frame, in the same count of time.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from media.forwarder.interface import Forwarder
from media.keyframes import Payload, is_keyframe_start
from media.messages import Outlet
from media.pipe import PipeSender
from media.tapsender import TapSender

if TYPE_CHECKING:
    from media.incoming import Encoding

Reader = Literal["vision", "record", "phone", "pipe"]
Lag = Callable[["Encoding", "Encoding"], int | None]


class _Tap:
    def __init__(self, sender: TapSender | PipeSender, encoding: "Encoding") -> None:
        self.sender = sender
        self.encoding = encoding
        self.next: Encoding | None = None
        self.timestamp_shift = 0
        self.sequence_shift = 0
        self.last: tuple[int, int, float] | None = None
        """Timestamp, sequence number and arrival of the newest packet, as handed on."""


class Taps:
    """Of one track, by reader."""

    def __init__(self, track: str, codec: str, clock_rate: int, encodings: "tuple[Encoding, ...]") -> None:
        self._track = track
        self._codec = codec
        self._clock_rate = clock_rate
        self._encodings = encodings
        self._taps: dict[Reader, _Tap] = {}
        self._lag: Lag = lambda new, old: None

    def add(self, reader: Reader, address: str) -> "Encoding":
        """In place of this reader's earlier tap. Gives the encoding that it begins with.

        Raises:
            ValueError: a codec whose packets cannot be put together.
        """
        self.remove(reader)
        tap = _Tap(TapSender(address, self._track, self._codec), self._wanted(reader))
        self._taps[reader] = tap
        return tap.encoding

    def pipe(self, payload_type: int, outlets: Sequence[Outlet]) -> "Encoding | None":
        """Lead the track to these doors, and to no others. Gives the encoding of which a key frame is now needed."""
        tap = self._taps.get("pipe")
        if not outlets:
            self.remove("pipe")
            return None
        if tap is None:
            tap = self._taps["pipe"] = _Tap(PipeSender(payload_type), self._wanted("pipe"))
        assert isinstance(tap.sender, PipeSender)
        tap.sender.lead(outlets)
        return tap.encoding

    def remove(self, reader: Reader) -> None:
        tap = self._taps.pop(reader, None)
        if tap is not None:
            tap.sender.close()

    def clear(self) -> None:
        for reader in tuple(self._taps):
            self.remove(reader)

    def demand(self) -> "set[Encoding]":
        """What the publisher should send for the readers."""
        return {self._best(reader) for reader in self._taps}

    def piped(self) -> "set[Encoding]":
        """What other workers get of it, and what they are about to get."""
        tap = self._taps.get("pipe")
        return {each for each in (tap.encoding, tap.next) if each is not None} if tap is not None else set()

    def asks_for_keyframe(self, encoding: "Encoding") -> bool:
        """Whether a key frame of this encoding would help a reader."""
        return any(
            tap.next is encoding or (tap.encoding is encoding and tap.sender.wants_keyframe)
            for tap in self._taps.values()
        )

    def look(self, forwarder: Forwarder, lag: Lag) -> None:
        """Write what waits, hear the readers, follow the encodings that are being sent. About ten times a second."""
        self._lag = lag
        for reader, tap in self._taps.items():
            tap.sender.flush()
            tap.sender.hear()
            wanted = self._wanted(reader)
            tap.next = None if wanted is tap.encoding else wanted
        self.attach(forwarder)

    def attach(self, forwarder: Forwarder) -> None:
        """Have the packets of those encodings handed here that a reader takes or waits for."""
        used = {each for tap in self._taps.values() for each in (tap.encoding, tap.next) if each is not None}
        for encoding in self._encodings:
            forwarder.tap(encoding.source, partial(self._packet, encoding) if encoding in used else None)

    def _best(self, reader: Reader) -> "Encoding":
        back = 2 if reader == "vision" and len(self._encodings) > 1 else 1
        return self._encodings[-back]

    def _wanted(self, reader: Reader) -> "Encoding":
        """The best for this reader that is being sent, or the smallest one above it."""
        best = self._encodings.index(self._best(reader))
        flowing = [encoding for encoding in self._encodings if encoding.flows]
        fitting = [encoding for encoding in self._encodings[: best + 1] if encoding.flows]
        return fitting[-1] if fitting else flowing[0] if flowing else self._encodings[best]

    def _packet(  # one call for each packet of a tapped encoding
        self, encoding: "Encoding", payload: Payload, marker: bool, timestamp: int, seq: int, arrived_at: float
    ) -> None:
        for tap in self._taps.values():
            if tap.next is encoding and is_keyframe_start(self._codec, payload):
                self._go_over(tap, encoding, timestamp, seq, arrived_at)
            if tap.encoding is encoding:
                shifted = timestamp + tap.timestamp_shift & 0xFFFFFFFF
                number = seq + tap.sequence_shift & 0xFFFF
                tap.last = shifted, number, arrived_at
                tap.sender.packet(payload, marker, shifted, number, arrived_at)

    def _go_over(self, tap: _Tap, encoding: "Encoding", timestamp: int, seq: int, arrived_at: float) -> None:
        if tap.last is not None:
            last, last_seq, last_at = tap.last
            lag = self._lag(encoding, tap.encoding)
            if lag is not None:
                tap.timestamp_shift = tap.timestamp_shift - lag & 0xFFFFFFFF
            else:
                elapsed = round(max(0.0, arrived_at - last_at) * self._clock_rate)
                tap.timestamp_shift = last + elapsed - timestamp & 0xFFFFFFFF
            tap.sequence_shift = last_seq + 1 - seq
        tap.encoding, tap.next = encoding, None
