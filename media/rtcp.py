"""RTCP packets: reports, descriptions, goodbyes and feedback (RFC 3550, RFC 4585, RFC 5104, REMB and transport-wide
congestion control drafts). Pure.

`parse` takes a compound packet apart; what it does not know it leaves out. Each class has `pack()`; `compound` joins.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from media import transportcc
from media.errors import RtcpError

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, BYE = 200, 201, 202, 203
TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 205, 206
_NACK, _PLI, _FIR, _APPLICATION, _TRANSPORT_WIDE = 1, 1, 4, 15, 15
_CNAME = 1
MAX_PACKETS = 32
"""In one compound packet; browsers send at most a handful."""

_HEADER = struct.Struct("!BBH")
_SENDER_INFO = struct.Struct("!IQIII")
_REPORT = struct.Struct("!IIIIII")
_FEEDBACK = struct.Struct("!II")
_PAIR = struct.Struct("!HH")


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What one receiver says of one stream (RFC 3550 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """In 256ths, since the last report."""
    lost: int
    """Since the beginning; may be negative after repairs."""
    highest: int
    """Extended highest sequence number, 32 bits."""
    jitter: int
    """In timestamp units."""
    last_report: int
    """Middle 32 bits of the last sender report's NTP time; 0 = none."""
    delay: int
    """Since that report, in 65536ths of a second."""

    def pack(self) -> bytes:
        lost = max(-0x800000, min(0x7FFFFF, self.lost)) & 0xFFFFFF
        return _REPORT.pack(
            self.ssrc, self.fraction_lost << 24 | lost, self.highest, self.jitter, self.last_report, self.delay
        )


@dataclass(frozen=True, slots=True)
class SenderReport:
    ssrc: int
    ntp: int
    """64 bits: seconds since 1900 and fraction."""
    timestamp: int
    packets: int
    octets: int
    reports: tuple[ReportBlock, ...] = ()

    def pack(self) -> bytes:
        info = _SENDER_INFO.pack(
            self.ssrc, self.ntp, self.timestamp, self.packets & 0xFFFFFFFF, self.octets & 0xFFFFFFFF
        )
        return _packet(SENDER_REPORT, len(self.reports), info + b"".join(block.pack() for block in self.reports))


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    ssrc: int
    reports: tuple[ReportBlock, ...] = ()

    def pack(self) -> bytes:
        blocks = b"".join(block.pack() for block in self.reports)
        return _packet(RECEIVER_REPORT, len(self.reports), self.ssrc.to_bytes(4, "big") + blocks)


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """CNAMEs only."""

    chunks: tuple[tuple[int, str], ...]

    def pack(self) -> bytes:
        body = b""
        for ssrc, cname in self.chunks:
            text = cname.encode()[:255]
            chunk = ssrc.to_bytes(4, "big") + bytes((_CNAME, len(text))) + text + b"\0"
            body += chunk + bytes(-len(chunk) % 4)
        return _packet(SOURCE_DESCRIPTION, len(self.chunks), body)


@dataclass(frozen=True, slots=True)
class Bye:
    sources: tuple[int, ...]

    def pack(self) -> bytes:
        return _packet(BYE, len(self.sources), b"".join(ssrc.to_bytes(4, "big") for ssrc in self.sources))


@dataclass(frozen=True, slots=True)
class Nack:
    """Sequence numbers of one stream that did not arrive (RFC 4585 6.2.1)."""

    sender: int
    media: int
    sequences: tuple[int, ...]

    def pack(self) -> bytes:
        pairs = b"".join(_PAIR.pack(first, mask) for first, mask in _nack_pairs(self.sequences))
        return _packet(TRANSPORT_FEEDBACK, _NACK, _FEEDBACK.pack(self.sender, self.media) + pairs)


@dataclass(frozen=True, slots=True)
class Pli:
    """Picture loss: a key frame, please (RFC 4585 6.3.1)."""

    sender: int
    media: int

    def pack(self) -> bytes:
        return _packet(PAYLOAD_FEEDBACK, _PLI, _FEEDBACK.pack(self.sender, self.media))


