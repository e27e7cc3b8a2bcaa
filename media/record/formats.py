"""What a file says of its track, read from the head of a key frame; and how a unit is written into a block.

Only headers are read: VP8 (RFC 6386 9.1), VP9 (bitstream specification 6.2), H.264 (ITU-T H.264 7.3.2.1, ISO/IEC
14496-15 5.3.3.1), AV1 (bitstream specification 5.5, AV1 in Matroska). Any bytes are taken; what is no key frame that a
file can begin with gives None.
"""

import struct

from media.record.matroska import TrackFormat
from media.tap import AccessUnit

CLOCK_RATE = {"VP8": 90_000, "VP9": 90_000, "AV1": 90_000, "H264": 90_000, "opus": 48_000}
"""Of RTP timestamps, by codec; these codecs can be recorded."""

_OPUS_HEAD = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 0, 48_000, 0, 0)
_TEMPORAL_DELIMITER = b"\x12\x00"
_SPS, _PPS = 7, 8
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


def format_of(unit: AccessUnit, name: str = "") -> TrackFormat | None:
    """The format of a file that begins with this unit; None when none can begin here."""
    if unit.codec == "opus":
        return TrackFormat("opus", _OPUS_HEAD, name=name)
    if not unit.key or unit.codec not in CLOCK_RATE:
        return None
    read = {"VP8": _vp8, "VP9": _vp9, "AV1": _av1, "H264": _h264}[unit.codec]
    try:
        found = read(unit.data)
    except IndexError:  # the header ends too early
        return None
    if found is None:
        return None
    private, width, height = found
    return TrackFormat(unit.codec, private, width, height, name)


def block_data(unit: AccessUnit) -> bytes:
    """A unit's bytes as Matroska wants them."""
    if unit.codec == "H264":
        return b"".join(len(nal).to_bytes(4, "big") + nal for nal in _nals(unit.data))
    return unit.data.removeprefix(_TEMPORAL_DELIMITER) if unit.codec == "AV1" else unit.data


Found = tuple[bytes, int, int] | None
"""Private data, width, height."""


class _Bits:
    """Reads bits, highest first. Raises IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        value = 0
        for _ in range(count):
            byte = self._data[self._at >> 3]
            value = value << 1 | (byte >> (7 - (self._at & 7))) & 1
            self._at += 1
        return value

    def golomb(self) -> int:
        """ue(v); at most 32 bits."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise IndexError("no Exp-Golomb code")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed_golomb(self) -> int:
        value = self.golomb()
        return (value + 1) // 2 if value & 1 else -(value // 2)


def _vp8(data: bytes) -> Found:
    if data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        return None
    width, height = struct.unpack("<HH", data[6:10]) if len(data) >= 10 else (0, 0)
    return b"", width & 0x3FFF, height & 0x3FFF


def _vp9(data: bytes) -> Found:
    bits = _Bits(data[:32])
    if bits.take(2) != 2:
        return None
    profile = bits.take(1) | bits.take(1) << 1
    if profile == 3:
        bits.take(1)
    if bits.take(1) or bits.take(1):  # shows an existing frame, or is no key frame
        return None
    bits.take(2)
    if bits.take(24) != 0x498342:
        return None
    if profile >= 2:
        bits.take(1)
    if bits.take(3) != 7:
        bits.take(1 + (3 if profile in (1, 3) else 0))
    elif profile in (1, 3):
        bits.take(1)
    width, height = bits.take(16) + 1, bits.take(16) + 1
    return b"", width, height


# --- H.264 ----------------------------------------------------------------------------------------------------------


def _nals(data: bytes) -> list[bytes]:
    """NAL units of Annex B bytes."""
    found, start = [], data.find(b"\x00\x00\x01")
    while start >= 0:
        following = data.find(b"\x00\x00\x01", start + 3)
        nal = data[start + 3 : following if following >= 0 else len(data)]
        if following >= 0:
            nal = nal.rstrip(b"\x00")  # a NAL unit never ends with a zero byte
        if nal:
            found.append(nal)
        start = following
    return found


