"""What is fed with any bytes, and what it may answer: a value, or an error that its docstring names.

Everything else that comes out of a target is a fault. Each target gets the bytes as a datagram would bring them.
"""

import contextlib
import datetime
from collections.abc import Callable
from functools import cache
from pathlib import Path

from media import rtcp, rtp
from media.depacketize import Depacketizer
from media.errors import ClosedByPeer, DtlsFailed, FingerprintMismatch, PacketError
from media.keyframes import is_keyframe_start
from media.negotiation import SdpError, SubscriberNegotiation, answer_player, answer_publisher
from media.rtpparameters import Codec, LocalTransport, WantedTrack
from media.scalability import vp8, vp9
from media.transport import stun
from media.transport.dtls import DtlsIdentity, DtlsSession, new_identity, split_flight
from media.transport.framing import Deframer, FramingError

HERE = Path(__file__).parent
VECTORS = HERE.parent / "vectors" / "sdp"
CODECS = ("VP8", "VP9", "H264", "AV1", "opus")
LOCAL = LocalTransport("ours", "o" * 24, "sha-256 " + ":".join(["A5"] * 32), (("127.0.0.1", 40000),))


def stun_message(data: bytes) -> None:
    with contextlib.suppress(PacketError):
        message = stun.parse(data)
        message.is_authentic("password")
        assert isinstance(message.username, str)
        stun.read_xor_address(message.attributes.get(stun.XOR_MAPPED_ADDRESS, b""), message.transaction)


def rtp_packet(data: bytes) -> None:
    """The first byte says which part of the code gets the rest."""
    if len(data) < 2:
        return
    packet = data[1:]
    rtp.is_rtcp(packet)
    with contextlib.suppress(PacketError):
        start, end = rtp.payload_range(packet)
        assert 0 <= start <= end <= len(packet)
        payload = packet[start:end]
        codec = CODECS[data[0] % len(CODECS)]
        is_keyframe_start(codec, payload)
        vp8(payload)
        vp9(payload)
        rtp.transport_sequence(packet, data[0] & 15)
        for identifier, _ in rtp.extensions(packet):
            rtp.extension(packet, identifier)
        renumbered = rtp.renumber_extensions(packet, {1: 2, 4: 5}, 3)
        at = rtp.transport_position(renumbered)
        assert renumbered[at : at + 2] == b"\0\0"
        start, end = rtp.payload_range(renumbered)
        assert renumbered[start:end] == payload
        rtp.unwrap_rtx(packet, 1, 96)
        rtp.wrap_rtx(packet, 1, 97, 5)


def rtcp_packets(data: bytes) -> None:
    with contextlib.suppress(PacketError):
        written = rtcp.compound(rtcp.parse(data))
        assert not written or rtcp.compound(rtcp.parse(written)) == written


def payloads(data: bytes) -> None:
    """Packets of one stream, each behind its length: put together to pictures."""
    if not data:
        return
    whole = Depacketizer(CODECS[data[0] % len(CODECS)], "track")
    at, number = 1, 0
    while at + 1 < len(data) and number < 64:
        size, flags = data[at], data[at + 1]
        whole.push(data[at + 2 : at + 2 + size], bool(flags & 1), (number - (flags >> 2)) * 3000, number, 0.0)
        while whole.pop() is not None:
            pass
        at += 2 + size
        number += 1 + (flags >> 1 & 1)


def sdp_text(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    codec = Codec(96, "VP8", 90000, 1, (), (), 97)
    wanted = [WantedTrack("a/0", "video", codec, "stream", 5, 6, "name")]
    with contextlib.suppress(SdpError):
        answer_publisher(text, LOCAL, ("audio", "video"))
    with contextlib.suppress(SdpError):
        answer_player(text, LOCAL, wanted)
    negotiation = SubscriberNegotiation(LOCAL)
    offer = negotiation.offer(wanted)
    assert offer is not None
    with contextlib.suppress(SdpError):
        negotiation.accept(offer.generation, text)


@cache
def _identity() -> DtlsIdentity:
    return new_identity(datetime.datetime.now(datetime.UTC))


def dtls_records(data: bytes) -> None:
    session = DtlsSession(_identity())
    session.expect((("sha-256", ":".join(["AB"] * 32)),))
    with contextlib.suppress(DtlsFailed, FingerprintMismatch, ClosedByPeer):
        session.receive(data)
        session.tick()
    for datagram in session.outgoing():
        assert len(datagram) <= 1200
    assert b"".join(split_flight(data)) == data[: sum(map(len, split_flight(data)))]
    assert not session.ready


def tcp_stream(data: bytes) -> None:
    deframer = Deframer()
    with contextlib.suppress(FramingError):
        for at in range(0, len(data), 7):
            deframer.feed(data[at : at + 7])


TARGETS: dict[str, Callable[[bytes], None]] = {
    "stun": stun_message,
    "rtp": rtp_packet,
    "rtcp": rtcp_packets,
    "payloads": payloads,
    "sdp": sdp_text,
    "dtls": dtls_records,
    "tcp": tcp_stream,
}