@dataclass(frozen=True, slots=True)
class Fir:
    """Full intra request: SSRC and command number for each stream (RFC 5104 4.3.1)."""

    sender: int
    entries: tuple[tuple[int, int], ...]

    def pack(self) -> bytes:
        body = b"".join(struct.pack("!IB3x", ssrc, number) for ssrc, number in self.entries)
        return _packet(PAYLOAD_FEEDBACK, _FIR, _FEEDBACK.pack(self.sender, 0) + body)


@dataclass(frozen=True, slots=True)
class Remb:
    """Receiver's estimate of the maximum bitrate (draft-alvestrand-rmcat-remb-03)."""

    sender: int
    bitrate_bps: int
    ssrcs: tuple[int, ...]

    def pack(self) -> bytes:
        exponent = max(0, self.bitrate_bps.bit_length() - 18)
        value = len(self.ssrcs) << 24 | exponent << 18 | self.bitrate_bps >> exponent
        sources = b"".join(ssrc.to_bytes(4, "big") for ssrc in self.ssrcs)
        body = _FEEDBACK.pack(self.sender, 0) + b"REMB" + value.to_bytes(4, "big") + sources
        return _packet(PAYLOAD_FEEDBACK, _APPLICATION, body)


@dataclass(frozen=True, slots=True)
class TransportFeedback:
    """Which packets of the whole transport came, and when (see `media.transportcc`)."""

    sender: int
    media: int
    """Any stream of the one that is told."""
    statuses: transportcc.Statuses

    def pack(self) -> bytes:
        """Padded, so that it should be the last of a compound packet (RFC 3550 6.4.1)."""
        body = _FEEDBACK.pack(self.sender, self.media) + self.statuses.pack()
        padding = -len(body) % 4
        if not padding:
            return _packet(TRANSPORT_FEEDBACK, _TRANSPORT_WIDE, body)
        padded = body + bytes(padding - 1) + bytes((padding,))
        return _packet(TRANSPORT_FEEDBACK, 0x20 | _TRANSPORT_WIDE, padded)


Packet = SenderReport | ReceiverReport | SourceDescription | Bye | Nack | Pli | Fir | Remb | TransportFeedback


def compound(packets: Iterable[Packet]) -> bytes:
    """One datagram; the first should be a report (RFC 3550 6.1)."""
    return b"".join(packet.pack() for packet in packets)


def parse(data: bytes) -> list[Packet]:
    """The packets of a compound packet that we know.

    Raises:
        RtcpError: lengths or counts do not fit.
    """
    packets: list[Packet] = []
    offset = 0
    statuses = transportcc.MAX_READ
    for _ in range(MAX_PACKETS):
        if offset == len(data):
            return packets
        count, kind, body, offset = _next_packet(data, offset)
        packet = _known(kind, count, body, statuses)
        if packet is not None:
            packets.append(packet)
        if isinstance(packet, TransportFeedback):
            statuses -= len(packet.statuses.deltas)
    raise RtcpError(f"A compound packet of more than {MAX_PACKETS} packets is refused.")


def _next_packet(data: bytes, offset: int) -> tuple[int, int, bytes, int]:
    if offset + _HEADER.size > len(data):
        raise RtcpError("The RTCP header is cut off.")
    first, kind, words = _HEADER.unpack_from(data, offset)
    start, end = offset + _HEADER.size, offset + _HEADER.size + 4 * words
    if first >> 6 != 2 or end > len(data):
        raise RtcpError("The RTCP version or length is wrong.")
    body = data[start:end]
    if first & 0x20:
        if not body or not 1 <= body[-1] <= len(body):
            raise RtcpError("The RTCP padding does not fit.")
        body = body[: -body[-1]]
    return first & 0x1F, kind, body, end


def _known(kind: int, count: int, body: bytes, statuses: int) -> Packet | None:
    if kind == SENDER_REPORT:
        if len(body) < _SENDER_INFO.size:
            raise RtcpError("The sender report is cut off.")
        ssrc, ntp, timestamp, packets, octets = _SENDER_INFO.unpack_from(body)
        return SenderReport(ssrc, ntp, timestamp, packets, octets, _report_blocks(body, _SENDER_INFO.size, count))
    if kind == RECEIVER_REPORT:
        return ReceiverReport(_ssrc(body, 0), _report_blocks(body, 4, count))
    if kind == BYE:
        return Bye(tuple(_ssrc(body, 4 * index) for index in range(count)))
    if kind == SOURCE_DESCRIPTION:
        return _source_description(body, count)
    if kind == TRANSPORT_FEEDBACK and count == _NACK:
        return _nack(body)
    if kind == TRANSPORT_FEEDBACK and count == _TRANSPORT_WIDE:
        if len(body) < _FEEDBACK.size:
            raise RtcpError("The transport-wide feedback is cut off.")
        sender, media = _FEEDBACK.unpack_from(body)
        return TransportFeedback(sender, media, transportcc.parse(body[_FEEDBACK.size :], statuses))
    if kind == PAYLOAD_FEEDBACK:
        return _payload_feedback(count, body)
    return None


