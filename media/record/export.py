"""Recordings joined into one Matroska file: every track on one time axis, nothing encoded anew.

The segments of one source become one track again, as long as they have one format. Memory: one cluster of each track,
and the one that is written.
"""

import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from media.record.files import clusters_of, open_segment, read_cluster
from media.record.matroska import Block, MatroskaError, TrackFormat, blocks, cluster, header

MAX_TRACKS = 126
CLUSTER_MS = 1000
CLUSTER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """A finished segment."""

    recording: str
    segment: int
    source: str
    """Whose track it is, as the player shall call it; parts of one source are joined."""
    started_at: float


class TooManyTracks(ValueError):
    """More than one file can hold."""


def join(folder: Path, parts: Iterable[Part]) -> Iterator[bytes]:
    """The bytes of the file, cluster by cluster. Blocks on the disk.

    A part whose file is gone or is none of ours is left out.

    Raises:
        TooManyTracks: more than `MAX_TRACKS`; before the first byte.
    """
    tracks: dict[TrackFormat, list[Part]] = {}
    for part in sorted(parts, key=lambda one: one.started_at):
        form = _format(folder, part)
        if form is not None:
            tracks.setdefault(form, []).append(part)
    if len(tracks) > MAX_TRACKS:
        raise TooManyTracks(f"{len(tracks)} tracks are more than {MAX_TRACKS}.")
    if not tracks:
        return
    start = min(listed[0].started_at for listed in tracks.values())
    yield header(tracks, start)
    streams = [_blocks(folder, listed, start, number) for number, listed in enumerate(tracks.values(), 1)]
    waiting, size = list[Block](), 0
    for block in heapq.merge(*streams, key=lambda one: one.at_ms):
        if waiting and (block.at_ms - waiting[0].at_ms >= CLUSTER_MS or size > CLUSTER_BYTES):
            yield cluster(waiting)
            waiting, size = [], 0
        waiting.append(block)
        size += len(block.data)
    if waiting:
        yield cluster(waiting)


def _format(folder: Path, part: Part) -> TrackFormat | None:
    """What the track of a part is called and how it is encoded; parts for which this is equal are one track."""
    try:
        descriptor = open_segment(folder, part.recording, part.segment)
    except OSError:
        return None
    try:
        found, _ = clusters_of(descriptor)
    except MatroskaError:
        return None
    finally:
        os.close(descriptor)
    return replace(found, name=part.source)


def _blocks(folder: Path, parts: list[Part], start: float, number: int) -> Iterator[Block]:
    last_ms = 0
    for part in parts:
        try:
            descriptor = open_segment(folder, part.recording, part.segment)
        except OSError:
            continue
        offset_ms = round((part.started_at - start) * 1000)
        try:
            for place in clusters_of(descriptor)[1]:
                for block in blocks(read_cluster(descriptor, place)):
                    last_ms = max(last_ms, block.at_ms + offset_ms)
                    yield replace(block, at_ms=last_ms, track=number)
        finally:
            os.close(descriptor)
