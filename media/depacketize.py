"""RTP payloads to encoded access units, for those who decode: VP8, VP9, H.264, AV1, and audio packet by packet.

A unit is put out when its last packet (marker bit) is there and all before it are. Of a picture with a hole nothing is
put out; the next one is marked `after_gap`, and whoever decodes decides whether to go on or to wait for a key frame.
Of VP9's spatial layers the lowest is kept.
"""

from collections import deque
from typing import Protocol

from media.keyframes import (
    FU_A,
    NAL_AUD,
    NAL_IDR,
    NAL_PPS,
    NAL_SEI,
    NAL_SPS,
    STAP_A,
    Payload,
    is_keyframe_start,
    vp8_header_size,
    vp9_spatial_layer,
)
from media.reorder import Packet, Reorder
from media.tap import MAX_UNIT_BYTES, AccessUnit

_START_CODE = b"\x00\x00\x00\x01"
_TEMPORAL_DELIMITER = b"\x12\x00"


class _Picture(Protocol):
    """The parts of one picture, as they come in order."""

    data: bytearray
    key: bool

    def begins(self, payload: bytes) -> bool:
        """Whether a picture can begin with this payload; asked when packets before it are missing."""

    def add(self, payload: bytes) -> bool:
        """Take a payload; False when it cannot belong here or is malformed."""

    def whole(self) -> bool:
        """Whether nothing is begun and not ended."""


class Depacketizer:
    """One track's access units. Holds at most one picture and `media.reorder.MAX_WAITING` packets."""

    def __init__(self, codec: str, track: str) -> None:
        """Raises:
        ValueError: a codec that is not depacketized.
        """
        if codec not in _PICTURES:
            raise ValueError(f"There is no depacketizer for {codec}.")
        self._codec = codec
        self._track = track
        self._reorder = Reorder()
        self._ready: deque[AccessUnit] = deque()
        self._picture: _Picture | None = None
        self._broken = False
        self._gap = False
        self._timestamp: int | None = None
        self._unwrapped = 0
        self._arrived_at = 0.0
        self.broken_pictures = 0
        """Pictures of which a part was missing or malformed."""

    @property
    def lost_packets(self) -> int:
        return self._reorder.lost

    def push(self, payload: Payload, marker: bool, timestamp: int, seq: int, arrived_at: float) -> AccessUnit | None:
        """Take one RTP packet's payload.

        Args:
            payload: behind the RTP header, without padding.
            timestamp: RTP timestamp, 32 bits.
            seq: RTP sequence number, 16 bits, of the original packet where it was resent.
            arrived_at: seconds since the Unix epoch.

        Returns:
            The oldest unit that is complete. A packet that fills a hole can complete several: `pop` has the others.
        """
        if payload:
            for packet, gap in self._reorder.push(seq, Packet(bytes(payload), marker, timestamp, arrived_at)):
                self._in_order(packet, gap)
        return self.pop()

    def pop(self) -> AccessUnit | None:
        """A further complete unit."""
        return self._ready.popleft() if self._ready else None

    def _in_order(self, packet: Packet, gap: bool) -> None:
        begins = self._timestamp != packet.timestamp
        if begins:
            self._end_without_marker(gap)
            self._unwrap(packet.timestamp)
        if gap:
            self._gap = True
            self._broken = self._broken or self._picture is not None
        if begins or self._picture is None:
            self._picture = _PICTURES[self._codec]()
            self._broken = gap and not self._picture.begins(packet.payload)
        picture = self._picture
        if not self._broken:
            self._broken = not picture.add(packet.payload) or len(picture.data) > MAX_UNIT_BYTES
        if self._broken:
            picture.data.clear()
        self._arrived_at = packet.arrived_at
        if packet.marker or self._codec in _AUDIO:
            self._end()

    def _end_without_marker(self, gap: bool) -> None:
        """A new timestamp came first: the sender sets no marker bits, or the end of the picture is lost."""
        self._broken = self._broken or (gap and self._picture is not None)
        self._end()

    def _end(self) -> None:
        picture, self._picture = self._picture, None
        if picture is None:
            return
        if self._broken or not picture.whole():
            self.broken_pictures += 1
            self._gap = True
        elif picture.data:
            unit = AccessUnit(
                self._track,
                self._codec,
                picture.key,
                self._gap,
                self._unwrapped,
                self._arrived_at,
                bytes(picture.data),
            )
            self._ready.append(unit)
            self._gap = False
        self._broken = False

    def _unwrap(self, timestamp: int) -> None:
        if self._timestamp is None:
            self._unwrapped = timestamp
        else:
            self._unwrapped += ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        self._timestamp = timestamp


