"""RTP packets in wire form (RFC 3550, RFC 8285, RFC 4588). Pure.

A packet stays `bytes` all the way; what is here reads parts of it or makes a new one. Callers on the hot path unpack
`HEADER` themselves.
"""

import struct
from collections.abc import Iterator, Mapping

from media.errors import RtpError

HEADER = struct.Struct("!BBHII")
"""V P X CC, M PT, sequence number, timestamp, SSRC."""
HEADER_BYTES = 12
_EXTENSION_HEADER = struct.Struct("!HH")
_ONE_BYTE, _TWO_BYTE, _TWO_BYTE_MASK = 0xBEDE, 0x1000, 0xFFF0

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABSOLUTE_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_SEQUENCE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
DEPENDENCY_DESCRIPTOR = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"

HOP_BY_HOP = frozenset((MID, RID, REPAIRED_RID, ABSOLUTE_SEND_TIME, TRANSPORT_SEQUENCE))
"""Extensions that speak of one transport only and are not passed on."""


def is_rtcp(datagram: bytes | bytearray | memoryview) -> bool:
    """RFC 5761 4, for a datagram whose first byte is 128 to 191."""
    return len(datagram) > 1 and 192 <= datagram[1] <= 223


def payload_range(packet: bytes) -> tuple[int, int]:
    """Where the payload begins and ends, header extensions and padding left out.

    Raises:
        RtpError: lengths inside the packet do not fit it.
    """
    size = len(packet)
    if size < HEADER_BYTES or packet[0] >> 6 != 2:
        raise RtpError(f"{size} bytes are no RTP version 2 packet.")
    start = HEADER_BYTES + 4 * (packet[0] & 0x0F)
    if packet[0] & 0x10:
        if start + 4 > size:
            raise RtpError("The RTP header extension is cut off.")
        start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4], "big")
    end = size
    if packet[0] & 0x20 and start < size:
        if not 1 <= packet[-1] <= size - start:
            raise RtpError(f"{packet[-1]} bytes of RTP padding do not fit.")
        end -= packet[-1]
    if start > end:
        raise RtpError("The RTP header is longer than the packet.")
    return start, end


