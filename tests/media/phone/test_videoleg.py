"""Pictures of a phone at real sockets: what is malformed costs itself."""

import socket
from collections.abc import Iterator

import pytest

from media import rtp
from media.phone.messages import Profile
from media.phone.ports import PortPair
from media.phone.videodescription import Format, VideoAgreement
from media.phone.videoleg import VideoLeg

PAYLOAD_TYPE = 97
KEY_FRAME = bytes.fromhex("6588840021")


@pytest.fixture
def pair() -> Iterator[PortPair]:
    for port in range(41000, 41200, 2):
        try:
            made = PortPair("127.0.0.1", port)
        except OSError:
            continue
        yield made
        made.rtp.close()
        made.rtcp.close()
        return
    pytest.fail("no two free ports")


def packet(first: int, number: int, rest: bytes) -> bytes:
    return rtp.HEADER.pack(first, PAYLOAD_TYPE, number, 9000, 77) + rest


@pytest.mark.parametrize(
    "malformed",
    [packet(0x8F, 1, b""), packet(0x90, 1, b"\xbe"), packet(0x90, 1, b"\xbe\xde\xff\xff"), packet(0xA0, 1, b"\xff")],
    ids=["csrcs that are not there", "cut extension", "extension beyond the end", "padding beyond the end"],
)
def test_malformed_packet_is_counted_and_the_next_picture_taken(pair: PortPair, malformed: bytes) -> None:
    leg = VideoLeg("leg", pair, 5.0, 0.0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        where = phone.getsockname()
        h264 = Format(PAYLOAD_TYPE, "42e01f", True)
        agreed = VideoAgreement(h264, (h264,), where, where, False, None, None, "sendrecv")
        leg.agree(agreed, Profile(), 0.0)
        for data in (malformed, packet(0x80, 2, KEY_FRAME)):
            phone.sendto(data, ("127.0.0.1", pair.port))
        leg.take_in(0.1, 0.0, None)
    assert (leg.packets, leg.keyframes, leg.dropped) == (1, 1, 1)
