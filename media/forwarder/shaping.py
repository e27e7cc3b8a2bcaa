"""What one subscriber gets of a track whose encodings and layers it does not get all of. Pure.

A route that takes every packet of one source needs none of this: its numbers are the source's plus constants. A route
that changes between the encodings of a simulcast, pauses, or leaves temporal or spatial layers out, has a `Shaper`:

- It gives each packet an *outgoing number* without gaps where packets are left out, and none twice.
- It remembers *segments*: from which number of which source on which constants hold. A late packet and a request for a
  repair find the constants of their own segment, so that the same packet always becomes the same bytes.
- Timestamps go on over a change of encoding, by what sender reports say of the two clocks, else by time of arrival.
  A source that is entered at a picture older than the newest one sent begins later than it should, and catches up at
  the beginnings of its next pictures, which come in quick succession then.
- Picture ids and TL0PICIDX (VP8, VP9) go on too. VP8 receivers count pictures, so ids close up behind pictures left
  out; VP9 receivers compute references from ids, so theirs keep the gap.

A number that was kept free for a late packet which then is of a layer left out is filled with an empty packet.
"""

from bisect import bisect_right
from collections.abc import Sequence

from media import rtp
from media.scalability import NONE, DependencyReader, Layers, vp8, vp9

MAX_SEGMENTS = 256
"""With half of the pictures left out, those of some ten seconds."""
LATE_PER_S = 100
"""A picture that is later than it should be by less than a hundredth of a second is not worth catching up."""
LATEST_S = 1.5
"""One that is later by more was put there by clocks that disagree: pictures then come no faster than they are shown."""
MAX_STRAY_S = 3.0
"""Sender reports that put a picture farther than this from its arrival are not believed."""
ALL_LAYERS = 7
_OPEN = 1 << 62
_HEAD_BYTES = 16
"""Of a payload, at most, in which payload descriptors and the first bit of a picture lie."""
_EMPTY = bytes((0xA0, *bytes(11), 1))
"""A packet of padding alone."""

Prepared = tuple[int, int, int, bytes, int]
"""number, marker bit (0x80 or 0), timestamp, packet, its length"""


class Segment:
    """From `first` of `source` on: outgoing = number + `shift`, and likewise for what else is counted."""

    __slots__ = ("base", "end", "first", "picture", "shift", "source", "spatial", "start", "temporal", "timestamp")

    def __init__(
        self, source: int, first: int, shift: int, timestamp: int, picture: int, base: int, temporal: int, spatial: int
    ) -> None:
        self.source = source
        self.first = first
        self.shift = shift
        self.timestamp = timestamp
        self.picture = picture
        self.base = base
        self.temporal = temporal
        self.spatial = spatial
        self.start = first + shift
        """Its first outgoing number."""
        self.end = _OPEN
        """Numbers from here on are not of this segment."""


