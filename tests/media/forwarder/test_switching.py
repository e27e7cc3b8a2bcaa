"""A forwarder whose route changes between the encodings of one track: packets in by `inject`, out on a socket."""

import itertools
import socket
import time
from collections.abc import Iterator

import pytest

from media import rtp
from media.forwarder.interface import RouteSpec, SourceSpec
from media.forwarder.reference import ReferenceForwarder
from media.transport.srtp import PROFILES, SrtpPair, split_keys

CAMERA, VIEWER, LOW, HIGH, ROUTE, VOICE, VOICE_ROUTE = range(1, 8)
SSRCS = {LOW: 11, HIGH: 22, VOICE: 33}


class Stage:
    """A publisher with two encodings and sound, and one subscriber."""

    def __init__(self, codec: str = "VP8", *, rtx: bool = False) -> None:
        self.codec = codec
        self.server, self.viewer = udp(), udp()
        self.now = 100.0
        self.forwarder = ReferenceForwarder(self.server, cache_packets=256, gso=True, clock=lambda: self.now)
        exported = bytes((VIEWER,)) * PROFILES[0].exported_bytes
        for number in (CAMERA, VIEWER):
            self.forwarder.open_peer(number)
        self.forwarder.set_keys(VIEWER, SrtpPair(split_keys(PROFILES[0], exported)))
        self.end = SrtpPair(split_keys(PROFILES[0], exported, server=False))
        self.forwarder.set_destination(VIEWER, self.viewer.getsockname())
        video = SourceSpec(codec, True, 90000, 96, 97, {})
        for source, spec in ((LOW, video), (HIGH, video), (VOICE, SourceSpec("opus", False, 48000, 111, None, {}))):
            self.forwarder.open_source(source, CAMERA, spec)
            self.forwarder.bind(CAMERA, SSRCS[source], source, rtx=False)
        self.forwarder.open_route(ROUTE, LOW, VIEWER, RouteSpec(5000, 100, 5001, 101 if rtx else None, {}))
        self.forwarder.open_route(VOICE_ROUTE, VOICE, VIEWER, RouteSpec(6000, 111, 0, None, {}))
        self.sequences = {LOW: 100, HIGH: 60_000, VOICE: 7}
        self.timestamps = {LOW: 90_000, HIGH: 4_000_000_000, VOICE: 0}
        self.pictures = {LOW: 5, HIGH: 3000}

    def close(self) -> None:
        self.server.close()
        self.viewer.close()

    def frame(self, source: int, *, key: bool = False, packets: int = 2) -> None:
        """One frame of an encoding; `tick` moves the time of both."""
        self.pictures[source] += 1
        picture = self.pictures[source]
        for index in range(packets):
            head = bytes((0x90 if index == 0 else 0x80, 0x80, 0x80 | picture >> 8, picture & 0xFF))
            payload = head + bytes((0 if key else 1, source)) + bytes(50)
            if self.codec == "H264":
                payload = bytes((0x65 if key else 0x61,)) + bytes((source,) * 20)
            self.inject(source, payload, 96, marker=index == packets - 1)

    def sound(self) -> None:
        self.timestamps[VOICE] += 960
        self.inject(VOICE, bytes(20), 111, marker=False)

    def inject(self, source: int, payload: bytes, payload_type: int, *, marker: bool) -> None:
        self.forwarder.inject(CAMERA, self.packet(source, payload, payload_type, marker=marker))

    def packet(self, source: int, payload: bytes, payload_type: int, *, marker: bool) -> bytes:
        self.sequences[source] = self.sequences[source] + 1 & 0xFFFF
        return rtp.pack(
            payload,
            payload_type=payload_type,
            sequence=self.sequences[source],
            timestamp=self.timestamps[source] & 0xFFFFFFFF,
            ssrc=SSRCS[source],
            marker=marker,
        )

    def tick(self, seconds: float = 1 / 30) -> None:
        self.now += seconds
        for source in (LOW, HIGH):
            self.timestamps[source] += round(seconds * 90_000)

    def both(self, frames: int, *, key: tuple[int, ...] = ()) -> None:
        for index in range(frames):
            self.tick()
            for source in (LOW, HIGH):
                self.frame(source, key=index == 0 and source in key, packets=source - 1)

    def datagrams(self) -> list[bytes]:
        time.sleep(0.0005)
        found = []
        while True:
            try:
                found.append(self.viewer.recv(4096))
            except BlockingIOError:
                return found

    def got(self) -> list[bytes]:
        return [self.end.receive_session.unprotect(each) for each in self.datagrams()]


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return sock


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(packet[2:4], "big") for packet in packets]


