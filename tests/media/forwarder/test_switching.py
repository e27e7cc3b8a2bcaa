"""A forwarder whose route changes between the encodings of one track: packets in by `inject`, out on a socket."""

from collections.abc import Iterator

import pytest

from media import rtp
from media.forwarder.interface import RouteSpec
from tests.fakes.stage import CAMERA, HIGH, LOW, ROUTE, VOICE, VOICE_ROUTE, Stage, numbers, origins, steps, times


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


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


def begin_key(stage: Stage, packets: int) -> list[bytes]:
    """A key frame of the large encoding that has not been sent yet."""
    stage.pictures[HIGH] += 1
    picture = stage.pictures[HIGH]
    heads = [
        bytes((0x90 if index == 0 else 0x80, 0x80, 0x80 | picture >> 8, picture & 0xFF)) for index in range(packets)
    ]
    return [
        stage.packet(HIGH, head + bytes((0, HIGH)) + bytes(50), 96, marker=index == packets - 1)
        for index, head in enumerate(heads)
    ]


def test_what_is_sent_goes_on_until_a_key_frame_that_comes_slowly_is_whole() -> None:
    stage = Stage(rtx=True)
    stage.both(3, key=(LOW, HIGH))
    lag = stage.timestamps[HIGH] - stage.timestamps[LOW]
    stage.forwarder.switch(ROUTE, HIGH, lag)
    stage.tick()
    key = begin_key(stage, 6)
    for packet in key[:5]:
        stage.forwarder.inject(CAMERA, packet)
        stage.frame(LOW)
        stage.tick()
    assert set(origins(stage.got())) == {LOW}
    assert stage.forwarder.source(HIGH).waiting == 0  # it has begun to come: no other is asked for
    stage.forwarder.inject(CAMERA, key[5])
    assert origins(stage.got()) == [HIGH] * 6
    stage.close()


def test_pictures_behind_a_late_key_frame_catch_up_with_the_clock() -> None:
    stage = Stage(rtx=True)
    stage.both(3, key=(LOW, HIGH))
    lag = stage.timestamps[HIGH] - stage.timestamps[LOW]
    stage.forwarder.switch(ROUTE, HIGH, lag)
    stage.tick()
    key = begin_key(stage, 4)
    captured = stage.timestamps[HIGH]
    stage.frame(LOW)
    for _ in range(5):
        stage.tick()
        stage.frame(LOW)
    last = times(stage.got())[-1]
    for packet in key:
        stage.forwarder.inject(CAMERA, packet)
    present = stage.timestamps[HIGH]
    for behind in range(1, 8):
        stage.timestamps[HIGH] = captured + behind * 3000
        stage.frame(HIGH)
    got = stage.got()
    assert (times(got)[0] - last) % (1 << 32) == 1
    shown = [(each - last) % (1 << 32) for each in times(got)]
    # Five pictures stand behind each other until the sixth is at its own time again.
    assert shown[:6] == [1, 2, 3, 4, 5, 6]
    assert shown[6:] == [3000, 6000]
    assert present == captured + 5 * 3000
    assert steps(numbers(got), 1 << 16) == {1}
    stage.now += 1
    stage.forwarder.resend(ROUTE, numbers(got))
    again = [rtp.unwrap_rtx(each, 5000, 100) for each in stage.got()]
    assert again == got
    stage.close()


def test_a_key_frame_with_a_hole_is_waited_for_until_it_is_mended_or_half_a_second_is_over() -> None:
    for mended in (True, False):
        stage = Stage()
        stage.both(3, key=(LOW, HIGH))
        stage.forwarder.switch(ROUTE, HIGH, None)
        stage.tick()
        first, lost, *rest = begin_key(stage, 5)
        for packet in (first, *rest):
            stage.forwarder.inject(CAMERA, packet)
        stage.frame(LOW)
        assert set(origins(stage.got())) == {LOW}
        if mended:
            stage.forwarder.inject(CAMERA, lost)
            assert origins(stage.got()) == [HIGH] * 5
        else:
            for _ in range(14):
                stage.tick()
                stage.frame(LOW)
                stage.frame(HIGH)
            assert set(origins(stage.got())) == {LOW}
            for _ in range(2):
                stage.tick()
                stage.frame(LOW)
                stage.frame(HIGH)
            assert origins(stage.got())[-1] == HIGH
            assert stage.forwarder.route(ROUTE).source == HIGH
        stage.close()


def test_a_route_whose_encoding_fell_silent_does_not_wait_for_the_whole_key_frame(stage: Stage) -> None:
    stage.both(3, key=(LOW, HIGH))
    stage.forwarder.switch(ROUTE, HIGH, None)
    stage.tick(0.4)
    stage.got()
    stage.forwarder.inject(CAMERA, begin_key(stage, 4)[0])
    assert origins(stage.got()) == [HIGH]