class Shaper:
    """One route's. `source` is where it begins, with all of what was sent before as it was."""

    def __init__(self, codec: str, clock_rate: int, source: int, first: int) -> None:
        self._codec = codec
        self._clock_rate = clock_rate
        self.descriptor = 0
        """Id of the dependency descriptor in the packets given here; 0 = none."""
        self._dependencies = DependencyReader()
        self._current = Segment(source, first, 0, 0, 0, 0, ALL_LAYERS, ALL_LAYERS)
        self._segments = [self._current]
        self._starts = [first]
        self._floor = first
        """Outgoing numbers below were sent under another agreement, or too long ago."""
        self._next = first
        """The number behind the newest one seen of the current source."""
        self._timestamp = 0
        """Outgoing, of the newest packet; and when that came, and what it was:"""
        self._at: float | None = None
        self._newest = b""
        self._frame = -1
        self._left_out = -1
        """Source timestamps of the newest frame, and of the newest one that was left out."""
        self._wanted = (ALL_LAYERS, ALL_LAYERS)
        self._limited = False
        self._late = 0
        """By how much timestamps of the current source are greater than they should be; and whether the newest packet
        was the last of its picture:"""
        self._ended = False

    @property
    def sent(self) -> int:
        """The newest outgoing number that is taken."""
        return self._next + self._current.shift - 1

    @property
    def timestamp_shift(self) -> int:
        """From the current source's time to the outgoing one."""
        return self._current.timestamp

    def resume(self, number: int, timestamp: int, packet: bytes, at: float) -> None:
        """The newest packet of what was sent before there was a shaper."""
        self._next = number + 1
        self._timestamp, self._newest, self._at, self._frame = timestamp, packet, at, timestamp

    def forget(self) -> None:
        """Nothing that was sent so far is sent again."""
        self._floor = self.sent + 1

    def limit(self, temporal: int, spatial: int) -> None:
        """Leave out layers above; takes effect where a receiver can follow."""
        self._wanted = (temporal, spatial)
        self._limited = True

    # --- another source ---------------------------------------------------------------------------------------------

    def ahead(self, timestamp: int, lag: int | None, now: float) -> int:
        """By how much a packet of this timestamp would be later than the newest one sent, in timestamp units."""
        return _signed(timestamp + self._mapping(timestamp, lag, now) - self._timestamp)

    def enter(self, source: int, number: int, timestamp: int, packet: bytes, lag: int | None, now: float) -> None:
        """Go on with this packet of another source, or of the same one after a pause.

        Args:
            lag: this source's timestamp minus the present one's at one moment; None = not known.
        """
        shift, self._late = self._mapping(timestamp, lag, now), 0
        if self._at is not None:
            late = max(0, 1 - _signed(timestamp + shift - self._timestamp))
            shift += late
            worth = self._clock_rate // LATE_PER_S < late <= self._clock_rate * LATEST_S
            self._late = late if worth else 0
        picture, base = self._counted(packet)
        self._current.end = self._next
        self._begin(Segment(source, number, self.sent + 1 - number, shift & 0xFFFFFFFF, picture, base, *self._wanted))
        self._next, self._frame, self._left_out, self._ended = number, -1, -1, False

    def _mapping(self, timestamp: int, lag: int | None, now: float) -> int:
        """What to add to timestamps of a new source."""
        if self._at is None:
            return self._current.timestamp
        by_arrival = self._timestamp + int((now - self._at) * self._clock_rate) - timestamp
        if lag is None:
            return by_arrival
        by_report = self._current.timestamp - lag
        stray = abs(_signed(by_report - by_arrival))
        return by_report if stray <= MAX_STRAY_S * self._clock_rate else by_arrival

    def _counted(self, packet: bytes) -> tuple[int, int]:
        """What to add to the picture ids and TL0PICIDX of a source that begins with this packet."""
        before = self._layers(self._newest) if self._newest else NONE  # nothing was sent yet
        first = self._layers(packet)
        picture = base = 0
        if before.picture and first.picture:
            picture = _picture(self._newest, before) + 1 - _picture(packet, first)
        if before.base and first.base:
            base = self._newest[_payload(self._newest) + before.base] + 1 - packet[_payload(packet) + first.base]
        return picture, base

    # --- packets ----------------------------------------------------------------------------------------------------

    def shape(self, prepared: Sequence[Prepared], now: float) -> list[Prepared]:
        """Packets of the current source as they go out; those left out are not among them."""
        shaped: list[Prepared] = []
        for number, marker, timestamp, packet, size in prepared:
            if number < self._next:
                segment = self._of(number)
                if segment is not None:
                    shaped.append(self.again(segment, number, marker, timestamp, packet))
                continue
            if self._late and self._ended and number == self._next and timestamp != self._frame:
                self._catch_up(number, timestamp)
            segment = self._current
            layers = NONE
            if self._limited or segment.picture or segment.base:
                layers = self._layers(packet)
                if self._limited:
                    segment = self._follow(number, timestamp, layers)
                    if layers.temporal > segment.temporal or layers.spatial > segment.spatial:
                        self._leave_out(number, timestamp, now)
                        continue
                packet = _rewritten(segment, layers, packet)
                if layers.ends and layers.spatial == segment.spatial:
                    marker = 0x80
            self._next = number + 1
            self._timestamp = timestamp + segment.timestamp & 0xFFFFFFFF
            self._newest, self._at, self._frame, self._ended = packet, now, timestamp, marker != 0
            shaped.append((number + segment.shift, marker, self._timestamp, packet, size))
        return shaped

    def find(self, outgoing: int) -> tuple[Segment, int] | None:
        """The segment and the number of what was sent under this outgoing number."""
        if not self._floor <= outgoing <= self.sent:
            return None
        segment = self._segments[bisect_right(self._starts, outgoing) - 1]
        number = outgoing - segment.shift
        return (segment, number) if segment.first <= number < segment.end else None

    def again(self, segment: Segment, number: int, marker: int, timestamp: int, packet: bytes) -> Prepared:
        """A packet of an earlier number, as it was sent or would have been."""
        if segment.picture or segment.base or segment.temporal < ALL_LAYERS or segment.spatial < ALL_LAYERS:
            layers = self._layers(packet)
            if layers.temporal > segment.temporal or layers.spatial > segment.spatial:
                packet, marker = _EMPTY, 0
            else:
                packet = _rewritten(segment, layers, packet)
                if layers.ends and layers.spatial == segment.spatial:
                    marker = 0x80
        return number + segment.shift, marker, timestamp + segment.timestamp & 0xFFFFFFFF, packet, len(packet)

    def _of(self, number: int) -> Segment | None:
        """Where a late packet of the current source belongs; None for what was left out or is from too long ago."""
        for segment in reversed(self._segments):
            if segment.source == self._current.source and segment.first <= number:
                return segment if number < segment.end and number + segment.shift >= self._floor else None
        return None

    def _follow(self, number: int, timestamp: int, layers: Layers) -> Segment:
        """The segment of this packet, with the limits as they are from its frame on."""
        current = self._current
        if timestamp == self._frame:
            return current
        wanted, spatial_wanted = self._wanted
        temporal, spatial = current.temporal, min(current.spatial, spatial_wanted)
        if layers.key:
            temporal, spatial = self._wanted
        elif wanted <= temporal:
            temporal = wanted
        elif layers.sync and self._codec == "VP8" and layers.temporal <= wanted:
            temporal = max(temporal, layers.temporal)
        elif layers.sync and self._codec == "VP9" and layers.temporal <= temporal:
            temporal = wanted
        if (temporal, spatial) != (current.temporal, current.spatial):
            self._split(number, current.shift, current.picture, temporal, spatial)
            self._limited = (temporal, spatial) != (ALL_LAYERS, ALL_LAYERS) or self._wanted != (temporal, spatial)
        return self._current

    def _catch_up(self, number: int, timestamp: int) -> None:
        """The picture that begins here is shown as soon as it should be, or right behind the one before."""
        current = self._current
        gained = min(self._late, _signed(timestamp + current.timestamp - self._timestamp) - 1)
        if gained > 0:
            self._late -= gained
            self._split(number, current.shift, current.picture, current.temporal, current.spatial)
            self._current.timestamp = current.timestamp - gained & 0xFFFFFFFF

    def _leave_out(self, number: int, timestamp: int, now: float) -> None:
        current = self._current
        self._timestamp, self._at = timestamp + current.timestamp & 0xFFFFFFFF, now
        picture = current.picture - (self._codec == "VP8" and timestamp != self._left_out)
        self._next, self._frame, self._left_out = number + 1, timestamp, timestamp
        current.end = number
        self._split(number + 1, current.shift - 1, picture, current.temporal, current.spatial)

    def _split(self, first: int, shift: int, picture: int, temporal: int, spatial: int) -> None:
        """The current source goes on with other constants; a segment of nothing makes room."""
        current = self._current
        if current.start == first + shift:
            self._segments.pop()
            self._starts.pop()
        else:
            current.end = min(current.end, first)
        self._begin(Segment(current.source, first, shift, current.timestamp, picture, current.base, temporal, spatial))

    def _begin(self, segment: Segment) -> None:
        self._current = segment
        self._segments.append(segment)
        self._starts.append(segment.start)
        if len(self._segments) > MAX_SEGMENTS:
            del self._segments[: MAX_SEGMENTS // 4], self._starts[: MAX_SEGMENTS // 4]
            self._floor = max(self._floor, self._starts[0])

    def _layers(self, packet: bytes) -> Layers:
        start = _payload(packet)
        if self._codec == "VP8":
            return vp8(packet[start : start + _HEAD_BYTES])
        if self._codec == "VP9":
            return vp9(packet[start : start + _HEAD_BYTES])
        return self._dependencies.read(rtp.extension(packet, self.descriptor)) if self.descriptor else NONE


def _rewritten(segment: Segment, layers: Layers, packet: bytes) -> bytes:
    picture, base = segment.picture and layers.picture, segment.base and layers.base
    if not picture and not base:
        return packet
    data, start = bytearray(packet), _payload(packet)
    if picture:
        value = _picture(packet, layers) + segment.picture
        at = start + picture
        if layers.wide:
            data[at], data[at + 1] = 0x80 | value >> 8 & 0x7F, value & 0xFF
        else:
            data[at] = value & 0x7F
    if base:
        data[start + base] = data[start + base] + segment.base & 0xFF
    return bytes(data)


def _picture(packet: bytes, layers: Layers) -> int:
    at = _payload(packet) + layers.picture
    return (packet[at] & 0x7F) << 8 | packet[at + 1] if layers.wide else packet[at] & 0x7F


def _payload(packet: bytes) -> int:
    start = rtp.HEADER_BYTES + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        start += 4 + 4 * (packet[start + 2] << 8 | packet[start + 3])
    return start


def _signed(difference: int) -> int:
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000