def times(packets: list[bytes]) -> list[int]:
    return list(dict.fromkeys(int.from_bytes(packet[4:8], "big") for packet in packets))


def origins(packets: list[bytes]) -> list[int]:
    """Which source each packet is of."""
    return [packet[12 + 5] for packet in packets]


def steps(values: list[int], modulus: int) -> set[int]:
    return {(after - before) % modulus for before, after in itertools.pairwise(values)}


def test_a_switch_waits_for_the_key_frame_and_leaves_no_seam(stage: Stage) -> None:
    stage.both(3, key=(LOW, HIGH))
    lag = stage.timestamps[HIGH] - stage.timestamps[LOW]
    stage.forwarder.switch(ROUTE, HIGH, lag)
    assert stage.forwarder.source(HIGH).waiting == 1
    assert stage.forwarder.route(ROUTE).switching == HIGH
    stage.both(3)
    stage.both(3, key=(HIGH,))
    stage.both(1)
    got = stage.got()
    assert origins(got) == [LOW] * (6 * 2) + [LOW] * 2 + [HIGH] * (4 * 3)
    assert steps(numbers(got), 1 << 16) == {1}
    # The picture that both encodings have of one moment comes twice, one tick apart.
    assert steps(times(got), 1 << 32) == {3000, 1}
    pictures = list(dict.fromkeys(int.from_bytes(packet[14:16], "big") & 0x7FFF for packet in got))
    assert steps(pictures, 1 << 15) == {1}
    route = stage.forwarder.route(ROUTE)
    assert (route.source, route.switching, route.paused) == (HIGH, 0, False)
    assert stage.forwarder.source(HIGH).waiting == 0


@pytest.mark.parametrize("codec", ["VP8", "H264"])
@pytest.mark.parametrize("rtx", [False, True])
def test_repairs_reach_back_over_a_switch_and_are_the_same_to_the_byte(codec: str, rtx: bool) -> None:
    stage = Stage(codec, rtx=rtx)
    stage.both(3, key=(LOW, HIGH))
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.both(3, key=(HIGH,))
    stage.forwarder.switch(ROUTE, LOW, None)
    stage.both(3, key=(LOW,))
    wire = stage.datagrams()
    sent = [stage.end.receive_session.unprotect(each) for each in wire]
    assert len(sent) > 15
    stage.now += 1
    stage.forwarder.resend(ROUTE, numbers(sent))
    again = stage.datagrams()
    if not rtx:
        assert again == wire
    else:
        plain = [stage.end.receive_session.unprotect(each) for each in again]
        assert [rtp.unwrap_rtx(each, 5000, 100) for each in plain] == sent
    stage.close()


def test_what_came_late_before_a_switch_can_still_be_asked_for(stage: Stage) -> None:
    stage.both(2, key=(LOW, HIGH))
    stage.tick()
    lost = stage.packet(LOW, bytes((0x90, 0x80, 0x80, 9, 1, LOW)) + bytes(50), 96, marker=False)
    stage.both(1)
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.both(2, key=(HIGH,))
    sent = numbers(stage.got())
    [missing] = set(range(sent[0], sent[-1])) - set(sent)
    stage.forwarder.resend(ROUTE, [missing])
    assert stage.datagrams() == []
    stage.forwarder.inject(CAMERA, lost)
    stage.forwarder.resend(ROUTE, [missing])
    [late] = stage.got()
    assert (numbers([late]), origins([late])) == ([missing], [LOW])


def test_a_paused_route_sends_nothing_and_goes_on_with_a_key_frame(stage: Stage) -> None:
    stage.both(3, key=(LOW, HIGH))
    before = stage.got()
    stage.forwarder.switch(ROUTE, 0, None)
    stage.both(30)
    assert stage.got() == []
    assert stage.forwarder.route(ROUTE).paused
    stage.forwarder.switch(ROUTE, LOW, 0)
    stage.both(2)
    assert stage.got() == []
    assert stage.forwarder.source(LOW).waiting == 1
    stage.both(2, key=(LOW,))
    after = stage.got()
    assert steps(numbers(before[-1:] + after), 1 << 16) == {1}
    assert steps(times(before[-1:] + after), 1 << 32) == {33 * 3000, 3000}
    assert not stage.forwarder.route(ROUTE).paused