def _ssrc(body: bytes, offset: int) -> int:
    if offset + 4 > len(body):
        raise RtcpError("An SSRC is cut off.")
    return int.from_bytes(body[offset : offset + 4], "big")


def _report_blocks(body: bytes, offset: int, count: int) -> tuple[ReportBlock, ...]:
    if offset + _REPORT.size * count > len(body):
        raise RtcpError(f"{count} report blocks do not fit.")
    blocks = []
    for index in range(count):
        ssrc, loss, highest, jitter, last, delay = _REPORT.unpack_from(body, offset + index * _REPORT.size)
        lost = loss & 0xFFFFFF
        signed = lost - 0x1000000 if lost & 0x800000 else lost
        blocks.append(ReportBlock(ssrc, loss >> 24, signed, highest, jitter, last, delay))
    return tuple(blocks)


def _source_description(body: bytes, count: int) -> SourceDescription:
    chunks: list[tuple[int, str]] = []
    offset = 0
    for _ in range(count):
        ssrc, cname = _ssrc(body, offset), ""
        offset += 4
        while offset < len(body) and body[offset]:
            if offset + 2 > len(body) or offset + 2 + body[offset + 1] > len(body):
                raise RtcpError("A source description item is cut off.")
            if body[offset] == _CNAME:
                cname = body[offset + 2 : offset + 2 + body[offset + 1]].decode("utf-8", "replace")
            offset += 2 + body[offset + 1]
        offset += 4 - offset % 4
        chunks.append((ssrc, cname))
    return SourceDescription(tuple(chunks))


def _nack(body: bytes) -> Nack:
    if len(body) < _FEEDBACK.size or len(body) % 4:
        raise RtcpError("The NACK is cut off.")
    sender, media = _FEEDBACK.unpack_from(body)
    sequences: list[int] = []
    for first, mask in _PAIR.iter_unpack(body[_FEEDBACK.size :]):
        sequences.append(first)
        sequences.extend(first + 1 + bit & 0xFFFF for bit in range(16) if mask >> bit & 1)
    return Nack(sender, media, tuple(sequences))


def _nack_pairs(sequences: Sequence[int]) -> list[tuple[int, int]]:
    """Sequence numbers, in ascending order (modulo 2^16), as packet id and mask of the 16 that follow."""
    pairs: list[tuple[int, int]] = []
    for sequence in sequences:
        ahead = sequence - pairs[-1][0] - 1 & 0xFFFF if pairs else 0xFFFF
        if ahead < 16:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] | 1 << ahead)
        else:
            pairs.append((sequence, 0))
    return pairs


def _payload_feedback(form: int, body: bytes) -> Packet | None:
    if len(body) < _FEEDBACK.size:
        raise RtcpError("The payload-specific feedback is cut off.")
    sender, media = _FEEDBACK.unpack_from(body)
    rest = body[_FEEDBACK.size :]
    if form == _PLI:
        return Pli(sender, media)
    if form == _FIR:
        if len(rest) % 8:
            raise RtcpError("A full intra request's entry is cut off.")
        return Fir(sender, tuple((ssrc, number) for ssrc, number in struct.iter_unpack("!IB3x", rest)))
    if form == _APPLICATION and rest[:4] == b"REMB":
        return _remb(sender, rest)
    return None


def _remb(sender: int, rest: bytes) -> Remb:
    if len(rest) < 8 or len(rest) < 8 + 4 * rest[4]:
        raise RtcpError("The bitrate estimate is cut off.")
    value = int.from_bytes(rest[5:8], "big")
    bitrate = (value & 0x3FFFF) << (value >> 18)
    return Remb(sender, bitrate, tuple(_ssrc(rest, 8 + 4 * index) for index in range(rest[4])))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body
