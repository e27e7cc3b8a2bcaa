"""The forwarder alone: packets in on one socket, out on another, keys agreed by hand."""

import itertools
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import rtp
from media.forwarder import reference
from media.forwarder.interface import Kind, RouteSpec, SourceSpec
from media.forwarder.reference import ReferenceForwarder
from media.transport.srtp import PROFILES, SrtpPair, split_keys

CAMERA, VIEWER, SOURCE, ROUTE = 1, 2, 3, 4
ROTATION = "urn:3gpp:video-orientation"


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return sock


def vp8(key: bool, size: int) -> bytes:
    return bytes((0x10, 0x00 if key else 0x01)) + b"\0\0\x9d\x01\x2a" + bytes(size)


class Bench:
    """A forwarder with one publisher and one subscriber."""

    def __init__(self, *, gso: bool = True) -> None:
        self.server, self.camera, self.viewer = udp(), udp(), udp()
        self.now = 100.0
        self.forwarder = ReferenceForwarder(self.server, cache_packets=256, gso=gso, clock=lambda: self.now)
        self.ends = {}
        for number in (CAMERA, VIEWER):
            exported = bytes((number,)) * PROFILES[0].exported_bytes
            self.forwarder.open_peer(number)
            self.forwarder.set_keys(number, SrtpPair(split_keys(PROFILES[0], exported)))
            self.ends[number] = SrtpPair(split_keys(PROFILES[0], exported, server=False))
        self.forwarder.admit(self.camera.getsockname(), CAMERA)
        self.forwarder.set_destination(VIEWER, self.viewer.getsockname())
        spec = SourceSpec("VP8", True, 90000, 96, 97, {ROTATION: 3, rtp.MID: 4})
        self.forwarder.open_source(SOURCE, CAMERA, spec)
        self.forwarder.open_route(ROUTE, SOURCE, VIEWER, RouteSpec(5000, 100, 5001, None, {ROTATION: 7, rtp.MID: 1}))
        self.ssrc = 1
        self.forwarder.bind(CAMERA, self.ssrc, SOURCE, rtx=False)

    def close(self) -> None:
        for sock in (self.server, self.camera, self.viewer):
            sock.close()

    def send(self, sequence: int, *, key: bool = False, size: int = 100, timestamp: int = 0) -> None:
        packet = rtp.pack(
            vp8(key, size),
            payload_type=96,
            sequence=sequence,
            timestamp=timestamp,
            ssrc=self.ssrc,
            elements=[(3, b"\x01"), (4, b"0")],
        )
        self.camera.sendto(self.ends[CAMERA].send_session.protect(packet), self.server.getsockname())

    def change_ssrc(self, ssrc: int) -> None:
        self.ssrc = ssrc
        self.forwarder.bind(CAMERA, ssrc, SOURCE, rtx=False)

    def pump(self) -> list[bytes]:
        """All that the subscriber gets, in plain form; fails where a packet cannot be unprotected."""
        time.sleep(0.0005)
        for _ in range(4):
            self.forwarder.pump()
        return [self.ends[VIEWER].receive_session.unprotect(each) for each in self.datagrams()]

    def pump_into(self, got: list[bytes]) -> None:
        got += self.pump()

    def datagrams(self) -> list[bytes]:
        self.forwarder.settle()
        found = []
        while True:
            try:
                found.append(self.viewer.recv(4096))
            except BlockingIOError:
                return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(packet[2:4], "big") for packet in packets]


@pytest.mark.parametrize("gso", [True, False])
@pytest.mark.parametrize("sizes", [[100] * 20, [100, 100, 60, 100, 200, 200, 10], list(range(1000, 1100, 7))])
def test_runs_of_any_sizes_arrive_whole_and_in_order(gso: bool, sizes: list[int]) -> None:
    bench = Bench(gso=gso)
    for number, size in enumerate(sizes):
        bench.send(number, key=not number, size=size)
    got = bench.pump()
    assert [len(each) for each in got] == [12 + 8 + 7 + size for size in sizes]
    assert [after - before for before, after in itertools.pairwise(numbers(got))] == [1] * (len(sizes) - 1)
    assert bench.forwarder.counters.gso_fallbacks == 0
    bench.close()


def test_extensions_are_renumbered_and_those_of_one_hop_left_out(bench: Bench) -> None:
    bench.send(1, key=True)
    [packet] = bench.pump()
    assert list(rtp.extensions(packet)) == [(7, b"\x01")]


def test_another_agreement_changes_what_follows_and_forgets_what_was(bench: Bench) -> None:
    bench.send(1, key=True)
    [before] = bench.pump()
    bench.forwarder.set_route(ROUTE, RouteSpec(5000, 101, 5001, None, {}))
    bench.send(2)
    [after] = bench.pump()
    assert (after[1], list(rtp.extensions(after))) == (101, [])
    assert numbers([after])[0] == numbers([before])[0] + 1
    bench.forwarder.resend(ROUTE, numbers([before]))
    assert bench.datagrams() == []


def test_a_resent_packet_is_the_same_to_the_byte(bench: Bench) -> None:
    for number in range(10):
        bench.send(number, key=not number, timestamp=number * 3000)
    time.sleep(0.001)
    bench.forwarder.pump()
    first = bench.datagrams()
    assert len(first) == 10
    bench.now += 1
    bench.forwarder.resend(ROUTE, [*numbers(first), 50_000])
    assert bench.datagrams() == first
    assert bench.forwarder.counters.packets_resent == 10


