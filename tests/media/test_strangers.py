"""No datagram from a stranger changes a session: peers, addresses, keys and what subscribers get stay as they were."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media import rtcp, rtp
from media.transport import stun
from tests.fakes.board import Board
from tests.fakes.loadpeer import Identity, LoadPeer, LoadPublisher

WAIT_S = 20.0


class Meeting:
    """A publisher and a subscriber of one board, connected, and the socket of a stranger."""

    def __init__(self) -> None:
        self.board = Board(clock=time.monotonic, candidates=True)
        identity = Identity()
        exchange = self.board.exchange
        self.camera = LoadPeer(identity, "127.0.0.1", controlling=True)
        reply = exchange.publish(1, "camera", self.camera.offer(5), ("video",))
        self.camera.learn(reply.sdp)
        self.screen = LoadPeer(identity, "127.0.0.1", controlling=True)
        offered = exchange.subscribe(2, "screen", [reply.tracks[0].track], False)
        exchange.accept(3, "screen", offered.generation, self.screen.answer(offered.sdp))
        self.stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.stranger.bind(("127.0.0.1", 0))
        self.publisher = LoadPublisher(self.camera, 5)
        self.until(lambda: self.camera.connected and self.screen.connected)
        self.show()

    def until(self, done: Any) -> None:
        end = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < end
            self.step()

    def step(self) -> None:
        for peer in (self.camera, self.screen):
            peer.poll()
            peer.step(time.monotonic())
        self.board.exchange.pump()

    def show(self) -> None:
        """One picture more reaches the subscriber, whole."""
        before = self.screen.counters.packets
        self.publisher.send_picture((100, 100), 0.04, time.monotonic())
        self.until(lambda: self.screen.counters.packets >= before + 2)
        assert self.screen.counters.packets == before + 2

    def throw(self, datagrams: list[bytes]) -> None:
        address = ("127.0.0.1", self.board.socket.getsockname()[1])
        for datagram in datagrams:
            self.stranger.sendto(datagram, address)
        arrived = self.board.forwarder.counters
        before = arrived.packets_in + arrived.dropped_empty
        self.until(lambda: arrived.packets_in + arrived.dropped_empty >= before + len(datagrams))

    def state(self) -> list[Any]:
        """All that a stranger could want to change."""
        board = self.board
        transports = [
            (one.name, one.state, one.ice.selected, sorted(one.ice.addresses), one.dtls.handshaken, one.remote)
            for one in board.exchange._mux
        ]
        sources = [
            (number, one.octets, one.received, one.keyframes)
            for number in board.exchange._by_source
            for one in [board.forwarder.source(number)]
        ]
        owners = {address: peer.number for address, peer in board.forwarder._by_address.items()}
        return [transports, sources, owners, len(board.said)]

    def close(self) -> None:
        for each in (self.camera, self.screen, self.stranger, self.board.socket):
            each.close()


@pytest.fixture(scope="module")
def meeting() -> Iterator[Meeting]:
    made = Meeting()
    yield made
    made.close()


def _check(name: str, password: str, extra: list[tuple[int, bytes]]) -> bytes:
    attributes = [(stun.USERNAME, name.encode()), (stun.PRIORITY, b"\x6e\x00\x01\xff"), *extra]
    return stun.build(stun.BINDING_REQUEST, bytes(range(12)), attributes, password)


@st.composite
def datagrams(draw: st.DrawFn, meeting: Meeting) -> bytes:
    """Noise, and what looks like the peers' own: their names, SSRCs, records, without their keys."""
    transports = list(meeting.board.exchange._mux)
    ufrag = draw(st.sampled_from([one.ice.credentials.ufrag for one in transports]))
    made = st.one_of(
        st.binary(max_size=1500),
        st.builds(lambda head, rest: bytes((head,)) + rest, st.integers(0, 255), st.binary(max_size=200)),
        st.builds(
            _check,
            st.just(f"{ufrag}:theirs"),
            st.text("abcdef0123456789", min_size=1, max_size=32),
            st.sampled_from([[], [(stun.USE_CANDIDATE, b"")], [(stun.ICE_CONTROLLING, bytes(8))]]),
        ),
        st.builds(
            lambda payload, number: rtp.pack(payload, payload_type=96, sequence=number, timestamp=number, ssrc=5),
            st.binary(max_size=300),
            st.integers(0, 65535),
        ),
        st.sampled_from(
            [
                rtcp.compound([rtcp.ReceiverReport(1), rtcp.Pli(1, 5)]),
                rtcp.compound([rtcp.Bye((5,))]),
                bytes.fromhex("15feff00010000000000000002" + "0100"),  # a DTLS alert: close_notify
                bytes.fromhex("16feff0000000000000000002c010000200000000000000020fefd") + bytes(32),
            ]
        ),
    )
    return draw(made)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_datagram_from_a_stranger_changes_a_session(meeting: Meeting, data: st.DataObject) -> None:
    thrown = data.draw(st.lists(datagrams(meeting), min_size=1, max_size=8))
    before = meeting.state()
    meeting.throw(thrown)
    assert meeting.state() == before


def test_afterwards_pictures_come_as_before(meeting: Meeting) -> None:
    meeting.throw([bytes((first,)) + bytes(size) for first in range(256) for size in (0, 11, 12, 19, 1400)])
    for _ in range(3):
        meeting.show()


def test_who_has_the_password_is_no_stranger(meeting: Meeting) -> None:
    ice = next(iter(meeting.board.exchange._mux)).ice
    before = meeting.state()
    meeting.throw([_check(f"{ice.credentials.ufrag}:theirs", ice.credentials.password, [(stun.USE_CANDIDATE, b"")])])
    assert meeting.state() != before
