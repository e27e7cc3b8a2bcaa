"""One recording: the units of a track, put into clusters of a second and segments of minutes.

| state | on a unit | until |
|---|---|---|
| waiting | dropped, unless a file can begin with it | that one comes, and the next segment is allowed |
| writing | kept for the cluster; a full one is written | it is long and a key frame comes, or format or time jump |
| ended | dropped | stopped, disk full, failed |

A video segment begins with a key frame, so at its end one is asked for (`wants_key`) and the old segment goes on until
it comes. Units of a track whose clock and ours part by more than `MAX_DRIFT_S` begin a new segment with a new time 0.
"""

import os
from collections.abc import Callable
from pathlib import Path

from media.record.files import begin_segment, discard_segment, make_folder, write_all
from media.record.formats import CLOCK_RATE, block_data, format_of
from media.record.matroska import Block, TrackFormat, cluster, header
from media.tap import AccessUnit

MAX_DRIFT_S = 2.0
MAX_CLUSTER_BYTES = 4 << 20
FLUSH_EARLY_S = 0.15
"""The clock is looked at ten times a second: a part is written before it is older than it may be."""


class Segment:
    """A file under way. Blocks are kept until `flush`, which writes them as one cluster."""

    def __init__(self, directory: int, number: int, first: AccessUnit, form: TrackFormat, started_at: float) -> None:
        """Raises:
        OSError: the file cannot be made.
        """
        self.number = number
        self.form = form
        self.started_at = started_at
        self._base = first.timestamp
        self._rate = CLOCK_RATE[first.codec]
        self._blocks: list[Block] = []
        self._bytes = 0
        self.written = 0
        """Offset of the end of the last whole cluster."""
        self.pending_since = 0.0
        """Monotonic seconds at which the oldest block that waits came."""
        self.last_ms = 0
        self.descriptor = begin_segment(directory, number)
        try:
            self._put(header([form], started_at))
        except OSError:
            discard_segment(directory, number, self.descriptor)
            raise

    def at_ms(self, unit: AccessUnit) -> int:
        return round((unit.timestamp - self._base) * 1000 / self._rate)

    def drift_s(self, unit: AccessUnit) -> float:
        """By how much the unit came later than its own clock says."""
        return unit.arrived_at - self.started_at - self.at_ms(unit) / 1000

    @property
    def pending(self) -> bool:
        return bool(self._blocks)

    @property
    def pending_ms(self) -> int:
        return self.last_ms - self._blocks[0].at_ms if self._blocks else 0

    @property
    def pending_bytes(self) -> int:
        return self._bytes

    def add(self, unit: AccessUnit, now: float) -> None:
        data = block_data(unit)
        self.last_ms = self.at_ms(unit)
        if not self._blocks:
            self.pending_since = now
        self._blocks.append(Block(self.last_ms, unit.key, data))
        self._bytes += len(data)

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OSError: disk full or broken; what was written before is whole.
        """
        if not self._blocks:
            return
        body = cluster(self._blocks)
        self._blocks, self._bytes = [], 0
        self._put(body)

    def _put(self, data: bytes) -> None:
        try:
            write_all(self.descriptor, data)
        except OSError:
            os.ftruncate(self.descriptor, self.written)
            raise
        self.written += len(data)


class Recording:
    """One track's files. `unit` and `tick` may raise OSError: then `close` and be done."""

    def __init__(
        self,
        recording: str,
        track: str,
        name: str,
        folder: Path,
        *,
        part_s: float,
        segment_s: float,
        on_begun: Callable[["Recording", Segment], None],
        on_segment: Callable[["Recording", Segment], None],
    ) -> None:
        """Raises:
        OSError: the folder cannot be made.
        """
        self.recording = recording
        self.track = track
        self._name = name
        self._part_s = part_s
        self._segment_s = segment_s
        self._on_begun = on_begun
        self._on_segment = on_segment
        self.directory = make_folder(folder, recording)
        self.segment: Segment | None = None
        self._next = 0
        self._allowed = 0
        self.ended = False
        self.dropped = 0
        self.wants_key = False

    def allow(self, segment: int) -> None:
        self._allowed = max(self._allowed, segment)

    def unit(self, unit: AccessUnit, now: float) -> None:
        """Take a unit; `now` in monotonic seconds."""
        if self.ended:
            return
        segment = self._turn(unit)
        if segment is None:
            self.dropped += 1
            return
        full = segment.pending_bytes + len(unit.data) > MAX_CLUSTER_BYTES
        longer_ms = segment.pending_ms + segment.at_ms(unit) - segment.last_ms
        if segment.pending and (full or longer_ms > self._part_s * 1000):
            segment.flush()
        segment.add(unit, now)
        if unit.key:
            self.wants_key = False

    def _turn(self, unit: AccessUnit) -> Segment | None:
        """The segment that this unit goes into."""
        segment = self.segment
        jumped = segment is not None and (
            segment.at_ms(unit) < segment.last_ms or abs(segment.drift_s(unit)) > MAX_DRIFT_S
        )
        form = format_of(unit, self._name)
        may_begin = form is not None and self._next <= self._allowed
        if segment is not None and not jumped:
            old = segment.at_ms(unit) >= self._segment_s * 1000
            self.wants_key = old and unit.codec != "opus"
            if not may_begin or not (old or form != segment.form):
                return segment
        if not may_begin or form is None:
            self.wants_key = True
            if jumped:
                self._close_segment()
            return None
        started_at = unit.arrived_at
        if segment is not None and not jumped:
            started_at = segment.started_at + segment.at_ms(unit) / 1000  # joins on without a seam
        self._close_segment()
        self.segment = Segment(self.directory, self._next, unit, form, started_at)
        self._next += 1
        self._on_begun(self, self.segment)
        return self.segment

    def tick(self, now: float) -> bool:
        """Write what has waited long enough; says whether something was written."""
        segment = self.segment
        if segment is None or not segment.pending or now - segment.pending_since < self._part_s - FLUSH_EARLY_S:
            return False
        segment.flush()
        return True

    def _close_segment(self) -> None:
        if self.segment is not None:
            segment, self.segment = self.segment, None
            try:
                segment.flush()
            finally:
                self._on_segment(self, segment)

    def close(self) -> None:
        """No more units. The last segment is handed on, whatever happened to the disk.

        Raises:
            OSError: its last part could not be written.
        """
        self.ended = True
        self._close_segment()
