"""Encoded H.264 access units and sound to RTP payloads, for sources that bring no RTP of their own.

H.264 as Annex B (start codes) goes out in packetization mode 1 (RFC 6184): parameter sets together in one STAP-A, large
slices as FU-A. Access unit delimiters and filler are left out; they say nothing over RTP.
"""

import itertools
import re
from collections.abc import Iterator

from media.keyframes import FU_A, NAL_AUD, NAL_IDR, NAL_PPS, NAL_SPS, STAP_A

MAX_PAYLOAD_BYTES = 1188
"""With RTP header, header extensions and SRTP tag below 1,252 bytes of UDP payload."""
_NAL_END_OF_SEQUENCE, _NAL_END_OF_STREAM, _NAL_FILLER = 10, 11, 12
_LEFT_OUT = frozenset({NAL_AUD, _NAL_END_OF_SEQUENCE, _NAL_END_OF_STREAM, _NAL_FILLER})
_START_CODE = re.compile(rb"\x00\x00\x01")


def split_annex_b(data: bytes) -> list[bytes]:
    """The NAL units of an Annex B stream (ITU-T H.264 annex B), without start codes and trailing zeros."""
    starts = [match.start() for match in _START_CODE.finditer(data)]
    pairs = itertools.pairwise([*starts, len(data)])
    units = (data[start + 3 : end].rstrip(b"\x00") for start, end in pairs)
    return [unit for unit in units if unit]


def nal_type(unit: bytes) -> int:
    return unit[0] & 0x1F


def h264_payloads(units: list[bytes], limit: int = MAX_PAYLOAD_BYTES) -> Iterator[bytes]:
    """One access unit's NAL units as RTP payloads, in order. The last one takes the marker bit.

    Args:
        units: as from `split_annex_b`.
        limit: most bytes of a payload.
    """
    held: list[bytes] = []
    for unit in units:
        kind = nal_type(unit)
        if kind in _LEFT_OUT:
            continue
        if kind in (NAL_SPS, NAL_PPS):
            if held and _aggregate_bytes([*held, unit]) > limit:
                yield from _aggregated(held)
                held = []
            if len(unit) + 3 <= limit:
                held.append(unit)
                continue
        yield from _aggregated(held)
        held = []
        if len(unit) <= limit:
            yield unit
        else:
            yield from _fragments(unit, limit)
    yield from _aggregated(held)


def _aggregate_bytes(units: list[bytes]) -> int:
    return 1 + sum(2 + len(unit) for unit in units)


def _aggregated(units: list[bytes]) -> Iterator[bytes]:
    """STAP-A (RFC 6184 5.7.1); a unit alone goes as it is."""
    if len(units) == 1:
        yield units[0]
    elif units:
        importance = max(unit[0] & 0x60 for unit in units)
        yield bytes([importance | STAP_A]) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def _fragments(unit: bytes, limit: int) -> Iterator[bytes]:
    """FU-A (RFC 6184 5.8), in pieces of nearly equal size: runs of equal packets are sent on cheaply."""
    indicator, kind, body = unit[0] & 0xE0 | FU_A, unit[0] & 0x1F, unit[1:]
    pieces = -(-len(body) // (limit - 2))
    size = -(-len(body) // pieces)
    for start in range(0, len(body), size):
        first, last = 0x80 * (start == 0), 0x40 * (start + size >= len(body))
        yield bytes([indicator, first | last | kind]) + body[start : start + size]


def is_h264_key(units: list[bytes]) -> bool:
    """Whether an access unit holds an IDR picture."""
    return any(nal_type(unit) == NAL_IDR for unit in units)


def parameter_sets(units: list[bytes]) -> tuple[bytes, ...]:
    """The sequence and picture parameter sets among these units."""
    return tuple(unit for unit in units if nal_type(unit) in (NAL_SPS, NAL_PPS))


def profile_level_id(units: tuple[bytes, ...]) -> str | None:
    """`profile-level-id` (RFC 6184 8.1) of the first sequence parameter set, in hex; None without one."""
    for unit in units:
        if nal_type(unit) == NAL_SPS and len(unit) >= 4:
            return unit[1:4].hex()
    return None
