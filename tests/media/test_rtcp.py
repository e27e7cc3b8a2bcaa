"""RTCP packets, ours and another library's."""

from typing import Any

import pytest
from aiortc import rtp as other
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp
from media.errors import RtcpError

BLOCK = rtcp.ReportBlock(
    ssrc=5, fraction_lost=64, lost=-3, highest=0x10007, jitter=33, last_report=0xAABBCCDD, delay=65536
)
PACKETS: list[rtcp.Packet] = [
    rtcp.SenderReport(1, 0x0102030405060708, 90000, 10, 5000, (BLOCK,)),
    rtcp.ReceiverReport(1, (BLOCK, BLOCK)),
    rtcp.SourceDescription(((1, "abc"), (2, "abcd"), (3, ""))),
    rtcp.Bye((1, 2)),
    rtcp.Nack(1, 2, (65534, 65535, 0, 14, 15, 40)),
    rtcp.Pli(1, 2),
    rtcp.Fir(1, ((2, 7), (3, 8))),
    rtcp.Remb(1, 1_500_000, (2, 3)),
]


@pytest.mark.parametrize("packet", PACKETS, ids=lambda packet: type(packet).__name__)
def test_what_is_packed_comes_back(packet: rtcp.Packet) -> None:
    assert rtcp.parse(packet.pack()) in ([packet], [_rounded(packet)])


def _rounded(packet: rtcp.Packet) -> rtcp.Packet:
    """A bitrate estimate keeps 18 bits."""
    if not isinstance(packet, rtcp.Remb):
        return packet
    return rtcp.Remb(packet.sender, packet.bitrate_bps >> 3 << 3, packet.ssrcs)


def test_another_library_reads_a_compound_packet() -> None:
    one_chunk = rtcp.SourceDescription(((1, "sixteen-letters!"),))
    packets = [one_chunk if isinstance(each, rtcp.SourceDescription) else each for each in PACKETS]
    parsed: list[Any] = other.RtcpPacket.parse(rtcp.compound(packets))
    assert [type(each).__name__ for each in parsed] == [
        "RtcpSrPacket",
        "RtcpRrPacket",
        "RtcpSdesPacket",
        "RtcpByePacket",
        "RtcpRtpfbPacket",
        "RtcpPsfbPacket",
        "RtcpPsfbPacket",
        "RtcpPsfbPacket",
    ]
    assert parsed[0].reports[0].packets_lost == -3
    assert parsed[2].chunks[0].items == [(1, b"sixteen-letters!")]
    assert [sequence & 0xFFFF for sequence in parsed[4].lost] == [65534, 65535, 0, 14, 15, 40]
    assert other.unpack_remb_fci(parsed[7].fci) == (1_500_000, [2, 3])


def test_a_compound_packet_comes_back_whole() -> None:
    assert len(rtcp.parse(rtcp.compound(PACKETS))) == len(PACKETS)


def test_unknown_packets_are_left_out() -> None:
    extended_report = bytes.fromhex("80cf000100000001")
    assert rtcp.parse(extended_report + PACKETS[5].pack()) == [PACKETS[5]]


@given(st.lists(st.integers(0, 0xFFFF), unique=True, max_size=60))
def test_nacked_numbers_survive_in_any_order(sequences: list[int]) -> None:
    [back] = rtcp.parse(rtcp.Nack(1, 2, tuple(sorted(sequences))).pack())
    assert isinstance(back, rtcp.Nack)
    assert sorted(back.sequences) == sorted(sequences)


@given(st.integers(0, (1 << 40)))
def test_a_bitrate_keeps_eighteen_bits(bitrate: int) -> None:
    [back] = rtcp.parse(rtcp.Remb(1, bitrate, ()).pack())
    assert isinstance(back, rtcp.Remb)
    assert 0 <= bitrate - back.bitrate_bps <= bitrate >> 17


@given(st.binary(max_size=120))
def test_any_bytes_give_packets_or_an_rtcp_error(data: bytes) -> None:
    try:
        rtcp.parse(data)
    except RtcpError:
        pass


@given(st.integers(0, 31), st.integers(192, 223), st.binary(max_size=80).map(lambda body: body[: len(body) // 4 * 4]))
def test_any_body_behind_a_right_header_is_read_or_refused(count: int, kind: int, body: bytes) -> None:
    try:
        rtcp.parse(bytes((0x80 | count, kind)) + (len(body) // 4).to_bytes(2, "big") + body)
    except RtcpError:
        pass
