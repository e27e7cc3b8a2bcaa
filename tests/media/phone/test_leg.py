"""A leg under hostile datagrams, its sockets replaced: nothing gets through, nothing breaks, everything is counted."""

import base64
import random
from typing import Any

import pylibsrtp
import pytest

from media import rtcp, rtp
from media.phone import leg as module
from media.phone import ports, sdes
from media.phone.leg import Leg
from media.phone.messages import LegStatistics, Profile, Started
from media.phone.ports import Datagram
from media.phone.sourcelock import Address
from media.phone.wire import MAX_SOURCES, Inbound

PHONE, STRANGER = ("192.0.2.1", 4000), ("198.51.100.7", 4000)
KEY = base64.b64encode(bytes(30)).decode()


class Wire:
    """What the kernel would hold, and what was sent."""

    def __init__(self) -> None:
        self.waiting: list[Datagram] = []
        self.sent: list[tuple[bytes, Address]] = []

    def receive(self, _: object, most: int) -> list[Datagram]:
        taken, self.waiting = self.waiting[:most], self.waiting[most:]
        return taken

    def send(self, _: object, packet: bytes, to: Address) -> bool:
        self.sent.append((packet, to))
        return True


class Pair:
    port = 20000
    wide = False
    rtp = rtcp = None


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    monkeypatch.setattr(ports, "receive", made.receive)
    monkeypatch.setattr(ports, "send", made.send)
    return made


def sdp(secure: bool = False) -> str:
    lines = [
        "v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0",
        f"m=audio 4000 RTP/{'SAVP' if secure else 'AVP'} 0 101", "a=rtpmap:101 telephone-event/8000",
    ]  # fmt: skip
    if secure:
        lines.append(f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")
    return "\r\n".join(lines) + "\r\n"


def opened(events: list[Any], *, secure: bool = False, profile: Profile | None = None) -> Leg:
    pair: Any = Pair()
    leg = Leg(
        "leg", pair, "192.0.2.10", profile or Profile(), events.append, 0.0,
        learn_s=3.0, first_packet_s=30.0, silent_s=15.0,
    )  # fmt: skip
    leg.answer_offer(sdp(secure), leg.profile, "sendrecv", 0.0)
    return leg


def run(leg: Leg, now: float) -> None:
    leg.take_in(now, 0.0)
    leg.said(now)
    leg.say(None, now)


def junk(choose: random.Random) -> bytes:
    """Random bytes, or a packet with a few bytes changed or cut off."""
    kind = choose.randrange(4)
    if kind == 0:
        return choose.randbytes(choose.randrange(0, 200))
    if kind == 1:
        data = rtp.pack(bytes(160), payload_type=choose.choice((0, 101, 8, 13)), sequence=1, timestamp=1, ssrc=7)
    elif kind == 2:
        data = rtcp.compound([rtcp.ReceiverReport(7, (rtcp.ReportBlock(7, 0, 0, 0, 0, 0, 0),)), rtcp.Bye((7,))])
    else:
        data = rtp.pack(
            bytes(4), payload_type=101, sequence=choose.randrange(65536), timestamp=choose.getrandbits(32), ssrc=7
        )
    changed = bytearray(data)
    for _ in range(choose.randrange(1, 8)):
        changed[choose.randrange(len(changed))] = choose.randrange(256)
    return bytes(changed[: choose.randrange(len(changed) + 1)])


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("address", [PHONE, STRANGER])
def test_no_datagram_breaks_a_leg(wire: Wire, secure: bool, address: Address) -> None:
    choose = random.Random(1)
    events: list[Any] = []
    leg = opened(events, secure=secure)
    for tick in range(2000):
        now = tick * 0.02
        wire.waiting = [Datagram(junk(choose), address, None) for _ in range(10)]
        run(leg, now)
        if tick % 5 == 0:
            wire.waiting = [Datagram(junk(choose), address, None) for _ in range(3)]
            leg.take_in_control(now)
            leg.look(now)
    statistics = leg.statistics()
    assert isinstance(statistics, LegStatistics)
    assert sum(statistics.dropped.values()) > 10_000
    if address == STRANGER:
        assert not any(isinstance(event, Started) for event in events)
        assert {to for _, to in wire.sent} == {PHONE}
        assert len(wire.sent) == 10
    elif secure:
        assert not any(isinstance(event, Started) for event in events)


def test_nobody_is_sent_sound_before_they_were_heard_but_probes(wire: Wire) -> None:
    leg = opened([])
    for tick in range(3000):
        run(leg, tick * 0.02)
    assert len(wire.sent) == 10
    assert {to for _, to in wire.sent} == {PHONE}


def test_where_the_profile_says_so_sound_goes_at_once(wire: Wire) -> None:
    leg = opened([], profile=Profile(unheard="send"))
    for tick in range(50):
        run(leg, tick * 0.02)
    assert len(wire.sent) == 50


def test_a_flood_costs_no_more_than_its_share_of_a_tick(wire: Wire) -> None:
    leg = opened([])
    wire.waiting = [Datagram(bytes(20), STRANGER, None)] * 100_000
    run(leg, 0.0)
    assert len(wire.waiting) == 100_000 - module.PACKETS_PER_TICK
    assert ports.RECEIVE_BUFFER_BYTES <= 64 << 10


def test_a_key_has_a_bounded_number_of_sources() -> None:
    """libsrtp keeps a state for each SSRC that authenticates."""
    sender = pylibsrtp.Session(
        pylibsrtp.Policy(
            key=bytes(30), ssrc_type=pylibsrtp.Policy.SSRC_ANY_OUTBOUND,
            srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
        )
    )  # fmt: skip

    def packet(ssrc: int, number: int = 1) -> bytes:
        header = b"\x80\x00" + number.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big")
        return sender.protect(header + b"sound")

    inbound = Inbound(sdes.Crypto(1, sdes.SUITES[0], bytes(30)))
    assert all(inbound.media(packet(ssrc)) for ssrc in range(1, MAX_SOURCES + 1))
    for number in range(1, 4):
        assert inbound.media(packet(9999, number)) is None, "one too many, and what was kept of it was given back"
    assert inbound.media(packet(5, 2)), "those that were there go on"
    with pytest.raises(pylibsrtp.Error):
        inbound.media(packet(7, 3)[:-1] + b"x")
    assert inbound.media(packet(8888)) is None