class _Vp8:
    def __init__(self) -> None:
        self.data = bytearray()
        self.key = False

    def begins(self, payload: bytes) -> bool:
        return payload[0] & 0x17 == 0x10

    def add(self, payload: bytes) -> bool:
        size = vp8_header_size(payload)
        if not size or (not self.data and not self.begins(payload)):
            return False
        self.key = self.key or is_keyframe_start("VP8", payload)
        self.data += memoryview(payload)[size:]
        return True

    def whole(self) -> bool:
        return True


class _Vp9:
    def __init__(self) -> None:
        self.data = bytearray()
        self.key = False

    def begins(self, payload: bytes) -> bool:
        return payload[0] & 0x08 != 0 and vp9_spatial_layer(payload) == 0

    def add(self, payload: bytes) -> bool:
        if vp9_spatial_layer(payload) > 0:
            return True
        size = _vp9_header_size(payload)
        if not size or (not self.data and not self.begins(payload)):
            return False
        self.key = self.key or is_keyframe_start("VP9", payload)
        self.data += memoryview(payload)[size:]
        return True

    def whole(self) -> bool:
        return True


def _vp9_header_size(payload: bytes) -> int:
    """Bytes of the VP9 payload descriptor (RFC 9628 section 4.2); 0 when it does not end within the payload."""
    first, position = payload[0], 1
    with_picture_id, predicted, layers, flexible, structure = (first & bit for bit in (0x80, 0x40, 0x20, 0x10, 0x02))
    padded = payload + bytes(64)
    if with_picture_id:
        position += 2 if padded[position] & 0x80 else 1
    if layers:
        position += 1 if flexible else 2
    if flexible and predicted:
        for _ in range(3):
            position += 1
            if not padded[position - 1] & 0x01:
                break
    if structure:
        position = _vp9_structure_end(padded, position)
    return position if position < len(payload) else 0


def _vp9_structure_end(padded: bytes, position: int) -> int:
    flags = padded[position]
    position += 1
    if flags & 0x10:
        position += 4 * ((flags >> 5) + 1)
    if flags & 0x08 and position < len(padded):
        pictures = padded[position]
        position += 1
        for _ in range(pictures):
            if position >= len(padded):
                break
            position += 1 + ((padded[position] >> 2) & 3)
    return position


class _H264:
    def __init__(self) -> None:
        self.data = bytearray()
        self.key = False
        self._fragment = False

    def begins(self, payload: bytes) -> bool:
        """Parameter sets and the like come before a picture; a slice is its first when its first_mb_in_slice is 0,
        which Exp-Golomb codes as a 1 bit."""
        kind, slice_header = payload[0] & 0x1F, payload[1:2]
        if kind == STAP_A:
            kind, slice_header = (payload[3] & 0x1F, payload[4:5]) if len(payload) > 4 else (0, b"")
        elif kind == FU_A:
            if len(payload) < 3 or not payload[1] & 0x80:
                return False
            kind, slice_header = payload[1] & 0x1F, payload[2:3]
        if kind in (NAL_SEI, NAL_SPS, NAL_PPS, NAL_AUD):
            return True
        return kind in (1, NAL_IDR) and slice_header >= b"\x80"

    def add(self, payload: bytes) -> bool:
        kind = payload[0] & 0x1F
        if kind == FU_A:
            return self._add_fragment(payload)
        if self._fragment:
            return False
        if kind == STAP_A:
            return self._add_aggregate(payload)
        return 0 < kind < STAP_A and self._add_unit(payload)

    def whole(self) -> bool:
        return not self._fragment

    def _add_unit(self, unit: bytes) -> bool:
        self.key = self.key or unit[0] & 0x1F == NAL_IDR
        self.data += _START_CODE
        self.data += unit
        return True

    def _add_aggregate(self, payload: bytes) -> bool:
        position = 1
        while position < len(payload):
            size = int.from_bytes(payload[position : position + 2], "big")
            unit = payload[position + 2 : position + 2 + size]
            if not size or len(unit) < size:
                return False
            self._add_unit(unit)
            position += 2 + size
        return position > 1

    def _add_fragment(self, payload: bytes) -> bool:
        if len(payload) < 3:
            return False
        start, end = payload[1] & 0x80, payload[1] & 0x40
        if bool(start) == self._fragment:
            return False
        if start:
            self._add_unit(bytes([payload[0] & 0xE0 | payload[1] & 0x1F]))
        self.data += memoryview(payload)[2:]
        self._fragment = not end
        return True


