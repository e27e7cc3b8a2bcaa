"""Matroska (RFC 9559) as far as recordings need it: written in whole clusters, read back cluster by cluster.

A file under way is a header and clusters, each of known size and put down by one write; the segment's own size is
unknown. So it plays at every moment, and what a crash leaves behind is cut after its last whole cluster. The header
keeps room for what is known only at the end (`ending`): size, duration and where the cues are.

Times are milliseconds. Pure bytes: no file, no clock.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

EBML, SEGMENT, VOID = 0x1A45DFA3, 0x18538067, 0xEC
SEEK_HEAD, SEEK, SEEK_ID, SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
INFO, TIMESTAMP_SCALE, DURATION, DATE, MUXING_APP, WRITING_APP = 0x1549A966, 0x2AD7B1, 0x4489, 0x4461, 0x4D80, 0x5741
TRACKS, TRACK_ENTRY, TRACK_NUMBER, TRACK_UID, TRACK_TYPE = 0x1654AE6B, 0xAE, 0xD7, 0x73C5, 0x83
FLAG_LACING, NAME, CODEC_ID, CODEC_PRIVATE = 0x9C, 0x536E, 0x86, 0x63A2
VIDEO, PIXEL_WIDTH, PIXEL_HEIGHT = 0xE0, 0xB0, 0xBA
AUDIO, SAMPLING_FREQUENCY, CHANNELS = 0xE1, 0xB5, 0x9F
CLUSTER, TIMESTAMP, SIMPLE_BLOCK = 0x1F43B675, 0xE7, 0xA3
CUES, CUE_POINT, CUE_TIME, CUE_POSITIONS, CUE_TRACK, CUE_CLUSTER = 0x1C53BB6B, 0xBB, 0xB3, 0xB7, 0xF7, 0xF1

CODECS = {"VP8": "V_VP8", "VP9": "V_VP9", "AV1": "V_AV1", "H264": "V_MPEG4/ISO/AVC", "opus": "A_OPUS"}
"""By the name in SDP; the others are not recorded."""
UNKNOWN_SIZE = b"\x01\xff\xff\xff\xff\xff\xff\xff"
EPOCH_2001 = 978_307_200
KEY_FLAG = 0x80
MAX_BLOCK_OFFSET_MS = 30_000
"""A block's time is a signed 16-bit number of milliseconds from its cluster's."""
_SEEK_ROOM = 48
_DURATION_ROOM = 11


class MatroskaError(ValueError):
    """Bytes that this writer did not write."""


@dataclass(frozen=True, slots=True)
class TrackFormat:
    """What a player must know before the first block."""

    codec: str
    """One of `CODECS`."""
    private: bytes = b""
    width: int = 0
    height: int = 0
    """Pixels; 0 for sound."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """One picture or audio packet."""

    at_ms: int
    """From the beginning of the file; not negative."""
    key: bool
    data: bytes | memoryview
    track: int = 1


@dataclass(frozen=True, slots=True)
class Ending:
    """What to change in a file that is complete."""

    patches: tuple[tuple[int, bytes], ...]
    """Offset and bytes, within the header."""
    cues: bytes
    """To be added behind the last cluster."""


# --- writing --------------------------------------------------------------------------------------------------------


def element(kind: int, data: bytes) -> bytes:
    return _id(kind) + _size(len(data)) + data


def _id(kind: int) -> bytes:
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big")


def _size(size: int) -> bytes:
    for length in range(1, 9):
        if size < (1 << 7 * length) - 1:
            return (size | 1 << 7 * length).to_bytes(length, "big")
    raise ValueError("an element of more than 2^56 bytes")


def _uint(kind: int, value: int) -> bytes:
    return element(kind, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _text(kind: int, value: str) -> bytes:
    return element(kind, value.encode())


def _void(room: int) -> bytes:
    """An element of exactly `room` bytes (2 to 128) that players skip."""
    return bytes([VOID, 0x80 | (room - 2)]) + bytes(room - 2)


def is_webm(codecs: Iterable[str]) -> bool:
    """WebM is the part of Matroska that browsers play; H.264 is not in it."""
    return all(codec != "H264" for codec in codecs)


def header(tracks: Iterable[TrackFormat], started_at: float) -> bytes:
    """All before the first cluster. `started_at`: seconds since the Unix epoch of time 0."""
    formats = list(tracks)
    date = struct.pack("!q", round((started_at - EPOCH_2001) * 1e9))
    app = _text(MUXING_APP, "Lamproom") + _text(WRITING_APP, "Lamproom")
    info = _void(_DURATION_ROOM) + _uint(TIMESTAMP_SCALE, 1_000_000) + element(DATE, date) + app
    entries = b"".join(_entry(number, one) for number, one in enumerate(formats, 1))
    return b"".join((
        _ebml("webm" if is_webm(one.codec for one in formats) else "matroska"),
        _id(SEGMENT), UNKNOWN_SIZE, _void(_SEEK_ROOM), element(INFO, info), element(TRACKS, entries),
    ))  # fmt: skip


def _ebml(doc_type: str) -> bytes:
    fields = ((0x4286, 1), (0x42F7, 1), (0x42F2, 4), (0x42F3, 8))
    versions = _uint(0x4287, 4) + _uint(0x4285, 2)
    return element(EBML, b"".join(_uint(*field) for field in fields) + _text(0x4282, doc_type) + versions)


def _entry(number: int, track: TrackFormat) -> bytes:
    video = track.codec != "opus"
    parts = [
        _uint(TRACK_NUMBER, number), _uint(TRACK_UID, number), _uint(TRACK_TYPE, 1 if video else 2),
        _uint(FLAG_LACING, 0), _text(CODEC_ID, CODECS[track.codec]),
    ]  # fmt: skip
    if track.name:
        parts.append(_text(NAME, track.name))
    if track.private:
        parts.append(element(CODEC_PRIVATE, track.private))
    if video:
        parts.append(element(VIDEO, _uint(PIXEL_WIDTH, track.width) + _uint(PIXEL_HEIGHT, track.height)))
    else:
        frequency = element(SAMPLING_FREQUENCY, struct.pack("!d", 48_000.0))
        parts.append(element(AUDIO, frequency + _uint(CHANNELS, 2)))
    return element(TRACK_ENTRY, b"".join(parts))


def cluster(blocks: Iterable[Block]) -> bytes:
    """Blocks in the order of their time, at most `MAX_BLOCK_OFFSET_MS` from first to last."""
    listed = list(blocks)
    start = min(block.at_ms for block in listed)
    parts = [_uint(TIMESTAMP, start)]
    for block in listed:
        head = struct.pack("!BhB", 0x80 | block.track, block.at_ms - start, KEY_FLAG if block.key else 0)
        parts += (_id(SIMPLE_BLOCK), _size(len(head) + len(block.data)), head, bytes(block.data))
    return element(CLUSTER, b"".join(parts))


# --- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of an element."""

    kind: int
    size: int | None
    """None: unknown."""
    length: int
    """Bytes of id and size."""