def extensions(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Id and value of each header extension element, in order (RFC 8285 4.2, 4.3).

    Raises:
        RtpError: an element reaches beyond the block.
    """
    if len(packet) < HEADER_BYTES:
        raise RtpError("The RTP header is cut off.")
    if not packet[0] & 0x10:
        return
    start = HEADER_BYTES + 4 * (packet[0] & 0x0F)
    if start + 4 > len(packet):
        raise RtpError("The RTP header extension is cut off.")
    profile, words = _EXTENSION_HEADER.unpack_from(packet, start)
    block = packet[start + 4 : start + 4 + 4 * words]
    if len(block) != 4 * words:
        raise RtpError("The RTP header extension is longer than the packet.")
    if profile == _ONE_BYTE:
        yield from _one_byte_elements(block)
    elif profile & _TWO_BYTE_MASK == _TWO_BYTE:
        yield from _two_byte_elements(block)


def transport_sequence(packet: bytes, identifier: int) -> int | None:
    """The transport-wide sequence number in the header extension of this id; None where there is none.

    Called for every packet that comes in, so the usual form is read without an iterator. Never raises.
    """
    if not packet[0] & 0x10:
        return None
    position = HEADER_BYTES + 4 * (packet[0] & 0x0F)
    if position + 4 > len(packet):
        return None
    if packet[position : position + 2] != b"\xbe\xde":
        return _rare_transport_sequence(packet, identifier)
    end = min(position + 4 + 4 * (packet[position + 2] << 8 | packet[position + 3]), len(packet)) - 2
    position += 4
    wanted = identifier << 4 | 1
    while position < end:
        head = packet[position]
        if head == wanted:
            return packet[position + 1] << 8 | packet[position + 2]
        position += (head & 0x0F) + 2 if head else 1
    return None


def transport_position(packet: bytes) -> int:
    """Where the transport-wide sequence number is that `renumber_extensions` put in front."""
    start = HEADER_BYTES + 4 * (packet[0] & 0x0F)
    return start + (5 if packet[start] == _ONE_BYTE >> 8 else 6)


def extension(packet: bytes, identifier: int) -> bytes:
    """The value of one header extension element; empty where there is none or the block is broken."""
    try:
        return dict(extensions(packet)).get(identifier, b"")
    except RtpError:
        return b""


def _rare_transport_sequence(packet: bytes, identifier: int) -> int | None:
    value = extension(packet, identifier)
    return int.from_bytes(value, "big") if len(value) == 2 else None


def _one_byte_elements(block: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(block):
        head = block[offset]
        offset += 1
        if head == 0:
            continue
        identifier, length = head >> 4, (head & 0x0F) + 1
        if identifier == 15:
            return
        if offset + length > len(block):
            raise RtpError(f"RTP header extension {identifier} reaches beyond its block.")
        if identifier:
            yield identifier, block[offset : offset + length]
        offset += length


def _two_byte_elements(block: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(block):
        identifier = block[offset]
        offset += 1
        if identifier == 0:
            continue
        if offset >= len(block) or offset + 1 + block[offset] > len(block):
            raise RtpError(f"RTP header extension {identifier} reaches beyond its block.")
        yield identifier, block[offset + 1 : offset + 1 + block[offset]]
        offset += 1 + block[offset]


def pack_extensions(elements: list[tuple[int, bytes]]) -> bytes:
    """A header extension block, in the one-byte form where that can hold them; empty for no elements."""
    if not elements:
        return b""
    if all(1 <= identifier <= 14 and 1 <= len(value) <= 16 for identifier, value in elements):
        profile = _ONE_BYTE
        body = b"".join(bytes((identifier << 4 | len(value) - 1,)) + value for identifier, value in elements)
    else:
        profile = _TWO_BYTE
        body = b"".join(bytes((identifier, len(value))) + value for identifier, value in elements)
    body += bytes(-len(body) % 4)
    return _EXTENSION_HEADER.pack(profile, len(body) // 4) + body


def renumber_extensions(packet: bytes, mapping: Mapping[int, int], transport: int = 0) -> bytes:
    """The packet with the extensions of `mapping` (old id to new id) and no others. The same in, the same out.

    Args:
        transport: id of a transport-wide sequence number that is put in front of them, as zero for now; 0 = none.

    Raises:
        RtpError: the packet's extension block is broken.
    """
    if not packet[0] & 0x10:
        if not transport:
            return packet
        fixed = HEADER_BYTES + 4 * (packet[0] & 0x0F)
        block = pack_extensions([(transport, b"\0\0")])
        return b"".join((bytes((packet[0] | 0x10,)), packet[1:fixed], block, packet[fixed:]))
    elements = [(mapping[identifier], value) for identifier, value in extensions(packet) if identifier in mapping]
    if transport:
        elements.insert(0, (transport, b"\0\0"))
    block = pack_extensions(elements)
    fixed = HEADER_BYTES + 4 * (packet[0] & 0x0F)
    rest = fixed + 4 + 4 * int.from_bytes(packet[fixed + 2 : fixed + 4], "big")
    first = packet[0] | 0x10 if block else packet[0] & ~0x10
    return b"".join((bytes((first,)), packet[1:fixed], block, packet[rest:]))


def unwrap_rtx(packet: bytes, ssrc: int, payload_type: int) -> bytes | None:
    """The original of a retransmission (RFC 4588 4). None when it holds only padding.

    Raises:
        RtpError: lengths inside the packet do not fit it.
    """
    start, end = payload_range(packet)
    if end - start < 2:
        return None
    first, second, _, timestamp, _ = HEADER.unpack_from(packet)
    sequence = int.from_bytes(packet[start : start + 2], "big")
    header = HEADER.pack(first & ~0x20, second & 0x80 | payload_type, sequence, timestamp, ssrc)
    return b"".join((header, packet[HEADER_BYTES:start], packet[start + 2 : end]))


def wrap_rtx(packet: bytes, ssrc: int, payload_type: int, sequence: int) -> bytes:
    """A retransmission of `packet`: own SSRC, payload type and sequence number, the original's number in front.

    Raises:
        RtpError: lengths inside the packet do not fit it.
    """
    start, end = payload_range(packet)
    first, second, original, timestamp, _ = HEADER.unpack_from(packet)
    header = HEADER.pack(first & ~0x20, second & 0x80 | payload_type, sequence, timestamp, ssrc)
    return b"".join((header, packet[HEADER_BYTES:start], original.to_bytes(2, "big"), packet[start:end]))


def pack(
    payload: bytes,
    *,
    payload_type: int,
    sequence: int,
    timestamp: int,
    ssrc: int,
    marker: bool = False,
    elements: list[tuple[int, bytes]] | None = None,
) -> bytes:
    """A packet without contributing sources or padding."""
    block = pack_extensions(elements or [])
    first = 0x90 if block else 0x80
    second = payload_type | (0x80 if marker else 0)
    return HEADER.pack(first, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + block + payload


def nearest(value: int, reference: int, bits: int) -> int:
    """`value`, known only in its lowest `bits`, as the number nearest to `reference`."""
    modulus = 1 << bits
    difference = (value - reference) & (modulus - 1)
    return reference + (difference - modulus if difference >= modulus >> 1 else difference)
