"""Segments as files: begun under a `.part` name, completed, flushed to disk, renamed, hashed.

Names are made here of a recording's id and a number, never of anything that came in. Everything is opened below the
descriptor of the recordings' folder, and no link is followed.
"""

import contextlib
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from media.record.matroska import (
    CLUSTER,
    Ending,
    MatroskaError,
    TrackFormat,
    blocks,
    ending,
    format_of,
    read_head,
)

RECORDING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PART = ".part"
ENDING = ".mkv"
HEADER_BYTES = 1 << 16
MAX_CLUSTER_BYTES = 64 << 20
HASH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Completed:
    """What became of a segment."""

    duration_s: float
    bytes: int
    sha256: str


def segment_name(segment: int) -> str:
    """The final name of a segment in its recording's folder."""
    return f"{segment:05d}{ENDING}"


def open_folder(folder: Path, recording: str) -> int:
    """A descriptor of a recording's folder.

    Raises:
        OSError: it is not there, or is a link.
    """
    if not RECORDING.fullmatch(recording):
        raise FileNotFoundError(f"{recording!r} is no id of a recording.")
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return os.open(recording, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    finally:
        os.close(root)


def make_folder(folder: Path, recording: str) -> int:
    """The same, made if need be."""
    if RECORDING.fullmatch(recording):
        (folder / recording).mkdir(mode=0o700, parents=True, exist_ok=True)
    return open_folder(folder, recording)


def open_segment(folder: Path, recording: str, segment: int) -> int:
    """A finished segment, for reading.

    Raises:
        OSError: it is not there, or is no plain file.
    """
    directory = open_folder(folder, recording)
    try:
        descriptor = os.open(
            segment_name(segment), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory
        )
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError("not a plain file")
    return descriptor


def begin_segment(directory: int, segment: int) -> int:
    """A new file under the `.part` name."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(segment_name(segment) + PART, flags, 0o600, dir_fd=directory)


def discard_segment(directory: int, segment: int, descriptor: int) -> None:
    """Close and remove a file that was just begun."""
    os.close(descriptor)
    os.unlink(segment_name(segment) + PART, dir_fd=directory)


def write_all(descriptor: int, data: bytes) -> None:
    """Raises:
    OSError: the disk is full, or broken. A part of `data` may have been written.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def complete(directory: int, segment: int, descriptor: int) -> Completed | None:
    """Cut after the last whole cluster, fill in the header, flush, rename; None (and no file) without a cluster.

    A disk without room for the cues costs the cues. Blocks.

    Raises:
        MatroskaError: the file is none of ours.
        OSError: it cannot be completed; it stays under its `.part` name.
    """
    name = segment_name(segment)
    start, clusters, end = _walk(descriptor)
    if not clusters:
        os.unlink(name + PART, dir_fd=directory)
        return None
    os.ftruncate(descriptor, end)
    duration_ms, points = _measure(descriptor, clusters)
    _finish(descriptor, end, ending(os.pread(descriptor, start, 0), end, duration_ms, points))
    os.fsync(descriptor)
    os.rename(name + PART, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)
    return Completed(duration_ms / 1000, os.fstat(descriptor).st_size, sha256_of(descriptor))


def _finish(descriptor: int, end: int, how: Ending) -> None:
    os.lseek(descriptor, end, os.SEEK_SET)
    try:
        write_all(descriptor, how.cues)
    except OSError:
        os.ftruncate(descriptor, end)
        return  # still a good file: its size is unknown, as while it was written
    for offset, data in how.patches:
        os.pwrite(descriptor, data, offset)


def sha256_of(descriptor: int) -> str:
    digest, at = hashlib.sha256(), 0
    while data := os.pread(descriptor, HASH_BYTES, at):
        digest.update(data)
        at += len(data)
    return digest.hexdigest()


Place = tuple[int, int, int]
"""Of a cluster: offset, length of its head, length of its body."""


def _walk(descriptor: int) -> tuple[int, list[Place], int]:
    """Where the clusters begin, the whole ones, and where the last of them ends."""
    size = os.fstat(descriptor).st_size
    try:
        _, start = format_of(os.pread(descriptor, HEADER_BYTES, 0))
    except MatroskaError:
        if size < HEADER_BYTES:  # it ended within its header
            return 0, [], 0
        raise
    found, at = list[Place](), start
    while at < size:
        try:
            head = read_head(os.pread(descriptor, 12, at))
        except MatroskaError:
            break
        if head is None or head.kind != CLUSTER or head.size is None or at + head.length + head.size > size:
            break
        found.append((at, head.length, head.size))
        at += head.length + head.size
    return start, found, at


def read_cluster(descriptor: int, place: Place) -> bytes:
    """The body."""
    return os.pread(descriptor, min(place[2], MAX_CLUSTER_BYTES), place[0] + place[1])


def clusters_of(descriptor: int) -> tuple[TrackFormat, list[Place]]:
    """The track of a file, and where its clusters are.

    Raises:
        MatroskaError: it is none of ours.
    """
    found, _ = format_of(os.pread(descriptor, HEADER_BYTES, 0))
    return found, _walk(descriptor)[1]


def _measure(descriptor: int, clusters: list[Place]) -> tuple[int, list[tuple[int, int]]]:
    """Duration in ms, as far as one can tell, and time and offset of the clusters that begin with a key frame."""
    points, times = list[tuple[int, int]](), list[int]()
    first: int | None = None
    for place in clusters:
        found = list(blocks(read_cluster(descriptor, place)))
        if not found:
            continue
        times = [*times[-1:], *(block.at_ms for block in found)]
        first = found[0].at_ms if first is None else first
        if found[0].key:
            points.append((found[0].at_ms, place[0]))
    step = times[-1] - times[-2] if len(times) > 1 else 0
    return (times[-1] - first + step if first is not None else 0), points


def complete_orphans(directory: int) -> dict[int, Completed | None]:
    """Complete every `.part` file of a recording whose writer is gone; by segment. Blocks.

    What is none of our files is left alone.
    """
    found: dict[int, Completed | None] = {}
    for name in sorted(os.listdir(directory)):
        match = re.fullmatch(r"(\d{5,})\.mkv\.part", name)
        if match is None:
            continue
        descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            with contextlib.suppress(MatroskaError):
                found[int(match[1])] = complete(directory, int(match[1]), descriptor)
        finally:
            os.close(descriptor)
    return found


def finished_segments(directory: int) -> dict[int, Completed]:
    """Every complete file of a recording, by segment. Blocks: it hashes them."""
    found: dict[int, Completed] = {}
    for name in sorted(os.listdir(directory)):
        match = re.fullmatch(r"(\d{5,})\.mkv", name)
        if match is None:
            continue
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            _, clusters, _ = _walk(descriptor)
            if clusters:
                duration_ms, _ = _measure(descriptor, clusters)
                size = os.fstat(descriptor).st_size
                found[int(match[1])] = Completed(duration_ms / 1000, size, sha256_of(descriptor))
        finally:
            os.close(descriptor)
    return found