def read_head(data: bytes | memoryview) -> Head | None:
    """Of the element that begins here; None when these bytes end within its head.

    Raises:
        MatroskaError: no element begins like this.
    """
    if not data:
        return None
    kind_length = 9 - data[0].bit_length()
    if kind_length > 4:
        raise MatroskaError("An element's id is longer than 4 bytes.")
    if len(data) <= kind_length:
        return None
    size_length = 9 - data[kind_length].bit_length()
    if size_length > 8:
        raise MatroskaError("An element's size is longer than 8 bytes.")
    end = kind_length + size_length
    if len(data) < end:
        return None
    size = int.from_bytes(data[kind_length:end], "big") & ((1 << 7 * size_length) - 1)
    unknown = size == (1 << 7 * size_length) - 1
    return Head(int.from_bytes(data[:kind_length], "big"), None if unknown else size, end)


def children(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """Elements inside of an element.

    Raises:
        MatroskaError: they do not fit.
    """
    view, at = memoryview(data), 0
    while at < len(view):
        head = read_head(view[at : at + 12])
        if head is None or head.size is None or at + head.length + head.size > len(view):
            raise MatroskaError("An element does not fit into the one around it.")
        start = at + head.length
        at = start + head.size
        yield head.kind, view[start:at]


def blocks(body: bytes | memoryview) -> Iterator[Block]:
    """The blocks of a cluster (without its head).

    Raises:
        MatroskaError: it is none of ours.
    """
    start = 0
    for kind, data in children(body):
        if kind == TIMESTAMP:
            start = int.from_bytes(data, "big")
        elif kind == SIMPLE_BLOCK:
            if len(data) < 4:
                raise MatroskaError("A block without a head.")
            track, offset, flags = struct.unpack_from("!BhB", data)
            yield Block(start + offset, bool(flags & KEY_FLAG), data[4:], track & 0x7F)


def format_of(head: bytes) -> tuple[TrackFormat, int]:
    """The first track of a file's beginning, and where its first cluster is.

    Raises:
        MatroskaError: it is none of ours, or these bytes end before the tracks do.
    """
    at, found = 0, None
    while at < len(head):
        one = read_head(head[at : at + 12])
        if one is None:
            break
        if one.kind == SEGMENT:
            at += one.length
            continue
        if one.kind == CLUSTER or one.size is None:
            break
        end = at + one.length + one.size
        if one.kind == TRACKS and end <= len(head):
            found = _read_entry(dict(children(head[at + one.length : end]))[TRACK_ENTRY])
        at = end
    if found is None:
        raise MatroskaError("There are no tracks where they should be.")
    return found, at


def _read_entry(entry: memoryview) -> TrackFormat:
    fields = dict(children(entry))
    codecs = {told: codec for codec, told in CODECS.items()}
    try:
        codec = codecs[bytes(fields[CODEC_ID]).decode("ascii", "replace")]
        picture = dict(children(fields[VIDEO])) if VIDEO in fields else {}
    except KeyError as error:
        raise MatroskaError("A track without a codec that we know.") from error
    width, height = (int.from_bytes(picture.get(kind, b""), "big") for kind in (PIXEL_WIDTH, PIXEL_HEIGHT))
    return TrackFormat(codec, bytes(fields.get(CODEC_PRIVATE, b"")), width, height)


# --- the end --------------------------------------------------------------------------------------------------------


def ending(head: bytes, end: int, duration_ms: int, points: Iterable[tuple[int, int]]) -> Ending:
    """How to complete a file.

    Args:
        head: its beginning, as `header` made it.
        end: its length, which is the end of the last cluster.
        points: time in ms and offset of the clusters that begin with a key frame.

    Raises:
        MatroskaError: the beginning is none of ours.
    """
    segment = head.find(_id(SEGMENT) + b"\x01")
    start = segment + 4 + len(UNKNOWN_SIZE)
    info = head.find(_id(INFO), start)
    if segment < 0 or info < 0 or head[start : start + 2] != _void(_SEEK_ROOM)[:2]:
        raise MatroskaError("The beginning is not one that was written here.")
    cues = b"".join(
        element(
            CUE_POINT,
            _uint(CUE_TIME, at_ms) + element(CUE_POSITIONS, _uint(CUE_TRACK, 1) + _uint(CUE_CLUSTER, offset - start)),
        )
        for at_ms, offset in points
    )
    cues = element(CUES, cues) if cues else b""
    size = end + len(cues) - start
    duration = element(DURATION, struct.pack("!d", float(duration_ms)))
    info_head = read_head(head[info : info + 12])
    assert info_head is not None
    patches = [(segment + 4, (size | 1 << 56).to_bytes(8, "big")), (info + info_head.length, duration)]
    if cues:
        seek = _seek(INFO, info - start) + _seek(CUES, end - start)
        room = element(SEEK_HEAD, seek)
        patches.append((start, room + _void(_SEEK_ROOM - len(room))))
    return Ending(tuple(patches), cues)


def _seek(kind: int, position: int) -> bytes:
    return element(SEEK, element(SEEK_ID, _id(kind)) + element(SEEK_POSITION, position.to_bytes(5, "big")))
