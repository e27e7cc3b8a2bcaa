"""Numbers of the transport, pacing, padding and audio levels of a forwarder."""

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from media import rtp
from media.forwarder.interface import HOLD_S, RouteSpec
from media.transportcc import Statuses
from tests.fakes.stage import CAMERA, HIGH, LOW, ROUTE, VIEWER, VOICE, VOICE_ROUTE, Stage, numbers, steps

NUMBER = 3
NUMBERED = {rtp.TRANSPORT_SEQUENCE: NUMBER}


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage(rtx=True)
    stage.forwarder.set_route(ROUTE, RouteSpec(5000, 100, 5001, 101, NUMBERED))
    stage.forwarder.set_route(VOICE_ROUTE, RouteSpec(6000, 111, 0, None, NUMBERED))
    yield stage
    stage.close()


def told(packets: list[bytes]) -> list[int]:
    found = [rtp.transport_sequence(packet, NUMBER) for packet in packets]
    assert None not in found
    return [number for number in found if number is not None]


def test_all_streams_of_a_peer_share_one_row_of_numbers(stage: Stage) -> None:
    stage.sound()
    stage.both(3, key=(LOW,))
    stage.sound()
    got = stage.got()
    assert told(got) == list(range(1, 9))
    estimate = stage.forwarder.bandwidth(VIEWER)
    estimate.feedback(Statuses(1, 0, 0, (4,) * 8), stage.now + 0.01)
    assert estimate.numbered
    assert estimate.rtt_s == pytest.approx(0.9 * 0.1 + 0.1 * 0.01)


def test_a_repair_has_a_number_of_its_own(stage: Stage) -> None:
    stage.both(1, key=(LOW,))
    first = stage.got()
    stage.now += 1
    stage.forwarder.resend(ROUTE, numbers(first))
    again = stage.got()
    assert told(again) == [3, 4]
    assert [rtp.unwrap_rtx(each, 5000, 100) is not None for each in again] == [True, True]


def test_without_repairs_in_a_stream_of_their_own_video_gets_no_numbers(stage: Stage) -> None:
    stage.forwarder.set_route(ROUTE, RouteSpec(5000, 100, 5001, None, NUMBERED))
    stage.both(1, key=(LOW,))
    first = stage.datagrams()
    stage.now += 1
    stage.forwarder.resend(ROUTE, numbers([stage.end.receive_session.unprotect(each) for each in first]))
    assert stage.datagrams() == first
    estimate = stage.forwarder.bandwidth(VIEWER)
    estimate.feedback(Statuses(1, 0, 0, (4,)), stage.now)
    assert not estimate.numbered


def test_numbered_sound_is_not_sent_twice(stage: Stage) -> None:
    stage.sound()
    first = stage.got()
    stage.forwarder.resend(VOICE_ROUTE, numbers(first))
    assert stage.datagrams() == []


def test_a_switched_route_keeps_its_numbers(stage: Stage) -> None:
    stage.both(2, key=(LOW, HIGH))
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.both(2, key=(HIGH,))
    got = stage.got()
    assert told(got) == list(range(1, len(got) + 1))
    assert steps(numbers(got), 1 << 16) == {1}


def test_a_paced_peer_gets_its_packets_bit_by_bit_and_sound_first(stage: Stage) -> None:
    stage.forwarder.pace(VIEWER, 100_000)
    for index in range(10):
        stage.tick(0)
        stage.frame(LOW, key=not index, packets=5)
    stage.sound()
    assert stage.forwarder.release(stage.now) is not None
    first = stage.got()
    assert 0 < len(first) < 10
    assert 111 in {packet[1] & 0x7F for packet in first[:3]}
    got = list(first)
    for _ in range(400):
        stage.now += 0.005
        due = stage.forwarder.release(stage.now)
        got += stage.got()
        if due is None:
            break
    assert len(got) == 51
    assert steps(numbers([packet for packet in got if packet[1] & 0x7F == 100]), 1 << 16) == {1}
    assert steps(told(got), 1 << 16) == {1}


def test_the_end_of_pacing_sends_what_waits(stage: Stage) -> None:
    stage.forwarder.pace(VIEWER, 10_000)
    stage.frame(LOW, key=True, packets=40)
    stage.forwarder.pace(VIEWER, 0)
    assert len(stage.got()) == 40
    assert stage.forwarder.release(stage.now) is None


def test_what_waits_of_a_route_that_closes_is_not_sent(stage: Stage) -> None:
    stage.forwarder.pace(VIEWER, 10_000)
    stage.frame(LOW, key=True, packets=40)
    stage.forwarder.release(stage.now)
    sent = len(stage.got())
    stage.forwarder.close_route(ROUTE)
    stage.forwarder.release(stage.now + 60)
    assert sent < 40
    assert stage.got() == []


def test_a_pause_drops_what_waits_and_forgets_what_was_sent(stage: Stage) -> None:
    stage.forwarder.pace(VIEWER, 10_000)
    stage.frame(LOW, key=True, packets=40)
    stage.forwarder.release(stage.now)
    sent = stage.got()
    stage.forwarder.switch(ROUTE, 0, None)
    stage.forwarder.release(stage.now + 60)
    assert stage.got() == []
    stage.now += 60
    stage.forwarder.resend(ROUTE, numbers(sent))
    assert stage.forwarder.release(stage.now) is None
    stage.forwarder.switch(ROUTE, LOW, 0)
    stage.tick()
    stage.frame(LOW, key=True)
    stage.forwarder.release(stage.now)
    assert (numbers(stage.got())[0] - numbers(sent)[0]) % (1 << 16) == 40