def _h264(data: bytes) -> Found:
    sets: dict[int, list[bytes]] = {_SPS: [], _PPS: []}
    for nal in _nals(data):
        kind = nal[0] & 31
        if kind in sets and nal not in sets[kind]:
            sets[kind].append(nal)
    if not sets[_SPS] or not sets[_PPS] or len(sets[_SPS]) > 31 or len(sets[_PPS]) > 255:
        return None
    sps = sets[_SPS][0]
    width, height = _sps_size(sps)
    listed = [bytes([1, sps[1], sps[2], sps[3], 0xFF, 0xE0 | len(sets[_SPS])])]
    listed += [len(nal).to_bytes(2, "big") + nal for nal in sets[_SPS]]
    listed.append(bytes([len(sets[_PPS])]))
    listed += [len(nal).to_bytes(2, "big") + nal for nal in sets[_PPS]]
    return b"".join(listed), width, height


def _sps_size(sps: bytes) -> tuple[int, int]:
    bits = _Bits(sps[1:].replace(b"\x00\x00\x03", b"\x00\x00"))
    profile = bits.take(8)
    bits.take(16)
    bits.golomb()
    chroma = 1
    if profile in _HIGH_PROFILES:
        chroma = bits.golomb()
        if chroma == 3:
            bits.take(1)
        bits.golomb()
        bits.golomb()
        bits.take(1)
        if bits.take(1):
            _skip_scaling(bits, 12 if chroma == 3 else 8)
    bits.golomb()
    order = bits.golomb()
    if order == 0:
        bits.golomb()
    elif order == 1:
        bits.take(1)
        bits.golomb()
        bits.golomb()
        for _ in range(bits.golomb()):
            bits.golomb()
    bits.golomb()
    bits.take(1)
    width, height = (bits.golomb() + 1) * 16, bits.golomb() + 1
    fields = 1 - bits.take(1)
    height *= 16 * (1 + fields)
    if fields:
        bits.take(1)
    bits.take(1)
    if bits.take(1):
        left, right, top, bottom = (bits.golomb() for _ in range(4))
        width -= (left + right) * (2 if chroma in (1, 2) else 1)
        height -= (top + bottom) * (2 if chroma == 1 else 1) * (1 + fields)
    return max(0, width), max(0, height)


def _skip_scaling(bits: _Bits, lists: int) -> None:
    for index in range(lists):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.signed_golomb()) % 256
            last = following or last


# --- AV1 ------------------------------------------------------------------------------------------------------------


def _av1(data: bytes) -> Found:
    at = 0
    while at < len(data):
        head = data[at]
        kind, at = head >> 3 & 15, at + (2 if head & 4 else 1)
        size = shift = 0
        while True:
            byte, at = data[at], at + 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80 or shift > 35:
                break
        if kind == 1:
            obu = data[at : at + size]
            level, width, height = _sequence(_Bits(obu))
            profile = obu[0] >> 5
            kept = bytes([0x0A]) + _leb128(len(obu)) + obu
            return bytes([0x81, profile << 5 | level, 0x0C if profile == 0 else 0, 0]) + kept, width, height
        at += size
    return None


def _leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def _sequence(bits: _Bits) -> tuple[int, int, int]:
    """Level of the first operating point, greatest width and height of a sequence header."""
    bits.take(4)
    if bits.take(1):  # a reduced header, of a still picture
        level = bits.take(5)
    else:
        delay_bits = _timing(bits)
        delays = bits.take(1)
        levels = [_operating_point(bits, delay_bits, delays) for _ in range(bits.take(5) + 1)]
        level = levels[0]
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return level, bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _timing(bits: _Bits) -> int:
    """Bits of a buffer delay; 0 without a decoder model."""
    if not bits.take(1):
        return 0
    bits.take(64)
    if bits.take(1):
        bits.golomb()
    if not bits.take(1):
        return 0
    delay_bits = bits.take(5) + 1
    bits.take(42)
    return delay_bits


def _operating_point(bits: _Bits, delay_bits: int, delays: int) -> int:
    bits.take(12)
    level = bits.take(5)
    if level > 7:
        bits.take(1)
    if delay_bits and bits.take(1):
        bits.take(2 * delay_bits + 1)
    if delays and bits.take(1):
        bits.take(4)
    return level