def test_what_was_sent_before_another_ssrc_is_resent_the_same_to_the_byte(bench: Bench) -> None:
    bench.send(10, key=True, timestamp=7000)
    bench.pump_into([])
    bench.send(11, timestamp=10_000)
    time.sleep(0.001)
    bench.forwarder.pump()
    before = bench.datagrams()
    bench.change_ssrc(2)
    bench.now += 0.1
    bench.send(500, timestamp=3_000_000)
    time.sleep(0.001)
    bench.forwarder.pump()
    after = bench.datagrams()
    assert len(before) == len(after) == 1
    bench.forwarder.resend(ROUTE, numbers([*before, *after]))
    assert bench.datagrams() == [*before, *after]


@pytest.mark.parametrize("muted", [3, 1000, 40_000])
def test_a_tap_misses_one_number_for_a_mute_of_any_length(bench: Bench, muted: int) -> None:
    tapped: list[int] = []
    bench.forwarder.tap(SOURCE, lambda payload, marker, timestamp, number, at: tapped.append(number))
    for sequence in (65_530, 65_531):
        bench.send(sequence, key=sequence == 65_530)
    bench.pump()
    bench.forwarder.mute(SOURCE, True)
    for sequence in range(65_532, 65_532 + muted, 100):
        bench.send(sequence & 0xFFFF)
        bench.pump()
    bench.forwarder.mute(SOURCE, False)
    for sequence in range(65_532 + muted, 65_534 + muted):
        bench.send(sequence & 0xFFFF)
    assert len(bench.pump()) == 2
    assert tapped == [65_530, 65_531, 65_533, 65_534]


def test_what_the_ring_has_lost_is_not_resent(bench: Bench) -> None:
    bench.send(0, key=True)
    first = bench.pump()
    for number in range(1, 300):
        bench.send(number)
        if number % 20 == 0:
            bench.pump()
    bench.pump()
    bench.forwarder.resend(ROUTE, numbers(first))
    assert bench.datagrams() == []


def test_a_stream_whose_key_frames_are_not_known_starts_after_a_while(bench: Bench) -> None:
    bench.send(1)
    assert bench.pump() == []
    bench.forwarder.start_impatient(SOURCE, bench.now + reference.KEYFRAME_PATIENCE_S - 0.1)
    bench.send(2)
    assert bench.pump() == []
    bench.forwarder.start_impatient(SOURCE, bench.now + reference.KEYFRAME_PATIENCE_S + 0.1)
    bench.send(3)
    assert len(bench.pump()) == 1


def test_the_copying_way_forwards_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "in_place_functions", lambda: None)
    bench = Bench()
    assert "copying" in bench.forwarder.name
    for number in range(20):
        bench.send(number, key=not number)
    assert len(bench.pump()) == 20
    bench.close()


def test_an_unknown_ssrc_is_handed_up_and_can_be_given_back(bench: Bench) -> None:
    bench.ssrc = 99
    bench.send(1, key=True)
    time.sleep(0.001)
    [handed] = bench.forwarder.pump()
    assert handed.kind is Kind.UNBOUND
    bench.change_ssrc(99)
    bench.forwarder.inject(CAMERA, handed.data)
    assert len(bench.pump()) == 1


def test_the_same_packet_twice_is_forwarded_once(bench: Bench) -> None:
    packet = rtp.pack(vp8(True, 10), payload_type=96, sequence=1, timestamp=0, ssrc=bench.ssrc)
    bench.forwarder.inject(CAMERA, packet)
    bench.forwarder.inject(CAMERA, packet)
    assert len(bench.pump()) == 1
    assert bench.forwarder.counters.dropped_duplicate == 1


def test_a_packet_from_before_a_mute_that_comes_after_it_is_dropped(bench: Bench) -> None:
    for number in (0, 1, 3):
        bench.send(number, key=not number)
    got = bench.pump()
    bench.forwarder.mute(SOURCE, True)
    bench.forwarder.mute(SOURCE, False)
    for number in (50, 2, 51):
        bench.send(number)
    got += bench.pump()
    first = numbers(got)[0]
    assert [number - first for number in numbers(got)] == [0, 1, 3, 4, 5]
    assert bench.forwarder.counters.dropped_late == 1


Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 12)),
        st.tuples(st.just("lose"), st.integers(1, 5)),
        st.tuples(st.just("late"), st.integers(2, 6)),
        st.tuples(st.just("mute"), st.integers(0, 1)),
        st.tuples(st.just("ssrc"), st.integers(10, 10_000)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 0xFFFF))
def test_whatever_a_publisher_does_receivers_stay_in_step(steps: list[Step], first: int) -> None:
    """Every packet can be unprotected, none comes twice, and a gap is only where one was lost."""
    bench = Bench()
    ahead = first
    got: list[bytes] = []
    bench.send(ahead & 0xFFFF, key=True)
    got += bench.pump()
    used, lost = {1}, 0
    for what, number in steps:
        bench.now += 0.01
        if what == "send":
            for _ in range(number):
                ahead += 1
                bench.send(ahead & 0xFFFF)
        elif what == "lose":
            ahead += number
            lost += number
        elif what == "late":
            for step in (number, *range(1, number)):
                bench.send(ahead + step & 0xFFFF)
            ahead += number
        elif what == "mute":
            bench.pump_into(got)
            bench.forwarder.mute(SOURCE, bool(number))
        elif number not in used:
            bench.pump_into(got)
            used.add(number)
            bench.change_ssrc(number)
        bench.pump_into(got)
    bench.close()
    out = sorted(rtp.nearest(number, numbers(got)[0], 16) for number in numbers(got))
    assert len(set(out)) == len(out)
    assert out[-1] - out[0] + 1 - len(out) <= lost
    assert bench.forwarder.counters.dropped_protect == 0