@pytest.mark.parametrize("switched", [False, True])
def test_what_waits_under_an_agreement_that_ended_is_not_sent(stage: Stage, switched: bool) -> None:
    if switched:
        stage.frame(LOW, key=True)
        stage.forwarder.switch(ROUTE, HIGH, 0)
        stage.tick()
        stage.frame(HIGH, key=True)
        stage.got()
    stage.tick()
    stage.forwarder.pace(VIEWER, 10_000)
    stage.frame(HIGH if switched else LOW, key=True, packets=40)
    stage.forwarder.release(stage.now)
    assert len(stage.got()) < 40
    stage.forwarder.set_route(ROUTE, RouteSpec(5000, 99, 5001, None, {}))
    assert stage.forwarder.release(stage.now + 60) is None
    assert stage.got() == []
    stage.now += 60
    stage.tick()
    stage.frame(HIGH if switched else LOW, key=True)
    stage.forwarder.release(stage.now)
    assert stage.got()


@pytest.mark.parametrize("switched", [False, True])
def test_padding_is_of_the_newest_packets(stage: Stage, switched: bool) -> None:
    assert stage.forwarder.pad(ROUTE, 1000) == 0
    stage.both(3, key=(LOW, HIGH))
    if switched:
        stage.forwarder.switch(ROUTE, HIGH, None)
        stage.both(3, key=(HIGH,))
    sent = stage.got()
    padded = stage.forwarder.pad(ROUTE, 500)
    padding = stage.got()
    assert 500 <= padded < 700
    assert {packet[1] & 0x7F for packet in padding} == {101}
    originals = [rtp.unwrap_rtx(each, 5000, 100) for each in padding]
    bodies = {packet[4:8] + packet[20:] for packet in sent}
    assert all(each is not None and each[4:8] + each[20:] in bodies for each in originals)
    assert steps(told(sent + padding), 1 << 16) == {1}


def test_a_route_without_numbers_cannot_be_padded(stage: Stage) -> None:
    stage.forwarder.set_route(ROUTE, RouteSpec(5000, 100, 5001, 101, {}))
    stage.both(3, key=(LOW,))
    assert stage.forwarder.pad(ROUTE, 1000) == 0


def test_audio_levels_are_kept_until_they_are_asked_for(stage: Stage) -> None:
    stage.forwarder.note_levels(VOICE, 1)
    for level in (0x80 | 20, 127, 0x80 | 30):
        packet = stage.packet(VOICE, bytes(20), 111, marker=False)
        packet = (
            packet[:0]
            + bytes((packet[0] | 0x10,))
            + packet[1:12]
            + rtp.pack_extensions([(1, bytes((level,)))])
            + packet[12:]
        )
        stage.forwarder.inject(1, packet)
    stage.sound()
    assert stage.forwarder.levels(VOICE) == [148, 127, 158]
    assert stage.forwarder.levels(VOICE) == []


def waiting(stage: Stage) -> int:
    """Datagrams that have been sent, without `settle`."""
    time.sleep(0.0005)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while stage.viewer.recv(4096):
            count += 1
    return count


def test_packets_of_a_picture_wait_a_moment_for_the_rest_of_it(stage: Stage) -> None:
    head = bytes((0x90, 0x80, 0x80, 9, 0, LOW)) + bytes(50)
    packets = [stage.packet(LOW, head, 96, marker=index == 3) for index in range(4)]
    for packet in packets[:3]:
        stage.forwarder.inject(CAMERA, packet)
    assert stage.forwarder.holds
    assert waiting(stage) == 0
    stage.forwarder.inject(CAMERA, packets[3])
    assert not stage.forwarder.holds
    assert waiting(stage) == 4
    stage.sound()
    assert waiting(stage) == 1


def test_what_waits_for_the_rest_of_its_picture_goes_before_anything_else_is_done(stage: Stage) -> None:
    stage.both(1, key=(LOW,))
    stage.got()
    changes: list[Callable[[], None]] = [
        lambda: stage.forwarder.settle(),
        lambda: stage.forwarder.set_route(ROUTE, RouteSpec(5000, 100, 5001, 101, {})),
        lambda: stage.forwarder.switch(ROUTE, 0, None),
    ]
    for change in changes:
        stage.forwarder.inject(CAMERA, stage.packet(LOW, bytes((0x80,)) + bytes(50), 96, marker=False))
        assert waiting(stage) == 0
        change()
        assert waiting(stage) == 1


def test_a_picture_that_comes_slowly_does_not_wait(stage: Stage) -> None:
    stage.both(1, key=(LOW,))
    stage.got()
    stage.forwarder.inject(CAMERA, stage.packet(LOW, bytes((0x80,)) + bytes(50), 96, marker=False))
    stage.now += HOLD_S
    stage.forwarder.inject(CAMERA, stage.packet(LOW, bytes((0x80,)) + bytes(50), 96, marker=False))
    assert waiting(stage) == 2