class _Av1:
    """OBUs without sizes become a temporal unit in the low-overhead format (AV1 specification section 5.2)."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.key = False
        self._fragment: bytearray | None = None

    def begins(self, payload: bytes) -> bool:
        return payload[0] & 0x80 == 0

    def add(self, payload: bytes) -> bool:
        continues, unfinished, count = payload[0] & 0x80, payload[0] & 0x40, (payload[0] >> 4) & 3
        if bool(continues) != (self._fragment is not None):
            return False
        elements = _av1_elements(payload, count)
        if elements is None:
            return False
        self.key = self.key or is_keyframe_start("AV1", payload)
        for index, element in enumerate(elements):
            fragment = self._fragment if index == 0 and self._fragment is not None else bytearray()
            fragment += element
            self._fragment = fragment
            if index == len(elements) - 1 and unfinished:
                break
            self._fragment = None
            if not self._add_obu(bytes(fragment)):
                return False
        return len(self.data) + len(self._fragment or b"") <= MAX_UNIT_BYTES

    def whole(self) -> bool:
        return self._fragment is None

    def _add_obu(self, obu: bytes) -> bool:
        if not obu:
            return False
        header = obu[: 2 if obu[0] & 0x04 else 1]
        rest = obu[len(header) :]
        kind = (obu[0] >> 3) & 0x0F
        if obu[0] & 0x02:
            size = _leb128(rest, 0)
            if size is None or size[0] != len(rest) - size[1]:
                return False
            rest = rest[size[1] :]
        if kind in (2, 8, 15):
            # Temporal delimiters, tile lists and padding have no place in RTP.
            return True
        if not self.data:
            self.data += _TEMPORAL_DELIMITER
        self.data += bytes([header[0] | 0x02]) + header[1:] + _to_leb128(len(rest)) + rest
        return True


def _av1_elements(payload: bytes, count: int) -> list[bytes] | None:
    """OBU elements of an aggregation packet; the last of a known count has no size."""
    elements: list[bytes] = []
    position = 1
    while position < len(payload):
        if count and len(elements) == count - 1:
            elements.append(payload[position:])
            return elements
        size = _leb128(payload, position)
        if size is None or position + size[1] + size[0] > len(payload):
            return None
        position += size[1]
        elements.append(payload[position : position + size[0]])
        position += size[0]
    return elements if elements and not count else None


def _leb128(data: bytes, position: int) -> tuple[int, int] | None:
    """Value and bytes taken."""
    value = 0
    for index, byte in enumerate(data[position : position + 8]):
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, index + 1
    return None


def _to_leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Audio:
    def __init__(self) -> None:
        self.data = bytearray()
        self.key = True

    def begins(self, payload: bytes) -> bool:
        return True

    def add(self, payload: bytes) -> bool:
        self.data += payload
        return True

    def whole(self) -> bool:
        return True


_AUDIO = ("opus", "PCMA", "PCMU")
_PICTURES: dict[str, type[_Picture]] = {
    "VP8": _Vp8,
    "VP9": _Vp9,
    "H264": _H264,
    "AV1": _Av1,
    **dict.fromkeys(_AUDIO, _Audio),
}