def test_a_young_key_frame_in_the_cache_ends_a_pause_at_once(stage: Stage) -> None:
    stage.both(1, key=(LOW, HIGH))
    stage.forwarder.switch(ROUTE, 0, None)
    stage.both(9, key=(HIGH,))
    stage.got()
    stage.forwarder.switch(ROUTE, HIGH, stage.timestamps[HIGH] - stage.timestamps[LOW])
    assert origins(stage.got()) == [HIGH] * 27
    assert stage.forwarder.counters.fast_starts == 1


def test_a_route_that_flows_does_not_go_back_in_time_for_a_cached_key_frame(stage: Stage) -> None:
    stage.both(9, key=(LOW, HIGH))
    stage.got()
    stage.forwarder.switch(ROUTE, HIGH, stage.timestamps[HIGH] - stage.timestamps[LOW])
    assert stage.got() == []
    assert stage.forwarder.route(ROUTE).switching == HIGH


def test_a_switch_can_be_taken_back(stage: Stage) -> None:
    stage.both(3, key=(LOW, HIGH))
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.forwarder.switch(ROUTE, LOW, None)
    stage.both(3, key=(HIGH,))
    assert set(origins(stage.got())) == {LOW}
    assert stage.forwarder.source(HIGH).waiting == 0


def test_sound_goes_on_at_once_after_a_pause(stage: Stage) -> None:
    stage.sound()
    stage.forwarder.switch(VOICE_ROUTE, 0, None)
    for _ in range(10):
        stage.sound()
    stage.forwarder.switch(VOICE_ROUTE, VOICE, 0)
    stage.sound()
    got = stage.got()
    assert (steps(numbers(got), 1 << 16), steps(times(got), 1 << 32)) == ({1}, {11 * 960})


def test_a_route_that_has_not_begun_begins_with_the_encoding_it_was_switched_to(stage: Stage) -> None:
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.both(1, key=(LOW,))
    assert stage.got() == []
    stage.both(2, key=(HIGH,))
    assert set(origins(stage.got())) == {HIGH}


def test_a_source_that_ends_takes_waiting_switches_back(stage: Stage) -> None:
    stage.both(1, key=(LOW, HIGH))
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.forwarder.close_source(HIGH)
    assert stage.forwarder.route(ROUTE).switching == 0
    stage.tick()
    stage.frame(LOW)
    assert set(origins(stage.got())) == {LOW}
    stage.forwarder.close_route(ROUTE)


def test_another_agreement_forgets_what_was_sent_over_switches(stage: Stage) -> None:
    stage.both(2, key=(LOW, HIGH))
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.both(2, key=(HIGH,))
    before = stage.got()
    stage.forwarder.set_route(ROUTE, RouteSpec(5000, 102, 5001, None, {}))
    stage.both(1)
    after = stage.got()
    assert steps(numbers(before[-1:] + after), 1 << 16) == {1}
    stage.forwarder.resend(ROUTE, numbers(before))
    assert stage.datagrams() == []


def test_temporal_layers_are_left_out_and_repairs_still_fit() -> None:
    stage = Stage()
    stage.forwarder.limit(ROUTE, 0, 7)
    for index in range(12):
        stage.tick()
        temporal = (0, 2, 1, 2)[index % 4]
        head = bytes((0x90, 0xA0, 0x80, index, temporal << 6, 1 if index else 0, LOW))
        stage.inject(LOW, head + bytes(20), 96, marker=True)
    wire = stage.datagrams()
    sent = [stage.end.receive_session.unprotect(each) for each in wire]
    assert [packet[15] for packet in sent] == [0, 1, 2]
    assert steps(numbers(sent), 1 << 16) == {1}
    assert steps(times(sent), 1 << 32) == {4 * 3000}
    stage.now += 1
    stage.forwarder.resend(ROUTE, numbers(sent))
    assert stage.datagrams() == wire
    stage.close()
